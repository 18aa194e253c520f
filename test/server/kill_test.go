package server

import (
	"context"
	"maps"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weft-cloud/weft/test/rig"
)

// portQuota bounds each project of TestKillUnderLoad.
const portQuota = 40

// TestKillUnderLoad (for longer by WEFT_KILL_FOR=10m, with more clients by WEFT_KILL_CLIENTS=32) lets many clients make random calls at once
// while the server is killed again and again, often between the commit and its answer: what was acknowledged is there, what was refused or
// answered 503 is not, no rule of the whole is broken, revisions grow, and the world in memory is the one that the store gives.
func TestKillUnderLoad(t *testing.T) {
	k := killed{rounds: 6, wanted: []string{"POST /floatingips/port_forwardings", "POST /ndp_proxies", leftProxy, "PUT /quotas/project-", "GET /auto-allocated-topology/project-",
		"POST /agents/dhcp-networks", "POST /agents/l3-routers"}}
	k.run(t, rig.Config{})
}

// TestKillUnderLoadDatabase does so on MariaDB, which is killed, too, now with the server and now alone. It is run by hand, with
// WEFT_KILL_FOR; TestDatabaseGoesAway is its small sister.
func TestKillUnderLoadDatabase(t *testing.T) {
	if os.Getenv("WEFT_KILL_FOR") == "" {
		t.Skip("takes most of a minute: set WEFT_KILL_FOR=1s or longer")
	}
	d := newDatabase(t)
	k := killed{rounds: 2, database: d}
	k.run(t, rig.Config{"database": {"connection": "mysql+pymysql://root@localhost/weft?unix_socket=" + d.Socket}})
}

// killed is a run of TestKillUnderLoad.
type killed struct {
	rounds   int           // at least so many
	database *rig.Database // nil: SQLite
	wanted   []string      // what must have been done, as the beginnings of a client's went; it goes on until it is

	s       *rig.Server
	at      *place
	clients []*client
	lost    int // requests that were done and not answered
}

func (k *killed) run(t *testing.T, more rig.Config) {
	t.Helper()
	c := rig.Config{
		"quotas":         {"quota_port": "40", "quota_network": "-1", "quota_subnet": "-1", "quota_router": "-1", "quota_floatingip": "-1", "quota_security_group": "-1"},
		"ml2_type_vxlan": {"vni_ranges": "1:200"},
		"ml2_type_vlan":  {"network_vlan_ranges": "physnet1:100:120"},
	}
	maps.Copy(c, more)
	k.s = start(t, rig.Options{Config: c})
	k.at = newPlace(t, k.s)
	seed, count := uint64(time.Now().UnixNano()), 8
	if n, err := strconv.Atoi(os.Getenv("WEFT_KILL_CLIENTS")); err == nil {
		count = n
	}
	t.Logf("seed %d, %d clients", seed, count)
	for n := range count {
		c := newClient(k.s, n, seed)
		c.at = k.at
		k.clients = append(k.clients, c)
	}
	const most = 25
	long, _ := time.ParseDuration(os.Getenv("WEFT_KILL_FOR")) // by hand: for so long, and more between one kill and the next
	began := time.Now()
	for round := 0; round < k.rounds || k.missing() != "" || time.Since(began) < long; round++ {
		if round == most && long == 0 {
			t.Fatalf("in %d rounds never: %s", most, k.missing())
		}
		most := 600
		if long > 0 {
			most = 8000
		}
		if k.round(t, round, time.Duration(200+k.clients[0].r.IntN(most))*time.Millisecond); t.Failed() {
			return
		}
	}
	k.tell(t)
	k.reload(t)
}

// round lets the clients work, kills and starts again, and checks everything.
func (k *killed) round(t *testing.T, n int, work time.Duration) {
	t.Helper()
	hammer(t, k, work, k.database != nil && n%2 == 1)
	w := list(t, k.s)
	for _, c := range k.clients {
		k.lost += c.check(w)
		c.checkMore(w)
		c.checkLimit(t)
		for _, text := range c.wrong {
			t.Errorf("round %d, %s", n, text)
		}
		c.wrong = nil
	}
	check(t, w)
	for _, bad := range append(k.usage(t, w), k.at.served(t, k.s, w)...) {
		t.Error(bad)
	}
}

// usage says where the use of a quota stays other than the number of objects. Agents that have just come back get DHCP ports meanwhile, after
// a list of ports and before the quota: then both are read again.
func (k *killed) usage(t *testing.T, w *listed) (bad []string) {
	t.Helper()
	for tries := 0; ; tries++ {
		bad = w.usage(t, k.s, "project-0", "project-1", "project-2")
		if len(bad) == 0 || tries == 20 {
			return bad
		}
		t.Logf("read again: %s", bad[0])
		time.Sleep(250 * time.Millisecond)
		w = list(t, k.s)
	}
}

