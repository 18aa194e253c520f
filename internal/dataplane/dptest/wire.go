package dptest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/forward"
	"github.com/weft-cloud/weft/internal/hostplan"
)

// Wire is a plane on real hosts with real interfaces: the hosts of Demo(), and an instance behind each of its ports.
type Wire interface {
	// Apply programs all hosts.
	Apply(states map[string]*hostplan.State) error
	// Forget empties the tables of connections and fragments and lifts all rate limits.
	Forget() error
	// Send lets the instance of the port send a frame, and gathers what comes of it on all hosts until enough says that
	// nothing more is wanted, or a time is up, and a moment longer. ErrSkip: no interface takes the frame.
	Send(port string, frame []byte, enough func(Arrived) bool) (Arrived, error)
}

// Arrived is what came of a frame.
type Arrived struct {
	// To are the frames that instances got, the sender's own included.
	To    map[string][][]byte
	Punts []dataplane.PuntKind
	// Drops counts what all hosts dropped in the meantime.
	Drops map[reason.Reason]uint64
}

// RunWire puts the table of hard packets to a plane between real interfaces. A drop's reason is told by the plane's counters.
func RunWire(t *testing.T, w Wire) {
	plain := false // the hosts are as in Demo()
	for _, c := range Cases() {
		t.Run(c.Name, func(t *testing.T) {
			cloud := Demo()
			if c.Change != nil {
				c.Change(cloud)
			}
			if c.Change != nil || !plain {
				apply(t, w, cloud)
			}
			plain = c.Change == nil && !slices.ContainsFunc(c.Sends, func(s Send) bool { return s.Before != nil })
			if err := w.Forget(); err != nil {
				t.Fatal(err)
			}
			for i, s := range c.Sends {
				if s.Before != nil {
					s.Before(cloud)
					apply(t, w, cloud)
				}
				s.onWire(t, i, w)
			}
		})
	}
}

func apply(t *testing.T, w Wire, c *Cloud) {
	t.Helper()
	if err := w.Apply(c.States()); err != nil {
		t.Fatalf("apply: %v", err)
	}
}

func (s Send) onWire(t *testing.T, i int, w Wire) {
	want := s.Want.arrived(s.From)
	if s.Segment > 0 {
		t.Skip("a frame that is to be cut arrives in pieces")
	}
	got, err := w.Send(s.From, s.Frame, func(a Arrived) bool { return a.text(s.Want.Reason) == want.text(s.Want.Reason) })
	if errors.Is(err, ErrSkip) {
		t.Skip(err)
	} else if err != nil {
		t.Fatalf("frame %d: %v", i, err)
	}
	if diff := cmp.Diff(want.text(s.Want.Reason), got.text(s.Want.Reason)); diff != "" {
		t.Errorf("frame %d: %s\n%s(-want +got)\n%s\ndrops: %v", i, forward.Summary(s.Frame), dump(s.Frame), diff, got.Drops)
	}
}

// arrived is what a Want is on real interfaces, where a reply is a frame like any other.
func (w Want) arrived(from string) Arrived {
	a := Arrived{To: map[string][][]byte{}, Drops: map[reason.Reason]uint64{}}
	for port, f := range w.To {
		a.To[port] = append(a.To[port], f)
	}
	if w.Reply != nil {
		a.To[from] = append(a.To[from], w.Reply)
	}
	if w.Punt != 0 {
		a.Punts = append(a.Punts, w.Punt)
	} else if w.Reason != reason.None {
		a.Drops[w.Reason] = 1
	}
	return a
}

// text is what arrived in words, and whether anything was dropped for the reason why. Copies of a flood that are refused are
// counted as drops, too, so that other reasons say nothing.
func (a Arrived) text(why reason.Reason) string {
	var b strings.Builder
	if why != reason.None {
		fmt.Fprintf(&b, "dropped because %s: %v\n", forward.Explain(why).What, a.Drops[why] > 0)
	}
	for _, k := range a.Punts {
		fmt.Fprintf(&b, "punt kind %d\n", k)
	}
	for _, port := range slices.Sorted(maps.Keys(a.To)) {
		frames := slices.SortedFunc(slices.Values(a.To[port]), bytes.Compare)
		for _, f := range frames {
			fmt.Fprintf(&b, "to port %s: %s\n%s", port, forward.Summary(f), dump(f))
		}
	}
	return b.String()
}
