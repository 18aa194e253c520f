package gateway

import (
	"net/netip"
	"os/exec"
	"slices"
	"testing"

	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/linux"
	"github.com/weft-cloud/weft/internal/model"
)

// several gives the router more addresses: a second one on its subnet, and one on a second subnet of either family, where there is a
// floating IP (of c4), too. Behind 198.51.100.129, out's address there, is 192.0.2.0/24.
func several(e *env) (second netip.Addr) {
	e.t.Helper()
	for _, p := range []string{"198.51.100.129/25", "2001:db8:cb00:7200::1/64"} {
		e.must(linux.AddAddr(e.ns("out"), "eth0", netip.MustParsePrefix(p)))
	}
	e.must(linux.AddAddr(e.ns("out"), "lo", netip.MustParsePrefix("192.0.2.7/32")))
	g := *e.central.Gateway
	g.Addresses = prefixes("203.0.113.100/24", "203.0.113.101/24", "198.51.100.130/25", "2001:db8:cb00:7100::100/64", "2001:db8:cb00:7200::100/64")
	second = netip.MustParseAddr("198.51.100.129")
	e.central.Gateway = &g
	e.central.Routes = append(slices.Clone(e.central.Routes), hostplan.Route{Dst: netip.MustParsePrefix("198.51.100.128/25"), Interface: g.Port},
		hostplan.Route{Dst: netip.MustParsePrefix("192.0.2.0/24"), Via: second, Interface: g.Port})
	e.central.FloatingIPs = append(slices.Clone(e.central.FloatingIPs), &hostplan.FloatingIP{ID: model.FloatingIPID{UUID: id('f', 9)}, Central: true,
		External: e.ext.ID, Address: netip.MustParseAddr("198.51.100.140"), Fixed: addr4})
	e.change()
	return second
}

// TestSeveralGatewayAddresses: each answers, and instances leave with the one on the subnet of their next hop, else with the first.
func TestSeveralGatewayAddresses(t *testing.T) {
	e := newEnv(t)
	second := several(e)
	other, float4 := netip.MustParseAddr("198.51.100.130"), netip.MustParseAddr("198.51.100.140")
	beyond := netip.MustParseAddr("192.0.2.7")
	for _, name := range []string{"out", "c2", "c4"} {
		e.serve(name, 7)
	}
	for _, c := range []struct {
		name, from string
		to, seen   netip.Addr
	}{
		{"to the first subnet", "c2", outAddr, gatewayAddr},
		{"to the second subnet", "c2", second, other},
		{"by the default route", "c2", farAddr, gatewayAddr},
		{"by an extra route over the second subnet", "c2", beyond, other},
		{"with a floating IP of the second subnet, to the first", "c4", outAddr, float4},
		{"with a floating IP of the second subnet, there", "c4", second, float4},
		{"with a floating IP of the second subnet, by the default route", "c4", farAddr, float4},
		{"to a floating IP of the second subnet, from there", "out", float4, second},
		{"to a floating IP of the second subnet, through a hairpin", "c2", float4, gatewayAddr},
	} {
		t.Run(c.name, func(t *testing.T) {
			sub := *e
			sub.t = t
			sub.sees(c.from, "tcp", c.to, 7, c.seen)
		})
	}
	for _, from := range []string{"out", "c2"} {
		for _, to := range []string{"203.0.113.100", "203.0.113.101", "198.51.100.130", "2001:db8:cb00:7100::100", "2001:db8:cb00:7200::100"} {
			e.in(from, func() error {
				if b, err := exec.Command("ping", "-c", "1", "-W", "2", to).CombinedOutput(); err != nil {
					t.Errorf("%s does not answer %s: %v\n%s", to, from, err, b)
				}
				return nil
			})
		}
	}
	if got, want := e.errorFor(probe{from: "out", to: float4, port: 7, ttl: 1}), (icmpError{other, 11, 0, 0}); got != want {
		t.Errorf("TTL 1 to a floating IP of the second subnet: %+v, want %+v", got, want)
	}
	for _, to := range []string{"203.0.113.101", "198.51.100.130"} {
		if got, want := e.errorFor(probe{from: "out", to: netip.MustParseAddr(to), port: 4444}), (icmpError{netip.MustParseAddr(to), 3, 3, 0}); got != want {
			t.Errorf("a closed port of %s: %+v, want %+v", to, got, want)
		}
	}
	one, two := e.open("c2", "tcp", outAddr), e.open("c2", "tcp", second)
	g := *e.central.Gateway
	g.Addresses = slices.DeleteFunc(slices.Clone(g.Addresses), func(p netip.Prefix) bool { return p.Addr() == other })
	e.central.Gateway = &g
	e.change()
	e.speaks(one)
	e.silent(two)
	e.sees("c2", "tcp", outAddr, 7, gatewayAddr)
}

// TestAssociatedAnew: a floating IP that was taken away and given to the same port again between two looks has no connections left,
// and is told with its new generation.
func TestAssociatedAnew(t *testing.T) {
	e := newEnv(t)
	e.serve("out", 7)
	e.serve("c1", 7)
	in, out, other := e.open("out", "tcp", float1), e.open("c1", "tcp", outAddr), e.open("c3", "tcp", outAddr)
	f := *e.central.FloatingIPs[0]
	f.Generation++
	e.central.FloatingIPs = append([]*hostplan.FloatingIP{&f}, e.central.FloatingIPs[1:]...)
	r := e.applyRouter()
	if r.FloatingIPs[f.ID] != f.Generation || len(r.Problems) > 0 {
		t.Errorf("result %+v", r)
	}
	// Both sides would pick the connection up anew, with the same addresses, so it is the kernel that is asked.
	for _, c := range []struct {
		name     string
		src, dst netip.Addr
		ended    bool
		ports    [2]int
	}{{"in", outAddr, float1, true, ports(in)}, {"out", addr1, outAddr, true, ports(out)}, {"another's", addr3, outAddr, false, ports(other)}} {
		n, err := linux.EndConnections(e.ns("router"), func(x linux.Connection) bool {
			return x.Orig.Src == c.src && x.Orig.Dst == c.dst && int(x.Orig.SrcPort) == c.ports[0] && int(x.Orig.DstPort) == c.ports[1]
		})
		e.must(err)
		if (n == 0) != c.ended {
			t.Errorf("%s: %d connections are left", c.name, n)
		}
	}
}
