package forward

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// Ask is what a person wants to know the way of: a packet from an instance's port to an address.
type Ask struct {
	// Src is one of the port's addresses; invalid: its first one of Dst's family.
	Src, Dst netip.Addr
	// Proto is the IP protocol: ICMP (or ICMPv6) makes an echo request, TCP a SYN, UDP an empty datagram, anything else 8
	// bytes of payload.
	Proto            uint8
	SrcPort, DstPort uint16
	// Size of the IP packet; smaller than its headers: as small as can be.
	Size int
	// DF: the packet may not be fragmented (IPv4).
	DF bool
}

// ErrNoSource: the port has no address to send from.
var ErrNoSource = errors.New("the port has no address of that family")

// ErrNoGateway: the destination is on none of the port's subnets, and none of them has a gateway.
var ErrNoGateway = errors.New("no subnet of the port holds the destination, and none has a gateway")

// ErrUnresolved: nobody would answer the instance's ARP or neighbour solicitation, so that it would send no packet at all.
var ErrUnresolved = errors.New("nobody answers for the next hop's address")

// Frame makes the frame that the instance of port would send, with the MAC that the host itself would tell it for the next
// hop: the destination on its own subnet, else the gateway of the subnet that it sends from.
func (w *World) Frame(port model.PortID, a Ask) ([]byte, error) {
	for _, h := range w.Hosts {
		e, ok := h.State.Endpoints[port]
		if !ok {
			continue
		}
		src, hop, err := h.hop(e, a)
		if err != nil {
			return nil, fmt.Errorf("trace from port %s to %s: %w", port, a.Dst, err)
		}
		mac, ok := h.resolve(e.Network, hop)
		if !ok {
			return nil, fmt.Errorf("trace from port %s to %s, next hop %s: %w", port, a.Dst, hop, ErrUnresolved)
		}
		a.Src = src
		return a.frame(mac, e.MAC), nil
	}
	return nil, fmt.Errorf("trace from port %s: %w", port, ErrNoPort)
}

// hop is the source address and the next hop of what e sends.
func (h *Host) hop(e *hostplan.Endpoint, a Ask) (src, hop netip.Addr, err error) {
	var from netip.Prefix
	for _, p := range e.Addresses {
		if p.Addr().Is4() != a.Dst.Is4() || a.Src.IsValid() && a.Src != p.Addr() {
			continue
		}
		if !from.IsValid() || p.Contains(a.Dst) && !from.Contains(a.Dst) {
			from = p
		}
	}
	switch {
	case !from.IsValid():
		return src, hop, ErrNoSource
	case from.Contains(a.Dst):
		return from.Addr(), a.Dst, nil
	}
	for _, s := range h.State.Networks[e.Network].Subnets {
		if s.Prefix.Contains(from.Addr()) && s.Gateway.IsValid() {
			return from.Addr(), s.Gateway, nil
		}
	}
	return src, hop, ErrNoGateway
}

// resolve is the MAC that the host answers for an address on a network.
func (h *Host) resolve(network model.NetworkID, addr netip.Addr) (model.MAC, bool) {
	if l, ok := h.legAddrs[netAddr{network, addr}]; ok {
		return l.iface.MAC, true
	}
	c, ok := h.byAddr[netAddr{network, addr}]
	return c.mac, ok
}

// frame builds the packet with its checksums.
func (a Ask) frame(dst, src model.MAC) []byte {
	head, icmp, echo, etherType := ipv4Len, uint8(protoICMP), uint8(icmp4Echo), uint16(etherIPv4)
	if a.Dst.Is6() {
		head, icmp, echo, etherType = ipv6Len, protoICMPv6, icmp6Echo, etherIPv6
	}
	if a.Proto == protoICMP || a.Proto == protoICMPv6 {
		a.Proto = icmp
	}
	upper := a.upper(max(a.Size-head, upperLen(&ipHeader{v6: a.Dst.Is6(), proto: a.Proto}), 8), echo)
	b := ethernet(dst, src, etherType, head+len(upper))
	i := b[ethLen:]
	copy(i[head:], upper)
	if a.Dst.Is6() {
		i[0] = 6 << 4
		put16(i[4:], uint16(len(upper)))
		i[6], i[7] = a.Proto, answerTTL
		copy(i[8:], a.Src.AsSlice())
		copy(i[24:], a.Dst.AsSlice())
		return b
	}
	i[0] = 0x45
	put16(i[2:], uint16(head+len(upper)))
	if a.DF {
		put16(i[6:], 0x4000)
	}
	i[8], i[9] = answerTTL, a.Proto
	copy(i[12:], a.Src.AsSlice())
	copy(i[16:], a.Dst.AsSlice())
	put16(i[10:], fold(sum(0, i[:ipv4Len])))
	return b
}

// upper is the upper layer of size bytes.
func (a Ask) upper(size int, echo uint8) []byte {
	b := make([]byte, size)
	at := -1 // of the checksum
	switch a.Proto {
	case protoICMP:
		b[0] = echo
		put16(b[2:], icmp4Checksum(b))
	case protoICMPv6:
		b[0], at = echo, 2
	case protoTCP, protoUDP, protoSCTP, protoDCCP, protoUDPLite:
		put16(b, a.SrcPort)
		put16(b[2:], a.DstPort)
	}
	switch a.Proto {
	case protoTCP:
		b[12], b[13], at = 5<<4, tcpSYN, 16
	case protoUDP:
		put16(b[4:], uint16(size))
		at = 6
	}
	if at < 0 {
		return b
	}
	c := fold(sum(pseudo(a.Src, a.Dst, a.Proto, size), b))
	if c == 0 && a.Proto == protoUDP {
		c = 0xffff
	}
	put16(b[at:], c)
	return b
}
