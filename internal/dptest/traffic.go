package dptest

import (
	"encoding/binary"
	"net/netip"

	"pgregory.net/rapid"

	"github.com/weft-cloud/weft/internal/forward"
	"github.com/weft-cloud/weft/internal/model"
)

// Stimulus is one frame that enters one host.
type Stimulus struct {
	Host  string
	In    forward.Input
	Frame []byte
}

// Traffic draws frames that make sense in a cloud, and some that do not.
type Traffic struct {
	drawer
	addrs [2][]netip.Addr // by family
	macs  []model.MAC
	bound []Port
	ports map[model.PortID]Port
}

// NewTraffic draws traffic of the cloud.
func NewTraffic(t *rapid.T, c *Cloud) *Traffic {
	g := &Traffic{drawer: drawer{T: t, c: c, flip: rapid.Bool(), even: even()}}
	g.refresh()
	return g
}

// refresh learns the cloud's addresses and ports anew.
func (g *Traffic) refresh() {
	g.addrs, g.macs, g.bound, g.ports = [2][]netip.Addr{}, nil, nil, map[model.PortID]Port{}
	add := func(a netip.Addr) {
		i := 0
		if a.Is6() {
			i = 1
		}
		g.addrs[i] = append(g.addrs[i], a)
	}
	for _, p := range g.c.Ports {
		g.ports[PortID(p.Name)] = p
		g.macs = append(g.macs, PortMAC(p.Name))
		add(LinkLocal(PortMAC(p.Name)))
		for _, a := range p.Addresses {
			add(a)
			add(a)
		}
		if p.Host != "" {
			g.bound = append(g.bound, p)
		}
	}
	for _, r := range g.c.Routers {
		for _, f := range r.Interfaces {
			g.macs = append(g.macs, LegMAC(r.Name, f.key()), LegMAC(r.Name, f.key()))
			add(LinkLocal(LegMAC(r.Name, f.key())))
			for _, a := range f.Addresses {
				add(a.Addr())
			}
		}
	}
	for _, n := range g.c.Networks {
		for _, s := range n.Services {
			g.macs = append(g.macs, s.MAC)
			add(s.Address)
		}
	}
	for _, h := range g.c.Hosts {
		g.macs = append(g.macs, DVRMAC(h.Name))
	}
	g.refreshOutside(add)
	for _, a := range []string{"10.99.3.1", "10.99.0.7", "172.16.42.60", "172.16.42.99", "8.8.8.8", "2001:db8:1::5", "fd00:42::3c", "fd00:42::63"} {
		add(netip.MustParseAddr(a))
	}
}

