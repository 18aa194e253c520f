package api_test

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestFaultOrder holds which of several faults is told, as compared with a Neutron (release 21) by hand.
func TestFaultOrder(t *testing.T) {
	e := newEnv(t, nil)
	none := "00000000-0000-4000-8000-000000000000"
	n := e.create("network", object{"name": "n"})["id"].(string)
	s := e.create("subnet", object{"network_id": n, "ip_version": 4, "cidr": "10.0.0.0/24"})["id"].(string)
	r := e.create("router", object{"name": "r"})["id"].(string)
	g := e.create("security_group", object{"name": "g"})["id"].(string)
	for _, c := range []struct {
		method, path, body, want string
		code                     int
	}{
		// A project by the name that Neutron's map has for it, and a body that is none.
		{"PUT", "/networks/" + n, `{"network": {"project_id": "x"}}`, "HTTPBadRequest: Cannot update read-only attribute tenant_id", 400},
		{"POST", "/networks", `{"network": {"project_id": 7}}`, "HTTPBadRequest: Invalid input for tenant_id.", 400},
		{"POST", "/address-groups", `{"address_group": {"tenant_id": 7}}`, "HTTPBadRequest: Invalid input for project_id.", 400},
		{"DELETE", "/routers/" + none, `{`, "MalformedRequestBody", 400},
		{"PUT", "/ndp_proxies/" + none, `{"ndp_proxies": {}}`, "HTTPBadRequest: Unable to find 'ndp_proxy'", 400},
		// A body where there is none, and none where there is one.
		{"DELETE", "/routers/" + r, `{}`, "HTTPBadRequest", 400},
		{"DELETE", "/routers/" + none, `{}`, "HTTPBadRequest", 400},
		{"DELETE", "/subnets/" + none, `{}`, "SubnetNotFound", 404},
		{"DELETE", "/subnets/" + s, `{}`, "HTTPBadRequest", 400},
		{"DELETE", "/floatingips/" + none + "/port_forwardings/" + none, `{}`, "HTTPBadRequest", 400},
		{"PUT", "/routers/" + none, ``, "BadRequest", 400},
		{"PUT", "/routers/" + none, `"x"`, "BadRequest", 400},
		{"PUT", "/routers/" + none, `{}`, "HTTPBadRequest", 400},
		{"PUT", "/networks/" + none, ``, "NetworkNotFound", 404},
		{"PUT", "/networks/" + none, `{}`, "NetworkNotFound", 404},
		{"PUT", "/networks/" + none, `{"wrong": {}}`, "NetworkNotFound", 404},
		{"PUT", "/networks/" + none, `{"network": null}`, "HTTPBadRequest", 400},
		{"PUT", "/networks/" + n, `{}`, "HTTPBadRequest", 400},
		{"PUT", "/networks", `{"network": {"odd": 1}}`, "HTTPBadRequest", 400},
		{"PUT", "/security-group-rules/" + none, `{"security_group_rule": {}}`, "SecurityGroupRuleNotFound", 404},
		{"POST", "/floatingips/" + none + "/port_forwardings", `{"port_forwarding": {"external_port": "é", "internal_port": 1, "internal_ip_address": "10.0.0.1", "internal_port_id": "` + none + `", "protocol": "tcp"}}`,
			"HTTPBadRequest: Invalid input for external_port. Reason: 'é' is not an integer.", 400},
		{"POST", "/floatingips/" + none + "/port_forwardings", `{"port_forwarding": {"external_port_range": "1:2:3", "internal_port": 1, "internal_ip_address": "10.0.0.1", "internal_port_id": "` + none + `", "protocol": "tcp"}}`,
			"HTTPBadRequest: Invalid input for external_port_range. Reason: Port range must be two integers separated by a colon.", 400},
		{"POST", "/networks", `{"networks": [7]}`, "HTTPBadRequest", 400},
		{"PUT", "/security-groups/" + g, `{"security_groups": [{"odd": 1}]}`, "HTTPBadRequest: Unrecognized attribute(s) 'odd'", 400},
		{"PUT", "/security-groups/" + g, `{"security_groups": []}`, "HTTPBadRequest: Resources required", 400},
		{"PUT", "/security-groups/" + g, `{"security_groups": [{"name": 7}]}`, "HTTPBadRequest: Invalid input for name", 400},
		{"PUT", "/routers/" + r, `{"routers": []}`, "HTTPBadRequest: Bulk operation not supported", 400},
		{"PUT", "/networks/" + n, `{"networks": []}`, "HTTPBadRequest: Bulk operation not supported", 400},
		{"POST", "/qos/policies", `{"policies": [{}]}`, "HTTPBadRequest", 400},
		// Whose a thing is, also where it is nobody's.
		{"POST", "/flavors", `{"flavor": {"service_type": "ODD", "project_id": "a", "tenant_id": "b"}}`, "HTTPBadRequest", 400},
		// Of two attributes that which comes first in Neutron's maps.
		{"POST", "/flavors", `{"flavor": {"service_type": "L3_ROUTER_NAT", "enabled": {}, "service_profiles": "x"}}`, "HTTPBadRequest", 400},
		{"POST", "/routers", `{"router": {"distributed": "x", "external_gateway_info": {"a": 1}}}`, "HTTPBadRequest", 400},
		{"PUT", "/subnets/" + s, `{"subnet": {"segment_id": {}, "dns_publish_fixed_ip": "x"}}`, "InvalidInput", 400},
		{"POST", "/security-group-rules", `{"security_group_rule": {"security_group_id": "` + g + `", "direction": "ingress", "ethertype": "x", "port_range_max": {}}}`, "SecurityGroupInvalidPortValue", 400},
		// What only the rule finds, whatever the value is.
		{"POST", "/security-group-rules", `{"security_group_rule": {"security_group_id": "x", "direction": "ingress"}}`, "SecurityGroupNotFound", 404},
		{"POST", "/security-group-rules", `{"security_group_rule": {"security_group_id": "` + g + `", "direction": "ingress", "remote_address_group_id": 7}}`, "AddressGroupNotFound", 404},
		{"POST", "/security-group-rules", `{"security_group_rule": {"security_group_id": "x", "direction": "ingress", "remote_address_group_id": 7, "remote_group_id": 8}}`, "SecurityGroupMultipleRemoteEntites", 400},
		{"POST", "/security-group-rules", `{"security_group_rule": {"security_group_id": "", "direction": "ingress"}}`, "SecurityGroupNotFound", 404},
		{"POST", "/ports", `{"port": {"network_id": "` + n + `", "extra_dhcp_opts": [{"opt_name": ""}]}}`, "InvalidInput", 400},
		{"POST", "/routers", `{"router": {"flavor_id": 7}}`, "FlavorNotFound", 404},
		{"POST", "/networks", `{"network": {"dns_domain": 7}}`, "InvalidInput", 400},
		{"POST", "/networks", `{"network": {"dns_domain": "a..b."}}`, "HTTPBadRequest", 400},
		{"POST", "/networks", `{"network": {"segments": [], "provider:network_type": "vxlan"}}`, "SegmentsSetInConjunctionWithProviders", 400},
		{"PUT", "/ports/" + none + "/bindings/h", `{"binding": {"vnic_type": {}}}`, "HTTPBadRequest", 400},
		{"PUT", "/ports/" + none + "/bindings/h", `{"binding": {"status": "x"}}`, "HTTPBadRequest", 400},
		{"PUT", "/ports/" + none + "/bindings/h", `{"bin`, "MalformedRequestBody", 400},
		{"PUT", "/ports/" + none + "/bindings/h", ``, "BadRequest", 400},
		{"GET", "/ports/" + none + "/bindings?zzz=1", ``, "HTTPBadRequest", 400},
		{"POST", "/ports/" + none + "/bindings", `{"binding": {"host": ""}}`, "PortNotFound", 404},
		{"PUT", "/qos/policies/" + none + "/minimum_packet_rate_rules/" + none, `{}`, "QosPolicyNotFound", 404},
		{"PUT", "/qos/policies/" + none + "/bandwidth_limit_rules/" + none, `{}`, "HTTPBadRequest", 400},
		{"POST", "/routers/" + none + "/conntrack_helpers", `{"conntrack_helper": {"protocol": "odd", "port": 69, "helper": "tftp"}}`, "InvalidInput", 400},
		{"POST", "/local_ips", `{"local_ip": {"local_port_id": "` + none + `"}}`, "BadRequest", 400},
		// Filters, then order, then pages; of one object, too, where Neutron's core answers.
		{"GET", "/routers?zzz=1&limit=x&sort_key=q&sort_dir=asc", ``, "HTTPBadRequest", 400},
		{"GET", "/routers?limit=x", ``, "BadRequest", 400},
		{"GET", "/routers/" + none + "?zzz=1", ``, "RouterNotFound", 404},
		{"GET", "/networks/" + none + "?zzz=1", ``, "HTTPBadRequest", 400},
	} {
		code, text, _ := e.raw(c.method, "/v2.0"+c.path, []byte(c.body), nil)
		var fault struct {
			NeutronError struct{ Type, Message string }
		}
		_ = json.Unmarshal(text, &fault)
		typ, message, _ := strings.Cut(c.want, ": ") // a message may be left open, or its end
		if code != c.code || fault.NeutronError.Type != typ || !strings.HasPrefix(fault.NeutronError.Message, message) {
			t.Errorf("%s %s %s: %d %s, want %d %s", c.method, c.path, c.body, code, text, c.code, c.want)
		}
	}
	e.must(200, "PUT", "/networks/"+n, object{"network": object{"admin_state_up": "off"}})
	if up := e.show("/networks/" + n)["admin_state_up"]; up != false {
		t.Errorf("admin_state_up written as off is %v", up)
	}
}

