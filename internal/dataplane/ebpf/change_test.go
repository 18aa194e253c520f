package ebpf

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weft-cloud/weft/internal/dptest"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/linux"
)

// conversation is a flow from red1 to red2 that is answered: UDP, a datagram each millisecond, or one TCP stream on which both ends talk
// all the time.
type conversation struct {
	c        *testCloud
	network  string // udp4, tcp6, …
	answered atomic.Int64
	stop     atomic.Bool
	done     chan error
	// dies: changes happen while no process is there.
	dies bool
}

func newConversation(c *testCloud, proto string, v6 bool) *conversation {
	x := &conversation{c: c, network: proto + map[bool]string{false: "4", true: "6"}[v6], done: make(chan error, 2)}
	ready := make(chan struct{})
	part := func(instance string, do func() error) { go func() { x.done <- linux.InNetns(c.ns(instance), do) }() }
	to := portText(c.addr("red2", v6), 9000)
	if proto == "tcp" {
		part("red2", func() error { return x.accept(ready) })
		<-ready
		part("red1", func() error { return x.stream(to) })
	} else {
		part("red2", func() error { return x.answer(ready) })
		<-ready
		part("red1", func() error { return x.ask(to) })
	}
	c.t.Cleanup(func() {
		x.stop.Store(true)
		for range 2 {
			if err := <-x.done; err != nil {
				c.t.Error(err)
			}
		}
	})
	return x
}

func (x *conversation) answer(ready chan<- struct{}) error {
	conn, err := net.ListenPacket(x.network, ":9000")
	if err != nil {
		return err
	}
	defer conn.Close()
	close(ready)
	for buf := make([]byte, 100); !x.stop.Load(); {
		if err := conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
			return err
		}
		if n, from, err := conn.ReadFrom(buf); err == nil {
			_, _ = conn.WriteTo(buf[:n], from) // what the policy refuses is not told
		}
	}
	return nil
}

func (x *conversation) ask(to string) error {
	conn, err := net.Dial(x.network, to)
	if err != nil {
		return err
	}
	defer conn.Close()
	go x.count(conn)
	for !x.stop.Load() {
		_, _ = conn.Write([]byte("x"))
		time.Sleep(time.Millisecond)
	}
	return nil
}

// count counts what arrives.
func (x *conversation) count(conn net.Conn) {
	for buf := make([]byte, 100); ; {
		if _, err := conn.Read(buf); err == nil {
			x.answered.Add(1)
		} else if x.stop.Load() {
			return
		}
	}
}

// accept takes the stream and talks.
func (x *conversation) accept(ready chan<- struct{}) error {
	l, err := net.Listen(x.network, ":9000")
	if err != nil {
		return err
	}
	defer l.Close()
	close(ready)
	conn, err := l.Accept()
	if err != nil {
		return err
	}
	defer conn.Close()
	go func() { _, _ = io.Copy(io.Discard, conn) }()
	return x.talk(conn)
}

// stream is the other end.
func (x *conversation) stream(to string) error {
	conn, err := net.Dial(x.network, to)
	if err != nil {
		return err
	}
	defer conn.Close()
	go x.count(conn)
	return x.talk(conn)
}

// talk says something all the time; what gets lost is sent again five times a second, and not ever more slowly.
func (x *conversation) talk(conn net.Conn) error {
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return err
	}
	cerr := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_THIN_LINEAR_TIMEOUTS, 1)
	})
	if err = errors.Join(cerr, err); err != nil {
		return err
	}
	for !x.stop.Load() {
		if err := conn.SetWriteDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
			return err
		}
		_, _ = conn.Write([]byte("x")) // a full buffer waits for the other end
		time.Sleep(20 * time.Millisecond)
	}
	return nil
}

// change applies a change to both hosts and says whether the conversation goes on after it. What was on its way when Apply
// returned has 50 ms. It is waited for as long as patience says.
func (x *conversation) change(change func(*dptest.Cloud), patience time.Duration) bool {
	change(x.c.cloud)
	before := x.c.states
	x.c.states = x.c.cloud.States()
	for _, h := range x.c.cloud.Hosts {
		if x.dies {
			x.c.must(x.c.planes[h.Name].Close())
			x.c.start(h.Name)
			continue
		}
		share(before[h.Name], x.c.states[h.Name])
		x.c.apply(h.Name)
	}
	time.Sleep(50 * time.Millisecond)
	answered := x.answered.Load()
	for start := time.Now(); time.Since(start) < patience; {
		time.Sleep(10 * time.Millisecond)
		if x.answered.Load() > answered {
			return true
		}
	}
	return false
}

// Rules, groups and members change under an established flow: what no rule allows any more stops, what one allows goes on at
// once, without either end's doing anything.
func TestRulesChangeUnderTraffic(t *testing.T) {
	for _, x := range []struct {
		vif, proto string
		v6         bool
	}{{"veth", "udp", false}, {"veth", "tcp", true}, {"tap", "tcp", false}, {"tap", "udp", true}} {
		t.Run(fmt.Sprintf("%s %s IPv6 %v", x.vif, x.proto, x.v6), func(t *testing.T) { rulesChange(t, x.vif, x.proto, x.v6) })
	}
}

