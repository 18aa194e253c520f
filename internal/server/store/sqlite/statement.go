package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
)

// statement is a prepared statement that is given to the driver as it is: a write runs half a dozen of them, and database/sql would look at
// each argument of each by reflection.
type statement struct {
	conn *sql.Conn
	st   driver.StmtExecContext
}

func prepare(ctx context.Context, conn *sql.Conn, query string) (*statement, error) {
	s := &statement{conn: conn}
	err := conn.Raw(func(c any) error {
		p, ok := c.(driver.ConnPrepareContext)
		if !ok {
			return fmt.Errorf("the driver's connection, a %T, prepares nothing", c)
		}
		st, err := p.PrepareContext(ctx, query)
		if err != nil {
			return err
		}
		if s.st, ok = st.(driver.StmtExecContext); !ok {
			return fmt.Errorf("the driver's statement is a %T", st)
		}
		return nil
	})
	return s, err
}

// exec runs the statement and says how many rows it changed. Arguments are int64, uint64 below 2^63, uint32, uint16, string or []byte.
func (s *statement) exec(ctx context.Context, args ...any) (changed int64, err error) {
	values := make([]driver.NamedValue, len(args))
	for i, v := range args {
		switch n := v.(type) {
		case uint64:
			if n>>63 != 0 {
				return 0, fmt.Errorf("argument %d: %d is too large for a row", i+1, n)
			}
			v = int64(n)
		case uint32:
			v = int64(n)
		case uint16:
			v = int64(n)
		}
		values[i] = driver.NamedValue{Ordinal: i + 1, Value: v}
	}
	err = s.conn.Raw(func(any) error {
		done, err := s.st.ExecContext(ctx, values)
		if err != nil {
			return err
		}
		changed, err = done.RowsAffected()
		return err
	})
	return changed, err
}

func (s *statement) close() error {
	return s.conn.Raw(func(any) error { return s.st.(driver.Stmt).Close() })
}
