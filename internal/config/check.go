package config

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
)

// checks gathers the faults of what is right by itself and wrong together.
type checks struct {
	l      *Loaded
	faults []*Error
}

func (c *checks) fail(group, option, problem, cure string) {
	c.faults = append(c.faults, c.l.src.faultAt(Name{group, option}, problem, cure))
}

func (l *Loaded) checkServer() []*Error {
	c := &checks{l: l}
	c.listeners()
	c.keystone()
	c.macs()
	c.networkTypes()
	if down := l.Server.AgentDownTime; down < 2*l.Agent.ReportInterval {
		l.note(Name{"DEFAULT", "agent_down_time"}, fmt.Sprintf(
			"is less than twice report_interval (%v), so that one late report makes an agent look dead", l.Agent.ReportInterval))
	}
	if n := &l.Server.Nova; (n.OnPortStatus || n.OnPortData) && n.AuthURL == "" {
		l.note(Name{"nova", "auth_url"}, "is not set, so that Nova is not told of ports; instances that wait for it (vif_plugging_timeout) will not start")
	}
	if r := &l.Server.Router; r.Distributed && !r.EnableDVR {
		c.fail("DEFAULT", "router_distributed", "routers shall be distributed, but enable_dvr = false", "delete one of the two lines")
	}
	return c.faults
}

func (c *checks) listeners() {
	s := &c.l.Server
	host, port, err := net.SplitHostPort(s.FeedBind)
	n, perr := strconv.ParseUint(port, 10, 16)
	if err != nil || perr != nil {
		c.fail("weft", "feed_bind", fmt.Sprintf("%q is not host:port", s.FeedBind), "write it as 0.0.0.0:9697, or :9697 for every address")
		return
	}
	if uint16(n) == s.API.BindPort && n != 0 && (host == "" || host == s.API.BindHost || s.API.BindHost == "0.0.0.0" || s.API.BindHost == "::") {
		c.fail("weft", "feed_bind", fmt.Sprintf("port %d is the API's as well (bind_port)", n), "give one of them another port")
	}
	if c.l.raw.useSSL && (s.API.CertFile == "" || s.API.KeyFile == "") {
		c.fail("DEFAULT", "use_ssl", "the API shall be served by TLS, but there is no certificate", "set [ssl] cert_file and key_file")
	}
	if !c.l.raw.useSSL {
		s.API.CertFile, s.API.KeyFile, s.API.ClientCAFile = "", "", ""
	}
}

func (c *checks) keystone() {
	k := &c.l.Server.Keystone
	if c.l.Server.AuthStrategy == "noauth" {
		return
	}
	const cure = "set it in [keystone_authtoken], or auth_strategy = noauth for a test without Keystone"
	switch {
	case k.AuthURL == "":
		c.fail("keystone_authtoken", "auth_url", "auth_strategy is keystone, but Keystone's address is not set", cure)
	case k.AppliesCredential():
		if k.AppCredentialSecret.IsZero() {
			c.fail("keystone_authtoken", "application_credential_secret", "the secret of the application credential is not set", cure)
		}
		if k.AppCredentialID == "" && (k.AppCredentialName == "" || k.Username == "" && k.UserID == "") {
			c.fail("keystone_authtoken", "application_credential_id", "the application credential is not named",
				"set it, or application_credential_name and the username of whom it is")
		}
	case k.Username == "" && k.UserID == "":
		c.fail("keystone_authtoken", "username", "auth_strategy is keystone, but the user to ask it as is not set", cure)
	case k.Password.IsZero():
		c.fail("keystone_authtoken", "password", "the password of "+k.Username+" is not set", cure)
	case k.ProjectID == "" && k.ProjectName == "":
		c.fail("keystone_authtoken", "project_name", "the project of "+k.Username+" is not set", cure)
	}
}

