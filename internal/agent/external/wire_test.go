package external

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// wired puts a router with an interface on a vlan network into the rig's State.
func (r *rig) wired(speaks bool) (network model.NetworkID) {
	network = model.NetworkID{UUID: model.UUID{'w'}}
	router := model.RouterID{UUID: model.UUID{'q'}}
	st := *r.state
	st.DVRMAC = model.MAC{0xfa, 0x16, 0x3f, 0, 0, 7}
	st.Networks = map[model.NetworkID]*hostplan.Network{network: {ID: network, Type: "vlan", Physnet: "external", VLAN: 42, Speaks: speaks}}
	st.Routers = map[model.RouterID]*hostplan.Router{router: {ID: router, AdminUp: true, Interfaces: []hostplan.Interface{{Network: network, MAC: model.MAC{0xfa, 0x16, 0x3e, 0, 0, 5},
		Addresses: []netip.Prefix{netip.MustParsePrefix("10.7.0.1/24"), netip.MustParsePrefix("fd00:7::1/64")}}}}}
	r.state = &st
	r.takeOwn()
	return network
}

// TestMachinesAreAskedForWithoutLeadingThemAstray: the host that routes asks by its DVR MAC, and never says that the router is there.
func TestMachinesAreAskedForWithoutLeadingThemAstray(t *testing.T) {
	for _, c := range []struct{ name, addr, want string }{
		{"IPv4", "10.7.0.9", "op 1 for 10.7.0.9"},
		{"IPv6", "fd00:7::9", "fe80::f816:3fff:fe00:7 fa:16:3f:00:00:07 solicits fd00:7::9 at 33:33:ff:00:00:09"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig()
			network := r.wired(false)
			r.pass(time.Second)
			r.p.take()
			a := netip.MustParseAddr(c.addr)
			other := model.PortID{UUID: model.UUID{'o'}}
			r.punt(dataplane.Punt{Kind: dataplane.PuntExternal, Port: other, External: network, NextHop: a, Frame: packet(3)})
			got := r.p.take()
			if !strings.Contains(got, c.want) && !slices.ContainsFunc(r.p.sentRaw, func(b []byte) bool { return probes(b, a, r.state.DVRMAC) }) {
				t.Fatalf("asked %q %x", got, r.p.sentRaw)
			}
			f := arp(arpAnswer, a, netip.IPv4Unspecified(), hopMAC)
			if a.Is6() {
				f = advertisement(a, hopMAC, false)
			}
			r.punt(dataplane.Punt{Kind: dataplane.PuntNeighbor, External: network, NextHop: a, Frame: f})
			if r.p.learned[a] != hopMAC || len(r.p.resent) != 1 {
				t.Errorf("learned %v, sent again %v", r.p.learned, r.p.resent)
			}
			// What has been silent is asked again, and forgotten if nobody answers.
			r.p.known = []dataplane.OutsideNeighbor{{External: network, Address: a, MAC: hopMAC, Silent: time.Minute}}
			for range asks + 1 {
				r.pass(lookEvery)
			}
			if _, still := r.p.learned[a]; still {
				t.Error("a machine that does not answer is not forgotten")
			}
		})
	}
}

// TestPacketsBetweenWiresWait: what a machine sends by a router to a machine that nobody has met yet waits, and is put in again where it
// came from.
func TestPacketsBetweenWiresWait(t *testing.T) {
	r := newRig()
	from := r.wired(true)
	to := model.NetworkID{UUID: model.UUID{'x'}}
	r.state.Networks[to] = &hostplan.Network{ID: to, Type: "flat", Physnet: "external"}
	type put struct {
		network model.NetworkID
		frame   string
	}
	var received []put
	r.Receive = func(n model.NetworkID, b []byte) error {
		received = append(received, put{n, string(b[len(b)-1:])})
		return nil
	}
	machine := netip.MustParseAddr("10.8.0.9")
	sent := func(dst model.MAC, n byte) {
		b := packet(n)
		copy(b, dst[:])
		r.punt(dataplane.Punt{Kind: dataplane.PuntExternal, External: to, NextHop: machine, Frame: b})
	}
	router := model.MAC{0xfa, 0x16, 0x3e, 0, 0, 5}
	sent(router, '1')
	sent(router, '2')
	sent(hopMAC, '3') // came by no wire for which this host speaks: where to put it in again nobody knows
	r.punt(dataplane.Punt{Kind: dataplane.PuntNeighbor, External: to, NextHop: machine, Frame: arp(arpAnswer, machine, netip.IPv4Unspecified(), hopMAC)})
	if want := []put{{from, "1"}, {from, "2"}}; !slices.Equal(received, want) || r.p.learned[machine] != hopMAC || len(r.p.resent) != 0 {
		t.Errorf("received %v, learned %v, resent %v", received, r.p.learned, r.p.resent)
	}
	machine = netip.MustParseAddr("10.8.0.10")
	for range 2 * maxWaitingPort {
		sent(router, 'x')
	}
	if r.total != maxWaitingPort {
		t.Errorf("%d packets of one wire wait", r.total)
	}
	for range asks + 1 {
		r.pass(askEvery + time.Millisecond)
	}
	if r.total != 0 || len(r.waiting) != 0 {
		t.Errorf("left: %d %v", r.total, r.waiting)
	}
}

// probes: the frame is an ARP probe for the address from the MAC.
func probes(b []byte, a netip.Addr, mac model.MAC) bool {
	return a.Is4() && len(b) >= 42 && b[12] == 8 && b[13] == 6 && b[21] == arpAsk && model.MAC(b[22:28]) == mac &&
		netip.AddrFrom4([4]byte(b[28:32])).IsUnspecified() && netip.AddrFrom4([4]byte(b[38:42])) == a
}

// TestTheHostThatSpeaksForARouterSaysSo: it announces the interface's addresses, and finds others who claim them; a host that does not
// speak for it says nothing.
func TestTheHostThatSpeaksForARouterSaysSo(t *testing.T) {
	r := newRig()
	network := r.wired(true)
	r.pass(time.Second)
	said := r.p.take()
	for _, want := range []string{"10.7.0.1 fa:16:3e:00:00:05 op 2 for 10.7.0.1", "fd00:7::1 fa:16:3e:00:00:05 advertises"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not among\n%s", want, said)
		}
	}
	gateway := netip.MustParseAddr("10.7.0.1")
	for range 2 {
		r.punt(dataplane.Punt{Kind: dataplane.PuntNeighbor, External: network, NextHop: gateway, Frame: arp(arpAnswer, gateway, gateway, hopMAC)})
		r.pass(claimGrace)
	}
	if p := r.problems(); len(p) != 1 || !strings.Contains(p[0].Why, "the address 10.7.0.1, which is served here, is claimed") {
		t.Errorf("problems %+v", p)
	}
	quiet := newRig()
	quiet.wired(false)
	quiet.pass(time.Second)
	if said := quiet.p.take(); strings.Contains(said, "10.7.0.1") || strings.Contains(said, "fd00:7::1") {
		t.Errorf("one who does not speak for the router says\n%s", said)
	}
}
