package ebpf

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/dptest"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/linux"
)

// testCloud is dptest's demo cloud with real hosts and instances: a namespace each, an underlay between the hosts, and a veth from
// each instance to its host.
type testCloud struct {
	t      testing.TB
	cloud  *dptest.Cloud
	states map[string]*hostplan.State
	planes map[string]*Plane
	cfg    Config
	bpf    string
	prefix string
	vif    string
	// nics are the NICs of hosts on the physical network of dptest.Physnet, by host.
	nics map[string]string
	// more are physical networks beside it, by name, with the NIC that every host has on it.
	more map[string]string
}

var clouds atomic.Int32

func (c *testCloud) ns(name string) string { return c.prefix + name }

// newCloud builds hosts and instances; the planes are started, with everything applied.
func newCloud(t testing.TB, cfg Config, change func(*dptest.Cloud)) *testCloud {
	t.Helper()
	return newCloudOn(t, cfg, "veth", change)
}

// newCloudOn is newCloud with instances behind a "veth", or as a hypervisor has them: a "tap" that offers its guest
// segmentation and checksum offloads, or a "plain tap" that does not.
func newCloudOn(t testing.TB, cfg Config, vif string, change func(*dptest.Cloud)) *testCloud {
	t.Helper()
	return newCloudWith(t, cfg, vif, change, func(*testCloud) {})
}

// newCloudWith is newCloudOn with more than that made before the planes are started.
func newCloudWith(t testing.TB, cfg Config, vif string, change func(*dptest.Cloud), more func(*testCloud)) *testCloud {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes network namespaces and loads BPF programs")
	}
	c := bareCloud(t, cfg)
	c.vif = vif
	if change != nil {
		change(c.cloud)
	}
	c.states = c.cloud.States()
	c.hosts()
	for _, p := range c.cloud.Ports {
		c.instance(p)
	}
	more(c)
	for _, h := range c.cloud.Hosts {
		c.start(h.Name)
	}
	t.Cleanup(c.closePlanes)
	return c
}

// bareCloud has no hosts yet.
func bareCloud(t testing.TB, cfg Config) *testCloud {
	c := &testCloud{t: t, cloud: dptest.Demo(), planes: map[string]*Plane{}, cfg: cfg,
		prefix: fmt.Sprintf("we%d-%d-", os.Getpid(), clouds.Add(1))}
	c.must(linux.PrepareNetnsDir())
	c.states = c.cloud.States()
	c.mountBPF()
	return c
}

// closePlanes lets go of all planes and removes what they made.
func (c *testCloud) closePlanes() {
	for _, h := range c.cloud.Hosts {
		if p := c.planes[h.Name]; p != nil {
			if c.t.Failed() {
				drops, err := p.Drops()
				c.t.Logf("drops on %s: %+v %v", h.Name, drops, err)
			}
			c.must(p.Close())
		}
		c.must(linux.InNetns(c.ns(h.Name), func() error { return Cleanup(c.pins(h.Name)) }))
	}
}

func (c *testCloud) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *testCloud) mountBPF() {
	dir, err := os.MkdirTemp("", "weft-bpf-")
	c.must(err)
	c.must(unix.Mount("bpf", dir, "bpf", 0, ""))
	c.t.Cleanup(func() {
		c.must(unix.Unmount(dir, unix.MNT_DETACH))
		c.must(os.Remove(dir))
	})
	c.bpf = dir
}

func (c *testCloud) pins(host string) string { return c.bpf + "/" + host }

func (c *testCloud) netns(name string) {
	c.must(linux.CreateNetns(c.ns(name), "weft test"))
	c.t.Cleanup(func() { c.must(linux.DeleteNetns(c.ns(name))) })
}

// hosts makes the hosts' namespaces and the underlay: one veth between two hosts.
func (c *testCloud) hosts() {
	a, b := c.cloud.Hosts[0], c.cloud.Hosts[1]
	c.netns(a.Name)
	c.netns(b.Name)
	c.must(linux.AddVeth(linux.Veth{Name: "underlay", Netns: c.ns(a.Name), MTU: 1600, Peer: linux.End{Name: "underlay", Netns: c.ns(b.Name)}}))
	for _, h := range []dptest.Host{a, b} {
		c.must(linux.AddAddr(c.ns(h.Name), "underlay", netip.PrefixFrom(h.VTEP, map[bool]int{true: 24, false: 64}[h.VTEP.Is4()])))
		c.must(linux.SetUp(c.ns(h.Name), "underlay"))
	}
}

func (c *testCloud) device(port string) string {
	for _, s := range c.states {
		if e := s.Endpoints[dptest.PortID(port)]; e != nil {
			return e.Device
		}
	}
	c.t.Fatalf("no port %s", port)
	return ""
}

