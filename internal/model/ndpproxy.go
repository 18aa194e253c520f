package model

import "net/netip"

// KindNDPProxy is the kind of NDP proxies.
const KindNDPProxy Kind = "ndp_proxy"

// NDPProxyID identifies an NDP proxy.
type NDPProxyID struct{ UUID }

// NDPProxy makes a router answer for an instance's IPv6 address on its external network (API reference: NDP proxies).
type NDPProxy struct {
	ID        NDPProxyID `json:"id"`
	ProjectID string     `json:"project_id"`
	Name      string     `json:"name,omitempty"`
	Router    RouterID   `json:"router"`
	PortID    PortID     `json:"port_id"`
	Address   netip.Addr `json:"address"` // of PortID
	Meta
}
