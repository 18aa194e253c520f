package sqlite

import (
	"context"
	"fmt"
	"time"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/store"
)

// DoneIntents implements store.Store.
func (s *Store) DoneIntents(ctx context.Context, ids []model.UUID) error {
	return s.wrap("forget intents", s.tx(ctx, func(ctx context.Context, w *writer) error {
		for _, id := range ids {
			if _, err := w.delIntent.exec(ctx, id[:]); err != nil {
				return fmt.Errorf("intent %s: %w", id, err)
			}
		}
		return nil
	}))
}

// PutHeartbeats implements store.Store.
func (s *Store) PutHeartbeats(ctx context.Context, beats []store.Heartbeat) error {
	if err := store.CheckBeats(beats); err != nil {
		return err
	}
	return s.wrap("write heartbeats", s.tx(ctx, func(ctx context.Context, w *writer) error {
		for _, h := range beats {
			_, err := w.conn.ExecContext(ctx, "INSERT OR REPLACE INTO heartbeats (server, at, body) VALUES (?, ?, ?)",
				h.Server, h.At.UnixMicro(), notNil(h.Body))
			if err != nil {
				return fmt.Errorf("server %s: %w", h.Server, err)
			}
		}
		return nil
	}))
}

// RaiseFeatureLevel implements store.Store.
func (s *Store) RaiseFeatureLevel(ctx context.Context, level uint16) error {
	return s.wrap("raise feature level", s.tx(ctx, func(ctx context.Context, w *writer) error {
		_, err := w.conn.ExecContext(ctx, "UPDATE meta SET level = max(level, ?)", level)
		return err
	}))
}

// NewLineage implements store.Store.
func (s *Store) NewLineage(ctx context.Context, base model.Position) (model.Position, error) {
	lineage, err := store.NewUUID(s.random)
	if err != nil {
		return model.Position{}, err
	}
	err = s.txAll(ctx, func(ctx context.Context, w *writer) error {
		m, err := w.readMeta(ctx)
		if err != nil {
			return err
		}
		if m.Position != base {
			return fmt.Errorf("at %s, store is at %s: %w", base, m.Position, store.ErrConflict)
		}
		_, err = w.conn.ExecContext(ctx, "UPDATE meta SET lineage = ?, since = revision", lineage[:])
		return err
	})
	if err != nil {
		return model.Position{}, s.wrap("new lineage", err)
	}
	return model.Position{Lineage: lineage, Revision: base.Revision}, nil
}

// Replace implements store.Store.
func (s *Store) Replace(ctx context.Context, snap store.Snapshot, entries func(yield func(store.Entry) error) error) (model.Position, error) {
	lineage, err := store.NewUUID(s.random)
	if err != nil {
		return model.Position{}, err
	}
	err = s.txAll(ctx, func(ctx context.Context, w *writer) error {
		for _, q := range []string{"DELETE FROM entries", "DELETE FROM log", "DELETE FROM intents", "DELETE FROM heartbeats"} {
			if _, err := w.conn.ExecContext(ctx, q); err != nil {
				return fmt.Errorf("%s: %w", q, err)
			}
		}
		err := entries(func(e store.Entry) error {
			if err := store.CheckName(e.Kind, e.Key); err != nil {
				return err
			}
			if e.Revision > snap.Revision {
				return fmt.Errorf("entry %s %q has revision %d, the snapshot %d", e.Kind, e.Key, e.Revision, snap.Revision)
			}
			_, err := w.putEntry.exec(ctx, e.Kind, e.Key, e.Schema, e.Revision, store.EntrySum(&e), notNil(e.Body))
			return err
		})
		if err != nil {
			return err
		}
		for _, in := range snap.Intents {
			if _, err := w.addIntent.exec(ctx, in.ID[:], in.Kind, notNil(in.Body)); err != nil {
				return fmt.Errorf("intent %s: %w", in.ID, err)
			}
		}
		_, err = w.conn.ExecContext(ctx, "UPDATE meta SET lineage = ?1, revision = ?2, batch = ?3, since = ?2, trimmed = ?2, level = ?4",
			lineage[:], snap.Revision, snap.Batch[:], snap.FeatureLevel)
		return err
	})
	if err != nil {
		return model.Position{}, s.wrap("replace", err)
	}
	return model.Position{Lineage: lineage, Revision: snap.Revision}, nil
}

// trimStep is how many log rows one transaction of Trim removes, so that writers do not wait long for their turn.
const trimStep = 1000

// Trim implements store.Store.
func (s *Store) Trim(ctx context.Context, before time.Time, keep uint64) (uint64, error) {
	removed := uint64(0)
	for {
		n := uint64(0)
		err := s.tx(ctx, func(ctx context.Context, w *writer) error {
			m, err := w.readMeta(ctx)
			if err != nil {
				return err
			}
			cut, err := s.trimCut(ctx, w, m, before, keep)
			if err != nil || cut <= m.trimmed {
				return err
			}
			n = cut - m.trimmed
			if _, err := w.conn.ExecContext(ctx, "DELETE FROM log WHERE revision <= ?", cut); err != nil {
				return err
			}
			_, err = w.conn.ExecContext(ctx, "UPDATE meta SET trimmed = ?", cut)
			return err
		})
		if err != nil {
			return removed, s.wrap("trim", err)
		}
		if removed += n; n < trimStep {
			return removed, nil
		}
	}
}

// trimCut is the newest revision that a step of Trim may remove.
func (s *Store) trimCut(ctx context.Context, w *writer, m meta, before time.Time, keep uint64) (uint64, error) {
	if m.Revision == m.trimmed {
		return m.trimmed, nil
	}
	last := min(m.Revision-1, m.trimmed+trimStep) // the newest batch always stays
	cut := m.trimmed
	if keep > 0 && m.Revision > keep {
		cut = max(cut, min(last, m.Revision-keep))
	}
	if before.IsZero() {
		return cut, nil
	}
	var fresh *uint64 // the first that is not old, after those that go by count
	err := w.conn.QueryRowContext(ctx, "SELECT min(revision) FROM log WHERE revision > ? AND revision <= ? AND at >= ?",
		cut, last, before.UnixMicro()).Scan(&fresh)
	if err != nil {
		return 0, err
	}
	if fresh == nil {
		return last, nil
	}
	return *fresh - 1, nil
}
