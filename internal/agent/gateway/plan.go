package gateway

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/linux"
	"github.com/weft-cloud/weft/internal/model"
)

// Names that Neutron's operators know. What follows the prefix is the router's id, or 11 characters of the port's.
const (
	centralizedPrefix, distributedPrefix = "qrouter-", "snat-"
	routerLegPrefix, snatLegPrefix       = "qr-", "sg-"
	outerPrefix                          = "qg-"
)

// plan is what the namespace of a router must hold.
type plan struct {
	router  model.RouterID
	name    string // of the namespace
	devices []device
	routes  []linux.Route
	nat     nat
	floats  []float
}

// float is a floating IP that is served here, as which it is.
type float struct {
	id         model.FloatingIPID
	address    netip.Addr
	generation uint64
}

// device is a veth: Name in the namespace, Host its other end.
type device struct {
	name, host string
	mac        model.MAC
	mtu        uint32
	addresses  []netip.Prefix // without the link-local one, which the kernel makes
}

// namespaceName is where the central part of a router is.
func namespaceName(c *hostplan.Central) string {
	if c.Distributed {
		return distributedPrefix + c.Router.String()
	}
	return centralizedPrefix + c.Router.String()
}

// planOf is the plan for c; nil: a router that is administratively down has no namespace. externals tell the MTU of the
// outer leg. The problems are what was left out of the plan, in words.
func planOf(c *hostplan.Central, externals map[model.NetworkID]*hostplan.External) (*plan, []string) {
	if !c.AdminUp {
		return nil, nil
	}
	p := &plan{router: c.Router, name: namespaceName(c)}
	names := map[model.PortID]string{}
	for _, l := range c.Legs {
		d := device{name: legName(c, l.Port), host: l.Device, mac: l.MAC, mtu: l.MTU, addresses: l.Addresses}
		names[l.Port] = d.name
		p.devices = append(p.devices, d)
	}
	var problems []string
	if g := c.Gateway; g != nil && c.OuterDevice != "" {
		d := device{name: outerPrefix + g.Port.String()[:11], host: c.OuterDevice, mac: g.MAC, mtu: 1500, addresses: slices.Clone(g.Addresses)}
		if x := externals[g.External]; x != nil && x.MTU > 0 {
			d.mtu = x.MTU
		}
		for _, f := range c.FloatingIPs {
			p.floats = append(p.floats, float{f.ID, f.Address, f.Generation})
			// What is not translated (a stray packet that belongs to no connection) ends here, and does not go out again.
			d.addresses = append(d.addresses, netip.PrefixFrom(f.Address, f.Address.BitLen()))
		}
		names[g.Port] = d.name
		p.devices = append(p.devices, d)
		p.nat = natOf(c, d.name)
		p.nat.own = ownAddresses(p.devices)
	}
	p.routes, problems = routesOf(c, names)
	return p, problems
}

func legName(c *hostplan.Central, id model.PortID) string {
	if c.Distributed {
		return snatLegPrefix + id.String()[:11]
	}
	return routerLegPrefix + id.String()[:11]
}

// routesOf are the routes that the kernel does not make by itself of the addresses; of several to one destination the
// first counts.
func routesOf(c *hostplan.Central, names map[model.PortID]string) (out []linux.Route, problems []string) {
	connected := map[netip.Prefix]bool{}
	own := map[netip.Addr]bool{}
	note := func(list []netip.Prefix) {
		for _, a := range list {
			connected[a.Masked()], own[a.Addr()] = true, true
		}
	}
	for _, l := range c.Legs {
		note(l.Addresses)
	}
	if c.Gateway != nil {
		note(c.Gateway.Addresses)
	}
	seen := map[netip.Prefix]bool{}
	for _, r := range c.Routes {
		dst := r.Dst.Masked()
		if seen[dst] || connected[dst] && !r.Via.IsValid() && !r.Blackhole {
			continue
		}
		name := names[r.Interface]
		switch {
		case r.Blackhole:
			name = ""
		case name == "":
			problems = append(problems, fmt.Sprintf("route %s via %s: the router has no leg for it on this host", dst, r.Via))
			continue
		case own[r.Via]:
			problems = append(problems, fmt.Sprintf("route %s via %s: the next hop is the router's own address; correct the route", dst, r.Via))
			continue
		}
		seen[dst] = true
		out = append(out, linux.Route{Dst: dst, Via: r.Via, Link: name, Blackhole: r.Blackhole})
	}
	slices.SortFunc(out, func(a, b linux.Route) int { return comparePrefix(a.Dst, b.Dst) })
	return out, problems
}

func comparePrefix(a, b netip.Prefix) int {
	if c := a.Addr().Compare(b.Addr()); c != 0 {
		return c
	}
	return a.Bits() - b.Bits()
}

// sysctl is one setting of a namespace.
type sysctl struct{ key, value string }

// early settings are made before there are devices: these inherit them.
func early() []sysctl {
	return []sysctl{
		{"net/ipv6/conf/all/disable_ipv6", "0"},
		{"net/ipv6/conf/default/disable_ipv6", "0"},
		{"net/ipv6/conf/default/addr_gen_mode", "0"}, // EUI-64: the address that others expect of the MAC
		{"net/ipv6/conf/default/accept_dad", "0"},    // a router's addresses are usable at once
		{"net/ipv6/conf/default/dad_transmits", "0"},
		{"net/ipv6/conf/all/accept_dad", "0"},
		{"net/ipv6/conf/default/accept_ra", "0"},
		{"net/ipv6/conf/default/accept_redirects", "0"},
		{"net/ipv6/conf/all/forwarding", "1"},
		{"net/ipv6/conf/default/forwarding", "1"},
		{"net/ipv4/ip_forward", "1"},
		{"net/ipv4/conf/all/rp_filter", "0"},
		{"net/ipv4/conf/default/rp_filter", "0"},
		{"net/ipv4/conf/all/accept_redirects", "0"},
		{"net/ipv4/conf/default/accept_redirects", "0"},
		{"net/ipv4/conf/all/send_redirects", "0"},
		{"net/ipv4/conf/default/send_redirects", "0"},
		{"net/ipv4/conf/all/arp_ignore", "1"},
		// Else the kernel deletes, with an address, the one that was added to take its place.
		{"net/ipv4/conf/all/promote_secondaries", "1"},
		{"net/ipv4/conf/default/promote_secondaries", "1"},
		// A packet that SNAT gave a floating IP is not to be the sender of the ARP request for its next hop: neighbours
		// would learn the gateway's MAC for it.
		{"net/ipv4/conf/all/arp_announce", "2"},
		{"net/ipv4/icmp_echo_ignore_broadcasts", "1"},
	}
}

// perDevice settings of the end in the namespace; it may have been made under other defaults.
func perDevice(name string) []sysctl {
	return []sysctl{
		{"net/ipv4/conf/" + name + "/rp_filter", "0"},
		{"net/ipv4/conf/" + name + "/send_redirects", "0"},
		{"net/ipv6/conf/" + name + "/accept_ra", "0"},
		{"net/ipv6/conf/" + name + "/forwarding", "1"},
	}
}

// late settings exist once connection tracking is there.
func late() []sysctl {
	return []sysctl{
		// Routing is asymmetric in places, and a window that was not seen whole is no reason to lose a packet (LP#1804327).
		{"net/netfilter/nf_conntrack_tcp_be_liberal", "1"},
		{"net/netfilter/nf_conntrack_tcp_loose", "1"},
	}
}
