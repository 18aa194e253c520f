package dptest

import (
	"fmt"
	"net/netip"

	"pgregory.net/rapid"

	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// Limits says what Topology may make use of; the zero value is the smallest language.
type Limits struct {
	// Policies: security groups; without, ports allow everything.
	Policies bool
	// Outside: external and provider networks, gateways, floating IPs, and frames from NICs.
	Outside bool
}

// Topology draws a random cloud: up to three hosts, four networks with overlapping addresses, three routers, and ten
// ports of every sort.
func Topology(t *rapid.T, l Limits) *Cloud {
	g := &drawer{T: t, c: &Cloud{}, limits: l, flip: rapid.Bool(), even: even()}
	for i := range g.count("hosts", 1, 3) {
		g.c.Hosts = append(g.c.Hosts, Host{Name: fmt.Sprintf("host%d", i), NoDVR: g.rarely("no DVR MAC") && g.coin("really"),
			VTEP: netip.AddrFrom4([4]byte{192, 168, 70, byte(10 + i)}), PathMTU: g.narrow()})
	}
	for i := range g.count("networks", 1, 4) {
		g.network(i)
	}
	for i := range g.count("routers", 0, 3) {
		g.router(i)
	}
	for i := range g.count("ports", 1, 10) {
		g.port(i)
	}
	if l.Policies {
		g.sets()
	}
	for i := range g.c.Routers {
		g.routes(&g.c.Routers[i])
	}
	if l.Outside {
		g.outside()
	}
	return g.c
}

// drawer draws the parts of a cloud.
type drawer struct {
	*rapid.T
	c      *Cloud
	limits Limits
	flip   *rapid.Generator[bool]
	even   *rapid.Generator[int]
}

// count is a number from lo to hi, all equally likely: rapid's own ranges prefer small ones, and whole clouds of smallest
// values teach little. It shrinks to lo.
func (g *drawer) count(what string, lo, hi int) int { return lo + g.even.Draw(g.T, what)%(hi-lo+1) }

// even draws numbers below 4096, all equally likely.
func even() *rapid.Generator[int] {
	flip := rapid.Bool()
	return rapid.Custom(func(t *rapid.T) int {
		v := 0
		for range 12 {
			v *= 2
			if flip.Draw(t, "bit") {
				v++
			}
		}
		return v
	})
}

// rarely is true once in eight.
func (g *drawer) rarely(what string) bool { return g.count(what, 0, 7) == 7 }

// narrow is the path MTU of a host: rarely a small one.
func (g *drawer) narrow() uint32 {
	if g.rarely("narrow path") {
		return pickOne(g, "path MTU", []uint32{1280, 1350, 1400})
	}
	return 0
}

func (g *drawer) coin(what string) bool { return g.flip.Draw(g.T, what) }

func pickOne[T any](g *drawer, what string, from []T) T { return from[g.count(what, 0, len(from)-1)] }

func (g *drawer) network(i int) {
	n := Network{Name: fmt.Sprintf("net%d", i), VNI: uint32(10 + i), MTU: pickOne(g, "MTU", []uint32{1450, 1400, 1500, 1280})}
	n.Advertised, n.Managed = g.coin("advertised"), g.rarely("managed")
	third := pickOne(g, "subnet", []byte{42, 42, 43, 44})
	for _, s := range []struct {
		prefix, gateway string
	}{
		{fmt.Sprintf("172.16.%d.0/25", third), fmt.Sprintf("172.16.%d.1", third)},
		{fmt.Sprintf("172.16.%d.128/26", third), fmt.Sprintf("172.16.%d.129", third)},
		{fmt.Sprintf("fd00:%d::/64", third), fmt.Sprintf("fd00:%d::1", third)},
	} {
		if g.count("subnet "+s.prefix, 0, 3) > 0 {
			n.Subnets = append(n.Subnets, Subnet{Prefix: netip.MustParsePrefix(s.prefix), Gateway: netip.MustParseAddr(s.gateway)})
		}
	}
	g.services(&n)
	g.c.Networks = append(g.c.Networks, n)
}

// services puts the hosts' own services on the network: metadata, and a DHCP port, for once with an address that a port has.
func (g *drawer) services(n *Network) {
	host := model.MAC{2, 0, 169, 254, 169, 254}
	if g.coin("metadata") {
		n.Services = append(n.Services, hostplan.Service{Address: netip.MustParseAddr("169.254.169.254"), MAC: host, Metadata: true},
			hostplan.Service{Address: netip.MustParseAddr("fe80::a9fe:a9fe"), MAC: host, Metadata: true})
	}
	last := byte(3)
	if g.rarely("service at a port's address") {
		last = 10
	}
	for _, s := range n.Subnets {
		if g.coin("DHCP port") {
			n.Services = append(n.Services, hostplan.Service{Address: s.host(last), MAC: mac([3]byte{0xfa, 0x16, 0x3e}, "dhcp", n.Name), DNS: g.coin("DNS")})
		}
	}
}

// host is the address of that number in the subnet.
func (s Subnet) host(n byte) netip.Addr {
	b := s.Prefix.Addr().As16()
	b[15] += n
	a := netip.AddrFrom16(b)
	return a.Unmap()
}

// router gets legs on some networks: never two with overlapping subnets, as the API sees to.
func (g *drawer) router(i int) {
	r := Router{Name: fmt.Sprintf("router%d", i), Down: g.rarely("router down") && g.coin("really")}
	used := map[netip.Prefix]bool{}
	for _, n := range g.c.Networks {
		if g.count("no leg on "+n.Name, 0, 3) == 0 {
			continue
		}
		f, six := Interface{Network: n.Name}, Interface{Network: n.Name}
		if g.coin("a leg for each family") {
			six.Name = "v6"
		}
		for _, s := range n.Subnets {
			if used[s.Prefix] {
				continue
			}
			used[s.Prefix] = true
			// The first router of a subnet has its gateway address; another one an address of its own.
			a := s.Gateway
			if g.taken(n.Name, a) {
				a = s.host(byte(60 - i))
			}
			leg := &f
			if a.Is6() && six.Name != "" {
				leg = &six
			}
			leg.Addresses = append(leg.Addresses, netip.PrefixFrom(a, s.Prefix.Bits()))
		}
		for _, x := range []Interface{f, six} {
			if len(x.Addresses) > 0 {
				r.Interfaces = append(r.Interfaces, x)
			}
		}
	}
	g.c.Routers = append(g.c.Routers, r)
}

// taken reports whether a router has the address on the network.
func (g *drawer) taken(network string, a netip.Addr) bool {
	for _, r := range g.c.Routers {
		for _, f := range r.Interfaces {
			for _, p := range f.Addresses {
				if f.Network == network && p.Addr() == a {
					return true
				}
			}
		}
	}
	return false
}

func (g *drawer) port(i int) {
	n := pickOne(g, "network", g.c.Networks)
	p := Port{Name: fmt.Sprintf("port%d", i), Network: n.Name, Down: g.rarely("port down") && g.coin("really"), Open: g.rarely("no port security"), DHCP: g.coin("DHCP")}
	if !g.rarely("bound nowhere") {
		p.Host = pickOne(g, "host", g.c.Hosts).Name
	}
	for _, s := range n.Subnets {
		if !g.rarely("no address in " + s.Prefix.String()) {
			p.Addresses = append(p.Addresses, s.host(byte(10+i)))
		}
	}
	for range g.count("pairs", 0, 9) - 7 {
		p.Pairs = append(p.Pairs, g.pair(n))
	}
	if g.limits.Policies {
		p.Policy, p.NoGroups = g.policy()
	}
	g.c.Ports = append(g.c.Ports, p)
}

// pair is mostly an address that another port may have as a pair, too, sometimes with a MAC that moves.
func (g *drawer) pair(n Network) Pair {
	var x Pair
	if g.coin("pair with a MAC") {
		x.MAC = model.MAC{0, 0, 0x5e, 0, 1, 7}
	}
	prefixes := []netip.Prefix{netip.MustParsePrefix("10.99.0.0/16"), netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("2001:db8::/32")}
	for _, s := range n.Subnets {
		prefixes = append(prefixes, netip.PrefixFrom(s.host(50), s.Gateway.BitLen()))
	}
	x.Prefix = pickOne(g, "pair", prefixes)
	return x
}

// routes adds extra routes: through instances, other routers, to nowhere.
func (g *drawer) routes(r *Router) {
	if len(r.Interfaces) == 0 {
		return
	}
	for range g.count("extra routes", 0, 5) - 2 {
		f := pickOne(g, "by", r.Interfaces)
		x := Route{Network: f.Network, Blackhole: g.rarely("blackhole")}
		hop := pickOne(g, "subnet of the next hop", f.Addresses)
		dsts := []string{"10.99.0.0/16", "10.99.3.0/24", "0.0.0.0/0", "172.16.0.0/16"}
		if hop.Addr().Is6() {
			dsts = []string{"2001:db8::/32", "2001:db8:1::/48", "::/0", "fd00::/8"}
		}
		x.Dst = netip.MustParsePrefix(pickOne(g, "to", dsts))
		last := pickOne(g, "next hop", []byte{10, 11, 12, 1, 58, 59, 60, 50, 99})
		x.Via = Subnet{Prefix: hop.Masked()}.host(last)
		for i := range r.Routes {
			if r.Routes[i].Dst == x.Dst {
				x.Dst = netip.Prefix{}
			}
		}
		if x.Dst.IsValid() {
			r.Routes = append(r.Routes, x)
		}
	}
}

func (g *drawer) sets() {
	for i := range 2 {
		s := Set{Name: fmt.Sprintf("set%d", i)}
		for _, p := range g.c.Ports {
			for _, a := range p.Addresses {
				if g.coin("member") {
					s.Prefixes = append(s.Prefixes, netip.PrefixFrom(a, a.BitLen()))
				}
			}
		}
		if g.rarely("wide member") {
			s.Prefixes = append(s.Prefixes, netip.MustParsePrefix("10.99.0.0/16"))
		}
		g.c.Sets = append(g.c.Sets, s)
	}
}

func (g *drawer) policy() (p *hostplan.Policy, none bool) {
	switch g.count("policy", 0, 15) {
	case 0:
		return nil, true
	case 1:
		return nil, false // AllowAll
	}
	p = Stateful()
	p.Stateful = g.count("stateful", 0, 3) > 0
	seen := map[model.UUID]bool{}
	add := func(r hostplan.Rule) {
		if !seen[r.ID] {
			seen[r.ID] = true
			p.Rules = append(p.Rules, r)
		}
	}
	if g.count("default group", 0, 3) > 0 {
		add(Any(true, false))
		add(Any(true, true))
	}
	if g.coin("wide open") {
		v6, proto := g.coin("IPv6"), pickOne(g, "protocol", []int16{hostplan.AnyProtocol, 6, 17})
		add(Allow(false, v6, proto, -1, -1))
	}
	for range g.count("rules", 0, 6) {
		add(g.rule())
	}
	sortRules(p.Rules)
	return p, false
}

func (g *drawer) rule() hostplan.Rule {
	r := hostplan.Rule{Egress: g.coin("egress"), IPv6: g.coin("IPv6"), PortMin: -1, PortMax: -1}
	r.Protocol = pickOne(g, "protocol", []int16{hostplan.AnyProtocol, 1, 6, 17, 33, 58, 132, 136, 253})
	switch r.Protocol {
	case 6, 17, 132:
		if g.coin("ports") {
			r.PortMin = int32(pickOne(g, "first port", ruledPorts()))
			r.PortMax = max(r.PortMin, int32(pickOne(g, "last port", ruledPorts())))
		}
	case 1, 58:
		if g.coin("type") {
			r.PortMin = int32(pickOne(g, "ICMP type", []int{0, 3, 8, 11, 128, 129, 1, 13}))
			if g.coin("code") {
				r.PortMax = int32(g.count("ICMP code", 0, 1))
			}
		}
	}
	switch g.count("remote", 0, 3) {
	case 0:
		prefixes := []string{"0.0.0.0/0", "172.16.42.0/24", "172.16.42.10/32", "10.99.0.0/16"}
		if r.IPv6 {
			prefixes = []string{"::/0", "fd00:42::/64", "fd00:42::a/128", "2001:db8::/32"}
		}
		r.Remote = netip.MustParsePrefix(pickOne(g, "remote prefix", prefixes))
	case 1:
		r.RemoteSet = SetID(pickOne(g, "remote set", []string{"set0", "set1", "set9"}))
	}
	r.ID = RuleID(ruleText(r))
	return r
}

// ruledPorts are the port numbers that rules and packets use, so that they meet.
func ruledPorts() []uint16 { return []uint16{22, 53, 67, 68, 80, 443, 546, 547, 1000, 65535} }
