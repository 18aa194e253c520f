package config

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write golden files anew")

// src makes one file of lines.
func src(lines ...string) []Source {
	return []Source{{Name: "n.conf", Text: []byte(strings.Join(lines, "\n") + "\n")}}
}

// serverWith is a configuration that a server accepts, and lines more.
func serverWith(lines ...string) []Source {
	return append([]Source{{Name: "base.conf", Text: []byte("[DEFAULT]\nauth_strategy = noauth\n[nova]\nauth_url = http://k:5000\n")}}, src(lines...)...)
}

func TestFaults(t *testing.T) {
	for _, tc := range []struct {
		name  string
		agent bool
		lines []string
		want  string
	}{
		{"port", false, []string{"[DEFAULT]", "bind_port = 96960"}, "n.conf:2: [DEFAULT] bind_port: 96960 is not a port; give a number from 0 to 65535"},
		{"boolean", false, []string{"[DEFAULT]", "", "debug = maybe"}, `n.conf:3: [DEFAULT] debug: "maybe" is not a boolean; write true or false (1/0, yes/no and on/off are taken, too)`},
		{"old spelling is named as written", false, []string{"[ml2]", "segment_mtu = 9"}, "n.conf:2: [ml2] segment_mtu: 9 is out of bounds; give a number from 576 to 65535"},
		{"unknown variable", false, []string{"[DEFAULT]", "bind_host = $bind_hots"}, "n.conf:2: [DEFAULT] bind_host: $bind_hots names an option that is neither known nor set; for a plain dollar sign write $$"},
		{"circle", false, []string{"[DEFAULT]", "bind_host = $dns_domain", "dns_domain = $bind_host"}, "n.conf:2: [DEFAULT] bind_host: $dns_domain leads back to itself; break the circle\nn.conf:3: [DEFAULT] dns_domain: $bind_host leads back to itself; break the circle"},
		{"choice", false, []string{"[DEFAULT]", "auth_strategy = none"}, `n.conf:2: [DEFAULT] auth_strategy: "none" is not known; choose one of keystone, noauth`},
		{"keystone without address", false, []string{"[DEFAULT]", "auth_strategy = keystone"}, "[keystone_authtoken] auth_url: auth_strategy is keystone, but Keystone's address is not set; set it in [keystone_authtoken], or auth_strategy = noauth for a test without Keystone"},
		{"application credential without its secret", false, []string{"[DEFAULT]", "auth_strategy = keystone", "[keystone_authtoken]", "auth_url = http://k:5000", "auth_type = v3applicationcredential", "application_credential_id = a"}, "[keystone_authtoken] application_credential_secret: the secret of the application credential is not set; set it in [keystone_authtoken], or auth_strategy = noauth for a test without Keystone"},
		{"application credential without a name", false, []string{"[DEFAULT]", "auth_strategy = keystone", "[keystone_authtoken]", "auth_url = http://k:5000", "auth_type = v3applicationcredential", "application_credential_secret = s", "application_credential_name = a"}, "[keystone_authtoken] application_credential_id: the application credential is not named; set it, or application_credential_name and the username of whom it is"},
		{"another way to log in", false, []string{"[keystone_authtoken]", "auth_url = http://k:5000", "auth_type = v3oidcpassword"}, "n.conf:3: [keystone_authtoken] auth_type: \"v3oidcpassword\" is not known; choose one of password, v3password, v2password, v3applicationcredential"},
		{"a password in an address", false, []string{"[keystone_authtoken]", "auth_url = http://neutron:hush@k:5000/v3"}, "n.conf:2: [keystone_authtoken] auth_url: has a user or password in it; leave only http://host:port and set username and password, which are options of their own"},
		{"equal base MACs", false, []string{"[DEFAULT]", "base_mac = fa:16:3f:00:00:00"}, "[DEFAULT] dvr_base_mac: it is the same as base_mac, so that a host's address could be a port's; make their fourth octets differ"},
		{"shared MAC range", false, []string{"[DEFAULT]", "dvr_base_mac = fa:16:3e:4f:00:00"}, "n.conf:2: [DEFAULT] dvr_base_mac: fa:16:3e:4f:00:00 and base_mac fa:16:3e:00:00:00 share their random part; make one of the first three octets differ, or give both a fourth octet other than 00"},
		{"multicast MAC", false, []string{"[DEFAULT]", "base_mac = 01:16:3e:00:00:00"}, "n.conf:2: [DEFAULT] base_mac: 01:16:3e:00:00:00 is a group address; its first octet must be even"},
		{"type not offered", false, []string{"[ml2]", "tenant_network_types = gre"}, `n.conf:2: [ml2] tenant_network_types: network type "gre" is not offered; choose of flat, vlan, vxlan`},
		{"type not loaded", false, []string{"[ml2]", "type_drivers = flat"}, `[ml2] tenant_network_types: projects shall get networks of type "vxlan", which type_drivers lacks; add it to type_drivers`},
		{"VNI range backwards", false, []string{"[ml2_type_vxlan]", "vni_ranges = 100:10"}, `n.conf:2: [ml2_type_vxlan] vni_ranges: range "100:10" ends before it begins; write 10:100`},
		{"VNI too large", false, []string{"[ml2_type_vxlan]", "vni_ranges = 1:16777216"}, `n.conf:2: [ml2_type_vxlan] vni_ranges: range "1:16777216" leaves 1 to 16777215; choose within`},
		{"VNI overlap", false, []string{"[ml2_type_vxlan]", "vni_ranges = 1:10,5:20"}, "n.conf:2: [ml2_type_vxlan] vni_ranges: ranges 1:10 and 5:20 overlap; make them one"},
		{"VLAN tag", false, []string{"[ml2_type_vlan]", "network_vlan_ranges = p:1:4095"}, `n.conf:2: [ml2_type_vlan] network_vlan_ranges: physical network p: range "1:4095" leaves 1 to 4094; choose within`},
		{"TLS without certificate", false, []string{"[DEFAULT]", "use_ssl = 1"}, "n.conf:2: [DEFAULT] use_ssl: the API shall be served by TLS, but there is no certificate; set [ssl] cert_file and key_file"},
		{"one port for two", false, []string{"[weft]", "feed_bind = :9696"}, "n.conf:2: [weft] feed_bind: port 9696 is the API's as well (bind_port); give one of them another port"},
		{"metrics without a port", false, []string{"[weft]", "metrics_bind = localhost"}, `n.conf:2: [weft] metrics_bind: "localhost" is not host:port; write it as 127.0.0.1:9698, or :9698 for every address`},
		{"metrics on no port", true, []string{"[weft]", "metrics_bind = localhost:http"}, `n.conf:2: [weft] metrics_bind: "localhost:http" is not host:port; write it as 127.0.0.1:9698, or :9698 for every address`},
		{"database kind", false, []string{"[database]", "connection = postgresql://u:hush@h/n"}, `n.conf:2: [database] connection: database "postgresql" is not supported; use mysql:// or sqlite://`},
		{"database in memory", false, []string{"[database]", "connection = sqlite://"}, "n.conf:2: [database] connection: the SQLite URL names no file (a database in memory would be lost at each restart); write sqlite:////absolute/path, with four slashes"},
		{"syntax", false, []string{"[DEFAULT]", "bind_port 9696"}, "n.conf:2: there is neither = nor : in the line; write `name = value`, or start the line with # for a comment"},
		{"DVR against DVR", false, []string{"[DEFAULT]", "router_distributed = True", "enable_dvr = False"}, "n.conf:2: [DEFAULT] router_distributed: routers shall be distributed, but enable_dvr = false; delete one of the two lines"},
		{"lease", false, []string{"[DEFAULT]", "dhcp_lease_duration = 5"}, "n.conf:2: [DEFAULT] dhcp_lease_duration: 5 seconds are too short for a lease; give at least 60, or -1 for ever"},
		{"agent mode", true, []string{"[DEFAULT]", "agent_mode = dvr-snat"}, `n.conf:2: [DEFAULT] agent_mode: "dvr-snat" is not known; choose one of legacy, dvr, dvr_snat, dvr_no_external`},
		{"mapping", true, []string{"[ovs]", "bridge_mappings = external"}, `n.conf:2: [ovs] bridge_mappings: "external" is no pair; write name:value pairs separated by commas`},
		{"bridge twice", true, []string{"[ovs]", "bridge_mappings = a:br-ex,b:br-ex"}, `n.conf:2: [ovs] bridge_mappings: "br-ex" stands behind both "a" and "b"; give each its own`},
		{"local_ip", true, []string{"[ovs]", "local_ip = 192.168.70.11/24"}, `n.conf:2: [ovs] local_ip: "192.168.70.11/24" is not an IP address; write one as 192.168.70.11 or fd00::11, without a prefix length`},
		{"data plane", true, []string{"[weft]", "data_plane = xdp"}, `n.conf:2: [weft] data_plane: "xdp" is not known; choose one of ebpf, ovs, null`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			read := LoadServer
			if tc.agent {
				read = LoadAgent
			}
			_, err := read(serverWith(tc.lines...), "h")
			if err == nil {
				t.Fatal("accepted")
			}
			if d := cmp.Diff(tc.want, err.Error()); d != "" {
				t.Error(d)
			}
			if strings.Contains(err.Error(), "hush") {
				t.Error("the password is in the message")
			}
		})
	}
}

