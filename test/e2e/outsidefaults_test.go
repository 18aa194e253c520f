package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestOutsideProblemsAreSaidAndHeal: what goes wrong with the way out is said in words by `weft status`, `weft lab status`, in the host's agents
// in the API and in the log, and no longer when it is mended. Half of it each kind of interface.
func TestOutsideProblemsAreSaidAndHeal(t *testing.T) {
	for vif, faults := range map[string]func(*outsideFaults){
		"veth": func(o *outsideFaults) { o.claimedAddress(o.missingInterface); o.cutCables() },
		"tap":  func(o *outsideFaults) { o.noAddresses(); o.noPhysicalNetwork(); o.fullFilter() },
	} {
		t.Run(vif, func(t *testing.T) {
			o := &outsideFaults{t: t, state: up(t, "--vif", vif), admin: newClient(t, "admin"), agents: map[string]string{}}
			o.api = newNetworking(t, "admin")
			o.float, _ = floatingOf(t, newClient(t, "demo"))
			for _, a := range o.admin.list("network", "agent", "list", "--agent-type", "l3") {
				o.agents[a["Host"].(string)] = a["ID"].(string)
			}
			faults(o)
			well(t)
		})
	}
}

// outsideFaults is a lab whose way out is broken in several ways.
type outsideFaults struct {
	t            *testing.T
	state, float string
	admin        *client
	api          *networking
	agents       map[string]string // the L3 agents' ids, by host
}

// places are what somebody looks at, with what stands there.
func (o *outsideFaults) places(host string) map[string]string {
	status, _ := weft("status") // which ends with 1 if there is a problem
	lab, _ := weft("lab", "status")
	agent := o.api.do("GET", "agents/"+o.agents[host], "agent", nil)
	return map[string]string{"weft status": status, "weft lab status": lab, "network agent show of " + host: fmt.Sprint(agent["configurations"])}
}

// said waits until the words stand everywhere.
func (o *outsideFaults) said(host, words string) {
	o.t.Helper()
	eventually(o.t, func() string {
		for place, text := range o.places(host) {
			if !strings.Contains(text, words) {
				return fmt.Sprintf("%q is not in %s:\n%s", words, place, text)
			}
		}
		return ""
	})
	o.logged("an object cannot be served", words)
}

// healed waits until they stand nowhere.
func (o *outsideFaults) healed(host, words string) {
	o.t.Helper()
	eventually(o.t, func() string {
		for place, text := range o.places(host) {
			if strings.Contains(text, words) {
				return fmt.Sprintf("%q is still in %s:\n%s", words, place, text)
			}
		}
		return ""
	})
	o.logged("an object is served again", words)
}

// logged wants a line with both in the server's log.
func (o *outsideFaults) logged(what, words string) {
	o.t.Helper()
	eventually(o.t, func() string {
		log := must(o.t, "lab", "logs", "server")
		for line := range strings.Lines(log) {
			if strings.Contains(line, what) && strings.Contains(line, words) {
				return ""
			}
		}
		return fmt.Sprintf("no line of the log says %q and %q:\n%s", what, words, log)
	})
}

// mapped gives a host other bridge_mappings and restarts its agent.
func (o *outsideFaults) mapped(host, from, to string) {
	o.t.Helper()
	path := filepath.Join(o.state, "etc", host, "ml2_conf.ini")
	b, err := os.ReadFile(path)
	if err == nil {
		text := strings.Replace(string(b), "bridge_mappings = "+from+"\n", "bridge_mappings = "+to+"\n", 1)
		if text == string(b) {
			o.t.Fatalf("%s has no bridge_mappings = %s:\n%s", path, from, b)
		}
		err = os.WriteFile(path, []byte(text), 0o600)
	}
	if err != nil {
		o.t.Fatal(err)
	}
	must(o.t, "lab", "restart", host)
}

const mapping = "external:enp0s9"

// missingInterface: a bridge mapping to an interface that is down, then not there.
func (o *outsideFaults) missingInterface() {
	ip := func(args ...string) {
		o.t.Helper()
		if _, err := output(exec.Command("ip", append([]string{"-n", "weft-compute2", "link", "set"}, args...)...)); err != nil {
			o.t.Fatal(err)
		}
	}
	ip("enp0s9", "down")
	o.said("compute2", "bridge mapping external:enp0s9: the interface enp0s9 is down")
	ip("enp0s9", "name", "elsewhere")
	o.said("compute2", "bridge mapping external:enp0s9: there is no interface enp0s9")
	ip("elsewhere", "name", "enp0s9")
	ip("enp0s9", "up")
	o.healed("compute2", "bridge mapping")
	answers(o.t, "internet", o.float)
}

