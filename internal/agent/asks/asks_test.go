package asks

import (
	"encoding/binary"
	"errors"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/weft-cloud/weft/internal/agent/frame"
	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/model"
)

// rig is a Keeper with a plane that knows some addresses, and a clock.
type rig struct {
	k     *Keeper
	knows map[netip.Addr]bool
	sent  []netip.Addr
	fails bool
	now   time.Time
}

var (
	mac  = model.MAC{0xfa, 0x16, 0x3e, 0, 0, 1}
	peer = model.MAC{0xfa, 0x16, 0x3e, 0, 0, 2}
	here = portID(1)
	v4   = netip.MustParseAddr("172.16.42.9")
	v6   = netip.MustParseAddr("fd00:42::9")
)

func portID(n byte) model.PortID { return model.PortID{UUID: model.UUID{n}} }

func newRig() *rig {
	r := &rig{knows: map[netip.Addr]bool{}, now: time.Unix(1000, 0)}
	r.k = New(Deps{
		Resolves: func(_ model.PortID, a netip.Addr) bool { return r.knows[a] },
		Resend: func(_ model.PortID, f []byte) error {
			a, ok := frame.Asked(f)
			if r.fails || !ok {
				return errors.New("lost")
			}
			r.sent = append(r.sent, a)
			return nil
		},
		Now: func() time.Time { return r.now }, Log: slog.New(slog.DiscardHandler),
	})
	return r
}

func (r *rig) ask(port model.PortID, a netip.Addr) {
	r.k.Handle(dataplane.Punt{Kind: dataplane.PuntAsk, Port: port, Frame: frame.Probe(a, peer, mac)}, nil)
}

// want compares what was sent again since the last call.
func (r *rig) want(t *testing.T, what string, want ...netip.Addr) {
	t.Helper()
	if len(r.sent) != len(want) {
		t.Fatalf("%s: sent again %v, want %v", what, r.sent, want)
	}
	for i := range want {
		if r.sent[i] != want[i] {
			t.Fatalf("%s: sent again %v, want %v", what, r.sent, want)
		}
	}
	r.sent = nil
}

func TestEarlyQuestionIsAskedAgain(t *testing.T) {
	for name, a := range map[string]netip.Addr{"ARP": v4, "ND": v6} {
		t.Run(name, func(t *testing.T) {
			r := newRig()
			r.ask(here, a)
			r.k.Applied()
			r.want(t, "nobody is there")
			r.knows[a] = true
			r.k.Applied()
			r.want(t, "the neighbour has come", a)
			r.k.Applied()
			r.want(t, "it was answered")
		})
	}
}

// What the plane has come to know while the question was on its way is not waited for.
func TestLateQuestionIsAskedAgainAtOnce(t *testing.T) {
	r := newRig()
	r.knows[v4] = true
	r.ask(here, v4)
	r.want(t, "known meanwhile", v4)
}

// A plane that says it answers, and punts all the same, makes no storm.
func TestNoStorm(t *testing.T) {
	r := newRig()
	r.knows[v4] = true
	for range 100 {
		r.ask(here, v4)
	}
	r.want(t, "again and again", v4)
	r.now = r.now.Add(quiet)
	r.ask(here, v4)
	r.want(t, "a moment later", v4)
}

func TestQuestionsAreForgotten(t *testing.T) {
	r := newRig()
	r.ask(here, v4)
	r.now = r.now.Add(kept)
	r.knows[v4] = true
	r.k.Applied()
	r.want(t, "too late")
	if len(r.k.asks)+len(r.k.count) > 0 {
		t.Errorf("kept %v, counts %v", r.k.asks, r.k.count)
	}
}

func TestQuestionsAreBounded(t *testing.T) {
	r := newRig()
	address := func(i int) netip.Addr {
		return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, 0x0a000000+uint32(i)))) //nolint:gosec // small
	}
	for i := range 2 * perPort {
		r.ask(here, address(i))
	}
	if n := len(r.k.asks); n != perPort {
		t.Errorf("%d questions of one port are remembered, want %d", n, perPort)
	}
	r.ask(portID(2), v4)
	r.knows[v4] = true
	r.k.Applied()
	r.want(t, "another port has room", v4)
	for i := range 2 * inAll {
		r.k.Handle(dataplane.Punt{Port: model.PortID{UUID: model.UUID{byte(i), byte(i >> 8), 9}}, Frame: frame.Probe(address(i), peer, mac)}, nil)
	}
	if n := len(r.k.asks); n != inAll {
		t.Errorf("%d questions are remembered, want %d", n, inAll)
	}
	r.now = r.now.Add(kept)
	r.ask(portID(3), v4)
	if n := len(r.k.asks); n != 1 {
		t.Errorf("%d questions are left when their time is over, want the new one", n)
	}
}

// Whoever greets many new neighbours within a second, each as it comes, is not kept waiting for the seventeenth.
func TestAnsweredQuestionsTakeNoRoom(t *testing.T) {
	r := newRig()
	for i := range byte(4 * perPort) {
		a := netip.AddrFrom4([4]byte{10, 0, 0, i})
		r.ask(here, a)
		r.knows[a] = true
		r.k.Applied()
		r.want(t, "one after the other", a)
	}
	if n := len(r.k.count); n != 0 {
		t.Errorf("%d ports are said to wait", n)
	}
	// One that was answered, and is asked anew and in vain, waits like any other.
	r.now = r.now.Add(quiet)
	first := netip.AddrFrom4([4]byte{10, 0, 0, 0})
	delete(r.knows, first)
	r.ask(here, first)
	if n := r.k.count[here]; n != 1 {
		t.Errorf("%d questions wait, want 1", n)
	}
	r.now = r.now.Add(kept)
	r.k.Applied()
	if len(r.k.asks)+len(r.k.count) > 0 {
		t.Errorf("kept %v, counts %v", r.k.asks, r.k.count)
	}
}

func TestWhatIsNoQuestion(t *testing.T) {
	r := newRig()
	r.knows[v4], r.knows[v6] = true, true
	for _, f := range [][]byte{nil, make([]byte, 60), frame.Announcement(v6, mac), frame.Probe(v4, peer, mac)[:41]} {
		r.k.Handle(dataplane.Punt{Port: here, Frame: f}, nil)
	}
	New(Deps{Now: time.Now}).Handle(dataplane.Punt{Port: here, Frame: frame.Probe(v4, peer, mac)}, nil)
	r.want(t, "no question")
}

// What cannot be sent is not tried without end.
func TestResendFails(t *testing.T) {
	r := newRig()
	r.fails = true
	r.ask(here, v4)
	r.knows[v4] = true
	r.k.Applied()
	r.fails = false
	r.k.Applied()
	r.want(t, "it was tried once")
}
