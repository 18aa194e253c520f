package dptest

import (
	"net/netip"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/model"
)

// proxied is an instance of NorthSouth whose IPv6 address has an NDP proxy.
type proxied string

func (p proxied) addr() netip.Addr    { return addr(string(p), true) }
func (p proxied) mac() model.MAC      { return PortMAC(string(p)) }
func (p proxied) host() string        { return Demo().Port(string(p)).Host }
func (p proxied) hostMAC() model.MAC  { return DVRMAC(p.host()) }
func (p proxied) leg() model.MAC      { return LegMAC("router", networkName(string(p))) }
func (p proxied) inside() netip.Addr  { return DemoAddr(network(string(p)), 1, true) }
func (p proxied) gateway() netip.Addr { return mustAddr("2001:db8:e::10") }

func (p proxied) title(s string) string { return s + ", NDP proxy of " + string(p) }

// out is the packet sent to the Stranger, and what must leave by the NIC of the instance's own host.
func (p proxied) out(m maker) Send {
	return Send{From: string(p), Frame: m(p.addr(), Stranger6).Frame(p.leg(), p.mac()),
		Want: Want{Out: m(p.addr(), Stranger6).routed(1).Frame(OutsideRouterMAC, p.hostMAC())}}
}

// in is the packet sent by the Stranger, and what the instance must get.
func (p proxied) in(m maker) Send {
	return Send{NIC: p.host(), Frame: m(Stranger6, p.addr()).Frame(p.hostMAC(), OutsideRouterMAC),
		Want: Want{To: map[string][]byte{string(p): m(Stranger6, p.addr()).routed(1).Frame(p.mac(), p.leg())}}}
}

// central is the packet sent to the Stranger as it goes to the router's central part.
func (p proxied) central(m maker) Send {
	n := networkName(string(p))
	s := p.out(m)
	return s.but(Want{To: map[string][]byte{"central leg of router/" + n: m(p.addr(), Stranger6).routed(1).Frame(CentralMAC("router", n), p.leg())}})
}

// error6 is an ICMPv6 error about the packet x, from an address.
func error6(from netip.Addr, x IP, typ, code uint8, rest uint32) IP {
	quote := x.Bytes()
	return IP{Src: from, Dst: x.Src}.ICMP(typ, code, rest, quote[:min(len(quote), 1232)])
}

// proxyCases: IPv6 between instances and the outside without a detour, by NDP proxies.
func proxyCases() []Case {
	var out []Case
	for _, p := range []proxied{"red1", "blue1", "red2"} {
		out = append(out, proxyThroughCases(p)...)
	}
	p := proxied("red1")
	out = append(out, proxyErrorCases(p)...)
	out = append(out, proxySizeCases(p)...)
	out = append(out, proxyPolicyCases(p)...)
	out = append(out, proxyNDCases(p)...)
	out = append(out, proxyCentralCases()...)
	return append(out, proxyLifeCases(p)...)
}

