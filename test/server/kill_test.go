package server

import (
	"context"
	"os"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/weft-cloud/weft/test/rig"
)

// portQuota bounds each project of TestKillUnderLoad.
const portQuota = 40

// TestKillUnderLoad (for longer by WEFT_KILL_FOR=10m) lets many clients make random calls at once while the server is killed again and again, often between
// the commit and its answer: what was acknowledged is there, what was refused or answered 503 is not, no rule of the whole
// is broken, revisions grow, and the world in memory is the one that the store gives.
func TestKillUnderLoad(t *testing.T) {
	s := start(t, rig.Options{Config: rig.Config{
		"quotas":         {"quota_port": "40", "quota_network": "-1", "quota_subnet": "-1", "quota_router": "-1", "quota_floatingip": "-1", "quota_security_group": "-1"},
		"ml2_type_vxlan": {"vni_ranges": "1:60"},
		"ml2_type_vlan":  {"network_vlan_ranges": "physnet1:100:120"},
	}})
	outside := create(t, s, "network", object{"name": "outside", "router:external": true})["id"].(string)
	create(t, s, "subnet", object{"network_id": outside, "ip_version": 4, "cidr": "203.0.113.0/24"})
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	var clients []*client
	for n := range 8 {
		clients = append(clients, newClient(s, n, seed))
	}
	lost := 0
	const least, most = 6, 25
	long, _ := time.ParseDuration(os.Getenv("WEFT_KILL_FOR")) // by hand: for so long, and more between one kill and the next
	began := time.Now()
	for round := 0; round < least || lost == 0 || time.Since(began) < long; round++ {
		if round == most && long == 0 {
			t.Fatalf("in %d rounds no request was done and not answered: the kill never came between commit and answer", most)
		}
		work := time.Duration(200+clients[0].r.IntN(400)) * time.Millisecond
		if long > 0 {
			work = time.Duration(200+clients[0].r.IntN(8000)) * time.Millisecond
		}
		hammer(t, s, clients, outside, work)
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		w := list(t, s)
		for _, c := range clients {
			lost += c.check(w)
			for _, text := range c.wrong {
				t.Errorf("round %d, %s", round, text)
			}
			c.wrong = nil
		}
		check(t, w)
		for _, bad := range w.usage(t, s, "project-0", "project-1", "project-2") {
			t.Error(bad)
		}
		if t.Failed() {
			return
		}
	}
	statuses, went := map[int]int{}, map[string]int{}
	for _, c := range clients {
		for k, v := range c.answered {
			statuses[k] += v
		}
		for k, v := range c.went {
			went[k] += v
		}
	}
	t.Logf("done: %v", went)
	t.Logf("requests by status: %v; done and not answered: %d", statuses, lost)
	if statuses[201] == 0 || statuses[204] == 0 || statuses[409] == 0 || statuses[0] == 0 {
		t.Errorf("not everything happened: %v", statuses)
	}
	before := list(t, s)
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := list(t, s); !reflect.DeepEqual(before.of, after.of) {
		t.Errorf("the world that the store gives is another than the one in memory:\n%v\n%v", before.of, after.of)
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

// hammer lets the clients work and kills the server in the middle of a commit.
func hammer(t *testing.T, s *rig.Server, clients []*client, outside string, during time.Duration) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var work sync.WaitGroup
	for _, c := range clients {
		work.Go(func() {
			for ctx.Err() == nil {
				before := c.answered[0]
				if c.step(ctx, outside); c.answered[0] > before {
					return // the server is dead
				}
			}
		})
	}
	time.Sleep(during)
	awaitWrite(s.Store() + "-wal")
	if err := s.Kill(); err != nil {
		t.Error(err)
	}
	stop()
	work.Wait()
}

// awaitWrite returns as soon as a file changes. The write-ahead log is written and then synced: a kill in between comes
// true when the sync has returned, before anything is answered.
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
