package server

import (
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/weft-cloud/weft/test/rig"
)

// whole says what is wrong with how objects of several kinds stand to each other, as far as broken does not.
func (w *listed) whole() []string {
	var bad []string
	for _, f := range []func() []string{w.trunks, w.routers, w.floating, w.subnets, w.groups, w.services, w.topologies} {
		bad = append(bad, f()...)
	}
	return bad
}

// rows are a collection's objects by id.
func (w *listed) rows(collection string) map[string]object {
	out := map[string]object{}
	for _, o := range w.of[collection] {
		out[text(o["id"])] = o
	}
	return out
}

func text(v any) string { s, _ := v.(string); return s }

func objects(v any) (out []object) {
	list, _ := v.([]any)
	for _, o := range list {
		out = append(out, o.(object))
	}
	return out
}

func addressesOf(p object) (out []string) {
	for _, f := range objects(p["fixed_ips"]) {
		out = append(out, text(f["ip_address"]))
	}
	return out
}

// trunks: a port is in one trunk at most, as parent or beneath, and both sides say so.
func (w *listed) trunks() (bad []string) {
	ports, in := w.rows("ports"), map[string]string{}
	use := func(trunk, port string) {
		if in[port] != "" || ports[port] == nil {
			bad = append(bad, fmt.Sprintf("port %s of trunk %s is in trunk %q, too, or nowhere", port, trunk, in[port]))
		}
		in[port] = trunk
	}
	for id, t := range w.rows("trunks") {
		use(id, text(t["port_id"]))
		details, _ := ports[text(t["port_id"])]["trunk_details"].(object)
		if details["trunk_id"] != id || len(objects(details["sub_ports"])) != len(objects(t["sub_ports"])) {
			bad = append(bad, fmt.Sprintf("port %v says of its trunk %s: %v", t["port_id"], id, details))
		}
		tags := map[string]bool{}
		for _, s := range objects(t["sub_ports"]) {
			use(id, text(s["port_id"]))
			tag := fmt.Sprint(s["segmentation_type"], " ", s["segmentation_id"])
			if tags[tag] {
				bad = append(bad, fmt.Sprintf("trunk %s has %s twice", id, tag))
			}
			tags[tag] = true
		}
	}
	for id, p := range ports {
		details, _ := p["trunk_details"].(object)
		if trunk := text(details["trunk_id"]); trunk != "" && in[id] != trunk {
			bad = append(bad, fmt.Sprintf("port %s says that it carries trunk %v, and is in trunk %q", id, trunk, in[id]))
		}
	}
	return bad
}

// routers: each has the gateway port that it says, and at most one leg on a subnet.
func (w *listed) routers() (bad []string) {
	gateways, legs := map[string][]object{}, map[string]bool{}
	for id, p := range w.rows("ports") {
		switch owner := text(p["device_owner"]); {
		case owner == "network:router_gateway":
			gateways[text(p["device_id"])] = append(gateways[text(p["device_id"])], p)
		case strings.HasPrefix(owner, "network:router_interface") || owner == "network:ha_router_replicated_interface":
			for _, f := range objects(p["fixed_ips"]) {
				leg := fmt.Sprint(p["device_id"], " ", f["subnet_id"], " ", f["ip_address"])
				if s := fmt.Sprint(p["device_id"], " ", f["subnet_id"]); legs[s] && legs[leg] {
					bad = append(bad, fmt.Sprintf("port %s: router has two legs on a subnet: %s", id, s))
				}
				legs[leg] = true
			}
		}
	}
	for id, r := range w.rows("routers") {
		info, _ := r["external_gateway_info"].(object)
		g := gateways[id]
		if (info == nil) != (len(g) == 0) || len(g) > 1 {
			bad = append(bad, fmt.Sprintf("router %s has the gateway %v and %d gateway ports", id, info, len(g)))
			continue
		}
		if info == nil {
			continue
		}
		var said []string
		for _, f := range objects(info["external_fixed_ips"]) {
			said = append(said, text(f["ip_address"]))
		}
		is := addressesOf(g[0])
		slices.Sort(said)
		slices.Sort(is)
		if !slices.Equal(said, is) || info["network_id"] != g[0]["network_id"] {
			bad = append(bad, fmt.Sprintf("router %s says %v of its gateway, its port has %v on %v", id, info, is, g[0]["network_id"]))
		}
	}
	return bad
}