// proxyThroughCases: whatever is inside passes in both directions, but for hop limit and MACs as it was.
func proxyThroughCases(p proxied) []Case {
	var out []Case
	udp := func(s, d netip.Addr) IP { return IP{Src: s, Dst: d}.UDP(1000, 2000, bytesOf(900)) }
	for _, k := range []struct {
		name string
		make maker
	}{
		{"ping", func(s, d netip.Addr) IP { return IP{Src: s, Dst: d}.Ping(7, 1) }},
		{"UDP", func(s, d netip.Addr) IP { return IP{Src: s, Dst: d}.UDP(1000, 2000, bytesOf(33)) }},
		{"UDP with a wrong checksum", func(s, d netip.Addr) IP { return wrong(IP{Src: s, Dst: d}.UDP(1, 2, bytesOf(8)), 6) }},
		{"TCP SYN", func(s, d netip.Addr) IP { return IP{Src: s, Dst: d}.TCP(40000, 80, SYN, nil) }},
		{"TCP with data of odd length", func(s, d netip.Addr) IP { return IP{Src: s, Dst: d}.TCP(40000, 80, PSH|ACK, bytesOf(777)) }},
		{"SCTP", func(s, d netip.Addr) IP { return IP{Src: s, Dst: d}.with(132, bytesOf(40)) }},
		{"GRE", func(s, d netip.Addr) IP { return IP{Src: s, Dst: d}.with(47, bytesOf(24)) }},
		{"no next header", func(s, d netip.Addr) IP { return IP{Src: s, Dst: d}.with(59, bytesOf(8)) }},
		{"hop-by-hop options", func(s, d netip.Addr) IP {
			return IP{Src: s, Dst: d}.UDP(1, 2, bytesOf(20)).Extend(0, make([]byte, 6))
		}},
		{"destination options", func(s, d netip.Addr) IP { return IP{Src: s, Dst: d}.Ping(1, 2).Extend(60, make([]byte, 14)) }},
		{"hop limit 2", func(s, d netip.Addr) IP { return IP{Src: s, Dst: d, TTL: 2}.UDP(1000, 2000, nil) }},
		{"traffic class", func(s, d netip.Addr) IP { return IP{Src: s, Dst: d, TOS: 0xb8}.UDP(1000, 2000, nil) }},
		{"a first fragment", func(s, d netip.Addr) IP { return udp(s, d).Fragment6(5, 0, 400) }},
		{"a later fragment", func(s, d netip.Addr) IP { return udp(s, d).Fragment6(5, 400, 900) }},
		{"an atomic fragment", func(s, d netip.Addr) IP { return udp(s, d).Fragment6(5, 0, 2000) }},
	} {
		out = append(out, north(p.title(k.name+" outward"), p.out(k.make), p.out(k.make)), north(p.title(k.name+" inward"), p.in(k.make), p.in(k.make)))
	}
	one := func(s, d netip.Addr) IP { return IP{Src: s, Dst: d, TTL: 1}.UDP(33434, 33435, bytesOf(20)) }
	source := func(s, d netip.Addr) IP {
		return IP{Src: s, Dst: d}.Ping(1, 1).Extend(43, append([]byte{0, 1, 0, 0, 0, 0}, make([]byte, 16)...))
	}
	tell := error6(p.inside(), one(p.addr(), Stranger6), 3, 0, 0).Frame(p.mac(), p.leg())
	back := error6(p.gateway(), one(Stranger6, p.addr()), 3, 0, 0).Frame(OutsideRouterMAC, p.hostMAC())
	return append(out,
		north(p.title("hop limit 1 outward is answered from inside"), p.out(one).but(Want{Reason: reason.TTLExceeded, Reply: tell})),
		north(p.title("hop limit 1 inward is answered from the gateway's address"), p.in(one).but(Want{Reason: reason.TTLExceeded, Reply: back})),
		north(p.title("source routed inward"), p.in(source).dropped(reason.SourceRouted)),
		north(p.title("source routed outward"), p.out(source).dropped(reason.SourceRouted)),
		Case{p.title("the router is down"), both(NorthSouth, func(c *Cloud) { c.Routers[0].Down = true }),
			[]Send{p.in(udp).dropped(reason.RouterDown), p.out(udp).dropped(reason.RouterDown)}},
	)
}

