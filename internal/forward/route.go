package forward

import (
	"net/netip"

	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/hostplan"
)

// maxRouters is how many routers in a row one host routes for; a packet for a fifth is in a loop.
const maxRouters = 4

// route takes a packet that an instance sent to a router's MAC through that router, and through others that follow it.
func (r *run) route(l leg) {
	for hops := uint8(0); hops < maxRouters; hops++ {
		next, ok := r.oneRouter(l, hops)
		if !ok {
			return
		}
		l = next
	}
	r.drop(reason.TTLExceeded, "router", "more than %d routers in a row: a loop", maxRouters)
}

// oneRouter takes the packet through the router of l, with hops routers behind it. next is the interface of the router
// that follows, if one does (more).
func (r *run) oneRouter(l leg, hops uint8) (next leg, more bool) {
	h := r.p.ip
	r.note("router", "router %s, by interface %s", l.router.ID, l.iface.Port)
	local := l.owns(h.dst)
	switch {
	case !l.router.AdminUp:
		r.drop(reason.RouterDown, "router", "router %s is administratively down", l.router.ID)
	case h.sourced:
		r.drop(reason.SourceRouted, "router", "source-routed packets are not forwarded")
	case unroutable(h.src), unroutable(h.dst), !local && (linkLocal6(h.src) || linkLocal6(h.dst)):
		r.drop(reason.LinkScope, "router", "from %s to %s does not leave the link", h.src, h.dst)
	case local:
		r.toRouter(l)
	case h.ttl <= 1+hops:
		r.drop(reason.TTLExceeded, "router", "TTL %d", h.ttl-hops)
		r.icmpError(l, icmpError{typ: pick(h, icmp4Exceeded, icmp6Exceeded)})
	default:
		return r.lookup(l, hops)
	}
	return leg{}, false
}

func linkLocal6(a netip.Addr) bool { return a.Is6() && a.IsLinkLocalUnicast() }

// pick chooses by family.
func pick(h *ipHeader, v4, v6 uint8) uint8 {
	if h.v6 {
		return v6
	}
	return v4
}

// toRouter takes a packet to one of the router's own addresses.
func (r *run) toRouter(l leg) {
	h := r.p.ip
	switch {
	case h.icmp() && !h.frag && h.icmpType == pick(h, icmp4Echo, icmp6Echo) && h.icmpCode == 0:
		r.reply(echoReply(&r.p))
		r.note("router", "the router answers the ping to %s", h.dst)
	case h.upper && (h.proto == protoTCP || h.proto == protoUDP):
		r.drop(reason.ClosedPort, "router", "the router has no service at %s", h.dst)
		r.icmpError(l, icmpError{typ: pick(h, icmp4Unreachable, icmp6Unreachable), code: pick(h, 3, 4)})
	default:
		r.drop(reason.ClosedPort, "router", "the router takes nothing but pings at %s", h.dst)
	}
}

// lookup finds the route and the next hop: another router's interface, or a port.
func (r *run) lookup(l leg, hops uint8) (next leg, more bool) {
	h := r.p.ip
	rt, ok := r.h.routes[l.router.ID].Lookup(h.dst)
	if !ok {
		r.drop(reason.NoRoute, "router", "no route to %s", h.dst)
		r.icmpError(l, icmpError{typ: pick(h, icmp4Unreachable, icmp6Unreachable)})
		return leg{}, false
	}
	if rt.Blackhole {
		r.drop(reason.Blackhole, "router", "the route %s drops", rt.Dst)
		return leg{}, false
	}
	hop := rt.Via
	if !hop.IsValid() {
		hop = h.dst
	}
	if g := l.router.Gateway; g != nil && rt.Interface == g.Port {
		r.leave(l, hop, hops)
		return leg{}, false
	}
	out, ok := r.h.find(l.router, rt.Interface)
	if !ok {
		r.drop(reason.NotProgrammed, "router", "the route %s leaves by an interface that the router does not have", rt.Dst)
		return leg{}, false
	}
	r.note("router", "route %s, next hop %s on network %s", rt.Dst, hop, out.Network)
	at := netAddr{out.Network, hop}
	if o, ok := r.h.legAddrs[at]; ok && o.router != l.router {
		return o, true
	}
	_, service := r.h.services[at] // takes nothing that is routed
	if c, ok := r.holderOf(at); ok && !service {
		r.toNeighbor(l, out, c, hops+1)
		return leg{}, false
	}
	if n := r.h.networks[out.Network]; n != nil && physical(n) && !r.taken(at) && !service && r.h.fips[at] == nil {
		r.toMachine(l, out, hop, hops+1)
		return leg{}, false
	}
	r.drop(reason.NoNeighbor, "router", "no bound port of network %s has %s", out.Network, hop)
	r.icmpError(l, icmpError{typ: pick(h, icmp4Unreachable, icmp6Unreachable), code: pick(h, 1, 3)})
	return leg{}, false
}

// toNeighbor checks the size and sends the packet to the next hop c out of the interface out of the router of l. hops
// counts the routers passed, this one included.
func (r *run) toNeighbor(l leg, out *hostplan.Interface, c claim, hops uint8) {
	n := r.h.networks[out.Network]
	if n == nil {
		r.drop(reason.NotProgrammed, "router", "network %s is not in the host's state", out.Network)
		return
	}
	mtu := n.MTU
	if peer := r.h.State.Peers[c.neighbor.Host]; peer != nil && peer.MTU > 0 && !physical(n) {
		mtu = min(mtu, peer.MTU)
	}
	if r.p.size() > int(mtu) {
		r.large(l, mtu)
		return
	}
	src := out.MAC
	if c.neighbor.Host != r.h.State.Host {
		if src = r.h.State.DVRMAC; src.IsZero() {
			r.drop(reason.NoTunnel, "router", "the host has no DVR MAC yet")
			return
		}
	}
	r.send(c.neighbor, forwarded(&r.p, c.mac, src, hops))
}

func tooBigError(h *ipHeader, mtu uint32) icmpError {
	if h.v6 {
		return icmpError{typ: icmp6TooBig, rest: mtu}
	}
	return icmpError{typ: icmp4Unreachable, code: 4, rest: mtu}
}

// icmpError answers from the interface that the packet came to, if an answer is allowed.
func (r *run) icmpError(l leg, e icmpError) {
	if !mayAnswer(&r.p) {
		r.note("router", "no ICMP error is sent about such a packet")
		return
	}
	src, ok := l.address(r.p.ip.src)
	if !ok {
		r.note("router", "no address of that family to send an ICMP error from")
		return
	}
	r.reply(errorPacket(&r.p, src, e))
	r.note("router", "ICMP error type %d code %d from %s", e.typ, e.code, src)
}