// TestPlaceBeforePolicy puts things on networks that are not there, with attributes that policy forbids: the network is missed first.
func TestPlaceBeforePolicy(t *testing.T) {
	e := newEnv(t, nil)
	none := "00000000-0000-4000-8000-000000000000"
	member := e.as("mine")
	member.refused(404, "NetworkNotFound", "POST", "/ports", object{"port": object{"network_id": none, "binding:host_id": "h"}})
	member.refused(404, "NetworkNotFound", "POST", "/subnets", object{"subnet": object{"network_id": none, "ip_version": 4, "cidr": "10.0.0.0/24", "segment_id": none}})
	e.refused(404, "NetworkNotFound", "POST", "/ports", object{"port": object{"network_id": none, "binding:host_id": "h"}})
	member.refused(400, "HTTPBadRequest", "POST", "/flavors", object{"flavor": object{"service_type": "L3_ROUTER_NAT", "project_id": "yours"}})
	// What is wrong with a prefix is found by the rule, after policy.
	label := e.must(201, "POST", "/metering/metering-labels", object{"metering_label": object{"name": "l"}})["id"].(string)
	member.refused(403, "PolicyNotAuthorized", "POST", "/metering/metering-label-rules",
		object{"metering_label_rule": object{"metering_label_id": label, "direction": "ingress", "remote_ip_prefix": "x"}})
	e.refused(400, "HTTPBadRequest", "POST", "/metering/metering-label-rules",
		object{"metering_label_rule": object{"metering_label_id": label, "direction": "ingress", "remote_ip_prefix": "x"}})
	log := e.must(201, "POST", "/log/logs", object{"log": object{"resource_type": "security_group"}})["id"].(string)
	member.refused(404, "LogResourceNotFound", "PUT", "/log/logs/"+log, object{"log": object{"name": "x"}})
	n := member.create("network", object{"name": "n"})["id"].(string)
	member.refused(403, "PolicyNotAuthorized", "POST", "/ports", object{"port": object{"network_id": n, "binding:host_id": "h"}})
	member.refused(400, "HTTPBadRequest", "PUT", "/networks/"+n, object{"network": object{"tenant_id": "yours"}})
}
