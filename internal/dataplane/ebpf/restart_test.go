package ebpf

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/dptest"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/linux"
)

// flood sends an echo request each millisecond until stop, and returns how many were sent and how many answered.
func (c *testCloud) flood(from string, to netip.Addr, stop *atomic.Bool) (sent, answered int) {
	network, proto, ask, reply := "ip4:icmp", 1, icmp.Type(ipv4.ICMPTypeEcho), icmp.Type(ipv4.ICMPTypeEchoReply)
	if to.Is6() {
		network, proto, ask, reply = "ip6:ipv6-icmp", 58, ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply
	}
	c.must(linux.InNetns(c.ns(from), func() error {
		p, err := net.ListenPacket(network, "")
		if err != nil {
			return err
		}
		defer p.Close()
		if err := p.(*net.IPConn).SetReadBuffer(1 << 23); err != nil { // a busy machine may read late
			return err
		}
		got := make(chan int, 1)
		go func() {
			seen, buf := map[int]bool{}, make([]byte, 1500)
			for {
				n, _, err := p.ReadFrom(buf)
				if err != nil {
					got <- len(seen)
					return
				}
				if m, err := icmp.ParseMessage(proto, buf[:n]); err == nil && m.Type == reply {
					seen[m.Body.(*icmp.Echo).Seq] = true
				}
			}
		}()
		for !stop.Load() {
			b, err := (&icmp.Message{Type: ask, Body: &icmp.Echo{ID: 9, Seq: sent & 0xffff}}).Marshal(nil)
			if err != nil {
				return err
			}
			if _, err := p.WriteTo(b, &net.IPAddr{IP: to.AsSlice()}); err != nil {
				return err
			}
			sent++
			time.Sleep(time.Millisecond)
		}
		time.Sleep(200 * time.Millisecond)
		err = p.SetReadDeadline(time.Now())
		answered = <-got
		return err
	}))
	return sent, answered
}

// The process dies and comes back, four times, on both hosts: no packet is lost, new flows are made in between, and what the
// kernel held is taken over: each object gets one new generation.
func TestRestart(t *testing.T) {
	c := newCloud(t, Config{}, func(d *dptest.Cloud) {
		for i := range d.Ports {
			d.Ports[i].Policy = dptest.Stateful(dptest.Any(true, false), dptest.Any(true, true), dptest.Allow(false, false, 1, -1, -1),
				dptest.Allow(false, false, 6, 7000, 7000))
		}
	})
	if _, err := c.ping("red1", c.addr("blue2", false), wait); err != nil {
		t.Fatal(err)
	}
	var stop atomic.Bool
	done := make(chan [2]int, 1)
	go func() {
		sent, answered := c.flood("red1", c.addr("blue2", false), &stop)
		done <- [2]int{sent, answered}
	}()
	for range 4 {
		for _, host := range []string{"compute1", "compute2"} {
			c.must(c.planes[host].Close()) // as a kill does: nothing is undone
			if _, err := c.ping("red3", c.addr("red2", false), wait); err != nil {
				t.Errorf("a new flow while the agent of %s is dead: %v", host, err)
			}
			if err := c.stream("red1", "red2", false, bytes.Repeat([]byte("x"), 1<<16)); err != nil {
				t.Errorf("a new stream while the agent of %s is dead: %v", host, err)
			}
			before, objects := c.generations(host)
			c.start(host)
			if after, _ := c.generations(host); after != before+objects {
				t.Errorf("generations of %d objects of %s after a restart: %d, were %d: one for each, and no more", objects, host, after, before)
			}
		}
	}
	stop.Store(true)
	if n := <-done; n[0] != n[1] {
		t.Errorf("%d pings sent, %d answered", n[0], n[1])
	} else {
		t.Logf("%d pings, none lost", n[0])
	}
}

// generations is the sum of the counters of a host's endpoints, and how many these are.
func (c *testCloud) generations(host string) (sum, endpoints uint64) {
	own, err := layout()
	c.must(err)
	coll, err := load(options{pinPath: c.pins(host) + "/" + own})
	c.must(err)
	defer coll.Close()
	var k, v uint32
	it := coll.Maps["endpoints"].Iterate()
	var e weftEndpoint
	for it.Next(&k, &e) {
		c.must(coll.Maps["gens"].Lookup(e.Gs, &v))
		sum += uint64(v)
		endpoints++
	}
	c.must(it.Err())
	return sum, endpoints
}

// Applying the same State again writes nothing; an empty State that is not in sync takes nothing away; one that is takes all.
func TestApplyTwice(t *testing.T) {
	c := newCloud(t, Config{}, nil)
	p, s := c.planes["compute1"], c.states["compute1"]
	before, _ := c.generations("compute1")
	again := *s
	c.states["compute1"] = &again
	if res := c.apply("compute1"); len(res.Programmed) != len(s.Endpoints) {
		t.Errorf("programmed: %v", res.Programmed)
	}
	if after, _ := c.generations("compute1"); after != before {
		t.Errorf("generations %d, were %d", after, before)
	}
	empty := &hostplan.State{Host: "compute1", VTEP: s.VTEP, DVRMAC: s.DVRMAC}
	for _, inSync := range []bool{false, true} {
		c.must(linux.InNetns(c.ns("compute1"), func() error {
			_, err := p.Apply(context.Background(), dataplane.Desired{State: empty, Devices: c.devices("compute1"), InSync: inSync})
			return err
		}))
		_, err := c.ping("red1", c.addr("red2", false), map[bool]time.Duration{false: wait, true: 300 * time.Millisecond}[inSync])
		if inSync != (err != nil) {
			t.Errorf("ping after an empty State, in sync %v: %v", inSync, err)
		}
	}
}

// The tunnel device, deleted under the plane, is there again after the next Apply, also one that brings nothing new.
func TestTunnelDeviceComesBack(t *testing.T) {
	c := newCloud(t, Config{}, nil)
	for range 2 {
		if _, err := c.ping("red1", c.addr("red2", false), wait); err != nil {
			t.Fatal(err)
		}
		c.must(linux.DelLink(c.ns("compute1"), VXLANDevice))
		c.apply("compute1")
	}
}
