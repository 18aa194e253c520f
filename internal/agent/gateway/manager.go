package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/linux"
	"github.com/weft-cloud/weft/internal/model"
)

// Result is what is true of the central parts that this host has.
type Result struct {
	// Routers are all of the State's Centrals; true: the namespace is as the plan says.
	Routers map[model.RouterID]bool
	// FloatingIPs are the central ones that are translated now, with the Generation as which they are.
	FloatingIPs map[model.FloatingIPID]uint64
	// Problems are what is not as it should be, in words. It will be tried again.
	Problems []hostplan.Problem
}

// Deps are what a Manager needs. All are required.
type Deps struct {
	// Dir is where the namespaces are: linux.NetnsDir, or a directory of this host's own.
	Dir string
	// Check is how often the namespaces are compared with the plan although nothing has changed, and RetryMin and
	// RetryMax bound the wait before what failed is tried again.
	Check, RetryMin, RetryMax time.Duration
	Log                       *slog.Logger
}

// Manager brings the namespaces to the State.
type Manager struct {
	Deps
	wanted chan wanted
	// done are, of each namespace, the plan that was brought about last, so that a new State costs only what it changes.
	done map[model.RouterID]*plan
	// ended are, of each floating IP, the generation before which all its connections have been ended.
	ended map[model.FloatingIPID]uint64
	last  Result
}

type wanted struct {
	centrals  map[model.RouterID]*hostplan.Central
	externals map[model.NetworkID]*hostplan.External
	inSync    bool
}

// New returns a Manager that has nothing to do yet.
func New(d Deps) *Manager {
	return &Manager{Deps: d, wanted: make(chan wanted, 1), done: map[model.RouterID]*plan{}, ended: map[model.FloatingIPID]uint64{}}
}

// Update hands over a new State; the newest counts. It does not block. Only one goroutine may call it.
func (m *Manager) Update(st *hostplan.State, inSync bool) {
	select {
	case <-m.wanted:
	default:
	}
	m.wanted <- wanted{st.Centrals, st.Externals, inSync}
}

// Run works until ctx is done, and tells each Result that differs from the last. It leaves everything as it is then.
func (m *Manager) Run(ctx context.Context, changed func(Result)) error {
	var w wanted
	select {
	case <-ctx.Done():
		return ctx.Err()
	case w = <-m.wanted:
	}
	var wait time.Duration
	for {
		r := m.apply(w)
		if !r.equal(m.last) {
			m.last = r
			changed(r)
		}
		pause := m.Check
		if len(r.Problems) > 0 {
			wait = min(max(2*wait, m.RetryMin), m.RetryMax)
			pause = min(wait, m.Check)
		} else {
			wait = 0
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case w = <-m.wanted:
			wait = 0
		case <-timer.C:
			clear(m.done) // look at everything anew
		}
		timer.Stop()
	}
}

func (r Result) equal(o Result) bool {
	return maps.Equal(r.Routers, o.Routers) && maps.Equal(r.FloatingIPs, o.FloatingIPs) && slices.Equal(r.Problems, o.Problems)
}

// apply goes through all routers. What fails for one leaves the others alone.
func (m *Manager) apply(w wanted) Result {
	r := Result{Routers: map[model.RouterID]bool{}, FloatingIPs: map[model.FloatingIPID]uint64{}}
	keep := map[string]bool{}
	m.forget()
	for _, id := range slices.SortedFunc(maps.Keys(w.centrals), func(a, b model.RouterID) int { return a.Compare(b.UUID) }) {
		p, problems := planOf(w.centrals[id], w.externals)
		if p == nil {
			r.Routers[id] = false
			continue
		}
		keep[p.name] = true
		if old := m.done[id]; old == nil || !old.equal(p) {
			delete(m.done, id)
			err := m.realize(p, w.inSync)
			if err != nil {
				problems = append(problems, sentences(err)...)
			} else if w.inSync {
				m.done[id] = p
			}
			r.Routers[id] = err == nil
		} else {
			r.Routers[id] = true
		}
		for _, why := range problems {
			r.Problems = append(r.Problems, hostplan.Problem{Kind: string(model.KindRouter), ID: id.String(), Why: why})
		}
		if r.Routers[id] {
			for _, f := range p.floats {
				r.FloatingIPs[f.id] = f.generation
			}
		}
	}
	if w.inSync {
		for id := range m.done {
			if w.centrals[id] == nil || !w.centrals[id].AdminUp {
				delete(m.done, id)
			}
		}
		if err := m.sweep(keep); err != nil {
			r.Problems = append(r.Problems, hostplan.Problem{Kind: "gateway", ID: m.Dir, Why: err.Error()})
		}
	}
	return r
}

