package model

import "net/netip"

// The kinds of local IPs.
const (
	KindLocalIP            Kind = "local_ip"
	KindLocalIPAssociation Kind = "local_ip_association"
)

// The identifiers of local IPs. An association's is its own; clients name it by its port.
type (
	LocalIPID            struct{ UUID }
	LocalIPAssociationID struct{ UUID }
)

// OwnerLocalIP is the owner of a port that was made to hold a local IP's address.
const OwnerLocalIP = "network:local_ip"

// LocalIP is an address that means, on every host, the associated port of that host (API reference: local IPs).
type LocalIP struct {
	ID        LocalIPID  `json:"id"`
	ProjectID string     `json:"project_id"`
	Name      string     `json:"name,omitempty"`
	NetworkID NetworkID  `json:"network_id"`
	PortID    PortID     `json:"port_id"` // holds Address
	Address   netip.Addr `json:"address"`
	Mode      string     `json:"mode"` // LocalIPTranslate or LocalIPPassthrough
	Meta
}

// Modes of a local IP.
const (
	LocalIPTranslate   = "translate"
	LocalIPPassthrough = "passthrough"
)

// LocalIPAssociation makes a local IP lead to a port's address on that port's host.
type LocalIPAssociation struct {
	ID      LocalIPAssociationID `json:"id"`
	LocalIP LocalIPID            `json:"local_ip"`
	PortID  PortID               `json:"port_id"`
	FixedIP netip.Addr           `json:"fixed_ip"` // of PortID
	Meta
}
