package server

import (
	"net/http"
	"testing"

	"github.com/weft-cloud/weft/test/rig"
)

// TestOpenStackClient walks the OpenStack client through every resource: it creates, shows, changes, lists and deletes.
func TestOpenStackClient(t *testing.T) {
	s := start(t, rig.Options{Identity: true, Config: rig.Config{
		"DEFAULT":            {"service_plugins": "router"},
		"ml2_type_vlan":      {"network_vlan_ranges": "physnet1:100:200,physnet2:100:200"},
		"ml2_type_vxlan":     {"vni_ranges": "1:5000"},
		"quotas":             {"quota_port": "500"},
		"oslo_policy":        {"enforce_scope": "False"},
		"keystone_authtoken": {"token_cache_time": "60"},
	}})
	if err := s.Agent("host1", "127.0.0.31", rig.Config{"ovs": {"bridge_mappings": "physnet1:br1"}}); err != nil {
		t.Fatal(err)
	}
	others(t, s)
	w := &walk{shell: newShell(t, s)}
	for _, e := range w.list(50, "extension list --network") {
		alias, _ := e["Alias"].(string)
		w.offers = append(w.offers, alias)
	}
	w.networks()
	w.ports()
	w.routers()
	w.floating()
	w.groups()
	w.qos()
	w.sharing()
	w.trunks()
	w.segments()
	w.pools()
	w.agents()
	w.quotas()
	w.rest()
	w.remove()
	token, err := s.Token(t.Context(), "admin", rig.AdminPassword, "admin")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"networks", "subnets", "ports", "routers", "floatingips", "subnetpools", "address-scopes", "trunks", "qos/policies"} {
		a, err := s.Send(t.Context(), "GET", "/v2.0/"+path+"?fields=id", nil, http.Header{"X-Auth-Token": {token}})
		if err != nil {
			t.Fatal(err)
		}
		for _, rows := range a.Object() {
			if left, ok := rows.([]any); ok && len(left) > 0 {
				t.Errorf("%s are left: %s", path, a.Body)
			}
		}
	}
}

// walk is the client on its way through the API.
type walk struct {
	*shell
	offers []string // aliases of extensions
}

func (w *walk) networks() {
	w.has(object{"mtu": 1400, "description": "one"}, "network create n1 --description one --mtu 1400")
	w.has(object{"router:external": true, "provider:network_type": "flat"}, "network create outside --external --provider-network-type flat --provider-physical-network public")
	w.do("network set n1 --description first --tag blue")
	w.has(object{"description": "first"}, "network show n1")
	w.list(1, "network list --tags blue")
	w.do("network unset n1 --tag blue")
	w.has(object{"gateway_ip": "10.1.0.1"}, "subnet create s1 --network n1 --subnet-range 10.1.0.0/24 --dns-nameserver 192.0.2.53 --host-route destination=10.9.0.0/24,gateway=10.1.0.9")
	w.has(object{"ipv6_ra_mode": "slaac"}, "subnet create s6 --network n1 --ip-version 6 --subnet-range 2001:db8:1::/64 --ipv6-ra-mode slaac --ipv6-address-mode slaac")
	w.show("subnet create outside4 --network outside --subnet-range 203.0.113.0/24 --no-dhcp")
	w.do("subnet set s1 --description changed")
	w.has(object{"description": "changed"}, "subnet show s1")
	w.list(3, "subnet list")
	w.when("network-ip-availability", func() {
		w.list(1, "ip availability list")
		w.show("ip availability show n1")
	})
}

func (w *walk) ports() {
	w.has(object{"status": "DOWN"}, "port create p1 --network n1 --fixed-ip subnet=s1,ip-address=10.1.0.50 --allowed-address ip-address=10.1.0.60")
	w.do("port set p1 --description changed --extra-dhcp-option name=mtu,value=1300")
	w.has(object{"description": "changed"}, "port show p1")
	w.list(1, "port list --network n1")
	w.do("port set p1 --no-allowed-address")
	w.show("port create p2 --network n1")
	w.show("port create p3 --network n1")
	w.show("network create n2")
	w.show("subnet create s2 --network n2 --subnet-range 10.2.0.0/24")
	w.show("port create p4 --network n2")
}

func (w *walk) routers() {
	w.show("router create r1")
	w.do("router add subnet r1 s1")
	w.do("router add port r1 p4")
	w.do("router set r1 --external-gateway outside --description changed")
	w.has(object{"description": "changed"}, "router show r1")
	w.show("router add route r1 --route destination=10.77.0.0/24,gateway=10.1.0.50")
	w.show("router remove route r1 --route destination=10.77.0.0/24,gateway=10.1.0.50")
	w.list(1, "router list")
	helper := w.show("network l3 conntrack helper create r1 --helper tftp --protocol udp --port 69")
	w.list(1, "network l3 conntrack helper list r1")
	w.do("network l3 conntrack helper set r1 %v --port 6969", helper["id"])
	w.has(object{"port": 6969}, "network l3 conntrack helper show r1 %v", helper["id"])
	w.do("network l3 conntrack helper delete r1 %v", helper["id"])
}

