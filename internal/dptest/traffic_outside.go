package dptest

import (
	"net/netip"
	"slices"

	"github.com/weft-cloud/weft/internal/forward"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// outside draws an external network, gateways, provider networks and floating IPs.
func (g *drawer) outside() {
	x := External{Name: "outside", Physnet: Physnet, VLAN: pickOne(g, "external VLAN", []uint16{0, 0, 7}), MTU: pickOne(g, "external MTU", []uint32{1500, 1500, 1400}),
		Subnets: []hostplan.ExternalSubnet{{Prefix: netip.MustParsePrefix("203.0.113.0/24"), Gateway: OutsideRouter},
			{Prefix: netip.MustParsePrefix("2001:db8:e::/64"), Gateway: OutsideRouter6}}}
	g.c.Externals = []External{x}
	for i := range g.c.Networks {
		if g.rarely("provider network") {
			g.c.Networks[i].Physnet, g.c.Networks[i].VLAN = Physnet, uint16(42+i)
			g.c.Networks[i].Speaker = pickOne(g, "speaker", g.c.Hosts).Name
		}
	}
	for i := range g.c.Routers {
		if g.rarely("no gateway") {
			continue
		}
		g.c.Routers[i].Gateway = &Gateway{External: x.Name, SNAT: true, Host: g.gatewayHost(), Addresses: []netip.Prefix{
			netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(10 + i)}), 24),
			netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 0xe, 15: byte(16 + i)}), 64)}}
	}
	for i := range 5 {
		g.floatingIP(i)
	}
	for range 4 {
		g.proxy()
	}
}

// proxy draws an NDP proxy of an IPv6 address that no other has and that a router with a gateway reaches.
func (g *drawer) proxy() {
	var all []Proxy
	for _, r := range g.c.Routers {
		for _, p := range g.c.Ports {
			for _, a := range p.Addresses {
				taken := slices.ContainsFunc(g.c.Proxies, func(o Proxy) bool { return o.Address == a })
				if r.Gateway != nil && !a.Is4() && !taken && r.holds(p.Network, a) {
					all = append(all, Proxy{External: "outside", Router: r.Name, Port: p.Name, Address: a})
				}
			}
		}
	}
	if len(all) == 0 {
		return
	}
	p := pickOne(g, "NDP proxy of", all)
	p.Central = g.rarely("proxied centrally")
	g.c.Proxies = append(g.c.Proxies, p)
}

func (g *drawer) gatewayHost() string {
	if g.rarely("gateway nowhere") {
		return ""
	}
	return pickOne(g, "gateway host", g.c.Hosts).Name
}

// floatingIP draws a floating IP of a port that a router with a gateway reaches, or of none.
func (g *drawer) floatingIP(i int) {
	var all []Floating
	at := netip.AddrFrom4([4]byte{203, 0, 113, byte(101 + i)})
	taken := func(p string, a netip.Addr) bool {
		for _, f := range g.c.FloatingIPs {
			if f.Port == p && f.Fixed == a {
				return true
			}
		}
		return false
	}
	for _, r := range g.c.Routers {
		if r.Gateway == nil {
			continue
		}
		if g.rarely("of no port") {
			all = append(all, Floating{External: "outside", Router: r.Name, Address: at})
		}
		for _, p := range g.c.Ports {
			for _, a := range p.Addresses {
				if a.Is4() && r.holds(p.Network, a) && !taken(p.Name, a) {
					all = append(all, Floating{External: "outside", Router: r.Name, Port: p.Name, Fixed: a, Address: at})
				}
			}
		}
	}
	if len(all) == 0 {
		return
	}
	f := pickOne(g, "floating IP of", all)
	f.Central = g.rarely("served centrally")
	g.c.FloatingIPs = append(g.c.FloatingIPs, f)
}

// holds reports whether the router has a leg on the subnet of an address.
func (r Router) holds(network string, a netip.Addr) bool {
	for _, f := range r.Interfaces {
		for _, p := range f.Addresses {
			if f.Network == network && p.Contains(a) {
				return true
			}
		}
	}
	return false
}

