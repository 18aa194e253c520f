package api_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/weft-cloud/weft/internal/server/api"
	"github.com/weft-cloud/weft/internal/server/policy"
)

// TestHiddenAttributesAnswerNoQuestion: whoever may not see an attribute learns it neither by asking for one value after the other nor by sorting.
func TestHiddenAttributesAnswerNoQuestion(t *testing.T) {
	e := newEnv(t, nil)
	own := e.as("p1")
	var networks []string
	for _, segment := range []int{1500, 1100, 1300} {
		networks = append(networks, e.create("network", object{"project_id": "p1", "name": fmt.Sprint(segment), "provider:network_type": "vlan",
			"provider:physical_network": "physnet1", "provider:segmentation_id": segment})["id"].(string))
	}
	e.create("port", object{"project_id": "p1", "network_id": networks[0], "binding:host_id": "compute-7"})
	own.create("router", object{"name": "r"})
	for _, c := range []struct {
		query  string
		admins int
	}{
		{"/networks?provider:segmentation_id=1100", 1}, {"/networks?provider:physical_network=physnet1", 3}, {"/networks?provider:network_type=vlan", 3},
		{"/ports?binding:host_id=compute-7", 1}, {"/ports?binding:vif_type=binding_failed", 1}, {"/routers?distributed=false", 1}, {"/routers?ha=false", 1},
		{"/networks?name=1100", -1}, {"/ports?binding:vnic_type=normal", -1}, // not hidden
	} {
		if got := len(e.list(c.query)); c.admins >= 0 && got != c.admins {
			t.Errorf("%s as administrator: %d, want %d", c.query, got, c.admins)
		}
		if got := len(own.list(c.query)); c.admins >= 0 && got != 0 || c.admins < 0 && got != 1 {
			t.Errorf("%s as member: %d rows", c.query, got)
		}
	}

	// An operator hides names of networks from all but who has the role looker, and of what is not the caller's own.
	for _, c := range []struct{ rule, want string }{
		{"role:looker", "by id"}, {"project_id:%(project_id)s", "1100 1300 1500 by id"}, {"@", "0900 1100 1300 1500"},
	} {
		e.as("p2").do("GET", "/networks", nil)
		engine, _, err := policy.New(policy.Options{Files: []policy.File{{Name: "policy.yaml", Text: []byte(`"get_network:name": "` + c.rule + `"`)}}})
		if err != nil {
			t.Fatal(err)
		}
		one := *own
		one.handler = api.New(api.Deps{Writer: e.writer, Rules: e.rules, Identity: headerIdentity{}, Policy: engine, Log: slog.New(slog.DiscardHandler), NewID: randomUUID})
		if c.rule == "role:looker" {
			e.create("network", object{"name": "0900", "shared": true})
		}
		var order []string
		for _, n := range one.list("/networks?sort_key=name&sort_dir=asc") {
			if name, ok := n.(object)["name"].(string); ok {
				order = append(order, name)
			}
		}
		got := strings.Join(order, " ")
		want := strings.TrimSpace(strings.ReplaceAll(c.want, "by id", ""))
		if got != want {
			t.Errorf("get_network:name %s: %q, want %q", c.rule, got, want)
		}
		seen := map[string]int{"role:looker": 0, "project_id:%(project_id)s": 0, "@": 1}[c.rule]
		if rows := one.list("/networks?name=0900"); len(rows) != seen {
			t.Errorf("get_network:name %s: %d networks of the name, want %d", c.rule, len(rows), seen)
		}
	}
}

