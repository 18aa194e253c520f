package ebpf

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/dptest"
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
	// macs are those of the machines, by address.
	macs map[netip.Addr]model.MAC
}

// newOneNIC makes it; wired: blue is a flat network, too, of another NIC, with a machine2.
func newOneNIC(t testing.TB, wired bool) *oneNIC {
	o := &oneNIC{macs: map[netip.Addr]model.MAC{}}
	o.testCloud = newCloudWith(t, Config{}, "veth", func(c *dptest.Cloud) {
		dptest.RoutedProvider(c)
		c.Networks[0].VLAN = 0
		if wired {
			c.Networks[1].Physnet, c.Networks[1].Speaker = "rack2", "compute1"
		}
	}, func(c *testCloud) {
		o.testCloud = c
		c.netns("switch")
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
		o.machine("machine", 0, "br")
		if wired {
			c.more = map[string]string{"rack2": "nic1"}
			c.must(linux.AddBridge(c.ns("switch"), "br1", 1600))
			for i, h := range c.cloud.Hosts {
				port := "k" + string(rune('0'+i))
				c.must(linux.AddVeth(linux.Veth{Name: "nic1", Netns: c.ns(h.Name), MTU: 1600, Peer: linux.End{Name: port, Netns: c.ns("switch")}}))
				c.must(errors.Join(linux.SetMaster(c.ns("switch"), port, "br1"), linux.SetUp(c.ns("switch"), port), linux.SetUp(c.ns(h.Name), "nic1")))
			}
			o.machine("machine2", 1, "br1")
		}
		// Besides the instances' networks, the machine is on the hosts' own: it manages them.
		c.must(linux.AddAddr(c.ns("machine"), "eth0", netip.MustParsePrefix("192.168.70.200/24")))
	})
	for _, h := range o.cloud.Hosts {
		o.resolve(h.Name)
	}
	return o
}

// machine makes one on a network of the demo, plugged into a bridge.
func (o *oneNIC) machine(name string, network int, bridge string) {
	c, ns, port := o.testCloud, o.ns(name), "m-"+name
	mac := model.MAC{2, 0, 0, 0, 0, 0x99 + byte(network)}
	c.netns(name)
	c.must(linux.AddVeth(linux.Veth{Name: "eth0", Netns: ns, MTU: 1450, MAC: net.HardwareAddr(mac[:]), Peer: linux.End{Name: port, Netns: c.ns("switch")}}))
	c.must(errors.Join(linux.SetMaster(c.ns("switch"), port, bridge), linux.SetUp(c.ns("switch"), port), linux.SetUp(ns, "eth0")))
	for _, k := range []string{"accept_dad", "accept_ra"} {
		_, err := linux.SetSysctl(ns, "net/ipv6/conf/eth0/"+k, "0")
		c.must(err)
	}
	for _, v6 := range []bool{false, true} {
		a, via := dptest.DemoAddr(network, 200, v6), dptest.DemoAddr(network, 1, v6)
		bits, all := 24, netip.MustParsePrefix("0.0.0.0/0")
		if v6 {
			bits, all = 64, netip.MustParsePrefix("::/0")
		}
		o.macs[a] = mac
		c.must(linux.AddAddr(ns, "eth0", netip.PrefixFrom(a, bits)))
		c.must(linux.SetRoute(ns, 4, linux.Route{Dst: all, Via: via, Link: "eth0"}))
	}
}

// resolve does what the agent does with punts of next hops: it learns them and puts the packet in again where it came from, at a port or, of
// a machine, at the NIC.
func (o *oneNIC) resolve(host string) {
	p := o.planes[host]
	again := func(u dataplane.Punt) error {
		if !u.Port.IsZero() {
			return p.Resend(u.Port, u.Frame)
		}
		from := "red"
		if model.MAC(u.Frame[:6]) == dptest.LegMAC("router", "blue") {
			from = "blue"
		}
		return p.ReceiveOutside(dptest.NetworkID(from), u.Frame)
	}
	go func() {
		for u := range p.Punts() {
			if u.Kind == dataplane.PuntExternal {
				_ = linux.InNetns(o.ns(host), func() error { return errors.Join(p.Learn(u.External, u.NextHop, o.macs[u.NextHop]), again(u)) })
			}
		}
	}()
}

// Two provider networks, joined by a router: the very first packet from a machine on one to a machine on the other arrives,
// and so does the answer.
func TestFirstPacketBetweenWires(t *testing.T) {
	o := newOneNIC(t, true)
	for _, v6 := range []bool{false, true} {
		for _, x := range []struct {
			from string
			to   netip.Addr
		}{{"machine", dptest.DemoAddr(1, 200, v6)}, {"machine2", dptest.DemoAddr(0, 200, v6)}} {
			if ttl, err := o.ping(x.from, x.to, wait); err != nil || ttl != 63 {
				t.Errorf("%s to %s: TTL %d, %v", x.from, x.to, ttl, err)
			}
		}
	}
	data := bytes.Repeat([]byte("two wires "), 1<<14)
	to := dptest.DemoAddr(1, 200, false)
	if caller, err := o.transferAt("machine", "machine2", to, to, data); err != nil || caller != dptest.DemoAddr(0, 200, false) {
		t.Errorf("TCP: caller %s, %v", caller, err)
	}
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
	o := newOneNIC(t, false)
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
