package ebpf

import (
	"bytes"
	"testing"
	"time"

	"github.com/weft-cloud/weft/internal/dptest"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/linux"
)

// BenchmarkEstablished prints the run time of the programs per packet of an established stream, sender's and receiver's
// side, as the kernel measures it.
func BenchmarkEstablished(b *testing.B) {
	for _, pol := range []struct {
		name   string
		policy *hostplan.Policy
	}{{"no groups", nil}, {"stateful", dptest.Stateful(dptest.Any(true, false), dptest.Allow(false, false, 6, 7000, 7000))}} {
		for _, to := range []string{"red2", "blue2", "red3"} {
			b.Run(pol.name+"/red1 to "+to, func(b *testing.B) {
				c := newCloud(b, Config{}, func(d *dptest.Cloud) {
					for i := range d.Ports {
						d.Ports[i].Policy = pol.policy
					}
				})
				stats, err := CountRunTimes()
				c.must(err)
				defer stats.Close()
				data := bytes.Repeat([]byte("x"), 64<<20)
				b.ResetTimer()
				for range b.N {
					c.must(c.stream("red1", to, false, data))
				}
				b.StopTimer()
				var sum time.Duration
				for name, prog := range map[string]string{"compute1": "from_instance", "compute2": "from_overlay"} {
					times, err := c.planes[name].RunTimes()
					c.must(err)
					b.ReportMetric(float64(times[prog].PerRun().Nanoseconds()), prog+"-ns/packet")
					sum += times[prog].PerRun()
				}
				b.ReportMetric(float64(sum.Nanoseconds()), "sum-ns/packet")
			})
		}
	}
}

// BenchmarkBare is BenchmarkEstablished's red1 to red2 through programs that decide nothing.
func BenchmarkBare(b *testing.B) {
	c := newCloud(b, Config{}, nil)
	data := bytes.Repeat([]byte("x"), 64<<20)
	c.must(c.stream("red1", "red2", false, data[:1000])) // ARP is resolved
	stats, err := CountRunTimes()
	c.must(err)
	defer stats.Close()
	var bare []*Bare
	attach := func(host, port, other string) {
		c.must(linux.InNetns(c.ns(host), func() error {
			dev, err := linux.LinkByName("", c.device(port))
			if err != nil {
				return err
			}
			vx, err := linux.LinkByName("", VXLANDevice)
			if err != nil {
				return err
			}
			out, err := AttachBare(dev.Index, false, BareTarget{Ifindex: vx.Index, VTEP: c.states[other].VTEP, VNI: 10})
			if err != nil {
				return err
			}
			in, err := AttachBare(vx.Index, true, BareTarget{Ifindex: dev.Index, Peer: true})
			bare = append(bare, out, in)
			return err
		}))
	}
	attach("compute1", "red1", "compute2")
	attach("compute2", "red2", "compute1")
	b.ResetTimer()
	for range b.N {
		c.must(c.stream("red1", "red2", false, data))
	}
	b.StopTimer()
	from, err := bare[0].RunTime()
	c.must(err)
	to, err := bare[3].RunTime()
	c.must(err)
	b.ReportMetric(float64(from.PerRun().Nanoseconds()), "bare_instance-ns/packet")
	b.ReportMetric(float64(to.PerRun().Nanoseconds()), "bare_overlay-ns/packet")
	b.ReportMetric(float64((from.PerRun() + to.PerRun()).Nanoseconds()), "sum-ns/packet")
	for _, x := range bare {
		c.must(x.Close())
	}
}

// BenchmarkHit is the cost of a cached decision alone, by BPF_PROG_RUN: the least of many short runs, so that what else runs on the
// machine does not count. Packets of the same subnet are run a hundred times each; routed ones change, and are run once with
// cold caches, the clock's own cost included.
func BenchmarkHit(b *testing.B) {
	c := dptest.Demo()
	states := c.States()
	r := testRunner(b)
	r.Apply(states["compute1"], Limits{})
	for _, to := range []string{"red2", "blue2", "red3", "blue1"} {
		b.Run("from_instance/"+to, func(b *testing.B) {
			mac, repeat := dptest.PortMAC(to), 100
			if to[0] == 'b' {
				repeat = 1
				mac = dptest.LegMAC("router", "red")
			}
			x := dptest.IP{Src: dptest.DemoAddr(0, 11, false), Dst: c.Port(to).Addresses[0]}.TCP(1000, 2000, dptest.ACK, make([]byte, 100))
			p := Packet{From: dptest.PortID("red1"), Frame: x.Frame(mac, dptest.PortMAC("red1"))}
			for i := range 2 {
				if o, err := r.Run(p); err != nil || i == 1 && !o.Cached {
					b.Fatalf("%+v, %v", o, err)
				}
			}
			least := time.Hour
			for range b.N {
				_, d, err := r.coll.Programs["from_instance"].Benchmark(p.Frame, repeat, nil)
				if err != nil {
					b.Fatal(err)
				}
				least = min(least, d)
			}
			b.ReportMetric(float64(least.Nanoseconds()), "least-ns")
		})
	}
}
