package forward_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/dptest"
	"github.com/weft-cloud/weft/internal/forward"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// step is one Step of a random frame in a random cloud.
type step struct {
	cloud  *dptest.Cloud
	states map[string]*hostplan.State
	dptest.Stimulus
	forward.Result
}

func (s step) host() *hostplan.State { return s.states[s.Host] }

// network is where the frame entered; nil if nowhere.
func (s step) network() *hostplan.Network {
	if e := s.host().Endpoints[s.In.Port]; e != nil {
		return s.host().Networks[e.Network]
	}
	return s.vni(s.In.VNI)
}

func (s step) vni(vni uint32) *hostplan.Network {
	for _, n := range s.host().Networks {
		if n.VNI == vni {
			return n
		}
	}
	return nil
}

// out is the network that an output is on.
func (s step) out(o forward.Output) *hostplan.Network {
	if o.Kind == forward.Tunnel {
		return s.vni(o.VNI)
	}
	return s.host().Networks[s.host().Endpoints[o.Port].Network]
}

// forSteps checks a property of every Step of random traffic, connections kept.
func forSteps(t *testing.T, check func(t *rapid.T, s step)) {
	rapid.Check(t, func(t *rapid.T) {
		c := dptest.Topology(t, dptest.Limits{Policies: true})
		states := c.States()
		hosts := map[string]*forward.Host{}
		conns := map[string]*forward.Conns{}
		for name, s := range states {
			hosts[name] = forward.NewHost(s)
		}
		traffic := dptest.NewTraffic(t, c)
		for range 20 {
			in, ok := traffic.Next()
			if !ok {
				return
			}
			in.In.Conns = conns[in.Host]
			s := step{c, states, in, forward.Step(hosts[in.Host], in.In, in.Frame)}
			conns[in.Host] = s.Conns
			check(t, s)
		}
	})
}

// A dropped frame goes nowhere; one that is not dropped goes somewhere, unless it was a flood or for the router.
func TestDropMeansNothingComesOut(t *testing.T) {
	forSteps(t, func(t *rapid.T, s step) {
		for _, o := range s.Outputs {
			if s.Reason != reason.None && o.Kind != forward.Reply && (o.Kind != forward.Punt || s.Reason != reason.TooBig && o.Punt != dataplane.PuntAsk) {
				t.Fatalf("dropped with reason %d, but output %+v", s.Reason, o)
			}
		}
		if len(s.Trail) == 0 {
			t.Fatal("no word about what happened")
		}
	})
}

// Step writes nothing that it is given, and gives the same for the same.
func TestStepIsPure(t *testing.T) {
	forSteps(t, func(t *rapid.T, s step) {
		frame := bytes.Clone(s.Frame)
		before := s.In.Conns.Len()
		h := forward.NewHost(s.host())
		a := forward.Step(h, s.In, s.Frame)
		for _, o := range a.Outputs {
			for i := range o.Frame {
				o.Frame[i] ^= 0xff
			}
		}
		b := forward.Step(h, s.In, s.Frame)
		if !bytes.Equal(frame, s.Frame) || s.In.Conns.Len() != before {
			t.Fatal("Step wrote its input")
		}
		if len(b.Outputs) != len(s.Outputs) || b.Reason != s.Reason || b.Rule != s.Rule {
			t.Fatalf("another result: %+v, then %+v", s.Result, b)
		}
		for i := range b.Outputs {
			if !bytes.Equal(b.Outputs[i].Frame, s.Outputs[i].Frame) {
				t.Fatalf("output %d differs the second time", i)
			}
		}
	})
}

// No frame leaves its network but through a router that has a leg on both.
func TestIsolation(t *testing.T) {
	forSteps(t, func(t *rapid.T, s step) {
		for _, o := range s.Outputs {
			if o.Kind != forward.Deliver && o.Kind != forward.Tunnel {
				continue
			}
			from, to := s.network(), s.out(o)
			if from.ID != to.ID && (s.In.Tunnel() || !connected(s.host(), from.ID, to.ID)) {
				t.Fatalf("from network %s to %s, which no router joins: %s", from.ID, to.ID, forward.Summary(o.Frame))
			}
		}
	})
}

// connected reports whether routers lead from a to b.
func connected(s *hostplan.State, a, b model.NetworkID) bool {
	seen := map[model.NetworkID]bool{a: true}
	for range len(s.Routers) {
		for _, r := range s.Routers {
			for _, f := range r.Interfaces {
				if !seen[f.Network] {
					continue
				}
				for _, g := range r.Interfaces {
					seen[g.Network] = true
				}
			}
		}
	}
	return seen[b]
}

