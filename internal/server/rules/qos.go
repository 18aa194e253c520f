package rules

import (
	"slices"
	"strings"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
)

// QoSPolicyExtra is what a client sends for a policy beyond what is stored in it.
type QoSPolicyExtra struct {
	Shared Opt[bool]
}

// QoSRuleExtra is what a client sends for a rule beyond what is stored in it.
type QoSRuleExtra struct{}

// CreateQoSPolicy completes p and puts it.
func (r *Rules) CreateQoSPolicy(tx *world.Tx, _ *Actor, p *model.QoSPolicy, x *QoSPolicyExtra) error {
	if p.ProjectID == "" {
		return badRequest("QoS policy", "A policy belongs to a project, which is not named")
	}
	p.ID = model.QoSPolicyID{UUID: tx.NewUUID()}
	if err := soleDefault(tx, p); err != nil {
		return err
	}
	if x.Shared.V {
		share(tx, p.ProjectID, model.KindQoSPolicy, p.ID.UUID, model.ActionShared)
	}
	tx.QoSPolicies.Put(p)
	return nil
}

// UpdateQoSPolicy puts p, which is old with what the client changed.
func (r *Rules) UpdateQoSPolicy(tx *world.Tx, _ *Actor, _, p *model.QoSPolicy, x *QoSPolicyExtra) error {
	if err := soleDefault(tx, p); err != nil {
		return err
	}
	all := policyFor(&tx.World, model.KindQoSPolicy, p.ID.UUID, model.ActionShared, model.TargetAll)
	switch {
	case x.Shared.Set && x.Shared.V:
		share(tx, p.ProjectID, model.KindQoSPolicy, p.ID.UUID, model.ActionShared)
	case x.Shared.Set && all != nil:
		tx.RBACPolicies.Delete(all.ID)
		if err := r.stillUsable(tx, all); err != nil {
			return err
		}
	}
	tx.QoSPolicies.Put(p)
	return nil
}

// soleDefault tests that p is not a second default of its project.
func soleDefault(tx *world.Tx, p *model.QoSPolicy) error {
	if d := defaultQoSPolicy(tx, p.ProjectID); p.IsDefault && !d.IsZero() && d != p.ID {
		return model.Errf(model.KindConflict, "QoSPolicyDefaultAlreadyExists", "A default QoS policy exists for project %s.", p.ProjectID)
	}
	return nil
}

// defaultQoSPolicy is the policy that a project's new networks get; zero: none.
func defaultQoSPolicy(tx *world.Tx, project string) model.QoSPolicyID {
	for p := range tx.QoSPolicies.ByProject(project) {
		if p.IsDefault {
			return p.ID
		}
	}
	return model.QoSPolicyID{}
}

// DeleteQoSPolicy removes a policy that nothing refers to, with its rules.
func (r *Rules) DeleteQoSPolicy(tx *world.Tx, _ *Actor, p *model.QoSPolicy) error {
	inUse := func(kind string, id model.UUID) error {
		return model.Errf(model.KindConflict, "QosPolicyInUse", "QoS Policy %s is used by %s %s.", p.ID, kind, id)
	}
	for n := range tx.Networks.ByQoSPolicy(p.ID) {
		return inUse("network", n.ID.UUID)
	}
	for o := range tx.Ports.ByQoSPolicy(p.ID) {
		return inUse("port", o.ID.UUID)
	}
	for f := range tx.FloatingIPs.ByQoSPolicy(p.ID) {
		return inUse("floatingip", f.ID.UUID)
	}
	for v := range tx.Routers.All() {
		if v.GatewayQoS == p.ID {
			return inUse("router", v.ID.UUID)
		}
	}
	for _, rule := range slices.Collect(tx.QoSRules.ByPolicy(p.ID)) {
		tx.QoSRules.Delete(rule.ID)
	}
	unshare(tx, p.ID.UUID)
	tx.QoSPolicies.Delete(p.ID)
	return nil
}

