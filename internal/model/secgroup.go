package model

import "net/netip"

// SecurityGroup is a set of rules that ports refer to (API reference: security groups). Its rules are objects of their
// own.
type SecurityGroup struct {
	ID        SecurityGroupID `json:"id"`
	ProjectID string          `json:"project_id"`
	Name      string          `json:"name"`
	Stateful  bool            `json:"stateful"`
	Meta
}

// SecurityGroupRule allows what it matches; what no rule of a port's groups matches is dropped.
type SecurityGroupRule struct {
	ID        SecurityGroupRuleID `json:"id"`
	ProjectID string              `json:"project_id"`
	GroupID   SecurityGroupID     `json:"security_group_id"`
	// Direction is "ingress" or "egress", EtherType "IPv4" or "IPv6".
	Direction string `json:"direction"`
	EtherType string `json:"ethertype"`
	// Protocol is what the client wrote: a name, a number, or "" for any.
	Protocol string `json:"protocol,omitempty"`
	// PortMin and PortMax are nil where the client gave none.
	PortMin        *int            `json:"port_range_min,omitempty"`
	PortMax        *int            `json:"port_range_max,omitempty"`
	RemotePrefix   netip.Prefix    `json:"remote_ip_prefix,omitzero"`
	RemoteText     string          `json:"remote_text,omitempty"` // remote_ip_prefix as the client wrote it
	RemoteGroup    SecurityGroupID `json:"remote_group_id,omitzero"`
	RemoteAddrs    AddressGroupID  `json:"remote_address_group_id,omitzero"`
	BelongsDefault bool            `json:"belongs_to_default_sg,omitempty"`
	Meta
}

// Values of SecurityGroupRule.
const (
	Ingress  = "ingress"
	Egress   = "egress"
	EtherIP4 = "IPv4"
	EtherIP6 = "IPv6"
)

// AddressGroup is a named list of prefixes that rules may refer to (API reference: address groups).
type AddressGroup struct {
	ID        AddressGroupID `json:"id"`
	ProjectID string         `json:"project_id"`
	Name      string         `json:"name"`
	Addresses []netip.Prefix `json:"addresses,omitempty"` // sorted, masked
	Meta
}
