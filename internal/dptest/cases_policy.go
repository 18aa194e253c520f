package dptest

import (
	"net/netip"
	"slices"

	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/hostplan"
)

func sortRules(rules []hostplan.Rule) {
	slices.SortFunc(rules, func(a, b hostplan.Rule) int { return a.ID.Compare(b.ID) })
}

// only gives one port a policy.
func only(port string, p *hostplan.Policy) func(*Cloud) {
	return func(c *Cloud) { c.Port(port).Policy = p }
}

// policyCases: security groups, in all situations.
func policyCases() []Case {
	var out []Case
	for _, p := range places() {
		out = append(out, connCases(p)...)
		out = append(out, tcpCases(p)...)
		out = append(out, ruleCases(p)...)
	}
	return append(out, alwaysCases()...)
}

// unreachable is a port unreachable of the place's sender about a packet that it got.
func (p place) unreachable(x IP) IP {
	return p.ip().ICMP(p.pick(3, 1), p.pick(3, 4), 0, x.Bytes())
}

// connCases: replies, and the end of what a rule allowed.
func connCases(p place) []Case {
	b := p.back()
	ask, tell := p.ip().UDP(1000, 53, nil), b.ip().UDP(53, 1000, nil)
	ping := p.ip().Ping(5, 1)
	pong := b.ip().ICMP(p.pick(0, 129), 0, 5<<16|1, nil)
	other := b.ip().ICMP(p.pick(0, 129), 0, 6<<16|1, nil)
	out := Stateful(Any(true, p.v6))
	in := Allow(false, p.v6, 17, 53, 53)
	return []Case{
		{p.title("the default group lets replies in"), only(p.src, out), []Send{p.passes(ask), b.passes(tell), b.passes(tell)}},
		{p.title("the default group keeps others out"), only(p.src, out), []Send{b.dropped(tell, reason.PolicyIngress)}},
		{p.title("a reply from another port is none"), only(p.src, out), []Send{p.passes(ask), b.dropped(b.ip().UDP(54, 1000, nil), reason.PolicyIngress)}},
		{p.title("no groups at all"), func(c *Cloud) { c.Port(p.src).NoGroups = true }, []Send{p.dropped(ask, reason.PolicyEgress), b.dropped(tell, reason.PolicyIngress)}},
		{p.title("no rules at all"), only(p.src, Stateful()), []Send{p.dropped(ask, reason.PolicyEgress), b.dropped(tell, reason.PolicyIngress)}},
		{p.title("no port security, no groups"), func(c *Cloud) { c.Port(p.src).NoGroups = true; c.Port(p.src).Open = true }, []Send{p.passes(ask), b.passes(tell)}},
		{p.title("ingress rule, replies go out"), only(p.dst, Stateful(in)), []Send{p.passes(ask), b.passes(tell), b.dropped(b.ip().UDP(53, 1001, nil), reason.PolicyEgress)}},
		{p.title("echo reply with the right id"), only(p.src, out), []Send{p.passes(ping), b.dropped(other, reason.InvalidState), b.passes(pong)}},
		{p.title("echo reply that nobody asked for"), only(p.src, Stateful(Any(true, p.v6), Any(false, p.v6))), []Send{b.dropped(pong, reason.InvalidState)}},
		{p.title("stateless lets no reply in without a rule"), only(p.src, Stateless(Any(true, p.v6))), []Send{p.passes(ask), b.dropped(tell, reason.PolicyIngress)}},
		{p.title("stateless with rules for both directions"), only(p.src, Stateless(Any(true, p.v6), Allow(false, p.v6, 17, 1000, 1000))), []Send{p.passes(ask), b.passes(tell)}},
		{p.title("a removed rule ends the connection"), only(p.dst, Stateful(in)), []Send{
			p.passes(ask), b.passes(tell),
			b.dropped(tell, reason.PolicyIngress).after(only(p.dst, Stateful(Allow(false, p.v6, 17, 54, 54)))),
			p.dropped(ask, reason.PolicyIngress), b.dropped(tell, reason.PolicyIngress), b.dropped(b.ip().UDP(53, 1001, nil), reason.PolicyEgress)}},
		{p.title("an answer opens no connection in place of one whose rule was removed"), only(p.dst, Stateful(in, Any(true, p.v6))), []Send{
			p.passes(ask), b.passes(tell),
			b.dropped(tell, reason.PolicyIngress).after(only(p.dst, Stateful(Any(true, p.v6)))),
			b.dropped(tell, reason.PolicyIngress), p.dropped(ask, reason.PolicyIngress), b.dropped(tell, reason.PolicyIngress),
			b.passes(b.ip().UDP(53, 1001, nil)),
			b.passes(tell).after(only(p.dst, Stateful(in, Any(true, p.v6)))), p.passes(ask)}},
		{p.title("an echo reply, and no echo of the other end's, in place of one whose rule was removed"), only(p.dst, Stateful(Allow(false, p.v6, 1, -1, -1), Any(true, p.v6))), []Send{
			p.passes(ping), b.passes(pong),
			p.dropped(ping, reason.PolicyIngress).after(only(p.dst, Stateful(Any(true, p.v6)))),
			b.dropped(pong, reason.PolicyIngress), b.dropped(b.ip().Ping(5, 2), reason.PolicyIngress), b.passes(b.ip().Ping(6, 1))}},
		{p.title("an error about a connection whose rule was removed, from who opened it"), only(p.dst, Stateful(in, Any(true, p.v6))), []Send{
			p.passes(ask), b.passes(tell), p.passes(p.unreachable(tell)),
			p.dropped(p.unreachable(tell), reason.PolicyIngress).after(only(p.dst, Stateful(Any(true, p.v6)))), p.dropped(ask, reason.PolicyIngress),
			p.dropped(p.unreachable(tell), reason.PolicyIngress),
			p.passes(p.unreachable(tell)).after(only(p.dst, Stateful(in, Any(true, p.v6))))}},
		{p.title("an error about a connection whose rule was removed, from who was asked"), only(p.dst, Stateful(in)), []Send{
			p.passes(ask), b.passes(b.unreachable(ask)),
			b.dropped(b.unreachable(ask), reason.PolicyEgress).after(only(p.dst, Stateful(Allow(false, p.v6, 17, 54, 54)))),
			b.passes(b.unreachable(ask)).after(only(p.dst, Stateful(in)))}},
		{p.title("an error about an echo whose rule was removed"), only(p.src, Stateful(Allow(true, p.v6, 1, -1, -1))), []Send{
			p.passes(ping), b.passes(b.unreachable(ping)),
			b.dropped(b.unreachable(ping), reason.PolicyIngress).after(only(p.src, Stateful(Allow(true, p.v6, 17, 53, 53)))), p.dropped(ping, reason.PolicyEgress)}},
		{p.title("an added rule works at once"), only(p.dst, Stateful()), []Send{
			p.dropped(ask, reason.PolicyIngress),
			p.passes(ask).after(only(p.dst, Stateful(in))), b.passes(tell)}},
		{p.title("another rule takes over for a removed one"), only(p.dst, Stateful(in)), []Send{
			p.passes(ask), b.passes(tell).after(only(p.dst, Stateful(Any(false, p.v6))))}},
	}
}

