package api_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/rules"
	"github.com/weft-cloud/weft/internal/server/world"
)

// outsideCloud is an external flat network with a router, and an instance's port on a compute host behind it. "ctl" is the only
// gateway host.
func outsideCloud(t *testing.T) (e *env, public, router, port string) {
	e = newEnv(t, nil)
	e.hostWith("ctl", 1, model.ModeDVRSNAT, "public")
	e.hostWith("c1", 2, model.ModeDVR, "public")
	e.hostWith("c2", 3, model.ModeDVRNoExternal, "")
	public = e.create("network", object{"router:external": true, "provider:network_type": "flat", "provider:physical_network": "public"})["id"].(string)
	e.create("subnet", object{"network_id": public, "ip_version": 4, "cidr": "203.0.113.0/29", "enable_dhcp": false})
	net := newNet(e)
	subnet := e.create("subnet", object{"network_id": net, "ip_version": 4, "cidr": "10.0.0.0/24"})["id"].(string)
	router = e.create("router", object{"distributed": true, "external_gateway_info": object{"network_id": public}})["id"].(string)
	e.must(200, "PUT", "/routers/"+router+"/add_router_interface", object{"subnet_id": subnet})
	port = e.create("port", object{"network_id": net, "device_owner": "compute:nova", "device_id": "vm", "binding:host_id": "c1"})["id"].(string)
	return e, public, router, port
}

// hostWith registers a host with a physical network, or none.
func (e *env) hostWith(name string, n byte, mode, physnet string) {
	e.t.Helper()
	e.setAlive(name, true)
	h := &model.Host{Name: name, VTEP: netip.AddrFrom4([4]byte{192, 0, 2, n}), AgentMode: mode, DataPlane: "ebpf"}
	if physnet != "" {
		h.BridgeMappings = map[string]string{physnet: "br-ex"}
	}
	e.write(func(tx *world.Tx) error { return e.rules.RegisterHost(tx, h) })
}

func (e *env) setAlive(name string, alive bool) {
	e.live.mu.Lock()
	defer e.live.mu.Unlock()
	e.live.live[name] = alive
}

func (e *env) l3(host string) string {
	e.t.Helper()
	for _, a := range e.list("/agents?host=" + host) {
		if a.(object)["agent_type"] == model.AgentL3 {
			return a.(object)["id"].(string)
		}
	}
	e.t.Fatalf("no L3 agent on %s", host)
	return ""
}

// gatewayHost is what the L3 agents' API says.
func (e *env) gatewayHost(router string) string {
	var hosts []string
	for _, a := range e.list("/routers/" + router + "/l3-agents") {
		hosts = append(hosts, a.(object)["host"].(string))
	}
	return strings.Join(hosts, ",")
}

// owned are the ports of a router by owner: "host status" of each.
func (e *env) owned(router, owner string) []string {
	var out []string
	for _, p := range e.list("/ports?device_id=" + router + "&device_owner=" + owner) {
		out = append(out, fmt.Sprint(p.(object)["binding:host_id"], " ", p.(object)["status"]))
	}
	slices.Sort(out)
	return out
}