// changeOutside takes a floating IP away, gives one, moves one, or moves a gateway.
func (g *drawer) changeOutside() {
	fs := g.c.FloatingIPs
	switch g.count("change of the outside", 0, 6) {
	case 5:
		g.proxy()
	case 6:
		if n := len(g.c.Proxies); n > 0 {
			i := g.count("no NDP proxy any more", 0, n-1)
			g.c.Proxies = slices.Delete(slices.Clone(g.c.Proxies), i, i+1)
		}
	case 0, 1:
		if len(fs) == 0 {
			return
		}
		i := g.count("disassociated", 0, len(fs)-1)
		g.c.FloatingIPs = append(append([]Floating(nil), fs[:i]...), fs[i+1:]...)
	case 2:
		g.floatingIP(10 + g.count("new floating IP", 0, 9))
		if n := len(g.c.FloatingIPs); n > 1 {
			for _, f := range g.c.FloatingIPs[:n-1] {
				if f.Address == g.c.FloatingIPs[n-1].Address {
					g.c.FloatingIPs = g.c.FloatingIPs[:n-1]
					break
				}
			}
		}
	case 3:
		if len(fs) > 0 {
			i := g.count("other side", 0, len(fs)-1)
			fs[i].Central = fs[i].Port != "" && !fs[i].Central
		}
	case 4:
		for i := range g.c.Routers {
			if r := &g.c.Routers[i]; r.Gateway != nil {
				x := *r.Gateway
				x.Host = g.gatewayHost()
				r.Gateway = &x
			}
		}
	}
}

// refreshOutside learns addresses and MACs of the outside.
func (g *Traffic) refreshOutside(add func(netip.Addr)) {
	if len(g.c.Externals) == 0 {
		return
	}
	for _, f := range g.c.FloatingIPs {
		g.macs = append(g.macs, FloatingMAC(f.Address))
		add(f.Address)
		add(f.Address)
	}
	for _, p := range g.c.Proxies {
		add(p.Address)
	}
	for _, r := range g.c.Routers {
		if r.Gateway == nil {
			continue
		}
		g.macs = append(g.macs, GatewayMAC(r.Name))
		for _, a := range r.Gateway.Addresses {
			add(a.Addr())
		}
	}
	for _, a := range []netip.Addr{Stranger, Stranger, Stranger6, OutsideRouter, OutsideRouter6, netip.MustParseAddr("2001:db8:e::50"), netip.MustParseAddr("203.0.113.50"), netip.MustParseAddr("203.0.113.51")} {
		add(a)
	}
}

// fromOutside draws a frame that a NIC receives, or that the central part of a router sends.
func (g *Traffic) fromOutside() Stimulus {
	x := g.c.Externals[0]
	s := Stimulus{Host: pickOne(&g.drawer, "receiving host", g.c.Hosts).Name}
	s.In = forward.FromNIC(x.Physnet, x.VLAN)
	src := OutsideRouterMAC
	if g.rarely("another tag") {
		s.In.VLAN = uint16(42 + g.count("tag", 0, 3))
		if g.coin("routed elsewhere") {
			src = DVRMAC(pickOne(&g.drawer, "sending host", g.c.Hosts).Name)
		}
	}
	for _, r := range g.c.Routers {
		if r.Gateway == nil || r.Gateway.Host == "" || !g.rarely("by the central part of "+r.Name) {
			continue
		}
		s.Host, s.In, src = r.Gateway.Host, forward.FromPort(GatewayID(r.Name)), GatewayMAC(r.Name)
		if len(r.Interfaces) > 0 && g.coin("inner leg") {
			f := pickOne(&g.drawer, "leg", r.Interfaces)
			if len(f.Addresses) > 0 {
				s.In, src = forward.FromPort(CentralID(r.Name, f.key())), CentralMAC(r.Name, f.key())
			}
		}
	}
	s.Frame = g.outsideFrame(s.Host, src)
	if g.count("mutate", 0, 9) == 0 {
		s.Frame = g.mutate(s.Frame)
	} else if cuttable(s.Frame) && g.coin("to be cut") {
		s.In.Segment = g.count("segment", 1, len(s.Frame)-60)
	}
	return s
}

