package model

import "net/netip"

// FloatingIP is an address of an external network that a router forwards to a port's (API reference: floatingips).
type FloatingIP struct {
	ID        FloatingIPID `json:"id"`
	ProjectID string       `json:"project_id"`
	NetworkID NetworkID    `json:"network_id"` // the external network
	Address   netip.Addr   `json:"address"`
	// OwnPort holds Address on the external network (device_owner network:floatingip).
	OwnPort PortID `json:"own_port"`
	// Port and FixedIP are what it forwards to; zero: nothing.
	Port    PortID     `json:"port,omitzero"`
	FixedIP netip.Addr `json:"fixed_ip,omitzero"`
	// Router forwards: to FixedIP, or by the port forwardings.
	Router    RouterID    `json:"router,omitzero"`
	QoSPolicy QoSPolicyID `json:"qos_policy,omitzero"`
	DNSName   string      `json:"dns_name,omitempty"`
	DNSDomain string      `json:"dns_domain,omitempty"`
	// Since is the revision at which it was last made to lead elsewhere, by itself or by its port forwardings. ActiveAt is the
	// host which has said since then that it is programmed there; "": none. It is ACTIVE if that is the host which it is
	// placed on.
	Since    uint64 `json:"since,omitempty"`
	ActiveAt string `json:"active_at,omitempty"`
	Meta
}

// PortRange is the ports from First to Last, both included.
type PortRange struct {
	First uint16 `json:"first"`
	Last  uint16 `json:"last"`
}

// Overlaps reports whether the ranges have a port in common.
func (r PortRange) Overlaps(o PortRange) bool { return r.First <= o.Last && o.First <= r.Last }

// PortForwarding sends some ports of a floating IP to a port's address (API reference: port forwardings). External has
// as many ports as Internal, or Internal has one.
type PortForwarding struct {
	ID         PortForwardingID `json:"id"`
	FloatingIP FloatingIPID     `json:"floatingip"`
	Port       PortID           `json:"port"`
	Address    netip.Addr       `json:"address"` // of Port
	Protocol   string           `json:"protocol"`
	Internal   PortRange        `json:"internal"`
	External   PortRange        `json:"external"`
	Meta
}

// ConntrackHelper lets a router's connection tracking follow a protocol (API reference: conntrack helpers).
type ConntrackHelper struct {
	ID       ConntrackHelperID `json:"id"`
	Router   RouterID          `json:"router"`
	Protocol string            `json:"protocol"`
	Port     int               `json:"port"`
	Helper   string            `json:"helper"`
	Meta
}
