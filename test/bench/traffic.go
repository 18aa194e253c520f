package main

import (
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"time"

	"github.com/weft-cloud/weft/internal/dataplane/ebpf"
	"github.com/weft-cloud/weft/internal/linux"
)

// way is one path that is measured, and what beside it.
type way struct {
	name     string
	from, to place
	// on brings the mode about, and off ends it; nil: nothing is to be done.
	on func() (off func(), err error)
	// against is the name of the way that is the measure; "": none.
	against string
}

func (l *benchLab) place(name string) place {
	i := l.instances[name]
	a, err := netip.ParseAddr(i.Addresses[0])
	if err != nil {
		a = netip.Addr{}
	}
	return place{i.netns(), a}
}

// traffic measures all ways.
func traffic(ctx context.Context, l *benchLab, o options, r *labResult) error {
	raw, undo, err := rawVXLAN(ctx)
	defer undo()
	if err != nil {
		return err
	}
	routed, undo2, err := kernelRouting(ctx)
	defer undo2()
	if err != nil {
		return err
	}
	red1, red2, red3, blue1, blue2 := l.place("red1"), l.place("red2"), l.place("red3"), l.place("blue1"), l.place("blue2")
	ways := []way{
		{name: "bare redirect, across hosts", from: red1, to: red2, on: func() (func(), error) { return l.bareTunnel("red1", "red2") }},
		{name: "weft, same subnet, across hosts", from: red1, to: red2, against: "bare redirect, across hosts"},
		{name: "weft, routed, across hosts", from: red1, to: blue2, against: "bare redirect, across hosts"},
		{name: "raw kernel VXLAN", from: raw[0], to: raw[1], against: "bare redirect, across hosts"},
		{name: "bare redirect, within a host", from: red1, to: red3, on: func() (func(), error) { return l.bareLocal("red1", "red3") }},
		{name: "weft, same subnet, within a host", from: red1, to: red3, against: "bare redirect, within a host"},
		{name: "weft, routed, within a host", from: red1, to: blue1, against: "bare redirect, within a host"},
		{name: "plain kernel routing", from: routed[0], to: routed[1], against: "bare redirect, within a host"},
	}
	r.Traffic, err = measured(ctx, ways, o)
	return err
}

// measured is every kind on all ways, interleaved, kind by kind.
func measured(ctx context.Context, ways []way, o options) (out []kindResult, err error) {
	for _, k := range kinds {
		got, err := rounds(ctx, ways, k, o)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k.name, err)
		}
		out = append(out, compared(ways, k, k.aim, got))
	}
	return out, nil
}

// rounds measures each way once a round.
func rounds(ctx context.Context, ways []way, k kind, o options) (map[string][]float64, error) {
	got := map[string][]float64{}
	for round := range o.pairs + 1 {
		if round%5 == 0 {
			progress("  %s: round %d of %d", k.name, round, o.pairs)
		}
		for _, w := range ways {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			v, err := w.once(k, o.each)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", w.name, err)
			}
			if round > 0 { // the first warms up
				got[w.name] = append(got[w.name], v)
			}
		}
	}
	return got, nil
}

func (w way) once(k kind, each time.Duration) (float64, error) {
	if w.on != nil {
		off, err := w.on()
		if err != nil {
			return 0, err
		}
		defer off()
	}
	return k.run(w.from, w.to, each)
}

const vxlanDevice = "weft-vxlan"

// bareTunnel puts programs that decide nothing before Weft's on the way between two instances of one network.
func (l *benchLab) bareTunnel(a, b string) (func(), error) {
	var undo []func()
	off := func() {
		for _, f := range undo {
			f()
		}
	}
	for _, pair := range [][2]string{{a, b}, {b, a}} {
		me, other := l.instances[pair[0]], l.instances[pair[1]]
		err := linux.InNetns(me.host(), func() error {
			dev, err := linux.LinkByName("", vxlanDevice)
			if err != nil {
				return err
			}
			tap, err := linux.LinkByName("", me.Device)
			if err != nil {
				return err
			}
			peer, err := linux.VethPeerElsewhere("", me.Device)
			if err != nil {
				peer = false // a tap has no peer
			}
			out, err := ebpf.AttachBare(tap.Index, false, ebpf.BareTarget{Ifindex: dev.Index, VTEP: underlay(other.Host), VNI: me.VNI})
			if err != nil {
				return err
			}
			undo = append(undo, func() { out.Close() })
			in, err := ebpf.AttachBare(dev.Index, true, ebpf.BareTarget{Ifindex: tap.Index, Peer: peer})
			if err != nil {
				return err
			}
			undo = append(undo, func() { in.Close() })
			return nil
		})
		if err != nil {
			off()
			return nil, fmt.Errorf("bare programs on %s: %w", me.Host, err)
		}
	}
	return off, nil
}

