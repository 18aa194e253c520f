// Package frame takes apart and puts together the Ethernet frames that the agent's own services receive and send: UDP
// and ICMPv6, over IPv4 and IPv6, checksums included.
//
// It exists because the services speak to instances in whole frames (dataplane.Punt, Plane.Inject) and have no socket.
// It knows no protocol above UDP and ICMPv6, holds no state and does no I/O.
package frame

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/weft-cloud/weft/internal/model"
)

// EtherTypes, and the numbers of the protocols that are spoken here.
const (
	etherIPv4 = 0x0800
	etherIPv6 = 0x86dd
	protoTCP  = 6
	protoUDP  = 17
	protoICMP = 58
	etherLen  = 14
	ipv4Len   = 20
	ipv6Len   = 40
	udpLen    = 8
)

// ErrFormat is returned for a frame that is cut short, contradicts itself, or is not of the protocol asked for.
var ErrFormat = errors.New("malformed frame")

// UDP is one datagram with everything around it that matters to a service.
type UDP struct {
	SrcMAC, DstMAC model.MAC
	// Src and Dst are of one family.
	Src, Dst netip.AddrPort
	Payload  []byte
}

// ICMP6 is one ICMPv6 message. Body is everything behind the checksum field.
type ICMP6 struct {
	SrcMAC, DstMAC model.MAC
	Src, Dst       netip.Addr
	HopLimit       uint8
	Type, Code     uint8
	Body           []byte
}

// IP is what both families' headers come to. IPv4 options are left out; IPv6 extension headers are part of the payload.
type IP struct {
	SrcMAC, DstMAC model.MAC
	Src, Dst       netip.Addr
	Proto, Hops    uint8
	Payload        []byte
}

// ParseUDP reads a frame that holds one unfragmented datagram. Payload shares memory with b. The UDP checksum is not
// looked at: a guest with checksum offload has not filled it in, and the packet never crossed a wire.
func ParseUDP(b []byte) (UDP, error) {
	p, err := ParseIP(b)
	if err != nil {
		return UDP{}, err
	}
	if p.Proto != protoUDP || len(p.Payload) < udpLen {
		return UDP{}, fmt.Errorf("no whole UDP header: %w", ErrFormat)
	}
	n := int(binary.BigEndian.Uint16(p.Payload[4:]))
	if n < udpLen || n > len(p.Payload) {
		return UDP{}, fmt.Errorf("UDP length %d of %d: %w", n, len(p.Payload), ErrFormat)
	}
	return UDP{
		SrcMAC: p.SrcMAC, DstMAC: p.DstMAC,
		Src:     netip.AddrPortFrom(p.Src, binary.BigEndian.Uint16(p.Payload[0:])),
		Dst:     netip.AddrPortFrom(p.Dst, binary.BigEndian.Uint16(p.Payload[2:])),
		Payload: p.Payload[udpLen:n],
	}, nil
}

// ParseICMP6 reads a frame that holds one ICMPv6 message without extension headers. Its checksum must be right: ICMPv6 is
// computed by the sender's stack also where UDP and TCP are offloaded.
func ParseICMP6(b []byte) (ICMP6, error) {
	p, err := ParseIP(b)
	if err != nil {
		return ICMP6{}, err
	}
	if p.Proto != protoICMP || !p.Src.Is6() || len(p.Payload) < 4 {
		return ICMP6{}, fmt.Errorf("no whole ICMPv6 header: %w", ErrFormat)
	}
	if sum := pseudo(p.Src, p.Dst, protoICMP, p.Payload); fold(sum) != 0xffff {
		return ICMP6{}, fmt.Errorf("ICMPv6 checksum: %w", ErrFormat)
	}
	return ICMP6{
		SrcMAC: p.SrcMAC, DstMAC: p.DstMAC, Src: p.Src, Dst: p.Dst, HopLimit: p.Hops,
		Type: p.Payload[0], Code: p.Payload[1], Body: p.Payload[4:],
	}, nil
}

// ParseIP reads a frame that holds one unfragmented packet. Payload shares memory with b.
func ParseIP(b []byte) (IP, error) {
	if len(b) < etherLen {
		return IP{}, fmt.Errorf("%d bytes: %w", len(b), ErrFormat)
	}
	p := IP{DstMAC: model.MAC(b[0:6]), SrcMAC: model.MAC(b[6:12])}
	switch kind := binary.BigEndian.Uint16(b[12:]); kind {
	case etherIPv4:
		return parseIPv4(p, b[etherLen:])
	case etherIPv6:
		return parseIPv6(p, b[etherLen:])
	default:
		return IP{}, fmt.Errorf("EtherType %#04x: %w", kind, ErrFormat)
	}
}

