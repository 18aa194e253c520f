package outside

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/weft-cloud/weft/internal/agent/dhcp"
	"github.com/weft-cloud/weft/internal/agent/frame"
	"github.com/weft-cloud/weft/internal/agent/ra"
	"github.com/weft-cloud/weft/internal/agent/tally"
	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/linux"
	"github.com/weft-cloud/weft/internal/model"
)

var (
	metal     = model.MAC{0x52, 0x54, 0, 0, 0, 1}
	dhcpMAC   = model.MAC{0xfa, 0x16, 0x3e, 0, 0, 2}
	routerMAC = model.MAC{0xfa, 0x16, 0x3e, 0, 0, 3}
	portID    = model.PortID{UUID: model.UUID{1}}
	netID     = model.NetworkID{UUID: model.UUID{2}}
	server    = netip.MustParseAddr("10.0.0.2")
	lease     = netip.MustParseAddr("10.0.0.5")
	everyone  = netip.AddrFrom4([4]byte{255, 255, 255, 255})
	server6   = netip.MustParseAddr("fd00::2")
	lease6    = netip.MustParseAddr("fd00::5")
	stub4     = netip.MustParseAddr("169.254.169.254")
	stub6     = netip.MustParseAddr("fe80::a9fe:a9fe")
	hostMAC   = model.MAC{2, 0, 169, 254, 169, 254}
)

func state(vlan uint16) *hostplan.State {
	return &hostplan.State{
		Networks: map[model.NetworkID]*hostplan.Network{netID: {ID: netID, Type: "vlan", Physnet: "rack", VLAN: vlan, MTU: 1500,
			Services: []hostplan.Service{{Address: server, MAC: dhcpMAC, DNS: true}, {Address: stub4, MAC: hostMAC, Metadata: true},
				{Address: server6, MAC: dhcpMAC, DNS: true}, {Address: stub6, MAC: hostMAC, Metadata: true}},
			OnWire: []hostplan.Advertisement{{MAC: routerMAC, LinkLocal: hostplan.LinkLocal(routerMAC), DefaultRouter: true}}}},
		Outsiders: map[model.PortID]*hostplan.Endpoint{portID: {Port: portID, Network: netID, MAC: metal, MTU: 1500, AdminUp: true,
			Addresses: []netip.Prefix{netip.PrefixFrom(lease, 24), netip.PrefixFrom(lease6, 64)},
			DHCP4:     &hostplan.DHCP4{Address: lease, Prefix: netip.MustParsePrefix("10.0.0.0/24"), Server: server, ServerMAC: dhcpMAC, LeaseSeconds: 600, MTU: 1500}}},
	}
}

// discover is a DISCOVER as a frame.
func discover(t *testing.T, mac model.MAC) []byte {
	t.Helper()
	m, err := dhcpv4.NewDiscovery(net.HardwareAddr(mac[:]))
	if err != nil {
		t.Fatal(err)
	}
	u := frame.UDP{SrcMAC: mac, DstMAC: model.Broadcast, Src: netip.AddrPortFrom(netip.IPv4Unspecified(), 68), Dst: netip.AddrPortFrom(everyone, 67), Payload: m.ToBytes()}
	return u.Bytes()
}

// solicitation is a router solicitation as a frame.
func solicitation(mac model.MAC, src string) []byte {
	return frame.ICMP6{SrcMAC: mac, DstMAC: allRouters, Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr("ff02::2"), HopLimit: 255, Type: 133,
		Body: []byte{0, 0, 0, 0}}.Bytes()
}

// offered is the address that an OFFER among the frames gives, and to which MAC.
func offered(t *testing.T, frames [][]byte) netip.Addr {
	t.Helper()
	for _, f := range frames {
		u, err := frame.ParseUDP(f)
		if err != nil {
			t.Fatal(err)
		}
		m, err := dhcpv4.FromBytes(u.Payload)
		if err != nil {
			t.Fatal(err)
		}
		if m.MessageType() == dhcpv4.MessageTypeOffer && u.SrcMAC == dhcpMAC {
			a, _ := netip.AddrFromSlice(m.YourIPAddr.To4())
			return a
		}
	}
	return netip.Addr{}
}

// wire is a physical network of the test's.
type wire struct {
	in     chan tagged
	closed chan struct{}
	once   sync.Once

	mu    sync.Mutex // guards what follows
	out   []tagged
	heard [][6]byte
}

