package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"text/template"
	"time"

	"github.com/weft-cloud/weft/internal/lab/identity"
	"github.com/weft-cloud/weft/internal/pki"
)

// Passwords of a cloud that lives for one run on loopback.
const (
	adminPassword   = "conformance-admin"
	servicePassword = "conformance-service"
)

// cloud is a server, the agents of two hosts on the null data plane, and an identity service.
type cloud struct {
	dir           string
	api, keystone string // base URLs
	public        string // id of the external network
	extensions    []string
	procs         []*exec.Cmd
	identity      *http.Server
}

func startCloud(ctx context.Context, weft, dir string) (*cloud, error) {
	weft, err := filepath.Abs(weft)
	if err != nil {
		return nil, err
	}
	c := &cloud{dir: dir}
	ok := false
	defer func() {
		if !ok {
			c.stop()
		}
	}()
	apiPort, feedPort, err := twoPorts()
	if err != nil {
		return nil, err
	}
	c.api = fmt.Sprintf("http://127.0.0.1:%d", apiPort)
	if err := c.startIdentity(); err != nil {
		return nil, err
	}
	if err := certificates(dir); err != nil {
		return nil, err
	}
	if err := c.start(weft, "server", map[string]any{"Dir": dir, "API": apiPort, "Feed": feedPort, "Keystone": c.keystone, "Password": servicePassword}); err != nil {
		return nil, err
	}
	if err := c.ready(ctx); err != nil {
		return nil, err
	}
	for i, host := range []string{"host1", "host2"} {
		if err := c.start(weft, "agent", map[string]any{"Dir": dir, "Host": host, "Feed": feedPort, "VTEP": fmt.Sprintf("127.0.0.%d", 11+i)}); err != nil {
			return nil, err
		}
	}
	if err := c.populate(ctx); err != nil {
		return nil, err
	}
	ok = true
	return c, nil
}

func twoPorts() (a, b int, err error) {
	l1, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, 0, err
	}
	defer l1.Close()
	l2, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, 0, err
	}
	defer l2.Close()
	return l1.Addr().(*net.TCPAddr).Port, l2.Addr().(*net.TCPAddr).Port, nil
}

func (c *cloud) startIdentity() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	c.keystone = "http://" + l.Addr().String()
	s, err := identity.New(identity.Deps{Path: filepath.Join(c.dir, "identity.json"), AdminPassword: adminPassword, ServicePassword: servicePassword,
		Endpoints: []identity.Endpoint{{Type: "identity", Name: "keystone", URL: c.keystone + "/v3"}, {Type: "network", Name: "neutron", URL: c.api}},
		Now:       time.Now, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		return err
	}
	c.identity = &http.Server{Handler: s}
	go c.identity.Serve(l)
	return nil
}

func certificates(dir string) error {
	ca, err := pki.NewCA("conformance", time.Now())
	if err != nil {
		return err
	}
	if err := ca.Save(dir); err != nil {
		return err
	}
	for name, at := range map[string][]string{"server": {"127.0.0.1"}, "host1": nil, "host2": nil} {
		p, err := ca.Issue(name, at, time.Now())
		if err != nil {
			return err
		}
		if err := p.Save(dir, name); err != nil {
			return err
		}
	}
	return nil
}

var configs = template.Must(template.New("").Parse(`
{{define "server"}}[DEFAULT]
bind_host = 127.0.0.1
bind_port = {{.API}}
auth_strategy = keystone
router_distributed = False
[keystone_authtoken]
www_authenticate_uri = {{.Keystone}}
auth_url = {{.Keystone}}
username = neutron
password = {{.Password}}
project_name = service
user_domain_name = Default
project_domain_name = Default
[database]
connection = sqlite:///{{.Dir}}/weft.db
[ml2]
type_drivers = flat,vlan,vxlan
tenant_network_types = vxlan
[ml2_type_flat]
flat_networks = *
[ml2_type_vlan]
network_vlan_ranges = physnet1:100:200,physnet2:300:400
[ml2_type_vxlan]
vni_ranges = 1:5000
[weft]
state_dir = {{.Dir}}
feed_bind = 127.0.0.1:{{.Feed}}
ca_file = {{.Dir}}/ca.crt
cert_file = {{.Dir}}/server.crt
key_file = {{.Dir}}/server.key
{{end}}
{{define "agent"}}[DEFAULT]
host = {{.Host}}
agent_mode = dvr_snat
[ovs]
local_ip = {{.VTEP}}
bridge_mappings = physnet1:br-phys1,physnet2:br-phys2
[agent]
report_interval = 2
[weft]
state_dir = {{.Dir}}/{{.Host}}
server = 127.0.0.1:{{.Feed}}
data_plane = null
ca_file = {{.Dir}}/ca.crt
cert_file = {{.Dir}}/{{.Host}}.crt
key_file = {{.Dir}}/{{.Host}}.key
{{end}}
`))

