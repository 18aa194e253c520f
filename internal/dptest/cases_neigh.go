package dptest

import (
	"net/netip"

	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/model"
)

// ask is an ARP request of the port for target.
func ask(port string, target netip.Addr) ARP {
	return ARP{Op: 1, SenderMAC: PortMAC(port), Sender: addr(port, false), Target: target}
}

// isAt is the reply to it.
func (a ARP) isAt(m model.MAC) []byte {
	return ARP{Op: 2, SenderMAC: m, Sender: a.Target, TargetMAC: a.SenderMAC, Target: a.Sender}.Frame(a.SenderMAC)
}

func learning(c *Cloud) {
	c.Port("red2").Pairs = []Pair{{Prefix: netip.MustParsePrefix("172.16.42.100/32")}}
}

// everyone is the same frame to red2 and red3, the other ports of red.
func everyone(frame []byte) map[string][]byte {
	return map[string][]byte{"red2": frame, "red3": frame}
}

func arpCases() []Case {
	bc := model.Broadcast
	vrrp := model.MAC{0, 0, 0x5e, 0, 1, 7}
	vip := netip.MustParseAddr("172.16.42.100")
	answered := func(name string, target netip.Addr, m model.MAC) Case {
		a := ask("red1", target)
		return single(name, Send{From: "red1", Frame: a.Frame(bc), Want: Want{Reply: a.isAt(m)}})
	}
	dropped := func(name string, frame []byte, why reason.Reason) Case {
		return single(name, Send{From: "red1", Frame: frame, Want: Want{Reason: why}})
	}
	probe := func(target netip.Addr) ARP { a := ask("red1", target); a.Sender = netip.IPv4Unspecified(); return a }
	announce := ask("red1", addr("red1", false))
	reply := ARP{Op: 2, SenderMAC: PortMAC("red1"), Sender: addr("red1", false), TargetMAC: PortMAC("red2"), Target: addr("red2", false)}
	spoofed := ask("red1", addr("red2", false))
	spoofed.Sender = addr("red3", false)
	foreign := ask("red1", addr("red2", false))
	foreign.SenderMAC = PortMAC("red3")
	behind := foreign.Frame(bc)
	m := PortMAC("red1")
	copy(behind[6:12], m[:])
	short := ask("red1", addr("red2", false)).Frame(bc)
	padded := append(ask("red1", addr("red2", false)).Frame(bc), make([]byte, 18)...)
	unicast := ask("red1", addr("red2", false))
	mangled := func(at int, v byte) []byte { b := ask("red1", addr("red2", false)).Frame(bc); b[at] = v; return b }
	return []Case{
		answered("ARP for a neighbour on the same host", addr("red3", false), PortMAC("red3")),
		answered("ARP for a neighbour on another host", addr("red2", false), PortMAC("red2")),
		answered("ARP for the router", DemoAddr(0, 1, false), LegMAC("router", "red")),
		unanswered("ARP for an address of another network", ask("red1", addr("blue1", false)).Frame(bc)),
		unanswered("ARP for nobody", ask("red1", DemoAddr(0, 200, false)).Frame(bc)),
		unanswered("unicast ARP for nobody", ask("red1", DemoAddr(0, 200, false)).Frame(PortMAC("red2"))),
		dropped("ARP probe for nobody's address", probe(DemoAddr(0, 200, false)).Frame(bc), reason.NoNeighbor),
		dropped("ARP probe for the own address", probe(addr("red1", false)).Frame(bc), reason.SelfDAD),
		dropped("ARP request for the own address from another of one's addresses", ask("red1", addr("red1", false)).probeOf(), reason.SelfDAD),
		single("ARP probe for another's address", Send{From: "red1", Frame: probe(addr("red2", false)).Frame(bc),
			Want: Want{Reply: probe(addr("red2", false)).isAt(PortMAC("red2"))}}),
		single("ARP announcement reaches the network", Send{From: "red1", Frame: announce.Frame(bc), Want: Want{To: everyone(announce.Frame(bc))}}),
		single("ARP announcement as reply reaches the network", func() Send {
			a := announce
			a.Op, a.TargetMAC = 2, bc
			return Send{From: "red1", Frame: a.Frame(bc), Want: Want{To: everyone(a.Frame(bc))}}
		}()),
		single("ARP reply to a neighbour", Send{From: "red1", Frame: reply.Frame(PortMAC("red2")),
			Want: Want{To: map[string][]byte{"red2": reply.Frame(PortMAC("red2"))}}}),
		single("ARP reply to the router", Send{From: "red1", Frame: reply.Frame(LegMAC("router", "red"))}),
		single("unicast ARP request is answered, too", Send{From: "red1", Frame: unicast.Frame(PortMAC("red2")), Want: Want{Reply: unicast.isAt(PortMAC("red2"))}}),
		single("padded ARP request", Send{From: "red1", Frame: padded, Want: Want{Reply: unicast.isAt(PortMAC("red2"))}}),
		dropped("ARP with another's sender address", spoofed.Frame(bc), reason.SpoofedARP),
		dropped("ARP with another's MAC in both headers", foreign.Frame(bc), reason.SpoofedMAC),
		dropped("ARP with another's sender MAC inside", behind, reason.SpoofedARP),
		dropped("ARP reply without a sender address", ARP{Op: 2, SenderMAC: m, Sender: netip.IPv4Unspecified(), TargetMAC: PortMAC("red2"), Target: addr("red2", false)}.Frame(PortMAC("red2")), reason.SpoofedARP),
		dropped("ARP that claims to be the router", ARP{Op: 2, SenderMAC: m, Sender: DemoAddr(0, 1, false), TargetMAC: PortMAC("red2"), Target: addr("red2", false)}.Frame(PortMAC("red2")), reason.SpoofedARP),
		dropped("ARP cut short", short[:41], reason.Malformed),
		dropped("ARP for another link type", mangled(15, 6), reason.Malformed),
		dropped("ARP for another protocol", mangled(17, 6), reason.Malformed),
		dropped("ARP with a wrong address length", mangled(18, 8), reason.Malformed),
		dropped("ARP with operation 3 (RARP)", mangled(21, 3), reason.Malformed),
		{"ARP for nobody where addresses are learned", learning, []Send{
			{From: "red1", Frame: ask("red1", DemoAddr(0, 200, false)).Frame(bc), Want: Want{To: everyone(ask("red1", DemoAddr(0, 200, false)).Frame(bc)), Asked: true}},
			{From: "red1", Frame: probe(DemoAddr(0, 200, false)).Frame(bc), Want: Want{To: everyone(probe(DemoAddr(0, 200, false)).Frame(bc))}}}},
		{"ARP for an allowed pair's address", learning, []Send{{From: "red1", Frame: ask("red1", vip).Frame(bc), Want: Want{Reply: ask("red1", vip).isAt(PortMAC("red2"))}}}},
		{"ARP for an allowed pair's address with a MAC of its own", func(c *Cloud) {
			c.Port("red2").Pairs = []Pair{{MAC: vrrp, Prefix: netip.PrefixFrom(vip, 32)}}
		}, []Send{{From: "red1", Frame: ask("red1", vip).Frame(bc), Want: Want{Reply: ask("red1", vip).isAt(vrrp)}}}},
		{"ARP probe for the own address, which others have as a pair", func(c *Cloud) {
			for _, p := range []string{"red1", "red2", "red3"} {
				for _, q := range []string{"red1", "red2", "red3"} {
					if p != q {
						c.Port(p).Pairs = append(c.Port(p).Pairs, Pair{Prefix: netip.PrefixFrom(addr(q, false), 32)})
					}
				}
			}
		}, []Send{
			{From: "red1", Frame: probe(addr("red1", false)).Frame(bc), Want: Want{Reason: reason.SelfDAD}},
			{From: "red3", Frame: ARP{Op: 1, SenderMAC: PortMAC("red3"), Sender: netip.IPv4Unspecified(), Target: addr("red3", false)}.Frame(bc), Want: Want{Reason: reason.SelfDAD}},
			{From: "red2", Frame: ARP{Op: 1, SenderMAC: PortMAC("red2"), Sender: netip.IPv4Unspecified(), Target: addr("red2", false)}.Frame(bc), Want: Want{Reason: reason.SelfDAD}},
		}},
		{"announcement of an allowed pair", func(c *Cloud) {
			c.Port("red1").Pairs = []Pair{{MAC: vrrp, Prefix: netip.PrefixFrom(vip, 32)}}
		}, []Send{func() Send {
			a := ARP{Op: 1, SenderMAC: vrrp, Sender: vip, Target: vip}
			return Send{From: "red1", Frame: a.Frame(bc), Want: Want{To: everyone(a.Frame(bc))}}
		}()}},
		{"without port security ARP may tell any sender but the router's", func(c *Cloud) { c.Port("red1").Open = true }, []Send{
			{From: "red1", Frame: spoofed.Frame(bc), Want: Want{Reply: spoofed.isAt(PortMAC("red2"))}},
			{From: "red1", Frame: ARP{Op: 2, SenderMAC: m, Sender: DemoAddr(0, 1, false), TargetMAC: PortMAC("red2"), Target: addr("red2", false)}.Frame(PortMAC("red2")), Want: Want{Reason: reason.SpoofedARP}},
		}},
	}
}

