package external

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/weft-cloud/weft/internal/agent/frame"
	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// plane writes down what it is told.
type plane struct {
	sent    []string
	sentRaw [][]byte
	learned map[netip.Addr]model.MAC
	resent  []string
	whole   [][]byte // of resent
	known   []dataplane.OutsideNeighbor
	err     error
}

func (p *plane) SendOutside(_ model.NetworkID, b []byte) error {
	p.sentRaw = append(p.sentRaw, b)
	h, err := parse(b)
	if err != nil {
		p.sent = append(p.sent, "not understood")
		return nil
	}
	what := "advertises"
	if b[12] == 8 && b[13] == 6 {
		target := netip.AddrFrom4([4]byte(b[38:42]))
		what = fmt.Sprintf("op %d for %s", b[21], target)
	}
	if b[12] == 0x86 && b[54] == icmp6NS {
		what = fmt.Sprintf("solicits %s at %s", netip.AddrFrom16([16]byte(b[62:78])), model.MAC(b[:6]))
	}
	p.sent = append(p.sent, fmt.Sprintf("%s %s %s", h.addr, h.mac, what))
	return p.err
}

func (p *plane) Learn(_ model.NetworkID, a netip.Addr, m model.MAC) error {
	p.learned[a] = m
	return p.err
}

func (p *plane) Forget(_ model.NetworkID, a netip.Addr) error {
	delete(p.learned, a)
	return nil
}

func (p *plane) take() string {
	s := strings.Join(p.sent, "\n")
	p.sent = nil
	return s
}

var (
	ext    = model.NetworkID{UUID: model.UUID{'e'}}
	port   = model.PortID{UUID: model.UUID{'p'}}
	fip    = netip.MustParseAddr("203.0.113.110")
	hop    = netip.MustParseAddr("203.0.113.1")
	fipMAC = model.MAC{0xfa, 0x16, 0x3e, 0, 0, 1}
	hopMAC = model.MAC{2, 0, 0, 0, 0, 9}
	gwMAC  = model.MAC{0xfa, 0x16, 0x3e, 0, 0, 2}
)

type rig struct {
	*Speaker
	p   *plane
	now time.Time
}

func newRig() *rig {
	r := &rig{p: &plane{learned: map[netip.Addr]model.MAC{}}, now: time.Unix(1e9, 0)}
	r.Speaker = New(Deps{Plane: r.p, Repeats: 2, Now: func() time.Time { return r.now }, Log: slog.New(slog.DiscardHandler),
		Resend: func(_ model.PortID, b []byte) error {
			r.p.resent = append(r.p.resent, string(b[len(b)-1:]))
			r.p.whole = append(r.p.whole, b)
			return nil
		},
		Known: func() ([]dataplane.OutsideNeighbor, error) { return r.p.known, nil }})
	f, router := model.FloatingIPID{UUID: model.UUID{'f'}}, model.RouterID{UUID: model.UUID{'r'}}
	r.state = &hostplan.State{
		FloatingIPs: map[model.FloatingIPID]*hostplan.FloatingIP{f: {ID: f, External: ext, Address: fip, MAC: fipMAC, Port: port, Fixed: netip.MustParseAddr("10.0.0.5")}},
		Centrals: map[model.RouterID]*hostplan.Central{router: {Router: router, Gateway: &hostplan.Gateway{External: ext, MAC: gwMAC,
			Addresses: []netip.Prefix{netip.MustParsePrefix("203.0.113.100/24"), netip.MustParsePrefix("2001:db8::100/64")}}}},
	}
	r.active = Active{FloatingIPs: map[model.FloatingIPID]bool{f: true}, Gateways: map[model.RouterID]bool{router: true}, Sure: true}
	return r
}

func (r *rig) pass(d time.Duration) {
	r.now = r.now.Add(d)
	r.round()
}

// packet is IPv4 from 10.0.0.5, told apart by its last byte.
func packet(n byte) []byte {
	b := make([]byte, 60)
	b[12], b[14] = 8, 0x45
	copy(b[26:], []byte{10, 0, 0, 5})
	b[59] = n
	return b
}

func (r *rig) unresolved(n byte) {
	r.punt(dataplane.Punt{Kind: dataplane.PuntExternal, Port: port, External: ext, NextHop: hop, Frame: packet(n)})
}

func (r *rig) hears(a netip.Addr, m model.MAC) {
	r.punt(dataplane.Punt{Kind: dataplane.PuntNeighbor, External: ext, NextHop: a, Frame: arp(arpAnswer, a, a, m)})
}

