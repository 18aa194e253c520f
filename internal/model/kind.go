package model

// Kind names a stored kind of object. It is written into the store's log: never rename one.
type Kind string

// The kinds.
const (
	KindNetwork           Kind = "network"
	KindSegment           Kind = "segment"
	KindSubnet            Kind = "subnet"
	KindPort              Kind = "port"
	KindPortBinding       Kind = "port_binding"
	KindRouter            Kind = "router"
	KindAgent             Kind = "agent"
	KindHost              Kind = "host"
	KindSecurityGroup     Kind = "security_group"
	KindSecurityGroupRule Kind = "security_group_rule"
	KindRBACPolicy        Kind = "rbac_policy"
	KindQuota             Kind = "quota"
	KindAddressGroup      Kind = "address_group"
	KindSubnetPool        Kind = "subnetpool"
	KindFloatingIP        Kind = "floatingip"
	KindPortForwarding    Kind = "port_forwarding"
	KindConntrackHelper   Kind = "conntrack_helper"
	KindAddressScope      Kind = "address_scope"
)

// Meta is what every API resource carries (Neutron's standard attributes). Revision is the position of the last change,
// and what the client sees as revision_number.
type Meta struct {
	Revision    uint64   `json:"-"` // kept beside the object by the store
	CreatedAt   Time     `json:"created_at,omitzero"`
	UpdatedAt   Time     `json:"updated_at,omitzero"`
	Description string   `json:"description,omitempty"`
	Tags        []string `json:"tags,omitempty"` // sorted, no duplicates
}

// Time is a moment in whole seconds since the Unix epoch, all that the API shows. 0 means "never".
type Time int64
