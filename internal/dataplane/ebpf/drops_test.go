package ebpf

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/dptest"
	"github.com/weft-cloud/weft/internal/forward"
	"github.com/weft-cloud/weft/internal/linux"
)

// awaitEvent returns the first event that ok takes.
func (c *testCloud) awaitEvent(host string, ok func(dataplane.DropEvent) bool) dataplane.DropEvent {
	c.t.Helper()
	limit := time.After(5 * time.Second)
	for {
		select {
		case e := <-c.planes[host].Events():
			if ok(e) {
				return e
			}
		case <-limit:
			c.t.Fatalf("no such drop was told on %s", host)
		}
	}
}

// What the receiver's groups refuse counts at the receiver, on its own host and from the tunnel, with the rule of the sender
// that had allowed it; what the sender's refuse counts at the sender, with no rule.
func TestDropsAreTold(t *testing.T) {
	out := dptest.Allow(true, false, 1, -1, -1)
	c := newCloud(t, Config{}, func(d *dptest.Cloud) {
		d.Port("red1").Policy = dptest.Stateful(out)
		d.Port("red2").Policy, d.Port("red3").Policy = dptest.Stateful(), dptest.Stateful()
	})
	rule := c.cloud.Port("red1").Policy.Rules[0].ID
	for _, x := range []struct {
		from, to, at, host string
		why                reason.Reason
		allowed            bool
	}{
		{"red1", "red3", "red3", "compute1", reason.PolicyIngress, true},
		{"red1", "red2", "red2", "compute2", reason.PolicyIngress, false}, // the other host does not know the sender's rule
		{"red3", "red1", "red3", "compute1", reason.PolicyEgress, false},
	} {
		t.Run(x.from+" to "+x.to, func(t *testing.T) {
			_, _ = c.ping(x.from, c.addr(x.to, false), 100*time.Millisecond)
			e := c.awaitEvent(x.host, func(e dataplane.DropEvent) bool { return e.Reason == x.why && e.Port == dptest.PortID(x.at) })
			if e.Rule.IsZero() == x.allowed || x.allowed && e.Rule != rule {
				t.Errorf("rule %s", e.Rule)
			}
			if text := forward.SummaryOf(e.Data, e.Len); !strings.Contains(text, c.addr(x.to, false).String()) || !strings.Contains(text, "ICMP type 8") {
				t.Errorf("packet: %s", text)
			}
			if d := time.Since(e.Time); d < 0 || d > time.Minute {
				t.Errorf("at %v, which is %v ago", e.Time, d)
			}
			drops, err := c.planes[x.host].Drops()
			c.must(err)
			if !slices.ContainsFunc(drops, func(d dataplane.DropCount) bool {
				return d.Port == dptest.PortID(x.at) && d.Reason == x.why && d.Packets > 0 && d.Bytes > 0
			}) {
				t.Errorf("drops: %+v", drops)
			}
		})
	}
	rules, err := c.planes["compute1"].Rules()
	c.must(err)
	if len(rules) != 1 || rules[0].Rule != rule || rules[0].Connections == 0 || rules[0].Drops == 0 || rules[0].DropBytes == 0 {
		t.Errorf("rules: %+v", rules)
	}
}

// What the kernel drops behind the data plane has the kernel's reason and the interface, and is told once; what the data plane
// drops by itself is not told as the kernel's.
func TestKernelDropsAreTold(t *testing.T) {
	c := newCloud(t, Config{Redirect: "plain"}, nil)
	p := c.planes["compute1"]
	if p.lost.missing != "" {
		t.Skip(p.lost.missing)
	}
	if _, err := c.ping("red1", c.addr("red3", false), wait); err != nil {
		t.Fatal(err)
	}
	before, _, err := p.Lost()
	c.must(err)
	for _, l := range before {
		if l.Source == "kfree_skb" && strings.Contains(l.Why, "TC_INGRESS") {
			t.Errorf("a drop of the data plane's own: %+v", l)
		}
	}
	c.must(linux.SetDown(c.ns("red3"), "eth0"))
	_, _ = c.ping("red1", c.addr("red3", false), 100*time.Millisecond)
	device := c.device("red3")
	e := c.awaitEvent("compute1", func(e dataplane.DropEvent) bool { return e.Kernel != "" && e.Device == device })
	if e.Len == 0 || len(e.Data) == 0 || e.Reason != reason.None {
		t.Errorf("%+v", e)
	}
	after, missing, err := p.Lost()
	c.must(err)
	i := slices.IndexFunc(after, func(l dataplane.Lost) bool { return l.Device == device && l.Source == "kfree_skb" })
	if i < 0 || len(missing) > 0 {
		t.Fatalf("lost %+v, missing %v", after, missing)
	}
	t.Logf("%+v; %s", after, forward.SummaryOf(e.Data, e.Len))
}