// What came from a tunnel never goes into one, nor back, nor to user space.
func TestSplitHorizon(t *testing.T) {
	forSteps(t, func(t *rapid.T, s step) {
		for _, o := range s.Outputs {
			if s.In.Tunnel() && o.Kind != forward.Deliver {
				t.Fatalf("from a tunnel to %+v", o)
			}
			if o.Kind == forward.Tunnel && s.host().Peers[o.Peer].VTEP != o.VTEP {
				t.Fatalf("tunnel to %s, which is not %s", o.VTEP, o.Peer)
			}
		}
	})
}

// ttl is the TTL or hop limit of an IP packet; false: the frame is none.
func ttl(frame []byte) (int, bool) {
	switch binary.BigEndian.Uint16(frame[12:]) {
	case 0x0800:
		return int(frame[22]), true
	case 0x86dd:
		return int(frame[21]), true
	}
	return 0, false
}

// source is the source address of an IP packet; false: the frame is none.
func source(frame []byte) (netip.Addr, bool) {
	switch binary.BigEndian.Uint16(frame[12:]) {
	case 0x0800:
		return netip.AddrFrom4([4]byte(frame[26:30])), true
	case 0x86dd:
		return netip.AddrFrom16([16]byte(frame[22:38])), true
	}
	return netip.Addr{}, false
}

// A frame that changes its MACs was routed: its TTL is less, and never 0. One that does not is unchanged.
func TestTTL(t *testing.T) {
	forSteps(t, func(t *rapid.T, s step) {
		for _, o := range s.Outputs {
			if o.Kind != forward.Deliver && o.Kind != forward.Tunnel {
				continue
			}
			if s.In.Tunnel() {
				if !bytes.Equal(o.Frame[:6], s.Frame[:6]) || !bytes.Equal(o.Frame[12:], s.Frame[12:]) {
					t.Fatalf("changed on arrival: %s, now %s", forward.Summary(s.Frame), forward.Summary(o.Frame))
				}
				continue
			}
			if bytes.Equal(o.Frame[:12], s.Frame[:12]) {
				if !bytes.Equal(o.Frame, s.Frame) {
					t.Fatalf("bridged, but changed: %s, now %s", forward.Summary(s.Frame), forward.Summary(o.Frame))
				}
				continue
			}
			a, ok := ttl(s.Frame)
			b, _ := ttl(o.Frame)
			if !ok || b >= a || b == 0 || a-b > 4 {
				t.Fatalf("TTL %d became %d: %s, now %s", a, b, forward.Summary(s.Frame), forward.Summary(o.Frame))
			}
		}
	})
}

// No packet is larger than the MTU of the network it is put on.
func TestMTU(t *testing.T) {
	forSteps(t, func(t *rapid.T, s step) {
		for _, o := range s.Outputs {
			if o.Kind != forward.Deliver && o.Kind != forward.Tunnel || s.In.Tunnel() && len(s.Frame) > 0 && s.Frame[0]&1 == 1 {
				continue
			}
			if n := length(o.Frame); n > int(s.out(o).MTU) && !s.In.Tunnel() && s.In.Segment == 0 {
				t.Fatalf("%d bytes on a network of MTU %d", n, s.out(o).MTU)
			}
		}
	})
}

// length is the length of the IP packet as its header says.
func length(frame []byte) int {
	switch binary.BigEndian.Uint16(frame[12:]) {
	case 0x0800:
		return int(binary.BigEndian.Uint16(frame[16:]))
	case 0x86dd:
		return 40 + int(binary.BigEndian.Uint16(frame[18:]))
	}
	return len(frame) - 14
}

// A reply goes to the MAC that asked, comes from a router's or a neighbour's MAC, and has right checksums if the question
// had; and an ICMP error never makes another ICMP error.
func TestReplies(t *testing.T) {
	forSteps(t, func(t *rapid.T, s step) {
		for _, o := range s.Outputs {
			if o.Kind != forward.Reply {
				continue
			}
			to := o.Frame[:6]
			if o.Port != s.In.Port || !bytes.Equal(to, s.Frame[6:12]) && !bytes.Equal(to, []byte{0x33, 0x33, 0, 0, 0, 1}) {
				t.Fatalf("reply to another: %s", forward.Summary(o.Frame))
			}
			if binary.BigEndian.Uint16(o.Frame[12:]) == 0x0800 && ipv4Right(s.Frame) && !ipv4Right(o.Frame) {
				t.Fatalf("the reply's IPv4 checksum is wrong: % x", o.Frame)
			}
			if s.Reason == reason.None {
				continue
			}
			if !icmpRight(o.Frame) {
				t.Fatalf("the ICMP error's checksum is wrong: % x", o.Frame)
			}
			again := bytes.Clone(o.Frame)
			copy(again, o.Frame[6:12])
			copy(again[6:], o.Frame[:6])
			for _, o := range forward.Step(forward.NewHost(s.host()), forward.FromPort(s.In.Port), again).Outputs {
				if o.Kind == forward.Reply && icmpErrorFrame(o.Frame) {
					t.Fatalf("an ICMP error about an ICMP error: %s", forward.Summary(o.Frame))
				}
			}
		}
	})
}

