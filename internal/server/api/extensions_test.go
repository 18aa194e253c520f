package api_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/weft-cloud/weft/internal/server/api"
	"github.com/weft-cloud/weft/internal/server/promise"
	"github.com/weft-cloud/weft/internal/server/rules"
)

var update = flag.Bool("update", false, "write the tables of docs/extensions.md anew")

const (
	extensionsPage = "../../../docs/extensions.md"
	tablesBegin    = "<!-- from here on written by: go test ./internal/server/api -run ExtensionsPage -update -->\n"
)

// TestExtensionsPage holds the page against what the server offers and what it warns about.
func TestExtensionsPage(t *testing.T) {
	page, err := os.ReadFile(extensionsPage)
	if err != nil {
		t.Fatal(err)
	}
	head, _, found := strings.Cut(string(page), tablesBegin)
	if !found {
		t.Fatalf("%s has no line %q", extensionsPage, tablesBegin)
	}
	var tables bytes.Buffer
	if err := api.WriteExtensions(&tables); err != nil {
		t.Fatal(err)
	}
	want := head + tablesBegin + tables.String()
	if *update {
		if err := os.WriteFile(extensionsPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != string(page) {
		t.Errorf("%s is not what the server offers and warns about: go test ./internal/server/api -run ExtensionsPage -update", extensionsPage)
	}
}

// TestReferenceExtensions: what a real Neutron (Zed, Open vSwitch) lists is listed, and shows alone as in the list.
func TestReferenceExtensions(t *testing.T) {
	b, err := os.ReadFile("testdata/neutron-zed.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Extensions map[string]object }
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Extensions) != 112 {
		t.Fatalf("the recording has %d extensions", len(file.Extensions))
	}
	e := newEnv(t, func(c *rules.Config) { c.VLANTransparent = true })
	ours := map[string]object{}
	for _, x := range e.list("/extensions") {
		x := x.(object)
		ours[x["alias"].(string)] = x
	}
	for alias := range file.Extensions {
		got, listed := ours[alias]
		if !listed {
			t.Errorf("%s is not listed", alias)
		} else if one := e.show("/extensions/" + alias); one["name"] != got["name"] {
			t.Errorf("%s shows as %v alone", alias, one)
		}
	}
	for _, g := range promise.Gaps() {
		for _, alias := range g.Extensions {
			if ours[alias] == nil {
				t.Errorf("gap %s is of %s, which is not an extension", g.Name, alias)
			}
		}
	}
	if len(newEnv(t, nil).list("/extensions")) != len(ours)-1 {
		t.Error("vlan-transparent is listed where the cloud does not allow it")
	}
}

// TestWarnings: whoever asks for what nobody carries out is told so, once for each thing.
func TestWarnings(t *testing.T) {
	e := newEnv(t, nil)
	warnings := func(method, path string, body object, code int) []string {
		t.Helper()
		b, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		got, answer, h := e.raw(method, "/v2.0"+path, b, nil)
		if got != code {
			t.Fatalf("%s %s: %d %s", method, path, got, answer)
		}
		for _, w := range h["Warning"] {
			if !strings.HasPrefix(w, `299 weft "`) || !strings.HasSuffix(w, `"`) {
				t.Errorf("warning %q", w)
			}
		}
		return h["Warning"]
	}
	is := func(got []string, names ...string) {
		t.Helper()
		if len(got) != len(names) {
			t.Errorf("warnings %q, want one about each of %q", got, names)
			return
		}
		for i, n := range names {
			if !strings.Contains(got[i], `"`+n+": ") {
				t.Errorf("warning %q, want one about %s", got[i], n)
			}
		}
	}
	net := e.network("n")
	policy := e.must(201, "POST", "/qos/policies", object{"policy": object{"name": "p"}})["id"]
	is(warnings("POST", "/networks", object{"network": object{"name": "plain"}}, 201))
	is(warnings("POST", "/networks", object{"network": object{"qos_policy_id": policy}}, 201), "QoS")
	is(warnings("POST", "/networks", object{"network": object{"provider:network_type": "local"}}, 201), "network types")
	is(warnings("POST", "/ports", object{"ports": []object{{"network_id": net, "qos_policy_id": policy}, {"network_id": net, "qos_policy_id": policy}}}, 201), "QoS")
	port := e.create("port", object{"network_id": net})["id"].(string)
	is(warnings("PUT", "/ports/"+port, object{"port": object{"name": "x"}}, 200))
	is(warnings("PUT", "/ports/"+port, object{"port": object{"qos_policy_id": policy, "hints": object{"openvswitch": object{}}}}, 200), "port hints", "QoS")
	is(warnings("PUT", "/ports/"+port, object{"port": object{"name": "y"}}, 200))
	is(warnings("PUT", "/ports/"+port, object{"port": object{"qos_policy_id": nil, "hints": nil}}, 200))
	is(warnings("PUT", "/ports/"+port, object{"port": object{"dns_domain": "example.org."}}, 200), "external DNS")
	is(warnings("POST", "/networks", object{"network": object{"dns_domain": "example.org."}}, 201), "external DNS")
	is(warnings("POST", "/trunks", object{"trunk": object{"port_id": port}}, 201), "trunks")
	subnet := e.subnet(net, "10.0.0.0/24", nil)
	leg := e.must(200, "PUT", "/routers/"+e.create("router", object{"name": "r"})["id"].(string)+"/add_router_interface", object{"subnet_id": subnet})["port_id"].(string)
	is(warnings("PUT", "/ports/"+leg, object{"port": object{"name": "leg"}}, 200))
	is(warnings("PUT", "/ports/"+leg, object{"port": object{"admin_state_up": false}}, 200), "router interfaces")
	is(warnings("POST", "/metering/metering-labels", object{"metering_label": object{"name": "m"}}, 201), "metering")
	is(warnings("POST", "/log/logs", object{"log": object{"resource_type": "security_group"}}, 201), "logging")
	is(warnings("POST", "/routers", object{"router": object{"ha": true}}, 201), "high availability")
	for _, u := range promise.InUse(e.writer.Snapshot()) {
		if want := map[string]int{"QoS": 4, "network types": 1, "trunks": 1, "metering": 1, "logging": 1, "high availability": 1, "external DNS": 2, "router interfaces": 1}[u.Name]; u.Objects != want {
			t.Errorf("%d objects ask for %s, want %d", u.Objects, u.Name, want)
		}
	}
	is(warnings("POST", "/networks", object{"network": object{"dns_domain": "<user_name>.<project_id>.example.org."}}, 201), "external DNS")
	e.refused(400, "HTTPBadRequest", "POST", "/networks", object{"network": object{"dns_domain": "<nobody>.example.org."}})
}
