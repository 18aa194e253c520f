package api_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/rules"
)

// floatingCloud is an external network, a router, and an instance's port behind it.
func floatingCloud(t *testing.T) (e *env, public, router, subnet, port string) {
	e = newEnv(t, func(c *rules.Config) { c.NovaData = true })
	public = e.create("network", object{"router:external": true})["id"].(string)
	e.create("subnet", object{"network_id": public, "ip_version": 4, "cidr": "203.0.113.0/29"})
	net := newNet(e)
	subnet = e.create("subnet", object{"network_id": net, "ip_version": 4, "cidr": "10.0.0.0/24"})["id"].(string)
	router = e.create("router", object{"external_gateway_info": object{"network_id": public}})["id"].(string)
	e.must(200, "PUT", "/routers/"+router+"/add_router_interface", object{"subnet_id": subnet})
	port = e.create("port", object{"network_id": net, "fixed_ips": []object{{"ip_address": "10.0.0.10"}, {"ip_address": "10.0.0.11"}}})["id"].(string)
	return e, public, router, subnet, port
}

func TestFloatingIPHoldsItsRouter(t *testing.T) {
	e, public, router, subnet, port := floatingCloud(t)
	f := e.create("floatingip", object{"floating_network_id": public, "port_id": port, "fixed_ip_address": "10.0.0.11"})
	if f["router_id"] != router || f["fixed_ip_address"] != "10.0.0.11" || f["status"] != "DOWN" {
		t.Errorf("floating IP: %v", f)
	}
	path := "/floatingips/" + f["id"].(string)
	e.refused(409, "RouterExternalGatewayInUseByFloatingIp", "PUT", "/routers/"+router, object{"router": object{"external_gateway_info": object{}}})
	e.refused(409, "RouterInterfaceInUseByFloatingIP", "PUT", "/routers/"+router+"/remove_router_interface", object{"subnet_id": subnet})
	e.refused(409, "FloatingIPPortAlreadyAssociated", "POST", "/floatingips",
		object{"floatingip": object{"floating_network_id": public, "port_id": port, "fixed_ip_address": "10.0.0.11"}})
	if got := e.must(200, "PUT", path, object{"floatingip": object{"description": "kept"}}); got["port_id"] != port {
		t.Errorf("a new description took the port away: %v", got)
	}
	if got := e.must(200, "PUT", path, object{"floatingip": object{}}); got["port_id"] != nil || got["router_id"] != nil {
		t.Errorf("an empty update left the port: %v", got)
	}
	e.must(200, "PUT", path, object{"floatingip": object{"port_id": port, "fixed_ip_address": "10.0.0.10"}})
	e.must(200, "PUT", "/ports/"+port, object{"port": object{"fixed_ips": []object{{"ip_address": "10.0.0.11"}}}})
	if got := e.must(200, "GET", path, nil); got["port_id"] != nil {
		t.Errorf("it leads to an address that the port has no more: %v", got)
	}
	e.must(204, "DELETE", path, nil)
	e.must(200, "PUT", "/routers/"+router+"/remove_router_interface", object{"subnet_id": subnet})
}

// TestFloatingIPsAreTold: Nova keeps the floating IPs of its instances, and learns of each that comes, goes or moves.
func TestFloatingIPsAreTold(t *testing.T) {
	e, public, _, _, port := floatingCloud(t)
	net := e.must(200, "GET", "/ports/"+port, nil)["network_id"]
	instance, other := "6ba7b810-9dad-41d1-80b4-00c04fd430c8", "6ba7b811-9dad-41d1-80b4-00c04fd430c8"
	e.must(200, "PUT", "/ports/"+port, object{"port": object{"device_id": instance, "device_owner": "compute:nova"}})
	second := e.create("port", object{"network_id": net, "device_id": other, "device_owner": "compute:nova", "fixed_ips": []object{{"ip_address": "10.0.0.20"}}})["id"].(string)
	told := 0
	changed := func(step string, want ...string) {
		t.Helper()
		intents, err := e.store.Intents(t.Context(), 100)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, i := range intents[told:] {
			var n model.NovaEvent
			if err := json.Unmarshal(i.Body, &n); err != nil || n.Name != model.NovaChanged {
				t.Fatalf("%s: %s %v", step, i.Body, err)
			}
			got = append(got, n.Server+" "+n.Tag)
		}
		told = len(intents)
		if !slices.Equal(got, want) {
			t.Errorf("%s: told %v, want %v", step, got, want)
		}
	}
	changed("before")
	first, next := instance+" "+port, other+" "+second
	f := e.create("floatingip", object{"floating_network_id": public, "port_id": port, "fixed_ip_address": "10.0.0.10"})["id"].(string)
	changed("created", first)
	e.must(200, "PUT", "/floatingips/"+f, object{"floatingip": object{"description": "no address"}})
	changed("described")
	e.must(200, "PUT", "/floatingips/"+f, object{"floatingip": object{"port_id": port, "fixed_ip_address": "10.0.0.11"}})
	changed("to the port's other address", first)
	e.must(200, "PUT", "/floatingips/"+f, object{"floatingip": object{"port_id": second}})
	changed("moved", first, next)
	e.must(200, "PUT", "/floatingips/"+f, object{"floatingip": object{"port_id": nil}})
	changed("taken away", next)
	e.must(200, "PUT", "/floatingips/"+f, object{"floatingip": object{"port_id": second}})
	changed("given again", next)
	e.must(204, "DELETE", "/floatingips/"+f, nil)
	changed("deleted", next)
	f = e.create("floatingip", object{"floating_network_id": public})["id"].(string)
	e.must(204, "DELETE", "/floatingips/"+f, nil)
	changed("of nobody")
}