// asked remembers what was handed to DNS and metadata.
type asked struct {
	mu  sync.Mutex // guards got
	got []dataplane.Punt
}

func (a *asked) Handle(p dataplane.Punt, _ *hostplan.State) [][]byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.got = append(a.got, p)
	return nil
}

type tagged struct {
	vlan  uint16
	frame []byte
}

func newWire() *wire { return &wire{in: make(chan tagged), closed: make(chan struct{})} }

func (w *wire) Read(buf []byte) (linux.Heard, error) {
	select {
	case f := <-w.in:
		return linux.Heard{N: copy(buf, f.frame), VLAN: f.vlan}, nil
	case <-w.closed:
		return linux.Heard{}, os.ErrClosed
	}
}

func (w *wire) Send(frame []byte, vlan uint16) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.out = append(w.out, tagged{vlan, frame})
	return nil
}

func (w *wire) Hear(macs ...[6]byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.heard = macs
	return nil
}

func (w *wire) Close() error { w.once.Do(func() { close(w.closed) }); return nil }

func newServer(open func(string) (Wire, error)) *Server { return newServing(open, nil) }

func newServing(open func(string) (Wire, error), services Responder) *Server {
	book := tally.New(tally.Deps{Now: time.Now})
	return New(Deps{Open: open, DHCP4: dhcp.New4(book), DHCP6: dhcp.New6(book), RA: ra.New(book), Services: services, Log: slog.New(slog.DiscardHandler), Retry: 20 * time.Millisecond})
}

// TestAnswer: only the outsider, only on its own VLAN and physical network, is answered.
func TestAnswer(t *testing.T) {
	s := newServer(nil)
	s.Update(state(7))
	if got := offered(t, s.answer("rack", linux.Heard{VLAN: 7}, discover(t, metal))); got != lease {
		t.Errorf("offered %v", got)
	}
	for name, frames := range map[string][][]byte{
		"another VLAN":             s.answer("rack", linux.Heard{VLAN: 8}, discover(t, metal)),
		"no VLAN":                  s.answer("rack", linux.Heard{VLAN: 0}, discover(t, metal)),
		"another physical network": s.answer("elsewhere", linux.Heard{VLAN: 7}, discover(t, metal)),
		"a stranger":               s.answer("rack", linux.Heard{VLAN: 7}, discover(t, model.MAC{2, 0, 0, 0, 0, 9})),
	} {
		if len(frames) > 0 {
			t.Errorf("%s is answered", name)
		}
	}
	ask := append(append([]byte{}, model.Broadcast[:]...), metal[:]...)
	ask = append(ask, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1)
	ask = append(append(ask, metal[:]...), 10, 0, 0, 5, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2)
	replies := s.answer("rack", linux.Heard{VLAN: 7}, ask)
	if len(replies) != 1 || !bytes.Equal(replies[0][:6], metal[:]) || replies[0][21] != 2 || !bytes.Equal(replies[0][22:32], append(dhcpMAC[:], 10, 0, 0, 2)) ||
		!bytes.Equal(replies[0][32:42], ask[22:32]) {
		t.Errorf("ARP for the server: %x", replies)
	}
	for _, src := range []string{"fe80::5054:ff:fe00:1", "::"} {
		rs := s.answer("rack", linux.Heard{VLAN: 7}, solicitation(metal, src))
		if len(rs) != 1 || model.MAC(rs[0][:6]) != metal || model.MAC(rs[0][6:12]) != routerMAC || rs[0][54] != 134 {
			t.Errorf("solicited from %s: %x", src, rs)
		}
	}
	if rs := s.answer("rack", linux.Heard{VLAN: 7}, solicitation(model.MAC{2, 0, 0, 0, 0, 9}, "::")); len(rs) != 0 {
		t.Errorf("a stranger's solicitation is answered: %x", rs)
	}
	ask[41] = 3
	if got := s.answer("rack", linux.Heard{VLAN: 7}, ask); len(got) != 0 {
		t.Errorf("ARP for somebody else: %x", got)
	}
}

