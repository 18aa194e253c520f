package sqlite_test

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/weft-cloud/weft/internal/server/store"
	"github.com/weft-cloud/weft/internal/server/store/sqlite"
	"github.com/weft-cloud/weft/internal/server/store/storetest"
)

var errInjected = errors.New("injected")

// plan fails chosen occurrences of steps: plan[StepEntry] = [2] fails the second entry.
type plan struct {
	fail map[sqlite.Step][]int
	seen map[sqlite.Step]int
}

func (p *plan) step(s sqlite.Step) error {
	if p.fail == nil {
		return nil
	}
	p.seen[s]++
	for _, n := range p.fail[s] {
		if n == p.seen[s] {
			return fmt.Errorf("%s %d: %w", s, n, errInjected)
		}
	}
	return nil
}

func (p *plan) set(fail map[sqlite.Step][]int) { p.fail, p.seen = fail, map[sqlite.Step]int{} }

// TestFaults fails an Append to the file at every statement, and before and after its COMMIT, and holds the answer against what the
// store then contains.
func TestFaults(t *testing.T) {
	const certain, done, unknown = "certainly not done", "done", "unknown"
	type faults = map[sqlite.Step][]int
	for _, c := range []struct {
		name      string
		fail      faults
		want      string
		committed bool // what Committed says once the fault is over
	}{
		{"none", faults{}, done, true},
		{"begin", faults{sqlite.StepBegin: {1}}, certain, false},
		{"first log row", faults{sqlite.StepLog: {1}}, certain, false},
		{"second log row", faults{sqlite.StepLog: {2}}, certain, false},
		{"first entry", faults{sqlite.StepEntry: {1}}, certain, false},
		{"last entry", faults{sqlite.StepEntry: {3}}, certain, false},
		{"intent", faults{sqlite.StepIntent: {1}}, certain, false},
		{"position", faults{sqlite.StepMeta: {1}}, certain, false},
		{"commit does nothing", faults{sqlite.StepCommit: {1}}, certain, false},
		{"commit is done, answer lost", faults{sqlite.StepCommitted: {1}}, done, true},
		{"commit does nothing, cannot settle", faults{sqlite.StepCommit: {1}, sqlite.StepSettle: {1}}, unknown, false},
		{"answer lost, cannot settle", faults{sqlite.StepCommitted: {1}, sqlite.StepSettle: {1}}, unknown, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var p plan
			s := open(t, sqlite.Options{Fault: p.step, Journal: -1})
			first := randomBatch(t, 1)
			head, err := s.Head(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Append(t.Context(), head.Position, []store.Batch{first}); err != nil {
				t.Fatal(err)
			}
			head.Revision = 1
			before := storetest.Load(t, s)
			group := []store.Batch{randomBatch(t, 2), randomBatch(t, 3)}
			group[0].Mutations = append(group[0].Mutations, store.Mutation{Kind: "port", Key: first.Mutations[0].Key})
			group[1].Intents = []store.Intent{{ID: newID(t), Kind: "nova"}}

			p.set(c.fail)
			err = s.Append(t.Context(), head.Position, group)
			checkAnswer(t, err, c.want)
			p.set(nil)
			got, err := s.Committed(t.Context(), 3, group[1].ID)
			if err != nil || got != c.committed {
				t.Errorf("committed: %t, %v, want %t", got, err, c.committed)
			}
			after := storetest.Load(t, s)
			if c.committed && (after.Snap.Revision != 3 || len(after.Entries) != 2 || len(after.Snap.Intents) != 1) {
				t.Errorf("committed, but the store is %+v with %d entries", after.Snap, len(after.Entries))
			}
			if d := cmp.Diff(before, after, cmpopts.EquateEmpty()); !c.committed && d != "" {
				t.Errorf("not committed, but (-before +after):\n%s", d)
			}
			// Life goes on.
			next := randomBatch(t, after.Snap.Revision+1)
			if err := s.Append(t.Context(), after.Snap.Position, []store.Batch{next}); err != nil {
				t.Errorf("next append: %v", err)
			}
			if problems, err := s.Check(t.Context()); err != nil || len(problems) > 0 {
				t.Errorf("check: %v, %v", problems, err)
			}
		})
	}
}

func checkAnswer(t *testing.T, err error, want string) {
	t.Helper()
	got := "certainly not done"
	switch {
	case err == nil:
		got = "done"
	case errors.Is(err, store.ErrUnknown):
		got = "unknown"
	}
	if got != want {
		t.Errorf("append says %s (%v), want %s", got, err, want)
	}
}

