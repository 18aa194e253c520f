package api_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/weft-cloud/weft/internal/server/api"
	"github.com/weft-cloud/weft/internal/server/policy"
)

// TestFaultsOfInterfaces: the object comes before the body, also before one that is not there, and a subnet that the caller
// does not see is not found when it is to be removed either.
func TestFaultsOfInterfaces(t *testing.T) {
	e := newEnv(t, nil)
	m := e.as("member")
	n := e.create("network", object{"name": "n"})["id"].(string)
	s := e.create("subnet", object{"network_id": n, "ip_version": 4, "cidr": "10.0.0.0/24"})["id"].(string)
	r := m.create("router", object{"name": "r"})["id"].(string)
	for _, action := range []string{"/add_router_interface", "/remove_router_interface"} {
		m.refused(400, "BadRequest", "PUT", "/routers/"+r+action, nil)
		fault := e.as("stranger").refused(404, "RouterNotFound", "PUT", "/routers/"+r+action, nil)
		if want := "Router " + r + " could not be found"; fault["message"] != want {
			t.Errorf("message is %q, want %q", fault["message"], want)
		}
		m.refused(404, "SubnetNotFound", "PUT", "/routers/"+r+action, object{"subnet_id": s})
	}
	// An administrator adds another project's port: the interface is the port's project's.
	p := e.create("port", object{"network_id": n})["id"].(string)
	for _, action := range []string{"/add_router_interface", "/remove_router_interface"} {
		if got := e.must(200, "PUT", "/routers/"+r+action, object{"port_id": p})["tenant_id"]; got != "admin-project" {
			t.Errorf("%s: tenant_id is %v, want the port's", action, got)
		}
	}
}

// TestRouteAddedTwice adds one route twice in one request, which is as good as once, where an update of the router refuses it.
func TestRouteAddedTwice(t *testing.T) {
	e := newEnv(t, nil)
	n := e.create("network", object{"name": "n"})["id"].(string)
	s := e.create("subnet", object{"network_id": n, "ip_version": 4, "cidr": "10.0.0.0/24"})["id"].(string)
	r := "/routers/" + e.create("router", object{"name": "r"})["id"].(string)
	e.must(200, "PUT", r+"/add_router_interface", object{"subnet_id": s})
	twice := object{"router": object{"routes": []any{
		object{"destination": "10.7.0.0/24", "nexthop": "10.0.0.9"}, object{"destination": "10.7.0.0/24", "nexthop": "10.0.0.9"}}}}
	e.refused(400, "HTTPBadRequest", "PUT", r, twice)
	if got := e.must(200, "PUT", r+"/add_extraroutes", twice)["routes"].([]any); len(got) != 1 {
		t.Errorf("routes are %v, want one", got)
	}
	if got := e.must(200, "PUT", r+"/remove_extraroutes", twice)["routes"].([]any); len(got) != 0 {
		t.Errorf("routes are %v, want none", got)
	}
}

// TestFaultsOfQuotas holds Neutron's words about limits.
func TestFaultsOfQuotas(t *testing.T) {
	e := newEnv(t, nil)
	e.create("network", object{"name": "n"})
	for _, c := range []struct {
		quota         object
		kind, message string
	}{
		{object{"network": "x"}, "InvalidInput", "Invalid input for operation: 'x' is not an integer."},
		{object{"network": nil}, "InvalidInput", "Invalid input for operation: 'None' is not an integer."},
		{object{"network": -2}, "HTTPBadRequest", "Invalid input for network. Reason: '-2' is too small - must be at least '-1'."},
		{object{"network": 1 << 31}, "HTTPBadRequest", "Invalid input for network. Reason: '2147483648' is too large - must be no larger than '2147483647'."},
		{object{"network": "x", "tenant_id": "p"}, "HTTPBadRequest", "Unrecognized attribute(s) 'tenant_id'"},
		{object{"network": 0, "check_limit": "odd"}, "HTTPBadRequest", "Quota limit 0 for network must be greater than or equal to already used 1"},
	} {
		fault := e.refused(400, c.kind, "PUT", "/quotas/admin-project", object{"quota": c.quota})
		if fault["message"] != c.message {
			t.Errorf("%v: message is %q, want %q", c.quota, fault["message"], c.message)
		}
	}
	e.must(200, "PUT", "/quotas/admin-project", object{"quota": object{"network": 0, "force": "odd", "check_limit": 0}})
	for _, name := range []string{"tenant", "project"} {
		if got := fmt.Sprint(e.must(200, "GET", "/quotas/"+name, nil)); got != fmt.Sprintf("map[%s_id:admin-project]", name) {
			t.Errorf("/quotas/%s: %s", name, got)
		}
	}
}

