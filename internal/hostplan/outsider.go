package hostplan

import "github.com/weft-cloud/weft/internal/model"

// PutOutsider adds or replaces a port that no agent plugs in and this host serves.
func (c *Compiler) PutOutsider(p *model.Port) {
	c.DeleteOutsider(p.ID)
	c.in.Outsiders[p.ID] = p
	c.idx.net(p.NetworkID).outside[p.ID] = struct{}{}
}

// DeleteOutsider removes one.
func (c *Compiler) DeleteOutsider(id model.PortID) {
	c.dirty.outsiders[id] = struct{}{}
	old := c.in.Outsiders[id]
	if old == nil {
		return
	}
	delete(c.in.Outsiders, id)
	delete(c.idx.net(old.NetworkID).outside, id)
	c.idx.drop(old.NetworkID)
}

// PutWire says that this host serves the wire of a provider network.
func (c *Compiler) PutWire(id model.NetworkID) {
	c.in.Wires[id] = struct{}{}
	c.dirty.networks[id] = struct{}{}
}

// DeleteWire says that it does not (any more).
func (c *Compiler) DeleteWire(id model.NetworkID) {
	delete(c.in.Wires, id)
	c.dirty.networks[id] = struct{}{}
}

// outsider compiles a port that is served on its physical network; nil: it is not there, not up, or its network is not such
// a one, or there is nothing to tell it.
func (c *Compiler) outsider(id model.PortID) *Endpoint {
	p := c.in.Outsiders[id]
	if p == nil || !unicast(p.MAC) || !p.AdminStateUp {
		return nil
	}
	n := c.networks.m[p.NetworkID]
	if n == nil || n.Physnet == "" || !c.in.Networks[p.NetworkID].Network.AdminStateUp {
		return nil
	}
	e := &Endpoint{
		Port: id, Network: p.NetworkID, Owner: p.DeviceOwner, DeviceID: p.DeviceID, Project: p.ProjectID, Name: p.Name,
		AdminUp: true, MAC: p.MAC, MTU: n.MTU, PortSecurity: p.PortSecurity, DNSName: p.DNSName, DNSDomain: p.DNSDomain,
	}
	for _, ip := range p.FixedIPs {
		if a, why := c.withLength(p.NetworkID, ip); why == "" {
			e.Addresses = append(e.Addresses, a)
		}
	}
	e.DHCP4, e.DHCP6 = c.onWire(p.NetworkID).dhcp4(p, p), c.dhcp6(p, p)
	if e.DHCP4 == nil && e.DHCP6 == nil && len(n.OnWire) == 0 {
		return nil
	}
	return e
}

// onWire reads the same objects as they are for who is on a network's wire: metadata is reached through the network:dhcp port, also where
// there is a router, since what is sent to a router leaves the wire.
func (c *Compiler) onWire(id model.NetworkID) *Compiler {
	out := *c
	out.opts.IsolatedMetadata, out.opts.ForceMetadata = false, c.opts.ServeMetadata && len(c.idx.find(id).dhcp) > 0
	return &out
}
