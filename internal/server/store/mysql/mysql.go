// Package mysql keeps the store in a MySQL or MariaDB database, so that several servers can share it: each reads, tails
// and, one at a time, appends. The compare-and-swap on the one row of weft_meta, taken under its lock, is the fence that
// makes a server harmless which still believes itself the leader; the lease row only spares everybody lost attempts.
//
// The tables' names begin with weft_; nothing else in the database is touched. Kinds, keys and bodies are binary, so
// neither character set nor collation matters.
//
// The package must not know what entries mean, must not decide who leads (it only keeps the lease), and must not retry
// writes.
package mysql

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/weft-cloud/weft/internal/server/store"
)

// Options say which database to use.
type Options struct {
	Socket   string // path of a Unix socket; in place of Host and Port
	Host     string
	Port     uint16 // 0: 3306
	User     string
	Password string
	Database string      // required
	TLS      *tls.Config // nil: none

	// Alone refuses a database that another store which was opened so has (store.ErrLocked), and keeps others out until Close. On Galera
	// that holds for those on one node.
	Alone bool
	// Taken is called at most once, on a goroutine of the store's, when another has the database after all, since this one could not
	// be seen for a while. May be nil.
	Taken func(error)

	MaxIdle int           // connections kept idle; 0: 4
	MaxAge  time.Duration // after which a connection is made anew; 0: for ever
	Random  io.Reader     // source of lineages; nil: crypto/rand
}

// Store implements store.Store and store.Elector.
type Store struct {
	name   string // address and database, without the password, for errors
	random io.Reader
	galera bool // the server is a node of a Galera cluster
	db     *sql.DB
	closed atomic.Bool
	alone  *alone // nil: others may use the database, too
}

// session is a connection within a transaction.
type session struct {
	*sql.Conn
	// batch: several statements may go in one round trip. Not on Galera: there another node's write may end our
	// transaction at any moment, also between two statements of one packet, and MariaDB (10.11) then does the rest of the
	// packet outside of any transaction. Between round trips it refuses the next one, as it should.
	batch bool
}

var (
	_ store.Store   = (*Store)(nil)
	_ store.Elector = (*Store)(nil)
)

// Open connects, refuses a database that cannot hold a durable store, and makes or migrates the tables.
func Open(ctx context.Context, o Options) (*Store, error) {
	cfg, err := o.driverConfig()
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	s := &Store{name: cfg.Addr + "/" + cfg.DBName, random: o.Random}
	if s.random == nil {
		s.random = rand.Reader
	}
	inner, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", s.name, err)
	}
	s.db = sql.OpenDB(connector{inner})
	s.db.SetMaxOpenConns(16)
	s.db.SetMaxIdleConns(cmp.Or(o.MaxIdle, 4))
	s.db.SetConnMaxLifetime(o.MaxAge)
	if err := s.prepare(ctx, &o); err != nil {
		return nil, errors.Join(fmt.Errorf("open store %s: %w", s.name, err), s.Close())
	}
	return s, nil
}

func (s *Store) prepare(ctx context.Context, o *Options) error {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if s.galera, err = checkSettings(ctx, conn); err != nil {
		return err
	}
	if o.Alone {
		if s.alone, err = s.takeAlone(ctx, o); err != nil {
			return err
		}
	}
	return s.migrate(ctx, conn)
}

// Close implements store.Store.
func (s *Store) Close() error {
	if !s.closed.Swap(true) {
		if s.alone != nil {
			s.alone.end()
		}
		_ = s.db.Close() // it can only fail to say goodbye to a server that has gone
	}
	return nil
}

// wrap adds the operation, and says ErrClosed for what a Close has cut off.
func (s *Store) wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	if s.closed.Load() && !errors.Is(err, store.ErrClosed) {
		err = fmt.Errorf("%w (%v)", store.ErrClosed, err)
	}
	return fmt.Errorf("store %s: %s: %w", s.name, op, err)
}

// errCommit marks that a transaction's COMMIT returned an error which leaves its outcome open.
var errCommit = errors.New("commit failed")

// tx runs f in a transaction that holds the lock of the meta row, with that row's contents. An error without
// store.ErrUnknown in its chain means that nothing was done.
func (s *Store) tx(ctx context.Context, op string, f func(ctx context.Context, c session, m meta) error) error {
	err := s.runTx(ctx, f)
	if errors.Is(err, errCommit) {
		err = fmt.Errorf("%w: %w", store.ErrUnknown, err)
	}
	return s.wrap(op, err)
}

// runTx is tx with errCommit instead of store.ErrUnknown.
func (s *Store) runTx(ctx context.Context, f func(ctx context.Context, c session, m meta) error) (err error) {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	c := session{conn, !s.galera}
	ctx = context.WithoutCancel(ctx) // see store.Store
	m, err := c.begin(ctx)
	if err == nil {
		err = f(ctx, c, m)
	}
	if err != nil {
		rollback(ctx, conn, err)
		return lostRace(err)
	}
	if _, err := c.ExecContext(ctx, "COMMIT"); err != nil {
		discard(conn)
		if lost := lostRace(err); errors.Is(lost, store.ErrConflict) {
			return lost
		}
		return fmt.Errorf("%w: %w", errCommit, err)
	}
	return nil
}

// begin starts a transaction and takes the lock of the meta row.
func (c session) begin(ctx context.Context) (meta, error) {
	if c.batch {
		return readMeta(ctx, c, "START TRANSACTION; ", " FOR UPDATE")
	}
	if _, err := c.ExecContext(ctx, "START TRANSACTION"); err != nil {
		return meta{}, fmt.Errorf("begin: %w", err)
	}
	return readMeta(ctx, c, "", " FOR UPDATE")
}

// rollback ends a transaction that has failed with err; a connection on which that does not work is thrown away, and the
// server rolls back when it sees it gone.
func rollback(ctx context.Context, c *sql.Conn, err error) {
	if _, rerr := c.ExecContext(ctx, "ROLLBACK"); rerr != nil || refused(err) {
		discard(c)
	}
}

// refused reports whether the server would not do what it should. The connection is not used again then: what a session may do is
// settled when it begins, so that rights that were given back would not be seen, and its server may be a replica by now while
// the address leads to the new primary.
func refused(err error) bool {
	var e *mysql.MySQLError
	return errors.As(err, &e) && e.Number != lockWaitTimeout && e.Number != deadlock
}

// on runs f on a connection, outside of a transaction unless f begins one.
func (s *Store) on(ctx context.Context, f func(c *sql.Conn) error) error {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err = f(conn); refused(err) {
		discard(conn)
	}
	return err
}

// exec runs one statement by itself.
func (s *Store) exec(ctx context.Context, query string, args ...any) error {
	return s.on(ctx, func(c *sql.Conn) error {
		_, err := c.ExecContext(ctx, query, args...)
		return err
	})
}

// Numbers of errors by which the server says that it has rolled a transaction back in favour of another.
const (
	lockWaitTimeout = 1205
	deadlock        = 1213 // on Galera also at COMMIT: another node's transaction was certified first
)

// lostRace makes those errors store.ErrConflict: certainly not done, another writer was there.
func lostRace(err error) error {
	var e *mysql.MySQLError
	if errors.As(err, &e) && (e.Number == lockWaitTimeout || e.Number == deadlock) {
		return fmt.Errorf("%w: %w", store.ErrConflict, err)
	}
	return err
}
