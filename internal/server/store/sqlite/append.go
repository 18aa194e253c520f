package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/store"
	"github.com/weft-cloud/weft/internal/server/store/journal"
)

// Append implements store.Store. The common way is the journal's: one write in place and one sync, and the file follows.
//
//	               ┌──▶ journal ──▶ behind ──▶ answer        what is small, while the file can follow
//	batches ──▶ log│                   │ follow, or whoever needs the file up to date
//	               └──▶ turn ───────▶ file ──▶ answer        the rest
func (s *Store) Append(ctx context.Context, base model.Position, batches []store.Batch) error {
	return s.wrap("append", s.append(ctx, base, batches))
}

func (s *Store) append(ctx context.Context, base model.Position, batches []store.Batch) error {
	g, err := s.appendJournal(ctx, base, batches)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errToFile):
		return s.appendFile(ctx, base, batches)
	case g == nil:
		return err
	}
	// The journal may have it or not. The file decides: nothing of the journal that it does not have counts from now on.
	release, serr := s.takeAll(context.WithoutCancel(ctx))
	if serr == nil {
		serr = s.settleAll(context.WithoutCancel(ctx))
		release()
	}
	if serr != nil {
		return fmt.Errorf("%w: %w; %w", store.ErrUnknown, err, serr)
	}
	return s.appendFile(context.WithoutCancel(ctx), base, batches)
}

// errToFile says that a group is not for the journal; nothing was done.
var errToFile = errors.New("not for the journal")

// maxRecord bounds what goes to the journal. What is larger takes so long anyway that the file's own commit does not matter.
const maxRecord = 256 << 10

// appendJournal appends to the journal. If an error comes with the group, it may have happened.
func (s *Store) appendJournal(ctx context.Context, base model.Position, batches []store.Batch) (*group, error) {
	if s.readOnly {
		return nil, store.ErrReadOnly
	}
	release, err := s.take(ctx, s.log)
	if err != nil {
		return nil, err
	}
	defer release()
	if s.wanted {
		s.wanted = false
		s.missed <- struct{}{}
	}
	if s.journal == nil || s.torn != nil || s.stale || s.behind.stuck() || s.place.check() != nil {
		return nil, errToFile
	}
	g, err := s.group(base, batches)
	if err != nil {
		return nil, err
	}
	if g.size() > maxRecord {
		return nil, errToFile
	}
	if err := s.step(StepJournal); err != nil {
		return nil, err
	}
	s.record = g.encode(s.record[:0])
	err = s.journal.Append(s.record)
	if err == nil {
		err = s.step(StepJournaled)
	}
	switch {
	case errors.Is(err, journal.ErrNoRoom), errors.Is(err, journal.ErrMoved):
		return nil, errToFile
	case err != nil:
		s.torn = err
		return g, fmt.Errorf("journal: %w", err)
	}
	s.head = g.end()
	s.behind.add(g)
	select {
	case s.news <- struct{}{}:
	default: // said already
	}
	return g, nil
}

// group checks batches against the newest position; the caller owns the log.
func (s *Store) group(base model.Position, batches []store.Batch) (*group, error) {
	if base != s.head.Position {
		return nil, fmt.Errorf("at %s, store is at %s: %w", base, s.head.Position, store.ErrConflict)
	}
	ready, rows, err := store.Prepare(s.head, batches)
	if err != nil {
		return nil, err
	}
	return &group{base: s.head, batches: ready, rows: rows, epoch: s.epoch}, nil
}

// appendFile appends to the file itself, behind all that the journal holds.
func (s *Store) appendFile(ctx context.Context, base model.Position, batches []store.Batch) error {
	return s.exclusively(ctx, func(ctx context.Context) error {
		g, err := s.group(base, batches)
		if err != nil {
			return err
		}
		err = s.runTx(ctx, func(ctx context.Context, w *writer) error { return s.put(ctx, w, g) })
		if !errors.Is(err, errCommit) {
			return err
		}
		switch done, rerr := s.resolve(ctx, g.end().Revision, g.end().Batch); {
		case rerr != nil:
			return fmt.Errorf("%w: %w; %w", store.ErrUnknown, err, rerr)
		case done:
			return nil
		}
		return err
	})
}

// put writes a group, in a transaction that has begun.
func (s *Store) put(ctx context.Context, w *writer, g *group) error {
	if err := s.advance(ctx, w, g.base, g.end()); err != nil {
		return err
	}
	return s.putRows(ctx, w, g)
}

