package dptest

import (
	"net/netip"
	"strings"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// maker makes a packet from one address to another: the same packet as different places see it.
type maker func(src, dst netip.Addr) IP

// floater is an instance of NorthSouth with a floating IP.
type floater string

func (f floater) fixed() netip.Addr   { return addr(string(f), false) }
func (f floater) float() netip.Addr   { return FloatingOf(string(f)) }
func (f floater) mac() model.MAC      { return PortMAC(string(f)) }
func (f floater) floatMAC() model.MAC { return FloatingMAC(f.float()) }
func (f floater) host() string        { return Demo().Port(string(f)).Host }
func (f floater) leg() model.MAC      { return LegMAC(f.router(), f.network()) }
func (f floater) network() string     { return Demo().Port(string(f)).Network }
func (f floater) gateway() netip.Addr { return netip.AddrFrom4([4]byte{203, 0, 113, f.pick(10, 11)}) }
func (f floater) inside() netip.Addr  { return DemoAddr(network(string(f)), 1, false) }
func (f floater) router() string {
	return "router" + strings.TrimLeft(f.network(), "abcdefghijklmnopqrstuvwxyz")
}
func (f floater) sent(m maker) []byte { return m(f.fixed(), Stranger).Frame(f.leg(), f.mac()) }
func (f floater) came(m maker) []byte {
	return m(Stranger, f.float()).Frame(f.floatMAC(), OutsideRouterMAC)
}
func (f floater) title(s string) string { return s + ", floating IP of " + string(f) }

// pick chooses by tenant.
func (f floater) pick(a, b byte) byte {
	if strings.HasSuffix(string(f), "-b") {
		return b
	}
	return a
}

// routed is the packet behind n routers.
func (x IP) routed(n uint8) IP {
	if x.TTL == 0 {
		x.TTL = 64
	}
	x.TTL -= n
	return x
}

// out is the packet sent to the Stranger, and what must leave by the NIC.
func (f floater) out(m maker) Send {
	return Send{From: string(f), Frame: f.sent(m), Want: Want{Out: m(f.float(), Stranger).routed(1).Frame(OutsideRouterMAC, f.floatMAC())}}
}

// in is the packet sent by the Stranger, and what the instance must get.
func (f floater) in(m maker) Send {
	return Send{NIC: f.host(), Frame: f.came(m), Want: Want{To: map[string][]byte{string(f): m(Stranger, f.fixed()).routed(1).Frame(f.mac(), f.leg())}}}
}

// to is the packet sent to another floating IP of the same host, behind two routers' worth of hops.
func (f floater) to(g floater, m maker) Send {
	return Send{From: string(f), Frame: m(f.fixed(), g.float()).Frame(f.leg(), f.mac()),
		Want: Want{To: map[string][]byte{string(g): m(f.float(), g.fixed()).routed(2).Frame(g.mac(), g.leg())}}}
}

// but is the Send with another outcome.
func (s Send) but(w Want) Send { s.Want = w; return s }

// after is the Send behind a change of the cloud.
func (s Send) after(change func(*Cloud)) Send { s.Before = change; return s }

func (s Send) dropped(why reason.Reason) Send { return s.but(Want{Reason: why}) }

// both are changes one after the other.
func both(fs ...func(*Cloud)) func(*Cloud) {
	return func(c *Cloud) {
		for _, f := range fs {
			f(c)
		}
	}
}

func north(name string, sends ...Send) Case { return Case{name, NorthSouth, sends} }

// error4 is an ICMP error about the packet x, from an address.
func error4(from netip.Addr, x IP, typ, code uint8, rest uint32) IP {
	quote := x.Bytes()
	return IP{Src: from, Dst: x.Src, TOS: 0xc0}.ICMP(typ, code, rest, quote[:min(len(quote), 548)])
}

// floatingCases: through distributed floating IPs.
func floatingCases() []Case {
	var out []Case
	for _, f := range []floater{"red1", "blue1", "red2", "red1-b"} {
		out = append(out, throughCases(f)...)
	}
	f := floater("red1")
	out = append(out, quoteCases(f)...)
	out = append(out, floatingSizeCases(f)...)
	out = append(out, floatingPolicyCases(f)...)
	out = append(out, hairpinCases()...)
	return append(out, lifeCases(f)...)
}

// wrong makes the checksum at an offset of the payload wrong by one.
func wrong(x IP, at int) IP {
	if x.Payload[at+1]++; x.Payload[at+1] == 0 {
		x.Payload[at]++
	}
	return x
}

// throughCases: whatever is inside passes in both directions, with every checksum right that was right before.
func throughCases(f floater) []Case {
	var out []Case
	for _, k := range []struct {
		name string
		make maker
	}{
		{"ping", func(s, d netip.Addr) IP { return IP{Src: s, Dst: d}.Ping(7, 1) }},
		{"UDP", func(s, d netip.Addr) IP { return IP{Src: s, Dst: d}.UDP(1000, 2000, bytesOf(33)) }},
		{"UDP without a checksum", func(s, d netip.Addr) IP { return zeroUDP(IP{Src: s, Dst: d}) }},
		{"UDP with a wrong checksum", func(s, d netip.Addr) IP { return wrong(IP{Src: s, Dst: d}.UDP(1, 2, bytesOf(8)), 6) }},
		{"TCP SYN", func(s, d netip.Addr) IP { return IP{Src: s, Dst: d}.TCP(40000, 80, SYN, nil) }},
		{"TCP with data of odd length", func(s, d netip.Addr) IP {
			return IP{Src: s, Dst: d, DF: true, ID: 9}.TCP(40000, 80, PSH|ACK, bytesOf(777))
		}},
		{"SCTP", func(s, d netip.Addr) IP { return IP{Src: s, Dst: d}.with(132, bytesOf(40)) }},
		{"GRE", func(s, d netip.Addr) IP { return IP{Src: s, Dst: d}.with(47, bytesOf(24)) }},
		{"record route option", func(s, d netip.Addr) IP {
			x := IP{Src: s, Dst: d}
			x.Options = []byte{7, 7, 4, 0, 0, 0, 0, 1}
			return x.UDP(1000, 2000, bytesOf(20))
		}},
		{"TTL 2", func(s, d netip.Addr) IP { return IP{Src: s, Dst: d, TTL: 2}.UDP(1000, 2000, nil) }},
		{"a first fragment", func(s, d netip.Addr) IP { return IP{Src: s, Dst: d}.UDP(1000, 2000, bytesOf(900)).Fragment4(5, 0, 400) }},
		{"a later fragment", func(s, d netip.Addr) IP {
			return IP{Src: s, Dst: d}.UDP(1000, 2000, bytesOf(900)).Fragment4(5, 400, 900)
		}},
		{"ICMP timestamp", func(s, d netip.Addr) IP { return IP{Src: s, Dst: d}.ICMP(13, 0, 1<<16, bytesOf(12)) }},
	} {
		out = append(out, north(f.title(k.name+" outward"), f.out(k.make), f.out(k.make)), north(f.title(k.name+" inward"), f.in(k.make), f.in(k.make)))
	}
	one := func(s, d netip.Addr) IP { return IP{Src: s, Dst: d, TTL: 1}.UDP(33434, 33435, bytesOf(20)) }
	tell := error4(f.inside(), one(f.fixed(), Stranger), 11, 0, 0).Frame(f.mac(), f.leg())
	back := error4(f.gateway(), one(Stranger, f.float()), 11, 0, 0).Frame(OutsideRouterMAC, f.floatMAC())
	return append(out,
		north(f.title("TTL 1 outward is answered from inside"), f.out(one).but(Want{Reason: reason.TTLExceeded, Reply: tell})),
		north(f.title("TTL 1 inward is answered from the gateway's address"), f.in(one).but(Want{Reason: reason.TTLExceeded, Reply: back})),
		north(f.title("source routed inward"), f.in(func(s, d netip.Addr) IP {
			x := IP{Src: s, Dst: d}
			x.Options = []byte{131, 3, 4, 0}
			return x.Ping(1, 1)
		}).dropped(reason.SourceRouted)),
		Case{f.title("the router is down"), both(NorthSouth, func(c *Cloud) {
			for i := range c.Routers {
				c.Routers[i].Down = true
			}
		}), []Send{f.in(one).dropped(reason.RouterDown), f.out(one).dropped(reason.RouterDown)}},
	)
}

// quoteCases: what an ICMP error quotes is translated as the error is, with every checksum.
func quoteCases(f floater) []Case {
	udp := func(s, d netip.Addr) IP { return IP{Src: s, Dst: d, TTL: 60}.UDP(1000, 33434, bytesOf(64)) }
	options := func(s, d netip.Addr) IP {
		x := IP{Src: s, Dst: d}
		x.Options = []byte{148, 4, 0, 0}
		return x.UDP(1000, 33434, bytesOf(64))
	}
	var out []Case
	for _, k := range []struct {
		name      string
		typ, code uint8
		rest      uint32
		quoted    maker
		size      int
	}{
		{"port unreachable about UDP", 3, 3, 0, udp, 548},
		{"host unreachable with a short quote", 3, 1, 0, udp, 28},
		{"time exceeded about TCP", 11, 0, 0, func(s, d netip.Addr) IP { return IP{Src: s, Dst: d, TTL: 1}.TCP(1000, 80, SYN, nil) }, 548},
		{"time exceeded about TCP with 8 bytes of it", 11, 0, 0, func(s, d netip.Addr) IP { return IP{Src: s, Dst: d}.TCP(1000, 80, SYN, nil) }, 28},
		{"too big about TCP", 3, 4, 1300, func(s, d netip.Addr) IP { return IP{Src: s, Dst: d, DF: true}.TCP(1000, 80, ACK, bytesOf(400)) }, 548},
		{"unreachable about a ping", 3, 1, 0, func(s, d netip.Addr) IP { return IP{Src: s, Dst: d}.Ping(3, 4) }, 548},
		{"unreachable about UDP without a checksum", 3, 3, 0, func(s, d netip.Addr) IP { return zeroUDP(IP{Src: s, Dst: d}) }, 548},
		{"unreachable about a packet with options", 3, 3, 0, options, 548},
		{"unreachable about a packet of odd length", 3, 3, 0, func(s, d netip.Addr) IP { return IP{Src: s, Dst: d}.UDP(1, 2, bytesOf(33)) }, 61},
		{"unreachable about a later fragment", 3, 1, 0, func(s, d netip.Addr) IP { return IP{Src: s, Dst: d}.UDP(1, 2, bytesOf(900)).Fragment4(5, 400, 100) }, 548},
		{"parameter problem", 12, 0, 20 << 24, options, 548},
		{"source quench", 4, 0, 0, udp, 548},
		{"redirect", 5, 1, 0xcb007101, udp, 548},
	} {
		about := func(src, dst netip.Addr, x IP) IP {
			q := x.Bytes()
			return IP{Src: src, Dst: dst}.ICMP(k.typ, k.code, k.rest, q[:min(len(q), k.size)])
		}
		// From a router on the way, which is not who the packet was for.
		way := netip.MustParseAddr("198.51.100.1")
		out = append(out,
			north(f.title(k.name+", inward from a router on the way"), Send{NIC: f.host(), Frame: about(way, f.float(), k.quoted(f.float(), Stranger)).Frame(f.floatMAC(), OutsideRouterMAC),
				Want: Want{To: map[string][]byte{string(f): about(way, f.fixed(), k.quoted(f.fixed(), Stranger)).routed(1).Frame(f.mac(), f.leg())}}}),
			north(f.title(k.name+", outward"), Send{From: string(f), Frame: about(f.fixed(), Stranger, k.quoted(Stranger, f.fixed())).Frame(f.leg(), f.mac()),
				Want: Want{Out: about(f.float(), Stranger, k.quoted(Stranger, f.float())).routed(1).Frame(OutsideRouterMAC, f.floatMAC())}}))
	}
	short := func(s, d netip.Addr) IP { return IP{Src: s, Dst: d}.ICMP(3, 3, 0, bytesOf(12)) }
	other := func(s, d netip.Addr) IP {
		return IP{Src: s, Dst: d}.ICMP(3, 3, 0, IP{Src: mustAddr("192.0.2.1"), Dst: mustAddr("192.0.2.2")}.UDP(1, 2, nil).Bytes())
	}
	return append(out, north(f.title("an error that quotes next to nothing, inward"), f.in(short)), north(f.title("an error about strangers, inward"), f.in(other)),
		north(f.title("an error that quotes next to nothing, outward"), f.out(short)))
}

// floatingSizeCases: what does not fit, and large packets that are cut later.
func floatingSizeCases(f floater) []Case {
	cut := func(s Send, segment int) Send { s.Segment = segment; return s }
	narrow := both(NorthSouth, func(c *Cloud) { c.Externals[0].MTU = 1400 })
	large := func(df bool) maker {
		return func(s, d netip.Addr) IP { return IP{Src: s, Dst: d, DF: df}.UDP(1000, 2000, bytesOf(1451-28)) }
	}
	tcp := func(s, d netip.Addr) IP { return IP{Src: s, Dst: d, DF: true}.TCP(1000, 2000, PSH|ACK, bytesOf(3000)) }
	in := error4(f.gateway(), large(true)(Stranger, f.float()), 3, 4, 1450).Frame(OutsideRouterMAC, f.floatMAC())
	out := error4(f.inside(), large(true)(f.fixed(), Stranger), 3, 4, 1400).Frame(f.mac(), f.leg())
	gso := error4(f.gateway(), tcp(Stranger, f.float()), 3, 4, 1450).Frame(OutsideRouterMAC, f.floatMAC())
	fits := func(s, d netip.Addr) IP { return IP{Src: s, Dst: d, DF: true}.UDP(1000, 2000, bytesOf(1450-28)) }
	return []Case{
		north(f.title("exactly the MTU inward"), f.in(fits)),
		north(f.title("too big inward, may not be cut"), f.in(large(true)).but(Want{Reason: reason.TooBig, Reply: in})),
		north(f.title("too big inward, may be cut"), f.in(large(false)).but(Want{Reason: reason.TooBig, Punt: dataplane.PuntFragment})),
		{f.title("too big outward, may not be cut"), narrow, []Send{f.out(large(true)).but(Want{Reason: reason.TooBig, Reply: out})}},
		{f.title("too big outward, may be cut"), narrow, []Send{f.out(large(false)).but(Want{Reason: reason.TooBig, Punt: dataplane.PuntFragment})}},
		north(f.title("TCP to be cut, outward"), cut(f.out(tcp), 1410), cut(f.out(tcp), 1410)),
		north(f.title("TCP to be cut, inward"), cut(f.in(tcp), 1410), cut(f.in(tcp), 1410)),
		north(f.title("TCP whose segments are too big, inward"), cut(f.in(tcp).but(Want{Reason: reason.TooBig, Reply: gso}), 1411)),
		{f.title("TCP to be cut to a narrow external network"), narrow, []Send{cut(f.out(tcp), 1360)}},
	}
}

// floatingPolicyCases: groups see the instance's fixed address and the stranger's own.
func floatingPolicyCases(f floater) []Case {
	ask := func(s, d netip.Addr) IP { return IP{Src: s, Dst: d}.UDP(1000, 53, nil) }
	tell := func(s, d netip.Addr) IP { return IP{Src: s, Dst: d}.UDP(53, 1000, nil) }
	ping := func(s, d netip.Addr) IP { return IP{Src: s, Dst: d}.Ping(5, 1) }
	pong := func(s, d netip.Addr) IP { return IP{Src: s, Dst: d}.ICMP(0, 0, 5<<16|1, nil) }
	about := func(x IP) maker {
		return func(s, d netip.Addr) IP { return IP{Src: s, Dst: d}.ICMP(3, 3, 0, x.Bytes()) }
	}
	big := func(s, d netip.Addr) IP { return IP{Src: s, Dst: d}.UDP(1000, 2000, bytesOf(900)) }
	part := func(at, n int) maker { return func(s, d netip.Addr) IP { return big(s, d).Fragment4(77, at, n) } }
	egress := both(NorthSouth, only(string(f), Stateful(Any(true, false))))
	open := both(NorthSouth, only(string(f), Stateful(Allow(false, false, 17, 2000, 2000))))
	from := Allow(false, false, 17, 53, 53)
	from.Remote = netip.MustParsePrefix("198.51.100.0/24")
	near := Allow(false, false, 17, 53, 53)
	near.Remote = netip.MustParsePrefix("203.0.113.0/24")
	related := f.in(about(ask(f.float(), Stranger)))
	related.Want.To[string(f)] = about(ask(f.fixed(), Stranger))(Stranger, f.fixed()).routed(1).Frame(f.mac(), f.leg())
	return []Case{
		{f.title("the default group keeps strangers out"), egress, []Send{f.in(ask).dropped(reason.PolicyIngress), f.in(ping).dropped(reason.PolicyIngress)}},
		{f.title("the default group lets replies in"), egress, []Send{f.out(ask), f.in(tell), f.in(tell), f.out(ask)}},
		{f.title("an echo reply finds its request"), egress, []Send{f.out(ping), f.in(pong)}},
		{f.title("an error about a connection comes in"), egress, []Send{f.out(ask), related}},
		{f.title("an error about no connection does not"), egress, []Send{f.in(about(ask(f.float(), Stranger))).dropped(reason.PolicyIngress)}},
		{f.title("a rule for the stranger's prefix"), both(NorthSouth, only(string(f), Stateful(from))), []Send{f.in(ask), f.out(tell), f.in(ask)}},
		{f.title("a rule for another prefix"), both(NorthSouth, only(string(f), Stateful(near))), []Send{f.in(ask).dropped(reason.PolicyIngress)}},
		{f.title("no egress rule"), both(NorthSouth, only(string(f), Stateful())), []Send{f.out(ask).dropped(reason.PolicyEgress)}},
		{f.title("fragments follow their first inward"), open, []Send{f.in(part(0, 400)), f.in(part(400, 900))}},
		{f.title("a later fragment before its first inward"), open, []Send{f.in(part(400, 900)).dropped(reason.FragmentOrphan)}},
		{f.title("another's source address outward"), NorthSouth, []Send{{From: string(f), Frame: ask(f.float(), Stranger).Frame(f.leg(), f.mac()), Want: Want{Reason: reason.SpoofedIP}}}},
	}
}

// hairpinCases: between floating IPs of one host, which no switch reflects.
func hairpinCases() []Case {
	var out []Case
	udp := func(s, d netip.Addr) IP { return IP{Src: s, Dst: d}.UDP(1000, 2000, bytesOf(33)) }
	back := func(s, d netip.Addr) IP { return IP{Src: s, Dst: d}.UDP(2000, 1000, bytesOf(33)) }
	tcp := func(s, d netip.Addr) IP { return IP{Src: s, Dst: d}.TCP(1000, 80, SYN, nil) }
	for _, p := range []struct {
		name string
		a, b floater
	}{{"to oneself", "red1", "red1"}, {"same router", "red1", "blue1"}, {"another tenant's router", "red1", "red1-b"}, {"from another tenant's router", "red1-b", "blue1"}} {
		egress := both(NorthSouth, only(string(p.a), Stateful(Any(true, false))))
		two := udp(p.a.fixed(), p.b.float())
		two.TTL = 2
		short := Send{From: string(p.a), Frame: two.Frame(p.a.leg(), p.a.mac()), Want: Want{Reason: reason.TTLExceeded,
			Reply: error4(p.b.gateway(), two, 11, 0, 0).Frame(p.a.mac(), p.a.leg())}}
		lost := p.b.to(p.a, func(s, d netip.Addr) IP {
			// Each sees the other by its floating IP: the quote changes with the place.
			x := udp(p.a.float(), p.b.fixed())
			if d == p.a.fixed() {
				x = udp(p.a.fixed(), p.b.float())
			}
			return IP{Src: s, Dst: d}.ICMP(3, 3, 0, x.routed(2).Bytes())
		})
		out = append(out,
			north("floating to floating, "+p.name+": UDP and its reply", p.a.to(p.b, udp), p.b.to(p.a, back), p.a.to(p.b, udp), p.b.to(p.a, back)),
			north("floating to floating, "+p.name+": TCP", p.a.to(p.b, tcp), p.a.to(p.b, tcp)),
			north("floating to floating, "+p.name+": TTL 2 ends at the second router", short),
			north("floating to floating, "+p.name+": an error comes back", p.a.to(p.b, udp), lost),
		)
		if p.a != p.b {
			out = append(out, Case{"floating to floating, " + p.name + ": stateful groups let the reply in", egress,
				[]Send{p.a.to(p.b, udp), p.b.to(p.a, back), lost, p.b.to(p.a, udp).dropped(reason.PolicyIngress)}})
		}
	}
	return out
}

// lifeCases: floating IPs that come and go.
func lifeCases(f floater) []Case {
	ask := func(s, d netip.Addr) IP { return IP{Src: s, Dst: d}.UDP(1000, 53, nil) }
	tell := func(s, d netip.Addr) IP { return IP{Src: s, Dst: d}.UDP(53, 1000, nil) }
	none := func(c *Cloud) { c.FloatingIPs = nil }
	again := func(c *Cloud) { c.FloatingIPs = nil; NorthSouth(c) }
	other := func(c *Cloud) { c.FloatingIPs[0].Address = mustAddr("203.0.113.140") }
	egress := both(NorthSouth, only(string(f), Stateful(Any(true, false))))
	groups := func(rules ...hostplan.Rule) func(*Cloud) { return only(string(f), Stateful(rules...)) }
	central := f.central(ask)
	moved := f.out(ask)
	moved.Want.Out = ask(mustAddr("203.0.113.140"), Stranger).routed(1).Frame(OutsideRouterMAC, FloatingMAC(mustAddr("203.0.113.140")))
	gone := f.in(tell)
	gone.Want = Want{ToHost: true}
	return []Case{
		{f.title("disassociation ends its connections"), egress, []Send{f.out(ask), f.in(tell), f.out(ask).dropped(reason.InvalidState).after(none), central, gone}},
		{f.title("disassociation ends connections that are refused, too"), egress, []Send{f.out(ask), f.out(ask).dropped(reason.PolicyEgress).after(groups()),
			f.out(ask).dropped(reason.PolicyEgress).after(none), f.out(ask).dropped(reason.InvalidState).after(groups(Any(true, false))), central, central}},
		{f.title("association ends those by the gateway"), both(egress, none), []Send{central, f.out(ask).dropped(reason.InvalidState).after(again), f.out(ask)}},
		{f.title("another floating IP ends the connections of the first"), egress, []Send{f.out(ask), f.out(ask).dropped(reason.InvalidState).after(other), moved}},
		{f.title("without groups another floating IP is used at once"), NorthSouth, []Send{f.out(ask), f.out(ask), moved.after(other), moved}},
		{f.title("a second fixed IP has its own"), both(NorthSouth, func(c *Cloud) {
			p := c.Port(string(f))
			p.Addresses = append(p.Addresses, DemoAddr(0, 77, false))
			c.FloatingIPs[1].Port, c.FloatingIPs[1].Fixed = string(f), DemoAddr(0, 77, false)
		}), []Send{f.out(ask), {From: string(f), Frame: ask(DemoAddr(0, 77, false), Stranger).Frame(f.leg(), f.mac()),
			Want: Want{Out: ask(FloatingOf("blue1"), Stranger).routed(1).Frame(OutsideRouterMAC, FloatingMAC(FloatingOf("blue1")))}}}},
	}
}

// central is a packet of the instance to the Stranger by the router's central part on compute2.
func (f floater) central(m maker) Send {
	return Send{From: string(f), Frame: f.sent(m), Want: Want{To: map[string][]byte{
		"central leg of " + f.router() + "/" + f.network(): m(f.fixed(), Stranger).routed(1).Frame(CentralMAC(f.router(), f.network()), f.leg())}}}
}
