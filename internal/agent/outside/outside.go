// Package outside answers DHCP and router solicitations on the physical networks themselves: for ports of provider networks that no agent plugs in,
// bare-metal machines and ports that are bound nowhere. The server chooses one host at a time for each network
// (internal/server/feed) and tells it of those ports; to whoever is not among them nothing is said.
//
// The package decides what to answer to whom and opens and closes wires as the State wants; the frames are the DHCP
// servers' of internal/agent/dhcp and internal/agent/ra, the sockets internal/linux's. It answers ARP for the DHCP server's own address, so
// that a client can renew, and nothing else: neither DNS nor metadata.
package outside

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// Wire is a physical network as this host has it.
type Wire interface {
	// Read waits for a frame with a question, without its VLAN tag; vlan 0: it had none.
	Read(buf []byte) (n int, vlan uint16, err error)
	Send(frame []byte, vlan uint16) error
	// Hear makes the NIC take frames for the MAC, too; it may be a group's.
	Hear(mac [6]byte) error
	Close() error
}

// Responder answers one kind of question; those of internal/agent/dhcp and internal/agent/ra do.
type Responder interface {
	Handle(p dataplane.Punt, st *hostplan.State) [][]byte
}

// Deps of New. All are required.
type Deps struct {
	// Open opens a physical network; an error is tried again.
	Open         func(physnet string) (Wire, error)
	DHCP4, DHCP6 Responder
	RA           Responder
	Log          *slog.Logger
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
	outsider map[where]*hostplan.Endpoint
	// macs are the DHCP servers' MACs and the groups that are asked, per physical network.
	macs map[string]map[model.MAC]bool
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
	v := &view{st: st, outsider: map[where]*hostplan.Endpoint{}, macs: map[string]map[model.MAC]bool{}}
	for _, e := range st.Outsiders {
		n := st.Networks[e.Network]
		if n == nil || n.Physnet == "" {
			continue
		}
		v.outsider[where{n.Physnet, n.VLAN, e.MAC}] = e
		if v.macs[n.Physnet] == nil {
			v.macs[n.Physnet] = map[model.MAC]bool{allServers: true, allRouters: true}
		}
		if answersARP(st, e) {
			v.macs[n.Physnet][e.DHCP4.ServerMAC] = true
		}
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
	heard  map[model.MAC]bool
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
			l = &line{wire: w, heard: map[model.MAC]bool{}}
			wires[name] = l
			s.lines.Store(name, l)
			l.reader.Go(func() { s.read(name, l) })
		}
		for m := range macs {
			if !l.heard[m] {
				l.heard[m] = true
				if err := l.wire.Hear(m); err != nil {
					s.d.Log.Debug("renewals are answered only when they are broadcast", "physicalNetwork", name, "error", err)
				}
			}
		}
	}
}

func (s *Server) read(physnet string, l *line) {
	buf := make([]byte, 4096)
	for {
		n, vlan, err := l.wire.Read(buf)
		if err != nil {
			l.dead.Store(true)
			s.d.Log.Debug("no longer reading a physical network", "physicalNetwork", physnet, "error", err)
			return
		}
		for _, frame := range s.answer(physnet, vlan, buf[:n]) {
			if err := l.wire.Send(frame, vlan); err != nil {
				s.d.Log.Debug("answer not sent", "physicalNetwork", physnet, "error", err)
			}
		}
	}
}

// answer is what is said to a frame.
func (s *Server) answer(physnet string, vlan uint16, frame []byte) [][]byte {
	v := s.state.Load()
	if v == nil || len(frame) < 42 {
		return nil
	}
	e := v.outsider[where{physnet, vlan, model.MAC(frame[6:12])}]
	if e == nil {
		return nil
	}
	p := dataplane.Punt{Port: e.Port, Frame: frame}
	switch kind := uint16(frame[12])<<8 | uint16(frame[13]); kind {
	case 0x0806:
		if reply := answerARP(v.st, e, frame); reply != nil {
			return [][]byte{reply}
		}
	case 0x0800:
		p.Kind = dataplane.PuntDHCP4
		return s.d.DHCP4.Handle(p, v.st)
	case 0x86dd:
		if frame[20] == 58 {
			p.Kind = dataplane.PuntRS
			return s.d.RA.Handle(p, v.st)
		}
		p.Kind = dataplane.PuntDHCP6
		return s.d.DHCP6.Handle(p, v.st)
	}
	return nil
}

// Inject sends a frame that nobody asked for to an outsider, to its MAC alone, whatever the frame says: others on the wire are not told
// (RFC 6085 lets a packet to a group go to one machine).
func (s *Server) Inject(id model.PortID, frame []byte) error {
	v := s.state.Load()
	if v == nil || v.st.Outsiders[id] == nil || len(frame) < 14 {
		return fmt.Errorf("port %s: %w", id, errNotServed)
	}
	e := v.st.Outsiders[id]
	n := v.st.Networks[e.Network]
	if n == nil {
		return fmt.Errorf("port %s: %w", id, errNotServed)
	}
	l, ok := s.lines.Load(n.Physnet)
	if !ok {
		return fmt.Errorf("port %s, physical network %s: %w", id, n.Physnet, errNotServed)
	}
	return l.(*line).wire.Send(slices.Concat(e.MAC[:], frame[6:]), n.VLAN) //nolint:forcetypeassert // nothing else is stored
}

// answersARP reports whether the outsider's DHCP server has an address that nobody else answers for: a network:dhcp port's.
func answersARP(st *hostplan.State, e *hostplan.Endpoint) bool {
	if e.DHCP4 == nil {
		return false
	}
	for _, v := range st.Networks[e.Network].Services {
		if v.Address == e.DHCP4.Server && v.MAC == e.DHCP4.ServerMAC {
			return true
		}
	}
	return false
}

// answerARP answers a request of the outsider's for the address of its DHCP server (RFC 826); nil: it is no such request.
func answerARP(st *hostplan.State, e *hostplan.Endpoint, b []byte) []byte {
	const head = "\x08\x06\x00\x01\x08\x00\x06\x04\x00\x01" // ARP, Ethernet, IPv4, a request
	if string(b[12:22]) != head || !answersARP(st, e) || model.MAC(b[22:28]) != e.MAC {
		return nil
	}
	server := e.DHCP4.Server.As4()
	if [4]byte(b[38:42]) != server {
		return nil
	}
	out := make([]byte, 0, 60)
	out = append(append(out, b[6:12]...), e.DHCP4.ServerMAC[:]...)
	out = append(append(out, head[:9]...), 2)
	out = append(append(out, e.DHCP4.ServerMAC[:]...), server[:]...)
	out = append(out, b[22:32]...)
	return out[:60] // the least that Ethernet carries; the rest is zero
}

var errNotServed = errors.New("is not served on a wire here")

// The groups that machines ask: all DHCPv6 servers (RFC 8415, section 7.1) and all routers (RFC 4291, section 2.7.1).
var (
	allServers = model.MAC{0x33, 0x33, 0, 1, 0, 2} //nolint:gochecknoglobals // a constant
	allRouters = model.MAC{0x33, 0x33, 0, 0, 0, 2} //nolint:gochecknoglobals // a constant
)

// ErrUnmapped is that a physical network is not among the host's bridge_mappings.
var ErrUnmapped = errors.New("the host has no such physical network; see bridge_mappings")
