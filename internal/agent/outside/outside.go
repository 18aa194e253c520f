// Package outside answers on the physical networks themselves what machines ask that no agent plugs in: ports of provider networks of
// bare-metal machines, and ports that are bound nowhere. The server chooses one host at a time for each network
// (internal/server/feed) and tells it of those ports; to whoever is not among them nothing is said.
//
// The package decides what is answered to whom and opens and closes wires as the State wants. The frames are the DHCP
// servers' of internal/agent/dhcp and internal/agent/ra; DNS and metadata go the way of instances', by internal/agent/service; the sockets
// are internal/linux's.
package outside

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/linux"
	"github.com/weft-cloud/weft/internal/model"
)

// Wire is a physical network as this host has it.
type Wire interface {
	// Read waits for a frame with a question, without its VLAN tag.
	Read(buf []byte) (linux.Heard, error)
	// Send does not wait.
	Send(frame []byte, vlan uint16) error
	// Hear makes the NIC take frames for the MACs, too; they may be groups'.
	Hear(macs ...[6]byte) error
	Close() error
}

// Responder answers one kind of question, from any goroutine; those of internal/agent/dhcp, internal/agent/ra and internal/agent/service do.
type Responder interface {
	Handle(p dataplane.Punt, st *hostplan.State) [][]byte
}

// Deps of New. All but Services are required.
type Deps struct {
	// Open opens a physical network; an error is tried again.
	Open         func(physnet string) (Wire, error)
	DHCP4, DHCP6 Responder
	RA           Responder
	// Services takes packets to DNS and metadata; what it answers comes by Inject. nil: there are neither.
	Services Responder
	Log      *slog.Logger
	// Retry is the wait before a wire that failed is opened again.
	Retry time.Duration
}

// Server serves outsiders. Update may be called at any time; Run must be running for anybody to be answered.
type Server struct {
	d     Deps
	state atomic.Pointer[view]
	poke  chan struct{}
	lines sync.Map // of *line by physical network: those that are open, for Inject
}

// view is a State with what is looked up of it.
type view struct {
	st       *hostplan.State
	outsider map[where]*machine
	byPort   map[model.PortID]*machine
	// macs are those of the servers and the groups that are asked, per physical network.
	macs map[string]map[[6]byte]bool
}

// where names a machine on the wire.
type where struct {
	physnet string
	vlan    uint16
	mac     model.MAC
}

// New returns a server that serves nobody.
func New(d Deps) *Server { return &Server{d: d, poke: make(chan struct{}, 1)} }

// Update hands over a new State.
func (s *Server) Update(st *hostplan.State) {
	v := &view{st: st, outsider: map[where]*machine{}, byPort: map[model.PortID]*machine{}, macs: map[string]map[[6]byte]bool{}}
	old := s.state.Load()
	places := map[model.NetworkID]place{}
	for _, e := range st.Outsiders {
		n := st.Networks[e.Network]
		if n == nil || n.Physnet == "" {
			continue
		}
		if _, known := places[n.ID]; !known {
			places[n.ID] = placeOf(n)
		}
		m := &machine{Endpoint: e, at: where{n.Physnet, n.VLAN, e.MAC}, place: places[n.ID]}
		m.limit = newLimit()
		if old != nil && old.byPort[e.Port] != nil {
			m.limit = old.byPort[e.Port].limit
		}
		v.outsider[m.at], v.byPort[e.Port] = m, m
		if v.macs[n.Physnet] == nil {
			v.macs[n.Physnet] = map[[6]byte]bool{allServers: true, allRouters: true}
		}
		m.place.hear(v.macs[n.Physnet])
	}
	s.state.Store(v)
	select {
	case s.poke <- struct{}{}:
	default:
	}
}

// Run opens wires while there is somebody to serve on them, until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	wires := map[string]*line{}
	defer func() {
		for _, l := range wires {
			l.stop()
		}
	}()
	retry := time.NewTicker(s.d.Retry)
	defer retry.Stop()
	for {
		s.adjust(wires)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.poke:
		case <-retry.C:
		}
	}
}

// line is an open wire and its reader.
type line struct {
	wire   Wire
	told   map[told]int // how often
	reader sync.WaitGroup
	dead   atomic.Bool
}

func (l *line) stop() {
	l.wire.Close() //nolint:errcheck // that it is closed is all that is wanted
	l.reader.Wait()
}