func TestFloatingIPRefusals(t *testing.T) {
	e, public, _, _, port := floatingCloud(t)
	lonely := newNet(e)
	e.create("subnet", object{"network_id": lonely, "ip_version": 4, "cidr": "10.9.0.0/24"})
	behind := e.create("port", object{"network_id": lonely})["id"].(string)
	for _, tc := range []struct {
		name, typ string
		code      int
		body      object
	}{
		{"no network", "HTTPBadRequest", 400, object{}},
		{"not external", "BadRequest", 400, object{"floating_network_id": lonely}},
		{"several addresses", "BadRequest", 400, object{"floating_network_id": public, "port_id": port}},
		{"not the port's", "BadRequest", 400, object{"floating_network_id": public, "port_id": port, "fixed_ip_address": "10.0.0.99"}},
		{"address without port", "BadRequest", 400, object{"floating_network_id": public, "fixed_ip_address": "10.0.0.10"}},
		{"no router", "ExternalGatewayForFloatingIPNotFound", 404, object{"floating_network_id": public, "port_id": behind}},
		{"gone port", "PortNotFound", 404, object{"floating_network_id": public, "port_id": public}},
		{"the port before the QoS policy", "ExternalGatewayForFloatingIPNotFound", 404, object{"floating_network_id": public, "port_id": behind, "qos_policy_id": public}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e.t = t
			e.refused(tc.code, tc.typ, "POST", "/floatingips", object{"floatingip": tc.body})
		})
	}
	e.t = t
	e.as("stranger").refused(404, "PortNotFound", "POST", "/floatingips", object{"floatingip": object{"floating_network_id": public, "port_id": port}})
	for range 4 { // six addresses: the subnet's gateway, the router's, and these
		e.create("floatingip", object{"floating_network_id": public})
	}
	e.refused(409, "IpAddressGenerationFailure", "POST", "/floatingips", object{"floatingip": object{"floating_network_id": public}})
}

// TestForwardedPort: that a distributed router forwards to a port is found before that the floating IP is one of forwardings.
func TestForwardedPort(t *testing.T) {
	e, public, router, _, port := floatingCloud(t)
	e.must(200, "PUT", "/routers/"+router, object{"router": object{"admin_state_up": false}})
	e.must(200, "PUT", "/routers/"+router, object{"router": object{"distributed": true}})
	f := "/floatingips/" + e.create("floatingip", object{"floating_network_id": public})["id"].(string)
	e.must(201, "POST", f+"/port_forwardings", object{"port_forwarding": object{"protocol": "tcp", "internal_port_id": port, "internal_ip_address": "10.0.0.10", "internal_port": 22,
		"external_port": 22}})
	e.refused(400, "PortHasPortForwarding", "PUT", f, object{"floatingip": object{"port_id": port}})
	e.refused(400, "PortHasPortForwarding", "POST", "/floatingips", object{"floatingip": object{"floating_network_id": public, "port_id": port}})
}

func TestPortForwardings(t *testing.T) {
	e, public, _, _, port := floatingCloud(t)
	f := e.create("floatingip", object{"floating_network_id": public})["id"].(string)
	path := "/floatingips/" + f + "/port_forwardings"
	forward := func(more object) object {
		w := object{"protocol": "tcp", "internal_port_id": port, "internal_ip_address": "10.0.0.10"}
		for k, v := range more {
			w[k] = v
		}
		return object{"port_forwarding": w}
	}
	id := e.must(201, "POST", path, forward(object{"internal_port_range": "80:89", "external_port_range": "8080:8089"}))["id"].(string)
	for _, tc := range []struct {
		name string
		more object
	}{
		{"same port outside", object{"internal_port": 22, "external_port": 8085}},
		{"same port inside", object{"internal_port": 85, "external_port": 22}},
		{"ranges of other lengths", object{"internal_port_range": "20:22", "external_port_range": "20:21"}},
		{"backwards", object{"internal_port_range": "22:20", "external_port_range": "20:22"}},
		{"beyond", object{"internal_port": 70000, "external_port": 22}},
		{"none", object{"internal_port": 22}},
		{"another's address", object{"internal_port": 22, "external_port": 22, "internal_ip_address": "10.0.0.99"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e.t = t
			if code, out := e.do("POST", path, forward(tc.more)); code != 400 {
				t.Errorf("%d %v", code, out)
			}
		})
	}
	e.t = t
	e.refused(409, "FipInUseByPortForwarding", "DELETE", "/floatingips/"+f, nil)
	e.must(204, "DELETE", path+"/"+id, nil)
	if got := e.must(200, "GET", "/floatingips/"+f, nil); got["router_id"] != nil {
		t.Errorf("the last forwarding went and the router stayed: %v", got)
	}
}
