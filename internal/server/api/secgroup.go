package api

import (
	"cmp"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/rules"
	"github.com/weft-cloud/weft/internal/server/world"
)

type (
	secGroups = Resource[model.SecurityGroup, rules.SecurityGroupExtra]
	secRules  = Resource[model.SecurityGroupRule, rules.SecurityGroupRuleExtra]
)

func securityGroupResource(ru *rules.Rules) *secGroups {
	r := &secGroups{
		name: "security_group", plural: "security_groups", word: "SecurityGroup", quota: model.KindSecurityGroup, tagged: true,
		source: table(func(w *world.World) *world.Table[model.SecurityGroupID, model.SecurityGroup] {
			return &w.SecurityGroups.Table
		}),
		id:         func(g *model.SecurityGroup) model.UUID { return g.ID.UUID },
		meta:       func(g *model.SecurityGroup) *model.Meta { return &g.Meta },
		project:    func(g *model.SecurityGroup) string { return g.ProjectID },
		setProject: func(g *model.SecurityGroup, p string) { g.ProjectID = p },
		create:     ru.CreateSecurityGroup,
		update: func(tx *world.Tx, by *rules.Actor, c Change[model.SecurityGroup, rules.SecurityGroupExtra]) error {
			return ru.UpdateSecurityGroup(tx, by, c.Old, c.New, c.X)
		},
		remove:  ru.DeleteSecurityGroup,
		shared:  securityGroupShared,
		prepare: ensureDefaultGroup,
		gone:    "Security group %s does not exist",
		indexes: []index[model.SecurityGroup]{
			{"project_id", func(w *world.World, v string) rows[model.SecurityGroup] { return w.SecurityGroups.ByProject(v) }},
			{"tenant_id", func(w *world.World, v string) rows[model.SecurityGroup] { return w.SecurityGroups.ByProject(v) }},
		},
	}
	r.identified()
	r.text("name", func(g *model.SecurityGroup) *string { return &g.Name }).rw()
	r.owned()
	r.flag("stateful", func(g *model.SecurityGroup) *bool { return &g.Stateful }).rw().
		initially(func(g *model.SecurityGroup, _ *rules.SecurityGroupExtra) { g.Stateful = true })
	r.flagOf("shared", securityGroupShared)
	r.derived("security_group_rules", func(b []byte, g *model.SecurityGroup, x *View) []byte {
		return appendList(b, slices.Collect(x.W.SecurityGroupRules.ByGroup(g.ID)), appendNestedRule)
	})
	r.standard()
	return r
}

func securityGroupShared(g *model.SecurityGroup, x *View) bool {
	return rules.Shared(x.W, model.KindSecurityGroup, g.ID.UUID, x.By.Project)
}

// ensureDefaultGroup makes the default group of a project that has none yet, since clients expect to find it.
func ensureDefaultGroup(c *call) error {
	if rules.HasDefaultGroup(c.s.deps.Writer.Snapshot(), c.by.Project) {
		return nil
	}
	_, err := c.do("create_default_security_group", func(tx *world.Tx) error {
		c.s.deps.Rules.EnsureDefaultGroup(tx, c.by.Project)
		return nil
	})
	return err
}