func (c *checks) macs() {
	m := &c.l.Server.MAC
	if m.Base == m.DVRBase {
		c.fail("DEFAULT", "dvr_base_mac", "it is the same as base_mac, so that a host's address could be a port's", "make their fourth octets differ")
		return
	}
	// With three octets of the one equal to three of the other, only different, non-zero fourth octets keep them apart.
	if [3]byte(m.Base[:3]) == [3]byte(m.DVRBase[:3]) && (m.Base[3] == 0 || m.DVRBase[3] == 0) {
		c.fail("DEFAULT", "dvr_base_mac", fmt.Sprintf("%s and base_mac %s share their random part", m.DVRBase, m.Base),
			"make one of the first three octets differ, or give both a fourth octet other than 00")
	}
}

func (c *checks) networkTypes() {
	m := &c.l.Server.ML2
	m.TypeDrivers = slices.DeleteFunc(m.TypeDrivers, func(t string) bool {
		if slices.Contains(offered(), t) {
			return false
		}
		c.l.note(Name{"ml2", "type_drivers"}, fmt.Sprintf("network type %q is not offered; there are %s", t, strings.Join(offered(), ", ")))
		return true
	})
	for _, t := range m.TenantTypes {
		switch {
		case !slices.Contains(offered(), t):
			c.fail("ml2", "tenant_network_types", fmt.Sprintf("network type %q is not offered", t), "choose of "+strings.Join(offered(), ", "))
		case !slices.Contains(m.TypeDrivers, t):
			c.fail("ml2", "tenant_network_types", fmt.Sprintf("projects shall get networks of type %q, which type_drivers lacks", t), "add it to type_drivers")
		case t == "vxlan" && len(m.VNIs) == 0:
			c.fail("ml2_type_vxlan", "vni_ranges", "projects shall get VXLAN networks, but there is no VNI for them", "set it as 10:100")
		case t == "vlan" && !slices.ContainsFunc(m.VLANs, func(v VLANRange) bool { return len(v.Tags) > 0 }):
			c.fail("ml2_type_vlan", "network_vlan_ranges", "projects shall get VLAN networks, but there is no tag for them", "set it as <physical network>:100:199")
		}
	}
	if m.ExternalType != "" && !slices.Contains(m.TypeDrivers, m.ExternalType) {
		c.fail("ml2", "external_network_type", fmt.Sprintf("network type %q is not in type_drivers", m.ExternalType), "add it there, or choose another")
	}
	if m.OverlayIPVersion == 5 {
		c.fail("ml2", "overlay_ip_version", "there is no IP version 5", "write 4 or 6")
	}
}

func (l *Loaded) checkAgent() []*Error {
	c := &checks{l: l}
	a := &l.Agent
	if host, port, err := net.SplitHostPort(a.Server); err != nil || host == "" || port == "" {
		c.fail("weft", "server", fmt.Sprintf("%q is not host:port", a.Server), "write it as controller:9697")
	}
	if a.LocalIP.IsValid() && (a.LocalIP.IsMulticast() || a.LocalIP.IsUnspecified()) {
		c.fail("ovs", "local_ip", a.LocalIP.String()+" is no address of one host", "give this host's own address on the underlay")
	}
	if a.VXLANPort == 0 {
		c.fail("agent", "vxlan_udp_port", "port 0 cannot carry VXLAN", "delete the line for 4789")
	}
	for _, p := range a.BridgeMappings {
		if len(p.Value) > 15 {
			c.fail("ovs", "bridge_mappings", fmt.Sprintf("%q is longer than the 15 bytes that an interface's name can have", p.Value), "name the bridge as `ip link` shows it")
		}
	}
	if v := a.L3.IPv6Gateway; v.IsValid() && !v.IsLinkLocalUnicast() {
		c.fail("DEFAULT", "ipv6_gateway", v.String()+" is not a link-local address", "give the upstream router's fe80:: address")
	}
	if a.Metadata.SharedSecret.IsZero() && a.Metadata.Enabled {
		l.note(Name{"DEFAULT", "metadata_proxy_shared_secret"}, "is not set, so that Nova cannot tell a forged instance id from a true one")
	}
	return c.faults
}
