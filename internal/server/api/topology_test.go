package api_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/rules"
)

// scoped makes an external network and an internal one whose IPv6 subnets are in one address scope.
func scoped(e *env) (external, internal, subnet string) {
	scope := e.must(201, "POST", "/address-scopes", object{"address_scope": object{"ip_version": 6}})["id"]
	pool := e.create("subnetpool", object{"name": "p", "address_scope_id": scope, "prefixes": []string{"2001:db8::/32"}, "default_prefixlen": 64})["id"]
	external = e.create("network", object{"router:external": true})["id"].(string)
	internal = e.network("internal")
	e.create("subnet", object{"network_id": external, "ip_version": 6, "subnetpool_id": pool})
	subnet = e.create("subnet", object{"network_id": internal, "ip_version": 6, "subnetpool_id": pool})["id"].(string)
	return external, internal, subnet
}

func TestNDPProxies(t *testing.T) {
	e := newEnv(t, nil)
	external, internal, subnet := scoped(e)
	plain := e.create("router", object{})["id"].(string)
	e.refused(409, "RouterGatewayNotValid", "PUT", "/routers/"+plain, object{"router": object{"enable_ndp_proxy": true}})
	gateway := object{"network_id": external}
	r := e.create("router", object{"external_gateway_info": gateway, "enable_ndp_proxy": true})
	if r["enable_ndp_proxy"] != true {
		t.Errorf("router %v", r)
	}
	router := "/routers/" + r["id"].(string)
	e.must(200, "PUT", router+"/add_router_interface", object{"subnet_id": subnet})
	port := e.create("port", object{"network_id": internal})
	ask := func(attrs object) object {
		o := object{"router_id": r["id"], "port_id": port["id"]}
		for k, v := range attrs {
			o[k] = v
		}
		return object{"ndp_proxy": o}
	}
	p := e.must(201, "POST", "/ndp_proxies", ask(nil))
	if p["ip_address"] != port["fixed_ips"].([]any)[0].(object)["ip_address"] {
		t.Errorf("proxy %v of port %v", p, port)
	}
	lone := e.network("lone")
	e.create("subnet", object{"network_id": lone, "ip_version": 6, "cidr": "fd00:9::/64"})
	e.must(200, "PUT", "/routers/"+plain+"/add_router_interface", object{"port_id": e.create("port", object{"network_id": internal})["id"]})
	away := e.create("port", object{"network_id": lone})["id"]
	for _, tt := range []struct {
		name, typ string
		code      int
		attrs     object
	}{
		{"twice", "NDPProxyExists", 409, nil},
		{"not its address", "InvalidAddress", 400, object{"ip_address": "2001:db8::99"}},
		{"not connected", "PortUnreachableRouter", 409, object{"port_id": away}},
		{"not enabled", "RouterNDPProxyNotEnable", 409, object{"router_id": plain}},
		{"no such router", "RouterNotFound", 404, object{"router_id": net0}},
		{"no such port", "PortNotFound", 404, object{"port_id": net0}},
	} {
		e.refused(tt.code, tt.typ, "POST", "/ndp_proxies", ask(tt.attrs))
	}
	e.as("m").refused(404, "PortNotFound", "POST", "/ndp_proxies", ask(nil))
	e.refused(409, "RouterInterfaceInUseByNDPProxy", "PUT", router+"/remove_router_interface", object{"subnet_id": subnet})
	e.refused(409, "RouterGatewayInUseByNDPProxy", "PUT", router, object{"router": object{"external_gateway_info": nil}})
	for _, on := range []bool{false, true} { // its proxies stay
		if got := e.must(200, "PUT", router, object{"router": object{"enable_ndp_proxy": on}}); got["enable_ndp_proxy"] != on {
			t.Errorf("enable_ndp_proxy is %v, want %v", got["enable_ndp_proxy"], on)
		}
		e.must(200, "GET", "/ndp_proxies/"+p["id"].(string), nil)
	}
	e.must(200, "PUT", "/ndp_proxies/"+p["id"].(string), object{"ndp_proxy": object{"name": "x"}})
	e.must(204, "DELETE", "/ports/"+port["id"].(string), nil)
	e.refused(404, "NDPProxyNotFound", "GET", "/ndp_proxies/"+p["id"].(string), nil)
	if got := e.must(200, "PUT", router, object{"router": object{"external_gateway_info": nil}}); got["enable_ndp_proxy"] != false {
		t.Errorf("without a gateway: %v", got)
	}
}

