// Package hostplan decides what one host's data plane must do.
//
// It is PURE: objects in scope and a host go in, a State comes out; no clock, no network, no kernel, no logging. The
// agent runs it on what the feed brought, the server on its world for `weft trace`, and both get the same answer.
//
// A State is the contract between the control side and every data plane (internal/dataplane) and is what
// internal/forward executes in plain Go. It speaks in networks, addresses and routes, never in maps, flows or
// interface indexes: each plane compiles it further. It is immutable once handed out. Objects that did not change
// between two States are the same pointers, so that a plane finds what changed by comparing pointers, at the cost of
// the number of objects and not of their size.
package hostplan

import (
	"net/netip"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/prefix"
)

// State is everything that one host's data plane must do.
type State struct {
	// Host is the name of the host that the State is for.
	Host string
	// Position is what the feed had brought when the State was compiled.
	Position model.Position
	// VTEP is the host's own tunnel address, of either family. Invalid: the host has no tunnels.
	VTEP netip.Addr
	// DVRMAC replaces a router interface's MAC as source of routed frames inside a tunnel. Zero: none allotted yet, and
	// nothing may be routed into a tunnel.
	DVRMAC model.MAC
	// Peers are the other hosts, by name: the only senders that a tunnel accepts.
	Peers map[string]*Peer
	// Networks are those in the host's scope (interest): of its own ports, and of the routers attached to them.
	Networks map[model.NetworkID]*Network
	// Routers are the distributed ones in the host's scope: what a plane routes for. A centralized router is, for planes,
	// but endpoints and neighbours.
	Routers map[model.RouterID]*Router
	// Endpoints are the ports bound to this host.
	Endpoints map[model.PortID]*Endpoint
	// Outsiders are ports of provider networks that no agent plugs in (bare-metal machines, ports that are bound nowhere) and
	// that this host, alone of all, serves on the physical network. They have no Device, and no Policy.
	Outsiders map[model.PortID]*Endpoint
	// Neighbors are all addressable ports of the Networks, local ones included, as the feed tells them (l2population):
	// what a router's next hop, an ARP or ND question and a name resolve to; the last also if the port is nowhere.
	Neighbors map[model.PortID]*Neighbor
	// AddressSets are what security group rules name as their remote side: remote groups and address groups.
	AddressSets map[model.UUID]*AddressSet
	// Externals are the external networks of the Routers' gateways and of FloatingIPs.
	Externals map[model.NetworkID]*External
	// FloatingIPs are those that this host translates.
	FloatingIPs map[model.FloatingIPID]*FloatingIP
	// NDPProxies are the instances' own addresses that this host answers for outside.
	NDPProxies map[model.NDPProxyID]*NDPProxy
	// Centrals are the central parts of routers that are on THIS host.
	Centrals map[model.RouterID]*Central
	// Problems are objects left out because they cannot be carried out: quarantined, reported, never fatal.
	Problems []Problem
}

// Served is the endpoint or outsider of a port; nil: this host answers it nothing.
func (s *State) Served(id model.PortID) *Endpoint {
	if e := s.Endpoints[id]; e != nil {
		return e
	}
	return s.Outsiders[id]
}

// Problem is one object that was left out, with a sentence for the operator.
type Problem struct {
	Kind, ID, Why string
}

// Peer is another host.
type Peer struct {
	Host   string
	VTEP   netip.Addr
	DVRMAC model.MAC
	// MTU is the largest IP packet of an instance that a tunnel packet carries there, in bytes, if the path is known to be too narrow
	// for some network; 0: nothing is known against any.
	MTU uint32
}

// Overhead is how many bytes a tunnel adds to an IP packet of an instance: outer IP, UDP and VXLAN headers and the inner Ethernet
// header.
func Overhead(vtep netip.Addr) uint32 {
	if vtep.Is6() {
		return 70
	}
	return 50
}

