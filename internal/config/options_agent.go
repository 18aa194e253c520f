package config

func (l *Loaded) agentOptions(t *table) {
	a := &l.Agent
	t.in("weft", ForAgent)
	t.str(&a.Server, "server", "", "host:port of the server's feed (feed_bind there).").unset().shown("the broker's host of an old file, else 127.0.0.1:9697")
	t.str(&a.DataPlane, "data_plane", "ebpf", "What carries the packets: ebpf; ovs (Open vSwitch); null (nothing, for tests of the control plane).").oneOf("ebpf", "ovs", "null")
	t.str(&a.Redirect, "redirect", "auto", "How the eBPF data plane hands a packet to a port: auto (the fastest that the port allows), plain (seen by a tcpdump on the host's side).").oneOf("auto", "plain")
	t.str(&a.PinDir, "pin_dir", "/sys/fs/bpf/weft", "Where BPF maps and links are pinned; on a BPF file system.").must(nonEmpty(&a.PinDir))
	t.integer(&a.ConnectionsPerPort, "connections_per_port", "16384", "How many connections one port may hold of this host's table of 131072; past it, the port's new ones are refused (conn_table_full).").
		between(&a.ConnectionsPerPort, 1, 131072)

	t.str(&a.NetnsDir, "netns_dir", "/run/netns", "Where the network namespaces of routers are; ip-netns(8) looks in the default only.").must(nonEmpty(&a.NetnsDir))

	t.in("agent", ForAgent)
	t.seconds(&a.ReportInterval, "report_interval", "30", "Seconds between an agent's words of being alive; less than half of agent_down_time.").
		was("DEFAULT", "report_interval").atLeast(&a.ReportInterval, 1e9)
	t.str(&a.AvailabilityZone, "availability_zone", "nova", "Availability zone of this host.")
	t.port(&a.VXLANPort, "vxlan_udp_port", "4789", "UDP port of VXLAN.")

	t.in("ovs", ForAgent)
	t.addr(&a.LocalIP, "local_ip", "Address of this host's end of tunnels (VTEP); not set: the one it reaches the server from.").was("vxlan", "local_ip")
	t.str(&l.raw.bridgeMappings, "bridge_mappings", "", "<physical network>:<bridge>, comma separated: what this host's physical networks are attached to; an interface may stand for a bridge.").
		was("linux_bridge", "physical_interface_mappings")
	t.str(&a.OVS.OVSDB, "ovsdb_connection", "tcp:127.0.0.1:6640", "Where Open vSwitch's database listens (data_plane = ovs): tcp:<address>:<port>, ssl:…, unix:<path>.")
	t.str(&a.OVS.IntegrationBridge, "integration_bridge", "br-int", "The bridge of instances' ports (data_plane = ovs).").was("", "ovs_integration_bridge").must(nonEmpty(&a.OVS.IntegrationBridge))
	t.str(&a.OVS.TunnelBridge, "tunnel_bridge", "br-tun", "The bridge of tunnels (data_plane = ovs).").must(nonEmpty(&a.OVS.TunnelBridge))
}

func (l *Loaded) l3Options(t *table) {
	a := &l.Agent
	t.in("DEFAULT", ForAgent)
	t.str(&a.L3.Mode, "agent_mode", "legacy",
		"dvr: routes for its own instances; dvr_snat: also a gateway host; dvr_no_external: like dvr without an external network; legacy: a gateway host for centralized routers.").
		oneOf("legacy", "dvr", "dvr_snat", "dvr_no_external")
	t.in("agent", ForAgent)
	t.boolean(&l.raw.distributed, "enable_distributed_routing", "false",
		"Distributed routing is always there. Where agent_mode is not set, true here means agent_mode = dvr.").was("ovs", "enable_distributed_routing")
	t.in("DEFAULT", ForAgent)
	t.boolean(&a.L3.InternalOnly, "handle_internal_only_routers", "true", "Carry centralized routers that have no gateway, too. Read and passed over.")
	t.addr(&a.L3.IPv6Gateway, "ipv6_gateway", "Link-local address of the upstream router, where the external network has no IPv6 subnet. Read and passed over.")
	t.integer(&a.L3.GratuitousARPs, "send_arp_for_ha", "3", "How many times an address is announced when it has moved here; 0: not at all.").between(&a.L3.GratuitousARPs, 0, 100)
	t.str(&l.raw.externalBridge, "external_network_bridge", "",
		"The bridge of external networks in files of before Pike. Taken as the bridge of the one flat network where [ovs] bridge_mappings is not set.")
}

func (l *Loaded) dhcpOptions(t *table) {
	d := &l.Agent.DHCP
	t.in("DEFAULT", ForAgent)
	t.boolean(&d.IsolatedMetadata, "enable_isolated_metadata", "false", "Answer for metadata on subnets without a router, and tell instances the route (DHCP option 121).")
	t.boolean(&d.ForceMetadata, "force_metadata", "false", "The same on all subnets.")
	t.list(&d.DNSServers, "dnsmasq_dns_servers", "", "DNS servers that names outside of the cloud are asked from.").was("", "dnsmasq_dns_server")
	t.boolean(&d.LocalResolv, "dnsmasq_local_resolv", "false", "Ask the host's own DNS servers where dnsmasq_dns_servers is empty.")
}

func (l *Loaded) metadataOptions(t *table) {
	m := &l.Agent.Metadata
	t.in("DEFAULT", ForServer|ForAgent) // the server signs and says where Nova is
	t.boolean(&m.Enabled, "enable_metadata_proxy", "true", "Answer for 169.254.169.254.")
	t.str(&m.Host, "nova_metadata_host", "127.0.0.1", "Host of Nova's metadata service.").was("", "nova_metadata_ip")
	t.port(&m.Port, "nova_metadata_port", "8775", "Port of Nova's metadata service.")
	t.str(&m.Protocol, "nova_metadata_protocol", "http", "Protocol of Nova's metadata service.").oneOf("http", "https")
	t.boolean(&m.Insecure, "nova_metadata_insecure", "false", "Do not verify its certificate. For tests only.")
	t.secret(&m.SharedSecret, "metadata_proxy_shared_secret", "What instances' ids are signed with; Nova has the same in [neutron].")
	t.str(&m.CAFile, "auth_ca_cert", "", "Certificates to believe, in place of the system's.").unset()
	t.str(&m.CertFile, "nova_client_cert", "", "Certificate to present to it.")
	t.str(&m.KeyFile, "nova_client_priv_key", "", "The private key of nova_client_cert.")
}
