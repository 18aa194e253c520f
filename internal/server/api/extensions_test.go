package api_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
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
	is(warnings("PUT", "/ports/"+leg, object{"port": object{"admin_state_up": false}}, 200), "service ports")
	is(warnings("POST", "/metering/metering-labels", object{"metering_label": object{"name": "m"}}, 201), "metering")
	is(warnings("POST", "/log/logs", object{"log": object{"resource_type": "security_group"}}, 201), "logging")
	is(warnings("POST", "/routers", object{"router": object{"ha": true}}, 201), "high availability")
	for _, u := range promise.InUse(e.writer.Snapshot()) {
		if want := map[string]int{"QoS": 4, "network types": 1, "trunks": 1, "metering": 1, "logging": 1, "high availability": 1, "external DNS": 2, "service ports": 1}[u.Name]; u.Objects != want {
			t.Errorf("%d objects ask for %s, want %d", u.Objects, u.Name, want)
		}
	}
	is(warnings("POST", "/networks", object{"network": object{"dns_domain": "<user_name>.<project_id>.example.org."}}, 201), "external DNS")
	e.refused(400, "HTTPBadRequest", "POST", "/networks", object{"network": object{"dns_domain": "<nobody>.example.org."}})
}

// TestWarningsOfWhatIsInherited: what an object asks for by another one, by an action, or by being made along the way.
func TestWarningsOfWhatIsInherited(t *testing.T) {
	e := newEnv(t, nil)
	var h http.Header
	says := func(want string) {
		t.Helper()
		var got []string
		for _, w := range h["Warning"] {
			name, _, _ := strings.Cut(strings.TrimPrefix(w, `299 weft "`), ":")
			got = append(got, name)
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("warnings about %q, want %q", got, want)
		}
	}
	ask := func(code int, method, path string, body object) object {
		t.Helper()
		b, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		var got int
		var answer []byte
		if got, answer, h = e.raw(method, "/v2.0"+path, b, nil); got != code {
			t.Fatalf("%s %s: %d %s", method, path, got, answer)
		}
		var out map[string]object
		_ = json.Unmarshal(answer, &out) // an action's answer has no envelope
		for _, v := range out {
			return v
		}
		return nil
	}
	policy := e.must(201, "POST", "/qos/policies", object{"policy": object{"name": "p"}})["id"]
	net := ask(201, "POST", "/networks", object{"network": object{"qos_policy_id": policy, "dns_domain": "example.org.", "router:external": true}})["id"].(string)
	says("external DNS, QoS")
	ask(201, "POST", "/subnets", object{"subnet": object{"network_id": net, "ip_version": 4, "cidr": "203.0.113.0/24"}})
	ask(201, "POST", "/ports", object{"ports": []object{{"network_id": net}, {"network_id": net, "dns_name": "a"}}})
	says("QoS, external DNS")
	ask(201, "POST", "/floatingips", object{"floatingip": object{"floating_network_id": net}})
	says("QoS")
	r := ask(201, "POST", "/routers", object{"router": object{"name": "r"}})["id"].(string)
	says("")
	ask(200, "PUT", "/routers/"+r, object{"router": object{"external_gateway_info": object{"network_id": net}}})
	says("QoS")
	gateway := e.list("/ports?device_owner=network:router_gateway")[0].(object)["id"].(string)
	ask(200, "PUT", "/ports/"+gateway, object{"port": object{"admin_state_up": false}})
	says("service ports")

	inside := e.network("inside")
	e.subnet(inside, "10.0.0.0/24", nil)
	port := e.create("port", object{"network_id": inside})
	for option, want := range map[string]string{"mtu": "", "no-such": "DHCP options", "tag:x": "DHCP options"} {
		ask(200, "PUT", "/ports/"+port["id"].(string), object{"port": object{"extra_dhcp_opts": []object{{"opt_name": "mtu", "opt_value": nil}}}})
		ask(201, "POST", "/ports", object{"port": object{"network_id": inside, "extra_dhcp_opts": []object{{"opt_name": option, "opt_value": "1400"}}}})
		says(want)
	}
	ask(200, "PUT", "/ports/"+port["id"].(string), object{"port": object{"extra_dhcp_opts": []object{{"opt_name": "dns-server", "opt_value": "10.0.0.1", "ip_version": 6}}}})
	says("DHCP options")
	ask(200, "PUT", "/ports/"+port["id"].(string), object{"port": object{"binding:vnic_type": "baremetal"}})
	says("bare metal")

	sub := e.create("port", object{"network_id": inside})["id"]
	trunk := ask(201, "POST", "/trunks", object{"trunk": object{"port_id": port["id"]}})["id"].(string)
	ask(200, "PUT", "/trunks/"+trunk+"/add_subports", object{"sub_ports": []object{{"port_id": sub, "segmentation_id": 5, "segmentation_type": "vlan"}}})
	says("trunks")
	ask(200, "PUT", "/trunks/"+trunk+"/remove_subports", object{"sub_ports": []object{{"port_id": sub}}})
	says("")
}

// TestWarningsOfScopes: whoever makes a router join address scopes is told that it forwards between them.
func TestWarningsOfScopes(t *testing.T) {
	e := newEnv(t, nil)
	told := func(method, path string, body object) bool {
		t.Helper()
		b, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		got, answer, h := e.raw(method, "/v2.0"+path, b, nil)
		if got >= 300 {
			t.Fatalf("%s %s: %d %s", method, path, got, answer)
		}
		return strings.Contains(strings.Join(h["Warning"], ""), `"address scopes: `)
	}
	scope := func() any {
		return e.must(201, "POST", "/address-scopes", object{"address_scope": object{"name": "s", "ip_version": 4}})["id"]
	}
	one, two := scope(), scope()
	pool := func(prefix string, scope any) string {
		return e.must(201, "POST", "/subnetpools", object{"subnetpool": object{"name": "p", "prefixes": []string{prefix}, "default_prefixlen": 24, "address_scope_id": scope}})["id"].(string)
	}
	first, second := pool("10.1.0.0/16", one), pool("10.2.0.0/16", one)
	r := e.create("router", object{"name": "r"})["id"].(string)
	var subnets []string
	for _, p := range []string{first, second} {
		s := e.must(201, "POST", "/subnets", object{"subnet": object{"network_id": e.network(p), "ip_version": 4, "subnetpool_id": p}})["id"].(string)
		if told("PUT", "/routers/"+r+"/add_router_interface", object{"subnet_id": s}) {
			t.Error("told of a router in one scope")
		}
		subnets = append(subnets, s)
	}
	if told("PUT", "/subnetpools/"+second, object{"subnetpool": object{"name": "x"}}) || !told("PUT", "/subnetpools/"+second, object{"subnetpool": object{"address_scope_id": two}}) {
		t.Error("a pool that goes into another scope is told of, and a new name is not")
	}
	if told("PUT", "/routers/"+r+"/remove_router_interface", object{"subnet_id": subnets[1]}) {
		t.Error("told of an interface that goes")
	}
	if !told("PUT", "/routers/"+r+"/add_router_interface", object{"subnet_id": subnets[1]}) {
		t.Error("not told of an interface in another scope")
	}
	for _, u := range promise.InUse(e.writer.Snapshot()) {
		if u.Name == "address scopes" && u.Objects == 1 {
			return
		}
	}
	t.Error("status does not count the router")
}
