package wire

import (
	"fmt"
	"net/netip"

	"github.com/weft-cloud/weft/internal/model"
)

// AddrBytes is an address as the messages carry it: 4 or 16 bytes, none for an invalid one.
func AddrBytes(a netip.Addr) []byte {
	if !a.IsValid() {
		return nil
	}
	return a.AsSlice()
}

// ParseAddr reads AddrBytes; no bytes are the invalid address.
func ParseAddr(b []byte) (netip.Addr, error) {
	if len(b) == 0 {
		return netip.Addr{}, nil
	}
	a, ok := netip.AddrFromSlice(b)
	if !ok {
		return netip.Addr{}, fmt.Errorf("address of %d bytes, want 4 or 16", len(b))
	}
	return a, nil
}

// FromPrefix is a prefix as the messages carry it; nil for an invalid one.
func FromPrefix(p netip.Prefix) *Prefix {
	if !p.IsValid() {
		return nil
	}
	return &Prefix{Address: p.Addr().AsSlice(), Bits: uint32(p.Bits())}
}

// ParsePrefix reads FromPrefix; nil is the invalid prefix.
func ParsePrefix(p *Prefix) (netip.Prefix, error) {
	if p == nil {
		return netip.Prefix{}, nil
	}
	a, err := ParseAddr(p.Address)
	if err != nil {
		return netip.Prefix{}, err
	}
	out := netip.PrefixFrom(a, int(p.Bits))
	if !out.IsValid() {
		return netip.Prefix{}, fmt.Errorf("prefix %v/%d", a, p.Bits)
	}
	return out, nil
}

// ID is an identifier's bytes; none for the zero one.
func ID(u model.UUID) []byte {
	if u.IsZero() {
		return nil
	}
	return u[:]
}

// ParseID reads ID.
func ParseID(b []byte) (model.UUID, error) {
	switch len(b) {
	case 0:
		return model.UUID{}, nil
	case 16:
		return model.UUID(b), nil
	}
	return model.UUID{}, fmt.Errorf("identifier of %d bytes, want 16", len(b))
}

func parseMAC(b []byte) (model.MAC, error) {
	switch len(b) {
	case 0:
		return model.MAC{}, nil
	case 6:
		return model.MAC(b), nil
	}
	return model.MAC{}, fmt.Errorf("MAC of %d bytes, want 6", len(b))
}

func macBytes(m model.MAC) []byte {
	if m.IsZero() {
		return nil
	}
	return m[:]
}

// FromPosition and ParsePosition carry a position.
func FromPosition(p model.Position) *Position {
	return &Position{Lineage: ID(p.Lineage), Revision: p.Revision}
}

// ParsePosition reads FromPosition; nil is the zero position.
func ParsePosition(p *Position) (model.Position, error) {
	u, err := ParseID(p.GetLineage())
	return model.Position{Lineage: u, Revision: p.GetRevision()}, err
}
