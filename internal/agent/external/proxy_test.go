package external

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/weft-cloud/weft/internal/agent/frame"
	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

var (
	inner   = netip.MustParseAddr("2001:db8:a::5")
	hop6    = netip.MustParseAddr("fe80::1")
	hostMAC = model.MAC{0xfa, 0x16, 0x3f, 0, 0, 7}
	proxyID = model.NDPProxyID{UUID: model.UUID{'d'}}
)

// proxyRig has, besides what newRig has, an NDP proxy of the port and one that the central part serves.
func proxyRig() *rig {
	r := newRig()
	second := model.NDPProxyID{UUID: model.UUID{'c'}}
	r.state.NDPProxies = map[model.NDPProxyID]*hostplan.NDPProxy{
		proxyID: {ID: proxyID, External: ext, Address: inner, MAC: hostMAC, Port: port},
		second:  {ID: second, External: ext, Address: netip.MustParseAddr("2001:db8:a::6"), MAC: gwMAC, Central: true},
	}
	r.active.NDPProxies = map[model.NDPProxyID]bool{proxyID: true, second: true}
	return r
}

func (r *rig) unresolved6(n byte) {
	b := make([]byte, 80)
	b[12], b[13], b[14] = 0x86, 0xdd, 0x60
	copy(b[22:], inner.AsSlice())
	b[79] = n
	r.punt(dataplane.Punt{Kind: dataplane.PuntExternal, Port: port, External: ext, NextHop: hop6, Frame: b})
}

// advertises is the answer of mac to a solicitation.
func advertises(a netip.Addr, mac model.MAC) []byte {
	body := make([]byte, 28)
	copy(body[4:], a.AsSlice())
	body[20], body[21] = 2, 1
	copy(body[22:], mac[:])
	return frame.ICMP6{SrcMAC: mac, DstMAC: hostMAC, Src: a, Dst: inner, HopLimit: 255, Type: icmp6NA, Body: body}.Bytes()
}

// The next hop of a proxied address is asked for from that address, never from the router's, and packets wait for the answer.
func TestNextHopOfProxiedAddress(t *testing.T) {
	r := proxyRig()
	r.unresolved6('1')
	r.unresolved6('2')
	const want = "2001:db8:a::5 fa:16:3f:00:00:07 solicits fe80::1 at 33:33:ff:00:00:01"
	if got := r.p.take(); got != want {
		t.Fatalf("asked %q, want %q", got, want)
	}
	r.punt(dataplane.Punt{Kind: dataplane.PuntNeighbor, External: ext, NextHop: hop6, Frame: advertises(hop6, hopMAC)})
	if r.p.learned[hop6] != hopMAC || strings.Join(r.p.resent, "") != "12" {
		t.Fatalf("learned %v, sent again %v", r.p.learned, r.p.resent)
	}
	r.p.known = []dataplane.OutsideNeighbor{{External: ext, Address: hop6, MAC: hopMAC, Silent: freshFor}}
	for i := range asks {
		r.pass(lookEvery)
		if got := r.p.take(); got != want {
			t.Fatalf("refreshed %d: %q", i, got)
		}
	}
	r.pass(lookEvery)
	if _, known := r.p.learned[hop6]; known {
		t.Error("who does not answer is not forgotten")
	}
}

// A proxied address is announced when it comes, by the MAC under which it is served, and not as a router's.
func TestProxiedAddressIsAnnounced(t *testing.T) {
	r := proxyRig()
	r.takeOwn()
	sent := r.p.take()
	for _, want := range []string{"2001:db8:a::5 fa:16:3f:00:00:07 advertises", "2001:db8:a::6 fa:16:3e:00:00:02 advertises"} {
		if strings.Count(sent, want) != 1 {
			t.Errorf("%q is not announced once: %q", want, sent)
		}
	}
	if b := advertisement(inner, hostMAC, false); b[58] != 0x20 {
		t.Errorf("flags %#x", b[58])
	}
	if b := advertisement(inner, hostMAC, true); b[58] != 0xa0 {
		t.Errorf("flags of a router %#x", b[58])
	}
	r.pass(2 * time.Second)
	r.p.take()
	r.takeOwn()
	if got := r.p.take(); got != "" {
		t.Errorf("announced again without a change: %q", got)
	}
	r.active.NDPProxies[proxyID] = false
	r.takeOwn()
	r.active.NDPProxies[proxyID] = true
	r.takeOwn()
	if got := r.p.take(); got != "2001:db8:a::5 fa:16:3f:00:00:07 advertises" {
		t.Errorf("come back: %q", got)
	}
}

func TestProxiedAddressIsClaimed(t *testing.T) {
	r := proxyRig()
	r.takeOwn()
	for range 5 {
		r.punt(dataplane.Punt{Kind: dataplane.PuntNeighbor, External: ext, NextHop: inner, Frame: advertises(inner, hopMAC)})
		r.pass(time.Second)
	}
	ps := r.problems()
	if len(ps) != 1 || ps[0].Kind != string(model.KindNDPProxy) || ps[0].ID != proxyID.String() || !strings.Contains(ps[0].Why, hopMAC.String()) {
		t.Errorf("problems %v", ps)
	}
}
