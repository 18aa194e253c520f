package compute

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weft-cloud/weft/internal/lab/osclient"
	"github.com/weft-cloud/weft/internal/lab/rest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeCloud is an identity service of one token and a Networking API of one network, for the test only.
type fakeCloud struct {
	mu    sync.Mutex
	url   string
	ports map[string]doc
	vif   string
	// subnets of net1, and the fixed IPs of ports on it.
	subnets, fixed []doc
	// active: ports become ACTIVE when the guest is booted.
	calls []string
}

func (f *fakeCloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	answer := func(code int, v any) {
		w.WriteHeader(code)
		json.NewEncoder(w).Encode(v) //nolint:errcheck // a test
	}
	if r.URL.Path == "/v3/auth/tokens" {
		w.Header().Set("X-Subject-Token", "nova-token")
		answer(201, doc{"token": doc{"expires_at": time.Now().Add(time.Hour), "catalog": []doc{{"type": "network", "endpoints": []doc{{"interface": "public", "url": f.url}}}}}})
		return
	}
	id := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	f.calls = append(f.calls, r.Method+" "+strings.TrimSuffix(r.URL.Path, id)+" "+r.Header.Get("X-Auth-Token"))
	var in struct{ Port doc }
	json.NewDecoder(r.Body).Decode(&in) //nolint:errcheck // a GET has none
	switch {
	case strings.HasPrefix(r.URL.Path, "/v2.0/networks"):
		if id == "networks" {
			answer(200, doc{"networks": []doc{{"id": "net1", "name": "red", "mtu": 1450}}})
		} else if id == "net1" {
			answer(200, doc{"network": doc{"id": id, "name": "red", "mtu": 1450}})
		} else {
			answer(404, doc{"NeutronError": doc{"message": "no such network"}})
		}
	case r.URL.Path == "/v2.0/subnets":
		if r.URL.Query().Get("network_id") != "net1" {
			answer(400, doc{"NeutronError": doc{"message": "of which network?"}})
			return
		}
		answer(200, doc{"subnets": f.subnets})
	case r.Method == "POST":
		p := in.Port
		p["id"] = fmt.Sprintf("p%d-3456789-123456789", len(f.ports)+1)
		p["mac_address"], p["status"], p["fixed_ips"] = "fa:16:3e:00:00:01", "DOWN", []doc{{"ip_address": "10.0.0.5", "subnet_id": "s"}}
		if f.fixed != nil {
			p["fixed_ips"] = f.fixed
		}
		f.ports[p["id"].(string)] = p
		answer(201, doc{"port": p})
	case r.URL.Path == "/v2.0/ports":
		out := []doc{}
		for _, p := range f.ports {
			if q := r.URL.Query().Get("device_id"); q == "" || q == p["device_id"] {
				out = append(out, p)
			}
		}
		answer(200, doc{"ports": out})
	case f.ports[id] == nil:
		answer(404, doc{"NeutronError": doc{"message": "no such port"}})
	case r.Method == "PUT":
		for k, v := range in.Port {
			f.ports[id][k] = v
		}
		f.ports[id]["binding:vif_type"] = f.vif
		answer(200, doc{"port": f.ports[id]})
	case r.Method == "DELETE":
		delete(f.ports, id)
		w.WriteHeader(204)
	default:
		answer(200, doc{"port": f.ports[id]})
	}
}

// fakeHypervisor makes a guest's port ACTIVE when it boots, unless it is mute.
type fakeHypervisor struct {
	cloud   *fakeCloud
	mute    bool
	mu      sync.Mutex
	running map[string]Guest
}

func (h *fakeHypervisor) Name(server string) string { return server }
func (h *fakeHypervisor) Boot(_ context.Context, g Guest) error {
	h.mu.Lock()
	h.running[g.Name] = g
	h.mu.Unlock()
	h.cloud.mu.Lock()
	defer h.cloud.mu.Unlock()
	if p := h.cloud.ports[g.Port]; p != nil && !h.mute {
		p["status"] = "ACTIVE"
	}
	return nil
}