func TestFirstPacketsWait(t *testing.T) {
	r := newRig()
	r.unresolved('1')
	r.unresolved('2')
	want := "203.0.113.110 fa:16:3e:00:00:01 op 1 for 203.0.113.1"
	if got := r.p.take(); got != want {
		t.Fatalf("asked %q, want %q", got, want)
	}
	r.pass(500 * time.Millisecond)
	if got := r.p.take(); got != "" {
		t.Errorf("asked again too soon: %q", got)
	}
	r.pass(600 * time.Millisecond)
	if got := r.p.take(); got != want {
		t.Errorf("asked again %q", got)
	}
	r.hears(hop, hopMAC)
	if got := strings.Join(r.p.resent, ""); got != "12" || r.p.learned[hop] != hopMAC {
		t.Errorf("resent %q, learned %v", got, r.p.learned)
	}
	if r.total != 0 || len(r.waiting) != 0 || len(r.entries) != 0 {
		t.Errorf("left: %d, %v, %v", r.total, r.waiting, r.entries)
	}
	r.hears(hop, gwMAC) // it has another MAC now
	r.hears(netip.MustParseAddr("203.0.113.77"), hopMAC)
	if r.p.learned[hop] != gwMAC || len(r.p.learned) != 1 {
		t.Errorf("learned %v: who was not asked for is not taken in", r.p.learned)
	}
}

// A stack with checksum offload leaves the checksum to the card, and nothing tells the kernel so of what is put in again.
func TestWhatWaitedHasItsChecksum(t *testing.T) {
	r := newRig()
	syn := frame.IP{SrcMAC: model.MAC{2, 1}, DstMAC: model.MAC{2, 2}, Src: netip.MustParseAddr("10.0.0.5"), Dst: netip.MustParseAddr("203.0.113.1"), Proto: 6, Hops: 64,
		Payload: make([]byte, 20)}
	syn.Payload[12], syn.Payload[13] = 0x50, 2
	if !syn.Checksum() {
		t.Fatal("no checksum")
	}
	want := syn.Bytes()
	partial := bytes.Clone(want)
	// The sum over the pseudo-header: 10.0 + 0.5 + 203.0 + 113.1, protocol, length.
	binary.BigEndian.PutUint16(partial[len(partial)-4:], 0x0a00+0x0005+0xcb00-0xffff+0x7101+6+20)
	r.punt(dataplane.Punt{Kind: dataplane.PuntExternal, Port: port, External: ext, NextHop: hop, Frame: partial})
	r.hears(hop, hopMAC)
	if len(r.p.whole) != 1 || !bytes.Equal(r.p.whole[0], want) {
		t.Errorf("put in again %x, want %x", r.p.whole, want)
	}
}

func TestNobodyAnswers(t *testing.T) {
	r := newRig()
	for range 100 {
		r.unresolved('x')
	}
	if r.total != maxWaitingPort {
		t.Errorf("%d packets of one port wait, want %d", r.total, maxWaitingPort)
	}
	for range 5 {
		r.pass(1100 * time.Millisecond)
	}
	if got := strings.Count(r.p.take(), "op 1"); got != asks || r.total != 0 || len(r.waiting) != 0 {
		t.Errorf("asked %d times, %d packets left", got, r.total)
	}
	r.unresolved('y') // and the next packet asks anew
	if got := r.p.take(); !strings.Contains(got, "op 1") {
		t.Errorf("asked %q", got)
	}
}

func TestBounds(t *testing.T) {
	r := newRig()
	for i := range maxEntries + 100 {
		a := netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)})
		r.punt(dataplane.Punt{Kind: dataplane.PuntExternal, Port: port, External: ext, NextHop: a, Frame: packet(1)})
	}
	if len(r.entries) != maxEntries || r.total > maxWaiting {
		t.Errorf("%d entries, %d packets", len(r.entries), r.total)
	}
	r = newRig()
	r.punt(dataplane.Punt{Kind: dataplane.PuntExternal, Port: model.PortID{}, External: ext, NextHop: hop, Frame: packet(1)})
	if len(r.entries) != 0 {
		t.Error("somebody without a floating IP has a next hop asked for")
	}
}

