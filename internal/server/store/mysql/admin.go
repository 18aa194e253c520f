package mysql

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/store"
)

// DoneIntents implements store.Store.
func (s *Store) DoneIntents(ctx context.Context, ids []model.UUID) error {
	if len(ids) == 0 {
		return s.wrap("forget intents", s.open(ctx))
	}
	return s.tx(ctx, "forget intents", func(ctx context.Context, c session, _ meta) error {
		sc := &script{conn: c}
		del := newInsert(sc, "DELETE FROM weft_intents WHERE (id) IN (", 1, ")")
		for _, id := range ids {
			if err := del.add(ctx, 0, id[:]); err != nil {
				return err
			}
		}
		return errors.Join(del.flush(ctx), sc.run(ctx))
	})
}

// PutHeartbeats implements store.Store.
func (s *Store) PutHeartbeats(ctx context.Context, beats []store.Heartbeat) error {
	if err := store.CheckBeats(beats); err != nil {
		return err
	}
	for _, h := range beats { // rows of their own, so no transaction around them, and no lock on the position
		err := s.exec(ctx, "REPLACE INTO weft_heartbeats (server, made, body) VALUES (?, ?, ?)", []byte(h.Server), h.At.UnixMicro(), notNil(h.Body))
		if err != nil {
			return s.wrap("write heartbeat of "+h.Server, err)
		}
	}
	return s.wrap("write heartbeats", s.open(ctx))
}

// RaiseFeatureLevel implements store.Store.
func (s *Store) RaiseFeatureLevel(ctx context.Context, level uint16) error {
	return s.tx(ctx, "raise feature level", func(ctx context.Context, c session, _ meta) error {
		_, err := c.ExecContext(ctx, "UPDATE weft_meta SET level = GREATEST(level, ?)", level)
		return err
	})
}

// NewLineage implements store.Store.
func (s *Store) NewLineage(ctx context.Context, base model.Position) (model.Position, error) {
	lineage, err := store.NewUUID(s.random)
	if err != nil {
		return model.Position{}, err
	}
	err = s.tx(ctx, "new lineage", func(ctx context.Context, c session, m meta) error {
		if m.Position != base {
			return fmt.Errorf("at %s, store is at %s: %w", base, m.Position, store.ErrConflict)
		}
		_, err := c.ExecContext(ctx, "UPDATE weft_meta SET lineage = ?, since = revision", lineage[:])
		return err
	})
	if err != nil {
		return model.Position{}, err
	}
	return model.Position{Lineage: lineage, Revision: base.Revision}, nil
}

// Replace implements store.Store.
func (s *Store) Replace(ctx context.Context, snap store.Snapshot, entries func(yield func(store.Entry) error) error) (model.Position, error) {
	lineage, err := store.NewUUID(s.random)
	if err != nil {
		return model.Position{}, err
	}
	err = s.tx(ctx, "replace", func(ctx context.Context, c session, _ meta) error {
		for _, table := range []string{"weft_entries", "weft_log", "weft_intents", "weft_heartbeats"} {
			if err := empty(ctx, c, table); err != nil {
				return fmt.Errorf("empty %s: %w", table, err)
			}
		}
		sc := &script{conn: c}
		if err := replaceEntries(ctx, sc, snap.Revision, entries); err != nil {
			return err
		}
		intents := newInsert(sc, "INSERT INTO weft_intents (revision, place, id, kind, body) VALUES", 5, "")
		for i, in := range snap.Intents { // revision 0 sorts them before all that come later
			if err := intents.add(ctx, len(in.Body), 0, i, in.ID[:], in.Kind, notNil(in.Body)); err != nil {
				return err
			}
		}
		if err := errors.Join(intents.flush(ctx), sc.run(ctx)); err != nil {
			return err
		}
		_, err := c.ExecContext(ctx, "UPDATE weft_meta SET lineage = ?, revision = ?, batch = ?, since = ?, trimmed = ?, level = ?",
			lineage[:], snap.Revision, snap.Batch[:], snap.Revision, snap.Revision, snap.FeatureLevel)
		return err
	})
	if err != nil {
		return model.Position{}, err
	}
	return model.Position{Lineage: lineage, Revision: snap.Revision}, nil
}