// TestStrangersReferToNothing: what is another project's is told of in the words for what is not there, also where something could be made of it.
func TestStrangersReferToNothing(t *testing.T) {
	e := newEnv(t, nil)
	own, stranger := e.as("p1"), e.as("p2")
	ext := e.create("network", object{"router:external": true})["id"].(string)
	e.create("subnet", object{"network_id": ext, "ip_version": 4, "cidr": "203.0.113.0/24"})
	inside := func(e *env) (network, subnet, port, router string) {
		network = e.create("network", object{"name": "inside"})["id"].(string)
		subnet = e.create("subnet", object{"network_id": network, "ip_version": 4, "cidr": "10.0.0.0/24"})["id"].(string)
		port = e.create("port", object{"network_id": network})["id"].(string)
		router = e.create("router", object{"external_gateway_info": object{"network_id": ext}})["id"].(string)
		e.must(200, "PUT", "/routers/"+router+"/add_router_interface", object{"subnet_id": subnet})
		return network, subnet, port, router
	}
	_, subnet, port, _ := inside(own)
	network, _, mine, router := inside(stranger)
	own.create("floatingip", object{"floating_network_id": ext, "port_id": port})
	fip := stranger.create("floatingip", object{"floating_network_id": ext})["id"].(string)
	const absent = "00000000-0000-4000-8000-000000000000"
	for _, c := range []struct{ method, path, body, id string }{
		{"POST", "/ports", `{"port": {"network_id": "` + network + `", "fixed_ips": [{"subnet_id": "ID"}]}}`, subnet},
		{"PUT", "/ports/" + mine, `{"port": {"fixed_ips": [{"subnet_id": "ID"}]}}`, subnet},
		{"PUT", "/routers/" + router + "/remove_router_interface", `{"subnet_id": "ID"}`, subnet},
		{"POST", "/floatingips/" + fip + "/port_forwardings",
			`{"port_forwarding": {"protocol": "tcp", "internal_port": 1, "external_port": 2, "internal_port_id": "ID", "internal_ip_address": "10.0.0.5"}}`, port},
	} {
		var said [2]string
		for i, id := range []string{c.id, absent} {
			put := strings.NewReplacer("ID", id)
			code, body, _ := stranger.raw(c.method, "/v2.0"+put.Replace(c.path), []byte(put.Replace(c.body)), nil)
			said[i] = fmt.Sprint(code, " ", strings.ReplaceAll(string(body), id, "ID"))
			if code != 404 {
				t.Errorf("%s %s of %s: %d %s", c.method, c.path, id, code, body)
			}
		}
		if said[0] != said[1] {
			t.Errorf("%s %s tells what is there: %s, and what is not: %s", c.method, c.path, said[0], said[1])
		}
	}
}

// TestNetworkServices: whoever has the role advsvc finds everything, as Neutron's queries do, and may use it.
func TestNetworkServices(t *testing.T) {
	e := newEnv(t, nil)
	own := e.as("p1")
	service := *e
	service.headers = map[string]string{"X-Project-Id": "p3", "X-Roles": "advsvc"}
	network := own.create("network", object{"name": "n"})["id"].(string)
	own.create("subnet", object{"network_id": network, "ip_version": 4, "cidr": "10.0.0.0/24"})
	qos := e.must(201, "POST", "/qos/policies", object{"policy": object{"name": "q", "project_id": "p1"}})["id"].(string)
	group := own.create("security_group", object{"name": "g"})["id"].(string)
	other := e.as("p2").create("security_group", object{"name": "g"})["id"].(string)
	addresses := own.create("address_group", object{"name": "a", "addresses": []string{"10.9.0.0/24"}})["id"].(string)
	scope := own.create("address_scope", object{"name": "s", "ip_version": 4})["id"].(string)
	service.create("port", object{"network_id": network, "qos_policy_id": qos})
	legs := service.create("port", object{"network_id": network, "device_owner": "network:legs"})["id"].(string)
	service.refused(409, "UnsupportedPortDeviceOwner", "PUT", "/ports/"+legs, object{"port": object{"mac_address": "fa:16:3e:00:00:07"}})
	rule := object{"security_group_id": group, "direction": "ingress", "protocol": "tcp"}
	service.create("security_group_rule", rule)
	rule["remote_group_id"] = other
	service.create("security_group_rule", rule)
	delete(rule, "remote_group_id")
	rule["remote_address_group_id"] = addresses
	service.create("security_group_rule", rule)
	service.refused(400, "IllegalSubnetPoolAssociationToAddressScope", "POST", "/subnetpools",
		object{"subnetpool": object{"name": "p", "prefixes": []string{"10.0.0.0/16"}, "address_scope_id": scope}})
}