// floating: each floating IP has its port outside with its address, and the port has it; it leads to an address that is there, to one only,
// or forwards single ports, each to one place.
func (w *listed) floating() (bad []string) {
	ports, outside, inside := w.rows("ports"), map[string]object{}, map[string]string{}
	for _, p := range ports {
		if p["device_owner"] == "network:floatingip" {
			outside[text(p["device_id"])] = p
		}
	}
	all := w.rows("floatingips")
	for id := range outside {
		if all[id] == nil {
			bad = append(bad, fmt.Sprintf("port %v of floating IP %s, which is not there", outside[id]["id"], id))
		}
	}
	for id, f := range all {
		if p := outside[id]; p == nil || !slices.Contains(addressesOf(p), text(f["floating_ip_address"])) || p["network_id"] != f["floating_network_id"] {
			bad = append(bad, fmt.Sprintf("floating IP %s has %v, its port outside is %v", id, f["floating_ip_address"], p))
		}
		forwards, seen := objects(f["port_forwardings"]), map[string]bool{}
		for _, pf := range forwards {
			key := fmt.Sprint(pf["protocol"], " ", pf["external_port"])
			if seen[key] || !slices.Contains(addressesOf(ports[text(pf["internal_port_id"])]), text(pf["internal_ip_address"])) {
				bad = append(bad, fmt.Sprintf("floating IP %s: port forwarding %v twice, or to an address that is not there", id, pf))
			}
			seen[key] = true
		}
		to := text(f["port_id"])
		if to == "" {
			if len(forwards) == 0 && (f["router_id"] != nil || f["fixed_ip_address"] != nil) {
				bad = append(bad, fmt.Sprintf("floating IP %s leads nowhere and has router %v", id, f["router_id"]))
			}
			continue
		}
		key := to + " " + text(f["fixed_ip_address"])
		if inside[key] != "" || len(forwards) > 0 || f["router_id"] == nil || !slices.Contains(addressesOf(ports[to]), text(f["fixed_ip_address"])) {
			bad = append(bad, fmt.Sprintf("floating IP %s leads to %s by router %v beside %q and %d forwardings; the port has %v", id, key, f["router_id"], inside[key], len(forwards), addressesOf(ports[to])))
		}
		inside[key] = id
	}
	return bad
}

// subnets: none of a network overlaps another, each is of its pool, pools of a scope do not overlap, and addresses are in their subnets.
func (w *listed) subnets() (bad []string) {
	of, all, pools := map[string][]netip.Prefix{}, w.rows("subnets"), w.rows("subnetpools")
	listedOf := map[string]int{}
	apart := func(key, what string, p netip.Prefix) {
		for _, other := range of[key] {
			if p.Overlaps(other) {
				bad = append(bad, fmt.Sprintf("%s: %s and %s overlap", what, p, other))
			}
		}
		of[key] = append(of[key], p)
	}
	for id, s := range all {
		cidr := netip.MustParsePrefix(text(s["cidr"]))
		apart(text(s["network_id"]), "network "+text(s["network_id"]), cidr)
		listedOf[text(s["network_id"])]++
		for _, r := range objects(s["allocation_pools"]) {
			first, lastOf := netip.MustParseAddr(text(r["start"])), netip.MustParseAddr(text(r["end"]))
			if !cidr.Contains(first) || !cidr.Contains(lastOf) {
				bad = append(bad, fmt.Sprintf("subnet %s: pool %v is outside of %s", id, r, cidr))
			}
		}
		pool := pools[text(s["subnetpool_id"])]
		if pool == nil {
			continue
		}
		apart("pool "+text(pool["id"]), "subnets of pool "+text(pool["id"]), cidr)
		inside := false
		for _, p := range pool["prefixes"].([]any) {
			prefix := netip.MustParsePrefix(text(p))
			inside = inside || prefix.Contains(cidr.Addr()) && prefix.Bits() <= cidr.Bits()
		}
		if !inside {
			bad = append(bad, fmt.Sprintf("subnet %s, %s, is outside of its pool %v", id, cidr, pool["prefixes"]))
		}
	}
	for id, pool := range pools {
		if scope := text(pool["address_scope_id"]); scope != "" {
			for _, p := range pool["prefixes"].([]any) {
				apart("scope "+scope, "pool "+id+" of scope "+scope, netip.MustParsePrefix(text(p)))
			}
		}
	}
	for id, n := range w.rows("networks") {
		if got := len(n["subnets"].([]any)); got != listedOf[id] {
			bad = append(bad, fmt.Sprintf("network %s names %d subnets, there are %d", id, got, listedOf[id]))
		}
	}
	for id, p := range w.rows("ports") {
		for _, f := range objects(p["fixed_ips"]) {
			s := all[text(f["subnet_id"])]
			if s != nil && (s["network_id"] != p["network_id"] || !netip.MustParsePrefix(text(s["cidr"])).Contains(netip.MustParseAddr(text(f["ip_address"])))) {
				bad = append(bad, fmt.Sprintf("port %s has %v of subnet %v on network %v", id, f, s["cidr"], s["network_id"]))
			}
		}
	}
	return bad
}

