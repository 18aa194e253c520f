package model

import (
	"encoding/json"
	"net/netip"
)

// Host is a machine with an agent, as the agent registered it. Its key is Name.
type Host struct {
	Name string `json:"name"`
	// VTEP is the tunnel address (local_ip); invalid: the host has no tunnels.
	VTEP netip.Addr `json:"vtep"`
	// DVRMAC is unique per host, allotted from dvr_base_mac.
	DVRMAC MAC `json:"dvr_mac,omitzero"`
	// AgentMode is legacy, dvr, dvr_snat or dvr_no_external.
	AgentMode string `json:"agent_mode"`
	// DataPlane is ebpf, ovs or null.
	DataPlane string `json:"data_plane"`
	// BridgeMappings: physical network to bridge or interface.
	BridgeMappings map[string]string `json:"bridge_mappings,omitempty"`
	AZ             string            `json:"az,omitempty"`
	StartedAt      Time              `json:"started_at,omitzero"`
	Meta
}

// Modes of an agent's routing (agent_mode in l3_agent.ini).
const (
	ModeLegacy        = "legacy"
	ModeDVR           = "dvr"
	ModeDVRSNAT       = "dvr_snat"
	ModeDVRNoExternal = "dvr_no_external"
)

// Agent is a row of the agents API. One Weft agent shows as several rows, one for each that clients look for.
type Agent struct {
	ID             AgentID         `json:"id"`
	Host           string          `json:"host"`
	Type           string          `json:"type"`   // "Open vSwitch agent", …
	Binary         string          `json:"binary"` // "neutron-openvswitch-agent", …
	Topic          string          `json:"topic"`
	AZ             string          `json:"az,omitempty"`
	AdminStateUp   bool            `json:"admin_state_up"`
	Configurations json.RawMessage `json:"configurations,omitempty"`
	StartedAt      Time            `json:"started_at,omitzero"`
	Meta
}

// Types of Agent.Type.
const (
	AgentOVS      = "Open vSwitch agent"
	AgentL3       = "L3 agent"
	AgentDHCP     = "DHCP agent"
	AgentMetadata = "Metadata agent"
)
