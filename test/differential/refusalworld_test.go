package differential

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/weft-cloud/weft/internal/server/api"
)

// sample is how an object of a resource is made: what a good creation sends, and what of it is otherwise in the object that is there
// from the beginning (its "subject"), for two alike may not be. Administrators make those of byAdmin.
type sample struct {
	path         string // as api.Describe has it
	send, differ object
	byAdmin      bool
}

// samples are in the order in which they can be made. Values that begin with "ref." are objects; PROJECT is the member's project and
// OTHER another.
var samples = []sample{
	{"address-scopes", object{"name": "x", "ip_version": 4}, nil, false},
	{"subnetpools", object{"name": "x", "prefixes": []any{"10.96.0.0/16"}}, nil, false},
	{"networks", object{"name": "x"}, nil, false},
	{"subnets", object{"network_id": "ref.network", "ip_version": 4, "cidr": "10.77.0.0/24"}, object{"cidr": "10.76.0.0/24"}, false},
	{"routers", object{"name": "x"}, object{"external_gateway_info": object{"network_id": "ref.outside"}}, false},
	{"security-groups", object{"name": "x"}, nil, false},
	{"ports", object{"network_id": "ref.network"}, nil, false},
	{"floatingips", object{"floating_network_id": "ref.outside"}, nil, false},
	{"ndp_proxies", object{"router_id": "ref.proxying", "port_id": "ref.proxied2"}, object{"port_id": "ref.proxied1"}, false},
	{"address-groups", object{"name": "x", "addresses": []any{"10.5.0.0/24"}}, nil, false},
	{"security-group-rules", object{"security_group_id": "ref.security_group", "direction": "ingress", "protocol": "tcp", "port_range_min": 81, "port_range_max": 81},
		object{"port_range_min": 80}, false},
	{"rbac-policies", object{"object_type": "network", "object_id": "ref.network", "action": "access_as_shared", "target_tenant": "nobody's"}, object{"target_tenant": "OTHER"}, false},
	{"segments", object{"network_id": "ref.network", "network_type": "vlan", "physical_network": "physnet1", "segmentation_id": 111}, object{"segmentation_id": 110}, true},
	{"network_segment_ranges", object{"name": "x", "network_type": "vlan", "physical_network": "physnet1", "minimum": 3100, "maximum": 3110},
		object{"minimum": 3000, "maximum": 3010}, true},
	{"qos/policies", object{"name": "x"}, nil, true},
	{"qos/policies/{policy}/bandwidth_limit_rules", object{"max_kbps": 100, "direction": "ingress"}, object{"direction": "egress"}, true},
	{"qos/policies/{policy}/dscp_marking_rules", object{"dscp_mark": 8}, nil, true},
	{"qos/policies/{policy}/minimum_bandwidth_rules", object{"min_kbps": 10, "direction": "ingress"}, object{"direction": "egress"}, true},
	{"qos/policies/{policy}/packet_rate_limit_rules", object{"max_kpps": 100, "direction": "ingress"}, object{"direction": "egress"}, true},
	{"qos/policies/{policy}/minimum_packet_rate_rules", object{"min_kpps": 10, "direction": "ingress"}, object{"direction": "egress"}, true},
	{"trunks", object{"port_id": "ref.parent"}, object{"port_id": "ref.parent2"}, false},
	{"metering/metering-labels", object{"name": "x"}, nil, true},
	{"metering/metering-label-rules", object{"metering_label_id": "ref.metering_label", "direction": "ingress", "remote_ip_prefix": "10.9.0.0/24"},
		object{"remote_ip_prefix": "10.8.0.0/24"}, true},
	{"local_ips", object{"network_id": "ref.network"}, nil, false},
	{"local_ips/{local_ip}/port_associations", object{"fixed_port_id": "ref.inside"}, object{"fixed_port_id": "ref.inside", "fixed_ip": "10.76.0.20"}, false},
	{"routers/{router}/conntrack_helpers", object{"protocol": "tcp", "port": 21, "helper": "ftp"}, object{"protocol": "udp", "port": 69, "helper": "tftp"}, true},
	{"floatingips/{floatingip}/port_forwardings", object{"internal_port_id": "ref.inside", "internal_ip_address": "10.76.0.20", "internal_port": 23, "external_port": 2223, "protocol": "tcp"},
		object{"internal_port": 22, "external_port": 2222}, false},
	{"service_profiles", object{"metainfo": "{}"}, nil, true},
	{"flavors", object{"name": "x", "service_type": "L3_ROUTER_NAT"}, nil, true},
	{"log/logs", object{"resource_type": "security_group"}, nil, true},
}

