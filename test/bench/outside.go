package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/weft-cloud/weft/internal/lab/guest"
	"github.com/weft-cloud/weft/internal/lab/hypervisor"
	"github.com/weft-cloud/weft/internal/linux"
)

const internetNetns = "weft-internet"

// outsideResult is what goes in and out of the cloud.
type outsideResult struct {
	Kinds []kindResult `json:"kinds"`
	// Association is from PUT of a floating IP's port to its first answered ping, in milliseconds.
	Association *spread `json:"association_ms"`
}

// outside measures instances against weft-internet: by floating IP beside plain kernel routing on the instance's host, and by SNAT
// beside a kernel VXLAN device to the gateway host that routes and translates there; over the same NICs and switch, and with
// the same kind of attachment.
func outside(ctx context.Context, l *benchLab, o options, r *labResult) error {
	routed, undo, err := routedOutside(ctx, r.VIF)
	defer undo()
	if err != nil {
		return err
	}
	translated, undo2, err := translatedOutside(ctx, r.VIF)
	defer undo2()
	if err != nil {
		return err
	}
	internet := place{internetNetns, netip.MustParseAddr("203.0.113.1")}
	ways := []way{
		{name: "plain kernel routing", from: routed[0], to: routed[1]},
		{name: "weft, floating IP", from: l.place("red2"), to: internet, against: "plain kernel routing"},
		{name: "kernel VXLAN, routing, NAT", from: translated[0], to: translated[1], against: "plain kernel routing"},
		{name: "weft, SNAT on the gateway host", from: l.place("red1"), to: internet, against: "kernel VXLAN, routing, NAT"},
	}
	x := &outsideResult{}
	for _, k := range kinds {
		got, err := rounds(ctx, ways, k, o)
		if err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
		x.Kinds = append(x.Kinds, compared(ways, k, 0.95, got))
	}
	if x.Association, err = l.associations(ctx); err != nil {
		return err
	}
	r.Outside = x
	return nil
}

// routedOutside lets compute2's kernel route between red2 and weft-internet, on a cable of its own to the former.
func routedOutside(ctx context.Context, vif string) (places [2]place, undo func(), err error) {
	places = [2]place{{"weft-vm-red2", netip.MustParseAddr("198.51.100.130")}, {internetNetns, netip.MustParseAddr("198.51.100.194")}}
	unplug, err := cable(ctx, vif, "weft-compute2", "weft-vm-red2", "bench-r")
	undo = func() {
		unplug()
		_ = shell(context.Background(), `ip -n weft-compute2 link del bench-r 2>/dev/null
ip -n weft-compute2 addr del 198.51.100.193/26 dev enp0s9 2>/dev/null
ip -n weft-internet addr del 198.51.100.194/26 dev enp0s9 2>/dev/null
ip -n weft-internet route del 198.51.100.128/26 2>/dev/null
ip netns exec weft-compute2 sysctl -q -w net.ipv4.ip_forward=0; true`)
	}
	if err != nil {
		return places, undo, err
	}
	return places, undo, shell(ctx, `ip -n weft-compute2 addr add 198.51.100.129/26 dev bench-r
ip -n weft-compute2 addr add 198.51.100.193/26 dev enp0s9
ip -n weft-vm-red2 addr add 198.51.100.130/26 dev bench-r
ip -n weft-vm-red2 route add 198.51.100.192/26 via 198.51.100.129
ip -n weft-internet addr add 198.51.100.194/26 dev enp0s9
ip -n weft-internet route add 198.51.100.128/26 via 198.51.100.193
ip netns exec weft-compute2 sysctl -q -w net.ipv4.ip_forward=1`)
}

// translatedOutside leads red1 over a bridge and a VXLAN device of compute1's kernel to the controller's, which routes to
// weft-internet and translates by nftables:
//
//	red1 ─ bench-s ─ bench-br ─ bench-vx ══ 8472 ══ bench-vx, NAT, enp0s9 ─ weft-internet
//	        compute1's kernel                 the controller's kernel
func translatedOutside(ctx context.Context, vif string) (places [2]place, undo func(), err error) {
	places = [2]place{{"weft-vm-red1", netip.MustParseAddr("198.51.100.66")}, {internetNetns, netip.MustParseAddr("198.51.100.2")}}
	unplug, err := cable(ctx, vif, "weft-compute1", "weft-vm-red1", "bench-s")
	undo = func() {
		unplug()
		_ = shell(context.Background(), `ip -n weft-compute1 link del bench-s 2>/dev/null
ip -n weft-compute1 link del bench-vx 2>/dev/null
ip -n weft-compute1 link del bench-br 2>/dev/null
ip -n weft-controller link del bench-vx 2>/dev/null
ip -n weft-controller addr del 198.51.100.1/26 dev enp0s9 2>/dev/null
ip -n weft-internet addr del 198.51.100.2/26 dev enp0s9 2>/dev/null
ip netns exec weft-controller nft delete table ip bench 2>/dev/null
ip netns exec weft-controller sysctl -q -w net.ipv4.ip_forward=0; true`)
	}
	if err != nil {
		return places, undo, err
	}
	return places, undo, shell(ctx, `ip -n weft-compute1 link add bench-br type bridge
ip -n weft-compute1 link add bench-vx type vxlan id 5001 local 192.168.70.11 remote 192.168.70.10 dstport 8472 dev enp0s8
for l in bench-s bench-vx; do ip -n weft-compute1 link set $l master bench-br up; done
ip -n weft-compute1 link set bench-br up
ip -n weft-vm-red1 addr add 198.51.100.66/26 dev bench-s
ip -n weft-vm-red1 route add 198.51.100.0/26 via 198.51.100.65
ip -n weft-controller link add bench-vx type vxlan id 5001 local 192.168.70.10 remote 192.168.70.11 dstport 8472 dev enp0s8
ip -n weft-controller link set bench-vx mtu 1450 up
ip -n weft-controller addr add 198.51.100.65/26 dev bench-vx
ip -n weft-controller addr add 198.51.100.1/26 dev enp0s9
ip -n weft-internet addr add 198.51.100.2/26 dev enp0s9
ip netns exec weft-controller nft 'add table ip bench; add chain ip bench post { type nat hook postrouting priority srcnat; }; add rule ip bench post oifname enp0s9 ip saddr 198.51.100.64/26 masquerade'
ip netns exec weft-controller sysctl -q -w net.ipv4.ip_forward=1`)
}

