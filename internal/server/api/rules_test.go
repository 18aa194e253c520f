package api_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/rules"
	"github.com/weft-cloud/weft/internal/server/world"
)

func (e *env) network(name string) string {
	e.t.Helper()
	return e.create("network", object{"name": name})["id"].(string)
}

func (e *env) subnet(net, cidr string, more object) string {
	e.t.Helper()
	version := 4
	if slices.Contains([]byte(cidr), ':') {
		version = 6
	}
	attrs := object{"network_id": net, "cidr": cidr, "ip_version": version}
	for k, v := range more {
		attrs[k] = v
	}
	return e.create("subnet", attrs)["id"].(string)
}

// addresses are a port's addresses in order.
func addresses(port object) []string {
	var out []string
	for _, f := range port["fixed_ips"].([]any) {
		out = append(out, f.(object)["ip_address"].(string))
	}
	return out
}

func TestAddresses(t *testing.T) {
	e := newEnv(t, nil)
	net := e.network("n")
	e.subnet(net, "10.0.0.0/29", nil) // .2 to .6
	port := func(attrs object) (int, object) {
		attrs["network_id"] = net
		code, out := e.do("POST", "/ports", object{"port": attrs})
		p, _ := out["port"].(object)
		return code, p
	}
	seen := map[string]bool{}
	var last object
	for range 5 {
		code, p := port(object{})
		if code != 201 || seen[addresses(p)[0]] {
			t.Fatalf("%d %v after %v", code, p, seen)
		}
		seen[addresses(p)[0]], last = true, p
	}
	e.refused(409, "IpAddressGenerationFailure", "POST", "/ports", object{"port": object{"network_id": net}})
	e.must(204, "DELETE", "/ports/"+last["id"].(string), nil)
	if code, p := port(object{}); code != 201 || addresses(p)[0] != addresses(last)[0] {
		t.Errorf("the only address left was not handed out again: %d %v", code, p)
	}
	e.refused(400, "InvalidIpForNetwork", "POST", "/ports", object{"port": object{"network_id": net, "fixed_ips": []object{{"ip_address": "10.0.0.7"}}}})
	e.refused(400, "InvalidInput", "POST", "/ports", object{"port": object{"network_id": net, "fixed_ips": []object{{}}}})
	if code, p := port(object{"fixed_ips": []object{}}); code != 201 || len(addresses(p)) != 0 {
		t.Errorf("without addresses: %d %v", code, p)
	}
}

// TestReleasedAddressIsNotTheNext gives two of five addresses back, and expects three others before either.
func TestReleasedAddressIsNotTheNext(t *testing.T) {
	for range 20 {
		e := newEnv(t, nil)
		net := e.network("n")
		e.subnet(net, "10.0.0.0/29", nil)
		back := map[string]bool{}
		for range 2 {
			p := e.create("port", object{"network_id": net})
			back[addresses(p)[0]] = true
			e.must(204, "DELETE", "/ports/"+p["id"].(string), nil)
		}
		for range 5 - len(back) {
			if p := e.create("port", object{"network_id": net}); back[addresses(p)[0]] {
				t.Fatalf("%v was handed out again although others were left", addresses(p))
			}
		}
	}
}

func TestIPv6(t *testing.T) {
	e := newEnv(t, nil)
	net := e.network("n")
	e.subnet(net, "10.0.0.0/24", nil)
	early := e.create("port", object{"network_id": net, "mac_address": "fa:16:3e:00:00:01"})
	slaac := e.subnet(net, "fd00:1::/64", object{"ipv6_address_mode": "slaac", "ipv6_ra_mode": "slaac"})
	e.subnet(net, "fd00:2::/64", object{"ipv6_address_mode": "dhcpv6-stateful", "ipv6_ra_mode": "dhcpv6-stateful"})
	got := addresses(e.must(200, "GET", "/ports/"+early["id"].(string), nil))
	if !slices.Contains(got, "fd00:1::f816:3eff:fe00:1") {
		t.Errorf("a new SLAAC subnet gave an old port %v", got)
	}
	p := e.create("port", object{"network_id": net, "mac_address": "fa:16:3e:00:00:02"})
	if got := addresses(p); len(got) != 3 || !slices.Contains(got, "fd00:1::f816:3eff:fe00:2") {
		t.Errorf("addresses %v", got)
	}
	e.refused(400, "AllocationOnAutoAddressSubnet", "POST", "/ports",
		object{"port": object{"network_id": net, "fixed_ips": []object{{"subnet_id": slaac, "ip_address": "fd00:1::9"}}}})
	id := p["id"].(string)
	moved := e.must(200, "PUT", "/ports/"+id, object{"port": object{"mac_address": "fa:16:3e:00:00:03"}})
	if got := addresses(moved); !slices.Contains(got, "fd00:1::f816:3eff:fe00:3") || slices.Contains(got, "fd00:1::f816:3eff:fe00:2") {
		t.Errorf("after a new MAC %v", got)
	}
	e.must(204, "DELETE", "/subnets/"+slaac, nil)
	if got := addresses(e.must(200, "GET", "/ports/"+id, nil)); len(got) != 2 {
		t.Errorf("after its SLAAC subnet went: %v", got)
	}
}

