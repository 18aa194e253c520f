package admin_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/weft-cloud/weft/internal/config"
	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/store"
	"github.com/weft-cloud/weft/internal/server/store/admin"
	"github.com/weft-cloud/weft/internal/server/store/dial"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// lineages are random.
var lineages = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}`)

type fixture struct {
	admin.Admin
	out    bytes.Buffer
	dir    string
	server store.Store // has the store open, as a running server would
}

func newFixture(t *testing.T) *fixture {
	f := &fixture{dir: t.TempDir()}
	f.Admin = admin.Admin{Out: &f.out, Now: func() time.Time { return noon }}
	f.Store.Database = config.Database{Engine: "sqlite", Path: filepath.Join(f.dir, "weft.db")}
	s, err := dial.Open(t.Context(), f.Store)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	f.server = s
	head, err := s.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	batch := func(r uint64, kind, key string) store.Batch {
		return store.Batch{ID: model.UUID{byte(r)}, Revision: r, At: noon, Mutations: []store.Mutation{{Kind: kind, Key: key, Body: []byte("12345")}},
			Intents: []store.Intent{{ID: model.UUID{byte(r)}, Kind: "nova"}}}
	}
	err = s.Append(t.Context(), head.Position, []store.Batch{batch(1, "network", "n"), batch(2, "port", "p/1"), batch(3, "port", "p2")})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.PutHeartbeats(t.Context(), []store.Heartbeat{{Server: "ctl", At: noon.Add(-7 * time.Second)}}); err != nil {
		t.Fatal(err)
	}
	return f
}

// said returns what was printed since it was last asked.
func (f *fixture) said() string {
	s := lineages.ReplaceAllString(strings.ReplaceAll(f.out.String(), f.dir, "DIR"), "LINEAGE")
	f.out.Reset()
	return s
}

func (f *fixture) want(t *testing.T, what string, err error, said string) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", what, err)
	}
	if got := f.said(); got != said {
		t.Errorf("%s said\n%swant\n%s", what, got, said)
	}
}

func TestBesideServer(t *testing.T) {
	f := newFixture(t)
	f.want(t, "status", f.Status(t.Context()), `store          sqlite:///DIR/weft.db
lineage        LINEAGE
revision       3
feature level  0
undelivered    3
server         ctl, last heard of 7s ago

kind     objects  bytes
network  1        5
port     2        10
`)
	f.want(t, "check", f.Check(t.Context()), "nothing is wrong, up to revision 3\n")
	backup := filepath.Join(f.dir, "backup")
	f.want(t, "backup", f.Backup(t.Context(), backup), "DIR/backup: 3 objects and 3 undelivered effects at revision 3 of lineage LINEAGE, made 2026-01-02T12:00:00Z\n")
	f.want(t, "inspect", f.Inspect(backup), "DIR/backup: whole; 3 objects and 3 undelivered effects at revision 3 of lineage LINEAGE, made 2026-01-02T12:00:00Z\n")
	for name, err := range map[string]error{
		"restore": f.Restore(t.Context(), backup, ""), "trim": f.Trim(t.Context(), 0, 1), "drop": f.Drop(t.Context(), "port/p2"),
		"new lineage": f.NewLineage(t.Context()),
	} {
		if !errors.Is(err, store.ErrLocked) {
			t.Errorf("%s beside a running server: %v", name, err)
		}
	}
}

func TestAlone(t *testing.T) {
	f := newFixture(t)
	backup, kept := filepath.Join(f.dir, "backup"), filepath.Join(f.dir, "kept")
	if err := f.Backup(t.Context(), backup); err != nil {
		t.Fatal(err)
	}
	f.said()
	if err := f.server.Close(); err != nil {
		t.Fatal(err)
	}
	f.want(t, "drop", f.Drop(t.Context(), "port/p/1"), "dropped port p/1\n")
	f.want(t, "trim", f.Trim(t.Context(), 0, 1), "removed 3 changes from the log; no object is lost\n")
	f.want(t, "new lineage", f.NewLineage(t.Context()), "the store is at revision 4 of the new lineage LINEAGE\n")
	if err := f.Restore(t.Context(), backup, ""); err == nil || !strings.Contains(err.Error(), "--keep") {
		t.Errorf("restore over what is there: %v", err)
	}
	f.want(t, "restore", f.Restore(t.Context(), backup, kept), `DIR/kept: 2 objects and 3 undelivered effects at revision 4 of lineage LINEAGE, made 2026-01-02T12:00:00Z
restored DIR/backup: the store is at revision 3 of the new lineage LINEAGE
`)
	f.Store.Database.Path = filepath.Join(f.dir, "other.db")
	f.want(t, "restore into a new store", f.Restore(t.Context(), kept, ""), "restored DIR/kept: the store is at revision 4 of the new lineage LINEAGE\n")
}

func TestRefusals(t *testing.T) {
	f := newFixture(t)
	if err := f.server.Close(); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(f.dir, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	whole := filepath.Join(f.dir, "whole")
	if err := f.Backup(t.Context(), whole); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		f    func(ctx context.Context) error
		want string
	}{
		{"drop without a key", func(ctx context.Context) error { return f.Drop(ctx, "port") }, "kind/key"},
		{"drop of nothing", func(ctx context.Context) error { return f.Drop(ctx, "port/none") }, "no such entry"},
		{"trim by nothing", func(ctx context.Context) error { return f.Trim(ctx, 0, 0) }, "nothing to trim by"},
		{"inspect an empty file", func(context.Context) error { return f.Inspect(empty) }, "not a whole backup"},
		{"restore no file", func(ctx context.Context) error { return f.Restore(ctx, empty+"x", filepath.Join(f.dir, "k1")) }, "no such file"},
		{"restore an empty file", func(ctx context.Context) error { return f.Restore(ctx, empty, filepath.Join(f.dir, "k2")) }, "not a whole backup"},
		{"keep over a file", func(ctx context.Context) error { return f.Restore(ctx, whole, whole) }, "choose another name"},
	} {
		if err := c.f(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestDamage(t *testing.T) {
	f := newFixture(t)
	if err := f.server.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", f.Store.Database.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("UPDATE entries SET body = x'00' WHERE kind = 'port'; UPDATE log SET row = x'00' WHERE revision = 2"); err != nil {
		t.Fatal(err)
	}
	if err := f.Check(t.Context()); !errors.Is(err, admin.ErrDamaged) {
		t.Errorf("check: %v", err)
	}
	said := f.said()
	cures := regexp.MustCompile(`weft store drop (\S+)`).FindAllStringSubmatch(said, -1)
	if len(cures) != 2 || !strings.Contains(said, "store new-lineage") || strings.Count(said, "\n") != 3 {
		t.Fatalf("check said\n%s", said)
	}
	for _, c := range cures {
		if err := f.Drop(t.Context(), c[1]); err != nil {
			t.Error(err)
		}
	}
	if err := f.NewLineage(t.Context()); err != nil {
		t.Error(err)
	}
	f.said()
	f.want(t, "check after the cures", f.Check(t.Context()), "nothing is wrong, up to revision 5\n")
}