// unanswered is a question of red1 whose answer may just be coming.
func unanswered(name string, frame []byte) Case {
	return single(name, Send{From: "red1", Frame: frame, Want: Want{Reason: reason.NoNeighbor, Asked: true}})
}

// probeOf is a request for the sender's own address from nobody, to its own MAC.
func (a ARP) probeOf() []byte {
	a.Sender = netip.IPv4Unspecified()
	return a.Frame(a.SenderMAC)
}

// told is the advertisement that answers a solicitation of the port.
func told(port string, src, target netip.Addr, at model.MAC, router bool) []byte {
	flags := uint8(NAOverride | NASolicited)
	dst, dstMAC := src, PortMAC(port)
	if src.IsUnspecified() {
		flags, dst, dstMAC = NAOverride, netip.MustParseAddr("ff02::1"), model.MAC{0x33, 0x33, 0, 0, 0, 1}
	}
	if router {
		flags |= NARouter
	}
	return Advertise(target, at, dstMAC, dst, flags)
}

func ndCases() []Case {
	me, m := addr("red1", true), PortMAC("red1")
	none := netip.IPv6Unspecified()
	answered := func(name string, src, target netip.Addr, at model.MAC, router bool) Case {
		return single(name, Send{From: "red1", Frame: Solicit(m, src, target), Want: Want{Reply: told("red1", src, target, at, router)}})
	}
	dropped := func(name string, frame []byte, why reason.Reason) Case {
		return single(name, Send{From: "red1", Frame: frame, Want: Want{Reason: why}})
	}
	leg := LegMAC("router", "red")
	nobody := DemoAddr(0, 200, true)
	mangled := func(at int, v byte) []byte { b := Solicit(m, me, addr("red2", true)); b[at] = v; return b }
	otherMAC := Solicit(PortMAC("red3"), me, addr("red2", true))
	copy(otherMAC[6:], m[:])
	unsolicited := Advertise(me, m, model.MAC{0x33, 0x33, 0, 0, 0, 1}, netip.MustParseAddr("ff02::1"), NAOverride)
	toNeighbor := Advertise(me, m, PortMAC("red2"), addr("red2", true), NASolicited|NAOverride)
	claims := func(target netip.Addr) []byte {
		b := IP{Src: me, Dst: addr("red2", true), TTL: 255}.ICMP(136, 0, NASolicited<<24, append(append(target.AsSlice(), 2, 1), m[:]...))
		return b.Frame(PortMAC("red2"), m)
	}
	short := IP{Src: me, Dst: addr("red2", true), TTL: 255}.ICMP(135, 0, 0, bytesOf(15))
	low := IP{Src: me, Dst: addr("red2", true), TTL: 254}.ICMP(135, 0, 0, addr("red2", true).AsSlice())
	multicastTarget := IP{Src: me, Dst: addr("red2", true), TTL: 255}.ICMP(135, 0, 0, netip.MustParseAddr("ff02::1").AsSlice())
	frag := IP{Src: me, Dst: addr("red2", true), TTL: 255}.ICMP(135, 0, 0, append(addr("red2", true).AsSlice(), 1, 1, 0, 0, 0, 0, 0, 0)).Fragment6(9, 0, 24)
	whole := IP{Src: me, Dst: addr("red2", true), TTL: 255}.ICMP(135, 0, 0, addr("red2", true).AsSlice()).Fragment6(9, 0, 24)
	return []Case{
		answered("NS for a neighbour on the same host", me, addr("red3", true), PortMAC("red3"), false),
		answered("NS for a neighbour on another host", me, addr("red2", true), PortMAC("red2"), false),
		answered("NS for a neighbour's link-local address", LinkLocal(m), LinkLocal(PortMAC("red2")), PortMAC("red2"), false),
		answered("NS for the router", me, DemoAddr(0, 1, true), leg, true),
		answered("NS for the router's link-local address", me, LinkLocal(leg), leg, true),
		answered("duplicate address detection for another's address", none, addr("red2", true), PortMAC("red2"), false),
		answered("duplicate address detection for the router's address", none, DemoAddr(0, 1, true), leg, true),
		dropped("duplicate address detection for the own address", Solicit(m, none, me), reason.SelfDAD),
		dropped("duplicate address detection for the own link-local address", Solicit(m, none, LinkLocal(m)), reason.SelfDAD),
		dropped("NS for the own address", Solicit(m, LinkLocal(m), me), reason.SelfDAD),
		unanswered("NS for nobody", Solicit(m, me, nobody)),
		unanswered("NS for nobody from the link-local address", Solicit(m, LinkLocal(m), nobody)),
		unanswered("NS for a link-local address of nobody", Solicit(m, LinkLocal(m), LinkLocal(PortMAC("blue1")))),
		dropped("duplicate address detection for nobody's address", Solicit(m, none, nobody), reason.NoNeighbor),
		dropped("NS with the MAC of another in its option", otherMAC, reason.SpoofedARP),
		dropped("NS with hop limit 254", low.Frame(PortMAC("red2"), m), reason.Malformed),
		dropped("NS with a code", mangled(14+40+1, 1), reason.Malformed),
		dropped("NS cut short", short.Frame(PortMAC("red2"), m), reason.Malformed),
		dropped("NS for a multicast address", multicastTarget.Frame(PortMAC("red2"), m), reason.Malformed),
		dropped("NS in a fragment", frag.Frame(PortMAC("red2"), m), reason.Malformed),
		dropped("NS with a fragment header", whole.Frame(PortMAC("red2"), m), reason.Malformed),
		dropped("NS for an IPv4-mapped address", Solicit(m, me, mustAddr("::ffff:172.16.42.12")), reason.Malformed),
		dropped("NA for no address", claims(none), reason.SpoofedARP),
		dropped("NA for another's address", claims(addr("red3", true)), reason.SpoofedARP),
		dropped("NA for the router's address", claims(DemoAddr(0, 1, true)), reason.SpoofedARP),
		single("unsolicited NA reaches the network", Send{From: "red1", Frame: unsolicited, Want: Want{To: everyone(unsolicited)}}),
		single("NA to a neighbour", Send{From: "red1", Frame: toNeighbor, Want: Want{To: map[string][]byte{"red2": toNeighbor}}}),
		single("NA to the router", Send{From: "red1", Frame: Advertise(me, m, leg, DemoAddr(0, 1, true), NASolicited)}),
		{"NS for nobody where addresses are learned", learning, []Send{
			{From: "red1", Frame: Solicit(m, me, nobody), Want: Want{To: everyone(Solicit(m, me, nobody)), Asked: true}},
			{From: "red1", Frame: Solicit(m, none, nobody), Want: Want{To: everyone(Solicit(m, none, nobody))}}}},
		{"without port security an NA for the router is refused all the same", func(c *Cloud) { c.Port("red1").Open = true }, []Send{
			{From: "red1", Frame: claims(addr("red3", true)), Want: Want{To: map[string][]byte{"red2": claims(addr("red3", true))}}},
			{From: "red1", Frame: claims(DemoAddr(0, 1, true)), Want: Want{Reason: reason.SpoofedARP}},
			{From: "red1", Frame: claims(LinkLocal(leg)), Want: Want{Reason: reason.SpoofedARP}},
		}},
	}
}