// went is what the clients have done.
func (k *killed) went() map[string]int {
	sum := map[string]int{}
	for _, c := range k.clients {
		for what, n := range c.went {
			sum[what] += n
		}
	}
	return sum
}

// missing is what has not happened yet and must; "": nothing.
func (k *killed) missing() string {
	if k.lost == 0 && k.database == nil {
		return "a request that was done and not answered: the kill never came between commit and answer"
	}
	went := slices.Collect(maps.Keys(k.went()))
	for _, what := range k.wanted {
		if !slices.ContainsFunc(went, func(did string) bool { return strings.HasPrefix(did, what) }) {
			return what
		}
	}
	return ""
}

// tell prints what was done, and expects that there was an answer of each kind.
func (k *killed) tell(t *testing.T) {
	t.Helper()
	statuses := map[int]int{}
	for _, c := range k.clients {
		for s, v := range c.answered {
			statuses[s] += v
		}
	}
	t.Logf("done: %v", k.went())
	t.Logf("requests by status: %v; done and not answered: %d", statuses, k.lost)
	if statuses[201] == 0 || statuses[204] == 0 || statuses[409] == 0 || statuses[0] == 0 {
		t.Errorf("not everything happened: %v", statuses)
	}
}

// reload kills the server in peace: the store gives the world that was in memory.
func (k *killed) reload(t *testing.T) {
	t.Helper()
	k.s.StopAgents() // what they report would change it meanwhile
	before := list(t, k.s)
	for deadline := time.Now().Add(10 * time.Second); ; {
		time.Sleep(100 * time.Millisecond)
		again := list(t, k.s)
		if reflect.DeepEqual(before.of["ports"], again.of["ports"]) {
			break
		}
		if before = again; time.Now().After(deadline) {
			t.Fatal("ports go on changing without agents")
		}
	}
	if err := k.s.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := k.s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	after := list(t, k.s)
	for _, name := range slices.Sorted(maps.Keys(before.of)) {
		if name == "agents" { // they have been heard of by now at other times
			continue
		}
		if d := cmp.Diff(before.of[name], after.of[name]); d != "" {
			t.Errorf("the %s that the store gives are others than those in memory (-memory +store):\n%s", name, d)
		}
	}
}

func check(t *testing.T, w *listed) {
	t.Helper()
	for _, bad := range w.broken() {
		t.Error(bad)
	}
	ports := map[string]int{}
	for _, p := range w.of["ports"] {
		if p["device_owner"] == "" { // a router's own are made beyond the quota
			ports[p["project_id"].(string)]++
		}
	}
	for project, n := range ports {
		if n > portQuota {
			t.Errorf("project %s has %d ports, its quota is %d", project, n, portQuota)
		}
	}
}

// hammer lets the clients work and kills the server in the middle of a commit, or only its database, and has everything run again.
func hammer(t *testing.T, k *killed, during time.Duration, databaseOnly bool) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	calls := ctx
	if databaseOnly {
		calls = t.Context() // a server that lives ends what it has begun, while everything is looked at
	}
	var work sync.WaitGroup
	for _, c := range k.clients {
		work.Go(func() {
			for ctx.Err() == nil {
				before, refused := c.answered[0], c.answered[http.StatusServiceUnavailable]
				if c.step(calls, k.at.outside); c.answered[0] > before && !databaseOnly {
					return // the server is dead
				}
				if c.answered[http.StatusServiceUnavailable] > refused {
					time.Sleep(20 * time.Millisecond)
				}
			}
		})
	}
	time.Sleep(during)
	if k.database == nil {
		awaitWrite(k.s.Store() + ".journal")
	} else {
		k.database.Kill()
	}
	if !databaseOnly {
		if err := k.s.Kill(); err != nil {
			t.Error(err)
		}
	}
	if k.database != nil {
		if err := k.database.Start(); err != nil {
			t.Error(err)
		}
	}
	if databaseOnly { // who waits for a commit of which nothing is known is answered
		awaitStore(t, k.s, k.at.outside, "")
		time.Sleep(200 * time.Millisecond)
	}
	stop()
	work.Wait()
	if !databaseOnly {
		if err := k.s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// awaitWrite returns as soon as a file changes. The journal is written, which ends when it is on the disk, and then the client is answered: a
// kill in between comes true before that.
func awaitWrite(path string) {
	was, err := os.Stat(path)
	if err != nil {
		return
	}
	for range 100_000 {
		if is, err := os.Stat(path); err != nil || is.Size() != was.Size() || is.ModTime() != was.ModTime() {
			return
		}
	}
}
