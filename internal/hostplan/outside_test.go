package hostplan

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weft-cloud/weft/internal/model"
)

var (
	gatewayMAC  = model.MAC{0xfa, 0x16, 0x3e, 2, 2, 1}
	floatingMAC = model.MAC{0xfa, 0x16, 0x3e, 2, 2, 2}
	reference1  = model.RouterID{UUID: uuid('r', 1)}
	floatingID  = model.FloatingIPID{UUID: uuid('f', 1)}
)

// outside is the reference situation with an external network of two families on VLAN 7, a gateway at h2 and a floating IP of red1.
func outside() *world {
	w := reference()
	w.Externals[extID(1)] = ExternalParts{
		Network:  &model.Network{ID: extID(1), MTU: 1500},
		Segments: []*model.Segment{{NetworkType: model.TypeVLAN, Physnet: "external", SegmentationID: 7}},
		Subnets: []*model.Subnet{
			{ID: subID(10), CIDR: pfx("203.0.113.0/24"), GatewayIP: adr("203.0.113.1")},
			{ID: subID(11), CIDR: pfx("2001:db8::/64"), GatewayIP: adr("fe80::1")},
			{ID: subID(12), CIDR: pfx("198.51.100.0/24"), GatewayIP: adr("198.51.100.1")},
		},
	}
	r := w.router1()
	r.Router.EnableSNAT = true
	r.Gateway = &model.Port{ID: portID(20), NetworkID: extID(1), DeviceOwner: model.OwnerRouterGateway, DeviceID: reference1.String(), MAC: gatewayMAC,
		FixedIPs: []model.FixedIP{{SubnetID: subID(10), Address: adr("203.0.113.9")}, {SubnetID: subID(11), Address: adr("2001:db8::9")}}}
	r.Helpers = []Helper{{17, 69, "tftp"}}
	r.Plain = []netip.Prefix{pfx("172.16.43.0/24")}
	w.Routers[reference1] = r
	w.FloatingIPs[floatingID] = &FloatingIP{ID: floatingID, External: extID(1), Address: adr("203.0.113.77"), MAC: floatingMAC, Router: reference1,
		Port: portID(1), Fixed: adr("172.16.42.4")}
	return w
}

func outsideGateway() *Gateway {
	return &Gateway{Port: portID(20), External: extID(1), MAC: gatewayMAC, Addresses: []netip.Prefix{pfx("203.0.113.9/24"), pfx("2001:db8::9/64")},
		SNAT: true, Plain: []netip.Prefix{pfx("172.16.43.0/24")}, Host: "h2",
		Legs: []Interface{{Port: portID(14), Network: netID(1), MAC: model.MAC{0xfa, 0x16, 0x3e, 0, 0, 14}, Addresses: []netip.Prefix{pfx("172.16.42.9/24")}, MTU: 1450}}}
}

func outward() []Route {
	return []Route{
		{Dst: pfx("0.0.0.0/0"), Via: adr("203.0.113.1"), Interface: portID(20)},
		{Dst: pfx("198.51.100.0/24"), Interface: portID(20)},
		{Dst: pfx("203.0.113.0/24"), Interface: portID(20)},
		{Dst: pfx("::/0"), Via: adr("fe80::1"), Interface: portID(20)},
		{Dst: pfx("2001:db8::/64"), Interface: portID(20)},
	}
}

func TestComputeIsToldTheWayOut(t *testing.T) {
	s := outside().compile()
	if len(s.Problems) > 0 || len(s.Centrals) > 0 {
		t.Errorf("problems %v, centrals %v", s.Problems, s.Centrals)
	}
	r := s.Routers[reference1]
	if d := cmp.Diff(outsideGateway(), r.Gateway, byValue...); d != "" {
		t.Errorf("gateway: %s", d)
	}
	for _, want := range outward() {
		found := false
		for _, got := range r.Routes {
			found = found || got == want
		}
		if !found {
			t.Errorf("no route %v in %v", want, r.Routes)
		}
	}
	x := s.Externals[extID(1)]
	if x.Physnet != "external" || x.VLAN != 7 || x.MTU != 1500 || len(x.Subnets) != 3 {
		t.Errorf("external %v", x)
	}
	if f := s.FloatingIPs[floatingID]; f == nil || f.Central {
		t.Errorf("floating IP %v", f)
	}
	if s.Neighbors[portID(20)] != nil {
		t.Error("the gateway joined a network")
	}
}

