package api

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/rules"
	"github.com/weft-cloud/weft/internal/server/world"
)

type subnets = Resource[model.Subnet, rules.SubnetExtra]

func subnetResource(ru *rules.Rules) *subnets {
	r := &subnets{
		name: "subnet", plural: "subnets", word: "Subnet", quota: model.KindSubnet, tagged: true,
		source:     table(func(w *world.World) *world.Table[model.SubnetID, model.Subnet] { return &w.Subnets.Table }),
		id:         func(s *model.Subnet) model.UUID { return s.ID.UUID },
		meta:       func(s *model.Subnet) *model.Meta { return &s.Meta },
		project:    func(s *model.Subnet) string { return s.ProjectID },
		setProject: func(s *model.Subnet, p string) { s.ProjectID = p },
		create:     ru.CreateSubnet,
		place: func(tx *world.Tx, by *rules.Actor, s *model.Subnet) error {
			return ru.MayPut(tx, by, s.NetworkID, "subnet")
		},
		update: func(tx *world.Tx, by *rules.Actor, c Change[model.Subnet, rules.SubnetExtra]) error {
			return ru.UpdateSubnet(tx, by, c.Old, c.New, c.X)
		},
		remove:  ru.DeleteSubnet,
		network: func(s *model.Subnet) model.NetworkID { return s.NetworkID },
		shared: func(s *model.Subnet, x *View) bool {
			n := x.W.Networks.Get(s.NetworkID)
			return n != nil && networkShared(n, x)
		},
		indexes: []index[model.Subnet]{
			{"network_id", func(w *world.World, v string) rows[model.Subnet] {
				return w.Subnets.ByNetwork(model.NetworkID{UUID: idOf(v)})
			}},
			{"project_id", func(w *world.World, v string) rows[model.Subnet] { return w.Subnets.ByProject(v) }},
			{"tenant_id", func(w *world.World, v string) rows[model.Subnet] { return w.Subnets.ByProject(v) }},
		},
	}
	r.identified()
	r.text("name", func(s *model.Subnet) *string { return &s.Name }).rw()
	r.owned()
	r.number("ip_version", func(s *model.Subnet) int64 { return int64(s.IPVersion()) }).must().convert(ipVersionValue)
	r.uuid("network_id", func(s *model.Subnet) *model.UUID { return &s.NetworkID.UUID }).must()
	r.uuid("subnetpool_id", func(s *model.Subnet) *model.UUID { return &s.PoolID.UUID }).inPost()
	r.input("prefixlen", func(v Value) (assign[model.Subnet, rules.SubnetExtra], error) {
		n, err := lengthValue(v)
		return func(_ *model.Subnet, x *rules.SubnetExtra) { x.PrefixLen = n }, err
	}).inPost()
	r.input("use_default_subnetpool", func(v Value) (assign[model.Subnet, rules.SubnetExtra], error) {
		on, err := boolValue(v)
		return func(_ *model.Subnet, x *rules.SubnetExtra) { x.UseDefault = on }, err
	}).inPost()
	subnetAddresses(r)
	r.flag("enable_dhcp", func(s *model.Subnet) *bool { return &s.EnableDHCP }).rw().
		initially(func(s *model.Subnet, _ *rules.SubnetExtra) { s.EnableDHCP = true })
	r.nullable("ipv6_ra_mode", func(s *model.Subnet) *string { return &s.RAMode }).inPost().check(checkMode)
	r.nullable("ipv6_address_mode", func(s *model.Subnet) *string { return &s.AddressMode }).inPost().check(checkMode)
	r.uuid("segment_id", func(s *model.Subnet) *model.UUID { return &s.SegmentID.UUID }).rw().guardAny()
	r.flag("dns_publish_fixed_ip", func(s *model.Subnet) *bool { return &s.PublishDNS }).rw()
	subnetLists(r)
	// A filter only: subnets are shared with their networks.
	r.flagOf("shared", r.shared).append = nil
	r.standard()
	return r
}

func ipVersionValue(v Value) (assign[model.Subnet, rules.SubnetExtra], error) {
	n, err := intValue(v)
	if err == nil && n != 4 && n != 6 {
		err = reasonf("'%d' is not in [4, 6].", n)
	}
	return func(_ *model.Subnet, x *rules.SubnetExtra) { x.IPVersion = int(n) }, err
}

func checkMode(v Value) error {
	switch v.text {
	case model.ModeSLAAC, model.ModeStateful, model.ModeStateless:
		return nil
	}
	if v.kind == isNull {
		return reasonf("'None' is not in ['dhcpv6-stateful', 'dhcpv6-stateless', 'slaac'].")
	}
	return reasonf("'%s' is not in ['dhcpv6-stateful', 'dhcpv6-stateless', 'slaac'].", v)
}

