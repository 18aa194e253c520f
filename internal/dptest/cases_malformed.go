package dptest

import (
	"encoding/binary"

	"github.com/weft-cloud/weft/internal/dataplane/reason"
)

// malformedCases: headers that are cut short or contradict themselves.
func malformedCases() []Case {
	var out []Case
	for _, p := range places() {
		out = append(out, p.malformed("TCP", []mangle{
			{"TCP header cut short", func(b []byte) []byte { return p.cut(b, 19) }},
			{"TCP offset below 5", func(b []byte) []byte { b[p.l4()+12] = 4 << 4; return b }},
			{"TCP offset behind the end", func(b []byte) []byte { b[p.l4()+12] = 15 << 4; return b }},
			{"only an Ethernet header", func(b []byte) []byte { return b[:14] }},
			{"IP header cut short", func(b []byte) []byte { return b[:14+int(p.pick(19, 39))] }},
			{"wrong IP version", func(b []byte) []byte { b[14] = b[14]&15 | 5<<4; return b }},
			{"the other family's version", func(b []byte) []byte { b[14] = b[14]&15 | p.pick(6, 4)<<4; return b }},
			{"longer by its header than the frame", func(b []byte) []byte { return b[:len(b)-1] }},
		})...)
		out = append(out, p.malformed("UDP", []mangle{{"UDP header cut short", func(b []byte) []byte { return p.cut(b, 7) }}})...)
		out = append(out, p.malformed("SCTP", []mangle{{"SCTP header cut short", func(b []byte) []byte { return p.cut(b, 11) }}})...)
		out = append(out, p.malformed("UDP-Lite", []mangle{{"UDP-Lite header cut short", func(b []byte) []byte { return p.cut(b, 7) }}})...)
		out = append(out, p.malformed("DCCP", []mangle{{"DCCP header cut short", func(b []byte) []byte { return p.cut(b, 11) }}})...)
		out = append(out, p.malformed("ICMP", []mangle{{"ICMP header cut short", func(b []byte) []byte { return p.cut(b, 7) }}})...)
		if p.v6 {
			out = append(out, p.malformed6()...)
		} else {
			out = append(out, p.malformed("TCP", []mangle{
				{"header length below 5", func(b []byte) []byte { b[14] = 0x44; return b }},
				{"header longer than the packet", func(b []byte) []byte { b[14] = 0x4f; return p.setLength(b, 40) }},
				{"total length below the header", func(b []byte) []byte { return p.setLength(b, 19) }},
				{"total length 0", func(b []byte) []byte { return p.setLength(b, 0) }},
			})...)
		}
	}
	for _, n := range []int{0, 1, 13} {
		out = append(out, single([]string{"an empty frame", "a frame of one byte", "a frame of 13 bytes"}[min(n, 2)],
			Send{From: "red1", Frame: make([]byte, n), Want: Want{Reason: reason.Malformed}}))
	}
	return out
}

type mangle struct {
	name string
	do   func([]byte) []byte
}

// l4 is where the upper layer of a packet without options starts in the frame.
func (p place) l4() int { return 14 + int(p.pick(20, 40)) }

// setLength writes the length of the packet, header included.
func (p place) setLength(b []byte, n int) []byte {
	if p.v6 {
		binary.BigEndian.PutUint16(b[18:], uint16(n-40))
	} else {
		binary.BigEndian.PutUint16(b[16:], uint16(n))
	}
	return b
}

// cut shortens frame and length so that n bytes of upper layer are left.
func (p place) cut(b []byte, n int) []byte { return p.setLength(b[:p.l4()+n], p.l4()-14+n) }

func (p place) malformed(kind string, ms []mangle) []Case {
	var out []Case
	for _, m := range ms {
		x := map[string]IP{
			"TCP": p.ip().TCP(1, 2, SYN, nil), "UDP": p.ip().UDP(1, 2, nil), "ICMP": p.ip().Ping(1, 1), "SCTP": p.ip().with(132, bytesOf(12)),
			"UDP-Lite": p.ip().with(136, bytesOf(8)), "DCCP": p.ip().with(33, bytesOf(12)),
		}[kind]
		out = append(out, single(p.title(m.name), Send{From: p.src, Frame: m.do(p.frame(x)), Want: Want{Reason: reason.Malformed}}))
	}
	return out
}

func (p place) malformed6() []Case {
	bad := func(name string, x IP) Case { return single(p.title(name), p.dropped(x, reason.Malformed)) }
	udp := p.ip().UDP(1, 2, bytesOf(20))
	mapped := udp
	mapped.Src = mustAddr("::ffff:172.16.42.11")
	long := udp.Extend(60, []byte{1, 4, 0, 0, 0, 0})
	long.Payload[1] = 200
	return []Case{
		bad("nine extension headers", extended(udp, 9)),
		bad("an extension header longer than the packet", long),
		bad("an extension header cut short", p.ip().with(0, []byte{17, 0, 1, 4})),
		bad("a fragment header cut short", p.ip().with(44, []byte{17, 0, 0, 0, 0, 0})),
		bad("no payload but a next header", p.ip().with(17, nil)),
		bad("an IPv4-mapped destination", IP{Src: udp.Src, Dst: mustAddr("::ffff:172.16.42.12"), Proto: 17, Payload: udp.Payload}),
		bad("an IPv4-mapped source", mapped),
	}
}
