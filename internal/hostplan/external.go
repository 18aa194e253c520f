package hostplan

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/weft-cloud/weft/internal/model"
)

// compileExternals compiles what is dirty of the external networks, and marks the routers and floating IPs that need them.
func (c *Compiler) compileExternals() {
	for id := range c.dirty.externals {
		before := c.externals.m[id]
		x, ps := c.external(id)
		c.externals.set(id, x)
		c.problems.set("external "+model.KindNetwork, id.String(), ps)
		if c.externals.m[id] == before {
			continue
		}
		maps.Copy(c.dirty.routers, c.idx.gateways[id])
		for n, in := range c.in.NDPProxies {
			if in.External == id {
				c.dirty.proxies[n] = struct{}{}
			}
		}
		for f, in := range c.in.FloatingIPs {
			if in.External == id {
				c.dirty.floating[f] = struct{}{}
			}
		}
	}
	clear(c.dirty.externals)
}

// external compiles one external network; nil: not there, or no host can reach it.
func (c *Compiler) external(id model.NetworkID) (*External, []string) {
	in, ok := c.in.Externals[id]
	if !ok {
		return nil, nil
	}
	k := c.outerCarrier(in.Segments)
	if why := k.check(); why != "" {
		return nil, []string{"routers cannot lead there: " + why}
	}
	if in.Network.MTU < minMTU {
		return nil, []string{fmt.Sprintf("its MTU %d is below %d", in.Network.MTU, minMTU)}
	}
	x := &External{ID: id, Physnet: k.physnet, VLAN: uint16(k.id), MTU: in.Network.MTU}
	for _, s := range in.Subnets {
		x.Subnets = append(x.Subnets, ExternalSubnet{Prefix: s.CIDR.Masked(), Gateway: s.GatewayIP})
	}
	slices.SortFunc(x.Subnets, func(a, b ExternalSubnet) int {
		return cmp.Or(comparePrefix(a.Prefix, b.Prefix), a.Gateway.Compare(b.Gateway))
	})
	return x, nil
}

// outerCarrier chooses among an external network's segments: only flat and VLAN lead outside; one whose physical network the
// host has goes first.
func (c *Compiler) outerCarrier(segments []*model.Segment) carrier {
	var best carrier
	for _, s := range segments {
		k := carrierOf(NetworkParts{Segments: []*model.Segment{s}})
		if k.kind == model.TypeVXLAN || k.kind == "" {
			continue
		}
		if best.kind == "" || !c.reaches(best.physnet) && c.reaches(k.physnet) {
			best = k
		}
	}
	return best
}

// reaches reports whether the host has a physical network, as far as is known here.
func (c *Compiler) reaches(physnet string) bool {
	return c.opts.Physnets == nil || slices.Contains(c.opts.Physnets, physnet)
}

func unmapped(x *External) string {
	return fmt.Sprintf("bridge_mappings of this host does not name the physical network %s of the external network %s; add %[1]s:BRIDGE or %[1]s:INTERFACE to it", x.Physnet, x.ID)
}

// gateway compiles a router's leg on an external network; nil: it has none, or it cannot be carried out. What only its host
// can do something about is said there alone.
func (c *Compiler) gateway(in RouterParts, central []Interface) (*Gateway, []string) {
	p := in.Gateway
	if p == nil {
		return nil, nil
	}
	x := c.externals.m[p.NetworkID]
	switch {
	case x == nil:
		return nil, []string{fmt.Sprintf("gateway %s: its external network %s is not carried out here", p.ID, p.NetworkID)}
	case !unicast(p.MAC):
		return nil, []string{fmt.Sprintf("gateway %s: %q is not the MAC address of one station", p.ID, p.MAC)}
	}
	g := &Gateway{Port: p.ID, External: p.NetworkID, MAC: p.MAC, SNAT: in.Router.EnableSNAT, Host: in.Router.GatewayHost}
	for _, v := range in.Plain {
		g.Plain = append(g.Plain, v.Masked())
	}
	slices.SortFunc(g.Plain, comparePrefix)
	g.Plain = slices.Compact(g.Plain)
	if in.Router.Distributed {
		g.Legs = central
	}
	var ps []string
	for _, ip := range p.FixedIPs {
		if s := subnetOf(c.in.Externals[p.NetworkID].Subnets, ip); s != nil {
			g.Addresses = append(g.Addresses, netip.PrefixFrom(ip.Address, s.CIDR.Bits()))
		} else {
			ps = append(ps, fmt.Sprintf("gateway %s: its address %s is in no subnet of the external network %s that is known", p.ID, ip.Address, p.NetworkID))
		}
	}
	if g.Host != c.host {
		return g, ps
	}
	if len(g.Addresses) == 0 {
		ps = append(ps, fmt.Sprintf("gateway %s has no address on the external network %s: there was none free, or the network has no subnet; add a subnet or a pool to it, then set the router's gateway again", p.ID, p.NetworkID))
	}
	if !c.reaches(x.Physnet) {
		ps = append(ps, fmt.Sprintf("gateway %s: %s", p.ID, unmapped(x)))
	}
	return g, ps
}

