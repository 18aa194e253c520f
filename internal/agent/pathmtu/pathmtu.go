// Package pathmtu finds out how large a packet reaches each other host's tunnel address, for a tunnel packet that is larger vanishes
// without a word. It sends ICMP echo requests that may not be cut, which the other host's kernel answers; nothing of ours listens
// for them. Where nobody answers, nothing is known, and nothing is claimed.
//
// It must not program anything: it tells the agent, which tells the plane.
package pathmtu

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/linux"
	"github.com/weft-cloud/weft/internal/model"
)

// Wire carries echo requests from one address.
type Wire interface {
	// Send sends one whose IP packet has size bytes; linux.ErrTooBig: it does not leave this host for its size.
	Send(to netip.Addr, size int, seq uint16) error
	Receive() (linux.EchoReply, error)
	Close() error
}

// Timing is how patient the prober is.
type Timing struct {
	// Answer is how long an answer may take, Tries how many packets of a size must be lost before it counts as too large.
	Answer time.Duration
	Tries  int
	// Refresh is how often a path is tried again. Gap is what lies between two packets, whatever the number of paths.
	Refresh, Gap time.Duration
}

// Usual is the Timing of agents: at most 100 packets a second, and one a minute for each path that is as it should be.
var Usual = Timing{Answer: 500 * time.Millisecond, Tries: 3, Refresh: time.Minute, Gap: 10 * time.Millisecond}

// Deps are what a Prober needs. All are required.
type Deps struct {
	Open   func(local netip.Addr) (Wire, error)
	Timing Timing
	// Rand returns a number in [0,1).
	Rand func() float64
	Log  *slog.Logger
}

// Prober probes the paths to the peers of the newest State.
type Prober struct {
	Deps
	updated chan struct{}
	mu      sync.Mutex // guards state
	state   *hostplan.State
	// What follows is Run's.
	local netip.Addr
	wire  Wire
	heard chan linux.EchoReply
	done  chan struct{} // the receiver has ended
	paths map[netip.Addr]*path
	told  map[netip.Addr]uint32
	seq   uint16
	sent  time.Time
}

// New returns a Prober that does nothing yet.
func New(d Deps) *Prober {
	return &Prober{Deps: d, updated: make(chan struct{}, 1), paths: map[netip.Addr]*path{}, told: map[netip.Addr]uint32{}, seq: uint16(d.Rand() * 65536)}
}

// Update hands over a State; it does not block.
func (p *Prober) Update(st *hostplan.State) {
	p.mu.Lock()
	p.state = st
	p.mu.Unlock()
	select {
	case p.updated <- struct{}{}:
	default:
	}
}

// Run probes until ctx is done. changed is told, by one goroutine, of all paths that are too narrow for some network, with the largest
// IP packet that gets there, outside of the tunnel.
func (p *Prober) Run(ctx context.Context, changed func(narrow map[netip.Addr]uint32)) error {
	defer p.close()
	for {
		timer := time.NewTimer(p.wait(time.Now()))
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-p.updated:
			p.follow(time.Now())
		case r := <-p.heard:
			p.hear(r, time.Now())
		case <-timer.C:
			p.work(time.Now())
		}
		timer.Stop()
		narrow := map[netip.Addr]uint32{}
		for a, x := range p.paths {
			if x.narrow > 0 {
				narrow[a] = uint32(x.narrow) //nolint:gosec // at most 65535
			}
		}
		if !maps.Equal(narrow, p.told) {
			p.told = narrow
			changed(narrow)
		}
	}
}

// follow takes in the newest State: which paths there are, and what they must carry.
func (p *Prober) follow(now time.Time) {
	p.mu.Lock()
	st := p.state
	p.mu.Unlock()
	if st.VTEP != p.local || p.wire == nil {
		p.open(st.VTEP)
	}
	need := needed(st)
	there := map[netip.Addr]bool{}
	for _, peer := range st.Peers {
		if need == 0 || p.wire == nil || peer.VTEP.Is6() != p.local.Is6() {
			continue
		}
		there[peer.VTEP] = true
		x := p.paths[peer.VTEP]
		if x == nil {
			x = &path{floor: 576} // RFC 791
			if peer.VTEP.Is6() {
				x.floor = 1280 // RFC 8200, section 5
			}
			p.paths[peer.VTEP] = x
		}
		if x.want != need {
			x.begin(need, now)
		}
	}
	maps.DeleteFunc(p.paths, func(a netip.Addr, _ *path) bool { return !there[a] })
}

