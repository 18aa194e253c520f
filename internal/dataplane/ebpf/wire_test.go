package ebpf

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/dataplane/dptest"
	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/linux"
)

// jumbo is the MTU of all interfaces of a wire, so that none but the plane judges sizes.
const jumbo = 9200

// wire is dptest's Demo cloud on real interfaces: instances that send and receive bare frames behind a veth or a tap.
type wire struct {
	c     *testCloud
	tap   bool
	ends  map[string]*end
	seen  chan seen
	drops map[reason.Reason]uint64
}

// end is an instance's side of its interface.
type end struct {
	send func(frame []byte) error
	stop func() error
}

// seen is a frame at an instance, or a punt.
type seen struct {
	port  string
	frame []byte
	punt  dataplane.PuntKind
}

func newWire(t *testing.T, cfg Config, tap bool) *wire {
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes network namespaces and loads BPF programs")
	}
	c := bareCloud(t, cfg)
	w := &wire{c: c, tap: tap, ends: map[string]*end{}, seen: make(chan seen, 4096)}
	c.hosts()
	var readers sync.WaitGroup
	for _, h := range c.cloud.Hosts {
		c.must(linux.SetMTU(c.ns(h.Name), "underlay", jumbo))
	}
	for _, p := range c.cloud.Ports {
		w.ends[p.Name] = w.instance(p, &readers)
	}
	for _, h := range c.cloud.Hosts {
		c.start(h.Name)
		readers.Go(func() {
			for p := range c.planes[h.Name].Punts() {
				w.seen <- seen{punt: p.Kind}
			}
		})
	}
	t.Cleanup(func() {
		for _, e := range w.ends {
			c.must(e.stop())
		}
		c.closePlanes()
		readers.Wait()
	})
	return w
}

// instance makes a port's interface and starts to listen on it.
func (w *wire) instance(p dptest.Port, readers *sync.WaitGroup) *end {
	e := w.veth
	if w.tap {
		e = w.tapEnd
	}
	out, read := e(p)
	readers.Go(func() {
		for {
			frame, err := read()
			if err != nil {
				return
			}
			if frame != nil {
				w.seen <- seen{port: p.Name, frame: frame}
			}
		}
	})
	return out
}

// veth is an instance in a namespace whose kernel keeps quiet: no address, no IPv6.
func (w *wire) veth(p dptest.Port) (*end, func() ([]byte, error)) {
	c := w.c
	c.netns(p.Name)
	ns := c.ns(p.Name)
	c.must(linux.AddVeth(linux.Veth{Name: c.device(p.Name), Netns: c.ns(p.Host), MTU: jumbo, Peer: linux.End{Name: "eth0", Netns: ns}}))
	_, err := linux.SetSysctl(ns, "net/ipv6/conf/eth0/disable_ipv6", "1")
	c.must(err)
	c.must(linux.SetMTU(ns, "eth0", jumbo))
	c.must(linux.SetUp(ns, "eth0"))
	capture, err := linux.OpenCapture(ns, "eth0", 2*jumbo)
	c.must(err)
	var fd, index int
	c.must(linux.InNetns(ns, func() error {
		ifi, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		index = ifi.Index
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		return err
	}))
	e := &end{
		send: func(b []byte) error { return unix.Sendto(fd, b, 0, &unix.SockaddrLinklayer{Ifindex: index}) },
		stop: func() error { return errors.Join(capture.Close(), unix.Close(fd)) },
	}
	return e, func() ([]byte, error) {
		f, err := capture.Read()
		if f.Outgoing {
			f.Data = nil
		}
		return f.Data, err
	}
}

