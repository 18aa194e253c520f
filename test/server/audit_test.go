package server

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/weft-cloud/weft/test/rig"
)

// listed is everything that the API lists, by collection.
type listed struct {
	of   map[string][]object
	byID map[string]string // collection by id
}

// collections are what may be listed, by path. The server's index names four of them, as Neutron's does.
var collections = []string{"networks", "subnets", "ports", "routers", "floatingips", "security-groups", "security-group-rules", "address-groups",
	"rbac-policies", "subnetpools", "address-scopes", "segments", "network_segment_ranges", "qos/policies", "trunks", "agents",
	"metering/metering-labels", "metering/metering-label-rules", "flavors", "service_profiles", "local_ips", "ndp_proxies", "log/logs",
	"default-security-group-rules"}

// list asks for every collection; one that there is not is passed over.
func list(t *testing.T, s *rig.Server) *listed {
	t.Helper()
	w := &listed{of: map[string][]object{}, byID: map[string]string{}}
	for _, path := range collections {
		a, err := s.Send(t.Context(), "GET", "/v2.0/"+path, nil, http.Header{"X-Project-Id": {"audit"}})
		if err != nil {
			t.Fatal(err)
		}
		if a.Status == http.StatusNotFound {
			continue
		}
		name := strings.ReplaceAll(path[strings.LastIndexByte(path, '/')+1:], "-", "_")
		var out map[string][]object
		if err := json.Unmarshal(a.Body, &out); err != nil || a.Status != http.StatusOK || out[name] == nil {
			if a.Status >= http.StatusInternalServerError {
				t.Log(s.Log())
			}
			t.Fatalf("GET %s: %d %s", path, a.Status, a.Body)
		}
		w.of[name] = out[name]
		for _, o := range w.of[name] {
			if id, ok := o["id"].(string); ok {
				w.byID[id] = name
			}
		}
	}
	if len(w.of) < 16 {
		t.Fatalf("only %d collections are there", len(w.of))
	}
	return w
}

// find is the object that a client's thing became; nil: it is not there.
func (w *listed) find(t *thing) object {
	for _, o := range w.of[collection(t.kind)] {
		if o["name"] == t.name || (t.kind == "floatingip" && (o["id"] == t.id || o["description"] == t.name)) {
			return o
		}
	}
	return nil
}

func collection(kind string) string {
	if kind == "policy" {
		return "policies"
	}
	return kind + "s"
}

// references are attributes that name objects which must be there.
var references = []string{"network_id", "subnet_id", "port_id", "router_id", "floating_network_id", "security_group_id", "security_group_ids",
	"security_groups", "remote_group_id", "remote_address_group_id", "subnetpool_id", "address_scope_id", "qos_policy_id", "segment_id", "object_id",
	"subnets", "floatingip_id", "metering_label_id", "local_port_id", "internal_port_id", "resource_id", "target_id", "service_profiles", "flavor_id"}

// broken says what is wrong with the objects as a whole.
func (w *listed) broken() []string {
	var bad []string
	once := func(seen map[string]string, key, what string, o object) {
		if other := seen[key]; other != "" {
			bad = append(bad, fmt.Sprintf("%s %s is used by %s and by %v", what, key, other, o["id"]))
		}
		seen[key] = fmt.Sprint(o["id"])
	}
	ids := map[string]string{}
	for _, c := range slices.Sorted(maps.Keys(w.of)) {
		for _, o := range w.of[c] {
			if id, ok := o["id"].(string); ok && strings.Count(id, "-") == 4 && c != "agents" {
				once(ids, id, "id", o)
			}
			for _, id := range dangling(o, w) {
				bad = append(bad, fmt.Sprintf("%s %v: %s leads nowhere", c, o["id"], id))
			}
		}
	}
	addresses, macs, carriers, outside := map[string]string{}, map[string]string{}, map[string]string{}, map[string]string{}
	for _, p := range w.of["ports"] {
		once(macs, fmt.Sprint(p["network_id"], " ", p["mac_address"]), "MAC", p)
		for _, f := range p["fixed_ips"].([]any) {
			once(addresses, fmt.Sprint(f.(object)["subnet_id"], " ", f.(object)["ip_address"]), "address", p)
			if w.byID[f.(object)["subnet_id"].(string)] != "subnets" {
				bad = append(bad, fmt.Sprintf("port %v: an address on a subnet that is not there", p["id"]))
			}
		}
		if owner := p["device_owner"].(string); strings.HasPrefix(owner, "network:router") && w.byID[p["device_id"].(string)] != "routers" {
			bad = append(bad, fmt.Sprintf("port %v of a router that is not there", p["id"]))
		}
	}
	for _, n := range w.of["networks"] {
		if n["provider:network_type"] == nil {
			continue // it has several, which are among the segments
		}
		once(carriers, fmt.Sprint(n["provider:network_type"], " ", n["provider:physical_network"], " ", n["provider:segmentation_id"]), "segment", n)
	}
	for _, f := range w.of["floatingips"] {
		once(outside, fmt.Sprint(f["floating_network_id"], " ", f["floating_ip_address"]), "floating address", f)
	}
	return append(bad, w.whole()...)
}

func dangling(o object, w *listed) []string {
	var bad []string
	for _, name := range references {
		var ids []any
		switch v := o[name].(type) {
		case string:
			ids = []any{v}
		case []any:
			ids = v
		}
		for _, id := range ids {
			if text, ok := id.(string); ok && text != "" && text != "PARENT" && w.byID[text] == "" { // PARENT: a default rule's own group
				bad = append(bad, name+" "+text)
			}
		}
	}
	return bad
}
