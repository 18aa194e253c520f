package forward

import (
	"slices"

	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/hostplan"
)

// whereTo is the stage that sends a frame of an instance on by its destination MAC: to all, to a router, to a neighbour.
func (r *run) whereTo() {
	r.keepFragment()
	r.centralSource()
	l, router := r.h.legs[netMAC{r.net.ID, r.p.dst}]
	n, ok := r.holderOfMAC(netMAC{r.net.ID, r.p.dst})
	switch {
	case r.p.dst.IsMulticast():
		r.flood()
	case router && r.p.etherType == etherARP, router && r.neighborDiscovery():
		r.note("router", "the router needs no telling who has which address")
	case router && r.p.ip == nil:
		r.drop(reason.EtherType, "router", "ethertype %#04x is not routed", r.p.etherType)
	case router:
		r.route(l)
	case r.h.serviceMACs[netMAC{r.net.ID, r.p.dst}] && (r.p.etherType == etherARP || r.neighborDiscovery()):
		r.note("bridge", "the host needs no telling who has which address")
	case r.h.serviceMACs[netMAC{r.net.ID, r.p.dst}]:
		r.drop(reason.ClosedPort, "bridge", "%s is the host's own, where it answers for DHCP, DNS and metadata only", r.p.dst)
	case r.h.fipMACs[netMAC{r.net.ID, r.p.dst}] && (r.p.etherType == etherARP || r.neighborDiscovery()):
		r.note("bridge", "floating IPs need no telling who has which address")
	case r.h.fipMACs[netMAC{r.net.ID, r.p.dst}]:
		r.toFloating(r.net.ID, 0)
	case physical(r.net) && (!ok || r.h.endpoints[n.Port] == nil):
		if !r.tooBig() {
			r.toNIC(r.net, r.frame())
		}
	case ok && n.Port == r.in.Port:
		r.drop(reason.UnknownMAC, "bridge", "%s is the sender's own", r.p.dst)
	case ok && r.tooBig():
	case ok:
		r.send(n, r.frame())
	case r.net.Learning:
		r.note("bridge", "%s is not known from the control plane", r.p.dst)
		r.flood()
	default:
		r.drop(reason.UnknownMAC, "bridge", "no port of network %s has MAC %s", r.net.ID, r.p.dst)
	}
}

// send takes a finished frame to the neighbour n, on this host or another.
func (r *run) send(n *hostplan.Neighbor, frame []byte) {
	if n.Host == r.h.State.Host {
		if e, ok := r.h.endpoints[n.Port]; ok {
			r.output(r.from, e, frame)
			return
		}
		r.drop(reason.NotProgrammed, "deliver", "port %s is not programmed", n.Port)
		return
	}
	net, peer := r.h.networks[n.Network], r.h.State.Peers[n.Host]
	if net != nil && physical(net) { // routed: what is bridged has gone there before
		r.toNIC(net, frame)
		return
	}
	if peer == nil || net == nil || net.Type != "vxlan" || !r.h.State.VTEP.IsValid() {
		r.drop(reason.NoTunnel, "tunnel", "no tunnel to host %s for network %s", n.Host, n.Network)
		return
	}
	if peer.MTU > 0 && r.p.size() > int(peer.MTU) {
		r.drop(reason.TooBig, "tunnel", "%d bytes, but the path to host %s carries %d", r.p.size(), n.Host, peer.MTU)
		return
	}
	if !r.output(r.from, nil, frame) {
		return
	}
	r.res.Outputs = append(r.res.Outputs, Output{Kind: Tunnel, VNI: net.VNI, Peer: peer.Host, VTEP: peer.VTEP, Frame: clone(frame)})
	r.note("tunnel", "to host %s (%s) with VNI %d", peer.Host, peer.VTEP, net.VNI)
}

// output is the last stage of a unicast frame from the endpoint s (nil: a tunnel) to the endpoint d of this host (nil: a
// peer): policy, then delivery to d. It reports whether the frame may go.
func (r *run) output(s, d *hostplan.Endpoint, frame []byte) bool {
	if d != nil && !d.AdminUp {
		r.drop(reason.EndpointDown, "deliver", "port %s is administratively down", d.Port)
		return false
	}
	if !r.judge(s, d) {
		return false
	}
	if d != nil {
		r.res.Outputs = append(r.res.Outputs, Output{Kind: Deliver, Port: d.Port, Frame: clone(frame)})
		r.note("deliver", "to port %s (%s)", d.Port, d.Device)
	}
	return true
}

// flood sends the frame to all other endpoints of its network here and, if it came from one, to the other hosts.
func (r *run) flood() {
	if r.from != nil {
		if !r.mayFlood(r.from) || r.tooBig() {
			return
		}
	}
	for _, e := range r.h.local[r.net.ID] {
		if e.Port == r.in.Port || !e.AdminUp {
			continue
		}
		r.copyTo(e)
	}
	if r.from != nil && physical(r.net) {
		r.outside(r.net, r.p.frame)
	}
	if r.from != nil && r.net.Type == "vxlan" && r.h.State.VTEP.IsValid() {
		to := r.net.Flood
		if r.announces {
			to = slices.Concat(to, r.net.Announce)
		}
		for _, host := range to {
			if peer, ok := r.h.State.Peers[host]; ok {
				r.res.Outputs = append(r.res.Outputs, Output{Kind: Tunnel, VNI: r.net.VNI, Peer: host, VTEP: peer.VTEP, Frame: clone(r.p.frame)})
			}
		}
	}
	r.note("flood", "network %s: copies to %d receivers", r.net.ID, len(r.res.Outputs))
}

// copyTo gives a copy to an endpoint, if that one's groups let it.
func (r *run) copyTo(e *hostplan.Endpoint) {
	if !e.AdminUp {
		return
	}
	if why := r.mayHear(e); why != reason.None {
		r.res.Refused = append(r.res.Refused, Refusal{e.Port, why})
		return
	}
	r.res.Outputs = append(r.res.Outputs, Output{Kind: Deliver, Port: e.Port, Frame: clone(r.p.frame)})
}

// tooBig drops a frame that is larger than the network it entered takes.
func (r *run) tooBig() bool {
	if r.p.size() <= int(r.net.MTU) {
		return false
	}
	r.drop(reason.TooBig, "bridge", "%d bytes, but the network's MTU is %d", r.p.size(), r.net.MTU)
	return true
}