func TestAnnouncements(t *testing.T) {
	r := newRig()
	r.takeOwn()
	for range 4 {
		r.pass(time.Second)
	}
	got := r.p.take()
	for what, n := range map[string]int{
		"203.0.113.110 fa:16:3e:00:00:01 op 1 for 203.0.113.110": 2, "203.0.113.110 fa:16:3e:00:00:01 op 2 for 203.0.113.110": 2,
		"203.0.113.100 fa:16:3e:00:00:02 op 1 for 203.0.113.100": 2, "2001:db8::100 fa:16:3e:00:00:02 advertises": 2,
	} {
		if c := strings.Count(got, what); c != n {
			t.Errorf("%q %d times, want %d; all:\n%s", what, c, n, got)
		}
	}
	r.takeOwn()
	r.pass(time.Second)
	if got := r.p.take(); got != "" {
		t.Errorf("announced without news: %s", got)
	}
	active := r.active
	r.active = Active{}
	r.takeOwn()
	r.active = active
	r.takeOwn()
	if got := r.p.take(); !strings.Contains(got, "203.0.113.110") {
		t.Errorf("not announced when it came back: %s", got)
	}
}

// A host that comes back says nothing of what it had before its server has said that it still has it; if no server comes, it says so
// all the same.
func TestUnsureHostIsSilent(t *testing.T) {
	for _, c := range []struct {
		name string
		then func(*rig)
		want bool
	}{
		{"the server has given it to another", func(r *rig) { r.active.FloatingIPs, r.active.Sure = nil, true; r.takeOwn() }, false},
		{"the server confirms it", func(r *rig) { r.active.Sure = true; r.takeOwn() }, true},
		{"no server comes", func(r *rig) { r.pass(unsureFor) }, true},
	} {
		r := newRig()
		r.active.Sure = false
		r.takeOwn()
		r.pass(time.Second)
		if got := r.p.take(); got != "" {
			t.Errorf("%s: announced before: %s", c.name, got)
		}
		c.then(r)
		if got := r.p.take(); strings.Contains(got, fip.String()) != c.want {
			t.Errorf("%s: announced %q, want the floating IP in it: %t", c.name, got, c.want)
		}
	}
}

// Another host with the same MAC has led switches astray: they are led back, by a host that is sure, and not at once.
func TestTwinIsAnswered(t *testing.T) {
	r := newRig()
	r.takeOwn()
	for range 4 {
		r.pass(time.Second)
	}
	r.p.take()
	r.hears(fip, fipMAC)
	r.pass(twinAfter / 2)
	if got := r.p.take(); got != "" {
		t.Errorf("at once: %s", got)
	}
	r.pass(twinAfter / 2)
	if got := r.p.take(); strings.Count(got, "op 1 for "+fip.String()) != 1 {
		t.Errorf("not led back: %s", got)
	}
	r.active.Sure = false
	r.hears(fip, fipMAC)
	r.pass(2 * twinAfter)
	if got := r.p.take(); got != "" {
		t.Errorf("a host that is cut off fights back: %s", got)
	}
}

func TestClaims(t *testing.T) {
	r := newRig()
	r.takeOwn()
	r.hears(fip, hopMAC)
	if p := r.problems(); len(p) != 0 {
		t.Errorf("told at once: %v", p)
	}
	r.pass(4 * time.Second)
	if p := r.problems(); len(p) != 1 || p[0].Kind != "floatingip" || !strings.Contains(p[0].Why, hopMAC.String()) {
		t.Errorf("problems %v", p)
	}
	if r.p.learned[fip] != (model.MAC{}) {
		t.Error("an address of ours was learned")
	}
	r.hears(netip.MustParseAddr("203.0.113.100"), gwMAC)
	r.pass(4 * time.Second)
	if p := r.problems(); len(p) != 2 || !strings.Contains(p[1].Why, "another host of this cloud") {
		t.Errorf("problems %v", p)
	}
	r.pass(claimKept)
	if p := r.problems(); len(p) != 1 || p[0].Kind != "router" {
		t.Errorf("another host of the cloud is silent: %v", p)
	}
	r.pass(twinKept)
	if p := r.problems(); len(p) != 0 {
		t.Errorf("it does not heal: %v", p)
	}
	r.hears(fip, hopMAC)
	r.active.FloatingIPs = nil
	r.takeOwn()
	r.pass(4 * time.Second)
	if p := r.problems(); len(p) != 0 {
		t.Errorf("a claim on what is not ours any more: %v", p)
	}
}

