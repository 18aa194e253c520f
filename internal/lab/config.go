package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/weft-cloud/weft/internal/pki"
)

// file is one configuration file: its name and text.
type file struct{ name, text string }

// serverFiles are the configuration of the server: Neutron's files with Neutron's options, and weft.conf.
func (r *Record) serverFiles() []file {
	return []file{
		{"neutron.conf", ini(
			"DEFAULT", "host = "+Controller, "bind_host = 0.0.0.0", "bind_port = 9696", "auth_strategy = keystone", "router_distributed = True",
			"allow_overlapping_ips = True", fmt.Sprintf("global_physnet_mtu = %d", max(r.Options.UnderlayMTU, externalMTU)),
			"notify_nova_on_port_status_changes = True", "notify_nova_on_port_data_changes = True", "agent_down_time = 15",
			fmt.Sprintf("nova_metadata_host = %s", underlayAddr(0)), fmt.Sprintf("nova_metadata_port = %d", metaPort),
			"metadata_proxy_shared_secret = "+r.Passwords.Metadata,
			"agent", "report_interval = 5",
			"keystone_authtoken", "www_authenticate_uri = http://127.0.0.1:5000", "auth_url = http://127.0.0.1:5000",
			"username = neutron", "password = "+r.Passwords.Service, "project_name = service", "user_domain_id = default", "project_domain_id = default",
			"nova", "auth_url = http://127.0.0.1:5000", "username = nova", "password = "+r.Passwords.Service,
			"project_name = service", "user_domain_id = default", "project_domain_id = default", "region_name = RegionOne")},
		{"ml2_conf.ini", ini(
			"ml2", "type_drivers = flat,vlan,vxlan", "tenant_network_types = vxlan",
			fmt.Sprintf("path_mtu = %d", r.Options.UnderlayMTU), fmt.Sprintf("physical_network_mtus = %s:%d", physnet, externalMTU),
			"ml2_type_flat", "flat_networks = "+physnet,
			"ml2_type_vlan", "network_vlan_ranges = "+physnet,
			"ml2_type_vxlan", "vni_ranges = 10:100",
			"securitygroup", "enable_security_group = True")},
		{"weft.conf", ini(append([]string{"weft", fmt.Sprintf("feed_bind = %s:%d", underlayAddr(0), feedPort)}, r.weftOptions("server", "server")...)...)},
	}
}

// ServerConfig are the paths of the server's configuration files, in order.
func (r *Record) ServerConfig() []string {
	var out []string
	for _, f := range r.serverFiles() {
		out = append(out, r.path("etc", serverJob, f.name))
	}
	return out
}

// ServerDir is the server's state directory.
func (r *Record) ServerDir() string { return r.path("server") }

// AgentDir is where the host's agent keeps its state.
func (r *Record) AgentDir(host string) string { return r.path(agentJob(host)) }

// PortNames are the names of the instances, by the ids of their ports.
func (r *Record) PortNames(ctx context.Context) (map[string]string, error) {
	admin := r.Admin()
	defer admin.Close()
	list, err := Instances(ctx, admin)
	out := map[string]string{}
	for _, in := range list {
		if in.Port.ID != "" {
			out[in.Port.ID] = in.Name
		}
	}
	return out, err
}

// metricsBind is where each agent tells its metrics: in its host's namespace.
const metricsBind = "127.0.0.1:9698"

// agentFiles are the configuration of a host's agent.
func (r *Record) agentFiles(h Host) []file {
	return []file{
		{"neutron.conf", ini("DEFAULT", "host = "+h.Name, "agent", "report_interval = 5", "availability_zone = nova")},
		{"ml2_conf.ini", ini("ovs", "local_ip = "+h.Underlay.String(), "bridge_mappings = "+physnet+":"+ExternalNIC,
			"agent", "tunnel_types = vxlan", "l2_population = True", "enable_distributed_routing = True",
			"securitygroup", "enable_security_group = True")},
		{"l3_agent.ini", ini("DEFAULT", "agent_mode = "+h.Mode)},
		{"weft.conf", ini(append([]string{"weft", fmt.Sprintf("server = %s:%d", underlayAddr(0), feedPort), "data_plane = ebpf",
			"redirect = " + r.Options.Redirect, "pin_dir = " + r.PinDir(h.Name), "netns_dir = " + r.RouterNetnsDir(h.Name), "metrics_bind = " + metricsBind}, r.weftOptions(h.Name, agentJob(h.Name))...)...)},
	}
}

// weftOptions are the certificates of that name and the directory where the process keeps its state.
func (r *Record) weftOptions(cert, dir string) []string {
	return []string{"state_dir = " + r.path(dir), "ca_file = " + r.path("tls", pki.CAFile), "cert_file = " + r.path("tls", cert+".crt"), "key_file = " + r.path("tls", cert+".key")}
}

// ini joins lines: one without "=" begins a section.
func ini(lines ...string) string {
	var b strings.Builder
	for _, l := range lines {
		if strings.Contains(l, "=") {
			b.WriteString(l + "\n")
		} else {
			b.WriteString("[" + l + "]\n")
		}
	}
	return b.String()
}

// writeFiles makes the state directory's parts, the certificates and the configuration files.
func (r *Record) writeFiles() error {
	for _, d := range []string{"tls", "log", "run", "server", filepath.Join("etc", serverJob)} {
		if err := os.MkdirAll(r.path(d), 0o700); err != nil {
			return fmt.Errorf("make state directory: %w", err)
		}
	}
	if err := r.writeCerts(); err != nil {
		return err
	}
	if err := r.writeConfig(serverJob, r.serverFiles()); err != nil {
		return err
	}
	for _, h := range r.Hosts() {
		if err := r.writeConfig(h.Name, r.agentFiles(h)); err != nil {
			return err
		}
	}
	return nil
}

func (r *Record) writeConfig(who string, files []file) error {
	if err := os.MkdirAll(r.path("etc", who), 0o700); err != nil {
		return fmt.Errorf("write configuration of %s: %w", who, err)
	}
	for _, f := range files {
		if err := os.WriteFile(r.path("etc", who, f.name), []byte(f.text), 0o600); err != nil {
			return fmt.Errorf("write configuration of %s: %w", who, err)
		}
	}
	return nil
}

// configArgs are the arguments that name those files.
func (r *Record) configArgs(who string, files []file) []string {
	var args []string
	for _, f := range files {
		args = append(args, "--config-file", r.path("etc", who, f.name))
	}
	return args
}

func (r *Record) writeCerts() error {
	now := time.Now()
	ca, err := pki.NewCA("weft lab", now)
	if err != nil {
		return err
	}
	dir := r.path("tls")
	if err := ca.Save(dir); err != nil {
		return fmt.Errorf("write certificates: %w", err)
	}
	issue := func(name, base string, reachable ...string) error {
		p, err := ca.Issue(name, reachable, now)
		if err != nil {
			return err
		}
		if err := p.Save(dir, base); err != nil {
			return fmt.Errorf("write certificates: %w", err)
		}
		return nil
	}
	if err := issue("server", "server", underlayAddr(0).String(), "127.0.0.1", "localhost"); err != nil {
		return err
	}
	for _, h := range r.Hosts() {
		if err := issue(h.Name, h.Name); err != nil {
			return err
		}
	}
	return nil
}