// mayUseQoSPolicy reports whether an actor may put a policy on his own things and take it off.
func mayUseQoSPolicy(tx *world.Tx, by *Actor, p *model.QoSPolicy) bool {
	return by.Admin || by.AdvSvc || p.ProjectID == by.Project || Shared(&tx.World, model.KindQoSPolicy, p.ID.UUID, by.Project)
}

// qosPolicyFor is the policy of an id, if the actor may use it.
func qosPolicyFor(tx *world.Tx, by *Actor, id model.QoSPolicyID) (*model.QoSPolicy, error) {
	if p := tx.QoSPolicies.Get(id); p != nil && mayUseQoSPolicy(tx, by, p) {
		return p, nil
	}
	return nil, model.Errf(model.KindNotFound, "QosPolicyNotFound", "QoS policy %s could not be found.", idText(id.UUID))
}

// changeQoSPolicy tests whether an actor may put another policy (zero: none) in the place of old (zero: none). What the
// administrator has imposed, nobody else takes away.
func changeQoSPolicy(tx *world.Tx, by *Actor, old, next model.QoSPolicyID) error {
	if p := tx.QoSPolicies.Get(old); p != nil && !mayUseQoSPolicy(tx, by, p) {
		return model.Errf(model.KindForbidden, "PolicyRemoveAuthorizationError",
			"Failed to remove provided policy %s because you are not authorized.", old)
	}
	if next.IsZero() {
		return nil
	}
	_, err := qosPolicyFor(tx, by, next)
	return err
}

// setGatewayQoS gives a router's gateway the policy asked for, none if the gateway is a new one and nothing was said. The
// router itself is put by the caller.
func setGatewayQoS(tx *world.Tx, by *Actor, v *model.Router, q *GatewayRequest) error {
	next := q.QoS.V
	if g := tx.Ports.Get(v.GatewayPort); !q.QoS.Set && g != nil && g.NetworkID == q.Network {
		next = v.GatewayQoS
	}
	if next == v.GatewayQoS {
		return nil
	}
	if err := changeQoSPolicy(tx, by, v.GatewayQoS, next); err != nil {
		return err
	}
	v.GatewayQoS = next
	return nil
}

// onPhysnet reports whether a network's first segment is one of a physical network; only there bandwidth can be
// guaranteed.
func onPhysnet(w *world.World, n model.NetworkID) bool {
	segments := NetworkSegments(w, n)
	return len(segments) > 0 && segments[0].Physnet != ""
}

// guarantees reports whether a policy has a minimum bandwidth.
func guarantees(tx *world.Tx, p model.QoSPolicyID) bool {
	for rule := range tx.QoSRules.ByPolicy(p) {
		if rule.Type == model.QoSMinimumBandwidth {
			return true
		}
	}
	return false
}

// qosFitsNetwork tests whether a network can have a policy (zero: none).
func qosFitsNetwork(tx *world.Tx, p model.QoSPolicyID, n model.NetworkID) error {
	if guarantees(tx, p) && !onPhysnet(&tx.World, n) {
		return model.Errf(model.KindConflict, "QosRuleNotSupportedByNetwork", "Rule %s is not supported by network %s", model.QoSMinimumBandwidth, n)
	}
	return nil
}

// qosFitsPort tests whether a port can have a policy (zero: none).
func qosFitsPort(tx *world.Tx, p model.QoSPolicyID, port *model.Port) error {
	if guarantees(tx, p) && !onPhysnet(&tx.World, port.NetworkID) {
		return model.Errf(model.KindConflict, "QosRuleNotSupported", "Rule %s is not supported by port %s", model.QoSMinimumBandwidth, port.ID)
	}
	return nil
}

// CreateQoSRule completes q, whose PolicyID and Type are set, and puts it.
func (r *Rules) CreateQoSRule(tx *world.Tx, _ *Actor, q *model.QoSRule, _ *QoSRuleExtra) error {
	p := tx.QoSPolicies.Get(q.PolicyID)
	if p == nil {
		return model.Errf(model.KindNotFound, "QosPolicyNotFound", "QoS policy %s could not be found.", idText(q.PolicyID.UUID))
	}
	q.ID, q.ProjectID = model.QoSRuleID{UUID: tx.NewUUID()}, p.ProjectID
	return r.putQoSRule(tx, q)
}

