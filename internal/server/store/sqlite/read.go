package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/store"
)

// view is a read transaction and the connection that it is on.
type view struct {
	*sql.Tx
	conn *sql.Conn
}

// snapshot runs f in one read transaction, so that all it reads is of one moment. f is given what the journal has beyond the file at that
// moment, oldest first: it is listed before, so that none is in neither.
func (s *Store) snapshot(ctx context.Context, op string, f func(v *view, m meta, beyond []*group) error) error {
	for tries := 1; ; tries++ {
		err := s.snapshotOnce(ctx, f)
		// Who reads a journal that another process writes may miss a record and find the next.
		if gap := (*gapError)(nil); !s.readOnly || !errors.As(err, &gap) || tries == 5 {
			return s.wrap(op, err)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return s.wrap(op, ctx.Err())
		}
	}
}

func (s *Store) snapshotOnce(ctx context.Context, f func(v *view, m meta, beyond []*group) error) error {
	if s.closed.Load() {
		return store.ErrClosed
	}
	groups, err := s.beyond()
	if err != nil {
		return err
	}
	conn, err := s.read.Conn(ctx)
	if err != nil {
		return err
	}
	tx, err := conn.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	m, err := s.meta(ctx, tx)
	if err == nil {
		groups, err = continuing(m, groups)
	}
	if err == nil {
		err = f(&view{tx, conn}, m, groups)
	}
	return errors.Join(err, tx.Rollback(), conn.Close())
}

// beyond lists what may be in the journal and not in the file.
func (s *Store) beyond() ([]*group, error) {
	if s.readOnly {
		return s.readJournal()
	}
	return s.behind.list(), nil
}

// newest is the position of the file with what the journal has beyond it.
func newest(m meta, beyond []*group) store.Head {
	if len(beyond) == 0 {
		return m.Head
	}
	return beyond[len(beyond)-1].end()
}

// Load implements store.Store.
func (s *Store) Load(ctx context.Context, visit func(store.Entry) error) (store.Snapshot, error) {
	var snap store.Snapshot
	err := s.snapshot(ctx, "load", func(tx *view, m meta, beyond []*group) (err error) {
		snap.Head, snap.FeatureLevel = newest(m, beyond), m.level
		if snap.Intents, err = readIntents(ctx, tx, -1); err != nil {
			return err
		}
		snap.Intents = append(snap.Intents, intentsOf(beyond)...)
		over := newOverlay(beyond)
		err = eachEntry(ctx, tx, func(e store.Entry, sum uint32) error {
			if c := checkEntry(&e, sum, m.Revision); c != nil {
				return c
			}
			return over.visit(e, visit)
		})
		if err != nil {
			return err
		}
		return over.rest(visit)
	})
	// The connection's map of the whole file would count as the process's memory for as long as the connection is kept.
	_, unmapErr := s.read.ExecContext(ctx, "PRAGMA mmap_size = 0")
	if err = errors.Join(err, s.wrap("load", unmapErr)); err != nil {
		return store.Snapshot{}, err
	}
	return snap, nil
}

// eachEntry reads from the driver itself: database/sql would copy each value of each row twice more, and take as long for it as
// SQLite does for the row.
func eachEntry(ctx context.Context, v *view, visit func(e store.Entry, sum uint32) error) error {
	return v.conn.Raw(func(c any) (err error) {
		q, ok := c.(driver.QueryerContext)
		if !ok {
			return fmt.Errorf("the driver's connection, a %T, asks nothing", c)
		}
		rows, err := q.QueryContext(ctx, "SELECT kind, key, schema, revision, sum, body FROM entries ORDER BY kind, key", nil)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		values, last := make([]driver.Value, len(rows.Columns())), store.Entry{}
		for {
			if err := rows.Next(values); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
			e, sum, err := toEntry(values)
			if err != nil {
				return fmt.Errorf("entry after %s %q: %w", last.Kind, last.Key, err)
			}
			if e.Kind == last.Kind {
				e.Kind = last.Kind // the same bytes, too
			}
			last = store.Entry{Kind: e.Kind, Key: e.Key}
			if err := visit(e, sum); err != nil {
				return err
			}
		}
	})
}

