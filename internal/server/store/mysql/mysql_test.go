package mysql_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/weft-cloud/weft/internal/server/store"
	"github.com/weft-cloud/weft/internal/server/store/mysql"
	"github.com/weft-cloud/weft/internal/server/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, url string) *mysql.Store {
	t.Helper()
	s, err := mysql.Open(t.Context(), mysql.Options{URL: url})
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

// TestMariaDB runs everything that needs a server on one.
func TestMariaDB(t *testing.T) {
	srv := newServer(t)
	t.Run("Store", func(t *testing.T) {
		urls := map[store.Store]string{}
		storetest.Run(t, storetest.Harness{
			Open: func(t testing.TB) store.Store {
				url := srv.url(srv.database(t))
				s := open(t, url)
				urls[s] = url
				return s
			},
			Reopen: func(t testing.TB, s store.Store) store.Store {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				again := open(t, urls[s])
				urls[again] = urls[s]
				return again
			},
			Slow: true,
		})
	})
	for _, c := range []struct {
		name string
		f    func(t *testing.T, srv *server)
	}{
		{"Network", testNetwork}, {"HeldCommit", testHeldCommit}, {"Servers", testServers}, {"LostRace", testLostRace},
		{"Lease", testLease}, {"Settings", testSettings}, {"Crash", testCrash},
	} {
		t.Run(c.name, func(t *testing.T) { c.f(t, srv) })
	}
}
