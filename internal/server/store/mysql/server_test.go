package mysql_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/weft-cloud/weft/internal/server/store/mysql" // and registers the driver of that name
)

// server is a private database server on a socket in a directory of its own, without a network.
type server struct {
	dir, socket string
	user        string // whom it runs as
	cmd         *exec.Cmd
	ended       chan struct{} // closed when the process has gone
	databases   int
}

// newServer makes and starts one; the test is skipped where there is none to start.
func newServer(t testing.TB) *server {
	t.Helper()
	bin := find("mariadbd", "mysqld")
	install := find("mariadb-install-db", "mysql_install_db")
	if bin == "" || install == "" {
		t.Skip("no mariadbd and mariadb-install-db (Debian: mariadb-server)")
	}
	dir, err := os.MkdirTemp("", "weft-db-") // short: a socket's name has room for 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &server{dir: dir, socket: filepath.Join(dir, "s"), user: user()}
	s.install(t, install)
	s.start(t)
	t.Cleanup(s.kill)
	return s
}

// install makes the directory of data.
func (s *server) install(t testing.TB, program string) {
	t.Helper()
	out, err := exec.Command(program, "--no-defaults", "--datadir="+s.data(), "--auth-root-authentication-method=normal",
		"--skip-test-db", "--user="+s.user).CombinedOutput()
	if err != nil {
		t.Skipf("%s: %v\n%s", program, err, out)
	}
}

func (s *server) data() string { return filepath.Join(s.dir, "data") }

func user() string {
	if os.Geteuid() == 0 {
		return "root"
	}
	return os.Getenv("USER")
}

func find(names ...string) string {
	for _, n := range names {
		if p, err := exec.LookPath(n); err == nil {
			return p
		}
		if p, err := exec.LookPath("/usr/sbin/" + n); err == nil {
			return p
		}
	}
	return ""
}

// start runs the server and waits until it answers.
func (s *server) start(t testing.TB, args ...string) {
	t.Helper()
	var log bytes.Buffer
	s.cmd = exec.Command(find("mariadbd", "mysqld"), append([]string{
		"--no-defaults", "--datadir=" + s.data(), "--socket=" + s.socket, "--pid-file=" + filepath.Join(s.dir, "pid"), "--user=" + s.user,
		"--skip-networking", "--innodb-buffer-pool-size=128M", "--innodb-log-file-size=64M", "--skip-log-bin", "--performance-schema=OFF",
	}, args...)...)
	s.cmd.Stderr = &log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.ended = make(chan struct{})
	go func(cmd *exec.Cmd, ended chan struct{}) {
		_ = cmd.Wait() // it is killed in the end
		close(ended)
	}(s.cmd, s.ended)
	db := s.root(t)
	defer db.Close()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if db.Ping() == nil {
			return
		}
		select {
		case <-s.ended:
			t.Fatalf("database server ended:\n%s", log.String())
		default:
		}
		if time.Now().After(deadline) {
			s.kill()
			t.Fatalf("database server does not answer:\n%s", log.String())
		}
	}
}

// kill ends it as a crash would.
func (s *server) kill() {
	_ = s.cmd.Process.Kill() // it may have gone
	<-s.ended
}

// stop ends it in order.
func (s *server) stop(t testing.TB) {
	t.Helper()
	s.exec(t, "SHUTDOWN")
	<-s.ended
}

// root is a plain connection for what tests do behind the store's back.
func (s *server) root(t testing.TB) *sql.DB {
	t.Helper()
	db, err := sql.Open("mysql", "root@unix("+s.socket+")/")
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func (s *server) exec(t testing.TB, queries ...string) {
	t.Helper()
	db := s.root(t)
	defer db.Close()
	for _, q := range queries {
		if _, err := db.Exec(q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
}

// database makes a new database and returns its name.
func (s *server) database(t testing.TB) string {
	s.databases++
	name := fmt.Sprintf("weft%d", s.databases)
	s.exec(t, "CREATE DATABASE "+name)
	return name
}

func (s *server) options(name string) mysql.Options {
	return mysql.Options{User: "root", Socket: s.socket, Database: name}
}

// eventually calls f until it returns nil.
func eventually(t *testing.T, what string, f func(ctx context.Context) error) {
	t.Helper()
	err := errors.New("never tried")
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if err = f(t.Context()); err == nil {
			return
		}
	}
	t.Fatalf("%s: %v", what, err)
}
