package agent

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/weft-cloud/weft/internal/hostplan"
)

// What is wrong is logged once when it comes, and once when it is over; of very many problems the first, and how many more.
func TestProblemsAreLogged(t *testing.T) {
	var b bytes.Buffer
	a := New(Deps{Log: slog.New(slog.NewTextHandler(&b, nil))})
	lines := func() []string {
		defer b.Reset()
		return strings.Split(strings.TrimSpace(b.String()), "\n")
	}
	missing := hostplan.Problem{Kind: "bridge_mapping", ID: "external", Why: "there is no interface br-ex"}
	a.core.found.Problems = []hostplan.Problem{missing}
	a.say()
	a.say()
	if got := lines(); len(got) != 1 || !strings.Contains(got[0], "level=ERROR") || !strings.Contains(got[0], "there is no interface br-ex") {
		t.Errorf("logged %q", got)
	}
	a.core.done.state = &hostplan.State{Problems: []hostplan.Problem{{Kind: "router", ID: "r", Why: "no way"}}}
	a.core.found.Problems = nil
	a.say()
	if got := strings.Join(lines(), "\n"); !strings.Contains(got, `a problem of this host is over" kind=bridge_mapping`) || !strings.Contains(got, `level=WARN msg="a problem of this host" kind=router`) {
		t.Errorf("logged %s", got)
	}
	a.core.done.state.Problems = nil
	for i := range 1000 {
		a.core.done.state.Problems = append(a.core.done.state.Problems, hostplan.Problem{Kind: "port", ID: fmt.Sprint(i), Why: "full"})
	}
	a.say()
	if got := lines(); len(got) != saidAtOnce+2 || !strings.Contains(strings.Join(got, "\n"), "count=980") {
		t.Errorf("%d lines: %s", len(got), got)
	}
	a.core.done.state.Problems = nil
	a.say()
	if got := lines(); len(got) != saidAtOnce+1 || !strings.Contains(got[saidAtOnce], "count=980") {
		t.Errorf("%d lines: %s", len(got), got)
	}
}
