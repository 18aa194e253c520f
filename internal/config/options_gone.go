package config

import "strings"

// goneOptions declares what Neutron's files hold and Weft does not need, by the reason.
func goneOptions(t *table) {
	goneProcess(t)
	goneBroker(t)
	goneServer(t)
	goneL2(t)
	goneL3(t)
	goneDHCP(t)
}

func goneProcess(t *table) {
	t.in("DEFAULT", ForServer|ForAgent)
	t.gone("Weft logs to standard error, which systemd's journal keeps",
		"log_dir", "logdir", "log_file", "logfile", "use_syslog", "syslog_log_facility", "use_journal", "use_stderr", "use_json",
		"log_format", "log_date_format", "logging_context_format_string", "logging_default_format_string",
		"logging_debug_format_suffix", "logging_exception_prefix", "logging_user_identity_format", "log_config_append",
		"watch_log_file", "publish_errors", "rate_limit_interval", "rate_limit_burst", "rate_limit_except_level", "log_rotation_type",
		"use_syslog_rfc_format", "instance_format", "instance_uuid_format", "fatal_deprecations", "default_log_levels", "log_agent_heartbeats",
		"use_eventlog", "log_rotate_interval", "log_rotate_interval_type", "max_logfile_count", "max_logfile_size_mb", "log_options")
	t.gone("use debug; Weft logs what happened, not each step, unless told to", "verbose")
	t.gone("one process uses every CPU; there are no worker processes",
		"api_workers", "rpc_workers", "rpc_state_report_workers", "metadata_workers", "metadata_backlog", "setproctitle", "num_sync_threads", "backlog",
		"max_header_line", "wsgi_keep_alive", "tcp_keepidle", "retry_until_window", "wsgi_default_pool_size", "wsgi_log_format", "wsgi_server_debug")
	t.gone("there is no back door", "backdoor_port", "backdoor_socket")
	t.gone("requests under way have five seconds when the server is told to stop", "graceful_shutdown_timeout")
	t.gone("there are no periodic tasks; what changes is told when it changes",
		"periodic_interval", "periodic_fuzzy_delay", "resync_interval", "resync_throttle", "bulk_reload_interval", "run_external_periodic_tasks")
	t.gone("Weft runs as root and needs no helper to become it", "root_helper", "root_helper_daemon", "use_helper_for_ns_read")
	t.gone("Weft serves its own API and loads no Python", "api_paste_config", "api_extensions_path", "core_plugin", "service_plugins", "ipam_driver")
	t.gone("a lock in the database keeps servers apart", "lock_path")
	t.in("agent", ForServer|ForAgent)
	t.gone("Weft runs as root and needs no helper to become it", "root_helper", "root_helper_daemon", "use_helper_for_ns_read")
	t.gone("every function of the agent is always there", "extensions")
	t.gone("child processes are watched always", "check_child_processes_action", "check_child_processes_interval", "kill_scripts_path")
	t.gone("Weft logs what happened", "log_agent_heartbeats", "comment_iptables_rules", "debug_iptables_rules", "use_random_fully")
}

func goneBroker(t *table) {
	t.in("DEFAULT", ForServer|ForAgent)
	t.gone("Weft has no message broker; agents follow the server's own feed",
		"rpc_backend", "control_exchange", "kombu_reconnect_delay", "kombu_ssl_version", "kombu_ssl_keyfile", "kombu_ssl_certfile", "kombu_ssl_ca_certs",
		"rabbit_port", "rabbit_use_ssl", "rabbit_userid", "rabbit_password", "rabbit_virtual_host", "rabbit_ha_queues", "rabbit_login_method",
		"rabbit_max_retries", "rabbit_retry_backoff", "rabbit_retry_interval", "rabbit_durable_queues", "fake_rabbit", "amqp_durable_queues",
		"amqp_auto_delete", "qpid_hostname", "qpid_port", "qpid_hosts", "qpid_username", "qpid_password", "qpid_sasl_mechanisms", "qpid_heartbeat",
		"qpid_protocol", "qpid_tcp_nodelay", "qpid_topology_version", "rpc_zmq_bind_address", "rpc_zmq_matchmaker", "rpc_zmq_port",
		"rpc_zmq_contexts", "rpc_zmq_topic_backlog", "rpc_zmq_ipc_dir", "rpc_zmq_host", "rpc_cast_timeout", "rpc_thread_pool_size", "rpc_conn_pool_size",
		"rpc_response_timeout", "rpc_response_max_timeout", "executor_thread_pool_size", "matchmaker_heartbeat_freq", "matchmaker_heartbeat_ttl",
		"rpc_resources_processing_step", "allowed_rpc_exception_modules",
		"conn_pool_min_size", "conn_pool_ttl", "rpc_ping_enabled")
	t.gone("Weft sends no notifications over a broker", "notification_driver", "notification_topics", "default_notification_level", "default_publisher_id")
}

