package verify

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// runID marks the packets of one run: the payload of each begins with it.
type runID [12]byte

// payload is run, the task's number, and the number of the packet within the task. 56 bytes as ping(8) sends.
func (run runID) payload(task uint32, seq uint16) []byte {
	b := make([]byte, 56)
	copy(b, run[:])
	binary.BigEndian.PutUint32(b[12:], task)
	binary.BigEndian.PutUint16(b[16:], seq)
	return b
}

// find looks for a payload in data.
func (run runID) find(data []byte) (task uint32, seq uint16, ok bool) {
	i := bytes.Index(data, run[:])
	if i < 0 || len(data) < i+18 {
		return 0, 0, false
	}
	return binary.BigEndian.Uint32(data[i+12:]), binary.BigEndian.Uint16(data[i+16:]), true
}

// Hop is a packet as it was seen at one interface.
type Hop struct {
	Time      time.Time `json:"time"`
	Where     string    `json:"where"` // host or instance
	Interface string    `json:"interface"`
	Out       bool      `json:"out"`
	// Outer is the tunnel's header; nil: not in a tunnel.
	Outer  *Outer `json:"outer,omitempty"`
	SrcMAC string `json:"src_mac"`
	DstMAC string `json:"dst_mac"`
	Src    string `json:"src"`
	Dst    string `json:"dst"`
	TTL    int    `json:"ttl"`

	point Point
}

// Outer is a VXLAN header with what carries it.
type Outer struct {
	Src  string `json:"src"`
	Dst  string `json:"dst"`
	VNI  uint32 `json:"vni"`
	DF   bool   `json:"df"` // IPv4's don't-fragment bit; true for IPv6, which routers never fragment
	Port int    `json:"port"`
}

// sighting is a marked packet at a place.
type sighting struct {
	task  uint32
	seq   uint16
	reply bool
	hop   Hop
}

// vxlanPort is VXLAN's (RFC 7348).
const vxlanPort = 4789

// parse reads a frame that carries an echo request or reply, in a tunnel or not; ok is false for any other.
func parse(data []byte) (h Hop, reply, ok bool) {
	inner := data
	pkt := gopacket.NewPacket(data, layers.LayerTypeEthernet, gopacket.DecodeOptions{Lazy: true, NoCopy: true})
	if udp, isUDP := pkt.Layer(layers.LayerTypeUDP).(*layers.UDP); isUDP && udp.DstPort == vxlanPort && len(udp.Payload) > 8 {
		h.Outer = &Outer{VNI: binary.BigEndian.Uint32(udp.Payload[4:]) >> 8, Port: int(udp.DstPort)}
		h.Outer.Src, h.Outer.Dst, _, h.Outer.DF, ok = network(pkt)
		if !ok {
			return h, false, false
		}
		inner = udp.Payload[8:]
		pkt = gopacket.NewPacket(inner, layers.LayerTypeEthernet, gopacket.DecodeOptions{Lazy: true, NoCopy: true})
	}
	eth, isEth := pkt.Layer(layers.LayerTypeEthernet).(*layers.Ethernet)
	if !isEth {
		return h, false, false
	}
	h.SrcMAC, h.DstMAC = eth.SrcMAC.String(), eth.DstMAC.String()
	if h.Src, h.Dst, h.TTL, _, ok = network(pkt); !ok {
		return h, false, false
	}
	reply, ok = echo(pkt)
	return h, reply, ok
}

// echo finds the echo request or reply that the packet is. An ICMP error that quotes one is none.
func echo(pkt gopacket.Packet) (reply, ok bool) {
	if l, is := pkt.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4); is {
		return l.TypeCode.Type() == layers.ICMPv4TypeEchoReply, l.TypeCode.Type() == layers.ICMPv4TypeEchoReply || l.TypeCode.Type() == layers.ICMPv4TypeEchoRequest
	}
	if l, is := pkt.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6); is {
		return l.TypeCode.Type() == layers.ICMPv6TypeEchoReply, l.TypeCode.Type() == layers.ICMPv6TypeEchoReply || l.TypeCode.Type() == layers.ICMPv6TypeEchoRequest
	}
	return false, false
}

func network(pkt gopacket.Packet) (src, dst string, ttl int, df, ok bool) {
	switch l := pkt.NetworkLayer().(type) {
	case *layers.IPv4:
		return addrText(l.SrcIP), addrText(l.DstIP), int(l.TTL), l.Flags&layers.IPv4DontFragment != 0, true
	case *layers.IPv6:
		return addrText(l.SrcIP), addrText(l.DstIP), int(l.HopLimit), true, true
	}
	return "", "", 0, false, false
}

func addrText(ip []byte) string {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap().String()
}

// sightings finds the run's packets among the frames, in the order of time.
func sightings(run runID, points []Point, frames []captured) []sighting {
	var out []sighting
	for _, f := range frames {
		task, seq, ok := run.find(f.Data)
		if !ok {
			continue
		}
		h, reply, ok := parse(f.Data)
		if !ok {
			continue
		}
		p := points[f.point]
		h.Time, h.Where, h.Interface, h.Out, h.point = f.Time, p.Where, p.Interface, f.Outgoing, p
		out = append(out, sighting{task, seq, reply, h})
	}
	return out
}