// special addresses, by family.
func special(v6 bool) []netip.Addr {
	texts := []string{"0.0.0.0", "255.255.255.255", "127.0.0.1", "169.254.169.254", "224.0.0.1", "240.1.2.3", "172.16.42.127", "0.1.2.3"}
	if v6 {
		texts = []string{"::", "::1", "ff02::1", "ff02::2", "ff02::16", "ff0e::5", "fe80::a9fe:a9fe", "::ffff:1.2.3.4"}
	}
	var out []netip.Addr
	for _, s := range texts {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

func (g *Traffic) addr(what string, v6 bool) netip.Addr {
	from := g.addrs[0]
	if v6 {
		from = g.addrs[1]
	}
	if g.rarely("special " + what) {
		from = special(v6)
	}
	return pickOne(&g.drawer, what, from)
}

// Next draws the next frame: from an instance mostly, else from a tunnel. false: the cloud has no bound port.
func (g *Traffic) Next() (Stimulus, bool) {
	if len(g.bound) == 0 {
		return Stimulus{}, false
	}
	if len(g.c.Externals) > 0 && g.count("from outside", 0, 3) == 0 {
		return g.fromOutside(), true
	}
	p := pickOne(&g.drawer, "sender", g.bound)
	s := Stimulus{Host: p.Host, In: forward.FromPort(PortID(p.Name)), Frame: g.frame(p)}
	if g.count("tunnel", 0, 5) == 0 && len(g.c.Hosts) > 1 {
		s.Host = pickOne(&g.drawer, "receiver", g.c.Hosts).Name
		n := pickOne(&g.drawer, "tunnel network", g.c.Networks)
		s.In = forward.FromTunnel(n.VNI, pickOne(&g.drawer, "tunnel peer", g.others(s.Host)).VTEP)
		if g.rarely("unknown tunnel") {
			s.In.VNI, s.In.Outer = 4711, netip.MustParseAddr("192.168.70.99")
		}
		s.Frame = g.tunneled(s.Frame)
	}
	if g.count("mutate", 0, 9) == 0 {
		s.Frame = g.mutate(s.Frame)
	} else if cuttable(s.Frame) && g.coin("to be cut") {
		s.In.Segment = g.count("segment", 1, len(s.Frame)-60)
	}
	return s, true
}

// cuttable reports whether the frame is one that a kernel might leave to be cut: TCP or UDP, whole, of some size.
func cuttable(frame []byte) bool {
	x, ok := turned(frame)
	return ok && len(frame) > 200 && (x.Proto == 6 || x.Proto == 17)
}

// others are all hosts but that one, and, for once, that one, too.
func (g *Traffic) others(host string) []Host {
	var out []Host
	for _, h := range g.c.Hosts {
		if h.Name != host || g.rarely("itself") {
			out = append(out, h)
		}
	}
	return out
}

// tunneled is a frame as another host might send it: perhaps routed, with a DVR MAC.
func (g *Traffic) tunneled(frame []byte) []byte {
	b := append([]byte(nil), frame...)
	if g.coin("routed by the peer") {
		m := DVRMAC(pickOne(&g.drawer, "DVR MAC of", g.c.Hosts).Name)
		copy(b[6:], m[:])
	}
	if g.coin("to a port of the network") {
		m := PortMAC(pickOne(&g.drawer, "receiver's MAC", g.c.Ports).Name)
		copy(b, m[:])
	}
	return b
}

// frame draws what the instance of p sends.
func (g *Traffic) frame(p Port) []byte {
	src := PortMAC(p.Name)
	for _, x := range p.Pairs {
		if !x.MAC.IsZero() && g.coin("pair's MAC") {
			src = x.MAC
		}
	}
	if g.rarely("another's MAC") && g.coin("really") {
		src = pickOne(&g.drawer, "source MAC", g.macs)
	}
	switch g.count("kind of frame", 0, 9) {
	case 0:
		return g.arp(p, src)
	case 1:
		return g.nd(p, src)
	case 2:
		if g.rarely("another ethertype") {
			return Ether(g.dstMAC(p), src, pickOne(&g.drawer, "ethertype", []uint16{0x88cc, 0x8100, 0x88a8, 0x0805}), bytesOf(g.count("length", 0, 60)))
		}
	}
	return g.ip(p).Frame(g.dstMAC(p), src)
}

// dstMAC is where p sends to: its router mostly, a neighbour, all.
func (g *Traffic) dstMAC(p Port) model.MAC {
	var legs, near []model.MAC
	for _, r := range g.c.Routers {
		for _, f := range r.Interfaces {
			if f.Network == p.Network {
				legs = append(legs, LegMAC(r.Name, f.key()))
			}
		}
	}
	for _, q := range g.c.Ports {
		if q.Network == p.Network && (q.Name != p.Name && q.Host != "" || g.rarely("no neighbour")) {
			near = append(near, PortMAC(q.Name))
		}
	}
	kind := g.count("destination MAC", 0, 15)
	if kind > 6 && len(legs) > 0 {
		return pickOne(&g.drawer, "router", legs)
	}
	if kind > 2 && len(near) > 0 {
		return pickOne(&g.drawer, "neighbour", near)
	}
	switch kind {
	case 0:
		return model.Broadcast
	case 1:
		return pickOne(&g.drawer, "group", []model.MAC{{1, 0, 0x5e, 0, 0, 1}, {0x33, 0x33, 0, 0, 0, 1}})
	case 2:
		return model.MAC{2, 0, 0, 0, 0, 9}
	}
	return pickOne(&g.drawer, "unicast MAC", g.macs)
}

// source is an address of p, mostly.
func (g *Traffic) source(p Port, v6 bool) netip.Addr {
	var own []netip.Addr
	for _, a := range p.Addresses {
		if a.Is6() == v6 {
			own = append(own, a)
		}
	}
	for _, x := range p.Pairs {
		if x.Prefix.Addr().Is6() == v6 {
			own = append(own, x.Prefix.Addr())
		}
	}
	if v6 {
		own = append(own, LinkLocal(PortMAC(p.Name)))
	}
	if len(own) == 0 || g.rarely("another's address") && g.coin("really") {
		return g.addr("source", v6)
	}
	return pickOne(&g.drawer, "own address", own)
}

// op is 1 or 2 mostly.
func (g *Traffic) arp(p Port, src model.MAC) []byte {
	a := ARP{Op: uint16(g.count("ARP operation", 1, 3)), SenderMAC: src, Sender: g.source(p, false), Target: g.addr("ARP target", false)}
	if a.Op == 3 && !g.rarely("RARP") {
		a.Op = 1
	}
	if g.rarely("announcement") {
		a.Target = a.Sender
	}
	if g.rarely("probe") {
		a.Sender = netip.IPv4Unspecified()
	}
	if g.rarely("MAC inside differs") {
		a.SenderMAC = pickOne(&g.drawer, "sender MAC", g.macs)
	}
	dst := model.Broadcast
	if g.coin("unicast ARP") {
		dst = g.dstMAC(p)
	}
	b := a.Frame(dst)
	copy(b[6:], src[:])
	return b
}

func (g *Traffic) nd(p Port, src model.MAC) []byte {
	target := g.addr("ND target", true)
	from := g.source(p, true)
	if g.rarely("DAD") {
		from = netip.IPv6Unspecified()
	}
	opt := src
	if g.rarely("option differs") {
		opt = pickOne(&g.drawer, "option MAC", g.macs)
	}
	if g.coin("solicitation") {
		b := Solicit(opt, from, target)
		copy(b[6:], src[:])
		return b
	}
	if g.coin("own target") {
		target = from
	}
	dst := g.dstMAC(p)
	data := append(append(target.AsSlice(), 2, 1), opt[:]...)
	x := IP{Src: from, Dst: g.addr("ND destination", true), TTL: 255}.ICMP(136, 0, NAOverride<<24, data)
	return x.Frame(dst, src)
}

func (g *Traffic) port(what string) uint16 { return pickOne(&g.drawer, what, ruledPorts()) }

// ip draws a packet of p.
func (g *Traffic) ip(p Port) IP {
	v6 := g.coin("IPv6")
	if len(p.Addresses) > 0 && !g.rarely("any family") {
		v6 = pickOne(&g.drawer, "family", p.Addresses).Is6()
	}
	x := IP{Src: g.source(p, v6), Dst: g.destination(v6), DF: g.coin("DF"), ID: uint16(g.count("id", 0, 3)),
		TTL: pickOne(&g.drawer, "TTL", []uint8{64, 64, 64, 255, 5, 4, 3, 2, 1}), TOS: pickOne(&g.drawer, "TOS", []uint8{0, 0xbb})}
	if !v6 && g.rarely("options") {
		x.Options = pickOne(&g.drawer, "option", [][]byte{{1, 1, 1, 0}, {131, 3, 4, 0}, {7, 7, 4, 0, 0, 0, 0, 137}, {148, 4, 0, 0}, {0, 131, 3, 0}, {9, 1, 131, 3}})
	}
	x = g.upper(x, bytesOf(g.size()))
	if v6 && g.rarely("extension headers") {
		x = g.extend(x)
	}
	if len(x.Payload) > 8 && g.rarely("fragment") {
		at := g.count("offset", 0, len(x.Payload)/8-1) * 8
		if g.coin("first fragment") {
			at = 0
		}
		size := g.count("size", 1, 40) * 8
		if v6 {
			return x.Fragment6(uint32(x.ID), at, size)
		}
		return x.Fragment4(x.ID, at, size)
	}
	return x
}

// size of the payload: small, or near an MTU.
func (g *Traffic) size() int {
	if g.count("big", 0, 4) > 0 {
		return g.count("small size", 0, 40)
	}
	return pickOne(&g.drawer, "near", []int{1280, 1400, 1450, 1500, 576, 1232}) - g.count("below", 0, 60)
}

func (g *Traffic) extend(x IP) IP {
	for range g.count("how many", 1, 9) {
		x = x.Extend(pickOne(&g.drawer, "extension", []uint8{0, 60, 43}), []byte{byte(g.count("first byte", 0, 2)), 0, 0, 0, 0, 0})
	}
	return x
}

// destination is a port's address mostly.
func (g *Traffic) destination(v6 bool) netip.Addr {
	var all []netip.Addr
	for _, p := range g.bound {
		for _, a := range p.Addresses {
			if a.Is6() == v6 {
				all = append(all, a)
			}
		}
	}
	if len(all) == 0 || g.count("any destination", 0, 2) == 0 {
		return g.addr("destination", v6)
	}
	return pickOne(&g.drawer, "bound destination", all)
}

func (g *Traffic) upper(x IP, data []byte) IP {
	icmp, echo := uint8(1), uint8(8)
	if !x.Src.Is4() {
		icmp, echo = 58, 128
	}
	switch g.count("upper layer", 0, 8) {
	case 0, 1:
		return x.UDP(g.port("source port"), g.port("port"), data)
	case 2, 3:
		return x.TCP(g.port("source port"), g.port("port"), pickOne(&g.drawer, "flags", []uint8{SYN, ACK, SYN | ACK, FIN | ACK, RST, 0, PSH | ACK}), data)
	case 4, 5:
		return x.ICMP(echo, 0, uint32(g.count("ident", 0, 3))<<16, data)
	case 6:
		types := []uint8{0, 3, 8, 11, 13, 1, 2, 128, 129, 130, 133, 134, 135, 137, 143}
		x.Proto = icmp
		return x.ICMP(pickOne(&g.drawer, "ICMP type", types), uint8(g.count("ICMP code", 0, 1)), uint32(g.count("ident", 0, 3))<<16, g.quote(x, data))
	case 7:
		if s := g.services(x.Src.Is6()); len(s) > 0 && g.coin("to a service") {
			x.Dst = pickOne(&g.drawer, "service", s)
			if g.coin("by TCP") {
				return x.TCP(g.port("source port"), pickOne(&g.drawer, "service port", []uint16{53, 80, 22}), SYN, data)
			}
			return x.UDP(g.port("source port"), pickOne(&g.drawer, "service port", []uint16{53, 80, 22}), data)
		}
		dhcp := [][2]uint16{{68, 67}, {67, 68}, {546, 547}, {547, 546}}
		d := pickOne(&g.drawer, "DHCP", dhcp)
		if x.Src.Is4() && g.coin("to all") {
			x.Dst = netip.MustParseAddr("255.255.255.255")
			if g.coin("from none") {
				x.Src = netip.IPv4Unspecified()
			}
		}
		return x.UDP(d[0], d[1], data)
	}
	x.Proto = pickOne(&g.drawer, "other protocol", []uint8{132, 33, 136, 253, 59, 4, 50})
	x.Payload = data
	if (x.Proto == 132 || x.Proto == 33 || x.Proto == 136) && g.coin("whole header with ports") {
		x.Payload = binary.BigEndian.AppendUint16(nil, g.port("source port"))
		x.Payload = binary.BigEndian.AppendUint16(x.Payload, g.port("port"))
		x.Payload = append(x.Payload, make([]byte, 8)...)
	}
	return x
}

// services are the addresses of all services of a family.
func (g *Traffic) services(v6 bool) []netip.Addr {
	var out []netip.Addr
	for _, n := range g.c.Networks {
		for _, s := range n.Services {
			if s.Address.Is6() == v6 {
				out = append(out, s.Address)
			}
		}
	}
	return out
}

// quote is what an ICMP error carries: a packet of the other direction, or data.
func (g *Traffic) quote(x IP, data []byte) []byte {
	if g.coin("no quote") {
		return data
	}
	q := IP{Src: x.Dst, Dst: x.Src}.UDP(g.port("quoted source port"), g.port("quoted port"), data)
	b := q.Bytes()
	return b[:g.count("quote", min(20, len(b)), len(b))]
}

// mutate breaks a frame: one byte, its end, or its length fields.
func (g *Traffic) mutate(frame []byte) []byte {
	b := append([]byte(nil), frame...)
	for range g.count("mutations", 1, 3) {
		if len(b) == 0 {
			return b
		}
		switch g.count("mutation", 0, 3) {
		case 0:
			b[g.count("at", 0, len(b)-1)] = rapid.Byte().Draw(g.T, "byte")
		case 1: // the headers, where it hurts
			b[min(len(b)-1, g.count("header at", 12, 60))] = rapid.Byte().Draw(g.T, "byte")
		case 2:
			b = b[:g.count("cut to", 0, len(b))]
		case 3:
			b = append(b, bytesOf(g.count("padding", 1, 64))...)
		}
	}
	return b
}