func (h *fakeHypervisor) Halt(_ context.Context, g Guest) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.running, g.Name)
	return nil
}

func (h *fakeHypervisor) Running(g Guest) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, ok := h.running[g.Name]
	return ok
}
func (h *fakeHypervisor) Console(Guest) (string, error) { return "one\ntwo\nthree\n", nil }

type bench struct {
	t     *testing.T
	cloud *fakeCloud
	hv    *fakeHypervisor
	s     *Service
	deps  Deps
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, cloud: &fakeCloud{ports: map[string]doc{}, vif: "tap"}}
	srv := httptest.NewServer(b.cloud)
	t.Cleanup(srv.Close)
	b.cloud.url = srv.URL
	b.hv = &fakeHypervisor{cloud: b.cloud, running: map[string]Guest{}}
	nova := osclient.New(osclient.Credentials{AuthURL: srv.URL + "/v3", User: "nova"})
	t.Cleanup(nova.Close)
	b.deps = Deps{Path: filepath.Join(t.TempDir(), "compute.json"), Hosts: []Host{{"compute1", "192.0.2.1"}, {"compute2", "192.0.2.2"}}, Hypervisor: b.hv,
		Network: nova, NetworkURL: srv.URL, Plugged: 300 * time.Millisecond, Now: time.Now, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Authenticate: func(r *http.Request) (Caller, error) {
			token := r.Header.Get("X-Auth-Token")
			if token == "" {
				return Caller{}, rest.Errf(401, "no token")
			}
			return Caller{User: token, Project: "project-" + token, Token: token, Admin: token == "admin"}, nil
		}}
	b.open()
	t.Cleanup(func() { b.s.Close() })
	return b
}

func (b *bench) open() {
	b.t.Helper()
	s, err := New(b.deps)
	if err != nil {
		b.t.Fatal(err)
	}
	b.s = s
}

func (b *bench) do(method, path string, body any) (int, doc) {
	b.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		b.t.Fatal(err)
	}
	r := httptest.NewRequest(method, "/v2.1"+path, bytes.NewReader(raw))
	r.Header.Set("X-Auth-Token", "ann")
	w := httptest.NewRecorder()
	b.s.ServeHTTP(w, r)
	var out doc
	if w.Body.Len() > 0 {
		if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
			b.t.Fatal(err)
		}
	}
	return w.Code, out
}

// boot creates a server and waits until it is built.
func (b *bench) boot(server doc) doc {
	b.t.Helper()
	code, out := b.do("POST", "/servers", doc{"server": server})
	if code != 202 {
		b.t.Fatalf("create: %d %v", code, out)
	}
	return b.await(out["server"].(doc)["id"].(string))
}

func (b *bench) await(id string) doc {
	b.t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if _, out := b.do("GET", "/servers/"+id, nil); out["server"] != nil && out["server"].(doc)["status"] != "BUILD" {
			return out["server"].(doc)
		}
	}
	b.t.Fatal("still BUILD")
	return nil
}

func request(more ...any) doc {
	d := doc{"name": "vm", "imageRef": "i", "flavorRef": "1", "networks": []doc{{"uuid": "net1"}}}
	for i := 0; i < len(more); i += 2 {
		d[more[i].(string)] = more[i+1]
	}
	return d
}

func TestServerIsBoundAsNovaDoes(t *testing.T) {
	b := newBench(t)
	sv := b.boot(request("availability_zone", "nova:compute2"))
	if sv["status"] != "ACTIVE" || sv["OS-EXT-STS:power_state"] != 1.0 {
		t.Errorf("%v", sv)
	}
	if a := sv["addresses"].(doc)["red"].([]any)[0].(doc); a["addr"] != "10.0.0.5" || a["OS-EXT-IPS-MAC:mac_addr"] != "fa:16:3e:00:00:01" {
		t.Errorf("addresses %v", a)
	}
	var port doc
	for _, port = range b.cloud.ports {
	}
	if port["device_owner"] != "compute:nova" || port["binding:host_id"] != "compute2" || port["device_id"] != sv["id"] {
		t.Errorf("port %v", port)
	}
	var post, put string
	for _, c := range b.cloud.calls {
		switch {
		case strings.HasPrefix(c, "POST /v2.0/"):
			post = c
		case strings.HasPrefix(c, "PUT /v2.0/ports/"):
			put = c
		}
	}
	if post != "POST /v2.0/ ann" || put != "PUT /v2.0/ports/ nova-token" {
		t.Errorf("the port was made by %q and bound by %q", post, put)
	}
	if g := b.hv.running["vm"]; g.MTU != 1450 || g.Host != "compute2" || g.MAC != "fa:16:3e:00:00:01" {
		t.Errorf("guest %+v", g)
	}
	b.delete(sv["id"].(string))
	if len(b.cloud.ports) != 0 || len(b.hv.running) != 0 {
		t.Errorf("left: ports %v, guests %v", b.cloud.ports, b.hv.running)
	}
}

