package config

import "fmt"

func nonEmpty(s *string) func() error {
	return func() error {
		if *s == "" {
			return fmt.Errorf("the value is empty; give one or delete the line")
		}
		return nil
	}
}

func (l *Loaded) apiOptions(t *table) {
	s, a := &l.Server, &l.Server.API
	t.in("DEFAULT", ForServer)
	t.str(&a.BindHost, "bind_host", "0.0.0.0", "Address on which the REST API listens.").must(nonEmpty(&a.BindHost))
	t.port(&a.BindPort, "bind_port", "9696", "Port on which the REST API listens.")
	t.seconds(&a.SocketTimeout, "client_socket_timeout", "900", "Seconds that a client of the API may take to send its request, and to take each part of the answer, before its connection is closed; 0: for ever.")
	t.boolean(&l.raw.useSSL, "use_ssl", "false", "Serve the API by TLS, with [ssl] cert_file and key_file.")
	t.str(&a.LinkPrefix, "network_link_prefix", "", "Stands for scheme, host and port in the links of answers, for an API behind a proxy.").unset()
	t.str(&l.raw.pageLimit, "pagination_max_limit", "-1", "The most objects of one answer; `infinite` or a negative number: no limit.")
	t.boolean(&a.AllowBulk, "allow_bulk", "true", "Let one POST create several objects.")
	t.boolean(&a.FilterValidation, "filter_validation", "true", "Refuse a query by an attribute that cannot be filtered on, instead of ignoring it.")
	t.str(&s.AuthStrategy, "auth_strategy", "keystone", "Who says who a caller is: Keystone, or nobody (`noauth`: whoever reaches the API is administrator).").
		oneOf("keystone", "noauth")
	t.in("ssl", ForServer)
	t.str(&a.CertFile, "cert_file", "", "The API's certificate.").unset().was("DEFAULT", "ssl_cert_file")
	t.str(&a.KeyFile, "key_file", "", "The private key of cert_file.").unset().was("DEFAULT", "ssl_key_file")
	t.str(&a.ClientCAFile, "ca_file", "", "If set, clients of the API need a certificate signed by this authority.").unset().was("DEFAULT", "ssl_ca_file")
	t.in("oslo_middleware", ForServer)
	t.integer(&a.MaxBody, "max_request_body_size", "114688", "The most bytes of a request's body; more is 413.").
		was("DEFAULT", "max_request_body_size").between(&a.MaxBody, 1024, 1<<30)
	t.boolean(&a.ProxyHeaders, "enable_proxy_headers_parsing", "false", "Believe X-Forwarded-Proto, -Host and -Prefix when making links.")
	t.in("weft", ForServer)
	t.str(&s.FeedBind, "feed_bind", ":9697", "host:port on which the server listens for agents; no host: every address.")
}

