package differential

import (
	"cmp"
	"os"
	"testing"
)

// TestRecordedRefusals compares with what Neutron answered when TestRefusals was last recorded (testdata/refusals.gz, or
// WEFT_TEST_NEUTRON_REPLAY), and needs no Neutron. It fails at a difference that deliberate does not explain, and if the requests are others than
// those recorded.
func TestRecordedRefusals(t *testing.T) {
	recorded := readRecord(t, cmp.Or(os.Getenv("WEFT_TEST_NEUTRON_REPLAY"), "testdata/refusals.gz"))
	p, s := startWeft(t)
	m := &matrix{p: p, play: recorded, share: setting("WEFT_TEST_NEUTRON_SHARE", 100), seed: uint64(setting("WEFT_TEST_NEUTRON_SEED", 1))}
	if testing.Short() {
		m.share = min(m.share, shortShare)
	}
	m.run(t, s)
	for path := range recorded {
		if !m.seen[path] {
			t.Errorf("%s was recorded, and is not compared any more; %s", path, anew)
		}
	}
}

// shortShare is how many percent of the requests are compared with -short.
const shortShare = 10
