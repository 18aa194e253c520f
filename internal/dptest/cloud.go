// Package dptest is the conformance suite that every data plane must pass.
//
// It holds a small language for clouds (Cloud) and frames (IPv4, IPv6, Ether), a table of named hard packets with the
// outcome that each must have (Cases), a generator of random clouds and packets, and Run, which puts both to a plane and
// compares every answer with internal/forward. It knows no plane.
package dptest

import (
	"crypto/sha256"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/prefix"
)

// Cloud describes hosts, networks, routers and ports by name. States makes of it what hostplan would make of the same
// objects.
type Cloud struct {
	Hosts    []Host
	Networks []Network
	Routers  []Router
	Ports    []Port
	Sets     []Set
	// The outside.
	Externals   []External
	FloatingIPs []Floating
	Proxies     []Proxy
	// Met are machines on flat and vlan networks that were asked for before.
	Met []Met
}

// Host is a host with its tunnel address. DVRMAC is made from the name unless NoDVR.
type Host struct {
	Name  string
	VTEP  netip.Addr
	NoDVR bool
	// PathMTU is the largest packet that a tunnel from another host carries here; 0: none is too large.
	PathMTU uint32
}

// Network is a vxlan network, or, with a Physnet, a flat or vlan one. MTU 0 means 1450.
type Network struct {
	Name    string
	VNI     uint32
	Physnet string
	VLAN    uint16
	// Speaker is the host that speaks for the routers to the machines on the wire.
	Speaker string
	MTU     uint32
	Subnets []Subnet
	// Advertised: the network has a router advertisement. Managed: its ports are served by DHCPv6, router or not.
	Advertised, Managed bool
	// Services are the addresses at which the hosts themselves answer.
	Services []hostplan.Service
}

// Met is a machine that is no instance, whose MAC the hosts have learned.
type Met struct {
	Network string
	Address netip.Addr
	MAC     model.MAC
}

// Subnet with its gateway address; the router interface that has it gives RouterMAC.
type Subnet struct {
	Prefix  netip.Prefix
	Gateway netip.Addr
}

// Router is distributed. Connected routes are added.
type Router struct {
	Name       string
	Down       bool
	Interfaces []Interface
	Routes     []Route
	Gateway    *Gateway
}

// Interface is a router's leg. A router may have several on one network (Neutron makes one port for each IPv4 subnet and
// one for IPv6): Name then tells them apart.
type Interface struct {
	Network, Name string
	Addresses     []netip.Prefix
}

// key is what LegMAC and LegID call the leg.
func (f Interface) key() string {
	if f.Name == "" {
		return f.Network
	}
	return f.Network + "/" + f.Name
}

// Route is an extra route, via an address on a leg's network.
type Route struct {
	Dst       netip.Prefix
	Via       netip.Addr
	Network   string
	Blackhole bool
}

// Port is an instance's port. Open means port_security_enabled=false. Without Policy everything is allowed, but with
// NoGroups.
type Port struct {
	Name, Host, Network string
	Addresses           []netip.Addr
	Down                bool
	Open                bool
	Pairs               []Pair
	DHCP                bool
	Policy              *hostplan.Policy
	NoGroups            bool
}

// Pair is an allowed address pair; a zero MAC means the port's own.
type Pair struct {
	MAC    model.MAC
	Prefix netip.Prefix
}

// Set is an address set that rules may name with SetID.
type Set struct {
	Name     string
	Prefixes []netip.Prefix
}

// id makes an object's id from its kind and name.
func id(kind, name string) model.UUID {
	s := sha256.Sum256([]byte(kind + "/" + name))
	return model.NewUUIDv4([16]byte(s[:16]))
}

// mac makes a unicast MAC from its kind and name.
func mac(prefix [3]byte, kind, name string) model.MAC {
	s := sha256.Sum256([]byte(kind + "/" + name))
	return model.MAC{prefix[0], prefix[1], prefix[2], s[0], s[1], s[2]}
}

// PortID is the id of the port of that name.
func PortID(name string) model.PortID { return model.PortID{UUID: id("port", name)} }

// NetworkID is the id of the network of that name.
func NetworkID(name string) model.NetworkID { return model.NetworkID{UUID: id("network", name)} }

// RouterID is the id of the router of that name.
func RouterID(name string) model.RouterID { return model.RouterID{UUID: id("router", name)} }

// SetID is the id of the address set of that name.
func SetID(name string) model.UUID { return id("set", name) }

// RuleID is the id of the rule of that name.
func RuleID(name string) model.UUID { return id("rule", name) }