// proxyErrorCases: ICMPv6 errors and what they quote pass as they are; to and from addresses that are not routed nothing does.
func proxyErrorCases(p proxied) []Case {
	var out []Case
	udp := func(s, d netip.Addr) IP { return IP{Src: s, Dst: d, TTL: 60}.UDP(1000, 33434, bytesOf(64)) }
	way := mustAddr("2001:db8:98::1")
	for _, k := range []struct {
		name      string
		typ, code uint8
		rest      uint32
	}{{"port unreachable", 1, 4, 0}, {"an error too big", 2, 0, 1300}, {"hop limit exceeded", 3, 0, 0}, {"parameter problem", 4, 1, 40}} {
		about := func(src, dst netip.Addr, x IP) IP {
			return IP{Src: src, Dst: dst}.ICMP(k.typ, k.code, k.rest, x.Bytes())
		}
		in := about(way, p.addr(), udp(p.addr(), Stranger6))
		out = append(out,
			north(p.title(k.name+" inward from a router on the way"), Send{NIC: p.host(), Frame: in.Frame(p.hostMAC(), OutsideRouterMAC),
				Want: Want{To: map[string][]byte{string(p): in.routed(1).Frame(p.mac(), p.leg())}}}),
			north(p.title(k.name+" outward"), p.out(func(s, d netip.Addr) IP { return about(s, d, udp(d, s)) })))
	}
	from := func(src netip.Addr) Send {
		return nic(p.host(), IP{Src: src, Dst: p.addr()}.UDP(1, 2, nil).Frame(p.hostMAC(), OutsideRouterMAC), Want{Reason: reason.LinkScope})
	}
	to := func(dst netip.Addr, w Want) Send {
		return nic(p.host(), IP{Src: Stranger6, Dst: dst}.UDP(1, 2, nil).Frame(p.hostMAC(), OutsideRouterMAC), w)
	}
	redirect := func(s, d netip.Addr) IP {
		return IP{Src: LinkLocal(OutsideRouterMAC), Dst: d, TTL: 255}.ICMP(137, 0, 0, append(Stranger6.AsSlice(), Stranger6.AsSlice()...))
	}
	return append(out,
		north(p.title("from a link-local address inward"), from(LinkLocal(OutsideRouterMAC))),
		north(p.title("from a multicast address inward"), from(mustAddr("ff02::1"))),
		north(p.title("from no address inward"), from(netip.IPv6Unspecified())),
		north(p.title("from the loopback address inward"), from(netip.IPv6Loopback())),
		north(p.title("a redirect inward"), p.in(redirect).dropped(reason.LinkScope)),
		north(p.title("its host's MAC, an address without a proxy"), to(addr("red3", true), Want{Reason: reason.NotForUs})),
		north(p.title("its host's MAC, an address of another host"), to(addr("red2", true), Want{Reason: reason.NotForUs})),
		north(p.title("its host's MAC, a link-local address"), to(LinkLocal(p.hostMAC()), Want{Reason: reason.NotForUs})),
		north(p.title("its host's MAC, the router's inner address"), to(p.inside(), Want{Reason: reason.NotForUs})),
		north(p.title("its host's MAC, a broken packet"), nic(p.host(), p.in(udp).Frame[:30], Want{Reason: reason.Malformed})),
		north(p.title("another host's MAC"), nic("compute2", p.in(udp).Frame, Want{Reason: reason.NotForUs}).but(Want{ToHost: true})),
		north(p.title("the host's own MAC"), nic(p.host(), udp(Stranger6, p.addr()).Frame(model.MAC{2, 0, 0, 0, 0, 0x77}, OutsideRouterMAC), Want{ToHost: true})),
	)
}

// proxySizeCases: what does not fit, and large packets that are cut later.
func proxySizeCases(p proxied) []Case {
	cut := func(s Send, segment int) Send { s.Segment = segment; return s }
	narrow := both(NorthSouth, func(c *Cloud) { c.Externals[0].MTU = 1400 })
	size := func(n int) maker {
		return func(s, d netip.Addr) IP { return IP{Src: s, Dst: d}.UDP(1000, 2000, bytesOf(n-48)) }
	}
	tcp := func(s, d netip.Addr) IP { return IP{Src: s, Dst: d}.TCP(1000, 2000, PSH|ACK, bytesOf(3000)) }
	in := error6(p.gateway(), size(1451)(Stranger6, p.addr()), 2, 0, 1450).Frame(OutsideRouterMAC, p.hostMAC())
	out := error6(p.inside(), size(1401)(p.addr(), Stranger6), 2, 0, 1400).Frame(p.mac(), p.leg())
	gso := error6(p.gateway(), tcp(Stranger6, p.addr()), 2, 0, 1450).Frame(OutsideRouterMAC, p.hostMAC())
	return []Case{
		north(p.title("exactly the MTU inward"), p.in(size(1450))),
		north(p.title("too big inward"), p.in(size(1451)).but(Want{Reason: reason.TooBig, Reply: in})),
		{p.title("exactly the MTU outward"), narrow, []Send{p.out(size(1400))}},
		{p.title("too big outward"), narrow, []Send{p.out(size(1401)).but(Want{Reason: reason.TooBig, Reply: out})}},
		north(p.title("TCP to be cut, outward"), cut(p.out(tcp), 1390), cut(p.out(tcp), 1390)),
		north(p.title("TCP to be cut, inward"), cut(p.in(tcp), 1390), cut(p.in(tcp), 1390)),
		north(p.title("TCP whose segments are too big, inward"), cut(p.in(tcp).but(Want{Reason: reason.TooBig, Reply: gso}), 1391)),
	}
}

