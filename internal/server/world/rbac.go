package world

import (
	"iter"

	"github.com/weft-cloud/weft/internal/model"
)

// RBACPolicies by id; index by object.
type RBACPolicies struct {
	Table[model.RBACPolicyID, model.RBACPolicy]
}

func newRBACPolicies() RBACPolicies {
	type T = model.RBACPolicy
	s := uuidSpec(model.KindRBACPolicy, func(v *T) model.RBACPolicyID { return v.ID },
		func(v *T) *model.Meta { return &v.Meta }, func(v *T) string { return v.ProjectID })
	s.indexes = []func(*spec[model.RBACPolicyID, T]) index[T]{
		indexBy[model.RBACPolicyID](hashUUID[model.UUID], func(v *T, yield func(model.UUID)) { yield(v.ObjectID) }),
	}
	return RBACPolicies{newTable(s)}
}

// ByObject yields the policies about an object.
func (t *RBACPolicies) ByObject(id model.UUID) iter.Seq[*model.RBACPolicy] {
	return with(&t.Table, 0, id)
}

// Quotas by project.
type Quotas struct {
	Table[string, model.Quota]
}

func newQuotas() Quotas {
	type T = model.Quota
	return Quotas{newTable(textSpec(model.KindQuota, func(v *T) string { return v.ProjectID }, func(v *T) *model.Meta { return &v.Meta }))}
}
