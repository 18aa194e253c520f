package server

import (
	"bytes"
	"context"
	"database/sql"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql" // the driver "mysql"

	"github.com/weft-cloud/weft/test/rig"
)

// database is a private MariaDB on a socket, without a network.
type database struct {
	t           *testing.T
	dir, socket string
	cmd         *exec.Cmd
}

// newDatabase makes one with an empty schema "weft"; the test is skipped where there is no MariaDB.
func newDatabase(t *testing.T) *database {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: mariadbd is run as root")
	}
	for _, program := range []string{"mariadbd", "mariadb-install-db"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%v; apt install mariadb-server", err)
		}
	}
	dir, err := os.MkdirTemp("", "weft-db-") // short: a socket's name has room for 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	d := &database{t: t, dir: dir, socket: filepath.Join(dir, "s")}
	t.Cleanup(func() {
		d.kill()
		os.RemoveAll(dir)
	})
	if out, err := exec.Command("mariadb-install-db", "--no-defaults", "--datadir="+filepath.Join(dir, "data"), "--auth-root-authentication-method=normal",
		"--skip-test-db", "--user=root").CombinedOutput(); err != nil {
		t.Fatalf("mariadb-install-db: %v\n%s", err, out)
	}
	d.start()
	db := d.open("")
	defer db.Close()
	if _, err := db.Exec("CREATE DATABASE weft"); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *database) open(schema string) *sql.DB {
	db, err := sql.Open("mysql", "root@unix("+d.socket+")/"+schema)
	if err != nil {
		d.t.Fatal(err)
	}
	return db
}

func (d *database) start() {
	d.t.Helper()
	d.cmd = exec.Command("mariadbd", "--no-defaults", "--datadir="+filepath.Join(d.dir, "data"), "--socket="+d.socket, "--pid-file="+filepath.Join(d.dir, "pid"),
		"--user=root", "--skip-networking", "--innodb-buffer-pool-size=64M", "--skip-log-bin", "--performance-schema=OFF")
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var log bytes.Buffer
	d.cmd.Stderr = &log
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	db := d.open("")
	defer db.Close()
	for deadline := time.Now().Add(time.Minute); db.Ping() != nil; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			d.kill()
			d.t.Fatalf("MariaDB does not answer:\n%s", log.String())
		}
	}
}

func (d *database) kill() {
	if d.cmd != nil {
		_ = d.cmd.Process.Kill() // it may have gone
		_ = d.cmd.Wait()
		d.cmd = nil
	}
}

// TestDatabaseGoesAway kills the database under the load of many clients: writes are answered 503, reads go on from
// memory and say so, and when the database is back the server goes on by itself with all that it had acknowledged.
func TestDatabaseGoesAway(t *testing.T) {
	d := newDatabase(t)
	s := start(t, rig.Options{Config: rig.Config{"database": {"connection": "mysql+pymysql://root@localhost/weft?unix_socket=" + d.socket},
		"quotas": {"quota_port": "-1", "quota_network": "-1", "quota_subnet": "-1", "quota_router": "-1"}}})
	outside := create(t, s, "network", object{"name": "outside", "router:external": true})["id"].(string)
	create(t, s, "subnet", object{"network_id": outside, "ip_version": 4, "cidr": "203.0.113.0/24"})
	var clients []*client
	for n := range 6 {
		clients = append(clients, newClient(s, n, 11))
	}
	for range 2 {
		ctx, stop := context.WithCancel(t.Context())
		var work sync.WaitGroup
		for _, c := range clients {
			work.Go(func() {
				for ctx.Err() == nil {
					before := c.answered[http.StatusServiceUnavailable]
					if c.step(t.Context(), outside); c.answered[http.StatusServiceUnavailable] > before {
						time.Sleep(20 * time.Millisecond)
					}
				}
			})
		}
		time.Sleep(500 * time.Millisecond)
		d.kill()
		time.Sleep(2 * time.Second)
		if a := read(t, s, outside); a.Header.Get("X-Weft-Store") != "unreachable" {
			t.Errorf("a read from memory does not say so: %v", a.Header)
		}
		a, err := s.Send(t.Context(), "POST", "/v2.0/networks", bytes.NewReader([]byte(`{"network": {"name": "refused"}}`)), nil)
		if err != nil || a.Status != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" {
			t.Errorf("a write without a database: %v, %+v", err, a)
		}
		d.start()
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
			a, err := s.Send(t.Context(), "POST", "/v2.0/networks", bytes.NewReader([]byte(`{"network": {"name": "after"}}`)), nil)
			if err != nil {
				t.Fatal(err)
			}
			if a.Status == http.StatusCreated {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("it does not go on by itself: %d %s", a.Status, a.Body)
			}
		}
		stop()
		work.Wait()
		account(t, s, clients...)
	}
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	account(t, s, clients...)
	if refused := list(t, s).find(&thing{kind: "network", name: "refused"}); refused != nil {
		t.Errorf("what was answered 503 was done: %v", refused)
	}
}
