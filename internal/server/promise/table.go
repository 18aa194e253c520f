package promise

import (
	"iter"
	"slices"
	"strings"

	"github.com/weft-cloud/weft/internal/dhcpoption"
	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
)

// table is everything that is not carried out, in the order of names.
var table = []*Gap{
	{
		Name: "address scopes", Partly: true, Extensions: []string{"address-scope"},
		Asked: "routers that connect networks of different address scopes of one family, or lead IPv6, or IPv4 without SNAT, to an external network of another scope",
		Why:   "address scopes decide what is translated and which addresses overlap; a router forwards from one scope into another where Neutron drops",
		parts: []part{
			by(func(w *world.World) iter.Seq[*model.Router] { return w.Routers.All() },
				func(w *world.World, v *model.Router) bool { return (&scopes{w: w}).joins(v) }),
			told(poolJoins),
		},
	},
	{
		Name: "agents", Partly: true, Extensions: []string{"agent"}, Asked: "L3 and DHCP agents whose admin_state_up is false",
		Why: "the agent is given no more routers or networks; routers that it has stay and work, and every host goes on answering DHCP of its own instances",
		parts: []part{by(func(w *world.World) iter.Seq[*model.Agent] { return w.Agents.All() },
			func(_ *world.World, a *model.Agent) bool {
				return !a.AdminStateUp && (a.Type == model.AgentL3 || a.Type == model.AgentDHCP)
			})},
	},
	{
		Name: "bare metal", Partly: true, Extensions: []string{"port-security", "security-group"},
		Asked: "ports of vnic_type baremetal with port_security_enabled",
		Why:   "neither port security nor security groups are enforced on machines that no agent plugs in, whose port_filter is false: switch them off on the port, and let the physical switch do it",
		parts: []part{by(func(w *world.World) iter.Seq[*model.Port] { return w.Ports.All() },
			func(_ *world.World, p *model.Port) bool { return p.VNICType == model.VNICBaremetal && p.PortSecurity })},
	},
	{
		Name: "DHCP options", Partly: true, Extensions: []string{"extra_dhcp_opt"},
		Asked: "ports with extra_dhcp_opts of which one has no name or number that is known, or a value that does not fit it",
		Why:   "the option is stored and shown, and left out of every answer; weft doctor names it",
		parts: []part{by(func(w *world.World) iter.Seq[*model.Port] { return w.Ports.All() },
			func(_ *world.World, p *model.Port) bool { return slices.ContainsFunc(p.ExtraDHCP, senseless) })},
	},
	{
		Name: "external DNS", Extensions: []string{"dns-integration", "dns-integration-domain-keywords", "dns-domain-ports", "subnet-dns-publish-fixed-ip"},
		Asked: "networks and ports with dns_domain, floating IPs with dns_name or dns_domain, subnets with dns_publish_fixed_ip",
		Why:   "names of ports are told to instances of their network, and all names are stored and shown; they are published to no DNS service outside the cloud",
		parts: []part{
			by(func(w *world.World) iter.Seq[*model.FloatingIP] { return w.FloatingIPs.All() },
				func(_ *world.World, f *model.FloatingIP) bool { return f.DNSName != "" || f.DNSDomain != "" }),
			by(func(w *world.World) iter.Seq[*model.Subnet] { return w.Subnets.All() },
				func(_ *world.World, s *model.Subnet) bool { return s.PublishDNS }),
			by(func(w *world.World) iter.Seq[*model.Network] { return w.Networks.All() },
				func(_ *world.World, n *model.Network) bool { return n.DNSDomain != "" }),
			by(func(w *world.World) iter.Seq[*model.Port] { return w.Ports.All() },
				func(_ *world.World, p *model.Port) bool { return p.DNSDomain != "" }),
			told(func(w *world.World, p *model.Port) bool { // counted by their networks
				n := w.Networks.Get(p.NetworkID)
				return p.DNSName != "" && n != nil && n.DNSDomain != ""
			}),
		},
	},
	{
		Name: "high availability", Extensions: []string{"l3-ha"}, Asked: "routers with ha",
		Why: "ha is stored and shown; a router has one central part, on the host that its l3-agents show",
		parts: []part{by(func(w *world.World) iter.Seq[*model.Router] { return w.Routers.All() },
			func(_ *world.World, v *model.Router) bool { return v.HA })},
	},
	{
		Name: "local IPs", Extensions: []string{"local_ip"}, Asked: "local IPs and their associations",
		Why: "local IPs and their associations are stored and shown; no data plane translates them",
		parts: []part{
			by(func(w *world.World) iter.Seq[*model.LocalIP] { return w.LocalIPs.All() }, always[model.LocalIP]),
			by(func(w *world.World) iter.Seq[*model.LocalIPAssociation] { return w.LocalIPAssociations.All() }, always[model.LocalIPAssociation]),
		},
	},
	{
		Name: "logging", Extensions: []string{"logging"}, Asked: "logs",
		Why:   "logs are stored and shown; no host writes what security groups accept or drop into a log",
		parts: []part{by(func(w *world.World) iter.Seq[*model.Log] { return w.Logs.All() }, always[model.Log])},
	},
	{
		Name: "metering", Extensions: []string{"metering", "metering_source_and_destination_fields"}, Asked: "metering labels and their rules",
		Why: "metering labels and rules are stored and shown; nobody counts the traffic",
		parts: []part{
			by(func(w *world.World) iter.Seq[*model.MeteringLabel] { return w.MeteringLabels.All() }, always[model.MeteringLabel]),
			by(func(w *world.World) iter.Seq[*model.MeteringLabelRule] { return w.MeteringLabelRules.All() }, always[model.MeteringLabelRule]),
		},
	},
	{
		Name: "network types", Partly: true, Extensions: []string{"provider"}, Asked: "networks and segments of type gre or local",
		Why: "the network is stored and shown; no data plane carries networks of type gre or local",
		parts: []part{
			by(func(w *world.World) iter.Seq[*model.Network] { return w.Networks.All() },
				func(w *world.World, n *model.Network) bool { return segments(w, n.ID, uncarried) }),
			told(func(_ *world.World, s *model.Segment) bool { return uncarried(s) }),
		},
	},
	{
		Name: "port forwardings", Partly: true, Extensions: []string{"floating-ip-port-forwarding"}, Asked: "port forwardings of protocol dccp or icmp",
		Why: "only tcp, udp and sctp are forwarded; the port forwarding is stored and shown",
		parts: []part{by(func(w *world.World) iter.Seq[*model.PortForwarding] { return w.PortForwardings.All() },
			func(_ *world.World, f *model.PortForwarding) bool {
				return f.Protocol == "dccp" || f.Protocol == "icmp"
			})},
	},
	{
		Name: "port hints", Extensions: []string{"port-hints", "port-hardware-offload-type"}, Asked: "ports with hints or hardware_offload_type",
		Why: "the attribute is stored and shown; no data plane does anything by it",
		parts: []part{by(func(w *world.World) iter.Seq[*model.Port] { return w.Ports.All() },
			func(_ *world.World, p *model.Port) bool {
				return len(p.Rare().Hints) > 0 || p.Rare().HardwareOffload != ""
			})},
	},
	{
		Name: "QoS", Extensions: []string{"qos", "qos-bw-limit-direction", "qos-bw-minimum-ingress", "qos-default", "qos-fip", "qos-gateway-ip",
			"qos-port-network-policy", "qos-pps", "qos-pps-minimum", "qos-pps-minimum-rule-alias", "qos-rules-alias"},
		Asked: "QoS policies and rules, and networks, ports, floating IPs and gateways with a policy, be it their network's",
		Why:   "QoS policies and rules are stored and shown; no data plane limits, marks or guarantees traffic by them",
		parts: []part{
			by(func(w *world.World) iter.Seq[*model.QoSPolicy] { return w.QoSPolicies.All() }, always[model.QoSPolicy]),
			by(func(w *world.World) iter.Seq[*model.QoSRule] { return w.QoSRules.All() }, always[model.QoSRule]),
			by(func(w *world.World) iter.Seq[*model.Network] { return w.Networks.All() },
				func(_ *world.World, n *model.Network) bool { return !n.QoSPolicy.IsZero() }),
			by(func(w *world.World) iter.Seq[*model.Port] { return w.Ports.All() },
				func(_ *world.World, p *model.Port) bool { return !p.QoSPolicy.IsZero() }),
			by(func(w *world.World) iter.Seq[*model.FloatingIP] { return w.FloatingIPs.All() },
				func(_ *world.World, f *model.FloatingIP) bool { return !f.QoSPolicy.IsZero() }),
			by(func(w *world.World) iter.Seq[*model.Router] { return w.Routers.All() },
				func(_ *world.World, v *model.Router) bool { return !v.GatewayQoS.IsZero() }),
			// What has its network's policy is counted by the network.
			told(func(w *world.World, p *model.Port) bool {
				return !strings.HasPrefix(p.DeviceOwner, model.OwnerNetworkPrefix) && limited(w, p.NetworkID)
			}),
			told(func(w *world.World, f *model.FloatingIP) bool { return limited(w, f.NetworkID) }),
			told(func(w *world.World, v *model.Router) bool {
				g := w.Ports.Get(v.GatewayPort)
				return g != nil && limited(w, g.NetworkID)
			}),
		},
	},
	{
		Name: "service ports", Asked: "ports of routers and DHCP ports whose admin_state_up is false",
		Why: "the value is stored and shown; the port goes on working: take the interface or gateway from the router, or switch the subnet's enable_dhcp off",
		parts: []part{by(func(w *world.World) iter.Seq[*model.Port] { return w.Ports.All() },
			func(_ *world.World, p *model.Port) bool {
				return !p.AdminStateUp && (p.IsRouterInterface() || p.DeviceOwner == model.OwnerRouterGateway ||
					p.DeviceOwner == model.OwnerRouterSNAT || p.DeviceOwner == model.OwnerDHCP)
			})},
	},
	{
		Name: "several segments", Extensions: []string{"segment", "multi-provider"}, Asked: "networks of several segments",
		Why: "the segments are stored and shown; the data planes carry one of them, the same on all hosts: VXLAN before VLAN before flat",
		parts: []part{
			by(func(w *world.World) iter.Seq[*model.Network] { return w.Networks.All() },
				func(w *world.World, n *model.Network) bool { return several(w, n.ID) }),
			told(func(w *world.World, s *model.Segment) bool { return several(w, s.NetworkID) }),
		},
	},
	{
		Name: "trunks", Extensions: []string{"trunk", "trunk-details"}, Asked: "trunks",
		Why:   "trunks and subports are stored and shown; no data plane carries a subport's tagged frames, and the trunk stays DOWN",
		parts: []part{by(func(w *world.World) iter.Seq[*model.Trunk] { return w.Trunks.All() }, always[model.Trunk])},
	},
	{
		Name: "VLAN transparency", Extensions: []string{"vlan-transparent"}, Asked: "networks with vlan_transparent",
		Why: "vlan_transparent is stored and shown; frames that instances tag themselves are not tested to arrive",
		parts: []part{by(func(w *world.World) iter.Seq[*model.Network] { return w.Networks.All() },
			func(_ *world.World, n *model.Network) bool { return n.VLANTransparent != nil && *n.VLANTransparent })},
	},
}

func uncarried(s *model.Segment) bool {
	return s.NetworkType == model.TypeGRE || s.NetworkType == model.TypeLocal
}

// senseless: the agent will not understand the option.
func senseless(o model.ExtraDHCPOpt) bool {
	_, err := dhcpoption.Parse(o.Name, o.Value, o.IPVersion == 6)
	return err != nil
}

// limited reports whether a network has a QoS policy.
func limited(w *world.World, n model.NetworkID) bool {
	v := w.Networks.Get(n)
	return v != nil && !v.QoSPolicy.IsZero()
}

func several(w *world.World, n model.NetworkID) bool {
	count := 0
	for range w.Segments.ByNetwork(n) {
		count++
	}
	return count > 1
}
