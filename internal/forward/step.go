package forward

import (
	"fmt"
	"net/netip"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// run is one frame's way through one host.
type run struct {
	h    *Host
	in   Input
	p    packet
	bad  reason.Reason      // what parse said of the headers behind Ethernet's
	from *hostplan.Endpoint // nil if from a tunnel
	peer *hostplan.Peer     // where it is from a tunnel
	net  *hostplan.Network  // where the frame entered
	nat  nat
	sent []byte // the frame as it goes on at layer 2, if not as it came
	// announces: the frame tells who has an address, and goes to all who are interested.
	announces bool
	res       Result
}

// Step says what the host does with one frame. frame is not written, nor kept.
func Step(h *Host, in Input, frame []byte) Result {
	r := &run{h: h, in: in}
	r.res.Conns, r.res.Learned = in.Conns, in.Learned
	r.p, r.bad = parse(frame)
	r.p.segment = in.Segment
	switch {
	case in.Physnet != "":
		r.fromNIC()
	case in.Tunnel():
		r.fromTunnel()
	default:
		r.fromPort()
	}
	return r.res
}

func (r *run) drop(why reason.Reason, stage, format string, args ...any) {
	r.res.Reason = why
	r.note(stage, format, args...)
}

func (r *run) note(stage, format string, args ...any) {
	r.res.Trail = append(r.res.Trail, Note{Stage: stage, Text: fmt.Sprintf(format, args...)})
}

func (r *run) reply(frame []byte) {
	r.res.Outputs = append(r.res.Outputs, Output{Kind: Reply, Port: r.in.Port, Physnet: r.in.Physnet, VLAN: r.in.VLAN, Frame: frame})
}

func (r *run) punt(kind dataplane.PuntKind, stage, why string) {
	r.res.Outputs = append(r.res.Outputs, Output{Kind: Punt, Port: r.in.Port, Punt: kind, External: r.nat.ext, NextHop: r.nat.hop, Frame: clone(r.p.frame)})
	r.note(stage, "%s", why)
}

func clone(b []byte) []byte { return append([]byte(nil), b...) }

// size is the length of what the Ethernet header carries, as the IP header tells it: bytes behind it are padding. Of a frame
// that is cut later it is that of the largest segment.
func (p *packet) size() int {
	if p.ip != nil {
		if p.segment > 0 {
			return p.ip.l4 + p.ip.upperLen + p.segment
		}
		return p.ip.length
	}
	return len(p.frame) - ethLen
}

// frameOK is stage 2: what every frame must be, wherever it comes from.
func (r *run) frameOK() bool {
	switch {
	case len(r.p.frame) < ethLen:
		r.drop(reason.Malformed, "frame", "%d bytes are no Ethernet frame", len(r.p.frame))
	case r.p.etherType == etherVLAN || r.p.etherType == etherQinQ:
		r.drop(reason.VLANTagged, "frame", "frames of instances carry no VLAN tag")
	case r.p.src.IsZero() || r.p.src.IsMulticast():
		r.drop(reason.Malformed, "frame", "source MAC %s is not one sender's", r.p.src)
	default:
		return true
	}
	return false
}

// headersOK drops what parse found to be broken.
func (r *run) headersOK() bool {
	if r.bad != reason.None {
		r.drop(r.bad, "headers", "a header is cut short or contradicts itself")
		return false
	}
	return true
}

// fromPort takes a frame that an instance sent.
func (r *run) fromPort() {
	e, ok := r.h.endpoints[r.in.Port]
	if !ok {
		r.drop(reason.UnknownEndpoint, "endpoint", "port %s is not on host %s", r.in.Port, r.h.State.Host)
		return
	}
	r.from, r.net = e, r.h.networks[e.Network]
	if r.net == nil {
		r.drop(reason.NotProgrammed, "endpoint", "network %s of the port is not in the host's state", e.Network)
		return
	}
	if !e.AdminUp {
		r.drop(reason.EndpointDown, "endpoint", "port %s is administratively down", e.Port)
		return
	}
	if !r.frameOK() {
		return
	}
	switch r.p.etherType {
	case etherARP:
		r.arp()
	case etherIPv4, etherIPv6:
		if r.headersOK() {
			r.ip()
		}
	default:
		if e.PortSecurity {
			r.drop(reason.EtherType, "port security", "ethertype %#04x is neither ARP, IPv4 nor IPv6", r.p.etherType)
			return
		}
		r.hearFrame()
		r.whereTo()
	}
}

// ip takes an IP packet of an instance.
func (r *run) ip() {
	h := r.p.ip
	if r.from.PortSecurity {
		if why := guardIP(r.from, &r.p); why != reason.None {
			r.drop(why, "port security", "%s", guardText(why, r.from, &r.p))
			return
		}
	} else {
		r.hearFrame()
	}
	switch {
	case r.wantsDHCP4():
		r.punt(dataplane.PuntDHCP4, "dhcp", "the host answers DHCP for its own ports")
	case !h.frag && isDHCP(h, dhcp6Client, dhcp6Server) && r.from.DHCP6 != nil:
		r.punt(dataplane.PuntDHCP6, "dhcp", "the host answers DHCPv6 for its own ports")
	case !h.frag && h.v6 && h.icmp() && h.icmpType == icmp6RS && len(r.net.Advertisements) > 0:
		r.punt(dataplane.PuntRS, "router", "the host answers router solicitations")
	case r.service() != 0:
		r.punt(r.service(), "service", "the host answers DNS and metadata for its own ports")
	case h.v6 && h.icmp() && (h.icmpType == icmp6NS || h.icmpType == icmp6NA):
		r.nd()
	default:
		r.whereTo()
	}
}

// service is the kind of punt for a packet to one of the host's own services, 0 for any other.
func (r *run) service() dataplane.PuntKind {
	h := r.p.ip
	v, ok := r.h.services[netAddr{r.net.ID, h.dst}]
	switch {
	case !ok || h.frag:
	case v.DNS && h.dport == 53 && (h.proto == protoTCP || h.proto == protoUDP):
		return dataplane.PuntDNS
	case v.Metadata && h.dport == 80 && h.proto == protoTCP:
		return dataplane.PuntMetadata
	}
	return 0
}

func (r *run) wantsDHCP4() bool {
	h, d := r.p.ip, r.from.DHCP4
	return d != nil && !h.frag && isDHCP(h, dhcp4Client, dhcp4Server) &&
		(h.dst == netip.AddrFrom4([4]byte{255, 255, 255, 255}) || h.dst == d.Server)
}

// fromTunnel takes the inside of a tunnel packet. It never sends anything back into a tunnel.
func (r *run) fromTunnel() {
	peer, ok := r.h.vteps[r.in.Outer]
	if !ok {
		r.drop(reason.UnknownVTEP, "tunnel", "%s is no host of this cloud", r.in.Outer)
		return
	}
	if r.net = r.h.vnis[r.in.VNI]; r.net == nil {
		r.drop(reason.UnknownVNI, "tunnel", "no network of this host has VNI %d", r.in.VNI)
		return
	}
	r.note("tunnel", "from host %s on VNI %d, network %s", peer.Host, r.in.VNI, r.net.ID)
	if !r.frameOK() || !r.headersOK() {
		return
	}
	r.keepFragment()
	r.peer = peer
	r.listen()
	if r.p.dst.IsMulticast() {
		r.flood()
		return
	}
	n, ok := r.holderOfMAC(netMAC{r.net.ID, r.p.dst})
	var e *hostplan.Endpoint
	if ok {
		e = r.h.endpoints[n.Port]
	}
	switch {
	case e != nil:
		r.arrive(peer, e)
	case r.net.Learning:
		r.flood()
	default:
		r.drop(reason.NotForUs, "tunnel", "%s is no port of this host", r.p.dst)
	}
}

// arrive delivers a unicast frame from a peer. A frame that the peer routed has its DVR MAC as source, in place of which
// the instance must see its router's.
func (r *run) arrive(peer *hostplan.Peer, e *hostplan.Endpoint) {
	if r.tooBig() {
		return
	}
	frame, ok := r.withRouterMAC(!peer.DVRMAC.IsZero() && r.p.src == peer.DVRMAC)
	if !ok {
		r.drop(reason.NotForUs, "tunnel", "routed by host %s, but the network has no router", peer.Host)
		return
	}
	r.output(nil, e, frame)
}

// withRouterMAC is the frame as the instance must see it: of what was routed on another host, the source is that one's DVR MAC. False: the
// network has no router whose MAC could take its place.
func (r *run) withRouterMAC(routed bool) ([]byte, bool) {
	if !routed || r.p.ip == nil {
		return r.p.frame, true
	}
	mac := r.gatewayMAC()
	if mac.IsZero() {
		return nil, false
	}
	frame := clone(r.p.frame)
	copy(frame[6:], mac[:])
	r.note("deliver", "routed by another host: its DVR MAC %s becomes the router's %s", r.p.src, mac)
	return frame, true
}

// gatewayMAC is the router's MAC of the subnet that holds the destination (longest prefix), else of the network's first
// subnet of that family that has one.
func (r *run) gatewayMAC() model.MAC {
	var best, first model.MAC
	bits := -1
	for _, s := range r.net.Subnets {
		if s.RouterMAC.IsZero() || s.Prefix.Addr().Is6() != r.p.ip.v6 {
			continue
		}
		if first.IsZero() {
			first = s.RouterMAC
		}
		if s.Prefix.Contains(r.p.ip.dst) && s.Prefix.Bits() > bits {
			best, bits = s.RouterMAC, s.Prefix.Bits()
		}
	}
	if bits >= 0 {
		return best
	}
	return first
}
