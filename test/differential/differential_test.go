package differential

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weft-cloud/weft/test/rig"
)

// run is one run of the comparison.
type run struct {
	t       *testing.T
	p       *pair
	g       *generator
	headers map[string]http.Header
	// found counts differences by what differs; sent counts requests, faulty those that Neutron
	// answered with its own fault.
	found        map[string]int
	sent, faulty int
	// reasons are requests that both refused, each for another reason: most have several faults. They are told, and do not
	// fail the test.
	reasons map[string]request
}

func setting(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

// patience is how long an answer may take: on a machine that does something else Neutron was seen to need 35 s for a
// floating IP.
const patience = 10 * time.Minute

// startBoth runs both servers with the same configuration; it skips the test where that is not wanted.
func startBoth(t *testing.T) (*pair, *rig.Server) {
	t.Helper()
	if os.Getenv("WEFT_TEST_NEUTRON") == "" {
		t.Skip("takes minutes and needs Debian's neutron-server; set WEFT_TEST_NEUTRON=1")
	}
	p, s := startWeft(t)
	if _, err := exec.LookPath("neutron-server"); err != nil {
		t.Fatalf("%v; scripts/deps neutron", err)
	}
	p.urls[1] = startNeutron(t)
	return p, s
}

// startWeft runs Weft's half of a pair.
func startWeft(t *testing.T) (*pair, *rig.Server) {
	t.Helper()
	dir := t.TempDir()
	weft, err := rig.Build(dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := rig.New(rig.Options{Weft: weft, Dir: dir, Identity: true, Config: rig.Config{
		"DEFAULT":       {"router_distributed": "False"},
		"ml2_type_vlan": {"network_vlan_ranges": "physnet1:100:200,physnet2:300:400"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return &pair{urls: [2]string{s.API}, client: &http.Client{Timeout: patience}, names: [2]names{newNames(), newNames()}}, s
}

// TestAgainstNeutron sends both servers the same requests. A difference that deliberate does not explain fails it.
func TestAgainstNeutron(t *testing.T) {
	p, s := startBoth(t)
	r := &run{t: t, found: map[string]int{}, reasons: map[string]request{}, p: p}
	seed := setting("WEFT_TEST_NEUTRON_SEED", 1)
	people := newPeople(t, s)
	for i := range setting("WEFT_TEST_NEUTRON_EPISODES", 8) {
		r.g = &generator{r: rand.New(rand.NewPCG(uint64(seed), uint64(i))), episode: i, live: map[string][]string{}}
		r.headers = people.episode(r.g)
		r.episode()
	}
	r.report()
}

// requestsOfEpisode is how long an episode is at most.
const requestsOfEpisode = 90

// episode builds a small cloud, changes it at random, and takes it down. It ends early when one server did what the other
// refused, for then they hold different things.
func (r *run) episode() {
	r.t.Helper()
	g := r.g
	fixtures := []struct {
		kind, path string
		body       object
	}{
		{"outside", "networks", object{"network": object{"name": "outside", "router:external": true, "provider:network_type": "flat", "provider:physical_network": fmt.Sprint("outside", g.episode)}}},
		{"subnet", "subnets", object{"subnet": object{"name": "outside4", "network_id": "ref.outside.1", "ip_version": 4, "cidr": "203.0.113.0/24", "enable_dhcp": false}}},
		{"subnet", "subnets", object{"subnet": object{"name": "outside6", "network_id": "ref.outside.1", "ip_version": 6, "cidr": "2001:db8::/64", "enable_dhcp": false}}},
		{"network", "networks", object{"network": object{"name": "inside"}}},
		{"subnet", "subnets", object{"subnet": object{"name": "inside4", "network_id": "ref.network.1", "ip_version": 4, "cidr": "10.1.0.0/24"}}},
		{"router", "routers", object{"router": object{"name": "router"}}},
		{"port", "ports", object{"port": object{"name": "port", "network_id": "ref.network.1"}}},
	}
	clear(g.live)
	for who := range r.headers {
		r.both(request{who: who, method: "GET", path: "/security-groups"}, false) // makes the default groups
	}
	for _, f := range fixtures {
		who := "member"
		if strings.Contains(fmt.Sprint(f.body), "outside") {
			who = "admin"
		}
		if !r.create(kind{name: f.kind, path: f.path}, request{who: who, method: "POST", path: "/" + f.path, body: f.body}) {
			return
		}
	}
	for range requestsOfEpisode {
		if !r.step() {
			break
		}
	}
	r.takeDown()
}

// step sends one request; false: the servers hold different things now.
func (r *run) step() bool {
	g := r.g
	k := kinds[g.r.IntN(len(kinds))]
	if g.r.IntN(3) == 0 {
		k = kinds[g.r.IntN(8)] // the core more often
	}
	switch n := g.r.IntN(20); {
	case n < 9:
		return r.create(k, g.create(k))
	case n < 12:
		_, ok := r.both(g.update(k), false)
		return ok
	case n < 13:
		_, ok := r.both(request{who: g.who(), method: "GET", path: g.object(k)}, false)
		return ok
	case n < 16:
		q, sorted := g.query(k)
		_, ok := r.both(q, sorted)
		return ok
	case n < 17:
		return r.remove(k, g.ref(k.name))
	}
	a := actions[g.r.IntN(len(actions))]
	q := request{who: g.who(), method: a.method, path: g.path(a.path)}
	if a.body != nil {
		q.body = a.body(g)
	}
	_, ok := r.both(q, false)
	return ok
}

// create sends a creation and names what was made on both sides.
func (r *run) create(k kind, q request) bool {
	answers, ok := r.both(q, false)
	if !ok || answers[0].status != http.StatusCreated {
		return ok
	}
	ref := fmt.Sprintf("ref.%s.%d", k.name, len(r.g.live[k.name])+1)
	for i, a := range answers {
		for _, v := range a.body.(object) {
			o, _ := v.(object)
			id, has := o["id"].(string)
			if !has {
				return true // bindings have none
			}
			r.p.names[i].rename(ref, id)
		}
	}
	if parent.MatchString(k.path) {
		ref = strings.Split(q.path, "/")[len(strings.Split(q.path, "/"))-2] + "/" + ref
	}
	r.g.live[k.name] = append(r.g.live[k.name], ref)
	return true
}

func (r *run) remove(k kind, id string) bool {
	path := "/" + k.path + "/" + id
	if owner := parent.FindStringSubmatch(k.path); owner != nil {
		above, below, _ := strings.Cut(id, "/")
		path = strings.Replace("/"+k.path, owner[0], above, 1) + "/" + below
	}
	answers, ok := r.both(request{who: r.g.who(), method: "DELETE", path: path}, false)
	if ok && answers[0].status == http.StatusNoContent {
		// It stays in the list: what is gone is asked for again.
		r.g.live["gone"] = append(r.g.live["gone"], id)
	}
	return ok
}

// takeDown deletes everything as the administrator, what was made last first.
func (r *run) takeDown() {
	for _, id := range r.g.live["router"] {
		r.both(request{who: "admin", method: "PUT", path: "/routers/" + id, body: object{"router": object{"routes": []any{}, "external_gateway_info": nil}}}, false)
		for _, s := range r.g.live["subnet"] {
			r.both(request{who: "admin", method: "PUT", path: "/routers/" + id + "/remove_router_interface", body: object{"subnet_id": s}}, false)
		}
	}
	order := []string{"rbac_policy", "ndp_proxy", "trunk", "local_ip", "floatingip", "log", "port", "router", "subnet", "segment", "network", "outside", "subnetpool", "address_scope",
		"security_group", "address_group", "policy", "network_segment_range", "metering_label", "flavor", "service_profile"}
	for _, name := range order {
		path := "networks"
		if i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == name }); i >= 0 {
			path = kinds[i].path
		}
		for _, id := range slices.Backward(r.g.live[name]) {
			if !slices.Contains(r.g.live["gone"], id) {
				r.both(request{who: "admin", method: "DELETE", path: "/" + path + "/" + id}, false)
			}
		}
	}
}

// both sends a request to both and notes what differs; false: only one of them did it.
func (r *run) both(q request, sorted bool) ([2]*answer, bool) {
	var a [2]*answer
	for i := range a {
		var err error
		if a[i], err = r.p.send(i, q, r.headers[q.who]); err != nil {
			r.t.Fatalf("%s: %s: %v", []string{"Weft", "Neutron"}[i], q, err)
		}
	}
	r.sent++
	w, n := a[0], a[1]
	done := func(a *answer) bool { return a.status < 300 }
	refused := func(a *answer) bool { return a.status >= 400 && a.status < 500 }
	if n.status >= 500 {
		r.faulty++
		return a, q.method == "GET" || !done(w)
	}
	what := q.method + " " + shape(q.path)
	switch {
	case refused(w) && refused(n) && (w.status != n.status || w.fault() != n.fault()):
		what = fmt.Sprintf("%s: %d %s / %d %s", what, w.status, w.fault(), n.status, n.fault())
		if reason, _ := meant(what, q, w, n); reason == "" {
			r.reasons[what] = q
		}
		return a, true
	case w.status != n.status:
		r.note(fmt.Sprintf("%s: status %d %s / %d %s", what, w.status, w.fault(), n.status, n.fault()), q, a)
		return a, q.method == "GET" || done(w) == done(n)
	case done(w):
		where := ""
		if sorted && uniquelyNamed(w.body) && uniquelyNamed(n.body) {
			where = "sorted"
		} else if sorted {
			return a, true
		}
		for _, d := range r.p.compare(where, w.body, n.body) {
			r.note(what+": "+d, q, a)
		}
	}
	return a, true
}

// uniquelyNamed says whether sorting by name leaves one order.
func uniquelyNamed(body any) bool {
	seen := map[string]bool{}
	o, _ := body.(object)
	for _, v := range o {
		list, _ := v.([]any)
		for _, e := range list {
			e, _ := e.(object)
			name, _ := e["name"].(string)
			if e["rel"] == nil && (name == "" || seen[name]) {
				return false
			}
			seen[name] = true
		}
	}
	return true
}

// shape is a path without identifiers.
func shape(path string) string {
	path, query, _ := strings.Cut(path, "?")
	parts := strings.Split(path, "/")
	for i, p := range parts {
		if strings.HasPrefix(p, "ref.") || p == absent || len(p) == 32 {
			parts[i] = "ID"
		}
	}
	if query != "" {
		parts = append(parts, "?")
	}
	return strings.Join(parts, "/")
}

func (r *run) note(what string, q request, a [2]*answer) {
	if reason, _ := meant(what, q, a[0], a[1]); reason != "" {
		return
	}
	if r.found[what] == 0 {
		text := func(a *answer) string { return fmt.Sprintf("%d %.700s", a.status, a.text) }
		r.t.Errorf("%s\n  %s\n  Weft:    %s\n  Neutron: %s", what, q, text(a[0]), text(a[1]))
	}
	r.found[what]++
}

func (r *run) report() {
	r.t.Logf("%d requests to each; %d of them Neutron answered with a fault of its own; %d differences", r.sent, r.faulty, len(r.found))
	for _, k := range slices.SortedFunc(maps.Keys(r.found), func(a, b string) int {
		return cmp.Or(r.found[b]-r.found[a], strings.Compare(a, b))
	}) {
		r.t.Logf("%d times %s", r.found[k], k)
	}
	for _, k := range slices.Sorted(maps.Keys(r.reasons)) {
		r.t.Logf("refused for another reason: %s\n  %s", k, r.reasons[k])
	}
}
