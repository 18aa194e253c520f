package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// examine runs weft doctor as the operator of a host does; it returns what was printed, whatever it says.
func examine(dir, host, instance string) string {
	args := []string{"netns", "exec", "weft-" + host, binary(), "doctor"}
	for _, f := range []string{"neutron.conf", "ml2_conf.ini", "l3_agent.ini", "weft.conf"} {
		args = append(args, "--config-file", filepath.Join(dir, "etc", host, f))
	}
	out, _ := exec.Command("ip", append(args, instance)...).CombinedOutput() //nolint:gosec,errcheck // the status says only that a link is broken
	return string(out)
}

// says reports whether one line has all words, in that order.
func says(text string, words ...string) bool {
	for line := range strings.Lines(text) {
		at := 0
		for _, w := range words {
			i := strings.Index(line[at:], w)
			if i < 0 {
				at = -1
				break
			}
			at += i + len(w)
		}
		if at >= 0 {
			return true
		}
	}
	return false
}

// doctorGoesToTheHost: beside a lab the doctor is told no configuration and finds the host by itself, for people and for programs.
func doctorGoesToTheHost(t *testing.T) {
	in := labStatus(t).Instances[0]
	for _, word := range []string{in.Name, in.ID, in.MAC, in.Device} {
		if out, err := weft("doctor", word); err != nil || !says(out, "ok", "agent runs", "host "+in.Host) || !says(out, "ok", "port on this host", in.MAC) {
			t.Errorf("weft doctor %s: %v\n%s", word, err, out)
		}
	}
	out, err := weft("doctor", in.Name, "--json")
	var steps []struct{ OK bool }
	if err := errors.Join(err, json.Unmarshal([]byte(out), &steps)); err != nil || len(steps) < 10 || !steps[0].OK {
		t.Errorf("weft doctor --json: %v\n%s", err, out)
	}
	if out, err := weft("doctor", "nobody"); err == nil || !strings.Contains(err.Error(), `"nobody"`) {
		t.Errorf("weft doctor nobody: %v\n%s", err, out)
	}
}

// strangers sends packets from an address that the port has not, and from a MAC: its own or another.
const strangers = `
import socket
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(('eth0', 0))
own = s.getsockname()[4]
ip = bytes([0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 9, 9, 9, 10, 9, 9, 1, 0, 9, 0, 9, 0, 8, 0, 0])
for i in range(%[2]d):
    s.send(b'\xff' * 6 + %[1]s + b'\x08\x00' + ip + bytes(18))
`

