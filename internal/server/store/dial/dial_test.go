package dial_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weft-cloud/weft/internal/server/store/dial"
)

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		name, url, want string // want: in the error; "" for none
	}{
		{"sqlite", "sqlite:///" + dir + "/weft.db", ""},
		{"sqlite again, with a driver", "sqlite+pysqlite:///" + dir + "/weft.db", ""},
		{"memory", "sqlite://", "sqlite:////var/lib"},
		{"two slashes too few", "sqlite:/" + dir + "/x.db", "needs a file"},
		{"three slashes too few", "sqlite:" + dir + "/x.db", "is not known"},
		{"sqlite with a query", "sqlite:///" + dir + "/x.db?mode=ro", "remove"},
		{"postgres", "postgresql+psycopg2://u:secret@h/neutron", "not supported"},
		{"nothing", "", "is not known"},
		{"a path", dir + "/weft.db", "is not known"},
		{"mysql without a database", "mysql+pymysql://u:secret@h", "names no database"},
		{"mysql without a host", "mysql+pymysql:///neutron", "names no host"},
		{"mysql with an unknown query", "mysql+pymysql://u:secret@h/neutron?x=1", `"x"`},
		{"mysql that does not parse", "mysql://u:sec%ret@h/n", "does not parse"},
		{"mysql without its CA", "mysql://u:secret@h/n?ssl_ca=/nowhere/ca.pem", "ssl_ca"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := dial.Open(t.Context(), dial.Options{URL: c.url})
			if (s == nil) != (err != nil) {
				t.Errorf("store %v and error %v", s, err)
			}
			if s != nil {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "sec") {
				t.Errorf("%v, want an error with %q and no password", err, c.want)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(dir, "weft.db")); err != nil {
		t.Error(err)
	}
}
