// Command bench measures the data plane in a lab of its own and prints ratios against the machine's own limits, measured in the
// same run: programs that decide nothing on the very same hooks (the honest ceiling), raw kernel VXLAN, and plain kernel
// routing. Modes are interleaved, since machines are noisy: a ratio is taken pair by pair, and its median and quartiles are
// printed. It needs root, iproute2 and bpftool, and leaves nothing behind.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	var o options
	flag.StringVar(&o.weft, "weft", "bin/weft", "the binary to measure")
	flag.IntVar(&o.pairs, "pairs", 10, "interleaved rounds")
	flag.DurationVar(&o.each, "each", 500*time.Millisecond, "how long one measurement takes")
	flag.StringVar(&o.vifs, "vif", "veth,tap", "how instances are attached, in turn")
	flag.IntVar(&o.ports, "ports", 1000, "further ports on the network for the cost of scale; 0: leave that out")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type options struct {
	weft, vifs string
	pairs      int
	each       time.Duration
	ports      int
}

func run(ctx context.Context, o options) error {
	if os.Geteuid() != 0 {
		return errors.New("needs root: it makes network namespaces and loads BPF programs")
	}
	var err error
	if o.weft, err = filepath.Abs(o.weft); err != nil {
		return err
	}
	for _, vif := range strings.Split(o.vifs, ",") {
		if err := measure(ctx, o, vif); err != nil {
			return fmt.Errorf("%s: %w", vif, err)
		}
	}
	return nil
}

// measure does everything with one kind of attachment.
func measure(ctx context.Context, o options, vif string) error {
	l, err := startLab(ctx, o.weft, vif)
	if err != nil {
		return err
	}
	defer l.stop()
	fmt.Printf("\n== instances attached by %s; `weft lab up` took %.1f s\n", vif, l.took.Seconds())
	if err := l.traffic(ctx, o); err != nil {
		return err
	}
	if err := l.runTimes(o); err != nil {
		return err
	}
	if err := l.firstPings(ctx); err != nil {
		return err
	}
	if o.ports > 0 && vif == "veth" {
		return l.scale(ctx, o)
	}
	return nil
}

// benchLab is a lab that is up, with its demo.
type benchLab struct {
	weft, dir string
	took      time.Duration
	instances map[string]instance
	api       *client
}

type instance struct {
	Name, Host, Network, Device, MAC string
	VNI                              uint32
	Addresses                        []string
}

func (i instance) netns() string { return "weft-vm-" + i.Name }
func (i instance) host() string  { return "weft-" + i.Host }

func startLab(ctx context.Context, weft, vif string) (*benchLab, error) {
	dir, err := os.MkdirTemp("", "weft-bench-")
	if err != nil {
		return nil, err
	}
	l := &benchLab{weft: weft, dir: dir, instances: map[string]instance{}}
	began := time.Now()
	if out, err := exec.CommandContext(ctx, weft, "lab", "up", "--vif", vif, "--state-dir", filepath.Join(dir, "lab")).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("weft lab up: %w\n%s", err, out)
	}
	l.took = time.Since(began)
	out, err := exec.CommandContext(ctx, weft, "lab", "status", "--json").Output()
	if err != nil {
		l.stop()
		return nil, fmt.Errorf("weft lab status: %w", err)
	}
	var st struct{ Instances []instance }
	if err := json.Unmarshal(out, &st); err != nil {
		l.stop()
		return nil, fmt.Errorf("weft lab status: %w", err)
	}
	for _, i := range st.Instances {
		l.instances[i.Name] = i
	}
	if l.api, err = login(ctx, weft); err != nil {
		l.stop()
		return nil, err
	}
	return l, nil
}

func (l *benchLab) stop() {
	if out, err := exec.Command(l.weft, "lab", "down").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "weft lab down: %v\n%s", err, out)
	}
	os.RemoveAll(l.dir)
}
