package api_test

import (
	"slices"
	"testing"

	"github.com/weft-cloud/weft/internal/server/rules"
)

// dhcpPorts are the network's network:dhcp ports.
func (e *env) dhcpPorts(net string) []object {
	e.t.Helper()
	_, list := e.do("GET", "/ports?device_owner=network:dhcp&network_id="+net, nil)
	var out []object
	for _, p := range list["ports"].([]any) {
		out = append(out, p.(object))
	}
	return out
}

func fixedIPs(p object) []string {
	var out []string
	for _, f := range p["fixed_ips"].([]any) {
		out = append(out, f.(object)["ip_address"].(string))
	}
	slices.Sort(out)
	return out
}

// TestDHCPPorts follows a network's DHCP port through the life of its subnets.
func TestDHCPPorts(t *testing.T) {
	e := newEnv(t, nil)
	e.host("c1.example.org", "192.168.70.11", "dvr")
	net := e.network("n")
	if got := e.dhcpPorts(net); len(got) != 0 {
		t.Fatalf("without a subnet: %v", got)
	}
	e.subnet(net, "10.0.0.0/24", object{"enable_dhcp": false})
	if got := e.dhcpPorts(net); len(got) != 0 {
		t.Fatalf("without DHCP: %v", got)
	}
	v4 := e.subnet(net, "10.0.1.0/24", nil)
	ports := e.dhcpPorts(net)
	if len(ports) != 1 {
		t.Fatalf("%d ports, want 1", len(ports))
	}
	p := ports[0]
	// uuid5(NAMESPACE_DNS, "c1"), as Python's uuid module gives it.
	if want := "dhcp027eb444-bfc5-5f85-9f34-eb09aaaad16d-" + net; p["device_id"] != want {
		t.Errorf("device_id %v, want %s", p["device_id"], want)
	}
	for k, v := range map[string]any{"binding:host_id": "c1.example.org", "status": "ACTIVE", "admin_state_up": true, "port_security_enabled": false,
		"name": "", "binding:vif_type": "tap"} {
		if p[k] != v {
			t.Errorf("%s is %v, want %v", k, p[k], v)
		}
	}
	_, shown := e.do("GET", "/networks/"+net, nil)
	if p["project_id"] != shown["network"].(object)["project_id"] {
		t.Errorf("project %v", p["project_id"])
	}
	if got := fixedIPs(p); !slices.Equal(got, []string{"10.0.1.2"}) {
		t.Errorf("addresses %v", got)
	}
	slaac := e.subnet(net, "2001:db8:1::/64", object{"ip_version": 6, "ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"})
	stateful := e.subnet(net, "2001:db8:2::/64", object{"ip_version": 6, "ipv6_ra_mode": "dhcpv6-stateful", "ipv6_address_mode": "dhcpv6-stateful"})
	now := e.dhcpPorts(net)
	if len(now) != 1 || now[0]["id"] != p["id"] || len(fixedIPs(now[0])) != 3 {
		t.Fatalf("after IPv6 subnets: %v", now)
	}
	e.must(200, "PUT", "/subnets/"+v4, object{"subnet": object{"enable_dhcp": false}})
	if got := fixedIPs(e.dhcpPorts(net)[0]); len(got) != 2 || slices.Contains(got, "10.0.1.2") {
		t.Errorf("after DHCP was switched off for IPv4: %v", got)
	}
	e.must(204, "DELETE", "/ports/"+p["id"].(string), nil)
	if again := e.dhcpPorts(net); len(again) != 1 || again[0]["id"] == p["id"] || len(fixedIPs(again[0])) != 2 {
		t.Errorf("after a client deleted it: %v", again)
	}
	e.must(204, "DELETE", "/subnets/"+stateful, nil)
	e.must(204, "DELETE", "/subnets/"+slaac, nil)
	if got := e.dhcpPorts(net); len(got) != 0 {
		t.Errorf("without a subnet with DHCP: %v", got)
	}
	e.must(200, "PUT", "/subnets/"+v4, object{"subnet": object{"enable_dhcp": true}})
	if got := e.dhcpPorts(net); len(got) != 1 {
		t.Errorf("with DHCP again: %v", got)
	}
	e.must(204, "DELETE", "/networks/"+net, nil)
	if got := e.dhcpPorts(net); len(got) != 0 {
		t.Errorf("the network is gone, and left %v", got)
	}
}

// TestDHCPPortsComeWithHosts: a network made while no agent lives gets its port when one comes; a deleted agent's goes over to
// another; more agents per network are more ports.
func TestDHCPPortsComeWithHosts(t *testing.T) {
	e := newEnv(t, func(c *rules.Config) { c.DHCPAgents = 2 })
	net := e.network("n")
	e.subnet(net, "10.0.0.0/29", nil)
	if got := e.dhcpPorts(net); len(got) != 0 {
		t.Fatalf("nobody lives, and there are %v", got)
	}
	for i, h := range []string{"c1", "c2", "c3"} {
		e.host(h, "192.168.70.1"+h[1:], "dvr")
		if got := e.dhcpPorts(net); len(got) != min(i+1, 2) {
			t.Fatalf("%d hosts, and %d ports", i+1, len(got))
		}
	}
	_, list := e.do("GET", "/agents?host=c1&agent_type=DHCP%20agent", nil)
	e.must(204, "DELETE", "/agents/"+list["agents"].([]any)[0].(object)["id"].(string), nil)
	var on []string
	for _, p := range e.dhcpPorts(net) {
		on = append(on, p["binding:host_id"].(string))
	}
	slices.Sort(on)
	if !slices.Equal(on, []string{"c2", "c3"}) {
		t.Errorf("after c1's agent was deleted, the ports are on %v", on)
	}
	full := e.network("full")
	e.subnet(full, "10.0.0.0/30", object{"gateway_ip": nil, "allocation_pools": []object{{"start": "10.0.0.1", "end": "10.0.0.1"}}})
	if got := e.dhcpPorts(full); len(got) != 1 {
		t.Errorf("one address, and %d ports", len(got))
	}
}