// UpdateQoSRule puts q, which is old with what the client changed.
func (r *Rules) UpdateQoSRule(tx *world.Tx, _ *Actor, _, q *model.QoSRule, _ *QoSRuleExtra) error {
	return r.putQoSRule(tx, q)
}

// putQoSRule puts a rule that agrees with its policy's others, and with what has the policy.
func (r *Rules) putQoSRule(tx *world.Tx, q *model.QoSRule) error {
	for other := range tx.QoSRules.ByPolicy(q.PolicyID) {
		if err := agree(q, other); err != nil {
			return err
		}
	}
	tx.QoSRules.Put(q)
	for n := range tx.Networks.ByQoSPolicy(q.PolicyID) {
		if err := qosFitsNetwork(tx, q.PolicyID, n.ID); err != nil {
			return err
		}
	}
	for p := range tx.Ports.ByQoSPolicy(q.PolicyID) {
		if err := qosFitsPort(tx, q.PolicyID, p); err != nil {
			return err
		}
	}
	touchQoSPolicy(tx, q.PolicyID)
	return nil
}

// agree tests a rule against another one of its policy: no two say the same thing, no minimum is above a limit.
func agree(q, other *model.QoSRule) error {
	if other.ID == q.ID {
		return nil
	}
	apart := q.Direction != other.Direction
	if q.Type == model.QoSMinimumPacketRate && other.Type == q.Type && apart && (q.Direction == model.DirectionAny || other.Direction == model.DirectionAny) {
		return model.Errf(model.KindConflict, "QoSRuleParameterConflict",
			"Unable to add the rule with value %s to the policy %s as the existing rule of type %s has value %s.",
			q.Direction, q.PolicyID, other.Type, other.Direction)
	}
	if q.Type == other.Type && !apart {
		return model.Errf(model.KindConflict, "QoSRulesConflict", "Rule %s conflicts with rule %s which already exists in QoS Policy %s.",
			q.Type, other.ID, q.PolicyID)
	}
	low, high := q, other
	if isMinimum(other) {
		low, high = other, q
	}
	if limitOf(low.Type) == high.Type && high.Type != "" && low.Rate > high.Rate {
		return model.Errf(model.KindConflict, "QoSRuleParameterConflict",
			"Unable to add the rule with value %d to the policy %s as the existing rule of type %s has value %d.",
			q.Rate, q.PolicyID, other.Type, other.Rate)
	}
	return nil
}

func isMinimum(q *model.QoSRule) bool { return strings.HasPrefix(q.Type, "minimum_") }

// limitOf is the type that bounds what a type guarantees; "": none.
func limitOf(typ string) string {
	switch typ {
	case model.QoSMinimumBandwidth:
		return model.QoSBandwidthLimit
	case model.QoSMinimumPacketRate:
		return model.QoSPacketRateLimit
	}
	return ""
}

// DeleteQoSRule removes a rule.
func (r *Rules) DeleteQoSRule(tx *world.Tx, _ *Actor, q *model.QoSRule) error {
	tx.QoSRules.Delete(q.ID)
	touchQoSPolicy(tx, q.PolicyID)
	return nil
}

// touchQoSPolicy gives a policy a new revision: one of its rules came, changed or went.
func touchQoSPolicy(tx *world.Tx, id model.QoSPolicyID) {
	if p := tx.QoSPolicies.Get(id); p != nil {
		c := *p
		tx.QoSPolicies.Put(&c)
	}
}

// QoSRulesOf are a policy's rules in the order of type and id.
func QoSRulesOf(w *world.World, p model.QoSPolicyID) []*model.QoSRule {
	out := slices.Collect(w.QoSRules.ByPolicy(p))
	slices.SortStableFunc(out, func(a, b *model.QoSRule) int { return strings.Compare(a.Type, b.Type) })
	return out
}
