package e2e

import (
	"encoding/json"
	"fmt"
	"net"
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

	"github.com/google/go-cmp/cmp"
)

// kill ends processes of the lab by SIGKILL.
func kill(t *testing.T, names ...string) {
	t.Helper()
	for _, p := range labStatus(t).Processes {
		if slices.Contains(names, p.Name) {
			if err := syscall.Kill(p.PID, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// well waits until the lab says that nothing is wrong.
func well(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !labStatus(t).Healthy; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not well again: %v", labStatus(t).Problems)
		}
	}
}

// pinging sends a hundred echo requests a second until it is stopped, which fails the test for each lost one. Those of the last half second
// may be on their way then. Who is asked must be one of answersPings.
func pinging(t *testing.T, from, to string) (stop func()) {
	t.Helper()
	cmd := exec.Command(binary(), "lab", "exec", from, "--", "ping", "-n", "-i", "0.01", to)
	result := make(chan string, 1)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { cmd.Wait(); result <- out.String() }() //nolint:errcheck // what it prints says more
	return func() {
		t.Helper()
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Error(err)
		}
		text := <-result
		if lost := lostEchoes(text, 50); lost != "" {
			t.Errorf("packets were lost: %s\n%s", lost, text[max(0, len(text)-400):])
		}
	}
}

var pingSeq = regexp.MustCompile(`icmp_seq=(\d+) (?:ttl|hlim)=`)

// lostEchoes names the first request whose answer is not in what ping printed, "" if none is missing but of the last ones, which had
// not had the time.
func lostEchoes(text string, last int) string {
	m := pingLoss.FindStringSubmatch(text)
	if m == nil {
		return "no statistics"
	}
	sent, _ := strconv.Atoi(m[1]) //nolint:errcheck // digits
	seen := map[string]bool{}
	for _, x := range pingSeq.FindAllStringSubmatch(text, -1) {
		seen[x[1]] = true
	}
	for i := 1; i <= sent-last; i++ {
		if !seen[strconv.Itoa(i&0xffff)] {
			return fmt.Sprintf("number %d of %d", i, sent)
		}
	}
	if newest := sent - len(seen); newest > last {
		return fmt.Sprintf("%d of %d", newest, sent)
	}
	return ""
}

// reach wants a new TCP connection that carries something there and back.
func reach(t *testing.T, from, to string) {
	t.Helper()
	c, err := dialFrom(from, to)
	if err != nil {
		t.Errorf("new connection from %s: %v", from, err)
		return
	}
	defer c.Close()
	b := []byte("hello")
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Error(err)
	}
	if _, err = c.Write(b); err == nil {
		_, err = c.Read(b)
	}
	if err != nil || string(b) != "hello" {
		t.Errorf("new connection from %s: %v %q", from, err, b)
	}
}

// kernelObjects names what must survive an agent: pinned maps, links and the programs' devices, by the kernel's ids.
func kernelObjects(t *testing.T, host string) map[string]string {
	t.Helper()
	out := map[string]string{}
	layouts, err := filepath.Glob("/sys/fs/bpf/weft-lab/" + host + "/v*")
	if err != nil || len(layouts) != 1 {
		t.Fatalf("pinned maps of %s: %v, %v", host, layouts, err)
	}
	dir := layouts[0]
	for _, path := range files(t, dir) {
		kind := "map"
		if filepath.Base(filepath.Dir(path)) == "links" {
			kind = "link"
		} else if path == dir || filepath.Base(path) == "links" || strings.HasPrefix(filepath.Base(path), "jump-") {
			continue // tail calls are of one process's programs
		}
		text, err := output(exec.Command("bpftool", "-j", kind, "show", "pinned", path))
		var v struct{ ID int }
		if err == nil {
			err = json.Unmarshal([]byte(text), &v)
		}
		if err != nil || v.ID == 0 {
			t.Fatalf("%s: %v %s", path, err, text)
		}
		out[path] = fmt.Sprint(kind, " ", v.ID)
	}
	for _, l := range lines(t, "ip", "netns", "exec", "weft-"+host, "ip", "-o", "link") {
		out[strings.Join(strings.Fields(l)[:2], " ")] = "device"
	}
	return out
}

// An agent that is killed and comes back costs no packet and no connection, and takes over what is in the kernel.
func agentsKilledUnderLoad(t *testing.T) {
	echo(t, "blue2", 7000)
	echo(t, "red3", 7000)
	must(t, "lab", "exec", "red1", "--", "ping", "-c", "1", "172.16.43.6")
	before := map[string]map[string]string{"compute1": kernelObjects(t, "compute1"), "compute2": kernelObjects(t, "compute2")}
	answersPings(t, "blue2")
	stop := pinging(t, "red1", "172.16.43.6")
	s := startStream(t, "red1", "172.16.43.6:7000")
	for range 3 {
		kill(t, "agent-compute1", "agent-compute2")
		reach(t, "red2", "172.16.43.6:7000") // the same host, routed
		reach(t, "blue1", "172.16.43.6:7000")
		reach(t, "blue2", "172.16.42.8:7000") // neither end has met the other
		must(t, "lab", "restart", "compute1")
		must(t, "lab", "restart", "compute2")
		well(t)
	}
	s.end(t)
	stop()
	for host, want := range before {
		if diff := cmp.Diff(want, kernelObjects(t, host)); diff != "" {
			t.Errorf("%s was rebuilt, not reconciled (-before +after):\n%s", host, diff)
		}
	}
}

