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
)

// Append implements store.Store.
func (s *Store) Append(ctx context.Context, base model.Position, batches []store.Batch) error {
	return s.wrap("append", s.append(ctx, base, batches))
}

func (s *Store) append(ctx context.Context, base model.Position, batches []store.Batch) error {
	release, err := s.takeTurn(ctx)
	if err != nil {
		return err
	}
	defer release()
	ctx = context.WithoutCancel(ctx)
	if err := s.settle(ctx); err != nil {
		return fmt.Errorf("an earlier commit is still unknown: %w", err)
	}
	err = s.runTx(ctx, func(ctx context.Context, w *writer) error { return s.put(ctx, w, base, batches) })
	if !errors.Is(err, errCommit) {
		return err
	}
	last := batches[len(batches)-1]
	switch done, serr := s.resolve(ctx, last.Revision, last.ID); {
	case serr != nil:
		return fmt.Errorf("%w: %w; %w", store.ErrUnknown, err, serr)
	case done:
		return nil
	default:
		return err
	}
}

// put writes the rows of batches behind base, which must be the newest position, in a transaction that has begun.
func (s *Store) put(ctx context.Context, w *writer, base model.Position, batches []store.Batch) error {
	head, err := s.advance(ctx, w, base, batches)
	if err != nil {
		return err
	}
	batches, rows, err := store.Prepare(head, batches)
	if err != nil {
		return err
	}
	for i := range batches {
		b := &batches[i]
		if err := s.step(StepLog); err != nil {
			return err
		}
		if _, err := w.addLog.exec(ctx, b.Revision, b.ID[:], b.Prev[:], b.At.UnixMicro(), rows[i]); err != nil {
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

// advance moves the newest position past batches, if it is base and made by the batch that they follow, and returns what it was. One
// statement compares and sets; what stands there is read only if that is something else.
func (s *Store) advance(ctx context.Context, w *writer, base model.Position, batches []store.Batch) (store.Head, error) {
	if err := s.step(StepMeta); err != nil {
		return store.Head{}, err
	}
	if len(batches) == 0 {
		_, _, err := store.Prepare(store.Head{Position: base}, batches)
		return store.Head{}, err
	}
	head, last := store.Head{Position: base, Batch: batches[0].Prev}, &batches[len(batches)-1]
	for read := false; ; read = true {
		done, err := w.setHead.exec(ctx, last.Revision, last.ID[:], head.Lineage[:], head.Revision, head.Batch[:])
		if err != nil || done == 1 {
			return head, err
		}
		m, err := w.readMeta(ctx)
		if err != nil {
			return head, err
		}
		if m.Position != base || read {
			return head, fmt.Errorf("at %s, store is at %s: %w", base, m.Position, store.ErrConflict)
		}
		if head = m.Head; !batches[0].Prev.IsZero() { // another batch made the position: Prepare says so
			return head, nil
		}
	}
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
	release, err := s.takeTurn(ctx)
	if err != nil {
		return false, s.wrap("look for a batch", err)
	}
	defer release()
	done, err := s.resolve(context.WithoutCancel(ctx), revision, id)
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
	return s.wrap("drop "+kind+" "+key, s.tx(ctx, func(ctx context.Context, w *writer) error {
		var n int
		if err := w.conn.QueryRowContext(ctx, "SELECT count(*) FROM entries WHERE kind = ? AND key = ?", kind, key).Scan(&n); err != nil {
			return err
		}
		if n == 0 {
			return store.ErrNoEntry
		}
		m, err := w.readMeta(ctx)
		if err != nil {
			return err
		}
		id, err := store.NewUUID(s.random)
		if err != nil {
			return err
		}
		return s.put(ctx, w, m.Position, []store.Batch{{ID: id, Revision: m.Revision + 1, At: at, Mutations: []store.Mutation{{Kind: kind, Key: key}}}})
	}))
}

func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
