package api_test

import (
	"fmt"
	"strings"
	"testing"
)

func newPool(e *env, attrs object) string {
	for k, v := range map[string]any{"name": "p", "prefixes": []string{"10.0.0.0/24"}} {
		if _, ok := attrs[k]; !ok {
			attrs[k] = v
		}
	}
	return e.create("subnetpool", attrs)["id"].(string)
}

func newNet(e *env) string { return e.create("network", object{})["id"].(string) }

func TestSubnetsOfAPoolDoNotOverlap(t *testing.T) {
	e := newEnv(t, nil)
	pool := newPool(e, object{"default_prefixlen": 26})
	var got []any
	for range 4 {
		s := e.create("subnet", object{"network_id": newNet(e), "ip_version": 4, "subnetpool_id": pool})
		got = append(got, s["cidr"])
	}
	if fmt.Sprint(got) != "[10.0.0.0/26 10.0.0.64/26 10.0.0.128/26 10.0.0.192/26]" {
		t.Errorf("subnets %v", got)
	}
	e.refused(409, "SubnetAllocationError", "POST", "/subnets", object{"subnet": object{"network_id": newNet(e), "ip_version": 4, "subnetpool_id": pool}})
	e.refused(400, "SubnetPoolDeleteError", "DELETE", "/subnetpools/"+pool, nil)
	e.refused(400, "IllegalSubnetPoolPrefixUpdate", "PUT", "/subnetpools/"+pool+"/remove_prefixes", object{"prefixes": []string{"10.0.0.128/26"}})
}

func TestSubnetPoolRefusals(t *testing.T) {
	e := newEnv(t, nil)
	pool := newPool(e, object{"min_prefixlen": 26, "max_prefixlen": 28, "default_quota": 64, "is_default": true})
	net := newNet(e)
	used := newNet(e)
	e.create("subnet", object{"network_id": used, "ip_version": 4, "cidr": "192.0.2.0/24"})
	for _, tc := range []struct {
		name, typ string
		code      int
		body      object
	}{
		{"too short", "MinPrefixSubnetAllocationError", 400, object{"subnetpool_id": pool, "prefixlen": 25}},
		{"too long", "MaxPrefixSubnetAllocationError", 400, object{"subnetpool_id": pool, "prefixlen": 29}},
		{"elsewhere", "SubnetAllocationError", 409, object{"subnetpool_id": pool, "cidr": "10.0.1.0/26"}},
		{"cidr and length", "BadRequest", 400, object{"subnetpool_id": pool, "cidr": "10.0.0.0/26", "prefixlen": 26}},
		{"two pools", "BadRequest", 400, object{"subnetpool_id": pool, "use_default_subnetpool": true}},
		{"other family", "BadRequest", 400, object{"subnetpool_id": pool, "ip_version": 6}},
		{"no default", "BadRequest", 400, object{"use_default_subnetpool": true, "ip_version": 6}},
		{"pools without cidr", "BadRequest", 400, object{"subnetpool_id": pool, "allocation_pools": []object{{"start": "10.0.0.2", "end": "10.0.0.3"}}}},
		{"no such pool", "SubnetPoolNotFound", 404, object{"subnetpool_id": net}},
		{"beside a subnet of no pool", "NetworkSubnetPoolAffinityError", 400, object{"subnetpool_id": pool, "network_id": used}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e.t = t
			for k, v := range map[string]any{"network_id": net, "ip_version": 4} {
				if _, ok := tc.body[k]; !ok {
					tc.body[k] = v
				}
			}
			e.refused(tc.code, tc.typ, "POST", "/subnets", object{"subnet": tc.body})
		})
	}
	e.t = t
	e.create("subnet", object{"network_id": net, "ip_version": 4, "use_default_subnetpool": true})
	e.refused(409, "SubnetPoolQuotaExceeded", "POST", "/subnets", object{"subnet": object{"network_id": newNet(e), "ip_version": 4, "subnetpool_id": pool}})
	e.refused(400, "InvalidInput", "POST", "/subnetpools", object{"subnetpool": object{"name": "q", "prefixes": []string{"10.9.0.0/16"}, "is_default": true}})
}