func TestGatewayIsPlacedWhereItCanBe(t *testing.T) {
	e, _, router, _ := outsideCloud(t)
	if got := e.gatewayHost(router); got != "ctl" {
		t.Fatalf("placed on %q", got)
	}
	for _, owner := range []string{model.OwnerRouterGateway, model.OwnerRouterSNAT} {
		if got := e.owned(router, owner); !slices.Equal(got, []string{"ctl DOWN"}) {
			t.Errorf("%s: %v", owner, got)
		}
	}
	e.hostWith("g2", 4, model.ModeDVRSNAT, "") // without the physical network
	e.hostWith("g3", 5, model.ModeLegacy, "public")
	for _, h := range []string{"g2", "g3"} {
		e.refused(409, "RouterL3AgentMismatch", "POST", "/agents/"+e.l3(h)+"/l3-routers", object{"router_id": router})
	}
	e.refused(409, "DVRL3CannotAssignToDvrAgent", "POST", "/agents/"+e.l3("c1")+"/l3-routers", object{"router_id": router})
	e.hostWith("g4", 6, model.ModeDVRSNAT, "public")
	e.must(201, "POST", "/agents/"+e.l3("g4")+"/l3-routers", object{"router_id": router})
	if got := e.owned(router, model.OwnerRouterSNAT); e.gatewayHost(router) != "g4" || !slices.Equal(got, []string{"g4 DOWN"}) {
		t.Errorf("moved to %q, SNAT port %v", e.gatewayHost(router), got)
	}
	e.hostWith("g4", 6, model.ModeDVRSNAT, "") // its physical network goes
	if got := e.gatewayHost(router); got != "ctl" {
		t.Errorf("after its host lost the physical network: on %q", got)
	}
	e.hostWith("g4", 6, model.ModeDVRSNAT, "public")
	e.setAlive("ctl", false)
	if n := len(e.rules.Orphans(e.writer.Snapshot())); n != 1 {
		t.Errorf("%d orphans of a dead host", n)
	}
	e.write(e.rules.Failover)
	if got := e.gatewayHost(router); got != "g4" {
		t.Errorf("after its host died: on %q", got)
	}
	e.must(204, "DELETE", "/agents/"+e.l3("g4"), nil)
	if got := e.gatewayHost(router); got != "" {
		t.Errorf("after its agent was deleted, and no other lives: on %q", got)
	}
	found := false
	for _, p := range e.rules.Problems(e.writer.Snapshot()) {
		found = found || p.ID == router && strings.Contains(p.Why, "physical network public")
	}
	if !found {
		t.Errorf("problems: %v", e.rules.Problems(e.writer.Snapshot()))
	}
	e.setAlive("ctl", true)
	e.hostWith("ctl", 1, model.ModeDVRSNAT, "public")
	if got := e.gatewayHost(router); got != "ctl" || len(e.rules.Problems(e.writer.Snapshot())) != 0 {
		t.Errorf("after a host came back: on %q, problems %v", got, e.rules.Problems(e.writer.Snapshot()))
	}
}

// floating reports of a floating IP as a host, and tells its status.
func (e *env) floating(id, host string, up bool, old uint64) string {
	e.t.Helper()
	f := e.stored(id)
	e.write(func(tx *world.Tx) error {
		return e.rules.FloatingIPsReported(tx, host, []rules.FloatingIPReport{{ID: f.ID, Up: up, Since: f.Since - old}})
	})
	return e.must(200, "GET", "/floatingips/"+id, nil)["status"].(string)
}

func (e *env) stored(id string) *model.FloatingIP {
	u, err := model.ParseUUID(id)
	if err != nil {
		e.t.Fatal(err)
	}
	return e.writer.Snapshot().FloatingIPs.Get(model.FloatingIPID{UUID: u})
}

func (e *env) placed(id string) string {
	host, central := rules.PlaceFloatingIP(e.writer.Snapshot(), e.stored(id))
	if central {
		return host + " central"
	}
	return host
}

func TestFloatingIPIsActiveWhereItIsProgrammed(t *testing.T) {
	e, public, _, port := outsideCloud(t)
	id := e.create("floatingip", object{"floating_network_id": public, "port_id": port})["id"].(string)
	if got := e.placed(id); got != "c1" {
		t.Fatalf("placed on %q", got)
	}
	for _, step := range []struct {
		name, host string
		up         bool
		old        uint64
		want       string
	}{
		{"another host says so", "ctl", true, 0, "DOWN"},
		{"of what it led to before", "c1", true, 1, "DOWN"},
		{"its host", "c1", true, 0, "ACTIVE"},
		{"another host has it not", "ctl", false, 0, "ACTIVE"},
		{"its host has it no more", "c1", false, 0, "DOWN"},
		{"and again", "c1", true, 0, "ACTIVE"},
	} {
		if got := e.floating(id, step.host, step.up, step.old); got != step.want {
			t.Errorf("%s: %s, want %s", step.name, got, step.want)
		}
	}
	status := func() any { return e.must(200, "GET", "/floatingips/"+id, nil)["status"] }
	e.must(200, "PUT", "/ports/"+port, object{"port": object{"binding:host_id": "c2"}})
	if got := e.placed(id); got != "ctl central" || status() != "DOWN" {
		t.Errorf("on a host without the external network: placed on %q, %v", got, status())
	}
	if got := e.floating(id, "ctl", true, 0); got != "ACTIVE" {
		t.Errorf("programmed centrally: %s", got)
	}
	e.must(200, "PUT", "/ports/"+port, object{"port": object{"binding:host_id": "c1"}})
	if status() != "DOWN" {
		t.Error("ACTIVE before its new host has said so")
	}
	e.floating(id, "c1", true, 0)
	for _, to := range []any{nil, port} {
		e.must(200, "PUT", "/floatingips/"+id, object{"floatingip": object{"port_id": to}})
	}
	if status() != "DOWN" {
		t.Error("led away and back, it is ACTIVE before its host has said so")
	}
}

