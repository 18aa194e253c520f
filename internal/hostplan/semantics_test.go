package hostplan

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weft-cloud/weft/internal/model"
)

// The fixture is the reference situation: networks red (n1) and blue (n2), a distributed router, red1 (p1) here, red2 (p2)
// and blue2 (p3) on h1.
var (
	redRouterMAC  = model.MAC{0xfa, 0x16, 0x3e, 1, 1, 1}
	blueRouterMAC = model.MAC{0xfa, 0x16, 0x3e, 1, 1, 2}
	pfx           = netip.MustParsePrefix
	adr           = netip.MustParseAddr
)

func instance(n, net, sub byte, host, ip string) *model.Port {
	return &model.Port{ID: portID(n), NetworkID: netID(net), MAC: model.MAC{0xfa, 0x16, 0x3e, 0, 0, n}, Host: host, PortSecurity: true,
		DeviceOwner: "compute:nova", FixedIPs: []model.FixedIP{{SubnetID: subID(sub), Address: adr(ip)}}}
}

func owned(p *model.Port, owner string) *model.Port { p.DeviceOwner = owner; return p }

func withMAC(p *model.Port, m model.MAC) *model.Port { p.MAC = m; return p }

func reference() *world {
	w := newWorld(Options{Firewall: true, LeaseSeconds: 86400, DNSDomain: "openstacklocal.", IsolatedMetadata: true})
	for i, h := range []string{"h0", "h1", "h2"} {
		w.Hosts[h] = &model.Host{Name: h, VTEP: netip.AddrFrom4([4]byte{192, 168, 70, byte(10 + i)}), DVRMAC: model.MAC{0xfa, 0x16, 0x3f, 0, 0, byte(i)}}
	}
	for n := byte(1); n <= 2; n++ {
		w.Networks[netID(n)] = NetworkParts{Network: &model.Network{ID: netID(n), AdminStateUp: true, MTU: 1450},
			Segments: []*model.Segment{{NetworkType: model.TypeVXLAN, SegmentationID: 9 + uint32(n)}}}
	}
	w.Subnets[subID(1)] = &model.Subnet{ID: subID(1), NetworkID: netID(1), CIDR: pfx("172.16.42.0/24"), GatewayIP: adr("172.16.42.1"), EnableDHCP: true}
	w.Subnets[subID(2)] = &model.Subnet{ID: subID(2), NetworkID: netID(2), CIDR: pfx("172.16.43.0/24"), GatewayIP: adr("172.16.43.1"), EnableDHCP: true}
	w.Subnets[subID(3)] = &model.Subnet{ID: subID(3), NetworkID: netID(1), CIDR: pfx("fd00:42::/64"), GatewayIP: adr("fd00:42::1"),
		RAMode: model.ModeSLAAC, AddressMode: model.ModeSLAAC, DNS: []netip.Addr{adr("fd00:42::53")}}
	w.Ports[portID(1)] = instance(1, 1, 1, "h0", "172.16.42.4")
	w.Ports[portID(2)] = instance(2, 1, 1, "h1", "172.16.42.5")
	w.Ports[portID(3)] = instance(3, 2, 2, "h1", "172.16.43.4")
	w.Endpoints[portID(1)] = &model.Port{Name: "red1", AdminStateUp: true}
	id := model.RouterID{UUID: uuid('r', 1)}
	w.Routers[id] = RouterParts{
		Router: &model.Router{ID: id, AdminStateUp: true, Distributed: true, GatewayHost: "h2"},
		Interfaces: []*model.Port{
			owned(withMAC(instance(11, 1, 1, "", "172.16.42.1"), redRouterMAC), model.OwnerDVRInterface),
			owned(withMAC(instance(12, 2, 2, "", "172.16.43.1"), blueRouterMAC), model.OwnerDVRInterface),
			owned(withMAC(instance(13, 1, 3, "", "fd00:42::1"), redRouterMAC), model.OwnerDVRInterface),
			owned(instance(14, 1, 1, "", "172.16.42.9"), model.OwnerRouterSNAT),
		},
	}
	return w
}

func (w *world) router1() RouterParts { return w.Routers[model.RouterID{UUID: uuid('r', 1)}] }

