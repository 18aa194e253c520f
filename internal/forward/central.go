package forward

import (
	"fmt"
	"net/netip"

	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// Exit is what the central part of a router does with the first packet of a connection: it is a network namespace, with the kernel's own
// forwarding, NAT and connection tracking. Frame leaves by Port, one of its legs or the gateway's port.
type Exit struct {
	Router model.RouterID
	Port   model.PortID
	Frame  []byte
	// SourcePorts is where SNAT may choose from: the packet keeps its source port if no other connection has it, else gets any of
	// these, so that every Frame that differs in the port alone is allowed, too. Zero: the port stays.
	SourcePorts model.PortRange
	Reason      reason.Reason
	Trail       []Note
}

// centralRun is one packet's way through a central part.
type centralRun struct {
	h   *Host
	c   *hostplan.Central
	in  model.PortID
	p   packet
	out Exit
}

// central takes a frame that reached a leg of c, or its outer leg.
func (h *Host) central(c *hostplan.Central, in model.PortID, frame []byte) Exit {
	r := &centralRun{h: h, c: c, in: in, out: Exit{Router: c.Router}}
	var bad reason.Reason
	if r.p, bad = parse(clone(frame)); bad != reason.None || r.p.ip == nil {
		r.drop(reason.None, "nothing that is routed")
		return r.out
	}
	r.note("central part of router %s, by port %s", c.Router, in)
	r.destination()
	r.route()
	return r.out
}

func (r *centralRun) note(format string, args ...any) {
	r.out.Trail = append(r.out.Trail, Note{Stage: "central", Text: fmt.Sprintf(format, args...)})
}

func (r *centralRun) drop(why reason.Reason, format string, args ...any) {
	r.out.Reason = why
	r.note(format, args...)
}

// destination is the translation before routing: of central floating IPs and of forwarded ports.
func (r *centralRun) destination() {
	h := r.p.ip
	for _, f := range r.c.FloatingIPs {
		if h.v6 || f.Address != h.dst {
			continue
		}
		if f.Fixed.IsValid() {
			r.note("%s is %s of port %s", f.Address, f.Fixed, f.Port)
			r.rewrite(16, f.Fixed)
			return
		}
		for _, x := range f.Forwardings {
			if h.upper && x.Protocol == h.proto && h.dport >= x.External.First && h.dport <= x.External.Last {
				port := x.Internal.First
				if x.Internal.Last > x.Internal.First {
					port += h.dport - x.External.First
				}
				r.note("port %d of %s is forwarded to %s port %d", h.dport, f.Address, x.Address, port)
				r.rewrite(16, x.Address)
				r.port(2, port)
				return
			}
		}
	}
}

// rewrite changes an IPv4 address of the packet, at an offset of its header.
func (r *centralRun) rewrite(at int, to netip.Addr) {
	translate(r.p.l3()[:r.p.ip.length], r.p.ip.l4, at, to, r.p.ip.later())
	r.p, _ = parse(r.p.frame)
}

// port changes a port of TCP or UDP, at an offset of its header.
func (r *centralRun) port(at int, to uint16) {
	b := r.p.payload()
	from := be16(b[at:])
	put16(b[at:], to)
	if sum := checkAt(r.p.ip.proto); sum > 0 && sum+2 <= len(b) && (r.p.ip.proto != protoUDP || be16(b[sum:]) != 0) {
		put16(b[sum:], update(be16(b[sum:]), from, to))
	}
	r.p, _ = parse(r.p.frame)
}

// route is the kernel's forwarding, and the translation behind it.
func (r *centralRun) route() {
	h := r.p.ip
	switch {
	case !r.c.AdminUp:
		r.drop(reason.RouterDown, "router %s is administratively down", r.c.Router)
		return
	case r.owns(h.dst):
		r.local()
		return
	case h.ttl <= 1:
		r.drop(reason.TTLExceeded, "TTL %d", h.ttl)
		return
	}
	var best hostplan.Route
	bits := -1
	for _, rt := range r.c.Routes {
		if rt.Dst.Contains(h.dst) && rt.Dst.Bits() > bits {
			best, bits = rt, rt.Dst.Bits()
		}
	}
	if bits < 0 || best.Blackhole {
		r.drop(reason.NoRoute, "no route to %s", h.dst)
		return
	}
	hop := best.Via
	if !hop.IsValid() {
		hop = h.dst
	}
	mac, mtu, network, ok := r.leg(best.Interface)
	if !ok {
		r.drop(reason.NotProgrammed, "the route %s leaves by a port that the router does not have", best.Dst)
		return
	}
	r.note("route %s, next hop %s by port %s", best.Dst, hop, best.Interface)
	if uint32(h.length) > mtu {
		r.drop(reason.TooBig, "%d bytes, but the next network's MTU is %d", h.length, mtu)
		return
	}
	r.source(best.Interface)
	r.out.Port = best.Interface
	r.out.Frame = forwarded(&r.p, r.macOf(network, hop), mac, 1)
}

// leg is what leaves by a port has: MAC, MTU and network.
func (r *centralRun) leg(port model.PortID) (mac model.MAC, mtu uint32, network model.NetworkID, ok bool) {
	if g := r.c.Gateway; g != nil && g.Port == port {
		n := r.h.networks[g.External]
		return g.MAC, n.MTU, g.External, true
	}
	for _, l := range r.c.Legs {
		if l.Port == port {
			return l.MAC, l.MTU, l.Network, true
		}
	}
	return mac, 0, network, false
}

// macOf is what the kernel's neighbour table would say: zero for somebody outside, of whom nothing is known here.
func (r *centralRun) macOf(network model.NetworkID, addr netip.Addr) model.MAC {
	at := netAddr{network, addr}
	if f := r.h.fips[at]; f != nil {
		return f.MAC
	}
	return r.h.byAddr[at].mac
}

// source is the translation behind routing, of what leaves by the gateway: to the sender's own floating IP, if that is a central one,
// else to the gateway's address, if the router does that and the sender is not in the outside's own address scope.
func (r *centralRun) source(port model.PortID) {
	h, g := r.p.ip, r.c.Gateway
	if h.v6 || g == nil || port != g.Port || r.in == g.Port {
		return
	}
	for _, f := range r.c.FloatingIPs {
		if f.Fixed == h.src {
			r.note("%s leaves as its floating IP %s", h.src, f.Address)
			r.rewrite(12, f.Address)
			return
		}
	}
	for _, p := range g.Plain {
		if p.Contains(h.src) {
			r.note("%s is in the address scope of the outside: no translation", h.src)
			return
		}
	}
	for _, a := range g.Addresses {
		if g.SNAT && a.Addr().Is4() {
			r.out.SourcePorts = snatPorts(h)
			r.note("%s leaves as the gateway's %s, with its own source port if that is free, else with one of %d to %d", h.src, a.Addr(),
				r.out.SourcePorts.First, r.out.SourcePorts.Last)
			r.rewrite(12, a.Addr())
			return
		}
	}
}

// snatPorts is the class of ports within which the kernel looks for a free one (net/netfilter/nf_nat_core.c); ICMP has identifiers in
// their place, all of one class.
func snatPorts(h *ipHeader) model.PortRange {
	switch {
	case !h.upper:
		return model.PortRange{}
	case h.icmp():
		return model.PortRange{First: 0, Last: 65535}
	case h.sport < 512:
		return model.PortRange{First: 1, Last: 511}
	case h.sport < 1024:
		return model.PortRange{First: 600, Last: 1023}
	}
	return model.PortRange{First: 1024, Last: 65535}
}

// owns reports whether the address is one of the central part's own: a floating IP of which nothing is translated is, too.
func (r *centralRun) owns(a netip.Addr) bool {
	for _, f := range r.c.FloatingIPs {
		if f.Address == a {
			return true
		}
	}
	var all []netip.Prefix
	if g := r.c.Gateway; g != nil {
		all = append(all, g.Addresses...)
	}
	for _, l := range r.c.Legs {
		all = append(all, l.Addresses...)
	}
	for _, p := range all {
		if p.Addr() == a {
			return true
		}
	}
	return false
}

// local answers a ping to the router itself: by the leg on the asker's network, or back to where it came from.
func (r *centralRun) local() {
	h := r.p.ip
	if !h.icmp() || h.frag || h.icmpType != pick(h, icmp4Echo, icmp6Echo) || h.icmpCode != 0 {
		r.drop(reason.ClosedPort, "the router has no service at %s", h.dst)
		return
	}
	mac, _, network, ok := r.leg(r.in)
	if !ok {
		return
	}
	r.out.Port, r.out.Frame = r.in, echoReply(&r.p)
	copy(r.out.Frame[6:], mac[:])
	if c, ok := r.h.byAddr[netAddr{network, h.src}]; ok {
		copy(r.out.Frame, c.mac[:])
	}
	r.note("the router answers the ping to %s", h.dst)
}
