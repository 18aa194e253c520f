package dptest

import (
	"encoding/binary"
	"net/netip"

	"github.com/weft-cloud/weft/internal/model"
)

// Ether puts an Ethernet header before payload.
func Ether(dst, src model.MAC, etherType uint16, payload []byte) []byte {
	b := make([]byte, 0, 14+len(payload))
	b = append(b, dst[:]...)
	b = append(b, src[:]...)
	b = binary.BigEndian.AppendUint16(b, etherType)
	return append(b, payload...)
}

// IP is an IP packet of either family, told by Src. Zero fields get the usual values: TTL 64; lengths and checksums
// are computed.
type IP struct {
	Src, Dst netip.Addr
	Proto    uint8
	TTL      uint8
	TOS      uint8
	ID       uint16
	// DF, More and Offset (in bytes) are IPv4's; Options must be a multiple of 4 long.
	DF, More bool
	Offset   int
	Options  []byte
	Payload  []byte
}

// Bytes is the packet without an Ethernet header.
func (p IP) Bytes() []byte {
	if p.TTL == 0 {
		p.TTL = 64
	}
	if p.Src.Is4() {
		return p.bytes4()
	}
	b := make([]byte, 40, 40+len(p.Payload))
	b[0], b[1] = 6<<4|p.TOS>>4, p.TOS<<4
	binary.BigEndian.PutUint16(b[4:], uint16(len(p.Payload)))
	b[6], b[7] = p.Proto, p.TTL
	copy(b[8:], p.Src.AsSlice())
	copy(b[24:], p.Dst.AsSlice())
	return append(b, p.Payload...)
}

func (p IP) bytes4() []byte {
	hlen := 20 + len(p.Options)
	b := make([]byte, hlen, hlen+len(p.Payload))
	b[0], b[1] = 4<<4|byte(hlen/4), p.TOS
	binary.BigEndian.PutUint16(b[2:], uint16(hlen+len(p.Payload)))
	binary.BigEndian.PutUint16(b[4:], p.ID)
	frag := uint16(p.Offset / 8)
	if p.DF {
		frag |= 0x4000
	}
	if p.More {
		frag |= 0x2000
	}
	binary.BigEndian.PutUint16(b[6:], frag)
	b[8], b[9] = p.TTL, p.Proto
	copy(b[12:], p.Src.AsSlice())
	copy(b[16:], p.Dst.AsSlice())
	copy(b[20:], p.Options)
	binary.BigEndian.PutUint16(b[10:], checksum(0, b))
	return append(b, p.Payload...)
}

// Frame is the packet from src to dst, with an Ethernet header.
func (p IP) Frame(dst, src model.MAC) []byte {
	etherType := uint16(0x0800)
	if !p.Src.Is4() {
		etherType = 0x86dd
	}
	return Ether(dst, src, etherType, p.Bytes())
}

// checksum is RFC 1071's over b and a partial sum.
func checksum(acc uint32, b []byte) uint16 {
	for i, v := range b {
		if i%2 == 0 {
			acc += uint32(v) << 8
		} else {
			acc += uint32(v)
		}
	}
	for acc > 0xffff {
		acc = acc&0xffff + acc>>16
	}
	return ^uint16(acc)
}

// upperChecksum is the checksum of an upper layer with its pseudo header.
func upperChecksum(src, dst netip.Addr, proto uint8, b []byte) uint16 {
	var acc uint32
	for _, a := range [][]byte{src.AsSlice(), dst.AsSlice()} {
		for i := 0; i < len(a); i += 2 {
			acc += uint32(a[i])<<8 | uint32(a[i+1])
		}
	}
	return checksum(acc+uint32(proto)+uint32(len(b)), b)
}

// UDP makes a UDP datagram inside ip, with its checksum.
func (p IP) UDP(sport, dport uint16, data []byte) IP {
	b := make([]byte, 8, 8+len(data))
	binary.BigEndian.PutUint16(b, sport)
	binary.BigEndian.PutUint16(b[2:], dport)
	binary.BigEndian.PutUint16(b[4:], uint16(8+len(data)))
	b = append(b, data...)
	c := upperChecksum(p.Src, p.Dst, 17, b)
	if c == 0 {
		c = 0xffff
	}
	binary.BigEndian.PutUint16(b[6:], c)
	p.Proto, p.Payload = 17, b
	return p
}

// TCP flags.
const (
	FIN = 1
	SYN = 2
	RST = 4
	PSH = 8
	ACK = 16
)

// TCP makes a TCP segment inside ip, with its checksum.
func (p IP) TCP(sport, dport uint16, flags uint8, data []byte) IP {
	b := make([]byte, 20, 20+len(data))
	binary.BigEndian.PutUint16(b, sport)
	binary.BigEndian.PutUint16(b[2:], dport)
	binary.BigEndian.PutUint32(b[4:], 1000)
	b[12], b[13] = 5<<4, flags
	if flags&ACK != 0 {
		binary.BigEndian.PutUint32(b[8:], 2000)
	}
	binary.BigEndian.PutUint16(b[14:], 0xffff)
	b = append(b, data...)
	binary.BigEndian.PutUint16(b[16:], upperChecksum(p.Src, p.Dst, 6, b))
	p.Proto, p.Payload = 6, b
	return p
}

