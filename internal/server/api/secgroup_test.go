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
