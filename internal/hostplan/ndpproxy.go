package hostplan

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/weft-cloud/weft/internal/model"
)

// NDPProxy is an instance's own IPv6 address which the machines of an external network take to be on their link. THIS host answers
// their neighbour solicitations for it, and routes between them and the instance without translation. The server has decided where:
// on the host of the port (distributed), else on the router's gateway host.
//
//	NIC ─▶ who has Address? ──▶ it is at MAC
//	    ─▶ to MAC and Address ──▶ router ──▶ endpoint here
//	instance ─▶ router ─▶ by the gateway, from Address ──▶ NIC, with MAC as source
//
// A central one is answered for here, too; everything else is the router's Central's.
type NDPProxy struct {
	ID       model.NDPProxyID
	Central  bool
	External model.NetworkID
	Address  netip.Addr // a fixed IP of Port
	// MAC is where the address is, as the external network is told: the host's DVR MAC, which nobody else has; of a central one the
	// gateway's, where the packets are to go.
	MAC    model.MAC
	Router model.RouterID
	Port   model.PortID
}

// Floating is the proxy in the words of a floating IP: one whose two addresses are the same, so that nothing is translated. Its ID is
// that of no floating IP.
func (n *NDPProxy) Floating() *FloatingIP {
	return &FloatingIP{ID: model.FloatingIPID(n.ID), Central: n.Central, External: n.External, Address: n.Address, MAC: n.MAC, Router: n.Router,
		Port: n.Port, Fixed: n.Address}
}

// compileProxies compiles the NDP proxies that are dirty.
func (c *Compiler) compileProxies() {
	for id := range c.dirty.proxies {
		n, why := c.proxy(id)
		c.proxies.set(id, n)
		c.problems.set(model.KindNDPProxy, id.String(), why)
	}
	clear(c.dirty.proxies)
}

// proxy says whether an NDP proxy that is placed here can be carried out; nil: it cannot, or its router is down.
func (c *Compiler) proxy(id model.NDPProxyID) (*NDPProxy, []string) {
	in := c.in.NDPProxies[id]
	if in == nil {
		return nil, nil
	}
	no := func(format string, args ...any) (*NDPProxy, []string) {
		return nil, []string{fmt.Sprintf(format, args...)}
	}
	n := *in
	r, ok := c.in.Routers[n.Router]
	x := c.externals.m[n.External]
	switch {
	case !ok:
		return no("its router %s is not known here", n.Router)
	case !r.Router.AdminStateUp:
		return nil, nil
	case r.Gateway == nil || r.Gateway.NetworkID != n.External:
		return no("its router %s has no gateway on the external network %s", n.Router, n.External)
	case x == nil:
		return no("the external network %s is not carried out here", n.External)
	case !c.reaches(x.Physnet):
		return no("%s", unmapped(x))
	case !n.Address.Is6() || n.Address.Is4In6():
		return no("%s is not an IPv6 address", n.Address)
	case n.Central:
		return c.centralProxy(&n, r)
	case !r.Router.Distributed:
		return no("its router %s is centralized", n.Router)
	}
	if h := c.in.Hosts[c.host]; h != nil {
		n.MAC = h.DVRMAC
	}
	e := c.endpoints.m[n.Port]
	switch {
	case n.MAC.IsZero():
		return no("this host has no DVR MAC yet, by which the address could be reached")
	case e == nil:
		return no("the port %s that has its address is not carried out here", n.Port)
	case !slices.ContainsFunc(e.Addresses, func(p netip.Prefix) bool { return p.Addr() == n.Address }):
		return no("%s is no address of the port %s", n.Address, n.Port)
	}
	return &n, nil
}

// centralProxy is answered for with the MAC of the gateway, whose host this must be.
func (c *Compiler) centralProxy(n *NDPProxy, r RouterParts) (*NDPProxy, []string) {
	switch {
	case r.Router.GatewayHost != c.host:
		return nil, []string{fmt.Sprintf("it is answered for where its router's gateway is, which is not here but at %q", r.Router.GatewayHost)}
	case !unicast(r.Gateway.MAC):
		return nil, []string{fmt.Sprintf("the gateway's %q is not the MAC address of one station", r.Gateway.MAC)}
	}
	n.MAC = r.Gateway.MAC
	return n, nil
}
