package api

import (
	"cmp"
	"net/http"
	"net/netip"
	"slices"
	"strconv"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/rules"
	"github.com/weft-cloud/weft/internal/server/world"
)

type subnetPools = Resource[model.SubnetPool, rules.SubnetPoolExtra]

func subnetPoolResource(ru *rules.Rules) *subnetPools {
	type T = model.SubnetPool
	type X = rules.SubnetPoolExtra
	r := &subnetPools{
		single: true, name: "subnetpool", plural: "subnetpools", word: "SubnetPool", quota: model.KindSubnetPool, tagged: true,
		source:     table(func(w *world.World) *world.Table[model.SubnetPoolID, T] { return &w.SubnetPools.Table }),
		id:         func(p *T) model.UUID { return p.ID.UUID },
		meta:       func(p *T) *model.Meta { return &p.Meta },
		project:    func(p *T) string { return p.ProjectID },
		setProject: func(p *T, project string) { p.ProjectID = project },
		create:     ru.CreateSubnetPool,
		update: func(tx *world.Tx, by *rules.Actor, c Change[T, X]) error {
			return ru.UpdateSubnetPool(tx, by, c.Old, c.New, c.X)
		},
		remove: ru.DeleteSubnetPool,
		shared: subnetPoolShared,
		gone:   "Subnet pool %s could not be found.",
		indexes: []index[T]{
			{"project_id", func(w *world.World, v string) rows[T] { return w.SubnetPools.ByProject(v) }},
			{"tenant_id", func(w *world.World, v string) rows[T] { return w.SubnetPools.ByProject(v) }},
			{"address_scope_id", func(w *world.World, v string) rows[T] {
				return w.SubnetPools.ByAddressScope(model.AddressScopeID{UUID: idOf(v)})
			}},
		},
	}
	r.identified()
	r.text("name", func(p *T) *string { return &p.Name }).rw().must().check(notBlank)
	r.owned()
	r.derived("prefixes", func(b []byte, p *T, _ *View) []byte { return appendList(b, p.Prefixes, appendPrefix) }).rw().must().
		convert(func(v Value) (assign[T, X], error) {
			list, err := cidrList(v)
			return func(p *T, _ *X) { p.Prefixes = list }, err
		})
	r.number("ip_version", func(p *T) int64 { return int64(p.IPVersion()) })
	poolLengths(r)
	r.uuid("address_scope_id", func(p *T) *model.UUID { return &p.AddressScope.UUID }).rw()
	r.flag("is_default", func(p *T) *bool { return &p.IsDefault }).rw().guard()
	r.flagOf("shared", subnetPoolShared).inPost().guard().convert(func(v Value) (assign[T, X], error) {
		on, err := boolValue(v)
		return func(_ *T, x *X) { x.Shared = rules.Some(on) }, err
	})
	r.standard()
	r.actions = map[string]func(c *call, id string) error{
		"add_prefixes":            func(c *call, id string) error { return changePrefixes(c, r, id, "add_prefixes", ru.AddPrefixes) },
		"remove_prefixes":         func(c *call, id string) error { return changePrefixes(c, r, id, "remove_prefixes", ru.RemovePrefixes) },
		"onboard_network_subnets": func(c *call, id string) error { return onboard(c, r, id) },
	}
	return r
}

func subnetPoolShared(p *model.SubnetPool, x *View) bool {
	return rules.Shared(x.W, model.KindSubnetPool, p.ID.UUID, x.By.Project)
}

// notBlank refuses a text of nothing but blanks.
func notBlank(v Value) error {
	if v.kind != isString {
		return nil // found otherwise
	}
	for _, c := range v.text {
		if c != ' ' && c != '\t' && c != '\n' {
			return nil
		}
	}
	return reasonf("'%s' Blank strings are not permitted.", v)
}

// poolLengths declares the prefix lengths, which show as texts, and the quota.
func poolLengths(r *subnetPools) {
	type T = model.SubnetPool
	type X = rules.SubnetPoolExtra
	length := func(name string, get func(*T) int, opt func(*X) *rules.Opt[int]) {
		a := r.number(name, func(p *T) int64 { return int64(get(p)) }).rw()
		a.append = func(b []byte, p *T, _ *View) []byte {
			return append(strconv.AppendInt(append(b, '"'), int64(get(p)), 10), '"')
		}
		a.convert(func(v Value) (assign[T, X], error) {
			n, err := lengthValue(v)
			return func(_ *T, x *X) { *opt(x) = n }, err
		})
	}
	length("default_prefixlen", func(p *T) int { return p.DefaultPrefixLen }, func(x *X) *rules.Opt[int] { return &x.Length })
	length("min_prefixlen", func(p *T) int { return p.MinPrefixLen }, func(x *X) *rules.Opt[int] { return &x.MinPrefixLen })
	length("max_prefixlen", func(p *T) int { return p.MaxPrefixLen }, func(x *X) *rules.Opt[int] { return &x.MaxPrefixLen })
	r.derived("default_quota", func(b []byte, p *T, _ *View) []byte { return appendIntOrNull(b, p.DefaultQuota) }).rw().
		convert(func(v Value) (assign[T, X], error) {
			n, err := lengthValue(v)
			return func(p *T, _ *X) {
				if p.DefaultQuota = nil; n.Set {
					p.DefaultQuota = &n.V
				}
			}, err
		}).filterBy(func(_ *View, values []string) (func(*T) bool, error) {
		for _, s := range values {
			if _, err := strconv.Atoi(s); err != nil {
				return nil, model.Invalid("'%s' is not an integer.", s)
			}
		}
		return func(p *T) bool {
			return p.DefaultQuota != nil && slices.Contains(values, strconv.Itoa(*p.DefaultQuota))
		}, nil
	}).sortBy(func(a, b *T) int {
		if a.DefaultQuota == nil || b.DefaultQuota == nil { // none first, as databases have it
			return compareBool(a.DefaultQuota != nil, b.DefaultQuota != nil)
		}
		return cmp.Compare(*a.DefaultQuota, *b.DefaultQuota)
	})
}

