package hostplan

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/weft-cloud/weft/internal/model"
)

// metadata is where instances look for their metadata. A subnet with neither a DHCP port nor a gateway address has no
// address of its own for the DHCP server: it is then the server's, too.
var metadata = netip.AddrFrom4([4]byte{169, 254, 169, 254})

// serverMAC stands for a DHCP server whose address no port and no router has; it is locally administered.
var serverMAC = model.MAC{0x02, 0x00, 169, 254, 169, 254}

// dhcp4 is the lease for the port's first address on a subnet with DHCP; nil: none.
func (c *Compiler) dhcp4(p, facts *model.Port) *DHCP4 {
	for _, ip := range p.FixedIPs {
		s := c.in.Subnets[ip.SubnetID]
		if s == nil || s.NetworkID != p.NetworkID || !s.EnableDHCP || !ip.Address.Is4() || !s.CIDR.Contains(ip.Address) {
			continue
		}
		return c.lease(ip.Address, s, facts)
	}
	return nil
}

func (c *Compiler) lease(a netip.Addr, s *model.Subnet, facts *model.Port) *DHCP4 {
	network := c.in.Networks[s.NetworkID].Network
	d := &DHCP4{
		Address: a, Prefix: s.CIDR.Masked(), Router: s.GatewayIP, MTU: network.MTU, LeaseSeconds: c.opts.LeaseSeconds,
		Hostname: facts.DNSName, Domain: strings.TrimSuffix(firstOf(facts.DNSDomain, network.DNSDomain, c.opts.DNSDomain), "."),
	}
	if d.LeaseSeconds == 0 {
		d.LeaseSeconds = 1<<32 - 1
	}
	if d.Hostname == "" {
		d.Hostname = "host-" + strings.NewReplacer(".", "-", ":", "-").Replace(a.String())
	}
	d.Server, d.ServerMAC = c.server(s)
	d.DNS = c.resolvers(s)
	d.Routes = c.staticRoutes(s, d.Server)
	for _, o := range facts.ExtraDHCP {
		if o.IPVersion != 6 {
			d.Extra = append(d.Extra, DHCPOption{Name: o.Name, Value: o.Value})
		}
	}
	return d
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// server is the DHCP server's address and MAC: those of the subnet's DHCP port of lowest id, else the gateway address
// with the MAC of the router that has it.
func (c *Compiler) server(s *model.Subnet) (netip.Addr, model.MAC) {
	x := c.idx.find(s.NetworkID)
	for _, id := range sortedPorts(x.dhcp) {
		if a := addressOn(c.idx.ports[id].Port, s.ID); a.IsValid() && unicast(c.idx.ports[id].MAC) {
			return a, c.idx.ports[id].MAC
		}
	}
	if !s.GatewayIP.IsValid() {
		return metadata, serverMAC
	}
	for _, id := range sortedPorts(x.legs) {
		if p := c.distributedLeg(id); p != nil && hasAddress(p, s.GatewayIP) {
			return s.GatewayIP, p.MAC
		}
	}
	return s.GatewayIP, serverMAC
}

func addressOn(p *model.Port, s model.SubnetID) netip.Addr {
	for _, ip := range p.FixedIPs {
		if ip.SubnetID == s {
			return ip.Address
		}
	}
	return netip.Addr{}
}

func hasAddress(p *model.Port, a netip.Addr) bool {
	return slices.ContainsFunc(p.FixedIPs, func(ip model.FixedIP) bool { return ip.Address == a })
}

// resolvers are the subnet's, of which 0.0.0.0 alone means none (Neutron's way to say so), else the
// network's DHCP ports, if the host answers DNS there.
func (c *Compiler) resolvers(s *model.Subnet) []netip.Addr {
	var out []netip.Addr
	for _, a := range s.DNS {
		if a.Is4() && !a.IsUnspecified() {
			out = append(out, a)
		}
	}
	if len(s.DNS) > 0 || !c.opts.ServeDNS {
		return out
	}
	x := c.idx.find(s.NetworkID)
	for _, id := range sortedPorts(x.dhcp) {
		if a := addressOn(c.idx.ports[id].Port, s.ID); a.IsValid() {
			out = append(out, a)
		}
	}
	return out
}

// staticRoutes are all that option 121 says: host_routes, metadata where it goes through the DHCP server, the network's
// other IPv4 subnets (on link: Via is 0.0.0.0) and, because a client that takes the option must ignore the router option
// (RFC 3442), the default route. Empty: no such option is needed.
func (c *Compiler) staticRoutes(s *model.Subnet, server netip.Addr) []StaticRoute {
	var out []StaticRoute
	add := func(dst netip.Prefix, via netip.Addr) {
		if !slices.ContainsFunc(out, func(r StaticRoute) bool { return r.Dst == dst }) {
			out = append(out, StaticRoute{Dst: dst, Via: via})
		}
	}
	for _, r := range s.HostRoutes {
		if r.Destination.IsValid() && r.Destination.Addr().Is4() && r.NextHop.Is4() {
			add(r.Destination.Masked(), r.NextHop)
		}
	}
	if c.opts.ForceMetadata || c.opts.IsolatedMetadata && c.isolated(s) {
		via := server
		if via == metadata {
			via = netip.IPv4Unspecified()
		}
		add(netip.PrefixFrom(metadata, 32), via)
	}
	var others []netip.Prefix
	for id := range c.idx.find(s.NetworkID).subnets {
		if o := c.in.Subnets[id]; o.ID != s.ID && o.CIDR.Addr().Is4() && o.EnableDHCP {
			others = append(others, o.CIDR.Masked())
		}
	}
	slices.SortFunc(others, comparePrefix)
	for _, o := range others {
		add(o, netip.IPv4Unspecified())
	}
	if len(out) > 0 && s.GatewayIP.IsValid() {
		add(netip.PrefixFrom(netip.IPv4Unspecified(), 0), s.GatewayIP)
	}
	return out
}

// isolated: no router, distributed or not, is on the subnet's gateway address.
func (c *Compiler) isolated(s *model.Subnet) bool {
	for id := range c.idx.find(s.NetworkID).legs {
		if l := c.idx.legs[id]; l.port != nil && l.port.IsRouterInterface() && s.GatewayIP.IsValid() && hasAddress(l.port, s.GatewayIP) {
			return false
		}
	}
	return true
}