// putRows writes the rows of a group.
func (s *Store) putRows(ctx context.Context, w *writer, g *group) error {
	for i := range g.batches {
		b := &g.batches[i]
		if err := s.step(StepLog); err != nil {
			return err
		}
		if _, err := w.addLog.exec(ctx, b.Revision, b.ID[:], b.Prev[:], b.At.UnixMicro(), g.rows[i]); err != nil {
			return fmt.Errorf("log revision %d: %w", b.Revision, err)
		}
		for j := range b.Mutations {
			if err := s.mutate(ctx, w, b.Revision, &b.Mutations[j]); err != nil {
				return err
			}
		}
		for j := range b.Intents {
			in := &b.Intents[j]
			if err := s.step(StepIntent); err != nil {
				return err
			}
			if _, err := w.addIntent.exec(ctx, in.ID[:], in.Kind, notNil(in.Body)); err != nil {
				return fmt.Errorf("intent %s: %w", in.ID, err)
			}
		}
	}
	return nil
}

// advance moves the file's newest position, if it is from. One statement compares and sets; what stands there is read only if that is
// something else.
func (s *Store) advance(ctx context.Context, w *writer, from, to store.Head) error {
	if err := s.step(StepMeta); err != nil {
		return err
	}
	done, err := w.setHead.exec(ctx, to.Revision, to.Batch[:], from.Lineage[:], from.Revision, from.Batch[:])
	if err != nil || done == 1 {
		return err
	}
	m, err := w.readMeta(ctx)
	if err != nil {
		return err
	}
	return fmt.Errorf("at %s, store is at %s: %w", from.Position, m.Position, store.ErrConflict)
}

func (s *Store) mutate(ctx context.Context, w *writer, revision uint64, m *store.Mutation) error {
	if err := s.step(StepEntry); err != nil {
		return err
	}
	var err error
	if m.Body == nil {
		_, err = w.delEntry.exec(ctx, m.Kind, m.Key)
	} else {
		e := store.Entry{Kind: m.Kind, Key: m.Key, Schema: m.Schema, Revision: revision, Body: m.Body}
		_, err = w.putEntry.exec(ctx, m.Kind, m.Key, m.Schema, revision, store.EntrySum(&e), m.Body)
	}
	if err != nil {
		return fmt.Errorf("entry %s %q: %w", m.Kind, m.Key, err)
	}
	return nil
}

// Committed implements store.Store.
func (s *Store) Committed(ctx context.Context, revision uint64, id model.UUID) (bool, error) {
	release, err := s.takeAll(ctx)
	if err != nil {
		return false, s.wrap("look for a batch", err)
	}
	defer release()
	ctx = context.WithoutCancel(ctx)
	if err := s.settleAll(ctx); err != nil {
		return false, s.wrap("look for a batch", err)
	}
	done, err := s.resolve(ctx, revision, id)
	return done, s.wrap("look for a batch", err)
}

// resolve settles, then says whether the batch is there; the caller has the turn.
func (s *Store) resolve(ctx context.Context, revision uint64, id model.UUID) (bool, error) {
	if err := s.settle(ctx); err != nil {
		return false, err
	}
	m, err := s.w.readMeta(ctx)
	if err != nil {
		return false, err
	}
	if revision > m.Revision {
		return false, nil
	}
	if revision <= m.trimmed {
		return false, fmt.Errorf("revision %d: %w", revision, store.ErrTruncated)
	}
	var batch []byte
	err = s.w.conn.QueryRowContext(ctx, "SELECT batch FROM log WHERE revision = ?", revision).Scan(&batch)
	if errors.Is(err, sql.ErrNoRows) {
		return false, &store.CorruptError{Revision: revision, Reason: "missing from the log"}
	}
	return err == nil && bytes.Equal(batch, id[:]), err
}

// Drop implements store.Store.
func (s *Store) Drop(ctx context.Context, kind, key string, at time.Time) error {
	return s.wrap("drop "+kind+" "+key, s.txAll(ctx, func(ctx context.Context, w *writer) error {
		var n int
		if err := w.conn.QueryRowContext(ctx, "SELECT count(*) FROM entries WHERE kind = ? AND key = ?", kind, key).Scan(&n); err != nil {
			return err
		}
		if n == 0 {
			return store.ErrNoEntry
		}
		id, err := store.NewUUID(s.random)
		if err != nil {
			return err
		}
		g, err := s.group(s.head.Position, []store.Batch{{ID: id, Revision: s.head.Revision + 1, At: at, Mutations: []store.Mutation{{Kind: kind, Key: key}}}})
		if err != nil {
			return err
		}
		return s.put(ctx, w, g)
	}))
}

func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
