package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
)

// TestOddValues sends every attribute of the services' resources every kind of value: none may be the server's fault.
func TestOddValues(t *testing.T) {
	e := newEnv(t, nil)
	external, internal, subnet := scoped(e)
	router := e.create("router", object{"external_gateway_info": object{"network_id": external}, "enable_ndp_proxy": true})["id"].(string)
	e.must(200, "PUT", "/routers/"+router+"/add_router_interface", object{"subnet_id": subnet})
	port := e.create("port", object{"network_id": internal})["id"].(string)
	label := e.must(201, "POST", "/metering/metering-labels", object{"metering_label": object{}})["id"].(string)
	e.create("subnet", object{"network_id": internal, "ip_version": 4, "cidr": "10.0.0.0/24"}) // what a local IP is of
	local := e.create("local_ip", object{"network_id": internal})["id"].(string)
	values := []any{nil, true, 0, -1, 1.5, 1e300, "", "x", "PARENT", "10.0.0.0/8", "::", "fd00::/64", net0, port, router, []any{}, []any{nil}, []any{port, port},
		object{}, object{"a": nil}, object{"device_mac_address": 7}, "\u0000\"\\"}
	ran := 0
	for _, r := range []struct {
		path, name string
		base       object
		attrs      []string
	}{
		{"/metering/metering-labels", "metering_label", object{}, []string{"name", "description", "shared", "project_id"}},
		{"/metering/metering-label-rules", "metering_label_rule", object{"metering_label_id": label, "direction": "ingress", "remote_ip_prefix": "10.1.0.0/16"},
			[]string{"metering_label_id", "direction", "excluded", "remote_ip_prefix", "source_ip_prefix", "destination_ip_prefix"}},
		{"/flavors", "flavor", object{"service_type": "FLAVORS"}, []string{"name", "description", "service_type", "enabled", "service_profiles"}},
		{"/service_profiles", "service_profile", object{"metainfo": "m"}, []string{"description", "driver", "metainfo", "enabled"}},
		{"/log/logs", "log", object{"resource_type": "security_group"}, []string{"name", "resource_type", "resource_id", "event", "target_id", "enabled"}},
		{"/local_ips", "local_ip", object{"network_id": internal}, []string{"name", "network_id", "local_port_id", "local_ip_address", "ip_mode"}},
		{"/local_ips/" + local + "/port_associations", "port_association", object{"fixed_port_id": port}, []string{"fixed_port_id", "fixed_ip"}},
		{"/ndp_proxies", "ndp_proxy", object{"router_id": router, "port_id": port}, []string{"router_id", "port_id", "ip_address", "name"}},
		{"/default-security-group-rules", "default_security_group_rule", object{"direction": "ingress"}, []string{"direction", "ethertype", "protocol",
			"port_range_min", "port_range_max", "remote_ip_prefix", "remote_group_id", "remote_address_group_id", "used_in_default_sg", "used_in_non_default_sg"}},
		{"/ports", "port", object{"network_id": internal, "binding:vnic_type": "direct-physical"}, []string{"hints", "hardware_offload_type", "binding:profile"}},
		{"/networks", "network", object{}, []string{"vlan_transparent", "is_default"}},
		{"/routers", "router", object{}, []string{"flavor_id", "enable_ndp_proxy"}},
		{"/flavors/" + net0 + "/service_profiles", "service_profile", object{}, []string{"id"}},
	} {
		for _, attr := range r.attrs {
			for _, v := range values {
				body := object{attr: v}
				for k, b := range r.base {
					if k != attr {
						body[k] = b
					}
				}
				b, err := json.Marshal(object{r.name: body})
				if err != nil {
					t.Fatal(err)
				}
				code, answer, _ := e.raw("POST", "/v2.0"+r.path, b, nil)
				if ran++; code >= 500 {
					t.Errorf("POST %s %s: %d %s", r.path, b, code, answer)
				}
				if code != 201 {
					continue
				}
				var made map[string]object
				if err := json.Unmarshal(answer, &made); err != nil {
					t.Fatalf("POST %s %s answers %s: %v", r.path, b, answer, err)
				}
				if id, ok := made[r.name]["id"].(string); ok {
					code, answer, _ := e.raw("PUT", "/v2.0"+r.path+"/"+id, b, nil)
					if code >= 500 {
						t.Errorf("PUT %s %s: %d %s", r.path, b, code, answer)
					}
					if code, answer, _ := e.raw("DELETE", "/v2.0"+r.path+"/"+id, nil, nil); code != 204 {
						t.Errorf("DELETE %s/%s: %d %s", r.path, id, code, answer)
					}
				}
			}
		}
	}
	for _, path := range collections {
		for _, q := range []string{"id=x", "name=%00", "enabled=maybe", "ip_address=::", "sort_key=id&sort_dir=asc&limit=1", "marker=" + net0, "fields=id&fields=nothing", "ip_version=x"} {
			if code, answer, _ := e.raw("GET", fmt.Sprintf("/v2.0/%s?%s", path, q), nil, nil); code >= 500 {
				t.Errorf("GET %s?%s: %d %s", path, q, code, answer)
			}
		}
	}
	if ran < 1000 {
		t.Errorf("only %d requests", ran)
	}
}

// TestMalformedOnce: a body that is no JSON is the same fault however often it is looked at, in the words of either of Neutron's readers.
func TestMalformedOnce(t *testing.T) {
	e := newEnv(t, nil)
	policy := e.must(201, "POST", "/qos/policies", object{"policy": object{"name": "q"}})["id"].(string)
	for path, want := range map[string]string{
		"/v2.0/networks/" + e.create("network", object{})["id"].(string): "Body contains invalid data",
		"/v2.0/qos/policies/" + policy:                                   "Malformed request body: Cannot understand JSON.",
	} {
		if code, answer, _ := e.raw("PUT", path, []byte("{"), nil); code != 400 || !bytes.Contains(answer, []byte(want)) {
			t.Errorf("PUT %s: %d %s, want %q", path, code, answer, want)
		}
	}
}
