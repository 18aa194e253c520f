package api_test

import (
	"fmt"
	"testing"
)

// TestQoSRulesAgree puts pairs of rules into a policy.
func TestQoSRulesAgree(t *testing.T) {
	e := newEnv(t, nil)
	rule := func(kind string, attrs object) object { return object{"kind": kind, "attrs": attrs} }
	tests := []struct {
		name          string
		first, second object
		status        int
	}{
		{"same direction", rule("bandwidth_limit", object{"max_kbps": 1}), rule("bandwidth_limit", object{"max_kbps": 2}), 409},
		{"other direction", rule("bandwidth_limit", object{"max_kbps": 1}), rule("bandwidth_limit", object{"max_kbps": 2, "direction": "ingress"}), 201},
		{"two marks", rule("dscp_marking", object{"dscp_mark": 8}), rule("dscp_marking", object{"dscp_mark": 10}), 409},
		{"minimum above the limit", rule("bandwidth_limit", object{"max_kbps": 1}), rule("minimum_bandwidth", object{"min_kbps": 2}), 409},
		{"limit below the minimum", rule("minimum_bandwidth", object{"min_kbps": 2}), rule("bandwidth_limit", object{"max_kbps": 1}), 409},
		{"minimum within the limit", rule("bandwidth_limit", object{"max_kbps": 2}), rule("minimum_bandwidth", object{"min_kbps": 2}), 201},
		{"any beside egress", rule("minimum_packet_rate", object{"min_kpps": 2}), rule("minimum_packet_rate", object{"min_kpps": 1, "direction": "any"}), 409},
		{"ingress beside egress", rule("minimum_packet_rate", object{"min_kpps": 2}), rule("minimum_packet_rate", object{"min_kpps": 1, "direction": "ingress"}), 201},
		{"no such mark", rule("bandwidth_limit", object{"max_kbps": 2}), rule("dscp_marking", object{"dscp_mark": 1}), 400},
		{"negative", rule("dscp_marking", object{"dscp_mark": 8}), rule("packet_rate_limit", object{"max_kpps": -1}), 400},
		{"without a rate", rule("dscp_marking", object{"dscp_mark": 8}), rule("minimum_bandwidth", object{}), 400},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			e.t = t
			policy := e.must(201, "POST", "/qos/policies", object{"policy": object{"name": "q"}})["id"].(string)
			add := func(q object, status int) {
				kind := q["kind"].(string) + "_rule"
				if code, out := e.do("POST", "/qos/policies/"+policy+"/"+kind+"s", object{kind: q["attrs"]}); code != status {
					t.Fatalf("%v: %d %v, want %d", q, code, out, status)
				}
			}
			add(tc.first, 201)
			add(tc.second, tc.status)
		})
	}
}

// TestAnyDirectionBesideOne: a minimum packet rate of any direction contradicts one of one direction, which is another fault than a second
// one of the same direction.
func TestAnyDirectionBesideOne(t *testing.T) {
	e := newEnv(t, nil)
	path := "/qos/policies/" + e.must(201, "POST", "/qos/policies", object{"policy": object{"name": "q"}})["id"].(string) + "/minimum_packet_rate_rules"
	rule := func(direction string) object {
		return object{"minimum_packet_rate_rule": object{"min_kpps": 1, "direction": direction}}
	}
	e.must(201, "POST", path, rule("egress"))
	e.refused(409, "QoSRuleParameterConflict", "POST", path, rule("any"))
	e.refused(409, "QoSRulesConflict", "POST", path, rule("egress"))
}

// TestQoSPolicyInUse deletes a policy that a network has, then that nothing has.
func TestQoSPolicyInUse(t *testing.T) {
	e := newEnv(t, nil)
	policy := e.must(201, "POST", "/qos/policies", object{"policy": object{"name": "q", "is_default": true}})["id"].(string)
	e.refused(409, "QoSPolicyDefaultAlreadyExists", "POST", "/qos/policies", object{"policy": object{"name": "r", "is_default": true}})
	n := e.create("network", object{"name": "n"})
	if n["qos_policy_id"] != policy {
		t.Fatalf("the project's default policy is %s, a new network has %v", policy, n["qos_policy_id"])
	}
	e.refused(409, "QosPolicyInUse", "DELETE", "/qos/policies/"+policy, nil)
	e.must(200, "PUT", "/networks/"+n["id"].(string), object{"network": object{"qos_policy_id": nil}})
	e.must(204, "DELETE", "/qos/policies/"+policy, nil)
}

// TestTrunk adds subports that fit and such that do not.
func TestTrunk(t *testing.T) {
	e := newEnv(t, nil)
	net := e.network("n")
	port := func() string { return e.create("port", object{"network_id": net})["id"].(string) }
	parent, sub := port(), port()
	trunk := e.create("trunk", object{"port_id": parent, "sub_ports": []object{{"port_id": sub, "segmentation_type": "vlan", "segmentation_id": 2}}})
	path := "/trunks/" + trunk["id"].(string)
	tests := []struct {
		name, port string
		tag        int
		status     int
	}{
		{"the parent", parent, 3, 409},
		{"a subport", sub, 3, 409},
		{"a tag in use", port(), 2, 409},
		{"tag 0", port(), 0, 400},
		{"tag 4095", port(), 4095, 400},
		{"no such port", "00000000-0000-4000-8000-000000000000", 3, 404},
		{"one more", port(), 3, 200},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			body := object{"sub_ports": []object{{"port_id": tc.port, "segmentation_type": "vlan", "segmentation_id": tc.tag}}}
			if code, out := e.do("PUT", path+"/add_subports", body); code != tc.status {
				t.Errorf("%d %v, want %d", code, out, tc.status)
			}
		})
	}
	e.refused(409, "PortInUseAsSubPort", "DELETE", "/ports/"+sub, nil)
	e.refused(409, "PortInUseAsTrunkParent", "DELETE", "/ports/"+parent, nil)
	shown := e.must(200, "GET", "/ports/"+parent, nil)["trunk_details"].(object)["sub_ports"].([]any)
	if len(shown) != 2 {
		t.Errorf("the parent shows %v", fmt.Sprint(shown))
	}
	e.must(200, "PUT", path, object{"trunk": object{"admin_state_up": false}})
	e.refused(409, "TrunkDisabled", "DELETE", path, nil)
	e.must(200, "PUT", path, object{"trunk": object{"admin_state_up": true}})
	e.must(204, "DELETE", path, nil)
	e.must(204, "DELETE", "/ports/"+sub, nil)
}
