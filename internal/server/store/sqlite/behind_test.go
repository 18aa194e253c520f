package sqlite_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/weft-cloud/weft/internal/server/store"
	"github.com/weft-cloud/weft/internal/server/store/journal"
	"github.com/weft-cloud/weft/internal/server/store/sqlite"
	"github.com/weft-cloud/weft/internal/server/store/storetest"
)

const testJournal = 64 * journal.Block

// appendOne appends a batch behind the store's head.
func appendOne(t *testing.T, s *sqlite.Store) (store.Batch, error) {
	t.Helper()
	head, err := s.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b := randomBatch(t, head.Revision+1)
	return b, s.Append(t.Context(), head.Position, []store.Batch{b})
}

// TestJournalFaults fails an Append at the journal, and what the store does then, and holds the answer against what the store contains, now
// and after a crash at that moment.
func TestJournalFaults(t *testing.T) {
	type faults = map[sqlite.Step][]int
	for _, c := range []struct {
		name      string
		fail      faults
		want      string
		committed bool
	}{
		{"none", faults{}, "done", true},
		{"not begun", faults{sqlite.StepJournal: {1}}, "certainly not done", false},
		{"written, answer lost: the file has it", faults{sqlite.StepJournaled: {1}}, "done", true},
		{"written, the file cannot be", faults{sqlite.StepJournaled: {1}, sqlite.StepBegin: {1}}, "unknown", false},
		{"written, what was before cannot be brought in", faults{sqlite.StepJournaled: {1}, sqlite.StepEntry: {1}}, "unknown", false},
		{"written and void, the file refuses it", faults{sqlite.StepJournaled: {1}, sqlite.StepBegin: {3}}, "certainly not done", false},
		{"written, not known whether void", faults{sqlite.StepJournaled: {1}, sqlite.StepCommitted: {2}}, "unknown", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			defer sqlite.SetFollowDelay(time.Hour)()
			var p plan
			s := open(t, sqlite.Options{Path: filepath.Join(t.TempDir(), "weft.db"), Fault: p.step, Journal: testJournal})
			if _, err := appendOne(t, s); err != nil {
				t.Fatal(err)
			}
			p.set(c.fail)
			b, err := appendOne(t, s)
			checkAnswer(t, err, c.want)
			p.set(nil)
			if c.want != "unknown" {
				crashHas(t, s, c.committed)
			}
			done, err := s.Committed(t.Context(), 2, b.ID)
			if err != nil || done != c.committed {
				t.Errorf("committed: %t, %v, want %t", done, err, c.committed)
			}
			crashHas(t, s, c.committed)
			if _, err := appendOne(t, s); err != nil {
				t.Errorf("next append: %v", err)
			}
			if problems, err := s.Check(t.Context()); err != nil || len(problems) > 0 {
				t.Errorf("check: %v, %v", problems, err)
			}
		})
	}
}

// crashHas opens what a crash now would leave, and looks whether it has the second batch, or the first alone.
func crashHas(t *testing.T, s *sqlite.Store, second bool) {
	t.Helper()
	image := filepath.Join(t.TempDir(), "crash.db")
	if err := crashImage(s, s.Path(), image); err != nil {
		t.Fatal(err)
	}
	head, err := open(t, sqlite.Options{Path: image, Journal: testJournal}).Head(t.Context())
	if want := uint64(1); err != nil || (head.Revision != want) != second {
		t.Errorf("after a crash the store is at %d, %v; the second batch is to be there: %t", head.Revision, err, second)
	}
}

