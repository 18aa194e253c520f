package storetest

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/store"
)

// reference is what a store should be, written as simply as can be and independently of package memory: the newest image
// of each entry, the log, the intents.
type reference struct {
	head    store.Head
	floor   uint64 // Tail reaches back to here
	trimmed uint64
	level   uint16
	entries map[string]store.Entry
	log     []store.Batch
	intents []store.Intent
}

func (r *reference) dump() Dump {
	d := Dump{Snap: store.Snapshot{Head: r.head, FeatureLevel: r.level, Intents: r.intents}}
	for _, k := range slices.Sorted(maps.Keys(r.entries)) { // kinds are one letter, so this is the order of Load
		d.Entries = append(d.Entries, r.entries[k])
	}
	return d
}

func (r *reference) apply(batches []store.Batch) {
	for _, b := range batches {
		b.Prev = r.head.Batch
		for _, m := range b.Mutations {
			k := m.Kind + "/" + m.Key
			delete(r.entries, k)
			if m.Body != nil {
				r.entries[k] = store.Entry{Kind: m.Kind, Key: m.Key, Schema: m.Schema, Revision: b.Revision, Body: m.Body}
			}
		}
		r.intents = append(slices.Clip(r.intents), b.Intents...)
		r.log = append(r.log, b)
		r.head.Revision, r.head.Batch = b.Revision, b.ID
	}
}

func (r *reference) clone() reference {
	c := *r
	c.entries, c.log, c.intents = maps.Clone(r.entries), slices.Clone(r.log), slices.Clone(r.intents)
	return c
}

// machine runs a store and its reference side by side.
type machine struct {
	t       *testing.T
	h       Harness
	s       store.Store
	ref     reference
	ids     uint64
	backups []backup
	old     []model.Position // positions that were true once
}

type backup struct {
	path string
	ref  reference
}

// testProperty: any sequence of appends, conflicts, reopenings, trims, new lineages, backups and restores leaves the
// store as the reference.
func testProperty(t *testing.T, h Harness) {
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		if n++; h.Slow && n > 10 {
			return
		}
		m := &machine{t: t, h: h, s: h.Open(t)}
		defer func() { _ = m.s.Close() }() // Closed tests it
		m.ref = reference{head: head(t, m.s), entries: map[string]store.Entry{}}
		actions := map[string]func(*rapid.T){
			"": m.check, "append": m.append, "append again": m.append, "conflict": m.conflict, "tail": m.tail, "committed": m.committed,
			"done": m.done, "trim": m.trim, "lineage": m.lineage, "backup": m.backup, "restore": m.restore, "level": m.level,
		}
		if h.Reopen != nil {
			actions["reopen"] = func(*rapid.T) { m.s = h.Reopen(t, m.s) }
		}
		rt.Repeat(actions)
	})
}

func (m *machine) id() model.UUID { m.ids++; return uid(m.ids) }

func (m *machine) batches(rt *rapid.T) []store.Batch {
	out := make([]store.Batch, rapid.IntRange(1, 5).Draw(rt, "batches"))
	for i := range out {
		b := store.Batch{ID: m.id(), Revision: m.ref.head.Revision + 1 + uint64(i), At: noon.Add(time.Duration(rapid.IntRange(0, 60).Draw(rt, "at")) * time.Second)}
		for range rapid.IntRange(0, 4).Draw(rt, "mutations") {
			mu := store.Mutation{Kind: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "kind"), Key: rapid.SampledFrom(strings.Split("0 1 2 3 é Z z", " ")).Draw(rt, "key")}
			if rapid.IntRange(0, 3).Draw(rt, "delete") > 0 {
				mu.Schema = rapid.Uint16().Draw(rt, "schema")
				mu.Body = append([]byte{}, rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(rt, "body")...)
			}
			b.Mutations = append(b.Mutations, mu)
		}
		for range rapid.IntRange(0, 1).Draw(rt, "intents") {
			b.Intents = append(b.Intents, store.Intent{ID: m.id(), Kind: "nova", Body: []byte(fmt.Sprint(m.ids))})
		}
		out[i] = b
	}
	return out
}

func (m *machine) same(rt *rapid.T, what string, got, want any) {
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		rt.Fatalf("%s (-want +got):\n%s", what, d)
	}
}

func (m *machine) ok(rt *rapid.T, what string, err error) {
	if err != nil {
		rt.Fatalf("%s: %v", what, err)
	}
}

func (m *machine) check(rt *rapid.T) {
	m.same(rt, "contents", Load(m.t, m.s), m.ref.dump())
	m.same(rt, "head", head(m.t, m.s), m.ref.head)
	problems, err := m.s.Check(m.t.Context())
	m.ok(rt, "check", err)
	if len(problems) > 0 {
		rt.Fatalf("check: %v", problems)
	}
}

func (m *machine) append(rt *rapid.T) {
	b := m.batches(rt)
	m.old = append(m.old, m.ref.head.Position)
	m.ok(rt, "append", m.s.Append(m.t.Context(), m.ref.head.Position, b))
	m.ref.apply(b)
}