func goneServer(t *table) {
	t.in("DEFAULT", ForServer)
	t.gone("paging is always on", "allow_pagination")
	t.gone("sorting is always on", "allow_sorting")
	t.gone("a host without instances does not need the router", "host_dvr_for_dhcp")
	t.gone("the server chooses a router's gateway host; there is no network on which agents elect one",
		"max_l3_agents_per_router", "l3_ha_net_cidr", "l3_ha_network_type", "l3_ha_network_physical_name")
	t.gone("there is no DHCP agent to notify: every host answers for its own ports",
		"dhcp_agent_notification", "enable_traditional_dhcp", "network_scheduler_driver", "network_auto_schedule", "dhcp_load_type",
		"allow_automatic_dhcp_failover", "enable_services_on_agents_with_admin_state_down")
	t.gone("the server places a router by the hosts that can carry it", "router_scheduler_driver", "router_auto_schedule", "min_l3_agents_per_router")
	t.gone("a port may have as many addresses as its subnets give", "max_fixed_ips_per_port")
	t.gone("a gateway outside of the subnet is refused where Neutron refuses it", "force_gateway_on_subnet")
	t.gone("prefix delegation is not offered", "ipv6_pd_enabled", "pd_dhcp_driver", "pd_confs", "vendor_pen", "prefix_delegation_driver")
	t.gone("names are not sent to an external DNS service", "external_dns_driver")
	t.gone("load balancers are not scheduled by a driver", "loadbalancer_pool_scheduler_driver", "loadbalancer_scheduler_driver")
	t.gone("every project's quota is counted as things change", "track_quota_usage")
	t.gone("there is no list of helpers allowed", "allowed_conntrack_helpers")
	t.in("ssl", ForServer)
	t.gone("TLS 1.2 and newer are spoken, with the ciphers of Go's library", "version", "ciphers")
	t.in("quotas", ForServer)
	t.gone("every project's quota is counted as things change", "track_quota_usage", "quota_items")
	t.gone("no quota is kept of it", "quota_vip", "quota_pool", "quota_member", "quota_health_monitor", "quota_firewall", "quota_firewall_policy",
		"quota_firewall_rule", "quota_firewall_group", "quota_loadbalancer", "quota_listener", "quota_healthmonitor", "quota_rbac_entry_per_object",
		"quota_network_gateway", "quota_packet_filter", "quota_vpnservice", "quota_ipsec_site_connection", "quota_ikepolicy", "quota_ipsecpolicy")
	t.in("database", ForServer)
	t.gone("Weft keeps all objects in memory and needs few connections", "min_pool_size", "max_overflow", "pool_timeout", "slave_connection",
		"sqlite_synchronous", "sqlite_db", "connection_debug", "connection_trace", "use_db_reconnect", "db_retry_interval", "db_inc_retry_interval",
		"db_max_retry_interval", "db_max_retries", "engine", "backend", "use_tpool", "mysql_sql_mode", "mysql_enable_ndb", "mysql_wsrep_sync_wait",
		"connection_parameters", "asynchronous_connection", "synchronous_reader")
	t.in("keystone_authtoken", ForServer)
	t.gone("validated tokens are kept in this process's memory, see token_cache_time", "memcached_servers", "memcache_security_strategy",
		"memcache_secret_key", "memcache_use_advanced_pool", "memcache_pool_dead_retry", "memcache_pool_maxsize", "memcache_pool_socket_timeout",
		"memcache_pool_unused_timeout", "memcache_pool_conn_get_timeout", "memcache_tls_enabled", "memcache_sasl_enabled", "cache", "signing_dir",
		"check_revocations_for_cached", "hash_algorithms", "include_service_catalog", "enforce_token_bind")
	t.gone("a request without a token is always refused with 401", "delay_auth_decision")
	t.gone("a service user's password is used, never a fixed token", "admin_token")
	t.gone("Weft asks only the endpoint of auth_url", "interface", "service_type")
	t.in("oslo_policy", ForServer)
	t.gone("rules are evaluated in the server itself", "remote_content_type", "remote_ssl_verify_server_crt", "remote_ssl_ca_crt_file",
		"remote_ssl_client_crt_file", "remote_ssl_client_key_file", "remote_timeout")
	t.in("nova", ForServer)
	t.gone("Weft asks Keystone for a token when it needs one", "split_loggers", "collect_timing", "default_domain_id", "default_domain_name", "domain_id",
		"domain_name", "trust_id", "system_scope", "live_migration_events")
}

