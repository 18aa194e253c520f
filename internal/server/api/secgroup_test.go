package api_test

import (
	"strings"
	"testing"
)

// A rule that cannot be, and a group that is in use, are refused in words that name what is wrong with it.
func TestSecurityGroupRefusals(t *testing.T) {
	e := newEnv(t, nil)
	group := e.must(201, "POST", "/security-groups", object{"security_group": object{"name": "g"}})["id"].(string)
	addrs := e.must(201, "POST", "/address-groups", object{"address_group": object{"name": "a", "addresses": []string{"10.0.0.0/8"}}})["id"].(string)
	e.must(201, "POST", "/security-group-rules", object{"security_group_rule": object{"security_group_id": group, "direction": "ingress", "remote_address_group_id": addrs}})
	e.create("port", object{"network_id": e.network("n"), "security_groups": []string{group}})
	said := func(fault object, words string) {
		t.Helper()
		if m, _ := fault["message"].(string); !strings.Contains(m, words) {
			t.Errorf("message %q does not say %q", fault["message"], words)
		}
	}
	said(e.refused(409, "SecurityGroupInUse", "DELETE", "/security-groups/"+group, nil), group)
	said(e.refused(409, "SecurityGroupInUse", "PUT", "/security-groups/"+group, object{"security_group": object{"stateful": false}}), group)
	said(e.refused(409, "AddressGroupInUse", "DELETE", "/address-groups/"+addrs, nil), addrs)
	for _, x := range []struct {
		typ, words string
		code       int
		attrs      object
	}{
		{"SecurityGroupRuleInvalidProtocol", "nonsense", 400, object{"protocol": "nonsense"}},
		{"SecurityGroupRuleInvalidProtocol", "256", 400, object{"protocol": "256"}},
		{"SecurityGroupProtocolRequiredWithPorts", "protocol", 400, object{"port_range_min": 1, "port_range_max": 2}},
		{"SecurityGroupInvalidPortRange", "port_range_min", 400, object{"protocol": "tcp", "port_range_min": 3, "port_range_max": 2}},
		{"SecurityGroupInvalidPortRange", "port_range_min", 400, object{"protocol": "udp", "port_range_min": 3}},
		{"SecurityGroupInvalidPortValue", "0", 400, object{"protocol": "sctp", "port_range_min": 0, "port_range_max": 2}},
		{"SecurityGroupInvalidProtocolForPort", "112", 400, object{"protocol": "112", "port_range_min": 1, "port_range_max": 2}},
		{"SecurityGroupInvalidIcmpValue", "256", 400, object{"protocol": "icmp", "port_range_min": 256}},
		{"SecurityGroupMissingIcmpType", "port-range-min", 400, object{"protocol": "icmp", "port_range_max": 1}},
		{"SecurityGroupEthertypeConflictWithProtocol", "IPv4", 400, object{"protocol": "ipv6-icmp", "ethertype": "IPv4"}},
		{"SecurityGroupRuleParameterConflict", "2001:db8::/32", 400, object{"remote_ip_prefix": "2001:db8::/32", "ethertype": "IPv4"}},
		{"SecurityGroupMultipleRemoteEntites", "remote_group_id", 400, object{"remote_ip_prefix": "10.0.0.0/8", "remote_group_id": group}},
		{"SecurityGroupRuleExists", "already exists", 409, object{"remote_address_group_id": addrs}},
	} {
		x.attrs["security_group_id"], x.attrs["direction"] = group, "ingress"
		said(e.refused(x.code, x.typ, "POST", "/security-group-rules", object{"security_group_rule": x.attrs}), x.words)
	}
}

