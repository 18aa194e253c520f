package dptest

import (
	"net/netip"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/model"
)

// outsideCases: what is on the external network itself, and the way by the central part.
func outsideCases() []Case {
	out := append(arpOutsideCases(), hostCases()...)
	out = append(out, centralCases()...)
	out = append(out, centralNeighborCases()...)
	return append(out, tagCases()...)
}

// nic is a frame that a host's NIC receives.
func nic(host string, frame []byte, w Want) Send { return Send{NIC: host, Frame: frame, Want: w} }

// arpOutsideCases: who has which address outside.
func arpOutsideCases() []Case {
	f := floater("red1")
	ask := func(target netip.Addr) []byte {
		return ARP{Op: 1, SenderMAC: OutsideRouterMAC, Sender: OutsideRouter, Target: target}.Frame(model.Broadcast)
	}
	thief := model.MAC{2, 0, 0, 0, 0, 0x66}
	claim := func(a netip.Addr) []byte {
		return ARP{Op: 1, SenderMAC: thief, Sender: a, Target: a}.Frame(model.Broadcast)
	}
	answer := ARP{Op: 2, SenderMAC: f.floatMAC(), Sender: f.float(), TargetMAC: OutsideRouterMAC, Target: OutsideRouter}.Frame(OutsideRouterMAC)
	central := FloatingOf("")
	tells := ARP{Op: 2, SenderMAC: thief, Sender: mustAddr("203.0.113.50"), TargetMAC: f.floatMAC(), Target: f.float()}.Frame(f.floatMAC())
	gateway := mustAddr("203.0.113.10")
	copies := map[string][]byte{"gateway of router": claim(mustAddr("203.0.113.50")), "gateway of router-b": claim(mustAddr("203.0.113.50"))}
	moved := map[string][]byte{"gateway of router": claim(OutsideRouter), "gateway of router-b": claim(OutsideRouter)}
	twin := ARP{Op: 1, SenderMAC: f.floatMAC(), Sender: f.float(), Target: mustAddr("203.0.113.50")}.Frame(model.Broadcast)
	return []Case{
		north("ARP outside for a floating IP here", nic("compute1", ask(f.float()), Want{Reply: answer})),
		north("ARP outside for a floating IP of another host", nic("compute1", ask(FloatingOf("red2")), Want{ToHost: true})),
		north("ARP outside for a floating IP of the central part", nic("compute2", ask(central), Want{Reply: ARP{Op: 2, SenderMAC: FloatingMAC(central), Sender: central,
			TargetMAC: OutsideRouterMAC, Target: OutsideRouter}.Frame(OutsideRouterMAC)})),
		north("ARP outside for a gateway here reaches that one alone", nic("compute2", ask(gateway), Want{ToHost: true, To: map[string][]byte{"gateway of router": ask(gateway)}})),
		north("ARP outside for a stranger", nic("compute2", ask(mustAddr("203.0.113.50")), Want{ToHost: true})),
		north("ARP outside answers what was asked with a floating IP", nic("compute1", tells, Want{Told: true})),
		north("somebody outside claims a floating IP of ours", nic("compute1", claim(f.float()), Want{Told: true, ToHost: true})),
		north("another host of the cloud serves a floating IP of ours", nic("compute1", twin, Want{Told: true, ToHost: true})),
		north("somebody outside claims a gateway of ours", nic("compute2", claim(gateway), Want{Told: true, ToHost: true,
			To: map[string][]byte{"gateway of router": claim(gateway), "gateway of router-b": claim(gateway)}})),
		north("the outside's router has a new MAC", nic("compute2", claim(OutsideRouter), Want{Told: true, ToHost: true, To: moved})),
		north("an announcement of a stranger reaches the gateways", nic("compute2", claim(mustAddr("203.0.113.50")), Want{ToHost: true, To: copies})),
		north("broken ARP outside is the host's", nic("compute1", ask(f.float())[:40], Want{ToHost: true})),
		north("the next hop outside is not known", Send{From: "red1", Frame: IP{Src: f.fixed(), Dst: mustAddr("203.0.113.50")}.Ping(1, 1).Frame(f.leg(), f.mac()),
			Want: Want{Punt: dataplane.PuntExternal}}),
	}
}