// subnetAddresses declares cidr, gateway and pools.
func subnetAddresses(r *subnets) {
	cidr := r.derived("cidr", func(b []byte, s *model.Subnet, _ *View) []byte { return appendPrefix(b, s.CIDR) }).inPost()
	cidr.convert(func(v Value) (assign[model.Subnet, rules.SubnetExtra], error) {
		if v.kind == isNull {
			return func(*model.Subnet, *rules.SubnetExtra) {}, nil
		}
		if _, err := netip.ParsePrefix(v.text); err != nil || v.kind != isString {
			return nil, model.Invalid("%s is not in a CIDR format.", v)
		}
		p, err := subnetValue(v)
		return func(s *model.Subnet, _ *rules.SubnetExtra) { s.CIDR = p.Masked() }, err
	})
	cidr.filterBy(func(_ *View, values []string) (func(*model.Subnet) bool, error) {
		want := make([]netip.Prefix, len(values))
		for i, text := range values {
			p, err := netip.ParsePrefix(text)
			if err != nil {
				return nil, model.Invalid("%s is not in a CIDR format.", text)
			}
			want[i] = p
		}
		return func(s *model.Subnet) bool { return slices.Contains(want, s.CIDR) }, nil
	})
	cidr.compare = func(a, b *model.Subnet) int { return strings.Compare(a.CIDR.String(), b.CIDR.String()) }
	gw := r.derived("gateway_ip", func(b []byte, s *model.Subnet, _ *View) []byte { return appendAddr(b, s.GatewayIP) }).rw()
	gw.convert(func(v Value) (assign[model.Subnet, rules.SubnetExtra], error) {
		if v.kind == isNull {
			return func(_ *model.Subnet, x *rules.SubnetExtra) { x.Gateway = rules.Some(netip.Addr{}) }, nil
		}
		a, err := addrValue(v)
		return func(_ *model.Subnet, x *rules.SubnetExtra) { x.Gateway = rules.Some(a) }, err
	})
	gw.filterBy(func(_ *View, values []string) (func(*model.Subnet) bool, error) {
		return func(s *model.Subnet) bool {
			return s.GatewayIP.IsValid() && slices.Contains(values, s.GatewayIP.String())
		}, nil
	})
	gw.compare = func(a, b *model.Subnet) int { return a.GatewayIP.Compare(b.GatewayIP) }
	r.derived("allocation_pools", func(b []byte, s *model.Subnet, _ *View) []byte {
		return appendList(b, s.Pools, func(b []byte, p model.AddrRange) []byte {
			b = appendAddr(append(b, `{"start": `...), p.First)
			return append(appendAddr(append(b, `, "end": `...), p.Last), '}')
		})
	}).rw().convert(func(v Value) (assign[model.Subnet, rules.SubnetExtra], error) {
		pools, err := poolsValue(v)
		return func(_ *model.Subnet, x *rules.SubnetExtra) { x.Pools = rules.Some(pools) }, err
	})
}

// subnetLists declares nameservers, host routes and service types.
func subnetLists(r *subnets) {
	r.derived("dns_nameservers", func(b []byte, s *model.Subnet, _ *View) []byte { return appendList(b, s.DNS, appendAddr) }).rw().
		convert(func(v Value) (assign[model.Subnet, rules.SubnetExtra], error) {
			addrs, err := addrsValue(v)
			return func(s *model.Subnet, _ *rules.SubnetExtra) { s.DNS = addrs }, err
		})
	r.derived("host_routes", func(b []byte, s *model.Subnet, _ *View) []byte { return appendRoutes(b, s.HostRoutes) }).rw().
		convert(func(v Value) (assign[model.Subnet, rules.SubnetExtra], error) {
			routes, err := routesValue(v)
			return func(s *model.Subnet, _ *rules.SubnetExtra) { s.HostRoutes = routes }, err
		})
	r.derived("service_types", func(b []byte, s *model.Subnet, _ *View) []byte { return appendStrings(b, s.ServiceTypes) }).rw().
		convert(func(v Value) (assign[model.Subnet, rules.SubnetExtra], error) {
			types, err := serviceTypesValue(v)
			return func(s *model.Subnet, _ *rules.SubnetExtra) { s.ServiceTypes = types }, err
		})
}

func serviceTypesValue(v Value) ([]string, error) {
	if noList(v) {
		return nil, nil
	}
	items, err := listValue(v)
	if err != nil {
		return nil, badRequest("Subnet service types must be a list.")
	}
	var out []string
	for _, item := range items {
		if item.kind != isString {
			return nil, model.Errf(model.KindInvalid, "InvalidInputSubnetServiceType", "Subnet service type %s is not a string.", item)
		}
		if kind, _, ok := strings.Cut(item.text, ":"); !ok || kind == "" || len(item.text) > 255 {
			return nil, model.Errf(model.KindInvalid, "InvalidSubnetServiceType", "Subnet service type %s does not correspond to a valid device owner: write it as one, kind:name.", item)
		}
		if slices.Contains(out, item.text) {
			return nil, reasonf("Duplicate items in the list: '%s'.", item)
		}
		out = append(out, item.text)
	}
	return out, nil
}

// idOf is the identifier that a text is; the zero one, which nothing has, for any other text.
func idOf(s string) model.UUID {
	u, err := model.ParseUUID(s)
	if err != nil {
		return model.UUID{}
	}
	return u
}
