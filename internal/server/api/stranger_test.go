package api_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/weft-cloud/weft/internal/server/api"
	"github.com/weft-cloud/weft/internal/server/identity"
	"github.com/weft-cloud/weft/internal/server/policy"
)

// TestForeignNetworkIsNotFound: whether something may be put on a network is asked before what its attributes are under, and before quota, so that a
// network of others is not found in whatever way one asks (neutron/pecan_wsgi/hooks/ownership_validation.py).
func TestForeignNetworkIsNotFound(t *testing.T) {
	e := newEnv(t, nil)
	own := e.as("p1")
	n := own.create("network", object{"name": "own"})["id"].(string)
	ext := e.create("network", object{"router:external": true})["id"].(string)
	const absent = "00000000-0000-4000-8000-000000000000"
	stranger := e.as("p2")
	for _, more := range []object{
		{}, {"mac_address": "fa:16:3e:00:00:09"}, {"fixed_ips": []any{object{"ip_address": "10.0.0.9"}}}, {"binding:host_id": "h"}, {"port_security_enabled": false},
		{"device_owner": "network:dhcp"}, {"allowed_address_pairs": []any{object{"ip_address": "10.0.0.9"}}},
	} {
		for id, want := range map[string]struct {
			code int
			typ  string
		}{n: {404, "NetworkNotFound"}, absent: {404, "NetworkNotFound"}, ext: {403, "HTTPForbidden"}} {
			port := object{"network_id": id}
			for k, v := range more {
				port[k] = v
			}
			stranger.refused(want.code, want.typ, "POST", "/ports", object{"port": port})
		}
	}
	own.refused(403, "PolicyNotAuthorized", "POST", "/ports", object{"port": object{"network_id": n, "binding:host_id": "h"}})
	stranger.refused(404, "NetworkNotFound", "POST", "/subnets",
		object{"subnet": object{"network_id": n, "ip_version": 4, "cidr": "10.0.0.0/24", "service_types": []string{"compute:nova"}}})
}

// TestStrangersLearnNothing: what tells of others is refused in the same words whether it is there or not, and lists name the caller alone.
func TestStrangersLearnNothing(t *testing.T) {
	e := newEnv(t, nil)
	own, stranger := e.as("p1"), e.as("p2")
	n := own.create("network", object{"name": "own"})["id"].(string)
	r := own.create("router", object{"name": "own"})["id"].(string)
	ext := e.create("network", object{"router:external": true})["id"].(string)
	e.create("subnet", object{"network_id": ext, "ip_version": 4, "cidr": "203.0.113.0/24"})
	const absent = "00000000-0000-4000-8000-000000000000"
	for _, path := range []string{"/networks/" + n + "/dhcp-agents", "/networks/" + absent + "/dhcp-agents", "/routers/" + r + "/l3-agents", "/routers/" + absent + "/l3-agents"} {
		stranger.refused(403, "PolicyNotAuthorized", "GET", path, nil)
		own.refused(403, "PolicyNotAuthorized", "GET", path, nil)
	}
	for _, project := range []string{"p1", "nobody"} {
		stranger.refused(403, "AdminRequired", "GET", "/quotas/"+project+"/details.json", nil)
		stranger.refused(403, "NotAuthorized", "GET", "/auto-allocated-topology/"+project+"?fields=dry-run", nil)
	}
	_, pools := stranger.do("GET", "/floatingip_pools", nil)
	list := pools["floatingip_pools"].([]any)
	if len(list) != 1 || list[0].(object)["project_id"] != "p2" || list[0].(object)["tenant_id"] != "p2" {
		t.Errorf("pools as p2 sees them: %v", list)
	}
	if code, body, _ := e.as("").raw("GET", "/v2.0/quotas/tenant", nil, nil); code != 401 { // the helper's identity knows nobody without a project
		t.Errorf("quotas/tenant: %d %s", code, body)
	}
	own.create("port", object{"network_id": n, "name": "bare"})
	_, ports := own.do("GET", "/ports?ip_allocation=immediate&fields=name", nil)
	if got := ports["ports"].([]any); len(got) != 1 {
		t.Errorf("ports by ip_allocation: %v", got)
	}
	if _, ports = own.do("GET", "/ports?ip_allocation=deferred", nil); len(ports["ports"].([]any)) != 0 {
		t.Errorf("ports by another ip_allocation: %v", ports)
	}
	if code, body, _ := own.raw("GET", "/v2.0/ports?sort_key=ip_allocation&sort_dir=desc", nil, nil); code != 200 || !strings.Contains(string(body), `"bare"`) {
		t.Errorf("sorted by ip_allocation: %d %s", code, body)
	}
}

