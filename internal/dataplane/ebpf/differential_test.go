package ebpf

import (
	"flag"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/dptest"
	"github.com/weft-cloud/weft/internal/forward"
	"github.com/weft-cloud/weft/internal/hostplan"
)

var (
	frames  = flag.Int("frames", 20, "frames in each random cloud of TestDifferential")
	enough  = flag.Int("packets", 0, "frames that TestDifferential compares at least (scripts/fuzz-plane)")
	fuzzFor = flag.Duration("fuzz-for", 0, "how long TestDifferential goes on at least")
	seed    = flag.Uint64("seed", 0, "the first seed of TestDifferential; 0: WEFT_FUZZ_SEED, or the clock's")
)

// bounds are the flags, or where they are not given, what scripts/test wants.
func bounds(t *testing.T) (first uint64, until time.Duration) {
	first, until = *seed, *fuzzFor
	var err error
	if s := os.Getenv("WEFT_FUZZ_SEED"); first == 0 && s != "" {
		if first, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("WEFT_FUZZ_SEED: %v", err)
		}
	}
	if s := os.Getenv("WEFT_FUZZ_FOR"); until == 0 && s != "" {
		if until, err = time.ParseDuration(s); err != nil {
			t.Fatalf("WEFT_FUZZ_FOR: %v", err)
		}
	}
	if first == 0 {
		first = uint64(time.Now().UnixNano()) //nolint:gosec // positive
	}
	return first, until
}

// differ compares the BPF programs with forward. Each host has programs and maps of its own, which go from cloud to cloud,
// so that what one State leaves behind is in the way of the next.
func differ(t *testing.T) dptest.Differ {
	runners := map[string]*Runner{}
	return dptest.Differ{Plane: func(s *hostplan.State) (dptest.Plane, error) {
		r := runners[s.Host]
		if r == nil {
			r = testRunner(t)
			for i := range defaultTimeouts { // forward has no clock, and this machine may be busy
				setTimeout(t, r, i, 86400)
			}
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
	t.Parallel() // beside what needs no namespaces either, when the rest is through
	n := 0
	reasons := map[reason.Reason]int{}
	kinds := map[forward.OutputKind]int{}
	judged := map[string]int{}
	d := differ(t)
	d.Limits.Policies, d.Limits.Outside, d.Changes, d.Frames = true, true, true, *frames
	d.Count = func(_ dptest.Stimulus, o forward.Result) {
		n++
		reasons[o.Reason]++
		for _, n := range o.Trail {
			for _, what := range []string{"a new connection", "a known connection", "related to a known connection"} {
				if o.Reason == reason.None && strings.Contains(n.Text, ": "+what) {
					judged[what]++
				}
			}
			if n.Stage == "floating ip" && o.Reason == reason.None {
				judged["translated"]++
			}
		}
		for _, x := range o.Outputs {
			kinds[x.Kind]++
		}
	}
	first, until := bounds(t)
	start := time.Now()
	for round := uint64(0); round == 0 || !t.Failed() && (n < *enough || time.Since(start) < until); round++ {
		if err := flag.Set("rapid.seed", strconv.FormatUint(first+round, 10)); err != nil {
			t.Fatal(err)
		}
		rapid.Check(t, d.Check)
		if round%10 == 9 {
			t.Logf("%v: %d frames compared, none differs", time.Since(start).Round(time.Second), n)
		}
	}
	t.Logf("seeds from %d on, %v", first, time.Since(start).Round(time.Second))
	t.Logf("%d frames; delivered %d, tunnelled %d, answered %d, punted %d, out of a NIC %d, left to the host %d", n, kinds[forward.Deliver], kinds[forward.Tunnel],
		kinds[forward.Reply], kinds[forward.Punt], kinds[forward.Outside], kinds[forward.ToHost])
	for what, n := range judged {
		t.Logf("%6d %s", n, what)
	}
	for r, n := range reasons {
		t.Logf("%6d %s", n, forward.Explain(r).What)
	}
}
