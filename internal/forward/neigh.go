package forward

import (
	"net/netip"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/model"
)

const (
	arpRequest = 1
	arpAnswer  = 2
)

// arp takes an ARP packet of an instance (RFC 826, RFC 5227).
func (r *run) arp() {
	a := r.p.l3()
	if len(a) < arpLen || be32(a) != 0x00010800 || a[4] != 6 || a[5] != 4 || be16(a[6:]) < arpRequest || be16(a[6:]) > arpAnswer {
		r.drop(reason.Malformed, "arp", "not ARP for IPv4 over Ethernet")
		return
	}
	request := be16(a[6:]) == arpRequest
	sender, target := netip.AddrFrom4([4]byte(a[14:18])), netip.AddrFrom4([4]byte(a[24:28]))
	if why := r.guardARP(model.MAC(a[8:14]), sender, request); why != reason.None {
		r.drop(why, "arp", "sender %s at %s is not the port's and no allowed address pair's", sender, model.MAC(a[8:14]))
		return
	}
	r.hearARP()
	r.announces = !request || sender == target
	switch {
	case !request:
		r.whereTo()
	case sender == target:
		r.note("arp", "%s announces itself", sender)
		r.flood()
	default:
		r.answer("arp", target, func(mac model.MAC, _ bool) []byte { return arpReply(&r.p, mac) })
	}
}

// guardARP: the sender fields must be the port's; a probe has no sender address. Without port security only a router's
// address is refused.
func (r *run) guardARP(mac model.MAC, sender netip.Addr, request bool) reason.Reason {
	if !r.from.PortSecurity {
		if _, ok := r.h.legAddrs[netAddr{r.net.ID, sender}]; ok {
			return reason.SpoofedARP
		}
		return reason.None
	}
	switch {
	case mac != r.p.src:
		return reason.SpoofedARP
	case !mayUseMAC(r.from, mac):
		return reason.SpoofedMAC
	case sender.IsUnspecified() && request, !sender.IsUnspecified() && mayUse(r.from, mac, sender):
		return reason.None
	}
	return reason.SpoofedARP
}

// neighborDiscovery reports whether the frame is a neighbour solicitation or advertisement.
func (r *run) neighborDiscovery() bool {
	h := r.p.ip
	return h != nil && h.v6 && h.icmp() && (h.icmpType == icmp6NS || h.icmpType == icmp6NA)
}

// nd takes a neighbour solicitation or advertisement of an instance (RFC 4861, sections 7.1 and 7.2;
// RFC 6980 for fragments).
func (r *run) nd() {
	h, m := r.p.ip, r.p.payload()
	if len(m) < 24 || h.ttl != 255 || h.icmpCode != 0 || h.fragHeader || !mayBeTarget(netip.AddrFrom16([16]byte(m[8:24]))) {
		r.drop(reason.Malformed, "nd", "hop limit %d, code %d, length %d or target is wrong for neighbour discovery", h.ttl, h.icmpCode, len(m))
		return
	}
	target := netip.AddrFrom16([16]byte(m[8:24]))
	if !r.guardND(target, m) {
		r.drop(reason.SpoofedARP, "nd", "%s or the link-layer address of the option is not the port's", target)
		return
	}
	r.hearND()
	if h.icmpType == icmp6NA {
		r.announces = true
		r.whereTo()
		return
	}
	r.answer("nd", target, func(mac model.MAC, router bool) []byte { return advertisement(&r.p, target, mac, router) })
}

// mayBeTarget: a solicitation is about one host's IPv6 address.
func mayBeTarget(a netip.Addr) bool { return !a.IsMulticast() && !a.Is4In6() }

// guardND: the link-layer address option must tell the sender's MAC, and an advertisement's target must be the port's.
func (r *run) guardND(target netip.Addr, m []byte) bool {
	solicit := r.p.ip.icmpType == icmp6NS
	if !r.from.PortSecurity {
		_, router := r.routerAt(target)
		return solicit || !router
	}
	option := byte(2) // target link-layer address
	if solicit {
		option = 1 // source link-layer address
	}
	if len(m) >= 32 && m[24] == option && model.MAC(m[26:32]) != r.p.src {
		return false
	}
	return solicit || mayUse(r.from, r.p.src, target)
}