func ones(acc uint32, b []byte) uint32 {
	for i, v := range b {
		acc += uint32(v) << (8 * uint(1-i%2))
	}
	for acc > 0xffff {
		acc = acc&0xffff + acc>>16
	}
	return acc
}

func ipv4Right(frame []byte) bool {
	return len(frame) >= 34 && ones(0, frame[14:14+int(frame[14]&15)*4]) == 0xffff
}

// icmpRight checks a whole ICMP or ICMPv6 packet without options.
func icmpRight(frame []byte) bool {
	if binary.BigEndian.Uint16(frame[12:]) == 0x0800 {
		return ipv4Right(frame) && ones(0, frame[34:14+length(frame)]) == 0xffff
	}
	msg := frame[54 : 14+length(frame)]
	acc := ones(0, frame[22:54])
	return ones(acc+uint32(len(msg))+58, msg) == 0xffff
}

func icmpErrorFrame(frame []byte) bool {
	switch binary.BigEndian.Uint16(frame[12:]) {
	case 0x0800:
		return frame[23] == 1 && (frame[34] == 3 || frame[34] == 11)
	case 0x86dd:
		return frame[20] == 58 && frame[54] < 128
	}
	return false
}

// A frame of an instance with port security has a source that is the port's.
func TestAntiSpoofing(t *testing.T) {
	forSteps(t, func(t *rapid.T, s step) {
		e := s.host().Endpoints[s.In.Port]
		if e == nil || !e.PortSecurity {
			return
		}
		for _, o := range s.Outputs {
			if o.Kind != forward.Deliver && o.Kind != forward.Tunnel {
				continue
			}
			if src, ok := source(s.Frame); ok && !owns(e, src, model.MAC(s.Frame[6:12])) {
				t.Fatalf("spoofed: %s", forward.Summary(s.Frame))
			}
		}
	})
}

func owns(e *hostplan.Endpoint, a netip.Addr, m model.MAC) bool {
	if m == e.MAC && (a == dptest.LinkLocal(m) || a.IsUnspecified()) {
		return true
	}
	for _, p := range e.Addresses {
		if m == e.MAC && p.Addr() == a {
			return true
		}
	}
	for _, p := range e.Allowed {
		if p.MAC == m && (p.Prefix.Contains(a) || a.IsUnspecified()) {
			return true
		}
	}
	return false
}

// Trace ends, tells each host at most once a tunnel packet, and agrees with what Step says of the first host.
func TestTraceEnds(t *testing.T) {
	forSteps(t, func(t *rapid.T, s step) {
		if s.In.Tunnel() {
			return
		}
		path, err := forward.NewWorld(s.states).Trace(s.In.Port, s.Frame)
		if err != nil {
			t.Fatal(err)
		}
		if len(path.Hops) > len(s.states) {
			t.Fatalf("%d hops among %d hosts", len(path.Hops), len(s.states))
		}
		if err := path.Render(discard{}, s.cloud.Names()); err != nil {
			t.Fatal(err)
		}
	})
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

// FuzzStep: no frame whatever makes Step, Trace or Render panic, from an instance with or without port security, or from a
// tunnel.
func FuzzStep(f *testing.F) {
	for i, c := range dptest.Cases() {
		if i%7 == 0 {
			f.Add(uint8(i), c.Sends[0].Frame)
		}
	}
	c := dptest.Demo()
	c.Port("red3").Open = true
	c.Port("blue1").Policy = dptest.Stateful(dptest.Any(true, false), dptest.Allow(false, true, 58, 128, -1))
	states := c.States()
	h := forward.NewHost(states["compute1"])
	f.Fuzz(func(t *testing.T, kind uint8, frame []byte) {
		in := forward.FromPort(dptest.PortID([]string{"red1", "red3", "blue1"}[kind%3]))
		if kind >= 128 {
			in = forward.FromTunnel(10+uint32(kind%4), netip.MustParseAddr("192.168.70.12"))
		}
		first := forward.Step(h, in, frame)
		in.Conns = first.Conns
		second := forward.Step(h, in, frame)
		if in.Tunnel() {
			return
		}
		for _, r := range []forward.Result{first, second} {
			path := forward.Path{From: in.Port, Hops: []forward.Hop{{Host: "compute1", In: in, Frame: frame, Result: r}}}
			_ = path.Render(discard{}, c.Names())
		}
	})
}
