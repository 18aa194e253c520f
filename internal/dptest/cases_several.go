package dptest

import (
	"net/netip"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// severalSubnets gives the external network a second IPv4 subnet, the router a second address on the first and one on the second, and red1 a
// floating IP of the second.
func severalSubnets(c *Cloud) {
	NorthSouth(c)
	c.Externals[0].Subnets = append(c.Externals[0].Subnets, hostplan.ExternalSubnet{Prefix: netip.MustParsePrefix("192.0.2.0/24")})
	g := *c.Routers[0].Gateway
	g.Addresses = append([]netip.Prefix{g.Addresses[0], netip.MustParsePrefix("203.0.113.12/24"), netip.MustParsePrefix("192.0.2.10/24")}, g.Addresses[1:]...)
	c.Routers[0].Gateway = &g
	for i := range c.FloatingIPs {
		if c.FloatingIPs[i].Port == "red1" {
			c.FloatingIPs[i].Address = otherFloat
		}
	}
	c.Met = append(c.Met, Met{Network: "outside", Address: otherMachine, MAC: machineMAC})
}

var otherFloat, otherMachine = netip.MustParseAddr("192.0.2.101"), netip.MustParseAddr("192.0.2.7")

// severalCases: an external network with two subnets, and a gateway with several addresses.
func severalCases() []Case {
	var out []Case
	f, mac := floater("red1"), FloatingMAC(otherFloat)
	udp := func(s, d netip.Addr) IP { return IP{Src: s, Dst: d}.UDP(1000, 2000, bytesOf(20)) }
	add := func(name string, sends ...Send) {
		out = append(out, Case{"several external subnets: " + name, severalSubnets, sends})
	}
	for _, a := range []string{"203.0.113.10", "203.0.113.12", "192.0.2.10"} {
		ask := ARP{Op: 1, SenderMAC: OutsideRouterMAC, Sender: OutsideRouter, Target: mustAddr(a)}.Frame(model.Broadcast)
		add("ARP for the gateway's address "+a, nic("compute2", ask, Want{ToHost: true, To: map[string][]byte{"gateway of router": ask}}))
		in := udp(Stranger, mustAddr(a)).Frame(GatewayMAC("router"), OutsideRouterMAC)
		add("a packet to the gateway's address "+a, nic("compute2", in, Want{To: map[string][]byte{"gateway of router": in}}))
	}
	ask := ARP{Op: 1, SenderMAC: machineMAC, Sender: otherMachine, Target: otherFloat}.Frame(model.Broadcast)
	add("ARP for a floating IP of the second", nic("compute1", ask, Want{Reply: ARP{Op: 2, SenderMAC: mac, Sender: otherFloat, TargetMAC: machineMAC, Target: otherMachine}.Frame(machineMAC)}))
	send := func(to netip.Addr, w Want) Send {
		return Send{From: "red1", Frame: udp(f.fixed(), to).Frame(f.leg(), f.mac()), Want: w}
	}
	add("out by a floating IP of the second, to a machine there", send(otherMachine, Want{Out: udp(otherFloat, otherMachine).routed(1).Frame(machineMAC, mac)}))
	add("out by a floating IP of the second, by the default route of the first", send(Stranger, Want{Out: udp(otherFloat, Stranger).routed(1).Frame(OutsideRouterMAC, mac)}))
	add("out by a floating IP of the second, to a machine there that nobody has met", send(mustAddr("192.0.2.8"), Want{Punt: dataplane.PuntExternal}))
	add("in by a floating IP of the second", nic("compute1", udp(otherMachine, otherFloat).Frame(mac, machineMAC),
		Want{To: map[string][]byte{"red1": udp(otherMachine, f.fixed()).routed(1).Frame(f.mac(), f.leg())}}))
	blue := floater("blue1")
	add("from a floating IP of the second to one of the first, within a host", send(blue.float(),
		Want{To: map[string][]byte{"blue1": udp(otherFloat, blue.fixed()).routed(2).Frame(blue.mac(), blue.leg())}}))
	one := func(s, d netip.Addr) IP { return udp(s, d).last() }
	add("TTL 1 to a floating IP of the second, from there: the error bears the gateway's address there", nic("compute1", one(otherMachine, otherFloat).Frame(mac, machineMAC),
		Want{Reason: reason.TTLExceeded, Reply: error4(mustAddr("192.0.2.10"), one(otherMachine, otherFloat), 11, 0, 0).Frame(machineMAC, mac)}))
	return out
}
