package differential

// kind is a collection, and what its objects' attributes may be given. A path may name a parent: "routers/{router}/…".
type kind struct {
	name, path string
	must, may  attrs
}

type attrs map[string]gen

// gen makes a value, good or on the edge; the generator itself throws in bad ones.
type gen func(g *generator) any

func one(values ...any) gen {
	return func(g *generator) any { return values[g.r.IntN(len(values))] }
}

// ref is an object of a kind, or one that is not there.
func ref(kind string) gen { return func(g *generator) any { return g.ref(kind) } }

func list(of gen) gen {
	return func(g *generator) any {
		out := make([]any, g.r.IntN(3))
		for i := range out {
			out[i] = of(g)
		}
		return out
	}
}

func dict(of attrs) gen {
	return func(g *generator) any {
		out := object{}
		for _, k := range g.some(of, 3) {
			out[k] = of[k](g)
		}
		return out
	}
}

var (
	name    = gen(func(g *generator) any { return g.newName() })
	text    = one("", "a text", "ünïcode ✓")
	flag    = one(true, false, true, false, "true", "False", 1)
	number  = one(0, 1, 10, "20", 65535, 65536)
	address = one("10.1.0.200", "10.1.0.201", "10.2.0.200", "fd00:1::200", "203.0.113.200", "10.1.0.1", "10.9.9.9", "192.0.2.1")
	prefix  = one("10.1.0.0/24", "10.1.0.77/24", "fd00:7::/64", "192.0.2.0/24", "0.0.0.0/0", "10.7.0.1", "10.0.0.0/33")
	zones   = one([]any{}, []any{"nova"})
	project = gen(func(g *generator) any { return g.projects[g.r.IntN(2)] })
	fixed   = gen(func(g *generator) any {
		return []any{dict(attrs{"subnet_id": ref("subnet"), "ip_address": address})(g)}
	})
	gateway = gen(func(g *generator) any {
		if g.r.IntN(4) == 0 {
			return nil
		}
		o := object{"network_id": "ref.outside.1"}
		for k, v := range dict(attrs{"enable_snat": flag, "external_fixed_ips": fixed})(g).(object) {
			o[k] = v
		}
		return o
	})
	routes  = list(func(g *generator) any { return object{"destination": prefix(g), "nexthop": address(g)} })
	subport = func(g *generator) any {
		return object{"port_id": g.ref("port"), "segmentation_type": one("vlan", "vlan", "inherit", "gre")(g), "segmentation_id": one(10, 11, 4095, 0)(g)}
	}
)

// every are attributes that nearly everything has.
var every = attrs{"description": text, "project_id": project}

