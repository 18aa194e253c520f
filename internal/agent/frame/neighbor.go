package frame

import (
	"encoding/binary"
	"net/netip"

	"github.com/weft-cloud/weft/internal/model"
)

// ARP (RFC 826) and neighbour discovery (RFC 4861).
const (
	etherARP     = 0x0806
	arpRequest   = 1
	icmp6NS      = 135
	icmp6NA      = 136
	optionSource = 1
	optionTarget = 2
	// overrides is the flag of an advertisement that replaces what its receivers have cached.
	overrides = 0x20
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
	b := make([]byte, 0, 42)
	b = append(append(b, to[:]...), mac[:]...)
	b = binary.BigEndian.AppendUint16(b, etherARP)
	b = append(b, 0, 1, 8, 0, 6, 4, 0, arpRequest)
	b = append(append(b, mac[:]...), sender.AsSlice()...)
	b = append(b, 0, 0, 0, 0, 0, 0)
	return append(b, target.AsSlice()...)
}
