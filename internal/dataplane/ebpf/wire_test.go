package ebpf

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/dptest"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/linux"
	"github.com/weft-cloud/weft/internal/model"
)

// jumbo is the MTU of all interfaces of a wire, so that none but the plane judges sizes.
const jumbo = 9200

// wire is dptest's Demo cloud on real interfaces: instances that send and receive bare frames behind a veth or a tap.
type wire struct {
	c    *testCloud
	tap  bool
	ends map[string]*end
	seen chan seen
}

// end is an instance's side of its interface.
type end struct {
	// send with a segment leaves the frame to the kernel to cut.
	send func(frame []byte, segment int) error
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
		w.ends[p.Name] = w.join(p.Name, p.Host, c.device(p.Name), &readers)
	}
	w.outside(&readers)
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

// outside makes the hosts' NICs, always as taps, which carry tags and large packets in both directions as they are; and the legs of the
// central parts of routers, which are interfaces like those of instances.
func (w *wire) outside(readers *sync.WaitGroup) {
	c := w.c
	full := dptest.Demo()
	dptest.NorthSouth(full)
	c.nics = map[string]string{}
	for name, s := range full.States() {
		out, read := w.tapEnd(name, nicName)
		_, err := linux.SetSysctl(c.ns(name), "net/ipv6/conf/"+nicName+"/disable_ipv6", "1")
		c.must(err)
		c.must(linux.SetUp(c.ns(name), nicName))
		w.ends[dptest.NIC(name)] = out
		w.listen(dptest.NIC(name), read, readers)
		c.nics[name] = nicName
		for _, x := range s.Centrals {
			legs := map[model.PortID]string{x.Gateway.Port: x.OuterDevice}
			for _, l := range x.Legs {
				legs[l.Port] = l.Device
			}
			for id, device := range legs {
				port := full.PortNames()[id]
				w.ends[port] = w.join(port, name, device, readers)
			}
		}
	}
}

// join makes the interface of a port of a host and starts to listen on it.
func (w *wire) join(port, host, device string, readers *sync.WaitGroup) *end {
	e := w.veth
	if w.tap {
		e = w.tapEnd
	}
	out, read := e(host, device)
	w.listen(port, read, readers)
	return out
}

func (w *wire) listen(port string, read func() ([]byte, error), readers *sync.WaitGroup) {
	readers.Go(func() {
		for {
			frame, err := read()
			if err != nil {
				return
			}
			if frame != nil {
				w.seen <- seen{port: port, frame: frame}
			}
		}
	})
}

