package api_test

import (
	"slices"
	"testing"

	"github.com/weft-cloud/weft/internal/server/rules"
)

func TestMetering(t *testing.T) {
	e := newEnv(t, nil)
	label := e.must(201, "POST", "/metering/metering-labels", object{"metering_label": object{"name": "l"}})["id"].(string)
	rule := func(attrs object) object {
		o := object{"metering_label_id": label, "direction": "ingress"}
		for k, v := range attrs {
			o[k] = v
		}
		return object{"metering_label_rule": o}
	}
	e.must(201, "POST", "/metering/metering-label-rules", rule(object{"remote_ip_prefix": "10.0.0.0/24"}))
	e.must(201, "POST", "/metering/metering-label-rules", rule(object{"remote_ip_prefix": "10.0.0.0/24", "direction": "egress"}))
	e.must(201, "POST", "/metering/metering-label-rules", rule(object{"remote_ip_prefix": "10.0.0.0/25", "excluded": true}))
	v6 := e.must(201, "POST", "/metering/metering-label-rules", rule(object{"source_ip_prefix": "2001:db8::/64", "destination_ip_prefix": "2001:db8:1::/64"}))
	for _, tt := range []struct {
		name, typ string
		code      int
		attrs     object
	}{
		{"overlaps", "MeteringLabelRuleOverlaps", 409, object{"remote_ip_prefix": "10.0.0.128/25"}},
		{"overlaps in source and destination", "MeteringLabelRuleOverlaps", 409, object{"source_ip_prefix": "2001:db8::/80"}},
		{"no prefix", "Invalid", 400, object{}},
		{"remote and source", "Invalid", 400, object{"remote_ip_prefix": "10.9.0.0/24", "source_ip_prefix": "10.8.0.0/24"}},
		{"host bits", "HTTPBadRequest", 400, object{"remote_ip_prefix": "10.9.0.1/24"}},
		{"no such label", "MeteringLabelNotFound", 404, object{"remote_ip_prefix": "10.9.0.0/24", "metering_label_id": net0}},
		{"direction", "HTTPBadRequest", 400, object{"remote_ip_prefix": "10.9.0.0/24", "direction": "up"}},
	} {
		e.refused(tt.code, tt.typ, "POST", "/metering/metering-label-rules", rule(tt.attrs))
	}
	if got := len(e.list("/metering/metering-label-rules?source_ip_prefix=2001:db8::/64&excluded=False")); got != 1 {
		t.Errorf("filtered: %d", got)
	}
	e.refused(400, "HTTPBadRequest", "PUT", "/metering/metering-labels/"+label, object{"metering_label": object{"name": "x"}})
	e.must(204, "DELETE", "/metering/metering-label-rules/"+v6["id"].(string), nil)
	m := e.as("m")
	m.refused(403, "PolicyNotAuthorized", "POST", "/metering/metering-labels", object{"metering_label": object{"name": "l"}})
	m.refused(404, "MeteringLabelNotFound", "GET", "/metering/metering-labels/"+label, nil)
	e.must(204, "DELETE", "/metering/metering-labels/"+label, nil)
	if got := e.list("/metering/metering-label-rules"); len(got) != 0 {
		t.Errorf("rules of a label that is gone: %v", got)
	}
}

// net0 is an identifier that nothing has.
const net0 = "11111111-2222-4333-8444-555555555555"

