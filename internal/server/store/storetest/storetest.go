// Package storetest is the conformance suite that every store passes: what store.Store promises, as tests that know
// nothing of how it is kept. It must not be imported by anything but tests.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/store"
)

// Harness makes the store that is tested.
type Harness struct {
	// Open returns a new, empty store, closed when the test ends.
	Open func(t testing.TB) store.Store
	// Reopen closes s and opens the same data again; nil for a store that ends with its process.
	Reopen func(t testing.TB, s store.Store) store.Store
	// Slow: the store takes milliseconds per write, so the property test tries fewer sequences.
	Slow bool
}

// Run runs the whole suite.
func Run(t *testing.T, h Harness) {
	for _, c := range []struct {
		name string
		f    func(t *testing.T, h Harness)
	}{
		{"Empty", testEmpty},
		{"AppendLoad", testAppendLoad},
		{"AppendRefuses", testAppendRefuses},
		{"AppendConflict", testAppendConflict},
		{"GroupIsAtomic", testGroupIsAtomic},
		{"Committed", testCommitted},
		{"Tail", testTail},
		{"Intents", testIntents},
		{"Heartbeats", testHeartbeats},
		{"FeatureLevel", testFeatureLevel},
		{"NewLineage", testNewLineage},
		{"Trim", testTrim},
		{"Drop", testDrop},
		{"BackupRestore", testBackupRestore},
		{"RestoreRefuses", testRestoreRefuses},
		{"Bodies", testBodies},
		{"LoadVisitError", testLoadVisitError},
		{"Race", testRace},
		{"Closed", testClosed},
		{"Property", testProperty},
	} {
		t.Run(c.name, func(t *testing.T) { c.f(t, h) })
	}
}

// noon is the time of the first batch in all tests.
var noon = time.Date(2026, 1, 2, 12, 0, 0, 123456000, time.UTC)

// uid is a readable id for tests: n in its last bytes.
func uid(n uint64) model.UUID {
	u := model.UUID{0xaa}
	for i := range 8 {
		u[15-i] = byte(n >> (8 * i))
	}
	return u
}

// put is a batch that writes one entry; its id follows from the revision.
func put(revision uint64, kind, key, body string) store.Batch {
	return store.Batch{
		ID: uid(revision), Revision: revision, At: noon.Add(time.Duration(revision) * time.Second),
		Mutations: []store.Mutation{{Kind: kind, Key: key, Schema: 3, Body: []byte(body)}},
	}
}

// Dump is everything that Load says, to be compared.
type Dump struct {
	Snap    store.Snapshot
	Entries []store.Entry
}

// Load loads s into a Dump.
func Load(t testing.TB, s store.Store) Dump {
	t.Helper()
	var d Dump
	snap, err := s.Load(t.Context(), func(e store.Entry) error {
		d.Entries = append(d.Entries, e)
		return nil
	})
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	d.Snap = snap
	return d
}

func head(t testing.TB, s store.Store) store.Head {
	t.Helper()
	h, err := s.Head(t.Context())
	if err != nil {
		t.Fatalf("head: %v", err)
	}
	return h
}

// mustAppend appends at the newest position and returns the new one.
func mustAppend(t testing.TB, s store.Store, batches ...store.Batch) model.Position {
	t.Helper()
	base := head(t, s).Position
	if err := s.Append(t.Context(), base, batches); err != nil {
		t.Fatalf("append at %s: %v", base, err)
	}
	base.Revision += uint64(len(batches))
	return base
}