// TestListsByNewDefaults: of what is nobody's or the caller's own, lists are shortened by policy and not refused, as Neutron filters what it found.
func TestListsByNewDefaults(t *testing.T) {
	e := newEnv(t, nil)
	ext := e.create("network", object{"router:external": true})["id"].(string)
	e.create("subnet", object{"network_id": ext, "ip_version": 4, "cidr": "203.0.113.0/24"})
	engine, _, err := policy.New(policy.Options{EnforceNewDefaults: true})
	if err != nil {
		t.Fatal(err)
	}
	e.handler = api.New(api.Deps{Writer: e.writer, Rules: e.rules, Identity: headerIdentity{}, Policy: engine, Log: slog.New(slog.DiscardHandler), NewID: randomUUID})
	for _, c := range []struct {
		roles, list string
		want        int
	}{
		{"reader", "floatingip_pools", 1}, {"other", "floatingip_pools", 0}, {"reader", "service-providers", 4}, {"other", "service-providers", 0},
		{"reader", "availability_zones", 0},
	} {
		one := *e
		one.headers = map[string]string{"X-Project-Id": "p1", "X-Roles": c.roles}
		code, body := one.do("GET", "/"+c.list, nil)
		n := -1
		for _, list := range body {
			if list, ok := list.([]any); ok {
				n = len(list)
			}
		}
		if code != 200 || n != c.want {
			t.Errorf("%s as %s: %d with %d rows, want 200 with %d", c.list, c.roles, code, n, c.want)
		}
	}
}

// unscoped is a token of a user alone, without a project or a role.
type unscoped struct{ headerIdentity }

func (unscoped) Authenticate(*http.Request) (*identity.Caller, error) {
	return &identity.Caller{UserID: "user", IsAdminProject: true}, nil
}

