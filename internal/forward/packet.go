package forward

import (
	"net/netip"

	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/model"
)

const (
	ethLen   = 14
	ipv4Len  = 20
	ipv6Len  = 40
	arpLen   = 28
	icmpLen  = 8
	fragHdr  = 8
	maxChain = 8 // IPv6 extension headers that are walked; more are Malformed
)

const (
	etherIPv4 = 0x0800
	etherARP  = 0x0806
	etherIPv6 = 0x86dd
	etherVLAN = 0x8100
	etherQinQ = 0x88a8
)

const (
	protoHopByHop = 0
	protoICMP     = 1
	protoTCP      = 6
	protoUDP      = 17
	protoDCCP     = 33
	protoRouting  = 43
	protoFragment = 44
	protoAH       = 51
	protoICMPv6   = 58
	protoNone     = 59
	protoDestOpts = 60
	protoSCTP     = 132
	protoUDPLite  = 136
)

// packet is a parsed frame. It never owns frame.
type packet struct {
	frame     []byte
	dst, src  model.MAC
	etherType uint16
	ip        *ipHeader // nil if etherType is not IP
	// segment is the payload of one segment of a large frame; 0: the frame is not to be cut.
	segment int
}

// ipHeader is what the stages need of an IPv4 or IPv6 packet.
type ipHeader struct {
	v6       bool
	src, dst netip.Addr
	ttl      uint8
	// proto is the upper layer protocol, after IPv6 extension headers.
	proto uint8
	// length is that of the packet as its header says, l4 the offset of the upper layer from the IP header's start.
	length, l4 int
	df         bool
	// Fragments: id, offset in bytes, more to come.
	frag   bool
	id     uint32
	offset int
	more   bool
	// fragHeader: an IPv6 fragment header, also one of a packet that is whole.
	fragHeader bool
	sourced    bool // IPv4 loose or strict source route, IPv6 routing header type 0
	// Ports of TCP, UDP, SCTP, DCCP and UDP-Lite, or type, code and (in sport) identifier of ICMP; only if upper.
	upper        bool
	sport, dport uint16
	icmpType     uint8
	icmpCode     uint8
	tcpFlags     uint8
	upperLen     int // of the upper layer's header, if it is one of those
}

// later reports whether the packet is a fragment other than the first.
func (h *ipHeader) later() bool { return h.offset > 0 }

// icmp reports whether the packet carries the ICMP of its family, with a readable header.
func (h *ipHeader) icmp() bool {
	return h.upper && (h.v6 && h.proto == protoICMPv6 || !h.v6 && h.proto == protoICMP)
}

// payload is the upper layer of p, as long as the IP header says.
func (p *packet) payload() []byte { return p.frame[ethLen+p.ip.l4 : ethLen+p.ip.length] }

// l3 is everything after the Ethernet header.
func (p *packet) l3() []byte { return p.frame[ethLen:] }

// parse reads a frame's headers. The reason is None, Malformed or BadChecksum; with another one than None the packet has
// its Ethernet fields if the frame is long enough for them.
func parse(frame []byte) (packet, reason.Reason) {
	p := packet{frame: frame}
	if len(frame) < ethLen {
		return p, reason.Malformed
	}
	p.dst, p.src = model.MAC(frame[0:6]), model.MAC(frame[6:12])
	p.etherType = be16(frame[12:])
	var why reason.Reason
	switch p.etherType {
	case etherIPv4:
		p.ip, why = parseIPv4(frame[ethLen:])
	case etherIPv6:
		p.ip, why = parseIPv6(frame[ethLen:])
	}
	return p, why
}

func parseIPv4(b []byte) (*ipHeader, reason.Reason) {
	if len(b) < ipv4Len || b[0]>>4 != 4 {
		return nil, reason.Malformed
	}
	hlen := int(b[0]&15) * 4
	h := &ipHeader{
		src: netip.AddrFrom4([4]byte(b[12:16])), dst: netip.AddrFrom4([4]byte(b[16:20])),
		ttl: b[8], proto: b[9], length: int(be16(b[2:])), l4: hlen, id: uint32(be16(b[4:])),
	}
	if hlen < ipv4Len || h.length < hlen || h.length > len(b) {
		return nil, reason.Malformed
	}
	flags := be16(b[6:])
	h.df, h.more, h.offset = flags&0x4000 != 0, flags&0x2000 != 0, int(flags&0x1fff)*8
	h.frag = h.more || h.offset > 0
	h.sourced = sourceRoute(b[ipv4Len:hlen])
	return h, parseUpper(h, b[hlen:h.length])
}

