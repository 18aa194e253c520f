package api

import (
	"iter"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/rules"
	"github.com/weft-cloud/weft/internal/server/world"
)

// qosRuleType is how a type of rules appears: the names of its values ("": it has none) and its directions.
type qosRuleType struct {
	name, rate, burst, dscp string
	directions              []string
}

// maxQoSValue is the largest rate and burst, as Neutron has them.
const maxQoSValue = 1<<31 - 1

// dscpMarks are the code points that Neutron accepts.
var dscpMarks = []int64{0, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 34, 36, 38, 40, 46, 48, 56}

// qosRuleTypes in the order of names.
var qosRuleTypes = []qosRuleType{
	{name: model.QoSBandwidthLimit, rate: "max_kbps", burst: "max_burst_kbps", directions: []string{model.Ingress, model.Egress}},
	{name: model.QoSDSCPMarking, dscp: "dscp_mark"},
	{name: model.QoSMinimumBandwidth, rate: "min_kbps", directions: []string{model.Ingress, model.Egress}},
	{name: model.QoSMinimumPacketRate, rate: "min_kpps", directions: []string{model.Ingress, model.Egress, model.DirectionAny}},
	{name: model.QoSPacketRateLimit, rate: "max_kpps", burst: "max_burst_kpps", directions: []string{model.Ingress, model.Egress}},
}

func dashed(s string) string { return strings.ReplaceAll(s, "_", "-") }

// qosRuleResource is the rules of one type; prefix is "" or "alias_".
func qosRuleResource(ru *rules.Rules, t qosRuleType, prefix string) *qosRules {
	type T = model.QoSRule
	name := prefix + t.name + "_rule"
	r := &qosRules{
		name: name, plural: name + "s", path: name + "s", word: "QosRule", gone: "QoS rule %s could not be found.",
		source:  qosRulesOfType(t.name),
		id:      func(q *T) model.UUID { return q.ID.UUID },
		meta:    func(q *T) *model.Meta { return &q.Meta },
		project: func(q *T) string { return q.ProjectID },
		create:  ru.CreateQoSRule,
		update: func(tx *world.Tx, by *rules.Actor, c Change[T, rules.QoSRuleExtra]) error {
			return ru.UpdateQoSRule(tx, by, c.Old, c.New, c.X)
		},
		remove: ru.DeleteQoSRule,
		shared: func(q *T, x *View) bool { return rules.Shared(x.W, model.KindQoSPolicy, q.PolicyID.UUID, x.By.Project) },
		policy: name,
	}
	if prefix != "" { // whose policy Neutron leaves out
		r.gone = "QoS rule %s for policy  could not be found."
	} else {
		if t.name == model.QoSMinimumPacketRate || t.name == model.QoSPacketRateLimit { // by the newer way, which knows no project of a rule
			r.concealed, r.concealedAs = true, errNoPath
		}
		r.goneUnder = "QoS rule %s for policy %s could not be found."
		r.policy = "policy_" + name
	}
	r.identified()
	for _, owner := range []string{"project_id", "tenant_id"} { // taken, and without a meaning: a rule is its policy's
		r.input(owner, func(v Value) (assign[T, rules.QoSRuleExtra], error) {
			return func(*T, *rules.QoSRuleExtra) {}, noCollection(v)
		}).inPost()
	}
	if t.rate != "" {
		qosValue(r, t.rate, func(q *T) *int64 { return &q.Rate }, inRange).must()
	}
	if t.burst != "" {
		qosValue(r, t.burst, func(q *T) *int64 { return &q.Burst }, inRange)
	}
	if t.dscp != "" {
		qosValue(r, t.dscp, func(q *T) *int64 { return &q.DSCP }, isMark).must()
	}
	if t.directions != nil {
		oneOf(r.text("direction", func(q *T) *string { return &q.Direction }).rw(), t.directions...).
			initially(func(q *T, _ *rules.QoSRuleExtra) { q.Direction = model.Egress })
	}
	return r
}

// qosRulesOfType is the table of rules with those of other types left out.
func qosRulesOfType(typ string) source[model.QoSRule] {
	all := table(func(w *world.World) *world.Table[model.QoSRuleID, model.QoSRule] { return &w.QoSRules.Table })
	only := func(rows iter.Seq[*model.QoSRule]) iter.Seq[*model.QoSRule] {
		return func(yield func(*model.QoSRule) bool) {
			for q := range rows {
				if q.Type == typ && !yield(q) {
					return
				}
			}
		}
	}
	return source[model.QoSRule]{
		get: func(w *world.World, id model.UUID) *model.QoSRule {
			if q := all.get(w, id); q != nil && q.Type == typ {
				return q
			}
			return nil
		},
		all:  func(w *world.World) iter.Seq[*model.QoSRule] { return only(all.all(w)) },
		back: func(w *world.World) iter.Seq[*model.QoSRule] { return only(all.back(w)) },
		after: func(w *world.World, id model.UUID, reverse bool) iter.Seq[*model.QoSRule] {
			return only(all.after(w, id, reverse))
		},
		put:   all.put,
		clone: all.clone,
	}
}

