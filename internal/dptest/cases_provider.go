package dptest

import (
	"net/netip"

	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/model"
)

// Provider makes red a network on VLAN 42 of a physical network, without a router: its instances are on the wire.
func Provider(c *Cloud) {
	c.Networks[0].Physnet, c.Networks[0].VLAN = Physnet, 42
	c.Routers[0].Interfaces = c.Routers[0].Interfaces[1:]
}

// providerCases: instances on flat and vlan networks.
func providerCases() []Case {
	var out []Case
	printer := model.MAC{2, 0, 0, 0, 0, 0x99}
	for _, v6 := range []bool{false, true} {
		mine, far, local := addr("red1", v6), addr("red2", v6), addr("red3", v6)
		theirs := map[bool]netip.Addr{false: DemoAddr(0, 200, false), true: DemoAddr(0, 200, true)}[v6]
		title := func(s string) string { return "provider network: " + s + ", " + family(v6) }
		udp := func(s, d netip.Addr, n int) IP { return IP{Src: s, Dst: d}.UDP(1000, 2000, bytesOf(n)) }
		wire := func(frame []byte) Want { return Want{Out: frame, VLAN: 42} }
		in := func(frame []byte, w Want) Send { return Send{NIC: "compute1", VLAN: 42, Frame: frame, Want: w} }
		to := func(frame []byte, ports ...string) Want {
			w := Want{To: map[string][]byte{}}
			for _, p := range ports {
				w.To[p] = frame
			}
			return w
		}
		off := udp(mine, theirs, 20).Frame(printer, PortMAC("red1"))
		peer := udp(mine, far, 20).Frame(PortMAC("red2"), PortMAC("red1"))
		near := udp(mine, local, 20).Frame(PortMAC("red3"), PortMAC("red1"))
		came := udp(theirs, mine, 20).Frame(PortMAC("red1"), printer)
		all := udp(mine, theirs, 20).Frame(model.Broadcast, PortMAC("red1"))
		heard := udp(theirs, mine, 20).Frame(model.Broadcast, printer)
		flood, hear := to(all, "red3"), to(heard, "red1", "red3")
		flood.Out, flood.VLAN, hear.ToHost = all, 42, true
		large := udp(theirs, mine, 1450).Frame(PortMAC("red1"), printer)
		send := func(frame []byte, w Want) Send { return Send{From: "red1", Frame: frame, Want: w} }
		out = append(out,
			Case{title("to a machine of the outside"), Provider, []Send{send(off, wire(off)), send(off, wire(off))}},
			Case{title("to an instance on another host"), Provider, []Send{send(peer, wire(peer)), send(peer, wire(peer))}},
			Case{title("to an instance here"), Provider, []Send{send(near, to(near, "red3")), send(near, to(near, "red3"))}},
			Case{title("from the outside to an instance"), Provider, []Send{in(came, to(came, "red1")), in(came, to(came, "red1"))}},
			Case{title("from the outside under the default group"), both(Provider, only("red1", Stateful(Any(true, v6)))), []Send{in(came, Want{Reason: reason.PolicyIngress})}},
			Case{title("broadcast of an instance"), Provider, []Send{send(all, flood)}},
			Case{title("broadcast of the outside"), Provider, []Send{in(heard, hear)}},
			Case{title("too big from the outside"), Provider, []Send{in(large, Want{Reason: reason.TooBig})}},
			Case{title("untagged is the host's"), Provider, []Send{nic("compute1", came, Want{ToHost: true})}},
			Case{title("to an instance of another host is the host's"), Provider, []Send{in(udp(theirs, far, 20).Frame(PortMAC("red2"), printer), Want{ToHost: true})}},
		)
	}
	for _, v6 := range []bool{false, true} {
		x := IP{Src: addr("red1", v6), Dst: addr("blue2", v6)}.UDP(1000, 2000, bytesOf(20))
		wired := func(c *Cloud) { c.Networks[1].Physnet, c.Networks[1].VLAN = Physnet, 43 }
		s := Send{From: "red1", Frame: x.Frame(LegMAC("router", "red"), PortMAC("red1")),
			Want: Want{Out: x.routed(1).Frame(PortMAC("blue2"), DVRMAC("compute1")), VLAN: 43}}
		out = append(out, Case{"provider network: routed to an instance on another host, " + family(v6), wired, []Send{s, s}})
	}
	ask := func(target netip.Addr) []byte {
		return ARP{Op: 1, SenderMAC: PortMAC("red1"), Sender: addr("red1", false), Target: target}.Frame(model.Broadcast)
	}
	asked := ARP{Op: 1, SenderMAC: printer, Sender: DemoAddr(0, 200, false), Target: addr("red1", false)}.Frame(model.Broadcast)
	return append(out,
		Case{"provider network: ARP for an instance on another host is answered here", Provider, []Send{{From: "red1", Frame: ask(addr("red2", false)),
			Want: Want{Reply: ARP{Op: 2, SenderMAC: PortMAC("red2"), Sender: addr("red2", false), TargetMAC: PortMAC("red1"), Target: addr("red1", false)}.Frame(PortMAC("red1"))}}}},
		Case{"provider network: ARP for a machine of the outside goes there", Provider, []Send{{From: "red1", Frame: ask(DemoAddr(0, 200, false)),
			Want: Want{To: map[string][]byte{"red3": ask(DemoAddr(0, 200, false))}, Out: ask(DemoAddr(0, 200, false)), VLAN: 42, Asked: true}}}},
		Case{"provider network: ARP of the outside reaches the one it is for", Provider, []Send{{NIC: "compute1", VLAN: 42, Frame: asked,
			Want: Want{ToHost: true, To: map[string][]byte{"red1": asked}}}}})
}