// veth is an instance in a namespace whose kernel keeps quiet: no address, no IPv6.
func (w *wire) veth(host, device string) (*end, func() ([]byte, error)) {
	c := w.c
	c.netns(device)
	ns := c.ns(device)
	c.must(linux.AddVeth(linux.Veth{Name: device, Netns: c.ns(host), MTU: jumbo, Peer: linux.End{Name: "eth0", Netns: ns}}))
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
		send: func(b []byte, segment int) error {
			if segment > 0 {
				return fmt.Errorf("%w: a packet socket takes no frame that is to be cut", dptest.ErrSkip)
			}
			return unix.Sendto(fd, b, 0, &unix.SockaddrLinklayer{Ifindex: index})
		},
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
func (w *wire) tapEnd(host, device string) (*end, func() ([]byte, error)) {
	c := w.c
	f, err := linux.OpenTap(c.ns(host), device, false)
	c.must(err)
	c.must(linux.SetMTU(c.ns(host), device, jumbo))
	e := &end{
		send: func(b []byte, segment int) error {
			head, err := vnetHeader(b, segment)
			if err == nil {
				_, err = f.Write(append(head, b...))
			}
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

// vnetHeader is struct virtio_net_hdr (linux/virtio_net.h) for a frame that the kernel is to cut: TCP without options. The
// checksum in the frame becomes that of the pseudo header, as for one that is left to the hardware.
func vnetHeader(b []byte, segment int) ([]byte, error) {
	h := make([]byte, linux.VnetHdrLen)
	if segment == 0 {
		return h, nil
	}
	const needsChecksum, tcp4, tcp6 = 1, 1, 4
	kind, at, proto := byte(tcp4), 34, b[23]
	addrs := b[26:34]
	if binary.BigEndian.Uint16(b[12:]) == 0x86dd {
		kind, at, proto, addrs = tcp6, 54, b[20], b[22:54]
	}
	if proto != unix.IPPROTO_TCP {
		return nil, fmt.Errorf("%w: only TCP is given to a tap to be cut", dptest.ErrSkip)
	}
	h[0], h[1] = needsChecksum, kind
	binary.NativeEndian.PutUint16(h[2:], uint16(at+20))
	binary.NativeEndian.PutUint16(h[4:], uint16(segment))
	binary.NativeEndian.PutUint16(h[6:], uint16(at))
	binary.NativeEndian.PutUint16(h[8:], 16)
	sum := uint32(len(b)-at) + unix.IPPROTO_TCP
	for i := 0; i < len(addrs); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(addrs[i:]))
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	binary.BigEndian.PutUint16(b[at+16:], uint16(sum))
	return h, nil
}

// Apply implements dptest.Wire.
func (w *wire) Apply(states map[string]*hostplan.State) error {
	w.c.states = states
	for host, p := range w.c.planes {
		err := linux.InNetns(w.c.ns(host), func() error {
			res, err := p.Apply(context.Background(), dataplane.Desired{State: states[host], Devices: w.c.devices(host),
				Physical: w.c.physical(host), InSync: true})
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

// Learn implements dptest.Wire.
func (w *wire) Learn(external model.NetworkID, addr netip.Addr, mac model.MAC) error {
	for host, p := range w.c.planes {
		if w.c.states[host].Externals[external] == nil && w.c.states[host].Networks[external] == nil {
			continue
		}
		if err := p.Learn(external, addr, mac); err != nil {
			return err
		}
	}
	return nil
}

// Forget implements dptest.Wire.
func (w *wire) Forget() error {
	for _, p := range w.c.planes {
		if err := forget(p.coll, p.t.gens); err != nil {
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
func (w *wire) Send(s dptest.Send, enough func(dptest.Arrived) bool) (dptest.Arrived, error) {
	a := dptest.Arrived{To: map[string][][]byte{}, Drops: map[reason.Reason]uint64{}}
	before, err := w.dropped()
	if err != nil {
		return a, err
	}
	for len(w.seen) > 0 {
		<-w.seen
	}
	from, frame := s.From, slices.Clone(s.Frame)
	if s.NIC != "" {
		from = dptest.NIC(s.NIC)
		if frame = tagged(frame, s.VLAN); s.VLAN != 0 && s.Segment > 0 {
			return a, fmt.Errorf("%w: a virtio header knows no tags", dptest.ErrSkip)
		}
	}
	if s.NIC != "" && s.Segment > 0 && !w.tap {
		return a, fmt.Errorf("%w: a veth hands on what is to be cut whole, without its checksum", dptest.ErrSkip)
	}
	if err := w.ends[from].send(frame, s.Segment); errors.Is(err, unix.EINVAL) {
		return a, fmt.Errorf("%w: an interface takes no frame of %d bytes", dptest.ErrSkip, len(s.Frame))
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

// The table of hard packets between real interfaces, of every kind and with every way of delivery: whole, or the share that WEFT_WIRE_SHARE
// names, in which each case has one of the kinds.
func TestHardPacketsOnTheWire(t *testing.T) {
	share, err := dptest.ParseShare(os.Getenv("WEFT_WIRE_SHARE"))
	if err != nil {
		t.Fatalf("WEFT_WIRE_SHARE: %v", err)
	}
	t.Logf("share %s of the cases", share)
	for kind, x := range []struct {
		name string
		cfg  Config
		tap  bool
	}{{"veth", Config{}, false}, {"veth, plain redirect", Config{Redirect: "plain"}, false}, {"tap", Config{}, true}, {"tap, clsact", Config{Attach: "clsact"}, true}} {
		t.Run(x.name, func(t *testing.T) { dptest.RunWire(t, newWire(t, x.cfg, x.tap), share, kind) })
	}
}

var wireRounds = flag.Int("wire-rounds", 25, "how often groups change in TestRandomRulesOnTheWire")

// Groups change while instances talk, behind veths and taps.
func TestRandomRulesOnTheWire(t *testing.T) {
	for _, tap := range []bool{false, true} {
		t.Run(fmt.Sprintf("tap %v", tap), func(t *testing.T) {
			dptest.RunWireChanges(t, newWire(t, Config{}, tap), uint64(time.Now().UnixNano()), *wireRounds)
		})
	}
}
