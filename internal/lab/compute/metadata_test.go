package compute

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// ask is a request to the metadata service for an instance, signed as the network's.
func (b *bench) ask(id, path string) (int, string) {
	mac := hmac.New(sha256.New, []byte("secret"))
	mac.Write([]byte(id))
	r := httptest.NewRequest("GET", path, nil)
	r.Header.Set("X-Instance-ID", id)
	r.Header.Set("X-Tenant-ID", "project-ann")
	r.Header.Set("X-Instance-ID-Signature", hex.EncodeToString(mac.Sum(nil)))
	w := httptest.NewRecorder()
	b.s.Metadata("secret").ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// TestNetworkData: the documents are what nova/virt/netutils.py makes of such subnets.
func TestNetworkData(t *testing.T) {
	v4 := doc{"id": "s4", "cidr": "10.0.0.0/24", "ip_version": 4, "gateway_ip": "10.0.0.1", "enable_dhcp": true, "dns_nameservers": []string{"192.0.2.53"}}
	v6 := doc{"id": "s6", "cidr": "2001:db8::/64", "ip_version": 6, "gateway_ip": "2001:db8::1", "enable_dhcp": true, "dns_nameservers": []string{"2001:db8::53"}}
	with := func(d doc, more ...any) doc {
		out := doc{}
		for k, v := range d {
			out[k] = v
		}
		for i := 0; i < len(more); i += 2 {
			out[more[i].(string)] = more[i+1]
		}
		return out
	}
	dhcp4 := doc{"id": "network0", "type": "ipv4_dhcp", "link": "tapp1-3456789-", "network_id": "net1"}
	route := func(network, mask, via string) doc { return doc{"network": network, "netmask": mask, "gateway": via} }
	dns := func(a string) doc { return doc{"type": "dns", "address": a} }
	moded := func(mode string) doc {
		return doc{"id": "network1", "type": "ipv6_" + mode, "link": "tapp1-3456789-", "network_id": "net1", "ip_address": "2001:db8::5",
			"netmask": "ffff:ffff:ffff:ffff::", "routes": []doc{route("::", "::", "2001:db8::1")}, "services": []doc{dns("2001:db8::53")}}
	}
	for _, tc := range []struct {
		name     string
		subnets  []doc
		networks []doc
		services []doc
	}{
		{"IPv4 by DHCP alone", []doc{v4}, []doc{dhcp4}, []doc{dns("192.0.2.53")}},
		{"IPv4 static, with routes, and none by IPv6", []doc{with(v4, "enable_dhcp", false, "host_routes", []doc{{"destination": "10.9.0.0/16", "nexthop": "10.0.0.9"}})},
			[]doc{{"id": "network0", "type": "ipv4", "link": "tapp1-3456789-", "network_id": "net1", "ip_address": "10.0.0.5", "netmask": "255.255.255.0",
				"routes": []doc{route("0.0.0.0", "0.0.0.0", "10.0.0.1"), route("10.9.0.0", "255.255.0.0", "10.0.0.9")}, "services": []doc{dns("192.0.2.53")}}},
			[]doc{dns("192.0.2.53")}},
		{"slaac", []doc{v4, with(v6, "ipv6_address_mode", "slaac")}, []doc{dhcp4, moded("slaac")}, []doc{dns("192.0.2.53"), dns("2001:db8::53")}},
		{"dhcpv6-stateful", []doc{v4, with(v6, "ipv6_address_mode", "dhcpv6-stateful")}, []doc{dhcp4, moded("dhcpv6-stateful")}, []doc{dns("192.0.2.53"), dns("2001:db8::53")}},
		{"dhcpv6-stateless", []doc{v4, with(v6, "ipv6_address_mode", "dhcpv6-stateless")}, []doc{dhcp4, moded("dhcpv6-stateless")}, []doc{dns("192.0.2.53"), dns("2001:db8::53")}},
		{"the same resolver twice, no gateway", []doc{v4, with(v6, "ipv6_address_mode", "slaac", "gateway_ip", nil, "dns_nameservers", []string{"192.0.2.53"})},
			[]doc{dhcp4, with(moded("slaac"), "routes", []doc{}, "services", []doc{dns("192.0.2.53")})}, []doc{dns("192.0.2.53")}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t)
			b.cloud.subnets, b.cloud.fixed = tc.subnets, []doc{{"ip_address": "2001:db8::5", "subnet_id": "s6"}, {"ip_address": "10.0.0.5", "subnet_id": "s4"}}
			id := b.boot(request())["id"].(string)
			code, body := b.ask(id, "/openstack/latest/network_data.json")
			want := doc{"networks": tc.networks, "services": tc.services, "links": []doc{{"id": "tapp1-3456789-", "vif_id": "p1-3456789-123456789",
				"type": "tap", "mtu": 1450, "ethernet_mac_address": "fa:16:3e:00:00:01"}}}
			if d := cmp.Diff(canonical(t, want), canonical(t, json.RawMessage(body))); code != 200 || d != "" {
				t.Errorf("%d %s", code, d)
			}
		})
	}
}

// canonical is a value as JSON reads it back.
func canonical(t *testing.T, v any) any {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestUserData(t *testing.T) {
	b := newBench(t)
	const script = "#!/bin/sh\necho \x00\xff\n"
	id := b.boot(request("user_data", base64.StdEncoding.EncodeToString([]byte(script))))["id"].(string)
	none := b.boot(request("name", "vm2"))["id"].(string)
	for _, path := range []string{"/openstack/latest/user_data", "/2009-04-04/user-data"} {
		if code, body := b.ask(id, path); code != 200 || body != script {
			t.Errorf("%s: %d %q", path, code, body)
		}
		if code, _ := b.ask(none, path); code != 404 {
			t.Errorf("%s without user data: %d", path, code)
		}
	}
	for path, word := range map[string]string{"/openstack/latest": "user_data", "/latest": "user-data"} {
		if _, body := b.ask(id, path); !strings.Contains(body, word) {
			t.Errorf("%s lists %q", path, body)
		}
		if _, body := b.ask(none, path); strings.Contains(body, word) {
			t.Errorf("%s without user data lists %q", path, body)
		}
	}
	for _, bad := range []string{"not base64!", strings.Repeat("AAAA", 16384)} {
		if code, out := b.do("POST", "/servers", doc{"server": request("user_data", bad)}); code != 400 {
			t.Errorf("%.12s…: %d %v", bad, code, out)
		}
	}
}
