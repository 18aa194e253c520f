package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/store"
)

// all is a limit that does not limit.
const all = 1<<63 - 1

// snapshot runs f in one read transaction, so that all it reads is of one moment: REPEATABLE READ, unlike all else.
func (s *Store) snapshot(ctx context.Context, op string, f func(tx *sql.Tx) error) error {
	if s.closed.Load() {
		return s.wrap(op, store.ErrClosed)
	}
	return s.wrap(op, s.on(ctx, func(c *sql.Conn) error {
		tx, err := c.BeginTx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead})
		if err != nil {
			return err
		}
		return errors.Join(f(tx), tx.Rollback())
	}))
}

// Load implements store.Store.
func (s *Store) Load(ctx context.Context, visit func(store.Entry) error) (store.Snapshot, error) {
	var snap store.Snapshot
	err := s.snapshot(ctx, "load", func(tx *sql.Tx) error {
		m, err := readMeta(ctx, tx, "", "")
		if err != nil {
			return err
		}
		snap.Head, snap.FeatureLevel = m.Head, m.level
		if snap.Intents, err = readIntents(ctx, tx, all); err != nil {
			return err
		}
		return eachEntry(ctx, tx, func(e store.Entry, sum uint32) error {
			if c := checkEntry(&e, sum, m.Revision); c != nil {
				return c
			}
			return visit(e)
		})
	})
	if err != nil {
		return store.Snapshot{}, err
	}
	return snap, nil
}

func eachEntry(ctx context.Context, tx *sql.Tx, visit func(e store.Entry, sum uint32) error) (err error) {
	rows, err := tx.QueryContext(ctx, "SELECT kind, name, version, revision, checksum, body FROM weft_entries ORDER BY kind, name")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var kind, key, body sql.RawBytes
	var schema, revision, sum int64
	last := ""
	for rows.Next() {
		if err := rows.Scan(&kind, &key, &schema, &revision, &sum, &body); err != nil {
			return fmt.Errorf("entry after %s: %w", last, err)
		}
		if last != string(kind) {
			last = string(kind)
		}
		e := store.Entry{Kind: last, Key: string(key), Schema: uint16(schema), Revision: uint64(revision), Body: append([]byte{}, body...)}
		if err := visit(e, uint32(sum)); err != nil {
			return err
		}
	}
	return rows.Err()
}

// checkEntry is nil for an entry that is as it was written.
func checkEntry(e *store.Entry, sum uint32, head uint64) *store.CorruptError {
	c := &store.CorruptError{Kind: e.Kind, Key: e.Key, Revision: e.Revision}
	switch got := store.EntrySum(e); {
	case got != sum:
		c.Reason = fmt.Sprintf("checksum %08x, computed %08x", sum, got)
	case e.Revision > head:
		c.Reason = fmt.Sprintf("newer than the store, which is at %d", head)
	default:
		return nil
	}
	return c
}

// Head implements store.Store.
func (s *Store) Head(ctx context.Context) (store.Head, error) {
	if s.closed.Load() {
		return store.Head{}, s.wrap("read head", store.ErrClosed)
	}
	var m meta
	err := s.on(ctx, func(c *sql.Conn) (err error) {
		m, err = readMeta(ctx, c, "", "")
		return err
	})
	return m.Head, s.wrap("read head", err)
}