// tcpCases: what may open a TCP connection.
func tcpCases(p place) []Case {
	b := p.back()
	t := func(flags uint8) IP { return p.ip().TCP(40000, 80, flags, nil) }
	u := func(flags uint8) IP { return b.ip().TCP(80, 40000, flags, nil) }
	allow := guarded(Allow(false, p.v6, 6, 80, 80), Any(true, p.v6))
	all := guarded(Any(false, p.v6), Any(true, p.v6))
	return []Case{
		{p.title("TCP from SYN to RST"), allow, []Send{p.passes(t(SYN)), b.passes(u(SYN | ACK)), p.passes(t(ACK)), p.passes(t(PSH | ACK)),
			b.passes(u(PSH | ACK)), p.passes(t(FIN | ACK)), b.passes(u(ACK)), b.passes(u(PSH | ACK)), b.passes(u(FIN | ACK)), p.passes(t(ACK))}},
		{p.title("TCP whose rule was removed"), allow, []Send{p.passes(t(SYN)), b.passes(u(SYN | ACK)), p.passes(t(ACK)), b.passes(u(PSH | ACK)),
			b.dropped(u(PSH|ACK), reason.PolicyIngress).after(guarded(Any(true, p.v6))), b.dropped(u(ACK), reason.PolicyIngress),
			p.dropped(t(PSH|ACK), reason.PolicyIngress), p.dropped(t(SYN), reason.PolicyIngress), b.dropped(u(SYN|ACK), reason.PolicyIngress),
			b.dropped(u(FIN|ACK), reason.PolicyIngress), p.passes(t(PSH | ACK)).after(allow), b.passes(u(ACK))}},
		{p.title("TCP whose rule was removed, opened by the other end"), allow, []Send{p.passes(t(SYN)), b.passes(u(SYN | ACK)), p.passes(t(ACK)),
			p.dropped(t(PSH|ACK), reason.PolicyIngress).after(guarded(Any(true, p.v6))), b.passes(u(SYN)), p.passes(t(SYN | ACK)), b.passes(u(ACK))}},
		{p.title("TCP picked up in the middle"), allow, []Send{p.passes(t(ACK)), b.passes(u(ACK))}},
		{p.title("SYN-ACK without a SYN"), all, []Send{b.dropped(u(SYN|ACK), reason.InvalidState)}},
		{p.title("FIN without a connection"), all, []Send{p.dropped(t(FIN|ACK), reason.InvalidState)}},
		{p.title("RST without a connection"), all, []Send{p.dropped(t(RST), reason.InvalidState), p.dropped(t(RST|ACK), reason.InvalidState)}},
		{p.title("no flags at all"), all, []Send{p.dropped(t(0), reason.InvalidState)}},
		{p.title("all flags"), all, []Send{p.dropped(t(0xff), reason.InvalidState)}},
		{p.title("simultaneous open"), all, []Send{p.passes(t(SYN)), b.passes(u(SYN)), p.passes(t(SYN | ACK)), b.passes(u(SYN | ACK)), p.passes(t(ACK))}},
		{p.title("half-close"), allow, []Send{p.passes(t(SYN)), b.passes(u(SYN | ACK)), p.passes(t(ACK)), p.passes(t(FIN | ACK)), b.passes(u(PSH | ACK)), b.passes(u(PSH | ACK))}},
		{p.title("SYN to a closed port is refused by the policy"), allow, []Send{p.dropped(p.ip().TCP(40000, 81, SYN, nil), reason.PolicyIngress)}},
	}
}

