package dptest

import (
	"fmt"
	"net/netip"

	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/model"
)

// vip is an address that wanders between red1 (compute1) and red2 (compute2), under a MAC of its own or each port's.
type vip struct {
	name string
	addr netip.Addr
	mac  model.MAC // zero: each port's own
}

func vips() (out []vip) {
	for _, v6 := range []bool{false, true} {
		for _, own := range []bool{false, true} {
			v := vip{fmt.Sprintf("with the ports' own MACs, %s", family(v6)), DemoAddr(0, 100, v6), model.MAC{}}
			if own {
				v.name, v.mac = fmt.Sprintf("with a MAC of its own, %s", family(v6)), model.MAC{0, 0, 0x5e, 0, 1, 7}
				if v6 {
					v.mac[4] = 2 // RFC 9568, section 7.3
				}
			}
			out = append(out, v)
		}
	}
	return out
}

func (v vip) at(port string) model.MAC {
	if v.mac.IsZero() {
		return PortMAC(port)
	}
	return v.mac
}

func (v vip) pairs(c *Cloud) {
	for _, p := range []string{"red1", "red2"} {
		c.Port(p).Pairs = []Pair{{MAC: v.mac, Prefix: netip.PrefixFrom(v.addr, v.addr.BitLen())}}
	}
}

// announced is what a port that takes the address over sends, to all others of its network.
func (v vip) announced(port string) Send {
	var f []byte
	if v.addr.Is4() {
		f = ARP{Op: 1, SenderMAC: v.at(port), Sender: v.addr, Target: v.addr}.Frame(model.Broadcast)
	} else {
		f = Advertise(v.addr, v.at(port), model.MAC{0x33, 0x33, 0, 0, 0, 1}, netip.MustParseAddr("ff02::1"), NAOverride)
	}
	to := map[string][]byte{"red1": f, "red2": f, "red3": f}
	delete(to, port)
	return Send{From: port, Frame: f, Want: Want{To: to}}
}

// asked is red3's question for the address.
func (v vip) asked(holder string) Send {
	if v.addr.Is4() {
		return Send{From: "red3", Frame: ask("red3", v.addr).Frame(model.Broadcast), Want: Want{Reply: ask("red3", v.addr).isAt(v.at(holder))}}
	}
	me := addr("red3", true)
	return Send{From: "red3", Frame: Solicit(PortMAC("red3"), me, v.addr), Want: Want{Reply: told("red3", me, v.addr, v.at(holder), false)}}
}

// reached is a packet of red3 to the address in its own subnet, and one of blue1 through the router. Each is sent twice: the
// second goes by what was remembered.
func (v vip) reached(holder string) []Send {
	x := IP{Src: addr("red3", !v.addr.Is4()), Dst: v.addr, TTL: 64}.UDP(1000, 2000, []byte(holder))
	f := x.Frame(v.at(holder), PortMAC("red3"))
	l2 := Send{From: "red3", Frame: f, Want: Want{To: map[string][]byte{holder: f}}}
	y := IP{Src: addr("blue1", !v.addr.Is4()), Dst: v.addr, TTL: 64}.UDP(1000, 2000, []byte("routed"))
	z := y
	z.TTL = 63
	l3 := Send{From: "blue1", Frame: y.Frame(LegMAC("router", "blue"), PortMAC("blue1")),
		Want: Want{To: map[string][]byte{holder: z.Frame(v.at(holder), LegMAC("router", "red"))}}}
	return []Send{l2, l3, l2, l3}
}

// learnCases: who announced an address last has it, on every host, at once.
func learnCases() []Case {
	var out []Case
	for _, v := range vips() {
		var sends []Send
		for _, holder := range []string{"red1", "red2", "red1", "red2"} {
			sends = append(sends, v.announced(holder), v.asked(holder))
			sends = append(sends, v.reached(holder)...)
		}
		out = append(out, Case{"an address pair's address follows its announcements, " + v.name, v.pairs, sends})
	}
	return append(out, unsecuredCases()...)
}

// unsecuredCases: a port without port security has what it says it has, but nothing that the control plane gave to others.
func unsecuredCases() []Case {
	open := func(c *Cloud) { c.Port("red2").Open = true }
	mac := model.MAC{2, 0, 0, 0, 0, 9}
	v := vip{addr: DemoAddr(0, 77, false), mac: mac}
	to := func(dst netip.Addr) IP {
		return IP{Src: addr("blue1", false), Dst: dst, TTL: 64}.UDP(1000, 2000, []byte("in"))
	}
	routed := func(dst netip.Addr, holder string, at model.MAC) Send {
		x := to(dst)
		x.TTL = 63
		return Send{From: "blue1", Frame: to(dst).Frame(LegMAC("router", "blue"), PortMAC("blue1")),
			Want: Want{To: map[string][]byte{holder: x.Frame(at, LegMAC("router", "red"))}}}
	}
	stolen := ARP{Op: 1, SenderMAC: mac, Sender: addr("red3", false), Target: addr("red3", false)}.Frame(model.Broadcast)
	inside := IP{Src: netip.MustParseAddr("10.9.9.9"), Dst: addr("red3", false), TTL: 64}.UDP(1, 2, nil).Frame(PortMAC("red3"), mac)
	back := IP{Src: addr("red3", false), Dst: netip.MustParseAddr("10.9.9.9"), TTL: 64}.UDP(2, 1, nil).Frame(mac, PortMAC("red3"))
	return []Case{
		{"an address that a port without port security announces is routed to it", open, []Send{v.announced("red2"), routed(v.addr, "red2", mac)}},
		{"a fixed IP is not taken over by an announcement", open, []Send{
			{From: "red2", Frame: stolen, Want: Want{To: map[string][]byte{"red1": stolen, "red3": stolen}}},
			routed(addr("red3", false), "red3", PortMAC("red3")),
		}},
		{"a MAC behind a port without port security is found by its frames", open, []Send{
			{From: "red2", Frame: inside, Want: Want{To: map[string][]byte{"red3": inside}}},
			{From: "red3", Frame: back, Want: Want{To: map[string][]byte{"red2": back}}},
		}},
		{"who may not have an address is not believed", func(c *Cloud) {
			v.pairs(c)
			c.Port("red3").Pairs = []Pair{{Prefix: netip.PrefixFrom(DemoAddr(0, 200, false), 32)}}
		}, []Send{
			v.announced("red2"),
			{From: "red3", Frame: ARP{Op: 1, SenderMAC: PortMAC("red3"), Sender: v.addr, Target: v.addr}.Frame(model.Broadcast), Want: Want{Reason: reason.SpoofedARP}},
			v.asked("red2"),
		}},
		{"what is learned goes with the pair", v.pairs, []Send{
			v.announced("red2"), v.asked("red2"),
			{From: "red3", Frame: ask("red3", v.addr).Frame(model.Broadcast), Want: Want{Reply: ask("red3", v.addr).isAt(PortMAC("red1"))},
				Before: func(c *Cloud) {
					c.Port("red1").Pairs = []Pair{{Prefix: netip.PrefixFrom(v.addr, 32)}}
					c.Port("red2").Pairs = nil
				}},
		}},
	}
}
