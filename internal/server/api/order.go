package api

import (
	"cmp"
	"slices"
	"strings"
)

// neutronOrder is in which order Neutron looks at the attributes of a resource (its attribute maps with their extensions, as
// release 21 loads them): of several faults it names the first. What is not named here comes last, in the order declared.
var neutronOrder = map[string]string{
	"networks": `id name subnets admin_state_up status tenant_id shared ipv4_address_scope ipv6_address_scope router:external l2_adjacency segments mtu
		availability_zones availability_zone_hints port_security_enabled provider:network_type provider:physical_network provider:segmentation_id
		qos_policy_id revision_number tags created_at updated_at is_default dns_domain description`,
	"ports": `id name network_id admin_state_up mac_address fixed_ips device_id device_owner tenant_id status allowed_address_pairs data_plane_status
		extra_dhcp_opts ip_allocation device_profile numa_affinity_policy resource_request binding:vif_type binding:vif_details binding:vnic_type
		binding:host_id binding:profile port_security_enabled qos_policy_id qos_network_policy_id revision_number tags created_at updated_at
		trunk_details propagate_uplink_status dns_name dns_assignment dns_domain description security_groups`,
	"subnets": `id name ip_version network_id subnetpool_id prefixlen cidr gateway_ip allocation_pools dns_nameservers host_routes tenant_id enable_dhcp
		ipv6_ra_mode ipv6_address_mode shared revision_number service_types tags created_at updated_at use_default_subnetpool dns_publish_fixed_ip
		description segment_id`,
	"subnetpools": `id name tenant_id prefixes default_quota ip_version default_prefixlen min_prefixlen max_prefixlen is_default shared address_scope_id
		revision_number tags created_at updated_at description`,
	"address_scopes":   "id name tenant_id shared ip_version",
	"agents":           "id agent_type binary topic host admin_state_up created_at started_at heartbeat_timestamp alive configurations description resources_synced availability_zone",
	"flavors":          "id name description service_type tenant_id service_profiles enabled",
	"service_profiles": "id description driver enabled metainfo tenant_id",
	"routers": `id name admin_state_up status tenant_id external_gateway_info ha enable_ndp_proxy flavor_id revision_number availability_zones
		availability_zone_hints tags created_at updated_at distributed conntrack_helpers routes description`,
	"floatingips": `id floating_ip_address subnet_id floating_network_id router_id port_id fixed_ip_address tenant_id status qos_policy_id revision_number tags
		created_at updated_at dns_name dns_domain port_details port_forwardings description`,
	"ndp_proxies":          "id name project_id router_id port_id ip_address description revision_number created_at updated_at",
	"local_ips":            "id name description project_id local_port_id network_id local_ip_address ip_mode revision_number created_at updated_at",
	"metering_labels":      "id name description tenant_id shared",
	"metering_label_rules": "id metering_label_id direction excluded remote_ip_prefix tenant_id source_ip_prefix destination_ip_prefix",
	"policies":             "id name shared tenant_id rules is_default revision_number tags created_at updated_at description",
	"rbac_policies":        "id object_type object_id target_tenant tenant_id action",
	"security_groups":      "revision_number tags created_at updated_at description id name tenant_id security_group_rules stateful shared",
	"security_group_rules": `revision_number created_at updated_at description id security_group_id remote_group_id direction protocol port_range_min
		port_range_max ethertype remote_ip_prefix tenant_id normalized_cidr remote_address_group_id`,
	"segments": "revision_number created_at updated_at description id tenant_id network_id physical_network network_type segmentation_id name",
	"logs":     "id project_id name resource_type resource_id event target_id enabled revision_number created_at updated_at description",
	"trunks":   "revision_number tags created_at updated_at admin_state_up id name tenant_id port_id status sub_ports description",
	"network_segment_ranges": `id name default shared project_id network_type physical_network minimum maximum used available
		revision_number tags created_at updated_at description`,
	"address_groups": "id name description project_id addresses shared",
	"port_forwardings": `id project_id external_port internal_port internal_ip_address protocol internal_port_id external_port_range internal_port_range
		description`,
	"alias_bandwidth_limit_rules": "direction id tenant_id max_kbps max_burst_kbps",
	"conntrack_helpers":           "id project_id protocol port helper",
	"bindings":                    "host vif_type vif_details vnic_type profile status project_id",
	"port_associations":           "local_ip_id local_ip_address fixed_port_id fixed_ip host project_id",
}

// sortedAsNeutron is a resource's attributes in the order in which Neutron looks at them.
func sortedAsNeutron[P, E any](plural string, attrs []*attribute[P, E]) []*attribute[P, E] {
	names := strings.Fields(neutronOrder[plural])
	project := projectIn(neutronOrder[plural])
	rank := func(a *attribute[P, E]) int {
		name := a.name
		if name == "project_id" || name == "tenant_id" { // one has two names
			name = project
		}
		if i := slices.Index(names, name); i >= 0 {
			return i
		}
		return len(names)
	}
	return slices.SortedStableFunc(slices.Values(attrs), func(a, b *attribute[P, E]) int { return cmp.Compare(rank(a), rank(b)) })
}

// projectIn is which of its two names a map of attributes has for the project.
func projectIn(order string) string {
	if slices.Contains(strings.Fields(order), "project_id") {
		return "project_id"
	}
	return "tenant_id"
}
