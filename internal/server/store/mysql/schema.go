package mysql

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/store"
)

// migrations lead from one format of the tables to the next; weft_meta.format counts those done. MySQL commits each DDL
// statement by itself, so each must do no harm when it is done again. Only append.
var migrations = [][]string{{
	`CREATE TABLE IF NOT EXISTS weft_meta (
		id       TINYINT         NOT NULL PRIMARY KEY, -- 1
		format   INT             NOT NULL,
		lineage  BINARY(16)      NOT NULL, -- of the newest position
		revision BIGINT UNSIGNED NOT NULL,
		batch    BINARY(16)      NOT NULL, -- id of the newest batch, zero before the first
		since    BIGINT UNSIGNED NOT NULL, -- revision at which the lineage began
		trimmed  BIGINT UNSIGNED NOT NULL, -- newest revision that is no longer in the log
		level    INT             NOT NULL, -- formats that every server can read
		fence    BIGINT UNSIGNED NOT NULL  -- counts the transactions that settled an unknown commit
	) ENGINE=InnoDB`,
	`CREATE TABLE IF NOT EXISTS weft_entries (
		kind     VARBINARY(64)   NOT NULL,
		name     VARBINARY(255)  NOT NULL,
		version  INT             NOT NULL,
		revision BIGINT UNSIGNED NOT NULL,
		checksum BIGINT          NOT NULL, -- store.EntrySum
		body     LONGBLOB        NOT NULL,
		PRIMARY KEY (kind, name)
	) ENGINE=InnoDB`,
	`CREATE TABLE IF NOT EXISTS weft_log (
		revision BIGINT UNSIGNED NOT NULL PRIMARY KEY,
		batch    BINARY(16)      NOT NULL,
		prev     BINARY(16)      NOT NULL,
		made     BIGINT          NOT NULL, -- microseconds since 1970
		data     LONGBLOB        NOT NULL  -- store.EncodeBatch
	) ENGINE=InnoDB`,
	`CREATE TABLE IF NOT EXISTS weft_intents (
		revision BIGINT UNSIGNED NOT NULL, -- with place: order of delivery
		place    INT             NOT NULL,
		id       BINARY(16)      NOT NULL,
		kind     VARBINARY(64)   NOT NULL,
		body     LONGBLOB        NOT NULL,
		PRIMARY KEY (revision, place),
		UNIQUE KEY (id)
	) ENGINE=InnoDB`,
	`CREATE TABLE IF NOT EXISTS weft_heartbeats (
		server VARBINARY(255) NOT NULL PRIMARY KEY,
		made   BIGINT         NOT NULL,
		body   LONGBLOB       NOT NULL
	) ENGINE=InnoDB`,
	`CREATE TABLE IF NOT EXISTS weft_lease (
		id      TINYINT         NOT NULL PRIMARY KEY, -- 1
		holder  VARBINARY(255)  NOT NULL,
		term    BIGINT UNSIGNED NOT NULL, -- counts the changes of holder
		expires DATETIME(6)     NOT NULL  -- in UTC, by the database's clock
	) ENGINE=InnoDB`,
	`INSERT IGNORE INTO weft_lease VALUES (1, '', 0, '2000-01-01')`,
}}

// migrate makes the tables, or brings them to this version. Several servers may do so at once.
func (s *Store) migrate(ctx context.Context, c *sql.Conn) error {
	var format, tables int
	err := c.QueryRowContext(ctx, "SELECT count(*) FROM information_schema.tables WHERE table_schema = database() AND table_name = 'weft_meta'").Scan(&tables)
	if err != nil {
		return fmt.Errorf("look for our tables: %w", err)
	}
	if tables > 0 {
		err := c.QueryRowContext(ctx, "SELECT format FROM weft_meta").Scan(&format)
		if err != nil && err != sql.ErrNoRows { //nolint:errorlint // database/sql returns it bare; none: the first server stopped half way
			return fmt.Errorf("read format: %w", err)
		}
	}
	if format > len(migrations) {
		return fmt.Errorf("the tables have format %d and this server knows up to %d: they were written by a newer weft; upgrade this one", format, len(migrations))
	}
	for i := format; i < len(migrations); i++ {
		for _, q := range migrations[i] {
			if _, err := c.ExecContext(ctx, q); err != nil {
				return fmt.Errorf("migrate to format %d: %w", i+1, err)
			}
		}
	}
	if format == 0 {
		lineage, err := store.NewUUID(s.random)
		if err != nil {
			return err
		}
		_, err = c.ExecContext(ctx, "INSERT IGNORE INTO weft_meta VALUES (1, ?, ?, 0, ?, 0, 0, 0, 0)", len(migrations), lineage[:], make([]byte, 16))
		if err != nil {
			return fmt.Errorf("write first position: %w", err)
		}
	}
	_, err = c.ExecContext(ctx, "UPDATE weft_meta SET format = GREATEST(format, ?)", len(migrations))
	return err
}

// meta is the row of that table.
type meta struct {
	store.Head
	since, trimmed uint64
	level          uint16
}

type queryer interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// readMeta reads the row, with what is to come before and behind its SELECT in the same round trip.
func readMeta(ctx context.Context, q queryer, before, behind string) (m meta, err error) {
	var lineage, batch []byte
	row := q.QueryRowContext(ctx, before+"SELECT lineage, revision, batch, since, trimmed, level FROM weft_meta WHERE id = 1"+behind)
	if err = row.Scan(&lineage, &m.Revision, &batch, &m.since, &m.trimmed, &m.level); err != nil {
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
