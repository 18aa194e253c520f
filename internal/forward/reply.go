package forward

import (
	"net/netip"

	"github.com/weft-cloud/weft/internal/model"
)

// ICMP types and codes that are written or judged here (RFC 792, RFC 1812, RFC 4443, RFC 4861).
const (
	icmp4EchoReply   = 0
	icmp4Unreachable = 3
	icmp4Redirect    = 5
	icmp4Quench      = 4
	icmp4Echo        = 8
	icmp4Exceeded    = 11
	icmp4Parameter   = 12

	icmp6Unreachable = 1
	icmp6TooBig      = 2
	icmp6Exceeded    = 3
	icmp6Parameter   = 4
	icmp6Echo        = 128
	icmp6EchoReply   = 129
	icmp6MLDQuery    = 130
	icmp6MLDReport   = 131
	icmp6MLDDone     = 132
	icmp6RS          = 133
	icmp6RA          = 134
	icmp6NS          = 135
	icmp6NA          = 136
	icmp6Redirect    = 137
	icmp6MLDv2       = 143
)

// answerTTL is the TTL and hop limit of packets that a router of ours makes itself, but for ND.
const answerTTL = 64

// quote4 and quote6 bound how many bytes of the offending packet an ICMP error repeats: the whole error stays within 576
// bytes (RFC 1812, section 4.3.2.3) and within the minimum MTU 1280 (RFC 4443, section 2.4 c).
const (
	quote4 = 576 - ipv4Len - icmpLen
	quote6 = 1280 - ipv6Len - icmpLen
)

// flags of a neighbour advertisement (RFC 4861, section 4.4).
const (
	naRouter    = 0x80
	naSolicited = 0x40
	naOverride  = 0x20
)

// tosControl is the precedence of ICMP errors, "internetwork control" (RFC 1812, section 4.3.2.5).
const tosControl = 0xc0

func ethernet(dst, src model.MAC, etherType uint16, size int) []byte {
	b := make([]byte, ethLen+size)
	copy(b, dst[:])
	copy(b[6:], src[:])
	put16(b[12:], etherType)
	return b
}

// arpReply answers the request in p: who has the target address is mac (RFC 826).
func arpReply(p *packet, mac model.MAC) []byte {
	q := p.l3()
	b := ethernet(p.src, mac, etherARP, arpLen)
	a := b[ethLen:]
	copy(a, []byte{0, 1, 8, 0, 6, 4, 0, 2})
	copy(a[8:], mac[:])
	copy(a[14:18], q[24:28])
	copy(a[18:28], q[8:18])
	return b
}

// advertisement answers the neighbour solicitation in p for target (RFC 4861, section 7.2.4): to the asker, or, if the
// asker has no address yet, to all nodes and then not "solicited".
func advertisement(p *packet, target netip.Addr, mac model.MAC, router bool) []byte {
	flags, dst, dstMAC := byte(naOverride|naSolicited), p.ip.src, p.src
	if dst.IsUnspecified() {
		flags, dst, dstMAC = naOverride, netip.IPv6LinkLocalAllNodes(), model.MAC{0x33, 0x33, 0, 0, 0, 1}
	}
	if router {
		flags |= naRouter
	}
	msg := make([]byte, 32)
	msg[0], msg[4] = icmp6NA, flags
	copy(msg[8:], target.AsSlice())
	msg[24], msg[25] = 2, 1 // target link-layer address
	copy(msg[26:], mac[:])
	return packet6(ethernet(dstMAC, mac, etherIPv6, ipv6Len+len(msg)), ipv6Fields{src: target, dst: dst, ttl: 255}, msg)
}

type ipv6Fields struct {
	src, dst netip.Addr
	ttl      uint8
}

// packet6 fills b, an Ethernet header with room behind it, with an IPv6 packet that carries the ICMPv6 message msg.
func packet6(b []byte, f ipv6Fields, msg []byte) []byte {
	put16(msg[2:], icmp6Checksum(f.src, f.dst, msg))
	i := b[ethLen:]
	i[0] = 6 << 4
	put16(i[4:], uint16(len(msg)))
	i[6], i[7] = protoICMPv6, f.ttl
	copy(i[8:], f.src.AsSlice())
	copy(i[24:], f.dst.AsSlice())
	copy(i[ipv6Len:], msg)
	return b
}

