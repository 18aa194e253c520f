package ebpf

import (
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/weft-cloud/weft/internal/agent/asks"
	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/dptest"
	"github.com/weft-cloud/weft/internal/linux"
	"github.com/weft-cloud/weft/internal/model"
)

// An instance that asks for a neighbour, or its router, before its host knows of it is answered when the host does; its kernel would
// ask again in this test after a minute only.
func TestEarlyQuestionIsAnswered(t *testing.T) {
	for _, vif := range []string{"veth", "tap"} {
		t.Run(vif, func(t *testing.T) {
			c := newCloudOn(t, Config{}, vif, nil)
			asked := keepAsks(c, "compute1")
			for fam, v6 := range families() {
				key := map[bool]string{false: "net/ipv4/neigh/eth0/retrans_time_ms", true: "net/ipv6/neigh/eth0/retrans_time_ms"}[v6]
				_, err := linux.SetSysctl(c.ns("red1"), key, "60000")
				c.must(err)
				for _, to := range []string{"red2", "red3"} {
					t.Run(fam+" neighbour "+to, func(t *testing.T) {
						early(t, c, asked, c.addr(to, v6), func(d *dptest.Cloud) {
							d.Ports = slices.DeleteFunc(slices.Clone(d.Ports), func(p dptest.Port) bool { return p.Name == to })
						})
					})
				}
				t.Run(fam+" router", func(t *testing.T) {
					early(t, c, asked, dptest.DemoAddr(0, 1, v6), func(d *dptest.Cloud) { d.Routers = nil })
				})
			}
		})
	}
}

// asking is the Keeper of a host, and a word for each question that reached it.
type asking struct {
	keeper *asks.Keeper
	heard  chan netip.Addr
}

// keepAsks runs what an agent does with questions, until the cloud is closed.
func keepAsks(c *testCloud, host string) asking {
	plane := c.planes[host]
	a := asking{heard: make(chan netip.Addr, 64), keeper: asks.New(asks.Deps{
		Resolves: plane.Resolves,
		Resend: func(id model.PortID, f []byte) error {
			return linux.InNetns(c.ns(host), func() error { return plane.Resend(id, f) })
		},
		Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for p := range plane.Punts() {
			if p.Kind == dataplane.PuntAsk {
				a.keeper.Handle(p, nil)
				a.heard <- netip.Addr{}
			}
		}
	}()
	c.t.Cleanup(func() {
		c.must(plane.Close())
		c.planes[host] = nil
		<-done
	})
	return a
}

// early lets red1 ask for the address while less, what its host is to know, is in force, then applies all.
func early(t *testing.T, c *testCloud, a asking, to netip.Addr, less func(*dptest.Cloud)) {
	all := c.states["compute1"]
	part := *c.cloud
	less(&part)
	c.states["compute1"] = part.States()["compute1"]
	c.apply("compute1")
	c.states["compute1"] = all
	for len(a.heard) > 0 {
		<-a.heard
	}
	answered := make(chan error, 1)
	go func() {
		_, err := c.ping("red1", to, 2*wait)
		answered <- err
	}()
	select {
	case <-a.heard:
	case err := <-answered:
		t.Fatalf("answered (%v) before anybody knew", err)
	}
	c.apply("compute1")
	a.keeper.Applied()
	if err := <-answered; err != nil {
		t.Errorf("no answer from %s: %v", to, err)
	}
}
