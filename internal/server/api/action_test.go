package api_test

import (
	"strings"
	"testing"
)

// TestActionOrder holds the order in which Neutron refuses an action: the object, policy, and what the body has at last.
func TestActionOrder(t *testing.T) {
	e := newEnv(t, nil)
	n := e.create("network", object{"name": "n"})["id"].(string)
	e.create("subnet", object{"network_id": n, "ip_version": 4, "cidr": "10.0.0.0/24"})
	port := func() string { return e.create("port", object{"network_id": n})["id"].(string) }
	parent, child := port(), port()
	trunk := e.must(201, "POST", "/trunks", object{"trunk": object{"port_id": parent}})["id"].(string)
	group := e.must(201, "POST", "/address-groups", object{"address_group": object{"addresses": []string{"10.9.0.0/24"}}})["id"].(string)
	router := e.create("router", object{"name": "r"})["id"].(string)
	pool := e.create("subnetpool", object{"name": "p", "prefixes": []string{"10.8.0.0/16"}})["id"].(string)
	const none = "00000000-0000-4000-8000-000000000000"
	vlan := func(port string, tag any) object {
		return object{"port_id": port, "segmentation_type": "vlan", "segmentation_id": tag}
	}
	for _, c := range []struct {
		path string // ID is one that is not there or that a stranger does not see, else the object
		id   string
		body any
		gone string // the fault of an object that is not there
		code int
		kind string // and of one that is
	}{
		{"/trunks/ID/add_subports", trunk, object{"sub_ports": "x"}, "TrunkNotFound", 400, "InvalidInput"},
		{"/trunks/ID/add_subports", trunk, object{"sub_ports": nil}, "TrunkNotFound", 400, "InvalidInput"},
		{"/trunks/ID/add_subports", trunk, object{"sub_ports": []any{object{"port_id": child}, object{"port_id": child}}}, "TrunkNotFound", 400, "InvalidInput"},
		{"/trunks/ID/add_subports", trunk, object{"sub_ports": []any{object{"port_id": parent}}}, "TrunkNotFound", 409, "ParentPortInUse"},
		{"/trunks/ID/add_subports", trunk, object{"sub_ports": []any{vlan(child, "x")}}, "TrunkNotFound", 400, "InvalidInput"},
		{"/trunks/ID/add_subports", trunk, object{"sub_ports": []any{vlan(none, 5000)}}, "TrunkNotFound", 400, "InvalidInput"},
		{"/trunks/ID/add_subports", trunk, object{"sub_ports": []any{vlan(none, 5)}}, "TrunkNotFound", 404, "PortNotFound"},
		{"/trunks/ID/add_subports", trunk, []any{}, "TrunkNotFound", 400, "HTTPBadRequest"},
		{"/trunks/ID/remove_subports", trunk, object{"sub_ports": []any{object{"port_id": "x"}}}, "TrunkNotFound", 400, "InvalidInput"},
		{"/trunks/ID/remove_subports", trunk, object{"sub_ports": []any{object{"port_id": child}}}, "TrunkNotFound", 404, "SubPortNotFound"},
		{"/address-groups/ID/add_addresses", group, object{"addresses": []string{"10.0.0.0/33"}}, "AddressGroupNotFound", 400, "AddrFormatError"},
		{"/address-groups/ID/remove_addresses", group, object{}, "AddressGroupNotFound", 400, "HTTPBadRequest"},
		{"/routers/ID/add_router_interface", router, object{"subnet_id": "x"}, "RouterNotFound", 400, "BadRequest"},
		{"/routers/ID/remove_router_interface", router, []any{}, "RouterNotFound", 400, "BadRequest"},
		{"/routers/ID/add_extraroutes", router, object{"router": object{"routes": "x"}}, "RouterNotFound", 400, "HTTPBadRequest"},
		{"/subnetpools/ID/add_prefixes", pool, object{"prefixes": []string{"x"}}, "SubnetPoolNotFound", 400, "AddrFormatError"},
		{"/subnetpools/ID/remove_prefixes", pool, object{"prefixes": []string{}}, "SubnetPoolNotFound", 400, "HTTPBadRequest"},
	} {
		m := e.as("stranger")
		e.refused(404, c.gone, "PUT", strings.Replace(c.path, "ID", none, 1), c.body)
		m.refused(404, c.gone, "PUT", strings.Replace(c.path, "ID", c.id, 1), c.body)
		e.refused(c.code, c.kind, "PUT", strings.Replace(c.path, "ID", c.id, 1), c.body)
	}
	// An address that is sent twice is one.
	e.must(200, "PUT", "/address-groups/"+group+"/add_addresses", object{"addresses": []string{"10.7.0.0/24", "10.7.0.9/24"}})
	e.must(200, "PUT", "/subnetpools/"+pool+"/remove_prefixes", object{"prefixes": []string{"10.8.0.0/16"}})
	for _, tags := range []any{"x", []any{7, "blue"}, []string{"a", "a"}, []string{""}, nil} {
		e.refused(400, "InvalidInput", "PUT", "/networks/"+n+"/tags", object{"tags": tags})
		e.refused(400, "HTTPBadRequest", "POST", "/ports", object{"port": object{"network_id": n, "tags": tags}})
	}
	e.refused(400, "InvalidInput", "PUT", "/networks/"+n+"/tags", object{})
	// All subports or none.
	e.refused(404, "PortNotFound", "PUT", "/trunks/"+trunk+"/add_subports", object{"sub_ports": []any{vlan(child, 7), vlan(none, 8)}})
	e.must(200, "PUT", "/trunks/"+trunk+"/add_subports", object{"sub_ports": []any{vlan(child, 7)}})
}