// ICMP makes an ICMP or ICMPv6 message inside ip: rest are the four bytes after the checksum.
func (p IP) ICMP(typ, code uint8, rest uint32, data []byte) IP {
	b := make([]byte, 8, 8+len(data))
	b[0], b[1] = typ, code
	binary.BigEndian.PutUint32(b[4:], rest)
	b = append(b, data...)
	if p.Src.Is4() {
		p.Proto = 1
		binary.BigEndian.PutUint16(b[2:], checksum(0, b))
	} else {
		p.Proto = 58
		binary.BigEndian.PutUint16(b[2:], upperChecksum(p.Src, p.Dst, 58, b))
	}
	p.Payload = b
	return p
}

// Ping makes an echo request.
func (p IP) Ping(ident, seq uint16) IP {
	typ := uint8(8)
	if !p.Src.Is4() {
		typ = 128
	}
	return p.ICMP(typ, 0, uint32(ident)<<16|uint32(seq), []byte("weft ping payload: 0123456789abcdef"))
}

// Extend puts an IPv6 extension header of type typ before the payload; body is what follows its two first bytes.
func (p IP) Extend(typ uint8, body []byte) IP {
	b := append([]byte{p.Proto, byte((len(body)+2)/8 - 1)}, body...)
	p.Proto, p.Payload = typ, append(b, p.Payload...)
	return p
}

// Fragment6 makes an IPv6 fragment of the payload's bytes from offset on, size long.
func (p IP) Fragment6(ident uint32, offset, size int) IP {
	data := p.Payload[offset:]
	more := uint16(0)
	if size < len(data) {
		data, more = data[:size], 1
	}
	b := []byte{p.Proto, 0, 0, 0, 0, 0, 0, 0}
	binary.BigEndian.PutUint16(b[2:], uint16(offset)|more)
	binary.BigEndian.PutUint32(b[4:], ident)
	p.Proto, p.Payload = 44, append(b, data...)
	return p
}

// Fragment4 is the same for IPv4.
func (p IP) Fragment4(ident uint16, offset, size int) IP {
	data := p.Payload[offset:]
	if size < len(data) {
		data, p.More = data[:size], true
	}
	p.ID, p.Offset, p.Payload = ident, offset, data
	return p
}

// ARP makes an ARP packet in its Ethernet frame.
type ARP struct {
	Op                   uint16
	SenderMAC, TargetMAC model.MAC
	Sender, Target       netip.Addr
}

// Frame from the sender's MAC to dst.
func (a ARP) Frame(dst model.MAC) []byte {
	b := []byte{0, 1, 8, 0, 6, 4, 0, byte(a.Op)}
	b = append(b, a.SenderMAC[:]...)
	b = append(b, a.Sender.AsSlice()...)
	b = append(b, a.TargetMAC[:]...)
	b = append(b, a.Target.AsSlice()...)
	return Ether(dst, a.SenderMAC, 0x0806, b)
}

// Solicit makes a neighbour solicitation for target, with the source's MAC as option unless src is unspecified.
func Solicit(srcMAC model.MAC, src, target netip.Addr) []byte {
	t := target.As16()
	dst := netip.AddrFrom16([16]byte{0xff, 2, 11: 1, 12: 0xff, 13: t[13], 14: t[14], 15: t[15]})
	data := target.AsSlice()
	if !src.IsUnspecified() {
		data = append(append(data, 1, 1), srcMAC[:]...)
	}
	p := IP{Src: src, Dst: dst, TTL: 255}.ICMP(135, 0, 0, data)
	return p.Frame(model.MAC{0x33, 0x33, 0xff, t[13], t[14], t[15]}, srcMAC)
}

// NA flags.
const (
	NARouter    = 0x80
	NASolicited = 0x40
	NAOverride  = 0x20
)

// Advertise makes a neighbour advertisement of target at mac, from target.
func Advertise(target netip.Addr, at, dstMAC model.MAC, dst netip.Addr, flags uint8) []byte {
	data := append(append(target.AsSlice(), 2, 1), at[:]...)
	return IP{Src: target, Dst: dst, TTL: 255}.ICMP(136, 0, uint32(flags)<<24, data).Frame(dstMAC, at)
}

// LinkLocal is the IPv6 link-local address made of a MAC (RFC 4291, appendix A).
func LinkLocal(m model.MAC) netip.Addr {
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: m[0] ^ 2, 9: m[1], 10: m[2], 11: 0xff, 12: 0xfe, 13: m[3], 14: m[4], 15: m[5]})
}
