package ebpf

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/dptest"
	"github.com/weft-cloud/weft/internal/linux"
)

// beyond is the testCloud's world: the outside's router and a stranger behind it, whose kernel is a plain one, on the wire of
// compute1's NIC, which has an address of the host's own, too.
type beyond struct {
	*testCloud
	own netip.Addr // the host's
}

const nicName = "nic0"

// newBeyond is a cloud with floating IPs whose host compute1 has a NIC.
func newBeyond(t testing.TB, cfg Config, vif string, change func(*dptest.Cloud)) *beyond {
	b := &beyond{own: netip.MustParseAddr("203.0.113.21")}
	b.testCloud = newCloudWith(t, cfg, vif, func(c *dptest.Cloud) {
		dptest.NorthSouth(c)
		if change != nil {
			change(c)
		}
	}, func(c *testCloud) {
		b.testCloud = c
		c.netns("world")
		mac := dptest.OutsideRouterMAC
		c.must(linux.AddVeth(linux.Veth{Name: nicName, Netns: c.ns("compute1"), MTU: 1500,
			Peer: linux.End{Name: "wire", Netns: c.ns("world"), MAC: net.HardwareAddr(mac[:])}}))
		c.must(linux.AddAddr(c.ns("world"), "wire", netip.PrefixFrom(dptest.OutsideRouter, 24)))
		c.must(linux.AddAddr(c.ns("world"), "lo", netip.PrefixFrom(dptest.Stranger, 32)))
		for _, link := range []string{"wire", "lo"} {
			_, err := linux.SetSysctl(c.ns("world"), "net/ipv6/conf/"+link+"/accept_dad", "0")
			c.must(err)
		}
		c.must(linux.AddAddr(c.ns("world"), "wire", netip.PrefixFrom(dptest.OutsideRouter6, 64)))
		c.must(linux.AddAddr(c.ns("world"), "lo", netip.PrefixFrom(dptest.Stranger6, 128)))
		c.must(linux.SetUp(c.ns("world"), "wire"))
		for i := range 2 { // inner prefixes are on-link: who has a proxied address is asked for
			c.must(linux.ReplaceRoute(c.ns("world"), "wire", netip.PrefixFrom(dptest.DemoAddr(i, 0, true), 64), netip.Addr{}))
		}
		c.must(linux.AddAddr(c.ns("compute1"), nicName, netip.PrefixFrom(b.own, 24)))
		c.must(linux.SetUp(c.ns("compute1"), nicName))
		c.nics = map[string]string{"compute1": nicName}
	})
	b.resolve("compute1")
	return b
}

// resolve does what the agent does with punts of next hops: it learns them, and sends the packet again.
func (b *beyond) resolve(host string) {
	p := b.planes[host]
	go func() {
		for u := range p.Punts() {
			if u.Kind == dataplane.PuntFragment {
				_ = linux.InNetns(b.ns(host), func() error { return b.cut(p, u) })
			}
			if u.Kind != dataplane.PuntExternal {
				continue
			}
			_ = linux.InNetns(b.ns(host), func() error {
				return errors.Join(p.Learn(u.External, u.NextHop, dptest.OutsideRouterMAC), p.Resend(u.Port, u.Frame))
			})
		}
	}()
}

// cut does what the agent does with fragments of strangers that must be cut again: two of each.
func (b *beyond) cut(p *Plane, u dataplane.Punt) error {
	const ip, head, half = 14, 34, 800
	flags := binary.BigEndian.Uint16(u.Frame[ip+6:])
	var errs []error
	for at := 0; at < len(u.Frame)-head; at += half {
		data := u.Frame[head+at : min(len(u.Frame), head+at+half)]
		f := slices.Concat(u.Frame[:head], data)
		more := flags & 0x2000
		if at+half < len(u.Frame)-head {
			more = 0x2000
		}
		binary.BigEndian.PutUint16(f[ip+2:], uint16(len(f)-ip))
		binary.BigEndian.PutUint16(f[ip+6:], flags&0x1fff+uint16(at/8)|more)
		binary.BigEndian.PutUint16(f[ip+10:], 0)
		var sum uint32
		for i := ip; i < head; i += 2 {
			sum += uint32(binary.BigEndian.Uint16(f[i:]))
		}
		binary.BigEndian.PutUint16(f[ip+10:], ^uint16(sum&0xffff+sum>>16))
		if u.Port.IsZero() {
			errs = append(errs, p.ReceiveOutside(u.External, f))
		} else {
			errs = append(errs, p.Resend(u.Port, f))
		}
	}
	return errors.Join(errs...)
}