func parseIPv4(p IP, b []byte) (IP, error) {
	if len(b) < ipv4Len || b[0]>>4 != 4 {
		return IP{}, fmt.Errorf("no IPv4 header: %w", ErrFormat)
	}
	head, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	if head < ipv4Len || head > total || total > len(b) {
		return IP{}, fmt.Errorf("IPv4 header %d, total %d of %d: %w", head, total, len(b), ErrFormat)
	}
	if binary.BigEndian.Uint16(b[6:])&0x3fff != 0 { // more fragments, or an offset
		return IP{}, fmt.Errorf("IPv4 fragment: %w", ErrFormat)
	}
	if fold(sum(0, b[:head])) != 0xffff {
		return IP{}, fmt.Errorf("IPv4 header checksum: %w", ErrFormat)
	}
	p.Src, p.Dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	p.Hops, p.Proto, p.Payload = b[8], b[9], b[head:total]
	return p, nil
}

func parseIPv6(p IP, b []byte) (IP, error) {
	if len(b) < ipv6Len || b[0]>>4 != 6 {
		return IP{}, fmt.Errorf("no IPv6 header: %w", ErrFormat)
	}
	n := int(binary.BigEndian.Uint16(b[4:]))
	if ipv6Len+n > len(b) {
		return IP{}, fmt.Errorf("IPv6 payload %d of %d: %w", n, len(b)-ipv6Len, ErrFormat)
	}
	p.Src, p.Dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	if p.Src.Is4In6() || p.Dst.Is4In6() {
		return IP{}, fmt.Errorf("IPv4-mapped address: %w", ErrFormat)
	}
	p.Proto, p.Hops, p.Payload = b[6], b[7], b[ipv6Len:ipv6Len+n]
	return p, nil
}

// Bytes is the datagram as a frame: TTL or hop limit 64, no fragmentation (DF for IPv4), checksums filled in.
func (u UDP) Bytes() []byte {
	seg := make([]byte, udpLen, udpLen+len(u.Payload))
	binary.BigEndian.PutUint16(seg[0:], u.Src.Port())
	binary.BigEndian.PutUint16(seg[2:], u.Dst.Port())
	binary.BigEndian.PutUint16(seg[4:], uint16(udpLen+len(u.Payload))) //nolint:gosec // callers keep to an MTU
	seg = append(seg, u.Payload...)
	c := ^fold(pseudo(u.Src.Addr(), u.Dst.Addr(), protoUDP, seg))
	if c == 0 { // 0 would say "not computed" (RFC 768)
		c = 0xffff
	}
	binary.BigEndian.PutUint16(seg[6:], c)
	return IP{SrcMAC: u.SrcMAC, DstMAC: u.DstMAC, Src: u.Src.Addr(), Dst: u.Dst.Addr(), Proto: protoUDP, Hops: 64, Payload: seg}.Bytes()
}

// Bytes is the message as a frame, with its checksum.
func (m ICMP6) Bytes() []byte {
	seg := make([]byte, 4, 4+len(m.Body))
	seg[0], seg[1] = m.Type, m.Code
	seg = append(seg, m.Body...)
	binary.BigEndian.PutUint16(seg[2:], ^fold(pseudo(m.Src, m.Dst, protoICMP, seg)))
	return IP{SrcMAC: m.SrcMAC, DstMAC: m.DstMAC, Src: m.Src, Dst: m.Dst, Proto: protoICMP, Hops: m.HopLimit, Payload: seg}.Bytes()
}

// Bytes is the packet as a frame.
func (p IP) Bytes() []byte {
	b := make([]byte, 0, etherLen+ipv6Len+len(p.Payload))
	b = append(b, p.DstMAC[:]...)
	b = append(b, p.SrcMAC[:]...)
	kind := uint16(etherIPv6)
	if p.Src.Is4() {
		kind = etherIPv4
	}
	return p.AppendPacket(binary.BigEndian.AppendUint16(b, kind))
}

