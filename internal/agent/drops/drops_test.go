package drops

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	port = model.PortID{UUID: model.UUID{1}}
	rule = model.UUID{2}
	old  = model.UUID{3}
)

type fake struct{ events chan dataplane.DropEvent }

func (f fake) Drops() ([]dataplane.DropCount, error) {
	return []dataplane.DropCount{{Reason: reason.UnknownVTEP, Packets: 1, Bytes: 60}, {Port: port, Reason: reason.PolicyIngress, Packets: 7, Bytes: 700}}, nil
}

func (f fake) Rules() ([]dataplane.RuleCount, error) {
	return []dataplane.RuleCount{{Rule: rule, Connections: 4, Drops: 2, DropBytes: 128}, {Rule: old, Connections: 1}}, nil
}

func (f fake) Lost() ([]dataplane.Lost, []string, error) {
	return []dataplane.Lost{{Device: "tap0", Source: "kfree_skb", Why: "FULL_RING", Packets: 3}}, []string{"a word"}, errors.New("no links")
}

func (f fake) Events() <-chan dataplane.DropEvent { return f.events }

func newBook(t *testing.T) (chan<- dataplane.DropEvent, string) {
	t.Helper()
	st := &hostplan.State{Endpoints: map[model.PortID]*hostplan.Endpoint{port: {Port: port, Name: "web", DeviceID: "vm-1", Device: "tap0",
		Policy: &hostplan.Policy{Rules: []hostplan.Rule{{ID: rule, Protocol: 6, PortMin: 22, PortMax: 22}}}}}}
	f := fake{make(chan dataplane.DropEvent)}
	b := New(Deps{Host: "h", Plane: f, State: func() *hostplan.State { return st }, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx, dir) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	// Run listens before it collects.
	f.events <- dataplane.DropEvent{Port: port, Reason: reason.PolicyIngress, Len: 60, Data: make([]byte, 20)}
	for noted := false; !noted; { // it has taken the event, and notes it in its own time
		if err := Read(ctx, dir, func(r Report) { noted = len(r.Events) == 1 }, nil); err != nil {
			t.Fatal(err)
		}
	}
	return f.events, dir
}

func TestReport(t *testing.T) {
	_, dir := newBook(t)
	var r Report
	if err := Read(context.Background(), dir, func(x Report) { r = x }, nil); err != nil {
		t.Fatal(err)
	}
	if len(r.Counts) != 2 || r.Counts[0].Packets != 7 || r.Counts[0].Instance != "vm-1" || r.Counts[0].Name != "web" || r.Counts[0].Reason != "policy_ingress" {
		t.Errorf("counts %+v", r.Counts)
	}
	if len(r.Rules) != 2 || r.Rules[0].Says != "ingress IPv4 tcp 22" || len(r.Rules[0].Ports) != 1 || r.Rules[1].Says != "" {
		t.Errorf("rules %+v", r.Rules)
	}
	if len(r.Kernel) != 1 || r.Kernel[0].Port != port.String() || r.Kernel[0].Why != "FULL_RING" {
		t.Errorf("kernel %+v", r.Kernel)
	}
	if strings.Join(r.Missing, ";") != "a word;no links" {
		t.Errorf("missing %v", r.Missing)
	}
}

func TestFollow(t *testing.T) {
	events, dir := newBook(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	got, seen := make(chan Event), make(chan Report, 1)
	done := make(chan error, 1)
	go func() {
		done <- Read(ctx, dir, func(r Report) { seen <- r }, func(e Event) {
			select {
			case got <- e:
			case <-ctx.Done():
			}
		})
	}()
	<-seen
	events <- dataplane.DropEvent{Port: port, Reason: reason.ConnTableFull, Rule: rule, Len: 60, Data: make([]byte, 14)}
	if e := <-got; e.Reason != "conn_table_full" || e.Says != "ingress IPv4 tcp 22" || e.Host != "h" || e.Name != "web" || e.Length != 60 {
		t.Errorf("%+v", e)
	}
	events <- dataplane.DropEvent{Device: "tap0", Kernel: "FULL_RING", Len: 60}
	if e := <-got; e.Reason != "kernel" || e.Port != port.String() || !strings.Contains(e.What, "FULL_RING") {
		t.Errorf("%+v", e)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// More than are kept: the oldest go.
func TestKeepsTheNewest(t *testing.T) {
	events, dir := newBook(t)
	for i := range 2 * keep {
		events <- dataplane.DropEvent{Port: port, Reason: reason.Malformed, Len: i}
	}
	var r Report
	if err := Read(context.Background(), dir, func(x Report) { r = x }, nil); err != nil {
		t.Fatal(err)
	}
	if len(r.Events) != keep || r.Events[keep-1].Length < 2*keep-2 {
		t.Errorf("%d events, the last %+v", len(r.Events), r.Events[len(r.Events)-1])
	}
}