// hostCases: what a NIC receives that is not ours is the host's.
func hostCases() []Case {
	f := floater("red1")
	host := model.MAC{2, 0, 0, 0, 0, 0x77}
	ping := IP{Src: Stranger, Dst: mustAddr("203.0.113.200")}.Ping(1, 1)
	ns := Solicit(OutsideRouterMAC, mustAddr("2001:db8:e::1"), mustAddr("2001:db8:e::10"))
	cut := ping.Frame(host, OutsideRouterMAC)[:30]
	return []Case{
		north("the host's own packet", nic("compute1", ping.Frame(host, OutsideRouterMAC), Want{ToHost: true})),
		north("the host's own broken packet", nic("compute1", cut, Want{ToHost: true})),
		north("the host's own LLDP", nic("compute1", Ether(model.MAC{1, 0x80, 0xc2, 0, 0, 0xe}, OutsideRouterMAC, 0x88cc, bytesOf(60)), Want{ToHost: true})),
		north("neighbour solicitation outside", nic("compute2", ns, Want{ToHost: true, To: map[string][]byte{"gateway of router": ns, "gateway of router-b": ns}})),
		north("neighbour solicitation outside where no gateway is", nic("compute1", ns, Want{ToHost: true})),
		north("a floating IP's MAC, another address", nic("compute1", ping.Frame(f.floatMAC(), OutsideRouterMAC), Want{Reason: reason.NotForUs})),
		north("a floating IP's MAC, IPv6", nic("compute1", IP{Src: Stranger6, Dst: mustAddr("2001:db8:e::101")}.Ping(1, 1).Frame(f.floatMAC(), OutsideRouterMAC), Want{Reason: reason.NotForUs})),
		north("a floating IP's MAC, broken packet", nic("compute1", ping.Frame(f.floatMAC(), OutsideRouterMAC)[:30], Want{Reason: reason.Malformed})),
		north("a floating IP whose source is no unicast", nic("compute1", IP{Src: mustAddr("127.0.0.1"), Dst: f.float()}.Ping(1, 1).Frame(f.floatMAC(), OutsideRouterMAC), Want{Reason: reason.LinkScope})),
		{"no floating IPs, no gateways: everything is the host's", func(*Cloud) {}, []Send{nic("compute1", f.came(func(s, d netip.Addr) IP { return IP{Src: s, Dst: d}.Ping(1, 1) }), Want{ToHost: true})}},
	}
}

// centralCases: by the router's central part, on this host or another.
func centralCases() []Case {
	var out []Case
	for _, v6 := range []bool{false, true} {
		dst := map[bool]netip.Addr{false: Stranger, true: Stranger6}[v6]
		fam := ", " + family(v6)
		for _, port := range []string{"red3", "blue2"} {
			src := addr(port, v6)
			n := networkName(port)
			leg := LegMAC("router", n)
			x := IP{Src: src, Dst: dst}.UDP(1000, 53, bytesOf(40))
			in := IP{Src: dst, Dst: src}.UDP(53, 1000, bytesOf(40))
			up := Send{From: port, Frame: x.Frame(leg, PortMAC(port)),
				Want: Want{To: map[string][]byte{"central leg of router/" + n: x.routed(1).Frame(CentralMAC("router", n), leg)}}}
			down := Send{From: "central leg of router/" + n, Frame: in.Frame(PortMAC(port), CentralMAC("router", n)),
				Want: Want{To: map[string][]byte{port: in.Frame(PortMAC(port), CentralMAC("router", n))}}}
			one := x
			one.TTL = 1
			p := place{src: port, dst: port, v6: v6}
			out = append(out,
				north(port+" without a floating IP goes by the central part"+fam, up, up, down, down),
				Case{port + " by the central part under the default group" + fam, both(NorthSouth, only(port, Stateful(Any(true, v6)))), []Send{up, down}},
				north(port+" with TTL 1 on the way out"+fam, Send{From: port, Frame: one.Frame(leg, PortMAC(port)),
					Want: Want{Reason: reason.TTLExceeded, Reply: p.routerError(one, p.pick(11, 3), 0, 0).Frame(PortMAC(port), leg)}}),
				Case{port + ", gateway scheduled nowhere" + fam, both(NorthSouth, func(c *Cloud) {
					for i := range c.Routers {
						c.Routers[i].Gateway.Host = ""
					}
				}), []Send{{From: port, Frame: x.Frame(leg, PortMAC(port)), Want: Want{Reason: reason.NoRoute,
					Reply: p.routerError(x, p.pick(3, 1), 0, 0).Frame(PortMAC(port), leg)}}}})
		}
	}
	return append(out, outerLegCases()...)
}

