package ebpf

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/dataplane/dptest"
	"github.com/weft-cloud/weft/internal/linux"
	"github.com/weft-cloud/weft/internal/model"
)

// oneNIC is a cloud whose hosts have a single NIC each, for everything: the tunnels, the host's own traffic, and the flat network red, where
// there is a machine that is no instance. compute1 speaks for the router.
//
//	compute1 ── nic0 ─┐
//	compute2 ── nic0 ─┴─ bridge in "switch" ── eth0 of "machine" (172.16.42.200, fd00:42::c8)
type oneNIC struct {
	*testCloud
	mac model.MAC
}

func newOneNIC(t testing.TB) *oneNIC {
	o := &oneNIC{mac: model.MAC{2, 0, 0, 0, 0, 0x99}}
	o.testCloud = newCloudWith(t, Config{}, "veth", func(c *dptest.Cloud) {
		dptest.RoutedProvider(c)
		c.Networks[0].VLAN = 0
	}, func(c *testCloud) {
		c.netns("switch")
		c.netns("machine")
		c.must(linux.AddBridge(c.ns("switch"), "br", 1600))
		c.nics = map[string]string{}
		for i, h := range c.cloud.Hosts {
			port := "h" + string(rune('0'+i))
			c.must(linux.AddVeth(linux.Veth{Name: nicName, Netns: c.ns(h.Name), MTU: 1600, Peer: linux.End{Name: port, Netns: c.ns("switch")}}))
			c.must(linux.DelAddr(c.ns(h.Name), "underlay", netip.PrefixFrom(h.VTEP, 24)))
			c.must(errors.Join(linux.SetMaster(c.ns("switch"), port, "br"), linux.SetUp(c.ns("switch"), port), linux.SetUp(c.ns(h.Name), nicName)))
			c.must(linux.AddAddr(c.ns(h.Name), nicName, netip.PrefixFrom(h.VTEP, 24)))
			c.nics[h.Name] = nicName
		}
		ns := c.ns("machine")
		c.must(linux.AddVeth(linux.Veth{Name: "eth0", Netns: ns, MTU: 1450, MAC: net.HardwareAddr(o.mac[:]), Peer: linux.End{Name: "m", Netns: c.ns("switch")}}))
		for _, k := range []string{"accept_dad", "accept_ra"} {
			_, err := linux.SetSysctl(ns, "net/ipv6/conf/eth0/"+k, "0")
			c.must(err)
		}
		c.must(errors.Join(linux.SetMaster(c.ns("switch"), "m", "br"), linux.SetUp(c.ns("switch"), "m"), linux.SetUp(ns, "eth0")))
		for _, v6 := range []bool{false, true} {
			a, via := dptest.DemoAddr(0, 200, v6), dptest.DemoAddr(0, 1, v6)
			bits, all := 24, netip.MustParsePrefix("0.0.0.0/0")
			if v6 {
				bits, all = 64, netip.MustParsePrefix("::/0")
			}
			c.must(linux.AddAddr(ns, "eth0", netip.PrefixFrom(a, bits)))
			c.must(linux.SetRoute(ns, 4, linux.Route{Dst: all, Via: via, Link: "eth0"}))
		}
		// Besides the instances' networks, the machine is on the hosts' own: it manages them.
		c.must(linux.AddAddr(ns, "eth0", netip.MustParsePrefix("192.168.70.200/24")))
	})
	for _, h := range o.cloud.Hosts {
		o.resolve(h.Name)
	}
	return o
}

// resolve does what the agent does with punts of next hops.
func (o *oneNIC) resolve(host string) {
	p := o.planes[host]
	go func() {
		for u := range p.Punts() {
			if u.Kind == dataplane.PuntExternal {
				_ = linux.InNetns(o.ns(host), func() error { return errors.Join(p.Learn(u.External, u.NextHop, o.mac), p.Resend(u.Port, u.Frame)) })
			}
		}
	}()
}

// everything tries all ways: with the machine, between hosts, and the hosts' own.
func (o *oneNIC) everything(t *testing.T) {
	t.Helper()
	for _, v6 := range []bool{false, true} {
		machine := dptest.DemoAddr(0, 200, v6)
		for _, x := range []struct {
			what, from string
			to         netip.Addr
			ttl        int
		}{
			{"machine to its gateway", "machine", dptest.DemoAddr(0, 1, v6), 64},
			{"machine to the router's other interface", "machine", dptest.DemoAddr(1, 1, v6), 64},
			{"machine to an instance on its network, on the host that speaks", "machine", o.addr("red1", v6), 64},
			{"machine to an instance on its network, on another host", "machine", o.addr("red2", v6), 64},
			{"machine to an instance behind the router, on the host that speaks", "machine", o.addr("blue1", v6), 63},
			{"machine to an instance behind the router, on another host", "machine", o.addr("blue2", v6), 63},
			{"instance behind the router to the machine", "blue1", machine, 63},
			{"instance behind the router, on another host, to the machine", "blue2", machine, 63},
			{"instance on the machine's network to the machine", "red2", machine, 64},
			{"instance to one on another host, routed onto the wire", "blue2", o.addr("red1", v6), 63},
			{"instance to one on another host, by the tunnel", "blue1", o.addr("blue2", v6), 64},
		} {
			if ttl, err := o.ping(x.from, x.to, wait); err != nil || ttl != x.ttl {
				t.Errorf("%s (%s): TTL %d, %v; want %d", x.what, x.to, ttl, err, x.ttl)
			}
		}
	}
	data := bytes.Repeat([]byte("one NIC "), 1<<16)
	own := map[string]netip.Addr{"machine": netip.MustParseAddr("192.168.70.200")}
	for _, h := range o.cloud.Hosts {
		own[h.Name] = h.VTEP
	}
	for _, x := range []struct{ from, to string }{{"compute1", "compute2"}, {"compute2", "compute1"}, {"machine", "compute1"}, {"compute1", "machine"}, {"machine", "compute2"}} {
		if caller, err := o.transferAt(x.from, x.to, own[x.to], own[x.to], data); err != nil || caller != own[x.from] {
			t.Errorf("the hosts' own, %s to %s: caller %s, %v", x.from, x.to, caller, err)
		}
	}
	for _, x := range []struct{ from, to string }{{"machine", "blue2"}, {"machine", "red2"}, {"blue1", "blue2"}} {
		if _, err := o.transferAt(x.from, x.to, o.addr(x.to, false), o.addr(x.to, false), data); err != nil {
			t.Errorf("TCP from %s to %s: %v", x.from, x.to, err)
		}
	}
}

// One NIC is provider, underlay and management at once: everything works by it, the host's own traffic too, also while the agents are dead and
// after they have come back; a machine on the wire reaches router, gateway and instances, and is reached.
func TestOneNICForEverything(t *testing.T) {
	o := newOneNIC(t)
	o.everything(t)
	for _, h := range o.cloud.Hosts {
		o.must(o.planes[h.Name].Close())
	}
	o.everything(t)
	for _, h := range o.cloud.Hosts {
		o.start(h.Name)
		o.resolve(h.Name)
	}
	o.everything(t)
}