func TestAutoAllocatedTopology(t *testing.T) {
	e := newEnv(t, nil)
	m := e.as("m")
	const path = "/auto-allocated-topology/"
	m.refused(409, "AutoAllocationFailure", "GET", path+"m?fields=dry-run", nil)
	ext := e.create("network", object{"router:external": true, "is_default": true})["id"].(string)
	e.create("subnet", object{"network_id": ext, "ip_version": 4, "cidr": "203.0.113.0/24"})
	e.refused(409, "DefaultExternalNetworkExists", "POST", "/networks", object{"network": object{"router:external": true, "is_default": true}})
	e.refused(409, "DefaultExternalNetworkExists", "POST", "/networks", object{"network": object{"is_default": true}})
	m.refused(409, "AutoAllocationFailure", "GET", path+"m", nil)
	e.create("subnetpool", object{"name": "4", "prefixes": []string{"10.0.0.0/16"}, "is_default": true, "default_prefixlen": 26})
	e.create("subnetpool", object{"name": "6", "prefixes": []string{"fd00::/48"}, "is_default": true, "default_prefixlen": 64})
	if got := m.show(path + "None?fields=dry-run"); got["id"] != "dry-run=pass" || got["tenant_id"] != "m" {
		t.Errorf("dry run %v", got)
	}
	if n := len(m.names("/routers")); n != 0 {
		t.Fatalf("a dry run left %d routers", n)
	}
	top := m.show(path + "m")
	if again := m.show(path + "None"); again["id"] != top["id"] {
		t.Errorf("asked twice: %v, %v", top, again)
	}
	subnets := m.names("/subnets?network_id=" + top["id"].(string))
	slices.Sort(subnets)
	if want := []string{"auto_allocated_subnet_v4", "auto_allocated_subnet_v6"}; !slices.Equal(subnets, want) {
		t.Errorf("subnets %v", subnets)
	}
	routers := m.list("/routers?name=auto_allocated_router")
	if len(routers) != 1 || routers[0].(object)["external_gateway_info"].(object)["network_id"] != ext {
		t.Errorf("routers %v", routers)
	}
	m.refused(403, "NotAuthorized", "GET", path+"other", nil)
	port := m.create("port", object{"network_id": top["id"]})["id"].(string)
	m.must(409, "DELETE", path+"m", nil)
	if n := len(m.names("/routers")); n != 1 {
		t.Errorf("a refused deletion left %d routers", n)
	}
	m.must(204, "DELETE", "/ports/"+port, nil)
	m.must(204, "DELETE", path+"m", nil)
	m.must(204, "DELETE", path+"m", nil)
	if got := append(m.names("/routers"), m.names("/networks?name=auto_allocated_network")...); len(got) != 0 {
		t.Errorf("left over: %v", got)
	}
	if next := m.show(path + "m"); next["id"] == top["id"] {
		t.Error("the topology that was deleted")
	}
	e.must(200, "PUT", "/networks/"+ext, object{"network": object{"is_default": false}})
	m.must(200, "GET", path+"m", nil) // it is there
}

func TestAvailability(t *testing.T) {
	e := newEnv(t, nil)
	net := e.network("n")
	path := "/network-ip-availabilities/" + net
	if got := e.show(path); fmt.Sprintf("%v %v", got["total_ips"], got["used_ips"]) != "0 0" {
		t.Errorf("without subnets %v", got)
	}
	e.create("subnet", object{"network_id": net, "ip_version": 4, "cidr": "10.0.0.0/29", "enable_dhcp": false})
	e.create("subnet", object{"network_id": net, "ip_version": 6, "cidr": "fd00::/120", "enable_dhcp": false})
	e.create("port", object{"network_id": net, "fixed_ips": []object{{"ip_address": "10.0.0.3"}, {"ip_address": "10.0.0.4"}, {"ip_address": "fd00::7"}}})
	got := e.show(path)
	if fmt.Sprintf("%v %v %v", got["total_ips"], got["used_ips"], got["network_name"]) != "260 3 n" || len(got["subnet_ip_availability"].([]any)) != 2 {
		t.Errorf("availability %v", got)
	}
	list := e.list("/network-ip-availabilities?ip_version=4&network_name=n")
	if len(list) != 1 || fmt.Sprintf("%v %v", list[0].(object)["total_ips"], list[0].(object)["used_ips"]) != "5 2" {
		t.Errorf("of IPv4 %v", list)
	}
	e.refused(400, "InvalidInput", "GET", "/network-ip-availabilities?ip_version=5", nil)
	e.refused(404, "NetworkNotFound", "GET", "/network-ip-availabilities/"+net0, nil)
	e.refused(405, "HTTPMethodNotAllowed", "POST", "/network-ip-availabilities", object{})
	m := e.as("m")
	own := m.network("own")
	m.must(404, "GET", "/network-ip-availabilities/"+own, nil)
}

