package differential

import (
	"testing"
)

// strangers are who may do little of what acts asks: what they are refused is compared in full.
var strangers = []string{"reader", "other", "nobody"}

// acts are actions, and paths beneath objects, which TestRefusals does not reach: it knows resources alone.
var acts = []struct {
	method, path string
	body         any
}{
	{"PUT", "/routers/ref.router/add_router_interface", object{"subnet_id": "ref.proxied6"}},
	{"PUT", "/routers/ref.router/remove_router_interface", object{"subnet_id": "ref.subnet"}},
	{"PUT", "/routers/ref.router/add_extraroutes", object{"router": object{"routes": []any{object{"destination": "10.1.0.0/24", "nexthop": "10.76.0.9"}}}}},
	{"PUT", "/routers/ref.router/remove_extraroutes", object{"router": object{"routes": []any{}}}},
	{"GET", "/routers/ref.router/l3-agents", nil},
	{"POST", "/routers/ref.router/l3-agents", object{}},
	{"GET", "/networks/ref.network/dhcp-agents", nil},
	{"GET", "/networks/ref.network/tags", nil},
	{"GET", "/networks/ref.network/tags/red", nil},
	{"PUT", "/networks/ref.network/tags/red", nil},
	{"PUT", "/networks/ref.network/tags", object{"tags": []any{"red"}}},
	{"DELETE", "/networks/ref.network/tags/red", nil},
	{"DELETE", "/networks/ref.network/tags", nil},
	{"PUT", "/routers/ref.router/tags/red", nil},
	{"PUT", "/ports/ref.instance/bindings/host-a/activate", nil},
	{"PUT", "/subnetpools/ref.subnetpool/add_prefixes", object{"prefixes": []any{"10.97.0.0/16"}}},
	{"PUT", "/subnetpools/ref.subnetpool/remove_prefixes", object{"prefixes": []any{"10.96.0.0/16"}}},
	{"PUT", "/subnetpools/ref.subnetpool/onboard_network_subnets", object{"network_id": "ref.network"}},
	{"PUT", "/address-groups/ref.address_group/add_addresses", object{"addresses": []any{"10.6.0.0/24"}}},
	{"PUT", "/address-groups/ref.address_group/remove_addresses", object{"addresses": []any{"10.5.0.0/24"}}},
	{"PUT", "/trunks/ref.trunk/add_subports", object{"sub_ports": []any{object{"port_id": "ref.inside", "segmentation_type": "vlan", "segmentation_id": 5}}}},
	{"PUT", "/trunks/ref.trunk/remove_subports", object{"sub_ports": []any{object{"port_id": "ref.inside"}}}},
	{"GET", "/trunks/ref.trunk/get_subports", nil},
	{"GET", "/flavors/ref.flavor/service_profiles", nil},
	{"POST", "/flavors/ref.flavor/service_profiles", object{"service_profile": object{"id": "ref.service_profile"}}},
	{"DELETE", "/flavors/ref.flavor/service_profiles/ref.service_profile", nil},
	{"GET", "/flavors/ref.flavor/next_providers", nil},
	{"GET", "/agents/" + absent + "/dhcp-networks", nil},
	{"POST", "/agents/" + absent + "/dhcp-networks", object{"network_id": "ref.network"}},
	{"DELETE", "/agents/" + absent + "/dhcp-networks/ref.network", nil},
	{"GET", "/agents/" + absent + "/l3-routers", nil},
	{"POST", "/agents/" + absent + "/l3-routers", object{"router_id": "ref.router"}},
	{"DELETE", "/agents/" + absent + "/l3-routers/ref.router", nil},
	{"GET", "/quotas", nil},
	{"GET", "/quotas/PROJECT", nil},
	{"GET", "/quotas/PROJECT/default", nil},
	{"GET", "/quotas/PROJECT/details.json", nil},
	{"PUT", "/quotas/PROJECT", object{"quota": object{"port": 7}}},
	{"DELETE", "/quotas/PROJECT", nil},
	{"GET", "/auto-allocated-topology/PROJECT", nil},
	{"DELETE", "/auto-allocated-topology/PROJECT", nil},
}

// TestActionRefusals compares what strangers are told of actions.
func TestActionRefusals(t *testing.T) {
	p, s := startBoth(t)
	m := &matrix{p: p, share: 100, seed: 1}
	m.meet(t, s)
	newWorld(t, m)
	for _, who := range strangers {
		for _, a := range acts {
			q := request{who: who, method: a.method, path: a.path, body: a.body}
			got := m.both(t, q)
			if what := m.difference(q, got); what != "" {
				t.Errorf("%s\n  %s\n  Weft:    %d %.300s\n  Neutron: %d %.300s", what, q, got[0].status, got[0].text, got[1].status, got[1].text)
			}
		}
	}
}