// shortLeases makes the computes' agents give leases of a minute, the shortest there are, from now on.
func shortLeases(t *testing.T, state string) {
	t.Helper()
	for _, host := range []string{"compute1", "compute2"} {
		path := filepath.Join(state, "etc", host, "neutron.conf")
		b, err := os.ReadFile(path)
		if err == nil {
			text := strings.Replace(string(b), "[DEFAULT]\n", "[DEFAULT]\ndhcp_lease_duration = 60\n", 1)
			err = os.WriteFile(path, []byte(text), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		must(t, "lab", "restart", host)
	}
}

func v6Of(t *testing.T, name string) string {
	t.Helper()
	for _, in := range labStatus(t).Instances {
		for _, a := range in.Addresses {
			if in.Name == name && strings.Contains(a, ":") {
				return a
			}
		}
	}
	t.Fatalf("%s has no IPv6 address", name)
	return ""
}

// A minute without the server: traffic, new flows, renewed leases and address resolution go on.
func serverDownForAMinute(t *testing.T, state string) {
	if testing.Short() {
		t.Skip("takes minutes")
	}
	shortLeases(t, state)
	must(t, "lab", "boot", "red9", "--host", "compute1", "--network", "red")
	renewals := func() int { return strings.Count(must(t, "lab", "logs", "red9"), " for 1m0s (hostname") }
	if renewals() == 0 {
		t.Fatalf("the lease is not of a minute:\n%s", must(t, "lab", "logs", "red9"))
	}
	echo(t, "blue2", 7001)
	v6 := v6Of(t, "blue2")
	answersPings(t, "blue2")
	stop := pinging(t, "red1", "172.16.43.6")
	s := startStream(t, "red1", "172.16.43.6:7001")
	kill(t, "server")
	began, had := time.Now(), renewals()
	for _, from := range []string{"red2", "red3", "red9", "blue1"} {
		reach(t, from, "172.16.43.6:7001")
	}
	for time.Since(began) < time.Minute {
		for _, from := range []string{"red2", "red9"} {
			must(t, "lab", "exec", from, "--", "ip", "neigh", "flush", "dev", "eth0") // both families ask anew
			reach(t, from, "172.16.43.6:7001")
		}
		must(t, "lab", "exec", "red9", "--", "ping", "-c", "1", "-W", "2", v6)
		time.Sleep(2 * time.Second)
	}
	if n := renewals() - had; n < 1 {
		t.Error("a lease of a minute was not renewed")
	}
	must(t, "lab", "restart", "server")
	well(t)
	s.end(t)
	stop()
	if r := verify(t); !r.OK {
		t.Error("after the restart the table is wrong")
	}
}

// The lab takes the sizes that it says it takes.
func TestOptionsAreHonoured(t *testing.T) { eachVIF(t, optionsAreHonoured) }

func optionsAreHonoured(t *testing.T, args ...string) {
	up(t, append(args, "--computes", "4", "--underlay-mtu", "9000", "--no-demo")...)
	s := labStatus(t)
	if !s.Healthy || len(s.Hosts) != 5 || len(s.Instances) != 0 {
		t.Fatalf("%+v", s)
	}
	c := newClient(t, "admin")
	if net := c.show("network", "create", "net1"); net["mtu"] != 8950.0 {
		t.Errorf("network %v", net)
	}
	c.do("subnet", "create", "sub1", "--network", "net1", "--subnet-range", "10.0.0.0/24")
	must(t, "lab", "boot", "a", "--host", "compute4", "--network", "net1")
	must(t, "lab", "boot", "b", "--host", "compute1", "--network", "net1")
	addr := labStatus(t).Instances[1].Addresses[0]
	if out := must(t, "lab", "exec", "a", "--", "ping", "-c", "1", "-M", "do", "-s", "8922", addr); !strings.Contains(out, "1 received") {
		t.Error(out)
	}
	if _, err := weft("lab", "exec", "a", "--", "ping", "-c", "1", "-W", "1", "-M", "do", "-s", "8923", addr); err == nil {
		t.Error("a packet that is larger than the network's MTU was carried")
	}
}

// Somebody else has a host's tunnel port: the operator is told who, and that port alone is the trouble.
func TestTunnelPortTaken(t *testing.T) {
	up(t, "--no-demo")
	kill(t, "agent-compute1")
	if _, err := output(exec.Command("ip", "-n", "weft-compute1", "link", "del", "weft-vxlan")); err != nil {
		t.Fatal(err)
	}
	var pc net.PacketConn
	if err := inNetns("weft-compute1", func() (err error) { pc, err = net.ListenPacket("udp", ":4789"); return err }); err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	must(t, "lab", "restart", "compute1")
	want := fmt.Sprintf("UDP port 4789 is taken by process %d", os.Getpid())
	var said string
	for end := time.Now().Add(20 * time.Second); !strings.Contains(said, want); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("problems %v\nlog: %s", said, must(t, "lab", "logs", "agent-compute1"))
		}
		said = strings.Join(labStatus(t).Problems, "\n")
	}
	pc.Close()
	well(t)
}
