package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/store"
)

func testIntents(t *testing.T, h Harness) {
	s := h.Open(t)
	b1, b2 := put(1, "port", "a", "one"), put(2, "port", "b", "two")
	b1.Intents = []store.Intent{{ID: uid(30), Kind: "nova", Body: []byte("x")}, {ID: uid(20), Kind: "dns", Body: []byte{}}}
	b2.Intents = []store.Intent{{ID: uid(10), Kind: "nova", Body: []byte("z")}}
	all := append(append([]store.Intent(nil), b1.Intents...), b2.Intents...)
	mustAppend(t, s, b1, b2)
	if h.Reopen != nil {
		s = h.Reopen(t, s)
	}
	list := func(limit int) []store.Intent {
		t.Helper()
		got, err := s.Intents(t.Context(), limit)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	diff(t, "intents", list(10), all)
	diff(t, "intents in the snapshot", Load(t, s).Snap.Intents, all)
	diff(t, "limited", list(2), all[:2])
	if err := s.DoneIntents(t.Context(), []model.UUID{uid(20), uid(999)}); err != nil {
		t.Fatal(err)
	}
	diff(t, "one done", list(10), []store.Intent{all[0], all[2]})
	if err := s.DoneIntents(t.Context(), []model.UUID{uid(30), uid(20), uid(10)}); err != nil {
		t.Fatal(err)
	}
	diff(t, "all done", list(10), []store.Intent(nil))
	if err := s.DoneIntents(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
}

func testHeartbeats(t *testing.T, h Harness) {
	s := h.Open(t)
	beat := func(server, body string, sec int) store.Heartbeat {
		return store.Heartbeat{Server: server, At: noon.Add(time.Duration(sec) * time.Second), Body: []byte(body)}
	}
	for _, beats := range [][]store.Heartbeat{{beat("b", "1", 1), beat("a", "2", 2)}, {beat("b", "", 3)}, nil} {
		if err := s.PutHeartbeats(t.Context(), beats); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.Heartbeats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "heartbeats", got, []store.Heartbeat{beat("a", "2", 2), beat("b", "", 3)})
	if r := head(t, s).Revision; r != 0 {
		t.Errorf("heartbeats made revision %d", r)
	}
	if err := s.PutHeartbeats(t.Context(), []store.Heartbeat{{}}); err == nil {
		t.Error("a heartbeat without a server was taken")
	}
}

func testFeatureLevel(t *testing.T, h Harness) {
	s := h.Open(t)
	for _, c := range []struct{ raise, want uint16 }{{3, 3}, {2, 3}, {65535, 65535}} {
		if err := s.RaiseFeatureLevel(t.Context(), c.raise); err != nil {
			t.Fatal(err)
		}
		if got := Load(t, s).Snap.FeatureLevel; got != c.want {
			t.Errorf("raised to %d: level %d, want %d", c.raise, got, c.want)
		}
	}
}

func testNewLineage(t *testing.T, h Harness) {
	s := h.Open(t)
	old := mustAppend(t, s, put(1, "port", "a", "one"), put(2, "port", "b", "two"))
	before := Load(t, s)
	_, err := s.NewLineage(t.Context(), model.Position{Lineage: old.Lineage, Revision: 1})
	wantIs(t, "stale base", err, store.ErrConflict)
	pos, err := s.NewLineage(t.Context(), old)
	if err != nil {
		t.Fatal(err)
	}
	if pos.Lineage == old.Lineage || pos.Lineage.IsZero() || pos.Revision != 2 {
		t.Errorf("new lineage at %s after %s", pos, old)
	}
	_, err = s.NewLineage(t.Context(), old)
	wantIs(t, "second server's new lineage", err, store.ErrConflict)
	before.Snap.Position = pos
	diff(t, "after a new lineage", Load(t, s), before)
	wantIs(t, "append in the old lineage", s.Append(t.Context(), old, []store.Batch{put(3, "port", "c", "x")}), store.ErrConflict)
	_, err = s.Tail(t.Context(), old, 10)
	wantIs(t, "tail in the old lineage", err, store.ErrLineage)
	_, err = s.Tail(t.Context(), model.Position{Lineage: pos.Lineage, Revision: 1}, 10)
	wantIs(t, "tail from before the lineage", err, store.ErrTruncated)
	if ok, err := s.Committed(t.Context(), 2, uid(2)); err != nil || !ok {
		t.Errorf("batch of the old lineage: %t, %v", ok, err)
	}
	mustAppend(t, s, put(3, "port", "c", "x"))
	if got, err := s.Tail(t.Context(), pos, 10); err != nil || len(got) != 1 {
		t.Errorf("tail in the new lineage: %v, %v", got, err)
	}
}

func testTrim(t *testing.T, h Harness) {
	for _, c := range []struct {
		name   string
		before time.Time
		keep   uint64
		want   uint64 // newest revision trimmed, of 10
	}{
		{"nothing asked", time.Time{}, 0, 0},
		{"by count", time.Time{}, 4, 6},
		{"by count, the newest stays", time.Time{}, 1, 9},
		{"more than there are", time.Time{}, 100, 0},
		{"by age", noon.Add(4 * time.Second), 0, 3},
		{"by age, all old", noon.Add(time.Hour), 0, 9},
		{"by age, none old", noon, 0, 0},
		{"either, count cuts more", noon.Add(4 * time.Second), 4, 6},
		{"either, age cuts more", noon.Add(9 * time.Second), 4, 8},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := h.Open(t)
			lineage := head(t, s).Lineage
			for r := range uint64(10) {
				mustAppend(t, s, put(r+1, "port", fmt.Sprint("p", r), "x"))
			}
			before := Load(t, s)
			n, err := s.Trim(t.Context(), c.before, c.keep)
			if err != nil || n != c.want {
				t.Fatalf("removed %d, %v, want %d", n, err, c.want)
			}
			diff(t, "entries after trim", Load(t, s), before)
			got, err := s.Tail(t.Context(), model.Position{Lineage: lineage, Revision: c.want}, 100)
			if err != nil || len(got) != 10-int(c.want) {
				t.Errorf("tail after trim: %d batches, %v", len(got), err)
			}
			if c.want > 0 {
				_, err = s.Tail(t.Context(), model.Position{Lineage: lineage, Revision: c.want - 1}, 100)
				wantIs(t, "tail into the trimmed", err, store.ErrTruncated)
			}
			if n, err := s.Trim(t.Context(), c.before, c.keep); err != nil || n != 0 {
				t.Errorf("second trim removed %d, %v", n, err)
			}
			if problems, err := s.Check(t.Context()); err != nil || len(problems) > 0 {
				t.Errorf("check: %v, %v", problems, err)
			}
			mustAppend(t, s, put(11, "port", "z", "x"))
		})
	}
}