// TestTagsOfAll: who sees an object may tag it, as often as he likes.
func TestTagsOfAll(t *testing.T) {
	e := newEnv(t, nil)
	n := "/networks/" + e.create("network", object{"name": "n", "shared": true})["id"].(string) + "/tags"
	m := e.as("stranger")
	if code, body, header := m.raw("PUT", "/v2.0"+n+"/red", nil, nil); code != 201 || string(body) != "null" || header.Get("Content-Type") != "application/json" {
		t.Errorf("one tag: %d %q %v", code, body, header)
	}
	var many []string
	for i := range 60 {
		many = append(many, fmt.Sprint("t", i))
	}
	m.must(200, "PUT", n, object{"tags": many})
	m.must(204, "DELETE", n+"/t7", nil)
	if got := e.must(200, "GET", n, nil)["tags"].([]any); len(got) != 59 || slices.Contains(got, any("t7")) {
		t.Errorf("tags are %v, want 59 without t7", got)
	}
	hidden := "/networks/" + e.create("network", object{"name": "h"})["id"].(string) + "/tags"
	m.refused(404, "TagResourceNotFound", "PUT", hidden+"/red", nil)
	fault := e.refused(404, "HTTPNotFound", "POST", n, object{"tags": many})
	if fault["message"] != "not supported" {
		t.Errorf("POST: %v", fault)
	}
	if code, body, _ := e.raw("POST", "/v2.0"+n, []byte("{"), nil); code != 400 || !strings.Contains(string(body), "MalformedRequestBody") {
		t.Errorf("POST of what is not JSON: %d %s", code, body)
	}
	e.refused(400, "InvalidInput", "PUT", n, []any{})
	e.refused(400, "InvalidInput", "GET", n+"/"+strings.Repeat("x", 256), nil)
}

// TestSegmentsAskPolicy: the keys of a network's segments have rules of their own, for each segment in its order; what it lacks comes last.
func TestSegmentsAskPolicy(t *testing.T) {
	e := newEnv(t, nil)
	fault := e.as("member").refused(403, "PolicyNotAuthorized", "POST", "/networks", object{"network": object{"segments": []any{
		object{"provider:segmentation_id": 1001, "provider:network_type": "vlan"}}}})
	text, _ := fault["message"].(string)
	for _, key := range []string{"network_type", "physical_network", "segmentation_id"} {
		if !strings.Contains(text, "rule:create_network:segments:provider:"+key) {
			t.Errorf("%q does not ask about %s", text, key)
		}
	}
	if !strings.HasSuffix(text, "rule:create_network:segments:provider:physical_network))) is disallowed by policy") {
		t.Errorf("%q: the key that is not there is not last", text)
	}
}

// TestRuleTypesByPolicy: who may not see types of QoS rules is shown none.
func TestRuleTypesByPolicy(t *testing.T) {
	e := newEnv(t, nil)
	if got := e.as("member").list("/qos/rule-types"); len(got) != 5 {
		t.Errorf("a member sees %v, want 5 types", got)
	}
	engine, _, err := policy.New(policy.Options{EnforceNewDefaults: true})
	if err != nil {
		t.Fatal(err)
	}
	e.handler = api.New(api.Deps{Writer: e.writer, Rules: e.rules, Identity: headerIdentity{}, Policy: engine, Log: slog.New(slog.DiscardHandler), NewID: randomUUID})
	if got := e.as("member").list("/qos/rule-types"); len(got) != 0 {
		t.Errorf("with the new defaults a member sees %v, want none", got)
	}
	e.headers = map[string]string{"X-Project-Id": "p", "X-Roles": "admin,member,reader"}
	if got := e.list("/qos/rule-types"); len(got) != 5 {
		t.Errorf("an administrator sees %v, want 5 types", got)
	}
}

// TestGatewayThatProxies: a router that gets a gateway which can proxy does so, unless the request says otherwise; another update
// leaves it as it is.
func TestGatewayThatProxies(t *testing.T) {
	e := newEnv(t, nil)
	external, _, _ := scoped(e)
	r := "/routers/" + e.create("router", object{})["id"].(string)
	for _, c := range []struct {
		update object
		want   bool
	}{
		{object{"external_gateway_info": object{"network_id": external}, "enable_ndp_proxy": false}, false},
		{object{"external_gateway_info": nil}, false},
		{object{"external_gateway_info": object{"network_id": external}}, true},
		{object{"enable_ndp_proxy": false}, false},
		{object{"name": "x"}, false},
	} {
		if got := e.must(200, "PUT", r, object{"router": c.update})["enable_ndp_proxy"]; got != c.want {
			t.Errorf("after %v enable_ndp_proxy is %v, want %v", c.update, got, c.want)
		}
	}
}

