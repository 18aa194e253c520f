// Package memory is a store that lives as long as its process: the reference that the durable stores are compared with,
// and what tests of the layers above use. It keeps nothing on disk and must not be offered to operators.
package memory

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/store"
)

// Store implements store.Store.
type Store struct {
	random io.Reader

	mu      sync.Mutex // guards everything below
	closed  bool
	head    store.Head
	since   uint64 // revision at which the lineage began
	trimmed uint64 // newest revision that is no longer in the log
	level   uint16
	entries map[name]store.Entry
	log     []store.Batch
	intents []store.Intent
	beats   map[string]store.Heartbeat
}

type name struct{ kind, key string }

var _ store.Store = (*Store)(nil)

// New returns an empty store; random (crypto/rand.Reader) gives its lineages.
func New(random io.Reader) (*Store, error) {
	s := &Store{random: random, entries: map[name]store.Entry{}, beats: map[string]store.Heartbeat{}}
	lineage, err := store.NewUUID(random)
	s.head.Lineage = lineage
	return s, err
}

// Load implements store.Store.
func (s *Store) Load(ctx context.Context, visit func(store.Entry) error) (store.Snapshot, error) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return store.Snapshot{}, store.ErrClosed
	}
	snap := store.Snapshot{Head: s.head, FeatureLevel: s.level, Intents: cloneIntents(s.intents)}
	all := slices.SortedFunc(maps.Values(s.entries), func(a, b store.Entry) int {
		if c := strings.Compare(a.Kind, b.Kind); c != 0 {
			return c
		}
		return strings.Compare(a.Key, b.Key)
	})
	s.mu.Unlock()
	for _, e := range all {
		if err := ctx.Err(); err != nil {
			return store.Snapshot{}, err
		}
		e.Body = slices.Clone(e.Body)
		if err := visit(e); err != nil {
			return store.Snapshot{}, err
		}
	}
	return snap, nil
}

// Head implements store.Store.
func (s *Store) Head(ctx context.Context) (store.Head, error) {
	defer s.lock()()
	return s.head, s.open(ctx)
}

// Append implements store.Store.
func (s *Store) Append(ctx context.Context, base model.Position, batches []store.Batch) error {
	defer s.lock()()
	if err := s.open(ctx); err != nil {
		return err
	}
	if base != s.head.Position {
		return fmt.Errorf("append at %s, store is at %s: %w", base, s.head.Position, store.ErrConflict)
	}
	return s.append(batches)
}

func (s *Store) append(batches []store.Batch) error {
	batches, rows, err := store.Prepare(s.head, batches)
	if err != nil {
		return err
	}
	for i, b := range batches {
		if err := store.DecodeBatch(rows[i], &b); err != nil { // a deep copy, as the durable stores have
			return err
		}
		for _, m := range b.Mutations {
			if n := (name{m.Kind, m.Key}); m.Body == nil {
				delete(s.entries, n)
			} else {
				s.entries[n] = store.Entry{Kind: m.Kind, Key: m.Key, Schema: m.Schema, Revision: b.Revision, Body: slices.Clone(m.Body)}
			}
		}
		s.intents = append(s.intents, cloneIntents(b.Intents)...)
		s.log = append(s.log, b)
		s.head.Revision, s.head.Batch = b.Revision, b.ID
	}
	return nil
}

// Committed implements store.Store.
func (s *Store) Committed(ctx context.Context, revision uint64, id model.UUID) (bool, error) {
	defer s.lock()()
	if err := s.open(ctx); err != nil {
		return false, err
	}
	if revision > s.head.Revision {
		return false, nil
	}
	if revision <= s.trimmed {
		return false, fmt.Errorf("batch at revision %d: %w", revision, store.ErrTruncated)
	}
	return s.log[revision-s.trimmed-1].ID == id, nil
}