// needed is the largest tunnel packet that the networks of a State make; 0: they make none.
func needed(st *hostplan.State) int {
	need := uint32(0)
	for _, n := range st.Networks {
		if n.Type == "vxlan" && st.VTEP.IsValid() {
			need = max(need, n.MTU+hostplan.Overhead(st.VTEP))
		}
	}
	return int(min(need, 65535))
}

// Problems names the hosts that not every packet of the networks which they share with this one gets to.
func Problems(st *hostplan.State) []hostplan.Problem {
	var out []hostplan.Problem
	for _, name := range slices.Sorted(maps.Keys(st.Peers)) {
		p := st.Peers[name]
		if p.MTU == 0 {
			continue
		}
		var worst *hostplan.Network
		for _, n := range st.Networks {
			if n.Type == "vxlan" && n.MTU > p.MTU && slices.Contains(n.Flood, name) &&
				(worst == nil || n.MTU > worst.MTU || n.MTU == worst.MTU && n.ID.Compare(worst.ID.UUID) < 0) {
				worst = n
			}
		}
		if worst != nil {
			out = append(out, hostplan.Problem{Kind: string(model.KindHost), ID: name, Why: fmt.Sprintf("the path to its tunnel address %s carries packets of %d bytes, but network %s has an MTU of %d: "+
				"raise the MTU of the underlay on the way there to %d, or lower the network's", p.VTEP, p.MTU, worst.ID, worst.MTU, worst.MTU+hostplan.Overhead(p.VTEP))})
		}
	}
	return out
}

// open makes the wire anew. Without one nothing is probed; it is tried again with the next State, or after a while.
func (p *Prober) open(local netip.Addr) {
	p.close()
	p.local = local
	clear(p.paths)
	if !local.IsValid() {
		return
	}
	w, err := p.Open(local)
	if err != nil {
		p.Log.Warn("paths to other hosts are not probed; packets too large for one will vanish", "error", err)
		return
	}
	p.wire, p.heard, p.done = w, make(chan linux.EchoReply, 64), make(chan struct{})
	go func(heard chan<- linux.EchoReply, done chan<- struct{}) {
		defer close(done)
		for {
			r, err := w.Receive()
			if err != nil {
				return
			}
			select {
			case heard <- r:
			default: // as if it were lost
			}
		}
	}(p.heard, p.done)
}

func (p *Prober) close() {
	if p.wire == nil {
		return
	}
	if err := p.wire.Close(); err != nil {
		p.Log.Debug("close what probes paths", "error", err)
	}
	<-p.done
	p.wire, p.heard = nil, nil
}

// wait is how long there is nothing to do.
func (p *Prober) wait(now time.Time) time.Duration {
	next := now.Add(p.Timing.Refresh)
	for _, x := range p.paths {
		if x.due.Before(next) {
			next = x.due
		}
	}
	return max(next.Sub(now), p.Timing.Gap-now.Sub(p.sent), 0)
}

// work sends what is most overdue, one packet.
func (p *Prober) work(now time.Time) {
	if p.wire == nil {
		p.mu.Lock()
		known := p.state != nil && p.state.VTEP.IsValid()
		p.mu.Unlock()
		if known {
			p.follow(now)
		}
		return
	}
	var to netip.Addr
	var x *path
	for a, y := range p.paths {
		if !y.due.After(now) && (x == nil || y.due.Before(x.due)) {
			to, x = a, y
		}
	}
	if x == nil {
		return
	}
	if x.size != 0 && x.try >= p.Timing.Tries {
		x.failed(now)
		p.rest(x, now)
		return
	}
	if x.size == 0 {
		x.begin(x.want, now)
	}
	p.seq++
	p.sent = now
	err := p.wire.Send(to, x.size, p.seq)
	if errors.Is(err, linux.ErrTooBig) {
		x.refused(0, now)
		p.rest(x, now)
		return
	}
	if err != nil {
		p.Log.Debug("a path cannot be probed", "address", to, "error", fmt.Sprint(err))
	}
	x.sent(p.seq, now.Add(p.Timing.Answer))
}

// hear takes in what became of a packet.
func (p *Prober) hear(r linux.EchoReply, now time.Time) {
	x := p.paths[r.To]
	if x == nil || !x.is(r.Seq) {
		return
	}
	if r.MTU == 0 {
		x.answered(now)
	} else {
		x.refused(int(min(r.MTU, 65535)), now)
	}
	p.rest(x, now)
}

// rest puts a path off whose search is over, not all of them to the same moment.
func (p *Prober) rest(x *path, now time.Time) {
	if x.size == 0 {
		x.due = now.Add(p.Timing.Refresh/2 + time.Duration(p.Rand()*float64(p.Timing.Refresh)))
	}
}