// AppendPacket appends the packet without an Ethernet header.
func (p IP) AppendPacket(b []byte) []byte {
	if p.Src.Is4() {
		h := [ipv4Len]byte{0: 0x45, 6: 0x40, 8: p.Hops, 9: p.Proto}
		binary.BigEndian.PutUint16(h[2:], uint16(ipv4Len+len(p.Payload))) //nolint:gosec // callers keep to an MTU
		src, dst := p.Src.As4(), p.Dst.As4()
		copy(h[12:], src[:])
		copy(h[16:], dst[:])
		binary.BigEndian.PutUint16(h[10:], ^fold(sum(0, h[:])))
		b = append(b, h[:]...)
		return append(b, p.Payload...)
	}
	h := [ipv6Len]byte{0: 0x60, 6: p.Proto, 7: p.Hops}
	binary.BigEndian.PutUint16(h[4:], uint16(len(p.Payload))) //nolint:gosec // callers keep to an MTU
	src, dst := p.Src.As16(), p.Dst.As16()
	copy(h[8:], src[:])
	copy(h[24:], dst[:])
	b = append(b, h[:]...)
	return append(b, p.Payload...)
}

// ParsePacket is ParseIP for a packet without an Ethernet header.
func ParsePacket(b []byte) (IP, error) {
	if len(b) > 0 && b[0]>>4 == 6 {
		return parseIPv6(IP{}, b)
	}
	return parseIPv4(IP{}, b)
}

// Checksum fills in the checksum of the TCP or UDP header in Payload, for the addresses that p has now; it reports false if
// Payload does not begin with one of them.
func (p IP) Checksum() bool {
	at, ok := p.checksumAt()
	if !ok {
		return false
	}
	p.Payload[at], p.Payload[at+1] = 0, 0
	c := ^fold(pseudo(p.Src, p.Dst, p.Proto, p.Payload))
	if c == 0 && p.Proto == protoUDP {
		c = 0xffff
	}
	binary.BigEndian.PutUint16(p.Payload[at:], c)
	return true
}

// Sound reports whether the checksum of the TCP or UDP header in Payload is right; UDP over IPv4 may do without.
func (p IP) Sound() bool {
	switch {
	case p.Proto == protoUDP && len(p.Payload) >= udpLen:
		n := int(binary.BigEndian.Uint16(p.Payload[4:]))
		if n < udpLen || n > len(p.Payload) {
			return false
		}
		if p.Payload[6] == 0 && p.Payload[7] == 0 {
			return p.Src.Is4()
		}
		return fold(pseudo(p.Src, p.Dst, p.Proto, p.Payload[:n])) == 0xffff
	case p.Proto == protoTCP && len(p.Payload) >= 20:
		return fold(pseudo(p.Src, p.Dst, p.Proto, p.Payload)) == 0xffff
	}
	return false
}

// Complete finishes, in place, the checksum of a TCP or UDP header that holds only the sum over the pseudo-header: that is what a stack
// with checksum offload leaves for the network card to go on from. A frame that user space puts in again has lost the kernel's mark that
// this is still to be done, and would reach its receiver broken. Any other value stays as it is, right or wrong, and so does what is no
// whole TCP or UDP packet.
func Complete(b []byte) {
	p, err := ParseIP(b)
	if err != nil {
		return
	}
	at, ok := p.checksumAt()
	if ok && binary.BigEndian.Uint16(p.Payload[at:]) == fold(pseudoHeader(p.Src, p.Dst, p.Proto, len(p.Payload))) {
		p.Checksum()
	}
}

// checksumAt is where the checksum is in the TCP or UDP header at the beginning of Payload; false: there is none.
func (p IP) checksumAt() (int, bool) {
	at, least := 16, 20
	if p.Proto == protoUDP {
		at, least = 6, udpLen
	}
	return at, (p.Proto == protoTCP || p.Proto == protoUDP) && len(p.Payload) >= least
}

// sum adds the 16-bit words of b to acc (RFC 1071).
func sum(acc uint32, b []byte) uint32 {
	for ; len(b) >= 2; b = b[2:] {
		acc += uint32(b[0])<<8 | uint32(b[1])
		acc = acc&0xffff + acc>>16
	}
	if len(b) == 1 {
		acc += uint32(b[0]) << 8
	}
	return acc
}

func fold(acc uint32) uint16 {
	for acc > 0xffff {
		acc = acc&0xffff + acc>>16
	}
	return uint16(acc) //nolint:gosec // folded
}

// pseudo sums the segment behind its pseudo-header.
func pseudo(src, dst netip.Addr, proto uint8, seg []byte) uint32 {
	return sum(pseudoHeader(src, dst, proto, len(seg)), seg)
}

// pseudoHeader sums the pseudo-header of a segment of that many bytes (RFC 768; RFC 8200, section 8.1).
func pseudoHeader(src, dst netip.Addr, proto uint8, n int) uint32 {
	acc := sum(uint32(proto), src.AsSlice())
	acc = sum(acc, dst.AsSlice())
	return acc + uint32(n) //nolint:gosec // at most 65535
}
