package api_test

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestPortFilters: fixed_ips by address, subnet and part of an address, of both families, alone and together.
func TestPortFilters(t *testing.T) {
	e := newEnv(t, nil)
	net := e.network("n")
	four, six := e.subnet(net, "10.0.0.0/24", nil), e.subnet(net, "2001:db8::/64", object{"ipv6_address_mode": "dhcpv6-stateful", "ipv6_ra_mode": "dhcpv6-stateful"})
	for name, ips := range map[string][]string{"a": {"10.0.0.11"}, "b": {"10.0.0.112", "2001:db8::b1"}, "c": {"10.0.0.20", "2001:db8::11"}, "d": {"2001:db8::d"}} {
		var fixed []object
		for _, ip := range ips {
			fixed = append(fixed, object{"ip_address": ip})
		}
		e.create("port", object{"network_id": net, "name": name, "fixed_ips": fixed})
	}
	for query, want := range map[string]string{
		"fixed_ips=ip_address%3D10.0.0.11":                                                  "a",
		"fixed_ips=ip_address%3D10.0.0.11&fixed_ips=ip_address%3D2001:db8:0::d":             "a d",
		"fixed_ips=ip_address_substr%3D0.0.11":                                              "a b",
		"fixed_ips=ip_address_substr%3D::1":                                                 "c",
		"fixed_ips=ip_address_substr%3D11&fixed_ips=subnet_id%3D" + six:                     "c",
		"fixed_ips=subnet_id%3D" + four:                                                     "a b c",
		"fixed_ips=subnet_id%3D" + six + "&fixed_ips=ip_address%3D10.0.0.20":                "",
		"fixed_ips=ip_address_substr%3D11&name=a&name=c":                                    "a c",
		"fixed_ips=ip_address%3Dnonsense":                                                   "",
		"fixed_ips=ip_address_substr%3Db1&fixed_ips=ip_address_substr%3D0.20&name=b&name=c": "b c",
	} {
		got := e.names("/ports?sort_key=name&sort_dir=asc&" + query)
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", query, got, want)
		}
	}
	fault := e.refused(400, "InvalidInput", "GET", "/ports?fixed_ips=10.0.0.11", nil)
	if !strings.Contains(fault["message"].(string), "fixed_ips") || !strings.Contains(fault["message"].(string), "ip_address=") {
		t.Errorf("%v names neither the field nor the cure", fault)
	}
}

// TestLiveMigration takes a port from one host to another by its bindings, and back.
func TestLiveMigration(t *testing.T) {
	e := newEnv(t, nil)
	e.host("one", "192.0.2.1", "dvr")
	e.host("two", "192.0.2.2", "dvr")
	e.host("three", "192.0.2.3", "dvr")
	e.setAlive("three", false)
	net := e.network("n")
	id := e.create("port", object{"network_id": net, "device_owner": "compute:nova", "device_id": "vm", "binding:host_id": "one"})["id"].(string)
	path := "/ports/" + id + "/bindings"
	status := func() object {
		out := object{}
		for _, b := range e.must(200, "GET", path, nil)["bindings"].([]any) {
			out[b.(object)["host"].(string)] = b.(object)["status"]
		}
		return out
	}
	create := func(host string) object { return object{"binding": object{"host": host, "profile": object{"x": "y"}}} }
	is := func(want object) {
		t.Helper()
		if diff := cmp.Diff(want, status()); diff != "" {
			t.Error(diff)
		}
	}
	is(object{"one": "ACTIVE"})
	b := e.must(201, "POST", path, create("two"))
	if b["status"] != "INACTIVE" || b["vif_type"] != "tap" || !cmp.Equal(b["profile"], any(object{"x": "y"})) {
		t.Errorf("a prepared binding is %v", b)
	}
	is(object{"one": "ACTIVE", "two": "INACTIVE"})
	e.refused(409, "PortBindingAlreadyExists", "POST", path, create("two"))
	e.refused(409, "PortBindingError", "POST", path, create("three"))
	e.refused(409, "PortBindingAlreadyActive", "PUT", path+"/one/activate", nil)
	e.refused(404, "PortBindingNotFound", "PUT", path+"/nowhere/activate", nil)
	e.must(200, "PUT", path+"/two/activate", nil)
	is(object{"one": "INACTIVE", "two": "ACTIVE"})
	if p := e.must(200, "GET", "/ports/"+id, nil); p["binding:host_id"] != "two" || p["status"] != "DOWN" {
		t.Errorf("after its move the port is %v on %v", p["status"], p["binding:host_id"])
	}
	e.must(204, "DELETE", path+"/one", nil)
	e.refused(404, "PortBindingNotFound", "DELETE", path+"/one", nil)
	is(object{"two": "ACTIVE"})
	e.as("somebody").refused(404, "PortNotFound", "GET", path, nil)
	e.as("somebody").refused(404, "PortNotFound", "POST", path, create("three"))
	own := e.create("port", object{"network_id": net, "project_id": "somebody", "device_owner": "compute:nova"})["id"].(string)
	e.as("somebody").refused(403, "PolicyNotAuthorized", "POST", "/ports/"+own+"/bindings", create("three"))
	none := e.create("port", object{"network_id": net})["id"].(string)
	e.refused(400, "BadRequest", "POST", "/ports/"+none+"/bindings", create("two"))
	e.must(201, "POST", path, create("one"))
	e.must(204, "DELETE", "/ports/"+id, nil)
	if n := e.writer.Snapshot().Bindings.Len(); n != 0 {
		t.Errorf("%d bindings are left of a port that is gone", n)
	}
}

