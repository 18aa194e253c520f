package server

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// wild makes a random call of which no account is kept: it changes what is the client's own in ways that neither end it nor
// describe it anew, or makes what goes with it. What came of such calls shows in the whole (whole_test.go).
func (c *client) wild(ctx context.Context) {
	if len(c.extra) > 0 && c.r.IntN(4) == 0 {
		i := c.r.IntN(len(c.extra))
		delete(c.standing, c.extra[i])
		if a, ok := c.call(ctx, "DELETE", c.extra[i], nil); ok && (a.Status == http.StatusNoContent || a.Status == http.StatusNotFound) {
			c.extra = append(c.extra[:i], c.extra[i+1:]...)
		}
		return
	}
	calls := []func(context.Context){c.wildTrunk, c.wildPool, c.wildSharing, c.wildFloating, c.wildGroup, c.wildRouter, c.wildPort, c.wildBinding,
		c.wildQoS, c.wildService, c.wildBulk, c.wildSegment}
	calls[c.r.IntN(len(calls))](ctx)
}

// id is the identifier of a thing of its own, or one that there is not.
func (c *client) id(kind string) string {
	if t := c.own(kind); t != nil {
		return t.id
	}
	return "00000000-0000-4000-8000-000000000000"
}

// more creates an object of which it keeps the path, to delete it by, and whether it must be there (checkMore).
func (c *client) more(ctx context.Context, path, kind string, attrs object) {
	a, ok := c.call(ctx, "POST", path, object{kind: attrs})
	if !ok || a.Status != http.StatusCreated {
		return
	}
	o, _ := a.Object()[kind].(object)
	if id, ok := o["id"].(string); ok {
		if path == "/ndp_proxies" {
			c.proxied[id] = proxied{text(o["port_id"]), text(o["ip_address"])}
		}
		c.extra = append(c.extra, path+"/"+id)
		c.standing[path+"/"+id] = true
	}
}

// stay are the collections whose objects nothing ends but their own deletion.
var stay = []string{"trunks", "subnetpools", "address-scopes", "metering/metering-labels", "flavors", "service_profiles", "network_segment_ranges",
	"default-security-group-rules"}

// checkMore holds what the client was told of objects made by more against what there is.
func (c *client) checkMore(w *listed) {
	ports := w.rows("ports")
	for path := range c.standing {
		collection, id := strings.TrimPrefix(path[:strings.LastIndexByte(path, '/')], "/"), last(path)
		there := w.byID[id] != ""
		switch {
		case slices.Contains(stay, collection) && !there:
			c.complain("%s was acknowledged, nobody has deleted it, and it is not there", path)
		case collection == "ndp_proxies" && !there && slices.Contains(addressesOf(ports[c.proxied[id].port]), c.proxied[id].addr):
			c.complain("%s was acknowledged, its port has its address still, and it is not there", path)
		}
		if !there {
			delete(c.standing, path)
		}
	}
}

// some is the path of one of the objects that it made by more, of a collection.
func (c *client) some(collection string) string {
	var paths []string
	for _, p := range c.extra {
		if strings.HasPrefix(p, collection+"/") && strings.Count(p, "/") == strings.Count(collection, "/")+1 {
			paths = append(paths, p)
		}
	}
	if len(paths) == 0 {
		return collection + "/00000000-0000-4000-8000-000000000000"
	}
	return paths[c.r.IntN(len(paths))]
}