// ruleCases: what rules match.
func ruleCases(p place) []Case {
	in := func(rules ...hostplan.Rule) func(*Cloud) { return only(p.dst, Stateful(rules...)) }
	udp := func(port uint16) IP { return p.ip().UDP(1000, port, nil) }
	from := func(r hostplan.Rule, prefix netip.Prefix) hostplan.Rule {
		r.Remote, r.ID = prefix, RuleID(prefix.String())
		return r
	}
	set := Any(false, p.v6)
	set.RemoteSet = SetID("members")
	host := netip.PrefixFrom(p.ip().Src, p.ip().Src.BitLen())
	members := func(prefixes ...netip.Prefix) func(*Cloud) {
		return func(c *Cloud) { in(set)(c); c.Sets = []Set{{"members", prefixes}} }
	}
	typ := p.pick(8, 128)
	ping := p.ip().Ping(1, 1)
	wrong := Any(false, !p.v6)
	icmp := int16(p.pick(1, 58))
	return []Case{
		{p.title("port range"), in(Allow(false, p.v6, 17, 100, 200)), []Send{p.dropped(udp(99), reason.PolicyIngress), p.passes(udp(100)), p.passes(udp(200)), p.dropped(udp(201), reason.PolicyIngress)}},
		{p.title("protocol without ports"), in(Allow(false, p.v6, 17, -1, -1)), []Send{p.passes(udp(1)), p.passes(udp(65535)), p.dropped(p.ip().TCP(1, 1, SYN, nil), reason.PolicyIngress)}},
		{p.title("protocol by number"), in(Allow(false, p.v6, 253, -1, -1)), []Send{p.passes(p.ip().with(253, bytesOf(5))), p.dropped(p.ip().with(252, bytesOf(5)), reason.PolicyIngress)}},
		{p.title("any protocol"), in(Any(false, p.v6)), []Send{p.passes(udp(1)), p.passes(p.ip().with(253, bytesOf(5))), p.passes(ping)}},
		{p.title("a rule of the other family"), in(wrong), []Send{p.dropped(udp(1), reason.PolicyIngress)}},
		{p.title("a rule of the other direction"), in(Any(true, p.v6)), []Send{p.dropped(udp(1), reason.PolicyIngress)}},
		{p.title("ICMP type and code"), in(Allow(false, p.v6, icmp, int32(typ), 0)), []Send{p.passes(ping), p.dropped(p.ip().ICMP(typ, 1, 9<<16, nil), reason.PolicyIngress)}},
		{p.title("ICMP type, any code"), in(Allow(false, p.v6, icmp, int32(typ), -1)), []Send{p.passes(ping), p.passes(p.ip().ICMP(typ, 1, 9<<16, nil))}},
		{p.title("ICMP of another type"), in(Allow(false, p.v6, icmp, 3, -1)), []Send{p.dropped(ping, reason.PolicyIngress)}},
		{p.title("remote prefix"), in(from(Any(false, p.v6), host)), []Send{p.passes(udp(1))}},
		{p.title("remote prefix of others"), in(from(Any(false, p.v6), prefixOf(p.elsewhere(), p.pick(8, 32)))), []Send{p.dropped(udp(1), reason.PolicyIngress)}},
		{p.title("remote prefix 0"), in(from(Any(false, p.v6), netip.PrefixFrom(p.ip().Src, 0).Masked())), []Send{p.passes(udp(1))}},
		{p.title("remote group"), members(host), []Send{p.passes(udp(1))}},
		{p.title("remote group without members"), members(), []Send{p.dropped(udp(1), reason.PolicyIngress)}},
		{p.title("a member of a remote group goes"), members(host), []Send{p.passes(udp(1)), {From: p.src, Frame: p.frame(udp(1)),
			Before: func(c *Cloud) { c.Sets[0].Prefixes = nil }, Want: Want{Reason: reason.PolicyIngress}}}},
	}
}

