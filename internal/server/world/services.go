package world

import (
	"iter"

	"github.com/weft-cloud/weft/internal/model"
)

// MeteringLabels by id.
type MeteringLabels struct {
	Table[model.MeteringLabelID, model.MeteringLabel]
}

func newMeteringLabels() MeteringLabels {
	type T = model.MeteringLabel
	return MeteringLabels{newTable(uuidSpec(model.KindMeteringLabel, func(v *T) model.MeteringLabelID { return v.ID },
		func(v *T) *model.Meta { return &v.Meta }, func(v *T) string { return v.ProjectID }))}
}

// MeteringLabelRules by id; index by label.
type MeteringLabelRules struct {
	Table[model.MeteringLabelRuleID, model.MeteringLabelRule]
}

func newMeteringLabelRules() MeteringLabelRules {
	type T = model.MeteringLabelRule
	type K = model.MeteringLabelRuleID
	s := uuidSpec(model.KindMeteringLabelRule, func(v *T) K { return v.ID }, func(v *T) *model.Meta { return &v.Meta }, nil)
	s.indexes = []func(*spec[K, T]) index[T]{
		indexBy[K](hashUUID[model.MeteringLabelID], func(v *T, yield func(model.MeteringLabelID)) { yield(v.LabelID) }),
	}
	return MeteringLabelRules{newTable(s)}
}

// ByLabel yields a label's rules.
func (t *MeteringLabelRules) ByLabel(l model.MeteringLabelID) iter.Seq[*model.MeteringLabelRule] {
	return with(&t.Table, 0, l)
}

// Flavors by id.
type Flavors struct {
	Table[model.FlavorID, model.Flavor]
}

func newFlavors() Flavors {
	type T = model.Flavor
	return Flavors{newTable(uuidSpec(model.KindFlavor, func(v *T) model.FlavorID { return v.ID },
		func(v *T) *model.Meta { return &v.Meta }, nil))}
}

// ServiceProfiles by id.
type ServiceProfiles struct {
	Table[model.ServiceProfileID, model.ServiceProfile]
}

func newServiceProfiles() ServiceProfiles {
	type T = model.ServiceProfile
	return ServiceProfiles{newTable(uuidSpec(model.KindServiceProfile, func(v *T) model.ServiceProfileID { return v.ID },
		func(v *T) *model.Meta { return &v.Meta }, nil))}
}

// Topologies by project.
type Topologies struct {
	Table[string, model.Topology]
}

func newTopologies() Topologies {
	type T = model.Topology
	return Topologies{newTable(textSpec(model.KindTopology, func(v *T) string { return v.ProjectID }, func(v *T) *model.Meta { return &v.Meta }))}
}

// DefaultRules by id.
type DefaultRules struct {
	Table[model.SecurityGroupRuleID, model.DefaultRule]
}

func newDefaultRules() DefaultRules {
	type T = model.DefaultRule
	return DefaultRules{newTable(uuidSpec(model.KindDefaultRule, func(v *T) model.SecurityGroupRuleID { return v.Rule.ID },
		func(v *T) *model.Meta { return &v.Rule.Meta }, nil))}
}
