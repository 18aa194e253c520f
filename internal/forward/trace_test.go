package forward_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/dptest"
	"github.com/weft-cloud/weft/internal/forward"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
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

// Every way out of the cloud: by one's own floating IP, by the router's central part on another host, to a floating IP of another host, to a
// central one, and back.
func TestTraceOutside(t *testing.T) {
	c := dptest.Demo()
	dptest.NorthSouth(c)
	c.Port("red3").Policy = dptest.Stateful(dptest.Any(true, false), dptest.Any(true, true))
	central := dptest.FloatingOf("")
	c.FloatingIPs[4].Port, c.FloatingIPs[4].Fixed, c.FloatingIPs[4].Central = "blue2", dptest.DemoAddr(1, 12, false), true
	for _, x := range []struct {
		name, from string
		dst        netip.Addr
		want       []string
		lacks      string
	}{
		{"by a floating IP", "red1", dptest.Stranger, []string{"leaves as 203.0.113.101", "> (MAC to be asked for) 203.0.113.101", "physical network external", "sent out of the cloud"}, "central part"},
		{"by the central part", "red3", dptest.Stranger, []string{"to host compute2", "central part of router", "leaves as the gateway's 203.0.113.10",
			"one of 1024 to 65535", "203.0.113.10 > 198.51.100.7", "sent out of the cloud"}, ""},
		{"by the central part, IPv6", "red3", dptest.Stranger6, []string{"to host compute2", "sent out of the cloud"}, "leaves as"},
		{"to a floating IP of another host", "red1", dptest.FloatingOf("red2"), []string{"leaves as 203.0.113.101", "sent out of the cloud"}, "central part"},
		{"to a floating IP of the host", "red1", dptest.FloatingOf("blue1"), []string{"203.0.113.101 > 172.16.43.11", "delivered to port blue1"}, "central part"},
		{"without one to a floating IP of the gateway's host", "red3", dptest.FloatingOf("red2"), []string{"203.0.113.10 > 172.16.42.12", "delivered to port red2"}, ""},
		{"without one to a central floating IP", "red3", central, []string{"is 172.16.43.12 of port blue2", "delivered to port blue2"}, ""},
		{"to the router's own address outside", "red3", netip.MustParseAddr("203.0.113.10"), []string{"the router has no service"}, ""},
	} {
		t.Run(x.name, func(t *testing.T) {
			w := forward.NewWorld(c.States())
			frame, err := w.Frame(dptest.PortID(x.from), forward.Ask{Dst: x.dst, Proto: 17, SrcPort: 4000, DstPort: 53})
			if err != nil {
				t.Fatal(err)
			}
			path, err := w.Trace(dptest.PortID(x.from), frame)
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			if err := path.Render(&b, c.Names()); err != nil {
				t.Fatal(err)
			}
			for _, s := range x.want {
				if !strings.Contains(b.String(), s) {
					t.Errorf("the trace lacks %q", s)
				}
			}
			if x.lacks != "" && strings.Contains(b.String(), x.lacks) {
				t.Errorf("the trace has %q", x.lacks)
			}
			if t.Failed() {
				t.Log(b.String())
			}
		})
	}
}

// A forwarded port of a central floating IP leads to its instance.
func TestTracePortForwarding(t *testing.T) {
	c := dptest.Demo()
	dptest.NorthSouth(c)
	states := c.States()
	for _, f := range states["compute2"].FloatingIPs {
		if f.Central {
			f.Forwardings = []hostplan.PortForwarding{{Protocol: 6, External: model.PortRange{First: 8000, Last: 8009}, Internal: model.PortRange{First: 80, Last: 89},
				Port: dptest.PortID("blue1"), Address: dptest.DemoAddr(1, 11, false)}}
		}
	}
	for port, want := range map[uint16]string{8003: "172.16.43.11 TCP 4000 > 83", 8010: "the router has no service"} {
		w := forward.NewWorld(states)
		frame, err := w.Frame(dptest.PortID("red3"), forward.Ask{Dst: dptest.FloatingOf(""), Proto: 6, SrcPort: 4000, DstPort: port})
		if err != nil {
			t.Fatal(err)
		}
		path, err := w.Trace(dptest.PortID("red3"), frame)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if err := path.Render(&b, nil); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(b.String(), want) {
			t.Errorf("port %d: the trace lacks %q:\n%s", port, want, b.String())
		}
	}
}