func TestSubnets(t *testing.T) {
	e := newEnv(t, nil)
	net := e.network("n")
	for _, tt := range []struct {
		name   string
		attrs  object
		status int
		typ    string
	}{
		{"gateway is the network", object{"cidr": "10.0.0.0/24", "ip_version": 4, "gateway_ip": "10.0.0.0"}, 400, "InvalidInput"},
		{"gateway of another family", object{"cidr": "10.0.0.0/24", "ip_version": 4, "gateway_ip": "fd00::1"}, 400, "InvalidInput"},
		{"pool beyond", object{"cidr": "10.0.0.0/24", "ip_version": 4, "allocation_pools": []object{{"start": "10.0.0.2", "end": "10.0.1.2"}}}, 400, "OutOfBoundsAllocationPool"},
		{"pool backwards", object{"cidr": "10.0.0.0/24", "ip_version": 4, "allocation_pools": []object{{"start": "10.0.0.9", "end": "10.0.0.2"}}}, 400, "InvalidAllocationPool"},
		{"pools overlap", object{"cidr": "10.0.0.0/24", "ip_version": 4, "allocation_pools": []object{{"start": "10.0.0.2", "end": "10.0.0.9"}, {"start": "10.0.0.9", "end": "10.0.0.12"}}}, 409, "OverlappingAllocationPools"},
		{"DHCP on a /31", object{"cidr": "10.0.0.0/31", "ip_version": 4}, 400, "InvalidInput"},
		{"SLAAC on a /63", object{"cidr": "fd00::/63", "ip_version": 6, "ipv6_address_mode": "slaac"}, 400, "InvalidInput"},
		{"modes for IPv4", object{"cidr": "10.0.0.0/24", "ip_version": 4, "ipv6_ra_mode": "slaac"}, 400, "InvalidInput"},
		{"modes that differ", object{"cidr": "fd00::/64", "ip_version": 6, "ipv6_ra_mode": "slaac", "ipv6_address_mode": "dhcpv6-stateful"}, 400, "InvalidInput"},
		{"six nameservers", object{"cidr": "10.0.0.0/24", "ip_version": 4, "dns_nameservers": []string{"1.0.0.1", "1.0.0.2", "1.0.0.3", "1.0.0.4", "1.0.0.5", "1.0.0.6"}}, 400, "DNSNameServersExhausted"},
		{"ip_version 5", object{"cidr": "10.0.0.0/24", "ip_version": 5}, 400, "HTTPBadRequest"},
		{"no gateway", object{"cidr": "10.9.0.0/24", "ip_version": 4, "gateway_ip": nil}, 201, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e.t = t
			tt.attrs["network_id"] = net
			if tt.status == 201 {
				e.create("subnet", tt.attrs)
				return
			}
			e.refused(tt.status, tt.typ, "POST", "/subnets", object{"subnet": tt.attrs})
		})
	}
	e.t = t
	s := e.subnet(net, "10.0.0.0/24", nil)
	r := e.create("router", object{"name": "r"})["id"].(string)
	e.must(200, "PUT", "/routers/"+r+"/add_router_interface", object{"subnet_id": s})
	e.refused(409, "GatewayIpInUse", "PUT", "/subnets/"+s, object{"subnet": object{"gateway_ip": "10.0.0.9"}})
	e.refused(409, "SubnetInUse", "DELETE", "/subnets/"+s, nil)
	e.must(200, "PUT", "/routers/"+r+"/remove_router_interface", object{"subnet_id": s})
	before := e.must(200, "GET", "/networks/"+net, nil)["revision_number"].(float64)
	e.must(204, "DELETE", "/subnets/"+s, nil)
	if after := e.must(200, "GET", "/networks/"+net, nil)["revision_number"].(float64); after <= before {
		t.Errorf("the network's revision stayed %v", after)
	}
}

