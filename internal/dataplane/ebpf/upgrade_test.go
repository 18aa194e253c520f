package ebpf

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/dptest"
	"github.com/weft-cloud/weft/internal/linux"
)

// Another build, whose maps have another layout, takes the place of this one and gives it back, under load, on both hosts: no
// echo is lost, no established stream breaks, no new connection fails, and nothing that no rule allows gets through. Answers
// pass by connections alone. Nothing of the former layout stays.
func TestUpgradeAndRollback(t *testing.T) {
	for _, x := range []struct {
		attach, vif string
		v6          bool
	}{{"auto", "tap", true}, {"clsact", "veth", false}} {
		t.Run(x.attach+" "+x.vif, func(t *testing.T) { upgradeAndRollback(t, x.attach, x.vif, x.v6) })
	}
}

func upgradeAndRollback(t *testing.T, attach, vif string, v6 bool) {
	c := newCloudOn(t, Config{Attach: attach}, vif, guardedInstances)
	if _, err := c.ping("red1", c.addr("blue2", v6), wait); err != nil {
		t.Fatal(err)
	}
	l := newTraffic(c, v6)
	layouts := map[string]string{}
	for round, spec := range []func() (*ebpf.CollectionSpec, error){loadNext, loadWeft, loadNext, loadWeft} {
		for _, host := range []string{"compute1", "compute2"} {
			before := c.drops(host, reason.PolicyIngress)
			c.must(c.planes[host].Close()) // as a kill does: nothing is undone
			c.cfg.spec = spec
			c.start(host)
			if c.planes[host].over != nil {
				t.Fatalf("round %d: %s did not take over", round, host)
			}
			found, err := filepath.Glob(filepath.Join(c.pins(host), "*"))
			c.must(err)
			if len(found) != 1 || found[0] == layouts[host] {
				t.Errorf("round %d: layouts of %s: %v, was %s", round, host, found, layouts[host])
			}
			layouts[host] = found[0]
			if after := c.drops(host, reason.PolicyIngress); after < before {
				t.Errorf("round %d: drops of %s: %d, were %d: counts were lost", round, host, after, before)
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	l.finish(t)
}

// A process dies after each step of a takeover, and the next one is of the new build, or of the old: no echo is lost, the stream does
// not break, no new connection fails and nothing gets through, while it is dead and after.
func TestUpgradeThatDies(t *testing.T) {
	t.Run("veth", func(t *testing.T) { upgradeThatDies(t, "veth", false, "copied", "opened", "replaced") })
	t.Run("tap", func(t *testing.T) { upgradeThatDies(t, "tap", true, "gated", "copied again", "alone") })
}

func upgradeThatDies(t *testing.T, vif string, v6 bool, steps ...string) {
	c := newCloudOn(t, Config{}, vif, guardedInstances)
	l := newTraffic(c, v6)
	now, other := loadWeft, loadNext
	for i, step := range steps {
		for _, back := range []bool{true, false} {
			const host = "compute1"
			c.must(c.planes[host].Close())
			died := false
			c.cfg.spec, c.cfg.dies = other, func(at string) error {
				if at == step {
					died = true
					return errors.New("dies here")
				}
				return nil
			}
			if err := c.tryStart(host); err == nil || !died {
				t.Fatalf("%s: it should have died: %v", step, err)
			}
			time.Sleep(50 * time.Millisecond)
			c.must(c.planes[host].Close())
			c.cfg.dies = nil
			if back {
				c.cfg.spec = now
			}
			c.start(host)
			if found, err := filepath.Glob(filepath.Join(c.pins(host), "*")); err != nil || len(found) != 1 {
				t.Errorf("step %d %s, back %v: layouts %v, %v", i, step, back, found, err)
			}
			if !back {
				now, other = other, now
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	l.finish(t)
}

// tryStart makes a host's plane and applies the State; the error is the first failure.
func (c *testCloud) tryStart(host string) error {
	return linux.InNetns(c.ns(host), func() error {
		cfg := c.cfg
		cfg.PinDir = c.pins(host)
		p, err := New(cfg)
		if err != nil {
			return err
		}
		c.planes[host] = p
		res, err := p.Apply(context.Background(), dataplane.Desired{State: c.states[host], Devices: c.devices(host), InSync: true})
		if err == nil && len(res.Failed) > 0 {
			err = errors.New(res.Failed[0].Why)
		}
		return err
	})
}

// guardedInstances lets answers pass by connections alone, but for what red2 and blue2 serve.
func guardedInstances(d *dptest.Cloud) {
	for i := range d.Ports {
		d.Ports[i].Policy = dptest.Stateful(dptest.Any(true, false), dptest.Any(true, true))
	}
	for _, in := range []string{"blue2", "red2"} {
		d.Port(in).Policy = dptest.Stateful(dptest.Any(true, false), dptest.Any(true, true), dptest.Allow(false, false, 1, -1, -1),
			dptest.Allow(false, true, 58, -1, -1), dptest.Allow(false, false, 6, 7000, 7000), dptest.Allow(false, true, 6, 7000, 7000))
	}
}

// drops is a counter of a host.
func (c *testCloud) drops(host string, why reason.Reason) (n uint64) {
	drops, err := c.planes[host].Drops()
	c.must(err)
	for _, d := range drops {
		if d.Reason == why {
			n += d.Packets
		}
	}
	return n
}

// traffic is load of every kind that counts.
type traffic struct {
	c                                *testCloud
	udp                              string // the network of what is forbidden
	stop                             atomic.Bool
	echoes                           chan [2]int
	floods                           int
	opened, failed, forbidden, moved atomic.Int64
	why                              atomic.Value
	done                             chan error
	parts                            int
}

func newTraffic(c *testCloud, v6 bool) *traffic {
	l := newLoad(c)
	if v6 {
		l.udp = "udp6"
	}
	l.echo("red1", c.addr("blue2", v6))
	l.serve("red2")
	l.talk("red1", c.addr("red2", v6))
	heard := make(chan struct{})
	l.part("red3", func() error { return l.forbid(heard) })
	<-heard
	l.part("red2", func() error { return l.knock(portText(c.addr("red3", v6), 9000)) })
	return l
}

// newLoad is no load yet.
func newLoad(c *testCloud) *traffic {
	return &traffic{c: c, udp: "udp4", echoes: make(chan [2]int, 32), done: make(chan error, 32)}
}

// part does something in a namespace until finish.
func (l *traffic) part(ns string, do func() error) {
	l.parts++
	go func() { l.done <- linux.InNetns(l.c.ns(ns), do) }()
}

// echo sends requests from a namespace to an address.
func (l *traffic) echo(from string, to netip.Addr) {
	l.floods++
	go func() {
		sent, answered := l.c.flood(from, to, &l.stop)
		l.echoes <- [2]int{sent, answered}
	}()
}

// serve answers talk in a namespace.
func (l *traffic) serve(ns string) {
	ready := make(chan struct{})
	l.part(ns, func() error { return l.listen(ready) })
	<-ready
}

// talk is a stream, and new connections beside it, from a namespace to an address at which one serves.
func (l *traffic) talk(from string, to netip.Addr) {
	l.part(from, func() error { return l.stream(portText(to, 7000)) })
	l.part(from, func() error { return l.dial(portText(to, 7000)) })
}

// listen accepts connections and sends back what comes.
func (l *traffic) listen(ready chan<- struct{}) error {
	s, err := net.Listen("tcp", ":7000")
	if err != nil {
		return err
	}
	close(ready)
	go func() {
		for !l.stop.Load() {
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(500 * time.Millisecond)
		s.Close()
	}()
	for {
		conn, err := s.Accept()
		if err != nil {
			return nil
		}
		go func() {
			defer conn.Close()
			buf := make([]byte, 1<<16)
			for {
				n, err := conn.Read(buf)
				if err != nil {
					return
				}
				if _, err := conn.Write(buf[:n]); err != nil {
					return
				}
			}
		}()
	}
}

// stream is one connection that lives through it all; what is sent comes back within a second.
func (l *traffic) stream(to string) error {
	conn, err := net.Dial("tcp", to)
	if err != nil {
		return err
	}
	defer conn.Close()
	buf := make([]byte, 1000)
	for !l.stop.Load() {
		if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
			return err
		}
		if _, err := conn.Write(buf); err != nil {
			return fmt.Errorf("the stream broke: %w", err)
		}
		for n := 0; n < len(buf); {
			m, err := conn.Read(buf[n:])
			if err != nil {
				return fmt.Errorf("the stream broke: %w", err)
			}
			n += m
		}
		l.moved.Add(1)
		time.Sleep(time.Millisecond)
	}
	return nil
}

// dial opens connection after connection; a lost SYN would take a second.
func (l *traffic) dial(to string) error {
	for !l.stop.Load() {
		ctx, cancel := context.WithTimeout(context.Background(), 900*time.Millisecond)
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", to)
		cancel()
		if err != nil {
			l.failed.Add(1)
			l.why.Store(err.Error())
			continue
		}
		l.opened.Add(1)
		conn.Close()
		time.Sleep(2 * time.Millisecond)
	}
	return nil
}

// forbid listens where nothing may arrive, knock sends there.
func (l *traffic) forbid(ready chan<- struct{}) error {
	conn, err := net.ListenPacket(l.udp, ":9000")
	if err != nil {
		return err
	}
	defer conn.Close()
	close(ready)
	for buf := make([]byte, 100); !l.stop.Load(); {
		if err := conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
			return err
		}
		if _, _, err := conn.ReadFrom(buf); err == nil {
			l.forbidden.Add(1)
		} else if !os.IsTimeout(err) {
			return err
		}
	}
	return nil
}

func (l *traffic) knock(to string) error {
	conn, err := net.Dial(l.udp, to)
	if err != nil {
		return err
	}
	defer conn.Close()
	for !l.stop.Load() {
		_, _ = conn.Write([]byte("x")) // refusals are not told
		time.Sleep(time.Millisecond)
	}
	return nil
}

func (l *traffic) finish(t *testing.T) {
	t.Helper()
	l.stop.Store(true)
	for range l.parts {
		if err := <-l.done; err != nil {
			t.Error(err)
		}
	}
	all := 0
	for range l.floods {
		echoes := <-l.echoes
		if echoes[0] != echoes[1] || echoes[0] < 100 {
			t.Errorf("%d echoes sent, %d answered", echoes[0], echoes[1])
		}
		all += echoes[0]
	}
	if l.failed.Load() > 0 || l.opened.Load() < 20 {
		t.Errorf("%d connections opened, %d failed: %v", l.opened.Load(), l.failed.Load(), l.why.Load())
	}
	if l.forbidden.Load() > 0 {
		t.Errorf("%d packets arrived that no rule allows", l.forbidden.Load())
	}
	t.Logf("%d echoes, %d round trips of one stream, %d new connections: none lost; nothing forbidden arrived", all, l.moved.Load(), l.opened.Load())
}

// A build with another layout takes over, and is rolled back: what answers a question of before passes by the connection that was taken over,
// for no rule allows it. The shortest upgrade there is, for kernels that are emulated: there it is not rolled back.
func TestTakeover(t *testing.T) {
	c := newCloudOn(t, Config{}, "tap", func(d *dptest.Cloud) {
		d.Port("red1").Policy = dptest.Stateful(dptest.Any(true, false), dptest.Any(true, true))
	})
	socket := func(instance, network string) (s net.PacketConn) {
		c.must(linux.InNetns(c.ns(instance), func() (err error) { s, err = net.ListenPacket(network, ":9000"); return err }))
		t.Cleanup(func() { s.Close() })
		c.must(s.SetReadDeadline(time.Now().Add(3 * time.Minute)))
		return s
	}
	asks, answers, from := map[string]net.PacketConn{}, map[string]net.PacketConn{}, map[string]net.Addr{}
	buf := make([]byte, 100)
	for _, network := range []string{"udp4", "udp6"} {
		asks[network], answers[network] = socket("red1", network), socket("red2", network)
		_, err := asks[network].WriteTo([]byte("question"), net.UDPAddrFromAddrPort(netip.AddrPortFrom(c.addr("red2", network == "udp6"), 9000)))
		c.must(err)
		_, from[network], err = answers[network].ReadFrom(buf)
		c.must(err)
	}
	const host = "compute1"
	builds := []func() (*ebpf.CollectionSpec, error){loadNext, loadWeft}
	if testing.Short() {
		builds = builds[:1]
	}
	for _, spec := range builds {
		former, err := filepath.Glob(filepath.Join(c.pins(host), "*"))
		c.must(err)
		c.must(c.planes[host].Close())
		c.cfg.spec = spec
		c.start(host)
		found, err := filepath.Glob(filepath.Join(c.pins(host), "*"))
		c.must(err)
		if c.planes[host].over != nil || len(found) != 1 || found[0] == former[0] {
			t.Errorf("not taken over: layouts %v, was %v", found, former)
		}
		for network, s := range answers {
			_, err := s.WriteTo([]byte("answer"), from[network])
			c.must(err)
			if _, _, err := asks[network].ReadFrom(buf); err != nil {
				t.Errorf("%s: the connection of before is not known to %v: %v", network, found, err)
			}
		}
	}
}
