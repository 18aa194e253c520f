package frame

import (
	"bytes"
	"encoding/binary"
	"net/netip"

	"github.com/weft-cloud/weft/internal/model"
)

// ARP (RFC 826) and neighbour discovery (RFC 4861).
const (
	etherARP     = 0x0806
	arpLen       = 42
	leastFrame   = 60 // that Ethernet carries
	arpRequest   = 1
	icmp6NS      = 135
	icmp6NA      = 136
	optionSource = 1
	optionTarget = 2
	arpReply     = 2
	// solicited is the flag of an advertisement that was asked for, overrides that of one that replaces what its receivers have cached.
	solicited, overrides = 0x40, 0x20
)

// Asked is the address that an ARP request or a neighbour solicitation asks for; false: the frame is neither.
func Asked(b []byte) (netip.Addr, bool) {
	if len(b) >= 42 && binary.BigEndian.Uint16(b[12:]) == etherARP {
		return netip.AddrFrom4([4]byte(b[38:42])), binary.BigEndian.Uint16(b[20:]) == arpRequest
	}
	m, err := ParseICMP6(b)
	if err != nil || m.Type != icmp6NS || len(m.Body) < 20 {
		return netip.Addr{}, false
	}
	return netip.AddrFrom16([16]byte(m.Body[4:20])), true
}

// Announcement tells a network that the address is at the MAC: an ARP announcement (RFC 5227, section 3), or an unsolicited
// neighbour advertisement (RFC 4861, section 7.2.6).
func Announcement(addr netip.Addr, mac model.MAC) []byte {
	if addr.Is4() {
		return arp(mac, addr, addr, model.Broadcast)
	}
	body := append([]byte{overrides, 0, 0, 0}, addr.AsSlice()...)
	body = append(append(body, optionTarget, 1), mac[:]...)
	return ICMP6{SrcMAC: mac, DstMAC: model.MAC{0x33, 0x33, 0, 0, 0, 1}, Src: addr, Dst: netip.IPv6LinkLocalAllNodes(), HopLimit: 255,
		Type: icmp6NA, Body: body}.Bytes()
}

// Probe asks whoever is at the MAC whether the address is still theirs; the answer goes to the MAC from: an ARP probe (RFC 5227,
// section 2.1), or a neighbour solicitation to the address itself (RFC 4861, section 7.3).
func Probe(addr netip.Addr, mac, from model.MAC) []byte {
	if addr.Is4() {
		return arp(from, netip.IPv4Unspecified(), addr, mac)
	}
	src := netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 8: from[0] ^ 2, 9: from[1], 10: from[2], 11: 0xff, 12: 0xfe, 13: from[3], 14: from[4], 15: from[5]})
	body := append([]byte{0, 0, 0, 0}, addr.AsSlice()...)
	body = append(append(body, optionSource, 1), from[:]...)
	return ICMP6{SrcMAC: from, DstMAC: mac, Src: src, Dst: addr, HopLimit: 255, Type: icmp6NS, Body: body}.Bytes()
}

// arp is a request of sender at mac for target.
func arp(mac model.MAC, sender, target netip.Addr, to model.MAC) []byte {
	b := make([]byte, 0, arpLen)
	b = append(append(b, to[:]...), mac[:]...)
	b = binary.BigEndian.AppendUint16(b, etherARP)
	b = append(b, 0, 1, 8, 0, 6, 4, 0, arpRequest)
	b = append(append(b, mac[:]...), sender.AsSlice()...)
	b = append(b, 0, 0, 0, 0, 0, 0)
	return append(b, target.AsSlice()...)
}

// Resolution answers an ARP request or a neighbour solicitation of a machine that asks, for its own use, who has the address: it is at mac.
// nil: the frame does not ask for that address, or is malformed, or asks in order to have the address itself (RFC 4862, section 5.4.3).
func Resolution(b []byte, addr netip.Addr, mac model.MAC) []byte {
	if asked, ok := Asked(b); !ok || asked != addr {
		return nil
	}
	from := b[6:12]
	if addr.Is4() {
		if string(b[14:20]) != "\x00\x01\x08\x00\x06\x04" || !bytes.Equal(b[22:28], from) {
			return nil
		}
		out := make([]byte, 0, leastFrame)
		out = append(append(out, from...), mac[:]...)
		out = append(append(out, b[12:20]...), 0, arpReply)
		out = append(append(out, mac[:]...), b[38:42]...)
		return append(out, b[22:32]...)[:leastFrame] // the rest is zero
	}
	m, err := ParseICMP6(b)
	if err != nil || m.Code != 0 || m.HopLimit != 255 || !m.Src.IsValid() || m.Src.IsUnspecified() || m.Src.IsMulticast() {
		return nil
	}
	body := append([]byte{solicited | overrides, 0, 0, 0}, addr.AsSlice()...)
	body = append(append(body, optionTarget, 1), mac[:]...)
	return ICMP6{SrcMAC: mac, DstMAC: model.MAC(from), Src: addr, Dst: m.Src, HopLimit: 255, Type: icmp6NA, Body: body}.Bytes()
}

// SolicitedNode is the MAC of the group at which an IPv6 address is asked for (RFC 4291, section 2.7.1; RFC 2464, section 7).
func SolicitedNode(a netip.Addr) model.MAC {
	b := a.As16()
	return model.MAC{0x33, 0x33, 0xff, b[13], b[14], b[15]}
}