func TestDefaultRules(t *testing.T) {
	e := newEnv(t, nil)
	rulesOf := func(g object) int { return len(g["security_group_rules"].([]any)) }
	group := func(name string) object {
		return e.must(201, "POST", "/security-groups", object{"security_group": object{"name": name}})
	}
	const path = "/default-security-group-rules"
	if got := e.list(path); len(got) != 4 {
		t.Fatalf("%d default rules", len(got))
	}
	if n := rulesOf(group("a")); n != 2 {
		t.Errorf("a new group begins with %d rules", n)
	}
	rule := func(attrs object) object { return object{"default_security_group_rule": attrs} }
	made := e.must(201, "POST", path, rule(object{"direction": "ingress", "protocol": "tcp", "port_range_min": 22, "port_range_max": 22, "remote_ip_prefix": "2001:db8::/32", "ethertype": "IPv6"}))
	if made["used_in_non_default_sg"] != true || made["used_in_default_sg"] != false || made["remote_ip_prefix"] != "2001:db8::/32" {
		t.Errorf("default rule %v", made)
	}
	e.refused(409, "DefaultSecurityGroupRuleExists", "POST", path, rule(object{"direction": "ingress", "protocol": "6", "port_range_min": 22, "port_range_max": 22, "remote_ip_prefix": "2001:db8::/32", "ethertype": "IPv6"}))
	e.refused(400, "SecurityGroupInvalidPortRange", "POST", path, rule(object{"direction": "ingress", "protocol": "tcp", "port_range_min": 3, "port_range_max": 2}))
	e.refused(400, "SecurityGroupMultipleRemoteEntites", "POST", path, rule(object{"direction": "ingress", "remote_group_id": "PARENT", "remote_ip_prefix": "10.0.0.0/8"}))
	parent := e.must(201, "POST", path, rule(object{"direction": "ingress", "protocol": "udp", "remote_group_id": "PARENT"}))
	if parent["remote_group_id"] != "PARENT" {
		t.Errorf("default rule %v", parent)
	}
	b := group("b")
	own := 0
	for _, r := range b["security_group_rules"].([]any) {
		if r.(object)["remote_group_id"] == b["id"] {
			own++
		}
	}
	if rulesOf(b) != 4 || own != 1 {
		t.Errorf("group b: %v", b)
	}
	for _, r := range e.list(path) {
		if r := r.(object); r["direction"] == "egress" {
			e.must(204, "DELETE", path+"/"+r["id"].(string), nil)
			e.refused(404, "DefaultSecurityGroupRuleNotFound", "GET", path+"/"+r["id"].(string), nil)
		}
	}
	if n := rulesOf(group("c")); n != 2 {
		t.Errorf("without egress rules a new group begins with %d rules", n)
	}
	m := e.as("m")
	if g := m.list("/security-groups?name=default"); rulesOf(g[0].(object)) != 2 {
		t.Errorf("a default group then %v", g)
	}
	if got := len(m.list(path)); got != 4 {
		t.Errorf("a member sees %d default rules", got)
	}
	m.refused(403, "PolicyNotAuthorized", "POST", path, rule(object{"direction": "ingress"}))
	m.refused(403, "PolicyNotAuthorized", "DELETE", path+"/"+made["id"].(string), nil)
	e.reloaded(t)
}