// start writes a configuration and runs a role with it; its output goes to a log beside it.
func (c *cloud) start(weft, role string, values map[string]any) error {
	name := role
	if h, ok := values["Host"].(string); ok {
		name = h
		if err := os.MkdirAll(filepath.Join(c.dir, h), 0o755); err != nil {
			return err
		}
	}
	var conf bytes.Buffer
	if err := configs.ExecuteTemplate(&conf, role, values); err != nil {
		return err
	}
	path := filepath.Join(c.dir, name+".conf")
	if err := os.WriteFile(path, conf.Bytes(), 0o600); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(c.dir, name+".log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(weft, role, "--config-file", path)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	c.procs = append(c.procs, cmd)
	return nil
}

func (c *cloud) stop() {
	for i := len(c.procs) - 1; i >= 0; i-- {
		c.procs[i].Process.Signal(syscall.SIGTERM)
	}
	for _, p := range c.procs {
		p.Wait()
	}
	if c.identity != nil {
		c.identity.Close()
	}
}

func (c *cloud) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		if r, err := http.Get(c.api + "/"); err == nil {
			r.Body.Close()
			return nil
		}
		select {
		case <-ctx.Done():
			b, _ := os.ReadFile(filepath.Join(c.dir, "server.log"))
			return fmt.Errorf("the server does not answer at %s; it says:\n%s", c.api, b)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// populate makes the external network that the suites expect, and reads the extensions.
func (c *cloud) populate(ctx context.Context) error {
	token, err := c.token(ctx)
	if err != nil {
		return err
	}
	var made struct{ Network struct{ ID string } }
	if err := c.call(ctx, token, "POST", "/v2.0/networks", `{"network": {"name": "public", "router:external": true, "provider:network_type": "flat", "provider:physical_network": "public"}}`, &made); err != nil {
		return err
	}
	c.public = made.Network.ID
	subnets := []string{
		`{"subnet": {"name": "public-v4", "network_id": "%s", "ip_version": 4, "cidr": "203.0.113.0/24", "enable_dhcp": false}}`,
		`{"subnet": {"name": "public-v6", "network_id": "%s", "ip_version": 6, "cidr": "2001:db8:ffff::/64", "enable_dhcp": false}}`,
	}
	for _, s := range subnets {
		if err := c.call(ctx, token, "POST", "/v2.0/subnets", fmt.Sprintf(s, c.public), nil); err != nil {
			return err
		}
	}
	var ext struct{ Extensions []struct{ Alias string } }
	if err := c.call(ctx, token, "GET", "/v2.0/extensions", "", &ext); err != nil {
		return err
	}
	for _, e := range ext.Extensions {
		c.extensions = append(c.extensions, e.Alias)
	}
	return nil
}

func (c *cloud) token(ctx context.Context) (string, error) {
	body := `{"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": "admin", "domain": {"name": "Default"}, "password": "` + adminPassword + `"}}}, "scope": {"project": {"name": "admin", "domain": {"name": "Default"}}}}}`
	r, err := http.Post(c.keystone+"/v3/auth/tokens", "application/json", strings.NewReader(body))
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	if r.StatusCode != 201 {
		b, _ := io.ReadAll(r.Body)
		return "", fmt.Errorf("identity answers %s: %s", r.Status, b)
	}
	return r.Header.Get("X-Subject-Token"), nil
}

func (c *cloud) call(ctx context.Context, token, method, path, body string, into any) error {
	r, err := http.NewRequestWithContext(ctx, method, c.api+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("X-Auth-Token", token)
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %s", method, path, answer.Status, b)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(b, into)
}

func (c *cloud) tempestConf(ws string) string {
	return fmt.Sprintf(`[DEFAULT]
log_file = %[1]s/tempest-debug.log
[oslo_concurrency]
lock_path = %[1]s/lock
[auth]
use_dynamic_credentials = true
create_isolated_networks = false
admin_username = admin
admin_password = %[2]s
admin_project_name = admin
admin_domain_name = Default
tempest_roles = member
[identity]
uri_v3 = %[3]s/v3
auth_version = v3
region = RegionOne
[identity-feature-enabled]
api_v2 = false
api_v3 = true
[service_available]
cinder = false
glance = false
horizon = false
neutron = true
nova = false
swift = false
[network]
public_network_id = %[4]s
floating_network_name = public
build_interval = 1
[network-feature-enabled]
ipv6_subnet_attributes = true
api_extensions = %[5]s
ipv6 = true
port_admin_state_change = true
[neutron_plugin_options]
provider_vlans = physnet1
available_type_drivers = flat,vlan,vxlan
agent_availability_zone = nova
l3_agent_mode = dvr_snat
max_networks_per_project = 4
create_shared_resources = true
`, ws, adminPassword, c.keystone, c.public, strings.Join(c.extensions, ","))
}