// TestDetailsAreCompact: details of a bound port are stored as they come back from the store.
func TestDetailsAreCompact(t *testing.T) {
	e := newEnv(t, nil)
	e.host("h1", "10.99.0.1", "dvr")
	n := e.create("network", object{"name": "n"})["id"].(string)
	p := e.create("port", object{"network_id": n, "binding:host_id": "h1", "device_owner": "compute:nova"})["id"].(string)
	for v := range e.writer.Snapshot().Ports.All() {
		again, err := json.Marshal(v.VIFDetails)
		if v.ID.String() == p && (err != nil || len(again) < 10 || string(again) != string(v.VIFDetails)) {
			t.Errorf("details are %s, after a restart %s (%v)", v.VIFDetails, again, err)
		}
	}
}

// TestFaultsOfSchedulers: whom policy keeps from the schedulers learns nothing of agents, and faults name what was sent.
func TestFaultsOfSchedulers(t *testing.T) {
	e := newEnv(t, nil)
	e.host("h1", "10.99.0.1", "dvr_snat")
	m := e.as("member")
	for _, c := range []struct{ typ, below, action, key, message string }{
		{"DHCP agent", "/dhcp-networks", "dhcp-network", "network_id", "Network x could not be found."},
		{"L3 agent", "/l3-routers", "l3-router", "router_id", "Router x could not be found"},
	} {
		var path string
		for _, a := range e.list("/agents") {
			if a := a.(object); a["agent_type"] == c.typ {
				path = "/agents/" + a["id"].(string) + c.below
			}
		}
		for _, a := range []struct {
			method, path, rule string
			body               any
		}{{"GET", path, "get_" + c.action + "s", nil}, {"POST", path, "create_" + c.action, object{c.key: net0}}, {"DELETE", path + "/" + net0, "delete_" + c.action, nil}} {
			if fault := m.refused(403, "PolicyNotAuthorized", a.method, a.path, a.body); fault["message"] != "rule:"+a.rule+" is disallowed by policy" {
				t.Errorf("%s: %v", a.rule, fault)
			}
		}
		kind, _, _ := strings.Cut(c.message, " ")
		if fault := e.refused(404, kind+"NotFound", "POST", path, object{c.key: "x"}); fault["message"] != c.message {
			t.Errorf("message %v, want %q", fault, c.message)
		}
	}
	policy := e.must(201, "POST", "/qos/policies", object{"policy": object{"name": "q"}})["id"].(string)
	want := "QoS rule " + net0 + " for policy " + policy + " could not be found."
	if fault := e.refused(404, "QosRuleNotFound", "GET", "/qos/policies/"+policy+"/dscp_marking_rules/"+net0, nil); fault["message"] != want {
		t.Errorf("message %v, want %q", fault, want)
	}
}

// TestFaultsBeneath holds what Neutron answers beneath address groups, trunks, routers and local IPs: all offending addresses are
// named, and protocols are spelt as they are listed.
func TestFaultsBeneath(t *testing.T) {
	e := newEnv(t, nil)
	said := func(status int, kind, method, path string, body any, want string) {
		t.Helper()
		if fault := e.refused(status, kind, method, path, body); fault["message"] != want {
			t.Errorf("message %v, want %q", fault["message"], want)
		}
	}
	g := e.create("address_group", object{"name": "g", "addresses": []any{"10.0.0.0/24", "2001:db8::/64"}})["id"].(string)
	said(400, "AddressesAlreadyExist", "PUT", "/address-groups/"+g+"/add_addresses", object{"addresses": []any{"2001:DB8::5/64", "10.9.0.0/24", "10.0.0.7/24"}},
		"Addresses ['10.0.0.0/24', '2001:db8::/64'] already exist in the address group "+g+".")
	said(404, "AddressesNotFound", "PUT", "/address-groups/"+g+"/remove_addresses", object{"addresses": []any{"10.0.0.0/24", "10.8.0.1", "2001:db8:8::/64"}},
		"Addresses ['10.8.0.1/32', '2001:db8:8::/64'] not found in the address group "+g+".")
	if got := e.must(200, "GET", "/address-groups/"+g, nil)["addresses"].([]any); len(got) != 2 {
		t.Errorf("addresses are %v after refusals, want two", got)
	}
	n := e.create("network", object{"name": "n"})["id"].(string)
	e.create("subnet", object{"network_id": n, "ip_version": 4, "cidr": "10.0.0.0/24"})
	p := e.create("port", object{"network_id": n, "fixed_ips": []any{object{"ip_address": "10.0.0.8"}, object{"ip_address": "10.0.0.9"}}})["id"].(string)
	trunk := e.create("trunk", object{"port_id": p})["id"].(string)
	said(400, "InvalidInput", "PUT", "/trunks/"+trunk+"/add_subports", object{"sub_ports": "x"},
		"Invalid input for operation: Invalid data format for subports: 'x' is not a list.")
	said(400, "LocalIPNoRequestedIP", "POST", "/local_ips", object{"local_ip": object{"local_port_id": p}},
		"Specified Port "+p+" has several IPs, should specify exact IP address to use for Local IP.")
	r := e.create("router", object{"name": "r"})["id"].(string)
	helper := object{"conntrack_helper": object{"helper": "tftp", "protocol": "udp", "port": 69}}
	e.must(201, "POST", "/routers/"+r+"/conntrack_helpers", helper)
	said(400, "BadRequest", "POST", "/routers/"+r+"/conntrack_helpers", helper, "Bad conntrack_helper request: A duplicate conntrack helper entry with same "+
		"attributes already exists, conflicting values are {'router_id': '"+r+"', 'protocol': 'udp', 'port': 69, 'helper': 'tftp'}.")
	e.refused(400, "HTTPBadRequest", "POST", "/routers/"+r+"/conntrack_helpers", object{"conntrack_helper": object{"helper": "tftp", "protocol": "UDP", "port": 70}})
}

