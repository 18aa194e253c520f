package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/weft-cloud/weft/internal/agent/drops"
	"github.com/weft-cloud/weft/internal/config"
)

// dropsFlags are what of the drops is asked for.
type dropsFlags struct {
	follow, rules, asJSON bool
	port, instance        string
}

func newDropsCmd() *cobra.Command {
	var flags configFlags
	var f dropsFlags
	cmd := &cobra.Command{
		Use:   "drops",
		Short: "Say what this host dropped: time, port, instance, packet, reason, rule; beside a lab, of all its hosts",
		Long: `Say what this host dropped since its tables were made, by port and reason, what its kernel
dropped of what was sent on, and the newest dropped packets, each with its reason and the
security group rule that had allowed it, if one had. With --rules: what each security group
rule of this host opened. With --follow: each dropped packet as it happens; a port's are told
up to 10 a second, the counters have all. Without --config-file beside a lab that is up, all
hosts of the lab are asked.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dirs, names, err := dropsDirs(cmd.Context(), &flags)
			if err != nil {
				return err
			}
			return f.run(cmd.Context(), cmd.OutOrStdout(), dirs, names)
		},
	}
	flags.bind(cmd)
	cmd.Flags().BoolVar(&f.follow, "follow", false, "go on with each packet as it is dropped")
	cmd.Flags().BoolVar(&f.rules, "rules", false, "show the security group rules with the connections that they opened")
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print JSON: a report for each host, with --follow then an event a line")
	cmd.Flags().StringVar(&f.port, "port", "", "only of this port: its id (or 8 or more characters of it), name or interface")
	cmd.Flags().StringVar(&f.instance, "instance", "", "only of this instance: its id (or 8 or more characters of it) or, in a lab, its name")
	cmd.MarkFlagsMutuallyExclusive("follow", "rules")
	return cmd
}

// dropsDirs are the state directories of the agents to ask, and the names of instances by port id.
func dropsDirs(ctx context.Context, flags *configFlags) ([]string, map[string]string, error) {
	if r := flags.lab(); r != nil {
		var dirs []string
		for _, h := range r.Hosts() {
			dirs = append(dirs, r.AgentDir(h.Name))
		}
		return dirs, labNames(ctx, r.ServerDir()), nil
	}
	l, err := flags.load(config.LoadAgent)
	if err != nil {
		return nil, nil, err
	}
	return []string{l.Agent.StateDir}, nil, nil
}

// run asks all agents at once.
func (f *dropsFlags) run(ctx context.Context, out io.Writer, dirs []string, names map[string]string) error {
	if !f.follow {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
	}
	p := &dropsPrinter{dropsFlags: f, out: out, names: names, enc: json.NewEncoder(out)}
	errs := make([]error, len(dirs))
	var asking sync.WaitGroup
	for i, dir := range dirs {
		asking.Go(func() {
			var each func(drops.Event)
			if f.follow {
				each = p.event
			}
			err := drops.Read(ctx, dir, p.report, each)
			if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
				err = fmt.Errorf("no agent with a data plane answers in %s; is it running, and is this its state_dir?", dir)
			}
			errs[i] = err
		})
	}
	asking.Wait()
	return errors.Join(append(errs, p.err)...)
}

// dropsPrinter prints what several agents say, one at a time.
type dropsPrinter struct {
	*dropsFlags
	names map[string]string

	mu  sync.Mutex // guards out, enc and err
	out io.Writer
	enc *json.Encoder
	err error
}

// wanted applies the filters.
func (p *dropsPrinter) wanted(w drops.Where) bool {
	is := func(ask string, words ...string) bool {
		for _, s := range words {
			if s != "" && (s == ask || len(ask) >= 8 && strings.HasPrefix(s, ask)) {
				return true
			}
		}
		return ask == ""
	}
	return is(p.port, w.Port, w.Name, w.Device) && is(p.instance, w.Instance, p.names[w.Port])
}

func keepWhere[T any](list []T, ok func(T) bool) []T {
	out := []T{}
	for _, v := range list {
		if ok(v) {
			out = append(out, v)
		}
	}
	return out
}

func (p *dropsPrinter) report(r drops.Report) {
	r.Counts = keepWhere(r.Counts, func(c drops.Count) bool { return p.wanted(c.Where) })
	r.Kernel = keepWhere(r.Kernel, func(k drops.Kernel) bool { return p.wanted(k.Where) })
	r.Events = keepWhere(r.Events, func(e drops.Event) bool { return p.wanted(e.Where) })
	r.Rules = keepWhere(r.Rules, func(x drops.Rule) bool {
		return p.port+p.instance == "" || len(keepWhere(x.Ports, p.wanted)) > 0
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.asJSON && p.follow:
		// Events only: the report is what was before.
	case p.asJSON:
		p.fail(p.enc.Encode(r))
	case p.follow:
	case p.rules:
		p.fail(p.printRules(r))
	default:
		p.fail(p.printReport(r))
	}
}

func (p *dropsPrinter) fail(err error) { p.err = cmp.Or(p.err, err) }

func (p *dropsPrinter) event(e drops.Event) {
	if !p.wanted(e.Where) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asJSON {
		p.fail(p.enc.Encode(e))
		return
	}
	_, err := io.WriteString(p.out, p.eventText(e)+"\n")
	p.fail(err)
}

// where is a port in words.
func (p *dropsPrinter) where(w drops.Where) string {
	if w.Port == "" {
		if w.Device != "" {
			return "interface " + w.Device
		}
		return "no port"
	}
	text := "port " + w.Port[:8]
	if w.Name != "" {
		text = "port " + w.Name + " (" + w.Port[:8] + ")"
	}
	if name := cmp.Or(p.names[w.Port], w.Instance); name != "" {
		text += " of instance " + name
	}
	return text
}

func (p *dropsPrinter) eventText(e drops.Event) string {
	rule := "no rule had allowed it"
	if e.Rule != "" {
		rule = "allowed by rule " + e.Rule + " (" + cmp.Or(e.Says, "which is gone") + ")"
	}
	return fmt.Sprintf("%s  %s  %s  %s  %s: %s; %s", e.Time.Format("15:04:05.000"), e.Host, p.where(e.Where), e.Packet, e.Reason, e.What, rule)
}

func (p *dropsPrinter) printReport(r drops.Report) error {
	var b strings.Builder
	fmt.Fprintf(&b, "host %s\n", r.Host)
	if len(r.Counts) == 0 {
		b.WriteString("  nothing dropped\n")
	}
	for _, c := range r.Counts {
		fmt.Fprintf(&b, "  %10d  %-16s %s: %s\n", c.Packets, c.Reason, p.where(c.Where), c.What)
		if c.Cure != "" {
			fmt.Fprintf(&b, "  %10s  %-16s → %s\n", "", "", c.Cure)
		}
	}
	for _, k := range r.Kernel {
		where := p.where(k.Where)
		if k.Source == "softnet" {
			where = "the machine"
		}
		fmt.Fprintf(&b, "  %10d  %-16s %s: dropped by the kernel, %s %s\n", k.Packets, "kernel", where, k.Source, k.Why)
	}
	for _, m := range r.Missing {
		fmt.Fprintf(&b, "  ! %s\n", m)
	}
	if len(r.Events) > 0 {
		b.WriteString("  newest\n")
	}
	for _, e := range r.Events[max(0, len(r.Events)-10):] {
		fmt.Fprintf(&b, "    %s\n", p.eventText(e))
	}
	_, err := io.WriteString(p.out, b.String())
	return err
}

func (p *dropsPrinter) printRules(r drops.Report) error {
	var b strings.Builder
	fmt.Fprintf(&b, "host %s\n  connections       drops  rule\n", r.Host)
	for _, x := range r.Rules {
		fmt.Fprintf(&b, "  %11d %11d  %s %s, at %d ports\n", x.Connections, x.Drops, x.ID, cmp.Or(x.Says, "(no port here has it any more)"), len(x.Ports))
	}
	_, err := io.WriteString(p.out, b.String())
	return err
}
