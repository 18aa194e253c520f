package model

import "net/netip"

// SubnetPool is prefixes that subnets are cut from (API reference: subnetpools).
type SubnetPool struct {
	ID               SubnetPoolID   `json:"id"`
	ProjectID        string         `json:"project_id"`
	Name             string         `json:"name"`
	Prefixes         []netip.Prefix `json:"prefixes"` // of one family; sorted, disjoint, merged
	MinPrefixLen     int            `json:"min_prefixlen"`
	MaxPrefixLen     int            `json:"max_prefixlen"`
	DefaultPrefixLen int            `json:"default_prefixlen"`
	// DefaultQuota bounds what a project may have of the pool, in addresses (IPv4) or /64s (IPv6); nil: unlimited.
	DefaultQuota *int           `json:"default_quota,omitempty"`
	IsDefault    bool           `json:"is_default,omitempty"`
	AddressScope AddressScopeID `json:"address_scope,omitzero"`
	// EmptyOf is the family, 4 or 6, of a pool whose prefixes have all been taken away, which its prefixes cannot say any more.
	EmptyOf int `json:"empty_of,omitempty"`
	Meta
}

// IPVersion is 4 or 6.
func (p *SubnetPool) IPVersion() int {
	switch {
	case len(p.Prefixes) == 0 && p.EmptyOf != 0:
		return p.EmptyOf
	case len(p.Prefixes) == 0 && p.MaxPrefixLen > 32: // emptied before EmptyOf was kept
		return 6
	case len(p.Prefixes) == 0 || p.Prefixes[0].Addr().Is4():
		return 4
	}
	return 6
}

// AddressBits is how long an address of the pool's family is.
func (p *SubnetPool) AddressBits() int {
	if p.IPVersion() == 4 {
		return 32
	}
	return 128
}

// AddressScope is a space in which addresses of one family are unique (API reference: address-scopes).
type AddressScope struct {
	ID        AddressScopeID `json:"id"`
	ProjectID string         `json:"project_id"`
	Name      string         `json:"name"`
	IPVersion int            `json:"ip_version"`
	Meta
}