func (m *machine) conflict(rt *rapid.T) {
	if len(m.old) == 0 {
		rt.Skip("no old position")
	}
	base := rapid.SampledFrom(m.old).Draw(rt, "base")
	b := m.batches(rt)
	for i := range b {
		b[i].Revision = base.Revision + 1 + uint64(i)
	}
	if err := m.s.Append(m.t.Context(), base, b); base == m.ref.head.Position {
		m.ok(rt, "append", err)
		m.ref.apply(b)
	} else if !errors.Is(err, store.ErrConflict) {
		rt.Fatalf("append at %s, store at %s: %v", base, m.ref.head.Position, err)
	}
}

func (m *machine) tail(rt *rapid.T) {
	after := rapid.Uint64Range(0, m.ref.head.Revision+1).Draw(rt, "after")
	limit := rapid.IntRange(0, 10).Draw(rt, "limit")
	got, err := m.s.Tail(m.t.Context(), model.Position{Lineage: m.ref.head.Lineage, Revision: after}, limit)
	switch {
	case after > m.ref.head.Revision:
		if !errors.Is(err, store.ErrLineage) {
			rt.Fatalf("tail ahead: %v", err)
		}
	case after < m.ref.floor:
		if !errors.Is(err, store.ErrTruncated) {
			rt.Fatalf("tail after %d, log begins after %d: %v", after, m.ref.floor, err)
		}
	default:
		m.ok(rt, "tail", err)
		want := m.ref.log[after-m.ref.trimmed:]
		m.same(rt, "tail", got, want[:min(limit, len(want))])
	}
}

func (m *machine) committed(rt *rapid.T) {
	if len(m.ref.log) == 0 {
		rt.Skip("empty log")
	}
	b := rapid.SampledFrom(m.ref.log).Draw(rt, "batch")
	got, err := m.s.Committed(m.t.Context(), b.Revision, b.ID)
	m.ok(rt, "committed", err)
	other, err := m.s.Committed(m.t.Context(), b.Revision, m.id())
	m.ok(rt, "committed", err)
	if !got || other {
		rt.Fatalf("batch at %d: %t, another there: %t", b.Revision, got, other)
	}
}

func (m *machine) done(rt *rapid.T) {
	n := rapid.IntRange(0, len(m.ref.intents)).Draw(rt, "done")
	var ids []model.UUID
	for _, in := range m.ref.intents[:n] {
		ids = append(ids, in.ID)
	}
	m.ok(rt, "done", m.s.DoneIntents(m.t.Context(), ids))
	m.ref.intents = slices.Clone(m.ref.intents[n:])
}

func (m *machine) trim(rt *rapid.T) {
	keep := rapid.Uint64Range(0, 20).Draw(rt, "keep")
	var before time.Time
	if rapid.Bool().Draw(rt, "by age") {
		before = noon.Add(time.Duration(rapid.IntRange(0, 60).Draw(rt, "before")) * time.Second)
	}
	n, err := m.s.Trim(m.t.Context(), before, keep)
	m.ok(rt, "trim", err)
	cut := 0
	for cut < len(m.ref.log)-1 {
		b := m.ref.log[cut]
		if (keep == 0 || m.ref.head.Revision-b.Revision < keep) && (before.IsZero() || !b.At.Before(before)) {
			break
		}
		cut++
	}
	if n != uint64(cut) {
		rt.Fatalf("trim removed %d, want %d", n, cut)
	}
	m.ref.log = slices.Clone(m.ref.log[cut:])
	m.ref.trimmed += uint64(cut)
	m.ref.floor = max(m.ref.floor, m.ref.trimmed)
}

func (m *machine) lineage(rt *rapid.T) {
	pos, err := m.s.NewLineage(m.t.Context(), m.ref.head.Position)
	m.ok(rt, "new lineage", err)
	if pos.Lineage == m.ref.head.Lineage {
		rt.Fatal("the new lineage is the old one")
	}
	m.old = append(m.old, m.ref.head.Position)
	m.ref.head.Position, m.ref.floor = pos, m.ref.head.Revision
}

func (m *machine) backup(rt *rapid.T) {
	path := filepath.Join(m.t.TempDir(), "backup")
	_, err := store.Backup(m.t.Context(), m.s, path, noon)
	m.ok(rt, "backup", err)
	m.backups = append(m.backups, backup{path, m.ref.clone()})
}

func (m *machine) restore(rt *rapid.T) {
	if len(m.backups) == 0 {
		rt.Skip("no backup")
	}
	b := rapid.SampledFrom(m.backups).Draw(rt, "backup")
	pos, err := store.Restore(m.t.Context(), m.s, b.path)
	m.ok(rt, "restore", err)
	m.old = append(m.old, m.ref.head.Position)
	m.ref = b.ref.clone()
	m.ref.head.Position, m.ref.log = pos, nil
	m.ref.floor, m.ref.trimmed = pos.Revision, pos.Revision
}

func (m *machine) level(rt *rapid.T) {
	l := rapid.Uint16Range(0, 9).Draw(rt, "level")
	m.ok(rt, "level", m.s.RaiseFeatureLevel(m.t.Context(), l))
	m.ref.level = max(m.ref.level, l)
}
