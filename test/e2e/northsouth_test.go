package e2e

import (
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// outsideAddr is weft-internet's.
const outsideAddr = "203.0.113.1"

// floatingOf is the floating IP of the lab's red2, and its id.
func floatingOf(t *testing.T, c *client) (addr, id string) {
	t.Helper()
	rows := c.list("floating", "ip", "list")
	if len(rows) != 1 {
		t.Fatalf("floating IPs: %v", rows)
	}
	return rows[0]["Floating IP Address"].(string), rows[0]["ID"].(string)
}

// curl is what answers at a port of an address when weft-internet asks; "": nobody.
func curl(addr string, port int) string {
	out, _ := output(exec.Command("ip", "netns", "exec", "weft-internet", "curl", "-s", "-m", "3", fmt.Sprintf("http://%s:%d/", addr, port)))
	return out
}

// answers waits until a ping is answered, and says how long that took.
func answers(t *testing.T, from, to string) time.Duration {
	t.Helper()
	start := time.Now()
	for time.Since(start) < 10*time.Second {
		if _, err := weft("lab", "exec", from, "--", "ping", "-c", "1", "-W", "1", to); err == nil {
			return time.Since(start)
		}
	}
	t.Errorf("%s does not reach %s", from, to)
	return 0
}

// TestNorthSouth is what a floating IP, SNAT and port forwarding do for packets, and what they do not feel.
func TestNorthSouth(t *testing.T) {
	next := otherBuild(t)
	eachVIF(t, func(t *testing.T, args ...string) {
		replace := installed(t)
		up(t, args...)
		demo, admin := newClient(t, "demo"), newClient(t, "admin")
		float, id := floatingOf(t, demo)
		if got := curl(float, 80); !strings.HasPrefix(got, "Hello from red2 ") {
			t.Errorf("%s greets with %q", float, got)
		}
		if got, err := greetSource("red2"); err != nil || got != float {
			t.Errorf("red2 is seen as %s (%v), not as %s", got, err, float)
		}
		gateway, err := greetSource("red1")
		if err != nil || gateway == float || !strings.HasPrefix(gateway, "203.0.113.") {
			t.Errorf("red1 is seen as %s (%v)", gateway, err)
		}
		icmpErrors(t)
		restarts(t, demo, float, []string{"", "next", ""}, func(build string) {
			if build == "next" {
				build = next
			}
			replace(build)
		})
		forwarding(t, demo)
		moves(t, demo, float, id, gateway)
		changesKind(t, admin, float, gateway)
		withoutSNAT(t, admin, gateway)
	})
}

// greetSource is the address as which weft-internet sees an instance; "" and an error if the instance does not reach it.
func greetSource(guest string) (string, error) {
	var l net.Listener
	if err := inNetns("weft-internet", func() (err error) { l, err = net.Listen("tcp4", ":4321"); return err }); err != nil {
		return "", err
	}
	defer l.Close()
	c, err := dialFrom(guest, outsideAddr+":4321")
	if err != nil {
		return "", fmt.Errorf("%s reaches nothing outside: %w", guest, err)
	}
	defer c.Close()
	if err := l.(*net.TCPListener).SetDeadline(time.Now().Add(8 * time.Second)); err != nil {
		return "", err
	}
	peer, err := l.Accept()
	if err != nil {
		return "", err
	}
	defer peer.Close()
	host, _, err := net.SplitHostPort(peer.RemoteAddr().String())
	return host, err
}

// seenAs: within 10 s of a change, of which the client has its answer before the hosts have heard, weft-internet sees the instance as that
// address.
func seenAs(t *testing.T, guest, want string) {
	t.Helper()
	var got string
	var err error
	for end := time.Now().Add(10 * time.Second); ; {
		if got, err = greetSource(guest); got == want {
			return
		}
		if time.Now().After(end) {
			t.Errorf("%s is seen as %q (%v), want %q", guest, got, err, want)
			return
		}
	}
}

// icmpErrors: a router says where a packet ended, by an address of its own on the sender's side.
func icmpErrors(t *testing.T) {
	t.Helper()
	for _, c := range []struct{ from, ttl, want string }{
		{"red1", "1", "From 172.16.42.1"}, {"red1", "2", "From 172.16.42."}, {"red2", "1", "From 172.16.42.1"},
	} {
		out, _ := weft("lab", "exec", c.from, "--", "ping", "-c", "1", "-W", "2", "-t", c.ttl, outsideAddr) // it fails, and says why
		if !strings.Contains(out, c.want) || !strings.Contains(out, "Time to live exceeded") {
			t.Errorf("TTL %s from %s:\n%s", c.ttl, c.from, out)
		}
	}
}

// restarts: agents and server end by SIGKILL under open connections of every kind, and come back as the builds say: "" is that of before, "next"
// one whose maps have another layout. Nothing is lost, and with everybody dead new connections work.
func restarts(t *testing.T, demo *client, float string, builds []string, replace func(build string)) {
	t.Helper()
	for _, family := range []string{"IPv4", "IPv6"} {
		demo.do("security", "group", "rule", "create", "--ethertype", family, "--protocol", "tcp", "--dst-port", "7", "default")
	}
	for _, who := range []string{"internet", "red1", "red2"} {
		echo(t, who, 7)
	}
	answersPings(t, "internet", "red1", "red2")
	firstPackets(t)
	six := v6Of(t, "red1")
	forwarded, remove := forward(t, demo, "7", "8007")
	defer remove()
	streams := []*stream{
		startStream(t, "red1", outsideAddr+":7"),               // by SNAT
		startStream(t, "red2", outsideAddr+":7"),               // by its floating IP
		startStream(t, "internet", float+":7"),                 // to it
		startStream(t, "internet", forwarded+":8007"),          // by a port forwarding
		startStream(t, "internet", net.JoinHostPort(six, "7")), // IPv6, routed by the gateway host
		startStream(t, "red1", net.JoinHostPort(outside6, "7")),
	}
	stops := []func(){pinging(t, "red1", outsideAddr), pinging(t, "red2", outsideAddr), pinging(t, "internet", float), pinging(t, "internet", six)}
	before := layout(t, "compute2")
	for _, build := range builds {
		kill(t, "agent-controller", "agent-compute1", "agent-compute2", "server")
		time.Sleep(300 * time.Millisecond)
		reach(t, "red3", outsideAddr+":7")
		reach(t, "internet", float+":7")
		reach(t, "internet", forwarded+":8007")
		reach(t, "internet", net.JoinHostPort(six, "7"))
		replace(build)
		for _, name := range []string{"server", "controller", "compute1", "compute2"} {
			must(t, "lab", "restart", name)
		}
		well(t)
		for _, host := range []string{"controller", "compute1", "compute2"} {
			if now := filepath.Base(layout(t, host)); (now == filepath.Base(before)) != (build == "") {
				t.Errorf("build %q: the maps of %s have the layout %s, at first %s", build, host, now, before)
			}
		}
		time.Sleep(500 * time.Millisecond)
	}
	for _, s := range streams {
		s.end(t)
	}
	for _, stop := range stops {
		stop()
	}
}

// firstPackets: what waits until a next hop outside is found arrives whole, though its checksum was left to the network card. Both
// addresses are new, by a floating IP and by an NDP proxy.
func firstPackets(t *testing.T) {
	t.Helper()
	for _, addr := range []string{"203.0.113.9/24", "2001:db8:cb00:7100::9/64"} {
		if _, err := output(exec.Command("ip", "netns", "exec", "weft-internet", "ip", "address", "add", addr, "dev", "enp0s9", "nodad")); err != nil {
			t.Fatal(err)
		}
		to, _, _ := strings.Cut(addr, "/")
		s := startStream(t, "red2", net.JoinHostPort(to, "7"))
		time.Sleep(100 * time.Millisecond)
		s.end(t)
	}
}

// forward leads a port of a new floating IP to one of red1.
func forward(t *testing.T, demo *client, inner, outer string) (addr string, remove func()) {
	t.Helper()
	f := demo.show("floating", "ip", "create", "external")
	addr, id := f["floating_ip_address"].(string), f["id"].(string)
	port := demo.list("port", "list", "--fixed-ip", "ip-address=172.16.42.7")[0]["ID"].(string)
	f = demo.show("floating", "ip", "port", "forwarding", "create", "--internal-ip-address", "172.16.42.7", "--port", port, "--internal-protocol-port", inner,
		"--external-protocol-port", outer, "--protocol", "tcp", id)
	eventually(t, func() string {
		c, err := dialFrom("internet", addr+":"+outer)
		if err != nil {
			return err.Error()
		}
		c.Close()
		return ""
	})
	return addr, func() {
		demo.do("floating", "ip", "port", "forwarding", "delete", id, f["id"].(string))
		demo.do("floating", "ip", "delete", id)
	}
}

// forwarding leads a port of a floating IP to red1's greeting.
func forwarding(t *testing.T, demo *client) {
	t.Helper()
	addr, remove := forward(t, demo, "80", "8080")
	defer remove()
	if got := curl(addr, 8080); !strings.HasPrefix(got, "Hello from red1 ") {
		t.Errorf("the forwarded port greets with %q", got)
	}
}

// moves: a floating IP that goes ends its connections, one that comes is there at once, on another host, too.
func moves(t *testing.T, demo *client, float, id, gateway string) {
	t.Helper()
	c, err := dialFrom("red2", outsideAddr+":7")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	demo.do("floating", "ip", "unset", "--port", id)
	seenAs(t, "red2", gateway)
	b := []byte("still there?")
	if err := c.SetDeadline(time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	_, _ = c.Write(b)
	if n, err := c.Read(b); err == nil {
		t.Errorf("a connection of the floating IP outlives it: %d bytes", n)
	}
	if out, err := weft("lab", "exec", "internet", "--", "ping", "-c", "1", "-W", "1", float); err == nil {
		t.Errorf("a floating IP without a port answers:\n%s", out)
	}
	port := demo.list("port", "list", "--fixed-ip", "ip-address=172.16.42.7")[0]["ID"].(string)
	demo.do("floating", "ip", "set", "--port", port, id)
	t.Logf("first answer %v after the client had its own", answers(t, "internet", float))
	if got := curl(float, 80); !strings.HasPrefix(got, "Hello from red1 ") {
		t.Errorf("moved to red1 it greets with %q", got)
	}
	if s := demo.show("floating", "ip", "show", id)["status"]; s != "ACTIVE" {
		t.Errorf("status %v", s)
	}
}

// demoRouter is the id of the demo's router.
func demoRouter(t *testing.T, admin *client) string {
	t.Helper()
	for _, r := range admin.list("router", "list") {
		if r["Name"] == "router" {
			return r["ID"].(string)
		}
	}
	t.Fatal("the demo has no router")
	return ""
}

// changesKind: a router that is made centralized, and distributed again, keeps floating IP and SNAT.
func changesKind(t *testing.T, admin *client, float, gateway string) {
	t.Helper()
	id := demoRouter(t, admin)
	for _, kind := range []string{"--centralized", "--distributed"} {
		admin.do("router", "set", "--disable", id)
		admin.do("router", "set", kind, id)
		admin.do("router", "set", "--enable", id)
		t.Logf("%s: first answer after %v", kind, answers(t, "internet", float))
		if got := curl(float, 80); !strings.HasPrefix(got, "Hello from red1 ") {
			t.Errorf("%s: the floating IP greets with %q", kind, got)
		}
		seenAs(t, "red3", gateway)
		answers(t, "red1", "172.16.43.6") // blue2, on the other host
		answers(t, "red1", v6Of(t, "blue2"))
		eventually(t, func() string { return notActive(admin, id) })
	}
}

// notActive names the ports of a router that do not show ACTIVE.
func notActive(admin *client, router string) string {
	var out []string
	for _, p := range admin.list("port", "list", "--router", router) {
		if p["Status"] != "ACTIVE" {
			out = append(out, fmt.Sprint(p["Fixed IP Addresses"], " is ", p["Status"]))
		}
	}
	return strings.Join(out, "; ")
}

// withoutSNAT: packets leave as they are.
func withoutSNAT(t *testing.T, admin *client, gateway string) {
	t.Helper()
	id := demoRouter(t, admin)
	admin.do("router", "set", "--external-gateway", "external", "--disable-snat", id)
	if _, err := output(exec.Command("ip", "netns", "exec", "weft-internet", "ip", "route", "replace", "172.16.42.0/24", "via", gateway)); err != nil {
		t.Fatal(err)
	}
	seenAs(t, "red3", "172.16.42.8")
}

// speaksOnTheWire: a distributed router with an interface on a flat network is reached by machines there that are no instances, without a
// gateway and without an instance of the network.
func speaksOnTheWire(t *testing.T, admin *client) {
	t.Helper()
	subnet := ""
	for _, s := range admin.list("subnet", "list", "--network", "external") {
		if s["Subnet"] == "203.0.113.0/24" {
			subnet = s["ID"].(string)
		}
	}
	port := admin.show("port", "create", "--network", "external", "--fixed-ip", "subnet="+subnet+",ip-address=203.0.113.250", "on-the-wire")["id"].(string)
	router := admin.show("router", "create", "--distributed", "on-the-wire")["id"].(string)
	admin.do("router", "add", "port", router, port)
	t.Logf("a router on a flat network answers %v after the client had its answer", answers(t, "internet", "203.0.113.250"))
	out, err := output(exec.Command("ip", "netns", "exec", "weft-internet", "traceroute", "-n", "-q", "1", "-w", "2", "-m", "3", "203.0.113.250"))
	if hops := regexp.MustCompile(`(?m)^ *\d+ .*$`).FindAllString(out, -1); err != nil || len(hops) != 1 || !strings.HasPrefix(hops[0], " 1  203.0.113.250 ") {
		t.Errorf("traceroute: %v\n%s", err, out)
	}
	admin.do("router", "remove", "port", router, port)
	admin.do("router", "delete", router)
}