func diff(t testing.TB, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func wantIs(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

func testEmpty(t *testing.T, h Harness) {
	s := h.Open(t)
	d := Load(t, s)
	if d.Snap.Lineage.IsZero() {
		t.Error("lineage is zero")
	}
	diff(t, "empty store", d, Dump{Snap: store.Snapshot{Head: store.Head{Position: model.Position{Lineage: d.Snap.Lineage}}}})
	if other := head(t, h.Open(t)); other.Lineage == d.Snap.Lineage {
		t.Error("two stores have one lineage")
	}
	problems, err := s.Check(t.Context())
	if err != nil || len(problems) > 0 {
		t.Errorf("check: %v, %v", problems, err)
	}
}

func testAppendLoad(t *testing.T, h Harness) {
	s := h.Open(t)
	lineage := head(t, s).Lineage
	mustAppend(t, s, put(1, "port", "b", "one"), put(2, "network", "z", "two"))
	mustAppend(t, s, put(3, "port", "a", "three"))
	mustAppend(t, s, put(4, "port", "b", "four"), store.Batch{ID: uid(5), Revision: 5, At: noon, Mutations: []store.Mutation{
		{Kind: "network", Key: "z"}, {Kind: "network", Key: "never"}, {Kind: "Port", Key: "b", Body: []byte("five")},
	}})
	want := Dump{
		Snap: store.Snapshot{Head: store.Head{Position: model.Position{Lineage: lineage, Revision: 5}, Batch: uid(5)}},
		Entries: []store.Entry{
			{Kind: "Port", Key: "b", Revision: 5, Body: []byte("five")},
			{Kind: "port", Key: "a", Schema: 3, Revision: 3, Body: []byte("three")},
			{Kind: "port", Key: "b", Schema: 3, Revision: 4, Body: []byte("four")},
		},
	}
	diff(t, "after appends", Load(t, s), want)
	diff(t, "head", head(t, s), want.Snap.Head)
	if h.Reopen != nil {
		s = h.Reopen(t, s)
		diff(t, "after reopening", Load(t, s), want)
		mustAppend(t, s, put(6, "port", "c", "six"))
	}
}

func testAppendRefuses(t *testing.T, h Harness) {
	s := h.Open(t)
	mustAppend(t, s, put(1, "port", "a", "one"))
	before := Load(t, s)
	zero, noName, wrongPrev, long := put(2, "port", "a", "x"), put(2, "port", "", "x"), put(3, "port", "a", "x"), put(2, "port", "a", "x")
	zero.ID = model.UUID{}
	wrongPrev.Prev = uid(77)
	long.Mutations[0].Body = make([]byte, store.MaxBatch)
	for _, c := range []struct {
		name    string
		batches []store.Batch
	}{
		{"no batches", nil},
		{"revision too low", []store.Batch{put(1, "port", "a", "x")}},
		{"revision too high", []store.Batch{put(3, "port", "a", "x")}},
		{"gap in the group", []store.Batch{put(2, "port", "a", "x"), put(4, "port", "a", "x")}},
		{"zero id", []store.Batch{zero}},
		{"empty key", []store.Batch{noName}},
		{"empty kind", []store.Batch{put(2, "", "a", "x")}},
		{"newline in the key", []store.Batch{put(2, "port", "a\n", "x")}},
		{"kind too long", []store.Batch{put(2, string(make([]byte, 65)), "a", "x")}},
		{"wrong predecessor in the group", []store.Batch{put(2, "port", "a", "x"), wrongPrev}},
		{"too large", []store.Batch{long}},
		{"zero intent id", []store.Batch{{ID: uid(2), Revision: 2, Intents: []store.Intent{{Kind: "nova"}}}}},
	} {
		err := s.Append(t.Context(), head(t, s).Position, c.batches)
		if err == nil || errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrUnknown) {
			t.Errorf("%s: %v, want a plain error", c.name, err)
		}
	}
	diff(t, "after refusals", Load(t, s), before)
}

func testAppendConflict(t *testing.T, h Harness) {
	s := h.Open(t)
	old := head(t, s).Position
	now := mustAppend(t, s, put(1, "port", "a", "one"))
	before := Load(t, s)
	otherPrev := put(2, "port", "a", "x")
	otherPrev.Prev = uid(77)
	for _, c := range []struct {
		name  string
		base  model.Position
		batch store.Batch
	}{
		{"stale", old, put(1, "port", "a", "x")},
		{"ahead", model.Position{Lineage: now.Lineage, Revision: 2}, put(3, "port", "a", "x")},
		{"other lineage", model.Position{Lineage: uid(9), Revision: 1}, put(2, "port", "a", "x")},
		{"other history", now, otherPrev},
	} {
		wantIs(t, c.name, s.Append(t.Context(), c.base, []store.Batch{c.batch}), store.ErrConflict)
	}
	diff(t, "after conflicts", Load(t, s), before)
}

func testGroupIsAtomic(t *testing.T, h Harness) {
	s := h.Open(t)
	group := make([]store.Batch, 32)
	for i := range group {
		group[i] = put(uint64(i+1), "port", fmt.Sprint("p", i), "x")
	}
	bad := append([]store.Batch(nil), group...)
	bad[31].Mutations = []store.Mutation{{Kind: "port"}}
	before := Load(t, s)
	if err := s.Append(t.Context(), before.Snap.Position, bad); err == nil {
		t.Fatal("a group with a bad batch was taken")
	}
	diff(t, "after a refused group", Load(t, s), before)
	mustAppend(t, s, group...)
	if n := len(Load(t, s).Entries); n != 32 {
		t.Errorf("%d entries, want 32", n)
	}
}

func testCommitted(t *testing.T, h Harness) {
	s := h.Open(t)
	mustAppend(t, s, put(1, "port", "a", "one"), put(2, "port", "a", "two"))
	for _, c := range []struct {
		name     string
		revision uint64
		id       model.UUID
		want     bool
	}{
		{"first", 1, uid(1), true}, {"newest", 2, uid(2), true},
		{"another's", 2, uid(1), false}, {"not yet", 3, uid(3), false}, {"far", 1000, uid(2), false},
	} {
		got, err := s.Committed(t.Context(), c.revision, c.id)
		if err != nil || got != c.want {
			t.Errorf("%s: %t, %v, want %t", c.name, got, err, c.want)
		}
	}
	if _, err := s.Trim(t.Context(), time.Time{}, 1); err != nil {
		t.Fatal(err)
	}
	_, err := s.Committed(t.Context(), 1, uid(1))
	wantIs(t, "trimmed", err, store.ErrTruncated)
	mustAppend(t, s, put(3, "port", "a", "three"))
}

func testTail(t *testing.T, h Harness) {
	s := h.Open(t)
	start := head(t, s).Position
	batches := []store.Batch{put(1, "port", "a", "one"), put(2, "port", "b", ""), put(3, "port", "c", "three")}
	batches[1].Mutations = append(batches[1].Mutations, store.Mutation{Kind: "port", Key: "a", Schema: 65535})
	batches[2].Intents = []store.Intent{{ID: uid(100), Kind: "nova", Body: []byte("plugged")}}
	mustAppend(t, s, batches[0])
	mustAppend(t, s, batches[1:]...)
	batches[1].Prev, batches[2].Prev = uid(1), uid(2)
	for _, c := range []struct {
		name  string
		after uint64
		limit int
		want  []store.Batch
	}{
		{"all", 0, 10, batches}, {"limited", 0, 2, batches[:2]}, {"rest", 2, 10, batches[2:]},
		{"newest", 3, 10, nil}, {"none", 0, 0, nil},
	} {
		got, err := s.Tail(t.Context(), model.Position{Lineage: start.Lineage, Revision: c.after}, c.limit)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if d := cmp.Diff(c.want, got, cmpopts.EquateEmpty()); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, d)
		}
		for _, b := range got {
			for _, m := range b.Mutations {
				if (m.Body == nil) != (m.Schema == 65535) {
					t.Errorf("%s: revision %d: deletion and empty body are confused: %+v", c.name, b.Revision, m)
				}
			}
		}
	}
	_, err := s.Tail(t.Context(), model.Position{Lineage: start.Lineage, Revision: 4}, 10)
	wantIs(t, "ahead", err, store.ErrLineage)
	_, err = s.Tail(t.Context(), model.Position{Lineage: uid(5), Revision: 2}, 10)
	wantIs(t, "other lineage", err, store.ErrLineage)
}

func testLoadVisitError(t *testing.T, h Harness) {
	s := h.Open(t)
	mustAppend(t, s, put(1, "port", "a", "one"), put(2, "port", "b", "two"))
	stop, n := errors.New("stop"), 0
	_, err := s.Load(t.Context(), func(store.Entry) error { n++; return stop })
	if wantIs(t, "visit's error", err, stop); n != 1 {
		t.Errorf("visited %d entries after an error, want 1", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.Load(ctx, func(store.Entry) error { return nil })
	wantIs(t, "cancelled load", err, context.Canceled)
	wantIs(t, "cancelled append", s.Append(ctx, head(t, s).Position, []store.Batch{put(3, "port", "c", "x")}), context.Canceled)
	if got := head(t, s).Revision; got != 2 {
		t.Errorf("at revision %d, want 2", got)
	}
}
