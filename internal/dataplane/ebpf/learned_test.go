package ebpf

import (
	"net/netip"
	"testing"
	"time"

	"github.com/weft-cloud/weft/internal/dptest"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// wanderer is an address that red1 (here) and red2 (elsewhere) may have, on compute1.
type wanderer struct {
	t     *testing.T
	r     *Runner
	cloud *dptest.Cloud
	addr  netip.Addr
}

// newWanderer has nothing heard and nothing told.
func newWanderer(t *testing.T, r *Runner, v6 bool) *wanderer {
	t.Helper()
	w := &wanderer{t: t, r: r, cloud: dptest.Demo(), addr: dptest.DemoAddr(0, 100, v6)}
	for _, p := range []string{"red1", "red2"} {
		w.cloud.Port(p).Pairs = []dptest.Pair{{Prefix: netip.PrefixFrom(w.addr, w.addr.BitLen())}}
	}
	if r.t.hints = nil; r.Forget() != nil {
		t.Fatal("what was learned cannot be forgotten")
	}
	return w
}

// told applies a State that says of the port (none: of nobody) that it was heard last, after the server was away for so long. It
// reports whether the plane wants to be told again.
func (w *wanderer) told(port string, away time.Duration) (unsettled bool) {
	w.t.Helper()
	st := w.cloud.States()["compute1"]
	if port != "" {
		st.Neighbors[dptest.PortID(port)].Learned = []hostplan.AddressPair{{MAC: dptest.PortMAC(port), Prefix: netip.PrefixFrom(w.addr, w.addr.BitLen())}}
	}
	w.r.away = away
	if failed := w.r.Apply(st, Limits{}); len(failed) > 0 {
		w.t.Fatal(failed)
	}
	return w.r.unsettled
}

func (w *wanderer) key() weftFactKey {
	return weftFactKey{Net: w.r.t.ids[rootNetwork].find(dptest.NetworkID("red").UUID), Kind: learnAddr, Addr: ip16(w.addr)}
}

func (w *wanderer) slot(port string) uint32 {
	return w.r.t.ids[rootNeighbor].find(dptest.PortID(port).UUID)
}

// heard is what the programs note when the port announces the address, so long ago.
func (w *wanderer) heard(port string, ago time.Duration) {
	w.t.Helper()
	k, v := w.key(), weftFact{Neighbor: w.slot(port), Mac: dptest.PortMAC(port), Seen: monotonic() - uint64(ago)}
	if err := w.r.coll.Maps["learned"].Put(&k, &v); err != nil {
		w.t.Fatal(err)
	}
}

func (w *wanderer) at(when, port string) {
	w.t.Helper()
	k, v := w.key(), weftFact{}
	err := w.r.coll.Maps["learned"].Lookup(&k, &v)
	if err != nil || v.Neighbor != w.slot(port) || model.MAC(v.Mac) != dptest.PortMAC(port) {
		w.t.Errorf("%s: at neighbour %d, %v (%v), want %s, %d", when, v.Neighbor, v.Mac, err, port, w.slot(port))
	}
}

// The feed's word on who has an address and the programs' are of different times; the newer one counts.
func TestFeedsWordOnWhoWasHeard(t *testing.T) {
	r := testRunner(t)
	for _, v6 := range []bool{false, true} {
		w := newWanderer(t, r, v6)
		w.told("red2", 0)
		w.at("nothing was heard", "red2")
		w.told("red1", 0)
		w.at("the word changed, and nothing was heard", "red1")
		w.heard("red1", time.Minute)
		w.told("red1", 0)
		w.told("red2", 0)
		w.at("the word changed after what was heard", "red2")
		w.heard("red1", 0)
		w.told("red2", 0)
		w.at("the word has not changed since", "red1")
		w.told("", 0)
		if !w.told("red2", 0) {
			t.Error("settled, though the word differs from what was heard just now")
		}
		w.at("what was heard is fresh", "red1")
		w.heard("red1", 2*freshFor)
		if w.told("red2", 0) {
			t.Error("unsettled, though what was heard is old")
		}
		w.at("what was heard is fresh no more", "red2")
	}
}

// An agent and its server come back after an address has moved: what the server lists is older than what was heard meanwhile,
// and newer than what was heard before. An agent that starts does not know what was heard when.
func TestListOfAServerThatWasAway(t *testing.T) {
	r := testRunner(t)
	for _, v6 := range []bool{false, true} {
		w := newWanderer(t, r, v6)
		w.told("red1", 0)
		w.heard("red2", 30*time.Second)
		for range 2 {
			if w.told("", 0); w.told("red1", time.Minute) {
				t.Error("unsettled, though the list is old")
			}
			w.at("heard while the server was away", "red2")
			w.told("red1", 0)
			w.at("and the word is still the same", "red2")
		}
		w.told("", 0)
		w.told("red1", 10*time.Second)
		w.at("heard before the server was away", "red1")

		w = newWanderer(t, r, v6)
		w.told("", 0)
		w.heard("red2", time.Hour)
		w.r.t.hints = nil
		w.told("", 0) // by what was on the disk
		w.told("red1", 1<<60)
		w.at("the agent has just started", "red2")
		w.told("red2", 0)
		w.told("red1", 0)
		w.at("then the word changed", "red1")
	}
}

// What was heard of a port without port security is still known when it gets an address pair for that instead.
func TestWhatWasHeardOutlivesAPair(t *testing.T) {
	r := testRunner(t)
	for _, v6 := range []bool{false, true} {
		w := newWanderer(t, r, v6)
		pairs := w.cloud.Port("red2").Pairs
		w.cloud.Port("red1").Pairs, w.cloud.Port("red2").Pairs, w.cloud.Port("red2").Open = nil, nil, true
		w.told("", 0)
		k, v := w.key(), weftFact{Neighbor: w.slot("red2"), Mac: dptest.PortMAC("red2"), Seen: monotonic()}
		if err := w.r.coll.Maps["heard"].Put(&k, &v); err != nil {
			t.Fatal(err)
		}
		w.cloud.Port("red2").Pairs, w.cloud.Port("red2").Open = pairs, false
		w.told("", 0)
		w.at("its pair lists it now", "red2")
		if err := w.r.coll.Maps["heard"].Lookup(&k, &v); err == nil {
			t.Error("it is in both maps")
		}
	}
}