// answer resolves target for the asking instance, and makes the reply that frame builds. What is not known is asked of
// all where the network learns, else dropped.
func (r *run) answer(stage string, target netip.Addr, frame func(mac model.MAC, router bool) []byte) {
	if hasAddress(r.from, target) || target == linkLocal(r.from.MAC) {
		r.drop(reason.SelfDAD, stage, "%s is the asker's own", target)
		return
	}
	if l, ok := r.routerAt(target); ok {
		r.reply(frame(l.iface.MAC, true))
		r.note(stage, "router %s has %s at %s: answered on the spot", l.router.ID, target, l.iface.MAC)
		return
	}
	if v, ok := r.h.services[netAddr{r.net.ID, target}]; ok {
		r.reply(frame(v.MAC, false))
		r.note(stage, "the host itself has %s at %s: answered on the spot", target, v.MAC)
		return
	}
	if f, ok := r.h.fips[netAddr{r.net.ID, target}]; ok {
		r.reply(frame(f.MAC, false))
		r.note(stage, "floating IP %s is at %s: answered on the spot", target, f.MAC)
		return
	}
	c, ok := r.neighborAt(target)
	switch {
	case ok && c.neighbor.Port == r.in.Port:
		r.drop(reason.SelfDAD, stage, "%s is the asker's own", target)
	case ok:
		r.reply(frame(c.mac, c.neighbor.Router))
		r.note(stage, "port %s has %s at %s: answered on the spot", c.neighbor.Port, target, c.mac)
	default:
		r.nobody(stage, target)
	}
}

// nobody is known to have target. User space remembers the question for a moment, for its neighbour may just be coming; who asks as
// nobody yet (a probe) hopes for silence.
func (r *run) nobody(stage string, target netip.Addr) {
	if !r.askerUnspecified() {
		r.punt(dataplane.PuntAsk, stage, "the question is remembered for a moment: its answer may just be coming")
	}
	switch {
	case physical(r.net) && !r.p.dst.IsMulticast():
		if !r.tooBig() {
			r.toNIC(r.net, r.p.frame)
		}
	case r.net.Learning || physical(r.net):
		r.note(stage, "%s is not known from the control plane", target)
		r.flood()
	default:
		r.drop(reason.NoNeighbor, stage, "no bound port of network %s has %s", r.net.ID, target)
	}
}

// askerUnspecified reports whether an ARP request or solicitation has no sender's address.
func (r *run) askerUnspecified() bool {
	if r.p.etherType == etherARP {
		return netip.AddrFrom4([4]byte(r.p.l3()[14:18])).IsUnspecified()
	}
	return r.p.ip.src.IsUnspecified()
}

// routerAt finds the router interface with that address, or with that link-local one, on the frame's network.
func (r *run) routerAt(addr netip.Addr) (leg, bool) {
	if l, ok := r.h.legAddrs[netAddr{r.net.ID, addr}]; ok {
		return l, true
	}
	if m, ok := macOf(addr); ok {
		l, ok := r.h.legs[netMAC{r.net.ID, m}]
		return l, ok
	}
	return leg{}, false
}

// taken reports whether a router's interface has the address.
func (r *run) taken(at netAddr) bool {
	if _, ok := r.h.legAddrs[at]; ok {
		return true
	}
	m, ok := macOf(at.addr)
	if ok {
		_, ok = r.h.legs[netMAC{at.net, m}]
	}
	return ok
}

// neighborAt is the same for ports.
func (r *run) neighborAt(addr netip.Addr) (claim, bool) {
	if c, ok := r.holderOf(netAddr{r.net.ID, addr}); ok {
		return c, true
	}
	if m, ok := macOf(addr); ok {
		n, ok := r.h.byMAC[netMAC{r.net.ID, m}]
		return claim{neighbor: n, mac: m}, ok
	}
	return claim{}, false
}