// claimedAddress: somebody outside has a floating IP's address, as long as it has it; meanwhile something else is wrong.
func (o *outsideFaults) claimedAddress(meanwhile func()) {
	mac := ""
	for _, f := range strings.Fields(inInternet(o.t, "link", "show", "enp0s9")) {
		if _, err := net.ParseMAC(f); err == nil && mac == "" {
			mac = f
		}
	}
	words := "the address " + o.float + ", which is served here, is claimed"
	inInternet(o.t, "address", "add", o.float+"/32", "dev", "enp0s9")
	if err := inNetns("weft-internet", func() error { return claim(mac, o.float) }); err != nil {
		o.t.Fatal(err)
	}
	o.said("compute2", words)
	time.Sleep(20 * time.Second) // it says nothing more of itself, and is found out by being asked
	o.said("compute2", words)
	inInternet(o.t, "address", "delete", o.float+"/32", "dev", "enp0s9")
	meanwhile()
	o.healed("compute2", words)
	answers(o.t, "internet", o.float)
}

// cutCables: without the gateway host's cable SNAT ends, and floating IPs do not feel it; a host without a cable is found dead.
func (o *outsideFaults) cutCables() {
	t := o.t
	must(t, "lab", "cut", "controller", "external")
	if out, err := weft("lab", "exec", "red1", "--", "ping", "-c", "1", "-W", "1", outsideAddr); err == nil {
		t.Errorf("SNAT without the gateway host's cable:\n%s", out)
	}
	answers(t, "internet", o.float) // which needs no other host
	must(t, "lab", "kill", "compute1")
	eventually(t, func() string {
		if p := fmt.Sprint(labStatus(t).Problems); !strings.Contains(p, "agent-compute1") {
			return "a dead agent is not told of: " + p
		}
		return ""
	})
	must(t, "lab", "heal")
	well(t)
	answers(t, "red1", outsideAddr)
	speaksOnTheWire(t, o.admin)
}

// noAddresses: an external network all of whose addresses are taken.
func (o *outsideFaults) noAddresses() {
	subnet := ""
	for _, s := range o.admin.list("subnet", "list", "--network", "external") {
		if s["Subnet"] == "203.0.113.0/24" {
			subnet = s["ID"].(string)
		}
	}
	pool := func(first, last string) {
		o.api.do("PUT", "subnets/"+subnet, "subnet", map[string]any{"allocation_pools": []any{map[string]any{"start": first, "end": last}}})
	}
	pool(o.float, o.float)
	o.said("controller", "has no free IPv4 address")
	pool("203.0.113.100", "203.0.113.199")
	o.healed("controller", "has no free IPv4 address")
}

// noPhysicalNetwork: the only gateway host does not name the physical network any more.
func (o *outsideFaults) noPhysicalNetwork() {
	o.mapped("controller", mapping, "")
	o.said("controller", "bridge_mappings of this host does not name the physical network external")
	if out, err := weft("lab", "exec", "red1", "--", "ping", "-c", "1", "-W", "1", outsideAddr); err == nil {
		o.t.Errorf("SNAT on a host that is not to reach the network:\n%s", out)
	}
	o.mapped("controller", "", mapping)
	o.healed("controller", "bridge_mappings of this host does not name the physical network")
	answers(o.t, "red1", outsideAddr)
}

// fullFilter: a NIC that takes no more addresses; the loopback interface takes none.
func (o *outsideFaults) fullFilter() {
	const words = "its filter of addresses takes no more"
	o.mapped("compute2", mapping, "external:lo")
	o.said("compute2", words)
	o.mapped("compute2", "external:lo", mapping)
	o.healed("compute2", words)
	answers(o.t, "internet", o.float)
}

// claim says by ARP that mac has the address.
func claim(mac, addr string) error {
	hw, err := net.ParseMAC(mac)
	if err != nil {
		return err
	}
	nic, err := net.InterfaceByName("enp0s9")
	if err != nil {
		return err
	}
	fd, err := syscall.Socket(syscall.AF_PACKET, syscall.SOCK_RAW, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	ip := []byte(net.ParseIP(addr).To4())
	everybody := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	frame := slices.Concat(everybody, []byte(hw), []byte{8, 6, 0, 1, 8, 0, 6, 4, 0, 2}, []byte(hw), ip, everybody, ip)
	return syscall.Sendto(fd, frame, 0, &syscall.SockaddrLinklayer{Ifindex: nic.Index})
}
