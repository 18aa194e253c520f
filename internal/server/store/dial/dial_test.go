package dial_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weft-cloud/weft/internal/config"
	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/store"
	"github.com/weft-cloud/weft/internal/server/store/dial"
)

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	file := config.Database{Engine: "sqlite", Path: filepath.Join(dir, "weft.db")}
	mysql := func(param, value string) config.Database {
		return config.Database{Engine: "mysql", Socket: filepath.Join(dir, "nobody"), Name: "weft", User: "u",
			Password: config.NewSecret("hush"), Params: map[string]string{param: value}}
	}
	for _, c := range []struct {
		name string
		o    dial.Options
		want string // in the error; "" for none
	}{
		{"sqlite that is not there, to be read", dial.Options{Database: file, ReadOnly: true}, "no such file"},
		{"sqlite", dial.Options{Database: file}, ""},
		{"sqlite to be read", dial.Options{Database: file, ReadOnly: true}, ""},
		{"no engine", dial.Options{}, "engine"},
		{"unknown parameter", dial.Options{Database: mysql("x", "1")}, `"x"`},
		{"no CA", dial.Options{Database: mysql("ssl_ca", "/nowhere/ca.pem")}, "ssl_ca"},
		{"bad CA", dial.Options{Database: mysql("ssl_ca", "dial_test.go")}, "holds no PEM"},
		{"no key", dial.Options{Database: mysql("ssl_cert", "dial_test.go")}, "ssl_key"},
		{"nobody there", dial.Options{Database: mysql("charset", "utf8")}, "nobody"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := dial.Open(t.Context(), c.o)
			if (s == nil) != (err != nil) {
				t.Fatalf("store %v and error %v", s, err)
			}
			if s != nil {
				_, err := s.NewLineage(t.Context(), headOf(t, s))
				if errors.Is(err, store.ErrReadOnly) != c.o.ReadOnly {
					t.Errorf("a write: %v", err)
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
			if c.want == "" != (err == nil) || err != nil && (!strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hush")) {
				t.Errorf("%v, want an error with %q and no password", err, c.want)
			}
		})
	}
}

// TestWaiting: a database that does not answer is tried as often as the configuration says, or until the caller leaves.
func TestWaiting(t *testing.T) {
	d := config.Database{Engine: "mysql", Socket: filepath.Join(t.TempDir(), "nobody"), Name: "weft", RetryInterval: time.Millisecond, MaxRetries: 3}
	waits := 0
	_, err := dial.Open(t.Context(), dial.Options{Database: d, Waiting: func(error) { waits++ }})
	if err == nil || waits != 3 {
		t.Errorf("%d waits, %v", waits, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	d.MaxRetries, waits = -1, 0
	_, err = dial.Open(ctx, dial.Options{Database: d, Waiting: func(error) {
		if waits++; waits == 10 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) || waits < 10 {
		t.Errorf("%d waits, %v", waits, err)
	}
	d.Params = map[string]string{"x": "1"}
	if _, err := dial.Open(t.Context(), dial.Options{Database: d}); err == nil {
		t.Error("a parameter that is not known was taken")
	}
}

func headOf(t *testing.T, s store.Store) model.Position {
	t.Helper()
	h, err := s.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return h.Position
}
