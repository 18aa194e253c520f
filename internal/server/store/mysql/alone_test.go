package mysql_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/weft-cloud/weft/internal/server/store"
	"github.com/weft-cloud/weft/internal/server/store/mysql"
	"github.com/weft-cloud/weft/internal/server/store/storetest"
)

// lockHolder is the number of the connection that keeps a database for one server.
func lockHolder(t *testing.T, srv *server) (id int) {
	t.Helper()
	db := srv.root(t)
	defer db.Close()
	eventually(t, "a connection that does nothing but say so", func(ctx context.Context) error {
		// DO 1 is over at once: what is seen is a session whose wait_timeout is not the server's.
		return db.QueryRowContext(ctx, "SELECT IS_USED_LOCK(concat('weft ', left(sha2(concat('weft', ?), 256), 32)))", srv.databases).Scan(&id)
	})
	return id
}

// testAlone: a database is one server's. Another is refused and told who has it, while what only looks is let in; it goes on being held when
// the connection is lost, comes free with Close, and one that lost it to another is told.
func testAlone(t *testing.T, srv *server) {
	o := srv.options(srv.database(t))
	taken := make(chan error, 1)
	one := o
	one.Alone, one.Taken = true, func(err error) { taken <- err }
	a, err := mysql.Open(t.Context(), one)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Close() }()
	other := o
	other.Alone = true
	id := lockHolder(t, srv)
	if s, err := mysql.Open(t.Context(), other); !errors.Is(err, store.ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("connection %d ", id)) {
		t.Errorf("a second server: %v, want ErrLocked and connection %d", err, id)
		if err == nil {
			_ = s.Close()
		}
	}
	looks := open(t, o)
	storetest.Load(t, looks)

	srv.exec(t, fmt.Sprintf("KILL %d", id))
	eventually(t, "the database being held again", func(context.Context) error {
		if now := lockHolder(t, srv); now == id {
			return errors.New("by the old connection")
		}
		return nil
	})
	select {
	case err := <-taken:
		t.Errorf("lost to nobody: %v", err)
	default:
	}

	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	b, err := mysql.Open(t.Context(), one)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("what was given back was waited for: %v", took)
	}

	db := srv.root(t)
	defer db.Close()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	id = lockHolder(t, srv)
	got := make(chan error, 1)
	go func() { // the other server, which is in the queue when the connection goes
		_, err := conn.ExecContext(t.Context(), "SELECT GET_LOCK(concat('weft ', left(sha2(concat('weft', ?), 256), 32)), 20)", srv.databases)
		got <- err
	}()
	eventually(t, "the other waiting", func(ctx context.Context) error {
		var n int
		err := db.QueryRowContext(ctx, "SELECT count(*) FROM information_schema.processlist WHERE state = 'User lock'").Scan(&n)
		if err == nil && n == 0 {
			err = errors.New("not yet")
		}
		return err
	})
	srv.exec(t, fmt.Sprintf("KILL %d", id))
	if err := <-got; err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-taken:
		if !errors.Is(err, store.ErrLocked) {
			t.Errorf("told of %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("who lost the database is not told")
	}
}

// testRights: what a user may do is settled when a session begins. Rights that were taken away and given back are seen without a restart.
func testRights(t *testing.T, srv *server) {
	name := srv.database(t)
	o := srv.options(name)
	storetest.Load(t, open(t, o)) // makes the tables
	srv.exec(t, "CREATE USER IF NOT EXISTS weft@localhost", "GRANT SELECT, INSERT, DELETE, CREATE, UPDATE ON "+name+".* TO weft@localhost")
	o.User = "weft"
	s := open(t, o)
	base := storetest.Load(t, s).Snap.Position
	srv.exec(t, "REVOKE UPDATE ON "+name+".* FROM weft@localhost")
	srv.kick(t, "weft")
	try := func() error { return s.Append(t.Context(), base, []store.Batch{batch(1, 1)}) }
	for range 3 {
		if err := try(); err == nil || errors.Is(err, store.ErrUnknown) {
			t.Fatalf("append without the right to: %v", err)
		}
	}
	srv.exec(t, "GRANT UPDATE ON "+name+".* TO weft@localhost")
	if err := try(); err != nil {
		t.Errorf("append when the right was given back: %v", err)
	}
	// And a replica is recognised by each connection, though not by the first.
	srv.exec(t, "SET GLOBAL read_only = ON")
	srv.kick(t, "weft")
	if _, err := s.Head(t.Context()); err == nil || !strings.Contains(err.Error(), "read_only is ON") {
		t.Errorf("a connection to what became a replica: %v", err)
	}
	srv.exec(t, "SET GLOBAL read_only = OFF")
	if h, err := s.Head(t.Context()); err != nil || h.Revision != 1 {
		t.Errorf("a connection to what is the primary again: %+v, %v", h, err)
	}
}

// kick ends all connections of a user.
func (s *server) kick(t *testing.T, user string) {
	t.Helper()
	db := s.root(t)
	defer db.Close()
	rows, err := db.Query("SELECT id FROM information_schema.processlist WHERE user = ?", user)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id int
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		s.exec(t, fmt.Sprintf("KILL %d", id))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}