func securityGroupRuleResource(ru *rules.Rules) *secRules {
	type T = model.SecurityGroupRule
	type X = rules.SecurityGroupRuleExtra
	r := &secRules{
		name: "security_group_rule", plural: "security_group_rules", word: "SecurityGroupRule", loaded: true, quota: model.KindSecurityGroupRule,
		source:     table(func(w *world.World) *world.Table[model.SecurityGroupRuleID, T] { return &w.SecurityGroupRules.Table }),
		id:         func(v *T) model.UUID { return v.ID.UUID },
		meta:       func(v *T) *model.Meta { return &v.Meta },
		project:    func(v *T) string { return v.ProjectID },
		setProject: func(v *T, p string) { v.ProjectID = p },
		create:     ru.CreateSecurityGroupRule,
		together:   rules.CheckRulesTogether,
		remove:     ru.DeleteSecurityGroupRule,
		prepare:    ensureDefaultGroup,
		gone:       "Security group rule %s does not exist",
		parentProject: func(v *T, x *View) string {
			if g := x.W.SecurityGroups.Get(v.GroupID); g != nil {
				return g.ProjectID
			}
			return ""
		},
		indexes: []index[T]{{"security_group_id", func(w *world.World, v string) rows[T] {
			return w.SecurityGroupRules.ByGroup(model.SecurityGroupID{UUID: idOf(v)})
		}}},
	}
	r.identified()
	r.owned()
	named(r.uuid("security_group_id", func(v *T) *model.UUID { return &v.GroupID.UUID }).must(), func(x *X) *string { return &x.Group }).
		check(func(v Value) error {
			_, err := textValue(v, 36)
			return err
		})
	oneOf(r.text("direction", func(v *T) *string { return &v.Direction }).must(), "ingress", "egress")
	ether := anyCase(r.text("ethertype", func(v *T) *string { return &v.EtherType }).inPost(), "IPv4", "IPv6").
		initially(func(v *T, _ *X) { v.EtherType = model.EtherIP4 })
	parse := ether.parse
	ether.convert(func(v Value) (assign[T, X], error) {
		f, err := parse(v)
		if err != nil {
			err = model.Errf(model.KindInvalid, "SecurityGroupRuleInvalidEtherType",
				"Security group rule for ethertype '%s' not supported. Allowed values are ['IPv4', 'IPv6'].", v)
		}
		return f, err
	})
	r.nullable("protocol", func(v *T) *string { return &v.Protocol }).inPost().convert(protocolValue)
	portBound(r, "port_range_min", func(v *T) **int { return &v.PortMin })
	portBound(r, "port_range_max", func(v *T) **int { return &v.PortMax })
	r.nullable("remote_ip_prefix", func(v *T) *string { return &v.RemoteText }).inPost().convert(remotePrefixValue)
	named(r.uuid("remote_group_id", func(v *T) *model.UUID { return &v.RemoteGroup.UUID }).inPost(), func(x *X) *string { return &x.Remote })
	named(r.uuid("remote_address_group_id", func(v *T) *model.UUID { return &v.RemoteAddrs.UUID }).inPost(), func(x *X) *string { return &x.Addrs })
	r.derived("normalized_cidr", func(b []byte, v *T, _ *View) []byte { return appendPrefixOrNull(b, rules.NormalizedCIDR(v)) }).
		sortBy(func(a, b *T) int {
			return strings.Compare(rules.NormalizedCIDR(a).String(), rules.NormalizedCIDR(b).String())
		}).filterBy(func(_ *View, values []string) (func(*T) bool, error) {
		return func(v *T) bool {
			p := rules.NormalizedCIDR(v)
			return p.IsValid() && slices.Contains(values, p.String()) || !p.IsValid() && slices.Contains(values, "")
		}, nil
	})
	r.flag("belongs_to_default_sg", func(v *T) *bool { return &v.BelongsDefault }).when(func(*T, *View) bool { return false })
	r.standard()
	for _, name := range []string{"protocol", "port_range_min", "port_range_max", "ethertype", "remote_ip_prefix"} {
		readFilter(r.attr(name))
	}
	return r
}

// readFilter has the values of a filter read as those of a body are, for what is wrong with them.
func readFilter(a *attr[model.SecurityGroupRule, rules.SecurityGroupRuleExtra]) {
	filter := a.filter
	a.filterBy(func(x *View, values []string) (func(*model.SecurityGroupRule) bool, error) {
		for _, s := range values {
			err := rules.CheckProtocol(s)
			if a.name != "protocol" {
				_, err = a.parse(Value{kind: isString, text: s})
			}
			var e *model.Error
			if s == "" && a.name == "remote_ip_prefix" {
				continue // none, which is asked for so
			}
			if errors.As(err, &e) {
				return nil, e
			}
		}
		return filter(x, values)
	})
}

// named makes an identifier take any value: what cannot be one names a thing that is not there, which the rule finds in its turn.
func named[P, E any](a *attribute[P, E], wrong func(x E) *string) *attribute[P, E] {
	parse := a.parse
	return a.convert(func(v Value) (assignment[P, E], error) {
		f, err := parse(v)
		if err != nil && !v.truthy() && !a.required { // null alone is none: with "" a rule for one group would be one for everybody
			return nil, err
		}
		if err == nil || a.required && v.kind == isNull {
			return f, err
		}
		text := v.String()
		return func(_ P, x E) { *wrong(x) = text }, nil
	})
}