func goneL2(t *table) {
	const mechanism = "the data plane is chosen by [weft] data_plane on each host"
	t.in("ml2", ForServer|ForAgent)
	t.gone(mechanism, "mechanism_drivers")
	t.in("securitygroup", ForServer|ForAgent)
	t.gone("security groups are enforced by the data plane itself, not by iptables or a bridge", "firewall_driver", "enable_ipset")
	t.gone("only ARP, IPv4 and IPv6 pass port security", "permitted_ethertypes")
	t.in("ml2_type_vxlan", ForServer|ForAgent)
	t.gone("broadcasts are sent to the hosts that have the network, never to a multicast group", "vxlan_group")
	t.in("ml2_type_gre", ForServer|ForAgent)
	t.gone("networks of type gre are not offered; use vxlan", "tunnel_id_ranges")
	t.in("ml2_type_geneve", ForServer|ForAgent)
	t.gone("networks of type geneve are not offered; use vxlan", "vni_ranges", "max_header_size")
	for _, g := range []string{"ovs", "agent"} {
		t.in(g, ForServer|ForAgent)
		t.gone("addresses are always known from the server, never learned by flooding", "l2_population", "arp_responder")
		t.gone("VXLAN is the one kind of tunnel and is set up when a network needs it", "tunnel_types", "tunnel_type", "enable_tunneling", "tunnel_id_ranges")
		t.gone("changes are followed by netlink and by the feed, nothing is polled", "polling_interval", "minimize_polling",
			"ovsdb_monitor_respawn_interval", "quitting_rpc_timeout")
		t.gone("outer packets always have DF set, and the inner size is checked", "dont_fragment")
	}
	t.gone("forwarding goes on while the agent restarts", "drop_flows_on_start")
	t.gone("outer UDP checksums are left to the kernel", "tunnel_csum")
	t.gone("the outer DSCP is 0", "dscp", "dscp_inherit")
	t.gone("there are no veth pairs between bridges", "veth_mtu", "use_veth_interconnection", "baremetal_smartnic", "explicitly_egress_direct")
	t.in("ovs", ForServer|ForAgent)
	t.gone("there are no patch ports to name", "int_peer_patch_port", "tun_peer_patch_port", "use_veth_interconnection")
	t.gone("flows are installed in bundles over the bridge's own socket", "of_interface", "of_listen_address", "of_listen_port", "of_connect_timeout",
		"of_request_timeout", "of_inactivity_probe", "ovsdb_interface", "openflow_processed_per_port")
	t.gone("Open vSwitch's kernel datapath is used", "datapath_type", "vhostuser_socket_dir")
	t.gone("resources are not reported to Placement", "resource_provider_bandwidths", "resource_provider_hypervisors",
		"resource_provider_packet_processing_without_direction", "resource_provider_packet_processing_with_direction",
		"resource_provider_default_hypervisor", "resource_provider_inventory_defaults", "resource_provider_packet_processing_inventory_defaults")
	t.gone("Weft does not tune Open vSwitch", "ovsdb_timeout", "bridge_mac_table_size", "igmp_snooping_enable", "ovsdb_debug", "network_vlan_ranges", "tenant_network_type")
	t.gone("Open vSwitch is reached on its own host", "ssl_key_file", "ssl_cert_file", "ssl_ca_cert_file")
}