// TestPortInTrunkStays asks for the end of ports that a trunk or a local IP needs by every way other than their own
// deletion: nothing may be left that names a port which is gone.
func TestPortInTrunkStays(t *testing.T) {
	e := newEnv(t, nil)
	outside := e.create("network", object{"name": "outside", "router:external": true})["id"].(string)
	e.create("subnet", object{"network_id": outside, "ip_version": 4, "cidr": "203.0.113.0/24"})
	n := e.create("network", object{"name": "n"})["id"].(string)
	s := e.create("subnet", object{"network_id": n, "ip_version": 4, "cidr": "10.0.0.0/24"})["id"].(string)
	router := e.create("router", object{"name": "r", "external_gateway_info": object{"network_id": outside}})["id"].(string)
	leg := e.must(200, "PUT", "/routers/"+router+"/add_router_interface", object{"subnet_id": s})["port_id"].(string)
	gateway := e.must(200, "GET", "/ports?device_owner=network:router_gateway", nil)["ports"].([]any)[0].(object)["id"].(string)
	dhcp := e.create("port", object{"network_id": n, "device_owner": "network:dhcp", "device_id": "other"})["id"].(string)
	made := map[string]string{}
	for _, p := range []string{leg, gateway, dhcp} {
		made[p] = e.must(201, "POST", "/trunks", object{"trunk": object{"port_id": p}})["id"].(string)
	}
	for _, c := range []struct {
		method, path string
		body         any
	}{
		{"PUT", "/routers/" + router + "/remove_router_interface", object{"subnet_id": s}},
		{"PUT", "/routers/" + router + "/remove_router_interface", object{"port_id": leg}},
		{"PUT", "/routers/" + router, object{"router": object{"external_gateway_info": nil}}},
		{"DELETE", "/ports/" + dhcp, nil},
	} {
		e.refused(409, "PortInUseAsTrunkParent", c.method, c.path, c.body)
	}
	e.must(204, "DELETE", "/trunks/"+made[leg], nil)
	e.must(200, "PUT", "/routers/"+router+"/remove_router_interface", object{"subnet_id": s})
	e.refused(409, "PortInUseAsTrunkParent", "DELETE", "/routers/"+router, nil)
	e.refused(409, "PortInUseAsTrunkParent", "DELETE", "/networks/"+n, nil)
	for _, p := range []string{gateway, dhcp} {
		e.must(200, "GET", "/ports/"+p, nil)
		e.must(204, "DELETE", "/trunks/"+made[p], nil)
	}
	local := e.must(201, "POST", "/local_ips", object{"local_ip": object{"local_port_id": gateway}})["id"].(string)
	e.refused(409, "ServicePortInUse", "DELETE", "/routers/"+router, nil)
	e.must(204, "DELETE", "/local_ips/"+local, nil)
	e.must(204, "DELETE", "/routers/"+router, nil)
	e.must(204, "DELETE", "/networks/"+n, nil)
}

// TestBodyOrMethod holds what Neutron says of bodies that are no JSON, by who reads them there, and of methods.
func TestBodyOrMethod(t *testing.T) {
	e := newEnv(t, nil)
	for path, want := range map[string]string{
		"/networks": "HTTPBadRequest", "/ports/x": "HTTPBadRequest", "/local_ips": "HTTPBadRequest", "/network_segment_ranges/x": "HTTPBadRequest",
		"/routers": "MalformedRequestBody", "/subnetpools/x": "MalformedRequestBody", "/qos/policies": "MalformedRequestBody", "/networks/x/tags": "MalformedRequestBody",
		"/local_ips/x/port_associations": "MalformedRequestBody", "/routers/x/add_router_interface": "MalformedRequestBody",
	} {
		method := "POST"
		if strings.HasSuffix(path, "/x") || strings.HasSuffix(path, "tags") || strings.HasSuffix(path, "interface") {
			method = "PUT"
		}
		code, body, _ := e.raw(method, "/v2.0"+path, []byte(`{"a":`), nil)
		if code != 400 || !strings.Contains(string(body), `"`+want+`"`) {
			t.Errorf("%s %s: %d %s, want %s", method, path, code, body, want)
		}
	}
	for path, want := range map[string]int{"/networks": 405, "/networks/x": 405, "/qos/policies": 405, "/nothing": 404} {
		if code, _, _ := e.raw("HEAD", "/v2.0"+path, nil, nil); code != want {
			t.Errorf("HEAD %s: %d, want %d", path, code, want)
		}
	}
}
