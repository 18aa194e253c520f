package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weft-cloud/weft/internal/server/store"
	"github.com/weft-cloud/weft/internal/server/store/sqlite"
	"github.com/weft-cloud/weft/internal/server/store/storetest"
)

func TestLock(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "weft.db"), filepath.Join(dir, "link.db")
	s := open(t, sqlite.Options{Path: path})
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, link, filepath.Join(dir, ".", "x", "..", "weft.db")} {
		_, err := sqlite.Open(t.Context(), sqlite.Options{Path: p})
		if !errors.Is(err, store.ErrLocked) || !strings.Contains(err.Error(), fmt.Sprint("process ", os.Getpid())) {
			t.Errorf("second server on %s: %v, want one that names this process", p, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, sqlite.Options{Path: link})
}

// TestCloseLetsGo: no file stays open, and the WAL has gone into the file, also after the writer had to be renewed.
func TestCloseLetsGo(t *testing.T) {
	var p plan
	path := filepath.Join(t.TempDir(), "weft.db")
	s := open(t, sqlite.Options{Path: path, Fault: p.step})
	head, err := s.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p.set(map[sqlite.Step][]int{sqlite.StepCommitted: {1}})
	if err := s.Append(t.Context(), head.Position, []store.Batch{randomBatch(t, 1)}); err != nil {
		t.Fatal(err)
	}
	storetest.Load(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if to, _ := os.Readlink("/proc/self/fd/" + fd.Name()); strings.HasPrefix(to, path) {
			t.Errorf("still open: %s", to)
		}
	}
	for _, suffix := range []string{"-wal", "-shm"} {
		if _, err := os.Stat(path + suffix); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", suffix, err)
		}
	}
}

func TestReadOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "weft.db")
	if _, err := sqlite.Open(t.Context(), sqlite.Options{Path: path, ReadOnly: true}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("reading a store that is not there: %v", err)
	}
	s := open(t, sqlite.Options{Path: path})
	head, err := s.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Append(t.Context(), head.Position, []store.Batch{randomBatch(t, 1)}); err != nil {
		t.Fatal(err)
	}
	ro := open(t, sqlite.Options{Path: path, ReadOnly: true})
	head.Revision++
	if err := ro.Append(t.Context(), head.Position, []store.Batch{randomBatch(t, 2)}); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("append: %v", err)
	}
	backup := filepath.Join(t.TempDir(), "backup")
	if _, err := store.Backup(t.Context(), ro, backup, time.Now()); err != nil {
		t.Error(err)
	}
	if err := s.Append(t.Context(), head.Position, []store.Batch{randomBatch(t, 2)}); err != nil {
		t.Errorf("append beside a reader: %v", err)
	}
	if d := storetest.Load(t, ro); d.Snap.Revision != 2 {
		t.Errorf("reader is at %d", d.Snap.Revision)
	}
}

func execSQL(t *testing.T, path, query string, args ...any) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func TestForeignFiles(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(path string)
		want string
	}{
		{"another program's", func(p string) { execSQL(t, p, "CREATE TABLE ports (id)") }, "another program's"},
		{"a text file", func(p string) { _ = os.WriteFile(p, []byte(strings.Repeat("not a store\n", 1000)), 0o600) }, "not a database"},
		{"a newer weft's", func(p string) {
			_ = open(t, sqlite.Options{Path: p}).Close()
			execSQL(t, p, "PRAGMA user_version = 1000")
		}, "upgrade"},
		{"a directory", func(p string) { _ = os.Mkdir(p, 0o700) }, "weft.db"},
		{"no directory", func(p string) { _ = os.Remove(filepath.Dir(p)) }, "no such file or directory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "d", "weft.db")
			if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			c.make(path)
			s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
			if err == nil {
				_ = s.Close()
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want an error with %q", err, c.want)
			}
		})
	}
}