// A router changes its kind and back while it is down; floating IP and SNAT are there afterwards.
func TestRouterChangesItsKind(t *testing.T) {
	e, public, router, port := outsideCloud(t)
	id := e.create("floatingip", object{"floating_network_id": public, "port_id": port})["id"].(string)
	e.floating(id, "c1", true, 0)
	address := e.must(200, "GET", "/floatingips/"+id, nil)["floating_ip_address"]
	gateway := e.must(200, "GET", "/routers/"+router, nil)["external_gateway_info"]
	put := func(attrs object) { e.must(200, "PUT", "/routers/"+router, object{"router": attrs}) }
	e.refused(400, "BadRequest", "PUT", "/routers/"+router, object{"router": object{"distributed": false}})
	put(object{"admin_state_up": false})
	put(object{"distributed": false})
	put(object{"admin_state_up": true})
	if got := e.placed(id); got != "ctl central" {
		t.Errorf("floating IP of a centralized router: %q", got)
	}
	if got := e.owned(router, model.OwnerRouterSNAT); len(got) != 0 {
		t.Errorf("SNAT ports left: %v", got)
	}
	if got := e.owned(router, model.OwnerRouterInterface); !slices.Equal(got, []string{"ctl DOWN"}) {
		t.Errorf("interfaces: %v", got)
	}
	put(object{"admin_state_up": false})
	put(object{"distributed": true})
	put(object{"admin_state_up": true})
	if got := e.placed(id); got != "c1" {
		t.Errorf("floating IP of a distributed router: %q", got)
	}
	if got := e.owned(router, model.OwnerRouterSNAT); !slices.Equal(got, []string{"ctl DOWN"}) {
		t.Errorf("SNAT ports: %v", got)
	}
	f := e.must(200, "GET", "/floatingips/"+id, nil)
	if f["floating_ip_address"] != address || f["port_id"] != port || f["router_id"] != router {
		t.Errorf("floating IP: %v", f)
	}
	if got := e.must(200, "GET", "/routers/"+router, nil)["external_gateway_info"]; fmt.Sprint(got) != fmt.Sprint(gateway) {
		t.Errorf("gateway %v, was %v", got, gateway)
	}
}

// An external network without addresses is said to be, where people look, until it has one again.
func TestExhaustedExternalNetworkIsSaid(t *testing.T) {
	e, public, _, _ := outsideCloud(t)
	problems := func(host string) any {
		conf := e.must(200, "GET", "/agents/"+e.l3(host), nil)["configurations"].(object)
		if conf["agent_mode"] == nil {
			t.Errorf("the agent's own configuration is gone: %v", conf)
		}
		return conf["problems"]
	}
	var ids []string
	for problems("ctl") == nil {
		ids = append(ids, e.create("floatingip", object{"floating_network_id": public})["id"].(string))
	}
	if len(ids) != 4 { // six addresses, of which the subnet's gateway has one and the router one
		t.Errorf("exhausted after %d", len(ids))
	}
	e.refused(409, "IpAddressGenerationFailure", "POST", "/floatingips", object{"floatingip": object{"floating_network_id": public}})
	if p := fmt.Sprint(problems("ctl")); !strings.Contains(p, "no free IPv4 address") || problems("c1") != nil {
		t.Errorf("ctl says %s, c1 %v", p, problems("c1"))
	}
	e.must(204, "DELETE", "/floatingips/"+ids[0], nil)
	if p := problems("ctl"); p != nil {
		t.Errorf("healed, and still: %v", p)
	}
}

// A gateway host without the physical network is said to be, where people look, as long as a router needs it and no other has it.
func TestGatewayHostWithoutPhysicalNetworkIsSaid(t *testing.T) {
	e, public, _, _ := outsideCloud(t)
	problems := func(host string) string {
		conf := e.must(200, "GET", "/agents/"+e.l3(host), nil)["configurations"].(object)
		if conf["problems"] == nil {
			return ""
		}
		return fmt.Sprint(conf["problems"])
	}
	if p := problems("ctl"); p != "" {
		t.Fatal(p)
	}
	e.hostWith("ctl", 1, model.ModeDVRSNAT, "") // a router that is there stays, and its agent says what is wrong; another finds no host
	if p := problems("ctl"); p != "" {
		t.Errorf("nobody needs it, and yet: %v", p)
	}
	e.create("router", object{"distributed": true, "external_gateway_info": object{"network_id": public}})
	if p := problems("ctl"); !strings.Contains(p, "bridge_mappings of this host does not name the physical network public") || !strings.Contains(p, "1 routers") || problems("c1") != "" {
		t.Errorf("ctl says %q, c1 %q", p, problems("c1"))
	}
	e.hostWith("ctl", 1, model.ModeDVRSNAT, "public")
	if p := problems("ctl"); p != "" {
		t.Errorf("healed, and still: %v", p)
	}
}