func testDrop(t *testing.T, h Harness) {
	s := h.Open(t)
	pos := mustAppend(t, s, put(1, "port", "a", "one"), put(2, "port", "b", "two"))
	wantIs(t, "unknown entry", s.Drop(t.Context(), "port", "c", noon), store.ErrNoEntry)
	if err := s.Drop(t.Context(), "port", "a", noon); err != nil {
		t.Fatal(err)
	}
	d := Load(t, s)
	diff(t, "after drop", d.Entries, []store.Entry{{Kind: "port", Key: "b", Schema: 3, Revision: 2, Body: []byte("two")}})
	got, err := s.Tail(t.Context(), pos, 10)
	if err != nil || len(got) != 1 {
		t.Fatalf("tail: %v, %v", got, err)
	}
	diff(t, "the drop in the log", got[0], store.Batch{ID: d.Snap.Batch, Prev: uid(2), Revision: 3, At: noon, Mutations: []store.Mutation{{Kind: "port", Key: "a"}}})
}

func testBackupRestore(t *testing.T, h Harness) {
	s := h.Open(t)
	b := put(2, "port", "b", "")
	b.Intents = []store.Intent{{ID: uid(10), Kind: "nova", Body: []byte("x")}, {ID: uid(11), Kind: "dns", Body: []byte{}}}
	mustAppend(t, s, put(1, "port", "a", "one"), b)
	if err := s.RaiseFeatureLevel(t.Context(), 7); err != nil {
		t.Fatal(err)
	}
	want := Load(t, s)
	path := filepath.Join(t.TempDir(), "backup")
	info, err := store.Backup(t.Context(), s, path, noon)
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "info", info, store.BackupInfo{Head: want.Snap.Head, FeatureLevel: 7, At: noon, Entries: 2, Intents: 2})
	_, err = store.Backup(t.Context(), s, path, noon)
	wantIs(t, "backup over a file", err, os.ErrExist)
	if left, _ := filepath.Glob(path + ".part*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	inspected, err := store.InspectBackup(path)
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "inspected", inspected, info)

	mustAppend(t, s, put(3, "port", "c", "three"), store.Batch{ID: uid(4), Revision: 4, Mutations: []store.Mutation{{Kind: "port", Key: "a"}}})
	for name, s := range map[string]store.Store{"same store": s, "new store": h.Open(t)} {
		pos, err := store.Restore(t.Context(), s, path)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if pos.Lineage == want.Snap.Lineage || pos.Revision != 2 {
			t.Errorf("%s: restored to %s, was %s", name, pos, want.Snap.Position)
		}
		after := Load(t, s)
		expect := want
		expect.Snap.Position = pos
		diff(t, name, after, expect)
		_, err = s.Tail(t.Context(), model.Position{Lineage: pos.Lineage, Revision: 1}, 10)
		wantIs(t, name+": tail into the old log", err, store.ErrTruncated)
		if problems, err := s.Check(t.Context()); err != nil || len(problems) > 0 {
			t.Errorf("%s: check: %v, %v", name, problems, err)
		}
		next := put(3, "port", "d", "x")
		next.Prev = uid(2)
		mustAppend(t, s, next)
		if h.Reopen != nil {
			diff(t, name+" reopened", Load(t, h.Reopen(t, s)).Snap.Revision, uint64(3))
		}
	}
}