// Rules are compared by what Neutron compares them by, and shown in one spelling.
func TestSpellingsOfRules(t *testing.T) {
	e := newEnv(t, nil)
	group := e.must(201, "POST", "/security-groups", object{"security_group": object{"name": "g"}})["id"]
	rule := func(attrs object) object {
		out := object{"security_group_id": group, "direction": "ingress"}
		for k, v := range attrs {
			out[k] = v
		}
		return out
	}
	for _, c := range []struct {
		attrs  object
		status int
		typ    string // of the refusal
		want   object
	}{
		{object{"ethertype": "IPv6", "protocol": "icmpv6"}, 201, "", object{"protocol": "ipv6-icmp"}},
		{object{"ethertype": "IPv6", "protocol": "icmp"}, 409, "SecurityGroupRuleExists", nil},
		{object{"ethertype": "IPv6", "protocol": 1, "port_range_min": 8}, 201, "", object{"protocol": "58"}},
		{object{"protocol": "tcp", "port_range_min": 1, "port_range_max": 65535}, 201, "", object{"port_range_min": nil, "port_range_max": nil}},
		{object{"protocol": "tcp"}, 409, "SecurityGroupRuleExists", nil},
		{object{"protocol": "any"}, 400, "SecurityGroupRuleInvalidProtocol", nil},
		{object{"ethertype": 4}, 400, "SecurityGroupRuleInvalidEtherType", nil},
		{object{"protocol": "udp", "remote_ip_prefix": "10.1.2.3/16"}, 201, "", object{"normalized_cidr": "10.1.0.0/16"}},
		{object{"protocol": "udp", "remote_ip_prefix": "10.1.2.0/16"}, 201, "", object{"remote_ip_prefix": "10.1.2.0/16"}},
		{object{"protocol": "udp", "remote_ip_prefix": "10.1.2.0/16"}, 409, "SecurityGroupRuleExists", nil},
		{object{"protocol": "udp"}, 201, "", nil},
		{object{"protocol": "udp", "remote_ip_prefix": "0.0.0.0/0"}, 409, "SecurityGroupRuleExists", nil},
		{object{"ethertype": "IPv6", "remote_ip_prefix": "2001:DB8::1/64"}, 201, "", object{"remote_ip_prefix": "2001:db8::1/64"}},
	} {
		body := object{"security_group_rule": rule(c.attrs)}
		if c.typ != "" {
			e.refused(c.status, c.typ, "POST", "/security-group-rules", body)
			continue
		}
		got := e.must(c.status, "POST", "/security-group-rules", body)
		for k, v := range c.want {
			if got[k] != v {
				t.Errorf("%v: %s is %v, want %v", c.attrs, k, got[k], v)
			}
		}
	}
}

func TestRulesTogether(t *testing.T) {
	e := newEnv(t, nil)
	var groups [2]any
	for i := range groups {
		groups[i] = e.must(201, "POST", "/security-groups", object{"security_group": object{"name": "g"}})["id"]
	}
	before := len(e.list("/security-group-rules"))
	rule := func(g int, protocol any) object {
		return object{"security_group_id": groups[g], "direction": "ingress", "protocol": protocol}
	}
	for typ, list := range map[string][]object{
		"DuplicateSecurityGroupRuleInPost": {rule(0, "tcp"), rule(0, 6)},
		"SecurityGroupNotSingleGroupRules": {rule(0, "tcp"), rule(1, "tcp")},
	} {
		status := 400
		if typ == "DuplicateSecurityGroupRuleInPost" {
			status = 409
		}
		e.refused(status, typ, "POST", "/security-group-rules", object{"security_group_rules": list})
	}
	if got := len(e.list("/security-group-rules")); got != before {
		t.Errorf("after refusals there are %d rules, want %d", got, before)
	}
	e.must(201, "POST", "/security-group-rules", object{"security_group_rules": []object{rule(0, "tcp"), rule(0, "udp")}})
}

// TestTypeOfPacketsInAnyCase: Neutron takes "ipv6" for IPv6, in what is made and in filters, and no other word in another case.
func TestTypeOfPacketsInAnyCase(t *testing.T) {
	e := newEnv(t, nil)
	g := e.create("security_group", object{"name": "g"})["id"].(string)
	for _, spelt := range []string{"ipv6", "IPV6", "IPv6"} {
		rule := e.create("security_group_rule", object{"security_group_id": g, "direction": "ingress", "ethertype": spelt, "protocol": 17, "port_range_min": len(spelt) + int(spelt[0]) + int(spelt[2]), "port_range_max": 900})
		if rule["ethertype"] != "IPv6" {
			t.Errorf("%s is kept as %v", spelt, rule["ethertype"])
		}
	}
	e.refused(400, "SecurityGroupRuleInvalidEtherType", "POST", "/security-group-rules", object{"security_group_rule": object{"security_group_id": g, "direction": "ingress", "ethertype": "ipv5"}})
	e.refused(400, "HTTPBadRequest", "POST", "/security-group-rules", object{"security_group_rule": object{"security_group_id": g, "direction": "INGRESS"}})
	if d := e.create("default_security_group_rule", object{"direction": "ingress", "ethertype": "ipv4", "protocol": "tcp"}); d["ethertype"] != "IPv4" {
		t.Errorf("a default rule: %v", d)
	}
}