// qosValue declares a number of a rule.
func qosValue(r *qosRules, name string, field func(*model.QoSRule) *int64, check func(int64) error) *attr[model.QoSRule, rules.QoSRuleExtra] {
	return r.number(name, func(q *model.QoSRule) int64 { return *field(q) }).rw().
		convert(func(v Value) (assign[model.QoSRule, rules.QoSRuleExtra], error) {
			n, err := intValue(v)
			if err == nil {
				err = check(n)
			}
			return func(q *model.QoSRule, _ *rules.QoSRuleExtra) { *field(q) = n }, err
		})
}

func inRange(n int64) error {
	switch {
	case n < 0:
		return reasonf("'%d' is too small - must be at least '0'.", n)
	case n > maxQoSValue:
		return reasonf("'%d' is too large - must be no larger than '%d'.", n, maxQoSValue)
	}
	return nil
}

func isMark(n int64) error {
	if !slices.Contains(dscpMarks, n) {
		return reasonf("%d is not in valid_values.", n)
	}
	return nil
}

// appendQoSRule shows a rule within its policy.
func appendQoSRule(b []byte, q *model.QoSRule) []byte {
	i := slices.IndexFunc(qosRuleTypes, func(t qosRuleType) bool { return t.name == q.Type })
	b = appendUUID(append(b, `{"id": `...), q.ID.UUID)
	b = appendUUID(append(b, `, "qos_policy_id": `...), q.PolicyID.UUID)
	b = appendString(append(b, `, "type": `...), q.Type)
	number := func(name string, n int64) {
		if name != "" {
			b = strconv.AppendInt(append(appendString(append(b, ", "...), name), ": "...), n, 10)
		}
	}
	if i >= 0 {
		t := qosRuleTypes[i]
		number(t.rate, q.Rate)
		number(t.burst, q.Burst)
		number(t.dscp, q.DSCP)
	}
	if q.Direction != "" {
		b = appendString(append(b, `, "direction": `...), q.Direction)
	}
	return append(b, '}')
}

// ruleTypes answers /qos/rule-types. all_rules and all_supported make no difference: every type may be used.
func ruleTypes(c *call, rest []string) error {
	if c.r.Method != http.MethodGet || len(rest) > 1 {
		return errMethod
	}
	may := c.may.Enforce("get_rule_type", nil, nil) == nil
	if len(rest) == 0 {
		var types []qosRuleType // who may not is shown none, as in any list
		if may {
			types = qosRuleTypes
		}
		b := appendList(append(c.buffer(), `{"rule_types": `...), types, func(b []byte, t qosRuleType) []byte {
			return append(appendString(append(b, `{"type": `...), t.name), '}')
		})
		c.reply(http.StatusOK, append(b, '}'))
		return nil
	}
	if !c.by.Admin {
		return model.Errf(model.KindForbidden, "NotAuthorized", "Not authorized.")
	}
	for _, t := range qosRuleTypes {
		if t.name == rest[0] {
			if !may {
				return errNoPath
			}
			b := appendString(append(c.buffer(), `{"rule_type": {"type": `...), t.name)
			b = appendParameters(append(b, `, "drivers": [{"name": "weft", "supported_parameters": [`...), t)
			c.reply(http.StatusOK, append(b, `]}]}}`...))
			return nil
		}
	}
	return errNotFound("QosRuleTypeNotFound", "QoS rule type %s could not be found.", rest[0])
}

// appendParameters shows what a type of rules accepts.
func appendParameters(b []byte, t qosRuleType) []byte {
	first := true
	parameter := func(name, kind string) {
		if !first {
			b = append(b, ", "...)
		}
		first = false
		b = appendString(append(b, `{"parameter_name": `...), name)
		b = appendString(append(b, `, "parameter_type": `...), kind)
		b = append(b, `, "parameter_values": `...)
	}
	for _, name := range []string{t.rate, t.burst} {
		if name != "" {
			parameter(name, "range")
			b = append(strconv.AppendInt(append(b, `{"start": 0, "end": `...), maxQoSValue, 10), "}}"...)
		}
	}
	if t.dscp != "" {
		parameter(t.dscp, "choices")
		b = append(appendList(b, dscpMarks, func(b []byte, n int64) []byte { return strconv.AppendInt(b, n, 10) }), '}')
	}
	if t.directions != nil {
		parameter("direction", "choices")
		b = append(appendStrings(b, t.directions), '}')
	}
	return b
}