// proxyPolicyCases: security groups stand between the instance and strangers.
func proxyPolicyCases(p proxied) []Case {
	ask := func(s, d netip.Addr) IP { return IP{Src: s, Dst: d}.UDP(1000, 53, nil) }
	tell := func(s, d netip.Addr) IP { return IP{Src: s, Dst: d}.UDP(53, 1000, nil) }
	ping := func(s, d netip.Addr) IP { return IP{Src: s, Dst: d}.Ping(5, 1) }
	pong := func(s, d netip.Addr) IP { return IP{Src: s, Dst: d}.ICMP(129, 0, 5<<16|1, nil) }
	lost := func(s, d netip.Addr) IP { return IP{Src: s, Dst: d}.ICMP(1, 4, 0, ask(d, s).routed(1).Bytes()) }
	big := func(s, d netip.Addr) IP { return IP{Src: s, Dst: d}.UDP(1000, 2000, bytesOf(900)) }
	part := func(at, n int) maker { return func(s, d netip.Addr) IP { return big(s, d).Fragment6(77, at, n) } }
	egress := both(NorthSouth, only(string(p), Stateful(Any(true, true))))
	open := both(NorthSouth, only(string(p), Stateful(Allow(false, true, 17, 2000, 2000))))
	from := Allow(false, true, 17, 53, 53)
	from.Remote = netip.MustParsePrefix("2001:db8:99::/64")
	return []Case{
		{p.title("the default group keeps strangers out"), egress, []Send{p.in(ask).dropped(reason.PolicyIngress), p.in(ping).dropped(reason.PolicyIngress)}},
		{p.title("the default group lets replies in"), egress, []Send{p.out(ask), p.in(tell), p.in(tell), p.out(ask)}},
		{p.title("an echo reply finds its request"), egress, []Send{p.out(ping), p.in(pong)}},
		{p.title("an error about a connection comes in"), egress, []Send{p.out(ask), p.in(lost)}},
		{p.title("an error about no connection does not"), egress, []Send{p.in(lost).dropped(reason.PolicyIngress)}},
		{p.title("a rule for the stranger's prefix"), both(NorthSouth, only(string(p), Stateful(from))), []Send{p.in(ask), p.out(tell), p.in(ask)}},
		{p.title("no egress rule"), both(NorthSouth, only(string(p), Stateful())), []Send{p.out(ask).dropped(reason.PolicyEgress)}},
		{p.title("fragments follow their first inward"), open, []Send{p.in(part(0, 400)), p.in(part(400, 900))}},
		{p.title("a later fragment before its first inward"), open, []Send{p.in(part(400, 900)).dropped(reason.FragmentOrphan)}},
	}
}

// allNodes is where an advertisement goes that nobody asked for, or who asked has no address.
var allNodes = model.MAC{0x33, 0x33, 0, 0, 0, 1}

