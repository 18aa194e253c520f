package dptest

import (
	"fmt"

	"github.com/weft-cloud/weft/internal/hostplan"
)

// Stateful is a policy of rules, with connections.
func Stateful(rules ...hostplan.Rule) *hostplan.Policy {
	p := &hostplan.Policy{Stateful: true, Rules: rules}
	sortRules(p.Rules)
	return p
}

// Stateless is the same without.
func Stateless(rules ...hostplan.Rule) *hostplan.Policy {
	p := Stateful(rules...)
	p.Stateful = false
	return p
}

// Allow is a rule for everyone; ports -1 mean any.
func Allow(egress, v6 bool, proto int16, min, max int32) hostplan.Rule {
	return hostplan.Rule{
		ID:     RuleID(fmt.Sprint(egress, v6, proto, min, max)),
		Egress: egress, IPv6: v6, Protocol: proto, PortMin: min, PortMax: max,
	}
}

// Any allows everything of a direction and family.
func Any(egress, v6 bool) hostplan.Rule { return Allow(egress, v6, hostplan.AnyProtocol, -1, -1) }
