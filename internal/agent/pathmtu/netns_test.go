package pathmtu

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/weft-cloud/weft/internal/linux"
)

// Real kernels: here ── middle ── there, and behind a bridge that drops what is too large without a word. The hosts run nothing.
func TestRealPaths(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: it makes network namespaces")
	}
	here, middle, there := fmt.Sprintf("wm%d-here", os.Getpid()), fmt.Sprintf("wm%d-middle", os.Getpid()), fmt.Sprintf("wm%d-there", os.Getpid())
	sh := func(script string) {
		t.Helper()
		script = strings.NewReplacer("HERE", here, "MIDDLE", middle, "THERE", there).Replace(script)
		if out, err := exec.Command("sh", "-ec", script).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	t.Cleanup(func() { sh("for n in HERE MIDDLE THERE; do ip netns del $n || true; done") })
	// The router's way to there carries 1400 bytes, the bridge's 1432; the interface there behind the bridge takes 1500.
	sh(`
		for n in HERE MIDDLE THERE; do ip netns add $n; ip -n $n link set lo up; done
		ip -n HERE link add va type veth peer name va netns MIDDLE
		ip -n MIDDLE link add vb mtu 1400 type veth peer name vb netns THERE
		ip -n HERE link add vc type veth peer name vc netns MIDDLE
		ip -n MIDDLE link add vd mtu 1432 type veth peer name vd netns THERE
		ip -n THERE link set vb mtu 1400
		ip -n MIDDLE link add sw type bridge
		ip -n MIDDLE link set vc master sw
		ip -n MIDDLE link set vd master sw
		for x in HERE/va HERE/vc MIDDLE/va MIDDLE/vb MIDDLE/vc MIDDLE/vd MIDDLE/sw THERE/vb THERE/vd; do ip -n ${x%/*} link set ${x#*/} up; done
		for x in "HERE 192.0.2.1/24 va" "MIDDLE 192.0.2.2/24 va" "MIDDLE 198.51.100.1/24 vb" "THERE 198.51.100.2/24 vb" "HERE 203.0.113.1/24 vc" "THERE 203.0.113.2/24 vd" \
			"HERE 2001:db8:1::1/64 va" "MIDDLE 2001:db8:1::2/64 va" "MIDDLE 2001:db8:2::1/64 vb" "THERE 2001:db8:2::2/64 vb" "HERE 2001:db8:3::1/64 vc" "THERE 2001:db8:3::2/64 vd"; do
			set -- $x
			case $2 in *:*) ip -n $1 addr add $2 dev $3 nodad;; *) ip -n $1 addr add $2 dev $3;; esac
		done
		ip netns exec MIDDLE sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
		ip -n HERE route add 198.51.100.0/24 via 192.0.2.2
		ip -n THERE route add 192.0.2.0/24 via 198.51.100.1
		ip -n HERE route add 2001:db8:2::/64 via 2001:db8:1::2
		ip -n THERE route add 2001:db8:1::/64 via 2001:db8:2::1`)
	timing := Timing{Answer: 100 * time.Millisecond, Tries: 3, Refresh: 200 * time.Millisecond, Gap: time.Millisecond}
	run := func(local string, peers ...string) (p *Prober, want func(map[string]uint32)) {
		p, want = probing(t, timing, func(a netip.Addr) (w Wire, err error) {
			err = linux.InNetns(here, func() error { w, err = linux.OpenEcho(a, 4711); return err })
			return w, err
		})
		p.Update(cloud(1500-map[bool]uint32{true: 70, false: 50}[netip.MustParseAddr(local).Is6()], local, peers...))
		return p, want
	}
	// The bridge's peers are asked from the other interface's address, as a tunnel's outer packets are.
	_, want4 := run("192.0.2.1", "198.51.100.2", "203.0.113.2", "203.0.113.99")
	sh("ip -n THERE route add 192.0.2.1 via 203.0.113.1 dev vd table 7; ip -n THERE rule add iif lo from 203.0.113.2 lookup 7")
	_, want6 := run("2001:db8:1::1", "2001:db8:2::2", "2001:db8:3::2")
	sh("ip -n THERE -6 route add 2001:db8:1::1 via 2001:db8:3::1 dev vd table 7; ip -n THERE -6 rule add iif lo from 2001:db8:3::2 lookup 7")
	want4(map[string]uint32{"198.51.100.2": 1400, "203.0.113.2": 1432})
	want6(map[string]uint32{"2001:db8:2::2": 1400, "2001:db8:3::2": 1432})
	// This host's own interface becomes the narrow one; then all is as it should be.
	sh("ip -n HERE link set va mtu 1380")
	want4(map[string]uint32{"198.51.100.2": 1380, "203.0.113.2": 1432})
	want6(map[string]uint32{"2001:db8:2::2": 1380, "2001:db8:3::2": 1432})
	sh("ip -n HERE link set va mtu 1500; ip -n MIDDLE link set vb mtu 1500; ip -n MIDDLE link set vd mtu 1500; ip -n THERE link set vb mtu 1500; ip -n THERE link set vd mtu 1500; ip -n MIDDLE link set sw mtu 1500")
	want4(map[string]uint32{})
	want6(map[string]uint32{})
}