// Tail implements store.Store.
func (s *Store) Tail(ctx context.Context, after model.Position, limit int) ([]store.Batch, error) {
	defer s.lock()()
	if err := s.open(ctx); err != nil {
		return nil, err
	}
	if after.Lineage != s.head.Lineage || after.Revision > s.head.Revision {
		return nil, fmt.Errorf("tail after %s, store is at %s: %w", after, s.head.Position, store.ErrLineage)
	}
	if after.Revision < max(s.trimmed, s.since) {
		return nil, fmt.Errorf("tail after %s, log begins after %d: %w", after, max(s.trimmed, s.since), store.ErrTruncated)
	}
	var out []store.Batch
	for _, b := range s.log[after.Revision-s.trimmed:] {
		if len(out) >= limit {
			break
		}
		row := store.EncodeBatch(nil, &b)
		if err := store.DecodeBatch(row, &b); err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	return out, nil
}

// Intents implements store.Store.
func (s *Store) Intents(ctx context.Context, limit int) ([]store.Intent, error) {
	defer s.lock()()
	return cloneIntents(s.intents[:min(limit, len(s.intents))]), s.open(ctx)
}

// DoneIntents implements store.Store.
func (s *Store) DoneIntents(ctx context.Context, ids []model.UUID) error {
	defer s.lock()()
	if err := s.open(ctx); err != nil {
		return err
	}
	s.intents = slices.DeleteFunc(s.intents, func(in store.Intent) bool { return slices.Contains(ids, in.ID) })
	return nil
}

// PutHeartbeats implements store.Store.
func (s *Store) PutHeartbeats(ctx context.Context, beats []store.Heartbeat) error {
	defer s.lock()()
	if err := s.open(ctx); err != nil {
		return err
	}
	if err := store.CheckBeats(beats); err != nil {
		return err
	}
	for _, b := range beats {
		s.beats[b.Server] = store.Heartbeat{Server: b.Server, At: store.StoredTime(b.At), Body: append([]byte{}, b.Body...)}
	}
	return nil
}

// Heartbeats implements store.Store.
func (s *Store) Heartbeats(ctx context.Context) ([]store.Heartbeat, error) {
	defer s.lock()()
	if err := s.open(ctx); err != nil {
		return nil, err
	}
	var out []store.Heartbeat
	for _, k := range slices.Sorted(maps.Keys(s.beats)) {
		b := s.beats[k]
		b.Body = slices.Clone(b.Body)
		out = append(out, b)
	}
	return out, nil
}

// RaiseFeatureLevel implements store.Store.
func (s *Store) RaiseFeatureLevel(ctx context.Context, level uint16) error {
	defer s.lock()()
	if err := s.open(ctx); err != nil {
		return err
	}
	s.level = max(s.level, level)
	return nil
}

// NewLineage implements store.Store.
func (s *Store) NewLineage(ctx context.Context, base model.Position) (model.Position, error) {
	defer s.lock()()
	if err := s.open(ctx); err != nil {
		return model.Position{}, err
	}
	if base != s.head.Position {
		return model.Position{}, fmt.Errorf("new lineage at %s, store is at %s: %w", base, s.head.Position, store.ErrConflict)
	}
	lineage, err := store.NewUUID(s.random)
	if err != nil {
		return model.Position{}, err
	}
	s.head.Lineage, s.since = lineage, s.head.Revision
	return s.head.Position, nil
}

// Replace implements store.Store.
func (s *Store) Replace(ctx context.Context, snap store.Snapshot, entries func(yield func(store.Entry) error) error) (model.Position, error) {
	all := map[name]store.Entry{}
	err := entries(func(e store.Entry) error {
		e.Body = append([]byte{}, e.Body...)
		all[name{e.Kind, e.Key}] = e
		return store.CheckName(e.Kind, e.Key)
	})
	if err != nil {
		return model.Position{}, err
	}
	defer s.lock()()
	if err := s.open(ctx); err != nil {
		return model.Position{}, err
	}
	lineage, err := store.NewUUID(s.random)
	if err != nil {
		return model.Position{}, err
	}
	s.head = snap.Head
	s.head.Lineage = lineage
	s.since, s.trimmed = s.head.Revision, s.head.Revision
	s.level, s.intents, s.log = snap.FeatureLevel, cloneIntents(snap.Intents), nil
	s.entries, s.beats = all, map[string]store.Heartbeat{}
	return s.head.Position, nil
}

// Trim implements store.Store.
func (s *Store) Trim(ctx context.Context, before time.Time, keep uint64) (uint64, error) {
	defer s.lock()()
	if err := s.open(ctx); err != nil {
		return 0, err
	}
	cut := uint64(0)
	for _, b := range s.log {
		old := !before.IsZero() && b.At.Before(before)
		surplus := keep > 0 && s.head.Revision-b.Revision >= keep
		if b.Revision == s.head.Revision || !old && !surplus {
			break
		}
		cut++
	}
	s.log = slices.Clone(s.log[cut:])
	s.trimmed += cut
	return cut, nil
}

// Check implements store.Store; memory has nothing that could be damaged.
func (s *Store) Check(ctx context.Context) ([]*store.CorruptError, error) {
	defer s.lock()()
	return nil, s.open(ctx)
}

// Drop implements store.Store.
func (s *Store) Drop(ctx context.Context, kind, key string, at time.Time) error {
	defer s.lock()()
	if err := s.open(ctx); err != nil {
		return err
	}
	if _, ok := s.entries[name{kind, key}]; !ok {
		return fmt.Errorf("drop %s %q: %w", kind, key, store.ErrNoEntry)
	}
	id, err := store.NewUUID(s.random)
	if err != nil {
		return err
	}
	return s.append([]store.Batch{{ID: id, Revision: s.head.Revision + 1, At: at, Mutations: []store.Mutation{{Kind: kind, Key: key}}}})
}

// Close implements store.Store.
func (s *Store) Close() error {
	defer s.lock()()
	s.closed = true
	return nil
}

func (s *Store) lock() (unlock func()) {
	s.mu.Lock()
	return s.mu.Unlock
}

func (s *Store) open(ctx context.Context) error {
	if s.closed {
		return store.ErrClosed
	}
	return ctx.Err()
}

func cloneIntents(in []store.Intent) []store.Intent {
	var out []store.Intent
	for _, i := range in {
		i.Body = append([]byte{}, i.Body...)
		out = append(out, i)
	}
	return out
}
