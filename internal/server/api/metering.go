package api

import (
	"net/netip"
	"slices"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/rules"
	"github.com/weft-cloud/weft/internal/server/world"
)

type (
	meteringLabels = Resource[model.MeteringLabel, rules.MeteringExtra]
	meteringRules  = Resource[model.MeteringLabelRule, rules.MeteringExtra]
)

func meteringLabelResource(ru *rules.Rules) *meteringLabels {
	type T = model.MeteringLabel
	r := &meteringLabels{
		name: "metering_label", plural: "metering_labels", path: "metering/metering-labels", word: "MeteringLabel",
		source:     table(func(w *world.World) *world.Table[model.MeteringLabelID, T] { return &w.MeteringLabels.Table }),
		id:         func(l *T) model.UUID { return l.ID.UUID },
		meta:       func(l *T) *model.Meta { return &l.Meta },
		project:    func(l *T) string { return l.ProjectID },
		setProject: func(l *T, p string) { l.ProjectID = p },
		create:     ru.CreateMeteringLabel,
		update:     unchanged[*T, *rules.MeteringExtra],
		remove:     ru.DeleteMeteringLabel,
		gone:       "Metering label '%s' does not exist.",
	}
	r.identified()
	r.text("name", func(l *T) *string { return &l.Name }).inPost()
	ownDescription(r).limit(longText).null = false
	r.owned()
	r.flag("shared", func(l *T) *bool { return &l.Shared }).inPost()
	return r
}

// unchanged is the update of a resource none of whose attributes may be changed.
func unchanged[P, E any](*world.Tx, *rules.Actor, update[P, E]) error { return nil }

// ownDescription declares a description of a resource without standard attributes, set at creation.
func ownDescription[P, E any](r *resource[P, E]) *attribute[P, E] {
	return r.text("description", func(v P) *string { return &r.meta(v).Description }).inPost().orNull()
}

func meteringRuleResource(ru *rules.Rules) *meteringRules {
	type T = model.MeteringLabelRule
	r := &meteringRules{
		name: "metering_label_rule", plural: "metering_label_rules", path: "metering/metering-label-rules", word: "MeteringLabelRule", loaded: true,
		source:  table(func(w *world.World) *world.Table[model.MeteringLabelRuleID, T] { return &w.MeteringLabelRules.Table }),
		id:      func(m *T) model.UUID { return m.ID.UUID },
		meta:    func(m *T) *model.Meta { return &m.Meta },
		project: func(m *T) string { return m.ProjectID },
		create:  ru.CreateMeteringLabelRule,
		update:  unchanged[*T, *rules.MeteringExtra],
		remove:  ru.DeleteMeteringLabelRule,
		gone:    "Metering label rule '%s' does not exist.",
		indexes: []index[T]{{"metering_label_id", func(w *world.World, v string) rows[T] {
			return w.MeteringLabelRules.ByLabel(model.MeteringLabelID{UUID: idOf(v)})
		}}},
	}
	r.identified()
	ignoredOwner(r)
	r.uuid("metering_label_id", func(m *T) *model.UUID { return &m.LabelID.UUID }).must()
	oneOf(r.text("direction", func(m *T) *string { return &m.Direction }).must(), model.Ingress, model.Egress)
	r.flag("excluded", func(m *T) *bool { return &m.Excluded }).inPost()
	prefixAttr(r, "remote_ip_prefix", func(m *T) *netip.Prefix { return &m.Remote }).inPost().late()
	prefixAttr(r, "source_ip_prefix", func(m *T) *netip.Prefix { return &m.Source }).inPost().late()
	prefixAttr(r, "destination_ip_prefix", func(m *T) *netip.Prefix { return &m.Destination }).inPost().late()
	return r
}

// prefixAttr declares a stored prefix, null when there is none.
func prefixAttr[P, E any](r *resource[P, E], name string, field func(P) *netip.Prefix) *attribute[P, E] {
	a := r.derived(name, func(b []byte, v P, _ *View) []byte { return appendPrefixOrNull(b, *field(v)) })
	a.convert(func(v Value) (assignment[P, E], error) {
		if !v.truthy() {
			return func(t P, _ E) { *field(t) = netip.Prefix{} }, nil
		}
		p, err := cidrValue(v)
		return func(t P, _ E) { *field(t) = p }, err
	})
	a.compare = func(p, q P) int { return field(p).Addr().Compare(field(q).Addr()) }
	return a.filterBy(func(_ *View, values []string) (func(P) bool, error) {
		return func(v P) bool {
			if !field(v).IsValid() {
				return slices.Contains(values, "")
			}
			return slices.Contains(values, field(v).String())
		}, nil
	})
}