// TestCorrupt damages rows behind the store's back: the row is named with its cure, and the cure works.
func TestCorrupt(t *testing.T) {
	for _, c := range []struct {
		name, damage string
		load         string // what Load says; "" if it is not touched
		check        []string
	}{
		{"body", "UPDATE entries SET body = x'00' WHERE key = 'k3'", `entry port "k3" (revision 3): checksum`, []string{"port/k3"}},
		{"schema", "UPDATE entries SET schema = 9 WHERE key = 'k3'", `entry port "k3" (revision 3): checksum`, []string{"port/k3"}},
		{"swapped", "UPDATE entries SET body = (SELECT body FROM entries WHERE key = 'k2') WHERE key = 'k3'", `"k3"`, []string{"port/k3"}},
		{"two bodies", "UPDATE entries SET body = x'00' WHERE key > 'k3'", `"k4"`, []string{"port/k4", "port/k5"}},
		{"log row", "UPDATE log SET row = x'0011223344' WHERE revision = 2", "", []string{"store new-lineage"}},
		{"log row under another's name", "UPDATE log SET row = (SELECT row FROM log WHERE revision = 3) WHERE revision = 2", "", []string{"store new-lineage"}},
		{"gap in the log", "DELETE FROM log WHERE revision = 2", "", []string{"store new-lineage"}},
		{"end of the log gone", "DELETE FROM log WHERE revision = 5", "", []string{"store new-lineage"}},
		{"end of the log replaced", "UPDATE meta SET batch = zeroblob(16)", "", []string{"store new-lineage"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "weft.db")
			s := open(t, sqlite.Options{Path: path, Journal: -1})
			head, err := s.Head(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var batches []store.Batch
			for r := range uint64(5) {
				b := randomBatch(t, r+1)
				b.Mutations[0].Key = fmt.Sprint("k", r+1)
				batches = append(batches, b)
			}
			if err := s.Append(t.Context(), head.Position, batches); err != nil {
				t.Fatal(err)
			}
			execSQL(t, path, c.damage)
			var bad *store.CorruptError
			_, err = s.Load(t.Context(), func(store.Entry) error { return nil })
			if (c.load == "") != (err == nil) || err != nil && (!errors.As(err, &bad) || !strings.Contains(err.Error(), c.load)) {
				t.Errorf("load: %v, want %q", err, c.load)
			}
			problems, err := s.Check(t.Context())
			if err != nil || len(problems) != len(c.check) {
				t.Fatalf("check: %v, %v, want %v", problems, err, c.check)
			}
			for i, p := range problems {
				if !strings.HasSuffix(p.Repair(), c.check[i]) {
					t.Errorf("check: %v, want the cure %q", p, c.check[i])
				}
				cure := func() error { return s.Drop(t.Context(), p.Kind, p.Key, time.Now()) }
				if p.Kind == "" {
					now, err := s.Head(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					cure = func() error { _, err := s.NewLineage(t.Context(), now.Position); return err }
					if _, err := s.Tail(t.Context(), head.Position, 10); !errors.As(err, &bad) && c.name != "end of the log replaced" {
						t.Errorf("tail over damage: %v", err)
					}
				}
				if err := cure(); err != nil {
					t.Error(err)
				}
			}
			if problems, err := s.Check(t.Context()); err != nil || len(problems) > 0 {
				t.Errorf("check after the cure: %v, %v", problems, err)
			}
			if _, err := s.Load(t.Context(), func(store.Entry) error { return nil }); err != nil {
				t.Errorf("after the cure: %v", err)
			}
		})
	}
}

// TestDamagedPages overwrites pages of the file itself: nothing panics, and the error names the cure.
func TestDamagedPages(t *testing.T) {
	path := filepath.Join(t.TempDir(), "weft.db")
	s := open(t, sqlite.Options{Path: path})
	head, err := s.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var batches []store.Batch
	for r := range uint64(200) {
		batches = append(batches, randomBatch(t, r+1))
	}
	if err := s.Append(t.Context(), head.Position, batches); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for page := 0; page < len(whole)/4096; page++ {
		hurt := append([]byte(nil), whole...)
		for i := range 64 {
			hurt[page*4096+i] ^= 0xa5
		}
		if err := os.WriteFile(path, hurt, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := useDamaged(t.Context(), path); err == nil || !strings.Contains(err.Error(), "weft store re") {
			t.Fatalf("page %d: %v, want an error with a cure", page, err)
		}
	}
}

func useDamaged(ctx context.Context, path string) error {
	s, err := sqlite.Open(ctx, sqlite.Options{Path: path})
	if err != nil {
		return err
	}
	defer s.Close()
	problems, err := s.Check(ctx)
	if err == nil && len(problems) > 0 {
		err = problems[0]
	}
	return err
}
