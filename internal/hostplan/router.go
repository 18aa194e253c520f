package hostplan

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/weft-cloud/weft/internal/model"
)

// router compiles one router: what planes route for, if it is distributed, and its central part, if that is here. Each is
// nil if there is none.
func (c *Compiler) router(id model.RouterID) (*Router, *Central, []string) {
	in, ok := c.in.Routers[id]
	if !ok {
		return nil, nil, nil
	}
	var ps []string
	for _, p := range in.Interfaces {
		if p.DeviceID != "" && p.DeviceID != id.String() {
			ps = append(ps, fmt.Sprintf("its interface %s says that it belongs to %s", p.ID, p.DeviceID))
		}
	}
	here := in.Router.GatewayHost == c.host
	if !in.Router.Distributed && !here {
		return nil, nil, ps
	}
	central, more := c.legs(in, func(p *model.Port) bool { return isCentralLeg(in.Router, p) })
	ps = append(ps, more...)
	g, more := c.gateway(in, central)
	ps = append(ps, more...)
	var r *Router
	if in.Router.Distributed {
		r = &Router{ID: id, AdminUp: in.Router.AdminStateUp, Gateway: g}
		r.Interfaces, more = c.legs(in, func(p *model.Port) bool { return p.IsRouterInterface() })
		ps = append(ps, more...)
		r.Routes, more = c.routes(r.Interfaces, g, in.Router.Routes)
		ps = append(ps, more...)
	}
	var k *Central
	if here && (g != nil || len(central) > 0) {
		k, more = c.central(in, central, g)
		ps = append(ps, more...)
	}
	slices.Sort(ps)
	return r, k, slices.Compact(ps)
}

// isCentralLeg: the port is an inner leg of the router's central part.
func isCentralLeg(r *model.Router, p *model.Port) bool {
	if r.Distributed {
		return p.DeviceOwner == model.OwnerRouterSNAT
	}
	return p.IsRouterInterface() && p.DeviceOwner != model.OwnerDVRInterface
}

// legs compiles those of a router's ports that which holds for, sorted by port.
func (c *Compiler) legs(in RouterParts, which func(*model.Port) bool) (out []Interface, problems []string) {
	for _, p := range in.Interfaces {
		if !which(p) || c.idx.legs[p.ID].router != in.Router {
			continue
		}
		i, more := c.leg(p)
		problems = append(problems, more...)
		if i != nil {
			out = append(out, *i)
		}
	}
	slices.SortFunc(out, func(a, b Interface) int { return a.Port.Compare(b.Port.UUID) })
	return out, problems
}

// leg compiles a router's interface; nil: it cannot be one.
func (c *Compiler) leg(p *model.Port) (*Interface, []string) {
	n := c.networks.m[p.NetworkID]
	switch {
	case n == nil:
		return nil, []string{fmt.Sprintf("interface %s: its network %s is not carried out here", p.ID, p.NetworkID)}
	case !unicast(p.MAC):
		return nil, []string{fmt.Sprintf("interface %s: %q is not the MAC address of one station", p.ID, p.MAC)}
	}
	i := &Interface{Port: p.ID, Network: p.NetworkID, MAC: p.MAC, MTU: n.MTU}
	var ps []string
	for _, ip := range p.FixedIPs {
		a, why := c.withLength(p.NetworkID, ip)
		if why != "" {
			ps = append(ps, fmt.Sprintf("interface %s: %s", p.ID, why))
			continue
		}
		i.Addresses = append(i.Addresses, a)
	}
	slices.SortFunc(i.Addresses, comparePrefix)
	return i, ps
}

// withLength gives a fixed IP its subnet's prefix length.
func (c *Compiler) withLength(n model.NetworkID, ip model.FixedIP) (netip.Prefix, string) {
	s := c.in.Subnets[ip.SubnetID]
	switch {
	case s == nil || s.NetworkID != n:
		return netip.Prefix{}, fmt.Sprintf("the subnet %s of its address %s is not known on its network", ip.SubnetID, ip.Address)
	case !s.CIDR.Contains(ip.Address):
		return netip.Prefix{}, fmt.Sprintf("its address %s is outside of its subnet %s", ip.Address, s.CIDR)
	}
	return netip.PrefixFrom(ip.Address, s.CIDR.Bits()), ""
}
