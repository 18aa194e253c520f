package ebpf

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/weft-cloud/weft/internal/dptest"
	"github.com/weft-cloud/weft/internal/forward"
	"github.com/weft-cloud/weft/internal/model"
)

// changes are what may happen to the cloud while decisions about it are cached.
func changes() map[string]func(*dptest.Cloud) {
	ports := func(c *dptest.Cloud, drop string) {
		var out []dptest.Port
		for _, p := range c.Ports {
			if p.Name != drop {
				out = append(out, p)
			}
		}
		c.Ports = out
	}
	return map[string]func(*dptest.Cloud){
		"nothing":                        func(*dptest.Cloud) {},
		"red2 migrates here":             func(c *dptest.Cloud) { c.Port("red2").Host = "compute1" },
		"red3 migrates away":             func(c *dptest.Cloud) { c.Port("red3").Host = "compute2" },
		"blue1 migrates away":            func(c *dptest.Cloud) { c.Port("blue1").Host = "compute2" },
		"red2 is deleted":                func(c *dptest.Cloud) { ports(c, "red2") },
		"red3 is deleted":                func(c *dptest.Cloud) { ports(c, "red3") },
		"blue2 is deleted":               func(c *dptest.Cloud) { ports(c, "blue2") },
		"red1 goes down":                 func(c *dptest.Cloud) { c.Port("red1").Down = true },
		"red3 goes down":                 func(c *dptest.Cloud) { c.Port("red3").Down = true },
		"the router goes down":           func(c *dptest.Cloud) { c.Routers[0].Down = true },
		"the router leaves blue":         func(c *dptest.Cloud) { c.Routers[0].Interfaces = c.Routers[0].Interfaces[:1] },
		"a blackhole over blue2":         func(c *dptest.Cloud) { c.Routers[0].Routes = blackhole(c.Port("blue2").Addresses) },
		"red's MTU shrinks":              func(c *dptest.Cloud) { c.Networks[0].MTU = 100 },
		"blue's MTU shrinks":             func(c *dptest.Cloud) { c.Networks[1].MTU = 100 },
		"blue gets another VNI":          func(c *dptest.Cloud) { c.Networks[1].VNI = 77 },
		"compute2 gets another address":  func(c *dptest.Cloud) { c.Hosts[1].VTEP = netip.MustParseAddr("192.168.70.99") },
		"compute1 loses its DVR MAC":     func(c *dptest.Cloud) { c.Hosts[0].NoDVR = true },
		"compute2 loses its DVR MAC":     func(c *dptest.Cloud) { c.Hosts[1].NoDVR = true },
		"red1 gets another address":      func(c *dptest.Cloud) { c.Port("red1").Addresses = []netip.Addr{dptest.DemoAddr(0, 99, false)} },
		"blue2's addresses go to blue1":  func(c *dptest.Cloud) { swap(c.Port("blue1"), c.Port("blue2")) },
		"red1 gets groups without rules": func(c *dptest.Cloud) { c.Port("red1").Policy = dptest.Stateful() },
		"red3 loses its groups":          func(c *dptest.Cloud) { c.Port("red3").NoGroups = true },
		"red1 loses port security":       func(c *dptest.Cloud) { c.Port("red1").Open = true },
		"red1 may send and not receive":  func(c *dptest.Cloud) { c.Port("red1").Policy = dptest.Stateful(dptest.Any(true, false)) },
	}
}

func swap(a, b *dptest.Port) { a.Addresses, b.Addresses = b.Addresses, a.Addresses }

func blackhole(as []netip.Addr) (out []dptest.Route) {
	for _, a := range as {
		out = append(out, dptest.Route{Dst: netip.PrefixFrom(a, a.BitLen()), Network: "blue", Blackhole: true})
	}
	return out
}

// input is one packet that compute1 gets.
type input struct {
	in    forward.Input
	frame []byte
}

// packets are those of red1 to everyone, and everyone's on compute2 to red1, as they come from the tunnel.
func packets(c *dptest.Cloud) (out []input) {
	leg := func(n string) model.MAC { return dptest.LegMAC("router", n) }
	for i := range 2 {
		from := c.Port("red1").Addresses[i]
		for to, mac := range map[string]model.MAC{"red2": dptest.PortMAC("red2"), "red3": dptest.PortMAC("red3"), "blue1": leg("red"), "blue2": leg("red")} {
			a := c.Port(to).Addresses[i]
			for _, x := range []dptest.IP{dptest.IP{Src: from, Dst: a}.UDP(1000, 2000, make([]byte, 100)), dptest.IP{Src: from, Dst: a}.Ping(7, 1)} {
				out = append(out, input{forward.FromPort(dptest.PortID("red1")), x.Frame(mac, dptest.PortMAC("red1"))})
			}
		}
		vtep := c.Hosts[1].VTEP
		back := func(p string, mac model.MAC) {
			x := dptest.IP{Src: c.Port(p).Addresses[i], Dst: from}.UDP(2000, 1000, make([]byte, 100))
			out = append(out, input{forward.FromTunnel(10, vtep), x.Frame(dptest.PortMAC("red1"), mac)})
		}
		back("red2", dptest.PortMAC("red2"))
		back("blue2", dptest.DVRMAC("compute2"))
	}
	return out
}

// A cached decision never outlives what it was made of: after each change, and after it is taken back, packets that had
// flows already are treated as forward says, which has no cache.
func TestNoDecisionIsStale(t *testing.T) {
	r := testRunner(t)
	for name, change := range changes() {
		t.Run(name, func(t *testing.T) {
			before, after := dptest.Demo(), dptest.Demo()
			change(after)
			u, o := &underTest{r: r, t: t}, &dptest.Oracle{}
			if err := u.Forget(); err != nil {
				t.Fatal(err)
			}
			for step, cloud := range []*dptest.Cloud{before, after, before} {
				s := cloud.States()["compute1"]
				if err := u.Apply(s); err != nil {
					t.Fatal(err)
				}
				if err := o.Apply(s); err != nil {
					t.Fatal(err)
				}
				for range 2 {
					for _, p := range packets(before) {
						if p.in.Port.IsZero() || s.Endpoints[p.in.Port] != nil {
							compare(t, step, u, o, p)
						}
					}
				}
			}
		})
	}
}

func compare(t *testing.T, step int, u *underTest, o *dptest.Oracle, p input) {
	t.Helper()
	got, err := u.Send(p.in, p.frame)
	if err != nil {
		t.Fatal(err)
	}
	want, err := o.Send(p.in, p.frame)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}), cmpopts.IgnoreFields(forward.Output{}, "Peer"),
		cmpopts.IgnoreFields(dptest.Outcome{}, "Cached")); diff != "" {
		t.Errorf("step %d: %s (-want +got)\n%s", step, forward.Summary(p.frame), diff)
	}
}