func (b *bench) delete(id string) {
	b.t.Helper()
	if code, _ := b.do("DELETE", "/servers/"+id, nil); code != 204 {
		b.t.Fatalf("delete: %d", code)
	}
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if code, _ := b.do("GET", "/servers/"+id, nil); code == 404 {
			return
		}
	}
	b.t.Fatal("still there")
}

func TestUsersPortStaysAndIsUnbound(t *testing.T) {
	b := newBench(t)
	b.cloud.ports["mine"] = doc{"id": "mine", "network_id": "net1", "mac_address": "fa:16:3e:00:00:02", "status": "DOWN", "device_id": ""}
	sv := b.boot(request("networks", []doc{{"port": "mine"}}))
	if sv["status"] != "ACTIVE" {
		t.Fatalf("%v", sv)
	}
	if code, out := b.do("POST", "/servers", doc{"server": request("networks", []doc{{"port": "mine"}})}); code != 409 {
		t.Errorf("the port a second time: %d %v", code, out)
	}
	b.delete(sv["id"].(string))
	if p := b.cloud.ports["mine"]; p == nil || p["device_id"] != "" || p["binding:host_id"] != "" {
		t.Errorf("port %v", p)
	}
}

func TestRefusals(t *testing.T) {
	b := newBench(t)
	for _, tc := range []struct {
		name string
		in   doc
		code int
		says string
	}{
		{"unknown host", request("availability_zone", "nova:compute9"), 400, "compute1, compute2"},
		{"unknown zone", request("availability_zone", "mars"), 400, "mars"},
		{"unknown network", request("networks", []doc{{"uuid": "net9"}}), 400, "net9"},
		{"unknown port", request("networks", []doc{{"port": "p9"}}), 400, "p9"},
		{"two interfaces", request("networks", []doc{{"uuid": "net1"}, {"uuid": "net1"}}), 400, "one interface"},
		{"unknown flavor", request("flavorRef", "99"), 400, "99"},
		{"no name", request("name", ""), 400, "name"},
		{"a name too long", request("name", strings.Repeat("x", 256)), 400, "255"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			code, out := b.do("POST", "/servers", doc{"server": tc.in})
			if code != tc.code || !strings.Contains(fmt.Sprint(out), tc.says) {
				t.Errorf("%d %v", code, out)
			}
		})
	}
}

func TestFailedBuildLeavesAServerInErrorAndNothingElse(t *testing.T) {
	for _, tc := range []struct {
		name  string
		spoil func(*bench)
		says  string
	}{
		{"binding failed", func(b *bench) { b.cloud.vif = "binding_failed" }, "binding_failed"},
		{"never plugged", func(b *bench) { b.hv.mute = true }, "still DOWN"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t)
			tc.spoil(b)
			sv := b.boot(request())
			if sv["status"] != "ERROR" || !strings.Contains(fmt.Sprint(sv["fault"]), tc.says) {
				t.Errorf("%v", sv)
			}
			if len(b.cloud.ports) != 0 || len(b.hv.running) != 0 {
				t.Errorf("left: ports %v, guests %v", b.cloud.ports, b.hv.running)
			}
			b.delete(sv["id"].(string))
		})
	}
}

