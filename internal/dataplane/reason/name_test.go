package reason

import (
	"strings"
	"testing"
)

// Each name is in the place of its constant: the words of a few far apart, and the last.
func TestNames(t *testing.T) {
	for r, want := range map[Reason]string{None: "none", SpoofedMAC: "spoofed_mac", UnknownVTEP: "unknown_vtep", NoRoute: "no_route", TooBig: "too_big",
		PolicyIngress: "policy_ingress", PolicyEgress: "policy_egress", ConnTableFull: "conn_table_full", StormLimit: "storm_limit",
		LinkScope: "link_scope", Internal: "internal", ClosedPort: "closed_port", NoUplink: "no_uplink"} {
		if r.String() != want {
			t.Errorf("%d is %q, want %q", r, r, want)
		}
	}
	seen := map[string]bool{}
	for r := None; int(r) < len(names); r++ {
		if s := r.String(); s == "" || seen[s] || s != strings.ToLower(s) {
			t.Errorf("%d: %q", r, s)
		} else {
			seen[s] = true
		}
	}
}
