package e2e

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// eachVIF runs the test with instances on this child's kind of interface: veth pairs in one, real taps in the other.
func eachVIF(t *testing.T, test func(t *testing.T, upArgs ...string)) {
	t.Run(vif(), func(t *testing.T) { test(t, "--vif", vif()) })
}

// What a lab shows that is well: each part leaves it as it was. One lab does for all of them, of each kind.
func TestLabThatIsWell(t *testing.T) {
	eachVIF(t, func(t *testing.T, args ...string) {
		dir := up(t, args...)
		t.Run("verify proves the table", provesTheTable)
		t.Run("tcpdump shows the tunnel", tcpdumpShowsTheTunnel)
		t.Run("status, boot, exec, delete", statusBootExecDelete)
		t.Run("verify, interrupted", verifyInterrupted)
		t.Run("trace tells what happens", traceTellsWhatHappens)
		t.Run("metrics count what happens", metricsCountWhatHappens)
		if args[1] == vifs[0] { // nothing in it depends on the kind of interface
			t.Run("one storms, another boots", func(t *testing.T) { stormHarmsNobody(t, dir) })
			t.Run("machines on the wire", machinesOnTheWire)
		}
		t.Run("doctor goes to the host", doctorGoesToTheHost)
		t.Run("doctor finds what is broken", func(t *testing.T) { doctorFindsWhatIsBroken(t, dir, args[1]) })
	})
}

// What a lab goes through without losing a packet, in turn.
func TestFaultsCostNothing(t *testing.T) {
	eachVIF(t, func(t *testing.T, args ...string) {
		dir := up(t, args...)
		t.Run("agents are killed under load", agentsKilledUnderLoad)
		t.Run("agents and server are dead", flowWhileAgentAndServerAreDead)
		t.Run("the server is down for a minute", func(t *testing.T) { serverDownForAMinute(t, dir) })
		t.Run("a host reboots while the server is dead", rebootWhileTheServerIsDead)
	})
}

type report struct {
	OK   bool
	Rows []struct {
		Subnet, Host, Family, Expected, Measured string
		Router                                   string
		Pairs, Good, TTL                         int
		ControllerSaw                            int `json:"controller_saw"`
		VNIs                                     []int
		OK                                       bool
	}
	Isolation struct {
		Tenants, Probes, Crossed int
		OK                       bool
	}
	Passages []struct {
		Name, Family, Expected, Measured string
		OK                               bool
		Pair                             struct{ Faults []string }
	}
	Pairs []struct {
		From, To, Family string
		Faults           []string
		Request          []struct {
			Where, Interface string
			Outer            *struct {
				Src, Dst string
				VNI      int
				DF       bool
			}
		}
	}
}

func verify(t *testing.T, args ...string) report {
	t.Helper()
	out, err := weft(append([]string{"lab", "verify", "--json"}, args...)...)
	var r report
	if jerr := json.Unmarshal([]byte(out), &r); jerr != nil {
		t.Fatalf("%v; %v", jerr, err)
	}
	if (err == nil) != r.OK {
		t.Errorf("exit code says %v, the report %v", err, r.OK)
	}
	for _, p := range r.Pairs {
		if len(p.Faults) > 0 {
			t.Errorf("%s to %s, %s: %s", p.From, p.To, p.Family, strings.Join(p.Faults, "; "))
		}
	}
	for _, p := range r.Passages {
		if len(p.Pair.Faults) > 0 {
			t.Errorf("%s, %s: %s", p.Name, p.Family, strings.Join(p.Pair.Faults, "; "))
		}
	}
	return r
}

// The table that everybody who heard of distributed routing wants to see, measured.
func provesTheTable(t *testing.T) {
	pcap := filepath.Join(t.TempDir(), "lab.pcap")
	r := verify(t, "--pcap", pcap)
	want := map[string]struct {
		measured string
		ttl      int
	}{
		"same same":           {"virtual switch", 64},
		"same different":      {"tunnel", 64},
		"different same":      {"DVR on the compute node", 63},
		"different different": {"DVR on the compute node, then tunnel", 63},
	}
	if !r.OK || len(r.Rows) != 12 || len(r.Passages) != 8 {
		t.Errorf("ok %v, %d rows, %d passages", r.OK, len(r.Rows), len(r.Passages))
	}
	for _, row := range r.Rows {
		w := want[row.Subnet+" "+row.Host]
		central := row.Router == "centralized" && row.Subnet == "different"
		if central {
			w.measured = "through the network node"
		}
		if row.Measured != w.measured || row.TTL != w.ttl || (row.ControllerSaw != 0) != central || row.Good != row.Pairs || row.Pairs == 0 {
			t.Errorf("%+v", row)
		}
		for _, vni := range row.VNIs {
			if vni < 10 || vni > 100 {
				t.Errorf("VNI %d", vni)
			}
		}
	}
	if !r.Isolation.OK || r.Isolation.Tenants != 2 || r.Isolation.Probes == 0 {
		t.Errorf("isolation %+v", r.Isolation)
	}
	out, err := output(exec.Command("tcpdump", "-n", "-r", pcap, "udp port 4789"))
	if err != nil || !strings.Contains(out, "VXLAN, flags [I] (0x08), vni") {
		t.Errorf("tcpdump of the capture: %v\n%s", err, out)
	}
}

