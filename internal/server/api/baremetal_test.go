package api_test

import "testing"

// TestBaremetal: a machine of Ironic's is bound on provider networks by its node's name, which no agent has.
func TestBaremetal(t *testing.T) {
	e := newEnv(t, nil)
	metal := func(network string, more ...any) object {
		o := object{"network_id": network, "binding:host_id": "node-1", "binding:vnic_type": "baremetal"}
		for i := 0; i < len(more); i += 2 {
			o[more[i].(string)] = more[i+1]
		}
		return o
	}
	check := func(what string, p object, vif, status string) {
		t.Helper()
		if p["binding:vif_type"] != vif || p["status"] != status {
			t.Errorf("%s: %v, %v", what, p["binding:vif_type"], p["status"])
		}
	}
	update := func(id string, attrs object) object {
		t.Helper()
		return e.must(200, "PUT", "/ports/"+id, object{"port": attrs})
	}
	flat := e.create("network", object{"provider:network_type": "flat", "provider:physical_network": "public"})["id"].(string)
	tenant := e.create("network", object{})["id"].(string)
	check("on a tunnelled network", e.create("port", metal(tenant)), "binding_failed", "DOWN")
	check("of a virtual function", e.create("port", metal(flat, "binding:vnic_type", "direct")), "binding_failed", "DOWN")
	check("nowhere", e.create("port", metal(flat, "binding:host_id", "")), "unbound", "DOWN")
	p := e.create("port", metal(flat))
	id := p["id"].(string)
	check("new", p, "other", "ACTIVE")
	if d := p["binding:vif_details"].(object); d["port_filter"] != false {
		t.Errorf("details %v", d)
	}
	check("moved to another node", update(id, object{"binding:host_id": "node-2"}), "other", "ACTIVE")
	check("made virtual", update(id, object{"binding:vnic_type": "normal"}), "binding_failed", "DOWN")
	check("made metal again", update(id, object{"binding:vnic_type": "baremetal"}), "other", "ACTIVE")
	check("unbound", update(id, object{"binding:host_id": ""}), "unbound", "DOWN")
}
