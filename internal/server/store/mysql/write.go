package mysql

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
	err := s.runTx(ctx, func(ctx context.Context, c session, m meta) error {
		if m.Position != base {
			return fmt.Errorf("at %s, store is at %s: %w", base, m.Position, store.ErrConflict)
		}
		return put(ctx, c, m.Head, batches)
	})
	if errors.Is(err, errCommit) {
		last := batches[len(batches)-1]
		switch done, rerr := s.resolve(context.WithoutCancel(ctx), last.Revision, last.ID); {
		case rerr != nil:
			err = fmt.Errorf("%w: %w; %w", store.ErrUnknown, err, rerr)
		case done:
			return nil
		}
	}
	return s.wrap("append", err)
}

// Committed implements store.Store.
func (s *Store) Committed(ctx context.Context, revision uint64, id model.UUID) (bool, error) {
	done, err := s.resolve(ctx, revision, id)
	return done, s.wrap("look for a batch", err)
}

// resolve makes certain whether the batch is there. The lost transaction held the lock of the meta row before its COMMIT
// was sent, and holds it until it has ended, so whoever gets that lock sees how it ended; on Galera, where locks end at
// the node, writing the row does what the lock does elsewhere: of two transactions that wrote it, only one is certified.
func (s *Store) resolve(ctx context.Context, revision uint64, id model.UUID) (done bool, err error) {
	err = s.runTx(ctx, func(ctx context.Context, c session, m meta) error {
		if _, err := c.ExecContext(ctx, "UPDATE weft_meta SET fence = fence + 1"); err != nil {
			return err
		}
		if revision > m.Revision {
			return nil
		}
		if revision <= m.trimmed {
			return fmt.Errorf("revision %d: %w", revision, store.ErrTruncated)
		}
		var batch []byte
		err := c.QueryRowContext(ctx, "SELECT batch FROM weft_log WHERE revision = ?", revision).Scan(&batch)
		if errors.Is(err, sql.ErrNoRows) {
			return &store.CorruptError{Revision: revision, Reason: "missing from the log"}
		}
		done = bytes.Equal(batch, id[:])
		return err
	})
	return done && err == nil, err
}

// put writes the rows of batches behind head.
func put(ctx context.Context, c session, head store.Head, batches []store.Batch) error {
	batches, rows, err := store.Prepare(head, batches)
	if err != nil {
		return err
	}
	sc := &script{conn: c}
	log := newInsert(sc, "INSERT INTO weft_log (revision, batch, prev, made, data) VALUES", 5, "")
	intents := newInsert(sc, "INSERT INTO weft_intents (revision, place, id, kind, body) VALUES", 5, "")
	for i := range batches {
		b := &batches[i]
		if err := log.add(ctx, len(rows[i]), b.Revision, b.ID[:], b.Prev[:], b.At.UnixMicro(), rows[i]); err != nil {
			return err
		}
		for j := range b.Intents {
			in := &b.Intents[j]
			if err := intents.add(ctx, len(in.Body), b.Revision, j, in.ID[:], in.Kind, notNil(in.Body)); err != nil {
				return err
			}
		}
	}
	if err := errors.Join(log.flush(ctx), intents.flush(ctx), putEntries(ctx, sc, batches)); err != nil {
		return err
	}
	last := &batches[len(batches)-1]
	if err := sc.add(ctx, 0, "UPDATE weft_meta SET revision = ?, batch = ? WHERE id = 1", last.Revision, last.ID[:]); err != nil {
		return err
	}
	return sc.run(ctx)
}

type name struct{ kind, key string }

func newPutEntries(sc *script) *insert {
	return newInsert(sc, "INSERT INTO weft_entries (kind, name, version, revision, checksum, body) VALUES", 6,
		" ON DUPLICATE KEY UPDATE version = VALUES(version), revision = VALUES(revision), checksum = VALUES(checksum), body = VALUES(body)")
}

func putEntry(ctx context.Context, to *insert, e *store.Entry) error {
	return to.add(ctx, len(e.Body), []byte(e.Kind), []byte(e.Key), e.Schema, e.Revision, store.EntrySum(e), notNil(e.Body))
}

// putEntries writes the last image of each entry that the batches write: what was in between is in the log only.
func putEntries(ctx context.Context, sc *script, batches []store.Batch) error {
	last := map[name]uint64{}
	for i := range batches {
		for j := range batches[i].Mutations {
			m := &batches[i].Mutations[j]
			last[name{m.Kind, m.Key}] = uint64(i)<<32 | uint64(j)
		}
	}
	puts, dels := newPutEntries(sc), newInsert(sc, "DELETE FROM weft_entries WHERE (kind, name) IN (", 2, ")")
	for i := range batches {
		for j := range batches[i].Mutations {
			m := &batches[i].Mutations[j]
			if last[name{m.Kind, m.Key}] != uint64(i)<<32|uint64(j) {
				continue
			}
			var err error
			if m.Body == nil {
				err = dels.add(ctx, 0, []byte(m.Kind), []byte(m.Key))
			} else {
				err = putEntry(ctx, puts, &store.Entry{Kind: m.Kind, Key: m.Key, Schema: m.Schema, Revision: batches[i].Revision, Body: m.Body})
			}
			if err != nil {
				return err
			}
		}
	}
	return errors.Join(puts.flush(ctx), dels.flush(ctx))
}

// Drop implements store.Store.
func (s *Store) Drop(ctx context.Context, kind, key string, at time.Time) error {
	return s.tx(ctx, "drop "+kind+" "+key, func(ctx context.Context, c session, m meta) error {
		var n int
		err := c.QueryRowContext(ctx, "SELECT count(*) FROM weft_entries WHERE kind = ? AND name = ?", []byte(kind), []byte(key)).Scan(&n)
		if err != nil {
			return err
		}
		if n == 0 {
			return store.ErrNoEntry
		}
		id, err := store.NewUUID(s.random)
		if err != nil {
			return err
		}
		return put(ctx, c, m.Head, []store.Batch{{ID: id, Revision: m.Revision + 1, At: at, Mutations: []store.Mutation{{Kind: kind, Key: key}}}})
	})
}

func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
