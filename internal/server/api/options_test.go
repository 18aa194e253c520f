package api_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/api"
	"github.com/weft-cloud/weft/internal/server/policy"
	"github.com/weft-cloud/weft/internal/server/rules"
)

// TestOptions is what the options of the API change.
func TestOptions(t *testing.T) {
	e := newEnv(t, nil)
	engine, _, err := policy.New(policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	forwarded := map[string]string{"X-Forwarded-Proto": "https", "X-Forwarded-Host": "cloud", "X-Forwarded-Prefix": "/network"}
	bulk := `{"networks": [{"name": "a"}, {"name": "b"}]}`
	for _, tt := range []struct {
		name         string
		deps         api.Deps
		method, path string
		body         string
		headers      map[string]string
		code         int
		says         string
	}{
		{"proxy headers are not believed", api.Deps{}, "GET", "/", "", forwarded, 200, `"http://example.com/v2.0/"`},
		{"proxy headers are believed", api.Deps{ProxyHeaders: true}, "GET", "/", "", forwarded, 200, `"https://cloud/network/v2.0/"`},
		{"link prefix wins", api.Deps{ProxyHeaders: true, LinkPrefix: "https://net/"}, "GET", "/", "", forwarded, 200, `"https://net/v2.0/"`},
		{"bulk", api.Deps{}, "POST", "/v2.0/networks", bulk, nil, 201, `"b"`},
		{"no bulk", api.Deps{NoBulk: true}, "POST", "/v2.0/networks", bulk, nil, 400, "Bulk operation not supported"},
		{"no bulk, one", api.Deps{NoBulk: true}, "POST", "/v2.0/networks", `{"network": {"name": "c"}}`, nil, 201, `"c"`},
		{"body", api.Deps{MaxBody: 1024}, "POST", "/v2.0/networks", `{"network": {"name": "` + strings.Repeat("d", 1024) + `"}}`, nil, 413, "max_request_body_size"},
		{"filter unknown", api.Deps{}, "GET", "/v2.0/networks?colour=red", "", nil, 400, "colour"},
		{"filter passed over", api.Deps{LooseFilters: true}, "GET", "/v2.0/networks?colour=red&name=c", "", nil, 200, `"c"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := tt.deps
			d.Writer, d.Rules, d.Identity, d.Policy, d.Log, d.NewID = e.writer, e.rules, headerIdentity{}, engine, slog.New(slog.DiscardHandler), randomUUID
			r := httptest.NewRequest(tt.method, tt.path, bytes.NewReader([]byte(tt.body)))
			r.Header.Set("X-Project-Id", "p")
			for k, v := range tt.headers {
				r.Header.Set(k, v)
			}
			w := httptest.NewRecorder()
			api.New(d).ServeHTTP(w, r)
			if w.Code != tt.code || !strings.Contains(w.Body.String(), tt.says) || !json.Valid(w.Body.Bytes()) {
				t.Errorf("answered %d %s; want %d and %s", w.Code, w.Body, tt.code, tt.says)
			}
		})
	}
}

// TestCloudOptions is what the options change that rules go by.
func TestCloudOptions(t *testing.T) {
	t.Run("enable_dvr", func(t *testing.T) {
		e := newEnv(t, func(c *rules.Config) { c.NoDVR = true })
		if f := e.refused(400, "BadRequest", "POST", "/routers", object{"router": object{"distributed": true}}); !strings.Contains(f["message"].(string), "enable_dvr") {
			t.Errorf("%v does not name the option", f)
		}
		id := e.create("router", object{"distributed": false, "admin_state_up": false})["id"].(string)
		e.refused(400, "BadRequest", "PUT", "/routers/"+id, object{"router": object{"distributed": true}})
		e.must(404, "GET", "/extensions/dvr", nil)
		newEnv(t, nil).must(200, "GET", "/extensions/dvr", nil)
	})
	t.Run("allow_overlapping_ips", func(t *testing.T) {
		e := newEnv(t, func(c *rules.Config) { c.NoOverlap = true })
		var nets []string
		for _, n := range []string{"a", "b"} {
			nets = append(nets, e.create("network", object{"name": n})["id"].(string))
		}
		e.create("subnet", object{"network_id": nets[0], "ip_version": 4, "cidr": "10.0.0.0/24"})
		e.refused(400, "InvalidInput", "POST", "/subnets", object{"subnet": object{"network_id": nets[1], "ip_version": 4, "cidr": "10.0.0.0/16"}})
		e.create("subnet", object{"network_id": nets[1], "ip_version": 4, "cidr": "10.1.0.0/24"})
	})
	t.Run("default_quota", func(t *testing.T) {
		e := newEnv(t, func(c *rules.Config) { c.Quotas, c.DefaultQuota = map[model.Kind]int{model.KindNetwork: 5}, 1 })
		e.create("router", object{"name": "one"})
		e.refused(409, "OverQuota", "POST", "/routers", object{"router": object{"name": "two"}})
		e.create("network", object{"name": "one"})
		e.create("network", object{"name": "two"})
	})
	t.Run("enable_new_agents and default_availability_zones", func(t *testing.T) {
		zones := []string{"nova"}
		e := newEnv(t, func(c *rules.Config) { c.NewAgentsDown, c.DefaultZones = true, zones })
		e.host("host1", "192.0.2.1", model.ModeDVRSNAT)
		agents := e.must(200, "GET", "/agents?agent_type=L3%20agent", nil)["agents"].([]any)
		if len(agents) != 1 || agents[0].(object)["admin_state_up"] != false {
			t.Fatalf("agents are %v", agents)
		}
		hosted := func(e *env) int {
			n := e.create("network", object{"router:external": true, "provider:network_type": "flat", "provider:physical_network": "public"})["id"].(string)
			e.create("subnet", object{"network_id": n, "ip_version": 4, "cidr": "203.0.113.0/24"})
			r := e.create("router", object{"external_gateway_info": object{"network_id": n}})["id"].(string)
			return len(e.must(200, "GET", "/routers/"+r+"/l3-agents", nil)["agents"].([]any))
		}
		if n := hosted(e); n != 0 {
			t.Errorf("a router's gateway is on %d agents that are down", n)
		}
		for zone, want := range map[string]int{"nova": 1, "elsewhere": 0} {
			e := newEnv(t, func(c *rules.Config) { c.DefaultZones = []string{zone} })
			e.host("host1", "192.0.2.1", model.ModeDVRSNAT)
			if n := hosted(e); n != want {
				t.Errorf("default zone %s: the router's gateway is on %d agents, want %d", zone, n, want)
			}
		}
	})
}