func (w *walk) floating() {
	w.has(object{"floating_ip_address": "203.0.113.50"}, "floating ip create outside --floating-ip-address 203.0.113.50")
	w.do("floating ip set 203.0.113.50 --port p1")
	w.has(object{"fixed_ip_address": "10.1.0.50"}, "floating ip show 203.0.113.50")
	w.do("floating ip unset 203.0.113.50 --port")
	w.list(1, "floating ip list")
	pf := w.show("floating ip port forwarding create 203.0.113.50 --internal-ip-address 10.1.0.50 --port p1 --internal-protocol-port 80 --external-protocol-port 8080 --protocol tcp")
	w.list(1, "floating ip port forwarding list 203.0.113.50")
	w.do("floating ip port forwarding set 203.0.113.50 %v --external-protocol-port 8081", pf["id"])
	w.has(object{"external_port": 8081}, "floating ip port forwarding show 203.0.113.50 %v", pf["id"])
	w.do("floating ip port forwarding delete 203.0.113.50 %v", pf["id"])
	w.do("floating ip delete 203.0.113.50")
}

func (w *walk) groups() {
	w.show("security group create g1 --description one")
	w.do("security group set g1 --description changed")
	w.has(object{"description": "changed"}, "security group show g1")
	w.list(1, "security group list")
	rule := w.has(object{"port_range_min": 22}, "security group rule create g1 --protocol tcp --dst-port 22:23 --remote-ip 192.0.2.0/24")
	w.show("security group rule show %v", rule["id"])
	w.list(3, "security group rule list g1")
	w.do("port set p2 --security-group g1")
	w.do("port unset p2 --security-group g1")
	w.do("security group rule delete %v", rule["id"])
	w.do("security group delete g1")
	w.show("address group create a1 --address 192.0.2.0/25")
	w.do("address group set a1 --address 2001:db8::/48")
	w.do("address group unset a1 --address 192.0.2.0/25")
	w.has(object{"addresses": []any{"2001:db8::/48"}}, "address group show a1")
	w.list(1, "address group list")
	w.do("address group delete a1")
}

func (w *walk) qos() {
	w.show("network qos policy create q1")
	w.do("network qos policy set q1 --share")
	w.has(object{"shared": true}, "network qos policy show q1")
	w.list(1, "network qos policy list")
	for kind, rule := range map[string]string{"bandwidth-limit": "--max-kbps 1000 --max-burst-kbits 100 --egress", "dscp-marking": "--dscp-mark 26", "minimum-bandwidth": "--min-kbps 10 --egress"} {
		r := w.show("network qos rule create q1 --type %s %s", kind, rule)
		w.show("network qos rule show q1 %v", r["id"])
		w.do("network qos rule delete q1 %v", r["id"])
	}
	w.list(0, "network qos rule list q1")
	w.list(3, "network qos rule type list")
	w.show("network qos rule type show bandwidth_limit")
	w.do("port set p3 --qos-policy q1")
	w.do("port unset p3 --qos-policy")
	w.do("network qos policy delete q1")
}

func (w *walk) sharing() {
	r := w.show("network rbac create n1 --target-project service --action access_as_shared --type network")
	w.do("network rbac set %v --target-project admin", r["id"])
	w.has(object{"action": "access_as_shared"}, "network rbac show %v", r["id"])
	w.list(1, "network rbac list --type network")
	w.do("network rbac delete %v", r["id"])
	w.list(1, "availability zone list --network")
}

func (w *walk) trunks() {
	w.show("network trunk create t1 --parent-port p2 --subport port=p3,segmentation-type=vlan,segmentation-id=100")
	w.do("network trunk set t1 --description changed")
	w.has(object{"description": "changed"}, "network trunk show t1")
	w.list(1, "network trunk list")
	w.list(1, "network subport list --trunk t1")
	w.do("network trunk unset t1 --subport p3")
	w.do("network trunk delete t1")
}

func (w *walk) segments() {
	w.show("network create routed --provider-network-type vlan --provider-physical-network physnet1 --provider-segment 150")
	w.show("network segment create seg2 --network routed --network-type vlan --physical-network physnet2 --segment 151")
	w.do("network segment set seg2 --description changed")
	w.has(object{"description": "changed"}, "network segment show seg2")
	w.list(2, "network segment list --network routed")
	w.do("network segment delete seg2")
	w.do("network delete routed")
	w.show("network segment range create range1 --shared --network-type vxlan --minimum 20000 --maximum 20099")
	w.do("network segment range set range1 --minimum 20000 --maximum 20199")
	w.has(object{"maximum": 20199}, "network segment range show range1")
	w.list(2, "network segment range list")
	w.do("network segment range delete range1")
}

func (w *walk) pools() {
	w.show("address scope create scope1 --share")
	w.do("address scope set scope1 --name scope2")
	w.has(object{"shared": true}, "address scope show scope2")
	w.list(1, "address scope list")
	w.show("subnet pool create pool1 --pool-prefix 172.16.0.0/12 --default-prefix-length 24 --address-scope scope2")
	w.do("subnet pool set pool1 --description changed")
	w.has(object{"description": "changed"}, "subnet pool show pool1")
	w.list(1, "subnet pool list")
	w.show("network create pooled")
	w.show("subnet create of-pool --network pooled --subnet-pool pool1")
	w.do("network delete pooled")
	w.do("subnet pool delete pool1")
	w.do("address scope delete scope2")
}

func (w *walk) agents() {
	var id any
	for _, a := range w.list(4, "network agent list") {
		if a["Agent Type"] == "DHCP agent" {
			id = a["ID"]
		}
	}
	w.has(object{"host": "host1"}, "network agent show %v", id)
	w.do("network agent set %v --description changed", id)
	w.do("network agent add network %v n1 --dhcp", id)
	w.list(1, "network agent list --network n1")
	w.do("network agent remove network %v n1 --dhcp", id)
	w.list(1, "network agent list --router r1")
}
