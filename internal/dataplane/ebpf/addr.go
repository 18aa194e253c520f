package ebpf

import (
	"encoding/binary"
	"net/netip"

	"github.com/weft-cloud/weft/internal/model"
)

// ip16 is the form of an address in every map: IPv4 as ::ffff:a.b.c.d.
func ip16(a netip.Addr) weftIp {
	b := a.As16()
	return weftIp{D: [2]uint64{binary.NativeEndian.Uint64(b[:8]), binary.NativeEndian.Uint64(b[8:])}}
}

func addrOf(a weftIp) netip.Addr {
	var b [16]byte
	binary.NativeEndian.PutUint64(b[:8], a.D[0])
	binary.NativeEndian.PutUint64(b[8:], a.D[1])
	return netip.AddrFrom16(b).Unmap()
}

// lpm is a prefix as key of the maps routes, subnets, sources and class_net.
func lpm(id uint32, p netip.Prefix) weftLpmKey {
	return weftLpmKey{Plen: 32 + bits(p), Id: id, Addr: ip16(p.Masked().Addr())}
}

// bits is the length of a prefix in the form of ip16.
func bits(p netip.Prefix) uint32 {
	n := uint32(p.Bits()) //nolint:gosec // 0..128
	if p.Addr().Is4() {
		n += 96
	}
	return n
}

// eui64 is the link-local address of a MAC (RFC 4291, appendix A).
func eui64(m model.MAC) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 8: m[0] ^ 2, 9: m[1], 10: m[2], 11: 0xff, 12: 0xfe, 13: m[3], 14: m[4], 15: m[5]})
}

func be32(a netip.Addr) uint32 {
	if !a.Is4() {
		return 0
	}
	b := a.As4()
	return binary.NativeEndian.Uint32(b[:])
}

func be16(v uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	return binary.NativeEndian.Uint16(b[:])
}
