package ra

import (
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/weft-cloud/weft/internal/agent/frame"
	"github.com/weft-cloud/weft/internal/agent/tally"
	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

var (
	portID = model.PortID{UUID: model.UUID{1}}
	netID  = model.NetworkID{UUID: model.UUID{2}}
	vmMAC  = model.MAC{0xfa, 0x16, 0x3e, 1, 2, 3}
	rtrMAC = model.MAC{0xfa, 0x16, 0x3e, 9, 9, 9}
	rtrLL  = netip.MustParseAddr("fe80::f816:3eff:fe09:909")
	vmLL   = netip.MustParseAddr("fe80::f816:3eff:fe01:203")
)

func state() *hostplan.State {
	return &hostplan.State{
		Networks: map[model.NetworkID]*hostplan.Network{netID: {ID: netID, Advertisements: []hostplan.Advertisement{{
			MAC: rtrMAC, LinkLocal: rtrLL, Other: true, MTU: 1450, DefaultRouter: true,
			Prefixes: []hostplan.AdvertisedPrefix{{Prefix: netip.MustParsePrefix("fd00:42::/64"), Autonomous: true, OnLink: true}},
			DNS:      []netip.Addr{netip.MustParseAddr("fd00:42::2"), netip.MustParseAddr("9.9.9.9")},
		}}}},
		Endpoints: map[model.PortID]*hostplan.Endpoint{portID: {Port: portID, Network: netID, MAC: vmMAC}},
	}
}

func solicit(change func(*frame.ICMP6)) []byte {
	m := frame.ICMP6{
		SrcMAC: vmMAC, DstMAC: model.MAC{0x33, 0x33, 0, 0, 0, 2}, Src: vmLL, Dst: netip.MustParseAddr("ff02::2"), HopLimit: 255, Type: 133,
		Body: append([]byte{0, 0, 0, 0, 1, 1}, vmMAC[:]...),
	}
	if change != nil {
		change(&m)
	}
	return m.Bytes()
}

func book() *tally.Book {
	return tally.New(tally.Deps{Now: func() time.Time { return time.Unix(1, 0) }})
}

// TestAdvertisement: what gopacket reads in an answer.
func TestAdvertisement(t *testing.T) {
	b := book()
	out := New(b).Handle(dataplane.Punt{Kind: dataplane.PuntRS, Port: portID, Frame: solicit(nil)}, state())
	if len(out) != 1 {
		t.Fatalf("%d answers, %+v", len(out), b.Of(portID))
	}
	m, err := frame.ParseICMP6(out[0])
	if err != nil {
		t.Fatal(err)
	}
	if m.Src != rtrLL || m.Dst != vmLL || m.SrcMAC != rtrMAC || m.DstMAC != vmMAC || m.HopLimit != 255 {
		t.Errorf("%+v", m)
	}
	p := gopacket.NewPacket(out[0], layers.LayerTypeEthernet, gopacket.Default)
	ra, ok := p.Layer(layers.LayerTypeICMPv6RouterAdvertisement).(*layers.ICMPv6RouterAdvertisement)
	if !ok {
		t.Fatal(p)
	}
	if ra.HopLimit != 64 || ra.Flags != 0x40 || ra.RouterLifetime != 65535 {
		t.Errorf("%+v", ra)
	}
	got := map[uint8]string{}
	for _, o := range ra.Options {
		got[uint8(o.Type)] += cmpHex(o.Data)
	}
	want := map[uint8]string{
		1: "fa163e090909", 5: "0000000005aa",
		3:  "40c0" + "00278d00" + "00093a80" + "00000000" + "fd000042000000000000000000000000",
		25: "0000" + "0000ffff" + "fd000042000000000000000000000002",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func cmpHex(b []byte) string {
	const digits = "0123456789abcdef"
	var s strings.Builder
	for _, c := range b {
		s.WriteByte(digits[c>>4])
		s.WriteByte(digits[c&15])
	}
	return s.String()
}

func TestFlags(t *testing.T) {
	for _, tc := range []struct {
		name string
		adv  hostplan.Advertisement
		want []byte
	}{
		{"slaac", hostplan.Advertisement{DefaultRouter: true}, []byte{64, 0, 255, 255}},
		{"stateless", hostplan.Advertisement{DefaultRouter: true, Other: true}, []byte{64, 0x40, 255, 255}},
		{"stateful", hostplan.Advertisement{DefaultRouter: true, Managed: true, Other: true}, []byte{64, 0xc0, 255, 255}},
		{"no default router", hostplan.Advertisement{Managed: true}, []byte{64, 0x80, 0, 0}},
	} {
		if d := cmp.Diff(tc.want, body(&tc.adv)[:4]); d != "" {
			t.Errorf("%s: %s", tc.name, d)
		}
	}
}

// TestSolicitations is RFC 4861, section 6.1.1, and where answers go.
func TestSolicitations(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*frame.ICMP6)
		to     string // "": no answer
	}{
		{"with address", nil, vmLL.String()},
		{"from ::", func(m *frame.ICMP6) { m.Src, m.Body = netip.IPv6Unspecified(), m.Body[:4] }, "ff02::1"},
		{"from :: with a link-layer address", func(m *frame.ICMP6) { m.Src = netip.IPv6Unspecified() }, ""},
		{"hop limit", func(m *frame.ICMP6) { m.HopLimit = 254 }, ""},
		{"code", func(m *frame.ICMP6) { m.Code = 1 }, ""},
		{"type", func(m *frame.ICMP6) { m.Type = 134 }, ""},
		{"short", func(m *frame.ICMP6) { m.Body = m.Body[:3] }, ""},
		{"option of length 0", func(m *frame.ICMP6) { m.Body[5] = 0 }, ""},
		{"option past the end", func(m *frame.ICMP6) { m.Body[5] = 2 }, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := book()
			out := New(b).Handle(dataplane.Punt{Kind: dataplane.PuntRS, Port: portID, Frame: solicit(tc.change)}, state())
			if tc.to == "" {
				if len(out) != 0 || b.Of(portID).Last[0].Why == "" {
					t.Errorf("%d answers, %+v", len(out), b.Of(portID))
				}
				return
			}
			if len(out) != 1 {
				t.Fatalf("%d answers, %+v", len(out), b.Of(portID))
			}
			if m, err := frame.ParseICMP6(out[0]); err != nil || m.Dst.String() != tc.to {
				t.Errorf("%v %v", m.Dst, err)
			}
		})
	}
}

