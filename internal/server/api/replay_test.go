package api_test

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// recorded is one exchange with a real Neutron.
type recorded struct {
	Label, Method, Path string
	Status              int
	Request             any
	Response            any
	Headers             map[string]string
}

// unseen is what was done before an exchange and not recorded, by label. It returns how to undo it; nil: it stays.
var unseen = map[string]func(e *env, path string) func(){
	"error: over quota": func(e *env, _ string) func() {
		e.must(200, "PUT", "/quotas/"+e.headers["X-Project-Id"], object{"quota": object{"network": 0}})
		return func() { e.must(204, "DELETE", "/quotas/"+e.headers["X-Project-Id"], nil) }
	},
	"router remove interface": func(e *env, path string) func() {
		id := strings.Split(path, "/")[3]
		e.must(200, "PUT", "/routers/"+id, object{"router": object{"routes": []any{}}})
		for _, f := range e.list("/floatingips?router_id=" + id) {
			path := "/floatingips/" + f.(object)["id"].(string)
			for _, pf := range e.list(path + "/port_forwardings") {
				e.must(204, "DELETE", path+"/port_forwardings/"+pf.(object)["id"].(string), nil)
			}
			e.must(200, "PUT", path, object{"floatingip": object{"port_id": nil}})
		}
		return nil
	},
}

// faulty is an exchange in which the reference has a bug: it answers 500.
const faulty = "error: ports bulk create with a SLAAC subnet"

// TestReplay plays the exchanges recorded with neutron-server 21 and compares status, type of fault and the keys of
// the answers. Identifiers are translated as they appear.
func TestReplay(t *testing.T) {
	b, err := os.ReadFile("testdata/neutron-zed.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Calls []recorded }
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	e := newEnv(t, nil)
	e.host("peer-host1", "192.0.2.1", "dvr_snat")
	e.host("peer-host2", "192.0.2.2", "dvr_snat")
	public := e.create("network", object{"name": "public", "router:external": true, "is_default": true, "provider:network_type": "flat", "provider:physical_network": "public"})
	e.create("subnetpool", object{"name": "default4", "prefixes": []string{"10.200.0.0/16"}, "is_default": true, "shared": true, "default_prefixlen": 26})
	e.create("subnetpool", object{"name": "default6", "prefixes": []string{"fd00:200::/56"}, "is_default": true, "shared": true, "default_prefixlen": 64})
	tr := translator{"caa22d6f-20b0-4785-ab90-681f324949ab": public["id"].(string)}
	for i, call := range file.Calls {
		t.Run(fmt.Sprintf("%d %s", i, call.Label), func(t *testing.T) { e.t = t; tr.replay(t, e, call) })
	}
	e.t = t
	e.reloaded(t)
	if len(file.Calls) != 197 {
		t.Fatalf("%d exchanges are recorded", len(file.Calls))
	}
}

// translator maps recorded identifiers to ours.
type translator map[string]string

// word is what an identifier or an address is written in: only whole ones are translated, 203.0.113.1 is no part of 203.0.113.10.
var word = regexp.MustCompile(`[0-9A-Za-z.:_-]+`)

func (tr translator) apply(s string) string {
	return word.ReplaceAllStringFunc(s, func(w string) string {
		if to, ok := tr[w]; ok {
			return to
		}
		return w
	})
}

func (tr translator) replay(t *testing.T, e *env, c recorded) {
	path := tr.apply(c.Path)
	if path != "/" && !strings.HasPrefix(path, "/v2.0") {
		path = "/v2.0" + path
	}
	var body []byte
	switch req := c.Request.(type) {
	case nil:
	case string:
		body = []byte(req)
	default:
		b, err := json.Marshal(req)
		if err != nil {
			t.Fatal(err)
		}
		body = []byte(tr.apply(string(b)))
	}
	headers := map[string]string{}
	if c.Status == 412 {
		headers["If-Match"] = "revision_number=9999"
	}
	switch {
	case strings.Contains(c.Label, "no token"):
		headers["X-Project-Id"] = ""
	case strings.Contains(c.Label, "member"):
		headers["X-Project-Id"], headers["X-Roles"] = "c9b7f3403f0447d9afd012d833b0e4e8", "member,reader"
	}
	if before := unseen[c.Label]; before != nil {
		if after := before(e, path); after != nil {
			defer after()
		}
	}
	code, answer, _ := e.raw(c.Method, path, body, headers)
	if c.Label == faulty {
		if code != 201 {
			t.Errorf("%s %s: status %d: %s", c.Method, path, code, answer)
		}
		return
	}
	if code != c.Status {
		t.Fatalf("%s %s: status %d, recorded %d: %s", c.Method, path, code, c.Status, answer)
	}
	var got any
	if len(answer) > 0 {
		if err := json.Unmarshal(answer, &got); err != nil {
			t.Fatalf("not JSON: %v: %s", err, answer)
		}
	}
	tr.compare(t, "", c.Response, got)
}

// compare compares keys and types, types of faults, and learns identifiers.
func (tr translator) compare(t *testing.T, where string, want, got any) {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			t.Errorf("%s: %v, recorded an object", where, got)
			return
		}
		if strings.HasSuffix(where, "vif_details") || strings.HasSuffix(where, ".configurations") {
			return
		}
		tr.compareKeys(t, where, w, g)
		for k, v := range w {
			if where == ".NeutronError" && k == "message" {
				if g[k] != tr.apply(v.(string)) {
					t.Logf("message differs:\n got %v\nwant %v", g[k], v)
				}
				continue
			}
			if gv, ok := g[k]; ok {
				tr.compare(t, where+"."+k, v, gv)
			}
		}
	case []any:
		g, ok := got.([]any)
		if !ok {
			t.Errorf("%s: %v, recorded a list", where, got)
			return
		}
		if where == ".agents" {
			w, g = byKind(w), byKind(g)
		}
		for i := range min(len(w), len(g)) {
			tr.compare(t, where, w[i], g[i])
		}
	case string:
		g, ok := got.(string)
		if where == ".NeutronError.type" && got != want {
			t.Errorf("type %v, recorded %v", got, want)
		}
		if ok && len(w) == 36 && len(g) == 36 && strings.Count(w, "-") == 4 && tr[w] == "" {
			tr[w] = g
		}
		if ok && (strings.HasSuffix(where, ".mac_address") || strings.HasSuffix(where, ".ip_address")) && tr[w] == "" && w != "" {
			tr[w] = g
		}
	}
}

// byKind puts agents in the order of their kinds and hosts, which the two servers share.
func byKind(agents []any) []any {
	return slices.SortedFunc(slices.Values(agents), func(a, b any) int {
		key := func(v any) string {
			m, _ := v.(map[string]any)
			return fmt.Sprint(m["agent_type"], m["host"])
		}
		return strings.Compare(key(a), key(b))
	})
}

// newer are attributes of extensions that the recorded Neutron has not got.
var newer = []string{"hints", "hardware_offload_type"}

func (tr translator) compareKeys(t *testing.T, where string, want, got map[string]any) {
	var missing, extra []string
	for k := range want {
		if _, ok := got[k]; !ok {
			missing = append(missing, k)
		}
	}
	for k := range got {
		if _, ok := want[k]; !ok && !slices.Contains(newer, k) {
			extra = append(extra, k)
		}
	}
	if where == ".address_group" && missing == nil {
		extra = nil // Neutron's answer to a creation leaves out what it shows later; ours does not
	}
	slices.Sort(missing)
	slices.Sort(extra)
	if missing != nil || extra != nil {
		t.Errorf("%s: keys missing %v, extra %v", where, missing, extra)
	}
}
