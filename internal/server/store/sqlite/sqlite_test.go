package sqlite_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/weft-cloud/weft/internal/server/store"
	"github.com/weft-cloud/weft/internal/server/store/journal"
	"github.com/weft-cloud/weft/internal/server/store/sqlite"
	"github.com/weft-cloud/weft/internal/server/store/storetest"
)

// open opens a store that uses its journal, if it is to have one, from its first write on.
func open(t testing.TB, o sqlite.Options) *sqlite.Store {
	t.Helper()
	if o.Path == "" {
		o.Path = filepath.Join(t.TempDir(), "weft.db")
	}
	if !o.ReadOnly && o.Journal > 0 {
		lay(t, o.Path, o.Journal)
	}
	s, err := sqlite.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func lay(t testing.TB, path string, size int64) {
	t.Helper()
	j, err := journal.Open(path+".journal", size)
	if err == nil {
		err = j.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestStore holds the contract against the store as servers have it; without a journal; with one that is always full; and with one
// whose records stay there until somebody needs them in the file, so that all reading finds them beyond it.
func TestStore(t *testing.T) {
	t.Run("Journal", func(t *testing.T) { runStore(t, sqlite.Options{Journal: 64 * journal.Block}) })
	t.Run("Alone", func(t *testing.T) { runStore(t, sqlite.Options{Journal: -1}) })
	t.Run("SmallJournal", func(t *testing.T) { runStore(t, sqlite.Options{Journal: 2 * journal.Block}) })
	t.Run("Beyond", func(t *testing.T) {
		defer sqlite.SetFollowDelay(time.Hour)()
		runStore(t, sqlite.Options{Journal: 64 * journal.Block})
	})
}

func runStore(t *testing.T, o sqlite.Options) {
	paths := map[store.Store]string{}
	storetest.Run(t, storetest.Harness{
		Open: func(t testing.TB) store.Store {
			o.Path = filepath.Join(t.TempDir(), "weft.db")
			s := open(t, o)
			paths[s] = o.Path
			return s
		},
		Reopen: func(t testing.TB, s store.Store) store.Store {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			o.Path = paths[s]
			again := open(t, o)
			paths[again] = paths[s]
			return again
		},
		Slow: true,
	})
}