// TestEachGuardedAttributeIsAsked: what Neutron asks policy about is asked here, also where only an operator's policy.yaml has a rule for it. What has
// none falls under "default".
func TestEachGuardedAttributeIsAsked(t *testing.T) {
	e := newEnv(t, nil)
	network := e.create("network", object{"name": "n", "project_id": "p1"})["id"].(string)
	port := e.create("port", object{"network_id": network, "project_id": "p1"})["id"].(string)
	sub := e.create("port", object{"network_id": network, "project_id": "p1"})["id"].(string)
	share := `{"rbac_policy": {"object_type": "network", "object_id": "` + network + `", "action": "access_as_shared", "target_tenant": "p2"}}`
	for _, c := range []struct{ rules, method, path, body, message string }{
		{`{"create_network:mtu": "!"}`, "POST", "/networks", `{"network": {"mtu": 1400}}`, "(rule:create_network and rule:create_network:mtu)"},
		{`{"create_network:mtu": "!"}`, "POST", "/networks", `{"network": {"mtu": 0}}`, ""},
		{`{"update_network:mtu": "!"}`, "PUT", "/networks/" + network, `{"network": {"mtu": 1400}}`, "(rule:update_network and rule:update_network:mtu)"},
		{`{"create_trunk:sub_ports": "!"}`, "POST", "/trunks",
			`{"trunk": {"port_id": "` + port + `", "sub_ports": [{"port_id": "` + sub + `", "segmentation_type": "vlan", "segmentation_id": 5}]}}`,
			"(rule:create_trunk and (rule:create_trunk:sub_ports and (rule:create_trunk:sub_ports:port_id and rule:create_trunk:sub_ports:segmentation_type and rule:create_trunk:sub_ports:segmentation_id)))"},
		{`{"create_rbac_policy:object_type": "!"}`, "POST", "/rbac-policies", share,
			"((((rule:create_rbac_policy and rule:create_rbac_policy:object_type) and rule:create_rbac_policy:object_id) and rule:create_rbac_policy:target_tenant) and rule:create_rbac_policy:action)"},
		{`{"create_network:segments": "@", "default": "!"}`, "POST", "/networks", `{"network": {"segments": [{"provider:network_type": "vxlan"}]}}`,
			"(rule:create_network and (rule:create_network:segments and (rule:create_network:segments:provider:network_type and rule:create_network:segments:provider:physical_network and rule:create_network:segments:provider:segmentation_id)))"},
		{`{"create_network:segments": "@", "create_network": "@"}`, "POST", "/networks", `{"network": {"segments": [{"provider:network_type": "vxlan"}]}}`, ""},
	} {
		engine, _, err := policy.New(policy.Options{Files: []policy.File{{Name: "policy.yaml", Text: []byte(c.rules)}}})
		if err != nil {
			t.Fatal(err)
		}
		own := e.as("p1")
		own.handler = api.New(api.Deps{Writer: e.writer, Rules: e.rules, Identity: headerIdentity{}, Policy: engine, Log: slog.New(slog.DiscardHandler), NewID: randomUUID})
		code, body, _ := own.raw(c.method, "/v2.0"+c.path, []byte(c.body), nil)
		if c.message == "" && code != 201 || c.message != "" && (code != 403 || !strings.Contains(string(body), `"`+c.message+" is disallowed by policy")) {
			t.Errorf("%s, %s %s: %d %s", c.rules, c.method, c.body, code, body)
		}
	}
}

// TestHiddenOrder: sorting by what the caller may not see leaves the order of ids, whichever way.
func TestHiddenOrder(t *testing.T) {
	e := newEnv(t, nil)
	for _, name := range []string{"c", "a", "d", "b", "e"} {
		e.create("network", object{"project_id": "p1", "name": name})
	}
	engine, _, err := policy.New(policy.Options{Files: []policy.File{{Name: "policy.yaml", Text: []byte(`"get_network:name": "role:looker"`)}}})
	if err != nil {
		t.Fatal(err)
	}
	e.handler = api.New(api.Deps{Writer: e.writer, Rules: e.rules, Identity: headerIdentity{}, Policy: engine, Log: slog.New(slog.DiscardHandler), NewID: randomUUID})
	ids := func(query string) string {
		var out []string
		for _, n := range e.as("p1").list("/networks" + query) {
			out = append(out, n.(object)["id"].(string))
		}
		return strings.Join(out, " ")
	}
	want := ids("")
	for _, query := range []string{"?sort_key=name&sort_dir=asc", "?sort_key=name&sort_dir=desc"} {
		if got := ids(query); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
}
