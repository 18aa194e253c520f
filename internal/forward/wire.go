package forward

import (
	"net/netip"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// This file is about machines that are no instances, on flat and vlan networks with distributed routers: one host speaks to them for the
// routers, and every host finds them by asking on the wire.

// speaksAt reports whether the MAC is a router's for which this host speaks on the frame's network.
func (r *run) speaksAt(mac model.MAC) bool {
	_, ok := r.h.legs[netMAC{r.net.ID, mac}]
	return ok && r.net.Speaks
}

// spokenFor is the interface with that address, if this host speaks for it.
func (r *run) spokenFor(addr netip.Addr) (leg, bool) {
	if !r.net.Speaks {
		return leg{}, false
	}
	return r.routerAt(addr)
}

// toRouterHost reports whether the frame is for this host as one that routes, by its DVR MAC.
func (r *run) toRouterHost() bool {
	own := r.h.State.DVRMAC
	return !own.IsZero() && r.p.dst == own
}

// answersMe reports whether the frame may answer what this host asked as one that routes. port: a port has the MAC.
func (r *run) answersMe(port bool) bool {
	_, router := r.h.legs[netMAC{r.net.ID, r.p.dst}]
	return !port && !router && physical(r.net) && r.toRouterHost() && (r.p.etherType == etherARP || r.p.etherType == etherIPv6)
}

// tell lets user space know who has an address.
func (r *run) tell(stage string, addr netip.Addr) {
	r.res.Outputs = append(r.res.Outputs, Output{Kind: Punt, Punt: dataplane.PuntNeighbor, External: r.net.ID, NextHop: addr, Frame: clone(r.p.frame)})
	r.note(stage, "user space learns who has %s", addr)
}

// ndOutside answers for proxied addresses and routers, and tells user space what is news of others (RFC 4861). False: the packet goes on as
// any other.
func (r *run) ndOutside() bool {
	h, m := r.p.ip, r.p.payload()
	if len(m) < 24 || h.ttl != 255 || h.icmpCode != 0 || h.fragHeader || !mayBeTarget(netip.AddrFrom16([16]byte(m[8:24]))) {
		return false
	}
	target := netip.AddrFrom16([16]byte(m[8:24]))
	solicit, toUs := h.icmpType == icmp6NS, r.h.fipMACs[netMAC{r.net.ID, r.p.dst}]
	who, option := target, byte(2)
	if solicit {
		who, option = h.src, 1
	}
	if len(m) >= 32 && m[24] == option && m[25] == 1 && !who.IsUnspecified() && (r.news(who, model.MAC(m[26:32])) || !solicit && (toUs || r.toRouterHost())) {
		r.tell("nd", who)
	}
	l, router := r.spokenFor(target)
	f := r.h.fips[netAddr{r.net.ID, target}]
	switch {
	case f != nil && solicit:
		r.reply(advertisement(&r.p, target, f.MAC, false))
		r.note("nd", "%s has an NDP proxy here, at %s: answered", target, f.MAC)
		return true
	case router && solicit:
		r.reply(advertisement(&r.p, target, l.iface.MAC, true))
		r.note("nd", "router %s has %s at %s: answered for it", l.router.ID, target, l.iface.MAC)
		return true
	case toUs:
		r.note("NIC", "NDP proxies need no telling who has which address")
	}
	return toUs
}

// routeFromWire takes what a machine on the wire sends to a router.
func (r *run) routeFromWire() {
	switch {
	case r.p.etherType == etherARP || r.neighborDiscovery():
		r.note("router", "the router needs no telling who has which address")
	case r.p.ip == nil:
		r.drop(reason.EtherType, "router", "ethertype %#04x is not routed", r.p.etherType)
	default:
		r.nat.ext = r.net.ID
		r.route(r.h.legs[netMAC{r.net.ID, r.p.dst}])
	}
}

// toMachine sends a packet to a next hop on a flat or vlan network that the feed does not tell of.
func (r *run) toMachine(l leg, out *hostplan.Interface, hop netip.Addr, hops uint8) {
	n, at := r.h.networks[out.Network], netAddr{out.Network, hop}
	if r.p.size() > int(n.MTU) {
		r.large(l, n.MTU)
		return
	}
	mac, known := r.res.Conns.outside(at)
	switch {
	case !known && !r.in.AnyNeighbor:
		r.nat.ext, r.nat.hop = out.Network, hop
		r.punt(dataplane.PuntExternal, "router", "nobody is known to have the next hop's address: to be asked for")
	case r.h.State.DVRMAC.IsZero():
		r.drop(reason.NoTunnel, "router", "the host has no DVR MAC yet")
	default:
		r.note("router", "%s is no instance's: on the wire", hop)
		r.toNIC(n, forwarded(&r.p, mac, r.h.State.DVRMAC, hops))
	}
}
