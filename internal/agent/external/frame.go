package external

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"github.com/weft-cloud/weft/internal/agent/frame"
	"github.com/weft-cloud/weft/internal/model"
)

// heard is what an ARP or ND frame says of its sender.
type heard struct {
	addr netip.Addr
	mac  model.MAC
}

var errNotSaid = errors.New("the frame says nothing of an address")

const (
	etherARP  = 0x0806
	etherLen  = 14
	arpLen    = 28
	arpAsk    = 1
	arpAnswer = 2
	icmp6NA   = 136
	icmp6NS   = 135
)

// parse reads an ARP frame for Ethernet and IPv4 (RFC 826), a neighbour advertisement or a solicitation (RFC 4861, section 4.3 and
// 4.4). Whatever else it is: errNotSaid.
func parse(b []byte) (heard, error) {
	if len(b) < etherLen {
		return heard{}, errNotSaid
	}
	if binary.BigEndian.Uint16(b[12:]) == etherARP {
		return parseARP(b[etherLen:])
	}
	m, err := frame.ParseICMP6(b)
	if err != nil || len(m.Body) < 20 {
		return heard{}, errNotSaid
	}
	h, option := heard{}, uint8(0)
	switch m.Type {
	case icmp6NA:
		h.addr, _ = netip.AddrFromSlice(m.Body[4:20])
		option = 2 // target link-layer address
	case icmp6NS:
		h.addr = m.Src
		option = 1 // source link-layer address
	default:
		return heard{}, errNotSaid
	}
	for o := m.Body[20:]; len(o) >= 8; {
		n := int(o[1]) * 8
		if n == 0 || n > len(o) {
			return heard{}, errNotSaid
		}
		if o[0] == option && n == 8 {
			h.mac = model.MAC(o[2:8])
		}
		o = o[n:]
	}
	return h.checked()
}

func parseARP(a []byte) (heard, error) {
	if len(a) < arpLen || binary.BigEndian.Uint64(a)>>16 != 0x000108000604 {
		return heard{}, errNotSaid
	}
	if op := binary.BigEndian.Uint16(a[6:]); op != arpAsk && op != arpAnswer {
		return heard{}, errNotSaid
	}
	return heard{addr: netip.AddrFrom4([4]byte(a[14:18])), mac: model.MAC(a[8:14])}.checked()
}

// checked refuses what no host can have.
func (h heard) checked() (heard, error) {
	if !h.addr.IsValid() || h.addr.IsUnspecified() || h.addr.IsMulticast() || h.addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}) ||
		h.mac.IsZero() || h.mac[0]&1 != 0 {
		return heard{}, errNotSaid
	}
	return h, nil
}

// arp is a frame with src and its MAC as sender. A request goes to everybody, an answer to everybody, too: it announces.
func arp(op uint16, src, target netip.Addr, mac model.MAC) []byte {
	b := make([]byte, etherLen+arpLen)
	copy(b, model.Broadcast[:])
	copy(b[6:], mac[:])
	binary.BigEndian.PutUint16(b[12:], etherARP)
	a := b[etherLen:]
	copy(a, []byte{0, 1, 8, 0, 6, 4})
	binary.BigEndian.PutUint16(a[6:], op)
	copy(a[8:], mac[:])
	copy(a[14:], src.AsSlice())
	if op == arpAnswer {
		copy(a[18:], mac[:])
	}
	copy(a[24:], target.AsSlice())
	return b
}

// question asks everybody who has target, with src and its MAC as sender: an ARP request, or a neighbour solicitation (RFC 4861, section
// 4.3) to the target's solicited-node address.
func question(src, target netip.Addr, mac model.MAC) []byte {
	if target.Is4() {
		return arp(arpAsk, src, target, mac)
	}
	t := target.As16()
	group := netip.AddrFrom16([16]byte{0xff, 2, 11: 1, 12: 0xff, 13: t[13], 14: t[14], 15: t[15]})
	body := make([]byte, 28)
	copy(body[4:], t[:])
	body[20], body[21] = 1, 1
	copy(body[22:], mac[:])
	return frame.ICMP6{SrcMAC: mac, DstMAC: model.MAC{0x33, 0x33, 0xff, t[13], t[14], t[15]}, Src: src, Dst: group, HopLimit: 255, Type: icmp6NS, Body: body}.Bytes()
}

// advertisement is an unsolicited neighbour advertisement to all nodes (RFC 4861, section 7.2.6).
func advertisement(addr netip.Addr, mac model.MAC, router bool) []byte {
	body := make([]byte, 28)
	body[0] = 0x20 // override
	if router {
		body[0] |= 0x80
	}
	copy(body[4:], addr.AsSlice())
	body[20], body[21] = 2, 1
	copy(body[22:], mac[:])
	return frame.ICMP6{SrcMAC: mac, DstMAC: model.MAC{0x33, 0x33, 0, 0, 0, 1}, Src: addr, Dst: netip.IPv6LinkLocalAllNodes(), HopLimit: 255, Type: icmp6NA, Body: body}.Bytes()
}
