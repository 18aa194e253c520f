package model

// KindTopology is the kind of auto-allocated topologies.
const KindTopology Kind = "auto_allocated_topology"

// Topology is the network that a project was given with subnets and a router when it asked for one (API reference: auto
// allocated topologies). Its key is the project.
type Topology struct {
	ProjectID string    `json:"project_id"`
	NetworkID NetworkID `json:"network_id"`
	RouterID  RouterID  `json:"router_id,omitzero"`
	Meta
}