// PortMAC is the MAC of the port of that name.
func PortMAC(name string) model.MAC { return mac([3]byte{0xfa, 0x16, 0x3e}, "port", name) }

// LegMAC is the MAC of the router's interface on the network.
func LegMAC(router, network string) model.MAC {
	return mac([3]byte{0xfa, 0x16, 0x3e}, "leg", router+"/"+network)
}

// LegID is the port id of the router's interface on the network.
func LegID(router, network string) model.PortID {
	return model.PortID{UUID: id("leg", router+"/"+network)}
}

// DVRMAC is the DVR MAC of the host of that name.
func DVRMAC(host string) model.MAC { return mac([3]byte{0xfa, 0x16, 0x3f}, "dvr", host) }

// Names is a forward.Names for the cloud's objects.
func (c *Cloud) Names() func(model.UUID) string {
	names := map[model.UUID]string{}
	for _, n := range c.Networks {
		names[id("network", n.Name)] = n.Name
	}
	for _, r := range c.Routers {
		names[id("router", r.Name)] = r.Name
		for _, f := range r.Interfaces {
			names[LegID(r.Name, f.key()).UUID] = r.Name + "/" + f.key()
		}
	}
	for _, p := range c.Ports {
		names[id("port", p.Name)] = p.Name
		if p.Policy != nil {
			for _, r := range p.Policy.Rules {
				names[r.ID] = ruleText(r)
			}
		}
	}
	return func(u model.UUID) string { return names[u] }
}

// States makes each host's State.
func (c *Cloud) States() map[string]*hostplan.State {
	out := map[string]*hostplan.State{}
	for _, h := range c.Hosts {
		out[h.Name] = c.state(h)
	}
	return out
}

func (c *Cloud) state(h Host) *hostplan.State {
	s := &hostplan.State{
		Host: h.Name, VTEP: h.VTEP,
		Peers: map[string]*hostplan.Peer{}, Networks: map[model.NetworkID]*hostplan.Network{},
		Routers: map[model.RouterID]*hostplan.Router{}, Endpoints: map[model.PortID]*hostplan.Endpoint{},
		Neighbors: map[model.PortID]*hostplan.Neighbor{}, AddressSets: map[model.UUID]*hostplan.AddressSet{},
	}
	if !h.NoDVR {
		s.DVRMAC = DVRMAC(h.Name)
	}
	for _, o := range c.Hosts {
		if o.Name == h.Name {
			continue
		}
		p := &hostplan.Peer{Host: o.Name, VTEP: o.VTEP, MTU: o.PathMTU}
		if !o.NoDVR {
			p.DVRMAC = DVRMAC(o.Name)
		}
		s.Peers[o.Name] = p
	}
	for _, set := range c.Sets {
		s.AddressSets[SetID(set.Name)] = &hostplan.AddressSet{ID: SetID(set.Name), Prefixes: prefix.Of(set.Prefixes...)}
	}
	scope, routers := c.scope(h.Name)
	for _, n := range c.Networks {
		if scope[n.Name] {
			s.Networks[NetworkID(n.Name)] = c.network(h.Name, n)
		}
	}
	for _, r := range c.Routers {
		if routers[r.Name] {
			s.Routers[RouterID(r.Name)] = c.router(r)
		}
	}
	for _, p := range c.Ports {
		if p.Host == h.Name {
			s.Endpoints[PortID(p.Name)] = c.endpoint(p)
		}
		if scope[p.Network] {
			s.Neighbors[PortID(p.Name)] = neighbor(p)
		}
	}
	c.outside(s)
	return s
}

// scope is what a host must know: the networks of its ports, the routers on them, those routers' networks.
func (c *Cloud) scope(host string) (networks, routers map[string]bool) {
	networks, routers = map[string]bool{}, map[string]bool{}
	for _, p := range c.Ports {
		if p.Host == host {
			networks[p.Network] = true
		}
	}
	own := map[string]bool{}
	for n := range networks {
		own[n] = true
	}
	for _, r := range c.Routers {
		if slices.ContainsFunc(r.Interfaces, func(f Interface) bool { return own[f.Network] }) {
			routers[r.Name] = true
			for _, f := range r.Interfaces {
				networks[f.Network] = true
			}
		}
	}
	for _, r := range c.Routers {
		if r.Gateway != nil && r.Gateway.Host == host {
			routers[r.Name] = true
			for _, f := range r.Interfaces {
				networks[f.Network] = true
			}
		}
	}
	return networks, routers
}

