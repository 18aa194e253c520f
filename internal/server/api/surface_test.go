package api_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/api"
)

// TestNoRequestFails sends requests made of what the engine itself says that there is (every collection, attribute,
// action and sub-path) and of values of every kind, also to objects that are there: none may be answered with a 500, or
// with what is not JSON, and the world must stay whole.
func TestNoRequestFails(t *testing.T) {
	w, property := surfaceProperty(t)
	rapid.Check(t, property)
	if ok, refused := w.answered[2], w.answered[4]; ok < (ok+refused)/40 {
		t.Errorf("of %d requests only %d went through: the others did not come far", ok+refused, ok)
	}
	t.Logf("requests by the first digit of their status: %v", w.answered)
}

// FuzzSurface is the same, led by coverage.
func FuzzSurface(f *testing.F) {
	_, property := surfaceProperty(f)
	f.Fuzz(rapid.MakeFuzz(property))
}

func surfaceProperty(tb testing.TB) (*walker, func(rt *rapid.T)) {
	e := newEnv(tb, nil)
	e.host("ctl", "192.0.2.1", model.ModeDVRSNAT)
	w := &walker{e: e, offers: api.Surface(e.handler)}
	if len(w.offers) < 25 {
		tb.Fatalf("the API offers %d collections", len(w.offers))
	}
	for _, c := range w.offers {
		w.attrs = append(w.attrs, c.Attrs...)
	}
	slices.Sort(w.attrs)
	w.attrs = slices.Compact(w.attrs)
	w.populate()
	return w, func(rt *rapid.T) {
		w.rt = rt
		for range rapid.IntRange(1, 30).Draw(rt, "calls") {
			w.step()
		}
		if bad := broken(e.writer.Snapshot()); bad != "" {
			rt.Fatal(bad)
		}
	}
}

// walker makes requests at random.
type walker struct {
	e      *env
	rt     *rapid.T
	offers []api.Collection
	attrs  []string
	ids    []string
	// answered counts the answers by the first digit of their status.
	answered [10]int
}

// populate makes one of most kinds, so that requests meet something.
func (w *walker) populate() {
	e := w.e
	add := func(o object) string {
		id := o["id"].(string)
		w.ids = append(w.ids, id)
		return id
	}
	net := add(e.create("network", object{"name": "n"}))
	out := add(e.create("network", object{"name": "out", "router:external": true}))
	sub := add(e.create("subnet", object{"network_id": net, "cidr": "10.0.0.0/24", "ip_version": 4}))
	add(e.create("subnet", object{"network_id": net, "cidr": "fd00::/64", "ip_version": 6, "ipv6_address_mode": "slaac", "ipv6_ra_mode": "slaac"}))
	add(e.create("subnet", object{"network_id": out, "cidr": "203.0.113.0/24", "ip_version": 4}))
	port := add(e.create("port", object{"network_id": net, "binding:host_id": "ctl"}))
	router := add(e.create("router", object{"external_gateway_info": object{"network_id": out}}))
	e.must(200, "PUT", "/routers/"+router+"/add_router_interface", object{"subnet_id": sub})
	add(e.create("floatingip", object{"floating_network_id": out, "port_id": port}))
	add(e.create("floatingip", object{"floating_network_id": out}))
	group := add(e.must(201, "POST", "/security-groups", object{"security_group": object{"name": "g"}}))
	add(e.must(201, "POST", "/security-group-rules", object{"security_group_rule": object{"security_group_id": group, "direction": "ingress"}}))
	add(e.must(201, "POST", "/address-groups", object{"address_group": object{"name": "a", "addresses": []string{"10.0.0.0/8"}}}))
	add(e.must(201, "POST", "/qos/policies", object{"policy": object{"name": "q"}}))
	add(e.create("trunk", object{"port_id": add(e.create("port", object{"network_id": net}))}))
	add(e.create("subnetpool", object{"name": "p", "prefixes": []string{"172.16.0.0/12"}, "default_prefixlen": 24}))
	add(e.must(201, "POST", "/metering/metering-labels", object{"metering_label": object{}}))
	add(e.create("service_profile", object{"metainfo": "m"}))
	add(e.create("flavor", object{"service_type": "FLAVORS"}))
	add(e.must(201, "POST", "/log/logs", object{"log": object{"resource_type": "security_group"}}))
	add(e.create("local_ip", object{"network_id": net, "local_ip_address": "10.0.0.99"}))
	w.ids = append(w.ids, "00000000-0000-4000-8000-000000000000", "no-id", "%2f", "default", "admin-project")
}

func (w *walker) of(what string, some []string) string {
	return rapid.SampledFrom(some).Draw(w.rt, what)
}

var texts = []string{"", "x", "\x00", "é\u2028", "*", "tcp", "icmpv6", "ingress", "egress", "IPv4", "IPv6", "network", "port", "qos_policy", "security_group",
	"access_as_shared", "access_as_external", "slaac", "dhcpv6-stateful", "vxlan", "vlan", "flat", "local", "physnet1", "ctl", "compute:nova",
	"network:router_interface", "network:router_gateway", "network:dhcp", "10.0.0.0/24", "10.0.0.77", "10.0.0.300", "10.0.0.0/33", "0.0.0.0/0", "::/0",
	"fd00::/64", "fd00::7", "fe80::1%eth0", "203.0.113.9", "2001:db8::/32", "ff:ff:ff:ff:ff:ff", "fa:16:3e:00:00:01", "fa-16-3e-00-00-02",
	"true", "None", "-1", "1e9", "99999999999999999999", "2026-01-01T00:00:00Z", strings.Repeat("a", 256), strings.Repeat("b", 70_000)}

