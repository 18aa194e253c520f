package dptest

import (
	"encoding/binary"
	"net/netip"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/model"
)

// guardCases: port security, and what is taken by the host's own services.
func guardCases() []Case {
	var out []Case
	for _, v6 := range []bool{false, true} {
		p := place{"two hosts, same subnet", "red1", "red2", v6}
		q := place{"two hosts, routed", "red1", "blue2", v6}
		x := p.ip().Ping(1, 1)
		other := x
		other.Src = addr("red3", v6)
		other = other.Ping(1, 1)
		ll := x
		ll.Src = netip.IPv4Unspecified()
		if v6 {
			ll.Src = netip.IPv6Unspecified()
		}
		ll = ll.Ping(1, 1)
		spoofedMAC := Send{From: "red1", Frame: x.Frame(PortMAC("red2"), PortMAC("red3")), Want: Want{Reason: reason.SpoofedMAC}}
		f := family(v6)
		out = append(out,
			single("another's source address, "+f, p.dropped(other, reason.SpoofedIP)),
			single("another's source address through the router, "+f, q.dropped(IP{Src: addr("red3", v6), Dst: addr("blue2", v6)}.Ping(1, 1), reason.SpoofedIP)),
			single("another's source MAC, "+f, spoofedMAC),
			single("no source address, "+f, p.dropped(ll, reason.SpoofedIP)),
			Case{"another's address and MAC without port security, " + f, func(c *Cloud) { c.Port("red1").Open = true }, []Send{
				p.passes(other),
				{From: "red1", Frame: x.Frame(PortMAC("red2"), PortMAC("red3")), Want: Want{To: map[string][]byte{"red2": x.Frame(PortMAC("red2"), PortMAC("red3"))}}}}},
		)
		out = append(out, pairCases(p)...)
	}
	return append(append(append(out, serviceCases()...), servedCases()...), frameCases()...)
}

// pairCases: allowed address pairs, a prefix and one with its own MAC.
func pairCases(p place) []Case {
	wide := netip.PrefixFrom(p.elsewhere(), p.elsewhere().BitLen()-8).Masked()
	vrrp := model.MAC{0, 0, 0x5e, 0, 1, 7}
	from := func(a netip.Addr) IP { return IP{Src: a, Dst: p.ip().Dst}.Ping(1, 1) }
	vip := DemoAddr(0, 100, p.v6)
	change := func(c *Cloud) {
		c.Port("red1").Pairs = []Pair{{Prefix: wide}, {MAC: vrrp, Prefix: netip.PrefixFrom(vip, vip.BitLen())}}
	}
	withMAC := from(vip).Frame(PortMAC(p.dst), vrrp)
	wrongMAC := from(p.ip().Src).Frame(PortMAC(p.dst), vrrp)
	return []Case{{"allowed address pairs, " + family(p.v6), change, []Send{
		p.passes(from(p.elsewhere())), p.passes(from(wide.Addr())), p.passes(p.ip().Ping(1, 1)),
		p.dropped(from(wide.Addr().Prev()), reason.SpoofedIP),
		p.dropped(from(vip), reason.SpoofedIP),
		{From: p.src, Frame: withMAC, Want: Want{To: map[string][]byte{p.dst: withMAC}}},
		{From: p.src, Frame: wrongMAC, Want: Want{Reason: reason.SpoofedIP}},
	}}}
}

