package hostplan

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/weft-cloud/weft/internal/model"
)

// router compiles one distributed router; nil: not there, or not distributed.
func (c *Compiler) router(id model.RouterID) (*Router, []string) {
	in, ok := c.in.Routers[id]
	if !ok {
		return nil, nil
	}
	var ps []string
	for _, p := range in.Interfaces {
		if p.DeviceID != "" && p.DeviceID != id.String() {
			ps = append(ps, fmt.Sprintf("its interface %s says that it belongs to %s", p.ID, p.DeviceID))
		}
	}
	if !in.Router.Distributed {
		return nil, ps
	}
	r := &Router{ID: id, AdminUp: in.Router.AdminStateUp}
	for _, p := range in.Interfaces {
		if !p.IsRouterInterface() || c.idx.legs[p.ID].router != in.Router {
			continue
		}
		i, more := c.leg(p)
		ps = append(ps, more...)
		if i != nil {
			r.Interfaces = append(r.Interfaces, *i)
		}
	}
	slices.SortFunc(r.Interfaces, func(a, b Interface) int { return a.Port.Compare(b.Port.UUID) })
	more := r.route(in.Router.Routes)
	return r, append(ps, more...)
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

// route fills the routes: what the interfaces are connected to, then the extra routes whose next hop is there.
func (r *Router) route(extra []model.Route) (problems []string) {
	seen := map[netip.Prefix]bool{}
	for _, i := range r.Interfaces {
		for _, a := range i.Addresses {
			if dst := a.Masked(); !seen[dst] {
				seen[dst] = true
				r.Routes = append(r.Routes, Route{Dst: dst, Interface: i.Port})
			}
		}
	}
	extra = slices.SortedFunc(slices.Values(extra), func(a, b model.Route) int {
		return cmp.Or(comparePrefix(a.Destination, b.Destination), a.NextHop.Compare(b.NextHop))
	})
	for _, e := range extra {
		dst := e.Destination.Masked()
		port, why := r.reach(e)
		if why == "" && seen[dst] {
			why = "there is another route to the same destination"
		}
		if why != "" {
			problems = append(problems, fmt.Sprintf("route %s via %s: %s", e.Destination, e.NextHop, why))
			continue
		}
		seen[dst] = true
		r.Routes = append(r.Routes, Route{Dst: dst, Via: e.NextHop, Interface: port})
	}
	slices.SortFunc(r.Routes, func(a, b Route) int { return comparePrefix(a.Dst, b.Dst) })
	return problems
}

// reach finds the interface on whose prefix a route's next hop is; of several the longest prefix, then the lowest port.
func (r *Router) reach(e model.Route) (model.PortID, string) {
	if !e.Destination.IsValid() || !e.NextHop.IsValid() || e.Destination.Addr().Is4() != e.NextHop.Is4() {
		return model.PortID{}, "destination and next hop are not addresses of one family"
	}
	var best model.PortID
	bits := -1
	for _, i := range r.Interfaces {
		for _, a := range i.Addresses {
			if a.Addr() == e.NextHop {
				return model.PortID{}, "the next hop is the router itself"
			}
			if a.Masked().Contains(e.NextHop) && a.Bits() > bits {
				best, bits = i.Port, a.Bits()
			}
		}
	}
	if bits < 0 {
		return model.PortID{}, "the next hop is on none of the router's internal networks"
	}
	return best, ""
}