// bareLocal is bareTunnel between two instances of one host.
func (l *benchLab) bareLocal(a, b string) (func(), error) {
	var undo []func()
	off := func() {
		for _, f := range undo {
			f()
		}
	}
	for _, pair := range [][2]string{{a, b}, {b, a}} {
		me, other := l.instances[pair[0]], l.instances[pair[1]]
		err := linux.InNetns(me.host(), func() error {
			from, err := linux.LinkByName("", me.Device)
			if err != nil {
				return err
			}
			to, err := linux.LinkByName("", other.Device)
			if err != nil {
				return err
			}
			peer, err := linux.VethPeerElsewhere("", other.Device)
			if err != nil {
				peer = false
			}
			p, err := ebpf.AttachBare(from.Index, false, ebpf.BareTarget{Ifindex: to.Index, Peer: peer})
			if err == nil {
				undo = append(undo, func() { p.Close() })
			}
			return err
		})
		if err != nil {
			off()
			return nil, fmt.Errorf("bare programs on %s: %w", me.Host, err)
		}
	}
	return off, nil
}

// underlay is the lab's address of a host.
func underlay(host string) netip.Addr {
	var n uint8
	if _, err := fmt.Sscanf(host, "compute%d", &n); err != nil {
		n = 0
	}
	return netip.AddrFrom4([4]byte{192, 168, 70, 10 + n})
}

// rawVXLAN makes two namespaces joined by a bridge and a plain VXLAN device on each compute, over the lab's underlay.
func rawVXLAN(ctx context.Context) (places [2]place, undo func(), err error) {
	var script strings.Builder
	for i := range 2 {
		host, ns := fmt.Sprintf("weft-compute%d", i+1), fmt.Sprintf("weft-bench-raw%d", i+1)
		fmt.Fprintf(&script, `ip netns add %[2]s
ip -n %[1]s link add rawvx type vxlan id 5000 local 192.168.70.%[3]d remote 192.168.70.%[4]d dstport 8472 dev enp0s8
ip -n %[1]s link add rawbr type bridge
ip -n %[1]s link set rawvx master rawbr up
ip -n %[1]s link add rawv%[5]d type veth peer name eth0 netns %[2]s
ip -n %[1]s link set rawv%[5]d master rawbr up
ip -n %[1]s link set rawbr up
ip -n %[2]s link set eth0 mtu 1450 up
ip -n %[2]s addr add 198.51.100.%[5]d/24 dev eth0
`, host, ns, 11+i, 12-i, i+1)
		places[i] = place{ns, netip.AddrFrom4([4]byte{198, 51, 100, byte(i + 1)})}
	}
	undo = func() {
		_ = shell(context.Background(), `for h in 1 2; do ip netns del weft-bench-raw$h; ip -n weft-compute$h link del rawvx; ip -n weft-compute$h link del rawbr; done 2>/dev/null; true`)
	}
	return places, undo, shell(ctx, script.String())
}

// kernelRouting makes two namespaces with a router namespace of the kernel's own between them.
func kernelRouting(ctx context.Context) (places [2]place, undo func(), err error) {
	places = [2]place{{"weft-bench-a", netip.MustParseAddr("198.51.100.130")}, {"weft-bench-b", netip.MustParseAddr("198.51.100.194")}}
	undo = func() {
		_ = shell(context.Background(), `for n in a b r; do ip netns del weft-bench-$n; done 2>/dev/null; true`)
	}
	return places, undo, shell(ctx, `for n in a b r; do ip netns add weft-bench-$n; done
for n in a b; do ip -n weft-bench-r link add to-$n type veth peer name eth0 netns weft-bench-$n; ip -n weft-bench-r link set to-$n mtu 1450 up; ip -n weft-bench-$n link set eth0 mtu 1450 up; done
ip -n weft-bench-r addr add 198.51.100.129/26 dev to-a
ip -n weft-bench-r addr add 198.51.100.193/26 dev to-b
ip -n weft-bench-a addr add 198.51.100.130/26 dev eth0
ip -n weft-bench-b addr add 198.51.100.194/26 dev eth0
ip -n weft-bench-a route add default via 198.51.100.129
ip -n weft-bench-b route add default via 198.51.100.193
ip netns exec weft-bench-r sysctl -q -w net.ipv4.ip_forward=1`)
}

func shell(ctx context.Context, script string) error {
	if out, err := exec.CommandContext(ctx, "sh", "-e", "-c", script).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}
