package forward

import (
	"encoding/binary"
	"net/netip"
)

// sum adds the 16-bit words of b to acc (RFC 1071); an odd last byte counts as if a zero byte followed it.
func sum(acc uint32, b []byte) uint32 {
	for len(b) >= 2 {
		acc += uint32(b[0])<<8 | uint32(b[1])
		b = b[2:]
		acc = acc&0xffff + acc>>16
	}
	if len(b) == 1 {
		acc += uint32(b[0]) << 8
	}
	return acc&0xffff + acc>>16
}

// fold is the one's complement of acc, the value of a checksum field.
func fold(acc uint32) uint16 {
	acc = acc&0xffff + acc>>16
	acc = acc&0xffff + acc>>16
	return ^uint16(acc)
}

// update gives the checksum after a 16-bit word changed (RFC 1624, equation 3).
func update(check, from, to uint16) uint16 {
	return fold(uint32(^check) + uint32(^from) + uint32(to))
}

// pseudo is the sum of the pseudo header of RFC 8200, section 8.1 (and of RFC 768 for IPv4: the layout differs, the sum
// does not).
func pseudo(src, dst netip.Addr, proto uint8, length int) uint32 {
	acc := sum(0, src.AsSlice())
	acc = sum(acc, dst.AsSlice())
	acc += uint32(length>>16) + uint32(length&0xffff) + uint32(proto)
	return acc
}

// icmp6Checksum is the checksum of an ICMPv6 message whose checksum field is to be taken as zero.
func icmp6Checksum(src, dst netip.Addr, msg []byte) uint16 {
	acc := pseudo(src, dst, protoICMPv6, len(msg))
	acc = sum(acc, msg[:2])
	return fold(sum(acc, msg[4:]))
}

// icmp4Checksum is the same for ICMPv4, which has no pseudo header.
func icmp4Checksum(msg []byte) uint16 { return fold(sum(sum(0, msg[:2]), msg[4:])) }

func be16(b []byte) uint16 { return binary.BigEndian.Uint16(b) }
func be32(b []byte) uint32 { return binary.BigEndian.Uint32(b) }

func put16(b []byte, v uint16) { binary.BigEndian.PutUint16(b, v) }
func put32(b []byte, v uint32) { binary.BigEndian.PutUint32(b, v) }