// adjust opens the wires that are wanted and closes the others, and those that failed.
func (s *Server) adjust(wires map[string]*line) {
	v := s.state.Load()
	if v == nil {
		return
	}
	for name, l := range wires {
		if v.macs[name] == nil || l.dead.Load() {
			s.lines.Delete(name)
			l.stop()
			delete(wires, name)
		}
	}
	for name, macs := range v.macs {
		l := wires[name]
		if l == nil {
			w, err := s.d.Open(name)
			if err != nil {
				s.d.Log.Warn("machines on a physical network are not served; will try again", "physicalNetwork", name, "error", err)
				continue
			}
			l = &line{wire: w, told: map[told]int{}}
			wires[name] = l
			s.lines.Store(name, l)
			l.reader.Go(func() { s.read(name, l) })
		}
		if err := l.wire.Hear(slices.Collect(maps.Keys(macs))...); err != nil {
			s.d.Log.Debug("of what machines ask only what is broadcast is heard", "physicalNetwork", name, "error", err)
		}
		s.announce(l, name, v)
	}
}

func (s *Server) read(physnet string, l *line) {
	buf := make([]byte, 1<<17) // more than the kernel puts together
	for {
		h, err := l.wire.Read(buf)
		if err != nil {
			l.dead.Store(true)
			s.d.Log.Debug("no longer reading a physical network", "physicalNetwork", physnet, "error", err)
			return
		}
		for _, frame := range s.answer(physnet, h, buf[:h.N]) {
			if err := l.wire.Send(frame, h.VLAN); err != nil {
				s.d.Log.Debug("answer not sent", "physicalNetwork", physnet, "error", err)
			}
		}
	}
}

// answer is what is said to a frame.
func (s *Server) answer(physnet string, h linux.Heard, b []byte) [][]byte {
	v := s.state.Load()
	if v == nil || len(b) < 42 {
		return nil
	}
	m := v.outsider[where{physnet, h.VLAN, model.MAC(b[6:12])}]
	if m == nil {
		return nil
	}
	q, ok := classify(b)
	if !ok {
		return nil
	}
	p := dataplane.Punt{Kind: q.kind, Port: m.Port, Frame: b}
	switch q.kind {
	case dataplane.PuntDHCP4:
		return s.d.DHCP4.Handle(p, v.st)
	case dataplane.PuntDHCP6:
		return s.d.DHCP6.Handle(p, v.st)
	case dataplane.PuntRS:
		return s.d.RA.Handle(p, v.st)
	case dataplane.PuntNeighbor:
		if reply := m.resolve(b); reply != nil && m.limit.Allow() {
			return [][]byte{reply}
		}
	case dataplane.PuntDNS, dataplane.PuntMetadata:
		if s.d.Services != nil && m.mayAsk(q) && (h.Unsummed || q.packet.Sound()) && m.limit.Allow() {
			return s.d.Services.Handle(p, v.st)
		}
	}
	return nil
}

// Inject sends a frame that nobody asked for to an outsider, to its MAC alone, whatever the frame says: others on the wire are not told
// (RFC 6085 lets a packet to a group go to one machine).
func (s *Server) Inject(id model.PortID, frame []byte) error {
	v := s.state.Load()
	if v == nil || v.byPort[id] == nil || len(frame) < 14 {
		return fmt.Errorf("port %s: %w", id, errNotServed)
	}
	m := v.byPort[id]
	l, ok := s.lines.Load(m.at.physnet)
	if !ok {
		return fmt.Errorf("port %s, physical network %s: %w", id, m.at.physnet, errNotServed)
	}
	return l.(*line).wire.Send(slices.Concat(m.MAC[:], frame[6:]), m.at.vlan) //nolint:forcetypeassert // nothing else is stored
}

var errNotServed = errors.New("is not served on a wire here")

// The groups that machines ask: all DHCPv6 servers (RFC 8415, section 7.1) and all routers (RFC 4291, section 2.7.1).
var (
	allServers = model.MAC{0x33, 0x33, 0, 1, 0, 2} //nolint:gochecknoglobals // a constant
	allRouters = model.MAC{0x33, 0x33, 0, 0, 0, 2} //nolint:gochecknoglobals // a constant
)

// ErrUnmapped is that a physical network is not among the host's bridge_mappings.
var ErrUnmapped = errors.New("the host has no such physical network; see bridge_mappings")