func last(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

// pick is one of the values, by chance.
func (c *client) pick(values ...string) string { return values[c.r.IntN(len(values))] }

func (c *client) wildTrunk(ctx context.Context) {
	sub := []object{{"port_id": c.id("port"), "segmentation_type": "vlan", "segmentation_id": 1 + c.r.IntN(4)}}
	switch c.r.IntN(4) {
	case 0, 1:
		c.more(ctx, "/trunks", "trunk", object{"port_id": c.id("port"), "sub_ports": sub})
	case 2:
		c.call(ctx, "PUT", c.some("/trunks")+"/add_subports", object{"sub_ports": sub})
	default:
		c.call(ctx, "PUT", c.some("/trunks")+"/remove_subports", object{"sub_ports": []object{{"port_id": c.id("port")}}})
	}
}

func (c *client) wildPool(ctx context.Context) {
	prefixes := []string{fmt.Sprintf("10.%d.0.0/20", 64+c.r.IntN(4)), fmt.Sprintf("fd0%d::/60", c.r.IntN(4))}[c.r.IntN(2):][:1]
	switch pool := c.some("/subnetpools"); c.r.IntN(12) {
	case 0, 1:
		attrs := object{"name": "wild", "prefixes": prefixes}
		if c.r.IntN(2) == 0 {
			attrs["address_scope_id"] = last(c.some("/address-scopes"))
		}
		c.more(ctx, "/subnetpools", "subnetpool", attrs)
	case 2:
		c.more(ctx, "/address-scopes", "address_scope", object{"name": "wild", "ip_version": 4 + 2*c.r.IntN(2)})
	case 3:
		c.call(ctx, "PUT", pool+"/add_prefixes", object{"prefixes": prefixes})
	case 4:
		c.call(ctx, "PUT", pool+"/remove_prefixes", object{"prefixes": prefixes})
	case 5:
		c.call(ctx, "PUT", pool+"/onboard_network_subnets", object{"network_id": c.id("network")})
	case 6:
		c.call(ctx, "PUT", pool, object{"subnetpool": object{"address_scope_id": last(c.some("/address-scopes"))}})
	default:
		version, length := 4, 26
		if c.r.IntN(2) == 0 {
			version, length = 6, 64
		}
		c.more(ctx, "/subnets", "subnet", object{"network_id": c.id("network"), "subnetpool_id": last(pool), "ip_version": version, "prefixlen": length})
	}
}

func (c *client) wildSharing(ctx context.Context) {
	kind := []struct{ name, action, id string }{{"network", "access_as_shared", c.id("network")}, {"network", "access_as_external", c.id("network")},
		{"security_group", "access_as_shared", c.id("security_group")}, {"address_group", "access_as_shared", c.id("address_group")},
		{"qos_policy", "access_as_shared", c.id("policy")}, {"subnetpool", "access_as_shared", last(c.some("/subnetpools"))},
		{"address_scope", "access_as_shared", last(c.some("/address-scopes"))}}[c.r.IntN(7)]
	c.more(ctx, "/rbac-policies", "rbac_policy", object{"object_type": kind.name, "object_id": kind.id, "action": kind.action,
		"target_tenant": c.pick("project-0", "project-1", "*")})
}

func (c *client) wildFloating(ctx context.Context) {
	f := c.id("floatingip")
	switch c.r.IntN(5) {
	case 0, 1:
		c.call(ctx, "PUT", "/floatingips/"+f, object{"floatingip": object{"port_id": c.id("port")}})
	case 2:
		c.call(ctx, "PUT", "/floatingips/"+f, object{"floatingip": object{"port_id": nil}})
	default:
		c.more(ctx, "/floatingips/"+f+"/port_forwardings", "port_forwarding", object{"internal_port_id": c.id("port"), "protocol": c.pick("tcp", "udp"),
			"internal_ip_address": fmt.Sprint("10.0.0.", 2+c.r.IntN(8)), "internal_port": 80, "external_port": 8000 + c.r.IntN(3)})
	}
}

func (c *client) wildGroup(ctx context.Context) {
	g, ag := c.id("security_group"), c.id("address_group")
	some := object{"addresses": []string{fmt.Sprintf("192.0.2.%d/32", c.r.IntN(8)), fmt.Sprintf("2001:db8::%d/128", c.r.IntN(8))}}
	switch c.r.IntN(6) {
	case 0:
		c.more(ctx, "/security-group-rules", "security_group_rule", object{"security_group_id": g, "direction": "ingress", "remote_group_id": c.id("security_group")})
	case 1:
		c.more(ctx, "/security-group-rules", "security_group_rule", object{"security_group_id": g, "direction": c.pick("ingress", "egress"),
			"ethertype": c.pick("IPv4", "IPv6"), "protocol": "tcp", "port_range_min": 1 + c.r.IntN(5), "port_range_max": 9})
	case 2:
		c.more(ctx, "/security-group-rules", "security_group_rule", object{"security_group_id": g, "direction": "ingress", "remote_address_group_id": ag})
	case 3:
		c.call(ctx, "PUT", "/address-groups/"+ag+"/"+c.pick("add_addresses", "remove_addresses"), some)
	case 4:
		c.more(ctx, "/default-security-group-rules", "default_security_group_rule", object{"direction": "ingress", "protocol": "udp", "port_range_min": 1 + c.r.IntN(9), "port_range_max": 9})
	default:
		c.call(ctx, "PUT", "/ports/"+c.id("port"), object{"port": object{"security_groups": []string{g, c.id("security_group")}}})
	}
}

func (c *client) wildRouter(ctx context.Context) {
	r := c.id("router")
	routes := object{"router": object{"routes": []object{{"destination": fmt.Sprintf("10.99.%d.0/24", c.r.IntN(4)), "nexthop": fmt.Sprint("10.0.0.", 2+c.r.IntN(8))}}}}
	switch c.r.IntN(8) {
	case 0, 1:
		c.call(ctx, "PUT", "/routers/"+r+"/"+c.pick("add_extraroutes", "remove_extraroutes"), routes)
	case 2:
		c.call(ctx, "PUT", "/routers/"+r+"/"+c.pick("add_router_interface", "remove_router_interface"), object{"port_id": last(c.some("/ports"))}) // it goes with the leg
	case 3:
		c.more(ctx, "/routers/"+r+"/conntrack_helpers", "conntrack_helper", object{"helper": "tftp", "protocol": "udp", "port": 69 + c.r.IntN(2)})
	case 4:
		c.call(ctx, "PUT", "/routers/"+r, object{"router": object{"admin_state_up": c.r.IntN(2) == 0}})
	case 5:
		c.call(ctx, "PUT", "/routers/"+r, object{"router": object{"distributed": c.r.IntN(2) == 0}})
	case 6:
		c.call(ctx, "PUT", "/routers/"+r, object{"router": object{"enable_ndp_proxy": c.r.IntN(4) != 0}})
	default:
		c.more(ctx, "/ndp_proxies", "ndp_proxy", object{"router_id": r, "port_id": c.id("port")})
	}
}

func (c *client) wildPort(ctx context.Context) {
	attrs := []object{{"fixed_ips": []object{{"subnet_id": c.id("subnet")}}},
		{"fixed_ips": []object{{"ip_address": fmt.Sprint("10.0.0.", 2+c.r.IntN(8))}, {"subnet_id": c.id("subnet")}}},
		{"fixed_ips": []object{}},
		{"mac_address": fmt.Sprintf("fa:16:3e:00:00:%02x", c.r.IntN(16))},
		{"allowed_address_pairs": []object{{"ip_address": "10.0.0.200"}}},
		{"allowed_address_pairs": []object{}},
		{"port_security_enabled": c.r.IntN(2) == 0, "security_groups": []string{}, "allowed_address_pairs": []object{}},
		{"device_id": "d", "device_owner": c.pick("compute:nova", "")},
		{"admin_state_up": c.r.IntN(2) == 0},
		{"extra_dhcp_opts": []object{{"opt_name": "mtu", "opt_value": "1400"}}},
	}
	c.call(ctx, "PUT", "/ports/"+c.id("port"), object{"port": attrs[c.r.IntN(len(attrs))]})
}

func (c *client) wildBinding(ctx context.Context) {
	p, host := "/ports/"+c.id("port"), c.pick("host1", "host2", "host3")
	switch c.r.IntN(5) {
	case 0, 1:
		c.call(ctx, "PUT", p, object{"port": object{"binding:host_id": c.pick(host, "")}})
	case 2:
		c.call(ctx, "POST", p+"/bindings", object{"binding": object{"host": host}})
	case 3:
		c.call(ctx, "PUT", p+"/bindings/"+host+"/activate", object{})
	default:
		c.call(ctx, "DELETE", p+"/bindings/"+host, nil)
	}
}

func (c *client) wildQoS(ctx context.Context) {
	q := c.id("policy")
	of := []string{q, q, ""}[c.r.IntN(3)]
	var id any
	if of != "" {
		id = of
	}
	switch c.r.IntN(5) {
	case 0:
		c.more(ctx, "/qos/policies/"+q+"/bandwidth_limit_rules", "bandwidth_limit_rule", object{"max_kbps": 1000, "direction": c.pick("ingress", "egress")})
	case 1:
		c.more(ctx, "/qos/policies/"+q+"/dscp_marking_rules", "dscp_marking_rule", object{"dscp_mark": 14})
	case 2:
		c.call(ctx, "PUT", "/ports/"+c.id("port"), object{"port": object{"qos_policy_id": id}})
	case 3:
		c.call(ctx, "PUT", "/networks/"+c.id("network"), object{"network": object{"qos_policy_id": id}})
	default:
		c.call(ctx, "PUT", "/floatingips/"+c.id("floatingip"), object{"floatingip": object{"qos_policy_id": id}})
	}
}

// wildService makes what stands beside networks: local IPs, meters, flavors, logs, tags.
func (c *client) wildService(ctx context.Context) {
	label, flavor := c.some("/metering/metering-labels"), c.some("/flavors")
	switch c.r.IntN(10) {
	case 0:
		c.more(ctx, "/local_ips", "local_ip", object{"network_id": c.id("network")})
	case 1:
		c.more(ctx, "/local_ips", "local_ip", object{"local_port_id": c.id("port")})
	case 2:
		l := c.some("/local_ips")
		c.call(ctx, "POST", l+"/port_associations", object{"port_association": object{"fixed_port_id": c.id("port")}})
	case 3:
		c.call(ctx, "DELETE", c.some("/local_ips")+"/port_associations/"+c.id("port"), nil)
	case 4:
		c.more(ctx, "/metering/metering-labels", "metering_label", object{"name": "wild"})
	case 5:
		c.more(ctx, "/metering/metering-label-rules", "metering_label_rule", object{"metering_label_id": last(label), "direction": "ingress",
			"remote_ip_prefix": fmt.Sprintf("192.0.2.%d/32", c.r.IntN(9))})
	case 6:
		c.more(ctx, "/flavors", "flavor", object{"name": "wild", "service_type": "L3_ROUTER_NAT"})
	case 7:
		c.more(ctx, "/service_profiles", "service_profile", object{"driver": "neutron.services.l3_router.service_providers.single_node.SingleNodeDriver"})
		c.call(ctx, "POST", flavor+"/service_profiles", object{"service_profile": object{"id": last(c.some("/service_profiles"))}})
	case 8:
		c.more(ctx, "/log/logs", "log", object{"name": "wild", "resource_type": "security_group", "resource_id": c.id("security_group"), "target_id": c.id("port")})
	default:
		c.call(ctx, "PUT", "/"+c.pick("networks/"+c.id("network"), "ports/"+c.id("port"), "trunks/"+last(c.some("/trunks")))+"/tags/"+c.pick("a", "b"), nil)
	}
}

// wildBulk creates several at once, now and then with one among them that is refused.
func (c *client) wildBulk(ctx context.Context) {
	n := c.id("network")
	ports := []object{{"network_id": n}, {"network_id": n}, {"network_id": n}}
	if c.r.IntN(3) == 0 {
		ports[2]["fixed_ips"] = []object{{"ip_address": "198.51.100.1"}}
	}
	a, ok := c.call(ctx, "POST", "/ports", object{"ports": ports})
	if !ok || a.Status != http.StatusCreated {
		return
	}
	made, _ := a.Object()["ports"].([]any)
	for _, p := range made {
		c.extra = append(c.extra, "/ports/"+p.(object)["id"].(string))
	}
	if len(made) != len(ports) {
		c.complain("%d ports were asked for at once, %d made", len(ports), len(made))
	}
}

func (c *client) wildSegment(ctx context.Context) {
	switch c.r.IntN(3) {
	case 0:
		c.more(ctx, "/segments", "segment", object{"network_id": c.id("network"), "network_type": "vlan", "physical_network": "physnet1"})
	case 1:
		low := 5000 + 10*c.r.IntN(20)
		c.more(ctx, "/network_segment_ranges", "network_segment_range", object{"network_type": "vxlan", "shared": true, "minimum": low, "maximum": low + 15, "name": "wild"})
	default:
		c.call(ctx, "PUT", "/subnets/"+c.id("subnet"), object{"subnet": object{"segment_id": last(c.some("/segments"))}})
	}
}
