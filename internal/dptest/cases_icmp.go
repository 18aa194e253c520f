package dptest

import (
	"github.com/weft-cloud/weft/internal/dataplane/reason"
)

// icmpCases: ICMP errors between instances under stateful groups reach the right connection and nobody else.
func icmpCases() []Case {
	var out []Case
	for _, p := range places() {
		b := p.back()
		group := only(p.src, Stateful(Any(true, p.v6)))
		udp := p.ip().UDP(1000, 33434, bytesOf(600))
		tcp := p.ip().TCP(1000, 80, SYN, nil)
		ping := p.ip().Ping(8, 1)
		about := func(x IP, n int) IP {
			q := x.Bytes()
			return b.ip().ICMP(p.pick(3, 1), p.pick(3, 4), 0, q[:min(len(q), n)])
		}
		tooBig := func(x IP) IP {
			return b.ip().ICMP(p.pick(3, 2), p.pick(4, 0), 1300, x.Bytes()[:int(p.pick(20, 40))+8])
		}
		short := int(p.pick(28, 48))
		stranger := p.ip().UDP(1001, 33434, nil)
		inner := p.part(udp, 0, 400)
		out = append(out,
			Case{p.title("port unreachable with a short quote"), group, []Send{p.passes(udp), b.passes(about(udp, short))}},
			Case{p.title("port unreachable with a long quote"), group, []Send{p.passes(udp), b.passes(about(udp, 548))}},
			Case{p.title("port unreachable with an extended quote"), group, []Send{p.passes(udp), b.passes(p.extended(b, udp))}},
			Case{p.title("an extended quote of no connection"), group, []Send{p.passes(udp), b.dropped(p.extended(b, stranger), reason.PolicyIngress)}},
			Case{p.title("too big reaches the TCP connection it is about"), group, []Send{p.passes(tcp), b.passes(tooBig(tcp))}},
			Case{p.title("an error about a ping"), group, []Send{p.passes(ping), b.passes(about(ping, 548))}},
			Case{p.title("an error about no connection"), group, []Send{p.passes(udp), b.dropped(about(stranger, 548), reason.PolicyIngress)}},
			Case{p.title("an error with a quote too short to tell"), group, []Send{p.passes(udp), b.dropped(about(udp, short-1), reason.PolicyIngress)}},
			Case{p.title("an error without a quote"), group, []Send{p.passes(udp), b.dropped(about(udp, 0), reason.PolicyIngress)}},
			Case{p.title("an error about one's own direction"), group, []Send{p.passes(udp),
				b.dropped(b.ip().ICMP(p.pick(3, 1), p.pick(3, 4), 0, b.ip().UDP(33434, 1000, nil).Bytes()), reason.PolicyIngress)}},
			Case{p.title("an error is no way in"), group, []Send{p.passes(udp), b.passes(about(udp, 548)), b.dropped(b.ip().UDP(1, 2, nil), reason.PolicyIngress)}},
		)
		if !p.v6 {
			out = append(out, Case{p.title("an error about a first fragment"), group, []Send{p.passes(udp), b.passes(about(inner, 548))}})
		}
	}
	return out
}

// extended is a port unreachable from b about x with 128 bytes of quote, zeros where x is shorter, and an object of MPLS labels
// behind it (RFC 4884, section 4; the length of the quote is in words of 4 bytes for IPv4, of 8 for IPv6; RFC 4950).
func (p place) extended(b place, x IP) IP {
	quote := make([]byte, 128)
	copy(quote, x.Bytes())
	object := []byte{0x20, 0, 0xdf, 0x0f, 0, 8, 1, 1, 0, 0x01, 0x01, 0x40}
	rest := uint32(128 / 4 << 16)
	if p.v6 {
		rest = 128 / 8 << 24
	}
	return b.ip().ICMP(p.pick(3, 1), p.pick(3, 4), rest, append(quote, object...))
}
