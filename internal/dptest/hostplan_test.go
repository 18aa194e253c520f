package dptest

import (
	"bytes"
	"cmp"
	"net/netip"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// The States that planes are tested with are the ones that hostplan makes of such a cloud's objects.
func TestStatesAreHostplans(t *testing.T) {
	t.Run("demo", func(t *testing.T) { compare(t, Demo()) })
	t.Run("random", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			c := Topology(t, Limits{})
			c.plain()
			compare(t, c)
		})
	})
}

// plain takes away what no API would let in, or what is said otherwise there.
func (c *Cloud) plain() {
	for i := range c.Networks {
		n := &c.Networks[i]
		n.Services, n.Advertised, n.Managed = nil, false, false
	}
	for i := range c.Ports {
		if c.Ports[i].Open {
			c.Ports[i].Pairs = nil
		}
	}
	for i := range c.Routers {
		r := &c.Routers[i]
		r.Routes = slices.DeleteFunc(r.Routes, func(x Route) bool {
			own := slices.ContainsFunc(r.Interfaces, func(f Interface) bool {
				return slices.ContainsFunc(f.Addresses, func(p netip.Prefix) bool { return p.Addr() == x.Via })
			})
			return x.Blackhole || own || !r.reaches(x)
		})
	}
}

func (r Router) reaches(x Route) bool { return len(r.leg(x).Addresses) > 0 }

func compare(t interface {
	Helper()
	Fatalf(string, ...any)
}, c *Cloud,
) {
	t.Helper()
	for name, want := range c.States() {
		got := hostplan.Compile(c.objects(name), name, hostplan.Options{})
		if len(got.Problems) > 0 {
			t.Fatalf("hostplan cannot carry out: %v\n%s", got.Problems, Describe(c))
		}
		opts := gocmp.Options{
			cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}), cmpopts.EquateEmpty(),
			cmpopts.IgnoreFields(hostplan.Network{}, "DNSDomain"), cmpopts.IgnoreFields(hostplan.Endpoint{}, "Policy", "DHCP4", "DHCP6"),
			cmpopts.SortSlices(func(a, b hostplan.Route) bool { return a.Dst.Compare(b.Dst) < 0 }),
			cmpopts.SortSlices(func(a, b netip.Prefix) bool { return a.Compare(b) < 0 }),
			cmpopts.SortSlices(func(a, b netip.Addr) bool { return a.Less(b) }),
			cmpopts.SortSlices(func(a, b hostplan.Subnet) bool { return a.Prefix.Compare(b.Prefix) < 0 }),
			cmpopts.SortSlices(func(a, b hostplan.AddressPair) bool {
				return cmp.Or(bytes.Compare(a.MAC[:], b.MAC[:]), a.Prefix.Compare(b.Prefix)) < 0
			}),
		}
		if diff := gocmp.Diff(want, got, opts); diff != "" {
			t.Fatalf("host %s (-dptest +hostplan)\n%s\n%s", name, diff, Describe(c))
		}
	}
}

// objects are what the feed tells the host of the cloud.
func (c *Cloud) objects(host string) *hostplan.Scope {
	s := &hostplan.Scope{
		Hosts: map[string]*model.Host{}, Networks: map[model.NetworkID]hostplan.NetworkParts{}, Subnets: map[model.SubnetID]*model.Subnet{},
		Ports: map[model.PortID]*model.Port{}, Endpoints: map[model.PortID]*model.Port{}, Routers: map[model.RouterID]hostplan.RouterParts{},
		Paths: map[netip.Addr]uint32{},
	}
	for _, h := range c.Hosts {
		s.Hosts[h.Name] = &model.Host{Name: h.Name, VTEP: h.VTEP}
		if h.PathMTU > 0 && h.Name != host {
			s.Paths[h.VTEP] = h.PathMTU + hostplan.Overhead(h.VTEP)
		}
		if !h.NoDVR {
			s.Hosts[h.Name].DVRMAC = DVRMAC(h.Name)
		}
	}
	scope, routers := c.scope(host)
	for _, n := range c.Networks {
		if !scope[n.Name] {
			continue
		}
		s.Networks[NetworkID(n.Name)] = hostplan.NetworkParts{
			Network:  &model.Network{ID: NetworkID(n.Name), AdminStateUp: true, MTU: n.mtu()},
			Segments: []*model.Segment{{NetworkType: model.TypeVXLAN, SegmentationID: n.VNI}},
		}
		for _, v := range n.Subnets {
			id := subnetID(n.Name, v.Prefix)
			s.Subnets[id] = &model.Subnet{ID: id, NetworkID: NetworkID(n.Name), CIDR: v.Prefix, GatewayIP: v.Gateway}
		}
	}
	for _, p := range c.Ports {
		if !scope[p.Network] {
			continue
		}
		s.Ports[PortID(p.Name)] = c.object(p)
		if p.Host == host {
			s.Endpoints[PortID(p.Name)] = &model.Port{Name: p.Name, AdminStateUp: !p.Down}
		}
	}
	for _, r := range c.Routers {
		if routers[r.Name] {
			s.Routers[RouterID(r.Name)] = c.routerObjects(r)
		}
	}
	return s
}

func subnetID(network string, p netip.Prefix) model.SubnetID {
	return model.SubnetID{UUID: id("subnet", network+p.String())}
}

func (c *Cloud) fixed(network string, a netip.Addr) model.FixedIP {
	return model.FixedIP{SubnetID: subnetID(network, c.prefix(network, a).Masked()), Address: a}
}

func (c *Cloud) object(p Port) *model.Port {
	out := &model.Port{ID: PortID(p.Name), NetworkID: NetworkID(p.Network), MAC: PortMAC(p.Name), Host: p.Host, PortSecurity: !p.Open,
		DeviceOwner: "compute:nova"}
	for _, a := range p.Addresses {
		out.FixedIPs = append(out.FixedIPs, c.fixed(p.Network, a))
	}
	for _, x := range p.Pairs {
		out.AddressPairs = append(out.AddressPairs, model.AddressPair{MAC: x.MAC, Prefix: x.Prefix})
	}
	return out
}

func (c *Cloud) routerObjects(r Router) hostplan.RouterParts {
	out := hostplan.RouterParts{Router: &model.Router{ID: RouterID(r.Name), AdminStateUp: !r.Down, Distributed: true}}
	for _, f := range r.Interfaces {
		p := &model.Port{ID: LegID(r.Name, f.key()), NetworkID: NetworkID(f.Network), MAC: LegMAC(r.Name, f.key()), DeviceOwner: model.OwnerDVRInterface}
		for _, a := range f.Addresses {
			p.FixedIPs = append(p.FixedIPs, c.fixed(f.Network, a.Addr()))
		}
		out.Interfaces = append(out.Interfaces, p)
	}
	for _, x := range r.Routes {
		out.Router.Routes = append(out.Router.Routes, model.Route{Destination: x.Dst, NextHop: x.Via})
	}
	return out
}
