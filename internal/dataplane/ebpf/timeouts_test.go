package ebpf

import (
	"testing"
	"time"

	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/dptest"
)

// aging is what leads to a state of a connection of red1's, whose group lets everything out and nothing in.
type aging struct {
	name string
	// class is the time-out's place in the map, seconds what it is.
	class   int
	seconds uint64
	// steps are packets of red1 to red3, and back; reply is what may come back as long as the connection lives.
	steps []step
	reply step
}

type step struct {
	back bool
	make func(x dptest.IP) dptest.IP
}

func agings(v6 bool) []aging {
	ask := func(f func(dptest.IP) dptest.IP) step { return step{false, f} }
	tell := func(f func(dptest.IP) dptest.IP) step { return step{true, f} }
	out := func(flags uint8) step {
		return ask(func(x dptest.IP) dptest.IP { return x.TCP(40000, 80, flags, nil) })
	}
	in := func(flags uint8) step {
		return tell(func(x dptest.IP) dptest.IP { return x.TCP(80, 40000, flags, nil) })
	}
	udp := ask(func(x dptest.IP) dptest.IP { return x.UDP(1000, 53, nil) })
	answer := tell(func(x dptest.IP) dptest.IP { return x.UDP(53, 1000, nil) })
	pong := uint8(0)
	if v6 {
		pong = 129
	}
	ping := ask(func(x dptest.IP) dptest.IP { return x.Ping(7, 1) })
	ponged := tell(func(x dptest.IP) dptest.IP { return x.ICMP(pong, 0, 7<<16|1, nil) })
	with := func(proto uint8) func(dptest.IP) dptest.IP {
		return func(x dptest.IP) dptest.IP { x.Proto, x.Payload = proto, make([]byte, 24); return x }
	}
	const syn, ack, fin, rst = dptest.SYN, dptest.ACK, dptest.FIN, dptest.RST
	return []aging{
		{"TCP, opening", 0, 60, []step{out(syn)}, in(syn | ack)},
		{"TCP, established", 1, 86400, []step{out(syn), in(syn | ack), out(ack)}, in(ack)},
		{"TCP, picked up in the middle", 0, 60, []step{out(ack)}, in(dptest.PSH | ack)},
		{"TCP, closed by one side", 1, 86400, []step{out(syn), in(syn | ack), out(ack), out(fin | ack)}, in(dptest.PSH | ack)},
		{"TCP, closed by both sides", 2, 120, []step{out(syn), in(syn | ack), out(ack), out(fin | ack), in(fin | ack)}, in(fin | ack)},
		{"TCP, reset", 3, 10, []step{out(syn), in(syn | ack), out(rst)}, in(rst)},
		{"UDP", 4, 30, []step{udp}, answer},
		{"UDP, answered", 5, 180, []step{udp, answer, udp}, answer},
		{"ICMP", 6, 30, []step{ping}, ponged},
		{"SCTP", 7, 600, []step{ask(with(132))}, tell(with(132))},
		{"another protocol", 7, 600, []step{ask(with(47))}, tell(with(47))},
	}
}

// Each state of a connection lives as long as its class of time-outs says, from its last packet on, and not longer: what comes back
// after that is no reply.
func TestTimeouts(t *testing.T) {
	r := testRunner(t)
	for fam, v6 := range families() {
		cloud := dptest.Demo()
		cloud.Port("red1").Policy = dptest.Stateful(dptest.Any(true, v6))
		for i := range defaultTimeouts {
			setTimeout(t, r, i, defaultTimeouts[i])
		}
		if p := r.Apply(cloud.States()["compute1"], Limits{}); len(p) > 0 {
			t.Fatal(p)
		}
		send := func(s step) Outcome {
			t.Helper()
			from, to, at := "red1", "red3", map[bool]int{false: 0, true: 1}[v6]
			if s.back {
				from, to = to, from
			}
			x := s.make(dptest.IP{Src: cloud.Port(from).Addresses[at], Dst: cloud.Port(to).Addresses[at]})
			o, err := r.Run(Packet{From: dptest.PortID(from), Frame: x.Frame(dptest.PortMAC(to), dptest.PortMAC(from))})
			if err != nil {
				t.Fatal(err)
			}
			return o
		}
		for _, a := range agings(v6) {
			t.Run(fam+"/"+a.name, func(t *testing.T) {
				open := func() {
					t.Helper()
					if err := r.Forget(); err != nil {
						t.Fatal(err)
					}
					for i, s := range a.steps {
						if o := send(s); o.Verdict != Local {
							t.Fatalf("packet %d: %v, %v", i, o.Verdict, o.Reason)
						}
					}
				}
				open()
				var k weftConnKey
				var v weftConnVal
				if it := r.coll.Maps["conn"].Iterate(); !it.Next(&k, &v) {
					t.Fatal("no connection")
				}
				if lives := (v.Expires - v.Seen) / uint64(time.Second); lives != a.seconds {
					t.Errorf("it lives for %d s, want %d", lives, a.seconds)
				}
				if o := send(a.reply); o.Verdict != Local {
					t.Errorf("before its time is over: %v, %v", o.Verdict, o.Reason)
				}
				setTimeout(t, r, a.class, 0)
				open()
				dropFlows(t, r)                   // they ask for their connection once a second
				time.Sleep(12 * time.Millisecond) // the programs' clock has ticks of up to 10 ms
				if o := send(a.reply); o.Verdict != Drop || o.Reason != reason.PolicyIngress && o.Reason != reason.InvalidState {
					t.Errorf("after its time is over: %v, %v", o.Verdict, o.Reason)
				}
				setTimeout(t, r, a.class, defaultTimeouts[a.class])
			})
		}
	}
}

// dropFlows empties the cache of decisions.
func dropFlows(t *testing.T, r *Runner) {
	t.Helper()
	var k weftFlowKey
	var v weftFlowVal
	m := r.coll.Maps["flow"]
	for it := m.Iterate(); it.Next(&k, &v); {
		_ = m.Delete(&k) // evicted meanwhile is as good
	}
	r.t.gens.unpublished++
	if err := r.t.gens.publish(); err != nil {
		t.Fatal(err)
	}
}

func setTimeout(t *testing.T, r *Runner, class int, seconds uint32) {
	t.Helper()
	if err := r.coll.Maps["timeouts"].Put(uint32(class), seconds); err != nil {
		t.Fatal(err)
	}
}

// What a first fragment told is forgotten after its time.
func TestFragmentsAge(t *testing.T) {
	r := testRunner(t)
	const class = 8
	cloud := dptest.Demo()
	cloud.Port("red1").Policy = dptest.Stateful(dptest.Any(true, false))
	if p := r.Apply(cloud.States()["compute1"], Limits{}); len(p) > 0 {
		t.Fatal(p)
	}
	whole := dptest.IP{Src: cloud.Port("red1").Addresses[0], Dst: cloud.Port("red3").Addresses[0]}.UDP(1, 2, make([]byte, 1600))
	send := func(offset int, want reason.Reason) {
		t.Helper()
		f := whole.Fragment4(7, offset, 800).Frame(dptest.PortMAC("red3"), dptest.PortMAC("red1"))
		if o, err := r.Run(Packet{From: dptest.PortID("red1"), Frame: f}); err != nil || o.Reason != want {
			t.Fatalf("offset %d: %v, %v, want %v", offset, o.Reason, err, want)
		}
	}
	send(0, reason.None)
	time.Sleep(12 * time.Millisecond)
	send(800, reason.None)
	setTimeout(t, r, class, 0)
	send(0, reason.None)
	time.Sleep(12 * time.Millisecond)
	send(800, reason.FragmentOrphan)
}