// transferAt sends data over TCP from one namespace to an address in another, there and back, and reports who was seen to call. The
// listener knows its own address as own.
func (c *testCloud) transferAt(from, to string, at, own netip.Addr, data []byte) (caller netip.Addr, err error) {
	var l net.Listener
	err = linux.InNetns(c.ns(to), func() (err error) {
		l, err = net.Listen("tcp", portText(own, 7001))
		return err
	})
	if err != nil {
		return caller, err
	}
	defer l.Close()
	type result struct {
		caller netip.Addr
		err    error
	}
	got := make(chan result, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			got <- result{err: err}
			return
		}
		defer conn.Close()
		who, _ := netip.ParseAddrPort(conn.RemoteAddr().String())
		b, err := io.ReadAll(conn)
		if err == nil && !bytes.Equal(b, data) {
			err = fmt.Errorf("%d bytes arrived, not the %d sent", len(b), len(data))
		}
		if err == nil {
			_, err = conn.Write(b)
		}
		got <- result{who.Addr(), err}
	}()
	err = linux.InNetns(c.ns(from), func() error {
		d := net.Dialer{Timeout: 2 * wait}
		conn, err := d.DialContext(context.Background(), "tcp", portText(at, 7001))
		if err != nil {
			return err
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(60 * time.Second)); err != nil {
			return err
		}
		if _, err = conn.Write(data); err != nil {
			return err
		}
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			return err
		}
		back, err := io.ReadAll(conn)
		if err == nil && !bytes.Equal(back, data) {
			err = fmt.Errorf("%d bytes came back, not the %d sent", len(back), len(data))
		}
		return err
	})
	if err != nil {
		return caller, err
	}
	r := <-got
	return r.caller, r.err
}

// datagram sends one over UDP and back within that time, and reports who was seen to call.
func (c *testCloud) datagram(from, to string, at, own netip.Addr, size int, patience time.Duration) (caller netip.Addr, err error) {
	var l net.PacketConn
	err = linux.InNetns(c.ns(to), func() (err error) {
		l, err = net.ListenPacket("udp", portText(own, 7002))
		return err
	})
	if err != nil {
		return caller, err
	}
	defer l.Close()
	data := bytes.Repeat([]byte{0xa5, 1, 2}, size/3)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		buf := make([]byte, 1<<16)
		_ = l.SetDeadline(time.Now().Add(patience))
		n, who, err := l.ReadFrom(buf)
		if err != nil {
			return
		}
		at, _ := netip.ParseAddrPort(who.String())
		caller = at.Addr()
		_, _ = l.WriteTo(buf[:n], who)
	})
	err = linux.InNetns(c.ns(from), func() error {
		conn, err := net.DialTimeout("udp", portText(at, 7002), wait)
		if err != nil {
			return err
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		if _, err := conn.Write(data); err != nil {
			return err
		}
		buf := make([]byte, 1<<16)
		n, err := conn.Read(buf)
		if err == nil && !bytes.Equal(buf[:n], data) {
			err = fmt.Errorf("%d bytes came back, not the %d sent", n, len(data))
		}
		return err
	})
	return caller, err
}