func (l *Loaded) resourceOptions(t *table) {
	s := &l.Server
	t.in("DEFAULT", ForServer)
	t.mac(&s.MAC.Base, "base_mac", "fa:16:3e:00:00:00", "Ports' MAC addresses begin with its first three octets; with four, if the fourth is not 00.")
	t.mac(&s.MAC.DVRBase, "dvr_base_mac", "fa:16:3f:00:00:00", "The same for the MAC address that each host has for distributed routing. Must differ from base_mac.")
	t.integer(&s.MAC.Retries, "mac_generation_retries", "16", "How often a new MAC address is drawn when the one drawn is taken.").between(&s.MAC.Retries, 1, 1000)
	t.seconds(&s.DHCP.Lease, "dhcp_lease_duration", "86400", "How long a DHCP lease is good for; -1: for ever.").was("", "dhcp_lease_time").
		must(func() error {
			if d := s.DHCP.Lease.Seconds(); d != -1 && d < 60 {
				return fmt.Errorf("%v seconds are too short for a lease; give at least 60, or -1 for ever", d)
			}
			return nil
		})
	t.integer(&s.DHCP.AgentsPerNetwork, "dhcp_agents_per_network", "1", "How many network:dhcp ports a network with DHCP has, each with an address of each such subnet; every host answers at all of them.").between(&s.DHCP.AgentsPerNetwork, 0, 16)
	t.str(&s.DHCP.Domain, "dns_domain", "openstacklocal", "Domain of instances' names.").was("", "dhcp_domain")
	t.boolean(&s.Router.Distributed, "router_distributed", "false", "Make routers distributed whose creator does not say.")
	t.boolean(&s.Router.EnableDVR, "enable_dvr", "true", "Offer distributed routers at all.")
	t.boolean(&s.Router.HA, "l3_ha", "false", "Make routers highly available whose creator does not say.")
	t.boolean(&s.Router.SNAT, "enable_snat_by_default", "true", "enable_snat of a gateway whose setter does not say.")
	t.boolean(&s.Router.AutomaticL3Failover, "allow_automatic_l3agent_failover", "false", "Move the routers of a dead gateway host to a live one.")
	t.boolean(&s.AllowOverlap, "allow_overlapping_ips", "true", "Let subnets of different networks have the same addresses.")
	t.seconds(&s.AgentDownTime, "agent_down_time", "75", "After how many seconds without a word an agent is shown as dead; at least twice report_interval.").atLeast(&s.AgentDownTime, 1e9)
	t.boolean(&s.EnableNewAgents, "enable_new_agents", "true", "Let an agent that the server sees for the first time take work: its rows have admin_state_up.")
	t.list(&s.AvailabilityZones, "default_availability_zones", "", "Where the gateways of routers without availability_zone_hints are put.")
	t.boolean(&s.VLANTransparent, "vlan_transparent", "false", "Allow VLAN transparent networks.")
	t.integer(&s.Limits.DNSNameservers, "max_dns_nameservers", "5", "The most DNS servers of a subnet.").between(&s.Limits.DNSNameservers, 0, 1000)
	t.integer(&s.Limits.HostRoutes, "max_subnet_host_routes", "20", "The most host routes of a subnet.").between(&s.Limits.HostRoutes, 0, 10000)
	t.integer(&s.Limits.AddressPairs, "max_allowed_address_pair", "10", "The most allowed address pairs of a port.").between(&s.Limits.AddressPairs, 0, 10000)
	t.integer(&s.Limits.ExtraRoutes, "max_routes", "30", "The most extra routes of a router.").between(&s.Limits.ExtraRoutes, 0, 10000)
	t.in("service_providers", ForServer)
	t.multi(&s.ServiceProviders, "service_provider", "A provider of an advanced service: <service>:<name>:<driver>[:default]. Read and passed over: routers are Weft's own, whatever the provider.")
}

func (l *Loaded) databaseOptions(t *table) {
	d := &l.Server.Database
	t.in("database", ForServer)
	o := t.secret(&l.raw.connection, "connection",
		"Where objects are stored: sqlite:////absolute/path, or mysql://user:password@host[:port]/database (also mysql+pymysql://).").
		was("DEFAULT", "sql_connection").was("DATABASE", "sql_connection").was("sql", "connection")
	o.NoDefault, o.Default = false, "sqlite:///$weft.state_dir/weft.sqlite"
	t.integer(&d.MaxPoolSize, "max_pool_size", "5", "The most idle connections to MySQL that are kept.").
		was("DEFAULT", "sql_max_pool_size").was("DATABASE", "sql_max_pool_size").between(&d.MaxPoolSize, 1, 10000)
	t.seconds(&d.ConnectionRecycle, "connection_recycle_time", "3600", "After how many seconds a connection to MySQL is made anew.").
		was("", "idle_timeout").was("DEFAULT", "sql_idle_timeout").was("DATABASE", "sql_idle_timeout")
	t.seconds(&d.RetryInterval, "retry_interval", "10", "Seconds between attempts to reach the database at start.").
		was("DEFAULT", "sql_retry_interval").was("DATABASE", "reconnect_interval")
	t.integer(&d.MaxRetries, "max_retries", "10", "How often the database is tried at start; -1: for ever.").
		was("DEFAULT", "sql_max_retries").was("DATABASE", "sql_max_retries").between(&d.MaxRetries, -1, 1<<30)
}

