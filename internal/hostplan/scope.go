package hostplan

import (
	"net/netip"

	"github.com/weft-cloud/weft/internal/model"
)

// Scope is what Compile reads: the objects that are one host's business. Objects may refer to others that are not there;
// what cannot be carried out without them is left out and named in State.Problems.
type Scope struct {
	Hosts    map[string]*model.Host
	Networks map[model.NetworkID]NetworkParts
	Subnets  map[model.SubnetID]*model.Subnet
	// Ports are the public facts of all ports on the networks.
	Ports map[model.PortID]*model.Port
	// Endpoints are the further facts of the ports bound to the host: Name, ProjectID, DeviceID, AdminStateUp, DNSName,
	// DNSDomain, VNICType, SecurityGroups and ExtraDHCP; nothing else of these objects is read.
	Endpoints map[model.PortID]*model.Port
	// Outsiders are ports of provider networks that no agent plugs in and this host serves, whole.
	Outsiders map[model.PortID]*model.Port
	// Wires are the provider networks whose wire this host serves.
	Wires       map[model.NetworkID]struct{}
	Routers     map[model.RouterID]RouterParts
	Groups      map[model.SecurityGroupID]*Group
	AddressSets map[model.UUID]*AddressSet
	Externals   map[model.NetworkID]ExternalParts
	// FloatingIPs are those that the server has placed on the host.
	FloatingIPs map[model.FloatingIPID]*FloatingIP
	// NDPProxies are those that the server has placed on the host, without MAC.
	NDPProxies map[model.NDPProxyID]*NDPProxy
	// Paths are the MTUs, outside of the tunnel, of the paths to those tunnel addresses where they were found too narrow.
	Paths map[netip.Addr]uint32
}

// NetworkParts is a network with its segments.
type NetworkParts struct {
	Network  *model.Network
	Segments []*model.Segment
}

// RouterParts is a router with its ports.
type RouterParts struct {
	Router *model.Router
	// Interfaces are its internal legs and centralized SNAT ports, told apart by DeviceOwner.
	Interfaces []*model.Port
	Gateway    *model.Port // nil: none
	Helpers    []Helper
	// Plain are the inner prefixes in the address scope of the external network.
	Plain []netip.Prefix
}

// ExternalParts is an external network as routers reach it: of Network only ID and MTU, of Subnets only ID, CIDR and
// GatewayIP are read.
type ExternalParts struct {
	Network  *model.Network
	Segments []*model.Segment
	Subnets  []*model.Subnet
}

// Group is a security group with its rules, protocols by number.
type Group struct {
	ID       model.SecurityGroupID
	Stateful bool
	Rules    []Rule
}

// Options are what the host's configuration says about its State.
type Options struct {
	// Firewall: security groups are enforced. False: every port's policy is AllowAll.
	Firewall bool
	// LeaseSeconds is dhcp_lease_duration; 0 means for ever.
	LeaseSeconds uint32
	// DNSDomain is handed out where neither port nor network has a domain.
	DNSDomain string
	// ServeDNS: where a subnet names no resolver, the network's DHCP ports are (the host answers there).
	ServeDNS bool
	// ServeMetadata: the host answers at 169.254.169.254 and fe80::a9fe:a9fe.
	ServeMetadata bool
	// IsolatedMetadata: on a subnet without a router on its gateway address, 169.254.169.254 is reached through the DHCP
	// server. ForceMetadata: on every subnet.
	IsolatedMetadata, ForceMetadata bool
	// Physnets are the physical networks that the host's bridge_mappings name; nil: not known, and each is taken for one.
	Physnets []string
}

// Compile gives the State of host for everything in s. It never fails: objects that cannot be carried out are in
// Problems. Neither s nor its objects are kept or changed.
func Compile(s *Scope, host string, o Options) *State {
	c := NewCompiler(host, o)
	for _, h := range s.Hosts {
		c.PutHost(h)
	}
	c.SetPaths(s.Paths)
	for _, n := range s.Networks {
		c.PutNetwork(n)
	}
	for _, v := range s.Subnets {
		c.PutSubnet(v)
	}
	for _, p := range s.Ports {
		c.PutPort(p)
	}
	for id, p := range s.Endpoints {
		c.PutEndpoint(id, p)
	}
	for _, p := range s.Outsiders {
		c.PutOutsider(p)
	}
	for id := range s.Wires {
		c.PutWire(id)
	}
	for _, r := range s.Routers {
		c.PutRouter(r)
	}
	for _, g := range s.Groups {
		c.PutGroup(g)
	}
	for _, a := range s.AddressSets {
		c.PutAddressSet(a)
	}
	for _, x := range s.Externals {
		c.PutExternal(x)
	}
	for _, f := range s.FloatingIPs {
		c.PutFloatingIP(f)
	}
	for _, n := range s.NDPProxies {
		c.PutNDPProxy(n)
	}
	return c.State(model.Position{})
}