func testRestoreRefuses(t *testing.T, h Harness) {
	s := h.Open(t)
	mustAppend(t, s, put(1, "port", "a", "one"), put(2, "port", "b", "two"))
	dir := t.TempDir()
	path := filepath.Join(dir, "backup")
	if _, err := store.Backup(t.Context(), s, path, noon); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before := Load(t, s)
	try := func(name string, bytes []byte) {
		bad := filepath.Join(dir, "bad")
		if err := os.WriteFile(bad, bytes, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := store.Restore(t.Context(), s, bad)
		wantIs(t, name, err, store.ErrBadBackup)
	}
	for n := range good {
		try(fmt.Sprintf("cut to %d bytes", n), good[:n])
		flipped := bytes.Clone(good)
		flipped[n] ^= 0x10
		try(fmt.Sprintf("byte %d flipped", n), flipped)
	}
	try("something appended", append(bytes.Clone(good), 'x'))
	diff(t, "after refused restores", Load(t, s), before)
}

func testBodies(t *testing.T, h Harness) {
	s := h.Open(t)
	every := make([]byte, 1<<20)
	for i := range every {
		every[i] = byte(i ^ i>>8)
	}
	for i, body := range [][]byte{{}, {0}, []byte("\x00'\"\\;--"), every} {
		b := put(uint64(i+1), "k'\"", "key \\ ü/"+fmt.Sprint(i), "")
		b.Mutations[0].Body = body
		mustAppend(t, s, b)
		got := Load(t, s).Entries[i]
		if !bytes.Equal(got.Body, body) || got.Body == nil {
			t.Errorf("body %d of %d bytes came back as %d bytes", i, len(body), len(got.Body))
		}
		if body = bytes.Clone(body); len(got.Body) > 0 {
			got.Body[0]++ // the visitor's to write
		}
		if again := Load(t, s).Entries[i]; !bytes.Equal(again.Body, body) {
			t.Errorf("body %d aliases the store", i)
		}
	}
}

// testRace has several writers compete for each revision: exactly one may win it, and nothing is lost or doubled.
func testRace(t *testing.T, h Harness) {
	s := h.Open(t)
	const writers, rounds = 4, 10
	var mu sync.Mutex // guards won
	won := map[uint64]model.UUID{}
	var wg sync.WaitGroup
	for w := range uint64(writers) {
		wg.Go(func() {
			for wins := uint64(0); wins < rounds; {
				at, err := s.Head(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				b := put(at.Revision+1, "port", fmt.Sprintf("%d-%d", w, wins), "x")
				b.ID, b.Prev = uid(1000*w+wins+1000), at.Batch
				switch err := s.Append(t.Context(), at.Position, []store.Batch{b}); {
				case err == nil:
					wins++
					mu.Lock()
					if _, taken := won[b.Revision]; taken {
						t.Errorf("revision %d was won twice", b.Revision)
					}
					won[b.Revision] = b.ID
					mu.Unlock()
				case !errors.Is(err, store.ErrConflict):
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	d := Load(t, s)
	if len(d.Entries) != writers*rounds || d.Snap.Revision != writers*rounds {
		t.Errorf("%d entries at revision %d, want %d", len(d.Entries), d.Snap.Revision, writers*rounds)
	}
	log, err := s.Tail(t.Context(), model.Position{Lineage: d.Snap.Lineage}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range log {
		if won[b.Revision] != b.ID {
			t.Errorf("revision %d is %s, but %s was told that it won", b.Revision, b.ID, won[b.Revision])
		}
	}
}

func testClosed(t *testing.T, h Harness) {
	s := h.Open(t)
	pos := mustAppend(t, s, put(1, "port", "a", "one"))
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	ctx := t.Context()
	_, err := s.Head(ctx)
	wantIs(t, "head", err, store.ErrClosed)
	_, err = s.Load(ctx, func(store.Entry) error { return nil })
	wantIs(t, "load", err, store.ErrClosed)
	_, err = s.Tail(ctx, pos, 1)
	wantIs(t, "tail", err, store.ErrClosed)
	wantIs(t, "append", s.Append(ctx, pos, []store.Batch{put(2, "port", "a", "x")}), store.ErrClosed)
	_, err = s.Committed(ctx, 1, uid(1))
	wantIs(t, "committed", err, store.ErrClosed)
	wantIs(t, "heartbeats", s.PutHeartbeats(ctx, []store.Heartbeat{{Server: "a"}}), store.ErrClosed)
}