// protocolOf restricts a text to some protocols, by their names; what is no protocol at all is refused in other words.
func protocolOf[P, E any](a *attribute[P, E], names ...string) *attribute[P, E] {
	oneOf(a, names...)
	parse := a.parse
	return a.convert(func(v Value) (assignment[P, E], error) {
		if v.kind != isNull && v.kind != isString {
			return nil, model.Invalid("Input value %s must be string type.", v)
		}
		if _, known := rules.ProtocolNumber(v.String(), model.EtherIP4); v.kind != isNull && (!known || v.text == "") {
			return nil, model.Invalid("IP protocol '%s' is not supported. Only protocol names and their integer representation (0 to 255) are supported.", v)
		}
		return parse(v)
	})
}

// anyCase is oneOf for the words that Neutron takes in any case, which is the type of a rule's packets alone. They are kept as listed.
func anyCase[P, E any](a *attribute[P, E], words ...string) *attribute[P, E] {
	oneOf(a, words...)
	parse := a.parse
	a.parse = func(v Value) (assignment[P, E], error) {
		for _, w := range words {
			if v.kind == isString && strings.EqualFold(v.text, w) {
				v.text = w
			}
		}
		return parse(v)
	}
	return a
}

// oneOf restricts a text to words, spelt as they are.
func oneOf[P, E any](a *attribute[P, E], words ...string) *attribute[P, E] {
	parse := a.parse
	a.parse = func(v Value) (assignment[P, E], error) {
		if v.kind == isString && slices.Contains(words, v.text) {
			return parse(v)
		}
		return nil, reasonf("'%s' is not in %s.", v, pyList(words))
	}
	return a
}

func protocolValue(v Value) (assign[model.SecurityGroupRule, rules.SecurityGroupRuleExtra], error) {
	if v.kind == isNull {
		return func(*model.SecurityGroupRule, *rules.SecurityGroupRuleExtra) {}, nil
	}
	text := v.text
	if v.kind != isString && v.kind != isNumber {
		return nil, reasonf("'%s' is not a valid protocol.", v)
	}
	if text == "" {
		return nil, rules.CheckProtocol(text)
	}
	if _, err := strconv.Atoi(text); err != nil {
		text = strings.ToLower(text)
	}
	return func(r *model.SecurityGroupRule, _ *rules.SecurityGroupRuleExtra) { r.Protocol = text }, nil
}

func portBound(r *secRules, name string, field func(*model.SecurityGroupRule) **int) {
	a := r.derived(name, func(b []byte, v *model.SecurityGroupRule, _ *View) []byte { return appendIntOrNull(b, *field(v)) }).inPost()
	a.convert(boundValue(field))
	a.filterBy(func(_ *View, values []string) (func(*model.SecurityGroupRule) bool, error) {
		return func(v *model.SecurityGroupRule) bool {
			p := *field(v)
			return p != nil && slices.Contains(values, strconv.Itoa(*p)) || p == nil && slices.Contains(values, "")
		}, nil
	})
	a.sortBy(func(v, w *model.SecurityGroupRule) int {
		return cmp.Compare(portOr(*field(v), -1), portOr(*field(w), -1))
	})
}

// portOr is a port, or what stands for none.
func portOr(p *int, none int) int {
	if p == nil {
		return none
	}
	return *p
}

// boundValue reads an end of a range of ports.
func boundValue(field func(*model.SecurityGroupRule) **int) func(Value) (assign[model.SecurityGroupRule, rules.SecurityGroupRuleExtra], error) {
	return func(v Value) (assign[model.SecurityGroupRule, rules.SecurityGroupRuleExtra], error) {
		if v.kind == isNull {
			return func(*model.SecurityGroupRule, *rules.SecurityGroupRuleExtra) {}, nil
		}
		n, err := intValue(v)
		if err != nil || n < 0 || n > 65535 {
			return nil, model.Errf(model.KindInvalid, "SecurityGroupInvalidPortValue", "Invalid value for port %s", v)
		}
		i := int(n)
		return func(r *model.SecurityGroupRule, _ *rules.SecurityGroupRuleExtra) { *field(r) = &i }, nil
	}
}