// toEntry takes a row as the driver gives it, whose values belong to nobody else.
func toEntry(row []driver.Value) (e store.Entry, sum uint32, err error) {
	var ok [6]bool
	var schema, revision, sum64 int64
	e.Kind, ok[0] = row[0].(string)
	e.Key, ok[1] = row[1].(string)
	schema, ok[2] = row[2].(int64)
	revision, ok[3] = row[3].(int64)
	sum64, ok[4] = row[4].(int64)
	e.Body, ok[5] = row[5].([]byte)
	if i := slices.Index(ok[:], false); i >= 0 {
		return e, 0, fmt.Errorf("column %d is a %T", i+1, row[i])
	}
	e.Schema, e.Revision, e.Body = uint16(schema), uint64(revision), notNil(e.Body)
	return e, uint32(sum64), nil
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
func (s *Store) Head(ctx context.Context) (head store.Head, err error) {
	err = s.snapshot(ctx, "read head", func(_ *view, m meta, beyond []*group) error {
		head = newest(m, beyond)
		return nil
	})
	return head, err
}

// Tail implements store.Store.
func (s *Store) Tail(ctx context.Context, after model.Position, limit int) ([]store.Batch, error) {
	limit = max(limit, 0)
	var out []store.Batch
	err := s.snapshot(ctx, "tail after "+after.String(), func(tx *view, m meta, beyond []*group) error {
		head := newest(m, beyond)
		if after.Lineage != head.Lineage || after.Revision > head.Revision {
			return fmt.Errorf("store is at %s: %w", head.Position, store.ErrLineage)
		}
		if begin := max(m.trimmed, m.since); after.Revision < begin {
			return fmt.Errorf("log begins after %d: %w", begin, store.ErrTruncated)
		}
		err := eachLog(ctx, tx, after.Revision, limit, func(b store.Batch, row []byte) error {
			if err := store.DecodeBatch(row, &b); err != nil {
				return &store.CorruptError{Revision: b.Revision, Reason: err.Error()}
			}
			out = append(out, b)
			return nil
		})
		if err != nil {
			return err
		}
		for _, g := range beyond {
			for i, row := range g.rows {
				b := store.Batch{ID: g.batches[i].ID, Prev: g.batches[i].Prev, Revision: g.batches[i].Revision, At: g.batches[i].At}
				if b.Revision <= after.Revision || len(out) == limit {
					continue
				}
				if err := store.DecodeBatch(slices.Clone(row), &b); err != nil { // as it is read from the file, and the caller's
					return &store.CorruptError{Revision: b.Revision, Reason: err.Error()}
				}
				out = append(out, b)
			}
		}
		if want := min(uint64(limit), head.Revision-after.Revision); uint64(len(out)) < want {
			return &store.CorruptError{Revision: after.Revision + uint64(len(out)) + 1, Reason: "missing from the log"}
		}
		return store.CheckTail(after.Revision, out)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func eachLog(ctx context.Context, tx *view, after uint64, limit int, visit func(b store.Batch, row []byte) error) (err error) {
	rows, err := tx.QueryContext(ctx, "SELECT revision, batch, prev, at, row FROM log WHERE revision > ? ORDER BY revision LIMIT ?", after, limit)
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
	limit = max(limit, 0)
	err := s.snapshot(ctx, "read intents", func(tx *view, _ meta, beyond []*group) (err error) {
		out, err = readIntents(ctx, tx, limit)
		out = append(out, intentsOf(beyond)...)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out[:min(limit, len(out))], nil
}

// readIntents reads up to limit intents, all if it is negative.
func readIntents(ctx context.Context, tx *view, limit int) (out []store.Intent, err error) {
	rows, err := tx.QueryContext(ctx, "SELECT id, kind, body FROM intents ORDER BY n LIMIT ?", limit)
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
	err = s.snapshot(ctx, "read heartbeats", func(tx *view, _ meta, _ []*group) (err error) {
		rows, err := tx.QueryContext(ctx, "SELECT server, at, body FROM heartbeats ORDER BY server")
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
	err := s.snapshot(ctx, "check", func(tx *view, m meta, beyond []*group) error {
		var verdict string
		if err := tx.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&verdict); err != nil {
			return err
		}
		if verdict != "ok" {
			return fmt.Errorf("%w: %s", errDamaged, verdict)
		}
		err := eachEntry(ctx, tx, func(e store.Entry, sum uint32) error {
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
		err = eachLog(ctx, tx, begin, -1, func(b store.Batch, row []byte) error {
			out = append(out, log.Row(b, row)...)
			return nil
		})
		for _, g := range beyond {
			for i, row := range g.rows {
				out = append(out, log.Row(g.batches[i], row)...)
			}
		}
		out = append(out, log.End(newest(m, beyond))...)
		return err
	})
	return out, err
}