// proxyNDCases: who has which address outside.
func proxyNDCases(p proxied) []Case {
	ask := func(src, target netip.Addr) []byte { return Solicit(OutsideRouterMAC, src, target) }
	answer := func(at netip.Addr, mac model.MAC, to netip.Addr) Want {
		return Want{Reply: Advertise(at, mac, OutsideRouterMAC, to, NASolicited|NAOverride)}
	}
	unicast := func(frame []byte) []byte { m := p.hostMAC(); copy(frame, m[:]); return frame }
	thief := model.MAC{2, 0, 0, 0, 0, 0x66}
	far := mustAddr("2001:db8:e::50")
	claim := func(a netip.Addr) []byte {
		return Advertise(a, thief, allNodes, netip.IPv6LinkLocalAllNodes(), NAOverride)
	}
	near := ask(OutsideRouter6, p.addr())
	near[21] = 254 // it has passed a router
	cut := IP{Src: OutsideRouter6, Dst: mustAddr("ff02::1:ff00:11"), TTL: 255}.ICMP(135, 0, 0, p.addr().AsSlice()).Extend(44, make([]byte, 6)).Frame(allNodes, OutsideRouterMAC)
	taken := Solicit(OutsideRouterMAC, p.addr(), far) // who asks says that it has our address
	copy(taken[len(taken)-6:], thief[:])
	tells := Advertise(far, thief, p.hostMAC(), p.addr(), NASolicited|NAOverride)
	mute := IP{Src: far, Dst: p.addr(), TTL: 255}.ICMP(136, 0, NASolicited<<24, far.AsSlice()).Frame(p.hostMAC(), thief)
	gw := mustAddr("2001:db8:e::10")
	copies := map[string][]byte{"gateway of router": claim(gw), "gateway of router-b": claim(gw)}
	moved := map[string][]byte{"gateway of router": claim(OutsideRouter6), "gateway of router-b": claim(OutsideRouter6)}
	return []Case{
		north("ND outside for a proxied address here", nic("compute1", ask(OutsideRouter6, p.addr()), answer(p.addr(), p.hostMAC(), OutsideRouter6))),
		north("ND outside from a link-local address", nic("compute1", ask(LinkLocal(OutsideRouterMAC), p.addr()), answer(p.addr(), p.hostMAC(), LinkLocal(OutsideRouterMAC)))),
		north("ND outside whether a proxied address is still here", nic("compute1", unicast(ask(OutsideRouter6, p.addr())), answer(p.addr(), p.hostMAC(), OutsideRouter6))),
		north("ND outside: a stranger may not take a proxied address", nic("compute1", Solicit(thief, netip.IPv6Unspecified(), p.addr()),
			Want{Reply: Advertise(p.addr(), p.hostMAC(), allNodes, netip.IPv6LinkLocalAllNodes(), NAOverride)})),
		north("ND outside: a stranger may take any other address", nic("compute1", Solicit(thief, netip.IPv6Unspecified(), far), Want{ToHost: true})),
		north("ND outside for a proxied address of another host", nic("compute1", ask(OutsideRouter6, addr("red2", true)), Want{ToHost: true})),
		north("ND outside for an instance without a proxy", nic("compute1", ask(OutsideRouter6, addr("red3", true)), Want{ToHost: true})),
		north("ND outside for a router's inner address", nic("compute1", ask(OutsideRouter6, p.inside()), Want{ToHost: true})),
		north("ND outside for a link-local address made of the host's MAC", nic("compute1", ask(OutsideRouter6, LinkLocal(p.hostMAC())), Want{ToHost: true})),
		north("ND outside with a hop limit of 254", nic("compute1", near, Want{ToHost: true})),
		north("ND outside in a fragment", nic("compute1", cut, Want{ToHost: true})),
		north("ND outside answers what was asked from a proxied address", nic("compute1", tells, Want{Told: true})),
		north("ND outside answers without saying by which MAC", nic("compute1", mute, Want{})),
		north("ARP outside answers without saying for whom", nic("compute1", ARP{Op: 2, SenderMAC: OutsideRouterMAC, Sender: netip.IPv4Unspecified(), TargetMAC: DVRMAC("compute1"),
			Target: addr("red1", false)}.Frame(DVRMAC("compute1")), Want{})),
		north("somebody outside claims a proxied address of ours", nic("compute1", claim(p.addr()), Want{Told: true, ToHost: true})),
		north("another host of the cloud answers for a proxied address of ours", nic("compute1",
			Advertise(p.addr(), p.hostMAC(), allNodes, netip.IPv6LinkLocalAllNodes(), NAOverride), Want{Told: true, ToHost: true})),
		north("somebody outside asks from a proxied address of ours", nic("compute1", taken, Want{Told: true, ToHost: true})),
		north("somebody outside claims a gateway's IPv6 address of ours", nic("compute2", claim(gw), Want{Told: true, ToHost: true, To: copies})),
		north("the outside's router has a new MAC, by ND", nic("compute2", claim(OutsideRouter6), Want{Told: true, ToHost: true, To: moved})),
		north("the next hop outside is not known, IPv6", Send{From: string(p), Frame: IP{Src: p.addr(), Dst: far}.Ping(1, 1).Frame(p.leg(), p.mac()),
			Want: Want{Punt: dataplane.PuntExternal}}),
		north("the next hop outside is another's gateway here, IPv6", Send{From: "red2", Frame: IP{Src: addr("red2", true), Dst: mustAddr("2001:db8:e::11")}.Ping(1, 1).Frame(p.leg(), PortMAC("red2")),
			Want: Want{To: map[string][]byte{"gateway of router-b": IP{Src: addr("red2", true), Dst: mustAddr("2001:db8:e::11")}.Ping(1, 1).routed(1).Frame(GatewayMAC("router-b"), DVRMAC("compute2"))}}}),
	}
}