func TestSegments(t *testing.T) {
	e := newEnv(t, func(c *rules.Config) { c.VNIRanges = []rules.Range{{Min: 10, Max: 12}, {Min: 20, Max: 20}} })
	used := map[float64]string{}
	for i := range 4 {
		n := e.create("network", object{"name": fmt.Sprint(i)})
		vni := n["provider:segmentation_id"].(float64)
		if used[vni] != "" || (vni != 20 && (vni < 10 || vni > 12)) {
			t.Fatalf("VNI %v, used %v", vni, used)
		}
		used[vni] = n["id"].(string)
	}
	e.refused(503, "NoNetworkAvailable", "POST", "/networks", object{"network": object{}})
	e.refused(409, "TunnelIdInUse", "POST", "/networks", object{"network": object{"provider:network_type": "vxlan", "provider:segmentation_id": 11}})
	e.must(204, "DELETE", "/networks/"+used[11], nil)
	if n := e.create("network", object{}); n["provider:segmentation_id"].(float64) != 11 {
		t.Errorf("the VNI that was freed is not used: %v", n)
	}
	flat := object{"network": object{"provider:network_type": "flat", "provider:physical_network": "public"}}
	e.must(201, "POST", "/networks", flat)
	e.refused(409, "FlatNetworkInUse", "POST", "/networks", flat)
}

// routed is a server with a distributed router that has two subnets and a gateway.
func routed(t *testing.T) (e *env, router, ext string, subnets []string) {
	e = newEnv(t, func(c *rules.Config) { c.RouterDistributed = true })
	e.host("ctl", "192.0.2.1", model.ModeDVRSNAT)
	e.host("c1", "192.0.2.2", model.ModeDVR)
	e.host("c2", "192.0.2.3", model.ModeDVR)
	ext = e.create("network", object{"name": "ext", "router:external": true, "provider:network_type": "flat", "provider:physical_network": "public"})["id"].(string)
	e.subnet(ext, "203.0.113.0/24", object{"enable_dhcp": false})
	router = e.create("router", object{"name": "r"})["id"].(string)
	for i := range 2 {
		n := e.network(fmt.Sprint("n", i))
		s := e.subnet(n, fmt.Sprintf("10.0.%d.0/24", i), nil)
		subnets = append(subnets, s)
		e.must(200, "PUT", "/routers/"+router+"/add_router_interface", object{"subnet_id": s})
	}
	return e, router, ext, subnets
}

// owners counts the ports of a device by owner.
func (e *env) owners(device string) map[string]int {
	_, out := e.do("GET", "/ports?device_id="+device, nil)
	n := map[string]int{}
	for _, p := range out["ports"].([]any) {
		n[p.(object)["device_owner"].(string)]++
	}
	return n
}

func TestGatewayBringsSNATPorts(t *testing.T) {
	e, router, ext, subnets := routed(t)
	if n := e.owners(router); n[model.OwnerDVRInterface] != 2 || n[model.OwnerRouterSNAT] != 0 {
		t.Fatalf("before the gateway: %v", n)
	}
	set := func(v any) {
		e.must(200, "PUT", "/routers/"+router, object{"router": object{"external_gateway_info": v}})
	}
	set(object{"network_id": ext})
	if n := e.owners(router); n[model.OwnerRouterSNAT] != 2 || n[model.OwnerRouterGateway] != 1 {
		t.Fatalf("with the gateway: %v", n)
	}
	_, out := e.do("GET", "/ports?device_id="+router+"&device_owner="+model.OwnerRouterSNAT, nil)
	for _, p := range out["ports"].([]any) {
		if p := p.(object); p["binding:host_id"] != "ctl" || p["project_id"] != "" || p["binding:vif_type"] != "tap" {
			t.Errorf("SNAT port %v", p)
		}
	}
	e.must(200, "PUT", "/routers/"+router+"/remove_router_interface", object{"subnet_id": subnets[0]})
	if n := e.owners(router); n[model.OwnerRouterSNAT] != 1 {
		t.Errorf("after an interface went: %v", n)
	}
	e.refused(409, "RouterInUse", "DELETE", "/routers/"+router, nil)
	set(nil)
	if n := e.owners(router); n[model.OwnerRouterSNAT] != 0 || n[model.OwnerRouterGateway] != 0 {
		t.Errorf("after the gateway went: %v", n)
	}
	e.must(200, "PUT", "/routers/"+router+"/remove_router_interface", object{"subnet_id": subnets[1]})
	e.must(204, "DELETE", "/routers/"+router, nil)
	if n := e.owners(router); len(n) != 0 {
		t.Errorf("a deleted router left %v", n)
	}
}

