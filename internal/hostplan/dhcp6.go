package hostplan

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/weft-cloud/weft/internal/model"
)

// dhcp6 is what DHCPv6 says to a port: the addresses on its stateful subnets, and the other configuration of these and
// of the stateless ones. nil: no subnet of the port has DHCPv6.
func (c *Compiler) dhcp6(p, facts *model.Port) *DHCP6 {
	var d *DHCP6
	for _, ip := range p.FixedIPs {
		s := c.in.Subnets[ip.SubnetID]
		if s == nil || s.NetworkID != p.NetworkID || !s.EnableDHCP || !s.CIDR.Addr().Is6() || !s.CIDR.Contains(ip.Address) {
			continue
		}
		if s.AddressMode != model.ModeStateful && s.AddressMode != model.ModeStateless {
			continue
		}
		if d == nil {
			d = c.dhcp6For(s, facts)
		}
		if s.AddressMode == model.ModeStateful {
			d.Addresses = append(d.Addresses, ip.Address)
			if facts.DNSName == "" && len(d.Addresses) == 1 {
				d.Hostname = "host-" + strings.ReplaceAll(ip.Address.String(), ":", "-")
			}
		}
		for _, a := range c.resolvers6(s) {
			if !slices.Contains(d.DNS, a) {
				d.DNS = append(d.DNS, a)
			}
		}
	}
	return d
}

// dhcp6For is all that does not depend on the addresses.
func (c *Compiler) dhcp6For(s *model.Subnet, facts *model.Port) *DHCP6 {
	network := c.in.Networks[s.NetworkID].Network
	d := &DHCP6{
		LeaseSeconds: c.opts.LeaseSeconds, Hostname: facts.DNSName,
		Domain: strings.TrimSuffix(firstOf(facts.DNSDomain, network.DNSDomain, c.opts.DNSDomain), "."),
	}
	if d.LeaseSeconds == 0 {
		d.LeaseSeconds = 1<<32 - 1
	}
	_, d.ServerMAC = c.server(s)
	for _, o := range facts.ExtraDHCP {
		if o.IPVersion == 6 {
			d.Extra = append(d.Extra, DHCPOption{Name: o.Name, Value: o.Value})
		}
	}
	return d
}

// resolvers6 are the subnet's, of which :: alone means none, else the network's DHCP ports, if the host answers DNS
// there.
func (c *Compiler) resolvers6(s *model.Subnet) []netip.Addr {
	var out []netip.Addr
	for _, a := range s.DNS {
		if a.Is6() && !a.IsUnspecified() {
			out = append(out, a)
		}
	}
	if len(s.DNS) > 0 || !c.opts.ServeDNS {
		return out
	}
	for _, id := range sortedPorts(c.idx.find(s.NetworkID).dhcp) {
		if a := addressOn(c.idx.ports[id].Port, s.ID); a.IsValid() {
			out = append(out, a)
		}
	}
	return out
}