// proxyCentralCases: what the gateway host answers for, and its namespaces beside proxied addresses.
func proxyCentralCases() []Case {
	c, p := proxied("red3"), proxied("red2")
	const gw = "gateway of router-b"
	mac, other := GatewayMAC("router-b"), mustAddr("2001:db8:e::11")
	udp := func(s, d netip.Addr) IP { return IP{Src: s, Dst: d}.UDP(1000, 53, bytesOf(20)) }
	in := udp(Stranger6, c.addr()).Frame(GatewayMAC("router"), OutsideRouterMAC)
	near := udp(proxied("red1").addr(), p.gateway()).Frame(GatewayMAC("router"), DVRMAC("compute1"))
	far := udp(proxied("red1").addr(), other).Frame(mac, DVRMAC("compute1"))
	tell := Advertise(proxied("red1").addr(), DVRMAC("compute1"), GatewayMAC("router"), p.gateway(), NASolicited|NAOverride)
	return []Case{
		north("ND outside for an address that the central part serves", nic("compute2", Solicit(OutsideRouterMAC, OutsideRouter6, c.addr()),
			Want{Reply: Advertise(c.addr(), GatewayMAC("router"), OutsideRouterMAC, OutsideRouter6, NASolicited|NAOverride)})),
		north("a packet to an address that the central part serves", nic("compute2", in, Want{To: map[string][]byte{"gateway of router": in}})),
		north("a packet from an address that the central part serves", c.central(udp), c.central(udp)),
		north("a proxied address of another host sends to the gateway's own", nic("compute2", near, Want{To: map[string][]byte{"gateway of router": near}})),
		north("a proxied address of another host sends to another router's gateway", nic("compute2", far, Want{To: map[string][]byte{gw: far}})),
		north("another host advertises a proxied address to the gateway", nic("compute2", tell, Want{To: map[string][]byte{"gateway of router": tell}})),
		north("another router's central part asks for a proxied address on the host", Send{From: gw, Frame: Solicit(mac, other, p.addr()),
			Want: Want{Reply: Advertise(p.addr(), p.hostMAC(), mac, other, NASolicited|NAOverride)}}),
		north("another router's central part sends to a proxied address on the host", Send{From: gw, Frame: udp(other, p.addr()).Frame(p.hostMAC(), mac),
			Want: Want{To: map[string][]byte{string(p): udp(other, p.addr()).routed(1).Frame(p.mac(), p.leg())}}}),
		north("another router's central part sends to one that the central part serves", Send{From: gw, Frame: udp(other, c.addr()).Frame(GatewayMAC("router"), mac),
			Want: Want{To: map[string][]byte{"gateway of router": udp(other, c.addr()).Frame(GatewayMAC("router"), mac)}}}),
	}
}

// second is the address that secondTenant gives red1-b, which no other instance has.
var second = mustAddr("2001:db8:b::11")

// secondTenant gives the other tenant's red1-b an address of its own, with a proxy.
func secondTenant(c *Cloud) {
	gateway := mustAddr("2001:db8:b::1")
	for i := range c.Networks {
		if c.Networks[i].Name == "red-b" {
			c.Networks[i].Subnets = append(c.Networks[i].Subnets, Subnet{Prefix: netip.PrefixFrom(gateway, 64).Masked(), Gateway: gateway})
		}
	}
	f := &c.Routers[1].Interfaces[0]
	f.Addresses = append(f.Addresses, netip.PrefixFrom(gateway, 64))
	c.Port("red1-b").Addresses = append(c.Port("red1-b").Addresses, second)
	c.Proxies = append(c.Proxies, Proxy{External: "outside", Router: "router-b", Port: "red1-b", Address: second})
}

