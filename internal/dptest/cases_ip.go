package dptest

import (
	"bytes"
	"fmt"
	"net/netip"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/dataplane/reason"
)

// bytesOf is n bytes of payload that differ from each other.
func bytesOf(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

// zeroUDP is a UDP datagram without a checksum, which IPv4 allows, and IPv6 for tunnels (RFC 6936).
func zeroUDP(x IP) IP {
	x = x.UDP(1000, 2000, bytesOf(33))
	x.Payload[6], x.Payload[7] = 0, 0
	return x
}

func (x IP) with(proto uint8, payload []byte) IP {
	x.Proto, x.Payload = proto, payload
	return x
}

// unicastCases: whatever is inside, a packet passes unchanged but for TTL and MACs.
func unicastCases() []Case {
	kinds := []struct {
		name   string
		v4, v6 bool
		make   func(IP) IP
	}{
		{"ping", true, true, func(x IP) IP { return x.Ping(7, 1) }},
		{"UDP", true, true, func(x IP) IP { return x.UDP(1000, 2000, bytesOf(33)) }},
		{"UDP without a checksum", true, true, zeroUDP},
		{"UDP without data", true, true, func(x IP) IP { return x.UDP(1, 2, nil) }},
		{"TCP SYN", true, true, func(x IP) IP { return x.TCP(40000, 80, SYN, nil) }},
		{"TCP with all flags", true, true, func(x IP) IP { return x.TCP(40000, 80, 0xff, nil) }},
		{"SCTP", true, true, func(x IP) IP { return x.with(132, bytesOf(40)) }},
		{"an unknown protocol", true, true, func(x IP) IP { return x.with(253, bytesOf(3)) }},
		{"an unknown protocol without payload", true, false, func(x IP) IP { return x.with(253, nil) }},
		{"no next header, no payload", false, true, func(x IP) IP { return x.with(59, nil) }},
		{"IP in IP", true, true, func(x IP) IP { return x.with(4, IP{Src: x.Src, Dst: x.Dst}.Ping(1, 2).Bytes()) }},
		{"ESP", true, true, func(x IP) IP { return x.with(50, bytesOf(48)) }},
		{"record route and router alert options", true, false, func(x IP) IP {
			x.Options = []byte{7, 7, 4, 0, 0, 0, 0, 148, 4, 0, 0, 0}
			return x.Ping(7, 2)
		}},
		{"60 bytes of header", true, false, func(x IP) IP { x.Options = bytes.Repeat([]byte{1}, 40); return x.UDP(1, 2, nil) }},
		{"hop-by-hop and destination options", false, true, func(x IP) IP {
			return x.UDP(1, 2, bytesOf(9)).Extend(60, []byte{1, 4, 0, 0, 0, 0}).Extend(0, []byte{1, 4, 0, 0, 0, 0})
		}},
		{"eight extension headers", false, true, func(x IP) IP { return extended(x.UDP(1, 2, nil), 8) }},
		{"AH", false, true, func(x IP) IP {
			x = x.UDP(1, 2, bytesOf(5))
			return x.with(51, append(append([]byte{17, 4}, bytesOf(22)...), x.Payload...))
		}},
		{"a routing header of type 2", false, true, func(x IP) IP { return x.UDP(1, 2, nil).Extend(43, []byte{2, 0, 0, 0, 0, 0}) }},
		{"an atomic fragment", false, true, func(x IP) IP { x = x.UDP(1, 2, bytesOf(9)); return x.Fragment6(5, 0, len(x.Payload)) }},
		{"ECN and DSCP", true, true, func(x IP) IP { x.TOS = 0xbb; return x.Ping(7, 3) }},
		{"TTL 255", true, true, func(x IP) IP { x.TTL = 255; return x.Ping(7, 4) }},
		{"TTL 2", true, true, func(x IP) IP { x.TTL = 2; return x.Ping(7, 5) }},
		{"don't fragment", true, false, func(x IP) IP { x.DF = true; return x.Ping(7, 6) }},
	}
	var out []Case
	for _, k := range kinds {
		for _, p := range places() {
			if p.v6 && k.v6 || !p.v6 && k.v4 {
				out = append(out, single(p.title(k.name), p.passes(k.make(p.ip()))))
			}
		}
	}
	for _, p := range places() {
		s := p.passes(p.ip().UDP(5, 6, []byte("x")))
		pad := make([]byte, 60-len(s.Frame)%60)
		s.Frame = append(s.Frame, pad...)
		s.Want.To[p.dst] = append(s.Want.To[p.dst], pad...)
		out = append(out, single(p.title("Ethernet padding behind the packet stays"), s))
	}
	return out
}

// extended puts n destination options headers before the payload.
func extended(x IP, n int) IP {
	for range n {
		x = x.Extend(60, []byte{1, 4, 0, 0, 0, 0})
	}
	return x
}

// full is a UDP packet of exactly size bytes, IP header included.
func (p place) full(size int) IP {
	return p.ip().UDP(1000, 2000, bytesOf(size-int(p.pick(28, 48))))
}

// sizeCases: MTU, within a network and between unequal ones.
func sizeCases() []Case {
	var out []Case
	narrow := func(c *Cloud) { c.Networks[1].MTU = 1400 }
	for _, p := range places() {
		out = append(out, single(p.title("exactly the MTU"), p.passes(p.full(1450))))
		if !p.routed() {
			out = append(out, single(p.title("one byte over the MTU"), p.dropped(p.full(1451), reason.TooBig)))
			out = append(out, single(p.title("a jumbo frame"), p.dropped(p.full(8950), reason.TooBig)))
			continue
		}
		x := p.full(1401)
		x.DF = true
		e := p.routerError(x, p.pick(3, 2), p.pick(4, 0), 1400)
		out = append(out, Case{p.title("one byte over the next network's MTU, not to be cut"), narrow, []Send{p.refused(x, reason.TooBig, e)}})
		out = append(out, Case{p.title("exactly the next network's MTU"), narrow, []Send{p.passes(p.full(1400))}})
		if !p.v6 {
			x := p.full(1401)
			out = append(out, Case{p.title("too big for the next network, may be cut"), narrow,
				[]Send{{From: p.src, Frame: p.frame(x), Want: Want{Punt: dataplane.PuntFragment, Reason: reason.TooBig}}}})
		}
		huge := p.full(8950)
		huge.DF = true
		out = append(out, single(p.title("a jumbo frame"), p.refused(huge, reason.TooBig, p.routerError(huge, p.pick(3, 2), p.pick(4, 0), 1450))))
		big := p.back().full(1450)
		wide := func(c *Cloud) { c.Networks[1].MTU = 1500; c.Networks[0].MTU = 1280 }
		big.DF = true
		out = append(out, Case{p.title("from a wide network into a narrow one"), wide, []Send{
			p.back().refused(big, reason.TooBig, p.back().routerError(big, p.pick(3, 2), p.pick(4, 0), 1280))}})
	}
	return out
}

// pathCases: a tunnel's path that is narrower than the networks.
func pathCases() []Case {
	var out []Case
	narrow := func(c *Cloud) { c.Hosts[1].PathMTU = 1400 }
	for _, p := range places() {
		if p.dst != "red2" && p.dst != "blue2" {
			out = append(out, Case{p.title("a narrow path to another host"), narrow, []Send{p.passes(p.full(1450))}})
			continue
		}
		out = append(out, Case{p.title("exactly the path's MTU"), narrow, []Send{p.passes(p.full(1400))}},
			Case{p.title("the other way is not narrow"), narrow, []Send{p.back().passes(p.back().full(1450))}})
		x := p.full(1401)
		x.DF = true
		if !p.routed() {
			out = append(out, Case{p.title("one byte over the path's MTU"), narrow, []Send{p.dropped(x, reason.TooBig)}})
			continue
		}
		e := p.routerError(x, p.pick(3, 2), p.pick(4, 0), 1400)
		out = append(out, Case{p.title("one byte over the path's MTU, not to be cut"), narrow, []Send{p.refused(x, reason.TooBig, e)}})
		widens := Send{From: p.src, Frame: p.frame(x), Want: p.passes(x).Want, Before: func(c *Cloud) { c.Hosts[1].PathMTU = 0 }}
		out = append(out, Case{p.title("a path that grows"), narrow, []Send{p.refused(x, reason.TooBig, e), widens}})
		if !p.v6 {
			x.DF = false
			out = append(out, Case{p.title("too big for the path, may be cut"), narrow,
				[]Send{{From: p.src, Frame: p.frame(x), Want: Want{Punt: dataplane.PuntFragment, Reason: reason.TooBig}}}})
		}
	}
	return out
}

// segmentCases: large TCP segments and UDP datagrams that the sender's kernel leaves to be cut are as large as their pieces.
func segmentCases() []Case {
	var out []Case
	cut := func(s Send, segment int) Send { s.Segment = segment; return s }
	for _, p := range places() {
		head := int(p.pick(20, 40))
		tcp := p.ip().TCP(1000, 2000, PSH|ACK, bytesOf(3000))
		udp := p.ip().UDP(1000, 2000, bytesOf(3000))
		tcp.DF, udp.DF = true, true
		out = append(out,
			single(p.title("TCP whose segments are exactly the MTU"), cut(p.passes(tcp), 1450-head-20)),
			single(p.title("UDP whose pieces are exactly the MTU"), cut(p.passes(udp), 1450-head-8)),
			single(p.title("small segments of TCP"), cut(p.passes(tcp), 100)))
		if !p.routed() {
			out = append(out, single(p.title("TCP whose segments are over the MTU"), cut(p.dropped(tcp, reason.TooBig), 1450-head-19)))
			continue
		}
		e := p.routerError(tcp, p.pick(3, 2), p.pick(4, 0), 1450)
		out = append(out, single(p.title("TCP whose segments are over the MTU"), cut(p.refused(tcp, reason.TooBig, e), 1450-head-19)))
	}
	return out
}

// ttlCases: what a router does with the last hop.
func ttlCases() []Case {
	var out []Case
	for _, p := range places() {
		one := p.ip().UDP(33434, 33435, bytesOf(700))
		one.TTL = 1
		if !p.routed() {
			out = append(out, single(p.title("TTL 1"), p.passes(one)))
			continue
		}
		out = append(out, single(p.title("TTL 1 (a quote shorter than the packet)"), p.refused(one, reason.TTLExceeded, p.routerError(one, p.pick(11, 3), 0, 0))))
		short := p.ip().Ping(9, 9)
		short.TTL = 1
		out = append(out, single(p.title("a ping with TTL 1 is answered"), p.refused(short, reason.TTLExceeded, p.routerError(short, p.pick(11, 3), 0, 0))))
		zero := p.frame(short)
		zero[14+int(p.pick(8, 7))] = 0
		broken := short.Bytes()
		broken[int(p.pick(8, 7))] = 0
		e := p.routerError(short, 0, 0, 0).ICMP(p.pick(11, 3), 0, 0, broken)
		out = append(out, single(p.title("TTL 0"), Send{From: p.src, Frame: zero, Want: Want{Reason: reason.TTLExceeded,
			Reply: e.Frame(PortMAC(p.src), p.nextHop())}}))
		about := p.ip().ICMP(p.pick(3, 1), 1, 0, IP{Src: p.ip().Dst, Dst: p.ip().Src}.UDP(1, 2, nil).Bytes())
		about.TTL = 1
		out = append(out, single(p.title("an ICMP error with TTL 1 is not answered"), p.dropped(about, reason.TTLExceeded)))
		echo := p.ip().ICMP(p.pick(0, 129), 0, 1, nil)
		echo.TTL = 1
		out = append(out, single(p.title("an echo reply with TTL 1 is answered"), p.refused(echo, reason.TTLExceeded, p.routerError(echo, p.pick(11, 3), 0, 0))))
	}
	return out
}

// routerCases: what a router does with packets to itself, and with what it cannot forward.
func routerCases() []Case {
	var out []Case
	for _, p := range routedPlaces()[:1] {
		out = append(out, routerCasesOf(p)...)
	}
	for _, p := range routedPlaces()[2:3] {
		out = append(out, routerCasesOf(p)...)
	}
	return out
}

func routerCasesOf(p place) []Case {
	title := func(s string) string { return fmt.Sprintf("%s, %s", s, family(p.v6)) }
	gw := func(net int) place { q := p; q.dst = []string{"red1", "blue1"}[net]; return q }
	toGW := func(net int) IP { return IP{Src: addr(p.src, p.v6), Dst: DemoAddr(net, 1, p.v6)} }
	leg := LegMAC("router", networkName(p.src))
	send := func(x IP, w Want) Send { return Send{From: p.src, Frame: x.Frame(leg, PortMAC(p.src)), Want: w} }
	back := func(x IP) []byte { return x.Frame(PortMAC(p.src), leg) }
	pong := func(x IP) IP {
		r := IP{Src: x.Dst, Dst: x.Src, TOS: x.TOS, ID: x.ID, Options: x.Options}.Ping(3, 4)
		return r.ICMP(p.pick(0, 129), 0, 3<<16|4, r.Payload[8:])
	}
	ping := func(net int) IP { return toGW(net).Ping(3, 4) }
	low := ping(0)
	low.TTL = 1
	fancy := ping(1)
	fancy.TOS, fancy.ID = 0x28, 777
	if !p.v6 {
		fancy.Options = []byte{7, 7, 4, 0, 0, 0, 0, 0}
	}
	udp, tcp := toGW(0).UDP(4, 5, bytesOf(10)), toGW(1).TCP(4, 5, SYN, nil)
	code := p.pick(3, 4)
	unreachable := p.pick(3, 1)
	nowhere := IP{Src: addr(p.src, p.v6), Dst: p.elsewhere()}.UDP(4, 5, nil)
	nobody := IP{Src: addr(p.src, p.v6), Dst: DemoAddr(1, 200, p.v6)}.UDP(4, 5, nil)
	unbound := IP{Src: addr(p.src, p.v6), Dst: DemoAddr(1, 77, p.v6)}.UDP(4, 5, nil)
	out := []Case{
		single(title("ping to the router's own address"), send(ping(0), Want{Reply: back(pong(ping(0)))})),
		single(title("ping to the router's address on the other network"), send(ping(1), Want{Reply: back(pong(ping(1)))})),
		single(title("ping to the router with TTL 1"), send(low, Want{Reply: back(pong(low))})),
		single(title("ping to the router keeps id, options and class"), send(fancy, Want{Reply: back(pong(fancy))})),
		single(title("UDP to the router"), send(udp, Want{Reason: reason.ClosedPort, Reply: back(p.routerError(udp, unreachable, code, 0))})),
		single(title("TCP to the router"), send(tcp, Want{Reason: reason.ClosedPort, Reply: back(p.routerError(tcp, unreachable, code, 0))})),
		single(title("an unknown protocol to the router"), send(toGW(0).with(253, bytesOf(9)), Want{Reason: reason.ClosedPort})),
		single(title("an echo reply to the router"), send(toGW(0).ICMP(p.pick(0, 129), 0, 1, nil), Want{Reason: reason.ClosedPort})),
		single(title("no route"), send(nowhere, Want{Reason: reason.NoRoute, Reply: back(p.routerError(nowhere, unreachable, 0, 0))})),
		single(title("nobody has the address"), send(nobody, Want{Reason: reason.NoNeighbor, Reply: back(p.routerError(nobody, unreachable, p.pick(1, 3), 0))})),
		{title("the port that has the address is bound nowhere"), func(c *Cloud) {
			c.Ports = append(c.Ports, Port{Name: "blue9", Network: "blue", Addresses: []netip.Addr{unbound.Dst}})
		}, []Send{send(unbound, Want{Reason: reason.NoNeighbor, Reply: back(p.routerError(unbound, unreachable, p.pick(1, 3), 0))})}},
		{title("a blackhole route"), func(c *Cloud) {
			c.Routers[0].Routes = append(c.Routers[0].Routes, Route{Dst: prefixOf(p.elsewhere(), p.pick(16, 32)), Blackhole: true})
		}, []Send{send(nowhere, Want{Reason: reason.Blackhole})}},
		{title("a router that is down"), func(c *Cloud) { c.Routers[0].Down = true },
			[]Send{send(ping(0), Want{Reason: reason.RouterDown}), gw(1).dropped(p.ip().Ping(1, 1), reason.RouterDown)}},
		single(title("back to the own network through the router"), hairpin(p)),
		single(title("to oneself through the router"), toSelf(p)),
		single(title("a frame to the other leg's MAC"), Send{From: p.src, Frame: p.ip().Ping(1, 1).Frame(LegMAC("router", "blue"), PortMAC(p.src)),
			Want: Want{Reason: reason.UnknownMAC}}),
		{title("an extra route through an instance"), viaInstance(p), []Send{send(nowhere, Want{To: map[string][]byte{"blue2": func() []byte {
			x := nowhere
			x.TTL = 63
			return x.Frame(PortMAC("blue2"), LegMAC("router", "blue"))
		}()}})}},
	}
	return append(out, linkScopeCases(p, send, title)...)
}

// viaInstance routes elsewhere to blue2.
func viaInstance(p place) func(*Cloud) {
	return func(c *Cloud) {
		c.Routers[0].Routes = append(c.Routers[0].Routes, Route{Dst: prefixOf(p.elsewhere(), p.pick(16, 32)), Via: addr("blue2", p.v6), Network: "blue"})
	}
}

// hairpin is a packet to a neighbour of the own subnet which the instance sends to the router all the same.
func hairpin(p place) Send {
	x := IP{Src: addr("red1", p.v6), Dst: addr("red3", p.v6)}.Ping(1, 1)
	y := x
	y.TTL = 63
	leg := LegMAC("router", "red")
	return Send{From: "red1", Frame: x.Frame(leg, PortMAC("red1")), Want: Want{To: map[string][]byte{"red3": y.Frame(PortMAC("red3"), leg)}}}
}

func toSelf(p place) Send {
	x := IP{Src: addr("red1", p.v6), Dst: addr("red1", p.v6)}.Ping(1, 1)
	y := x
	y.TTL = 63
	leg := LegMAC("router", "red")
	return Send{From: "red1", Frame: x.Frame(leg, PortMAC("red1")), Want: Want{To: map[string][]byte{"red1": y.Frame(PortMAC("red1"), leg)}}}
}

// linkScopeCases: addresses that no router forwards.
func linkScopeCases(p place, send func(IP, Want) Send, title func(string) string) []Case {
	dsts := []string{"127.0.0.1", "0.0.0.1", "169.254.1.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"}
	if p.v6 {
		dsts = []string{"::", "::1", "ff02::1", "ff0e::1", "fe80::1"}
	}
	var out []Case
	for _, d := range dsts {
		x := IP{Src: addr(p.src, p.v6), Dst: mustAddr(d)}.UDP(4, 5, nil)
		out = append(out, single(title("to "+d+" by the router's MAC"), send(x, Want{Reason: reason.LinkScope})))
	}
	routed := p.ip()
	if p.v6 {
		ll := p.ip()
		ll.Src = LinkLocal(PortMAC(p.src))
		out = append(out, single(title("from a link-local address through the router"), send(ll.Ping(1, 1), Want{Reason: reason.LinkScope})))
		ll.Dst = LinkLocal(LegMAC("router", "red"))
		y := IP{Src: ll.Dst, Dst: ll.Src}.ICMP(129, 0, 1<<16|1, ll.Ping(1, 1).Payload[8:])
		out = append(out, single(title("ping to the router's link-local address"), send(ll.Ping(1, 1), Want{Reply: y.Frame(PortMAC(p.src), LegMAC("router", "red"))})))
		x := routed.UDP(1, 2, nil).Extend(43, []byte{0, 0, 0, 0, 0, 0})
		return append(out, single(title("a routing header of type 0"), send(x, Want{Reason: reason.SourceRouted})))
	}
	for _, typ := range []byte{131, 137} {
		x := routed
		x.Options = []byte{typ, 7, 4, 10, 0, 0, 1, 0}
		out = append(out, single(title(fmt.Sprintf("source routing, option %d", typ)), send(x.UDP(1, 2, nil), Want{Reason: reason.SourceRouted})))
	}
	x := routed
	x.Options = []byte{1, 1, 1, 131, 3, 4, 0, 0}
	return append(out, single(title("source routing behind other options"), send(x.UDP(1, 2, nil), Want{Reason: reason.SourceRouted})),
		single(title("another ethertype to the router"), Send{From: p.src, Frame: Ether(LegMAC("router", "red"), PortMAC(p.src), 0x88b5, bytesOf(46)),
			Want: Want{Reason: reason.EtherType}}))
}
