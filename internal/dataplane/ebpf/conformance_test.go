package ebpf

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"reflect"
	"testing"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/dptest"
	"github.com/weft-cloud/weft/internal/forward"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// testRunner is a Runner, or a skip with the reason.
func testRunner(t testing.TB) *Runner {
	t.Helper()
	return runnerOf(t, options{record: true, test: true})
}

// needRoot skips the test, with the reason, for anybody else.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: BPF programs are loaded")
	}
}

func runnerOf(t testing.TB, o options) *Runner {
	t.Helper()
	needRoot(t)
	r, err := newRunner(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// underTest is a Runner as a dptest.Plane.
type underTest struct {
	r *Runner
	s *hostplan.State
	t testing.TB
}

func (u *underTest) Apply(s *hostplan.State) error {
	share(u.r.s, s)
	u.s = s
	if p := u.r.Apply(s, Limits{}); len(p) > 0 {
		return fmt.Errorf("%v", p)
	}
	return nil
}

// share lets a State have the former one's maps where they are equal, as hostplan's Compiler does: what a plane does then is less.
func share(old, now *hostplan.State) {
	if old == nil {
		return
	}
	was, is := reflect.ValueOf(old).Elem(), reflect.ValueOf(now).Elem()
	for i := range is.NumField() {
		if is.Field(i).Kind() == reflect.Map && reflect.DeepEqual(was.Field(i).Interface(), is.Field(i).Interface()) {
			is.Field(i).Set(was.Field(i))
		}
	}
}

func (u *underTest) Forget() error { return u.r.Forget() }

// Settle and Expire implement dptest.Aging.
func (u *underTest) Settle() error { return u.r.age(false) }
func (u *underTest) Expire() error { return u.r.age(true) }

func (u *underTest) Learn(external model.NetworkID, addr netip.Addr, mac model.MAC) error {
	return u.r.Learn(external, addr, mac)
}

func (u *underTest) Send(in forward.Input, frame []byte) (dptest.Outcome, error) {
	o, err := u.r.Run(Packet{From: in.Port, VTEP: in.Outer, VNI: in.VNI, Physnet: in.Physnet, VLAN: in.VLAN, Frame: frame, GSOSize: uint32(in.Segment)})
	if errors.Is(err, ErrNotRunnable) {
		return dptest.Outcome{}, fmt.Errorf("%w: %w", dptest.ErrSkip, err)
	} else if err != nil {
		return dptest.Outcome{}, err
	}
	out := dptest.Outcome{Reason: o.Reason, Rule: o.Rule, Cached: o.Cached}
	add := func(x forward.Output) { out.Outputs = append(out.Outputs, x) }
	peer := func(host string, vni uint32, frame []byte) {
		add(forward.Output{Kind: forward.Tunnel, VNI: vni, Peer: host, VTEP: u.s.Peers[host].VTEP, Frame: frame})
	}
	if o.Told {
		add(forward.Output{Kind: forward.Punt, Punt: dataplane.PuntNeighbor, External: o.External, NextHop: o.NextHop, Frame: frame})
	}
	if o.Asked {
		add(forward.Output{Kind: forward.Punt, Port: in.Port, Punt: dataplane.PuntAsk, Frame: frame})
	}
	toHost := func() {
		add(forward.Output{Kind: forward.ToHost, Physnet: in.Physnet, VLAN: in.VLAN, Frame: frame})
	}
	switch o.Verdict {
	case Pass:
		toHost()
	case OutsideVerdict:
		add(forward.Output{Kind: forward.Outside, Physnet: o.NIC, VLAN: o.VLAN, External: o.External, Frame: o.Frame})
	case Local:
		add(forward.Output{Kind: forward.Deliver, Port: o.Port, Frame: o.Frame})
	case Answer:
		add(forward.Output{Kind: forward.Reply, Port: o.Port, Physnet: in.Physnet, VLAN: in.VLAN, Frame: o.Frame})
	case Tunnel:
		peer(o.Peer, o.VNI, o.Frame)
	case PuntedVerdict:
		add(forward.Output{Kind: forward.Punt, Port: in.Port, Punt: o.Punt, External: o.External, NextHop: o.NextHop, Frame: o.Frame})
	case Flood:
		if in.Physnet != "" {
			toHost()
		} else if o.NIC != "" {
			add(forward.Output{Kind: forward.Outside, Physnet: o.NIC, VLAN: o.VLAN, External: o.External, Frame: frame})
		}
		vni := in.VNI
		if e := u.s.Endpoints[in.Port]; e != nil {
			if n := u.s.Networks[e.Network]; n != nil {
				vni = n.VNI
			}
		}
		for _, f := range o.Flood {
			if f.Peer != "" {
				peer(f.Peer, vni, frame)
			} else {
				add(forward.Output{Kind: forward.Deliver, Port: f.Port, Frame: frame})
			}
		}
	}
	return out, nil
}

// The table of hard packets, each host's programs in maps of their own.
func TestHardPackets(t *testing.T) {
	needRoot(t)
	t.Parallel() // as TestDifferential
	planes := map[string]*underTest{}
	top := t
	dptest.RunCases(t, func(t testing.TB, s *hostplan.State) dptest.Plane {
		u := planes[s.Host]
		if u == nil {
			u = &underTest{r: testRunner(top)}
			planes[s.Host] = u
		}
		u.t = t
		if err := u.Apply(s); err != nil {
			t.Fatal(err)
		}
		return u
	})
}
