package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weft-cloud/weft/internal/agent"
	"github.com/weft-cloud/weft/internal/agent/drops"
	"github.com/weft-cloud/weft/internal/config"
	"github.com/weft-cloud/weft/internal/dataplane/ebpf"
	"github.com/weft-cloud/weft/internal/doctor"
	"github.com/weft-cloud/weft/internal/lab"
	"github.com/weft-cloud/weft/internal/linux"
)

func newDoctorCmd() *cobra.Command {
	var flags configFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor INSTANCE",
		Short: "Find the first broken link between an instance of this host and its network, and the cure",
		Long: "INSTANCE is the id of an instance or of a port (or its first characters), a port's name, an address, a MAC or an interface.\n" +
			"The command runs on the instance's own host, as root; without --config-file beside a lab that is up, it goes to the\n" +
			"host of the lab that has the instance, which may be named there. Its exit status is 1 if a link is broken.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), 10*time.Second)
			defer cancel()
			if r := flags.lab(); r != nil {
				return doctorInLab(ctx, r, args[0], asJSON)
			}
			l, err := flags.load(config.LoadAgent)
			if err != nil {
				return err
			}
			f, err := doctorFacts(ctx, &l.Agent, args[0])
			if err != nil {
				return err
			}
			steps := doctor.Diagnose(f)
			if err := printSteps(cmd.OutOrStdout(), steps, asJSON); err != nil {
				return err
			}
			if _, broken := doctor.Broken(steps); broken {
				return exitCode(1)
			}
			return nil
		},
	}
	flags.bind(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON: the links in order, the last one broken or none")
	return cmd
}

// doctorInLab becomes the doctor of the host of the lab that has the instance; it returns only if it cannot.
func doctorInLab(ctx context.Context, r *lab.Record, want string, asJSON bool) error {
	id, host, ok, err := r.Locate(ctx, want)
	if !ok {
		id = want
		known := hostsThatKnow(ctx, r, want)
		switch {
		case len(known) == 1:
			host = known[0]
		case len(known) > 1:
			return fmt.Errorf("the hosts %s each have a port %q: use the name or id of an instance", strings.Join(known, ", "), want)
		case err != nil:
			return err
		}
	}
	i := slices.IndexFunc(r.Hosts(), func(h lab.Host) bool { return h.Name == host })
	if i < 0 {
		return fmt.Errorf("no host of the lab has an instance, port, address, MAC or interface %q: see `weft lab status`", want)
	}
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this binary: %w", err)
	}
	h := r.Hosts()[i]
	args := append([]string{exe, "doctor"}, r.AgentConfig(h)...)
	return becomeIn(h.Netns, exe, append(args, fmt.Sprintf("--json=%t", asJSON), "--", id))
}

// hostsThatKnow are the hosts of the lab whose agents know a port by that word.
func hostsThatKnow(ctx context.Context, r *lab.Record, want string) []string {
	var out []string
	for _, h := range r.Hosts() {
		if s, err := agent.ReadStatus(ctx, r.AgentDir(h.Name)); err == nil && doctor.Knows(&s, want) {
			out = append(out, h.Name)
		}
	}
	return out
}

// doctorFacts asks the agent and the kernel.
func doctorFacts(ctx context.Context, cfg *config.Agent, want string) (doctor.Facts, error) {
	f := doctor.Facts{Want: want, Now: time.Now()}
	if cfg.DataPlane == "ebpf" {
		var err error
		if f.TunnelPort, err = linux.UDPHolder(ebpf.VXLANPort); err != nil {
			return f, err
		}
	}
	s, err := agent.ReadStatus(ctx, cfg.StateDir)
	if err != nil {
		f.AgentError = err.Error()
		return f, nil
	}
	f.Status = &s
	links, err := linux.Links("")
	if err != nil {
		return f, err
	}
	known := map[string]bool{}
	for _, e := range s.Endpoints {
		known[e.Device] = true
	}
	device := doctor.DeviceOf(f)
	for _, l := range links {
		if strings.HasPrefix(l.Name, "tap") && !known[l.Name] {
			f.Strangers = append(f.Strangers, l.Name)
		}
		if l.Name != device {
			continue
		}
		d := &doctor.Device{Name: l.Name, Up: l.Up, MTU: l.MTU}
		if d.Received, d.Sent, err = linux.Packets("", l.Name); err != nil {
			return f, err
		}
		attached, can, err := ebpf.Attached(l.Index)
		if err != nil {
			return f, err
		}
		d.Attached, d.Unknown = attached, !can || s.DataPlane != "ebpf"
		f.Device = d
	}
	portDrops(ctx, cfg.StateDir, device, &f)
	return f, nil
}

// portDrops puts into f what the agent says was dropped at one device; if it cannot tell, the walk goes on without.
func portDrops(ctx context.Context, dir, device string, f *doctor.Facts) {
	if device == "" {
		return
	}
	_ = drops.Read(ctx, dir, func(r drops.Report) { //nolint:errcheck // see above
		f.Drops, f.Lately = map[string]uint64{}, map[string]int{}
		for _, c := range r.Counts {
			if c.Device == device {
				f.Drops[c.Reason] += c.Packets
			}
		}
		for _, e := range r.Events {
			if e.Device == device && f.Now.Sub(e.Time) < time.Minute {
				f.Lately[e.Reason]++
			}
		}
	}, nil)
}

func printSteps(out io.Writer, steps []doctor.Step, asJSON bool) error {
	if asJSON {
		return printJSON(out, steps)
	}
	for _, s := range steps {
		mark := "ok   "
		switch {
		case s.Warning:
			mark = "WARN "
		case !s.OK:
			mark = "BROKEN"
		}
		text := fmt.Sprintf("%-6s  %-22s  %s\n", strings.TrimSpace(mark), s.Name, s.Found)
		if s.Cure != "" {
			text += fmt.Sprintf("%-6s  %-22s  → %s\n", "", "", s.Cure)
		}
		if _, err := io.WriteString(out, text); err != nil {
			return err
		}
	}
	return nil
}