// tapEnd is an instance as a hypervisor makes it: a tap whose file carries frames, without offloads.
func (w *wire) tapEnd(p dptest.Port) (*end, func() ([]byte, error)) {
	c := w.c
	f, err := linux.OpenTap(c.ns(p.Host), c.device(p.Name), false)
	c.must(err)
	c.must(linux.SetMTU(c.ns(p.Host), c.device(p.Name), jumbo))
	e := &end{
		send: func(b []byte) error {
			_, err := f.Write(append(make([]byte, linux.VnetHdrLen), b...))
			return err
		},
		stop: f.Close,
	}
	buf := make([]byte, 2*jumbo)
	return e, func() ([]byte, error) {
		n, err := f.Read(buf)
		if err != nil || n < linux.VnetHdrLen {
			return nil, err
		}
		return slices.Clone(buf[linux.VnetHdrLen:n]), nil
	}
}

// Apply implements dptest.Wire.
func (w *wire) Apply(states map[string]*hostplan.State) error {
	w.c.states = states
	for host, p := range w.c.planes {
		err := linux.InNetns(w.c.ns(host), func() error {
			res, err := p.Apply(context.Background(), dataplane.Desired{State: states[host], Devices: w.c.devices(host), InSync: true})
			if err == nil && len(res.Failed) > 0 {
				err = fmt.Errorf("%+v", res.Failed)
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("host %s: %w", host, err)
		}
	}
	return nil
}

// Forget implements dptest.Wire.
func (w *wire) Forget() error {
	for _, p := range w.c.planes {
		if err := forget(p.coll); err != nil {
			return err
		}
		var h weftHost
		if err := p.coll.Maps["config"].Lookup(uint32(0), &h); err != nil {
			return err
		}
		h.StormRate, h.PuntRate, h.ErrorRate = 0, 0, 0
		if err := p.coll.Maps["config"].Put(uint32(0), &h); err != nil {
			return err
		}
	}
	return nil
}

// dropped sums the drop counters of all hosts.
func (w *wire) dropped() (map[reason.Reason]uint64, error) {
	out := map[reason.Reason]uint64{}
	for _, p := range w.c.planes {
		drops, err := p.Drops()
		if err != nil {
			return nil, err
		}
		for _, d := range drops {
			out[d.Reason] += d.Packets
		}
	}
	return out, nil
}

// Send implements dptest.Wire.
func (w *wire) Send(port string, frame []byte, enough func(dptest.Arrived) bool) (dptest.Arrived, error) {
	a := dptest.Arrived{To: map[string][][]byte{}, Drops: map[reason.Reason]uint64{}}
	before, err := w.dropped()
	if err != nil {
		return a, err
	}
	for len(w.seen) > 0 {
		<-w.seen
	}
	if err := w.ends[port].send(frame); errors.Is(err, unix.EINVAL) {
		return a, fmt.Errorf("%w: an interface takes no frame of %d bytes", dptest.ErrSkip, len(frame))
	} else if err != nil {
		return a, fmt.Errorf("send: %w", err)
	}
	const tick, moment = time.Millisecond, 3 * time.Millisecond
	deadline, since := time.Now().Add(wait), time.Time{}
	for now := time.Now(); now.Before(deadline); now = time.Now() {
		select {
		case s := <-w.seen:
			if s.punt != 0 {
				a.Punts = append(a.Punts, s.punt)
			} else {
				a.To[s.port] = append(a.To[s.port], s.frame)
			}
			continue
		case <-time.After(tick):
		}
		after, err := w.dropped()
		if err != nil {
			return a, err
		}
		maps.DeleteFunc(after, func(r reason.Reason, n uint64) bool { return n == before[r] })
		a.Drops = after
		switch {
		case !enough(a):
			since = time.Time{}
		case since.IsZero():
			since = now
		case now.Sub(since) > moment:
			return a, nil
		}
	}
	return a, nil
}

// The table of hard packets between real interfaces, of every kind and with every way of delivery.
func TestHardPacketsOnTheWire(t *testing.T) {
	for _, x := range []struct {
		name string
		cfg  Config
		tap  bool
	}{{"veth", Config{}, false}, {"veth, plain redirect", Config{Redirect: "plain"}, false}, {"tap", Config{}, true}, {"tap, clsact", Config{Attach: "clsact"}, true}} {
		t.Run(x.name, func(t *testing.T) { dptest.RunWire(t, newWire(t, x.cfg, x.tap)) })
	}
}