// others are what samples stand on besides; made when the path after which they come has its subject.
var others = []struct {
	after, name, path, who string
	body                   object
}{
	{"", "outside", "networks", "admin", object{"network": object{"name": "outside", "router:external": true, "provider:network_type": "flat", "provider:physical_network": "outside"}}},
	{"", "outside4", "subnets", "admin", object{"subnet": object{"network_id": "ref.outside", "ip_version": 4, "cidr": "203.0.113.0/24", "enable_dhcp": false}}},
	{"", "outside6", "subnets", "admin", object{"subnet": object{"network_id": "ref.outside", "ip_version": 6, "cidr": "2001:db8::/64", "enable_dhcp": false}}},
	{"subnets", "subnet6", "subnets", "member", object{"subnet": object{"network_id": "ref.network", "ip_version": 6, "cidr": "fd00:76::/64"}}},
	// What proxies for NDP: addresses of one scope inside and outside.
	{"ports", "scope6", "address-scopes", "admin", object{"address_scope": object{"name": "x", "ip_version": 6, "shared": true}}},
	{"ports", "pool6", "subnetpools", "admin", object{"subnetpool": object{"name": "x", "prefixes": []any{"2001:db8:100::/48"}, "default_prefixlen": 64, "address_scope_id": "ref.scope6", "shared": true}}},
	{"ports", "outside2", "networks", "admin", object{"network": object{"name": "x", "router:external": true, "provider:network_type": "flat", "provider:physical_network": "outside2"}}},
	{"ports", "outside26", "subnets", "admin", object{"subnet": object{"network_id": "ref.outside2", "ip_version": 6, "subnetpool_id": "ref.pool6", "enable_dhcp": false}}},
	{"ports", "proxied", "networks", "member", object{"network": object{"name": "x"}}},
	{"ports", "proxied6", "subnets", "member", object{"subnet": object{"network_id": "ref.proxied", "ip_version": 6, "subnetpool_id": "ref.pool6"}}},
	{"ports", "proxying", "routers", "member", object{"router": object{"external_gateway_info": object{"network_id": "ref.outside2"}, "enable_ndp_proxy": true}}},
	{"ports", "", "routers/ref.proxying/add_router_interface", "member", object{"subnet_id": "ref.proxied6"}},
	{"ports", "proxied1", "ports", "member", object{"port": object{"network_id": "ref.proxied"}}},
	{"ports", "proxied2", "ports", "member", object{"port": object{"network_id": "ref.proxied"}}},
	{"ports", "parent", "ports", "member", object{"port": object{"network_id": "ref.network"}}},
	{"ports", "parent2", "ports", "member", object{"port": object{"network_id": "ref.network"}}},
	{"ports", "instance", "ports", "admin", object{"port": object{"network_id": "ref.network", "device_owner": "compute:nova", "device_id": "x", "binding:host_id": "host-a"}}},
	{"ports", "inside", "ports", "member", object{"port": object{"network_id": "ref.network", "fixed_ips": []any{object{"subnet_id": "ref.subnet", "ip_address": "10.76.0.20"}}}}},
}

// cloud is what both servers hold while they are compared.
type cloud struct {
	m  *matrix
	by map[string]sample
	// was are the subjects as they were, by path, on each side.
	was map[string][2]object
}

func newWorld(t *testing.T, m *matrix) *cloud {
	t.Helper()
	w := &cloud{m, map[string]sample{}, map[string][2]object{}}
	byPath := map[string]api.Description{}
	for _, d := range described() {
		byPath[d.Path] = d
	}
	for who := range m.headers {
		m.both(t, request{who: who, method: "GET", path: "/security-groups"}) // makes the default groups
	}
	w.others(t, "")
	for _, s := range samples {
		w.by[s.path] = s
		w.subject(t, byPath[s.path])
		w.others(t, s.path)
	}
	w.remember(t, byPath[bindings])
	for _, d := range described() {
		if strings.HasPrefix(d.Name, alias) {
			w.remember(t, d)
		}
	}
	w.by[bindings] = sample{path: bindings, send: object{"host": "host-b"}, byAdmin: true}
	return w
}

// bindings is where an instance's bindings are; api.Describe says that any port has them.
const bindings = "ports/{instance}/bindings"

// described are the resources that are compared.
func described() []api.Description {
	out := api.Describe()
	for i := range out {
		if out[i].Name == "binding" {
			out[i].Path = bindings
		}
	}
	return slices.DeleteFunc(out, func(d api.Description) bool {
		return slices.Contains(later, d.Path) || strings.Contains(d.Path, alias) // which alias- is, too
	})
}

func (w *cloud) others(t *testing.T, after string) {
	t.Helper()
	for _, o := range others {
		switch {
		case o.after != after:
		case o.name == "": // an action
			w.action(t, request{who: o.who, method: "PUT", path: "/" + o.path, body: o.body})
		default:
			w.create(t, request{who: o.who, method: "POST", path: "/" + o.path, body: o.body}, "ref."+o.name)
		}
	}
	if after == "routers" {
		w.action(t, request{who: "member", method: "PUT", path: "/routers/ref.router/add_router_interface", body: object{"subnet_id": "ref.subnet"}})
	}
}

// action must succeed on both sides.
func (w *cloud) action(t *testing.T, q request) {
	t.Helper()
	for i, a := range w.m.both(t, q) {
		if a != nil && a.status >= 300 {
			t.Errorf("side %d: %s: %d %s", i, q, a.status, a.text)
		}
	}
}