// What the walk-through shows on the wire between two computes.
func tcpdumpShowsTheTunnel(t *testing.T) {
	cmd := exec.Command(binary(), "lab", "exec", "compute1", "--", "timeout", "20", "tcpdump", "-i", "enp0s8", "-l", "-c", "3",
		"src host 192.168.70.12 and dst host 192.168.70.11", "-vvv", "-X")
	result := make(chan string, 1)
	go func() {
		out, _ := output(cmd)
		result <- out
	}()
	ping := must(t, "lab", "exec", "red2", "--", "ping", "-c", "15", "-i", "0.2", "172.16.42.7")
	if !strings.Contains(ping, " 0% packet loss") || !strings.Contains(ping, "ttl=64") {
		t.Errorf("ping:\n%s", ping)
	}
	seen := <-result
	for _, want := range []string{"flags [DF], proto UDP (17)", "192.168.70.11.4789: [", "VXLAN, flags [I] (0x08), vni ", "172.16.42.6 > 172.16.42.7: ICMP echo request"} {
		if !strings.Contains(seen, want) {
			t.Errorf("tcpdump lacks %q:\n%s", want, seen)
		}
	}
}

type status struct {
	Healthy   bool
	Problems  []string
	Processes []struct {
		Name  string
		PID   int
		Alive bool
	}
	Hosts []struct {
		Name, Underlay, Mode, Agent string
	}
	Instances []instance
}

type instance struct {
	Name, ID, Host, Network, Status, Device, MAC string
	Addresses                                    []string
}

func labStatus(t *testing.T) status {
	t.Helper()
	out, err := weft("lab", "status", "--json")
	var s status
	if jerr := json.Unmarshal([]byte(out), &s); jerr != nil {
		t.Fatalf("%v; %v", jerr, err)
	}
	if (err == nil) != s.Healthy {
		t.Errorf("exit code says %v, the status %v", err, s.Healthy)
	}
	return s
}

