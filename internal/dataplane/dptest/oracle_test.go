package dptest

import (
	"testing"

	"github.com/weft-cloud/weft/internal/hostplan"
)

func newOracle(_ testing.TB, s *hostplan.State) Plane {
	o := &Oracle{}
	_ = o.Apply(s)
	return o
}

func TestOracleCases(t *testing.T) { RunCases(t, newOracle) }

func TestCaseNamesDiffer(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range Cases() {
		if seen[c.Name] {
			t.Errorf("two cases are named %q", c.Name)
		}
		seen[c.Name] = true
	}
	t.Logf("%d cases", len(seen))
}