// TestHeadersAndTimes: what every answer carries, and how times and revisions go on.
func TestHeadersAndTimes(t *testing.T) {
	e := newEnv(t, nil)
	n := e.create("network", object{"name": "n"})
	path := "/v2.0/networks/" + n["id"].(string)
	var seen []string
	for _, r := range []struct{ method, path, body string }{
		{"GET", path, ""}, {"GET", "/v2.0/networks", ""}, {"GET", "/v2.0/networks/nope", ""}, {"POST", "/v2.0/networks", "{"},
		{"PUT", path, `{"network": {"description": "d"}}`}, {"GET", "/v2.0/extensions", ""}, {"DELETE", path, ""},
	} {
		code, _, h := e.raw(r.method, r.path, []byte(r.body), nil)
		id := h.Get("X-Openstack-Request-Id")
		if !regexp.MustCompile(`^req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`).MatchString(id) || slices.Contains(seen, id) {
			t.Errorf("%s %s: request id %q", r.method, r.path, id)
		}
		seen = append(seen, id)
		if code != http.StatusNoContent && h.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s: %s", r.method, r.path, h.Get("Content-Type"))
		}
	}
	n = e.create("network", object{"name": "n"})
	at, err := time.Parse("2006-01-02T15:04:05Z", n["created_at"].(string))
	if err != nil || time.Since(at).Abs() > time.Minute || n["updated_at"] != n["created_at"] {
		t.Errorf("created at %v (%v), updated at %v", n["created_at"], err, n["updated_at"])
	}
	after := e.must(200, "PUT", "/networks/"+n["id"].(string), object{"network": object{"name": "m"}})
	if after["revision_number"].(float64) <= n["revision_number"].(float64) || after["created_at"] != n["created_at"] {
		t.Errorf("revision %v after %v, created at %v", after["revision_number"], n["revision_number"], after["created_at"])
	}
}

// Groups on a port whose security is off cannot be meant: 400, as in Neutron, both when it is made and later.
func TestGroupsWantPortSecurity(t *testing.T) {
	e := newEnv(t, nil)
	net := newNet(e)
	group := e.create("security_group", object{"name": "g"})["id"]
	wish := object{"port_security_enabled": false, "security_groups": []any{group}}
	e.refused(400, "PortSecurityAndIPRequiredForSecurityGroups", "POST", "/ports", object{"port": object{"network_id": net, "port_security_enabled": false, "security_groups": []any{group}}})
	port := e.create("port", object{"network_id": net})["id"].(string)
	e.refused(400, "PortSecurityAndIPRequiredForSecurityGroups", "PUT", "/ports/"+port, object{"port": wish})
}
