package api

import (
	"iter"
	"slices"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/rules"
	"github.com/weft-cloud/weft/internal/server/world"
)

type defaultRules = Resource[model.DefaultRule, rules.DefaultRuleExtra]

// remoteParent is the remote_group_id of a template that means the new group itself.
const remoteParent = "PARENT"

func defaultRuleResource(ru *rules.Rules) *defaultRules {
	type T = model.DefaultRule
	type X = rules.DefaultRuleExtra
	r := &defaultRules{
		name: "default_security_group_rule", plural: "default_security_group_rules", word: "DefaultSecurityGroupRule",
		gone:   "Default Security Group rule %s could not be found.",
		source: defaultRuleSource(),
		id:     func(d *T) model.UUID { return d.Rule.ID.UUID },
		meta:   func(d *T) *model.Meta { return &d.Rule.Meta },
		create: ru.CreateDefaultRule,
		remove: ru.DeleteDefaultRule,
	}
	r.identified()
	ignoredOwner(r)
	r.text("description", func(d *T) *string { return &d.Rule.Description }).inPost()
	oneOf(r.text("direction", func(d *T) *string { return &d.Rule.Direction }).must(), model.Ingress, model.Egress)
	anyCase(r.text("ethertype", func(d *T) *string { return &d.Rule.EtherType }).inPost(), model.EtherIP4, model.EtherIP6).
		initially(func(d *T, _ *X) { d.Rule.EtherType = model.EtherIP4 })
	r.nullable("protocol", func(d *T) *string { return &d.Rule.Protocol }).inPost().convert(ofRule(protocolValue))
	defaultBound(r, "port_range_min", func(v *model.SecurityGroupRule) **int { return &v.PortMin })
	defaultBound(r, "port_range_max", func(v *model.SecurityGroupRule) **int { return &v.PortMax })
	r.nullable("remote_ip_prefix", func(d *T) *string { return &d.Rule.RemoteText }).inPost().convert(ofRule(remotePrefixValue))
	r.uuid("remote_group_id", func(d *T) *model.UUID { return &d.Rule.RemoteGroup.UUID }).inPost().
		convert(func(v Value) (assign[T, X], error) {
			if v.kind == isString && v.text == remoteParent {
				return func(d *T, _ *X) { d.RemoteParent = true }, nil
			}
			u, err := uuidValue(v, true)
			return func(d *T, _ *X) { d.Rule.RemoteGroup.UUID = u }, err
		}).append = func(b []byte, d *T, _ *View) []byte {
		if d.RemoteParent {
			return appendString(b, remoteParent)
		}
		return appendUUID(b, d.Rule.RemoteGroup.UUID)
	}
	r.uuid("remote_address_group_id", func(d *T) *model.UUID { return &d.Rule.RemoteAddrs.UUID }).inPost()
	r.flag("used_in_default_sg", func(d *T) *bool { return &d.InDefault }).inPost()
	r.flag("used_in_non_default_sg", func(d *T) *bool { return &d.InCustom }).inPost().initially(func(d *T, _ *X) { d.InCustom = true })
	return r
}

// ofRule reads into the rule of a template what is read into a rule.
func ofRule(read func(Value) (assign[model.SecurityGroupRule, rules.SecurityGroupRuleExtra], error)) func(Value) (assign[model.DefaultRule, rules.DefaultRuleExtra], error) {
	return func(v Value) (assign[model.DefaultRule, rules.DefaultRuleExtra], error) {
		f, err := read(v)
		return func(d *model.DefaultRule, _ *rules.DefaultRuleExtra) { f(&d.Rule, nil) }, err
	}
}

func defaultBound(r *defaultRules, name string, field func(*model.SecurityGroupRule) **int) {
	r.derived(name, func(b []byte, d *model.DefaultRule, _ *View) []byte { return appendIntOrNull(b, *field(&d.Rule)) }).inPost().
		convert(ofRule(boundValue(field)))
}

// defaultRuleSource is the templates: those that every cloud begins with are no rows until they are changed.
func defaultRuleSource() source[model.DefaultRule] {
	type T = model.DefaultRule
	within := func(w *world.World, keep func(*T) bool) []*T {
		return slices.DeleteFunc(rules.DefaultRules(w), func(d *T) bool { return !keep(d) })
	}
	backward := func(list []*T) iter.Seq[*T] {
		slices.Reverse(list)
		return slices.Values(list)
	}
	return source[T]{
		get: func(w *world.World, id model.UUID) *T {
			for _, d := range rules.DefaultRules(w) {
				if d.Rule.ID.UUID == id {
					return d
				}
			}
			return nil
		},
		all:  func(w *world.World) iter.Seq[*T] { return slices.Values(rules.DefaultRules(w)) },
		back: func(w *world.World) iter.Seq[*T] { return backward(rules.DefaultRules(w)) },
		after: func(w *world.World, id model.UUID, reverse bool) iter.Seq[*T] {
			if reverse {
				return backward(within(w, func(d *T) bool { return d.Rule.ID.Compare(id) < 0 }))
			}
			return slices.Values(within(w, func(d *T) bool { return d.Rule.ID.Compare(id) > 0 }))
		},
		put:   func(tx *world.Tx, d *T) { tx.DefaultRules.Put(d) },
		clone: clone[T],
	}
}
