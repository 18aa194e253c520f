package api_test

import (
	"net/netip"
	"strings"
	"testing"
)

// addresses are a port's, by the name of their subnet.
func (e *env) addresses(port string) map[string]string {
	e.t.Helper()
	out := map[string]string{}
	for _, f := range e.show("/ports/" + port)["fixed_ips"].([]any) {
		f := f.(object)
		out[e.show("/subnets/" + f["subnet_id"].(string))["name"].(string)] = f["ip_address"].(string)
	}
	return out
}

// Whichever of the two modes says so, addresses are made of MACs, also those of ports that were there before.
func TestEitherModeMakesAddresses(t *testing.T) {
	for _, mode := range []string{"ipv6_ra_mode", "ipv6_address_mode"} {
		for _, value := range []string{"slaac", "dhcpv6-stateless", "dhcpv6-stateful"} {
			e := newEnv(t, nil)
			n := e.network("n")
			before := e.create("port", object{"network_id": n, "fixed_ips": []object{}})["id"].(string)
			e.create("subnet", object{"network_id": n, "name": "s", "ip_version": 6, "cidr": "2001:db8:1::/64", mode: value})
			after := e.create("port", object{"network_id": n, "fixed_ips": []object{}})
			auto := value != "dhcpv6-stateful"
			if a := e.addresses(before)["s"]; (a != "") != auto {
				t.Errorf("%s=%s: the port that was there has %q", mode, value, a)
			}
			a := e.addresses(after["id"].(string))["s"]
			if (a != "") != auto {
				t.Errorf("%s=%s: a port has %q", mode, value, a)
			}
			if auto && !strings.Contains(netip.MustParseAddr(a).StringExpanded(), "ff:fe") {
				t.Errorf("%s=%s: %s is not made of a MAC", mode, value, a)
			}
			if code, _ := e.do("POST", "/subnets", object{"subnet": object{"network_id": n, "ip_version": 6, "cidr": "2001:db8:2::/80", mode: value}}); (code == 400) != auto {
				t.Errorf("%s=%s: a /80 gives %d", mode, value, code)
			}
		}
	}
}

// A port's address comes of a subnet that is for ports of its owner, if there is one; DHCP serves all.
func TestSubnetsOfServices(t *testing.T) {
	e := newEnv(t, nil)
	n := e.network("n")
	subnet := func(name, cidr string, types ...string) {
		e.create("subnet", object{"network_id": n, "name": name, "ip_version": 4, "cidr": cidr, "service_types": append([]string{}, types...)})
	}
	port := func(owner string) string {
		a := e.addresses(e.create("port", object{"network_id": n, "device_owner": owner})["id"].(string))
		for name := range a {
			return name
		}
		return ""
	}
	subnet("vms", "10.8.0.0/24", "compute:nova")
	f := e.refused(409, "IpAddressGenerationFailureNoMatchingSubnet", "POST", "/ports", object{"port": object{"network_id": n, "device_owner": "other:thing"}})
	if !strings.Contains(f["message"].(string), "network "+n+", service type other:thing.") {
		t.Errorf("%v names neither network nor owner", f)
	}
	if got := port("network:dhcp"); got != "vms" {
		t.Errorf("a DHCP port is on %q", got)
	}
	subnet("all", "10.8.1.0/24")
	for range 8 { // which of several subnets is left to chance
		if got := port("compute:nova"); got != "vms" {
			t.Fatalf("an instance's port is on %q", got)
		}
	}
	if got := port(""); got != "all" {
		t.Errorf("a port of nobody is on %q", got)
	}
}

// An address of a range with its length stands for the range.
func TestRangeByAnyAddress(t *testing.T) {
	e := newEnv(t, nil)
	n := e.network("n")
	for in, want := range map[string]string{"10.3.3.7/24": "10.3.3.0/24", "2001:db8:0:78::5/64": "2001:db8:0:78::/64"} {
		version := 4
		if strings.Contains(in, ":") {
			version = 6
		}
		s := e.create("subnet", object{"network_id": n, "ip_version": version, "cidr": in})
		if s["cidr"] != want {
			t.Errorf("%s is %v, want %s", in, s["cidr"], want)
		}
		e.refused(400, "InvalidInput", "POST", "/subnets", object{"subnet": object{"network_id": n, "ip_version": version, "cidr": want}}) // overlaps
		p := e.create("port", object{"network_id": n, "allowed_address_pairs": []object{{"ip_address": in}}})
		if got := p["allowed_address_pairs"].([]any)[0].(object)["ip_address"]; got != in {
			t.Errorf("the pair %s is shown as %v", in, got)
		}
	}
}

func TestNoPoolsAskedFor(t *testing.T) {
	e := newEnv(t, nil)
	s := e.create("subnet", object{"network_id": e.network("n"), "ip_version": 4, "cidr": "10.3.8.0/24", "allocation_pools": []object{}})
	if pools := s["allocation_pools"].([]any); len(pools) != 1 || pools[0].(object)["start"] != "10.3.8.2" {
		t.Errorf("pools are %v", pools)
	}
	s = e.must(200, "PUT", "/subnets/"+s["id"].(string), object{"subnet": object{"allocation_pools": []object{}}})
	if pools := s["allocation_pools"].([]any); len(pools) != 0 {
		t.Errorf("after they were taken away, pools are %v", pools)
	}
}

// What a router is changes only while it is down and stays so.
func TestKindOfRouterThatComesUp(t *testing.T) {
	e := newEnv(t, nil)
	r := e.create("router", object{"distributed": false, "admin_state_up": false})["id"].(string)
	for _, kind := range []string{"distributed", "ha"} {
		e.refused(400, "BadRequest", "PUT", "/routers/"+r, object{"router": object{kind: true, "admin_state_up": true}})
		if got := e.show("/routers/" + r); got[kind] != false || got["admin_state_up"] != false {
			t.Errorf("after a refusal the router is %v", got)
		}
		if got := e.must(200, "PUT", "/routers/"+r, object{"router": object{kind: true}}); got[kind] != true {
			t.Errorf("%s is %v", kind, got[kind])
		}
	}
}

// The first thing that a project has gives it its default group; ports that nothing is plugged into have no status.
func TestWhatComesWithNetworksAndLocalIPs(t *testing.T) {
	e := newEnv(t, nil)
	n := e.create("network", object{"project_id": "fresh"})["id"]
	used := e.must(200, "GET", "/quotas/fresh/details", nil)
	if got := used["security_group"].(object)["used"]; got != 1.0 {
		t.Errorf("a project with a network has %v security groups", got)
	}
	e.create("subnet", object{"network_id": n, "ip_version": 4, "cidr": "10.0.0.0/24"})
	l := e.create("local_ip", object{"network_id": n})
	if got := e.show("/ports/" + l["local_port_id"].(string))["status"]; got != "N/A" {
		t.Errorf("a local IP's port is %v", got)
	}
}