func subnetOf(subnets []*model.Subnet, ip model.FixedIP) *model.Subnet {
	for _, s := range subnets {
		if s.ID == ip.SubnetID && s.CIDR.Contains(ip.Address) {
			return s
		}
	}
	return nil
}

// central compiles the central part of a router, which is on this host.
func (c *Compiler) central(in RouterParts, legs []Interface, g *Gateway) (*Central, []string) {
	k := &Central{Router: in.Router.ID, Distributed: in.Router.Distributed, AdminUp: in.Router.AdminStateUp, Gateway: g}
	for _, i := range legs {
		k.Legs = append(k.Legs, Leg{Interface: i, Device: InnerDeviceName(i.Port)})
	}
	if g != nil {
		k.OuterDevice = OuterDeviceName(g.Port)
	}
	for id := range c.idx.floatingOf[k.Router] {
		if f := c.floating.m[id]; f != nil && f.Central {
			k.FloatingIPs = append(k.FloatingIPs, f)
		}
	}
	slices.SortFunc(k.FloatingIPs, func(a, b *FloatingIP) int { return a.ID.Compare(b.ID.UUID) })
	k.Helpers = slices.SortedFunc(slices.Values(in.Helpers), func(a, b Helper) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Port, b.Port))
	})
	k.Helpers = slices.Compact(k.Helpers)
	var ps []string
	k.Routes, ps = c.routes(legs, g, in.Router.Routes)
	return k, ps
}

// compileFloating compiles the floating IPs that are dirty, and marks the routers whose central part has them.
func (c *Compiler) compileFloating() {
	for id := range c.dirty.floating {
		before := c.floating.m[id]
		f, why := c.floatingIP(id)
		c.floating.set(id, f)
		c.problems.set(model.KindFloatingIP, id.String(), why)
		now := c.floating.m[id]
		if now == before {
			continue
		}
		for _, v := range []*FloatingIP{before, now} {
			if v != nil && v.Central {
				c.dirty.routers[v.Router] = struct{}{}
			}
		}
	}
	clear(c.dirty.floating)
}

// floatingIP says whether a floating IP that is placed here can be translated; nil: it cannot, or its router is down.
func (c *Compiler) floatingIP(id model.FloatingIPID) (*FloatingIP, []string) {
	f := c.in.FloatingIPs[id]
	if f == nil {
		return nil, nil
	}
	no := func(format string, args ...any) (*FloatingIP, []string) {
		return nil, []string{fmt.Sprintf(format, args...)}
	}
	r, ok := c.in.Routers[f.Router]
	x := c.externals.m[f.External]
	switch {
	case !ok:
		return no("its router %s is not known here", f.Router)
	case !r.Router.AdminStateUp:
		return nil, nil
	case r.Gateway == nil || r.Gateway.NetworkID != f.External:
		return no("its router %s has no gateway on its external network %s", f.Router, f.External)
	case x == nil:
		return no("its external network %s is not carried out here", f.External)
	case !unicast(f.MAC):
		return no("%q is not the MAC address of one station", f.MAC)
	case !c.reaches(x.Physnet):
		return no("%s", unmapped(x))
	case f.Central && r.Router.GatewayHost != c.host:
		return no("it is served where its router's gateway is, which is not here but at %q", r.Router.GatewayHost)
	case f.Central:
		return f, nil
	case !r.Router.Distributed:
		return no("its router %s is centralized", f.Router)
	}
	e := c.endpoints.m[f.Port]
	switch {
	case e == nil:
		return no("the port %s that it leads to is not carried out here", f.Port)
	case !slices.ContainsFunc(e.Addresses, func(p netip.Prefix) bool { return p.Addr() == f.Fixed }):
		return no("%s is no address of the port %s that it leads to", f.Fixed, f.Port)
	}
	return f, nil
}