// outsideFrame is mostly for a floating IP, or for a proxied address of the host.
func (g *Traffic) outsideFrame(host string, src model.MAC) []byte {
	p := Port{Name: "stranger", Addresses: []netip.Addr{Stranger, OutsideRouter, Stranger6, OutsideRouter6, netip.MustParseAddr("203.0.113.50")}}
	if g.count("ND outside", 0, 7) == 0 {
		return g.outsideND(src)
	}
	if g.count("ARP outside", 0, 5) == 0 {
		a := ARP{Op: uint16(g.count("ARP operation", 1, 2)), SenderMAC: src, Sender: g.source(p, false), Target: g.addr("ARP target", false)}
		if g.rarely("announcement") {
			a.Target = a.Sender
		}
		if g.rarely("claims ours") {
			a.Sender = g.addr("claimed", false)
		}
		dst := model.Broadcast
		if g.coin("unicast ARP") {
			dst = pickOne(&g.drawer, "unicast MAC", g.macs)
		}
		return a.Frame(dst)
	}
	x := g.ip(p)
	dst := pickOne(&g.drawer, "any MAC", g.macs)
	if len(g.c.FloatingIPs) > 0 && x.Src.Is4() && !g.rarely("not to a floating IP") {
		f := pickOne(&g.drawer, "floating IP", g.c.FloatingIPs)
		dst = FloatingMAC(f.Address)
		if !g.rarely("another address") {
			x.Dst = f.Address
			x = g.upper(IP{Src: x.Src, Dst: x.Dst, TTL: x.TTL, DF: x.DF, ID: x.ID, Options: x.Options}, bytesOf(g.size()))
		}
	}
	if len(g.c.Proxies) > 0 && !x.Src.Is4() && !g.rarely("not to a proxied address") {
		n := pickOne(&g.drawer, "NDP proxy", g.c.Proxies)
		dst = DVRMAC(host)
		if n.Central {
			dst = GatewayMAC(n.Router)
		}
		if !g.rarely("another address") {
			x = g.upper(IP{Src: x.Src, Dst: n.Address, TTL: x.TTL}, bytesOf(g.size()))
		}
	}
	if g.rarely("to all") {
		dst = model.Broadcast
	}
	return x.Frame(dst, src)
}

// outsideND is a solicitation or an advertisement, by whom it may be or not.
func (g *Traffic) outsideND(src model.MAC) []byte {
	who, target := pickOne(&g.drawer, "ND sender", []netip.Addr{OutsideRouter6, netip.MustParseAddr("2001:db8:e::50"), LinkLocal(src)}), g.addr("ND target", true)
	if len(g.c.Proxies) > 0 && g.coin("ND about a proxied address") {
		target = pickOne(&g.drawer, "proxied target", g.c.Proxies).Address
	}
	switch g.count("kind of ND", 0, 5) {
	case 0:
		return Solicit(src, netip.IPv6Unspecified(), target)
	case 1: // it claims what is asked for
		return Advertise(target, src, model.MAC{0x33, 0x33, 0, 0, 0, 1}, netip.IPv6LinkLocalAllNodes(), NAOverride)
	case 2:
		return Advertise(who, src, pickOne(&g.drawer, "unicast MAC", g.macs), target, NASolicited|NAOverride|NARouter)
	case 3: // unicast, as one who wants to know whether it is still there
		frame := Solicit(src, who, target)
		mac := pickOne(&g.drawer, "unicast MAC", g.macs)
		copy(frame, mac[:])
		return frame
	}
	return Solicit(src, who, target)
}
