package policy

// Who may, since Yoga, and behind the bar who might before. While enforce_new_defaults is false, either is enough.
// "Only" means that the administrator is not named (he passes anyway, while enforce_new_defaults is false).
const (
	memberWasAny                = "rule:admin_only or role:member and project_id:%(project_id)s | rule:regular_user"
	admin                       = "rule:admin_only"
	member                      = "rule:admin_only or role:member and project_id:%(project_id)s | rule:admin_or_owner"
	readerOnly                  = "role:reader and project_id:%(project_id)s | rule:admin_or_owner"
	memberOnly                  = "role:member and project_id:%(project_id)s | rule:admin_or_owner"
	adminWasAny                 = "rule:admin_only | rule:regular_user"
	readerWasAny                = "rule:admin_only or role:reader and project_id:%(project_id)s | rule:regular_user"
	reader                      = "rule:admin_only or role:reader and project_id:%(project_id)s | rule:admin_or_owner"
	readerOnlyWasAny            = "role:reader and project_id:%(project_id)s | rule:regular_user"
	memberOrParent              = "role:member and project_id:%(project_id)s or rule:ext_parent_owner | rule:admin_or_ext_parent_owner"
	readerOrParent              = "role:reader and project_id:%(project_id)s or rule:ext_parent_owner | rule:admin_or_ext_parent_owner"
	memberOnlyWasAny            = "role:member and project_id:%(project_id)s | rule:regular_user"
	readerWasAdmin              = "rule:admin_only or role:reader and project_id:%(project_id)s | rule:admin_only"
	networkOwnerOrService       = "rule:context_is_advsvc or rule:network_owner or rule:admin_only | rule:context_is_advsvc or rule:admin_or_network_owner"
	networkOwnerServiceOrShared = "rule:context_is_advsvc or rule:network_owner or rule:admin_only or rule:shared | rule:context_is_advsvc or rule:admin_or_network_owner or rule:shared"
	networkOwner                = "rule:admin_only or rule:network_owner | rule:admin_or_network_owner"
	memberOrService             = "rule:admin_only or role:member and project_id:%(project_id)s or rule:context_is_advsvc | rule:admin_or_owner or rule:context_is_advsvc"
	readerNew                   = "rule:admin_only or role:reader and project_id:%(project_id)s"
	memberOrNetworkOwner        = "rule:admin_only or role:member and project_id:%(project_id)s or rule:network_owner | rule:admin_or_network_owner"
)

// grant is one default: who may do what, the rules' names parted by blanks.
type grant struct{ who, rules string }

// helpers are the rules that other rules refer to. They stand for no action.
func helpers() []grant {
	return []grant{
		{"role:admin", "context_is_admin"},
		{"tenant_id:%(tenant_id)s", "owner"},
		{"rule:context_is_admin or rule:owner", "admin_or_owner"},
		{"role:advsvc", "context_is_advsvc"},
		{"rule:context_is_admin or tenant_id:%(network:tenant_id)s", "admin_or_network_owner"},
		{"rule:owner or rule:admin_or_network_owner", "admin_owner_or_network_owner"},
		{"tenant_id:%(network:tenant_id)s", "network_owner"},
		{"rule:context_is_admin", "admin_only"},
		{"", "regular_user"},
		{"field:networks:shared=True", "shared"},
		{"rule:admin_or_owner", "default"},
		{"rule:context_is_admin or tenant_id:%(ext_parent:tenant_id)s", "admin_or_ext_parent_owner"},
		{"tenant_id:%(ext_parent:tenant_id)s", "ext_parent_owner"},
		{"tenant_id:%(security_group:tenant_id)s", "sg_owner"},
		{"field:address_groups:shared=True", "shared_address_groups"},
		{"field:address_scopes:shared=True", "shared_address_scopes"},
		{"field:networks:router:external=True", "external"},
		{"field:port:device_owner=~^network:", "network_device"},
		{"rule:context_is_admin or role:data_plane_integrator", "admin_or_data_plane_int"},
		{"(not field:rbac_policy:target_tenant=* and not field:rbac_policy:target_project=*) or rule:admin_only", "restrict_wildcard"},
		{"rule:context_is_admin or tenant_id:%(security_group:tenant_id)s", "admin_or_sg_owner"},
		{"rule:owner or rule:admin_or_sg_owner", "admin_owner_or_sg_owner"},
		{"field:subnetpools:shared=True", "shared_subnetpools"},
	}
}

