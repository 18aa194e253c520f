package hostplan

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/weft-cloud/weft/internal/model"
)

// PutHost adds or replaces a host.
func (c *Compiler) PutHost(h *model.Host) {
	c.in.Hosts[h.Name] = h
	c.touchHost(h.Name)
}

// SetPaths says which paths to other hosts' tunnel addresses are narrow, all of them. The map must not be changed afterwards.
func (c *Compiler) SetPaths(narrow map[netip.Addr]uint32) {
	if !maps.Equal(c.in.Paths, narrow) {
		c.in.Paths, c.dirty.hosts = narrow, true
	}
}

// touchHost marks what is compiled from a host; NDP proxies are served with this one's MAC.
func (c *Compiler) touchHost(name string) {
	c.dirty.hosts = true
	if name == c.host {
		for id := range c.in.NDPProxies {
			c.dirty.proxies[id] = struct{}{}
		}
	}
}

// DeleteHost removes a host; one that is not there is no error, here and in all deletes.
func (c *Compiler) DeleteHost(name string) {
	delete(c.in.Hosts, name)
	c.problems.set(model.KindHost, name, nil)
	c.touchHost(name)
}

// PutNetwork adds or replaces a network.
func (c *Compiler) PutNetwork(n NetworkParts) {
	c.DeleteNetwork(n.Network.ID)
	c.in.Networks[n.Network.ID] = n
	c.carry(n.Network.ID, carrierOf(n), true)
}

// DeleteNetwork removes a network, not what is on it.
func (c *Compiler) DeleteNetwork(id model.NetworkID) {
	c.touchNetwork(id)
	old, ok := c.in.Networks[id]
	if !ok {
		return
	}
	delete(c.in.Networks, id)
	c.carry(id, carrierOf(old), false)
}

// carry notes that a network is carried by what k says. Everybody on the same carrier is touched: only one may have it.
func (c *Compiler) carry(id model.NetworkID, k carrier, on bool) {
	users := c.idx.carriers[k]
	if on {
		at, _ := slices.BinarySearchFunc(users, id, func(a, b model.NetworkID) int { return a.Compare(b.UUID) })
		users = slices.Insert(users, at, id)
	} else {
		users = slices.DeleteFunc(users, func(u model.NetworkID) bool { return u == id })
	}
	c.idx.carriers[k] = users
	if len(users) == 0 {
		delete(c.idx.carriers, k)
	}
	for _, u := range users {
		c.dirty.networks[u] = struct{}{}
	}
}

// PutSubnet adds or replaces a subnet.
func (c *Compiler) PutSubnet(s *model.Subnet) {
	c.DeleteSubnet(s.ID)
	c.in.Subnets[s.ID] = s
	c.idx.net(s.NetworkID).subnets[s.ID] = struct{}{}
	c.touchNetwork(s.NetworkID)
}

// DeleteSubnet removes a subnet.
func (c *Compiler) DeleteSubnet(id model.SubnetID) {
	old := c.in.Subnets[id]
	if old == nil {
		return
	}
	delete(c.in.Subnets, id)
	delete(c.idx.net(old.NetworkID).subnets, id)
	c.touchNetwork(old.NetworkID)
	c.idx.drop(old.NetworkID)
}

// PutPort adds or replaces the public facts of a port.
func (c *Compiler) PutPort(p *model.Port) {
	c.in.Ports[p.ID] = p
	c.updatePort(p.ID)
}

// DeletePort removes a port's public facts.
func (c *Compiler) DeletePort(id model.PortID) {
	delete(c.in.Ports, id)
	c.updatePort(id)
}

// PutEndpoint adds or replaces the further facts of a port that is bound to this host (see Scope.Endpoints).
func (c *Compiler) PutEndpoint(id model.PortID, facts *model.Port) {
	c.DeleteEndpoint(id)
	c.in.Endpoints[id] = facts
	for _, g := range facts.SecurityGroups {
		if c.idx.groups[g] == nil {
			c.idx.groups[g] = set[model.PortID]{}
		}
		c.idx.groups[g][id] = struct{}{}
	}
}

// DeleteEndpoint removes what PutEndpoint put.
func (c *Compiler) DeleteEndpoint(id model.PortID) {
	c.dirty.endpoints[id] = struct{}{}
	c.dirty.neighbors[id] = struct{}{} // its name
	old := c.in.Endpoints[id]
	if old == nil {
		return
	}
	delete(c.in.Endpoints, id)
	for _, g := range old.SecurityGroups {
		delete(c.idx.groups[g], id)
		if len(c.idx.groups[g]) == 0 {
			delete(c.idx.groups, g)
		}
	}
}

// PutRouter adds or replaces a router with its ports.
func (c *Compiler) PutRouter(r RouterParts) {
	id := r.Router.ID
	c.DeleteRouter(id)
	c.in.Routers[id] = r
	for _, p := range r.Interfaces {
		c.dirty.networks[p.NetworkID] = struct{}{}
		if p.DeviceID != "" && p.DeviceID != id.String() {
			continue // said in the router's problems
		}
		c.idx.legs[p.ID] = leg{router: r.Router, port: p}
		c.updatePort(p.ID)
		c.idx.net(p.NetworkID).legs[p.ID] = id
		c.touchNetwork(p.NetworkID)
	}
	if r.Gateway != nil {
		enroll(c.idx.gateways, r.Gateway.NetworkID, id)
	}
}

