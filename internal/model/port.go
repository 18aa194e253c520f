package model

import (
	"encoding/json"
	"net/netip"
)

// Device owners (neutron-lib's constants).
const (
	OwnerComputePrefix        = "compute:"
	OwnerNetworkPrefix        = "network:"
	OwnerRouterInterface      = "network:router_interface"
	OwnerDVRInterface         = "network:router_interface_distributed"
	OwnerHAInterface          = "network:ha_router_replicated_interface"
	OwnerRouterHA             = "network:router_ha_interface"
	OwnerRouterGateway        = "network:router_gateway"
	OwnerRouterSNAT           = "network:router_centralized_snat"
	OwnerFloatingIP           = "network:floatingip"
	OwnerFloatingAgentGateway = "network:floatingip_agent_gateway"
	OwnerDHCP                 = "network:dhcp"
	OwnerDistributed          = "network:distributed"
	OwnerTrunkSubport         = "trunk:subport"
)

// VIF types (binding:vif_type).
const (
	VIFUnbound       = "unbound"
	VIFBindingFailed = "binding_failed"
	VIFDistributed   = "distributed"
	VIFTap           = "tap"
	// VIFOther is a bare-metal machine's: it is on its physical network by itself, and no agent plugs it in.
	VIFOther = "other"
	VIFOVS   = "ovs"
)

// VNICBaremetal is the binding:vnic_type of a whole machine (Ironic).
const VNICBaremetal = "baremetal"

// VNICNormal is the default of binding:vnic_type.
const VNICNormal = "normal"

// Port is a point of attachment to a network (API reference: ports).
type Port struct {
	ID             PortID            `json:"id"`
	NetworkID      NetworkID         `json:"network_id"`
	ProjectID      string            `json:"project_id"`
	Name           string            `json:"name,omitempty"`
	MAC            MAC               `json:"mac"`
	AdminStateUp   bool              `json:"admin_state_up"` // beside the MAC's six bytes there is room for two more
	PortSecurity   bool              `json:"port_security"`
	FixedIPs       []FixedIP         `json:"fixed_ips,omitempty"`
	DeviceID       string            `json:"device_id,omitempty"`
	DeviceOwner    string            `json:"device_owner,omitempty"`
	Status         string            `json:"status"`
	SecurityGroups []SecurityGroupID `json:"security_groups,omitempty"` // sorted
	AddressPairs   []AddressPair     `json:"address_pairs,omitempty"`
	ExtraDHCP      []ExtraDHCPOpt    `json:"extra_dhcp,omitempty"`
	DNSName        string            `json:"dns_name,omitempty"`
	DNSDomain      string            `json:"dns_domain,omitempty"`
	QoSPolicy      QoSPolicyID       `json:"qos_policy,omitzero"`
	// The binding (extension portbindings). A distributed port (DVR interface) has VIFType VIFDistributed, no Host, and a
	// PortBinding per host instead.
	Host       string          `json:"host,omitempty"`
	VNICType   string          `json:"vnic_type,omitempty"`
	VIFType    string          `json:"vif_type,omitempty"`
	VIFDetails json.RawMessage `json:"vif_details,omitempty"`
	Profile    json.RawMessage `json:"profile,omitempty"`

	PropagateUplinkStatus bool `json:"propagate_uplink_status,omitempty"`
	// RarePort is read by Rare and written by SetRare.
	*RarePort
	// Learned is what the port was the last to announce besides its FixedIPs (see docs/pipeline.md): single addresses, with
	// the MACs. Sorted. No client sees it.
	Learned []AddressPair `json:"learned,omitempty"`
	// IPAllocation is "", "immediate", "deferred" or "none".
	IPAllocation string `json:"ip_allocation,omitempty"`
	Meta
}

// RarePort is what few ports have. The others point to none, since a server holds each of them in memory: Port is to have at most 480
// bytes, the size of which Go's allocator then takes a piece.
type RarePort struct {
	DataPlaneStatus    string          `json:"data_plane_status,omitempty"`
	DeviceProfile      string          `json:"device_profile,omitempty"`
	NUMAAffinityPolicy string          `json:"numa_affinity_policy,omitempty"`
	Hints              json.RawMessage `json:"hints,omitempty"`
	HardwareOffload    string          `json:"hardware_offload,omitempty"` // hardware_offload_type
}

// Rare is what the port has of those, each empty if it has none.
func (p *Port) Rare() RarePort {
	if p.RarePort == nil {
		return RarePort{}
	}
	return *p.RarePort
}

// SetRare changes what the port has of those; what other copies of the port have stays as it is.
func (p *Port) SetRare(change func(*RarePort)) {
	r := p.Rare()
	change(&r)
	p.RarePort = &r
	if r.DataPlaneStatus == "" && r.DeviceProfile == "" && r.NUMAAffinityPolicy == "" && len(r.Hints) == 0 && r.HardwareOffload == "" {
		p.RarePort = nil
	}
}

// FixedIP is an address of a port on one of its network's subnets.
type FixedIP struct {
	SubnetID SubnetID   `json:"subnet_id"`
	Address  netip.Addr `json:"address"`
}

// AddressPair lets a port send from (and be sent to at) Prefix under MAC (zero: the port's own).
type AddressPair struct {
	MAC    MAC          `json:"mac,omitzero"`
	Prefix netip.Prefix `json:"prefix"`
	// Host: the client wrote an address without a length; it is shown so again.
	Host bool `json:"host,omitempty"`
}

// ExtraDHCPOpt is one of extra_dhcp_opts.
type ExtraDHCPOpt struct {
	Name      string `json:"name"`
	Value     string `json:"value"`
	IPVersion int    `json:"ip_version"`
}

// PortBinding is one host's binding of a port: a distributed port's on a host that routes for it, or an extended binding
// (live migration's target). Its key is port and host.
type PortBinding struct {
	PortID     PortID          `json:"port_id"`
	Host       string          `json:"host"`
	VNICType   string          `json:"vnic_type,omitempty"`
	VIFType    string          `json:"vif_type,omitempty"`
	VIFDetails json.RawMessage `json:"vif_details,omitempty"`
	Profile    json.RawMessage `json:"profile,omitempty"`
	// Status of an extended binding is ACTIVE or INACTIVE (the binding's), of a distributed one the port's status there.
	Status string `json:"status"`
	// Distributed tells the two apart.
	Distributed bool     `json:"distributed,omitempty"`
	RouterID    RouterID `json:"router_id,omitzero"`
	Meta
}

// IsRouterInterface reports whether the port is a router's leg on an internal network (not its gateway, not SNAT).
func (p *Port) IsRouterInterface() bool {
	switch p.DeviceOwner {
	case OwnerRouterInterface, OwnerDVRInterface, OwnerHAInterface:
		return true
	}
	return false
}

// PluggedIn reports whether the port is bound to a host whose agent plugs it in, as far as the binding tells.
func (p *Port) PluggedIn() bool {
	return p.Host != "" && p.VIFType != VIFBindingFailed && p.VIFType != VIFUnbound && p.VIFType != VIFOther
}