// forget takes back that a plan is done if one of the host's ends is not as it was: State and devices come together, so
// that this is seen at once.
func (m *Manager) forget() {
	links, err := linux.Links("")
	if err != nil {
		clear(m.done)
		return
	}
	up := map[string]bool{}
	for _, l := range links {
		up[l.Name] = l.Up
	}
	for id, p := range m.done {
		if slices.ContainsFunc(p.devices, func(d device) bool { return !up[d.host] }) {
			delete(m.done, id)
		}
	}
}

// sentences are the parts of a joined error.
func sentences(err error) []string {
	var many interface{ Unwrap() []error }
	if !errors.As(err, &many) {
		return []string{err.Error()}
	}
	var out []string
	for _, e := range many.Unwrap() {
		out = append(out, sentences(e)...)
	}
	return out
}

func (p *plan) equal(o *plan) bool {
	return p.name == o.name && slices.EqualFunc(p.devices, o.devices, device.equal) && slices.Equal(p.routes, o.routes) && p.nat.equal(o.nat) &&
		slices.Equal(p.floats, o.floats)
}

func (d device) equal(o device) bool {
	return d.name == o.name && d.host == o.host && d.mac == o.mac && d.mtu == o.mtu && slices.Equal(d.addresses, o.addresses)
}

func (n nat) equal(o nat) bool {
	return n.outer == o.outer && slices.Equal(n.gateway, o.gateway) && slices.Equal(n.own, o.own) && n.snat == o.snat && slices.Equal(n.plain, o.plain) &&
		slices.Equal(n.floats, o.floats) && slices.Equal(n.forwards, o.forwards) && slices.Equal(n.helpers, o.helpers)
}

// mark is on the loopback of each namespace that is ours, and with the router's id on the host's ends of the legs.
const mark = "weft gateway"

// sweep deletes the namespaces that are ours and not to be kept.
func (m *Manager) sweep(keep map[string]bool) error {
	ents, err := os.ReadDir(m.Dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("list network namespaces: %w", err)
	}
	err = nil
	for _, e := range ents {
		name := e.Name()
		if keep[name] || !strings.HasPrefix(name, centralizedPrefix) && !strings.HasPrefix(name, distributedPrefix) {
			continue
		}
		path := filepath.Join(m.Dir, name)
		switch is, merr := linux.NetnsMark(path); {
		case merr != nil:
			err = errors.Join(err, merr)
		case is == mark:
			m.Log.Info("remove the namespace of a router that is not here any more", "namespace", name)
			err = errors.Join(err, remove(path))
		}
	}
	return err
}

// remove takes a namespace away. The kernel removes it, and the pairs in it, a moment after its name, but the names of
// the host's ends may be needed at once.
func remove(path string) error {
	links, err := linux.Links(path)
	if err != nil {
		return err
	}
	for _, l := range links {
		if isLeg(l.Name) {
			err = errors.Join(err, linux.DelLink(path, l.Name))
		}
	}
	return errors.Join(err, linux.DeleteNetns(path))
}

func isLeg(name string) bool {
	return strings.HasPrefix(name, routerLegPrefix) || strings.HasPrefix(name, snatLegPrefix) || strings.HasPrefix(name, outerPrefix)
}