func TestFlavors(t *testing.T) {
	e := newEnv(t, nil)
	const driver = "neutron.services.l3_router.service_providers."
	e.refused(400, "ServiceProfileEmpty", "POST", "/service_profiles", object{"service_profile": object{}})
	e.refused(404, "ServiceProfileDriverNotFound", "POST", "/service_profiles", object{"service_profile": object{"driver": "x"}})
	profile := e.create("service_profile", object{"driver": driver + "dvr.DvrDriver"})["id"].(string)
	e.refused(400, "InvalidServiceType", "POST", "/flavors", object{"flavor": object{"service_type": "TEA"}})
	flavor := e.create("flavor", object{"name": "f", "service_type": "L3_ROUTER_NAT"})["id"].(string)
	other := e.create("flavor", object{"name": "g", "service_type": "FLAVORS", "service_profiles": []string{profile}})["id"].(string)
	under := "/flavors/" + flavor + "/service_profiles"
	e.must(404, "POST", "/routers", object{"router": object{"flavor_id": flavor}})
	e.must(201, "POST", under, object{"service_profile": object{"id": profile}})
	e.refused(409, "FlavorServiceProfileBindingExists", "POST", under, object{"service_profile": object{"id": profile}})
	e.refused(404, "ServiceProfileNotFound", "POST", under, object{"service_profile": object{"id": net0}})
	e.refused(409, "ServiceProfileInUse", "DELETE", "/service_profiles/"+profile, nil)
	if next := e.list("/flavors/" + flavor + "/next_providers"); next[0].(object)["provider"] != "dvr" {
		t.Errorf("next providers %v", next)
	}
	m := e.as("m")
	router := m.create("router", object{"flavor_id": flavor})
	if got := e.show("/routers/" + router["id"].(string)); got["distributed"] != true || got["flavor_id"] != flavor {
		t.Errorf("router %v", got)
	}
	e.refused(400, "BadRequest", "POST", "/routers", object{"router": object{"flavor_id": flavor, "ha": true}})
	e.refused(400, "BadRequest", "POST", "/routers", object{"router": object{"flavor_id": other}})
	e.refused(404, "FlavorNotFound", "POST", "/routers", object{"router": object{"flavor_id": net0}})
	e.must(200, "PUT", "/routers/"+router["id"].(string), object{"router": object{"admin_state_up": false}})
	e.refused(400, "BadRequest", "PUT", "/routers/"+router["id"].(string), object{"router": object{"distributed": false}})
	e.refused(409, "FlavorInUse", "DELETE", "/flavors/"+flavor, nil)
	e.must(200, "PUT", "/flavors/"+flavor, object{"flavor": object{"enabled": false}})
	m.refused(503, "FlavorDisabled", "POST", "/routers", object{"router": object{"flavor_id": flavor}})
	m.refused(403, "PolicyNotAuthorized", "POST", "/flavors", object{"flavor": object{"service_type": "FLAVORS"}})
	if got := len(m.list("/flavors?name=f")); got != 1 {
		t.Errorf("a member sees %d flavors", got)
	}
	e.must(204, "DELETE", "/routers/"+router["id"].(string), nil)
	e.must(204, "DELETE", under+"/"+profile, nil)
	e.refused(404, "FlavorServiceProfileBindingNotFound", "DELETE", under+"/"+profile, nil)
	e.must(204, "DELETE", "/flavors/"+flavor, nil)
	e.must(204, "DELETE", "/flavors/"+other, nil)
	e.must(204, "DELETE", "/service_profiles/"+profile, nil)
	if got := newEnv(t, func(c *rules.Config) { c.NoDVR = true }).names("/service-providers"); !slices.Equal(got, []string{"ha", "single_node"}) {
		t.Errorf("providers without DVR: %v", got)
	}
}

