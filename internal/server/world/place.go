package world

import (
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"strings"

	"github.com/weft-cloud/weft/internal/model"
)

// The places of keys and of values by which rows are ordered. Different keys have different places.

func byUUID[K identified](k K) wide { return bits(k.Bits()) }

func bits(u model.UUID) wide {
	return wide{binary.BigEndian.Uint64(u[:8]), binary.BigEndian.Uint64(u[8:])}
}

// byText orders texts of up to 32 bytes as they are, and longer ones anyhow.
func byText(s string) wide {
	b := textBits(s, 32)
	return wide{binary.BigEndian.Uint64(b[:]), binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[16:]), binary.BigEndian.Uint64(b[24:])}
}

// textBits is a text of up to size bytes itself, of any other a hash of as many.
func textBits(s string, size int) (b [32]byte) {
	if len(s) <= size && strings.IndexByte(s, 0) < 0 {
		copy(b[:], s)
		return b
	}
	b = sha256.Sum256([]byte(s))
	clear(b[size:])
	return b
}

// byPair orders by an identifier, and among equal ones by a text of up to 16 bytes.
func byPair(u model.UUID, s string) wide {
	p, b := bits(u), textBits(s, 16)
	p[2], p[3] = binary.BigEndian.Uint64(b[:]), binary.BigEndian.Uint64(b[8:])
	return p
}

func byCarrier(c Carrier) wide {
	b := textBits(c.Type+"/"+c.Physnet, 16)
	return wide{binary.BigEndian.Uint64(b[:]), binary.BigEndian.Uint64(b[8:]), uint64(c.ID)}
}

// at is an address on a subnet: the same address may be on many.
type at struct {
	subnet model.SubnetID
	addr   netip.Addr
}

func byAt(a at) wide {
	p, b := bits(a.subnet.Bits()), a.addr.As16()
	p[2], p[3] = binary.BigEndian.Uint64(b[:]), binary.BigEndian.Uint64(b[8:])
	return p
}

// address is the address of a place that byAt made.
func (p *wide) address() netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], p[2])
	binary.BigEndian.PutUint64(b[8:], p[3])
	return netip.AddrFrom16(b).Unmap()
}

// Hashes of the values that an index looks up. Two values may have the same: what is found is compared with what was
// wanted.

func hashUUID[K identified](k K) uint64 {
	b := k.Bits()
	return binary.BigEndian.Uint64(b[:])
}

// hashText is FNV-1a.
func hashText(s string) uint64 {
	h := uint64(0xcbf29ce484222325)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 0x100000001b3
	}
	return h
}

func hashMAC(m model.MAC) uint64 {
	return binary.BigEndian.Uint64(append(make([]byte, 2, 8), m[:]...))
}

func hashAddr(a netip.Addr) uint64 {
	b := a.As16()
	return hashText(string(b[:]))
}