// coreGrants are the defaults of networks and what is on them.
func coreGrants() []grant {
	return []grant{
		{memberWasAny, "create_network create_network:port_security_enabled"},
		{admin, `
			create_network:shared create_network:router:external create_network:is_default create_network:segments
			create_network:provider:network_type create_network:provider:physical_network
			create_network:provider:segmentation_id get_network:segments get_network:provider:network_type
			get_network:provider:physical_network get_network:provider:segmentation_id update_network:segments
			update_network:shared update_network:provider:network_type update_network:provider:physical_network
			update_network:provider:segmentation_id update_network:router:external update_network:is_default`},
		{"rule:admin_only or role:reader and project_id:%(project_id)s or rule:shared or rule:external or rule:context_is_advsvc | rule:admin_or_owner or rule:shared or rule:external or rule:context_is_advsvc", "get_network"},
		{readerWasAny, "get_network:router:external"},
		{member, "update_network update_network:port_security_enabled delete_network"},
		{admin, "create_segment get_segment update_segment delete_segment"},
		{admin, `
			create_network_segment_range get_network_segment_range update_network_segment_range
			delete_network_segment_range`},
		{admin, "get_network_ip_availability"},
		{memberOrNetworkOwner, "create_subnet update_subnet delete_subnet"},
		{admin, `
			create_subnet:segment_id create_subnet:service_types get_subnet:segment_id update_subnet:segment_id
			update_subnet:service_types`},
		{"rule:admin_only or role:reader and project_id:%(project_id)s or rule:shared | rule:admin_or_owner or rule:shared", "get_subnet"},
		{memberWasAny, "create_subnetpool"},
		{admin, "create_subnetpool:shared create_subnetpool:is_default update_subnetpool:is_default"},
		{"rule:admin_only or role:reader and project_id:%(project_id)s or rule:shared_subnetpools | rule:admin_or_owner or rule:shared_subnetpools", "get_subnetpool"},
		{member, "update_subnetpool delete_subnetpool onboard_network_subnets add_prefixes remove_prefixes"},
		{memberWasAny, "create_address_scope"},
		{admin, "create_address_scope:shared update_address_scope:shared"},
		{"rule:admin_only or role:reader and project_id:%(project_id)s or rule:shared_address_scopes | rule:admin_or_owner or rule:shared_address_scopes", "get_address_scope"},
		{member, "update_address_scope delete_address_scope"},
		{memberWasAny, "create_port create_port:binding:vnic_type"},
		{"not rule:network_device or rule:admin_only or rule:context_is_advsvc or rule:network_owner | not rule:network_device or rule:context_is_advsvc or rule:admin_or_network_owner", "create_port:device_owner"},
		{networkOwnerOrService, `
			create_port:mac_address create_port:fixed_ips:ip_address create_port:port_security_enabled
			update_port:fixed_ips update_port:fixed_ips:ip_address update_port:port_security_enabled`},
		{networkOwnerServiceOrShared, "create_port:fixed_ips create_port:fixed_ips:subnet_id update_port:fixed_ips:subnet_id"},
		{admin, `
			create_port:binding:host_id create_port:binding:profile create_port:hints get_port:hints update_port:hints
			get_port:binding:vif_type
			get_port:binding:vif_details get_port:binding:host_id get_port:binding:profile get_port:resource_request
			update_port:binding:host_id update_port:binding:profile`},
		{networkOwner, `
			create_port:allowed_address_pairs create_port:allowed_address_pairs:mac_address
			create_port:allowed_address_pairs:ip_address update_port:allowed_address_pairs
			update_port:allowed_address_pairs:mac_address update_port:allowed_address_pairs:ip_address`},
		{"rule:admin_only or rule:context_is_advsvc or role:reader and project_id:%(project_id)s | rule:context_is_advsvc or rule:admin_owner_or_network_owner", "get_port"},
		{memberOrService, "update_port update_port:binding:vnic_type"},
		{"not rule:network_device or rule:context_is_advsvc or rule:network_owner or rule:admin_only | not rule:network_device or rule:context_is_advsvc or rule:admin_or_network_owner", "update_port:device_owner"},
		{"rule:admin_only or rule:context_is_advsvc", "update_port:mac_address"},
		{"rule:admin_only or role:data_plane_integrator | rule:admin_or_data_plane_int", "update_port:data_plane_status"},
		{"rule:admin_only or rule:context_is_advsvc or role:member and project_id:%(project_id)s | rule:context_is_advsvc or rule:admin_owner_or_network_owner", "delete_port"},
		{memberOnlyWasAny, "create_trunk"},
		{readerOnly, "get_trunk"},
		{memberOnly, "update_trunk delete_trunk add_subports remove_subports"},
		{readerOnlyWasAny, "get_subports"},
		{memberOnly, `
			create_security_group update_security_group delete_security_group create_security_group_rule
			delete_security_group_rule`},
		{readerOnlyWasAny, "get_security_group"},
		{admin, "create_default_security_group_rule delete_default_security_group_rule"},
		{"role:reader | rule:regular_user", "get_default_security_group_rule"},
		{"role:reader and project_id:%(project_id)s or rule:sg_owner | rule:admin_owner_or_sg_owner", "get_security_group_rule"},
		{"role:reader and project_id:%(project_id)s or rule:shared_address_groups | rule:admin_or_owner or rule:shared_address_groups", "get_address_group"},
		{memberWasAny, "create_rbac_policy"},
		{"rule:admin_only or (not field:rbac_policy:target_tenant=* and not field:rbac_policy:target_project=*) | rule:restrict_wildcard", "create_rbac_policy:target_tenant"},
		{member, "update_rbac_policy delete_rbac_policy"},
		{"rule:admin_only or (not field:rbac_policy:target_tenant=* and not field:rbac_policy:target_project=*) | rule:restrict_wildcard and rule:admin_or_owner", "update_rbac_policy:target_tenant"},
		{reader, "get_rbac_policy"},
		{admin, "get_quota update_quota delete_quota"},
	}
}