// Network is a layer 2 domain.
type Network struct {
	ID model.NetworkID
	// Type is "vxlan", "flat" or "vlan".
	Type string
	// VNI of a vxlan network, 1..16777215.
	VNI uint32
	// Physnet and VLAN (0 = untagged) of flat and vlan networks.
	Physnet string
	VLAN    uint16
	// MTU is the largest IP packet on the network, in bytes.
	MTU uint32
	// Flood names the peers that have ports of this network: where broadcast and multicast go. Sorted.
	Flood []string
	// Announce names the further peers that reach this network through a router: what tells who has an address (ARP
	// announcements, unsolicited neighbour advertisements) goes there, too. Sorted.
	Announce []string
	// Subnets of the network, sorted by prefix.
	Subnets []Subnet
	// Advertisements are the router advertisements to answer solicitations with on this network, at most one a router.
	Advertisements []Advertisement
	// OnWire are those for the machines on its wire that no agent plugs in, of the routers for which this host speaks there.
	OnWire []Advertisement
	// Services are the addresses of the network at which every host itself answers its own ports. Sorted by address.
	Services []Service
	// Learning: addresses not known from the feed may exist here (a port without port security, or with address
	// pairs); unknown unicast floods only on such a network.
	Learning bool
	// External: the network is an external one (router:external).
	External bool
	// Speaks: on the wire of this flat or vlan network this host, alone of all, speaks for the distributed routers: it answers ARP and ND
	// for their interfaces, and routes what machines that are no instances send to these.
	Speaks bool
	// DNSDomain is where the names of its ports are, without a final dot; "": they have none.
	DNSDomain string
}

// Service is an address that no port is behind: a network:dhcp port's, or the metadata service's.
type Service struct {
	Address netip.Addr
	MAC     model.MAC
	// DNS: port 53 over UDP and TCP is answered. Metadata: port 80 over TCP.
	DNS, Metadata bool
}

// Subnet is an address range of a network.
type Subnet struct {
	ID      model.SubnetID
	Prefix  netip.Prefix
	Gateway netip.Addr // invalid: none
	// RouterMAC is the MAC of the distributed router interface which instances of this subnet know as their gateway: the
	// receiver of a routed frame puts it in place of the sending host's DVR MAC. Zero: no distributed router.
	RouterMAC model.MAC
}

// Advertisement is what a router says of itself on one network (RFC 4861, section 4.2).
type Advertisement struct {
	Router    model.RouterID
	MAC       model.MAC
	LinkLocal netip.Addr
	Managed   bool // M: addresses by DHCPv6
	Other     bool // O: other configuration by DHCPv6
	MTU       uint32
	Prefixes  []AdvertisedPrefix
	DNS       []netip.Addr
	// DefaultRouter: the router's lifetime is not zero.
	DefaultRouter bool
}

// AdvertisedPrefix is one prefix information option.
type AdvertisedPrefix struct {
	Prefix     netip.Prefix
	Autonomous bool // A: SLAAC
	OnLink     bool // L
}

// Router is a router as this host acts for it.
type Router struct {
	ID      model.RouterID
	AdminUp bool
	// Gateway is the leg on an external network; nil: none.
	Gateway    *Gateway
	Interfaces []Interface // sorted by port id
	// Routes in no particular order; the longest prefix wins. Connected prefixes are among them, and nothing else is
	// routed: no match answers "net unreachable" from the incoming interface.
	Routes []Route
}

// Interface is a router's leg on a network, the same on every host.
type Interface struct {
	Port    model.PortID
	Network model.NetworkID
	MAC     model.MAC
	// Addresses with the length of their subnet's prefix. The IPv6 link-local address of MAC (EUI-64) belongs to the
	// interface, too, and is not listed.
	Addresses []netip.Prefix
	MTU       uint32
}

// Route sends Dst out of Interface, directly if Via is invalid, else to the neighbour Via on that interface's network.
type Route struct {
	Dst       netip.Prefix
	Via       netip.Addr
	Interface model.PortID
	// Blackhole drops instead (a floating prefix, or an address outside of every pool).
	Blackhole bool
}

// Endpoint is a port that is bound to this host.
type Endpoint struct {
	Port    model.PortID
	Network model.NetworkID
	// Device is the name of the interface that the hypervisor makes.
	Device string
	// Owner is the port's device_owner, DeviceID its device_id: the instance.
	Owner    string
	DeviceID string
	Project  string
	Name     string
	AdminUp  bool
	MAC      model.MAC
	// Addresses are the fixed IPs with their subnets' prefix lengths.
	Addresses []netip.Prefix
	// MTU is the network's.
	MTU uint32
	// PortSecurity false: no anti-spoofing and no security groups.
	PortSecurity bool
	// Allowed are the pairs of MAC and source prefix that may leave the endpoint besides its own MAC and Addresses and
	// the link-local address of its MAC. Sorted.
	Allowed []AddressPair
	// Policy is what the security groups come to; nil: no groups, and with PortSecurity nothing but what is always
	// allowed (DHCP, ND, ARP, router solicitations) passes. Policy is flattened: the union of the groups' rules.
	Policy *Policy
	// DHCP4 is the lease to hand out; nil: none.
	DHCP4 *DHCP4
	// DHCP6 is what DHCPv6 is answered with; nil: nothing is.
	DHCP6 *DHCP6
	// DNSName and DNSDomain are an outsider's dns_name and dns_domain; an endpoint's are its Neighbor's.
	DNSName, DNSDomain string
}

