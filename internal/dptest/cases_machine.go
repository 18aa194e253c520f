package dptest

import (
	"net/netip"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// RoutedProvider makes red a network on VLAN 42 of a physical network; compute1 speaks for the router there. blue stays a tunnelled one.
func RoutedProvider(c *Cloud) {
	c.Networks[0].Physnet, c.Networks[0].VLAN, c.Networks[0].Speaker = Physnet, 42, "compute1"
}

// machine is one that is no instance, on red's wire.
type machine struct{ v6 bool }

var machineMAC = model.MAC{2, 0, 0, 0, 0, 0x99}

func (m machine) addr() netip.Addr       { return DemoAddr(0, 200, m.v6) }
func (m machine) leg() model.MAC         { return LegMAC("router", "red") }
func (m machine) gateway() netip.Addr    { return DemoAddr(0, 1, m.v6) }
func (m machine) pick(a, b uint8) uint8  { return map[bool]uint8{false: a, true: b}[m.v6] }
func (m machine) title(s string) string  { return "machine on the wire: " + s + ", " + family(m.v6) }
func (m machine) udp(s, d netip.Addr) IP { return IP{Src: s, Dst: d}.UDP(1000, 2000, bytesOf(20)) }
func (m machine) at(host string) Send    { return Send{NIC: host, VLAN: 42} }
func (m machine) sends(x IP) []byte      { return x.Frame(m.leg(), machineMAC) }
func (s Send) frame(f []byte) Send       { s.Frame = f; return s }
func (s Send) to(port string, f []byte) Send {
	return s.but(Want{To: map[string][]byte{port: f}})
}

// error is what the router says about a packet of the machine's.
func (m machine) error(x IP, typ, code uint8, rest uint32) []byte {
	if !m.v6 {
		return error4(m.gateway(), x, typ, code, rest).Frame(machineMAC, m.leg())
	}
	quote := x.Bytes()
	return IP{Src: m.gateway(), Dst: x.Src}.ICMP(typ, code, rest, quote[:min(len(quote), 1232)]).Frame(machineMAC, m.leg())
}

// machineCases: distributed routers with an interface on a flat or vlan network, and the machines there that are no instances.
func machineCases() []Case {
	var out []Case
	for _, v6 := range []bool{false, true} {
		m := machine{v6}
		out = append(out, m.routedCases()...)
		out = append(out, m.answerCases()...)
		out = append(out, m.outwardCases()...)
	}
	return append(out, askedCases()...)
}

// routedCases: what a machine sends to its router, and what other hosts routed onto the wire.
func (m machine) routedCases() []Case {
	here, there, far := addr("blue1", m.v6), addr("blue2", m.v6), addr("red2", m.v6)
	wired := func(c *Cloud) { RoutedProvider(c); c.Networks[1].Physnet, c.Networks[1].VLAN = Physnet, 43 }
	x, y := m.udp(m.addr(), here), m.udp(m.addr(), there)
	blue := LegMAC("router", "blue")
	arrive := x.routed(1).Frame(PortMAC("blue1"), blue)
	routed := m.udp(addr("blue2", m.v6), addr("red1", m.v6))
	bridged := m.udp(m.addr(), addr("red1", m.v6))
	default1 := both(RoutedProvider, only("blue1", Stateful(Any(true, m.v6))))
	own := routed.Frame(PortMAC("red1"), DVRMAC("compute2"))
	return []Case{
		{m.title("to an instance here, on another network"), RoutedProvider, []Send{m.at("compute1").frame(m.sends(x)).to("blue1", arrive), m.at("compute1").frame(m.sends(x)).to("blue1", arrive)}},
		{m.title("to an instance on another host, by a tunnel"), RoutedProvider, []Send{
			m.at("compute1").frame(m.sends(y)).to("blue2", y.routed(1).Frame(PortMAC("blue2"), blue)), m.at("compute1").frame(m.sends(y)).to("blue2", y.routed(1).Frame(PortMAC("blue2"), blue))}},
		{m.title("to an instance on another host, by another tag"), wired, []Send{
			m.at("compute1").frame(m.sends(y)).but(Want{Out: y.routed(1).Frame(PortMAC("blue2"), DVRMAC("compute1")), VLAN: 43})}},
		{m.title("under the default group of the receiver"), default1, []Send{m.at("compute1").frame(m.sends(x)).dropped(reason.PolicyIngress)}},
		{m.title("to the router's MAC on a host that does not speak for it"), RoutedProvider, []Send{m.at("compute2").frame(m.sends(x)).but(Want{ToHost: true})}},
		{m.title("hop limit 1"), RoutedProvider, []Send{m.at("compute1").frame(m.sends(x.last())).but(Want{Reason: reason.TTLExceeded, Reply: m.error(x.last(), m.pick(11, 3), 0, 0)})}},
		{m.title("to a network that the router does not have"), RoutedProvider, []Send{m.at("compute1").frame(m.sends(m.udp(m.addr(), m.nowhere()))).
			but(Want{Reason: reason.NoRoute, Reply: m.error(m.udp(m.addr(), m.nowhere()), m.pick(3, 1), 0, 0)})}},
		{m.title("to nobody on a tunnelled network"), RoutedProvider, []Send{m.at("compute1").frame(m.sends(m.udp(m.addr(), DemoAddr(1, 99, m.v6)))).
			but(Want{Reason: reason.NoNeighbor, Reply: m.error(m.udp(m.addr(), DemoAddr(1, 99, m.v6)), m.pick(3, 1), m.pick(1, 3), 0)})}},
		{m.title("the router is down"), both(RoutedProvider, func(c *Cloud) { c.Routers[0].Down = true }), []Send{m.at("compute1").frame(m.sends(x)).dropped(reason.RouterDown)}},
		{m.title("routed by another host: the instance sees its router"), RoutedProvider, []Send{
			m.at("compute1").frame(own).to("red1", routed.Frame(PortMAC("red1"), m.leg())), m.at("compute1").frame(own).to("red1", routed.Frame(PortMAC("red1"), m.leg()))}},
		{m.title("bridged: the instance sees the machine"), RoutedProvider, []Send{m.at("compute1").frame(bridged.Frame(PortMAC("red1"), machineMAC)).to("red1", bridged.Frame(PortMAC("red1"), machineMAC))}},
		{m.title("to an instance of another host, for that one"), RoutedProvider, []Send{m.at("compute1").frame(m.udp(m.addr(), far).Frame(PortMAC("red2"), machineMAC)).but(Want{ToHost: true})}},
	}
}

// nowhere is an address that the router has no route to.
func (m machine) nowhere() netip.Addr {
	if m.v6 {
		return Stranger6
	}
	return Stranger
}

// last is the packet with one hop left.
func (x IP) last() IP { x.TTL = 1; return x }

// answerCases: the router as a host, towards the wire.
func (m machine) answerCases() []Case {
	ping := func(to netip.Addr) IP {
		return IP{Src: m.addr(), Dst: to}.ICMP(m.pick(8, 128), 0, 7<<16|1, bytesOf(40))
	}
	pong := func(x IP) []byte {
		return IP{Src: x.Dst, Dst: x.Src}.ICMP(m.pick(0, 129), 0, 7<<16|1, bytesOf(40)).Frame(machineMAC, m.leg())
	}
	other := DemoAddr(1, 1, m.v6)
	closed := m.udp(m.addr(), m.gateway())
	return []Case{
		{m.title("ping to the gateway"), RoutedProvider, []Send{m.at("compute1").frame(m.sends(ping(m.gateway()))).but(Want{Reply: pong(ping(m.gateway()))})}},
		{m.title("ping to the router's other interface"), RoutedProvider, []Send{m.at("compute1").frame(m.sends(ping(other))).but(Want{Reply: pong(ping(other))})}},
		{m.title("a closed port of the router"), RoutedProvider, []Send{m.at("compute1").frame(m.sends(closed)).but(Want{Reason: reason.ClosedPort, Reply: m.error(closed, m.pick(3, 1), m.pick(3, 4), 0)})}},
		{m.title("too big for the way on"), both(RoutedProvider, func(c *Cloud) { c.Networks[1].MTU = 1300 }), []Send{
			m.at("compute1").frame(m.sends(m.large(addr("blue1", m.v6), true))).but(Want{Reason: reason.TooBig, Reply: m.error(m.large(addr("blue1", m.v6), true), m.pick(3, 2), m.pick(4, 0), 1300)})}},
	}
}

func (m machine) large(to netip.Addr, df bool) IP {
	return IP{Src: m.addr(), Dst: to, DF: df && !m.v6}.UDP(1000, 2000, bytesOf(1400))
}

// outwardCases: what instances send to machines, by their router.
func (m machine) outwardCases() []Case {
	x := m.udp(addr("blue1", m.v6), m.addr())
	send := Send{From: "blue1", Frame: x.Frame(LegMAC("router", "blue"), PortMAC("blue1"))}
	met := func(c *Cloud) {
		RoutedProvider(c)
		c.Met = append(c.Met, Met{Network: "red", Address: m.addr(), MAC: machineMAC})
	}
	y := m.udp(addr("blue2", m.v6), m.addr())
	out := Want{Out: x.routed(1).Frame(machineMAC, DVRMAC("compute1")), VLAN: 42}
	elsewhere := Want{Out: y.routed(1).Frame(machineMAC, DVRMAC("compute2")), VLAN: 42}
	return []Case{
		{m.title("from an instance on another network, before anybody knows its MAC"), RoutedProvider, []Send{send.but(Want{Punt: dataplane.PuntExternal})}},
		{m.title("from an instance on another network"), met, []Send{send.but(out), send.but(out)}},
		{m.title("from an instance on another network, of a host that does not speak for the router"), met, []Send{
			{From: "blue2", Frame: y.Frame(LegMAC("router", "blue"), PortMAC("blue2")), Want: elsewhere}}},
		{m.title("from an instance that its group does not let out"), both(met, only("blue1", Stateful())), []Send{send.dropped(reason.PolicyEgress)}},
		{m.title("from an instance on its own network, bridged"), RoutedProvider, []Send{{From: "red1", Frame: m.udp(addr("red1", m.v6), m.addr()).Frame(machineMAC, PortMAC("red1")),
			Want: Want{Out: m.udp(addr("red1", m.v6), m.addr()).Frame(machineMAC, PortMAC("red1")), VLAN: 42}}}},
	}
}

// askedCases: ARP and neighbour discovery between machines and the router.
func askedCases() []Case {
	m4, m6 := machine{false}, machine{true}
	at := func(host string, f []byte, w Want) Send { return Send{NIC: host, VLAN: 42, Frame: f, Want: w} }
	who := ARP{Op: 1, SenderMAC: machineMAC, Sender: m4.addr(), Target: m4.gateway()}
	told := ARP{Op: 2, SenderMAC: m4.leg(), Sender: m4.gateway(), TargetMAC: machineMAC, Target: m4.addr()}.Frame(machineMAC)
	claims := ARP{Op: 1, SenderMAC: machineMAC, Sender: m4.gateway(), Target: m4.gateway()}.Frame(model.Broadcast)
	mine := ARP{Op: 2, SenderMAC: machineMAC, Sender: m4.addr(), TargetMAC: DVRMAC("compute1"), Target: netip.IPv4Unspecified()}.Frame(DVRMAC("compute1"))
	fragment := m4.sends(m4.large(addr("blue1", false), false))
	ns := Solicit(machineMAC, m6.addr(), m6.gateway())
	na := Advertise(m6.gateway(), m6.leg(), machineMAC, m6.addr(), NARouter|NASolicited|NAOverride)
	answer := Advertise(m6.addr(), machineMAC, DVRMAC("compute1"), LinkLocal(DVRMAC("compute1")), NASolicited|NAOverride)
	served := func(c *Cloud) {
		c.Networks[0].Services = []hostplan.Service{{Address: addr("red1", false), MAC: model.MAC{0xfa, 0x16, 0x3e, 0xdd, 0, 1}, DNS: true}}
	}
	resolver := ARP{Op: 1, SenderMAC: machineMAC, Sender: m4.addr(), Target: addr("red1", false)}.Frame(model.Broadcast)
	return []Case{
		{"machine on the wire: who has an instance's address?", RoutedProvider, []Send{at("compute1", resolver, Want{ToHost: true, To: map[string][]byte{"red1": resolver}})}},
		{"machine on the wire: who has a DHCP port's address, which an instance claims, too?", both(RoutedProvider, served), []Send{at("compute1", resolver, Want{ToHost: true})}},
		{"machine on the wire: who has the gateway?", RoutedProvider, []Send{at("compute1", who.Frame(model.Broadcast), Want{Reply: told}), at("compute1", who.Frame(m4.leg()), Want{Reply: told})}},
		{"machine on the wire: who has the gateway, where another host speaks for it", RoutedProvider, []Send{at("compute2", who.Frame(model.Broadcast), Want{ToHost: true})}},
		{"machine on the wire: somebody claims the gateway's address", RoutedProvider, []Send{at("compute1", claims, Want{ToHost: true, Told: true})}},
		{"machine on the wire: tells its MAC to the host that asked", RoutedProvider, []Send{at("compute1", mine, Want{ToHost: true, Told: true})}},
		{"machine on the wire: what is too big and may be cut is cut", both(RoutedProvider, func(c *Cloud) { c.Networks[1].MTU = 1300 }), []Send{
			at("compute1", fragment, Want{Reason: reason.TooBig, Punt: dataplane.PuntFragment})}},
		{"machine on the wire: who has the gateway, IPv6", RoutedProvider, []Send{at("compute1", ns, Want{Reply: na})}},
		{"machine on the wire: who has the gateway, IPv6, where another host speaks for it", RoutedProvider, []Send{at("compute2", ns, Want{ToHost: true, To: map[string][]byte{"red2": ns}})}},
		{"machine on the wire: tells its MAC to the host that asked, IPv6", RoutedProvider, []Send{at("compute1", answer, Want{ToHost: true, Told: true})}},
	}
}