func (c *Cloud) network(host string, n Network) *hostplan.Network {
	out := &hostplan.Network{ID: NetworkID(n.Name), Type: "vxlan", VNI: n.VNI, MTU: n.mtu(), Services: n.Services}
	if n.Physnet != "" {
		out.Type, out.VNI, out.Physnet, out.VLAN = "flat", 0, n.Physnet, n.VLAN
		if n.VLAN != 0 {
			out.Type = "vlan"
		}
		out.Speaks = n.Speaker == host
	}
	flood := map[string]bool{}
	for _, p := range c.Ports {
		if p.Network != n.Name || p.Host == "" {
			continue
		}
		if p.Host != host {
			flood[p.Host] = true
		}
		if p.Open || len(p.Pairs) > 0 {
			out.Learning = true
		}
	}
	for _, r := range c.Routers {
		leg := slices.ContainsFunc(r.Interfaces, func(f Interface) bool { return f.Network == n.Name && len(f.Addresses) > 0 })
		if leg && r.Gateway != nil && r.Gateway.Host != "" && r.Gateway.Host != host {
			flood[r.Gateway.Host] = true
		}
	}
	for h := range flood {
		out.Flood = append(out.Flood, h)
	}
	slices.Sort(out.Flood)
	out.Announce = c.announce(host, n, flood)
	if n.Advertised {
		out.Advertisements = []hostplan.Advertisement{{Managed: n.Managed, DefaultRouter: true, MTU: n.mtu()}}
	}
	for _, sn := range n.Subnets {
		out.Subnets = append(out.Subnets, hostplan.Subnet{
			ID: model.SubnetID{UUID: id("subnet", n.Name+sn.Prefix.String())}, Prefix: sn.Prefix, Gateway: sn.Gateway,
			RouterMAC: c.gatewayMAC(host, n.Name, sn),
		})
	}
	slices.SortFunc(out.Subnets, func(a, b hostplan.Subnet) int { return a.Prefix.Addr().Compare(b.Prefix.Addr()) })
	return out
}

// announce are the hosts with ports on networks that share a router with n, as far as the host knows the router.
func (c *Cloud) announce(host string, n Network, flood map[string]bool) []string {
	shared := map[string]bool{}
	_, known := c.scope(host)
	for _, r := range c.Routers {
		if known[r.Name] && slices.ContainsFunc(r.Interfaces, func(f Interface) bool { return f.Network == n.Name }) {
			for _, f := range r.Interfaces {
				shared[f.Network] = true
			}
		}
	}
	hosts := map[string]bool{}
	for _, p := range c.Ports {
		if shared[p.Network] && p.Host != "" && p.Host != host && !flood[p.Host] {
			hosts[p.Host] = true
		}
	}
	return slices.Sorted(maps.Keys(hosts))
}

func (n Network) mtu() uint32 {
	if n.MTU == 0 {
		return 1450
	}
	return n.MTU
}

// gatewayMAC is the MAC of the leg on the subnet's gateway address, else of the leg of lowest id that has an address of the
// subnet, among the routers that the host knows.
func (c *Cloud) gatewayMAC(host, network string, sn Subnet) model.MAC {
	_, known := c.scope(host)
	var best string
	gateway := false
	for _, r := range c.Routers {
		for _, f := range r.Interfaces {
			for _, a := range f.Addresses {
				if !known[r.Name] || f.Network != network || !sn.Prefix.Contains(a.Addr()) {
					continue
				}
				key := r.Name + "/" + f.key()
				is := a.Addr() == sn.Gateway
				if best == "" || is && !gateway || is == gateway && id("leg", key).Compare(id("leg", best)) < 0 {
					best, gateway = key, is
				}
			}
		}
	}
	if best == "" {
		return model.MAC{}
	}
	return mac([3]byte{0xfa, 0x16, 0x3e}, "leg", best)
}

func (c *Cloud) mtu(network string) uint32 {
	for _, n := range c.Networks {
		if n.Name == network {
			return n.mtu()
		}
	}
	return 0
}

func (c *Cloud) router(r Router) *hostplan.Router {
	out := &hostplan.Router{ID: RouterID(r.Name), AdminUp: !r.Down}
	for _, f := range r.Interfaces {
		out.Interfaces = append(out.Interfaces, hostplan.Interface{
			Port: LegID(r.Name, f.key()), Network: NetworkID(f.Network), MAC: LegMAC(r.Name, f.key()),
			Addresses: f.Addresses, MTU: c.mtu(f.Network),
		})
		for _, a := range f.Addresses {
			out.Routes = append(out.Routes, hostplan.Route{Dst: a.Masked(), Interface: LegID(r.Name, f.key())})
		}
	}
	for _, rt := range r.Routes {
		x := hostplan.Route{Dst: rt.Dst, Via: rt.Via, Blackhole: rt.Blackhole}
		if !rt.Blackhole {
			x.Interface = LegID(r.Name, r.leg(rt).key())
			if r.Gateway != nil && rt.Network == r.Gateway.External {
				x.Interface = GatewayID(r.Name)
			}
		}
		out.Routes = append(out.Routes, x)
	}
	slices.SortFunc(out.Interfaces, func(a, b hostplan.Interface) int { return a.Port.Compare(b.Port.UUID) })
	return out
}