// AddressPair is one entry of allowed_address_pairs, with the port's own MAC filled in where the client gave none.
type AddressPair struct {
	MAC    model.MAC
	Prefix netip.Prefix
}

// Policy is the union of a port's security groups.
type Policy struct {
	// Stateful: replies of an allowed connection pass without a rule.
	Stateful bool
	Rules    []Rule // sorted by ID
	// AllowAll: security groups are not enforced on this port (firewall switched off by configuration).
	AllowAll bool
}

// Rule allows what it matches. Direction is seen from the instance.
type Rule struct {
	ID     model.UUID
	Egress bool
	// IPv6: ethertype.
	IPv6 bool
	// Protocol is the IP protocol number; AnyProtocol: all.
	Protocol int16
	// PortMin and PortMax bound the destination port of TCP, UDP, SCTP, DCCP and UDP-Lite; for ICMP they are type and
	// code. -1: any.
	PortMin, PortMax int32
	// Remote is the other side's prefix; invalid: any. RemoteSet names an AddressSet instead; zero: none.
	Remote    netip.Prefix
	RemoteSet model.UUID
}

// AnyProtocol in Rule.Protocol matches every IP protocol.
const AnyProtocol = -1

// AddressSet is a set of addresses that rules refer to.
type AddressSet struct {
	ID       model.UUID
	Prefixes prefix.Set // both families
}

// DHCP4 is everything a DHCPv4 answer to one endpoint is made of.
type DHCP4 struct {
	Address netip.Addr
	Prefix  netip.Prefix
	// Server is the identifier and source of the answers; ServerMAC its Ethernet address.
	Server    netip.Addr
	ServerMAC model.MAC
	Router    netip.Addr // invalid: none
	DNS       []netip.Addr
	Routes    []StaticRoute
	MTU       uint32
	// LeaseSeconds is dhcp_lease_duration; 4294967295 = for ever.
	LeaseSeconds uint32
	Hostname     string
	Domain       string
	// Extra are the port's extra_dhcp_opts for IPv4, by name or number, in the order given.
	Extra []DHCPOption
}

// DHCP6 is everything that DHCPv6 answers to one endpoint are made of.
type DHCP6 struct {
	// Addresses are those on stateful subnets; none: the endpoint gets other configuration only.
	Addresses []netip.Addr
	// ServerMAC is the Ethernet source of answers; its link-local address is their IPv6 source.
	ServerMAC model.MAC
	DNS       []netip.Addr
	// LeaseSeconds is dhcp_lease_duration; 4294967295 = for ever.
	LeaseSeconds uint32
	Hostname     string
	Domain       string
	// Extra are the port's extra_dhcp_opts for IPv6, by name or number, in the order given.
	Extra []DHCPOption
}

// StaticRoute is a host route of a subnet.
type StaticRoute struct {
	Dst netip.Prefix
	Via netip.Addr
}

// DHCPOption is one of extra_dhcp_opts.
type DHCPOption struct{ Name, Value string }

// Neighbor is a port that others can reach, wherever it is.
type Neighbor struct {
	Port    model.PortID
	Network model.NetworkID
	MAC     model.MAC
	// Router: it is a leg of a router's central part. Instances must be told so whenever they ask where it is, or they give up
	// their default route (RFC 4861, section 7.2.5).
	Router bool
	// Addresses are the port's fixed IPs.
	Addresses []netip.Addr
	// Pairs are what the port may have besides, with the MACs; it is one of several perhaps, of which that one has it that was
	// heard last. Sorted.
	Pairs []AddressPair
	// Open: it may have any address under any MAC (no port security).
	Open bool
	// Learned is what the server was told that this port was the last to announce: single addresses, with the MACs. Sorted.
	Learned []AddressPair
	// DNSName and DNSDomain are the port's dns_name and dns_domain; "": by the address, and the network's. They are names of
	// the Addresses.
	DNSName, DNSDomain string
	// Host is where the port is; State.Host for a local one; "" if no agent plugs it in (only its names then resolve).
	Host string
}