// doctorFindsWhatIsBroken breaks one thing at a time in a lab that is well; `weft doctor` must find each by name, and nothing once it is
// mended.
func doctorFindsWhatIsBroken(t *testing.T, dir, vif string) {
	admin := newNetworking(t, "admin")
	device := map[string]string{}
	for _, i := range labStatus(t).Instances {
		device[i.Name] = i.Device
	}
	on := func(args ...string) { // on compute1, as root
		t.Helper()
		if out, err := exec.Command("ip", append([]string{"netns", "exec", "weft-compute1"}, args...)...).CombinedOutput(); err != nil { //nolint:gosec // a test's own words
			t.Fatalf("%v: %v %s", args, err, out)
		}
	}
	inside := func(instance string, args ...string) string {
		out, _ := weft(append([]string{"lab", "exec", instance, "--"}, args...)...) //nolint:errcheck // what is broken fails
		return out
	}
	fetch := func(instance string) {
		inside(instance, "python3", "-c", "import urllib.request as u;u.urlopen('http://169.254.169.254/openstack/latest/meta_data.json',timeout=5)")
	}
	until := func(host, instance string, ok func(text string) bool) {
		t.Helper()
		text := ""
		for end := time.Now().Add(40 * time.Second); ; time.Sleep(200 * time.Millisecond) {
			if text = examine(dir, host, instance); ok(text) {
				return
			}
			if time.Now().After(end) {
				t.Errorf("the doctor says of %s:\n%s", instance, text)
				return
			}
		}
	}
	red1 := device["red1"]
	var port, subnet, router string
	var group any
	for _, p := range admin.list("ports", "") {
		if id := p["id"].(string); strings.HasPrefix("tap"+id, red1) {
			port, group = id, p["security_groups"]
			network := p["network_id"].(string)
			subnet = admin.only("subnets", "ip_version=4&network_id="+network)["id"].(string)
			router = admin.only("ports", "device_owner=network:router_interface_distributed&fixed_ips=subnet_id%3D"+subnet)["device_id"].(string)
		}
	}
	well := func(text string) bool {
		return !strings.Contains(text, "BROKEN") && strings.Contains(text, "clocks agree")
	}
	until("compute1", red1, well)
	for _, f := range []struct {
		name        string
		host        string
		inject      func()
		words       []string
		mend        func()
		staysForNow bool // a trace of it stays for a minute
		anyKind     bool // it has nothing to do with the kind of interface: once is enough
	}{
		{name: "MTU too small", inject: func() { on("ip", "link", "set", red1, "mtu", "1300") }, words: []string{"BROKEN", "interface MTU", "1300"},
			mend: func() { on("ip", "link", "set", red1, "mtu", "1450") }},
		{name: "interface of a wrong name", inject: func() { on("ip", "link", "set", red1, "down"); on("ip", "link", "set", red1, "name", "tapwrong") },
			words: []string{"BROKEN", "interface there", red1, "tapwrong"},
			mend:  func() { on("ip", "link", "set", "tapwrong", "name", red1); on("ip", "link", "set", red1, "up") }},
		{name: "asked on another host", host: "compute2", inject: func() {}, words: []string{"BROKEN", "port on this host"}, mend: func() {}},
		{name: "port disabled", anyKind: true, inject: func() { admin.set("port", port, doc{"admin_state_up": false}) }, words: []string{"BROKEN", "administratively up"},
			mend: func() { admin.set("port", port, doc{"admin_state_up": true}) }},
		{name: "no security group", anyKind: true, inject: func() { admin.set("port", port, doc{"security_groups": []string{}}) }, words: []string{"BROKEN", "security groups allow"},
			mend: func() { admin.set("port", port, doc{"security_groups": group}) }},
		{name: "router down", anyKind: true, inject: func() { admin.set("router", router, doc{"admin_state_up": false}) }, words: []string{"BROKEN", "gateway answers", router},
			mend: func() { admin.set("router", router, doc{"admin_state_up": true}) }},
		{name: "DHCP switched off", anyKind: true, inject: func() { admin.set("subnet", subnet, doc{"enable_dhcp": false}) }, words: []string{"WARN", "asks for an address", "DHCP"},
			mend: func() { admin.set("subnet", subnet, doc{"enable_dhcp": true}) }},
		{name: "a DHCP server inside", inject: func() {
			inside("red1", "python3", "-c", "import socket;s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM);s.setsockopt(1,6,1);s.bind(('',67));s.sendto(b'x'*240,('255.255.255.255',68))")
		}, words: []string{"WARN", "is no DHCP server"}, mend: func() {}, staysForNow: true},
		{name: "metadata service dead", anyKind: true, inject: func() {
			on("nft", "add table inet broken; add chain inet broken out { type filter hook output priority 0; }; add rule inet broken out tcp dport 8775 reject with tcp reset")
			fetch("red1")
		}, words: []string{"BROKEN", "metadata answered", "502"}, mend: func() { on("nft", "delete table inet broken"); fetch("red1") }},
		{name: "agent dead", inject: func() { kill(t, "agent-compute1") }, words: []string{"BROKEN", "agent runs"},
			mend: func() { must(t, "lab", "restart", "agent-compute1") }},
		// After that: of an interface that came, or was named back, just before its port, the doctor believes that it can never have asked.
		{name: "bound to another host", anyKind: true, inject: func() { admin.set("port", port, doc{"binding:host_id": "compute2"}) },
			words: []string{"BROKEN", "port on this host", "is bound to compute2, but its interface " + red1 + " is on compute1"},
			mend:  func() { admin.set("port", port, doc{"binding:host_id": "compute1"}) }},
		{name: "server dead", anyKind: true, inject: func() { kill(t, "server") }, words: []string{"WARN", "server connected"},
			mend: func() { must(t, "lab", "restart", "server") }},
		{name: "another address inside", anyKind: true, inject: func() { inside("red1", "python3", "-c", fmt.Sprintf(strangers, "own", 3000)) },
			words: []string{"BROKEN", "uses its own address", "had another address"}, mend: func() {}, staysForNow: true},
		{name: "another MAC inside", anyKind: true, inject: func() { inside("red1", "python3", "-c", fmt.Sprintf(strangers, "b'\\x02\\0\\0\\0\\0\\1'", 9000)) },
			words: []string{"BROKEN", "uses its own address", "had another MAC"}, mend: func() {}, staysForNow: true},
	} {
		if f.anyKind && vif != vifs[0] {
			continue
		}
		t.Run(f.name, func(t *testing.T) {
			host := "compute1"
			if f.host != "" {
				host = f.host
			}
			f.inject()
			until(host, red1, func(text string) bool { return says(text, f.words...) })
			f.mend()
			if !f.staysForNow && host == "compute1" {
				until(host, red1, well)
			}
		})
	}
}