// serviceCases: DHCP and router discovery.
func serviceCases() []Case {
	bc := model.Broadcast
	m := PortMAC("red1")
	all := netip.MustParseAddr("255.255.255.255")
	discover := IP{Src: netip.IPv4Unspecified(), Dst: all}.UDP(68, 67, bytesOf(240)).Frame(bc, m)
	offer := IP{Src: addr("red1", false), Dst: all}.UDP(67, 68, bytesOf(240)).Frame(bc, m)
	renew := func(to netip.Addr) IP { return IP{Src: addr("red1", false), Dst: to}.UDP(68, 67, bytesOf(240)) }
	server := Demo().States()["compute1"].Endpoints[PortID("red1")].DHCP4
	ll := LinkLocal(m)
	rs := IP{Src: ll, Dst: netip.MustParseAddr("ff02::2"), TTL: 255}.ICMP(133, 0, 0, nil).Frame(model.MAC{0x33, 0x33, 0, 0, 0, 2}, m)
	ra := IP{Src: ll, Dst: netip.MustParseAddr("ff02::1"), TTL: 255}.ICMP(134, 0, 0, bytesOf(8)).Frame(model.MAC{0x33, 0x33, 0, 0, 0, 1}, m)
	redirect := IP{Src: ll, Dst: addr("red2", true), TTL: 255}.ICMP(137, 0, 0, bytesOf(32)).Frame(PortMAC("red2"), m)
	agents := netip.MustParseAddr("ff02::1:2")
	solicit6 := IP{Src: ll, Dst: agents}.UDP(546, 547, bytesOf(50)).Frame(model.MAC{0x33, 0x33, 0, 1, 0, 2}, m)
	reply6 := IP{Src: ll, Dst: addr("red2", true)}.UDP(547, 546, bytesOf(50)).Frame(PortMAC("red2"), m)
	mld := IP{Src: netip.IPv6Unspecified(), Dst: netip.MustParseAddr("ff02::16"), TTL: 1}.ICMP(143, 0, 1, bytesOf(20)).
		Extend(0, []byte{5, 2, 0, 0, 1, 0}).Frame(model.MAC{0x33, 0x33, 0, 0, 0, 0x16}, m)
	managed := func(c *Cloud) { c.Networks[0].Managed = true }
	routed := func(c *Cloud) { c.Networks[0].Advertised = true }
	one := func(name string, frame []byte, w Want) Case {
		return single(name, Send{From: "red1", Frame: frame, Want: w})
	}
	return []Case{
		one("DHCP discover", discover, Want{Punt: dataplane.PuntDHCP4}),
		one("DHCP renewal to the server", renew(server.Server).Frame(server.ServerMAC, m), Want{Punt: dataplane.PuntDHCP4}),
		one("DHCP to another server", renew(addr("red2", false)).Frame(PortMAC("red2"), m), Want{To: map[string][]byte{"red2": renew(addr("red2", false)).Frame(PortMAC("red2"), m)}}),
		{"DHCP discover where the host has no lease to give", func(c *Cloud) { c.Port("red1").DHCP = false }, []Send{
			{From: "red1", Frame: discover, Want: Want{To: everyone(discover)}}}},
		one("a DHCP server in an instance", offer, Want{Reason: reason.RogueDHCP}),
		{"a DHCP server in an instance without port security", func(c *Cloud) { c.Port("red1").Open = true }, []Send{
			{From: "red1", Frame: offer, Want: Want{To: everyone(offer)}}}},
		one("a router advertisement of an instance", ra, Want{Reason: reason.RogueRA}),
		one("a redirect of an instance", redirect, Want{Reason: reason.RogueRA}),
		one("a router solicitation without a router", rs, Want{To: everyone(rs)}),
		{"a router solicitation", routed, []Send{{From: "red1", Frame: rs, Want: Want{Punt: dataplane.PuntRS}}}},
		{"DHCPv6 solicit, without a router", managed, []Send{{From: "red1", Frame: solicit6, Want: Want{Punt: dataplane.PuntDHCP6}}}},
		{"DHCPv6 solicit on a SLAAC network", routed, []Send{{From: "red1", Frame: solicit6, Want: Want{To: everyone(solicit6)}}}},
		one("a DHCPv6 server in an instance", reply6, Want{Reason: reason.RogueDHCP}),
		one("MLD report without a source", mld, Want{To: everyone(mld)}),
	}
}

// frameCases: what is wrong with a frame before its IP header.
func frameCases() []Case {
	m, to := PortMAC("red1"), PortMAC("red2")
	one := func(name string, frame []byte, w Want) Case {
		return single(name, Send{From: "red1", Frame: frame, Want: w})
	}
	other := Ether(to, m, 0x88cc, bytesOf(46))
	ping := place{"", "red1", "red2", false}.ip().Ping(1, 1)
	return append(tagCasesOfInstances(), []Case{
		one("another ethertype", other, Want{Reason: reason.EtherType}),
		{"another ethertype without port security", func(c *Cloud) { c.Port("red1").Open = true }, []Send{
			{From: "red1", Frame: other, Want: Want{To: map[string][]byte{"red2": other}}}}},
		one("no source MAC", ping.Frame(to, model.MAC{}), Want{Reason: reason.Malformed}),
		one("a group source MAC", ping.Frame(to, model.MAC{1, 0, 0x5e, 0, 0, 1}), Want{Reason: reason.Malformed}),
		one("to the own MAC", ping.Frame(m, m), Want{Reason: reason.UnknownMAC}),
		one("to nobody's MAC", ping.Frame(model.MAC{2, 0, 0, 0, 0, 9}, m), Want{Reason: reason.UnknownMAC}),
		one("to a port of another network", ping.Frame(PortMAC("blue1"), m), Want{Reason: reason.UnknownMAC}),
		one("to a port of the other tenant", ping.Frame(PortMAC("red1-b"), m), Want{Reason: reason.UnknownMAC}),
		one("to the other tenant's router", ping.Frame(LegMAC("router-b", "red-b"), m), Want{Reason: reason.UnknownMAC}),
		{"to nobody's MAC where addresses are learned", learning, []Send{
			{From: "red1", Frame: ping.Frame(model.MAC{2, 0, 0, 0, 0, 9}, m), Want: Want{To: everyone(ping.Frame(model.MAC{2, 0, 0, 0, 0, 9}, m))}}}},
		{"from a port that is down", func(c *Cloud) { c.Port("red1").Down = true }, []Send{{From: "red1", Frame: ping.Frame(to, m), Want: Want{Reason: reason.EndpointDown}}}},
		{"to a port that is down on the same host", func(c *Cloud) { c.Port("red3").Down = true }, []Send{
			place{"", "red1", "red3", false}.dropped(place{"", "red1", "red3", false}.ip().Ping(1, 1), reason.EndpointDown)}},
		{"to a port that is down on another host", func(c *Cloud) { c.Port("red2").Down = true }, []Send{{From: "red1", Frame: ping.Frame(to, m), Want: Want{Reason: reason.EndpointDown}}}},
		{"no DVR MAC yet", func(c *Cloud) { c.Hosts[0].NoDVR = true }, []Send{
			place{"", "red1", "blue2", false}.dropped(place{"", "red1", "blue2", false}.ip().Ping(1, 1), reason.NoTunnel),
			place{"", "red1", "red2", false}.passes(ping)}},
	}...)
}

