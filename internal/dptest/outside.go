package dptest

import (
	"net/netip"
	"slices"

	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// External is an external network. MTU 0 means 1500.
type External struct {
	Name, Physnet string
	VLAN          uint16
	MTU           uint32
	Subnets       []hostplan.ExternalSubnet
}

// Gateway is a router's leg on an external network; its central part is on Host, with a leg on each of the router's networks.
type Gateway struct {
	External  string
	Addresses []netip.Prefix
	Host      string
	SNAT      bool
}

// Floating is a floating IP of a router, named by its address. Without a Port it is served by the central part, as with Central.
type Floating struct {
	External, Router, Port string
	Address, Fixed         netip.Addr
	Central                bool
}

// Proxy is an NDP proxy of a router for an address of a port.
type Proxy struct {
	External, Router, Port string
	Address                netip.Addr
	Central                bool
}

// ExternalID is the id of the external network of that name.
func ExternalID(name string) model.NetworkID { return NetworkID(name) }

// GatewayID and GatewayMAC are those of the router's leg outside.
func GatewayID(router string) model.PortID { return model.PortID{UUID: id("gateway", router)} }

// GatewayMAC is the MAC of the router's leg outside.
func GatewayMAC(router string) model.MAC { return mac([3]byte{0xfa, 0x16, 0x3e}, "gateway", router) }

// CentralID is the port of the router's central leg on the network.
func CentralID(router, network string) model.PortID {
	return model.PortID{UUID: id("central", router+"/"+network)}
}

// CentralMAC is the MAC of that port.
func CentralMAC(router, network string) model.MAC {
	return mac([3]byte{0xfa, 0x16, 0x3e}, "central", router+"/"+network)
}

// FloatingID is the id of a floating IP.
func FloatingID(a netip.Addr) model.FloatingIPID {
	return model.FloatingIPID{UUID: id("floating", a.String())}
}

// FloatingMAC is the MAC of a floating IP.
func FloatingMAC(a netip.Addr) model.MAC {
	return mac([3]byte{0xfa, 0x16, 0x3e}, "floating", a.String())
}

// ProxyID is the id of an NDP proxy.
func ProxyID(a netip.Addr) model.NDPProxyID { return model.NDPProxyID{UUID: id("proxy", a.String())} }

// outsideNames are the names of ports that only the outside has.
func (c *Cloud) outsideNames() map[model.PortID]string {
	out := map[model.PortID]string{}
	for _, r := range c.Routers {
		if r.Gateway == nil {
			continue
		}
		out[GatewayID(r.Name)] = "gateway of " + r.Name
		for _, f := range r.Interfaces {
			out[CentralID(r.Name, f.key())] = "central leg of " + r.Name + "/" + f.key()
		}
	}
	return out
}

// outside adds to a host's State what the outside needs: after routers, neighbours and endpoints.
func (c *Cloud) outside(s *hostplan.State) {
	s.Externals = map[model.NetworkID]*hostplan.External{}
	s.FloatingIPs = map[model.FloatingIPID]*hostplan.FloatingIP{}
	s.NDPProxies = map[model.NDPProxyID]*hostplan.NDPProxy{}
	s.Centrals = map[model.RouterID]*hostplan.Central{}
	for _, r := range c.Routers {
		known := s.Routers[RouterID(r.Name)]
		if r.Gateway == nil || known == nil && r.Gateway.Host != s.Host {
			continue
		}
		x := c.findExternal(r.Gateway.External)
		s.Externals[ExternalID(x.Name)] = &hostplan.External{ID: ExternalID(x.Name), Physnet: x.Physnet, VLAN: x.VLAN, MTU: x.mtu(), Subnets: x.Subnets}
		g := c.gateway(r)
		if known != nil {
			known.Gateway = g
			for _, rt := range x.routes(g) {
				if !slices.ContainsFunc(known.Routes, func(have hostplan.Route) bool { return have.Dst == rt.Dst }) {
					known.Routes = append(known.Routes, rt)
				}
			}
		}
		for _, l := range g.Legs {
			if s.Networks[l.Network] != nil {
				s.Neighbors[l.Port] = &hostplan.Neighbor{Port: l.Port, Network: l.Network, MAC: l.MAC, Addresses: []netip.Addr{l.Addresses[0].Addr()}, Host: g.Host, Router: true}
			}
		}
		if g.Host == s.Host {
			c.central(s, r, g)
		}
	}
	for _, f := range c.FloatingIPs {
		c.floating(s, f)
	}
	for _, p := range c.Proxies {
		c.proxy(s, p)
	}
}

func (x External) mtu() uint32 {
	if x.MTU == 0 {
		return 1500
	}
	return x.MTU
}

func (c *Cloud) findExternal(name string) External {
	return c.Externals[slices.IndexFunc(c.Externals, func(x External) bool { return x.Name == name })]
}

// routes are the external prefixes and the default routes.
func (x External) routes(g *hostplan.Gateway) []hostplan.Route {
	var out []hostplan.Route
	for _, s := range x.Subnets {
		out = append(out, hostplan.Route{Dst: s.Prefix, Interface: g.Port})
		if s.Gateway.IsValid() {
			out = append(out, hostplan.Route{Dst: netip.PrefixFrom(zero(s.Gateway), 0), Via: s.Gateway, Interface: g.Port})
		}
	}
	return out
}

// zero is the unspecified address of the family.
func zero(a netip.Addr) netip.Addr {
	if a.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// legLast is the last byte of a central leg's address.
const legLast = 250

func (c *Cloud) gateway(r Router) *hostplan.Gateway {
	g := &hostplan.Gateway{Port: GatewayID(r.Name), External: ExternalID(r.Gateway.External), MAC: GatewayMAC(r.Name),
		Addresses: r.Gateway.Addresses, SNAT: r.Gateway.SNAT, Host: r.Gateway.Host}
	for _, f := range r.Interfaces {
		if len(f.Addresses) == 0 {
			continue
		}
		a := f.Addresses[0].Masked().Addr().As16()
		a[15] = legLast
		at := netip.AddrFrom16(a).Unmap()
		g.Legs = append(g.Legs, hostplan.Interface{Port: CentralID(r.Name, f.key()), Network: NetworkID(f.Network), MAC: CentralMAC(r.Name, f.key()),
			Addresses: []netip.Prefix{netip.PrefixFrom(at, f.Addresses[0].Bits())}, MTU: c.mtu(f.Network)})
	}
	slices.SortFunc(g.Legs, func(a, b hostplan.Interface) int { return a.Port.Compare(b.Port.UUID) })
	return g
}

// central puts a router's central part on its host.
func (c *Cloud) central(s *hostplan.State, r Router, g *hostplan.Gateway) {
	out := &hostplan.Central{Router: RouterID(r.Name), Distributed: true, AdminUp: !r.Down, Gateway: g, OuterDevice: hostplan.OuterDeviceName(g.Port)}
	for _, l := range g.Legs {
		leg := hostplan.Leg{Interface: l, Device: hostplan.InnerDeviceName(l.Port)}
		out.Legs = append(out.Legs, leg)
		out.Routes = append(out.Routes, hostplan.Route{Dst: l.Addresses[0].Masked(), Interface: l.Port})
		s.Endpoints[l.Port] = &hostplan.Endpoint{Port: l.Port, Network: l.Network, Device: leg.Device, Owner: "network:router_centralized_snat",
			AdminUp: true, MAC: l.MAC, Addresses: l.Addresses, MTU: l.MTU}
		s.Neighbors[l.Port] = &hostplan.Neighbor{Port: l.Port, Network: l.Network, MAC: l.MAC, Addresses: []netip.Addr{l.Addresses[0].Addr()}, Host: g.Host, Router: true}
	}
	out.Routes = append(out.Routes, c.findExternal(r.Gateway.External).routes(g)...)
	s.Centrals[out.Router] = out
}

// floating puts a floating IP on its host.
func (c *Cloud) floating(s *hostplan.State, f Floating) {
	i := slices.IndexFunc(c.Routers, func(r Router) bool { return r.Name == f.Router })
	if i < 0 || c.Routers[i].Gateway == nil {
		return
	}
	x := &hostplan.FloatingIP{ID: FloatingID(f.Address), Central: f.Central || f.Port == "", External: ExternalID(f.External), Address: f.Address,
		MAC: FloatingMAC(f.Address), Router: RouterID(f.Router)}
	if f.Port != "" {
		x.Port, x.Fixed = PortID(f.Port), f.Fixed
	}
	if x.Central {
		if central := s.Centrals[x.Router]; central != nil {
			central.FloatingIPs = append(central.FloatingIPs, x)
			s.FloatingIPs[x.ID] = x
		}
		return
	}
	if s.Endpoints[x.Port] != nil && s.Routers[x.Router] != nil {
		s.FloatingIPs[x.ID] = x
	}
}

// proxy puts an NDP proxy on its host.
func (c *Cloud) proxy(s *hostplan.State, p Proxy) {
	x := &hostplan.NDPProxy{ID: ProxyID(p.Address), Central: p.Central, External: ExternalID(p.External), Address: p.Address, MAC: s.DVRMAC,
		Router: RouterID(p.Router), Port: PortID(p.Port)}
	if p.Central {
		if k := s.Centrals[x.Router]; k != nil && k.Gateway != nil {
			x.MAC = k.Gateway.MAC
			s.NDPProxies[x.ID] = x
		}
		return
	}
	if r := s.Routers[x.Router]; r != nil && r.Gateway != nil && s.Endpoints[x.Port] != nil && !s.DVRMAC.IsZero() {
		s.NDPProxies[x.ID] = x
	}
}

// Addresses outside.
var (
	// OutsideRouter is the next hop beyond, OutsideRouterMAC its MAC; Stranger is somebody behind it.
	OutsideRouter    = netip.MustParseAddr("203.0.113.1")
	OutsideRouterMAC = model.MAC{2, 0, 0, 0, 0, 0x51}
	OutsideRouter6   = netip.MustParseAddr("2001:db8:e::1")
	Stranger         = netip.MustParseAddr("198.51.100.7")
	Stranger6        = netip.MustParseAddr("2001:db8:99::7")
)

// NorthSouth gives the Demo cloud an external network, its routers gateways on compute2, and instances floating IPs.
//
//	red1  203.0.113.101   blue1 203.0.113.102   red2 203.0.113.103   red1-b 203.0.113.111
//	203.0.113.120, of no instance, is the central part's
//
// The IPv6 addresses of red1, blue1 and red2 have NDP proxies, and that of red3 one which the central part serves.
func NorthSouth(c *Cloud) {
	c.Externals = []External{{Name: "outside", Physnet: "external", Subnets: []hostplan.ExternalSubnet{
		{Prefix: netip.MustParsePrefix("203.0.113.0/24"), Gateway: OutsideRouter},
		{Prefix: netip.MustParsePrefix("2001:db8:e::/64"), Gateway: OutsideRouter6},
	}}}
	for i := range c.Routers {
		c.Routers[i].Gateway = &Gateway{External: "outside", Host: "compute2", SNAT: true, Addresses: []netip.Prefix{
			netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(10 + i)}), 24),
			netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 0xe, 15: byte(16 + i)}), 64)}}
	}
	for _, f := range []struct {
		port, router string
		last         byte
	}{{"red1", "router", 101}, {"blue1", "router", 102}, {"red2", "router", 103}, {"red1-b", "router-b", 111}, {"", "router", 120}} {
		x := Floating{External: "outside", Router: f.router, Port: f.port, Address: netip.AddrFrom4([4]byte{203, 0, 113, f.last})}
		if f.port != "" {
			x.Fixed = c.Port(f.port).Addresses[0]
			if f.router == "router" { // the other tenant's instances have the same addresses
				c.Proxies = append(c.Proxies, Proxy{External: "outside", Router: f.router, Port: f.port, Address: addr(f.port, true)})
			}
		}
		c.FloatingIPs = append(c.FloatingIPs, x)
	}
	c.Proxies = append(c.Proxies, Proxy{External: "outside", Router: "router", Port: "red3", Address: addr("red3", true), Central: true})
}

// FloatingOf is the address of the floating IP that NorthSouth gives a port.
func FloatingOf(port string) netip.Addr {
	last := map[string]byte{"red1": 101, "blue1": 102, "red2": 103, "red1-b": 111, "": 120}[port]
	return netip.AddrFrom4([4]byte{203, 0, 113, last})
}
