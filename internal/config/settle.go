package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// offered are the network types that Weft has.
func offered() []string { return []string{"flat", "vlan", "vxlan"} }

// settle computes what depends on several options, for both commands.
func (l *Loaded) settle() []*Error {
	s, a := &l.Server, &l.Agent
	if s.Host == "" {
		s.Host = l.host
	}
	a.Common, a.SecurityGroups = s.Common, s.SecurityGroups
	var faults []*Error
	add := func(group, option string, err error) {
		if err != nil {
			problem, cure := splitCure(err)
			faults = append(faults, l.src.faultAt(Name{group, option}, problem, cure))
		}
	}
	var err error
	add("database", "connection", s.Database.parse(l.raw.connection.Reveal()))
	s.API.PageLimit, err = parsePageLimit(l.raw.pageLimit)
	add("DEFAULT", "pagination_max_limit", err)
	s.ML2.VNIs, err = parseRanges(l.raw.vniRanges, 1, 1<<24-1)
	add("ml2_type_vxlan", "vni_ranges", err)
	s.ML2.VLANs, err = parseVLANRanges(l.raw.vlanRanges)
	add("ml2_type_vlan", "network_vlan_ranges", err)
	add("ml2", "physical_network_mtus", l.settleMTUs())
	s.Quotas.Enforced = !strings.HasSuffix(l.raw.quotaDriver, "Null")
	s.Keystone.AuthURL, err = l.keystoneURL()
	add("keystone_authtoken", "auth_url", err)
	s.Nova.AuthURL, err = baseURL(l.raw.nova.authURL)
	add("nova", "auth_url", err)
	s.Nova.URL, err = checkURL(s.Nova.URL)
	add("DEFAULT", "nova_url", err)
	s.Keystone.defaultDomains()
	s.Nova.defaultDomains()
	s.Keystone.CacheTime = max(s.Keystone.CacheTime, 0)
	s.Keystone.RevocationTime = max(s.Keystone.RevocationTime, 0)
	a.BridgeMappings, err = parsePairs(l.raw.bridgeMappings, true)
	add("ovs", "bridge_mappings", err)
	if l.raw.distributed && !l.src.given("DEFAULT", "agent_mode") {
		a.L3.Mode = "dvr"
		l.note(Name{"agent", "enable_distributed_routing"}, "is taken as agent_mode = dvr, which no file sets")
	}
	l.settlePolicyFiles()
	l.mapExternalBridge()
	l.settleServerAddress()
	return faults
}

func parsePageLimit(s string) (int, error) {
	if strings.TrimSpace(s) == "infinite" {
		return 0, nil
	}
	n, err := parseInt(s)
	if err != nil {
		return 0, fmt.Errorf("%q is no limit; give a number, or infinite", s)
	}
	return int(max(n, 0)), nil
}

func (l *Loaded) settleMTUs() error {
	m := &l.Server.ML2
	m.PhysnetMTUs = map[string]int{}
	for _, p := range l.raw.physnetMTUs {
		n, err := strconv.Atoi(p.Value)
		if err != nil || n < 576 || n > 65535 {
			return fmt.Errorf("%q is no MTU for %s; give a number from 576 to 65535", p.Value, p.Key)
		}
		m.PhysnetMTUs[p.Key] = n
	}
	return nil
}

// keystoneURL is auth_url, or what the options of before Kilo say, without a version at its end.
func (l *Loaded) keystoneURL() (string, error) {
	i := l.raw.identity
	switch {
	case l.raw.keystone.authURL != "":
		return baseURL(l.raw.keystone.authURL)
	case i.uri != "":
		return baseURL(i.uri)
	case i.host == "":
		return "", nil
	}
	u := url.URL{Scheme: i.protocol, Host: net.JoinHostPort(i.host, strconv.Itoa(int(i.port))), Path: i.prefix}
	return baseURL(u.String())
}

// checkURL accepts "" and absolute http and https URLs, of which it drops slashes at the end. One with a user in it is refused, for URLs are
// logged and told to clients; the error does not repeat it.
func checkURL(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	if strings.Contains(s, "@") {
		return "", errors.New("has a user or password in it; leave only http://host:port and set username and password, which are options of their own")
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return "", fmt.Errorf("%q is not a URL; write it as http://host:port", s)
	}
	return strings.TrimRight(s, "/"), nil
}

