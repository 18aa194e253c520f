package ebpf

import (
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/weft-cloud/weft/internal/dptest"
)

// Another build, whose maps have another layout, takes the place of this one and gives it back while connections are open through floating
// IPs, from outside and to outside, between two of one host, and to and from a proxied IPv6 address: no echo is lost, no stream breaks, no
// new connection fails, and what no rule allows does not get in. Answers pass by connections alone.
func TestUpgradeUnderFloatingIPs(t *testing.T) {
	for _, attach := range []string{"auto", "clsact"} {
		t.Run(attach, func(t *testing.T) { upgradeUnderFloatingIPs(t, attach) })
	}
}

func upgradeUnderFloatingIPs(t *testing.T, attach string) {
	b := newBeyond(t, Config{Attach: attach}, "veth", func(c *dptest.Cloud) {
		for i := range c.Ports {
			c.Ports[i].Policy = dptest.Stateful(dptest.Any(true, false), dptest.Any(true, true))
		}
		c.Port("red1").Policy = dptest.Stateful(dptest.Any(true, false), dptest.Any(true, true), dptest.Allow(false, false, 1, -1, -1),
			dptest.Allow(false, false, 6, 7000, 7000), dptest.Allow(false, true, 58, -1, -1), dptest.Allow(false, true, 6, 7000, 7000))
	})
	float, own6 := dptest.FloatingOf("red1"), b.addr("red1", true)
	for _, next := range []netip.Addr{dptest.Stranger, dptest.Stranger6} { // who is met for the first time takes an agent
		if ttl, err := b.ping("red1", next, wait); err != nil {
			t.Fatalf("%s: TTL %d, %v", next, ttl, err)
		}
	}
	l := newLoad(b.testCloud)
	l.serve("red1")
	l.serve("world")
	l.talk("world", float)
	l.talk("world", own6)
	l.talk("red1", dptest.Stranger)
	l.talk("red1", dptest.Stranger6)
	l.talk("blue1", float)
	l.echo("world", float)
	l.echo("world", own6)
	l.echo("blue1", dptest.Stranger)
	heard := make(chan struct{})
	l.part("blue1", func() error { return l.forbid(heard) })
	<-heard
	l.part("world", func() error { return l.knock(portText(dptest.FloatingOf("blue1"), 9000)) })

	before := ""
	for round, spec := range []func() (*ebpf.CollectionSpec, error){loadNext, loadWeft} {
		b.must(b.planes["compute1"].Close()) // as a kill does: nothing is undone
		time.Sleep(50 * time.Millisecond)
		b.cfg.spec = spec
		b.start("compute1")
		b.resolve("compute1")
		if b.planes["compute1"].over != nil {
			t.Fatalf("round %d: no takeover", round)
		}
		found, err := filepath.Glob(filepath.Join(b.pins("compute1"), "*"))
		b.must(err)
		if len(found) != 1 || found[0] == before {
			t.Errorf("round %d: layouts %v, was %s", round, found, before)
		}
		before = found[0]
		time.Sleep(150 * time.Millisecond)
	}
	l.finish(t)
}