func TestRouterKindChangesWhileDown(t *testing.T) {
	e, router, _, _ := routed(t)
	put := func(attrs object) (int, object) { return e.do("PUT", "/routers/"+router, object{"router": attrs}) }
	e.refused(400, "BadRequest", "PUT", "/routers/"+router, object{"router": object{"distributed": false}})
	put(object{"admin_state_up": false})
	if code, out := put(object{"distributed": false}); code != 200 {
		t.Fatalf("%d %v", code, out)
	}
	if n := e.owners(router); n[model.OwnerRouterInterface] != 2 || n[model.OwnerDVRInterface] != 0 {
		t.Errorf("centralized: %v", n)
	}
	put(object{"distributed": true})
	if n := e.owners(router); n[model.OwnerDVRInterface] != 2 {
		t.Errorf("distributed again: %v", n)
	}
}

func TestRoutes(t *testing.T) {
	e, router, _, subnets := routed(t)
	path := "/routers/" + router
	routes := func(hop string) object {
		return object{"router": object{"routes": []object{{"destination": "198.51.100.0/24", "nexthop": hop}}}}
	}
	e.refused(400, "InvalidRoutes", "PUT", path, routes("192.0.2.1"))
	e.refused(400, "InvalidRoutes", "PUT", path, routes("10.0.0.1"))
	e.must(200, "PUT", path, routes("10.0.0.7"))
	e.refused(409, "RouterInterfaceInUseByRoute", "PUT", path+"/remove_router_interface", object{"subnet_id": subnets[0]})
	e.must(200, "PUT", path+"/add_extraroutes", routes("10.0.1.7"))
	got := e.must(200, "PUT", path+"/remove_extraroutes", routes("10.0.0.7"))
	if list := got["routes"].([]any); len(list) != 1 || list[0].(object)["nexthop"] != "10.0.1.7" {
		t.Errorf("routes %v", got["routes"])
	}
}

// TestStatus follows ports that hosts report on.
func TestStatus(t *testing.T) {
	e, router, _, subnets := routed(t)
	net := e.must(200, "GET", "/subnets/"+subnets[0], nil)["network_id"]
	p := e.create("port", object{"network_id": net, "binding:host_id": "c1", "device_owner": "compute:nova", "device_id": "vm"})
	if p["status"] != "DOWN" || p["binding:vif_type"] != "tap" {
		t.Fatalf("new port %v", p)
	}
	failed := e.create("port", object{"network_id": net, "binding:host_id": "c9"})
	if failed["binding:vif_type"] != "binding_failed" {
		t.Errorf("on an unknown host: %v", failed["binding:vif_type"])
	}
	_, out := e.do("GET", "/ports?device_id="+router, nil)
	leg := out["ports"].([]any)[0].(object)["id"].(string)
	report := func(host string, up bool, ids ...string) {
		var ports []model.PortID
		for _, id := range ids {
			u, err := model.ParseUUID(id)
			if err != nil {
				t.Fatal(err)
			}
			ports = append(ports, model.PortID{UUID: u})
		}
		e.write(func(tx *world.Tx) error {
			if up {
				return e.rules.PortsReported(tx, host, ports, nil)
			}
			return e.rules.PortsReported(tx, host, nil, ports)
		})
	}
	status := func(id string) string { return e.must(200, "GET", "/ports/"+id, nil)["status"].(string) }
	id := p["id"].(string)
	report("c2", true, id)
	if s := status(id); s != "DOWN" {
		t.Errorf("%s after a report of a host that it is not on", s)
	}
	report("c1", true, id, leg)
	report("c2", true, leg)
	report("c1", false, leg)
	if s, l := status(id), status(leg); s != "ACTIVE" || l != "ACTIVE" {
		t.Errorf("port %s, leg %s", s, l)
	}
	report("c2", false, leg)
	if l := status(leg); l != "DOWN" {
		t.Errorf("leg %s when no host has it", l)
	}
	moved := e.must(200, "PUT", "/ports/"+id, object{"port": object{"binding:host_id": "c2"}})
	if moved["status"] != "DOWN" {
		t.Errorf("status %v after a move", moved["status"])
	}
	e.host("c9", "192.0.2.9", model.ModeDVR)
	if got := e.must(200, "GET", "/ports/"+failed["id"].(string), nil)["binding:vif_type"]; got != "tap" {
		t.Errorf("after its host came: %v", got)
	}
}

