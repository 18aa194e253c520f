package mysql_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	osuser "os/user"
	"path/filepath"
	"sync"
	"testing"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/store"
	"github.com/weft-cloud/weft/internal/server/store/mysql"
	"github.com/weft-cloud/weft/internal/server/store/storetest"
)

const galeraLibrary = "/usr/lib/galera/libgalera_smm.so"

// newCluster starts two nodes of a Galera cluster on loopback.
func newCluster(t *testing.T) [2]*server {
	t.Helper()
	install := find("mariadb-install-db")
	if _, err := os.Stat(galeraLibrary); err != nil || install == "" || find("mariadbd") == "" || find("rsync") == "" {
		t.Skip("no Galera (Debian: mariadb-server, galera-4, rsync)")
	}
	if _, err := osuser.Lookup("mysql"); err != nil || os.Geteuid() != 0 {
		t.Skip("not root, or no user mysql, as whom the nodes copy their data to each other")
	}
	dir, err := os.MkdirTemp("", "weft-galera-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	var nodes [2]*server
	for i := range nodes {
		d := filepath.Join(dir, fmt.Sprint(i))
		nodes[i] = &server{dir: d, socket: filepath.Join(d, "s"), user: "mysql"}
		if err := errors.Join(os.Chmod(dir, 0o755), os.Mkdir(d, 0o755)); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("chown", "mysql:", d).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		nodes[i].install(t, install)
	}
	first := "127.0.0.1:" + freePort(t)
	for i, n := range nodes {
		listen, join := first, "gcomm://"
		if i > 0 {
			listen, join = "127.0.0.1:"+freePort(t), "gcomm://"+first
		}
		args := []string{
			"--binlog-format=ROW", "--innodb-autoinc-lock-mode=2", "--wsrep-on=ON", "--wsrep-provider=" + galeraLibrary,
			"--wsrep-cluster-name=weft", "--wsrep-sst-method=rsync", "--wsrep-node-name=" + fmt.Sprint(i), "--wsrep-node-address=127.0.0.1",
			"--wsrep-cluster-address=" + join, "--wsrep-sst-receive-address=127.0.0.1:" + freePort(t),
			"--wsrep-provider-options=gmcast.listen_addr=tcp://" + listen + ";ist.recv_addr=127.0.0.1:" + freePort(t) + ";gcache.size=32M",
		}
		if i == 0 {
			args = append(args, "--wsrep-new-cluster")
		}
		n.start(t, args...)
		t.Cleanup(n.kill)
		n.waitReady(t)
	}
	return nodes
}

func (s *server) waitReady(t *testing.T) {
	db := s.root(t)
	defer db.Close()
	eventually(t, "the node to be ready", func(ctx context.Context) error {
		var name, value string
		err := db.QueryRowContext(ctx, "SHOW STATUS LIKE 'wsrep_ready'").Scan(&name, &value)
		if err == nil && value != "ON" {
			err = errors.New(name + " is " + value)
		}
		return err
	})
}

// freePort is a TCP port of loopback that nobody has at this moment.
func freePort(t *testing.T) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, err := net.SplitHostPort(ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// TestGalera: on a cluster, where locks end at the node and conflicts show only at COMMIT, the promises are the same.
func TestGalera(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: a cluster takes half a minute")
	}
	nodes := newCluster(t)
	t.Run("Store", func(t *testing.T) { // each store is opened on one node and opened again on the other
		where := map[store.Store]mysql.Options{}
		storetest.Run(t, storetest.Harness{
			Open: func(t testing.TB) store.Store {
				o := nodes[0].options(nodes[0].database(t))
				s := open(t, o)
				where[s] = o
				return s
			},
			Reopen: func(t testing.TB, s store.Store) store.Store {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				o := where[s]
				if o.Socket == nodes[0].socket {
					o.Socket = nodes[1].socket
				} else {
					o.Socket = nodes[0].socket
				}
				again := open(t, o)
				where[again] = o
				return again
			},
			Slow: true,
		})
	})
	t.Run("ReadYourWrites", func(t *testing.T) { testReadYourWrites(t, nodes) })
	t.Run("Alone", func(t *testing.T) { // a node's locks are its own: docs/store.md says so
		o := nodes[0].options(nodes[0].database(t))
		o.Alone = true
		storetest.Load(t, open(t, o))
		if s, err := mysql.Open(t.Context(), o); !errors.Is(err, store.ErrLocked) {
			t.Errorf("a second server at the same node: %v", err)
			if err == nil {
				_ = s.Close()
			}
		}
	})
	for range 3 { // what this found, one round in four showed
		t.Run("Race", func(t *testing.T) { testGaleraRace(t, nodes) })
	}
}

// testReadYourWrites: what one node has answered, the other shows at once.
func testReadYourWrites(t *testing.T, nodes [2]*server) {
	name := nodes[0].database(t)
	a := open(t, nodes[0].options(name))
	b := open(t, nodes[1].options(name))
	pos := storetest.Load(t, a).Snap.Position
	for r := range uint64(50) {
		if err := a.Append(t.Context(), pos, []store.Batch{batch(r+1, byte(r))}); err != nil {
			t.Fatal(err)
		}
		news, err := b.Tail(t.Context(), pos, 10)
		if err != nil || len(news) != 1 {
			t.Fatalf("after revision %d: tail on the other node: %d batches, %v", r+1, len(news), err)
		}
		pos.Revision++
		if h, err := b.Head(t.Context()); err != nil || h.Position != pos {
			t.Fatalf("head on the other node is %s, %v, want %s", h.Position, err, pos)
		}
	}
}

// testGaleraRace has servers on both nodes compete for each revision.
func testGaleraRace(t *testing.T, nodes [2]*server) {
	const servers, rounds = 4, 15
	name := nodes[0].database(t)
	start := storetest.Load(t, open(t, nodes[0].options(name))).Snap.Position
	var mu sync.Mutex // guards won and lost
	won, lost := map[uint64]model.UUID{}, 0
	var wg sync.WaitGroup
	for i := range servers {
		s := open(t, nodes[i%2].options(name))
		wg.Go(func() {
			for wins := 0; wins < rounds; {
				at, err := s.Head(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				b := batch(at.Revision+1, byte(i))
				b.ID[2], b.ID[3], b.Prev = byte(i+1), byte(wins), at.Batch
				err = s.Append(t.Context(), at.Position, []store.Batch{b})
				mu.Lock()
				switch {
				case err == nil:
					wins++
					if _, taken := won[b.Revision]; taken {
						t.Errorf("revision %d was won twice", b.Revision)
					}
					won[b.Revision] = b.ID
				case errors.Is(err, store.ErrConflict):
					lost++
				default:
					t.Error(err)
					wins = rounds
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	t.Logf("%d won, %d lost", len(won), lost)
	for i, n := range nodes {
		log, err := open(t, n.options(name)).Tail(t.Context(), start, 1000)
		if err != nil || len(log) != servers*rounds {
			t.Fatalf("node %d: %d batches, %v, want %d", i, len(log), err, servers*rounds)
		}
		for _, b := range log {
			if won[b.Revision] != b.ID {
				t.Errorf("node %d: revision %d is %s, but %s was told that it won", i, b.Revision, b.ID, won[b.Revision])
			}
		}
	}
}