// Who claims an address is asked whether it still has it: as long as it answers the claim stands, and then no longer. We say that we have
// it, but not before one from which it has just come to another host would know.
func TestClaimsAreDoubted(t *testing.T) {
	six := netip.MustParseAddr("2001:db8::100")
	for _, c := range []struct {
		name, defence string
		addr          netip.Addr
		mac           model.MAC
	}{{"IPv4", "203.0.113.110 fa:16:3e:00:00:01 op 2 for 203.0.113.110", fip, fipMAC}, {"IPv6", "2001:db8::100 fa:16:3e:00:00:02 advertises", six, gwMAC}} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig()
			r.takeOwn()
			for range 3 {
				r.pass(time.Second)
			}
			r.p.take()
			hears := func() {
				f := arp(arpAnswer, c.addr, netip.IPv4Unspecified(), hopMAC)
				if c.addr.Is6() {
					f = advertisement(c.addr, hopMAC, false)
				}
				r.punt(dataplane.Punt{Kind: dataplane.PuntNeighbor, External: ext, NextHop: c.addr, Frame: f})
			}
			hears()
			r.pass(500 * time.Millisecond)
			if got := r.p.take(); got != "" {
				t.Errorf("said at once: %s", got)
			}
			r.pass(600 * time.Millisecond)
			if got := r.p.take(); !strings.Contains(got, c.defence) {
				t.Errorf("not defended: %s", got)
			}
			asked := 0
			for range 60 {
				r.p.sentRaw = nil
				r.pass(time.Second)
				for _, b := range r.p.sentRaw {
					if probes(b, c.addr, c.mac) || b[12] == 0x86 && b[54] == icmp6NS && model.MAC(b[6:12]) == c.mac {
						asked++
						hears()
					}
				}
			}
			if p := r.problems(); len(p) != 1 || asked < 10 {
				t.Errorf("asked %d times, problems %v", asked, p)
			}
			for range 17 {
				r.pass(time.Second)
			}
			if p := r.problems(); len(p) != 0 {
				t.Errorf("it does not heal: %v", p)
			}
		})
	}
}

func TestWhatIsSilentIsAskedAndForgotten(t *testing.T) {
	r := newRig()
	r.takeOwn()
	r.pass(time.Minute)
	r.p.take()
	r.p.learned[hop] = hopMAC
	r.p.known = []dataplane.OutsideNeighbor{{External: ext, Address: hop, MAC: hopMAC, Silent: time.Minute}}
	for range asks {
		r.pass(lookEvery)
	}
	if got := strings.Count(r.p.take(), "op 1 for 203.0.113.1"); got != asks || r.p.learned[hop] != hopMAC {
		t.Fatalf("asked %d times, learned %v", got, r.p.learned)
	}
	r.pass(lookEvery)
	if len(r.p.learned) != 0 {
		t.Error("what does not answer is not forgotten")
	}
	r.p.known[0].Silent = time.Second
	r.p.learned[hop] = hopMAC
	r.pass(lookEvery)
	r.pass(lookEvery)
	if got := r.p.take(); got != "" || r.p.learned[hop] != hopMAC {
		t.Errorf("asked %q for what is fresh", got)
	}
}

// A floating IP that has gone to another host asks for nothing any more: the question would lead it back to here. And what a former agent
// knew is not forgotten because nothing is programmed yet.
func TestWhoIsGoneIsSilent(t *testing.T) {
	r := newRig()
	r.takeOwn()
	for range 3 {
		r.pass(time.Second)
	}
	r.unresolved('1')
	r.p.take()
	st := *r.state
	st.FloatingIPs = nil
	r.state = &st
	r.takeOwn()
	for range 3 {
		r.pass(1100 * time.Millisecond)
	}
	if got := r.p.take(); got != "" || r.total != 0 || len(r.waiting) != 0 {
		t.Errorf("it says %q, %d packets wait", got, r.total)
	}
	r = newRig()
	r.active = Active{}
	r.p.learned[hop] = hopMAC
	r.p.known = []dataplane.OutsideNeighbor{{External: ext, Address: hop, MAC: hopMAC, Silent: time.Minute}}
	r.takeOwn()
	r.pass(time.Second)
	if r.p.learned[hop] != hopMAC {
		t.Error("a next hop is forgotten before anything of this host's is known to be programmed")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(arp(arpAsk, fip, hop, fipMAC))
	f.Add(advertisement(netip.MustParseAddr("2001:db8::1"), gwMAC, true))
	f.Add(frame.ICMP6{Src: netip.MustParseAddr("2001:db8::1"), Dst: netip.MustParseAddr("ff02::1:ff00:1"), Type: icmp6NS, HopLimit: 255,
		Body: append(make([]byte, 20), 1, 1, 2, 0, 0, 0, 0, 5)}.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		h, err := parse(b)
		if !bytes.Equal(b, before) {
			t.Error("the frame was changed")
		}
		if err != nil {
			if !errors.Is(err, errNotSaid) {
				t.Error(err)
			}
			return
		}
		if !h.addr.IsValid() || h.addr.IsMulticast() || h.mac.IsZero() || h.mac[0]&1 != 0 {
			t.Errorf("%+v is nobody", h)
		}
	})
}
