package sqlite_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weft-cloud/weft/internal/server/store"
	"github.com/weft-cloud/weft/internal/server/store/sqlite"
	"github.com/weft-cloud/weft/internal/server/store/storetest"
)

// TestFileTakenAway takes the files away from under a store: nothing more is written, since nobody would find it, until they
// are back.
func TestFileTakenAway(t *testing.T) {
	copied := func(t *testing.T, path string) {
		t.Helper()
		err := copyFile(path+".away", path)
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, suffix string
		replaced     bool
		journal      int64
	}{
		{"removed", "", false, -1}, {"replaced", "", true, -1}, {"WAL removed", "-wal", false, -1}, {"WAL replaced", "-wal", true, -1},
		{"removed, journal", "", false, testJournal}, {"replaced, journal", "", true, testJournal},
		{"WAL removed, journal", "-wal", false, testJournal}, {"WAL replaced, journal", "-wal", true, testJournal},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "weft.db")
			s := open(t, sqlite.Options{Path: path, Journal: c.journal})
			head, err := s.Head(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Append(t.Context(), head.Position, []store.Batch{randomBatch(t, 1)}); err != nil {
				t.Fatal(err)
			}
			head.Revision = 1
			if err := s.RaiseFeatureLevel(t.Context(), 1); err != nil { // brings it into the file
				t.Fatal(err)
			}
			away := path + c.suffix
			if err := os.Rename(away, away+".away"); err != nil {
				t.Fatal(err)
			}
			if c.replaced {
				copied(t, away)
			}
			for range 2 {
				err := s.Append(t.Context(), head.Position, []store.Batch{randomBatch(t, 2)})
				if err == nil || errors.Is(err, store.ErrUnknown) || !strings.Contains(err.Error(), "removed or replaced") {
					t.Fatalf("append: %v, want one that says that the file was removed or replaced", err)
				}
			}
			if err := s.PutHeartbeats(t.Context(), []store.Heartbeat{{Server: "a"}}); err == nil {
				t.Error("a heartbeat was written: it would tell that all is well")
			}
			if err := os.Rename(away+".away", away); err != nil {
				t.Fatal(err)
			}
			if err := s.Append(t.Context(), head.Position, []store.Batch{randomBatch(t, 2)}); err != nil {
				t.Errorf("with the file back: %v", err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if d := storetest.Load(t, open(t, sqlite.Options{Path: path})); d.Snap.Revision != 2 {
				t.Errorf("the store is at %d", d.Snap.Revision)
			}
		})
	}
}

// TestJournalTakenAway: without its journal the store writes to the file, and nothing that the journal held is missing.
func TestJournalTakenAway(t *testing.T) {
	defer sqlite.SetFollowDelay(time.Hour)()
	path := filepath.Join(t.TempDir(), "weft.db")
	s := open(t, sqlite.Options{Path: path, Journal: testJournal})
	for i := range 4 {
		if _, err := appendOne(t, s); err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			if err := os.Remove(path + ".journal"); err != nil {
				t.Fatal(err)
			}
		}
	}
	image := filepath.Join(t.TempDir(), "crash.db")
	if err := crashImage(s, path, image); err != nil {
		t.Fatal(err)
	}
	if head, err := open(t, sqlite.Options{Path: image}).Head(t.Context()); err != nil || head.Revision != 4 {
		t.Errorf("after a crash the store is at %v, %v, want 4", head, err)
	}
}

// TestFileTakenAwayInDoubt: an outcome is not settled in another file.
func TestFileTakenAwayInDoubt(t *testing.T) {
	var p plan
	path := filepath.Join(t.TempDir(), "weft.db")
	s := open(t, sqlite.Options{Path: path, Journal: -1, Fault: func(step sqlite.Step) error {
		if step == sqlite.StepCommitted && p.fail != nil && p.seen[step] == 0 {
			if err := os.Rename(path, path+".away"); err != nil {
				t.Error(err)
			}
		}
		return p.step(step)
	}})
	head, err := s.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p.set(map[sqlite.Step][]int{sqlite.StepCommitted: {1}})
	b := randomBatch(t, 1)
	checkAnswer(t, s.Append(t.Context(), head.Position, []store.Batch{b}), "unknown")
	if done, err := s.Committed(t.Context(), 1, b.ID); err == nil {
		t.Errorf("committed: %t, though the file is away", done)
	}
	if err := os.Rename(path+".away", path); err != nil {
		t.Fatal(err)
	}
	if done, err := s.Committed(t.Context(), 1, b.ID); err != nil || !done {
		t.Errorf("committed: %t, %v", done, err)
	}
	head.Revision = 1
	if err := s.Append(t.Context(), head.Position, []store.Batch{randomBatch(t, 2)}); err != nil {
		t.Errorf("with the file back: %v", err)
	}
}

// TestLeftWAL: a WAL whose file has gone is not thrown away for an empty store.
func TestLeftWAL(t *testing.T) {
	path := filepath.Join(t.TempDir(), "weft.db")
	if err := os.WriteFile(path+"-wal", []byte("newest changes"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(t.Context(), sqlite.Options{Path: path}); err == nil || !strings.Contains(err.Error(), "-wal away") {
		t.Errorf("open: %v, want one that names the WAL and the cure", err)
	}
	if b, err := os.ReadFile(path + "-wal"); err != nil || string(b) != "newest changes" {
		t.Errorf("the WAL: %q, %v", b, err)
	}
	if err := os.Remove(path + "-wal"); err != nil {
		t.Fatal(err)
	}
	open(t, sqlite.Options{Path: path})
}