func TestDeletionEndsABuild(t *testing.T) {
	b := newBench(t)
	b.hv.mute = true
	b.deps.Plugged = time.Hour
	b.s.Close()
	b.open()
	code, out := b.do("POST", "/servers", doc{"server": request()})
	if code != 202 {
		t.Fatalf("%d %v", code, out)
	}
	b.delete(out["server"].(doc)["id"].(string))
	if len(b.cloud.ports) != 0 || len(b.hv.running) != 0 {
		t.Errorf("left: ports %v, guests %v", b.cloud.ports, b.hv.running)
	}
}

func TestServersOutliveARestart(t *testing.T) {
	b := newBench(t)
	sv := b.boot(request())
	b.s.Close()
	b.open()
	if again := b.await(sv["id"].(string)); again["status"] != "ACTIVE" {
		t.Errorf("%v", again)
	}
	code, out := b.do("POST", "/servers/"+sv["id"].(string)+"/action", doc{"os-getConsoleOutput": doc{"length": 2}})
	if code != 200 || out["output"] != "two\nthree\n" {
		t.Errorf("console: %d %v", code, out)
	}
	for _, step := range [][2]string{{"os-stop", "SHUTOFF"}, {"os-start", "ACTIVE"}} {
		if code, _ := b.do("POST", "/servers/"+sv["id"].(string)+"/action", doc{step[0]: nil}); code != 202 {
			t.Errorf("%s: %d", step[0], code)
		}
		if now := b.await(sv["id"].(string)); now["status"] != step[1] {
			t.Errorf("after %s: %v", step[0], now["status"])
		}
	}
}

func TestOneProjectDoesNotSeeAnother(t *testing.T) {
	b := newBench(t)
	sv := b.boot(request())
	r := httptest.NewRequest("GET", "/v2.1/servers/"+sv["id"].(string), nil)
	r.Header.Set("X-Auth-Token", "bob")
	w := httptest.NewRecorder()
	b.s.ServeHTTP(w, r)
	if w.Code != 404 {
		t.Errorf("%d", w.Code)
	}
}

func TestMetadataIsForTheSigned(t *testing.T) {
	b := newBench(t)
	sv := b.boot(request("metadata", map[string]string{"role": "web"}))
	id := sv["id"].(string)
	mac := hmac.New(sha256.New, []byte("secret"))
	mac.Write([]byte(id))
	good := hex.EncodeToString(mac.Sum(nil))
	for _, tc := range []struct {
		name, path, signature, project string
		code                           int
		says                           string
	}{
		{"meta_data.json", "/openstack/latest/meta_data.json", good, "project-ann", 200, `"uuid":"` + id},
		{"its metadata", "/openstack/2018-08-27/meta_data.json", good, "project-ann", 200, `"meta":{"role":"web"}`},
		{"root", "/", good, "project-ann", 200, "latest"},
		{"versions", "/openstack/", good, "project-ann", 200, "2012-08-10"},
		{"EC2 listing", "/latest/meta-data/", good, "project-ann", 200, "local-ipv4\nplacement/"},
		{"EC2 value", "/latest/meta-data/local-ipv4", good, "project-ann", 200, "10.0.0.5"},
		{"EC2 directory", "/2009-04-04/meta-data/placement", good, "project-ann", 200, "availability-zone"},
		{"no such value", "/latest/meta-data/nothing", good, "project-ann", 404, "Not Found"},
		{"no key", "/latest/meta-data/public-keys", good, "project-ann", 404, "Not Found"},
		{"forged", "/", strings.Repeat("00", 32), "project-ann", 403, "signature"},
		{"unsigned", "/", "", "project-ann", 403, "signature"},
		{"another project", "/", good, "project-bob", 404, "could not be found"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", tc.path, nil)
			r.Header.Set("X-Instance-ID", id)
			r.Header.Set("X-Tenant-ID", tc.project)
			r.Header.Set("X-Instance-ID-Signature", tc.signature)
			w := httptest.NewRecorder()
			b.s.Metadata("secret").ServeHTTP(w, r)
			if w.Code != tc.code || !strings.Contains(w.Body.String(), tc.says) {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
}