func TestGatewayHostIsToldTheCentralPart(t *testing.T) {
	w := outside()
	w.router1().Router.GatewayHost = "h0"
	f := w.FloatingIPs[floatingID]
	f.Central, f.Port = true, portID(2) // on another host, which has no way out
	s := w.compile()
	g := outsideGateway()
	g.Host = "h0"
	want := &Central{
		Router: reference1, Distributed: true, AdminUp: true, Legs: []Leg{{g.Legs[0], "wi-70000000-00"}}, Gateway: g, OuterDevice: "wg-70000000-00",
		Routes:      []Route{outward()[0], {Dst: pfx("172.16.42.0/24"), Interface: portID(14)}, outward()[1], outward()[2], outward()[3], outward()[4]},
		FloatingIPs: []*FloatingIP{f}, Helpers: []Helper{{17, 69, "tftp"}},
	}
	if d := cmp.Diff(want, s.Centrals[reference1], byValue...); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	leg := &Endpoint{Port: portID(14), Network: netID(1), Device: "wi-70000000-00", Owner: model.OwnerRouterSNAT, DeviceID: reference1.String(), AdminUp: true,
		MAC: g.Legs[0].MAC, Addresses: g.Legs[0].Addresses, MTU: 1450}
	if d := cmp.Diff(leg, s.Endpoints[portID(14)], byValue...); d != "" {
		t.Errorf("leg -want +got:\n%s", d)
	}
}

func TestCentralizedRouter(t *testing.T) {
	w := outside()
	r := w.router1()
	r.Router.Distributed, r.Router.GatewayHost = false, "h0"
	r.Interfaces = r.Interfaces[:3]
	for _, p := range r.Interfaces {
		p.DeviceOwner = model.OwnerRouterInterface
	}
	w.Routers[reference1] = r
	w.FloatingIPs[floatingID].Central = true
	s := w.compile()
	k := s.Centrals[reference1]
	if len(s.Routers) != 0 || k == nil || k.Distributed || len(k.Legs) != 3 || k.Gateway.Legs != nil || len(k.FloatingIPs) != 1 {
		t.Errorf("routers %v, central %+v", s.Routers, k)
	}
	if e := s.Endpoints[portID(11)]; e == nil || e.Device != InnerDeviceName(portID(11)) || s.Neighbors[portID(11)].Host != "h0" {
		t.Errorf("leg %v, neighbour %v", e, s.Neighbors[portID(11)])
	}
	if a := s.Networks[netID(1)].Advertisements; len(a) != 1 || a[0].MAC != redRouterMAC || !a[0].DefaultRouter {
		t.Errorf("advertisements %v", a)
	}
	r.Router.GatewayHost = "h1"
	w.Routers[reference1] = r
	s = w.compile()
	if len(s.Centrals) != 0 || s.Endpoints[portID(11)] != nil || s.Neighbors[portID(11)].Host != "h1" {
		t.Errorf("elsewhere: centrals %v, endpoint %v, neighbour %v", s.Centrals, s.Endpoints[portID(11)], s.Neighbors[portID(11)])
	}
}