// groups: a project has one default group, and a group names its rules.
func (w *listed) groups() (bad []string) {
	rules, defaults := map[string]int{}, map[string]int{}
	for _, r := range w.of["security_group_rules"] {
		rules[text(r["security_group_id"])]++
	}
	for id, g := range w.rows("security_groups") {
		if n := len(objects(g["security_group_rules"])); n != rules[id] {
			bad = append(bad, fmt.Sprintf("security group %s names %d rules, there are %d", id, n, rules[id]))
		}
		if g["name"] == "default" {
			defaults[text(g["project_id"])]++
		}
	}
	for project, n := range defaults {
		if n > 1 {
			bad = append(bad, fmt.Sprintf("project %q has %d default security groups", project, n))
		}
	}
	return bad
}

// services: what stands on ports, and segments.
func (w *listed) services() (bad []string) {
	ports := w.rows("ports")
	for id, x := range w.rows("ndp_proxies") {
		if p := ports[text(x["port_id"])]; p == nil || !slices.Contains(addressesOf(p), text(x["ip_address"])) {
			bad = append(bad, fmt.Sprintf("NDP proxy %s has %v, its port %v", id, x["ip_address"], addressesOf(p)))
		}
	}
	carriers := map[string]string{}
	for id, s := range w.rows("segments") {
		key := fmt.Sprint(s["network_type"], " ", s["physical_network"], " ", s["segmentation_id"])
		if carriers[key] != "" {
			bad = append(bad, fmt.Sprintf("segments %s and %s are both %s", carriers[key], id, key))
		}
		carriers[key] = id
	}
	return bad
}

// counted are the quotas whose use is the number of objects in a collection.
var counted = map[string]string{"network": "networks", "subnet": "subnets", "port": "ports", "router": "routers", "floatingip": "floatingips",
	"security_group": "security_groups", "security_group_rule": "security_group_rules", "subnetpool": "subnetpools", "trunk": "trunks", "rbac_policy": "rbac_policies"}

// usage says where the use of a quota is not the number of objects that the project has.
func (w *listed) usage(t *testing.T, s *rig.Server, projects ...string) (bad []string) {
	t.Helper()
	for _, project := range projects {
		a, err := s.Send(t.Context(), "GET", "/v2.0/quotas/"+project+"/details.json", nil, http.Header{"X-Project-Id": {"audit"}})
		if err != nil || a.Status != http.StatusOK {
			t.Fatalf("quotas of %s: %v %+v", project, err, a)
		}
		quota := a.Object()["quota"].(object)
		for _, name := range slices.Sorted(maps.Keys(counted)) {
			n := 0
			for _, o := range w.of[counted[name]] {
				if o["project_id"] == project {
					n++
				}
			}
			if of, ok := quota[name].(object); !ok || of["used"] != float64(n) {
				bad = append(bad, fmt.Sprintf("project %s has %d of %s, its quota says %v", project, n, counted[name], quota[name]))
			}
		}
	}
	return bad
}