// Real connections through floating IPs, in both directions, whole and in pieces, of every kind of interface; between floating IPs of one
// host; and the host's own on the same NIC, also when the agent is dead.
func TestFloatingTraffic(t *testing.T) {
	for _, x := range []struct {
		name, vif string
		cfg       Config
	}{{"veth", "veth", Config{}}, {"veth, clsact, plain redirect", "veth", Config{Attach: "clsact", Redirect: "plain"}}, {"tap", "tap", Config{}}, {"plain tap", "plain tap", Config{}}} {
		t.Run(x.name, func(t *testing.T) {
			b := newBeyond(t, x.cfg, x.vif, func(c *dptest.Cloud) {
				for i := range c.Ports {
					c.Ports[i].Policy = dptest.Stateful(dptest.Any(true, false), dptest.Any(true, true), dptest.Allow(false, false, 6, 7001, 7001),
						dptest.Allow(false, false, 17, 7002, 7002), dptest.Allow(false, false, 1, -1, -1),
						dptest.Allow(false, true, 6, 7001, 7001), dptest.Allow(false, true, 17, 7002, 7002), dptest.Allow(false, true, 58, -1, -1))
				}
			})
			b.everything(t, 5000)
			b.must(b.planes["compute1"].Close())
			b.everything(t, 1400) // by what hangs in the kernel; to cut a stranger's packets takes the agent
			b.start("compute1")
			b.resolve("compute1")
			b.everything(t, 5000)
		})
	}
}

// everything tries all ways, UDP with small datagrams and with ones of that size.
func (b *beyond) everything(t *testing.T, large int) {
	t.Helper()
	data := bytes.Repeat([]byte("floating"), 1<<17)
	float, fixed := dptest.FloatingOf("red1"), b.addr("red1", false)
	for _, x := range []struct {
		what, from, to  string
		at, own, caller netip.Addr
	}{
		{"out", "red1", "world", dptest.Stranger, dptest.Stranger, float},
		{"in", "world", "red1", float, fixed, dptest.OutsideRouter},
		{"same router", "red1", "blue1", dptest.FloatingOf("blue1"), b.addr("blue1", false), float},
		{"another tenant's router", "red1-b", "red1", float, fixed, dptest.FloatingOf("red1-b")},
		{"to oneself", "red1", "red1", float, fixed, float},
		{"IPv6 by an NDP proxy, out", "red1", "world", dptest.Stranger6, dptest.Stranger6, b.addr("red1", true)},
		{"IPv6 by an NDP proxy, in", "world", "red1", b.addr("red1", true), b.addr("red1", true), dptest.OutsideRouter6},
		{"IPv6 by another NDP proxy, in", "world", "blue1", b.addr("blue1", true), b.addr("blue1", true), dptest.OutsideRouter6},
		{"the host's own, out", "compute1", "world", dptest.OutsideRouter, dptest.OutsideRouter, b.own},
		{"the host's own, in", "world", "compute1", b.own, b.own, dptest.OutsideRouter},
	} {
		if caller, err := b.transferAt(x.from, x.to, x.at, x.own, data); err != nil || caller != x.caller {
			t.Errorf("%s: TCP: caller %s, %v; want caller %s", x.what, caller, err, x.caller)
		}
		for _, size := range []int{300, large} {
			patience := []time.Duration{2 * wait}
			if x.at.Is6() && size > 1280 { // the first one that is too big is lost each way, and says how large they may be
				patience = []time.Duration{wait / 8, wait / 8, 2 * wait}
			}
			caller, err := b.datagram(x.from, x.to, x.at, x.own, size, patience[0])
			for _, d := range patience[1:] {
				if err != nil {
					caller, err = b.datagram(x.from, x.to, x.at, x.own, size, d)
				}
			}
			if err != nil || caller != x.caller {
				t.Errorf("%s: %d bytes of UDP: caller %s, %v; want caller %s", x.what, size, caller, err, x.caller)
			}
		}
	}
	for _, x := range []struct {
		from string
		to   netip.Addr
	}{{"red1", dptest.Stranger}, {"red1", dptest.Stranger6}, {"world", b.addr("red1", true)}} {
		if ttl, err := b.ping(x.from, x.to, wait); err != nil || ttl != 63 {
			t.Errorf("ping %s from %s: TTL %d, %v", x.to, x.from, ttl, err)
		}
	}
	if _, err := b.ping("world", b.addr("red3", true), 300*time.Millisecond); err == nil {
		t.Error("an address whose proxy is the gateway host's is answered for on the instance's")
	}
}

