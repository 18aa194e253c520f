package forward

import "net/netip"

// translated puts the addresses of r.nat into a frame made of the packet, and into what it quotes as an ICMP error (RFC 3022,
// section 4.3; RFC 5508). Checksums are changed by the difference, so that a wrong one stays wrong. It writes frame.
func (r *run) translated(frame []byte) []byte {
	h, b := r.p.ip, frame[ethLen:]
	if h.v6 {
		return frame // never translated
	}
	if h.icmp() && errorType4(h.icmpType) {
		r.translateQuote(b[:h.length])
	}
	for _, x := range []struct {
		to netip.Addr
		at int
	}{{r.nat.src, 12}, {r.nat.dst, 16}} {
		if x.to.IsValid() {
			translate(b[:h.length], h.l4, x.at, x.to, h.later())
		}
	}
	return frame
}

// translate changes one address of an IPv4 packet, whose upper layer begins at l4. later: there is no upper layer's header.
func translate(b []byte, l4, at int, to netip.Addr, later bool) {
	from := be32(b[at:])
	put32(b[at:], be32(to.AsSlice()))
	put16(b[10:], update32(be16(b[10:]), from, be32(b[at:])))
	sum := checkAt(b[9])
	if later || sum == 0 || l4+sum+2 > len(b) {
		return
	}
	old := be16(b[l4+sum:])
	if b[9] == protoUDP && old == 0 {
		return // none (RFC 768)
	}
	c := update32(old, from, be32(b[at:]))
	if b[9] == protoUDP && c == 0 {
		c = 0xffff
	}
	put16(b[l4+sum:], c)
}

// checkAt is where, behind the start of its header, a protocol has a checksum that covers the addresses, too; 0: nowhere.
func checkAt(proto uint8) int {
	switch proto {
	case protoTCP:
		return 16
	case protoUDP, protoUDPLite, protoDCCP:
		return 6
	}
	return 0
}

// update32 is update for a 32-bit word.
func update32(check uint16, from, to uint32) uint16 {
	return update(update(check, uint16(from>>16), uint16(to>>16)), uint16(from), uint16(to))
}

// translateQuote changes the packet that an ICMP error quotes: it went the other way. The error's checksum follows every change.
func (r *run) translateQuote(b []byte) {
	h := r.p.ip
	q := b[h.l4+icmpLen:]
	if len(q) < ipv4Len || q[0]>>4 != 4 || int(q[0]&15)*4 < ipv4Len {
		return
	}
	before := clone(b[h.l4:])
	later := be16(q[6:])&0x1fff != 0
	l4 := int(q[0]&15) * 4
	src, dst := netip.AddrFrom4([4]byte(q[12:16])), netip.AddrFrom4([4]byte(q[16:20]))
	if r.nat.dst.IsValid() && src == h.dst {
		translate(q, l4, 12, r.nat.dst, later)
	}
	if r.nat.src.IsValid() && dst == h.src {
		translate(q, l4, 16, r.nat.src, later)
	}
	sum := be16(b[h.l4+2:])
	for i := 0; i+1 < len(before); i += 2 {
		if from, to := be16(before[i:]), be16(b[h.l4+i:]); from != to {
			sum = update(sum, from, to)
		}
	}
	put16(b[h.l4+2:], sum)
}
