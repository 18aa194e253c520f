package e2e

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weft-cloud/weft/test/rig"
)

// client is the unmodified OpenStack client with the lab's environment.
type client struct {
	t   *testing.T
	env []string
	cli *rig.OpenStack
}

func newClient(t *testing.T, user string) *client {
	t.Helper()
	env := os.Environ()
	for line := range strings.Lines(must(t, "lab", "env", "--user", user)) {
		env = append(env, strings.TrimPrefix(strings.TrimSpace(line), "export "))
	}
	cli, err := rig.StartOpenStack(env)
	if errors.Is(err, exec.ErrNotFound) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cli.Close)
	return &client{t, env, cli}
}

func (c *client) try(args ...string) (string, error) { return c.cli.Run(args...) }

// do runs a command that must succeed.
func (c *client) do(args ...string) string {
	c.t.Helper()
	out, err := c.try(args...)
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

// show runs a command and returns the object that it prints.
func (c *client) show(args ...string) map[string]any {
	c.t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(c.do(append(args, "-f", "json")...)), &v); err != nil {
		c.t.Fatalf("openstack %v: %v", args, err)
	}
	return v
}

// list runs a command and returns the rows that it prints.
func (c *client) list(args ...string) []map[string]any {
	c.t.Helper()
	var v []map[string]any
	if err := json.Unmarshal([]byte(c.do(append(args, "-f", "json")...)), &v); err != nil {
		c.t.Fatalf("openstack %v: %v", args, err)
	}
	return v
}

// names are the values of a column.
func names(rows []map[string]any, column string) string {
	var out []string
	for _, r := range rows {
		s, _ := r[column].(string)
		out = append(out, s)
	}
	return " " + strings.Join(out, " ") + " "
}

// TestOpenStackWalkThrough is the write-up's walk-through with the client that everybody has: images, networks,
// hypervisors; an instance on a named host, another on the other; ping between them.
func TestOpenStackWalkThrough(t *testing.T) {
	eachVIF(t, func(t *testing.T, args ...string) {
		up(t, append(args, "--no-demo")...)
		c := newClient(t, "admin")
		alone := exec.Command("openstack", "token", "issue", "-f", "json") // once as people run it: a process for the command
		alone.Env = c.env
		var tok struct {
			ID      string
			Project string `json:"project_id"`
		}
		if out, err := output(alone); errors.Join(err, json.Unmarshal([]byte(out), &tok)) != nil || tok.Project == "" || tok.ID == "" {
			t.Errorf("token %+v, %v", tok, err)
		}
		if got := names(c.list("image", "list"), "Name"); got != " weft-guest " {
			t.Errorf("images%s", got)
		}
		if got := names(c.list("hypervisor", "list"), "Hypervisor Hostname"); got != " compute1 compute2 " {
			t.Errorf("hypervisors%s", got)
		}
		if got := names(c.list("flavor", "list"), "Name"); !strings.Contains(got, " m1.nano ") {
			t.Errorf("flavors%s", got)
		}
		agents := c.list("network", "agent", "list")
		for _, host := range []string{"controller", "compute1", "compute2"} {
			if !strings.Contains(names(agents, "Host"), " "+host+" ") {
				t.Errorf("no agent of %s: %v", host, agents)
			}
		}
		topology(t, c)
		servers(t, c)
		tearDown(t, c)
	})
}

func topology(t *testing.T, c *client) {
	net := c.show("network", "create", "net1")
	if net["provider:network_type"] != "vxlan" || net["mtu"] != 1450.0 {
		t.Errorf("network %v", net)
	}
	sub := c.show("subnet", "create", "sub1", "--network", "net1", "--subnet-range", "172.16.42.0/24")
	if sub["gateway_ip"] != "172.16.42.1" || sub["enable_dhcp"] != true {
		t.Errorf("subnet %v", sub)
	}
	c.do("network", "create", "net2")
	c.do("subnet", "create", "sub2", "--network", "net2", "--subnet-range", "172.16.43.0/24",
		"--allocation-pool", "start=172.16.43.10,end=172.16.43.90") // .99 is to stay free
	router := c.show("router", "create", "router1")
	if router["distributed"] != true {
		t.Errorf("router %v", router)
	}
	c.do("router", "add", "subnet", "router1", "sub1")
	c.do("router", "add", "subnet", "router1", "sub2")
	ports := c.list("port", "list", "--device-owner", "network:router_interface_distributed")
	if len(ports) != 2 {
		t.Errorf("router's ports %v", ports)
	}
	c.do("network", "set", "net1", "--description", "the first")
	if net := c.show("network", "show", "net1"); net["description"] != "the first" {
		t.Errorf("network after set %v", net)
	}
	c.do("subnet", "set", "sub1", "--name", "sub-one")
	c.do("router", "set", "router1", "--description", "joins them")
	if got := names(c.list("network", "list"), "Name"); !strings.Contains(got, " net1 ") || !strings.Contains(got, " net2 ") {
		t.Errorf("networks%s", got)
	}
	if got := names(c.list("subnet", "list"), "Name"); !strings.Contains(got, " sub-one ") {
		t.Errorf("subnets%s", got)
	}
	if got := names(c.list("router", "list"), "Name"); got != " router1 " {
		t.Errorf("routers%s", got)
	}
	if r := c.show("router", "show", "router1"); r["description"] != "joins them" {
		t.Errorf("router after set %v", r)
	}
}

