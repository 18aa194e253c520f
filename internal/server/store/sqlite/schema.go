package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/store"
)

// applicationID marks the file as ours ("Weft"), for file(1) and for us.
const applicationID = 0x57656674

// migrations lead from one version of the tables to the next; PRAGMA user_version counts those done. Only append.
var migrations = []string{
	`CREATE TABLE meta (
		id       INTEGER PRIMARY KEY CHECK (id = 1),
		lineage  BLOB    NOT NULL, -- of the newest position
		revision INTEGER NOT NULL,
		batch    BLOB    NOT NULL, -- id of the newest batch, zero before the first
		since    INTEGER NOT NULL, -- revision at which the lineage began
		trimmed  INTEGER NOT NULL, -- newest revision that is no longer in the log
		level    INTEGER NOT NULL, -- formats that every server can read
		fence    INTEGER NOT NULL  -- counts the transactions that settled an unknown commit
	) STRICT;
	CREATE TABLE entries (
		n        INTEGER PRIMARY KEY,
		kind     TEXT    NOT NULL,
		key      TEXT    NOT NULL,
		schema   INTEGER NOT NULL,
		revision INTEGER NOT NULL,
		sum      INTEGER NOT NULL, -- store.EntrySum
		body     BLOB    NOT NULL
	) STRICT;
	CREATE UNIQUE INDEX entries_name ON entries (kind, key);
	CREATE TABLE log (
		revision INTEGER PRIMARY KEY,
		batch    BLOB    NOT NULL,
		prev     BLOB    NOT NULL,
		at       INTEGER NOT NULL, -- microseconds since 1970
		row      BLOB    NOT NULL  -- store.EncodeBatch
	) STRICT;
	CREATE TABLE intents (
		n    INTEGER PRIMARY KEY AUTOINCREMENT, -- order of delivery
		id   BLOB NOT NULL UNIQUE,
		kind TEXT NOT NULL,
		body BLOB NOT NULL
	) STRICT;
	CREATE TABLE heartbeats (
		server TEXT    PRIMARY KEY,
		at     INTEGER NOT NULL,
		body   BLOB    NOT NULL
	) STRICT, WITHOUT ROWID;`,
	// Records of the journal with another number than this do not count.
	`ALTER TABLE meta ADD COLUMN journal INTEGER NOT NULL DEFAULT 0;`,
}

// prepareFile makes the tables, or brings them to this version.
func (s *Store) prepareFile(ctx context.Context) (err error) {
	conn, err := s.write.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := checkSettings(ctx, conn); err != nil {
		return err
	}
	if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_, _ = conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK") // closing the connection would do the same
		}
	}()
	var id, version, objects int
	for q, v := range map[string]*int{"PRAGMA application_id": &id, "PRAGMA user_version": &version, "SELECT count(*) FROM sqlite_schema": &objects} {
		if err := conn.QueryRowContext(ctx, q).Scan(v); err != nil {
			return fmt.Errorf("%s: %w", q, err)
		}
	}
	if id != applicationID && (id != 0 || objects > 0) {
		return errors.New("the file is another program's SQLite database; choose another path")
	}
	if version > len(migrations) {
		return fmt.Errorf("the file has format %d and this server knows up to %d: it was written by a newer weft; upgrade this one", version, len(migrations))
	}
	for ; version < len(migrations); version++ {
		if _, err := conn.ExecContext(ctx, fmt.Sprintf("%s PRAGMA user_version = %d", migrations[version], version+1)); err != nil {
			return fmt.Errorf("migrate to format %d: %w", version+1, err)
		}
	}
	if objects == 0 {
		if err := s.firstMeta(ctx, conn); err != nil {
			return err
		}
	}
	_, err = conn.ExecContext(ctx, "COMMIT")
	return err
}

func (s *Store) firstMeta(ctx context.Context, conn *sql.Conn) error {
	lineage, err := store.NewUUID(s.random)
	if err != nil {
		return err
	}
	if _, err := conn.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d", applicationID)); err != nil {
		return err
	}
	_, err = conn.ExecContext(ctx, "INSERT INTO meta VALUES (1, ?, 0, ?, 0, 0, 0, 0, 0)", lineage[:], make([]byte, 16))
	return err
}

// checkSettings makes sure that the pragmas of the DSN were taken: on some file systems WAL cannot be had.
func checkSettings(ctx context.Context, conn *sql.Conn) error {
	for q, want := range map[string]string{"PRAGMA journal_mode": "wal", "PRAGMA synchronous": "2"} {
		var got string
		if err := conn.QueryRowContext(ctx, q).Scan(&got); err != nil {
			return fmt.Errorf("%s: %w", q, err)
		}
		if got != want {
			return fmt.Errorf("%s is %s, want %s: the file system cannot hold a durable store (shared memory maps are needed); use a local disk", q, got, want)
		}
	}
	return nil
}

// meta is the row of that table.
type meta struct {
	store.Head
	since, trimmed, fence, journal uint64
	level                          uint16
}

const selectMeta = "SELECT lineage, revision, batch, since, trimmed, level, fence, journal FROM meta"

// selectMeta1 is for a file that a server without a journal has, which who only reads does not migrate.
const selectMeta1 = "SELECT lineage, revision, batch, since, trimmed, level, fence, 0 FROM meta"

type queryer interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func (s *Store) meta(ctx context.Context, q queryer) (meta, error) {
	var format int
	if s.readOnly {
		if err := q.QueryRowContext(ctx, "PRAGMA user_version").Scan(&format); err != nil {
			return meta{}, fmt.Errorf("read format: %w", err)
		}
	}
	if s.readOnly && format < 2 {
		return scanMeta(q.QueryRowContext(ctx, selectMeta1))
	}
	return scanMeta(q.QueryRowContext(ctx, selectMeta))
}

func scanMeta(row *sql.Row) (m meta, err error) {
	var lineage, batch []byte
	if err = row.Scan(&lineage, &m.Revision, &batch, &m.since, &m.trimmed, &m.level, &m.fence, &m.journal); err != nil {
		return m, fmt.Errorf("read position: %w", err)
	}
	if m.Lineage, err = toUUID(lineage); err != nil {
		return m, fmt.Errorf("read lineage: %w", err)
	}
	if m.Batch, err = toUUID(batch); err != nil {
		return m, fmt.Errorf("read newest batch: %w", err)
	}
	return m, nil
}

func toUUID(b []byte) (u model.UUID, err error) {
	if len(b) != len(u) {
		return u, fmt.Errorf("%d bytes: %w", len(b), model.ErrBadUUID)
	}
	return model.UUID(b), nil
}