// centralNeighborCases: whoever asks where a leg of a central part is hears that it is a router's, or the kernel that asks would take
// it out of its default routers (RFC 4861, section 7.2.5).
func centralNeighborCases() []Case {
	var out []Case
	for _, port := range []string{"red3", "blue2"} {
		at := CentralMAC("router", networkName(port))
		src := addr(port, true)
		out = append(out, north(port+" asks for the central leg's link-local address", Send{From: port, Frame: Solicit(PortMAC(port), src, LinkLocal(at)),
			Want: Want{Reply: told(port, src, LinkLocal(at), at, true)}}))
	}
	return out
}

// outerLegCases: between the namespace of a central part and the outside.
func outerLegCases() []Case {
	const gw = "gateway of router"
	mac, other := GatewayMAC("router"), GatewayMAC("router-b")
	own, central := mustAddr("203.0.113.10"), FloatingOf("")
	f := floater("red2")
	send := func(src, dst netip.Addr, to model.MAC, w Want) Send {
		return Send{From: gw, Frame: IP{Src: src, Dst: dst}.UDP(1000, 53, bytesOf(20)).Frame(to, mac), Want: w}
	}
	udp := func(src, dst netip.Addr) IP { return IP{Src: src, Dst: dst}.UDP(1000, 53, bytesOf(20)) }
	ask := ARP{Op: 1, SenderMAC: mac, Sender: own, Target: OutsideRouter}.Frame(model.Broadcast)
	six := IP{Src: addr("red3", true), Dst: Stranger6}.Ping(1, 1)
	gatewayAt := func(host string) func(*Cloud) { return func(c *Cloud) { c.Routers[1].Gateway.Host = host } }
	beside := udp(own, mustAddr("203.0.113.11")).Frame(other, mac)
	return []Case{
		north("SNAT's packet leaves by the NIC", send(own, Stranger, OutsideRouterMAC, Want{Out: udp(own, Stranger).Frame(OutsideRouterMAC, mac)}),
			send(own, Stranger, OutsideRouterMAC, Want{Out: udp(own, Stranger).Frame(OutsideRouterMAC, mac)})),
		north("the central part's IPv6 leaves by the NIC", Send{From: gw, Frame: six.Frame(OutsideRouterMAC, mac), Want: Want{Out: six.Frame(OutsideRouterMAC, mac)}}),
		north("a central floating IP leaves with its own MAC", send(central, Stranger, OutsideRouterMAC, Want{Out: udp(central, Stranger).Frame(OutsideRouterMAC, FloatingMAC(central))}),
			send(central, Stranger, OutsideRouterMAC, Want{Out: udp(central, Stranger).Frame(OutsideRouterMAC, FloatingMAC(central))})),
		north("a central floating IP comes in with the gateway's MAC", nic("compute2", udp(Stranger, central).Frame(FloatingMAC(central), OutsideRouterMAC),
			Want{To: map[string][]byte{gw: udp(Stranger, central).Frame(mac, OutsideRouterMAC)}}), nic("compute2", udp(Stranger, central).Frame(FloatingMAC(central), OutsideRouterMAC),
			Want{To: map[string][]byte{gw: udp(Stranger, central).Frame(mac, OutsideRouterMAC)}})),
		north("a packet to a gateway comes in", nic("compute2", udp(Stranger, own).Frame(mac, OutsideRouterMAC), Want{To: map[string][]byte{gw: udp(Stranger, own).Frame(mac, OutsideRouterMAC)}})),
		north("a packet to a gateway of another host", nic("compute1", udp(Stranger, own).Frame(mac, OutsideRouterMAC), Want{ToHost: true})),
		{"to another central part, which comes to the host", both(NorthSouth, gatewayAt("compute1")), []Send{
			send(own, mustAddr("203.0.113.11"), other, Want{Out: beside}), send(own, mustAddr("203.0.113.11"), other, Want{Out: beside}),
			send(own, mustAddr("203.0.113.11"), other, Want{To: map[string][]byte{"gateway of router-b": beside}}).after(gatewayAt("compute2")),
			send(own, mustAddr("203.0.113.11"), other, Want{Out: beside}).after(gatewayAt("compute1"))}},
		north("from one central part to another on the host", send(own, mustAddr("203.0.113.11"), other,
			Want{To: map[string][]byte{"gateway of router-b": udp(own, mustAddr("203.0.113.11")).Frame(other, mac)}})),
		north("from a central part to a floating IP on the host", send(own, f.float(), f.floatMAC(),
			Want{To: map[string][]byte{string(f): udp(own, f.fixed()).routed(1).Frame(f.mac(), f.leg())}})),
		north("from a floating IP to a gateway on the host", Send{From: string(f), Frame: udp(f.fixed(), own).Frame(f.leg(), f.mac()),
			Want: Want{To: map[string][]byte{gw: udp(f.float(), own).routed(1).Frame(mac, f.floatMAC())}}}),
		north("from a floating IP to a central one on the host", Send{From: string(f), Frame: udp(f.fixed(), central).Frame(f.leg(), f.mac()),
			Want: Want{To: map[string][]byte{gw: udp(f.float(), central).routed(1).Frame(mac, f.floatMAC())}}}),
		north("a central part asks for the outside's router", Send{From: gw, Frame: ask, Want: Want{Out: ask, To: map[string][]byte{"gateway of router-b": ask}, Asked: true}}),
		north("a central part asks for a floating IP on the host", Send{From: gw, Frame: ARP{Op: 1, SenderMAC: mac, Sender: own, Target: f.float()}.Frame(model.Broadcast),
			Want: Want{Reply: ARP{Op: 2, SenderMAC: f.floatMAC(), Sender: f.float(), TargetMAC: mac, Target: own}.Frame(mac)}}),
		north("a central part does not translate its own floating IP", send(own, central, FloatingMAC(central), Want{Reason: reason.NotForUs})),
		north("a central part's packet that is too big", Send{From: gw, Frame: IP{Src: own, Dst: Stranger}.UDP(1, 2, bytesOf(1500)).Frame(OutsideRouterMAC, mac), Want: Want{Reason: reason.TooBig}}),
	}
}

