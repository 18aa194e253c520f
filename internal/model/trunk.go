package model

// KindTrunk is the kind of trunks.
const KindTrunk Kind = "trunk"

// TrunkID identifies a trunk.
type TrunkID struct{ UUID }

// Trunk carries the traffic of further ports, its subports, over one port, told apart by VLAN tags.
type Trunk struct {
	ID           TrunkID `json:"id"`
	ProjectID    string  `json:"project_id"`
	Name         string  `json:"name"`
	AdminStateUp bool    `json:"admin_state_up"`
	// PortID is the parent: the port that the instance has.
	PortID   PortID    `json:"port_id"`
	Status   string    `json:"status"`
	SubPorts []SubPort `json:"sub_ports,omitempty"` // in the order in which they were added
	Meta
}

// SubPort is one port of a trunk beside its parent.
type SubPort struct {
	PortID PortID `json:"port_id"`
	// Type is "vlan"; a request may say "inherit" for type and tag of the subport's network.
	Type string `json:"type"`
	// Tag is the segmentation id within the trunk.
	Tag int `json:"tag"`
}

// SegmentInherit asks for a subport's segmentation to be that of its network.
const SegmentInherit = "inherit"