// empty deletes all rows in steps, each of which is quicker than ioTimeout. (TRUNCATE would commit.)
func empty(ctx context.Context, c session, table string) error {
	for {
		res, err := c.ExecContext(ctx, "DELETE FROM "+table+" LIMIT 10000")
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return err
		}
	}
}

func replaceEntries(ctx context.Context, sc *script, revision uint64, entries func(yield func(store.Entry) error) error) error {
	puts := newPutEntries(sc)
	err := entries(func(e store.Entry) error {
		if err := store.CheckName(e.Kind, e.Key); err != nil {
			return err
		}
		if e.Revision > revision {
			return fmt.Errorf("entry %s %q has revision %d, the snapshot %d", e.Kind, e.Key, e.Revision, revision)
		}
		return putEntry(ctx, puts, &e)
	})
	if err != nil {
		return err
	}
	return puts.flush(ctx)
}

// trimStep is how many log rows one transaction of Trim removes, so that writers do not wait long for the lock.
const trimStep = 1000

// Trim implements store.Store.
func (s *Store) Trim(ctx context.Context, before time.Time, keep uint64) (uint64, error) {
	removed := uint64(0)
	for {
		n := uint64(0)
		err := s.tx(ctx, "trim", func(ctx context.Context, c session, m meta) error {
			cut, err := trimCut(ctx, c, m, before, keep)
			if err != nil || cut <= m.trimmed {
				return err
			}
			n = cut - m.trimmed
			if _, err := c.ExecContext(ctx, "DELETE FROM weft_log WHERE revision <= ?", cut); err != nil {
				return err
			}
			_, err = c.ExecContext(ctx, "UPDATE weft_meta SET trimmed = ?", cut)
			return err
		})
		if err != nil {
			return removed, err
		}
		if removed += n; n < trimStep {
			return removed, nil
		}
	}
}

// trimCut is the newest revision that a step of Trim may remove.
func trimCut(ctx context.Context, c session, m meta, before time.Time, keep uint64) (uint64, error) {
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
	err := c.QueryRowContext(ctx, "SELECT min(revision) FROM weft_log WHERE revision > ? AND revision <= ? AND made >= ?",
		cut, last, before.UnixMicro()).Scan(&fresh)
	if err != nil {
		return 0, err
	}
	if fresh == nil {
		return last, nil
	}
	return *fresh - 1, nil
}

// Campaign implements store.Elector. The time is the database's, so servers' clocks do not matter.
func (s *Store) Campaign(ctx context.Context, holder string, ttl time.Duration) (store.Lease, error) {
	var l store.Lease
	if err := store.CheckBeats([]store.Heartbeat{{Server: holder}}); err != nil {
		return l, err
	}
	// Assignments happen from left to right, so term sees the old holder.
	err := s.exec(ctx, `UPDATE weft_lease SET term = IF(holder = ?, term, term + 1), holder = ?,
		expires = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND WHERE id = 1 AND (holder = ? OR expires <= UTC_TIMESTAMP(6))`,
		[]byte(holder), []byte(holder), ttl.Microseconds(), []byte(holder))
	if err != nil {
		return l, s.wrap("take the lease", err)
	}
	l, err = s.lease(ctx)
	return l, s.wrap("take the lease", err)
}

func (s *Store) lease(ctx context.Context) (l store.Lease, err error) {
	var micros int64
	row := s.db.QueryRowContext(ctx, "SELECT holder, term, TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), expires) FROM weft_lease WHERE id = 1")
	err = row.Scan(&l.Holder, &l.Term, &micros)
	l.Left = time.Duration(micros) * time.Microsecond
	return l, err
}

// Resign implements store.Elector.
func (s *Store) Resign(ctx context.Context, holder string) error {
	err := s.exec(ctx, "UPDATE weft_lease SET expires = UTC_TIMESTAMP(6) WHERE id = 1 AND holder = ? AND expires > UTC_TIMESTAMP(6)", []byte(holder))
	return s.wrap("give up the lease", err)
}

// open is nil if the store can be used.
func (s *Store) open(ctx context.Context) error {
	if s.closed.Load() {
		return store.ErrClosed
	}
	return ctx.Err()
}
