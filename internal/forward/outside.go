package forward

import (
	"net/netip"

	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// wire is where a flat or vlan network is on the host's NICs.
type wire struct {
	physnet string
	vlan    uint16
}

// physical reports whether a network's frames leave by a NIC.
func physical(n *hostplan.Network) bool {
	return (n.Type == "flat" || n.Type == "vlan") && n.Physnet != ""
}

// indexOutside adds what a State says of the outside: external networks become networks, outer legs endpoints and neighbours
// on them.
func (h *Host) indexOutside() {
	s := h.State
	for _, n := range s.Networks {
		h.networks[n.ID] = n
	}
	for _, x := range s.Externals {
		if h.networks[x.ID] == nil {
			mtu := x.MTU
			if mtu == 0 {
				mtu = 1500
			}
			h.networks[x.ID] = &hostplan.Network{ID: x.ID, Type: "flat", Physnet: x.Physnet, VLAN: x.VLAN, MTU: mtu, External: true}
		}
	}
	for _, n := range h.networks {
		if physical(n) {
			h.wires[wire{n.Physnet, n.VLAN}] = n
		}
	}
	for id, e := range s.Endpoints {
		h.endpoints[id] = e
	}
	for id, n := range s.Neighbors {
		h.neighbors[id] = n
	}
	for _, c := range s.Centrals {
		g := c.Gateway
		if g == nil || h.networks[g.External] == nil {
			continue
		}
		n := &hostplan.Neighbor{Port: g.Port, Network: g.External, MAC: g.MAC, Host: s.Host}
		for _, a := range g.Addresses {
			n.Addresses = append(n.Addresses, a.Addr())
		}
		h.neighbors[g.Port] = n
		h.endpoints[g.Port] = &hostplan.Endpoint{Port: g.Port, Network: g.External, Device: c.OuterDevice, AdminUp: true, MAC: g.MAC,
			Addresses: g.Addresses, MTU: h.networks[g.External].MTU}
	}
}

// floatKey is a fixed address of an endpoint at a router.
type floatKey struct {
	port   model.PortID
	fixed  netip.Addr
	router model.RouterID
}

// indexFloating finds the floating IPs that are translated here.
func (h *Host) indexFloating() {
	for _, f := range h.State.FloatingIPs {
		if h.indexFloat(f) {
			h.fipMACs[netMAC{f.External, f.MAC}] = true
		}
	}
	for _, n := range h.State.NDPProxies {
		if h.indexFloat(n.Floating()) && !n.Central { // a central one's is the gateway's
			h.fipMACs[netMAC{n.External, n.MAC}] = true
		}
	}
}

// indexFloat takes in a floating IP, or an NDP proxy in the form of one, and reports whether it can be served.
func (h *Host) indexFloat(f *hostplan.FloatingIP) bool {
	if h.networks[f.External] == nil {
		return false
	}
	if f.Central {
		if c := h.State.Centrals[f.Router]; c == nil || c.Gateway == nil {
			return false
		}
	} else {
		r := h.State.Routers[f.Router]
		if r == nil || r.Gateway == nil || h.State.Endpoints[f.Port] == nil {
			return false
		}
		h.floating[floatKey{f.Port, f.Fixed, f.Router}] = f
	}
	h.fips[netAddr{f.External, f.Address}] = f
	return true
}

// fromNIC takes a frame that a NIC received. What is not provably ours is the host's.
func (r *run) fromNIC() {
	r.net = r.h.wires[wire{r.in.Physnet, r.in.VLAN}]
	n, neighbor := (*hostplan.Neighbor)(nil), false
	if r.net != nil && len(r.p.frame) >= ethLen {
		n, neighbor = r.h.byMAC[netMAC{r.net.ID, r.p.dst}]
	}
	switch {
	case r.net == nil || len(r.p.frame) < ethLen, r.p.etherType == etherVLAN || r.p.etherType == etherQinQ, r.p.src.IsZero() || r.p.src.IsMulticast(),
		!r.p.dst.IsMulticast() && !r.h.fipMACs[netMAC{r.net.ID, r.p.dst}] && !r.speaksAt(r.p.dst) && !r.answersMe(neighbor) &&
			(!neighbor || r.h.endpoints[n.Port] == nil):
		r.pass("nothing of ours")
		return
	}
	r.note("NIC", "from physical network %s, network %s", r.in.Physnet, r.net.ID)
	switch {
	case r.p.etherType == etherARP:
		r.arpOutside()
	case r.bad != reason.None && r.p.dst.IsMulticast():
		r.pass("a header is cut short or contradicts itself")
	case !r.headersOK():
	default:
		r.keepFragment()
		r.ipOutside()
	}
}

// ipOutside takes an IP packet, or another protocol's frame, from a NIC.
func (r *run) ipOutside() {
	switch {
	case r.neighborDiscovery() && r.ndOutside():
	case r.p.dst.IsMulticast():
		r.flood()
		r.pass("it is for all")
	default:
		r.unicastOutside()
	}
}

// pass leaves the frame to the host.
func (r *run) pass(why string) {
	r.res.Outputs = append(r.res.Outputs, Output{Kind: ToHost, Physnet: r.in.Physnet, VLAN: r.in.VLAN, Frame: clone(r.p.frame)})
	r.note("NIC", "left to the host: %s", why)
}

// unicastOutside takes a frame from a NIC to a MAC of ours.
func (r *run) unicastOutside() {
	if r.speaksAt(r.p.dst) && !r.h.fipMACs[netMAC{r.net.ID, r.p.dst}] {
		r.routeFromWire()
		return
	}
	if r.h.fipMACs[netMAC{r.net.ID, r.p.dst}] {
		if r.p.etherType == etherARP {
			r.note("NIC", "floating IPs need no telling who has which address")
			return
		}
		r.toFloating(r.net.ID, 0)
		return
	}
	n := r.h.byMAC[netMAC{r.net.ID, r.p.dst}]
	if n == nil || r.h.endpoints[n.Port] == nil {
		r.pass("no business of packets")
		return
	}
	if r.tooBig() {
		return
	}
	frame, ok := r.withRouterMAC(r.h.dvr[r.p.src])
	if !ok {
		r.note("deliver", "from an NDP proxy of another host: its DVR MAC %s stays", r.p.src)
		frame = r.p.frame
	}
	r.output(nil, r.h.endpoints[n.Port], frame)
}

// arpOutside answers for floating IPs, and tells user space what is news of others.
func (r *run) arpOutside() {
	a := r.p.l3()
	if len(a) < arpLen || be32(a) != 0x00010800 || a[4] != 6 || a[5] != 4 || be16(a[6:]) < arpRequest || be16(a[6:]) > arpAnswer {
		r.pass("not ARP for IPv4 over Ethernet")
		return
	}
	request := be16(a[6:]) == arpRequest
	sender, target := netip.AddrFrom4([4]byte(a[14:18])), netip.AddrFrom4([4]byte(a[24:28]))
	fip := r.h.fips[netAddr{r.net.ID, target}]
	if !sender.IsUnspecified() && (r.news(sender, model.MAC(a[8:14])) || !request && (fip != nil && r.p.dst == fip.MAC || r.toRouterHost())) {
		r.tell("arp", sender)
	}
	local := r.localAt(target)
	l, router := r.spokenFor(target)
	switch {
	case (fip != nil || router) && sender == target:
		r.pass("somebody else claims an address that is served here")
	case fip != nil && request:
		r.reply(arpReply(&r.p, fip.MAC))
		r.note("arp", "floating IP %s is at %s: answered", target, fip.MAC)
	case router && request:
		r.reply(arpReply(&r.p, l.iface.MAC))
		r.note("arp", "router %s has %s at %s: answered for it", l.router.ID, target, l.iface.MAC)
	case !r.p.dst.IsMulticast():
		r.unicastOutside()
	case sender == target || r.net.Learning:
		r.flood()
		r.pass("it is for all")
	case local != nil:
		r.copyTo(local)
		r.pass("it is for all")
	default:
		r.pass("nobody here has the address")
	}
}

// news reports whether ARP or ND told something about an address that is spoken to that was not so, or claims one of ours, by whatever MAC.
func (r *run) news(addr netip.Addr, mac model.MAC) bool {
	at := netAddr{r.net.ID, addr}
	if known, ok := r.res.Conns.outside(at); ok {
		return known != mac
	}
	if r.h.fips[at] != nil {
		return true
	}
	if _, ok := r.spokenFor(addr); ok {
		return true
	}
	return r.localAt(addr) != nil
}

// localAt is the endpoint here that has the address on the frame's network; nil: none. What a router, the host itself or a floating IP
// answers for is no endpoint's, whatever an address pair says.
func (r *run) localAt(addr netip.Addr) *hostplan.Endpoint {
	at := netAddr{r.net.ID, addr}
	_, router := r.h.legAddrs[at]
	_, service := r.h.services[at]
	if c, ok := r.h.byAddr[at]; ok && !router && !service && r.h.fips[at] == nil {
		return r.h.endpoints[c.neighbor.Port]
	}
	return nil
}

// toNIC sends a frame to the switch that the network's NIC is on.
func (r *run) toNIC(n *hostplan.Network, frame []byte) {
	if !r.output(r.from, nil, frame) {
		return
	}
	r.outside(n, frame)
}

func (r *run) outside(n *hostplan.Network, frame []byte) {
	r.res.Outputs = append(r.res.Outputs, Output{Kind: Outside, Physnet: n.Physnet, VLAN: n.VLAN, External: n.ID, Frame: clone(frame)})
	r.note("NIC", "out on physical network %s, VLAN %d", n.Physnet, n.VLAN)
}

// centralSource gives what a router's central part sends from a floating IP that one's MAC.
func (r *run) centralSource() {
	if r.p.ip == nil || r.p.ip.v6 || !physical(r.net) {
		return
	}
	f := r.h.fips[netAddr{r.net.ID, r.p.ip.src}]
	if f == nil || !f.Central || r.h.State.Centrals[f.Router].Gateway.Port != r.in.Port {
		return
	}
	frame := clone(r.p.frame)
	copy(frame[6:], f.MAC[:])
	r.sent = frame
	r.note("floating ip", "%s leaves with its own MAC %s", f.Address, f.MAC)
}