func (w *world) compile() *State {
	return Compile(&w.Scope, "h0", w.c.opts)
}

func TestReferenceSituation(t *testing.T) {
	s := reference().compile()
	if len(s.Problems) > 0 {
		t.Errorf("problems: %v", s.Problems)
	}
	if s.VTEP != adr("192.168.70.10") || len(s.Peers) != 2 {
		t.Errorf("VTEP %v, peers %v", s.VTEP, s.Peers)
	}
	wantRed := &Network{
		DNSDomain: "openstacklocal", ID: netID(1), Type: "vxlan", VNI: 10, MTU: 1450, Flood: []string{"h1", "h2"},
		Subnets: []Subnet{
			{ID: subID(1), Prefix: pfx("172.16.42.0/24"), Gateway: adr("172.16.42.1"), RouterMAC: redRouterMAC},
			{ID: subID(3), Prefix: pfx("fd00:42::/64"), Gateway: adr("fd00:42::1"), RouterMAC: redRouterMAC},
		},
		Advertisements: []Advertisement{{
			Router: model.RouterID{UUID: uuid('r', 1)}, MAC: redRouterMAC, LinkLocal: adr("fe80::f816:3eff:fe01:101"), MTU: 1450,
			Prefixes: []AdvertisedPrefix{{Prefix: pfx("fd00:42::/64"), Autonomous: true, OnLink: true}},
			DNS:      []netip.Addr{adr("fd00:42::53")}, DefaultRouter: true,
		}},
	}
	wantRouter := &Router{
		ID: model.RouterID{UUID: uuid('r', 1)}, AdminUp: true,
		Interfaces: []Interface{
			{Port: portID(11), Network: netID(1), MAC: redRouterMAC, Addresses: []netip.Prefix{pfx("172.16.42.1/24")}, MTU: 1450},
			{Port: portID(12), Network: netID(2), MAC: blueRouterMAC, Addresses: []netip.Prefix{pfx("172.16.43.1/24")}, MTU: 1450},
			{Port: portID(13), Network: netID(1), MAC: redRouterMAC, Addresses: []netip.Prefix{pfx("fd00:42::1/64")}, MTU: 1450},
		},
		Routes: []Route{
			{Dst: pfx("172.16.42.0/24"), Interface: portID(11)},
			{Dst: pfx("172.16.43.0/24"), Interface: portID(12)},
			{Dst: pfx("fd00:42::/64"), Interface: portID(13)},
		},
	}
	wantEndpoint := &Endpoint{
		Port: portID(1), Network: netID(1), Device: "tap70000000-00", Owner: "compute:nova", Name: "red1", AdminUp: true,
		MAC: model.MAC{0xfa, 0x16, 0x3e, 0, 0, 1}, Addresses: []netip.Prefix{pfx("172.16.42.4/24")}, MTU: 1450, PortSecurity: true,
		DHCP4: &DHCP4{Address: adr("172.16.42.4"), Prefix: pfx("172.16.42.0/24"), Server: adr("172.16.42.1"), ServerMAC: redRouterMAC,
			Router: adr("172.16.42.1"), MTU: 1450, LeaseSeconds: 86400, Hostname: "host-172-16-42-4", Domain: "openstacklocal"},
	}
	wantNeighbors := map[model.PortID]*Neighbor{
		portID(1):  {Port: portID(1), Network: netID(1), MAC: model.MAC{0xfa, 0x16, 0x3e, 0, 0, 1}, Addresses: []netip.Addr{adr("172.16.42.4")}, Host: "h0"},
		portID(2):  {Port: portID(2), Network: netID(1), MAC: model.MAC{0xfa, 0x16, 0x3e, 0, 0, 2}, Addresses: []netip.Addr{adr("172.16.42.5")}, Host: "h1"},
		portID(3):  {Port: portID(3), Network: netID(2), MAC: model.MAC{0xfa, 0x16, 0x3e, 0, 0, 3}, Addresses: []netip.Addr{adr("172.16.43.4")}, Host: "h1"},
		portID(14): {Port: portID(14), Network: netID(1), MAC: model.MAC{0xfa, 0x16, 0x3e, 0, 0, 14}, Addresses: []netip.Addr{adr("172.16.42.9")}, Host: "h2", Router: true},
	}
	for _, d := range []string{
		cmp.Diff(wantRed, s.Networks[netID(1)], byValue...),
		cmp.Diff(wantRouter, s.Routers[wantRouter.ID], byValue...),
		cmp.Diff(map[model.PortID]*Endpoint{portID(1): wantEndpoint}, s.Endpoints, byValue...),
		cmp.Diff(wantNeighbors, s.Neighbors, byValue...),
	} {
		if d != "" {
			t.Errorf("-want +got:\n%s", d)
		}
	}
}