// lengthValue reads a number that is not negative.
func lengthValue(v Value) (rules.Opt[int], error) {
	n, err := intValue(v)
	switch {
	case err != nil:
		return rules.Opt[int]{}, err
	case n < 0 || n > 1<<31-1:
		return rules.Opt[int]{}, reasonf("'%s' should be non-negative.", v)
	}
	return rules.Some(int(n)), nil
}

// cidrList reads a list of prefixes; host bits are cleared.
func cidrList(v Value) ([]netip.Prefix, error) {
	items, err := listValue(v)
	if err != nil {
		return nil, err
	}
	out := make([]netip.Prefix, 0, len(items))
	for _, item := range items {
		if a, err := netip.ParseAddr(item.text); err == nil && a.Zone() == "" && !a.Is4In6() {
			return nil, reasonf("'%s' isn't a recognized IP subnet cidr, '%s' is recommended.", item, netip.PrefixFrom(a, a.BitLen()))
		}
		p, err := netip.ParsePrefix(item.text)
		if err != nil || item.kind != isString || p.Addr().Is4In6() {
			return nil, reasonf("'%s' is not a valid IP subnet.", item)
		}
		if slices.Contains(out, p.Masked()) {
			return nil, reasonf("Duplicate items in the list: '%s'.", item)
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

// changePrefixes answers add_prefixes and remove_prefixes.
func changePrefixes(c *call, r *subnetPools, id, op string,
	rule func(*world.Tx, *rules.Actor, *model.SubnetPool, []netip.Prefix) error) error {
	w, err := r.act(c, id, op, func(tx *world.Tx, p *model.SubnetPool, body Value) error {
		v, ok := body.get("prefixes")
		if !ok {
			return badRequest("Failed to parse request. Required attribute 'prefixes' not specified")
		}
		if v.kind != isList {
			return badRequest("Request body contains invalid data: prefixes is no list")
		}
		list, err := prefixesOf(v, "prefixes")
		if err != nil {
			return err
		}
		if len(list) == 0 {
			return badRequest("Request body contains invalid data: prefixes names none")
		}
		return rule(tx, c.by, p, list)
	})
	if err != nil {
		return err
	}
	b := append(c.buffer(), `{"prefixes": `...)
	c.reply(http.StatusOK, append(appendList(b, r.source.get(w, idOf(id)).Prefixes, appendPrefix), '}'))
	return nil
}

// onboard answers onboard_network_subnets.
func onboard(c *call, r *subnetPools, id string) error {
	var out []*model.Subnet
	_, err := r.act(c, id, "onboard_network_subnets", func(tx *world.Tx, p *model.SubnetPool, body Value) error {
		v, ok := body.get("network_id")
		if !ok || v.kind == isNull {
			return model.Invalid("network_id must be specified.")
		}
		network, err := uuidValue(v, false)
		if err != nil {
			return model.Errf(model.KindNotFound, "NetworkNotFound", "Network %s could not be found.", v)
		}
		out, err = c.s.deps.Rules.OnboardNetwork(tx, c.by, p, model.NetworkID{UUID: network})
		return err
	})
	if err != nil {
		return err
	}
	c.reply(http.StatusOK, appendList(c.buffer(), out, func(b []byte, s *model.Subnet) []byte {
		b = appendUUID(append(b, `{"id": `...), s.ID.UUID)
		return append(appendPrefix(append(b, `, "cidr": `...), s.CIDR), '}')
	}))
	return nil
}

type addressScopes = Resource[model.AddressScope, rules.AddressScopeExtra]

func addressScopeResource(ru *rules.Rules) *addressScopes {
	type T = model.AddressScope
	type X = rules.AddressScopeExtra
	r := &addressScopes{
		name: "address_scope", plural: "address_scopes", word: "AddressScope",
		source:     table(func(w *world.World) *world.Table[model.AddressScopeID, T] { return &w.AddressScopes.Table }),
		id:         func(s *T) model.UUID { return s.ID.UUID },
		meta:       func(s *T) *model.Meta { return &s.Meta },
		project:    func(s *T) string { return s.ProjectID },
		setProject: func(s *T, project string) { s.ProjectID = project },
		create:     ru.CreateAddressScope,
		update: func(tx *world.Tx, by *rules.Actor, c Change[T, X]) error {
			return ru.UpdateAddressScope(tx, by, c.New, c.X)
		},
		remove: ru.DeleteAddressScope,
		shared: addressScopeShared,
		gone:   "Address scope %s could not be found.",
	}
	r.identified()
	r.text("name", func(s *T) *string { return &s.Name }).rw()
	r.owned()
	r.number("ip_version", func(s *T) int64 { return int64(s.IPVersion) }).must().convert(func(v Value) (assign[T, X], error) {
		n, err := intValue(v)
		if err == nil && n != 4 && n != 6 {
			err = reasonf("'%d' is not in [4, 6].", n)
		}
		return func(s *T, _ *X) { s.IPVersion = int(n) }, err
	})
	r.flagOf("shared", addressScopeShared).rw().guard().convert(func(v Value) (assign[T, X], error) {
		on, err := boolValue(v)
		return func(_ *T, x *X) { x.Shared = rules.Some(on) }, err
	})
	return r
}

func addressScopeShared(s *model.AddressScope, x *View) bool {
	return rules.Shared(x.W, model.KindAddressScope, s.ID.UUID, x.By.Project)
}
