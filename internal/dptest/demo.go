package dptest

import "net/netip"

// Demo is the lab's cloud: two tenants with the very same addresses, each with networks red and blue joined by a
// distributed router, and instances on two hosts.
//
//	            compute1          compute2
//	red         red1  red3        red2
//	blue        blue1             blue2
//	red-b       red1-b
//	blue-b                        blue2-b
func Demo() *Cloud {
	c := &Cloud{Hosts: []Host{
		{Name: "compute1", VTEP: netip.MustParseAddr("192.168.70.11")},
		{Name: "compute2", VTEP: netip.MustParseAddr("192.168.70.12")},
	}}
	vni := uint32(10)
	for _, tenant := range []string{"", "-b"} {
		r := Router{Name: "router" + tenant}
		for i, color := range []string{"red", "blue"} {
			subnets := DemoSubnets(i)
			n := Network{Name: color + tenant, VNI: vni, Subnets: subnets}
			f := Interface{Network: n.Name}
			for _, s := range subnets {
				f.Addresses = append(f.Addresses, netip.PrefixFrom(s.Gateway, s.Prefix.Bits()))
			}
			c.Networks, r.Interfaces = append(c.Networks, n), append(r.Interfaces, f)
			vni++
		}
		c.Routers = append(c.Routers, r)
	}
	for _, p := range []struct {
		name, host, network string
		net, last           int
	}{
		{"red1", "compute1", "red", 0, 11}, {"red2", "compute2", "red", 0, 12}, {"red3", "compute1", "red", 0, 13},
		{"blue1", "compute1", "blue", 1, 11}, {"blue2", "compute2", "blue", 1, 12},
		{"red1-b", "compute1", "red-b", 0, 11}, {"blue2-b", "compute2", "blue-b", 1, 12},
	} {
		c.Ports = append(c.Ports, Port{Name: p.name, Host: p.host, Network: p.network, DHCP: true,
			Addresses: []netip.Addr{DemoAddr(p.net, p.last, false), DemoAddr(p.net, p.last, true)}})
	}
	return c
}

// DemoSubnets are the IPv4 and the IPv6 subnet of red (0) or blue (1).
func DemoSubnets(net int) []Subnet {
	return []Subnet{
		{Prefix: netip.PrefixFrom(DemoAddr(net, 0, false), 24), Gateway: DemoAddr(net, 1, false)},
		{Prefix: netip.PrefixFrom(DemoAddr(net, 0, true), 64), Gateway: DemoAddr(net, 1, true)},
	}
}

// DemoAddr is an address in red (0) or blue (1): 172.16.42.last, fd00:42::last; 43 for blue.
func DemoAddr(net, last int, v6 bool) netip.Addr {
	if v6 {
		return netip.AddrFrom16([16]byte{0xfd, 0, 0, byte(0x42 + net), 15: byte(last)})
	}
	return netip.AddrFrom4([4]byte{172, 16, byte(42 + net), byte(last)})
}

// Port finds a port by name; nil if there is none.
func (c *Cloud) Port(name string) *Port {
	for i := range c.Ports {
		if c.Ports[i].Name == name {
			return &c.Ports[i]
		}
	}
	return nil
}