// TestTokenWithoutProject: it makes nothing, for that would belong to nobody, and sees nothing of others.
func TestTokenWithoutProject(t *testing.T) {
	e := newEnv(t, nil)
	e.as("p1").create("network", object{"name": "own"})
	engine, _, err := policy.New(policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	e.handler = api.New(api.Deps{Writer: e.writer, Rules: e.rules, Identity: unscoped{}, Policy: engine, Log: slog.New(slog.DiscardHandler), NewID: randomUUID})
	for plural, one := range map[string]string{"networks": "network", "routers": "router", "security-groups": "security_group", "address-groups": "address_group", "subnetpools": "subnetpool"} {
		body := object{"name": "n", "prefixes": []string{"10.0.0.0/16"}}
		if one != "subnetpool" {
			delete(body, "prefixes")
		}
		e.refused(400, "HTTPBadRequest", "POST", "/"+plural, object{one: body})
		e.refused(400, "HTTPBadRequest", "POST", "/"+plural, object{one + "s": []any{body}})
		body["project_id"] = ""
		e.refused(400, "HTTPBadRequest", "POST", "/"+plural, object{one: body})
	}
	e.refused(400, "HTTPBadRequest", "GET", "/auto-allocated-topology/None", nil)
	e.refused(400, "QuotaMissingTenant", "GET", "/quotas/tenant", nil)
	if got := e.list("/networks"); len(got) != 0 {
		t.Errorf("it sees %v", got)
	}
}

// TestStrangersShareNothing: whether what one cannot share is of others or not there at all cannot be told, for every type.
func TestStrangersShareNothing(t *testing.T) {
	e := newEnv(t, nil)
	own, stranger := e.as("p1"), e.as("p2")
	for typ, made := range map[string]struct{ path, key string }{
		"network": {"/networks", "network"}, "security_group": {"/security-groups", "security_group"}, "address_group": {"/address-groups", "address_group"},
		"qos_policy": {"/qos/policies", "policy"}, "subnetpool": {"/subnetpools", "subnetpool"}, "address_scope": {"/address-scopes", "address_scope"},
	} {
		body := object{"name": "x", "project_id": "p1"}
		switch typ {
		case "subnetpool":
			body["prefixes"] = []string{"10.0.0.0/8"}
		case "address_scope":
			body["ip_version"] = 4
		}
		id := e.must(201, "POST", made.path, object{made.key: body})["id"]
		share := func(who *env, id any) string {
			code, body, _ := who.raw("POST", "/v2.0/rbac-policies",
				fmt.Appendf(nil, `{"rbac_policy": {"object_type": %q, "object_id": %q, "action": "access_as_shared", "target_tenant": "p3"}}`, typ, id), nil)
			return strings.ReplaceAll(string(body), fmt.Sprint(id), "ID") + fmt.Sprint(code)
		}
		const absent = "00000000-0000-4000-8000-000000000000"
		if a, b := share(stranger, id), share(stranger, absent); a != b || !strings.Contains(a, "InvalidInput") {
			t.Errorf("%s of others: %s\nabsent: %s", typ, a, b)
		}
		if got := share(own, id); !strings.HasSuffix(got, "201") {
			t.Errorf("%s of one's own: %s", typ, got)
		}
	}
}

// TestStrangersRouter: nobody connects a network of his with a router of others by a port that says it is its interface.
func TestStrangersRouter(t *testing.T) {
	e := newEnv(t, nil)
	own, stranger := e.as("p1"), e.as("p2")
	r := own.create("router", object{"name": "own"})["id"].(string)
	theirs := stranger.create("router", object{"name": "theirs"})["id"].(string)
	n := stranger.create("network", object{"name": "theirs"})["id"].(string)
	stranger.create("subnet", object{"network_id": n, "ip_version": 4, "cidr": "10.0.0.0/24"})
	p := stranger.create("port", object{"network_id": n})["id"].(string)
	for _, owner := range []string{"network:router_interface", "network:router_interface_distributed", "network:ha_router_replicated_interface",
		"network:router_centralized_snat", "network:router_gateway"} {
		body := object{"network_id": n, "device_owner": owner, "device_id": r}
		stranger.refused(409, "DeviceIDNotOwnedByTenant", "POST", "/ports", object{"port": body})
		stranger.refused(409, "DeviceIDNotOwnedByTenant", "POST", "/ports", object{"ports": []any{object{"network_id": n}, body}})
		stranger.refused(409, "DeviceIDNotOwnedByTenant", "PUT", "/ports/"+p, object{"port": object{"device_owner": owner, "device_id": r}})
	}
	stranger.must(200, "PUT", "/ports/"+p, object{"port": object{"device_id": r}}) // by itself it means nothing
	stranger.refused(409, "DeviceIDNotOwnedByTenant", "PUT", "/ports/"+p, object{"port": object{"device_owner": "network:router_interface"}})
	stranger.must(200, "PUT", "/ports/"+p, object{"port": object{"device_id": theirs, "device_owner": "network:router_interface"}})
	own.must(204, "DELETE", "/routers/"+r, nil) // which interfaces would keep
}

// TestPortFitsRouter: a port that is made a router's interface by hand overlaps no other, as one that add_router_interface makes.
func TestPortFitsRouter(t *testing.T) {
	e := newEnv(t, nil).as("p1")
	r := e.create("router", object{"name": "r"})["id"].(string)
	var nets []string
	for _, cidr := range []string{"10.0.0.0/24", "10.0.0.0/16", "10.1.0.0/24"} {
		n := e.create("network", object{"name": cidr})["id"].(string)
		s := e.create("subnet", object{"network_id": n, "ip_version": 4, "cidr": cidr})["id"].(string)
		if nets = append(nets, n); len(nets) == 1 {
			e.must(200, "PUT", "/routers/"+r+"/add_router_interface", object{"subnet_id": s})
		}
	}
	leg := object{"device_owner": "network:router_interface", "device_id": r}
	for _, n := range nets[:2] { // the same subnet, and one around it
		e.refused(400, "BadRequest", "POST", "/ports", object{"port": object{"network_id": n, "device_owner": leg["device_owner"], "device_id": r}})
		p := e.create("port", object{"network_id": n})["id"].(string)
		e.refused(400, "BadRequest", "PUT", "/ports/"+p, object{"port": leg})
	}
	p := e.create("port", object{"network_id": nets[2]})["id"].(string)
	e.must(200, "PUT", "/ports/"+p, object{"port": leg})
	e.must(200, "PUT", "/ports/"+p, object{"port": object{"name": "still", "device_id": r}})
	ips := e.must(200, "GET", "/ports/"+p, nil)["fixed_ips"].([]any)
	around := e.create("subnet", object{"network_id": nets[2], "ip_version": 4, "cidr": "10.0.0.0/20"})["id"]
	e.refused(400, "BadRequest", "PUT", "/ports/"+p, object{"port": object{"fixed_ips": append(ips, object{"subnet_id": around})}})
	beside := e.create("subnet", object{"network_id": nets[2], "ip_version": 4, "cidr": "10.2.0.0/24"})["id"]
	e.must(200, "PUT", "/ports/"+p, object{"port": object{"fixed_ips": append(ips, object{"subnet_id": beside})}})
}

// TestStrangersPortsInUse: what a port of others is used for, and where a subnet of others is, is not told.
func TestStrangersPortsInUse(t *testing.T) {
	e := newEnv(t, nil)
	own, stranger := e.as("p1"), e.as("p2")
	n := own.create("network", object{"name": "own"})["id"].(string)
	s := own.create("subnet", object{"network_id": n, "ip_version": 4, "cidr": "10.0.0.0/24"})["id"].(string)
	parent, sub := own.create("port", object{"network_id": n})["id"].(string), own.create("port", object{"network_id": n})["id"].(string)
	own.create("trunk", object{"port_id": parent, "sub_ports": []any{object{"port_id": sub, "segmentation_type": "vlan", "segmentation_id": 5}}})
	m := stranger.create("network", object{"name": "theirs"})["id"].(string)
	p := stranger.create("port", object{"network_id": m})["id"].(string)
	for _, id := range []string{parent, sub} {
		stranger.refused(404, "PortNotFound", "POST", "/trunks", object{"trunk": object{"port_id": id}})
		stranger.refused(404, "PortNotFound", "POST", "/trunks",
			object{"trunk": object{"port_id": p, "sub_ports": []any{object{"port_id": id, "segmentation_type": "vlan", "segmentation_id": 6}}}})
	}
	own.refused(409, "ParentPortInUse", "POST", "/trunks", object{"trunk": object{"port_id": parent}})
	ext := e.create("network", object{"router:external": true})["id"].(string)
	e.create("subnet", object{"network_id": ext, "ip_version": 4, "cidr": "203.0.113.0/24"})
	stranger.refused(404, "SubnetNotFound", "POST", "/floatingips", object{"floatingip": object{"floating_network_id": ext, "subnet_id": s}})
	own.refused(400, "InvalidInput", "POST", "/floatingips", object{"floatingip": object{"floating_network_id": ext, "subnet_id": s}})
}
