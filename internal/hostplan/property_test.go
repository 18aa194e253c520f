package hostplan

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/weft-cloud/weft/internal/model"
)

var byValue = []cmp.Option{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
}

func uuid(kind, n byte) model.UUID { return model.UUID{0: kind, 15: n} }

// world is a tiny universe in which random edits meet often.
type world struct {
	Scope
	c *Compiler
}

func newWorld(o Options) *world {
	return &world{c: NewCompiler("h0", o), Scope: Scope{
		Hosts: map[string]*model.Host{}, Networks: map[model.NetworkID]NetworkParts{}, Subnets: map[model.SubnetID]*model.Subnet{},
		Ports: map[model.PortID]*model.Port{}, Endpoints: map[model.PortID]*model.Port{}, Wires: map[model.NetworkID]struct{}{}, Routers: map[model.RouterID]RouterParts{},
		Groups: map[model.SecurityGroupID]*Group{}, AddressSets: map[model.UUID]*AddressSet{},
		Externals: map[model.NetworkID]ExternalParts{}, FloatingIPs: map[model.FloatingIPID]*FloatingIP{},
		NDPProxies: map[model.NDPProxyID]*NDPProxy{},
	}}
}

func netID(n byte) model.NetworkID       { return model.NetworkID{UUID: uuid('n', n)} }
func subID(n byte) model.SubnetID        { return model.SubnetID{UUID: uuid('s', n)} }
func portID(n byte) model.PortID         { return model.PortID{UUID: uuid('p', n)} }
func grpID(n byte) model.SecurityGroupID { return model.SecurityGroupID{UUID: uuid('g', n)} }

// draw is a generator's hand.
type draw struct{ t *rapid.T }

func (d draw) n(label string, most int) byte { return byte(rapid.IntRange(0, most-1).Draw(d.t, label)) }
func (d draw) bool(label string) bool        { return rapid.Bool().Draw(d.t, label) }
func pick[V any](d draw, label string, vs ...V) V {
	return rapid.SampledFrom(vs).Draw(d.t, label)
}

func (d draw) host() *model.Host {
	n := d.n("host", 3)
	h := &model.Host{Name: fmt.Sprintf("h%d", n)}
	if d.bool("vtep") {
		h.VTEP = netip.AddrFrom4([4]byte{192, 0, 2, d.n("vtep", 4)})
		h.DVRMAC = model.MAC{0xfa, 0x16, 0x3f, 0, 0, n}
	}
	return h
}

func (d draw) network() NetworkParts {
	n := d.n("net", 3)
	p := NetworkParts{Network: &model.Network{ID: netID(n), AdminStateUp: d.bool("up"), MTU: pick(d, "mtu", uint32(0), 1450, 1500)}}
	for range d.n("segments", 3) {
		p.Segments = append(p.Segments, &model.Segment{
			NetworkType:    pick(d, "type", model.TypeVXLAN, model.TypeVXLAN, model.TypeFlat, model.TypeVLAN, model.TypeLocal),
			SegmentationID: uint32(d.n("vni", 3)), Physnet: pick(d, "physnet", "", "a"),
		})
	}
	return p
}

func prefixOf(subnet byte) netip.Prefix {
	if subnet%2 == 1 {
		return netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0xfd, 7: subnet}), 64)
	}
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, subnet, 0}), 24)
}

func addrIn(subnet, host byte) netip.Addr {
	a := prefixOf(subnet).Addr()
	for range host {
		a = a.Next()
	}
	return a
}

func (d draw) subnet() *model.Subnet {
	n := d.n("subnet", 4)
	s := &model.Subnet{ID: subID(n), NetworkID: netID(d.n("net", 3)), CIDR: prefixOf(n), EnableDHCP: d.bool("dhcp"),
		RAMode: pick(d, "ra", "", model.ModeSLAAC, model.ModeStateful, model.ModeStateless)}
	if d.bool("gateway") {
		s.GatewayIP = addrIn(n, 1)
	}
	if d.bool("routes") {
		s.HostRoutes = []model.Route{{Destination: netip.MustParsePrefix("198.51.100.0/24"), NextHop: addrIn(n, 9)}}
	}
	return s
}

