package hostplan

import (
	"strings"

	"github.com/weft-cloud/weft/internal/model"
)

// index is what the compiler looks up instead of searching.
type index struct {
	nets map[model.NetworkID]*netIndex
	// ports are all ports known, be it as a port or as a router's leg.
	ports map[model.PortID]*port
	legs  map[model.PortID]leg
	// groups: which endpoints have a security group.
	groups map[model.SecurityGroupID]set[model.PortID]
	// carriers: which networks want the same VNI or VLAN. Sorted.
	carriers map[carrier][]model.NetworkID
	// gateways: which routers lead to an external network. floatingOf and floatingTo: which floating IPs a router has, and
	// which lead to a port.
	gateways   map[model.NetworkID]set[model.RouterID]
	floatingOf map[model.RouterID]set[model.FloatingIPID]
	floatingTo map[model.PortID]set[model.FloatingIPID]
	// proxiesOf and proxiesTo: which NDP proxies a router has, and which are for a port's address.
	proxiesOf map[model.RouterID]set[model.NDPProxyID]
	proxiesTo map[model.PortID]set[model.NDPProxyID]
}

// netIndex is what is on one network.
type netIndex struct {
	subnets set[model.SubnetID]
	ports   set[model.PortID]
	// local are the ports of instances bound to this host and of routers' central parts here, dhcp those of owner network:dhcp.
	local, dhcp set[model.PortID]
	// outside are the network's outsiders that this host serves.
	outside set[model.PortID]
	legs    map[model.PortID]model.RouterID
	// hosts counts the ports per host which broadcast must reach; learning those with addresses that only learning finds.
	hosts    map[string]int
	learning int
}

type leg struct {
	router *model.Router
	port   *model.Port
}

// port is a port with what follows from its owner.
type port struct {
	*model.Port
	role role
	// at is the host where the port is, "" if nowhere.
	at string
}

type role uint8

const (
	roleInstance role = iota // and everything else that is plugged in somewhere
	roleLeg                  // a distributed router's leg: on every host, and no neighbour
	roleCentral              // centralized SNAT, or a centralized router's leg: a neighbour at the gateway host
	roleDHCP                 // answered by every host itself
	roleAddress              // holds an address for something that is plugged in nowhere
)

func newIndex() index {
	return index{
		nets: map[model.NetworkID]*netIndex{}, ports: map[model.PortID]*port{}, legs: map[model.PortID]leg{},
		groups: map[model.SecurityGroupID]set[model.PortID]{}, carriers: map[carrier][]model.NetworkID{},
		gateways: map[model.NetworkID]set[model.RouterID]{}, floatingOf: map[model.RouterID]set[model.FloatingIPID]{},
		floatingTo: map[model.PortID]set[model.FloatingIPID]{},
		proxiesOf:  map[model.RouterID]set[model.NDPProxyID]{}, proxiesTo: map[model.PortID]set[model.NDPProxyID]{},
	}
}

// net is the entry of a network, made if there is none.
func (x *index) net(id model.NetworkID) *netIndex {
	n := x.nets[id]
	if n == nil {
		n = &netIndex{
			subnets: set[model.SubnetID]{}, ports: set[model.PortID]{}, local: set[model.PortID]{}, dhcp: set[model.PortID]{}, outside: set[model.PortID]{},
			legs: map[model.PortID]model.RouterID{}, hosts: map[string]int{},
		}
		x.nets[id] = n
	}
	return n
}

// find is the entry of a network, an empty one if there is none; only to be read.
func (x *index) find(id model.NetworkID) *netIndex {
	if n := x.nets[id]; n != nil {
		return n
	}
	return &netIndex{}
}

// drop forgets an entry that says nothing.
func (x *index) drop(id model.NetworkID) {
	if n := x.nets[id]; n != nil && len(n.subnets)+len(n.ports)+len(n.legs)+len(n.outside) == 0 {
		delete(x.nets, id)
	}
}

// classify says what a port is to a host.
func (c *Compiler) classify(id model.PortID) *port {
	l, isLeg := c.idx.legs[id]
	p := c.in.Ports[id]
	if p == nil {
		p = l.port
	}
	if p == nil {
		return nil
	}
	out := &port{Port: p, at: p.Host}
	if !p.PluggedIn() {
		out.at = ""
	}
	switch {
	case p.DeviceOwner == model.OwnerDVRInterface, isLeg && l.router.Distributed && p.IsRouterInterface():
		out.role, out.at = roleLeg, ""
	case p.DeviceOwner == model.OwnerRouterSNAT, p.IsRouterInterface(), p.DeviceOwner == model.OwnerRouterGateway:
		out.role = roleCentral
		if isLeg {
			out.at = l.router.GatewayHost
		}
	case p.DeviceOwner == model.OwnerDHCP, p.DeviceOwner == model.OwnerDistributed:
		out.role, out.at = roleDHCP, c.host
	case strings.HasPrefix(p.DeviceOwner, model.OwnerNetworkPrefix):
		out.role, out.at = roleAddress, ""
	}
	return out
}

// updatePort brings the index up to date with what is now known of a port, and marks what depends on it.
func (c *Compiler) updatePort(id model.PortID) {
	c.dirty.neighbors[id] = struct{}{}
	c.dirty.endpoints[id] = struct{}{}
	if old := c.idx.ports[id]; old != nil {
		c.count(old, -1)
		delete(c.idx.ports, id)
		c.idx.drop(old.NetworkID)
	}
	if p := c.classify(id); p != nil {
		c.idx.ports[id] = p
		c.count(p, +1)
	}
}

// count adds or removes a port's share in its network's entry. The network is touched only where the share shows.
func (c *Compiler) count(p *port, by int) {
	n := c.idx.net(p.NetworkID)
	member(n.ports, p.ID, by)
	member(n.local, p.ID, by*truth((p.role == roleInstance || p.role == roleCentral) && p.at == c.host))
	if p.role == roleDHCP {
		member(n.dhcp, p.ID, by)
		c.touchNetwork(p.NetworkID)
	}
	if p.at == "" || p.role == roleDHCP {
		return
	}
	was := n.hosts[p.at]
	n.hosts[p.at] += by
	if n.hosts[p.at] == 0 {
		delete(n.hosts, p.at)
	}
	if was == 0 || was+by == 0 {
		c.touchRouted(p.NetworkID)
	}
	if p.role == roleInstance && (!p.PortSecurity || len(p.AddressPairs) > 0) {
		n.learning += by
	}
	c.dirty.networks[p.NetworkID] = struct{}{}
}

func member[K comparable](s set[K], k K, by int) {
	switch {
	case by > 0:
		s[k] = struct{}{}
	case by < 0:
		delete(s, k)
	}
}

// enroll and dismiss keep an index of sets; a set without members is dropped.
func enroll[K, V comparable](m map[K]set[V], k K, v V) {
	if m[k] == nil {
		m[k] = set[V]{}
	}
	m[k][v] = struct{}{}
}

func dismiss[K, V comparable](m map[K]set[V], k K, v V) {
	delete(m[k], v)
	if len(m[k]) == 0 {
		delete(m, k)
	}
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}
