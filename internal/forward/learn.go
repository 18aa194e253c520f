package forward

import (
	"maps"
	"net/netip"

	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// Learned is who was last heard to have an address or a MAC that several ports may have, or that the feed does not place. It is
// immutable; nil is empty.
type Learned struct {
	addrs map[netAddr]teller
	macs  map[netMAC]model.PortID
}

// teller is the port that was heard, and the MAC that it told.
type teller struct {
	port model.PortID
	mac  model.MAC
}

// Keep leaves out what the State does not allow any more: of ports that are gone, bound nowhere or may not have it.
func (l *Learned) Keep(h *Host) *Learned {
	if l == nil {
		return nil
	}
	out := &Learned{map[netAddr]teller{}, map[netMAC]model.PortID{}}
	for k, v := range l.addrs {
		if h.mayHave(v.port, k.net, v.mac, k.addr) && !h.isFixed(k) {
			out.addrs[k] = v
		}
	}
	for k, port := range l.macs {
		if h.mayHaveMAC(port, k) {
			out.macs[k] = port
		}
	}
	return out
}

// mayHave reports whether the port is a neighbour on the network that may have the address under the MAC.
func (h *Host) mayHave(port model.PortID, network model.NetworkID, mac model.MAC, addr netip.Addr) bool {
	n := h.State.Neighbors[port]
	if n == nil || n.Network != network || n.Host == "" {
		return false
	}
	if n.Open {
		return true
	}
	for _, p := range n.Pairs {
		if p.MAC == mac && p.Prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// mayHaveMAC reports whether the port may be heard under a MAC that is no port's own.
func (h *Host) mayHaveMAC(port model.PortID, k netMAC) bool {
	n := h.State.Neighbors[port]
	if n == nil || n.Network != k.net || n.Host == "" || !h.mayMove(k) {
		return false
	}
	if n.Open {
		return true
	}
	for _, p := range n.Pairs {
		if p.MAC == k.mac {
			return true
		}
	}
	return false
}

// isFixed: the address is a bound port's fixed IP, a router's or the host's own: it comes from the feed alone.
func (h *Host) isFixed(k netAddr) bool {
	c, ok := h.byAddr[k]
	_, router := h.legAddrs[k]
	_, service := h.services[k]
	if m, eui := macOf(k.addr); eui && !h.mayMove(netMAC{k.net, m}) {
		return true // the link-local address of a MAC that is known
	}
	return router || service || ok && c.fixed
}

// mayMove: the MAC is no port's own, no router's and not the host's.
func (h *Host) mayMove(k netMAC) bool {
	n, ok := h.byMAC[k]
	_, router := h.legs[k]
	return !router && !h.serviceMACs[k] && (!ok || n.MAC != k.mac)
}

// holderOf is who has the address: a fixed IP's port, else who was heard last, else the pair's port of lowest id.
func (r *run) holderOf(k netAddr) (claim, bool) {
	c, ok := r.h.byAddr[k]
	if ok && c.fixed || !r.learns(k.net) || r.h.isFixed(k) || r.res.Learned == nil {
		return c, ok
	}
	if t, heard := r.res.Learned.addrs[k]; heard {
		if n := r.h.State.Neighbors[t.port]; n != nil && n.Host != "" {
			return claim{neighbor: n, mac: t.mac}, true
		}
	}
	return c, ok
}

// holderOfMAC is the same for a MAC.
func (r *run) holderOfMAC(k netMAC) (*hostplan.Neighbor, bool) {
	n, ok := r.h.byMAC[k]
	if !r.learns(k.net) || !r.h.mayMove(k) || r.res.Learned == nil {
		return n, ok
	}
	if port, heard := r.res.Learned.macs[k]; heard {
		if m := r.h.State.Neighbors[port]; m != nil && m.Host != "" {
			return m, true
		}
	}
	return n, ok
}

func (r *run) learns(id model.NetworkID) bool {
	n := r.h.State.Networks[id]
	return n != nil && n.Learning
}

// hear notes that mac was told to have the address, if whoever told it may have it. An invalid address: the MAC alone.
func (r *run) hear(mac model.MAC, addr netip.Addr) {
	if !r.net.Learning || mac.IsMulticast() || mac.IsZero() {
		return
	}
	port, ok := r.claimant(mac, addr)
	if !ok {
		return
	}
	l := &Learned{map[netAddr]teller{}, map[netMAC]model.PortID{}}
	if r.res.Learned != nil {
		l.addrs, l.macs = maps.Clone(r.res.Learned.addrs), maps.Clone(r.res.Learned.macs)
	}
	if k := (netAddr{r.net.ID, addr}); addr.IsValid() && !oneOf(addr) && !r.h.isFixed(k) {
		if l.addrs[k] != (teller{port, mac}) {
			r.note("learn", "port %s has %s at %s", port, addr, mac)
		}
		l.addrs[k] = teller{port, mac}
	}
	if k := (netMAC{r.net.ID, mac}); r.h.mayMove(k) {
		l.macs[k] = port
	}
	r.res.Learned = l
}

// oneOf: it is no single station's address.
func oneOf(a netip.Addr) bool {
	return a.IsUnspecified() || a.IsMulticast() || a.Is4() && a.As4()[0] >= 224
}

// claimant is the neighbour that may be heard where the frame came from: the sending port itself, or one at the sending host;
// there by the longest pair with that MAC, of equal ones by the lowest id, else the lowest without port security.
func (r *run) claimant(mac model.MAC, addr netip.Addr) (best model.PortID, ok bool) {
	bits := -1
	var open model.PortID
	for id, n := range r.h.State.Neighbors {
		if n.Network != r.net.ID || n.Host == "" || r.from != nil && id != r.from.Port || r.from == nil && n.Host != r.peer.Host {
			continue
		}
		if n.Open && (open.IsZero() || id.Compare(open.UUID) < 0) {
			open = id
		}
		for _, p := range n.Pairs {
			if !n.Open && p.MAC == mac && addr.IsValid() && p.Prefix.Contains(addr) &&
				(p.Prefix.Bits() > bits || p.Prefix.Bits() == bits && id.Compare(best.UUID) < 0) {
				best, bits = id, p.Prefix.Bits()
			}
		}
	}
	if bits < 0 {
		best = open
	}
	return best, !best.IsZero()
}

// listen hears a frame that the peer sent on behalf of an instance, not of itself as a router.
func (r *run) listen() {
	if r.p.src == r.peer.DVRMAC {
		return
	}
	r.hearFrame()
	switch {
	case r.p.etherType == etherARP:
		r.hearARP()
	case r.neighborDiscovery():
		r.hearND()
	}
}

// hearFrame notes the MAC of a sender without port security.
func (r *run) hearFrame() {
	r.hear(r.p.src, netip.Addr{})
}

// hearARP and hearND note what an ARP or ND packet that was found good tells of its sender.
func (r *run) hearARP() {
	a := r.p.l3()
	if len(a) < arpLen || be32(a) != 0x00010800 || a[4] != 6 || a[5] != 4 {
		return
	}
	if sender := netip.AddrFrom4([4]byte(a[14:18])); !sender.IsUnspecified() {
		r.hear(model.MAC(a[8:14]), sender)
	}
}

func (r *run) hearND() {
	h, m := r.p.ip, r.p.payload()
	if len(m) < 24 || h.ttl != 255 || h.icmpCode != 0 || !mayBeTarget(netip.AddrFrom16([16]byte(m[8:24]))) {
		return
	}
	mac := r.p.src
	var option byte
	if len(m) >= 32 {
		option = m[24]
	}
	switch {
	case h.icmpType == icmp6NS:
		if option == 1 && !h.src.IsUnspecified() {
			r.hear(model.MAC(m[26:32]), h.src)
		}
		return
	case option == 2:
		mac = model.MAC(m[26:32])
	}
	r.hear(mac, netip.AddrFrom16([16]byte(m[8:24])))
}
