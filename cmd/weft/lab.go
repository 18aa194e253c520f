package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"runtime"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/weft-cloud/weft/internal/dataplane/ebpf"
	"github.com/weft-cloud/weft/internal/lab"
	"github.com/weft-cloud/weft/internal/linux"
)

func newLabCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lab",
		Short: "A whole small cloud on this machine, to try and to take apart",
		Long: `A whole small cloud on this machine: a controller and computes as network namespaces
joined by an underlay, the real server and agents in them, identity, compute and
image services, and instances. Everything needs root; "weft lab down" removes all.`,
	}
	cmd.AddCommand(newLabUpCmd(), newLabDownCmd(), newLabStatusCmd(), newLabVerifyCmd(), newLabBootCmd(), newLabDeleteCmd(),
		newLabExecCmd(), newLabEnvCmd(), newLabLogsCmd(), newLabRestartCmd(), newLabRebootCmd(),
		newLabKillCmd(), newLabCutCmd(), newLabHealCmd(), newLabServicesCmd())
	return cmd
}

func newLabUpCmd() *cobra.Command {
	o := lab.Options{}
	var noDemo bool
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Bring the lab up, with a demo in it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Demo = !noDemo
			ctx, stop := untilHangup(cmd.Context())
			defer stop()
			r, err := lab.Up(ctx, o, ebpf.Probe, newProgress(cmd.OutOrStdout()))
			if err != nil {
				return err
			}
			printWelcome(cmd.OutOrStdout(), r)
			return nil
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.Computes, "computes", 2, "number of computes, 1 to 8")
	f.IntVar(&o.UnderlayMTU, "underlay-mtu", 1500, "MTU of the underlay, in bytes")
	f.BoolVar(&noDemo, "no-demo", false, "make no networks and instances")
	f.StringVar(&o.StateDir, "state-dir", lab.DefaultStateDir, "directory for configuration, certificates, databases and logs; empty or absent")
	f.StringVar(&o.VIF, "vif", "veth", "how instances are attached: veth, or tap as a hypervisor does")
	f.StringVar(&o.Redirect, "redirect", "auto", "how hosts hand packets to instances: auto, or plain so that a tcpdump on the tap sees all")
	return cmd
}

func newLabDownCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "Remove the lab and everything that it made, also after a crash",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := untilHangup(cmd.Context())
			defer stop()
			err := lab.Down(ctx)
			if errors.Is(err, lab.ErrNoLab) {
				fmt.Fprintln(cmd.OutOrStdout(), "No lab is up.")
				return nil
			} else if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), "The lab is gone.")
			return nil
		},
	}
}

// withLab hands fn the lab that is up.
func withLab(fn func(cmd *cobra.Command, args []string, r *lab.Record) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		r, err := lab.Load()
		if err != nil {
			return err
		}
		ctx, stop := untilHangup(cmd.Context())
		defer stop()
		cmd.SetContext(ctx)
		return fn(cmd, args, r)
	}
}

// untilHangup is ctx until the terminal goes away, unless that is to be survived (nohup): what was begun is then undone as after
// an interruption. That nobody reads what is printed any more stops nothing.
func untilHangup(ctx context.Context) (context.Context, context.CancelFunc) {
	signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE) // caught, not ignored: a process started from here would inherit that
	if signal.Ignored(unix.SIGHUP) {
		return context.WithCancel(ctx)
	}
	return signal.NotifyContext(ctx, unix.SIGHUP)
}

func newLabBootCmd() *cobra.Command {
	var host, network string
	cmd := &cobra.Command{
		Use:   "boot NAME --host HOST --network NETWORK",
		Short: "Boot an instance on a host and wait for its addresses",
		Args:  cobra.ExactArgs(1),
		RunE: withLab(func(cmd *cobra.Command, args []string, r *lab.Record) error {
			if err := r.BootNamed(cmd.Context(), args[0], host, network); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is up; try: weft lab exec %s -- ip address\n", args[0], args[0])
			return nil
		}),
	}
	cmd.Flags().StringVar(&host, "host", "", "the compute; none: the one with the fewest instances")
	cmd.Flags().StringVar(&network, "network", "", "the network, by name or id")
	return cmd
}

func newLabDeleteCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "delete NAME",
		Short: "Delete an instance",
		Args:  cobra.ExactArgs(1),
		RunE: withLab(func(cmd *cobra.Command, args []string, r *lab.Record) error {
			c := r.Admin()
			defer c.Close()
			return lab.Delete(cmd.Context(), c, args[0])
		}),
	}
}

func newLabExecCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "exec HOST|INSTANCE [--] COMMAND [ARGUMENT...]",
		Short: "Run a command on a host or in an instance",
		Args:  cobra.MinimumNArgs(2),
		RunE: withLab(func(_ *cobra.Command, args []string, r *lab.Record) error {
			ns, err := r.HostOrGuestNetns(args[0])
			if err != nil {
				return err
			}
			if args = args[1:]; args[0] == "--" {
				args = args[1:]
			}
			if len(args) == 0 {
				return errors.New("there is no command behind --")
			}
			path, err := exec.LookPath(args[0])
			if err != nil {
				return fmt.Errorf("run %s: %w", args[0], err)
			}
			return becomeIn(ns, path, args)
		}),
	}
	cmd.Flags().SetInterspersed(false) // the command's own flags are none of ours, with and without --
	return cmd
}

// becomeIn makes this process that command in a network namespace; it returns only if it cannot.
func becomeIn(netns, path string, args []string) error {
	// The thread that changes its namespace becomes the command: nothing of this process remains.
	runtime.LockOSThread()
	if err := linux.JoinNetns(netns); err != nil {
		return err
	}
	return unix.Exec(path, args, os.Environ())
}

func newLabEnvCmd() *cobra.Command {
	var user string
	cmd := &cobra.Command{
		Use:   "env",
		Short: "Print what the OpenStack client needs: eval \"$(weft lab env)\"",
		Args:  cobra.NoArgs,
		RunE: withLab(func(cmd *cobra.Command, _ []string, r *lab.Record) error {
			env, err := r.Env(user)
			if err != nil {
				return err
			}
			for _, kv := range env {
				fmt.Fprintf(cmd.OutOrStdout(), "export %s=%s\n", kv[0], kv[1])
			}
			return nil
		}),
	}
	cmd.Flags().StringVar(&user, "user", "admin", "admin, demo or demo-b")
	return cmd
}

func newLabLogsCmd() *cobra.Command {
	var follow bool
	cmd := &cobra.Command{
		Use:   "logs [NAME]",
		Short: "List the logs, or print one: server, services, a host's agent, an instance's console",
		Args:  cobra.MaximumNArgs(1),
		RunE: withLab(func(cmd *cobra.Command, args []string, r *lab.Record) error {
			if len(args) == 1 {
				return r.CopyLog(cmd.Context(), cmd.OutOrStdout(), args[0], follow)
			}
			names, err := r.Logs()
			for _, n := range names {
				fmt.Fprintln(cmd.OutOrStdout(), n)
			}
			return err
		}),
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until interrupted")
	return cmd
}

func newLabRestartCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "restart NAME",
		Short: "Restart a process of the lab: server, services, or a host's agent by the host's name",
		Args:  cobra.ExactArgs(1),
		RunE: withLab(func(cmd *cobra.Command, args []string, r *lab.Record) error {
			return r.Restart(cmd.Context(), args[0])
		}),
	}
}

func newLabRebootCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "reboot COMPUTE",
		Short: "Reboot a compute: it loses all but its disk, and its instances start again",
		Args:  cobra.ExactArgs(1),
		RunE: withLab(func(cmd *cobra.Command, args []string, r *lab.Record) error {
			return r.Reboot(cmd.Context(), args[0])
		}),
	}
}

func newLabServicesCmd() *cobra.Command {
	return &cobra.Command{
		Use:    "services",
		Short:  "Be the lab's identity, compute and image services",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: withLab(func(cmd *cobra.Command, _ []string, r *lab.Record) error {
			return lab.RunServices(cmd.Context(), r, slog.New(slog.NewTextHandler(os.Stderr, nil)))
		}),
	}
}