func statusBootExecDelete(t *testing.T) {
	s := labStatus(t)
	if !s.Healthy || len(s.Hosts) != 3 || len(s.Instances) != 7 {
		t.Errorf("%+v", s)
	}
	for i, h := range s.Hosts {
		name, mode := "compute"+strconv.Itoa(i), "dvr"
		if i == 0 {
			name, mode = "controller", "dvr_snat"
		}
		if h.Name != name || h.Mode != mode || h.Agent != "alive" || h.Underlay != "192.168.70."+strconv.Itoa(10+i) {
			t.Errorf("host %+v", h)
		}
	}
	must(t, "lab", "boot", "red9", "--host", "compute2", "--network", "red")
	s = labStatus(t)
	i := slices.IndexFunc(s.Instances, func(i instance) bool { return i.Name == "red9" })
	if i < 0 || s.Instances[i].Host != "compute2" || len(s.Instances[i].Addresses) != 2 || !s.Healthy {
		t.Fatalf("%+v", s)
	}
	if out := must(t, "lab", "exec", "red1", "--", "ping", "-c", "1", s.Instances[i].Addresses[0]); !strings.Contains(out, "1 received") {
		t.Error(out)
	}
	if out := must(t, "lab", "exec", "compute2", "--", "ip", "-br", "link"); !strings.Contains(out, s.Instances[i].Device) || !strings.Contains(out, "enp0s8") {
		t.Error(out)
	}
	if out, err := output(exec.Command("ip", "netns", "exec", "weft-vm-red9", "ip", "-br", "addr", "show", "eth0")); err != nil || !strings.Contains(out, s.Instances[i].Addresses[0]) {
		t.Errorf("%v %s", err, out)
	}
	refused(t, []string{"lab", "up"}, "a lab is up", "weft lab down")
	refused(t, []string{"lab", "boot", "x", "--host", "compute7", "--network", "red"}, "compute7", "compute1, compute2")
	refused(t, []string{"lab", "boot", "x", "--network", "green"}, "green", "blue")
	refused(t, []string{"lab", "boot", "x"}, "--network", "red", "blue-b")
	refused(t, []string{"lab", "boot", "red1", "--network", "blue"}, `"red1"`, "another name")
	refused(t, []string{"lab", "boot", "a b", "--network", "red"}, `"a b"`, "letters")
	refused(t, []string{"lab", "boot"}, "weft lab boot NAME")
	refused(t, []string{"lab", "nonsense"}, `"nonsense"`, "weft lab --help")
	refused(t, []string{"lab", "exec", "compute1", "--"}, "no command")
	refused(t, []string{"lab", "exec", "nobody", "--", "true"}, "nobody", "compute1", "red1")
	if out := must(t, "lab", "exec", "red9", "ip", "-br", "link", "show", "eth0"); !strings.Contains(out, "eth0") {
		t.Errorf("a command's own flags without --: %s", out)
	}
	if _, err := weft("lab", "cut", "nobody"); err == nil || strings.Count(err.Error(), "no host") != 1 {
		t.Errorf("cut of a host that is not there: %v", err)
	}
	refused(t, []string{"lab", "delete", "nobody"}, "nobody", "weft lab status")
	refused(t, []string{"lab", "logs", "nobody"}, "nobody", "agent-compute1")
	refused(t, []string{"lab", "restart", "nobody"}, "nobody", "agent-compute1")
	refused(t, []string{"lab", "reboot", "controller"}, "controller", "compute1")
	refused(t, []string{"lab", "env", "--user", "nobody"}, "nobody", "demo-b")
	refused(t, []string{"lab", "verify", "--pcap", "/nowhere/x.pcap"}, "--pcap", "/nowhere/x.pcap")
	bootInterrupted(t)
	for _, want := range []string{"leased from 172.16.42.", "metadata: I am red9 (", "network0 by ipv4_dhcp"} {
		var out string
		for end := time.Now().Add(15 * time.Second); !strings.Contains(out, want); time.Sleep(100 * time.Millisecond) {
			if out = must(t, "lab", "logs", "red9"); time.Now().After(end) {
				t.Fatalf("the console lacks %q:\n%s", want, out)
			}
		}
	}
	must(t, "lab", "delete", "red9")
	if s := labStatus(t); len(s.Instances) != 7 {
		t.Errorf("%d instances", len(s.Instances))
	}
	if out := must(t, "lab", "exec", "compute2", "--", "ip", "-br", "link"); strings.Contains(out, s.Instances[i].Device) {
		t.Errorf("the interface of the deleted instance is still there:\n%s", out)
	}
}

// bootInterrupted is Ctrl-C while an instance boots: it is removed again.
func bootInterrupted(t *testing.T) {
	t.Helper()
	cmd := exec.Command(binary(), "lab", "boot", "red8", "--network", "red")
	var out strings.Builder
	cmd.Stderr = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	there := func() bool {
		return slices.ContainsFunc(labStatus(t).Instances, func(i instance) bool { return i.Name == "red8" })
	}
	for end := time.Now().Add(20 * time.Second); !there(); {
		if time.Now().After(end) {
			t.Fatal("red8 never came")
		}
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		must(t, "lab", "delete", "red8") // it was done before the signal came
	} else if !strings.Contains(out.String(), "interrupted; instance red8 was removed") {
		t.Errorf("what it said: %s", out.String())
	}
	if there() {
		t.Error("red8 is still there")
	}
}

// verifyInterrupted is Ctrl-C while verify makes a router, boots instances, or measures: what it made is removed again.
func verifyInterrupted(t *testing.T) {
	at := time.Duration(200+rand.IntN(1500)) * time.Millisecond
	said, end := interruptedVerify(t, at)
	for end == nil && at > 20*time.Millisecond { // it was through by then
		at /= 2
		said, end = interruptedVerify(t, at)
	}
	if end == nil || !strings.Contains(said, "interrupted: nothing was proved, and nothing was changed") {
		t.Errorf("after %v: %v, it said %s", at, end, said)
	}
	if s := labStatus(t); !s.Healthy || len(s.Instances) != 7 {
		t.Errorf("after %v: %+v", at, s)
	}
	for _, x := range newNetworking(t, "admin").list("routers", "fields=name") { // it is made first and goes last
		if name, _ := x["name"].(string); strings.HasPrefix(name, "verify-") {
			t.Errorf("after %v, router %s is still there", at, name)
		}
	}
}