func TestSemantics(t *testing.T) {
	tests := []struct {
		name  string
		edit  func(w *world)
		check func(s *State) any
		want  any
	}{
		{"an unbound port is nowhere, and has its names", func(w *world) {
			p := w.Ports[portID(2)]
			p.Host, p.DNSName, p.AddressPairs = "", "spare", []model.AddressPair{{Prefix: pfx("172.16.42.100/32")}}
		}, func(s *State) any { return *s.Neighbors[portID(2)] }, Neighbor{Port: portID(2), Network: netID(1), MAC: model.MAC{0xfa, 0x16, 0x3e, 0, 0, 2},
			Addresses: []netip.Addr{adr("172.16.42.5")}, DNSName: "spare"}},
		{"a port whose binding failed is nowhere and no reason to flood", func(w *world) { w.Ports[portID(3)].VIFType = model.VIFBindingFailed },
			func(s *State) any { return s.Neighbors[portID(3)].Host == "" && len(s.Networks[netID(2)].Flood) == 0 }, true},
		{"a centralized router's leg is a neighbour at its gateway host", func(w *world) { w.router1().Router.Distributed = false },
			func(s *State) any { return len(s.Routers) == 0 && s.Neighbors[portID(11)] == nil }, true}, // its owner still says distributed
		{"legacy leg", func(w *world) {
			w.router1().Router.Distributed = false
			w.router1().Interfaces[0].DeviceOwner = model.OwnerRouterInterface
		}, func(s *State) any { return s.Neighbors[portID(11)].Host }, "h2"},
		{"pairs are what a port may have besides its fixed IPs, with their MACs", func(w *world) {
			w.Ports[portID(2)].AddressPairs = []model.AddressPair{
				{Prefix: pfx("172.16.42.100/32")}, {Prefix: pfx("10.9.0.0/16")},
				{Prefix: pfx("172.16.42.101/32"), MAC: model.MAC{0, 0, 0x5e, 0, 1, 7}},
			}
		}, func(s *State) any {
			n := s.Neighbors[portID(2)]
			return []any{n.Addresses, n.Pairs, s.Networks[netID(1)].Learning}
		}, []any{[]netip.Addr{adr("172.16.42.5")}, []AddressPair{
			{MAC: model.MAC{0, 0, 0x5e, 0, 1, 7}, Prefix: pfx("172.16.42.101/32")},
			{MAC: model.MAC{0xfa, 0x16, 0x3e, 0, 0, 2}, Prefix: pfx("10.9.0.0/16")},
			{MAC: model.MAC{0xfa, 0x16, 0x3e, 0, 0, 2}, Prefix: pfx("172.16.42.100/32")}}, true}},
		{"what the server was told that a port announced", func(w *world) {
			w.Ports[portID(2)].Learned = []model.AddressPair{{Prefix: pfx("172.16.42.100/32"), MAC: model.MAC{0, 0, 0x5e, 0, 1, 7}}}
		}, func(s *State) any { return s.Neighbors[portID(2)].Learned },
			[]AddressPair{{MAC: model.MAC{0, 0, 0x5e, 0, 1, 7}, Prefix: pfx("172.16.42.100/32")}}},
		{"a router beside the gateway address does not take its place", func(w *world) {
			id := model.RouterID{UUID: uuid('r', 0)}
			w.Routers[id] = RouterParts{Router: &model.Router{ID: id, AdminStateUp: true, Distributed: true},
				Interfaces: []*model.Port{owned(instance(5, 1, 1, "", "172.16.42.254"), model.OwnerDVRInterface)}}
		}, func(s *State) any { return s.Networks[netID(1)].Subnets[0].RouterMAC }, redRouterMAC},
		{"a router that is alone need not be on the gateway address", func(w *world) {
			w.router1().Interfaces[0].FixedIPs[0].Address = adr("172.16.42.254")
		}, func(s *State) any { return s.Networks[netID(1)].Subnets[0].RouterMAC }, redRouterMAC},
		{"no ra_mode, no advertisement", func(w *world) { w.Subnets[subID(3)].RAMode = "" },
			func(s *State) any { return len(s.Networks[netID(1)].Advertisements) }, 0},
		{"a router that is down does not advertise", func(w *world) { w.router1().Router.AdminStateUp = false },
			func(s *State) any { return len(s.Networks[netID(1)].Advertisements) }, 0},
		{"dhcpv6-stateful", func(w *world) { w.Subnets[subID(3)].RAMode = model.ModeStateful },
			func(s *State) any {
				a := s.Networks[netID(1)].Advertisements[0]
				return []bool{a.Managed, a.Other, a.Prefixes[0].Autonomous}
			}, []bool{true, false, false}},
		{"dhcpv6-stateless", func(w *world) { w.Subnets[subID(3)].RAMode = model.ModeStateless },
			func(s *State) any {
				a := s.Networks[netID(1)].Advertisements[0]
				return []bool{a.Managed, a.Other, a.Prefixes[0].Autonomous}
			}, []bool{false, true, true}},
		{"without dns_nameservers the DHCP port is the resolver that is advertised", func(w *world) {
			w.Subnets[subID(3)].DNS = nil
			w.Ports[portID(7)] = owned(instance(7, 1, 3, "h1", "fd00:42::2"), model.OwnerDHCP)
			w.c.opts.ServeDNS = true
		}, func(s *State) any { return s.Networks[netID(1)].Advertisements[0].DNS }, []netip.Addr{adr("fd00:42::2")}},
		{"dns_nameservers of :: advertise none", func(w *world) {
			w.Subnets[subID(3)].DNS = []netip.Addr{adr("::")}
			w.Ports[portID(7)] = owned(instance(7, 1, 3, "h1", "fd00:42::2"), model.OwnerDHCP)
			w.c.opts.ServeDNS = true
		}, func(s *State) any { return len(s.Networks[netID(1)].Advertisements[0].DNS) }, 0},
		{"the DHCP port's address is the server's, and here", func(w *world) {
			w.Ports[portID(7)] = owned(instance(7, 1, 1, "h1", "172.16.42.2"), model.OwnerDHCP)
		}, func(s *State) any {
			d := s.Endpoints[portID(1)].DHCP4
			return []any{d.Server, d.ServerMAC, s.Neighbors[portID(7)].Host}
		}, []any{adr("172.16.42.2"), model.MAC{0xfa, 0x16, 0x3e, 0, 0, 7}, "h0"}},
		{"isolated: metadata by the server, no default route", func(w *world) {
			clear(w.Routers)
			w.Subnets[subID(1)].GatewayIP = netip.Addr{}
			w.Ports[portID(7)] = owned(instance(7, 1, 1, "h1", "172.16.42.2"), model.OwnerDHCP)
		}, func(s *State) any {
			d := s.Endpoints[portID(1)].DHCP4
			return []any{d.Router.IsValid(), d.Routes}
		}, []any{false, []StaticRoute{{Dst: pfx("169.254.169.254/32"), Via: adr("172.16.42.2")}}}},
		{"host routes bring the default route along", func(w *world) {
			w.Subnets[subID(1)].HostRoutes = []model.Route{{Destination: pfx("198.51.100.0/24"), NextHop: adr("172.16.42.9")}}
		}, func(s *State) any { return s.Endpoints[portID(1)].DHCP4.Routes },
			[]StaticRoute{{Dst: pfx("198.51.100.0/24"), Via: adr("172.16.42.9")}, {Dst: pfx("0.0.0.0/0"), Via: adr("172.16.42.1")}}},
		{"an extra route goes out where its next hop is", func(w *world) {
			w.router1().Router.Routes = []model.Route{{Destination: pfx("10.8.0.0/16"), NextHop: adr("172.16.43.4")}}
		}, func(s *State) any { return s.Routers[model.RouterID{UUID: uuid('r', 1)}].Routes[0] },
			Route{Dst: pfx("10.8.0.0/16"), Via: adr("172.16.43.4"), Interface: portID(12)}},
		{"without groups nothing passes", func(*world) {}, func(s *State) any { return s.Endpoints[portID(1)].Policy == nil }, true},
		{"an unknown group allows nothing", func(w *world) {
			w.Endpoints[portID(1)].SecurityGroups = []model.SecurityGroupID{grpID(1)}
		}, func(s *State) any { return s.Endpoints[portID(1)].Policy }, &Policy{Stateful: true}},
		{"groups add up", func(w *world) {
			w.Endpoints[portID(1)].SecurityGroups = []model.SecurityGroupID{grpID(1), grpID(2)}
			w.Groups[grpID(1)] = &Group{ID: grpID(1), Stateful: true, Rules: []Rule{{ID: uuid('u', 2), Protocol: 6, Remote: pfx("10.1.2.3/8")}}}
			w.Groups[grpID(2)] = &Group{ID: grpID(2), Stateful: true, Rules: []Rule{{ID: uuid('u', 1), Protocol: AnyProtocol, RemoteSet: uuid('a', 1)}}}
		}, func(s *State) any { return s.Endpoints[portID(1)].Policy }, &Policy{Stateful: true, Rules: []Rule{
			{ID: uuid('u', 1), Protocol: AnyProtocol, RemoteSet: uuid('a', 1)}, {ID: uuid('u', 2), Protocol: 6, Remote: pfx("10.0.0.0/8")}}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := reference()
			tt.edit(w)
			if d := cmp.Diff(tt.want, tt.check(w.compile()), byValue...); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

type problemCase struct {
	name, want string
	edit       func(w *world)
}

func TestProblems(t *testing.T) {
	expectProblems(t, reference, []problemCase{
		{"two networks with one VNI", "already carried", func(w *world) { w.Networks[netID(2)].Segments[0].SegmentationID = 10 }},
		{"no VNI", "VNI 0", func(w *world) { w.Networks[netID(2)].Segments[0].SegmentationID = 0 }},
		{"no segment", "none of its segments", func(w *world) { w.Networks[netID(2)] = NetworkParts{Network: w.Networks[netID(2)].Network} }},
		{"no MTU", "MTU 0", func(w *world) { w.Networks[netID(2)].Network.MTU = 0 }},
		{"network missing", "not carried out here", func(w *world) { delete(w.Networks, netID(1)) }},
		{"subnet missing", "not known", func(w *world) { delete(w.Subnets, subID(1)) }},
		{"address elsewhere", "outside of its subnet", func(w *world) { w.Ports[portID(1)].FixedIPs[0].Address = adr("10.0.0.1") }},
		{"multicast MAC", "not the MAC address of one station", func(w *world) { w.Ports[portID(1)].MAC = model.Broadcast }},
		{"vnic type", "vnic_type", func(w *world) { w.Endpoints[portID(1)].VNICType = "direct" }},
		{"tunnel address twice", "local_ip", func(w *world) { w.Hosts["h2"].VTEP = w.Hosts["h1"].VTEP }},
		{"next hop nowhere", "none of the router's networks", func(w *world) {
			w.router1().Router.Routes = []model.Route{{Destination: pfx("10.8.0.0/16"), NextHop: adr("10.7.0.1")}}
		}},
		{"next hop itself", "the router itself", func(w *world) {
			w.router1().Router.Routes = []model.Route{{Destination: pfx("10.8.0.0/16"), NextHop: adr("172.16.42.1")}}
		}},
		{"families mixed", "one family", func(w *world) {
			w.router1().Router.Routes = []model.Route{{Destination: pfx("10.8.0.0/16"), NextHop: adr("fd00:42::9")}}
		}},
	})
}

// expectProblems tests that each edit makes a problem that says what is wanted.
func expectProblems(t *testing.T, start func() *world, cases []problemCase) {
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			w := start()
			tt.edit(w)
			s := w.compile()
			for _, p := range s.Problems {
				if strings.Contains(p.Why, tt.want) {
					return
				}
			}
			t.Errorf("no problem says %q: %v", tt.want, s.Problems)
		})
	}
}
