package dptest

import (
	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/hostplan"
)

// part is the piece of x from offset on, size long.
func (p place) part(x IP, offset, size int) IP {
	if p.v6 {
		return x.Fragment6(0x01020304, offset, size)
	}
	return x.Fragment4(0x0102, offset, size)
}

// guarded gives every port the policy.
func guarded(rules ...hostplan.Rule) func(*Cloud) {
	return func(c *Cloud) {
		for i := range c.Ports {
			c.Ports[i].Policy = Stateful(rules...)
		}
	}
}

// fragmentCases: fragments pass as they are; under port rules they follow their first.
func fragmentCases() []Case {
	var out []Case
	for _, p := range places() {
		x := p.ip().UDP(1000, 2000, bytesOf(1600))
		first, second, third := p.part(x, 0, 800), p.part(x, 800, 400), p.part(x, 1200, 2000)
		out = append(out, single(p.title("fragments in order without rules"), p.passes(first)))
		out[len(out)-1].Sends = append(out[len(out)-1].Sends, p.passes(second), p.passes(third))
		out = append(out, single(p.title("a later fragment alone without rules"), p.passes(second)))
		allow := guarded(Allow(true, p.v6, 17, 2000, 2000), Allow(false, p.v6, 17, 2000, 2000))
		out = append(out,
			Case{p.title("fragments in order under a port rule"), allow, []Send{p.passes(first), p.passes(second), p.passes(third)}},
			Case{p.title("fragments in another order under a port rule"), allow, []Send{p.passes(first), p.passes(third), p.passes(second)}},
			Case{p.title("overlapping fragments under a port rule"), allow, []Send{p.passes(first), p.passes(p.part(x, 400, 800)), p.passes(second)}},
			Case{p.title("a later fragment before its first"), allow, []Send{p.dropped(second, reason.FragmentOrphan), p.passes(first), p.passes(second)}},
			Case{p.title("a later fragment of another datagram"), allow, []Send{p.passes(first), p.dropped(p.otherID(x), reason.FragmentOrphan)}},
			Case{p.title("fragments of a forbidden port"), guarded(Allow(true, p.v6, 17, 2001, 2001), Allow(false, p.v6, 17, 2001, 2001)),
				[]Send{p.dropped(first, reason.PolicyEgress), p.dropped(second, reason.PolicyEgress)}},
		)
		tcp := p.ip().TCP(1000, 2000, SYN, bytesOf(100))
		out = append(out, single(p.title("a first fragment too small for its TCP header"), p.dropped(p.part(tcp, 0, 16), reason.Malformed)))
		out = append(out, single(p.title("a first fragment too small for its TCP header's options"), p.dropped(p.part(tcpOptions(p), 0, 24), reason.Malformed)))
		if p.routed() {
			late := second
			late.TTL = 1
			out = append(out, single(p.title("a later fragment with TTL 1 is not answered"), p.dropped(late, reason.TTLExceeded)))
			early := first
			early.TTL = 1
			out = append(out, single(p.title("a first fragment with TTL 1 is answered"),
				p.refused(early, reason.TTLExceeded, p.routerError(early, p.pick(11, 3), 0, 0))))
			ping := IP{Src: p.ip().Src, Dst: DemoAddr(0, 1, p.v6)}.ICMP(p.pick(8, 128), 0, 1, bytesOf(800))
			q := place{p.name, p.src, "blue1", p.v6}
			out = append(out, single(p.title("a fragmented ping to the router"), q.dropped(p.part(ping, 0, 400), reason.ClosedPort)))
		}
	}
	return out
}

// otherID is a later fragment of x with another identifier.
func (p place) otherID(x IP) IP {
	if p.v6 {
		return x.Fragment6(77, 800, 400)
	}
	return x.Fragment4(77, 800, 400)
}

// tcpOptions is a SYN whose header is 40 bytes long.
func tcpOptions(p place) IP {
	x := p.ip().TCP(1000, 2000, SYN, bytesOf(60))
	x.Payload[12] = 10 << 4
	return x
}