// l3Grants are the defaults of routers and what is behind them.
func l3Grants() []grant {
	return []grant{
		{memberWasAny, "create_router"},
		{admin, `
			create_router:distributed create_router:ha create_router:external_gateway_info:enable_snat
			create_router:external_gateway_info:external_fixed_ips get_router:distributed get_router:ha
			update_router:distributed update_router:ha update_router:external_gateway_info:enable_snat
			update_router:external_gateway_info:external_fixed_ips`},
		{member, `
			create_router:external_gateway_info create_router:external_gateway_info:network_id update_router
			update_router:external_gateway_info update_router:external_gateway_info:network_id delete_router
			add_router_interface remove_router_interface add_extraroutes remove_extraroutes`},
		{reader, "get_router"},
		{memberWasAny, "create_floatingip"},
		{admin, "create_floatingip:floating_ip_address"},
		{reader, "get_floatingip"},
		{member, "update_floatingip delete_floatingip"},
		{readerOnlyWasAny, "get_floatingip_pool"},
		{memberOrParent, "create_floatingip_port_forwarding update_floatingip_port_forwarding delete_floatingip_port_forwarding"},
		{readerOrParent, "get_floatingip_port_forwarding"},
		{memberOrParent, "create_router_conntrack_helper update_router_conntrack_helper delete_router_conntrack_helper"},
		{readerOrParent, "get_router_conntrack_helper"},
		{memberOnlyWasAny, "create_local_ip"},
		{readerOnly, "get_local_ip"},
		{memberOnly, "update_local_ip delete_local_ip"},
		{memberOrParent, "create_local_ip_port_association delete_local_ip_port_association"},
		{readerOrParent, "get_local_ip_port_association"},
		{memberOnlyWasAny, "create_ndp_proxy"},
		{readerOnly, "get_ndp_proxy"},
		{memberOnly, "update_ndp_proxy delete_ndp_proxy"},
		{admin, "create_metering_label delete_metering_label create_metering_label_rule delete_metering_label_rule"},
		{readerWasAdmin, "get_metering_label get_metering_label_rule"},
	}
}

// otherGrants are the defaults of everything else.
func otherGrants() []grant {
	return []grant{
		{admin, `
			get_agent update_agent delete_agent create_dhcp-network get_dhcp-networks delete_dhcp-network
			create_l3-router get_l3-routers delete_l3-router get_dhcp-agents get_l3-agents`},
		{readerOnly, "get_auto_allocated_topology"},
		{memberOnly, "delete_auto_allocated_topology"},
		{adminWasAny, "get_availability_zone"},
		{admin, `
			create_flavor update_flavor delete_flavor create_service_profile get_service_profile update_service_profile
			delete_service_profile create_flavor_service_profile delete_flavor_service_profile`},
		{readerWasAny, "get_flavor get_flavor_service_profile"},
		{admin, "get_loggable_resource create_log get_log update_log delete_log"},
		{readerWasAny, `
			get_policy get_policy_bandwidth_limit_rule get_policy_dscp_marking_rule get_policy_minimum_bandwidth_rule
			get_alias_bandwidth_limit_rule get_alias_dscp_marking_rule get_alias_minimum_bandwidth_rule`},
		{admin, `
			create_policy update_policy delete_policy create_policy_bandwidth_limit_rule
			update_policy_bandwidth_limit_rule delete_policy_bandwidth_limit_rule create_policy_packet_rate_limit_rule
			update_policy_packet_rate_limit_rule delete_policy_packet_rate_limit_rule create_policy_dscp_marking_rule
			update_policy_dscp_marking_rule delete_policy_dscp_marking_rule create_policy_minimum_bandwidth_rule
			update_policy_minimum_bandwidth_rule delete_policy_minimum_bandwidth_rule
			create_policy_minimum_packet_rate_rule update_policy_minimum_packet_rate_rule
			delete_policy_minimum_packet_rate_rule update_alias_bandwidth_limit_rule delete_alias_bandwidth_limit_rule
			update_alias_dscp_marking_rule delete_alias_dscp_marking_rule update_alias_minimum_bandwidth_rule
			delete_alias_minimum_bandwidth_rule`},
		{adminWasAny, "get_rule_type"},
		{readerNew, "get_policy_packet_rate_limit_rule get_policy_minimum_packet_rate_rule"},
		{"rule:get_policy_minimum_packet_rate_rule", "get_alias_minimum_packet_rate_rule"},
		{"rule:update_policy_minimum_packet_rate_rule", "update_alias_minimum_packet_rate_rule"},
		{"rule:delete_policy_minimum_packet_rate_rule", "delete_alias_minimum_packet_rate_rule"},
		{"role:reader | rule:regular_user", "get_service_provider"},
	}
}
