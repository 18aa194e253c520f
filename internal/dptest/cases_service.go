package dptest

import (
	"net/netip"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// servedCases: the addresses at which a host itself answers, DNS and metadata.
func servedCases() []Case {
	host, dhcp := model.MAC{2, 0, 169, 254, 169, 254}, model.MAC{0xfa, 0x16, 0x3e, 0xdd, 0, 1}
	meta, meta6 := netip.MustParseAddr("169.254.169.254"), netip.MustParseAddr("fe80::a9fe:a9fe")
	resolver := DemoAddr(0, 250, false)
	setup := func(c *Cloud) {
		c.Networks[0].Services = []hostplan.Service{
			{Address: meta, MAC: host, Metadata: true}, {Address: meta6, MAC: host, Metadata: true}, {Address: resolver, MAC: dhcp, DNS: true},
		}
	}
	m, leg := PortMAC("red1"), LegMAC("router", "red")
	me, ll := addr("red1", false), LinkLocal(PortMAC("red1"))
	from := func(to netip.Addr) IP { return IP{Src: me, Dst: to} }
	one := func(name string, frame []byte, w Want) Case {
		return Case{name, setup, []Send{{From: "red1", Frame: frame, Want: w}}}
	}
	answered := func(name string, target netip.Addr, at model.MAC) Case {
		a := ask("red1", target)
		return one(name, a.Frame(model.Broadcast), Want{Reply: a.isAt(at)})
	}
	const syn = 2
	punt := func(k dataplane.PuntKind) Want { return Want{Punt: k} }
	closed := Want{Reason: reason.ClosedPort}
	return []Case{
		answered("ARP for the metadata service", meta, host),
		answered("ARP for a DHCP port", resolver, dhcp),
		one("NS for the metadata service", Solicit(m, ll, meta6), Want{Reply: told("red1", ll, meta6, host, false)}),
		one("metadata on link", from(meta).TCP(40000, 80, syn, nil).Frame(host, m), punt(dataplane.PuntMetadata)),
		one("metadata through the router", from(meta).TCP(40000, 80, syn, nil).Frame(leg, m), punt(dataplane.PuntMetadata)),
		one("metadata over IPv6", IP{Src: ll, Dst: meta6}.TCP(40000, 80, syn, nil).Frame(host, m), punt(dataplane.PuntMetadata)),
		one("another port of the metadata service", from(meta).TCP(40000, 22, syn, nil).Frame(host, m), closed),
		one("the metadata service by UDP", from(meta).UDP(40000, 80, nil).Frame(host, m), closed),
		one("ping to the metadata service", from(meta).Ping(1, 1).Frame(host, m), closed),
		one("metadata in another's name", IP{Src: addr("red2", false), Dst: meta}.TCP(40000, 80, syn, nil).Frame(host, m), Want{Reason: reason.SpoofedIP}),
		one("DNS by UDP", from(resolver).UDP(40000, 53, bytesOf(30)).Frame(dhcp, m), punt(dataplane.PuntDNS)),
		one("DNS by TCP", from(resolver).TCP(40000, 53, syn, nil).Frame(dhcp, m), punt(dataplane.PuntDNS)),
		one("metadata at the resolver", from(resolver).TCP(40000, 80, syn, nil).Frame(dhcp, m), closed),
		one("DNS at the metadata service", from(meta).UDP(40000, 53, bytesOf(30)).Frame(host, m), closed),
		single("no such service: metadata goes the way of any packet", Send{From: "red1", Frame: from(meta).TCP(40000, 80, syn, nil).Frame(leg, m),
			Want: Want{Reason: reason.LinkScope}}),
	}
}