func TestOutsideSemantics(t *testing.T) {
	routes := func(dst string) func(s *State) any {
		return func(s *State) any {
			for _, r := range s.Routers[reference1].Routes {
				if r.Dst == pfx(dst) {
					return []any{r.Via, r.Interface}
				}
			}
			return nil
		}
	}
	extra := func(dst, via string) func(w *world) {
		return func(w *world) {
			w.router1().Router.Routes = []model.Route{{Destination: pfx(dst), NextHop: adr(via)}}
		}
	}
	for _, tt := range []struct {
		name  string
		edit  func(w *world)
		check func(s *State) any
		want  any
	}{
		{"an extra route to a next hop outside", extra("10.8.0.0/16", "203.0.113.5"), routes("10.8.0.0/16"), []any{adr("203.0.113.5"), portID(20)}},
		{"an instance as default route takes the gateway's place", extra("0.0.0.0/0", "172.16.43.4"), routes("0.0.0.0/0"), []any{adr("172.16.43.4"), portID(12)}},
		{"an external subnet is reached directly, whatever a route says", extra("203.0.113.0/24", "172.16.43.4"), routes("203.0.113.0/24"), []any{netip.Addr{}, portID(20)}},
		{"the default route goes where the router has an address", func(w *world) {
			r := w.router1()
			r.Gateway.FixedIPs = []model.FixedIP{{SubnetID: subID(12), Address: adr("198.51.100.9")}}
		}, routes("0.0.0.0/0"), []any{adr("198.51.100.1"), portID(20)}},
		{"a gateway beside its subnet is on link", func(w *world) { w.Externals[extID(1)].Subnets[0].GatewayIP = adr("192.0.2.1") }, routes("192.0.2.1/32"),
			[]any{netip.Addr{}, portID(20)}},
		{"no gateway, no way out", func(w *world) { r := w.router1(); r.Gateway = nil; w.Routers[reference1] = r }, routes("0.0.0.0/0"), nil},
		{"a router that is down has no floating IPs", func(w *world) { w.router1().Router.AdminStateUp = false }, func(s *State) any { return len(s.FloatingIPs) }, 0},
		{"a secondary address", func(w *world) {
			p := w.Ports[portID(1)]
			p.FixedIPs = append(p.FixedIPs, model.FixedIP{SubnetID: subID(1), Address: adr("172.16.42.44")})
			w.FloatingIPs[floatingID].Fixed = adr("172.16.42.44")
		}, func(s *State) any { return len(s.FloatingIPs) }, 1},
		{"of several segments the one that the host reaches", func(w *world) {
			w.c.opts.Physnets = []string{"other"}
			x := w.Externals[extID(1)]
			x.Segments = append(x.Segments, &model.Segment{NetworkType: model.TypeFlat, Physnet: "other"})
			w.Externals[extID(1)] = x
		}, func(s *State) any { return s.Externals[extID(1)].Physnet }, "other"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := outside()
			tt.edit(w)
			if d := cmp.Diff(tt.want, tt.check(w.compile()), byValue...); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

func TestOutsideProblems(t *testing.T) {
	here := func(w *world) { w.router1().Router.GatewayHost = "h0" }
	expectProblems(t, outside, []problemCase{
		{"no address", "has no address on the external network", func(w *world) { here(w); w.router1().Gateway.FixedIPs = nil }},
		{"gateway host without the physical network", "does not name the physical network external", func(w *world) { here(w); w.c.opts.Physnets = []string{} }},
		{"own host without the physical network", "does not name the physical network external", func(w *world) { w.c.opts.Physnets = []string{"other"} }},
		{"vxlan", "routers cannot lead there", func(w *world) { w.Externals[extID(1)].Segments[0].NetworkType = model.TypeVXLAN }},
		{"VLAN 0", "VLAN 0", func(w *world) { w.Externals[extID(1)].Segments[0].SegmentationID = 0 }},
		{"address of no subnet", "is in no subnet of the external network", func(w *world) { w.router1().Gateway.FixedIPs[0].SubnetID = subID(1) }},
		{"port elsewhere", "is not carried out here", func(w *world) { w.Ports[portID(1)].Host = "h1" }},
		{"not the port's", "is no address of the port", func(w *world) { w.FloatingIPs[floatingID].Fixed = adr("172.16.42.99") }},
		{"another external network", "has no gateway on its external network", func(w *world) { w.FloatingIPs[floatingID].External = extID(0) }},
		{"central elsewhere", `at "h2"`, func(w *world) { w.FloatingIPs[floatingID].Central = true }},
	})
}
