package server

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"testing"

	"github.com/weft-cloud/weft/test/rig"
)

// place is what TestKillUnderLoad sets up for the clients: without it they make no stories.
type place struct {
	outside, pool4, pool6 string
	agents                map[string][]string // ids by type
}

// newPlace makes a default external network of both families and default pools, of whose scope it is: what auto-allocated
// topologies and NDP proxies need.
func newPlace(t *testing.T, s *rig.Server) *place {
	t.Helper()
	made := func(path, kind string, attrs object) string {
		var out map[string]object
		if err := s.Do(t.Context(), "", "POST", "/v2.0/"+path, object{kind: attrs}, &out); err != nil {
			t.Fatal(err)
		}
		return out[kind]["id"].(string)
	}
	p := &place{agents: map[string][]string{}}
	scope := made("address-scopes", "address_scope", object{"name": "six", "ip_version": 6, "shared": true})
	p.pool4 = made("subnetpools", "subnetpool", object{"name": "four", "prefixes": []string{"10.128.0.0/12"}, "default_prefixlen": 26, "is_default": true, "shared": true})
	p.pool6 = made("subnetpools", "subnetpool", object{"name": "six", "prefixes": []string{"2001:db8:1000::/40"}, "default_prefixlen": 64, "is_default": true, "shared": true,
		"address_scope_id": scope})
	p.outside = made("networks", "network", object{"name": "outside", "router:external": true, "is_default": true})
	made("subnets", "subnet", object{"network_id": p.outside, "ip_version": 4, "cidr": "203.0.113.0/24"})
	made("subnets", "subnet", object{"network_id": p.outside, "ip_version": 6, "subnetpool_id": p.pool6})
	for n := range 2 {
		if err := s.Agent(fmt.Sprint("host", n+1), fmt.Sprint("127.0.0.2", n+1), nil); err != nil {
			t.Fatal(err)
		}
	}
	awaitStatus(t, s, func(st status) bool { return len(st.Agents) == 2 && st.Agents[0].Connected && st.Agents[1].Connected })
	a, err := s.Send(t.Context(), "GET", "/v2.0/agents", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects(a.Object()["agents"]) {
		p.agents[text(o["agent_type"])] = append(p.agents[text(o["agent_type"])], text(o["id"]))
	}
	if len(p.agents["DHCP agent"]) != 2 || len(p.agents["L3 agent"]) != 2 {
		t.Fatalf("agents: %s", a.Body)
	}
	return p
}

// route is a way out that a client has built: forwardings and proxies are made on it.
type route struct {
	router, port, floating *thing
	four, six              string // the port's addresses
	leaves                 bool   // six can be taken from the port
}

// story does one thing that random calls alone would hardly ever bring to pass.
func (c *client) story(ctx context.Context) {
	switch c.r.IntN(10) {
	case 0, 1:
		c.build(ctx)
	case 2, 3, 4:
		c.forward(ctx)
	case 5:
		c.limit(ctx)
	case 6:
		c.topology(ctx)
	default:
		c.schedule(ctx)
	}
}

// build makes a network of both families behind a router with a gateway, a port on it and a floating IP.
func (c *client) build(ctx context.Context) {
	made := func(kind string, parent *thing, attrs object) *thing {
		if t := c.create(ctx, kind, parent, attrs); t.fate == present {
			return t
		}
		return nil
	}
	n := made("network", nil, object{})
	if n == nil {
		return
	}
	four := made("subnet", n, object{"network_id": n.id, "ip_version": 4, "subnetpool_id": c.at.pool4, "prefixlen": 28})
	attrs := object{"network_id": n.id, "ip_version": 6, "subnetpool_id": c.at.pool6}
	leaves := c.r.IntN(2) == 0
	if !leaves { // of a subnet without modes a port can give up its address
		attrs["ipv6_address_mode"], attrs["ipv6_ra_mode"] = "slaac", "slaac"
	}
	six := made("subnet", n, attrs)
	r := made("router", nil, object{"external_gateway_info": object{"network_id": c.at.outside}, "enable_ndp_proxy": true})
	if four == nil || six == nil || r == nil {
		return
	}
	for _, s := range []*thing{four, six} {
		c.call(ctx, "PUT", "/routers/"+r.id+"/add_router_interface", object{"subnet_id": s.id})
	}
	p := made("port", nil, object{"network_id": n.id})
	if p == nil {
		return
	}
	way := route{router: r, port: p, leaves: leaves}
	a, ok := c.call(ctx, "GET", "/ports/"+p.id, nil)
	if !ok {
		return
	}
	o, _ := a.Object()["port"].(object)
	for _, f := range objects(o["fixed_ips"]) {
		if f["subnet_id"] == four.id {
			way.four = text(f["ip_address"])
		} else {
			way.six = text(f["ip_address"])
		}
	}
	c.floating(ctx, c.at.outside)
	way.floating = c.things[len(c.things)-1]
	c.routes = append(c.routes, way)
}

// forward makes, changes or deletes port forwardings and NDP proxies on one of its routes.
func (c *client) forward(ctx context.Context) {
	c.routes = slices.DeleteFunc(c.routes, func(w route) bool {
		return w.router.there() != present || w.port.there() != present || w.floating.there() != present
	})
	if len(c.routes) == 0 {
		c.build(ctx)
		return
	}
	w := c.routes[c.r.IntN(len(c.routes))]
	forwards := "/floatingips/" + w.floating.id + "/port_forwardings"
	attrs := object{"internal_port_id": w.port.id, "protocol": c.pick("tcp", "udp"), "internal_ip_address": w.four, "internal_port": 80 + c.r.IntN(3),
		"external_port": 8000 + c.r.IntN(4)}
	switch c.r.IntN(8) {
	case 0, 1:
		c.more(ctx, forwards, "port_forwarding", attrs)
	case 2:
		c.call(ctx, "PUT", c.some(forwards), object{"port_forwarding": attrs})
	case 3:
		c.call(ctx, "DELETE", c.some(forwards), nil)
	case 4:
		c.leave(ctx)
	default:
		c.more(ctx, "/ndp_proxies", "ndp_proxy", object{"router_id": w.router.id, "port_id": w.port.id, "ip_address": w.six})
	}
}

// leave gives a port of one of its routes an NDP proxy and takes the address from it.
func (c *client) leave(ctx context.Context) {
	i := slices.IndexFunc(c.routes, func(w route) bool { return w.leaves })
	if i < 0 {
		return
	}
	w := c.routes[i]
	c.more(ctx, "/ndp_proxies", "ndp_proxy", object{"router_id": w.router.id, "port_id": w.port.id, "ip_address": w.six})
	a, ok := c.call(ctx, "PUT", "/ports/"+w.port.id, object{"port": object{"fixed_ips": []object{{"ip_address": w.four}}}})
	if !ok || a.Status != http.StatusOK {
		return
	}
	c.routes = slices.Delete(c.routes, i, i+1)
	if slices.Contains(slices.Collect(maps.Values(c.proxied)), proxied{w.port.id, w.six}) {
		c.went[leftProxy]++
	}
}

// leftProxy is what must have happened: an address went and left its NDP proxy behind, if the rules did not see to that.
const leftProxy = "an address of an NDP proxy"

// limit changes the quota of ports of its project, which one client of each does, and keeps account of it.
func (c *client) limit(ctx context.Context) {
	if c.n >= 3 {
		return
	}
	path := fmt.Sprint("/quotas/project-", c.n)
	want, method, body := float64(portQuota-c.r.IntN(20)), "PUT", object(nil)
	if c.r.IntN(4) == 0 {
		want, method = portQuota, "DELETE" // the default
	} else {
		body = object{"quota": object{"port": want}}
	}
	var sent any
	if body != nil {
		sent = body
	}
	switch a, ok := c.call(ctx, method, path, sent); {
	case !ok:
		c.limits = append(c.limits, want)
	case a.Status < 300:
		c.limits = []float64{want}
	case a.Status != http.StatusServiceUnavailable && a.Status != http.StatusNotFound: // 404: there was none to delete
		c.complain("%s %s %v: %d %s", method, path, body, a.Status, a.Body)
	}
}

// checkLimit holds the quota that there is against those that the client was told, and settles it.
func (c *client) checkLimit(t *testing.T) {
	t.Helper()
	if c.n >= 3 || len(c.limits) == 0 {
		return
	}
	path := fmt.Sprint("/v2.0/quotas/project-", c.n)
	a, err := c.s.Send(t.Context(), "GET", path, nil, http.Header{"X-Project-Id": {"audit"}})
	if err != nil {
		t.Fatal(err)
	}
	quota, _ := a.Object()["quota"].(object)
	is, _ := quota["port"].(float64)
	if !slices.Contains(c.limits, is) {
		c.complain("the quota of ports is %v, it was set to one of %v", is, c.limits)
	}
	c.limits = []float64{is}
}

// topology asks for the project's auto-allocated topology, or gives it back.
func (c *client) topology(ctx context.Context) {
	path := fmt.Sprint("/auto-allocated-topology/project-", c.n%3)
	if c.r.IntN(3) == 0 {
		c.call(ctx, "DELETE", path, nil)
		return
	}
	c.call(ctx, "GET", path, nil)
}

// schedule gives networks and routers to agents and takes them away, and switches agents.
func (c *client) schedule(ctx context.Context) {
	dhcp, l3 := c.pick(c.at.agents["DHCP agent"]...), c.pick(c.at.agents["L3 agent"]...)
	switch c.r.IntN(8) {
	case 0, 1:
		c.call(ctx, "POST", "/agents/"+dhcp+"/dhcp-networks", object{"network_id": c.id("network")})
	case 2, 3:
		c.call(ctx, "DELETE", "/agents/"+dhcp+"/dhcp-networks/"+c.id("network"), nil)
	case 4, 5:
		c.call(ctx, "POST", "/agents/"+l3+"/l3-routers", object{"router_id": c.id("router")})
	case 6:
		c.call(ctx, "DELETE", "/agents/"+l3+"/l3-routers/"+c.id("router"), nil)
	default:
		c.call(ctx, "PUT", "/agents/"+c.pick(dhcp, l3), object{"agent": object{"admin_state_up": c.r.IntN(4) != 0, "description": fmt.Sprint(c.r.IntN(9))}})
	}
}

// topologies: a project has one auto-allocated topology at most, and what was made or deleted together is there together.
func (w *listed) topologies() (bad []string) {
	count := func(collection, name string) map[string]int {
		n := map[string]int{}
		for _, o := range w.of[collection] {
			if o["name"] == name {
				n[text(o["project_id"])]++
			}
		}
		return n
	}
	nets := count("networks", "auto_allocated_network")
	for collection, name := range map[string]string{"networks": "auto_allocated_network", "routers": "auto_allocated_router",
		"subnets": "auto_allocated_subnet_v4"} {
		for project, n := range count(collection, name) {
			if n != 1 || nets[project] != 1 {
				bad = append(bad, fmt.Sprintf("project %s has %d of %s and %d auto-allocated networks", project, n, name, nets[project]))
			}
		}
	}
	return bad
}

// served says where a DHCP agent's networks and the ports that it serves them by differ.
func (p *place) served(t *testing.T, s *rig.Server, w *listed) (bad []string) {
	t.Helper()
	ports, serving := map[string]int{}, map[string]bool{}
	for _, x := range w.of["ports"] {
		if x["device_owner"] == "network:dhcp" {
			ports[fmt.Sprint(x["network_id"], " ", x["binding:host_id"])]++
		}
	}
	for _, id := range p.agents["DHCP agent"] {
		host := text(w.rows("agents")[id]["host"])
		a, err := s.Send(t.Context(), "GET", "/v2.0/agents/"+id+"/dhcp-networks", nil, nil)
		if err != nil || a.Status != http.StatusOK {
			t.Fatalf("networks of agent %s: %v %+v", id, err, a)
		}
		for _, n := range objects(a.Object()["networks"]) {
			if w.byID[text(n["id"])] != "networks" {
				bad = append(bad, fmt.Sprintf("agent %s serves network %v, which is not there", id, n["id"]))
			}
			serving[fmt.Sprint(n["id"], " ", host)] = true
		}
	}
	for key, n := range ports {
		if n != 1 || !serving[key] {
			bad = append(bad, fmt.Sprintf("network and host %s: %d DHCP ports, served: %t", key, n, serving[key]))
		}
	}
	return bad
}