func servers(t *testing.T, c *client) {
	id, _ := c.show("network", "show", "net1")["id"].(string)
	vm1 := c.show("server", "create", "vm1", "--image", "weft-guest", "--flavor", "m1.nano", "--availability-zone", "nova:compute1", "--nic", "net-id="+id, "--wait")
	if vm1["status"] != "ACTIVE" || vm1["OS-EXT-SRV-ATTR:host"] != "compute1" {
		t.Errorf("server %v", vm1)
	}
	port := c.show("port", "create", "port2", "--network", "net2", "--fixed-ip", "subnet=sub2,ip-address=172.16.43.99")
	if port["status"] != "DOWN" || port["binding_host_id"] != "" {
		t.Errorf("port %v", port)
	}
	c.do("port", "set", "port2", "--name", "port-two")
	script, key := filepath.Join(t.TempDir(), "script"), filepath.Join(t.TempDir(), "key.pub")
	for file, text := range map[string]string{
		script: "#!/bin/sh\necho this is $(hostname), keys of $(wc -l <.ssh/authorized_keys)\n",
		key:    "ssh-ed25519 " + base64.StdEncoding.EncodeToString(append([]byte("\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20"), make([]byte, 32)...)) + " user1\n",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c.do("keypair", "create", "--public-key", key, "key1")
	vm2 := c.show("server", "create", "vm2", "--image", "weft-guest", "--flavor", "m1.nano", "--availability-zone", "nova:compute2", "--port", "port-two",
		"--key-name", "key1", "--user-data", script, "--wait")
	if vm2["status"] != "ACTIVE" {
		t.Errorf("server %v", vm2)
	}
	port = c.show("port", "show", "port-two")
	if port["status"] != "ACTIVE" || port["binding_host_id"] != "compute2" || port["device_owner"] != "compute:nova" || port["binding_vif_type"] != "tap" {
		t.Errorf("port of vm2 %v", port)
	}
	if got := names(c.list("server", "list"), "Name"); got != " vm2 vm1 " {
		t.Errorf("servers%s", got)
	}
	for _, ns := range []string{"weft-vm-vm1", "weft-vm-vm2"} {
		if out, err := output(exec.Command("ip", "netns", "list")); err != nil || !strings.Contains(out, ns) {
			t.Errorf("no namespace %s: %v\n%s", ns, err, out)
		}
	}
	if out := must(t, "lab", "exec", "vm1", "--", "ping", "-c", "5", "-i", "0.2", "172.16.43.99"); !strings.Contains(out, "ttl=63") {
		t.Errorf("ping:\n%s", out)
	}
	if out := c.do("console", "log", "show", "vm1"); !strings.Contains(out, "leased from") {
		t.Errorf("console:\n%s", out)
	}
	eventually(t, func() string { // what vm2 was given came by metadata, as to cloud-init, and its script ran
		if out := must(t, "lab", "logs", "vm2"); !strings.Contains(out, "user data: this is vm2.novalocal, keys of 1") {
			return out
		}
		return ""
	})
	if out, err := c.try("server", "create", "vm3", "--image", "weft-guest", "--flavor", "m1.nano", "--availability-zone", "nova:compute9", "--nic", "net-id="+id); err == nil || !strings.Contains(err.Error(), "compute1, compute2") {
		t.Errorf("server on a host that is not there: %v %s", err, out)
	}
}

func tearDown(t *testing.T, c *client) {
	c.do("server", "delete", "vm1", "--wait")
	c.do("server", "delete", "vm2", "--wait")
	c.do("keypair", "delete", "key1")
	if p := c.show("port", "show", "port-two"); p["device_id"] != "" || p["binding_host_id"] != "" || p["status"] != "DOWN" {
		t.Errorf("the user's port after its server %v", p)
	}
	c.do("port", "delete", "port-two")
	if out, err := c.try("network", "delete", "net1"); err == nil {
		t.Errorf("a network with a router on it was deleted: %s", out)
	}
	c.do("router", "remove", "subnet", "router1", "sub-one")
	c.do("router", "remove", "subnet", "router1", "sub2")
	c.do("router", "delete", "router1")
	c.do("network", "delete", "net1", "net2")
	if left := c.list("port", "list"); len(left) != 0 {
		t.Errorf("ports are left: %v", left)
	}
}
