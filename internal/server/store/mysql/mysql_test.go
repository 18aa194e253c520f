package mysql_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/weft-cloud/weft/internal/server/store"
	"github.com/weft-cloud/weft/internal/server/store/mysql"
	"github.com/weft-cloud/weft/internal/server/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, o mysql.Options) *mysql.Store {
	t.Helper()
	s, err := mysql.Open(t.Context(), o)
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
		where := map[store.Store]mysql.Options{}
		storetest.Run(t, storetest.Harness{
			Open: func(t testing.TB) store.Store {
				o := srv.options(srv.database(t))
				s := open(t, o)
				where[s] = o
				return s
			},
			Reopen: func(t testing.TB, s store.Store) store.Store {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				again := open(t, where[s])
				where[again] = where[s]
				return again
			},
			Slow: true,
		})
	})
	for _, c := range []struct {
		name string
		f    func(t *testing.T, srv *server)
	}{
		{"Network", testNetwork}, {"HeldCommit", testHeldCommit}, {"Servers", testServers}, {"LostRace", testLostRace}, {"Deadlock", testDeadlock},
		{"Lease", testLease}, {"Settings", testSettings}, {"Crash", testCrash}, {"Rights", testRights}, {"Alone", testAlone},
	} {
		t.Run(c.name, func(t *testing.T) { c.f(t, srv) })
	}
}