// alwaysCases: what no group can forbid, and what it can.
func alwaysCases() []Case {
	closed := func(c *Cloud) {
		for i := range c.Ports {
			c.Ports[i].Policy, c.Ports[i].DHCP = Stateful(), false
		}
	}
	m := PortMAC("red1")
	me := addr("red1", true)
	unsolicited := Advertise(me, m, [6]byte{0x33, 0x33, 0, 0, 0, 1}, netip.MustParseAddr("ff02::1"), NAOverride)
	toNeighbor := Advertise(me, m, PortMAC("red2"), addr("red2", true), NASolicited)
	discover := IP{Src: netip.IPv4Unspecified(), Dst: netip.MustParseAddr("255.255.255.255")}.UDP(68, 67, nil)
	mdns := IP{Src: addr("red1", false), Dst: netip.MustParseAddr("224.0.0.251")}.UDP(5353, 5353, nil).Frame([6]byte{1, 0, 0x5e, 0, 0, 0xfb}, m)
	mld := IP{Src: LinkLocal(m), Dst: netip.MustParseAddr("ff02::16"), TTL: 1}.ICMP(143, 0, 1, bytesOf(20)).
		Extend(0, []byte{5, 2, 0, 0, 1, 0}).Frame([6]byte{0x33, 0x33, 0, 0, 0, 0x16}, m)
	announce := ask("red1", addr("red1", false)).Frame([6]byte{255, 255, 255, 255, 255, 255})
	return []Case{
		{"ND passes without any rule", closed, []Send{{From: "red1", Frame: unsolicited, Want: Want{To: everyone(unsolicited)}},
			{From: "red1", Frame: toNeighbor, Want: Want{To: map[string][]byte{"red2": toNeighbor}}}}},
		{"ARP passes without any rule", closed, []Send{{From: "red1", Frame: announce, Want: Want{To: everyone(announce)}}}},
		{"MLD passes without any rule", closed, []Send{{From: "red1", Frame: mld, Want: Want{To: everyone(mld)}}}},
		{"a DHCP request leaves without any rule, but reaches no instance", closed, []Send{
			{From: "red1", Frame: discover.Frame([6]byte{255, 255, 255, 255, 255, 255}, m)}}},
		{"multicast needs a rule of the sender", closed, []Send{{From: "red1", Frame: mdns, Want: Want{Reason: reason.PolicyEgress}}}},
		{"multicast needs a rule of each receiver", func(c *Cloud) {
			closed(c)
			c.Port("red1").Policy = Stateful(Any(true, false))
			c.Port("red2").Policy = Stateful(Allow(false, false, 17, 5353, 5353))
		}, []Send{{From: "red1", Frame: mdns, Want: Want{To: map[string][]byte{"red2": mdns}}}}},
		{"the router's answers need no rule", closed, []Send{{From: "red1",
			Frame: IP{Src: addr("red1", false), Dst: DemoAddr(0, 1, false)}.Ping(1, 1).Frame(LegMAC("router", "red"), m),
			Want:  Want{Reply: IP{Src: DemoAddr(0, 1, false), Dst: addr("red1", false)}.ICMP(0, 0, 1<<16|1, IP{Src: me, Dst: me}.Ping(1, 1).Payload[8:]).Frame(m, LegMAC("router", "red"))}}}},
	}
}