// interruptedVerify runs weft lab verify, interrupts it, and returns its end and its standard error.
func interruptedVerify(t *testing.T, at time.Duration) (said string, end error) {
	t.Helper()
	cmd := exec.Command(binary(), "lab", "verify")
	var out strings.Builder
	cmd.Stderr = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(at)
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	end = cmd.Wait()
	return out.String(), end
}

var pingLoss = regexp.MustCompile(`(\d+) packets transmitted, (\d+) received`)

// Nothing of a dead agent or server is felt by packets; what is new works, too.
func flowWhileAgentAndServerAreDead(t *testing.T) {
	must(t, "lab", "exec", "red1", "--", "ping", "-c", "1", "172.16.43.6")
	ping := exec.Command(binary(), "lab", "exec", "red1", "--", "ping", "-i", "0.01", "-c", "500", "172.16.43.6")
	result := make(chan string, 1)
	go func() {
		out, _ := output(ping)
		result <- out
	}()
	kill(t, "agent-compute1", "agent-compute2", "server")
	// A new connection, between two that have not spoken, with agents and server dead.
	if out := must(t, "lab", "exec", "red3", "--", "ping", "-c", "3", "-i", "0.2", "172.16.43.6"); !strings.Contains(out, "3 received") {
		t.Errorf("new flow:\n%s", out)
	}
	s := labStatus(t)
	if s.Healthy || !strings.Contains(strings.Join(s.Problems, "\n"), "weft lab restart agent-compute1") {
		t.Errorf("problems: %v", s.Problems)
	}
	for _, name := range []string{"server", "compute1", "compute2"} {
		must(t, "lab", "restart", name)
	}
	if text := strings.Join(labStatus(t).Problems, "\n"); strings.Contains(text, "does not answer") {
		t.Errorf("restarted, but: %s", text)
	}
	out := <-result
	if m := pingLoss.FindStringSubmatch(out); m == nil || m[1] != m[2] {
		t.Errorf("packets were lost:\n%s", out[max(0, len(out)-300):])
	}
	well(t)
}

// A host that comes up while the server is away brings its instances back from its own disk, and finds out that less gets to
// compute2 now than the networks need.
func rebootWhileTheServerIsDead(t *testing.T) {
	kill(t, "server")
	must(t, "lab", "exec", "compute2", "--", "ip", "link", "set", "enp0s8", "mtu", "1400")
	must(t, "lab", "reboot", "compute1")
	// red1 gets its address from its host's memory of it, then reaches the other host, routed and not.
	for _, to := range []string{"172.16.42.6", "172.16.43.6", "172.16.42.8"} {
		var err error
		for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
			if _, err = weft("lab", "exec", "red1", "--", "ping", "-c", "1", "-W", "1", to); err == nil {
				break
			}
		}
		if err != nil {
			t.Error(err)
		}
	}
	must(t, "lab", "restart", "server")
	narrow(t)
	must(t, "lab", "exec", "compute2", "--", "ip", "link", "set", "enp0s8", "mtu", "1500")
	for _, host := range []string{"controller", "compute1", "compute2"} { // they look at once
		must(t, "lab", "restart", host)
	}
	well(t)
	if r := verify(t); !r.OK {
		t.Error("after the reboot the table is wrong")
	}
}

// A veth takes a VLAN tag's four bytes more than its MTU says, also of what has no tag.
var carries, fits = regexp.MustCompile("carries packets of 135[0-4] bytes"), regexp.MustCompile(`mtu = 135[0-4]\b`)

// narrow wants the path from compute1 to compute2, of 1400 bytes, among the problems, and packets that are too large for it answered.
func narrow(t *testing.T) {
	t.Helper()
	eventually(t, func() string {
		for _, p := range labStatus(t).Problems {
			if strings.HasPrefix(p, "compute1: host compute2") && carries.MatchString(p) {
				return ""
			}
		}
		return "no word of the narrow path: " + strings.Join(labStatus(t).Problems, "\n")
	})
	out, err := weft("lab", "exec", "blue1", "--", "ping", "-c", "1", "-W", "2", "-M", "do", "-s", "1400", "172.16.42.6")
	if err == nil || !fits.MatchString(err.Error()) {
		t.Errorf("a packet that is too large for the path: %v %s", err, out)
	}
	must(t, "lab", "exec", "blue1", "--", "ping", "-c", "1", "-W", "2", "-M", "do", "-s", "1322", "172.16.42.6")
}