func appendIntOrNull(b []byte, p *int) []byte {
	if p == nil {
		return append(b, "null"...)
	}
	return strconv.AppendInt(b, int64(*p), 10)
}

func appendPrefixOrNull(b []byte, p netip.Prefix) []byte {
	if !p.IsValid() {
		return append(b, "null"...)
	}
	return appendPrefix(b, p)
}

// remotePrefixValue reads remote_ip_prefix: an address, or one with a length; host bits are kept as the client wrote them.
func remotePrefixValue(v Value) (assign[model.SecurityGroupRule, rules.SecurityGroupRuleExtra], error) {
	if !v.truthy() {
		return func(*model.SecurityGroupRule, *rules.SecurityGroupRuleExtra) {}, nil
	}
	p, text, err := prefixOrAddress(v)
	if err != nil {
		return nil, err
	}
	return func(r *model.SecurityGroupRule, _ *rules.SecurityGroupRuleExtra) {
		r.RemotePrefix, r.RemoteText = p, text
	}, nil
}

// prefixOrAddress reads a prefix, or an address as a prefix of its full length.
func prefixOrAddress(v Value) (netip.Prefix, string, error) {
	if v.kind == isString {
		if p, err := netip.ParsePrefix(v.text); err == nil {
			return p, p.String(), nil
		}
		if a, err := netip.ParseAddr(v.text); err == nil && a.Zone() == "" {
			p := netip.PrefixFrom(a, a.BitLen())
			return p, p.String(), nil
		}
	}
	return netip.Prefix{}, "", model.Errf(model.KindInvalid, "InvalidCIDR", "Invalid CIDR %s given as IP prefix.", v)
}

// appendNestedRule shows a rule within its group: with more keys than on its own, as Neutron does.
func appendNestedRule(b []byte, v *model.SecurityGroupRule) []byte {
	b = appendUUID(append(b, `{"id": `...), v.ID.UUID)
	b = appendUUID(append(b, `, "security_group_id": `...), v.GroupID.UUID)
	b = appendString(append(b, `, "project_id": `...), v.ProjectID)
	b = appendString(append(b, `, "tenant_id": `...), v.ProjectID)
	b = appendString(append(b, `, "direction": `...), v.Direction)
	b = appendString(append(b, `, "ethertype": `...), v.EtherType)
	b = appendStringOrNull(append(b, `, "protocol": `...), v.Protocol)
	b = appendIntOrNull(append(b, `, "port_range_min": `...), v.PortMin)
	b = appendIntOrNull(append(b, `, "port_range_max": `...), v.PortMax)
	b = appendStringOrNull(append(b, `, "remote_ip_prefix": `...), v.RemoteText)
	b = appendUUID(append(b, `, "remote_group_id": `...), v.RemoteGroup.UUID)
	b = appendUUID(append(b, `, "remote_address_group_id": `...), v.RemoteAddrs.UUID)
	b = appendPrefixOrNull(append(b, `, "normalized_cidr": `...), rules.NormalizedCIDR(v))
	b = appendStringOrNull(append(b, `, "description": `...), v.Description)
	b = strconv.AppendUint(append(b, `, "standard_attr_id": `...), v.Revision, 10)
	b = append(b, `, "tags": []`...)
	b = appendTime(append(b, `, "created_at": `...), v.CreatedAt)
	b = appendTime(append(b, `, "updated_at": `...), v.UpdatedAt)
	b = strconv.AppendUint(append(b, `, "revision_number": `...), v.Revision, 10)
	return append(b, '}')
}

type addrGroups = Resource[model.AddressGroup, rules.AddressGroupExtra]

