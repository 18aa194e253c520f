package hostplan

import (
	"net/netip"
	"slices"
)

// metadata6 is metadata for IPv6: the same digits behind fe80::/64.
var metadata6 = netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 12: 169, 13: 254, 14: 169, 15: 254})

// services are the addresses of the network's DHCP ports, and the metadata service's. Of several ports that have one
// address, the one of lowest id is the one.
func (c *Compiler) services(x *netIndex) []Service {
	var out []Service
	add := func(s Service) {
		if !slices.ContainsFunc(out, func(o Service) bool { return o.Address == s.Address }) {
			out = append(out, s)
		}
	}
	if c.opts.ServeMetadata {
		add(Service{Address: metadata, MAC: serverMAC, Metadata: true})
		add(Service{Address: metadata6, MAC: serverMAC, Metadata: true})
	}
	for _, id := range sortedPorts(x.dhcp) {
		p := c.idx.ports[id]
		if !unicast(p.MAC) {
			continue
		}
		for _, ip := range p.FixedIPs {
			if ip.Address.IsValid() {
				add(Service{Address: ip.Address, MAC: p.MAC, DNS: c.opts.ServeDNS})
			}
		}
	}
	slices.SortFunc(out, func(a, b Service) int { return a.Address.Compare(b.Address) })
	return out
}