func TestFourOctetMACs(t *testing.T) {
	l, err := LoadServer(serverWith("[DEFAULT]", "base_mac = fa:16:3e:4e:00:00", "dvr_base_mac = fa:16:3e:4f:00:00"), "h")
	if err != nil {
		t.Fatal(err)
	}
	if m := l.Server.MAC; m.Base[3] != 0x4e || m.DVRBase[3] != 0x4f {
		t.Errorf("%v", m)
	}
}

// TestAllFaultsAtOnce: an operator should not have to start the server once per mistake.
func TestAllFaultsAtOnce(t *testing.T) {
	_, err := LoadServer(serverWith("[DEFAULT]", "bind_port = x", "debug = y", "no assignment"), "h")
	if err == nil {
		t.Fatal("accepted")
	}
	if n := strings.Count(err.Error(), "\n") + 1; n != 3 {
		t.Errorf("%d faults, want 3:\n%v", n, err)
	}
}

func TestNotices(t *testing.T) {
	for _, tc := range []struct{ name, line, want string }{
		{"typing error", "bind_prot = 1", "n.conf:2: [DEFAULT] bind_prot: is not an option of Weft's and has no effect; was [DEFAULT] bind_port meant?"},
		{"wrong group", "local_ip = 1.2.3.4", "n.conf:2: [DEFAULT] local_ip: is not an option of Weft's and has no effect; was [ovs] local_ip meant?"},
		{"nothing like it", "frobnicate = 1", "n.conf:2: [DEFAULT] frobnicate: is not an option of Weft's and has no effect"},
		{"older", "policy_file = p", "n.conf:2: [DEFAULT] policy_file: is taken as [oslo_policy] policy_file, its name today"},
		{"obsolete", "allow_sorting = False", "n.conf:2: [DEFAULT] allow_sorting: has no effect: sorting is always on"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l, err := LoadServer(serverWith("[DEFAULT]", tc.line), "h")
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, n := range l.Notices {
				got = append(got, n.String())
			}
			if d := cmp.Diff([]string{tc.want}, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestLaterFileWins(t *testing.T) {
	a := Source{Name: "a.conf", Text: []byte("[DEFAULT]\nauth_strategy = noauth\nbind_port = 1\ndns_domain = a\n[service_providers]\nservice_provider = A:a:x\n")}
	b := Source{Name: "b.conf", Text: []byte("[DEFAULT]\nbind_port = 2\ndhcp_domain = old\n[service_providers]\nservice_provider = B:b:y\n")}
	l, err := LoadServer([]Source{a, b}, "h")
	if err != nil {
		t.Fatal(err)
	}
	s := l.Server
	if s.API.BindPort != 2 || s.DHCP.Domain != "old" {
		t.Errorf("bind_port %d, dns_domain %q; want 2, old", s.API.BindPort, s.DHCP.Domain)
	}
	if d := cmp.Diff([]string{"A:a:x", "B:b:y"}, s.ServiceProviders); d != "" {
		t.Error(d)
	}
}

func TestPolicyFiles(t *testing.T) {
	for _, tc := range []struct {
		name string
		srcs []Source
		file string
		dirs []string
	}{
		{"none", nil, "", nil},
		{"only a flag", []Source{Override("--state-dir", "weft", "state_dir", "/x")}, "", nil},
		{"beside the first file", []Source{{Name: "/etc/neutron/neutron.conf"}, {Name: "/etc/weft/weft.conf"}}, "/etc/neutron/policy.yaml", []string{"/etc/neutron/policy.d"}},
		{"absolute", []Source{{Name: "/e/n.conf", Text: []byte("[oslo_policy]\npolicy_file = /p/q.json\npolicy_dirs = a\npolicy_dirs = /b\n")}}, "/p/q.json", []string{"/e/a", "/b"}},
		{"older", []Source{{Name: "/e/n.conf", Text: []byte("[DEFAULT]\npolicy_file = policy.json\n")}}, "/e/policy.json", []string{"/e/policy.d"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l, faults := load(tc.srcs, "h")
			if len(faults) > 0 {
				t.Fatal(join(faults))
			}
			if p := l.Server.Policy; p.File != tc.file || cmp.Diff(tc.dirs, p.Dirs) != "" {
				t.Errorf("%q %q, want %q %q", p.File, p.Dirs, tc.file, tc.dirs)
			}
		})
	}
}

func TestOverride(t *testing.T) {
	l, faults := load(append(src("[weft]", "state_dir = /a"), Override("--state-dir", "weft", "state_dir", "/b$c")), "h")
	if len(faults) > 0 {
		t.Fatal(join(faults))
	}
	if s := l.Server; s.StateDir != "/b$c" || s.TLS.CAFile != "/b$c/tls/ca.pem" || s.Database.Path != "/b$c/weft.sqlite" || l.Agent.TLS.KeyFile != "/b$c/tls/key.pem" {
		t.Errorf("state_dir %q, ca_file %q, database %q", s.StateDir, s.TLS.CAFile, s.Database.Path)
	}
}

func TestDatabase(t *testing.T) {
	for _, tc := range []struct {
		name, url string
		want      Database
	}{
		{"sqlite", "sqlite:////var/lib/x.db", Database{Engine: "sqlite", Path: "/var/lib/x.db"}},
		{"relative", "sqlite:///x.db", Database{Engine: "sqlite", Path: "x.db"}},
		{"driver and charset", "mysql+pymysql://u:p@h:3307/n?charset=utf8", Database{Engine: "mysql", User: "u", Password: NewSecret("p"), Host: "h", Port: 3307, Name: "n", Params: map[string]string{"charset": "utf8"}}},
		{"escaped", "mysql://u:p%40%2Fq@h/n", Database{Engine: "mysql", User: "u", Password: NewSecret("p@/q"), Host: "h", Port: 3306, Name: "n"}},
		{"slash in the password", "mysql://u:p/q@h/n", Database{Engine: "mysql", User: "u", Password: NewSecret("p/q"), Host: "h", Port: 3306, Name: "n"}},
		{"IPv6", "mysql://u@[fd00::1]:3306/n", Database{Engine: "mysql", User: "u", Host: "fd00::1", Port: 3306, Name: "n"}},
		{"socket", "mysql://u@/n?unix_socket=/run/m.sock", Database{Engine: "mysql", User: "u", Port: 3306, Socket: "/run/m.sock", Name: "n"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var d Database
			if err := d.parse(tc.url); err != nil {
				t.Fatal(err)
			}
			if len(d.Params) == 0 {
				d.Params = nil
			}
			if diff := cmp.Diff(tc.want, d); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSecretNeverPrints(t *testing.T) {
	s := NewSecret("hush")
	type inner struct{ S Secret }
	type outer struct {
		S      Secret
		hidden inner
		P      *inner
	}
	o := outer{s, inner{s}, &inner{s}}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "s", s, "o", o)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "s", s, "o", o)
	j, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	all := fmt.Sprintf("%v %+v %#v %s %q %x %d", o, o, o, s, s, s, s) + fmt.Sprint(s, o, []Secret{s}) + log.String() + string(j)
	if strings.Contains(all, "hush") || strings.Contains(all, "68757368") {
		t.Error(all)
	}
	l, err := LoadServer(serverWith("[database]", "connection = mysql://u:hush@h/n", "[keystone_authtoken]", "password = hush"), "h")
	if err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprintf("%+v %#v %v", l, l.Server, l.Server.Database.String()); strings.Contains(text, "hush") {
		t.Error(text)
	}
	if l.Server.Keystone.Password.Reveal() != "hush" {
		t.Error("the secret itself is lost")
	}
}

// TestSampleChangesNothing: uncommenting every line with a plain default is the same as giving no file.
func TestSampleChangesNothing(t *testing.T) {
	for _, role := range []Role{ForServer, ForAgent} {
		var b bytes.Buffer
		if err := WriteSample(&b, role); err != nil {
			t.Fatal(err)
		}
		var lines []string
		n := 0
		for line := range strings.Lines(b.String()) {
			if len(line) > 1 && line[0] == '#' && line[1] != ' ' && !strings.Contains(line, "= <") && !strings.Contains(line, "else 127") {
				line = line[1:]
				n++
			}
			lines = append(lines, strings.TrimRight(line, "\n"))
		}
		if n < 20 {
			t.Fatalf("%d options in the sample", n)
		}
		none, _ := load(nil, "h")
		all, faults := load(src(lines...), "h")
		if len(faults) > 0 {
			t.Fatal(join(faults))
		}
		none.Server.Policy, all.Server.Policy = Policy{}, Policy{} // names of files depend on there being one
		if d := cmp.Diff(none.Server, all.Server); d != "" {
			t.Error("server", d)
		}
		if d := cmp.Diff(none.Agent, all.Agent, cmp.Comparer(func(a, b fmt.Stringer) bool { return a.String() == b.String() })); d != "" {
			t.Error("agent", d)
		}
	}
}

// TestOptionsAreSound: names are unique, every option has a help or a reason, older names do not hide options.
func TestOptionsAreSound(t *testing.T) {
	seen := map[Name]*Option{}
	for _, o := range Options() {
		if o.Help == "" && o.Gone == "" {
			t.Errorf("%s has neither help nor reason", o.Name)
		}
		for _, n := range append([]Name{o.Name}, o.Older...) {
			if p := seen[n.fold()]; p != nil {
				t.Errorf("%s is declared by %s and by %s", n, p.Name, o.Name)
			}
			seen[n.fold()] = o
		}
	}
}

// TestReference keeps docs/configuration.md equal to the table.
func TestReference(t *testing.T) {
	const file = "../../docs/configuration.md"
	var b bytes.Buffer
	if err := WriteReference(&b); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(have), b.String()); d != "" {
		t.Errorf("docs/configuration.md is not made from this table; run with -update:\n%s", d)
	}
}

func FuzzLoad(f *testing.F) {
	for _, t := range texts() {
		f.Add([]byte(t))
	}
	for _, n := range []string{"neutron.conf", "controller-ml2_conf.ini", "compute-ml2_conf.ini", "l3_agent.ini"} {
		b, err := os.ReadFile("testdata/" + n)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		srcs := []Source{{Name: "f", Text: text}}
		l, err := LoadServer(srcs, "h")
		if err == nil && (l.Server.Host == "" && !bytes.Contains(text, []byte("host")) || l.Server.Database.Engine == "") {
			t.Errorf("accepted, and left unset: %+v", l.Server)
		}
		if err != nil && err.Error() == "" {
			t.Error("an error without words")
		}
		_, _ = LoadAgent(srcs, "h")
	})
}
