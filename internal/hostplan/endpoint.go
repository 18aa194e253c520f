package hostplan

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/weft-cloud/weft/internal/model"
)

// endpoint compiles a port that is bound to this host; nil: it is not, or cannot be carried out.
func (c *Compiler) endpoint(id model.PortID) (*Endpoint, []string) {
	facts, p := c.in.Endpoints[id], c.idx.ports[id]
	if p != nil && p.role == roleCentral && p.at == c.host {
		return c.legEndpoint(id), nil // what is wrong with it is said of its router
	}
	if facts == nil || p == nil || p.at != c.host || p.role != roleInstance {
		return nil, nil
	}
	n := c.networks.m[p.NetworkID]
	switch {
	case n == nil:
		return nil, []string{fmt.Sprintf("its network %s is not carried out here", p.NetworkID)}
	case !unicast(p.MAC):
		return nil, []string{fmt.Sprintf("%q is not the MAC address of one station", p.MAC)}
	case facts.VNICType != "" && facts.VNICType != model.VNICNormal:
		return nil, []string{fmt.Sprintf("binding:vnic_type %q is not carried out; use normal", facts.VNICType)}
	}
	e := &Endpoint{
		Port: id, Network: p.NetworkID, Device: id.DeviceName(), Owner: p.DeviceOwner, DeviceID: facts.DeviceID,
		Project: facts.ProjectID, Name: facts.Name, AdminUp: facts.AdminStateUp && c.in.Networks[p.NetworkID].Network.AdminStateUp,
		MAC: p.MAC, MTU: n.MTU, PortSecurity: p.PortSecurity,
	}
	var ps []string
	for _, ip := range p.FixedIPs {
		a, why := c.withLength(p.NetworkID, ip)
		if why != "" {
			ps = append(ps, why)
			continue
		}
		e.Addresses = append(e.Addresses, a)
	}
	if p.PortSecurity {
		e.Allowed = allowed(p.Port)
		e.Policy = c.policy(facts.SecurityGroups)
	}
	e.DHCP4 = c.dhcp4(p.Port, facts)
	e.DHCP6 = c.dhcp6(p.Port, facts)
	return e, ps
}

// legEndpoint is the inner leg of a router's central part as planes see it; nil: the port is none.
func (c *Compiler) legEndpoint(id model.PortID) *Endpoint {
	l, ok := c.idx.legs[id]
	if !ok || !isCentralLeg(l.router, l.port) {
		return nil
	}
	i, _ := c.leg(l.port)
	if i == nil {
		return nil
	}
	return &Endpoint{
		Port: id, Network: i.Network, Device: InnerDeviceName(id), Owner: l.port.DeviceOwner, DeviceID: l.router.ID.String(),
		AdminUp: c.in.Networks[i.Network].Network.AdminStateUp, MAC: i.MAC, Addresses: i.Addresses, MTU: i.MTU,
	}
}

// allowed are the port's pairs with the port's MAC filled in, sorted, each once.
func allowed(p *model.Port) []AddressPair {
	var out []AddressPair
	for _, a := range p.AddressPairs {
		if a.MAC.IsZero() {
			a.MAC = p.MAC
		}
		if a.Prefix.IsValid() {
			out = append(out, AddressPair{MAC: a.MAC, Prefix: a.Prefix.Masked()})
		}
	}
	slices.SortFunc(out, comparePair)
	return slices.Compact(out)
}

func comparePair(a, b AddressPair) int {
	return cmp.Or(slices.Compare(a.MAC[:], b.MAC[:]), comparePrefix(a.Prefix, b.Prefix))
}

// neighbor compiles what others may know of a port: every port that is somewhere, but for the legs of distributed routers
// (they are on every host); and of one that an instance may have, but is nowhere, its names. nil: none.
func (c *Compiler) neighbor(id model.PortID) *Neighbor {
	p := c.idx.ports[id]
	if p == nil || p.at == "" && p.role != roleInstance || !unicast(p.MAC) || c.networks.m[p.NetworkID] == nil {
		return nil
	}
	n := &Neighbor{Port: id, Network: p.NetworkID, MAC: p.MAC, Host: p.at, Router: p.role == roleCentral, DNSName: p.DNSName, DNSDomain: p.DNSDomain}
	for _, ip := range p.FixedIPs {
		if ip.Address.IsValid() && !slices.Contains(n.Addresses, ip.Address) {
			n.Addresses = append(n.Addresses, ip.Address)
		}
	}
	if p.role != roleInstance || p.at == "" {
		return n
	}
	n.Open = !p.PortSecurity
	if p.PortSecurity {
		n.Pairs = allowed(p.Port)
	}
	for _, a := range p.Learned {
		if a.Prefix.IsSingleIP() && !a.MAC.IsZero() {
			n.Learned = append(n.Learned, AddressPair{MAC: a.MAC, Prefix: a.Prefix})
		}
	}
	slices.SortFunc(n.Learned, comparePair)
	return n
}

// compilePeers does all of them: hosts are few, come rarely, and must not share a tunnel address.
func (c *Compiler) compilePeers() {
	names := make([]string, 0, len(c.in.Hosts))
	for name := range c.in.Hosts {
		names = append(names, name)
	}
	for name := range c.peers.m {
		if c.in.Hosts[name] == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	owner := map[string]string{}
	if me := c.in.Hosts[c.host]; me != nil {
		owner[me.VTEP.String()] = me.Name
	}
	for _, name := range names {
		p, why := c.peer(name, owner)
		was := c.peers.m[name] != nil
		c.peers.set(name, p)
		c.problems.set(model.KindHost, name, why)
		if was == (p != nil) {
			continue
		}
		for id, n := range c.idx.nets {
			if n.hosts[name] > 0 {
				c.dirty.networks[id] = struct{}{}
				c.touchRouted(id)
			}
		}
	}
}

func (c *Compiler) peer(name string, owner map[string]string) (*Peer, []string) {
	h := c.in.Hosts[name]
	if h == nil || name == c.host || !h.VTEP.IsValid() {
		return nil, nil
	}
	if other := owner[h.VTEP.String()]; other != "" {
		return nil, []string{fmt.Sprintf("host %s has its tunnel address %s, too; give one of them another local_ip, or delete the one that is gone", other, h.VTEP)}
	}
	owner[h.VTEP.String()] = name
	p := &Peer{Host: name, VTEP: h.VTEP, DVRMAC: h.DVRMAC}
	if mtu := c.in.Paths[h.VTEP]; mtu > 0 {
		p.MTU = max(mtu, Overhead(h.VTEP)+1) - Overhead(h.VTEP)
	}
	return p, nil
}