// leg is the interface that an extra route leaves by: the one on its network whose subnet holds the next hop.
func (r Router) leg(rt Route) Interface {
	for _, f := range r.Interfaces {
		if f.Network == rt.Network && slices.ContainsFunc(f.Addresses, func(p netip.Prefix) bool { return p.Contains(rt.Via) }) {
			return f
		}
	}
	return Interface{Network: rt.Network}
}

// prefix is addr with the length of its subnet.
func (c *Cloud) prefix(network string, addr netip.Addr) netip.Prefix {
	for _, n := range c.Networks {
		for _, sn := range n.Subnets {
			if n.Name == network && sn.Prefix.Contains(addr) {
				return netip.PrefixFrom(addr, sn.Prefix.Bits())
			}
		}
	}
	return netip.PrefixFrom(addr, addr.BitLen())
}

func (c *Cloud) endpoint(p Port) *hostplan.Endpoint {
	e := &hostplan.Endpoint{
		Port: PortID(p.Name), Network: NetworkID(p.Network), Device: PortID(p.Name).DeviceName(), Owner: "compute:nova",
		Name: p.Name, AdminUp: !p.Down, MAC: PortMAC(p.Name), MTU: c.mtu(p.Network), PortSecurity: !p.Open, Policy: p.Policy,
	}
	if e.Policy == nil && !p.NoGroups {
		e.Policy = &hostplan.Policy{AllowAll: true}
	}
	for _, a := range p.Addresses {
		e.Addresses = append(e.Addresses, c.prefix(p.Network, a))
	}
	for _, pair := range p.Pairs {
		if p.Open {
			break
		}
		e.Allowed = append(e.Allowed, hostplan.AddressPair{MAC: pair.mac(p), Prefix: pair.Prefix})
	}
	slices.SortFunc(e.Allowed, comparePairs)
	e.Allowed = slices.Compact(e.Allowed)
	if p.DHCP && len(e.Addresses) > 0 && e.Addresses[0].Addr().Is4() {
		e.DHCP4 = &hostplan.DHCP4{
			Address: e.Addresses[0].Addr(), Prefix: e.Addresses[0].Masked(), Server: e.Addresses[0].Masked().Addr().Next().Next(),
			ServerMAC: mac([3]byte{0xfa, 0x16, 0x3e}, "dhcp", p.Network), LeaseSeconds: 86400, MTU: e.MTU,
		}
	}
	if slices.ContainsFunc(c.Networks, func(n Network) bool { return n.Name == p.Network && n.Managed }) {
		e.DHCP6 = &hostplan.DHCP6{ServerMAC: mac([3]byte{0xfa, 0x16, 0x3e}, "dhcp", p.Network), LeaseSeconds: 86400}
	}
	return e
}

func (x Pair) mac(p Port) model.MAC {
	if x.MAC.IsZero() {
		return PortMAC(p.Name)
	}
	return x.MAC
}

func comparePairs(a, b hostplan.AddressPair) int {
	if c := strings.Compare(a.MAC.String(), b.MAC.String()); c != 0 {
		return c
	}
	return a.Prefix.Compare(b.Prefix)
}

func neighbor(p Port) *hostplan.Neighbor {
	n := &hostplan.Neighbor{Port: PortID(p.Name), Network: NetworkID(p.Network), MAC: PortMAC(p.Name), Host: p.Host}
	n.Addresses = append(n.Addresses, p.Addresses...)
	if p.Host == "" {
		return n
	}
	n.Open = p.Open
	for _, pair := range p.Pairs {
		if !p.Open {
			n.Pairs = append(n.Pairs, hostplan.AddressPair{MAC: pair.mac(p), Prefix: pair.Prefix.Masked()})
		}
	}
	slices.SortFunc(n.Pairs, comparePairs)
	n.Pairs = slices.Compact(n.Pairs)
	return n
}

// PortNames are the names of the ports by id, of the legs of central parts, too.
func (c *Cloud) PortNames() map[model.PortID]string {
	out := map[model.PortID]string{}
	for _, p := range c.Ports {
		out[PortID(p.Name)] = p.Name
	}
	maps.Copy(out, c.outsideNames())
	return out
}
