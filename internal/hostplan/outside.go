package hostplan

import (
	"net/netip"

	"github.com/weft-cloud/weft/internal/model"
)

// This file is the part of a State that is about the world outside: external networks, gateways, floating IPs.
//
//	instance ─▶ router ─┬─ a floating IP of the source is here ──▶ NAT 1:1 ──▶ NIC                     (distributed)
//	                    └─ none is ──▶ the central leg on the sender's network: here, or by a tunnel ──▶ (central)
//	central leg ─▶ namespace: routing, SNAT or none, forwardings ─▶ outer leg ─▶ NIC
//
//	NIC ─▶ to an address of a distributed State.FloatingIPs ──▶ NAT 1:1 ──▶ router ──▶ endpoint here, or tunnel
//	    ─▶ to an address of a central one, or of a Gateway that is here ──▶ outer leg ─▶ namespace ─▶ central leg
//	    ─▶ anything else: not ours, the host's own
//
// The central part of a router, and the whole of a centralized one, is a network namespace on its gateway host: Central.

// External is an external network as this host reaches it. It is no Network: its ports are nobody's neighbours here.
type External struct {
	ID model.NetworkID
	// Physnet and VLAN (0 = untagged) say where it is on the host's NICs; which NIC that is, only the agent knows.
	Physnet string
	VLAN    uint16
	MTU     uint32
	Subnets []ExternalSubnet // sorted by prefix
}

// ExternalSubnet is an address range of an external network.
type ExternalSubnet struct {
	Prefix  netip.Prefix
	Gateway netip.Addr // the next hop beyond; invalid: none
}

// Gateway is a router's leg on an external network. The router's Routes name it by Port as their Interface: the
// external prefixes, directly, and the default routes.
type Gateway struct {
	Port     model.PortID
	External model.NetworkID
	MAC      model.MAC
	// Addresses with the length of their subnet's prefix: the first of IPv4 is what SNAT translates to.
	Addresses []netip.Prefix
	// SNAT: packets from inside take the router's address (IPv4 only). False: they leave as they are.
	SNAT bool
	// Plain are inside prefixes that need no translation: they are in the address scope of the external subnet.
	Plain []netip.Prefix
	// Host has the central part; "": it is scheduled nowhere, and what needs it is unreachable.
	Host string
	// Legs are a distributed router's centralized SNAT ports: other hosts send what is to leave by the central part to the
	// leg on the network that it came from. Only on Host do they take packets, from tunnels, as Interfaces do. A centralized
	// router has none: its Interfaces themselves do that.
	Legs []Interface
}

// FloatingIP is an external address that THIS host translates: in both directions, and it alone answers for it. The
// server has decided where: on the host of the port (distributed), else on the router's gateway host.
type FloatingIP struct {
	ID model.FloatingIPID
	// Central: translated in the namespace of the router's Central, and served by its outer leg; else by the plane itself.
	Central  bool
	External model.NetworkID
	Address  netip.Addr
	// MAC is the floating IP port's own: ARP is answered and frames leave with it, on every host alike.
	MAC    model.MAC
	Router model.RouterID
	// Port and Fixed are what it leads to; zero: nothing but its Forwardings.
	Port  model.PortID
	Fixed netip.Addr
	// Forwardings of ports, of a central one only; sorted by id.
	Forwardings []PortForwarding
	// Generation is another after each change of what it leads to, also to the same as before: connections through it end.
	Generation uint64
}

// PortForwarding leads ports of a floating IP to an inside address.
type PortForwarding struct {
	ID       model.PortForwardingID
	Protocol uint8 // 6, 17, 132
	External model.PortRange
	// Internal has as many ports as External, or one.
	Internal model.PortRange
	Port     model.PortID
	Address  netip.Addr
}

// Central is the central part of a router, on its gateway host: a network namespace with an inner leg on each network and
// the outer leg on the external one.
type Central struct {
	Router      model.RouterID
	Distributed bool
	AdminUp     bool
	// Legs are the inner ones, sorted by port: the centralized SNAT ports of a distributed router, the interfaces of a
	// centralized one. Each is also in State.Endpoints, by the same device.
	Legs []Leg
	// Gateway nil: a centralized router without one.
	Gateway *Gateway
	// OuterDevice is the host's end of the outer leg; "" without a gateway.
	OuterDevice string
	// Routes are as Router.Routes, all of them, connected ones included; Interface is a leg's port or the gateway's.
	Routes []Route
	// FloatingIPs are the central ones of this router, with their forwardings; sorted by id. They are the same pointers as in
	// State.FloatingIPs.
	FloatingIPs []*FloatingIP
	Helpers     []Helper
}

// Leg is an inner leg of a Central.
type Leg struct {
	Interface
	// Device is the host's end.
	Device string
}

// Helper lets the connection tracking of a Central follow a protocol that opens further connections.
type Helper struct {
	Protocol uint8 // 6 or 17
	Port     uint16
	Name     string // as conntrack helpers are named in Neutron: "ftp", "tftp", "sip", …
}

// InnerDeviceName is the host's end of an inner leg, OuterDeviceName that of an outer leg.
func InnerDeviceName(id model.PortID) string { return "wi-" + id.String()[:11] }

// OuterDeviceName is the host's end of an outer leg.
func OuterDeviceName(id model.PortID) string { return "wg-" + id.String()[:11] }