// Tail implements store.Store.
func (s *Store) Tail(ctx context.Context, after model.Position, limit int) ([]store.Batch, error) {
	var out []store.Batch
	err := s.snapshot(ctx, "tail after "+after.String(), func(tx *sql.Tx) error {
		m, err := readMeta(ctx, tx, "", "")
		if err != nil {
			return err
		}
		if after.Lineage != m.Lineage || after.Revision > m.Revision {
			return fmt.Errorf("store is at %s: %w", m.Position, store.ErrLineage)
		}
		if begin := max(m.trimmed, m.since); after.Revision < begin {
			return fmt.Errorf("log begins after %d: %w", begin, store.ErrTruncated)
		}
		err = eachLog(ctx, tx, after.Revision, max(limit, 0), func(b store.Batch, row []byte) error {
			if err := store.DecodeBatch(row, &b); err != nil {
				return &store.CorruptError{Revision: b.Revision, Reason: err.Error()}
			}
			out = append(out, b)
			return nil
		})
		if err != nil {
			return err
		}
		if want := min(uint64(max(limit, 0)), m.Revision-after.Revision); uint64(len(out)) < want {
			return &store.CorruptError{Revision: after.Revision + uint64(len(out)) + 1, Reason: "missing from the log"}
		}
		return store.CheckTail(after.Revision, out)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func eachLog(ctx context.Context, tx *sql.Tx, after uint64, limit int, visit func(b store.Batch, row []byte) error) (err error) {
	rows, err := tx.QueryContext(ctx, "SELECT revision, batch, prev, made, data FROM weft_log WHERE revision > ? ORDER BY revision LIMIT ?", after, limit)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var b store.Batch
		var id, prev, row []byte
		var at int64
		if err := rows.Scan(&b.Revision, &id, &prev, &at, &row); err != nil {
			return err
		}
		var e1, e2 error
		b.ID, e1 = toUUID(id)
		b.Prev, e2 = toUUID(prev)
		if err := errors.Join(e1, e2); err != nil {
			return &store.CorruptError{Revision: b.Revision, Reason: err.Error()}
		}
		b.At = time.UnixMicro(at).UTC()
		if err := visit(b, row); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Intents implements store.Store.
func (s *Store) Intents(ctx context.Context, limit int) ([]store.Intent, error) {
	var out []store.Intent
	err := s.snapshot(ctx, "read intents", func(tx *sql.Tx) (err error) {
		out, err = readIntents(ctx, tx, max(limit, 0))
		return err
	})
	return out, err
}

// readIntents reads up to limit intents.
func readIntents(ctx context.Context, tx *sql.Tx, limit int) (out []store.Intent, err error) {
	rows, err := tx.QueryContext(ctx, "SELECT id, kind, body FROM weft_intents ORDER BY revision, place LIMIT ?", limit)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var in store.Intent
		var id []byte
		if err := rows.Scan(&id, &in.Kind, &in.Body); err != nil {
			return nil, err
		}
		if in.ID, err = toUUID(id); err != nil {
			return nil, fmt.Errorf("intent: %w", err)
		}
		in.Body = notNil(in.Body)
		out = append(out, in)
	}
	return out, rows.Err()
}

// Heartbeats implements store.Store.
func (s *Store) Heartbeats(ctx context.Context) (out []store.Heartbeat, err error) {
	err = s.snapshot(ctx, "read heartbeats", func(tx *sql.Tx) (err error) {
		rows, err := tx.QueryContext(ctx, "SELECT server, made, body FROM weft_heartbeats ORDER BY server")
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		for rows.Next() {
			var h store.Heartbeat
			var at int64
			if err := rows.Scan(&h.Server, &at, &h.Body); err != nil {
				return err
			}
			h.At, h.Body = time.UnixMicro(at).UTC(), notNil(h.Body)
			out = append(out, h)
		}
		return rows.Err()
	})
	return out, err
}

// Check implements store.Store.
func (s *Store) Check(ctx context.Context) ([]*store.CorruptError, error) {
	var out []*store.CorruptError
	err := s.snapshot(ctx, "check", func(tx *sql.Tx) error {
		m, err := readMeta(ctx, tx, "", "")
		if err != nil {
			return err
		}
		err = eachEntry(ctx, tx, func(e store.Entry, sum uint32) error {
			if c := checkEntry(&e, sum, m.Revision); c != nil {
				out = append(out, c)
			}
			return nil
		})
		if err != nil {
			return err
		}
		begin := max(m.trimmed, m.since) // nobody reads what is older
		log := store.NewLogCheck(begin)
		err = eachLog(ctx, tx, begin, all, func(b store.Batch, row []byte) error {
			out = append(out, log.Row(b, row)...)
			return nil
		})
		out = append(out, log.End(m.Head)...)
		return err
	})
	return out, err
}
