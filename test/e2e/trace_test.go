package e2e

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

type traced struct {
	Verdict, Reason, Why, Cure string
	Arrives                    bool
	Hops                       []struct {
		Host, Rule string
		Says       string `json:"rule_says"`
		Stages     []struct{ Stage, Text string }
	}
	Notes []string
}

// trace asks for a packet; its exit code must be the verdict.
func trace(t *testing.T, args ...string) traced {
	t.Helper()
	out, err := weft(append([]string{"trace", "--json"}, args...)...)
	var a traced
	if jerr := json.Unmarshal([]byte(out), &a); jerr != nil {
		t.Fatalf("trace %v: %v; %v", args, jerr, err)
	}
	if (err == nil) != a.Arrives {
		t.Errorf("trace %v: exit code says %v, the answer %v", args, err, a.Arrives)
	}
	return a
}

// What trace says of a packet is what becomes of a real one.
func traceTellsWhatHappens(t *testing.T) {
	a := trace(t, "--from", "red1", "--to", "172.16.43.6", "--proto", "tcp", "--port", "7000") // 80 is open by another rule, too
	if !a.Arrives || len(a.Hops) != 2 || a.Hops[0].Host != "compute1" || a.Hops[1].Host != "compute2" || len(a.Notes) != 0 ||
		!strings.Contains(a.Hops[0].Says, "egress IPv4") || !strings.Contains(a.Hops[1].Says, "from group default") || !strings.Contains(a.Verdict, "compute2") {
		t.Errorf("%+v", a)
	}
	for _, x := range []struct {
		from, to, reason string
		arrives          bool
	}{
		{from: "red1", to: "172.16.42.8", arrives: true}, {from: "red1", to: "172.16.43.1", arrives: true},
		{from: "red1", to: v6Of(t, "blue2"), arrives: true}, {from: "red1", to: outsideAddr, arrives: true},
		{from: "red1", to: "172.16.43.99", reason: "no_neighbor"},
		{from: "red1-b", to: outsideAddr, reason: "no_route"}, // its router has no gateway
	} {
		a := trace(t, "--from", x.from, "--to", x.to)
		_, err := weft("lab", "exec", x.from, "--", "ping", "-c", "1", "-W", "2", x.to)
		if a.Arrives != x.arrives || a.Reason != x.reason || (err == nil) != x.arrives {
			t.Errorf("from %s to %s: %+v; the ping: %v", x.from, x.to, a, err)
		}
	}
	text := must(t, "trace", "--from", "red1", "--to", "blue2")
	for _, want := range []string{"from port red1 (", "router router (", "allowed by rule egress IPv4 any protocol, of group default (", "delivered to port blue2 ("} {
		if !strings.Contains(text, want) {
			t.Errorf("the text lacks %q:\n%s", want, text)
		}
	}
	refused(t, []string{"trace", "--from", "nobody", "--to", "172.16.43.6"}, "--from nobody", "id")
	refused(t, []string{"trace", "--from", "172.16.42.7", "--to", "172.16.43.6"}, "2 ports", "network red-b")
	refused(t, []string{"trace", "--from", "red1", "--to", "blue2", "--proto", "tcp"}, "needs --port")
	refused(t, []string{"trace", "--from", "red1", "--to", "blue2", "--proto", "gre"}, "--proto gre")
	refused(t, []string{"trace", "--from", "red1", "--to", "172.16.42.99"}, "would send nothing", "172.16.42.99")
	kill(t, "agent-compute2")
	eventually(t, func() string {
		a := trace(t, "--from", "red1", "--to", "blue2")
		if len(a.Notes) == 1 && strings.Contains(a.Notes[0], "host compute2 may do otherwise") {
			return ""
		}
		return "no warning of the dead agent: " + strings.Join(a.Notes, "; ")
	})
	must(t, "lab", "restart", "compute2")
	well(t)
}

// eventually waits until fault says "".
func eventually(t *testing.T, fault func() string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		why := fault()
		if why == "" {
			return
		}
		if time.Now().After(end) {
			t.Fatal(why)
		}
	}
}