// cable joins a host with an instance's namespace, by interfaces of the same name at both ends: a veth, or two taps as an instance's,
// between which another process carries, as the lab's do. Deleting the host's end, and for taps unplug, takes it away.
func cable(ctx context.Context, vif, host, guestNetns, name string) (unplug func(), err error) {
	if vif != hypervisor.VIFTap {
		unplug, err = func() {}, shell(ctx, fmt.Sprintf("ip -n %s link add %s type veth peer name %s netns %s", host, name, name, guestNetns))
	} else {
		unplug, err = plugTaps(ctx, host, guestNetns, name)
	}
	if err != nil {
		return unplug, err
	}
	return unplug, shell(ctx, fmt.Sprintf("ip -n %[1]s link set %[3]s mtu 1450 up\nip -n %[2]s link set %[3]s mtu 1450 up", host, guestNetns, name))
}

func plugTaps(ctx context.Context, host, guestNetns, name string) (unplug func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return func() {}, fmt.Errorf("find the benchmark itself: %w", err)
	}
	cmd := exec.CommandContext(ctx, self, "-cable", fmt.Sprintf("%s/%s,%s/%s", host, name, guestNetns, name))
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return func() {}, fmt.Errorf("start a cable: %w", err)
	}
	unplug = func() { _ = cmd.Process.Kill(); _ = cmd.Wait() } // its end is what is wanted
	for range 50 {
		_, in := linux.LinkByName(guestNetns, name)
		_, out := linux.LinkByName(host, name)
		if in == nil && out == nil {
			return unplug, nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return unplug, errors.New("the cable of taps did not come")
}

// carry is what the process between two taps does.
func carry(ctx context.Context, ends string) error {
	host, inside, _ := strings.Cut(ends, ",")
	end := func(s string) guest.End {
		ns, name, _ := strings.Cut(s, "/")
		return guest.End{Netns: ns, Name: name}
	}
	return guest.Cable(ctx, end(host), end(inside), true)
}

// associations has the one floating IP of the demo go from red2 to red1 on the other host and back.
func (l *benchLab) associations(ctx context.Context) (*spread, error) {
	var got struct {
		FloatingIPs []struct {
			ID      string `json:"id"`
			Address string `json:"floating_ip_address"`
		} `json:"floatingips"`
	}
	if err := l.api.do("GET", "/floatingips", nil, &got); err != nil {
		return nil, err
	}
	if len(got.FloatingIPs) != 1 {
		return nil, fmt.Errorf("the demo has %d floating IPs, not one", len(got.FloatingIPs))
	}
	f := got.FloatingIPs[0]
	addr, err := netip.ParseAddr(f.Address)
	if err != nil {
		return nil, err
	}
	put := func(port any) error {
		return l.api.do("PUT", "/floatingips/"+f.ID, map[string]any{"floatingip": map[string]any{"port_id": port}}, nil)
	}
	var took []float64
	for i := range samples {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		home, err := l.api.home(l.instances[[]string{"red1", "red2"}[i%2]])
		if err != nil {
			return nil, err
		}
		if err := put(nil); err != nil {
			return nil, err
		}
		time.Sleep(200 * time.Millisecond) // until it is gone where it was
		began := time.Now()
		if err := put(home.ID); err != nil {
			return nil, err
		}
		if err := linux.InNetns(internetNetns, func() error { return ping(addr) }); err != nil {
			return nil, fmt.Errorf("association: %w", err)
		}
		took = append(took, float64(time.Since(began).Microseconds())/1000)
	}
	x := spreadOf(took)
	return &x, nil
}

func printOutside(w io.Writer, r *labResult) {
	for _, k := range r.Outside.Kinds {
		fmt.Fprintf(w, "\nin and out: %-22s %12s %10s   %-22s (aim: %.0f%%)\n", k.Kind+", "+k.Unit, "median", "of kernel*", "quartiles of the ratio", 100*k.Aim)
		for _, x := range k.Ways {
			fmt.Fprintf(w, "%-34s %12.1f", x.Way, x.Value.Median)
			if x.Ratio != nil {
				fmt.Fprintf(w, " %9.1f%%   %.1f%% to %.1f%%", 100*x.Ratio.Median, 100*x.Ratio.Q1, 100*x.Ratio.Q3)
			}
			fmt.Fprintln(w)
		}
	}
	fmt.Fprintln(w, "* a floating IP of plain routing on the instance's host, SNAT of a kernel's VXLAN device, routing and NAT over the same two hosts")
	a := r.Outside.Association
	fmt.Fprintf(w, "\nPUT of a floating IP to its first answered ping, from host to host: median %.1f ms, quartiles %.1f to %.1f (%d times; aim: median under 50 ms)\n", a.Median, a.Q1, a.Q3, a.N)
}
