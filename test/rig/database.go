package rig

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	_ "github.com/go-sql-driver/mysql" // the driver "mysql"
)

// ErrNoDatabase says that this machine cannot run a MariaDB for a test.
var ErrNoDatabase = errors.New("no MariaDB can be run here")

// Database is a private MariaDB on a socket, without a network. It is used by one goroutine.
type Database struct {
	// Socket is the path of the socket that it listens on. User root needs no password.
	Socket string

	dir string
	cmd *exec.Cmd
}

// NewDatabase makes one with an empty schema and starts it. It wraps ErrNoDatabase where that cannot be.
func NewDatabase(schema string) (*Database, error) {
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("%w: mariadbd is run as root", ErrNoDatabase)
	}
	for _, program := range []string{"mariadbd", "mariadb-install-db"} {
		if _, err := exec.LookPath(program); err != nil {
			return nil, fmt.Errorf("%w: %w; apt install mariadb-server", ErrNoDatabase, err)
		}
	}
	dir, err := os.MkdirTemp("", "weft-db-") // short: a socket's name has room for 107 bytes
	if err != nil {
		return nil, err
	}
	d := &Database{Socket: filepath.Join(dir, "s"), dir: dir}
	install := exec.Command("mariadb-install-db", "--no-defaults", "--datadir="+filepath.Join(dir, "data"), "--auth-root-authentication-method=normal",
		"--skip-test-db", "--user=root")
	install.Env = d.environment()
	if out, err := install.CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("mariadb-install-db: %w\n%s", err, out), d.Close())
	}
	if err := d.Start(); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	db, err := d.open()
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	defer db.Close()
	if _, err := db.Exec("CREATE DATABASE " + schema + " CHARACTER SET utf8mb3"); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// environment gives a program of MariaDB temporary tables in the database's own directory: they are named after the process's id alone, and
// one of the same id in another namespace was seen to take them away.
func (d *Database) environment() []string { return append(os.Environ(), "TMPDIR="+d.dir) }

func (d *Database) open() (*sql.DB, error) { return sql.Open("mysql", "root@unix("+d.Socket+")/") }

// Start runs the server and waits until it answers.
func (d *Database) Start() error {
	d.cmd = exec.Command("mariadbd", "--no-defaults", "--datadir="+filepath.Join(d.dir, "data"), "--socket="+d.Socket, "--pid-file="+filepath.Join(d.dir, "pid"),
		"--user=root", "--skip-networking", "--innodb-buffer-pool-size=64M", "--skip-log-bin", "--performance-schema=OFF")
	d.cmd.Env = d.environment()
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var log bytes.Buffer
	d.cmd.Stderr = &log
	if err := d.cmd.Start(); err != nil {
		return err
	}
	db, err := d.open()
	if err != nil {
		return err
	}
	defer db.Close()
	for deadline := time.Now().Add(time.Minute); db.Ping() != nil; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			d.Kill()
			return fmt.Errorf("MariaDB does not answer:\n%s", log.String())
		}
	}
	return nil
}

// Kill ends the server at once, as a crash would. Start begins again with what was committed.
func (d *Database) Kill() {
	if d.cmd != nil {
		_ = d.cmd.Process.Kill() // it may have gone
		_ = d.cmd.Wait()
		d.cmd = nil
	}
}

// Close ends the server and removes what it had.
func (d *Database) Close() error {
	d.Kill()
	return os.RemoveAll(d.dir)
}