// echoReply turns the echo request in p around: source and destination swap, TTL anew, everything else is kept
// (RFC 1122, section 3.2.2.6; RFC 4443, section 4.2).
func echoReply(p *packet) []byte {
	b := clone(p.frame)
	copy(b, p.src[:])
	copy(b[6:], p.dst[:])
	i, m := b[ethLen:], b[ethLen+p.ip.l4:]
	if p.ip.v6 {
		i[7] = answerTTL
		copy(i[8:24], p.l3()[24:40])
		copy(i[24:40], p.l3()[8:24])
		m[0] = icmp6EchoReply
		put16(m[2:], update(be16(m[2:]), icmp6Echo<<8, icmp6EchoReply<<8))
		return b
	}
	copy(i[12:16], p.l3()[16:20])
	copy(i[16:20], p.l3()[12:16])
	from := be16(i[8:])
	i[8] = answerTTL
	put16(i[10:], update(be16(i[10:]), from, be16(i[8:])))
	m[0] = icmp4EchoReply
	put16(m[2:], update(be16(m[2:]), icmp4Echo<<8, icmp4EchoReply<<8))
	return b
}

// icmpError is what an error says: type, code and the 32 bits after the checksum (an MTU, or zero).
type icmpError struct {
	typ, code uint8
	rest      uint32
}

// errorPacket tells the sender of p about e, from src, an address of the router interface that p came to.
//
// The Ethernet source is the MAC that p was sent to.
func errorPacket(p *packet, src netip.Addr, e icmpError) []byte {
	limit := quote4
	if p.ip.v6 {
		limit = quote6
	}
	quote := p.l3()[:min(p.ip.length, limit)]
	msg := make([]byte, icmpLen, icmpLen+len(quote))
	msg[0], msg[1] = e.typ, e.code
	put32(msg[4:], e.rest)
	msg = append(msg, quote...)
	if p.ip.v6 {
		return packet6(ethernet(p.src, p.dst, etherIPv6, ipv6Len+len(msg)), ipv6Fields{src: src, dst: p.ip.src, ttl: answerTTL}, msg)
	}
	put16(msg[2:], icmp4Checksum(msg))
	b := ethernet(p.src, p.dst, etherIPv4, ipv4Len+len(msg))
	i := b[ethLen:]
	i[0], i[1] = 0x45, tosControl
	put16(i[2:], uint16(ipv4Len+len(msg)))
	i[8], i[9] = answerTTL, protoICMP
	copy(i[12:], src.AsSlice())
	copy(i[16:], p.ip.src.AsSlice())
	put16(i[10:], fold(sum(0, i[:ipv4Len])))
	copy(i[ipv4Len:], msg)
	return b
}

// mayAnswer reports whether an ICMP error may be sent about p at all (RFC 1122, section 3.2.2; RFC 4443, section 2.4 e):
// not about an ICMP error, a later fragment, nor from or to what is not one host.
func mayAnswer(p *packet) bool {
	h := p.ip
	switch {
	case h.later(), p.dst.IsMulticast(), h.src.IsUnspecified(), h.src.IsMulticast():
		return false
	case !h.upper:
		return true
	case h.proto == protoICMP && !h.v6:
		return !errorType4(h.icmpType)
	case h.proto == protoICMPv6 && h.v6:
		return h.icmpType >= 128
	}
	return true
}

func errorType4(t uint8) bool {
	switch t {
	case icmp4Unreachable, icmp4Quench, icmp4Redirect, icmp4Exceeded, icmp4Parameter:
		return true
	}
	return false
}

// unroutable: addresses that no router forwards from or to (RFC 1812, sections 4.2.2.11 and 5.3.7; RFC 4291, section 2.5):
// "this network", loopback, link-local, multicast and class E; link-local ones of IPv6 are told apart by the caller.
func unroutable(a netip.Addr) bool {
	if a.Is4() {
		b := a.As4()
		return b[0] == 0 || b[0] == 127 || b[0] >= 224 || b[0] == 169 && b[1] == 254
	}
	return a.IsUnspecified() || a.IsLoopback() || a.IsMulticast()
}

// forwarded is the frame as the last of a number of routers sends it on: TTL less by hops, new MACs.
func forwarded(p *packet, dst, src model.MAC, hops uint8) []byte {
	b := append([]byte(nil), p.frame...)
	copy(b, dst[:])
	copy(b[6:], src[:])
	i := b[ethLen:]
	if p.ip.v6 {
		i[7] -= hops
		return b
	}
	from := be16(i[8:])
	i[8] -= hops
	put16(i[10:], update(be16(i[10:]), from, be16(i[8:])))
	return b
}