var kinds = []kind{
	{"network", "networks", attrs{"name": name}, attrs{"admin_state_up": flag, "mtu": one(1400, 1500, 68, 67, 0, 9000), "shared": flag, "router:external": flag,
		"port_security_enabled": flag, "dns_domain": one("example.org.", "example.org", "-."), "qos_policy_id": ref("policy"), "availability_zone_hints": zones,
		"provider:network_type": one("vxlan", "vlan", "flat", "gre", "local"), "provider:physical_network": one("physnet1", "physnet2", "physnet9"),
		"provider:segmentation_id": one(101, 150, 201, 301, 4000, 5001), "is_default": flag,
		"segments": one([]any{}, []any{object{"provider:network_type": "vxlan", "provider:segmentation_id": 4500}})}},
	{"subnet", "subnets", attrs{"name": name, "network_id": ref("network"), "ip_version": one(4, 4, 6), "cidr": func(g *generator) any { return g.cidr() }},
		attrs{"gateway_ip": one(nil, "10.1.0.1", "10.1.0.254", "192.0.2.1", "fd00::1"), "enable_dhcp": flag, "dns_nameservers": list(one("192.0.2.53", "2001:db8::53", "nowhere")),
			"allocation_pools": list(one(object{"start": "10.1.0.10", "end": "10.1.0.250"}, object{"start": "10.1.0.20", "end": "10.1.0.10"}, object{"start": "10.1.0.2"})),
			"host_routes":      routes, "ipv6_address_mode": one("slaac", "dhcpv6-stateful", "dhcpv6-stateless"), "ipv6_ra_mode": one("slaac", "dhcpv6-stateful", "x"),
			"service_types": list(one("network:floatingip", "compute:nova", "nonsense")), "subnetpool_id": ref("subnetpool"), "prefixlen": one(24, 26, 28, 64, 129),
			"segment_id": ref("segment"), "dns_publish_fixed_ip": flag, "use_default_subnetpool": flag}},
	{"address_scope", "address-scopes", attrs{"name": name, "ip_version": one(4, 6)}, attrs{"shared": flag}},
	{"subnetpool", "subnetpools", attrs{"name": name, "prefixes": one([]any{"10.96.0.0/16"}, []any{"10.97.0.0/16", "10.98.0.0/16"}, []any{"fd00:97::/48"}, []any{}, []any{"10.99.0.1/33"})},
		attrs{"default_prefixlen": one(26, "24", 33, 64), "min_prefixlen": one(8, 24, 64), "max_prefixlen": one(32, 28, 128), "default_quota": one(nil, 100, 0, -1),
			"address_scope_id": ref("address_scope"), "is_default": one(false), "shared": flag}},
	{"port", "ports", attrs{"name": name, "network_id": ref("network")}, attrs{"admin_state_up": flag, "fixed_ips": fixed,
		"mac_address": one("fa:16:3e:00:00:01", "FA:16:3E:00:00:02", "01:00:00:00:00:00", "fa-16-3e-00-00-03"), "device_id": one("", "machine"),
		"device_owner": one("", "compute:nova", "network:router_interface", "network:dhcp", "baremetal:x"), "security_groups": list(ref("security_group")), "port_security_enabled": flag,
		"allowed_address_pairs": list(func(g *generator) any { return object{"ip_address": prefix(g)} }), "binding:vnic_type": one("normal", "direct", "macvtap", "odd"),
		"binding:host_id": one("", "hostless"), "binding:profile": one(object{}, object{"a": "b"}, nil), "dns_name": one("www", "", "-x", "a.b"), "dns_domain": one("example.org.", ""),
		"qos_policy_id": ref("policy"), "extra_dhcp_opts": list(one(object{"opt_name": "mtu", "opt_value": "1400"}, object{"opt_name": "router", "opt_value": "10.1.0.9", "ip_version": 4}, object{"opt_name": ""})),
		"propagate_uplink_status": flag, "numa_affinity_policy": one(nil, "required", "odd"), "device_profile": one(nil, "profile"), "tags": list(one("red", "blue"))}},
	{"router", "routers", attrs{"name": name}, attrs{"admin_state_up": flag, "external_gateway_info": gateway, "distributed": one(false, true), "ha": one(false), "routes": routes,
		"flavor_id": ref("flavor"), "availability_zone_hints": zones, "enable_ndp_proxy": flag}},
	{"floatingip", "floatingips", attrs{"floating_network_id": one("ref.outside.1"), "description": name}, attrs{"port_id": ref("port"), "fixed_ip_address": address,
		"floating_ip_address": address, "subnet_id": ref("subnet"), "dns_name": one("www", ""), "dns_domain": one("example.org.", ""), "qos_policy_id": ref("policy")}},
	{"security_group", "security-groups", attrs{"name": name}, attrs{"stateful": flag}},
	{"security_group_rule", "security-group-rules", attrs{"security_group_id": ref("security_group"), "direction": one("ingress", "egress", "odd")},
		attrs{"ethertype": one("IPv4", "IPv6", "ipv4", "x"), "protocol": one("tcp", "udp", "icmp", "ipv6-icmp", "6", 17, "ICMPV6", "256", nil), "port_range_min": number, "port_range_max": number,
			"remote_ip_prefix": prefix, "remote_group_id": ref("security_group"), "remote_address_group_id": ref("address_group")}},
	{"address_group", "address-groups", attrs{"name": name}, attrs{"addresses": list(prefix)}},
	{"rbac_policy", "rbac-policies", attrs{"object_type": one("network", "qos_policy", "security_group", "address_scope", "subnetpool", "address_group", "odd"),
		"object_id": func(g *generator) any {
			return g.ref([]string{"network", "policy", "security_group", "address_scope", "subnetpool", "address_group"}[g.r.IntN(6)])
		}, "action": one("access_as_shared", "access_as_external", "odd"), "target_tenant": func(g *generator) any { return one(g.projects[0], g.projects[1], "*")(g) }}, nil},
	{"policy", "qos/policies", attrs{"name": name}, attrs{"shared": flag, "is_default": one(false)}},
	{"bandwidth_limit_rule", "qos/policies/{policy}/bandwidth_limit_rules", attrs{"max_kbps": number}, attrs{"max_burst_kbps": number, "direction": one("egress", "ingress", "odd")}},
	{"dscp_marking_rule", "qos/policies/{policy}/dscp_marking_rules", attrs{"dscp_mark": one(0, 8, 26, 1, 57)}, nil},
	{"minimum_bandwidth_rule", "qos/policies/{policy}/minimum_bandwidth_rules", attrs{"min_kbps": number}, attrs{"direction": one("egress", "ingress", "odd")}},
	{"packet_rate_limit_rule", "qos/policies/{policy}/packet_rate_limit_rules", attrs{"max_kpps": number}, attrs{"max_burst_kpps": number, "direction": one("egress", "ingress", "any")}},
	{"minimum_packet_rate_rule", "qos/policies/{policy}/minimum_packet_rate_rules", attrs{"min_kpps": number}, attrs{"direction": one("egress", "ingress", "any")}},
	{"trunk", "trunks", attrs{"name": name, "port_id": ref("port")}, attrs{"admin_state_up": flag, "sub_ports": list(subport)}},
	{"segment", "segments", attrs{"name": name, "network_id": ref("network"), "network_type": one("vxlan", "vlan", "flat")},
		attrs{"physical_network": one("physnet1", "physnet2"), "segmentation_id": one(110, 310, 4400)}},
	{"network_segment_range", "network_segment_ranges", attrs{"name": name, "network_type": one("vxlan", "vlan", "flat"), "shared": flag, "minimum": one(3000, 110, 0), "maximum": one(3010, 120, 1)},
		attrs{"physical_network": one("physnet1", "physnet7")}},
	{"metering_label", "metering/metering-labels", attrs{"name": name}, attrs{"shared": flag}},
	{"metering_label_rule", "metering/metering-label-rules", attrs{"metering_label_id": ref("metering_label"), "direction": one("ingress", "egress", "odd"), "remote_ip_prefix": prefix},
		attrs{"excluded": flag, "source_ip_prefix": prefix, "destination_ip_prefix": prefix}},
	{"local_ip", "local_ips", attrs{"name": name, "network_id": ref("network")}, attrs{"local_port_id": ref("port"), "local_ip_address": address, "ip_mode": one("translate", "passthrough", "odd")}},
	{"port_association", "local_ips/{local_ip}/port_associations", attrs{"fixed_port_id": ref("port")}, attrs{"fixed_ip": address}},
	{"conntrack_helper", "routers/{router}/conntrack_helpers", attrs{"protocol": one("udp", "tcp", "odd"), "port": one(69, 21, 0, 70000), "helper": one("tftp", "ftp", "odd")}, nil},
	{"ndp_proxy", "ndp_proxies", attrs{"name": name, "router_id": ref("router"), "port_id": ref("port")}, attrs{"ip_address": address}},
	{"port_forwarding", "floatingips/{floatingip}/port_forwardings", attrs{"internal_port_id": ref("port"), "internal_ip_address": address, "internal_port": one(22, 80, 0), "external_port": one(2222, 8080, 65536),
		"protocol": one("tcp", "udp", "icmp")}, attrs{"internal_port_range": one("80:90", "90:80"), "external_port_range": one("180:190", "1:2")}},
	{"flavor", "flavors", attrs{"name": name, "service_type": one("L3_ROUTER_NAT", "ODD")}, attrs{"enabled": flag, "service_profiles": list(ref("service_profile"))}},
	{"service_profile", "service_profiles", attrs{"metainfo": one("{}", "x"), "description": name}, attrs{"driver": one("", "neutron.services.l3_router.service_providers.single_node.SingleNodeDriver"), "enabled": flag}},
	{"log", "log/logs", attrs{"name": name, "resource_type": one("security_group", "odd")}, attrs{"resource_id": ref("security_group"), "target_id": ref("port"), "event": one("ALL", "DROP", "odd"), "enabled": flag}},
	{"binding", "ports/{port}/bindings", attrs{"host": one("hostless", "hostless2", "")}, attrs{"vnic_type": one("normal", "direct", "odd"), "profile": one(object{}, object{"a": 1})}},
}