// TestWires: a wire is open while there is somebody to serve on it, and opened again after it failed.
func TestWires(t *testing.T) {
	opened := make(chan *wire, 10)
	fail := true
	s := newServer(func(name string) (Wire, error) {
		if name != "rack" {
			return nil, ErrUnmapped
		}
		if fail {
			fail = false
			return nil, errors.New("no such device")
		}
		w := newWire()
		opened <- w
		return w, nil
	})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	s.Update(&hostplan.State{})
	select {
	case <-opened:
		t.Fatal("opened for nobody")
	case <-time.After(50 * time.Millisecond):
	}
	s.Update(state(7))
	w := <-opened
	w.in <- tagged{7, discover(t, metal)}
	until(t, func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, m := range []model.MAC{dhcpMAC, allRouters, allServers, frame.SolicitedNode(server6), frame.SolicitedNode(stub6)} {
			if !slices.Contains(w.heard, [6]byte(m)) {
				return false
			}
		}
		return len(w.heard) == 5 && count(w.out, isIPv4) == 1 && count(w.out, isARP) == 2 && count(w.out, isIPv6) == 2
	})
	w.mu.Lock()
	told := slices.Clone(w.out)
	w.mu.Unlock()
	for _, f := range told {
		if f.vlan != 7 || model.MAC(f.frame[:6]) != metal || model.MAC(f.frame[6:12]) != dhcpMAC {
			t.Errorf("VLAN %d: %x", f.vlan, f.frame)
		}
	}
	if err := s.Inject(portID, append(append(model.Broadcast[:], routerMAC[:]...), 0x86, 0xdd)); err != nil {
		t.Error(err)
	}
	until(t, func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		last := w.out[len(w.out)-1]
		return len(w.out) == 6 && last.vlan == 7 && model.MAC(last.frame[:6]) == metal && model.MAC(last.frame[6:12]) == routerMAC
	})
	if err := s.Inject(model.PortID{UUID: model.UUID{9}}, make([]byte, 60)); err == nil {
		t.Error("sent to a port that is not served")
	}
	w.Close()
	again := <-opened
	s.Update(&hostplan.State{})
	<-again.closed
	stop()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func count(list []tagged, is func([]byte) bool) (n int) {
	for _, f := range list {
		if is(f.frame) {
			n++
		}
	}
	return n
}

func isIPv4(b []byte) bool { return b[12] == 8 && b[13] == 0 }
func isARP(b []byte) bool  { return b[12] == 8 && b[13] == 6 }
func isIPv6(b []byte) bool { return b[12] == 0x86 }

func until(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it did not come to pass")
		}
	}
}

// FuzzAnswer: whatever is on the wire, an answer goes to the outsider alone, from the DHCP server.
func FuzzAnswer(f *testing.F) {
	m, err := dhcpv4.NewDiscovery(net.HardwareAddr(metal[:]))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(frame.UDP{SrcMAC: metal, DstMAC: model.Broadcast, Src: netip.AddrPortFrom(netip.IPv4Unspecified(), 68), Dst: netip.AddrPortFrom(everyone, 67), Payload: m.ToBytes()}.Bytes())
	f.Add(solicitation(metal, "::"))
	f.Add(append(append(model.Broadcast[:], metal[:]...), 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 0x52, 0x54, 0, 0, 0, 1, 10, 0, 0, 5, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2))
	f.Add(datagram(metal, dhcpMAC, "10.0.0.5:4000", "10.0.0.2:53"))
	f.Add(datagram(metal, dhcpMAC, "[fd00::5]:4000", "[fd00::2]:53"))
	got := &asked{}
	s := newServing(nil, got)
	s.Update(state(7))
	f.Fuzz(func(t *testing.T, b []byte) {
		got.got = nil
		defer func() {
			for _, p := range got.got {
				if q, ok := classify(b); !ok || p.Port != portID || model.MAC(b[6:12]) != metal || model.MAC(b[:6]) != dhcpMAC || q.packet.Src != lease && q.packet.Src != lease6 && !q.packet.Src.IsLinkLocalUnicast() {
					t.Errorf("handed on: %x", b)
				}
			}
		}()
		for _, out := range s.answer("rack", linux.Heard{VLAN: 7}, b) {
			if len(out) < 42 || model.MAC(out[6:12]) != dhcpMAC && model.MAC(out[6:12]) != routerMAC || model.MAC(out[:6]) != metal && model.MAC(out[:6]) != model.Broadcast {
				t.Errorf("%x", out)
			}
		}
	})
}