// TestUnknownBlocks: while a commit is unknown nothing else is written, and what is asked for meanwhile is refused as
// certainly not done.
func TestUnknownBlocks(t *testing.T) {
	var p plan
	s := open(t, sqlite.Options{Fault: p.step, Journal: -1})
	head, err := s.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p.set(map[sqlite.Step][]int{sqlite.StepCommit: {1}, sqlite.StepSettle: {1, 2, 3, 4}})
	b := randomBatch(t, 1)
	checkAnswer(t, s.Append(t.Context(), head.Position, []store.Batch{b}), "unknown")
	checkAnswer(t, s.Append(t.Context(), head.Position, []store.Batch{randomBatch(t, 1)}), "certainly not done")
	if _, err := s.Committed(t.Context(), 1, b.ID); !errors.Is(err, errInjected) {
		t.Errorf("committed: %v, want the injected error", err)
	}
	if err := s.PutHeartbeats(t.Context(), []store.Heartbeat{{Server: "a"}}); !errors.Is(err, errInjected) || errors.Is(err, store.ErrUnknown) {
		t.Errorf("heartbeat: %v, want the injected error", err)
	}
	if ok, err := s.Committed(t.Context(), 1, b.ID); err != nil || ok {
		t.Errorf("committed: %t, %v", ok, err)
	}
	if err := s.Append(t.Context(), head.Position, []store.Batch{b}); err != nil {
		t.Errorf("again: %v", err)
	}
}

// TestFaultsElsewhere: the other methods that write say ErrUnknown for a COMMIT that may have happened, and nothing of
// theirs is half done.
func TestFaultsElsewhere(t *testing.T) {
	for _, step := range []sqlite.Step{sqlite.StepCommit, sqlite.StepCommitted} {
		var p plan
		s := open(t, sqlite.Options{Fault: p.step, Journal: -1})
		head, err := s.Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Append(t.Context(), head.Position, []store.Batch{randomBatch(t, 1), randomBatch(t, 2)}); err != nil {
			t.Fatal(err)
		}
		head.Revision = 2
		for name, f := range map[string]func() error{
			"trim":    func() error { _, err := s.Trim(t.Context(), time.Time{}, 1); return err },
			"level":   func() error { return s.RaiseFeatureLevel(t.Context(), 4) },
			"lineage": func() error { _, err := s.NewLineage(t.Context(), head.Position); return err },
		} {
			p.set(map[sqlite.Step][]int{step: {1}})
			if err := f(); !errors.Is(err, store.ErrUnknown) || !errors.Is(err, errInjected) {
				t.Errorf("%s with a fault at %s: %v", name, step, err)
			}
			p.set(nil)
			if problems, err := s.Check(t.Context()); err != nil || len(problems) > 0 {
				t.Errorf("%s with a fault at %s: check: %v, %v", name, step, problems, err)
			}
		}
		d := storetest.Load(t, s)
		if changed := step == sqlite.StepCommitted; (d.Snap.FeatureLevel == 4) != changed || (d.Snap.Lineage != head.Lineage) != changed {
			t.Errorf("fault at %s: %+v", step, d.Snap)
		}
	}
}

// TestGhost leaves behind what a failed fsync does: the whole transaction at the end of the WAL, unseen by any reader,
// but there for the recovery after a crash to find. Once the store has said that it was not done, it must stay so.
func TestGhost(t *testing.T) {
	for before := range 4 {
		ghostAfter(t, before)
	}
}

func ghostAfter(t *testing.T, before int) {
	var l *ledger
	armed := false
	l, err := newLedger(filepath.Join(t.TempDir(), "weft.db"), -1, func(p sqlite.Step) error {
		if p != sqlite.StepCommit || !armed {
			return nil
		}
		armed = false
		if err := haunt(t, l); err != nil {
			t.Error(err)
		}
		return errInjected
	})
	if err != nil {
		t.Fatal(err)
	}
	defer l.s.Close()
	for i := range before + 1 {
		armed = i == before
		refused, err := l.append(9000, func() error { return errors.New("unknown") })
		if err != nil || refused != (i == before) {
			t.Fatalf("append %d: refused %t, %v", i, refused, err)
		}
	}
	if err := l.verifyCrash(t.TempDir()); err != nil {
		t.Errorf("after a crash: %v", err)
	}
}

// haunt has a copy of the store do a write and puts the frames of it behind the end of the true WAL.
func haunt(t *testing.T, l *ledger) error {
	side := filepath.Join(t.TempDir(), "side.db")
	for _, suffix := range []string{"", "-wal"} {
		if err := copyFile(l.path+suffix, side+suffix); err != nil {
			return err
		}
	}
	hold, err := sql.Open("sqlite", side) // while it is open nobody is the last to go, who would begin a new WAL
	if err != nil {
		return err
	}
	defer hold.Close()
	if _, err := hold.Exec("SELECT * FROM meta"); err != nil {
		return err
	}
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: side, Journal: -1})
	if err != nil {
		return err
	}
	defer s.Close()
	// Smaller in its pages than what overwrites it, it would vanish by chance; so it is large.
	b, err := childBatch(l.pos.Revision+1, 1)
	if err != nil {
		return err
	}
	b.Mutations[0].Body = make([]byte, 60_000)
	l.refused[b.ID] = true
	if err := s.Append(t.Context(), l.pos, []store.Batch{b}); err != nil {
		return err
	}
	old, err := os.ReadFile(l.path + "-wal")
	if err != nil {
		return err
	}
	frames, err := os.ReadFile(side + "-wal")
	if err != nil {
		return err
	}
	if len(frames) <= len(old) || !bytes.Equal(frames[:len(old)], old) {
		return fmt.Errorf("the WALs differ: %d and %d bytes", len(old), len(frames))
	}
	return os.WriteFile(l.path+"-wal", frames, 0o600)
}