// A gateway on a network that had no subnet, or none of a family, gets its address with the subnet.
func TestGatewayGetsAddressOfNewSubnet(t *testing.T) {
	e, public, _, _ := outsideCloud(t)
	empty := e.create("network", object{"router:external": true})["id"].(string)
	router := e.create("router", object{"external_gateway_info": object{"network_id": empty}})["id"].(string)
	addresses := func() (out []string) {
		info := e.must(200, "GET", "/routers/"+router, nil)["external_gateway_info"].(object)
		for _, f := range info["external_fixed_ips"].([]any) {
			out = append(out, f.(object)["ip_address"].(string))
		}
		return out
	}
	if got := addresses(); len(got) != 0 {
		t.Fatalf("addresses of no subnet: %v", got)
	}
	e.create("subnet", object{"network_id": empty, "ip_version": 4, "cidr": "198.51.100.0/24"})
	e.create("subnet", object{"network_id": empty, "ip_version": 6, "cidr": "2001:db8:7::/64"})
	e.create("subnet", object{"network_id": empty, "ip_version": 4, "cidr": "192.0.2.0/24"})
	if got := addresses(); len(got) != 2 || !strings.HasPrefix(got[0], "198.51.100.") || !strings.HasPrefix(got[1], "2001:db8:7:") {
		t.Errorf("addresses: %v", got)
	}
	e.create("subnet", object{"network_id": public, "ip_version": 6, "cidr": "2001:db8:8::/64"})
}

// TestGatewayNamedAsItIs: addresses that name the gateway's subnets and addresses, and one of the subnets once more, change nothing, as in
// Neutron (gophercloud's acceptance tests count on it); a subnet alone keeps its address; more addresses, fewer and others are brought about.
func TestGatewayNamedAsItIs(t *testing.T) {
	e := newEnv(t, nil)
	public := e.create("network", object{"router:external": true})["id"].(string)
	v4 := e.create("subnet", object{"network_id": public, "ip_version": 4, "cidr": "198.51.100.0/24"})["id"].(string)
	v6 := e.create("subnet", object{"network_id": public, "ip_version": 6, "cidr": "2001:db8:7::/64"})["id"].(string)
	named := func(subnet, addr string) object {
		o := object{}
		if subnet != "" {
			o["subnet_id"] = subnet
		}
		if addr != "" {
			o["ip_address"] = addr
		}
		return o
	}
	router := e.create("router", object{"external_gateway_info": object{"network_id": public,
		"external_fixed_ips": []any{named(v4, "198.51.100.9"), named(v6, "2001:db8:7::9")}}})["id"].(string)
	for _, c := range []struct {
		asked []any
		want  string
	}{
		{[]any{named(v4, "198.51.100.9"), named(v6, "2001:db8:7::9"), named(v4, "")}, "198.51.100.9 2001:db8:7::9"},
		{[]any{named(v4, "198.51.100.9"), named(v6, "2001:db8:7::9"), named(v6, "")}, "198.51.100.9 2001:db8:7::9"},
		{[]any{named(v4, ""), named(v6, "")}, "198.51.100.9 2001:db8:7::9"},
		{[]any{named(v4, "198.51.100.9"), named(v4, "198.51.100.10"), named(v6, "2001:db8:7::9")}, "198.51.100.10 198.51.100.9 2001:db8:7::9"},
		{[]any{named(v4, "198.51.100.10"), named(v6, "2001:db8:7::8")}, "198.51.100.10 2001:db8:7::8"},
		{[]any{named(v4, "198.51.100.10")}, "198.51.100.10"},
	} {
		info := e.must(200, "PUT", "/routers/"+router, object{"router": object{"external_gateway_info": object{"network_id": public, "external_fixed_ips": c.asked}}})
		var got []string
		for _, f := range info["external_gateway_info"].(object)["external_fixed_ips"].([]any) {
			got = append(got, f.(object)["ip_address"].(string))
		}
		slices.Sort(got)
		if strings.Join(got, " ") != c.want {
			t.Errorf("asked for %v: %v, want %s", c.asked, got, c.want)
		}
	}
}