func (d draw) port(owner string) *model.Port {
	n := d.n("port", 8)
	p := &model.Port{ID: portID(n), NetworkID: netID(d.n("net", 3)), MAC: model.MAC{0xfa, 0x16, 0x3e, 0, 0, n},
		Host: pick(d, "at", "", "h0", "h0", "h1", "h2"), PortSecurity: d.bool("ps"), DeviceOwner: owner}
	for range d.n("ips", 3) {
		s := d.n("ipsubnet", 4)
		p.FixedIPs = append(p.FixedIPs, model.FixedIP{SubnetID: subID(s), Address: addrIn(s, d.n("ip", 5))})
	}
	if d.bool("pairs") {
		p.AddressPairs = []model.AddressPair{{Prefix: netip.PrefixFrom(addrIn(0, 77), 32-int(d.n("pairbits", 2)))}}
	}
	return p
}

func (d draw) router() RouterParts {
	id := model.RouterID{UUID: uuid('r', d.n("router", 2))}
	r := RouterParts{Router: &model.Router{ID: id, AdminStateUp: d.bool("up"), Distributed: d.bool("dvr"), GatewayHost: pick(d, "gwhost", "", "h0", "h1"), EnableSNAT: d.bool("snat")}}
	seen := map[model.PortID]bool{}
	for range d.n("legs", 4) {
		p := d.port(pick(d, "legowner", model.OwnerDVRInterface, model.OwnerRouterSNAT, model.OwnerRouterInterface))
		p.ID.UUID[1], p.DeviceID, p.Host = 1+id.UUID[15], id.String(), "" // a leg belongs to one router
		if !seen[p.ID] {
			seen[p.ID] = true
			r.Interfaces = append(r.Interfaces, p)
		}
	}
	if d.bool("gateway") {
		r.Gateway = &model.Port{ID: model.PortID{UUID: model.UUID{0: 'p', 1: 9, 15: id.UUID[15]}}, NetworkID: extID(d.n("ext", 2)), DeviceID: id.String(),
			DeviceOwner: model.OwnerRouterGateway, MAC: model.MAC{0xfa, 0x16, 0x3e, 9, 9, pick(d, "gwmac", byte(1), 2)}}
		for range d.n("gwips", 3) {
			s := d.n("gwsubnet", 2)
			r.Gateway.FixedIPs = append(r.Gateway.FixedIPs, model.FixedIP{SubnetID: subID(10 + s), Address: addrIn(10+s, 2+d.n("gwip", 3))})
		}
		r.Plain = []netip.Prefix{prefixOf(d.n("plain", 2))}
	}
	for range d.n("helpers", 3) {
		r.Helpers = append(r.Helpers, Helper{Protocol: 17, Port: 69, Name: pick(d, "helper", "tftp", "sip")})
	}
	if d.bool("extra") {
		s := pick(d, "via", byte(0), 1, 2, 3, 10, 11)
		r.Router.Routes = []model.Route{{Destination: prefixOf(pick(d, "dst", s+2, 0, 10)), NextHop: addrIn(s, 9)}}
	}
	return r
}

func extID(n byte) model.NetworkID { return model.NetworkID{UUID: uuid('x', n)} }

func (d draw) external() ExternalParts {
	x := ExternalParts{Network: &model.Network{ID: extID(d.n("ext", 2)), MTU: pick(d, "mtu", uint32(0), 1500, 1500)}}
	for range 1 + d.n("segments", 2) {
		x.Segments = append(x.Segments, &model.Segment{NetworkType: pick(d, "type", model.TypeFlat, model.TypeVLAN, model.TypeVXLAN),
			SegmentationID: uint32(d.n("vlan", 3)), Physnet: pick(d, "physnet", "a", "b")})
	}
	for n := range d.n("subnets", 3) {
		s := &model.Subnet{ID: subID(10 + n), CIDR: prefixOf(10 + n)}
		if d.bool("gateway") {
			s.GatewayIP = pick(d, "gwaddr", addrIn(10+n, 1), addrIn(10+n, 2), addrIn(20+n, 1))
		}
		x.Subnets = append(x.Subnets, s)
	}
	return x
}

func (d draw) floating() *FloatingIP {
	n := d.n("floating", 4)
	f := &FloatingIP{ID: model.FloatingIPID{UUID: uuid('f', n)}, External: extID(d.n("ext", 2)), Address: addrIn(10, 100+n), Central: d.bool("central"),
		MAC: model.MAC{0xfa, 0x16, 0x3e, 7, 7, n}, Router: model.RouterID{UUID: uuid('r', d.n("router", 2))}, Generation: uint64(d.n("generation", 2))}
	if d.bool("port") {
		f.Port, f.Fixed = portID(d.n("port", 8)), addrIn(d.n("subnet", 4), d.n("ip", 5))
	}
	return f
}

