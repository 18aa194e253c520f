package ebpf

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/weft-cloud/weft/internal/dptest"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/linux"
)

// talk is one connection between two instances, over which a byte goes there and back.
type talk struct {
	client net.Conn
	close  func()
}

func (c *testCloud) talk(from, to string) talk {
	return c.talkAt(from, to, c.addr(to, false), c.addr(to, false))
}

// talkAt is talk to an address that the other side knows as another one.
func (c *testCloud) talkAt(from, to string, at, own netip.Addr) talk {
	var l net.Listener
	c.must(linux.InNetns(c.ns(to), func() (err error) {
		l, err = net.Listen("tcp", portText(own, 7000))
		return err
	}))
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		b := make([]byte, 1)
		for {
			if _, err := conn.Read(b); err != nil {
				conn.Close()
				return
			}
			if _, err := conn.Write(b); err != nil {
				conn.Close()
				return
			}
		}
	}()
	var t talk
	c.must(linux.InNetns(c.ns(from), func() (err error) {
		t.client, err = net.DialTimeout("tcp", portText(at, 7000), wait)
		return err
	}))
	t.close = func() { t.client.Close(); l.Close() }
	return t
}

func (t talk) run(n int) error {
	b := []byte{1}
	for range n {
		if _, err := t.client.Write(b); err != nil {
			return err
		}
		if _, err := io.ReadFull(t.client, b); err != nil {
			return err
		}
	}
	return nil
}

// BenchmarkRequests is the run time of the programs per packet of a connection that carries a byte there and one back, in turn with
// programs that decide nothing: medians of short runs, for the machine has other things to do, too.
func BenchmarkRequests(b *testing.B) {
	for _, pol := range []struct {
		name   string
		policy *hostplan.Policy
	}{{"no groups", nil}, {"stateful", dptest.Stateful(dptest.Any(true, false), dptest.Allow(false, false, 6, 7000, 7000))}} {
		for _, to := range []string{"red2", "blue2"} {
			b.Run(fmt.Sprintf("%s/red1 to %s", pol.name, to), func(b *testing.B) {
				c := newCloud(b, Config{}, func(d *dptest.Cloud) {
					for i := range d.Ports {
						d.Ports[i].Policy = pol.policy
					}
				})
				stats, err := CountRunTimes()
				c.must(err)
				defer stats.Close()
				t := c.talk("red1", to)
				defer t.close()
				c.must(t.run(1000))
				var weft, bare [3][]float64
				b.ResetTimer()
				for range b.N {
					var before, after [2]RunTime
					read := func(r *[2]RunTime) {
						for _, h := range []string{"compute1", "compute2"} {
							times, err := c.planes[h].RunTimes()
							c.must(err)
							r[0].Runs += times["from_instance"].Runs
							r[0].Time += times["from_instance"].Time
							r[1].Runs += times["from_overlay"].Runs
							r[1].Time += times["from_overlay"].Time
						}
					}
					read(&before)
					c.must(t.run(2000))
					read(&after)
					note(&weft, after[0].Sub(before[0]), after[1].Sub(before[1]))
					if to != "red2" {
						continue
					}
					progs := c.bare("red1", "red2")
					c.must(t.run(2000))
					var got [2]RunTime
					for i, p := range progs {
						r, err := p.RunTime()
						c.must(err)
						got[i%2].Runs += r.Runs
						got[i%2].Time += r.Time
						c.must(p.Close())
					}
					note(&bare, got[0], got[1])
				}
				b.StopTimer()
				for i, what := range []string{"from_instance", "from_overlay", "sum"} {
					b.ReportMetric(median(weft[i]), "weft-"+what+"-ns")
					if to == "red2" {
						b.ReportMetric(median(bare[i]), "bare-"+what+"-ns")
					}
				}
			})
		}
	}
}

func note(into *[3][]float64, out, in RunTime) {
	o, i := float64(out.PerRun().Nanoseconds()), float64(in.PerRun().Nanoseconds())
	into[0] = append(into[0], o)
	into[1] = append(into[1], i)
	into[2] = append(into[2], o+i)
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

// bare puts programs that decide nothing before the planes' between two instances on two hosts; of each host the one of
// the instance, then the one of the tunnel.
func (c *testCloud) bare(a, b string) (out []*Bare) {
	for _, p := range [][2]string{{a, b}, {b, a}} {
		host, other := c.cloud.Port(p[0]).Host, c.cloud.Port(p[1]).Host
		c.must(linux.InNetns(c.ns(host), func() error {
			dev, err := linux.LinkByName("", c.device(p[0]))
			if err != nil {
				return err
			}
			vx, err := linux.LinkByName("", VXLANDevice)
			if err != nil {
				return err
			}
			send, err := AttachBare(dev.Index, false, BareTarget{Ifindex: vx.Index, VTEP: c.states[other].VTEP, VNI: 10})
			if err != nil {
				return err
			}
			recv, err := AttachBare(vx.Index, true, BareTarget{Ifindex: dev.Index, Peer: true})
			out = append(out, send, recv)
			return err
		}))
	}
	return out
}