// sourceRoute reports whether IPv4 options (RFC 791, section 3.1) hold a loose or strict source route. It stops at an
// option that is cut short.
func sourceRoute(o []byte) bool {
	for len(o) > 0 && o[0] != 0 {
		switch o[0] {
		case 1:
			o = o[1:]
			continue
		case 131, 137: // loose, strict
			return true
		}
		if len(o) < 2 || o[1] < 2 || int(o[1]) > len(o) {
			return false
		}
		o = o[o[1]:]
	}
	return false
}

func parseIPv6(b []byte) (*ipHeader, reason.Reason) {
	if len(b) < ipv6Len || b[0]>>4 != 6 {
		return nil, reason.Malformed
	}
	h := &ipHeader{
		v6: true, df: true,
		src: netip.AddrFrom16([16]byte(b[8:24])), dst: netip.AddrFrom16([16]byte(b[24:40])),
		ttl: b[7], proto: b[6], length: ipv6Len + int(be16(b[4:])), l4: ipv6Len,
	}
	switch {
	case h.length > len(b), h.src.Is4In6(), h.dst.Is4In6(), h.length == ipv6Len && h.proto != protoNone:
		return nil, reason.Malformed
	}
	b = b[:h.length]
	for n := 0; ; n++ {
		size, last := extension(h, b[h.l4:])
		if size < 0 {
			return nil, reason.Malformed
		}
		if size == 0 {
			break
		}
		if n == maxChain {
			return nil, reason.Malformed
		}
		h.l4 += size
		if last {
			break
		}
	}
	return h, parseUpper(h, b[h.l4:])
}

// extension reads one IPv6 extension header at b, of type h.proto, and moves h.proto on. size is its length, 0 if
// h.proto is no extension header, -1 if it is cut short; last: what follows is not a header (a later fragment).
func extension(h *ipHeader, b []byte) (size int, last bool) {
	switch h.proto {
	case protoHopByHop, protoRouting, protoDestOpts:
		if len(b) < 8 {
			return -1, false
		}
		size = 8 + int(b[1])*8
		if h.proto == protoRouting && b[2] == 0 {
			h.sourced = true
		}
	case protoAH:
		if len(b) < 8 {
			return -1, false
		}
		size = 8 + int(b[1])*4
	case protoFragment:
		if len(b) < fragHdr {
			return -1, false
		}
		size = fragHdr
		h.fragHeader, h.id, h.offset, h.more = true, be32(b[4:]), int(be16(b[2:])&^7), b[3]&1 != 0
		last = h.offset > 0
		h.frag = last || h.more // else it is whole, an "atomic" one (RFC 6946)
	default:
		return 0, false
	}
	if size > len(b) {
		return -1, false
	}
	h.proto = b[0]
	return size, last
}

// upperLen is how much of a protocol's header must be in the packet (or its first fragment) to be judged.
func upperLen(h *ipHeader) int {
	switch h.proto {
	case protoTCP:
		return 20
	case protoUDP, protoUDPLite:
		return 8
	case protoSCTP, protoDCCP:
		return 12
	case protoICMP:
		if !h.v6 {
			return icmpLen
		}
	case protoICMPv6:
		if h.v6 {
			return icmpLen
		}
	}
	return 0
}

// parseUpper reads ports, or type and code, unless the packet is a later fragment.
func parseUpper(h *ipHeader, b []byte) reason.Reason {
	if h.later() {
		return reason.None
	}
	need := upperLen(h)
	if len(b) < need {
		return reason.Malformed
	}
	h.upperLen = need
	if h.proto == protoTCP {
		h.tcpFlags, h.upperLen = b[13], int(b[12]>>4)*4
		if h.upperLen < need || h.upperLen > len(b) {
			return reason.Malformed
		}
	}
	if need > 0 {
		readPorts(h, b)
	}
	return reason.None
}

// readPorts reads ports, or type, code and identifier (into sport), of an upper layer header of at least 8 bytes.
func readPorts(h *ipHeader, b []byte) {
	switch h.proto {
	case protoTCP, protoUDP, protoSCTP, protoDCCP, protoUDPLite:
		h.upper, h.sport, h.dport = true, be16(b), be16(b[2:])
	case protoICMP, protoICMPv6:
		if h.v6 == (h.proto == protoICMPv6) {
			h.upper, h.icmpType, h.icmpCode, h.sport = true, b[0], b[1], be16(b[4:])
		}
	}
}