// The outside knows a proxied address by the host's DVR MAC, which the NIC takes as long as there is a proxy; a stranger that wants such an
// address for itself learns that it is taken.
func TestProxiedAddressOutside(t *testing.T) {
	b := newBeyond(t, Config{}, "veth", nil)
	mac := dptest.DVRMAC("compute1").String()
	if ttl, err := b.ping("world", b.addr("red1", true), wait); err != nil || ttl != 63 {
		t.Fatalf("ping: hop limit %d, %v", ttl, err)
	}
	known := b.inWorld("ip", "-6", "neighbour", "show", b.addr("red1", true).String(), "dev", "wire")
	if !strings.Contains(known, mac) || strings.Contains(known, "router") {
		t.Errorf("the outside knows %q, not %s", known, mac)
	}
	list := func() (out []byte) {
		b.must(linux.InNetns(b.ns("compute1"), func() (err error) { out, err = fdb(nicName); return err }))
		return out
	}
	if !bytes.Contains(list(), []byte(mac)) {
		t.Errorf("the NIC does not take frames for %s:\n%s", mac, list())
	}
	_, err := linux.SetSysctl(b.ns("world"), "net/ipv6/conf/wire/accept_dad", "1")
	b.must(err)
	for addr, taken := range map[netip.Addr]bool{b.addr("red1", true): true, b.addr("red3", true): false} {
		b.inWorld("ip", "-6", "address", "add", addr.String()+"/64", "dev", "wire")
		state := ""
		for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			if state = b.inWorld("ip", "-6", "address", "show", "dev", "wire", "to", addr.String()); !strings.Contains(state, "tentative") || strings.Contains(state, "dadfailed") {
				break
			}
		}
		if strings.Contains(state, "dadfailed") != taken {
			t.Errorf("%s is to be taken (%v), but the stranger has\n%s", addr, taken, state)
		}
		b.inWorld("ip", "-6", "address", "delete", addr.String()+"/64", "dev", "wire")
	}
	id := dptest.ProxyID(b.addr("red1", true))
	if res := b.apply("compute1"); !res.NDPProxies[id] || res.NDPProxies[dptest.ProxyID(b.addr("red2", true))] {
		t.Errorf("answered for: %v", res.NDPProxies)
	}
	b.cloud.Proxies = nil
	b.states = b.cloud.States()
	if res := b.apply("compute1"); len(res.NDPProxies) != 0 {
		t.Errorf("answered for: %v", res.NDPProxies)
	}
	if bytes.Contains(list(), []byte(mac)) {
		t.Errorf("the NIC still takes frames for %s:\n%s", mac, list())
	}
	if _, err := b.ping("world", b.addr("red1", true), 300*time.Millisecond); err == nil {
		t.Error("an address without a proxy is reached")
	}
}

// inWorld is what a command in the outside's namespace says.
func (b *beyond) inWorld(args ...string) string {
	var out []byte
	b.must(linux.InNetns(b.ns("world"), func() (err error) { out, err = exec.Command(args[0], args[1:]...).CombinedOutput(); return err }))
	return string(out)
}

