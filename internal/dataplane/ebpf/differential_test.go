package ebpf

import (
	"flag"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/weft-cloud/weft/internal/dataplane/dptest"
	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/forward"
	"github.com/weft-cloud/weft/internal/hostplan"
)

// Ten million frames are -rapid.checks=20000 -frames=500.
var frames = flag.Int("frames", 20, "frames in each random cloud of TestDifferential")

// differ compares the BPF programs with forward. Each host has programs and maps of its own, which go from cloud to cloud,
// so that what one State leaves behind is in the way of the next.
func differ(t *testing.T) dptest.Differ {
	runners := map[string]*Runner{}
	return dptest.Differ{Plane: func(s *hostplan.State) (dptest.Plane, error) {
		r := runners[s.Host]
		if r == nil {
			r = testRunner(t)
			runners[s.Host] = r
		}
		u := &underTest{r: r, t: t}
		if err := u.Apply(s); err != nil {
			return nil, err
		}
		return u, u.Forget()
	}}
}

// Random clouds, random and broken frames: the programs do what forward says, to the byte. The frames of one cloud are
// partly repeated, so that cached decisions are compared, too.
func TestDifferential(t *testing.T) {
	n := 0
	reasons := map[reason.Reason]int{}
	kinds := map[forward.OutputKind]int{}
	judged := map[string]int{}
	d := differ(t)
	d.Limits.Policies, d.Changes, d.Frames = true, true, *frames
	d.Count = func(_ dptest.Stimulus, o forward.Result) {
		n++
		reasons[o.Reason]++
		for _, n := range o.Trail {
			for _, what := range []string{"a new connection", "a known connection", "related to a known connection"} {
				if o.Reason == reason.None && strings.Contains(n.Text, ": "+what) {
					judged[what]++
				}
			}
		}
		for _, x := range o.Outputs {
			kinds[x.Kind]++
		}
	}
	rapid.Check(t, d.Check)
	t.Logf("%d frames; delivered %d, tunnelled %d, answered %d, punted %d", n, kinds[forward.Deliver], kinds[forward.Tunnel],
		kinds[forward.Reply], kinds[forward.Punt])
	for what, n := range judged {
		t.Logf("%6d %s", n, what)
	}
	for r, n := range reasons {
		t.Logf("%6d %s", n, forward.Explain(r).What)
	}
}
