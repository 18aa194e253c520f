package model

import "net/netip"

// Network types (provider:network_type).
const (
	TypeVXLAN = "vxlan"
	TypeFlat  = "flat"
	TypeVLAN  = "vlan"
	TypeLocal = "local"
	TypeGRE   = "gre"
)

// Statuses of networks, ports, routers and floating IPs.
const (
	StatusActive = "ACTIVE"
	StatusDown   = "DOWN"
	StatusBuild  = "BUILD"
	StatusError  = "ERROR"
)

// Network is a layer 2 broadcast domain (API reference: networks). Its provider attributes are its Segments.
type Network struct {
	ID           NetworkID   `json:"id"`
	ProjectID    string      `json:"project_id"`
	Name         string      `json:"name"`
	AdminStateUp bool        `json:"admin_state_up"`
	MTU          uint32      `json:"mtu"`
	External     bool        `json:"external,omitempty"`
	IsDefault    bool        `json:"is_default,omitempty"`
	PortSecurity bool        `json:"port_security"`
	DNSDomain    string      `json:"dns_domain,omitempty"`
	QoSPolicy    QoSPolicyID `json:"qos_policy,omitzero"`
	// VLANTransparent: nil = not asked for.
	VLANTransparent *bool    `json:"vlan_transparent,omitempty"`
	AZHints         []string `json:"az_hints,omitempty"`
	// DHCPOn are the DHCP agents that have the network, DHCPOff those that it was taken from by hand.
	DHCPOn  []AgentID `json:"dhcp_on,omitempty"`
	DHCPOff []AgentID `json:"dhcp_off,omitempty"`
	Meta
}

// Segment is one way in which a network is carried (API reference: segments). A network has at least one; the provider
// attributes show it if it is the only one.
type Segment struct {
	ID          SegmentID `json:"id"`
	NetworkID   NetworkID `json:"network_id"`
	Name        string    `json:"name,omitempty"`
	NetworkType string    `json:"network_type"`
	Physnet     string    `json:"physnet,omitempty"`
	// SegmentationID is the VNI or VLAN; 0 for types that have none.
	SegmentationID uint32 `json:"segmentation_id,omitempty"`
	Index          int    `json:"index,omitempty"` // order within the network
	Meta
}

// Subnet is a range of addresses on a network (API reference: subnets).
type Subnet struct {
	ID               SubnetID     `json:"id"`
	NetworkID        NetworkID    `json:"network_id"`
	ProjectID        string       `json:"project_id"`
	Name             string       `json:"name"`
	CIDR             netip.Prefix `json:"cidr"`
	GatewayIP        netip.Addr   `json:"gateway_ip"` // invalid = null
	EnableDHCP       bool         `json:"enable_dhcp"`
	Pools            []AddrRange  `json:"pools"` // sorted
	DNS              []netip.Addr `json:"dns,omitempty"`
	HostRoutes       []Route      `json:"host_routes,omitempty"`
	RAMode           string       `json:"ra_mode,omitempty"`      // ipv6_ra_mode: "", slaac, dhcpv6-stateful, dhcpv6-stateless
	AddressMode      string       `json:"address_mode,omitempty"` // ipv6_address_mode
	PoolID           SubnetPoolID `json:"subnetpool_id,omitzero"`
	PrefixDelegation bool         `json:"prefix_delegation,omitempty"` // subnetpool_id is "prefix_delegation"
	SegmentID        SegmentID    `json:"segment_id,omitzero"`
	ServiceTypes     []string     `json:"service_types,omitempty"`
	PublishDNS       bool         `json:"publish_dns,omitempty"` // dns_publish_fixed_ip
	Meta
}

// IPv6 modes of subnets.
const (
	ModeSLAAC     = "slaac"
	ModeStateful  = "dhcpv6-stateful"
	ModeStateless = "dhcpv6-stateless"
)

// AutoAddressed reports whether ports get their address in s by EUI-64 of their MAC and without asking (SLAAC or
// DHCPv6 stateless). Either mode says so: who hears such advertisements makes that address, whatever else was said.
func (s *Subnet) AutoAddressed() bool {
	return autoMode(s.AddressMode) || autoMode(s.RAMode)
}

func autoMode(m string) bool { return m == ModeSLAAC || m == ModeStateless }

// IPVersion is 4 or 6.
func (s *Subnet) IPVersion() int {
	if s.CIDR.Addr().Is4() {
		return 4
	}
	return 6
}

// AddrRange is the addresses from First to Last, both included, of one family.
type AddrRange struct {
	First netip.Addr `json:"first"`
	Last  netip.Addr `json:"last"`
}

// Contains reports whether a is in the range.
func (r AddrRange) Contains(a netip.Addr) bool {
	return r.First.Compare(a) <= 0 && a.Compare(r.Last) <= 0 && r.First.Is4() == a.Is4()
}

// Route sends Destination to NextHop.
type Route struct {
	Destination netip.Prefix `json:"destination"`
	NextHop     netip.Addr   `json:"nexthop"`
}