// tagCasesOfInstances: no instance has a VLAN of its own, with or without port security.
func tagCasesOfInstances() []Case {
	var out []Case
	for _, p := range places() {
		plain := p.frame(p.ip().Ping(1, 1))
		tag := func(kind, id uint16, rest []byte) []byte {
			b := binary.BigEndian.AppendUint16(append([]byte{}, rest[:12]...), kind)
			return append(binary.BigEndian.AppendUint16(b, id), rest[12:]...)
		}
		for _, x := range []struct {
			name  string
			frame []byte
		}{{"a VLAN tag", tag(0x8100, 5, plain)}, {"a priority tag", tag(0x8100, 0, plain)}, {"a service tag", tag(0x88a8, 5, plain)},
			{"two tags", tag(0x88a8, 5, tag(0x8100, 6, plain))}} {
			drop := Send{From: p.src, Frame: x.frame, Want: Want{Reason: reason.VLANTagged}}
			out = append(out, single(p.title(x.name), drop), Case{p.title(x.name + " without port security"), func(c *Cloud) { c.Port(p.src).Open = true }, []Send{drop}})
		}
	}
	return out
}

// floodCases: broadcast and multicast.
func floodCases() []Case {
	m := PortMAC("red1")
	one := func(name string, x IP, dst model.MAC) Case {
		f := x.Frame(dst, m)
		return single(name, Send{From: "red1", Frame: f, Want: Want{To: everyone(f)}})
	}
	v4 := func(dst string) IP { return IP{Src: addr("red1", false), Dst: netip.MustParseAddr(dst), TTL: 1} }
	v6 := func(dst string) IP { return IP{Src: addr("red1", true), Dst: netip.MustParseAddr(dst), TTL: 1} }
	big := v4("224.0.0.251").UDP(5353, 5353, bytesOf(1450-27))
	return []Case{
		one("limited broadcast", v4("255.255.255.255").UDP(9, 9, nil), model.Broadcast),
		one("subnet broadcast", v4("172.16.42.255").UDP(9, 9, nil), model.Broadcast),
		one("IPv4 multicast with TTL 1", v4("224.0.0.251").UDP(5353, 5353, nil), model.MAC{1, 0, 0x5e, 0, 0, 0xfb}),
		one("IGMP report", v4("224.0.0.22").with(2, bytesOf(16)), model.MAC{1, 0, 0x5e, 0, 0, 0x16}),
		one("IPv6 multicast", v6("ff02::fb").UDP(5353, 5353, nil), model.MAC{0x33, 0x33, 0, 0, 0, 0xfb}),
		one("ping to all nodes", v6("ff02::1").Ping(1, 1), model.MAC{0x33, 0x33, 0, 0, 0, 1}),
		one("unicast address in a broadcast frame", IP{Src: addr("red1", false), Dst: addr("red2", false)}.Ping(1, 1), model.Broadcast),
		single("multicast over the MTU", Send{From: "red1", Frame: big.Frame(model.MAC{1, 0, 0x5e, 0, 0, 0xfb}, m), Want: Want{Reason: reason.TooBig}}),
		{"broadcast without anyone else", func(c *Cloud) { c.Ports = c.Ports[:1] }, []Send{
			{From: "red1", Frame: v4("255.255.255.255").UDP(9, 9, nil).Frame(model.Broadcast, m)}}},
		{"broadcast leaves out ports that are down", func(c *Cloud) { c.Port("red3").Down = true; c.Port("red2").Down = true }, []Send{
			{From: "red1", Frame: v4("255.255.255.255").UDP(9, 9, nil).Frame(model.Broadcast, m)}}},
	}
}