func (l *Loaded) policyOptions(t *table) {
	p := &l.Server.Policy
	t.in("oslo_policy", ForServer)
	t.str(&p.File, "policy_file", "policy.yaml", "Rules that replace the defaults, YAML or JSON; relative to the first configuration file. It may be absent.").
		was("DEFAULT", "policy_file")
	dirs := t.multi(&p.Dirs, "policy_dirs", "Directories of more such files, read in the order of their names.").was("DEFAULT", "policy_dirs")
	dirs.NoDefault, dirs.Default = false, "policy.d"
	t.str(&p.DefaultRule, "policy_default_rule", "default", "The rule that holds for an action that has none.").was("DEFAULT", "policy_default_rule")
	t.boolean(&p.EnforceScope, "enforce_scope", "false", "Refuse tokens of another scope (system, project) than an action is made for.")
	t.boolean(&p.EnforceNewDefaults, "enforce_new_defaults", "false", "Use only the defaults with the roles reader, member and admin, without the older ones beside them.")
}

func (l *Loaded) quotaOptions(t *table) {
	q := &l.Server.Quotas
	q.Of = map[string]int{}
	t.in("quotas", ForServer)
	t.str(&l.raw.quotaDriver, "quota_driver", "neutron.db.quota.driver_nolock.DbQuotaNoLockDriver",
		"A driver whose name ends in Null turns quotas off; by every other name Weft's own quotas hold.")
	t.integer(&q.Default, "default_quota", "-1", "How many of a kind that has no option of its own a project may have; negative: any number.")
	for _, r := range []struct{ resource, limit string }{
		{"network", "100"}, {"subnet", "100"}, {"port", "500"}, {"router", "10"}, {"floatingip", "50"},
		{"security_group", "10"}, {"security_group_rule", "100"}, {"rbac_policy", "10"}, {"subnetpool", "-1"}, {"trunk", "-1"},
	} {
		o := bind(t.def("integer", "quota_"+r.resource, r.limit, "How many of them a project may have; negative: any number."), new(int),
			func(s string) (int, error) {
				n, err := parseInt(s)
				if err == nil {
					q.Of[r.resource] = int(n)
				}
				return int(n), err
			})
		if r.resource == "rbac_policy" {
			o.was("", "quota_rbac_entry")
		}
	}
}

func (l *Loaded) ml2Options(t *table) {
	m := &l.Server.ML2
	t.in("ml2", ForServer)
	t.list(&m.TypeDrivers, "type_drivers", "flat,vlan,vxlan", "Types of network that there are: flat, vlan, vxlan. Others are accepted here with a warning and not offered.")
	t.list(&m.TenantTypes, "tenant_network_types", "vxlan", "Types that projects' networks get, the first that has room.")
	t.str(&m.ExternalType, "external_network_type", "", "Type of an external network whose creator does not say; not set: as projects' networks.").unset()
	t.list(&m.Extensions, "extension_drivers", "", "Weft has all of its extensions always; read only to warn of one that it has not.")
	t.integer(&m.PathMTU, "path_mtu", "0", "MTU of the path between hosts, where it is less than global_physnet_mtu; 0: the same.").between(&m.PathMTU, 0, 65535)
	t.pairs(&l.raw.physnetMTUs, "physical_network_mtus", "", "<physical network>:<MTU> where it is not global_physnet_mtu.")
	t.integer(&m.OverlayIPVersion, "overlay_ip_version", "4", "IP version of VTEPs, 4 or 6.").between(&m.OverlayIPVersion, 4, 6)
	t.in("DEFAULT", ForServer)
	t.integer(&m.PhysnetMTU, "global_physnet_mtu", "1500", "MTU of the physical network. VXLAN networks get 50 less (70 over IPv6).").
		was("ml2", "segment_mtu").was("ml2", "physical_network_mtu").between(&m.PhysnetMTU, 576, 65535)
	t.in("ml2_type_flat", ForServer|ForAgent)
	t.list(&m.FlatNetworks, "flat_networks", "*", "Physical networks that may carry a flat network; *: any; empty: none.")
	t.in("ml2_type_vxlan", ForServer)
	t.str(&l.raw.vniRanges, "vni_ranges", "1:16777215", "<first>:<last>, comma separated: VNIs that projects' networks take.")
	t.in("ml2_type_vlan", ForServer)
	t.str(&l.raw.vlanRanges, "network_vlan_ranges", "", "<physical network>[:<first>:<last>], comma separated: physical networks for VLANs, and the tags that projects' networks take.")
	t.in("securitygroup", ForServer|ForAgent)
	t.boolean(&l.Server.SecurityGroups, "enable_security_group", "true", "Offer and enforce security groups.")
}