// tagCases: an external network with a VLAN.
func tagCases() []Case {
	f := floater("red1")
	tagged := both(NorthSouth, func(c *Cloud) { c.Externals[0].VLAN = 7 })
	ping := func(s, d netip.Addr) IP { return IP{Src: s, Dst: d}.Ping(1, 1) }
	tag := func(s Send) Send {
		if s.NIC != "" {
			s.VLAN = 7
		}
		if s.Want.Out != nil {
			s.Want.VLAN = 7
		}
		return s
	}
	other := f.in(ping)
	other.VLAN = 8
	ask := ARP{Op: 1, SenderMAC: OutsideRouterMAC, Sender: OutsideRouter, Target: f.float()}.Frame(model.Broadcast)
	big := func(s, d netip.Addr) IP { return IP{Src: s, Dst: d, DF: true}.UDP(1, 2, bytesOf(1460)) }
	return []Case{
		{"tagged external network: outward", tagged, []Send{tag(f.out(ping)), tag(f.out(ping))}},
		{"tagged external network: inward", tagged, []Send{tag(f.in(ping)), tag(f.in(ping))}},
		{"tagged external network: an untagged frame is the host's", tagged, []Send{f.in(ping).but(Want{ToHost: true})}},
		{"tagged external network: another tag is the host's", tagged, []Send{other.but(Want{ToHost: true})}},
		{"tagged external network: ARP is answered", tagged, []Send{tag(nic("compute1", ask, Want{
			Reply: ARP{Op: 2, SenderMAC: f.floatMAC(), Sender: f.float(), TargetMAC: OutsideRouterMAC, Target: OutsideRouter}.Frame(OutsideRouterMAC)}))}},
		{"tagged external network: too big is answered", tagged, []Send{tag(f.in(big).but(Want{Reason: reason.TooBig,
			Reply: error4(f.gateway(), big(Stranger, f.float()), 3, 4, 1450).Frame(OutsideRouterMAC, f.floatMAC())}))}},
	}
}
