package forward

import (
	"net/netip"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// natUse is how a connection leaves the cloud.
type natUse struct {
	kind natKind
	addr netip.Addr // the floating IP
}

type natKind uint8

const (
	natUnknown natKind = iota // it does not, or it is not told yet
	natFloating
	natCentral
)

// nat is the translation of one packet: invalid addresses stay as they are.
type nat struct {
	src, dst netip.Addr
	// out is how the sender's packet leaves the cloud.
	out natKind
	// ext and hop are the external network and the next hop on it, once they matter.
	ext model.NetworkID
	hop netip.Addr
}

// use is how an endpoint's packet leaves or entered the cloud.
func (r *run) use(egress bool) natUse {
	switch {
	case egress && r.nat.out == natFloating:
		return natUse{natFloating, r.nat.src}
	case egress:
		return natUse{kind: r.nat.out}
	case r.nat.dst.IsValid():
		return natUse{natFloating, r.p.ip.dst}
	}
	return natUse{}
}

// leave sends a packet that the router of l routes out of the cloud: by the sender's floating IP, or from its proxied IPv6 address, if it
// has such a one here, else to the router's central part. hops counts the routers passed before.
func (r *run) leave(l leg, hop netip.Addr, hops uint8) {
	h := r.p.ip
	f := r.h.floating[floatKey{r.in.Port, h.src, l.router.ID}]
	if f == nil {
		r.toLeg(l, hops)
		return
	}
	n := r.h.networks[f.External]
	if h.v6 {
		if r.stays(l, f.External, hop) {
			hop = h.dst
		}
		r.nat = nat{ext: f.External, hop: hop}
		r.note("ndp proxy", "%s leaves from here, next hop %s outside", h.src, hop)
	} else {
		r.nat = nat{src: f.Address, out: natFloating, ext: f.External, hop: hop}
		r.note("floating ip", "%s leaves as %s, next hop %s outside", h.src, f.Address, hop)
	}
	if r.p.size() > int(n.MTU) {
		r.large(l, n.MTU)
		return
	}
	at := netAddr{f.External, hop}
	to := r.h.fips[at]
	mac, known := r.res.Conns.outside(at)
	c, neighbor := r.h.byAddr[at]
	switch {
	case to != nil && !to.Central && hop != h.dst:
		r.drop(reason.NoNeighbor, "router", "%s is a floating IP, which routes nothing", hop)
		r.icmpError(l, icmpError{typ: pick(h, icmp4Unreachable, icmp6Unreachable), code: pick(h, 1, 3)})
	case to != nil && !to.Central:
		r.toFixed(to, hops+1)
	case to != nil:
		e := r.h.endpoints[r.h.State.Centrals[to.Router].Gateway.Port]
		r.output(r.from, e, r.translated(forwarded(&r.p, e.MAC, f.MAC, hops+1)))
	case neighbor && r.h.endpoints[c.neighbor.Port] != nil:
		r.output(r.from, r.h.endpoints[c.neighbor.Port], r.translated(forwarded(&r.p, c.mac, f.MAC, hops+1)))
	case known || r.in.AnyNeighbor:
		r.toNIC(n, r.translated(forwarded(&r.p, mac, f.MAC, hops+1)))
	default:
		r.punt(dataplane.PuntExternal, "router", "nobody is known to have the next hop's address: to be asked for")
	}
}

// stays reports whether a packet to a proxied address that is here stays here: by the default route it would go to the router outside,
// and come back from there.
func (r *run) stays(l leg, ext model.NetworkID, hop netip.Addr) bool {
	all, ok := r.h.routes[l.router.ID].Lookup(netip.IPv6Unspecified())
	return ok && all.Via == hop && r.h.fips[netAddr{ext, r.p.ip.dst}] != nil
}

// toLeg sends the packet to the router's central part, by the leg on the network that it came from.
func (r *run) toLeg(l leg, hops uint8) {
	h := r.p.ip
	for _, x := range l.router.Gateway.Legs {
		n := r.h.neighbors[x.Port]
		if x.Network != l.iface.Network || n == nil || n.Host == "" {
			continue
		}
		if !h.v6 {
			r.nat.out = natCentral
		}
		r.note("router", "no floating IP of %s is here: to the router's central part on host %s", h.src, n.Host)
		r.toNeighbor(l, l.iface, claim{neighbor: n, mac: x.MAC}, hops+1)
		return
	}
	r.drop(reason.NoRoute, "router", "the router's gateway is on no host")
	r.icmpError(l, icmpError{typ: pick(h, icmp4Unreachable, icmp6Unreachable)})
}

// large takes a packet that the network ahead has no room for.
func (r *run) large(l leg, mtu uint32) {
	r.res.Reason = reason.TooBig
	if h := r.p.ip; !h.v6 && !h.df {
		r.punt(dataplane.PuntFragment, "router", "too big for the next network: to be cut")
		return
	}
	r.drop(reason.TooBig, "router", "%d bytes, but the next network's MTU is %d", r.p.size(), mtu)
	r.icmpError(l, tooBigError(r.p.ip, mtu))
}

// toFloating takes a packet to the MAC of a floating IP of this host, or to its own for proxied addresses.
func (r *run) toFloating(ext model.NetworkID, hops uint8) {
	var f *hostplan.FloatingIP
	if r.p.ip != nil {
		f = r.h.fips[netAddr{ext, r.p.ip.dst}]
	}
	switch {
	case f == nil:
		r.drop(reason.NotForUs, "floating ip", "the MAC is a floating IP's, the address is none")
	case f.Central:
		e := r.h.endpoints[r.h.State.Centrals[f.Router].Gateway.Port]
		if e.Port == r.in.Port {
			r.drop(reason.NotForUs, "floating ip", "%s comes from the central part that is to translate it", f.Address)
			return
		}
		if r.tooBig() {
			return
		}
		frame := clone(r.frame())
		copy(frame, e.MAC[:])
		r.note("floating ip", "%s is translated by the router's central part", f.Address)
		r.output(r.from, e, frame)
	default:
		r.nat.ext = ext
		r.toFixed(f, hops)
	}
}

// toFixed takes a packet through the router of a floating IP to the instance.
func (r *run) toFixed(f *hostplan.FloatingIP, hops uint8) {
	h, e, router := r.p.ip, r.h.State.Endpoints[f.Port], r.h.State.Routers[f.Router]
	g := router.Gateway
	l := leg{router, &hostplan.Interface{Port: g.Port, Network: g.External, MAC: g.MAC, Addresses: g.Addresses}}
	in := inner(router, e.Network, f.Fixed)
	switch {
	case in == nil:
		r.drop(reason.NotProgrammed, "floating ip", "router %s has no interface on the subnet of %s", router.ID, f.Fixed)
		return
	case !router.AdminUp:
		r.drop(reason.RouterDown, "router", "router %s is administratively down", router.ID)
		return
	case h.sourced:
		r.drop(reason.SourceRouted, "router", "source-routed packets are not forwarded")
		return
	case unroutable(h.src), unroutable(h.dst), linkLocal6(h.src):
		r.drop(reason.LinkScope, "router", "from %s to %s does not leave the link", h.src, h.dst)
		return
	case h.ttl <= 1+hops:
		r.drop(reason.TTLExceeded, "router", "TTL %d", h.ttl-hops)
		r.icmpError(l, icmpError{typ: pick(h, icmp4Exceeded, icmp6Exceeded)})
		return
	case r.p.size() > int(e.MTU):
		r.large(l, e.MTU)
		return
	}
	if h.v6 {
		r.note("ndp proxy", "%s is port %s's", f.Address, f.Port)
	} else {
		r.nat.dst = f.Fixed
		r.note("floating ip", "%s is %s of port %s", f.Address, f.Fixed, f.Port)
	}
	r.output(r.from, e, r.translated(forwarded(&r.p, e.MAC, in.MAC, hops+1)))
}

// inner is the router's interface on the subnet of an address.
func inner(router *hostplan.Router, network model.NetworkID, addr netip.Addr) *hostplan.Interface {
	for i := range router.Interfaces {
		f := &router.Interfaces[i]
		for _, p := range f.Addresses {
			if f.Network == network && p.Contains(addr) {
				return f
			}
		}
	}
	return nil
}

// frame is the frame as it is to go on at layer 2.
func (r *run) frame() []byte {
	if r.sent != nil {
		return r.sent
	}
	return r.p.frame
}
