package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weft-cloud/weft/internal/agent"
	"github.com/weft-cloud/weft/internal/agent/drops"
	"github.com/weft-cloud/weft/internal/config"
	"github.com/weft-cloud/weft/internal/dataplane/ebpf"
	"github.com/weft-cloud/weft/internal/doctor"
	"github.com/weft-cloud/weft/internal/linux"
)

func newDoctorCmd() *cobra.Command {
	var flags configFlags
	cmd := &cobra.Command{
		Use:   "doctor INSTANCE",
		Short: "Find the first broken link between an instance of this host and its network, and the cure",
		Long: "INSTANCE is the id of an instance or of a port (or its first characters), a port's name, an address, a MAC or an interface.\n" +
			"The command runs on the instance's own host, as root. Its exit status is 1 if a link is broken.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := flags.load(config.LoadAgent)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), 10*time.Second)
			defer cancel()
			f, err := doctorFacts(ctx, &l.Agent, args[0])
			if err != nil {
				return err
			}
			steps := doctor.Diagnose(f)
			printSteps(cmd.OutOrStdout(), steps)
			if _, broken := doctor.Broken(steps); broken {
				return exitCode(1)
			}
			return nil
		},
	}
	flags.bind(cmd)
	return cmd
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

func printSteps(out io.Writer, steps []doctor.Step) {
	for _, s := range steps {
		mark := "ok   "
		switch {
		case s.Warning:
			mark = "WARN "
		case !s.OK:
			mark = "BROKEN"
		}
		fmt.Fprintf(out, "%-6s  %-22s  %s\n", strings.TrimSpace(mark), s.Name, s.Found)
		if s.Cure != "" {
			fmt.Fprintf(out, "%-6s  %-22s  → %s\n", "", "", s.Cure)
		}
	}
}
