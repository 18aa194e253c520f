package dptest

import (
	"fmt"

	"github.com/weft-cloud/weft/internal/hostplan"
)

// ruleText is a rule in words.
func ruleText(r hostplan.Rule) string {
	dir, fam := "ingress", "IPv4"
	if r.Egress {
		dir = "egress"
	}
	if r.IPv6 {
		fam = "IPv6"
	}
	text := fmt.Sprintf("%s %s protocol %d ports %d-%d", dir, fam, r.Protocol, r.PortMin, r.PortMax)
	if r.Remote.IsValid() {
		text += " remote " + r.Remote.String()
	}
	if !r.RemoteSet.IsZero() {
		text += " set " + r.RemoteSet.String()
	}
	return text
}