func (d draw) proxy() *NDPProxy {
	n := d.n("proxy", 3)
	return &NDPProxy{ID: model.NDPProxyID{UUID: uuid('d', n)}, External: extID(d.n("ext", 2)), Central: d.bool("central"),
		Router: model.RouterID{UUID: uuid('r', d.n("router", 2))}, Port: portID(d.n("port", 8)), Address: addrIn(1+2*d.n("subnet", 2), d.n("ip", 5))}
}

func (d draw) group() *Group {
	g := &Group{ID: grpID(d.n("group", 3)), Stateful: d.bool("stateful")}
	for range d.n("rules", 3) {
		g.Rules = append(g.Rules, Rule{ID: uuid('u', d.n("rule", 9)), Egress: d.bool("egress"), Protocol: AnyProtocol, PortMin: -1, PortMax: -1})
	}
	for i := range g.Rules { // an id names one rule of one group
		g.Rules[i].ID[1], g.Rules[i].ID[2] = g.ID.UUID[15], byte(i)
	}
	return g
}

func (d draw) facts() *model.Port {
	p := &model.Port{AdminStateUp: d.bool("up"), DNSName: pick(d, "dnsname", "", "a"), VNICType: pick(d, "vnic", "", model.VNICNormal, "direct")}
	for range d.n("groups", 3) {
		p.SecurityGroups = append(p.SecurityGroups, grpID(d.n("group", 3)))
	}
	slices.SortFunc(p.SecurityGroups, func(a, b model.SecurityGroupID) int { return a.Compare(b.UUID) })
	p.SecurityGroups = slices.Compact(p.SecurityGroups)
	return p
}

// edit makes one random change both to the scope and to the compiler.
func (w *world) edit(d draw) {
	del := d.n("delete", 4) == 0
	switch d.n("kind", 13) {
	case 0:
		h := d.host()
		change(del, w.Hosts, h.Name, h, w.c.PutHost, w.c.DeleteHost)
	case 1:
		n := d.network()
		change(del, w.Networks, n.Network.ID, n, w.c.PutNetwork, w.c.DeleteNetwork)
	case 2:
		s := d.subnet()
		change(del, w.Subnets, s.ID, s, w.c.PutSubnet, w.c.DeleteSubnet)
	case 3:
		p := d.port(pick(d, "owner", "compute:nova", "compute:nova", model.OwnerDHCP, model.OwnerFloatingIP))
		change(del, w.Ports, p.ID, p, w.c.PutPort, w.c.DeletePort)
	case 4:
		id, p := portID(d.n("endpoint", 8)), d.facts()
		change(del, w.Endpoints, id, p, func(p *model.Port) { w.c.PutEndpoint(id, p) }, w.c.DeleteEndpoint)
	case 5:
		r := d.router()
		change(del, w.Routers, r.Router.ID, r, w.c.PutRouter, w.c.DeleteRouter)
	case 6:
		g := d.group()
		change(del, w.Groups, g.ID, g, w.c.PutGroup, w.c.DeleteGroup)
	case 7:
		a := &AddressSet{ID: uuid('a', d.n("set", 2))}
		if old := w.AddressSets[a.ID]; old != nil {
			a.Prefixes = old.Prefixes
		}
		p := prefixOf(d.n("prefix", 4))
		if d.bool("address") {
			p = netip.PrefixFrom(p.Addr(), p.Addr().BitLen())
		}
		if a.Prefixes.Has(p) && d.bool("leaves") {
			a.Prefixes = a.Prefixes.Without(p)
		} else {
			a.Prefixes = a.Prefixes.With(p)
		}
		change(del, w.AddressSets, a.ID, a, w.c.PutAddressSet, w.c.DeleteAddressSet)
	case 8:
		x := d.external()
		change(del, w.Externals, x.Network.ID, x, w.c.PutExternal, w.c.DeleteExternal)
	case 9:
		f := d.floating()
		change(del, w.FloatingIPs, f.ID, f, w.c.PutFloatingIP, w.c.DeleteFloatingIP)
	case 10:
		n := d.proxy()
		change(del, w.NDPProxies, n.ID, n, w.c.PutNDPProxy, w.c.DeleteNDPProxy)
	case 11:
		id := netID(d.n("net", 3))
		change(del, w.Wires, id, struct{}{}, func(struct{}) { w.c.PutWire(id) }, w.c.DeleteWire)
	case 12:
		w.Paths = map[netip.Addr]uint32{}
		for range d.n("paths", 3) {
			w.Paths[d.host().VTEP] = pick(d, "path", uint32(40), 1400, 1500)
		}
		w.c.SetPaths(w.Paths)
	}
}

