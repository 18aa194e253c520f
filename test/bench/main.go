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
	"io"
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
	flag.StringVar(&o.only, "only", "", "sections to run, by name, separated by commas; empty: all of "+strings.Join(names(sections), ", "))
	flag.DurationVar(&o.limit, "limit", 15*time.Minute, "the most that the whole may take; it ends with an error then")
	flag.BoolVar(&o.json, "json", false, "print one JSON object at the end; the text goes to standard error")
	cable := flag.String("cable", "", "for the benchmark's own use: carry frames between the taps NETNS/NAME,NETNS/NAME until killed")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	work := func() error { return run(ctx, o) }
	if *cable != "" {
		work = func() error { return carry(ctx, *cable) }
	}
	if err := work(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type options struct {
	weft, vifs, only string
	pairs            int
	each, limit      time.Duration
	ports            int
	json             bool
}

// section is one part of the benchmark. Each kind of attachment has a lab of its own, in which all sections run in their order.
type section struct {
	name string
	// once: it says the same for each kind of attachment, and runs with the first only.
	once bool
	// run measures and puts what it found into r, which is printed when run is done.
	run func(ctx context.Context, l *benchLab, o options, r *labResult) error
	// print writes it for people; after run.
	print func(w io.Writer, r *labResult)
}

// sections in the order that they run in. What changes the lab for good (many ports) comes last.
var sections = []section{
	{name: "traffic", run: traffic, print: printTraffic},
	{name: "run-time", run: runTimes, print: printRunTimes},
	{name: "rules", once: true, run: policyCosts, print: printPolicyCosts},
	{name: "groups", once: true, run: groups, print: printGroups},
	{name: "first-ping", run: firstPings, print: printFirstPings},
	{name: "outside", run: outside, print: printOutside},
	{name: "boot", once: true, run: boot, print: printBoot},
	{name: "ports", once: true, run: scale, print: printScale},
}

func names(all []section) (out []string) {
	for _, s := range all {
		out = append(out, s.name)
	}
	return out
}

// chosen are the sections that only names; all if it is empty.
func chosen(only string) ([]section, error) {
	if only == "" {
		return sections, nil
	}
	var out []section
	wanted := map[string]bool{}
	for _, n := range strings.Split(only, ",") {
		wanted[n] = true
	}
	for _, s := range sections {
		if wanted[s.name] {
			out = append(out, s)
			delete(wanted, s.name)
		}
	}
	for n := range wanted {
		return nil, fmt.Errorf("-only: there is no section %q; there are %s", n, strings.Join(names(sections), ", "))
	}
	return out, nil
}

func run(ctx context.Context, o options) error {
	if os.Geteuid() != 0 {
		return errors.New("needs root: it makes network namespaces and loads BPF programs")
	}
	if o.pairs < 1 || o.each <= 0 {
		return errors.New("-pairs and -each must be positive")
	}
	todo, err := chosen(o.only)
	if err != nil {
		return err
	}
	if o.weft, err = filepath.Abs(o.weft); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, o.limit, fmt.Errorf("not done within %v; take fewer -pairs, or a greater -limit", o.limit))
	defer cancel()
	text := io.Writer(os.Stdout)
	if o.json {
		text = os.Stderr
	}
	res := result{Began: time.Now().UTC(), Pairs: o.pairs, Each: o.each.Seconds(), Machine: machine()}
	fmt.Fprintf(text, "%s; %d interleaved rounds of %v\n", res.Machine, o.pairs, o.each)
	for i, vif := range strings.Split(o.vifs, ",") {
		l := labResult{VIF: vif}
		if err := measure(ctx, o, &l, text, selected(todo, i == 0)); err != nil {
			if cause := context.Cause(ctx); cause != nil {
				err = cause
			}
			return fmt.Errorf("%s: %w", vif, err)
		}
		res.Labs = append(res.Labs, l)
	}
	res.Took = time.Since(res.Began).Seconds()
	fmt.Fprintf(text, "\nall of it took %.0f s\n", res.Took)
	if !o.json {
		return nil
	}
	enc := json.NewEncoder(os.Stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(res)
}

func selected(all []section, first bool) (out []section) {
	for _, s := range all {
		if first || !s.once {
			out = append(out, s)
		}
	}
	return out
}

// measure runs the sections with one kind of attachment.
func measure(ctx context.Context, o options, r *labResult, text io.Writer, todo []section) error {
	progress("%s: weft lab up", r.VIF)
	l, err := startLab(ctx, o.weft, r.VIF)
	if err != nil {
		return err
	}
	defer l.stop()
	r.LabUp = l.took.Seconds()
	fmt.Fprintf(text, "\n== instances attached by %s; `weft lab up` took %.1f s (aim: under 10 s)\n", r.VIF, r.LabUp)
	for _, s := range todo {
		progress("%s: %s", r.VIF, s.name)
		if err := s.run(ctx, l, o, r); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		s.print(text, r)
	}
	return nil
}

// progress tells whoever waits, on standard error, what is being done.
func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "  %s  %s\n", time.Now().Format("15:04:05"), fmt.Sprintf(format, args...))
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
		os.RemoveAll(dir)
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
