package world

import (
	"iter"

	"github.com/weft-cloud/weft/internal/model"
)

// QoSPolicies by id; index by project.
type QoSPolicies struct {
	Table[model.QoSPolicyID, model.QoSPolicy]
}

func newQoSPolicies() QoSPolicies {
	type T = model.QoSPolicy
	s := uuidSpec(model.KindQoSPolicy, func(v *T) model.QoSPolicyID { return v.ID },
		func(v *T) *model.Meta { return &v.Meta }, func(v *T) string { return v.ProjectID })
	s.indexes = []func(*spec[model.QoSPolicyID, T]) index[T]{
		indexBy[model.QoSPolicyID](hashText, func(v *T, yield func(string)) { yield(v.ProjectID) }),
	}
	return QoSPolicies{newTable(s)}
}

// ByProject yields a project's policies.
func (t *QoSPolicies) ByProject(p string) iter.Seq[*model.QoSPolicy] { return with(&t.Table, 0, p) }

// QoSRules by id; index by policy.
type QoSRules struct {
	Table[model.QoSRuleID, model.QoSRule]
}

func newQoSRules() QoSRules {
	type T = model.QoSRule
	s := uuidSpec(model.KindQoSRule, func(v *T) model.QoSRuleID { return v.ID },
		func(v *T) *model.Meta { return &v.Meta }, nil)
	s.indexes = []func(*spec[model.QoSRuleID, T]) index[T]{
		indexBy[model.QoSRuleID](hashUUID[model.QoSPolicyID], func(v *T, yield func(model.QoSPolicyID)) { yield(v.PolicyID) }),
	}
	return QoSRules{newTable(s)}
}

// ByPolicy yields a policy's rules.
func (t *QoSRules) ByPolicy(p model.QoSPolicyID) iter.Seq[*model.QoSRule] {
	return with(&t.Table, 0, p)
}

// ByQoSPolicy yields the networks that refer to a policy.
func (t *Networks) ByQoSPolicy(p model.QoSPolicyID) iter.Seq[*model.Network] {
	return with(&t.Table, networksByQoSPolicy, p)
}

// ByQoSPolicy yields the ports that refer to a policy themselves.
func (t *Ports) ByQoSPolicy(p model.QoSPolicyID) iter.Seq[*model.Port] {
	return with(&t.Table, portsByQoSPolicy, p)
}