func rulesChange(t *testing.T, vif, proto string, v6 bool) {
	in, out := dptest.Allow(false, v6, map[string]int16{"udp": 17, "tcp": 6}[proto], 9000, 9000), dptest.Any(true, v6)
	both := dptest.Stateful(in, out)
	c := newCloudOn(t, Config{}, vif, func(d *dptest.Cloud) { d.Port("red2").Policy = both })
	x := newConversation(c, proto, v6)
	me := netip.PrefixFrom(c.addr("red1", v6), c.addr("red1", v6).BitLen())
	other := netip.PrefixFrom(c.addr("red3", v6), c.addr("red3", v6).BitLen())
	group := dptest.Any(false, v6)
	group.RemoteSet = dptest.SetID("members")
	policy := func(f func(p *dptest.Port)) func(*dptest.Cloud) {
		return func(d *dptest.Cloud) {
			p := d.Port("red2")
			p.Policy, p.NoGroups, p.Open = nil, false, false
			f(p)
		}
	}
	members := func(m ...netip.Prefix) func(*dptest.Cloud) {
		return func(d *dptest.Cloud) { d.Sets = []dptest.Set{{Name: "members", Prefixes: m}} }
	}
	for _, step := range []struct {
		what   string
		change func(*dptest.Cloud)
		goesOn bool
	}{
		{"as it begins", func(*dptest.Cloud) {}, true},
		// The egress rule for all lets no answer that is on its way open a connection of its own, whose replies the questions would be.
		{"the ingress rule is removed", policy(func(p *dptest.Port) { p.Policy = dptest.Stateful(out) }), false},
		{"it is added again", policy(func(p *dptest.Port) { p.Policy = both }), true},
		{"another rule takes its place", policy(func(p *dptest.Port) { p.Policy = dptest.Stateful(dptest.Any(false, v6)) }), true},
		{"stateful to stateless without a way back", policy(func(p *dptest.Port) { p.Policy = dptest.Stateless(in) }), false},
		{"stateless with a way back", policy(func(p *dptest.Port) { p.Policy = dptest.Stateless(in, out) }), true},
		{"stateless to stateful without egress rules", policy(func(p *dptest.Port) { p.Policy = dptest.Stateful(in) }), true},
		{"a remote group that the sender is in", func(d *dptest.Cloud) {
			policy(func(p *dptest.Port) { p.Policy = dptest.Stateful(group) })(d)
			members(me, other)(d)
		}, true},
		{"another member goes", members(me), true},
		{"the sender goes", members(other), false},
		{"the sender comes back", members(me, other), true},
		{"the group is deleted", func(d *dptest.Cloud) { d.Sets = nil }, false},
		{"the port has no group at all", policy(func(p *dptest.Port) { p.NoGroups = true }), false},
		{"the port has no port security", policy(func(p *dptest.Port) { p.NoGroups, p.Open = true, true }), true},
		{"the first group again", policy(func(p *dptest.Port) { p.Policy = both }), true},
	} {
		patience := 400 * time.Millisecond
		if step.goesOn {
			patience = 5 * time.Second
		}
		if got := x.change(step.change, patience); got != step.goesOn {
			t.Errorf("%s: goes on: %v, want %v", step.what, got, step.goesOn)
		}
	}
	if x.dies = proto == "tcp"; !x.dies {
		return
	}
	if x.change(policy(func(p *dptest.Port) { p.Policy = dptest.Stateful(out) }), 400*time.Millisecond) {
		t.Error("a rule that was removed while the process was dead goes on")
	}
	if !x.change(policy(func(p *dptest.Port) { p.Policy = both }), 5*time.Second) {
		t.Error("a rule that was added while the process was dead does not work")
	}
}

// A member of a remote group or address group that comes or goes is one entry of one map, however many there are, and no rule is written
// anew. One that comes voids nothing; one that goes voids what the endpoints with such rules had decided.
func TestMemberIsOneEntry(t *testing.T) {
	r := testRunner(t)
	in := dptest.Any(false, false)
	in.RemoteSet = dptest.SetID("members")
	var list []netip.Prefix
	for i := range 1000 {
		list = append(list, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)}), 32))
	}
	state := func(members []netip.Prefix) *hostplan.State {
		c := dptest.Demo()
		c.Port("red3").Policy = dptest.Stateful(in, dptest.Any(true, false))
		c.Sets = []dptest.Set{{Name: "members", Prefixes: members}}
		return c.States()["compute1"]
	}
	entries := func() map[string]map[string]string {
		out := map[string]map[string]string{}
		for _, name := range []string{"rule_ids", "pol_rules", "pol_class", "class_addr", "class_net", "endpoints", "networks", "neighbors", "routers"} {
			m := r.coll.Maps[name]
			out[name] = map[string]string{}
			k, v := make([]byte, m.KeySize()), make([]byte, m.ValueSize())
			for it := m.Iterate(); it.Next(&k, &v); {
				out[name][string(k)] = string(v)
			}
		}
		return out
	}
	change := func(members []netip.Prefix) map[string]int {
		t.Helper()
		before := entries()
		if p := r.Apply(state(members), Limits{}); len(p) > 0 {
			t.Fatal(p)
		}
		after, changed := entries(), map[string]int{}
		for name, was := range before {
			for k, v := range was {
				if after[name][k] != v {
					changed[name]++
				}
			}
			for k := range after[name] {
				if _, ok := was[k]; !ok {
					changed[name]++
				}
			}
		}
		return changed
	}
	if p := r.Apply(state(list[:999]), Limits{}); len(p) > 0 {
		t.Fatal(p)
	}
	if got := change(list); len(got) != 1 || got["class_addr"] != 1 {
		t.Errorf("one member more changed %v entries", got)
	}
	if got := change(list[1:]); got["class_addr"] != 1 || got["endpoints"] != 1 || len(got) != 2 {
		t.Errorf("one member less changed %v entries, want its own and the generation of the endpoint", got)
	}
}
