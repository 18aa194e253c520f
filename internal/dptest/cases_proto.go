package dptest

import (
	"encoding/binary"

	"github.com/weft-cloud/weft/internal/dataplane/reason"
)

// ported is a packet of a protocol whose header begins with two ports, and is 12 bytes long or shorter.
func (x IP) ported(proto uint8, sport, dport uint16) IP {
	b := binary.BigEndian.AppendUint16(nil, sport)
	return x.with(proto, append(binary.BigEndian.AppendUint16(b, dport), bytesOf(20)...))
}

// protoCases: connections and port rules of the protocols beside TCP, UDP and ICMP.
func protoCases() []Case {
	var out []Case
	for _, p := range places() {
		b := p.back()
		for _, x := range []struct {
			name  string
			proto uint8
		}{{"SCTP", 132}, {"DCCP", 33}, {"UDP-Lite", 136}} {
			ask := func(from, to uint16) IP { return p.ip().ported(x.proto, from, to) }
			tell := func(from, to uint16) IP { return b.ip().ported(x.proto, from, to) }
			quote := ask(1000, 53).Bytes()
			about := b.ip().ICMP(p.pick(3, 1), p.pick(3, 4), 0, quote)
			rule := Allow(false, p.v6, int16(x.proto), 50, 60)
			out = append(out,
				Case{p.title(x.name + " ports of a rule"), only(p.dst, Stateful(rule)), []Send{p.passes(ask(1000, 53)), p.passes(ask(1000, 50)), p.passes(ask(1000, 60)),
					p.dropped(ask(1000, 49), reason.PolicyIngress), p.dropped(ask(1000, 61), reason.PolicyIngress), p.dropped(p.ip().UDP(1000, 53, nil), reason.PolicyIngress)}},
				Case{p.title(x.name + " replies under the default group"), only(p.src, Stateful(Any(true, p.v6))), []Send{
					b.dropped(tell(53, 1000), reason.PolicyIngress), p.passes(ask(1000, 53)), b.passes(tell(53, 1000)), p.passes(ask(1000, 53)),
					b.dropped(tell(54, 1000), reason.PolicyIngress)}},
				Case{p.title("an error about " + x.name), only(p.src, Stateful(Any(true, p.v6))), []Send{
					b.dropped(about, reason.PolicyIngress), p.passes(ask(1000, 53)), b.passes(about)}},
				Case{p.title("a removed rule ends the connection of " + x.name), only(p.dst, Stateful(rule)), []Send{p.passes(ask(1000, 53)), b.passes(tell(53, 1000)),
					b.dropped(tell(53, 1000), reason.PolicyIngress).after(only(p.dst, Stateful())), b.dropped(tell(53, 1000), reason.PolicyIngress),
					b.dropped(tell(53, 1001), reason.PolicyEgress)}},
				single(p.title("a later fragment of "+x.name), p.passes(p.part(ask(1000, 53), 8, 8))),
			)
		}
		out = append(out, portlessCases(p)...)
	}
	return out
}

// portlessCases: a connection of a protocol without ports is all of it between two addresses.
func portlessCases(p place) []Case {
	b := p.back()
	gre := func(q place, proto uint8) IP { return q.ip().with(proto, bytesOf(24)) }
	about := b.ip().ICMP(p.pick(3, 1), p.pick(2, 1), 0, gre(p, 47).Bytes())
	group := only(p.src, Stateful(Any(true, p.v6)))
	return []Case{
		{p.title("another protocol's replies under the default group"), group, []Send{b.dropped(gre(b, 47), reason.PolicyIngress), p.passes(gre(p, 47)),
			b.passes(gre(b, 47)), b.dropped(gre(b, 50), reason.PolicyIngress)}},
		{p.title("an error about another protocol"), group, []Send{b.dropped(about, reason.PolicyIngress), p.passes(gre(p, 47)), b.passes(about)}},
		{p.title("a removed rule ends the connection of another protocol"), only(p.dst, Stateful(Allow(false, p.v6, 47, -1, -1))), []Send{
			p.passes(gre(p, 47)), b.passes(gre(b, 47)), b.dropped(gre(b, 47), reason.PolicyIngress).after(only(p.dst, Stateful(Any(true, p.v6)))),
			b.dropped(gre(b, 47), reason.PolicyIngress), p.dropped(gre(p, 47), reason.PolicyIngress)}},
	}
}