func TestQoSOfFloatingIPsAndGateways(t *testing.T) {
	e := newEnv(t, nil)
	policy := e.must(201, "POST", "/qos/policies", object{"policy": object{"name": "p", "shared": true}})["id"].(string)
	ext := e.create("network", object{"router:external": true})["id"].(string)
	e.create("subnet", object{"network_id": ext, "ip_version": 4, "cidr": "203.0.113.0/24"})
	f := e.create("floatingip", object{"floating_network_id": ext, "qos_policy_id": policy})
	if f["qos_policy_id"] != policy {
		t.Errorf("floating IP %v", f)
	}
	e.refused(404, "QosPolicyNotFound", "PUT", "/floatingips/"+f["id"].(string), object{"floatingip": object{"qos_policy_id": net0}})
	e.refused(409, "QosPolicyInUse", "DELETE", "/qos/policies/"+policy, nil)
	e.must(200, "PUT", "/floatingips/"+f["id"].(string), object{"floatingip": object{"qos_policy_id": nil}})
	gateway := func(more object) object {
		more["network_id"] = ext
		return object{"router": object{"external_gateway_info": more}}
	}
	shown := func(r object) any { return r["external_gateway_info"].(object)["qos_policy_id"] }
	r := e.must(201, "POST", "/routers", gateway(object{"qos_policy_id": policy}))
	path := "/routers/" + r["id"].(string)
	if shown(r) != policy || shown(e.must(200, "PUT", path, gateway(object{"enable_snat": false}))) != policy {
		t.Errorf("router %v", e.show(path))
	}
	e.refused(409, "QosPolicyInUse", "DELETE", "/qos/policies/"+policy, nil)
	e.refused(404, "QosPolicyNotFound", "PUT", path, gateway(object{"qos_policy_id": net0}))
	if got := shown(e.must(200, "PUT", path, gateway(object{"qos_policy_id": nil}))); got != nil {
		t.Errorf("taken away: %v", got)
	}
	e.must(200, "PUT", path, gateway(object{"qos_policy_id": policy}))
	e.must(200, "PUT", path, object{"router": object{"external_gateway_info": nil}})
	e.must(204, "DELETE", "/qos/policies/"+policy, nil)
}

func TestCardMAC(t *testing.T) {
	e := newEnv(t, nil)
	net := e.network("n")
	card := func(mac string) object {
		return object{"binding:vnic_type": "direct-physical", "binding:host_id": "h", "binding:profile": object{"device_mac_address": mac}}
	}
	attrs := card("aa:bb:cc:00:00:01")
	attrs["network_id"] = net
	p := e.create("port", attrs)
	path := "/ports/" + p["id"].(string)
	if p["mac_address"] != "aa:bb:cc:00:00:01" {
		t.Errorf("port %v", p)
	}
	if p = e.must(200, "PUT", path, object{"port": card("aa:bb:cc:00:00:02")}); p["mac_address"] != "aa:bb:cc:00:00:02" {
		t.Errorf("on another card: %v", p)
	}
	e.refused(400, "BadRequest", "PUT", path, object{"port": card("tea")})
	other := e.create("port", object{"network_id": net})
	e.refused(409, "MacAddressInUse", "PUT", path, object{"port": card(other["mac_address"].(string))})
	p = e.must(200, "PUT", path, object{"port": object{"binding:host_id": "", "binding:profile": object{}}})
	m, err := model.ParseMAC(p["mac_address"].(string))
	if base := rules.Defaults().BaseMAC; err != nil || [3]byte(m[:3]) != [3]byte(base[:3]) {
		t.Errorf("away from the card: %v", p)
	}
}

func TestRouterPortsKeepTheirAddresses(t *testing.T) {
	e := newEnv(t, nil)
	net := e.network("n")
	s := e.create("subnet", object{"network_id": net, "ip_version": 4, "cidr": "10.0.0.0/24"})["id"]
	router := e.create("router", object{})["id"].(string)
	port := e.must(200, "PUT", "/routers/"+router+"/add_router_interface", object{"subnet_id": s})["port_id"].(string)
	e.refused(400, "BadRequest", "PUT", "/ports/"+port, object{"port": object{"fixed_ips": []object{{"ip_address": "10.0.0.9"}}}})
	e.must(200, "PUT", "/ports/"+port, object{"port": object{"fixed_ips": []object{{"subnet_id": s}}}})
	if got := e.show("/ports/" + port)["fixed_ips"].([]any)[0].(object)["ip_address"]; got != "10.0.0.1" {
		t.Errorf("address %v", got)
	}
}
