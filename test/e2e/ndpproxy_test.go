package e2e

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// outside6 is weft-internet's.
const outside6 = "2001:db8:cb00:7100::1"

// open makes a router whose external network and inner network are in one IPv6 address scope, with a port inside. It returns the port, its
// address and the router; weft-internet takes the inner prefix to be on its link.
func (n *networking) open(external string) (port, addr, router string) {
	n.t.Helper()
	pool := n.pool6()
	inside := n.create("networks", "network", doc{"name": "six"})
	six := n.create("subnets", "subnet", doc{"network_id": inside, "ip_version": 6, "subnetpool_id": pool, "cidr": "2001:db8:cb00:7201::/64",
		"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"})
	four := n.create("subnets", "subnet", doc{"network_id": inside, "ip_version": 4, "cidr": "172.16.44.0/24"})
	router = n.create("routers", "router", doc{"name": "six", "external_gateway_info": doc{"network_id": external}})
	for _, s := range []string{six, four} {
		n.do("PUT", "routers/"+router+"/add_router_interface", "", doc{"subnet_id": s})
	}
	n.do("PUT", "routers/"+router, "router", doc{"enable_ndp_proxy": true})
	p := n.do("POST", "ports", "port", doc{"network_id": inside, "name": "six", "port_security_enabled": false})
	for _, f := range p["fixed_ips"].([]any) {
		if a := f.(map[string]any)["ip_address"].(string); strings.Contains(a, ":") {
			addr = a
		}
	}
	inInternet(n.t, "-6", "route", "add", "2001:db8:cb00:7201::/64", "dev", "enp0s9")
	return p["id"].(string), addr, router
}

// pool6 is the pool of the lab's IPv6 subnets, that of the external network among them.
func (n *networking) pool6() string {
	n.t.Helper()
	for _, p := range newClient(n.t, "admin").list("subnet", "pool", "list") {
		if p["Name"] == "ipv6" {
			return p["ID"].(string)
		}
	}
	n.t.Fatal("the lab has no pool named ipv6")
	return ""
}

// inInternet is what ip says in weft-internet.
func inInternet(t *testing.T, args ...string) string {
	t.Helper()
	out, err := output(exec.Command("ip", append([]string{"netns", "exec", "weft-internet", "ip"}, args...)...))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// boot makes an instance of the port on a host.
func boot(c *client, port, host string) {
	c.t.Helper()
	c.do("server", "create", "six1", "--image", "weft-guest", "--flavor", "m1.nano", "--availability-zone", "nova:"+host, "--port", port, "--wait")
}

// touched counts, for each host, the echo packets of an address on all its interfaces, in tunnels too, while f runs.
func touched(t *testing.T, addr string, f func()) map[string]int {
	t.Helper()
	hosts := []string{"controller", "compute1", "compute2"}
	seen := map[string]chan string{}
	for _, h := range hosts {
		cmd := exec.Command(binary(), "lab", "exec", h, "--", "timeout", "-s", "INT", "6", "tcpdump", "-ni", "any", "icmp6 or udp port 4789")
		seen[h] = make(chan string, 1)
		go func() { out, _ := output(cmd); seen[h] <- out }()
	}
	time.Sleep(2 * time.Second) // until all of them listen
	f()
	out := map[string]int{}
	for _, h := range hosts {
		for line := range strings.Lines(<-seen[h]) {
			if strings.Contains(line, addr) && strings.Contains(line, "echo re") {
				out[h]++
			}
		}
	}
	return out
}

// TestNDPProxy: an instance's own IPv6 address is reached from outside on the instance's own host, and on no other; at once on another
// host when it comes back there, and also with everybody dead.
func TestNDPProxy(t *testing.T) {
	up(t)
	c := newClient(t, "admin")
	n := newNetworking(t, "admin")
	external := n.only("networks", "name=external")["id"].(string)
	port, addr, router := n.open(external)
	boot(c, port, "compute1")
	if out, err := weft("lab", "exec", "internet", "--", "ping", "-c", "1", "-W", "1", addr); err == nil {
		t.Errorf("without an NDP proxy %s answers:\n%s", addr, out)
	}
	proxy := n.create("ndp_proxies", "ndp_proxy", map[string]any{"router_id": router, "port_id": port})
	t.Logf("first answer %v after the client had its own", answers(t, "internet", addr))
	answers(t, "six1", outside6)
	crossed := touched(t, addr, func() {
		must(t, "lab", "exec", "internet", "--", "ping", "-c", "5", "-i", "0.1", addr)
		must(t, "lab", "exec", "six1", "--", "ping", "-c", "5", "-i", "0.1", outside6)
	})
	if crossed["compute1"] < 20 || crossed["controller"]+crossed["compute2"] != 0 {
		t.Errorf("packets seen by host: %v", crossed)
	}
	if out := must(t, "lab", "exec", "internet", "--", "ping", "-c", "1", addr); !strings.Contains(out, "ttl=63") {
		t.Errorf("ping:\n%s", out)
	}
	if a := trace(t, "--from", "six1", "--to", outside6); !a.Arrives || len(a.Hops) != 1 || a.Hops[0].Host != "compute1" {
		t.Errorf("trace: %+v", a)
	}
	before := inInternet(t, "-6", "neighbour", "show", addr)
	c.do("server", "delete", "six1", "--wait")
	boot(c, port, "compute2")
	t.Logf("on another host: first answer %v after the instance was there", answers(t, "internet", addr))
	if after := inInternet(t, "-6", "neighbour", "show", addr); !strings.Contains(before, "fa:16:3f:") || strings.Fields(after)[4] == strings.Fields(before)[4] {
		t.Errorf("weft-internet knows it by %q, before by %q", after, before)
	}
	survive(t, addr)
	n.do("DELETE", "ndp_proxies/"+proxy, "", nil)
	eventually(t, func() string {
		if out, err := weft("lab", "exec", "internet", "--", "ping", "-c", "1", "-W", "1", addr); err == nil {
			return fmt.Sprintf("without its NDP proxy %s answers:\n%s", addr, out)
		}
		return ""
	})
}

// survive: agents and server end by SIGKILL and come back; nothing is lost, and new connections work meanwhile.
func survive(t *testing.T, addr string) {
	t.Helper()
	echo(t, "six1", 7)
	answersPings(t, "six1", "internet")
	stream := startStream(t, "internet", "["+addr+"]:7")
	stops := []func(){pinging(t, "internet", addr), pinging(t, "six1", outside6)}
	kill(t, "agent-controller", "agent-compute1", "agent-compute2", "server")
	time.Sleep(300 * time.Millisecond)
	reach(t, "internet", "["+addr+"]:7")
	for _, name := range []string{"server", "controller", "compute1", "compute2"} {
		must(t, "lab", "restart", name)
	}
	well(t)
	time.Sleep(500 * time.Millisecond)
	stream.end(t)
	for _, stop := range stops {
		stop()
	}
}