// baseURL is checkURL without /v2.0 or /v3 at the end.
func baseURL(s string) (string, error) {
	s, err := checkURL(s)
	return strings.TrimSuffix(strings.TrimSuffix(s, "/v2.0"), "/v3"), err
}

func (c *Credentials) defaultDomains() {
	if c.UserDomainID == "" && c.UserDomainName == "" {
		c.UserDomainID = "default"
	}
	if c.ProjectDomainID == "" && c.ProjectDomainName == "" {
		c.ProjectDomainID = "default"
	}
}

// settlePolicyFiles makes the names of policy files relative to the first configuration file. Without any there is none.
func (l *Loaded) settlePolicyFiles() {
	p := &l.Server.Policy
	if l.dir == "" {
		p.File, p.Dirs = "", nil
		return
	}
	in := func(name string) string {
		if name == "" || filepath.IsAbs(name) {
			return name
		}
		return filepath.Join(l.dir, name)
	}
	p.File = in(p.File)
	dirs := make([]string, len(p.Dirs))
	for i, d := range p.Dirs {
		dirs[i] = in(d)
	}
	p.Dirs = dirs
}

// mapExternalBridge turns external_network_bridge of old files into a bridge mapping, where it is clear which physical
// network is meant: there is one flat network and no mapping.
func (l *Loaded) mapExternalBridge() {
	flat := l.Server.ML2.FlatNetworks
	if l.raw.externalBridge == "" {
		return
	}
	n := Name{"DEFAULT", "external_network_bridge"}
	text := "has no effect, because [ovs] bridge_mappings says where physical networks are attached"
	switch {
	case len(l.Agent.BridgeMappings) > 0:
	case len(flat) == 1 && flat[0] != "*":
		l.Agent.BridgeMappings = []Pair{{Key: flat[0], Value: l.raw.externalBridge}}
		text = fmt.Sprintf("is taken as [ovs] bridge_mappings = %s:%s, for %s is the one flat network", flat[0], l.raw.externalBridge, flat[0])
	default:
		text = "has no effect, because it is not clear which physical network it carries: set [ovs] bridge_mappings = <physical network>:" + l.raw.externalBridge
	}
	l.note(n, text)
}

// note adds a notice to an option that a file sets.
func (l *Loaded) note(n Name, text string) {
	f := l.src.faultAt(n, "", "")
	l.Notices = append(l.Notices, Notice{File: f.File, Line: f.Line, Group: f.Group, Option: f.Option, Text: text})
}

// settleServerAddress finds the server: [weft] server, or the host that an old file names as the broker's, or this host.
func (l *Loaded) settleServerAddress() {
	const port = "9697"
	a := &l.Agent
	if a.Server != "" {
		if _, _, err := net.SplitHostPort(a.Server); err != nil {
			a.Server = net.JoinHostPort(strings.Trim(a.Server, "[]"), port)
		}
		return
	}
	option, host := "transport_url", transportHost(l.raw.transportURL.Reveal())
	if host == "" {
		option, host = "rabbit_host", l.raw.rabbitHost
	}
	if i := slices.IndexFunc(l.raw.rabbitHosts, func(s string) bool { return s != "" }); host == "" && i >= 0 {
		option, host = "rabbit_hosts", hostOf(l.raw.rabbitHosts[i])
	}
	if host == "" {
		a.Server = net.JoinHostPort("127.0.0.1", port)
		return
	}
	a.Server = net.JoinHostPort(host, port)
	l.note(Name{"DEFAULT", option}, "has no effect on a server, for Weft has no broker; an agent without [weft] server dials "+a.Server)
}

// transportHost is the first host of a transport_url: rabbit://user:password@host:port,user:password@host:port/vhost.
func transportHost(s string) string {
	_, rest, ok := strings.Cut(s, "://")
	if !ok {
		return ""
	}
	rest, _, _ = strings.Cut(rest, ",")
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		rest = rest[i+1:]
	}
	rest, _, _ = strings.Cut(rest, "/")
	return hostOf(rest)
}

// hostOf is s without a port.
func hostOf(s string) string {
	if h, _, err := net.SplitHostPort(s); err == nil {
		return h
	}
	return strings.Trim(s, "[]")
}