// sent is one injected frame in short.
type sent struct {
	Port     model.PortID
	From, To string
	Lifetime uint16
}

// TestAnnouncer walks a state through its life and looks at what each endpoint hears.
func TestAnnouncer(t *testing.T) {
	now := time.Unix(1000, 0)
	var got []sent
	a := NewAnnouncer(Deps{
		Inject: func(id model.PortID, b []byte) error {
			m, err := frame.ParseICMP6(b)
			if err != nil {
				t.Error(err)
			}
			got = append(got, sent{id, m.Src.String(), m.Dst.String(), uint16(m.Body[2])<<8 | uint16(m.Body[3])})
			return nil
		},
		Log: slog.New(slog.DiscardHandler), Interval: time.Minute, Now: func() time.Time { return now }, Rand: func(n int64) int64 { return n / 2 },
	})
	expect := func(what string, want ...sent) {
		t.Helper()
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", what, d)
		}
		got = nil
	}
	normal := sent{portID, rtrLL.String(), "ff02::1", 65535}
	a.take(state())
	expect("a new endpoint waits its turn")
	now = now.Add(30 * time.Second)
	a.round()
	expect("its turn", normal)
	now = now.Add(59 * time.Second)
	a.round()
	expect("not yet")
	now = now.Add(time.Second)
	a.round()
	expect("again", normal)
	a.take(state())
	expect("an equal state")
	changed := state()
	changed.Networks[netID].Advertisements[0].MTU = 1400
	a.take(changed)
	expect("a change is told at once", normal)
	other := state()
	other.Networks[netID].Advertisements[0].LinkLocal = netip.MustParseAddr("fe80::7")
	a.take(other)
	gone := normal
	gone.Lifetime = 0
	expect("another router", gone, sent{portID, "fe80::7", "ff02::1", 65535})
	none := state()
	none.Networks[netID].Advertisements = nil
	a.take(none)
	expect("no router", sent{portID, "fe80::7", "ff02::1", 0})
	none.Endpoints = nil
	a.take(none)
	if len(a.ports) != 0 {
		t.Error("a port that is gone is remembered")
	}
}