func TestAgents(t *testing.T) {
	e, _, _, _ := routed(t)
	_, out := e.do("GET", "/agents?host=c1", nil)
	agents := out["agents"].([]any)
	if len(agents) != 4 {
		t.Fatalf("%d agents", len(agents))
	}
	macs := map[model.MAC]bool{}
	for h := range e.writer.Snapshot().Hosts.All() {
		if macs[h.DVRMAC] || h.DVRMAC[0] != 0xfa || h.DVRMAC[2] != 0x3f {
			t.Errorf("DVR MAC %s", h.DVRMAC)
		}
		macs[h.DVRMAC] = true
	}
	for _, a := range agents {
		a := a.(object)
		if a["alive"] != true {
			t.Errorf("%v is dead", a["agent_type"])
		}
		e.must(200, "PUT", "/agents/"+a["id"].(string), object{"agent": object{"admin_state_up": false, "description": "x"}})
		e.must(204, "DELETE", "/agents/"+a["id"].(string), nil)
	}
	if e.writer.Snapshot().Hosts.Get("c1") != nil {
		t.Error("the host outlives its agents")
	}
}

func TestSchedulers(t *testing.T) {
	e, router, ext, _ := routed(t)
	e.must(200, "PUT", "/routers/"+router, object{"router": object{"external_gateway_info": object{"network_id": ext}}})
	hosts := func(path string) (out []string) {
		_, list := e.do("GET", path, nil)
		for _, a := range list["agents"].([]any) {
			out = append(out, a.(object)["host"].(string))
		}
		slices.Sort(out)
		return out
	}
	if got := hosts("/routers/" + router + "/l3-agents"); !slices.Equal(got, []string{"ctl"}) {
		t.Errorf("router on %v", got)
	}
	agent := func(host, typ string) string {
		_, list := e.do("GET", "/agents?host="+host, nil)
		for _, a := range list["agents"].([]any) {
			if a := a.(object); a["agent_type"] == typ {
				return a["id"].(string)
			}
		}
		t.Fatal("no agent")
		return ""
	}
	l3 := "/agents/" + agent("ctl", model.AgentL3) + "/l3-routers"
	e.must(201, "POST", l3, object{"router_id": router}) // where it is already
	e.refused(409, "DVRL3CannotAssignToDvrAgent", "POST", "/agents/"+agent("c1", model.AgentL3)+"/l3-routers", object{"router_id": router})
	e.must(204, "DELETE", l3+"/"+router, nil)
	if got := hosts("/routers/" + router + "/l3-agents"); len(got) != 0 {
		t.Errorf("router on %v after it was taken away", got)
	}
	e.must(204, "DELETE", l3+"/"+router, nil) // no longer there: no fault, as in Neutron
	e.refused(409, "DVRL3CannotRemoveFromDvrAgent", "DELETE", "/agents/"+agent("c1", model.AgentL3)+"/l3-routers/"+router, nil)
	if code, _ := e.do("POST", l3, object{"router_id": router}); code != 201 {
		t.Errorf("giving it back: %d", code)
	}
	net := e.network("served")
	if got := hosts("/networks/" + net + "/dhcp-agents"); len(got) != 0 {
		t.Errorf("a network without subnets is served by %v", got)
	}
	e.subnet(net, "10.7.0.0/24", nil)
	first := hosts("/networks/" + net + "/dhcp-agents")
	if len(first) != 1 {
		t.Fatalf("served by %v, want one agent", first)
	}
	dhcp := "/agents/" + agent(first[0], model.AgentDHCP) + "/dhcp-networks"
	e.refused(409, "NetworkHostedByDHCPAgent", "POST", dhcp, object{"network_id": net})
	e.must(204, "DELETE", dhcp+"/"+net, nil)
	second := hosts("/networks/" + net + "/dhcp-agents")
	if len(second) != 1 || second[0] == first[0] {
		t.Errorf("served by %v after it was taken from %v", second, first)
	}
	e.refused(409, "NetworkNotHostedByDhcpAgent", "DELETE", dhcp+"/"+net, nil)
	if code, _ := e.do("POST", dhcp, object{"network_id": net}); code != 201 {
		t.Errorf("giving it back: %d", code)
	}
	if got := hosts("/networks/" + net + "/dhcp-agents"); len(got) != 2 {
		t.Errorf("served by %v, want both", got)
	}
	e.refused(404, "AvailabilityZoneNotFound", "POST", "/routers", object{"router": object{"availability_zone_hints": []string{"mars"}}})
	m := e.as("m")
	m.refused(403, "PolicyNotAuthorized", "POST", l3, object{"router_id": router})
}
