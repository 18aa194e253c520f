package dptest

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/forward"

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

// forward agrees with itself: the harness, the generator and the oracle run, and how varied the frames are is shown.
func TestDifferentialHarness(t *testing.T) {
	seen := map[reason.Reason]int{}
	outputs := map[forward.OutputKind]int{}
	d := Differ{
		Limits:  Limits{Policies: true, Outside: true},
		Changes: true,
		Plane: func(s *hostplan.State) (Plane, error) {
			o := &Oracle{}
			return o, o.Apply(s)
		},
		Count: func(_ Stimulus, o forward.Result) {
			seen[o.Reason]++
			for _, x := range o.Outputs {
				outputs[x.Kind]++
			}
		},
	}
	rapid.Check(t, d.Check)
	for r, n := range seen {
		t.Logf("%6d %s", n, forward.Explain(r).What)
	}
	for k := forward.Deliver; k <= forward.ToHost; k++ {
		t.Logf("output kind %d: %d", k, outputs[k])
		if outputs[k] == 0 {
			t.Errorf("no frame made an output of kind %d: the generator is too narrow", k)
		}
	}
}
