package ebpf

import (
	"testing"

	"github.com/weft-cloud/weft/internal/dptest"
	"github.com/weft-cloud/weft/internal/hostplan"
)

// BenchmarkDecide is the cost of a decision from scratch, with what it makes of connections and flows, by BPF_PROG_RUN: every packet opens a new
// connection. The clock's own cost and that of cold caches are in it; BenchmarkHit's routed packets have them, too.
func BenchmarkDecide(b *testing.B) {
	for _, pol := range []struct {
		name   string
		policy *hostplan.Policy
	}{{"no groups", nil}, {"stateful", dptest.Stateful(dptest.Any(true, false), dptest.Allow(false, false, 6, 2000, 2000))}} {
		for _, way := range []string{"red2", "blue2", "from red2", "out by a floating IP", "in by a floating IP", "out to the gateway host"} {
			b.Run(pol.name+"/"+way, func(b *testing.B) {
				c := dptest.Demo()
				dptest.NorthSouth(c)
				for i := range c.Ports {
					c.Ports[i].Policy = pol.policy
				}
				if way == "out to the gateway host" {
					c.FloatingIPs = nil
				}
				s := c.States()["compute1"]
				r := testRunner(b)
				r.Apply(s, Limits{})
				if err := r.Learn(dptest.ExternalID("outside"), dptest.OutsideRouter, dptest.OutsideRouterMAC); err != nil {
					b.Fatal(err)
				}
				from, to := dptest.DemoAddr(0, 11, false), c.Port("red2").Addresses[0]
				dst, src, p := dptest.PortMAC("red2"), dptest.PortMAC("red1"), Packet{From: dptest.PortID("red1")}
				prog := "from_instance"
				switch way {
				case "blue2":
					dst, to = dptest.LegMAC("router", "red"), c.Port("blue2").Addresses[0]
				case "out by a floating IP", "out to the gateway host":
					dst, to = dptest.LegMAC("router", "red"), dptest.Stranger
				case "in by a floating IP":
					from, to, src, dst = dptest.Stranger, dptest.FloatingOf("red1"), dptest.OutsideRouterMAC, dptest.FloatingMAC(dptest.FloatingOf("red1"))
					p, prog = Packet{Physnet: dptest.Physnet}, "from_physical"
				case "from red2":
					from, to, src, dst = to, from, dst, src
					p, prog = Packet{VTEP: c.Hosts[1].VTEP, VNI: 10}, "from_overlay"
				}
				frame := func(n int) []byte {
					x := dptest.IP{Src: from, Dst: to}.TCP(uint16(1024+n%50000), 2000, dptest.SYN, nil)
					return x.Frame(dst, src)
				}
				p.Frame = frame(49999)
				if o, err := r.Run(p); err != nil || o.Cached || o.Verdict == Drop {
					b.Fatalf("%+v, %v", o, err)
				}
				var took []float64
				for i := range b.N {
					if i%10000 == 0 {
						if err := r.Forget(); err != nil {
							b.Fatal(err)
						}
					}
					_, d, err := r.coll.Programs[prog].Benchmark(frame(i), 1, nil)
					if err != nil {
						b.Fatal(err)
					}
					took = append(took, float64(d.Nanoseconds()))
				}
				b.ReportMetric(median(took), "median-ns")
			})
		}
	}
}