func TestLogs(t *testing.T) {
	e := newEnv(t, nil)
	net := e.network("n")
	port := e.create("port", object{"network_id": net})
	group := e.must(201, "POST", "/security-groups", object{"security_group": object{"name": "g"}})["id"]
	log := func(attrs object) object {
		attrs["resource_type"] = "security_group"
		return object{"log": attrs}
	}
	of := e.must(201, "POST", "/log/logs", log(object{"resource_id": group}))
	on := e.must(201, "POST", "/log/logs", log(object{"target_id": port["id"], "event": "DROP"}))
	if of["event"] != "ALL" || of["enabled"] != true {
		t.Errorf("log %v", of)
	}
	e.refused(404, "ResourceNotFound", "POST", "/log/logs", log(object{"resource_id": net0}))
	e.refused(404, "TargetResourceNotFound", "POST", "/log/logs", log(object{"target_id": net0}))
	e.refused(400, "InvalidResourceConstraint", "POST", "/log/logs", log(object{"target_id": port["id"], "resource_id": group}))
	e.refused(400, "InvalidLogResourceType", "POST", "/log/logs", object{"log": object{"resource_type": "tea"}})
	e.refused(400, "HTTPBadRequest", "POST", "/log/logs", log(object{"event": "SOME"}))
	e.must(200, "PUT", "/log/logs/"+of["id"].(string), object{"log": object{"enabled": false}})
	if got := len(e.list("/log/logs?enabled=False&resource_id=" + group.(string))); got != 1 {
		t.Errorf("filtered: %d", got)
	}
	e.as("m").refused(403, "PolicyNotAuthorized", "POST", "/log/logs", log(object{}))
	e.must(204, "DELETE", "/security-groups/"+group.(string), nil)
	e.refused(404, "LogResourceNotFound", "GET", "/log/logs/"+of["id"].(string), nil)
	e.must(204, "DELETE", "/ports/"+port["id"].(string), nil)
	e.refused(404, "LogResourceNotFound", "GET", "/log/logs/"+on["id"].(string), nil)
}

func TestLocalIPs(t *testing.T) {
	e := newEnv(t, nil)
	m := e.as("m")
	net := m.network("n")
	m.create("subnet", object{"network_id": net, "ip_version": 4, "cidr": "10.0.0.0/24"})
	m.create("subnet", object{"network_id": net, "ip_version": 6, "cidr": "fd00::/64"})
	port := m.create("port", object{"network_id": net})
	ip := m.create("local_ip", object{"network_id": net, "local_ip_address": "10.0.0.77"})
	lip := "/local_ips/" + ip["id"].(string)
	if ip["local_ip_address"] != "10.0.0.77" || ip["ip_mode"] != "translate" {
		t.Errorf("local IP %v", ip)
	}
	m.refused(400, "LocalIPPortOrNetworkRequired", "POST", "/local_ips", object{"local_ip": object{}})
	m.refused(400, "LocalIPNoRequestedIP", "POST", "/local_ips", object{"local_ip": object{"local_port_id": port["id"]}})
	m.refused(400, "LocalIPRequestedIPNotFound", "POST", "/local_ips", object{"local_ip": object{"local_port_id": port["id"], "local_ip_address": "10.0.0.99"}})
	e.as("x").refused(400, "BadRequest", "POST", "/local_ips", object{"local_ip": object{"local_port_id": port["id"], "local_ip_address": "10.0.0.2"}})
	holder := ip["local_port_id"].(string)
	m.must(409, "DELETE", "/ports/"+holder, nil)
	a := m.must(201, "POST", lip+"/port_associations", object{"port_association": object{"fixed_port_id": port["id"]}})
	if a["local_ip_id"] != ip["id"] || a["local_ip_address"] != "10.0.0.77" || a["fixed_ip"] == nil {
		t.Errorf("association %v", a)
	}
	m.refused(409, "LocalIPAssociationExists", "POST", lip+"/port_associations", object{"port_association": object{"fixed_port_id": port["id"]}})
	m.refused(409, "LocalIPInUse", "DELETE", lip, nil)
	if got := m.show(lip + "/port_associations/" + port["id"].(string)); got["fixed_port_id"] != port["id"] {
		t.Errorf("association %v", got)
	}
	e.as("x").must(404, "GET", lip+"/port_associations", nil)
	m.must(204, "DELETE", "/ports/"+port["id"].(string), nil)
	m.refused(404, "LocalIPAssociationNotFound", "GET", lip+"/port_associations/"+port["id"].(string), nil)
	m.must(204, "DELETE", lip, nil)
	m.refused(404, "PortNotFound", "GET", "/ports/"+holder, nil)
}