func change[K comparable, V any](del bool, m map[K]V, k K, v V, put func(V), remove func(K)) {
	if del {
		delete(m, k)
		remove(k)
		return
	}
	m[k] = v
	put(v)
}

func drawOptions(d draw) Options {
	return Options{Firewall: d.bool("firewall"), LeaseSeconds: 86400, ServeDNS: d.bool("dns"), IsolatedMetadata: d.bool("isolated"),
		Physnets: pick(d, "physnets", nil, []string{}, []string{"b"})}
}

func TestIncrementalEqualsFull(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := draw{t}
		o := drawOptions(d)
		w := newWorld(o)
		for range rapid.IntRange(1, 60).Draw(t, "edits") {
			w.edit(d)
			if d.n("look", 3) != 0 {
				continue
			}
			got, want := w.c.State(model.Position{}), Compile(&w.Scope, "h0", o)
			if diff := cmp.Diff(want, got, byValue...); diff != "" {
				t.Fatalf("incremental state differs from the full one (-full +incremental):\n%s", diff)
			}
		}
	})
}

// Edits keep what they do not touch, and States that were handed out never change.
func TestUnchangedObjectsKeepTheirPointers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := draw{t}
		w := newWorld(drawOptions(d))
		for range 20 {
			w.edit(d)
		}
		before := w.c.State(model.Position{})
		frozen := *before
		frozen.Networks, frozen.Endpoints = maps.Clone(before.Networks), maps.Clone(before.Endpoints)
		for range 3 {
			w.edit(d)
		}
		after := w.c.State(model.Position{})
		if diff := cmp.Diff(&frozen, before, byValue...); diff != "" {
			t.Fatalf("a State changed after it was handed out:\n%s", diff)
		}
		kept(t, before.Networks, after.Networks)
		kept(t, before.Routers, after.Routers)
		kept(t, before.Endpoints, after.Endpoints)
		kept(t, before.Neighbors, after.Neighbors)
		kept(t, before.AddressSets, after.AddressSets)
		kept(t, before.Peers, after.Peers)
		kept(t, before.Externals, after.Externals)
		kept(t, before.FloatingIPs, after.FloatingIPs)
		kept(t, before.NDPProxies, after.NDPProxies)
		kept(t, before.Centrals, after.Centrals)
		if w.c.State(model.Position{}) != after {
			t.Fatal("without a change there is another State")
		}
	})
}

func kept[K comparable, V any](t *rapid.T, before, after map[K]*V) {
	for k, b := range before {
		if a := after[k]; a != nil && a != b && cmp.Equal(a, b, byValue...) {
			t.Fatalf("%T %v is equal, but another pointer", b, k)
		}
	}
}

// What a gateway host is told in several places agrees.
func TestCentralsAreWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := draw{t}
		w := newWorld(drawOptions(d))
		for range 60 {
			w.edit(d)
		}
		s := w.c.State(model.Position{})
		legs := 0
		for id, k := range s.Centrals {
			if r := s.Routers[id]; k.Distributed != (r != nil) || r != nil && !cmp.Equal(r.Gateway, k.Gateway, byValue...) {
				t.Fatalf("router %v and central %v do not agree", r, k)
			}
			for _, l := range k.Legs {
				legs++
				if e := s.Endpoints[l.Port]; e == nil || e.Device != l.Device || e.MAC != l.MAC || e.PortSecurity || s.Neighbors[l.Port].Host != s.Host {
					t.Fatalf("leg %v has endpoint %v, neighbour %v", l, e, s.Neighbors[l.Port])
				}
			}
			for _, f := range k.FloatingIPs {
				if s.FloatingIPs[f.ID] != f || !f.Central || f.Router != id {
					t.Fatalf("central %v has floating IP %v, the State %v", id, f, s.FloatingIPs[f.ID])
				}
			}
		}
		for id, f := range s.FloatingIPs {
			if k := s.Centrals[f.Router]; f.Central && (k == nil || !slices.Contains(k.FloatingIPs, f)) {
				t.Fatalf("central floating IP %v is in no central part", id)
			}
		}
		for _, e := range s.Endpoints {
			if e.Device == InnerDeviceName(e.Port) {
				legs--
			}
		}
		if legs != 0 {
			t.Fatalf("%d more legs than endpoints of legs", legs)
		}
	})
}
