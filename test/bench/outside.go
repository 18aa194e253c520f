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
	"github.com/weft-cloud/weft/internal/linux"
)

const internetNetns = "weft-internet"

// outsideResult is what goes in and out of the cloud.
type outsideResult struct {
	Kinds []kindResult `json:"kinds"`
	// Association is from PUT of a floating IP's port to its first answered ping, in milliseconds.
	Association *spread `json:"association_ms"`
}

// outside measures instances against weft-internet: by floating IP, by SNAT, and by plain kernel routing on the instance's
// host, over the same NIC and switch, from an interface of the same kind.
func outside(ctx context.Context, l *benchLab, o options, r *labResult) error {
	routed, undo, err := routedOutside(ctx, r.VIF)
	defer undo()
	if err != nil {
		return err
	}
	internet := place{internetNetns, netip.MustParseAddr("203.0.113.1")}
	ways := []way{
		{name: "plain kernel routing", from: routed[0], to: routed[1]},
		{name: "weft, floating IP", from: l.place("red2"), to: internet, against: "plain kernel routing"},
		{name: "weft, SNAT on the gateway host", from: l.place("red1"), to: internet, against: "plain kernel routing"},
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

// routedOutside lets compute2's kernel route between red2 and weft-internet, on a cable of its own to the former: a veth, or two taps as an
// instance's, with a process between them.
func routedOutside(ctx context.Context, vif string) (places [2]place, undo func(), err error) {
	places = [2]place{{"weft-vm-red2", netip.MustParseAddr("198.51.100.130")}, {internetNetns, netip.MustParseAddr("198.51.100.194")}}
	unplug := func() {}
	undo = func() {
		unplug()
		_ = shell(context.Background(), `ip -n weft-compute2 link del bench-r 2>/dev/null
ip -n weft-compute2 addr del 198.51.100.193/26 dev enp0s9 2>/dev/null
ip -n weft-internet addr del 198.51.100.194/26 dev enp0s9 2>/dev/null
ip -n weft-internet route del 198.51.100.128/26 2>/dev/null
ip netns exec weft-compute2 sysctl -q -w net.ipv4.ip_forward=0; true`)
	}
	if vif == "tap" {
		unplug, err = plugTaps(ctx)
	} else {
		err = shell(ctx, `ip -n weft-compute2 link add bench-r type veth peer name bench netns weft-vm-red2`)
	}
	if err != nil {
		return places, undo, err
	}
	return places, undo, shell(ctx, `ip -n weft-compute2 link set bench-r mtu 1450 up
ip -n weft-vm-red2 link set bench mtu 1450 up
ip -n weft-compute2 addr add 198.51.100.129/26 dev bench-r
ip -n weft-compute2 addr add 198.51.100.193/26 dev enp0s9
ip -n weft-vm-red2 addr add 198.51.100.130/26 dev bench
ip -n weft-vm-red2 route add 198.51.100.192/26 via 198.51.100.129
ip -n weft-internet addr add 198.51.100.194/26 dev enp0s9
ip -n weft-internet route add 198.51.100.128/26 via 198.51.100.193
ip netns exec weft-compute2 sysctl -q -w net.ipv4.ip_forward=1`)
}

// plugTaps makes the taps bench-r on compute2 and bench in red2, between which another process carries, as the lab's do; undo ends it.
func plugTaps(ctx context.Context) (undo func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return func() {}, fmt.Errorf("find the benchmark itself: %w", err)
	}
	cmd := exec.CommandContext(ctx, self, "-cable", "weft-compute2/bench-r,weft-vm-red2/bench")
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return func() {}, fmt.Errorf("start a cable: %w", err)
	}
	undo = func() { _ = cmd.Process.Kill(); _ = cmd.Wait() } // its end is what is wanted
	for range 50 {
		_, in := linux.LinkByName("weft-vm-red2", "bench")
		_, out := linux.LinkByName("weft-compute2", "bench-r")
		if in == nil && out == nil {
			return undo, nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return undo, errors.New("the cable of taps did not come")
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
		fmt.Fprintf(w, "\nin and out: %-22s %12s %10s   %-22s (aim: %.0f%%)\n", k.Kind+", "+k.Unit, "median", "of kernel", "quartiles of the ratio", 100*k.Aim)
		for _, x := range k.Ways {
			fmt.Fprintf(w, "%-34s %12.1f", x.Way, x.Value.Median)
			if x.Ratio != nil {
				fmt.Fprintf(w, " %9.1f%%   %.1f%% to %.1f%%", 100*x.Ratio.Median, 100*x.Ratio.Q1, 100*x.Ratio.Q3)
			}
			fmt.Fprintln(w)
		}
	}
	a := r.Outside.Association
	fmt.Fprintf(w, "\nPUT of a floating IP to its first answered ping, from host to host: median %.1f ms, quartiles %.1f to %.1f (%d times; aim: median under 50 ms)\n", a.Median, a.Q1, a.Q3, a.N)
}