// A NIC takes frames for floating IPs and no longer when they are gone; one that carries a tagged network takes all.
func TestNICFilter(t *testing.T) {
	b := newBeyond(t, Config{}, "veth", nil)
	list := func() []byte {
		var out []byte
		b.must(linux.InNetns(b.ns("compute1"), func() (err error) {
			out, err = fdb(nicName)
			return err
		}))
		return out
	}
	mac := []byte(dptest.FloatingMAC(dptest.FloatingOf("red1")).String())
	if !bytes.Contains(list(), mac) {
		t.Errorf("the NIC does not take frames for %s:\n%s", mac, list())
	}
	b.must(b.planes["compute1"].Close())
	b.cloud.FloatingIPs, b.cloud.Proxies = nil, nil
	b.states = b.cloud.States()
	b.start("compute1") // a new process takes back what the former one told
	if bytes.Contains(list(), mac) {
		t.Errorf("the NIC still takes frames for %s:\n%s", mac, list())
	}
	for vlan, want := range map[uint16]bool{7: true, 0: false} {
		b.cloud.Externals[0].VLAN = vlan
		b.states = b.cloud.States()
		b.apply("compute1")
		if on, err := linux.Promiscuous(b.ns("compute1"), nicName); err != nil || on != want {
			t.Errorf("VLAN %d: promiscuous %v, %v", vlan, on, err)
		}
	}
}

// A NIC whose filter takes no more takes all frames instead, and that is said in words, until it is over.
func TestNICFilterFull(t *testing.T) {
	b := newBeyond(t, Config{}, "veth", nil)
	apply := func(nic string) (res dataplane.Result) {
		b.must(linux.InNetns(b.ns("compute1"), func() (err error) {
			res, err = b.planes["compute1"].Apply(context.Background(), dataplane.Desired{State: b.states["compute1"], Devices: b.devices("compute1"),
				Physical: map[string][]dataplane.Device{dptest.Physnet: {{Name: nic}}}, InSync: true})
			return err
		}))
		return res
	}
	// No Ethernet interface: the kernel refuses every MAC.
	res := apply("lo")
	if len(res.Failed) != 1 || res.Failed[0].ID != "lo" || !strings.Contains(res.Failed[0].Why, "takes every frame instead") {
		t.Errorf("failed: %+v", res.Failed)
	}
	if on, err := linux.Promiscuous(b.ns("compute1"), "lo"); err != nil || !on {
		t.Errorf("promiscuous %v, %v", on, err)
	}
	if res := apply(nicName); len(res.Failed) != 0 {
		t.Errorf("failed: %+v", res.Failed)
	}
}

// Which floating IPs are translated is told truly: not without the NIC, nor without the instance's interface.
func TestFloatingIPsAreReported(t *testing.T) {
	b := newBeyond(t, Config{}, "veth", nil)
	id := dptest.FloatingID(dptest.FloatingOf("red1"))
	if res := b.apply("compute1"); !res.FloatingIPs[id] || res.FloatingIPs[dptest.FloatingID(dptest.FloatingOf("red2"))] {
		t.Errorf("translated: %v", res.FloatingIPs)
	}
	b.nics = nil
	if res := b.apply("compute1"); len(res.FloatingIPs) != 0 {
		t.Errorf("translated without a NIC: %v", res.FloatingIPs)
	}
	b.nics = map[string]string{"compute1": nicName}
	b.must(linux.DelLink(b.ns("compute1"), b.device("red1")))
	if res := b.apply("compute1"); res.FloatingIPs[id] {
		t.Error("translated without the instance's interface")
	}
}

// Connections through a floating IP, and to a proxied address, live through restarts of the agent.
func TestFloatingRestart(t *testing.T) {
	b := newBeyond(t, Config{}, "veth", nil)
	talks := []talk{b.talkAt("world", "red1", dptest.FloatingOf("red1"), b.addr("red1", false)),
		b.talkAt("world", "red1", b.addr("red1", true), b.addr("red1", true))}
	run := func() {
		for _, x := range talks {
			b.must(x.run(50))
		}
	}
	for range 3 {
		run()
		b.must(b.planes["compute1"].Close())
		run()
		b.start("compute1")
	}
	run()
	for _, x := range talks {
		x.close()
	}
}

// fdb is the list of MACs that an interface was told.
func fdb(link string) ([]byte, error) {
	return exec.Command("bridge", "fdb", "show", "dev", link).CombinedOutput()
}