// TestRun: the newest state is what counts, and Run ends with its context.
func TestRun(t *testing.T) {
	told := make(chan model.PortID, 16)
	tick := make(chan time.Time)
	a := NewAnnouncer(Deps{
		Inject: func(id model.PortID, _ []byte) error { told <- id; return nil },
		Log:    slog.New(slog.DiscardHandler), Interval: time.Minute, Now: func() time.Time { return time.Unix(1, 0) },
		Rand: func(int64) int64 { return 0 }, Tick: func(time.Duration) (<-chan time.Time, func()) { return tick, func() {} },
	})
	a.Update(&hostplan.State{})
	a.Update(state())
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- a.Run(ctx) }()
	if id := <-told; id != portID {
		t.Error(id)
	}
	stop()
	if err := <-done; err != context.Canceled { //nolint:errorlint // returned as it is
		t.Error(err)
	}
}

// outsider makes the port a machine on a wire that the host serves.
func outsider(st *hostplan.State) *hostplan.State {
	n := st.Networks[netID]
	n.OnWire = []hostplan.Advertisement{n.Advertisements[0]}
	n.OnWire[0].DNS = nil
	st.Outsiders, st.Endpoints = st.Endpoints, nil
	return st
}

// TestOutsider: a machine on the wire is told what is meant for the wire, it alone, also before it has an address, and now and then.
func TestOutsider(t *testing.T) {
	st := outsider(state())
	for _, ask := range [][]byte{solicit(nil), solicit(func(m *frame.ICMP6) { m.Src, m.Body = netip.IPv6Unspecified(), m.Body[:4] })} {
		out := New(book()).Handle(dataplane.Punt{Kind: dataplane.PuntRS, Port: portID, Frame: ask}, st)
		if len(out) != 1 || model.MAC(out[0][:6]) != vmMAC || model.MAC(out[0][6:12]) != rtrMAC {
			t.Fatalf("%x", out)
		}
		want := build(&st.Networks[netID].OnWire[0], vmLL, vmMAC)
		if len(out[0]) != len(want) {
			t.Errorf("%d bytes, want %d: it is told of a resolver that does not answer it", len(out[0]), len(want))
		}
	}
	var sent []model.PortID
	now := time.Unix(0, 0)
	a := NewAnnouncer(Deps{Inject: func(id model.PortID, _ []byte) error { sent = append(sent, id); return nil }, Log: slog.New(slog.DiscardHandler),
		Interval: time.Minute, Now: func() time.Time { return now }, Rand: func(int64) int64 { return 0 }})
	a.take(st)
	now = now.Add(time.Minute)
	a.round()
	if len(sent) != 2 || sent[0] != portID {
		t.Errorf("sent to %v", sent)
	}
	a.take(&hostplan.State{})
	now = now.Add(time.Hour)
	if a.round(); len(sent) != 2 {
		t.Errorf("sent to who is gone: %v", sent)
	}
}

func FuzzSolicitation(f *testing.F) {
	f.Add(solicit(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		st := state()
		out, said := answer(st.Endpoints[portID], st.Networks[netID].Advertisements, allNodesMAC, b)
		if (len(out) == 0) != (said.Answer == "") {
			t.Errorf("%+v", said)
		}
		for _, o := range out {
			if m, err := frame.ParseICMP6(o); err != nil || m.Src != rtrLL {
				t.Error(err)
			}
		}
	})
}