// proxyLifeCases: proxies that come, go and move, and packets from one to another of the same host.
func proxyLifeCases(p proxied) []Case {
	ask := func(s, d netip.Addr) IP { return IP{Src: s, Dst: d}.UDP(1000, 53, nil) }
	tell := func(s, d netip.Addr) IP { return IP{Src: s, Dst: d}.UDP(53, 1000, nil) }
	none := func(c *Cloud) { c.Proxies = nil }
	first := func(c *Cloud) { c.Proxies = c.Proxies[1:] }
	away := func(c *Cloud) { c.Port(string(p)).Host = "compute2" }
	egress := both(NorthSouth, only(string(p), Stateful(Any(true, true))))
	here := Solicit(OutsideRouterMAC, OutsideRouter6, p.addr())
	leg, mac := LegMAC("router-b", "red-b"), PortMAC("red1-b")
	hairpin := both(NorthSouth, secondTenant)
	to := Send{From: string(p), Frame: ask(p.addr(), second).Frame(p.leg(), p.mac()),
		Want: Want{To: map[string][]byte{"red1-b": ask(p.addr(), second).routed(2).Frame(mac, leg)}}}
	two := ask(p.addr(), second)
	two.TTL = 2
	by := both(hairpin, func(c *Cloud) {
		c.Routers[0].Routes = append(c.Routers[0].Routes, Route{Dst: netip.MustParsePrefix("2001:db8:b::/64"), Via: mustAddr("2001:db8:e::50"), Network: "outside"})
	})
	tagged := both(NorthSouth, func(c *Cloud) { c.Externals[0].VLAN = 7 })
	tag := func(s Send, in bool) Send {
		if in {
			s.VLAN = 7
		} else {
			s.Want.VLAN = 7
		}
		return s
	}
	return []Case{
		{p.title("taken away: out by the central part, and nobody answers"), NorthSouth, []Send{p.out(ask), p.in(ask), p.central(ask).after(first),
			p.in(ask).dropped(reason.NotForUs), nic(p.host(), here, Want{ToHost: true})}},
		{p.title("the last of a host taken away: its MAC is nobody's"), NorthSouth, []Send{p.in(ask), p.in(ask).but(Want{ToHost: true}).after(none)}},
		{p.title("a connection goes on by the central part"), egress, []Send{p.out(ask), p.in(tell), p.central(ask).after(none)}},
		{p.title("given: out from here"), both(NorthSouth, none), []Send{p.central(ask), p.out(ask).after(func(c *Cloud) { c.FloatingIPs = nil; NorthSouth(c) }), p.out(ask)}},
		{p.title("its instance has moved to another host"), NorthSouth, []Send{p.in(ask), p.in(ask).dropped(reason.NotForUs).after(away), nic("compute1", here, Want{ToHost: true})}},
		{p.title("a host without DVR MAC"), both(NorthSouth, func(c *Cloud) { c.Hosts[0].NoDVR = true }), []Send{nic(p.host(), here, Want{ToHost: true})}},
		{p.title("to another's on the same host"), hairpin, []Send{to, to}},
		{p.title("to another's on the same host, hop limit 2 ends at the second router"), hairpin, []Send{{From: string(p), Frame: two.Frame(p.leg(), p.mac()),
			Want: Want{Reason: reason.TTLExceeded, Reply: error6(mustAddr("2001:db8:e::11"), two, 3, 0, 0).Frame(p.mac(), p.leg())}}}},
		{p.title("to another's on the same host by a route of its own"), by, []Send{{From: string(p), Frame: ask(p.addr(), second).Frame(p.leg(), p.mac()),
			Want: Want{Punt: dataplane.PuntExternal}}}},
		{p.title("tagged external network: outward"), tagged, []Send{tag(p.out(ask), false), tag(p.out(ask), false)}},
		{p.title("tagged external network: inward"), tagged, []Send{tag(p.in(ask), true), tag(p.in(ask), true)}},
		{p.title("tagged external network: ND is answered"), tagged, []Send{tag(nic(p.host(), here, Want{Reply: Advertise(p.addr(), p.hostMAC(), OutsideRouterMAC, OutsideRouter6, NASolicited|NAOverride)}), true)}},
	}
}