// create makes an object on both sides and gives it a name.
func (w *cloud) create(t *testing.T, q request, name string) {
	t.Helper()
	for i, a := range w.m.both(t, q) {
		if a == nil || i == 1 && w.m.play != nil {
			continue
		}
		if a.status != http.StatusCreated {
			t.Errorf("no %s to compare with, side %d: %s: %d %s", name, i, q, a.status, a.text)
			continue
		}
		for _, v := range a.body.(object) {
			if id, has := v.(object)["id"].(string); has {
				w.m.p.names[i].rename(name, id)
			}
		}
	}
}

// good is a body that creates an object of a resource; nil if none does.
func (w *cloud) good(path string, subject bool) object {
	s := w.by[path]
	out := maps.Clone(s.send)
	if subject {
		maps.Copy(out, s.differ)
	}
	return out
}

// subject makes the object of a resource that requests are about, and remembers it as the administrator sees it.
func (w *cloud) subject(t *testing.T, d api.Description) {
	t.Helper()
	who := "member"
	if w.by[d.Path].byAdmin {
		who = "admin"
	}
	w.create(t, request{who: who, method: "POST", path: collection(d), body: object{d.Name: w.good(d.Path, true)}}, "ref."+d.Name)
	w.remember(t, d)
}

func (w *cloud) remember(t *testing.T, d api.Description) {
	t.Helper()
	var was [2]object
	for i, a := range w.m.both(t, request{who: "admin", method: "GET", path: collection(d) + "/" + subjectID(d)}) {
		if a != nil {
			o, _ := a.body.(object)
			was[i], _ = o[d.Name].(object)
		}
	}
	w.was[d.Path] = was
}

// collection is the path of a resource beneath the subjects of those above.
func collection(d api.Description) string {
	return "/" + parent.ReplaceAllString(d.Path, "ref.$1")
}

// subjectID is how a path names a resource's subject.
func subjectID(d api.Description) string {
	switch d.Name {
	case "network_ip_availability":
		return "ref.network"
	case "agent":
		return absent
	case "binding":
		return "host-a" // ref.instance has one there from the beginning
	case "port_association":
		return "ref.inside" // which is called after its port
	}
	return "ref." + strings.TrimPrefix(d.Name, alias)
}

// undo takes back what a request did on either side: what was made goes, what was changed is as it was, what went is made again.
func (w *cloud) undo(t *testing.T, d api.Description, q request, a [2]*answer) {
	t.Helper()
	for i := range a {
		if a[i].status >= 300 || q.method == "GET" || i == 1 && w.m.play != nil {
			continue
		}
		switch q.method {
		case "POST":
			o, _ := a[i].body.(object)
			list, _ := o[d.Plural].([]any)
			for _, v := range append(list, o[d.Name]) {
				v, _ := v.(object)
				id, _ := v["id"].(string)
				if id == "" {
					id, _ = v["host"].(string)
				}
				if id != "" {
					w.one(t, i, request{who: "admin", method: "DELETE", path: collection(d) + "/" + id})
				}
			}
		case "PUT":
			body, _ := q.body.(object)
			sent, _ := body[d.Name].(object)
			back := object{}
			for k := range sent {
				if v, has := w.was[d.Path][i][k]; has {
					back[k] = v
				}
			}
			if len(back) > 0 {
				w.one(t, i, request{who: "admin", method: "PUT", path: q.path, body: object{d.Name: back}})
			}
		case "DELETE":
			w.again(t, d)
		}
	}
}

// again makes the subject anew on both sides, and those that went with it: a policy's rules with the policy.
func (w *cloud) again(t *testing.T, d api.Description) {
	t.Helper()
	all := described()
	if at := slices.IndexFunc(all, func(o api.Description) bool { return alias+o.Name == d.Name }); at >= 0 {
		d = all[at] // by the other path none is made
	}
	w.anew(t, d)
	for _, s := range samples {
		at := slices.IndexFunc(all, func(o api.Description) bool { return o.Path == s.path })
		for _, a := range w.m.both(t, request{who: "admin", method: "GET", path: collection(all[at]) + "/" + subjectID(all[at])}) {
			if a != nil && a.status == http.StatusNotFound {
				w.anew(t, all[at])
				break
			}
		}
	}
}

// alias is how the names of resources begin that are others by another path.
const alias = "alias_"

func (w *cloud) anew(t *testing.T, d api.Description) {
	t.Helper()
	for i := range 2 {
		if i == 1 && w.m.play != nil {
			break
		}
		if a, err := w.m.p.send(i, request{who: "admin", method: "DELETE", path: collection(d) + "/" + subjectID(d)}, w.m.headers["admin"]); err != nil {
			t.Fatal(a, err)
		}
	}
	w.subject(t, d)
}

// one sends a request to one side, which must do it.
func (w *cloud) one(t *testing.T, side int, q request) {
	t.Helper()
	a, err := w.m.p.send(side, q, w.m.headers[q.who])
	if err != nil {
		t.Fatal(err)
	}
	if a.status >= 300 && !strings.Contains(a.text, "NotFound") {
		t.Logf("side %d cannot take back: %s: %d %.200s", side, q, a.status, a.text)
	}
}