// action is a request to an object that is not of the usual five.
type action struct {
	method, path string // the path names an object: "routers/{router}/add_router_interface"
	body         gen
}

var actions = []action{
	{"PUT", "routers/{router}/add_router_interface", dict(attrs{"subnet_id": ref("subnet")})},
	{"PUT", "routers/{router}/add_router_interface", dict(attrs{"port_id": ref("port")})},
	{"PUT", "routers/{router}/add_router_interface", dict(attrs{"subnet_id": ref("subnet"), "port_id": ref("port"), "odd": flag})},
	{"PUT", "routers/{router}/remove_router_interface", dict(attrs{"subnet_id": ref("subnet"), "port_id": ref("port")})},
	{"PUT", "routers/{router}/add_extraroutes", dict(attrs{"router": dict(attrs{"routes": routes})})},
	{"PUT", "routers/{router}/remove_extraroutes", dict(attrs{"router": dict(attrs{"routes": routes})})},
	{"PUT", "subnetpools/{subnetpool}/add_prefixes", dict(attrs{"prefixes": list(prefix)})},
	{"PUT", "subnetpools/{subnetpool}/remove_prefixes", dict(attrs{"prefixes": list(prefix)})},
	{"PUT", "subnetpools/{subnetpool}/onboard_network_subnets", dict(attrs{"network_id": ref("network")})},
	{"PUT", "address-groups/{address_group}/add_addresses", dict(attrs{"address_group": dict(attrs{"addresses": list(prefix)})})},
	{"PUT", "address-groups/{address_group}/remove_addresses", dict(attrs{"address_group": dict(attrs{"addresses": list(prefix)})})},
	{"PUT", "trunks/{trunk}/add_subports", dict(attrs{"sub_ports": list(subport)})},
	{"PUT", "trunks/{trunk}/remove_subports", dict(attrs{"sub_ports": list(dict(attrs{"port_id": ref("port")}))})},
	{"GET", "trunks/{trunk}/get_subports", nil},
	{"POST", "flavors/{flavor}/service_profiles", dict(attrs{"service_profile": dict(attrs{"id": ref("service_profile")})})},
	{"PUT", "ports/{port}/bindings/hostless/activate", nil},
	{"PUT", "networks/{network}/tags", dict(attrs{"tags": list(one("red", "blue", 7, ""))})},
	{"PUT", "ports/{port}/tags/red", nil},
	{"GET", "ports/{port}/tags", nil},
	{"GET", "routers/{router}/tags/blue", nil},
	{"DELETE", "networks/{network}/tags/red", nil},
	{"DELETE", "subnets/{subnet}/tags", nil},
	{"GET", "network-ip-availabilities/{network}", nil},
	{"GET", "quotas/{project}", nil},
	{"GET", "quotas/{project}/default", nil},
	{"GET", "quotas/{project}/details.json", nil},
	{"PUT", "quotas/{project}", dict(attrs{"quota": dict(attrs{"network": one(-1, 50, 0, -2, "x"), "port": one(100, -1), "odd": flag})})},
	{"DELETE", "quotas/{project}", nil},
	{"GET", "qos/rule-types", nil},
	{"GET", "qos/rule-types/bandwidth_limit", nil},
	{"GET", "log/loggable-resources", nil},
	{"GET", "service-providers", nil},
	{"GET", "availability_zones", nil},
	{"GET", "agents", nil},
	{"GET", "floatingip_pools", nil},
	{"GET", "networks/{network}/dhcp-agents", nil},
	{"GET", "routers/{router}/l3-agents", nil},
	{"GET", "ports/{port}/nothing", nil},
	{"POST", "networks/{network}", dict(attrs{"network": dict(attrs{"name": name})})},
	{"PATCH", "networks/{network}", dict(attrs{"network": dict(attrs{"name": name})})},
	{"GET", "security-groups/{security_group}/rules", nil},
}

// filters of lists.
var filters = map[string]gen{
	"name": func(g *generator) any { return g.oldName() }, "id": func(g *generator) any { return g.ref(kinds[g.r.IntN(len(kinds))].name) }, "description": one("", "a text"),
	"admin_state_up": one("True", "false", "odd"), "shared": one("True", "False"), "network_id": ref("network"), "status": one("ACTIVE", "DOWN", "odd"), "device_owner": one("", "compute:nova"),
	"tags": one("red", "red,blue"), "not-tags": one("red"), "tags-any": one("red,blue"), "ip_version": one("4", "6", "x"), "odd": one("1"), "fixed_ips": one("ip_address=10.1.0.200", "ip_address_substr=10.1", "odd"),
	"security_groups": ref("security_group"), "router:external": one("True", "False"), "revision_number": one("0"), "project_id": project, "enable_dhcp": one("True"), "cidr": one("10.1.0.0/24"),
	"direction": one("ingress"), "provider:network_type": one("vxlan"), "device_id": ref("router"), "router_id": ref("router"), "port_id": ref("port"),
}