// value is a JSON value of any kind; depth bounds how deep it goes.
func (w *walker) value(depth int) any {
	kind := rapid.IntRange(0, 11).Draw(w.rt, "kind")
	switch {
	case kind < 3:
		return w.of("text", texts)
	case kind < 6:
		return w.of("id", w.ids)
	case kind == 6:
		return rapid.SampledFrom([]any{nil, true, false}).Draw(w.rt, "constant")
	case kind < 9 || depth == 0:
		return rapid.SampledFrom([]any{0, 1, -1, 4, 6, 22, 64, 1500, 4094, 65536, 1 << 31, 1 << 40, -1 << 60, 1.5, 1e300}).Draw(w.rt, "number")
	case kind == 9:
		o := object{}
		for range rapid.IntRange(0, 3).Draw(w.rt, "keys") {
			o[w.of("key", keys)] = w.value(depth - 1)
		}
		return o
	}
	list := []any{}
	for range rapid.IntRange(0, 3).Draw(w.rt, "items") {
		list = append(list, w.value(depth-1))
	}
	return list
}

// keys are those of the objects within attributes and of the bodies of actions.
var keys = []string{"subnet_id", "ip_address", "mac_address", "network_id", "enable_snat", "external_fixed_ips", "destination", "nexthop", "start", "end",
	"opt_name", "opt_value", "ip_version", "port_id", "segmentation_type", "segmentation_id", "sub_ports", "addresses", "routes", "router", "prefixes",
	"host", "protocol", "helper", "port", "max_kbps", "min_kbps", "direction", "dscp_mark", "internal_port", "external_port", "internal_ip_address",
	"internal_port_id", "agent_id", "router_id", "tags", "provider:network_type", "provider:physical_network", "provider:segmentation_id"}

// body is one for a collection: its attributes, several objects, or anything at all.
func (w *walker) body(c api.Collection) any {
	attrs := c.Attrs
	if len(attrs) == 0 {
		attrs = w.attrs
	}
	one := func() object {
		o := object{}
		for range rapid.IntRange(0, 6).Draw(w.rt, "attributes") {
			o[w.of("attribute", attrs)] = w.value(2)
		}
		if slices.Contains(attrs, "network_id") {
			o["network_id"] = w.ids[0]
		}
		return o
	}
	switch rapid.IntRange(0, 6).Draw(w.rt, "body") {
	case 0:
		return w.value(3)
	case 1:
		return object{c.Name + "s": []any{one(), one()}}
	case 2:
		o := object{}
		for range rapid.IntRange(0, 4).Draw(w.rt, "keys") {
			o[w.of("key", keys)] = w.value(2)
		}
		return o
	}
	return object{c.Name: one()}
}

func (w *walker) query(c api.Collection) string {
	q := url.Values{}
	attrs := append([]string{"fields", "limit", "marker", "page_reverse", "tags", "not-tags-any", "sort_key"}, c.Attrs...)
	for range rapid.IntRange(0, 3).Draw(w.rt, "parameters") {
		name := w.of("parameter", attrs)
		switch rapid.IntRange(0, 3).Draw(w.rt, "as") {
		case 0:
			q.Add("sort_key", name)
			q.Add("sort_dir", w.of("direction", []string{"asc", "desc", "up"}))
		case 1:
			q.Add(name, w.of("id", w.ids))
		case 2:
			q.Add("fields", name)
		default:
			q.Add(name, w.of("text", texts[:len(texts)-1]))
		}
	}
	return q.Encode()
}

func (w *walker) step() {
	c := rapid.SampledFrom(w.offers).Draw(w.rt, "collection")
	method := w.of("method", []string{"GET", "POST", "POST", "POST", "PUT", "PUT", "DELETE", "PATCH", "HEAD"})
	path := "/v2.0/" + c.Path
	if method != "POST" || rapid.IntRange(0, 3).Draw(w.rt, "deep") == 0 {
		path += "/" + w.of("id", w.ids)
		for range rapid.IntRange(0, 2).Draw(w.rt, "depth") {
			path += "/" + w.of("below", append([]string{"x", w.of("id", w.ids)}, c.Below...))
		}
	}
	if method == "GET" && rapid.Bool().Draw(w.rt, "list") {
		path = "/v2.0/" + c.Path
	}
	path += "?" + w.query(c)
	b, err := json.Marshal(w.body(c))
	if err != nil {
		w.rt.Fatal(err)
	}
	match := w.of("If-Match", []string{"", "", "", "revision_number=1", "revision_number=x", "*"})
	code, answer, ok := w.e.any(method, path, string(b), match)
	w.answered[code/100]++
	request := fmt.Sprintf("%s %.300s %.2000s", method, path, b)
	switch {
	case !ok:
		w.rt.Fatalf("%s is no request", request)
	case code >= 500 && code != 503:
		w.rt.Fatalf("%s: %d %s", request, code, answer)
	case len(answer) > 0 && !json.Valid(answer):
		w.rt.Fatalf("%s: not JSON: %q", request, answer)
	}
}
