package ra

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// Announcer sends what nobody asked for: each endpoint, and each outsider of the host, hears the advertisements of its network once an Interval, at once
// when they change, and a last one of lifetime 0 from a router that is gone (RFC 4861, section 6.2.5).
type Announcer struct {
	d      Deps
	states chan *hostplan.State
	ports  map[model.PortID]*heard // owned by Run
}

// Deps of NewAnnouncer. Inject gives a port a frame, by the plane or by its wire; Rand returns a number in [0,n); Tick replaces time.NewTicker in tests and
// returns the channel and what stops it.
type Deps struct {
	Inject   func(model.PortID, []byte) error
	Log      *slog.Logger
	Interval time.Duration
	Now      func() time.Time
	Rand     func(n int64) int64
	Tick     func(time.Duration) (<-chan time.Time, func())
}

// DefaultInterval is between two advertisements to one endpoint, give or take nothing: endpoints are spread over it.
const DefaultInterval = 10 * time.Minute

// resolution is how late an advertisement may be.
const resolution = time.Second

// heard is what one endpoint was told.
type heard struct {
	net  *hostplan.Network
	advs []hostplan.Advertisement
	due  time.Time
}

// NewAnnouncer returns an announcer; nothing happens before Run.
func NewAnnouncer(d Deps) *Announcer {
	if d.Tick == nil {
		d.Tick = func(every time.Duration) (<-chan time.Time, func()) {
			t := time.NewTicker(every)
			return t.C, t.Stop
		}
	}
	return &Announcer{d: d, states: make(chan *hostplan.State, 1), ports: make(map[model.PortID]*heard)}
}

// Update hands over a new State; it never blocks, and only the newest counts. One goroutine may call it.
func (a *Announcer) Update(st *hostplan.State) {
	select {
	case <-a.states:
	default:
	}
	a.states <- st
}

// Run works until ctx ends.
func (a *Announcer) Run(ctx context.Context) error {
	tick, stop := a.d.Tick(resolution)
	defer stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case st := <-a.states:
			a.take(st)
		case <-tick:
			a.round()
		}
	}
}

// take compares what endpoints were told with what is true now.
func (a *Announcer) take(st *hostplan.State) {
	for id := range a.ports {
		if st.Served(id) == nil {
			delete(a.ports, id)
		}
	}
	for _, served := range []map[model.PortID]*hostplan.Endpoint{st.Endpoints, st.Outsiders} {
		for id, ep := range served {
			if net := st.Networks[ep.Network]; net != nil {
				a.tell(id, net, told(st, ep))
			}
		}
	}
	a.round()
}

// tell brings what a port is told up to date.
func (a *Announcer) tell(id model.PortID, net *hostplan.Network, advs []hostplan.Advertisement) {
	h := a.ports[id]
	if h == nil {
		// A new instance solicits by itself, and after a restart of the agent nobody is in a hurry: spread the load.
		wait := time.Duration(a.d.Rand(int64(a.d.Interval)))
		a.ports[id] = &heard{net: net, advs: advs, due: a.d.Now().Add(wait)}
		return
	}
	if h.net == net || slices.EqualFunc(h.advs, advs, sameAdvertisement) {
		h.net, h.advs = net, advs
		return
	}
	for i := range h.advs {
		if !slices.ContainsFunc(advs, func(n hostplan.Advertisement) bool { return n.LinkLocal == h.advs[i].LinkLocal }) {
			a.send(id, revoked(h.advs[i]))
		}
	}
	h.net, h.advs, h.due = net, advs, a.d.Now()
}

func (a *Announcer) round() {
	now := a.d.Now()
	for id, h := range a.ports {
		if h.due.After(now) {
			continue
		}
		h.due = now.Add(a.d.Interval)
		for i := range h.advs {
			a.send(id, h.advs[i])
		}
	}
}

func (a *Announcer) send(id model.PortID, adv hostplan.Advertisement) {
	if err := a.d.Inject(id, build(&adv, allNodes, allNodesMAC)); err != nil {
		// The instance may have no device yet; it solicits when it comes up, and the next round comes.
		a.d.Log.Debug("router advertisement not delivered", "port", id.String(), "err", err)
	}
}

// revoked is the last word of a router that is gone: no default route, nothing else changed.
func revoked(a hostplan.Advertisement) hostplan.Advertisement {
	a.DefaultRouter = false
	a.Prefixes, a.DNS = nil, nil
	return a
}

func sameAdvertisement(a, b hostplan.Advertisement) bool {
	return a.Router == b.Router && a.MAC == b.MAC && a.LinkLocal == b.LinkLocal && a.Managed == b.Managed && a.Other == b.Other &&
		a.MTU == b.MTU && a.DefaultRouter == b.DefaultRouter && slices.Equal(a.Prefixes, b.Prefixes) && slices.Equal(a.DNS, b.DNS)
}