// TestKilledWithJournal: what a server that was killed has left in the journal alone is read, backed up and checked by who opens the store
// for reading only, and brought into the file by the next server. Both find the same.
func TestKilledWithJournal(t *testing.T) {
	defer sqlite.SetFollowDelay(time.Hour)()
	s := open(t, sqlite.Options{Path: filepath.Join(t.TempDir(), "weft.db"), Journal: testJournal})
	head, err := s.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	first := randomBatch(t, 1)
	if err := s.Append(t.Context(), head.Position, []store.Batch{first}); err != nil {
		t.Fatal(err)
	}
	if err := s.RaiseFeatureLevel(t.Context(), 3); err != nil { // brings the first into the file
		t.Fatal(err)
	}
	head.Revision = 1
	group := []store.Batch{randomBatch(t, 2), randomBatch(t, 3)}
	group[0].Mutations = append(group[0].Mutations, store.Mutation{Kind: first.Mutations[0].Kind, Key: first.Mutations[0].Key})
	group[1].Intents = []store.Intent{{ID: newID(t), Kind: "nova", Body: []byte("x")}}
	if err := s.Append(t.Context(), head.Position, group); err != nil {
		t.Fatal(err)
	}
	want := storetest.Load(t, s)
	image := filepath.Join(t.TempDir(), "killed.db")
	if err := crashImage(s, s.Path(), image); err != nil {
		t.Fatal(err)
	}

	ro, err := sqlite.Open(t.Context(), sqlite.Options{Path: image, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, storetest.Load(t, ro), cmpopts.EquateEmpty()); d != "" {
		t.Errorf("read only (-server's +read):\n%s", d)
	}
	if problems, err := ro.Check(t.Context()); err != nil || len(problems) > 0 {
		t.Errorf("check read only: %v, %v", problems, err)
	}
	backup := filepath.Join(t.TempDir(), "backup")
	if info, err := store.Backup(t.Context(), ro, backup, time.Now()); err != nil || info.Head != want.Snap.Head || info.Intents != 1 {
		t.Errorf("backup: %+v, %v", info, err)
	}
	if err := ro.Close(); err != nil {
		t.Fatal(err)
	}

	next := open(t, sqlite.Options{Path: image, Journal: testJournal})
	if d := cmp.Diff(want, storetest.Load(t, next), cmpopts.EquateEmpty()); d != "" {
		t.Errorf("the next server (-server's +read):\n%s", d)
	}
	last, err := appendOne(t, next)
	if err := errors.Join(err, next.Close(), os.Remove(image+".journal")); err != nil {
		t.Fatal(err)
	}
	if d := storetest.Load(t, open(t, sqlite.Options{Path: image, Journal: -1})); d.Snap.Batch != last.ID {
		t.Errorf("after a clean stop the file alone is at %v, want batch %v", d.Snap.Head, last.ID)
	}
}

// TestJournalOfAnother: a journal that does not continue its file is refused with what to do, and doing it helps; records of another
// lineage are nothing.
func TestJournalOfAnother(t *testing.T) {
	defer sqlite.SetFollowDelay(time.Hour)()
	s := open(t, sqlite.Options{Path: filepath.Join(t.TempDir(), "weft.db"), Journal: testJournal})
	older := filepath.Join(t.TempDir(), "older.db")
	if err := crashImage(s, s.Path(), older); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := appendOne(t, s); err != nil {
			t.Fatal(err)
		}
		if err := s.RaiseFeatureLevel(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := appendOne(t, s); err != nil {
		t.Fatal(err)
	}
	newer := filepath.Join(t.TempDir(), "newer.db")
	if err := crashImage(s, s.Path(), newer); err != nil {
		t.Fatal(err)
	}
	all, err := os.ReadFile(newer + ".journal")
	if err != nil {
		t.Fatal(err)
	}
	copy(all, make([]byte, journal.Block)) // the first record is written over, as a later round of the ring does
	if err := os.WriteFile(older+".journal", all, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, ro := range []bool{false, true} {
		o, err := sqlite.Open(t.Context(), sqlite.Options{Path: older, Journal: testJournal, ReadOnly: ro})
		if err == nil {
			_, err = o.Head(t.Context())
			_ = o.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "up to revision 4, but not what follows revision 0") || !strings.Contains(err.Error(), "move the journal away") {
			t.Errorf("read only %t: %v", ro, err)
		}
	}
	if err := os.Rename(older+".journal", older+".away"); err != nil {
		t.Fatal(err)
	}
	if head, err := open(t, sqlite.Options{Path: older, Journal: testJournal}).Head(t.Context()); err != nil || head.Revision != 0 {
		t.Errorf("without the journal: %v, %v", head, err)
	}
	other := open(t, sqlite.Options{Path: filepath.Join(t.TempDir(), "other.db"), Journal: -1})
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if err := copyFile(newer+".journal", other.Path()+".journal"); err != nil {
		t.Fatal(err)
	}
	if head, err := open(t, sqlite.Options{Path: other.Path(), Journal: testJournal}).Head(t.Context()); err != nil || head.Revision != 0 {
		t.Errorf("another store's journal: %v, %v", head, err)
	}
}

// TestFileBehind: the journal takes writes while the file is busy, and none once it is known that the file cannot be written; reads go on, and
// when the file can be written again all that was answered for is there.
func TestFileBehind(t *testing.T) {
	defer sqlite.SetFollowDelay(time.Hour)()
	var p plan
	s := open(t, sqlite.Options{Path: filepath.Join(t.TempDir(), "weft.db"), Fault: p.step, Journal: testJournal})
	release := sqlite.HoldFile(s)
	for range 3 {
		if _, err := appendOne(t, s); err != nil {
			t.Fatalf("the file is only busy: %v", err)
		}
	}
	release()
	p.set(map[sqlite.Step][]int{sqlite.StepBegin: {1, 2, 3, 4}})
	if err := s.PutHeartbeats(t.Context(), []store.Heartbeat{{Server: "a"}}); !errors.Is(err, errInjected) {
		t.Fatalf("heartbeat: %v", err)
	}
	for range 3 {
		_, err := appendOne(t, s)
		checkAnswer(t, err, "certainly not done")
	}
	if d := storetest.Load(t, s); d.Snap.Revision != 3 || len(d.Entries) != 3 {
		t.Errorf("%d entries at %d", len(d.Entries), d.Snap.Revision)
	}
	p.set(nil)
	if _, err := appendOne(t, s); err != nil {
		t.Errorf("when it can be written again: %v", err)
	}
	crash := filepath.Join(t.TempDir(), "crash.db")
	if err := crashImage(s, s.Path(), crash); err != nil {
		t.Fatal(err)
	}
	if d := storetest.Load(t, open(t, sqlite.Options{Path: crash})); d.Snap.Revision != 4 || len(d.Entries) != 4 {
		t.Errorf("after a crash %d entries at %d", len(d.Entries), d.Snap.Revision)
	}
}

// TestFormat1: a file of a server that knew no journal is read as it is, and gets one from the next server.
func TestFormat1(t *testing.T) {
	path := filepath.Join(t.TempDir(), "weft.db")
	s := open(t, sqlite.Options{Path: path, Journal: -1})
	if _, err := appendOne(t, s); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	execSQL(t, path, "ALTER TABLE meta DROP COLUMN journal")
	execSQL(t, path, "PRAGMA user_version = 1")
	ro := open(t, sqlite.Options{Path: path, ReadOnly: true})
	if d := storetest.Load(t, ro); d.Snap.Revision != 1 {
		t.Errorf("read only: at %d", d.Snap.Revision)
	}
	if err := ro.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, sqlite.Options{Path: path, Journal: testJournal})
	if _, err := appendOne(t, s); err != nil {
		t.Error(err)
	}
	if records, err := journal.Read(path + ".journal"); err != nil || len(records) != 1 {
		t.Errorf("%d records in the journal, %v", len(records), err)
	}
}

// TestNoJournal: where none can be made, or writing it fails, somebody is told, and the store works as without.
func TestNoJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "weft.db")
	if err := os.Mkdir(path+".journal", 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err == nil || !strings.Contains(err.Error(), "journal") {
		t.Errorf("a directory in the journal's place, which may hide one: %v", err)
	}
	told := make(chan error, 1)
	var p plan
	s := open(t, sqlite.Options{Path: filepath.Join(t.TempDir(), "weft.db"), Fault: p.step, Journal: testJournal, NoJournal: func(err error) { told <- err }})
	p.set(map[sqlite.Step][]int{sqlite.StepJournaled: {1}})
	for range 3 {
		if _, err := appendOne(t, s); err != nil {
			t.Error(err)
		}
	}
	select {
	case err := <-told:
		if !errors.Is(err, errInjected) {
			t.Errorf("told %v, not why", err)
		}
	default:
		t.Error("nobody was told")
	}
}
