package config

import (
	"net/netip"
	"time"
)

// Agent is the configuration of `weft agent`.
type Agent struct {
	Common
	// Server is the host:port of the server's feed.
	Server string
	// PinDir is where BPF maps and links are pinned.
	PinDir string
	// ConnectionsPerPort is how many connections one port may hold.
	ConnectionsPerPort int
	// NetnsDir is where the network namespaces of routers are.
	NetnsDir string
	// DataPlane is "ebpf", "ovs" or "null".
	DataPlane string
	// Redirect is "auto" (the fastest that a port allows) or "plain".
	Redirect         string
	ReportInterval   time.Duration
	AvailabilityZone string

	// LocalIP is the VTEP; the zero address: the one the kernel uses towards the server.
	LocalIP netip.Addr
	// BridgeMappings is physical network → bridge (or NIC), in the order of the file.
	BridgeMappings []Pair
	VXLANPort      uint16
	OVS            OVS
	SecurityGroups bool
	L3             L3Agent
	DHCP           DHCPAgent
	Metadata       Metadata
}

// OVS is for the Open vSwitch data plane only.
type OVS struct {
	OVSDB             string
	IntegrationBridge string
	TunnelBridge      string
}

// L3Agent is what the host does for routers.
type L3Agent struct {
	// Mode is "legacy", "dvr", "dvr_snat" or "dvr_no_external".
	Mode           string
	InternalOnly   bool       // handle_internal_only_routers
	IPv6Gateway    netip.Addr // the upstream router's link-local address
	GratuitousARPs int        // send_arp_for_ha
}

// DHCPAgent is what the host's DHCP and DNS answers are.
type DHCPAgent struct {
	IsolatedMetadata, ForceMetadata bool
	DNSServers                      []string // forwarders
	LocalResolv                     bool     // forward to the host's resolvers
}

// Metadata is how instances reach Nova's metadata service.
type Metadata struct {
	Enabled                   bool
	Host                      string
	Port                      uint16
	Protocol                  string // "http" or "https"
	Insecure                  bool
	SharedSecret              Secret
	CAFile, CertFile, KeyFile string
}