// instance makes a port's namespace with eth0, its addresses and its default routes.
func (c *testCloud) instance(p dptest.Port) {
	c.netns(p.Name)
	ns, mac := c.ns(p.Name), dptest.PortMAC(p.Name)
	if c.vif != "veth" {
		c.tap(p)
		c.configure(p)
		return
	}
	c.must(linux.AddVeth(linux.Veth{Name: c.device(p.Name), Netns: c.ns(p.Host), MTU: 1450,
		Peer: linux.End{Name: "eth0", Netns: ns, MAC: net.HardwareAddr(mac[:])}}))
	c.configure(p)
}

// tap makes the host's tap device and the instance's eth0, another tap, and carries frames between their files, with what
// their virtio headers say of segmentation and checksums, as a hypervisor does between a tap and its guest.
func (c *testCloud) tap(p dptest.Port) {
	offloads, mac := c.vif == "tap", dptest.PortMAC(p.Name)
	host, err := linux.OpenTap(c.ns(p.Host), c.device(p.Name), offloads)
	c.must(err)
	guest, err := linux.OpenTap(c.ns(p.Name), "eth0", offloads)
	c.must(err)
	c.must(linux.SetMAC(c.ns(p.Name), "eth0", mac[:]))
	c.must(linux.SetMTU(c.ns(p.Host), c.device(p.Name), 1450))
	c.must(linux.SetMTU(c.ns(p.Name), "eth0", 1450))
	var carry sync.WaitGroup
	for from, to := range map[*os.File]*os.File{host: guest, guest: host} {
		carry.Go(func() {
			buf := make([]byte, 1<<17)
			for {
				n, err := from.Read(buf)
				if err != nil {
					return
				}
				_, _ = to.Write(buf[:n]) // a full or downed device loses frames
			}
		})
	}
	c.t.Cleanup(func() {
		c.must(host.Close())
		c.must(guest.Close())
		carry.Wait()
	})
}

func (c *testCloud) configure(p dptest.Port) {
	ns := c.ns(p.Name)
	// The link-local address is usable at once, and no router solicitation is in the way.
	for _, key := range []string{"accept_dad", "router_solicitations"} {
		_, err := linux.SetSysctl(ns, "net/ipv6/conf/eth0/"+key, "0")
		c.must(err)
	}
	c.must(linux.SetUp(ns, "eth0"))
	e := c.states[p.Host].Endpoints[dptest.PortID(p.Name)]
	n := c.states[p.Host].Networks[e.Network]
	for _, a := range e.Addresses {
		c.must(linux.AddAddr(ns, "eth0", a))
	}
	for _, s := range n.Subnets {
		any := netip.IPv4Unspecified()
		if s.Prefix.Addr().Is6() {
			any = netip.IPv6Unspecified()
		}
		c.must(linux.ReplaceRoute(ns, "eth0", netip.PrefixFrom(any, 0), s.Gateway))
	}
}

// start makes a host's plane, or a new one in place of a dead one, and applies the State.
func (c *testCloud) start(host string) {
	c.t.Helper()
	c.must(linux.InNetns(c.ns(host), func() error {
		cfg := c.cfg
		cfg.PinDir = c.pins(host)
		p, err := New(cfg)
		if err != nil {
			return err
		}
		c.planes[host] = p
		return nil
	}))
	c.apply(host)
}

func (c *testCloud) devices(host string) map[string]dataplane.Device {
	links, err := linux.Links(c.ns(host))
	c.must(err)
	out := map[string]dataplane.Device{}
	for _, l := range links {
		if len(l.Name) > 3 && slices.Contains([]string{"tap", "wi-", "wg-"}, l.Name[:3]) {
			out[l.Name] = dataplane.Device{Name: l.Name, Index: l.Index, Up: l.Up, MTU: l.MTU}
		}
	}
	return out
}

func (c *testCloud) physical(host string) map[string][]dataplane.Device {
	if c.nics[host] == "" {
		return nil
	}
	out := map[string][]dataplane.Device{dptest.Physnet: {{Name: c.nics[host]}}}
	for physnet, nic := range c.more {
		out[physnet] = []dataplane.Device{{Name: nic}}
	}
	return out
}

func (c *testCloud) apply(host string) dataplane.Result {
	c.t.Helper()
	var res dataplane.Result
	c.must(linux.InNetns(c.ns(host), func() (err error) {
		res, err = c.planes[host].Apply(context.Background(), dataplane.Desired{State: c.states[host], Devices: c.devices(host),
			Physical: c.physical(host), InSync: true})
		return err
	}))
	if len(res.Failed) > 0 {
		c.t.Fatalf("apply on %s: %+v", host, res.Failed)
	}
	return res
}

// addr is the port's IPv4 (false) or IPv6 (true) address.
func (c *testCloud) addr(port string, v6 bool) netip.Addr {
	a := c.cloud.Port(port).Addresses
	if v6 {
		return a[1]
	}
	return a[0]
}

func portText(a netip.Addr, port int) string { return net.JoinHostPort(a.String(), strconv.Itoa(port)) }