// TestQuotaOrPolicy: of networks, subnets and ports the quota is asked before policy, of all else after it.
func TestQuotaOrPolicy(t *testing.T) {
	e := newEnv(t, nil)
	m := e.as("member")
	n := e.create("network", object{"name": "n"})["id"].(string)
	e.must(200, "PUT", "/quotas/member", object{"quota": object{"network": 0, "router": 0, "subnetpool": 0, "rbac_policy": 0}})
	m.refused(409, "OverQuota", "POST", "/networks", object{"network": object{"name": "x", "shared": true}})
	m.refused(403, "PolicyNotAuthorized", "POST", "/routers", object{"router": object{"name": "x", "distributed": true}})
	m.refused(409, "OverQuota", "POST", "/routers", object{"router": object{"name": "x"}})
	pool := object{"name": "x", "prefixes": []any{"10.0.0.0/24"}, "shared": true}
	m.refused(403, "PolicyNotAuthorized", "POST", "/subnetpools", object{"subnetpool": pool})
	delete(pool, "shared")
	m.refused(409, "OverQuota", "POST", "/subnetpools", object{"subnetpool": pool})
	m.refused(403, "PolicyNotAuthorized", "POST", "/rbac-policies", object{"rbac_policy": object{"object_type": "network", "object_id": n,
		"action": "access_as_shared", "target_tenant": "*"}})
}

// TestFaultsOfPrefixes: an address is no prefix, and what is no list of prefixes is no fault of an address.
func TestFaultsOfPrefixes(t *testing.T) {
	e := newEnv(t, nil)
	fault := e.refused(400, "HTTPBadRequest", "POST", "/subnetpools", object{"subnetpool": object{"name": "p", "prefixes": []any{"10.0.0.1"}}})
	if want := "Invalid input for prefixes. Reason: '10.0.0.1' isn't a recognized IP subnet cidr, '10.0.0.1/32' is recommended."; fault["message"] != want {
		t.Errorf("message %v, want %q", fault["message"], want)
	}
	p := e.create("subnetpool", object{"name": "p", "prefixes": []any{"10.0.0.0/24"}})["id"].(string)
	for _, list := range []any{nil, "x"} {
		e.refused(400, "HTTPBadRequest", "PUT", "/subnetpools/"+p+"/add_prefixes", object{"prefixes": list})
		e.refused(400, "HTTPBadRequest", "PUT", "/subnetpools/"+p+"/remove_prefixes", object{"prefixes": list})
	}
}

// TestInterfaceKeepsSecurity: a port that becomes a router's interface shows what it was made with, and its groups are in use.
func TestInterfaceKeepsSecurity(t *testing.T) {
	e := newEnv(t, nil)
	net := newNet(e)
	e.create("subnet", object{"network_id": net, "ip_version": 4, "cidr": "10.0.0.0/24"})
	router := e.create("router", object{})["id"].(string)
	group := e.create("security_group", object{"name": "g"})["id"].(string)
	port := e.create("port", object{"network_id": net, "security_groups": []string{group}, "allowed_address_pairs": []object{{"ip_address": "10.0.0.77"}}})["id"].(string)
	e.must(200, "PUT", "/routers/"+router+"/add_router_interface", object{"port_id": port})
	p := e.must(200, "GET", "/ports/"+port, nil)
	groups, _ := p["security_groups"].([]any)
	pairs, _ := p["allowed_address_pairs"].([]any)
	if p["device_id"] != router || p["port_security_enabled"] != true || len(groups) != 1 || groups[0] != group || len(pairs) != 1 {
		t.Errorf("the interface shows %v", p)
	}
	e.refused(409, "SecurityGroupInUse", "DELETE", "/security-groups/"+group, nil)
	e.must(200, "PUT", "/routers/"+router+"/remove_router_interface", object{"port_id": port})
	e.must(204, "DELETE", "/security-groups/"+group, nil)
}
