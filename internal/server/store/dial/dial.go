// Package dial opens a store by the URL of the option [database] connection, in the forms that Neutron's has.
// It must not know more of a kind of store than how to open it.
package dial

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/weft-cloud/weft/internal/server/store"
	"github.com/weft-cloud/weft/internal/server/store/mysql"
	"github.com/weft-cloud/weft/internal/server/store/sqlite"
)

// Options say what to open.
type Options struct {
	// URL is sqlite:////var/lib/weft/weft.db (three slashes, then the path, as SQLAlchemy has it) or
	// mysql+pymysql://user:password@host:port/name (see mysql.ParseURL).
	URL string
	// ReadOnly: for commands that look at or back up the store of a running server. On SQLite it takes no lock, and what
	// writes is store.ErrReadOnly; MySQL is shared anyway.
	ReadOnly bool
}

// Open opens the store at the URL, and makes it if there is none yet.
func Open(ctx context.Context, o Options) (store.Store, error) {
	scheme, rest, ok := strings.Cut(o.URL, "://")
	kind, _, _ := strings.Cut(scheme, "+") // after the plus: which Python driver, which does not matter here
	switch {
	case !ok:
	case kind == "sqlite":
		path, query, _ := strings.Cut(strings.TrimPrefix(rest, "/"), "?")
		if !strings.HasPrefix(rest, "/") || path == "" || path == ":memory:" {
			return nil, fmt.Errorf("database URL %q: sqlite needs a file; want sqlite:////var/lib/weft/weft.db", o.URL)
		}
		if query != "" {
			return nil, fmt.Errorf("database URL %q: sqlite takes no query; remove %q", o.URL, "?"+query)
		}
		s, err := sqlite.Open(ctx, sqlite.Options{Path: path, ReadOnly: o.ReadOnly})
		if err != nil { // not s, which would be a nil pointer in an interface
			return nil, err
		}
		return s, nil
	case kind == "mysql" || kind == "mariadb":
		s, err := mysql.Open(ctx, mysql.Options{URL: o.URL})
		if err != nil {
			return nil, err
		}
		return s, nil
	case kind == "postgresql" || kind == "postgres":
		return nil, errors.New("database URL: PostgreSQL is not supported; use sqlite:////path or mysql+pymysql://user:password@host/name")
	}
	return nil, errors.New("database URL is not known; want sqlite:////path or mysql+pymysql://user:password@host/name") // it may hold a password
}