// TestEmptiedPool: a pool all of whose prefixes have been taken away is a pool of its family still, harms nobody, and may be filled again.
func TestEmptiedPool(t *testing.T) {
	e := newEnv(t, nil)
	for _, tt := range []struct {
		version             int
		prefix, more, other string
	}{{4, "10.1.0.0/16", "10.2.0.0/16", "fd01::/48"}, {6, "fd01::/48", "fd02::/48", "10.2.0.0/16"}} {
		pool := e.create("subnetpool", object{"name": "p", "prefixes": []string{tt.prefix}, "is_default": true})["id"].(string)
		net := newNet(e)
		e.must(200, "PUT", "/subnetpools/"+pool+"/remove_prefixes", object{"prefixes": []string{tt.prefix}})
		if got := e.must(200, "GET", "/subnetpools/"+pool, nil); got["ip_version"] != float64(tt.version) || len(got["prefixes"].([]any)) != 0 {
			t.Errorf("an emptied pool of IPv%d: %v", tt.version, got)
		}
		e.list("/subnetpools")
		subnet := object{"subnet": object{"network_id": net, "ip_version": tt.version, "use_default_subnetpool": true}}
		e.refused(409, "SubnetAllocationError", "POST", "/subnets", subnet)
		e.must(200, "PUT", "/subnetpools/"+pool, object{"subnetpool": object{"name": "q", "default_prefixlen": 64 - 36*(6-tt.version)/2, "default_quota": 1000}})
		e.refused(400, "PrefixVersionMismatch", "PUT", "/subnetpools/"+pool+"/add_prefixes", object{"prefixes": []string{tt.other}})
		e.must(200, "PUT", "/subnetpools/"+pool+"/add_prefixes", object{"prefixes": []string{tt.more}})
		e.must(201, "POST", "/subnets", subnet)
	}
}

func TestAddressScopes(t *testing.T) {
	e := newEnv(t, nil)
	scope := e.must(201, "POST", "/address-scopes", object{"address_scope": object{"name": "a", "ip_version": 4}})["id"].(string)
	pool := newPool(e, object{"address_scope_id": scope})
	e.refused(409, "AddressScopePrefixConflict", "POST", "/subnetpools",
		object{"subnetpool": object{"name": "q", "prefixes": []string{"10.0.0.128/25"}, "address_scope_id": scope}})
	e.refused(400, "IllegalSubnetPoolIpVersionAssociationToAddressScope", "POST", "/subnetpools",
		object{"subnetpool": object{"name": "q", "prefixes": []string{"fd00::/48"}, "address_scope_id": scope}})
	e.refused(409, "AddressScopeInUse", "DELETE", "/address-scopes/"+scope, nil)
	net := newNet(e)
	e.create("subnet", object{"network_id": net, "ip_version": 4, "subnetpool_id": pool, "prefixlen": 26})
	if n := e.must(200, "GET", "/networks/"+net, nil); n["ipv4_address_scope"] != scope || n["ipv6_address_scope"] != nil {
		t.Errorf("scopes of the network: %v, %v", n["ipv4_address_scope"], n["ipv6_address_scope"])
	}
	other := newPool(e, object{"prefixes": []string{"10.1.0.0/24"}})
	e.refused(400, "NetworkAddressScopeAffinityError", "POST", "/subnets",
		object{"subnet": object{"network_id": net, "ip_version": 4, "subnetpool_id": other, "prefixlen": 26}})
	onto := newNet(e)
	e.create("subnet", object{"network_id": onto, "ip_version": 4, "cidr": "10.1.0.0/26"})
	e.must(200, "PUT", "/subnetpools/"+pool+"/add_prefixes", object{"prefixes": []string{"10.0.1.0/24"}})
	for body, want := range map[string]string{`{"network_id": "x"}`: "NetworkNotFound", `{"network_id": 7}`: "NetworkNotFound", `{"network_id": null}`: "InvalidInput", `{}`: "InvalidInput"} {
		if code, answer, _ := e.raw("PUT", "/v2.0/subnetpools/"+other+"/onboard_network_subnets", []byte(body), nil); !strings.Contains(string(answer), `"`+want+`"`) {
			t.Errorf("onboard %s: %d %s", body, code, answer)
		}
	}
	code, answer, _ := e.raw("PUT", "/v2.0/subnetpools/"+other+"/onboard_network_subnets", []byte(`{"network_id": "`+onto+`"}`), nil)
	if code != 200 {
		t.Errorf("onboard: %d %s", code, answer)
	}
}

// A pool that all may use is of no use to those who may not use its scope.
func TestSharedPoolOfOwnScope(t *testing.T) {
	e := newEnv(t, nil)
	for _, shared := range []bool{false, true} {
		scope := e.must(201, "POST", "/address-scopes", object{"address_scope": object{"name": "s", "ip_version": 4, "shared": shared}})["id"]
		pool := object{"subnetpool": object{"name": "p", "prefixes": []string{"10.0.0.0/8"}, "shared": true, "address_scope_id": scope}}
		if shared {
			e.must(201, "POST", "/subnetpools", pool)
		} else {
			e.refused(400, "InvalidInput", "POST", "/subnetpools", pool)
		}
	}
}
