package mysql

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/weft-cloud/weft/internal/server/store"
)

// A database that is used alone is held by a lock of the database server's (GET_LOCK) on a connection that does nothing else. It ends with
// the connection: at once when the process dies, and after goneAfter when nothing is heard of it any more, by the database's own
// wait_timeout. It spares people two servers that each take themselves for the one; what keeps one that is late from doing harm is
// that Append compares positions.
const (
	goneAfter  = 3 * time.Second // in whole seconds
	aloneEvery = time.Second
	aloneWait  = goneAfter + time.Second // for a holder of whom nothing is heard
	aloneLimit = 5 * goneAfter           // how long a lock under our former connection's number is taken for our own
)

// alone holds the lock.
type alone struct {
	store *Store
	name  string
	taken func(error)
	conn  *sql.Conn // nil while there is none
	id    uint64    // of the connection that has, or had, the lock
	stop  context.CancelFunc
	done  chan struct{}
}

// takeAlone takes the lock and keeps it until end is called. It waits for a holder who has gone without a word.
func (s *Store) takeAlone(ctx context.Context, o *Options) (*alone, error) {
	sum := sha256.Sum256([]byte(o.Database)) // a lock's name has room for as many characters as a database's
	a := &alone{store: s, name: fmt.Sprintf("weft %x", sum[:16]), taken: o.Taken, done: make(chan struct{})}
	if a.taken == nil {
		a.taken = func(error) {}
	}
	got, err := a.take(ctx, aloneWait)
	if err != nil {
		return nil, fmt.Errorf("take the database for this server alone: %w", err)
	}
	if !got {
		return nil, a.held(ctx)
	}
	ctx, a.stop = context.WithCancel(context.WithoutCancel(ctx))
	go a.keep(ctx)
	return a, nil
}

// take tries for that long to get the lock, on a connection of its own.
func (a *alone) take(ctx context.Context, wait time.Duration) (got bool, err error) {
	conn, err := a.store.db.Conn(ctx)
	if err != nil {
		return false, err
	}
	defer func() {
		if !got {
			discard(conn)
			conn.Close()
		}
	}()
	if _, err := conn.ExecContext(ctx, "SET SESSION wait_timeout = ?", int(goneAfter.Seconds())); err != nil {
		return false, err
	}
	var locked sql.NullInt64
	var id uint64
	if err := conn.QueryRowContext(ctx, "SELECT GET_LOCK(?, ?), CONNECTION_ID()", a.name, int(wait.Seconds())).Scan(&locked, &id); err != nil {
		return false, err
	}
	if locked.Int64 != 1 {
		return false, nil
	}
	a.conn, a.id = conn, id
	return true, nil
}

// holder is the number and the address of the connection that has the lock; 0 if none has. Of another user's the address is not shown.
func (a *alone) holder(ctx context.Context) (id uint64, host string, err error) {
	err = a.store.on(ctx, func(c *sql.Conn) error {
		var n sql.NullInt64
		if err := c.QueryRowContext(ctx, "SELECT IS_USED_LOCK(?)", a.name).Scan(&n); err != nil || !n.Valid {
			return err
		}
		id = uint64(n.Int64)
		err := c.QueryRowContext(ctx, "SELECT host FROM information_schema.processlist WHERE id = ?", id).Scan(&host)
		if errors.Is(err, sql.ErrNoRows) {
			host, err = "a place that is not shown", nil
		}
		return err
	})
	return id, host, err
}

// held is the error for a database that somebody else has.
func (a *alone) held(ctx context.Context) error {
	id, host, err := a.holder(ctx)
	if err != nil {
		return fmt.Errorf("%w; who has it is not known: %w", store.ErrLocked, err)
	}
	return fmt.Errorf("%w: connection %d of the database, from %s, has it; stop that server, or give this one a database of its own", store.ErrLocked, id, host)
}

// keep lets the database hear of us, and takes the lock again when the connection was lost.
func (a *alone) keep(ctx context.Context) {
	defer close(a.done)
	tick := time.NewTicker(aloneEvery)
	defer tick.Stop()
	var since time.Time // when the lock was first seen under another connection
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if a.conn != nil {
			if _, err := a.conn.ExecContext(ctx, "DO 1"); err == nil {
				continue
			}
			a.drop()
		}
		if got, err := a.take(ctx, 0); err != nil || got { // an error: the database is away, which writes say
			since = time.Time{}
			continue
		}
		if since.IsZero() {
			since = time.Now()
		}
		id, _, err := a.holder(ctx)
		if err != nil || id == 0 || id == a.id && time.Since(since) < aloneLimit {
			continue
		}
		a.taken(a.held(ctx))
		return
	}
}

func (a *alone) drop() {
	if a.conn != nil {
		discard(a.conn)
		a.conn.Close()
		a.conn = nil
	}
}

// end gives the lock back.
func (a *alone) end() {
	a.stop()
	<-a.done
	if a.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), aloneEvery)
		defer cancel()
		_, _ = a.conn.ExecContext(ctx, "DO RELEASE_LOCK(?)", a.name) // it ends with the connection anyway
	}
	a.drop()
}
