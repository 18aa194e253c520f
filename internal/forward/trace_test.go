package forward_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weft-cloud/weft/internal/dataplane/dptest"
	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/forward"
)

// red1 sends a ping to an address of blue (net 1) through its router.
func ping(v6 bool, last int) []byte {
	p := dptest.IP{Src: dptest.DemoAddr(0, 11, v6), Dst: dptest.DemoAddr(1, last, v6)}.Ping(1, 1)
	return p.Frame(dptest.LegMAC("router", "red"), dptest.PortMAC("red1"))
}

func TestTraceRoutedAcrossHosts(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		w := forward.NewWorld(dptest.Demo().States())
		path, err := w.Trace(dptest.PortID("red1"), ping(v6, 12))
		if err != nil {
			t.Fatal(err)
		}
		got := path.Delivered()
		if len(got) != 1 || got[0].Host != "compute2" || got[0].Port != dptest.PortID("blue2") {
			t.Fatalf("delivered to %v, want blue2 on compute2", got)
		}
		want := dptest.IP{Src: dptest.DemoAddr(0, 11, v6), Dst: dptest.DemoAddr(1, 12, v6), TTL: 63}.Ping(1, 1).
			Frame(dptest.PortMAC("blue2"), dptest.LegMAC("router", "blue"))
		if diff := cmp.Diff(want, got[0].Frame); diff != "" {
			t.Errorf("frame at blue2 (-want +got)\n%s", diff)
		}
		inTunnel := path.Hops[0].Outputs[0].Frame
		if src := [6]byte(inTunnel[6:12]); src != dptest.DVRMAC("compute1") {
			t.Errorf("source MAC in the tunnel is %x, want compute1's DVR MAC", src)
		}
	}
}

func TestTraceOfUnboundPort(t *testing.T) {
	w := forward.NewWorld(dptest.Demo().States())
	if _, err := w.Trace(dptest.PortID("nobody"), ping(false, 12)); !errors.Is(err, forward.ErrNoPort) {
		t.Errorf("error %v, want ErrNoPort", err)
	}
}

func TestTraceKeepsConnections(t *testing.T) {
	c := dptest.Demo()
	c.Port("red1").Policy = dptest.Stateful(dptest.Any(true, false))
	w := forward.NewWorld(c.States())
	pong := dptest.IP{Src: dptest.DemoAddr(1, 12, false), Dst: dptest.DemoAddr(0, 11, false)}.ICMP(0, 0, 1<<16|1, nil).
		Frame(dptest.LegMAC("router", "blue"), dptest.PortMAC("blue2"))
	for _, step := range []struct {
		port   string
		frame  []byte
		reason reason.Reason
	}{{"blue2", pong, reason.InvalidState}, {"red1", ping(false, 12), reason.None}, {"blue2", pong, reason.None}} {
		path, err := w.Trace(dptest.PortID(step.port), step.frame)
		if err != nil {
			t.Fatal(err)
		}
		if path.Reason() != step.reason {
			t.Errorf("%s: reason %d, want %d", forward.Summary(step.frame), path.Reason(), step.reason)
		}
	}
}

func TestRender(t *testing.T) {
	c := dptest.Demo()
	c.Port("blue2").Policy = dptest.Stateful()
	var b strings.Builder
	for _, last := range []int{12, 99} {
		path, err := forward.NewWorld(c.States()).Trace(dptest.PortID("red1"), ping(false, last))
		if err != nil {
			t.Fatal(err)
		}
		if err := path.Render(&b, c.Names()); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{
		"packet   ", "172.16.42.11 > 172.16.43.12 ICMP type 8 code 0 ttl 64",
		"host     compute1 (from port red1 (", "route 172.16.43.0/24, next hop 172.16.43.12 on network blue (",
		"to host compute2 (192.168.70.12) with VNI 11", "host     compute2 (from tunnel, outer source 192.168.70.11, VNI 11)",
		"✗ dropped: no security group rule of the receiving port allows it", "cure: openstack security group rule create --ingress",
		"verdict  dropped: no security group rule of the receiving port allows it\n",
		"no bound port of network blue (", "; the sender was told\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the rendering lacks %q:\n%s", want, b.String())
		}
	}
}

// Every reason has a sentence of its own.
func TestExplainAll(t *testing.T) {
	seen := map[string]reason.Reason{}
	for r := reason.None; r <= reason.ClosedPort; r++ {
		a := forward.Explain(r)
		if other, ok := seen[a.What]; ok || a.What == "" || strings.Contains(a.What, "dropped, reason") {
			t.Errorf("reason %d says %q, as does reason %d", r, a.What, other)
		}
		seen[a.What] = r
	}
}
