package api

import (
	"net/http"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/rules"
	"github.com/weft-cloud/weft/internal/server/world"
)

type (
	qosPolicies = Resource[model.QoSPolicy, rules.QoSPolicyExtra]
	qosRules    = Resource[model.QoSRule, rules.QoSRuleExtra]
)

// qosResources are policies with their rules beneath them, the same rules without their policy, and the types of rules.
func qosResources(ru *rules.Rules) []endpoint {
	policies := qosPolicyResource(ru)
	out := []endpoint{policies.compiled(), custom{"policies", policyTags(policies)}, trunkResource(ru).compiled(), custom{"qos/rule-types", ruleTypes}}
	for _, t := range qosRuleTypes {
		rule := qosRuleResource(ru, t, "")
		rule.bindParent = func(q *model.QoSRule, policy model.UUID) { q.PolicyID.UUID, q.Type = policy, t.name }
		rule.parent = func(q *model.QoSRule) model.UUID { return q.PolicyID.UUID }
		nestQoS(policies, rule)
		if t.name == model.QoSPacketRateLimit {
			continue // Neutron has no alias for it
		}
		for _, path := range []string{"alias_" + t.name + "_rules", "alias-" + dashed(t.name) + "-rules"} {
			alias := qosRuleResource(ru, t, "alias_")
			alias.path, alias.create = "qos/"+path, nil
			out = append(out, alias.compiled())
		}
	}
	return out
}

func qosPolicyResource(ru *rules.Rules) *qosPolicies {
	type T = model.QoSPolicy
	r := &qosPolicies{
		name: "policy", plural: "policies", path: "qos/policies", word: "QosPolicy", gone: "QoS policy %s could not be found.", tagged: true,
		source:     table(func(w *world.World) *world.Table[model.QoSPolicyID, T] { return &w.QoSPolicies.Table }),
		id:         func(p *T) model.UUID { return p.ID.UUID },
		meta:       func(p *T) *model.Meta { return &p.Meta },
		project:    func(p *T) string { return p.ProjectID },
		setProject: func(p *T, project string) { p.ProjectID = project },
		create:     ru.CreateQoSPolicy,
		update: func(tx *world.Tx, by *rules.Actor, c Change[T, rules.QoSPolicyExtra]) error {
			return ru.UpdateQoSPolicy(tx, by, c.Old, c.New, c.X)
		},
		remove: ru.DeleteQoSPolicy,
		shared: qosPolicyShared,
		// As in Neutron, which reads the marker of this resource with nobody's eyes.
		freeMarker: true,
		indexes: []index[T]{
			{"project_id", func(w *world.World, v string) rows[T] { return w.QoSPolicies.ByProject(v) }},
			{"tenant_id", func(w *world.World, v string) rows[T] { return w.QoSPolicies.ByProject(v) }},
		},
	}
	r.identified()
	r.text("name", func(p *T) *string { return &p.Name }).rw()
	r.owned()
	r.flag("is_default", func(p *T) *bool { return &p.IsDefault }).rw()
	r.flagOf("shared", qosPolicyShared).rw().convert(func(v Value) (assign[T, rules.QoSPolicyExtra], error) {
		on, err := boolValue(v)
		return func(_ *T, x *rules.QoSPolicyExtra) { x.Shared = rules.Some(on) }, err
	})
	r.derived("rules", func(b []byte, p *T, x *View) []byte {
		return appendList(b, rules.QoSRulesOf(x.W, p.ID), appendQoSRule)
	})
	r.standard()
	return r
}

// policyTags answers /policies/ID/tags: the place of a policy's tags in Neutron, whose policies are otherwise beneath /qos.
func policyTags(policies *qosPolicies) func(c *call, rest []string) error {
	return func(c *call, rest []string) error {
		if len(rest) < 2 || rest[1] != "tags" {
			return errNoPath
		}
		return policies.serveTags(c, rest[0], rest[2:])
	}
}

func qosPolicyShared(p *model.QoSPolicy, x *View) bool {
	return rules.Shared(x.W, model.KindQoSPolicy, p.ID.UUID, x.By.Project)
}

// nestQoS puts rules beneath policies. Who may not create rules at all is told so before he learns whether there is such a
// policy.
func nestQoS(policies *qosPolicies, rule *qosRules) {
	rule.beforeParent = func(c *call) error {
		if c.r.Method != http.MethodPost {
			return nil
		}
		return rule.allowed(c.view(), "create_"+rule.policy, nil, &model.QoSRule{})
	}
	nest(policies, rule)
}

// checkQoSPolicyID refuses the zero identifier: stored, it would mean none.
func checkQoSPolicyID(v Value) error {
	if u, err := uuidValue(v, false); err == nil && u.IsZero() {
		return errNotFound("QosPolicyNotFound", "QoS policy %s could not be found.", v)
	}
	return nil
}