// DeleteRouter removes a router.
func (c *Compiler) DeleteRouter(id model.RouterID) {
	c.dirty.routers[id] = struct{}{}
	maps.Copy(c.dirty.floating, c.idx.floatingOf[id])
	maps.Copy(c.dirty.proxies, c.idx.proxiesOf[id])
	old, ok := c.in.Routers[id]
	if !ok {
		return
	}
	delete(c.in.Routers, id)
	if old.Gateway != nil {
		dismiss(c.idx.gateways, old.Gateway.NetworkID, id)
	}
	for _, p := range old.Interfaces {
		c.dirty.networks[p.NetworkID] = struct{}{}
		if l, ok := c.idx.legs[p.ID]; !ok || l.router.ID != id {
			continue
		}
		delete(c.idx.legs, p.ID)
		delete(c.idx.net(p.NetworkID).legs, p.ID)
		c.updatePort(p.ID)
		c.touchNetwork(p.NetworkID)
		c.idx.drop(p.NetworkID)
	}
}

// PutGroup adds or replaces a security group.
func (c *Compiler) PutGroup(g *Group) {
	c.in.Groups[g.ID] = g
	c.touchGroup(g.ID)
}

// DeleteGroup removes a security group. Ports that have it are left without its rules: they fail closed.
func (c *Compiler) DeleteGroup(id model.SecurityGroupID) {
	delete(c.in.Groups, id)
	c.touchGroup(id)
}

func (c *Compiler) touchGroup(id model.SecurityGroupID) {
	for p := range c.idx.groups[id] {
		c.dirty.endpoints[p] = struct{}{}
	}
	for _, e := range c.policies {
		if slices.Contains(e.groups, id) {
			e.stale = true
		}
	}
}

// PutAddressSet adds or replaces an address set.
func (c *Compiler) PutAddressSet(a *AddressSet) {
	c.in.AddressSets[a.ID] = a
	c.dirty.sets[a.ID] = struct{}{}
}

// DeleteAddressSet removes an address set. Rules that name it then match nothing.
func (c *Compiler) DeleteAddressSet(id model.UUID) {
	delete(c.in.AddressSets, id)
	c.dirty.sets[id] = struct{}{}
}

// PutExternal adds or replaces an external network.
func (c *Compiler) PutExternal(x ExternalParts) {
	c.in.Externals[x.Network.ID] = x
	c.dirty.externals[x.Network.ID] = struct{}{}
}

// DeleteExternal removes an external network.
func (c *Compiler) DeleteExternal(id model.NetworkID) {
	delete(c.in.Externals, id)
	c.dirty.externals[id] = struct{}{}
}

// PutFloatingIP adds or replaces a floating IP that is placed on this host.
func (c *Compiler) PutFloatingIP(f *FloatingIP) {
	c.DeleteFloatingIP(f.ID)
	c.in.FloatingIPs[f.ID] = f
	enroll(c.idx.floatingOf, f.Router, f.ID)
	enroll(c.idx.floatingTo, f.Port, f.ID)
}

// DeleteFloatingIP removes a floating IP.
func (c *Compiler) DeleteFloatingIP(id model.FloatingIPID) {
	c.dirty.floating[id] = struct{}{}
	old := c.in.FloatingIPs[id]
	if old == nil {
		return
	}
	delete(c.in.FloatingIPs, id)
	dismiss(c.idx.floatingOf, old.Router, id)
	dismiss(c.idx.floatingTo, old.Port, id)
}

// PutNDPProxy adds or replaces an NDP proxy that is placed on this host.
func (c *Compiler) PutNDPProxy(n *NDPProxy) {
	c.DeleteNDPProxy(n.ID)
	c.in.NDPProxies[n.ID] = n
	enroll(c.idx.proxiesOf, n.Router, n.ID)
	enroll(c.idx.proxiesTo, n.Port, n.ID)
}

// DeleteNDPProxy removes an NDP proxy.
func (c *Compiler) DeleteNDPProxy(id model.NDPProxyID) {
	c.dirty.proxies[id] = struct{}{}
	old := c.in.NDPProxies[id]
	if old == nil {
		return
	}
	delete(c.in.NDPProxies, id)
	dismiss(c.idx.proxiesOf, old.Router, id)
	dismiss(c.idx.proxiesTo, old.Port, id)
}

// Quarantine says that an object came which cannot be read: it is treated as not there, and is among the Problems until
// Release, which the next put or delete of the object should call.
func (c *Compiler) Quarantine(kind model.Kind, id, why string) {
	c.problems.set("unreadable "+kind, id, []string{why})
}

// Release takes back Quarantine.
func (c *Compiler) Release(kind model.Kind, id string) { c.problems.set("unreadable "+kind, id, nil) }