func goneL3(t *table) {
	t.in("DEFAULT", ForAgent)
	t.gone("there are no interfaces per router to make on compute hosts", "interface_driver", "ovs_use_veth", "network_device_mtu", "ovs_vsctl_timeout", "ovs_integration_bridge")
	t.gone("what is left over is always removed", "router_delete_namespaces", "dhcp_delete_namespaces", "use_namespaces", "cleanup_on_shutdown")
	t.gone("metadata is answered on the host itself, without a proxy per network", "metadata_port", "metadata_proxy_socket", "metadata_proxy_user",
		"metadata_proxy_group", "metadata_proxy_socket_mode", "metadata_proxy_watch_log", "metadata_access_mark", "external_ingress_mark", "cache_url", "default_ttl")
	t.gone("an external network is found by its physical network", "gateway_external_network_id")
	t.gone("one agent carries every router it is given", "router_id")
	t.gone("keepalived is not used", "ha_confs_path", "ha_vrrp_auth_type", "ha_vrrp_auth_password", "ha_vrrp_advert_int",
		"ha_keepalived_state_change_server_threads", "ha_vrrp_health_check_interval", "keepalived_use_no_track")
	t.gone("router advertisements are sent by the agent itself, without radvd", "ra_confs", "radvd_user", "min_rtr_adv_interval", "max_rtr_adv_interval")
	t.gone("there is nothing to force", "ip_lib_force_root", "external_pids")
}

func goneDHCP(t *table) {
	t.in("DEFAULT", ForAgent)
	t.gone("the agent answers DHCP and DNS itself, without dnsmasq", "dhcp_driver", "dhcp_confs", "dnsmasq_config_file", "dnsmasq_base_log_dir",
		"dnsmasq_lease_max", "dhcp_lease_relay_socket", "dnsmasq_enable_addr6_list", "dhcp_broadcast_reply", "enable_metadata_network", "dhcp_renewal_time",
		"dhcp_rebinding_time")
	t.gone("the metadata service needs no account of Keystone's", "auth_insecure", "auth_region", "admin_user", "admin_password", "admin_tenant_name", "auth_url", "endpoint_type")
}

// goneGroup says what became of all options of a group (in lower case); empty: nothing is known of the group.
func goneGroup(group string) string {
	for _, g := range []struct{ prefix, instead string }{
		{"oslo_messaging_", "Weft has no message broker"},
		{"matchmaker_", "Weft has no message broker"},
		{"oslo_concurrency", "a lock in the database keeps servers apart"},
		{"oslo_reports", "no reports are written on signals"},
		{"oslo_versionedobjects", "there is no RPC between versions"},
		{"privsep", "Weft runs as root and needs no helper to become it"},
		{"vxlan", "the Linux bridge agent's options mean nothing to Weft"},
		{"linux_bridge", "the Linux bridge agent's options mean nothing to Weft"},
		{"macvtap", "macvtap ports are not offered"},
		{"sriov_nic", "SR-IOV ports are not offered"},
		{"ovs_driver", "the data plane is chosen by [weft] data_plane"},
		{"ovn", "the data plane is chosen by [weft] data_plane"},
		{"experimental", "nothing of Weft's is behind a switch"},
		{"sriov_driver", "SR-IOV ports are not offered"},
		{"dhcp", "the agent answers DHCP itself, in both address families"},
		{"network_log", "logging of packets is not offered"},
		{"designate", "names are not sent to an external DNS service"},
		{"ironic", "bare metal is not told of ports"},
		{"placement", "resources are not reported to Placement"},
		{"profiler", "requests are not profiled"},
		{"healthcheck", "there is no such page; ask for /"},
		{"cors", "no CORS headers are sent"},
		{"cache", "validated tokens are kept in memory"},
		{"fwaas", "firewalls as a service are not offered"},
		{"haproxy", "load balancers are not configured here"},
	} {
		if strings.HasPrefix(group, g.prefix) {
			return "has no effect: " + g.instead
		}
	}
	return ""
}
