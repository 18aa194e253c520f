package pathmtu

import (
	"context"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/linux"
	"github.com/weft-cloud/weft/internal/model"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// underlay is a network whose paths a test sets.
type underlay struct {
	mu    sync.Mutex
	paths map[netip.Addr]way
	sent  map[netip.Addr]int
	heard chan linux.EchoReply
	shut  chan struct{}
}

// way is a path: what fits, what somebody on it says of what does not (0: nobody says anything), whether this host's own interface
// is what is narrow, and every how many-th packet is lost.
type way struct {
	mtu, hint int
	own       bool
	dead      bool
	loss      int
}

func (u *underlay) Send(to netip.Addr, size int, seq uint16) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.sent[to]++
	w, ok := u.paths[to]
	switch {
	case !ok || w.dead || w.loss > 0 && u.sent[to]%w.loss == 0:
	case size <= w.mtu:
		u.heard <- linux.EchoReply{To: to, Seq: seq}
	case w.own:
		return linux.ErrTooBig
	case w.hint > 0:
		u.heard <- linux.EchoReply{To: to, Seq: seq, MTU: uint32(w.hint)}
	}
	return nil
}

func (u *underlay) Receive() (linux.EchoReply, error) {
	select {
	case r := <-u.heard:
		return r, nil
	case <-u.shut:
		return linux.EchoReply{}, net.ErrClosed
	}
}

func (u *underlay) Close() error { close(u.shut); return nil }

func (u *underlay) set(to string, w way) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.paths[netip.MustParseAddr(to)] = w
}

// quick is a Timing for tests.
var quick = Timing{Answer: 5 * time.Millisecond, Tries: 3, Refresh: 20 * time.Millisecond, Gap: 10 * time.Microsecond}

// cloud is a State with a network of that MTU and these peers.
func cloud(mtu uint32, local string, peers ...string) *hostplan.State {
	id := model.NetworkID{UUID: model.UUID{1}}
	n := &hostplan.Network{ID: id, Type: "vxlan", VNI: 10, MTU: mtu}
	st := &hostplan.State{VTEP: netip.MustParseAddr(local), Networks: map[model.NetworkID]*hostplan.Network{id: n}, Peers: map[string]*hostplan.Peer{}}
	for _, a := range peers {
		st.Peers["host-"+a] = &hostplan.Peer{Host: "host-" + a, VTEP: netip.MustParseAddr(a)}
		n.Flood = append(n.Flood, "host-"+a)
	}
	return st
}

// probing runs a Prober on the wires that open makes; want waits until it says just that.
func probing(t *testing.T, timing Timing, open func(netip.Addr) (Wire, error)) (p *Prober, want func(map[string]uint32)) {
	p = New(Deps{Open: open, Timing: timing, Rand: rand.Float64, Log: slog.New(slog.DiscardHandler)})
	var mu sync.Mutex
	said := map[string]uint32{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- p.Run(ctx, func(narrow map[netip.Addr]uint32) {
			mu.Lock()
			defer mu.Unlock()
			clear(said)
			for a, mtu := range narrow {
				said[a.String()] = mtu
			}
		})
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return p, func(want map[string]uint32) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
			mu.Lock()
			got := maps.Clone(said)
			mu.Unlock()
			if maps.Equal(got, want) {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("said %v, want %v", got, want)
			}
		}
	}
}

func TestFindsNarrowPaths(t *testing.T) {
	for _, f := range []struct {
		name, local, net string
		overhead         int
	}{{"IPv4", "192.0.2.1", "192.0.2.", 50}, {"IPv6", "2001:db8::1", "2001:db8::1:", 70}} {
		t.Run(f.name, func(t *testing.T) {
			u := &underlay{paths: map[netip.Addr]way{}, sent: map[netip.Addr]int{}, heard: make(chan linux.EchoReply, 1000), shut: make(chan struct{})}
			need := 1450 + f.overhead
			for last, w := range map[string]way{"10": {mtu: need}, "11": {mtu: need - 1}, "12": {mtu: 1437}, "13": {mtu: 1400, hint: 1400}, "14": {mtu: 1380, own: true},
				"15": {dead: true}, "16": {mtu: 1333, hint: 1490}, "17": {mtu: 1450, loss: 4}, "18": {mtu: need, loss: 3}, "19": {mtu: 9000}} {
				u.set(f.net+last, w)
			}
			p, want := probing(t, quick, func(netip.Addr) (Wire, error) { return u, nil })
			var peers []string
			for _, last := range []string{"10", "11", "12", "13", "14", "15", "16", "17", "18", "19"} {
				peers = append(peers, f.net+last)
			}
			p.Update(cloud(1450, f.local, peers...))
			want(map[string]uint32{f.net + "11": uint32(need - 1), f.net + "12": 1437, f.net + "13": 1400, f.net + "14": 1380, f.net + "16": 1333, f.net + "17": 1450})
			// One heals, one breaks, and one is no longer heard of: that says nothing of its size.
			u.set(f.net+"12", way{mtu: 1500 + f.overhead})
			u.set(f.net+"10", way{mtu: 1400})
			u.set(f.net+"13", way{dead: true})
			want(map[string]uint32{f.net + "10": 1400, f.net + "11": uint32(need - 1), f.net + "13": 1400, f.net + "14": 1380, f.net + "16": 1333, f.net + "17": 1450})
			// Networks that need no more are content; a peer that is gone is forgotten.
			p.Update(cloud(1300, f.local, peers[:3]...))
			want(map[string]uint32{})
			p.Update(cloud(9000, f.local, peers[9:]...))
			want(map[string]uint32{f.net + "19": 9000})
		})
	}
}

// Many paths share the packets that are sent.
func TestLoadIsBounded(t *testing.T) {
	u := &underlay{paths: map[netip.Addr]way{}, sent: map[netip.Addr]int{}, heard: make(chan linux.EchoReply, 1000), shut: make(chan struct{})}
	var peers []string
	for i := range 300 {
		a := netip.AddrFrom4([4]byte{198, 51, byte(i / 250), byte(1 + i%250)}).String()
		peers = append(peers, a)
		u.set(a, way{mtu: 1500})
	}
	p, _ := probing(t, Timing{Answer: 5 * time.Millisecond, Tries: 3, Refresh: time.Hour, Gap: time.Millisecond}, func(netip.Addr) (Wire, error) { return u, nil })
	began := time.Now()
	p.Update(cloud(1450, "192.0.2.1", peers...))
	for {
		u.mu.Lock()
		n := len(u.sent)
		u.mu.Unlock()
		if n == len(peers) {
			break
		}
		if time.Since(began) > 20*time.Second {
			t.Fatalf("%d of %d were probed", n, len(peers))
		}
		time.Sleep(time.Millisecond)
	}
	if took := time.Since(began); took < 290*time.Millisecond {
		t.Errorf("300 packets in %v", took)
	}
	time.Sleep(50 * time.Millisecond)
	for a, n := range u.sent {
		if n != 1 {
			t.Errorf("%d packets to %s, whose path is as it should be", n, a)
		}
	}
}

func TestNamesHostsThatNotEverythingReaches(t *testing.T) {
	st := cloud(1450, "192.0.2.1", "192.0.2.10", "192.0.2.11", "192.0.2.12")
	st.Peers["host-192.0.2.10"].MTU = 1449
	st.Peers["host-192.0.2.11"].MTU = 1450
	got := Problems(st)
	if len(got) != 1 || got[0].ID != "host-192.0.2.10" || !strings.Contains(got[0].Why, "to 1500") {
		t.Errorf("%+v", got)
	}
}