func addressGroupResource(ru *rules.Rules) *addrGroups {
	type T = model.AddressGroup
	type X = rules.AddressGroupExtra
	r := &addrGroups{
		name: "address_group", plural: "address_groups", word: "AddressGroup",
		source:     table(func(w *world.World) *world.Table[model.AddressGroupID, T] { return &w.AddressGroups.Table }),
		id:         func(g *T) model.UUID { return g.ID.UUID },
		meta:       func(g *T) *model.Meta { return &g.Meta },
		project:    func(g *T) string { return g.ProjectID },
		setProject: func(g *T, p string) { g.ProjectID = p },
		create:     ru.CreateAddressGroup,
		update: func(tx *world.Tx, by *rules.Actor, c Change[T, X]) error {
			return ru.UpdateAddressGroup(tx, by, c.Old, c.New, c.X)
		},
		remove: ru.DeleteAddressGroup,
		shared: addressGroupShared,
		gone:   "Address group %s could not be found.",
		// Neutron decides whether to tell without having loaded what shares the group.
		concealed: true,
	}
	r.identified()
	r.text("name", func(g *T) *string { return &g.Name }).rw()
	r.owned()
	r.derived("addresses", func(b []byte, g *T, _ *View) []byte { return appendList(b, g.Addresses, appendPrefix) }).inPost().
		convert(func(v Value) (assign[T, X], error) {
			if items, err := listValue(v); err == nil {
				seen := make(map[string]bool, len(items))
				for _, item := range items {
					if a, err := netip.ParseAddr(item.text); err == nil {
						return nil, reasonf("'%s' isn't a recognized IP subnet cidr, '%s' is recommended.", item, netip.PrefixFrom(a, a.BitLen()))
					}
					if item.kind == isString && seen[item.text] {
						return nil, reasonf("Duplicate items in the list: '%s'.", item)
					}
					seen[item.text] = true
				}
			}
			if v.kind == isNull {
				return func(*T, *X) {}, nil
			}
			list, err := prefixList(v)
			return func(g *T, _ *X) { g.Addresses = list }, err
		})
	r.flagOf("shared", addressGroupShared).noFilter()
	r.standard()
	change := func(name string, f func(tx *world.Tx, g *T, p []netip.Prefix) error) {
		r.actions[name] = func(c *call, id string) error { return changeAddresses(c, r, id, f) }
	}
	r.actions = map[string]func(c *call, id string) error{}
	change("add_addresses", ru.AddAddresses)
	change("remove_addresses", ru.RemoveAddresses)
	return r
}

func addressGroupShared(g *model.AddressGroup, x *View) bool {
	return rules.Shared(x.W, model.KindAddressGroup, g.ID.UUID, x.By.Project)
}

// prefixList reads a list of addresses and prefixes.
func prefixList(v Value) ([]netip.Prefix, error) {
	items, err := listValue(v)
	if err != nil {
		return nil, err
	}
	out := make([]netip.Prefix, 0, len(items))
	for _, item := range items {
		p, _, err := prefixOrAddress(item)
		if err != nil {
			return nil, reasonf("'%s' is not a valid IP subnet.", item)
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

// prefixesOf reads the prefixes and addresses that an action is given, each once. Its refusals have the type of netaddr's
// error, which Neutron lets through.
func prefixesOf(v Value, name string) ([]netip.Prefix, error) {
	items, err := listValue(v)
	if err != nil {
		return nil, model.Errf(model.KindInvalid, "AddrFormatError", "%s: %v", name, err)
	}
	var list []netip.Prefix
	for _, item := range items {
		p, _, err := prefixOrAddress(item)
		if err != nil {
			return nil, model.Errf(model.KindInvalid, "AddrFormatError", "invalid IPNetwork %s in %s", item, name)
		}
		if !slices.Contains(list, p.Masked()) {
			list = append(list, p.Masked())
		}
	}
	return list, nil
}

// changeAddresses answers add_addresses and remove_addresses.
func changeAddresses(c *call, r *addrGroups, id string, f func(tx *world.Tx, g *model.AddressGroup, p []netip.Prefix) error) error {
	w, err := r.act(c, id, "update_address_group", func(tx *world.Tx, g *model.AddressGroup, body Value) error {
		v, ok := body.get("addresses")
		if !ok {
			return badRequest("Missing required field: addresses")
		}
		list, err := prefixesOf(v, "addresses")
		if err != nil {
			return err
		}
		return f(tx, g, list)
	})
	if err != nil {
		return err
	}
	x := c.viewOf(w)
	r.answer(c, http.StatusOK, r.source.get(w, idOf(id)), x, r.mask(x, nil))
	return nil
}
