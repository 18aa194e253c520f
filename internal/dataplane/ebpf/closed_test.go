package ebpf

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"testing"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/dptest"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/linux"
	"github.com/weft-cloud/weft/internal/model"
)

// A port that is plugged in and not programmed yet passes nothing in either direction, not to its neighbours, its router, the
// host's services nor other hosts; as soon as it is programmed it does. So does one whose policy could not be written.
func TestUnprogrammedPortPassesNothing(t *testing.T) {
	for _, tap := range []bool{false, true} {
		t.Run(fmt.Sprintf("tap %v", tap), func(t *testing.T) { unprogrammed(t, newWire(t, Config{}, tap)) })
	}
}

func unprogrammed(t *testing.T, w *wire) {
	whole := dptest.Demo().States()
	without := maps.Clone(whole)
	s := *whole["compute1"]
	s.Endpoints = maps.Clone(s.Endpoints)
	delete(s.Endpoints, dptest.PortID("red1"))
	without["compute1"] = &s
	now := func(states map[string]*hostplan.State) {
		t.Helper()
		for _, do := range []func() error{func() error { return w.Apply(states) }, w.Forget} {
			if err := do(); err != nil {
				t.Fatal(err)
			}
		}
	}
	now(whole) // so that there are flows of before
	for name, f := range fromRed1() {
		w.mustSend(t, dptest.Send{From: "red1", Frame: f}, name)
	}
	now(without)
	for name, f := range fromRed1() {
		a := w.mustSend(t, dptest.Send{From: "red1", Frame: f}, name)
		if len(a.To) > 0 || len(a.Punts) > 0 || a.Drops[reason.UnknownEndpoint] == 0 {
			t.Errorf("%s, from a port that is not programmed: %d ports got it, punts %v, drops %v", name, len(a.To), a.Punts, a.Drops)
		}
	}
	for _, from := range []string{"red3", "red2"} {
		for name, f := range toRed1(from) {
			if a := w.mustSend(t, dptest.Send{From: from, Frame: f}, name); a.To["red1"] != nil {
				t.Errorf("%s from %s reached a port that is not programmed", name, from)
			}
		}
	}
	now(whole)
	f := fromRed1()["unicast to a neighbour"]
	if a := w.mustSend(t, dptest.Send{From: "red1", Frame: f}, "control"); a.To["red3"] == nil {
		t.Errorf("nothing arrives from a port that is programmed: %v", a.Drops)
	}
}

// mustSend sends a frame and waits until somebody got it, or it was dropped.
func (w *wire) mustSend(t *testing.T, s dptest.Send, name string) dptest.Arrived {
	t.Helper()
	a, err := w.Send(s, func(a dptest.Arrived) bool { return len(a.To)+len(a.Punts)+len(a.Drops) > 0 })
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return a
}

// fromRed1 is what an instance sends that wants to be heard.
func fromRed1() map[string][]byte {
	m, me, me6 := dptest.PortMAC("red1"), dptest.DemoAddr(0, 11, false), dptest.DemoAddr(0, 11, true)
	to := func(port string) netip.Addr { return dptest.Demo().Port(port).Addresses[0] }
	ip := func(dst netip.Addr) dptest.IP { return dptest.IP{Src: me, Dst: dst}.UDP(1, 2, nil) }
	all := model.Broadcast
	leg := dptest.LegMAC("router", "red")
	return map[string][]byte{
		"unicast to a neighbour":      ip(to("red3")).Frame(dptest.PortMAC("red3"), m),
		"unicast to another host":     ip(to("red2")).Frame(dptest.PortMAC("red2"), m),
		"routed":                      ip(to("blue1")).Frame(leg, m),
		"routed to another host":      ip(to("blue2")).Frame(leg, m),
		"ping to the router":          dptest.IP{Src: me, Dst: dptest.DemoAddr(0, 1, false)}.Ping(1, 1).Frame(leg, m),
		"IPv6":                        dptest.IP{Src: me6, Dst: dptest.Demo().Port("red3").Addresses[1]}.Ping(1, 1).Frame(dptest.PortMAC("red3"), m),
		"broadcast":                   ip(netip.MustParseAddr("255.255.255.255")).Frame(all, m),
		"ARP request":                 dptest.ARP{Op: 1, SenderMAC: m, Sender: me, Target: to("red3")}.Frame(all),
		"ARP announcement":            dptest.ARP{Op: 1, SenderMAC: m, Sender: me, Target: me}.Frame(all),
		"neighbour solicitation":      dptest.Solicit(m, me6, dptest.Demo().Port("red3").Addresses[1]),
		"duplicate address detection": dptest.Solicit(m, netip.IPv6Unspecified(), me6),
		"DHCP discover":               dptest.IP{Src: netip.IPv4Unspecified(), Dst: netip.MustParseAddr("255.255.255.255")}.UDP(68, 67, make([]byte, 240)).Frame(all, m),
		"another ethertype":           dptest.Ether(all, m, 0x88cc, make([]byte, 46)),
	}
}

// toRed1 is what another port sends to it.
func toRed1(from string) map[string][]byte {
	p := dptest.Demo().Port(from)
	m := dptest.PortMAC(from)
	ip := dptest.IP{Src: p.Addresses[0], Dst: dptest.DemoAddr(0, 11, false)}.UDP(1, 2, nil)
	ip6 := dptest.IP{Src: p.Addresses[1], Dst: dptest.DemoAddr(0, 11, true)}.UDP(1, 2, nil)
	announce := dptest.ARP{Op: 1, SenderMAC: m, Sender: p.Addresses[0], Target: p.Addresses[0]}
	return map[string][]byte{"unicast": ip.Frame(dptest.PortMAC("red1"), m), "IPv6": ip6.Frame(dptest.PortMAC("red1"), m),
		"broadcast": ip.Frame(model.Broadcast, m), "ARP announcement": announce.Frame(model.Broadcast)}
}

// A port whose rules do not fit is said so in words, is not reported as programmed, and passes nothing; the others do.
func TestPolicyThatDoesNotFit(t *testing.T) {
	c := newCloud(t, Config{spec: smaller("pol_rules", 16)}, func(d *dptest.Cloud) {
		d.Port("red3").Policy = dptest.Stateful(dptest.Any(true, false), dptest.Any(false, false))
	})
	many := []hostplan.Rule{dptest.Any(true, false)}
	for i := range int32(100) {
		many = append(many, dptest.Allow(false, false, 17, 2*i, 2*i))
	}
	c.cloud.Port("red1").Policy = dptest.Stateful(many...)
	c.states = c.cloud.States()
	var res dataplane.Result
	c.must(linux.InNetns(c.ns("compute1"), func() (err error) {
		res, err = c.planes["compute1"].Apply(context.Background(), dataplane.Desired{State: c.states["compute1"], Devices: c.devices("compute1"), InSync: true})
		return err
	}))
	full := false
	for _, p := range res.Failed {
		full = full || p.Kind == "policy" && p.Why != ""
	}
	if !full || res.Programmed[dptest.PortID("red1")] || !res.Programmed[dptest.PortID("red3")] {
		t.Errorf("failed %+v, programmed %v", res.Failed, res.Programmed)
	}
	if _, err := c.ping("red3", c.addr("red2", false), wait); err != nil {
		t.Errorf("another port of the host: %v", err)
	}
}
