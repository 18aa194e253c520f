package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/weft-cloud/weft/internal/config"
	"github.com/weft-cloud/weft/internal/lab"
	"github.com/weft-cloud/weft/internal/obs"
	"github.com/weft-cloud/weft/internal/server/policy"
)

// configFlags are how both server and agent are told their configuration.
type configFlags struct {
	files, dirs []string
	stateDir    string
}

func (f *configFlags) bind(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.files, "config-file", nil, "configuration `file` in oslo.config's form; may be repeated, later ones win")
	cmd.Flags().StringArrayVar(&f.dirs, "config-dir", nil, "`directory` whose *.conf files are read after the files")
	cmd.Flags().StringVar(&f.stateDir, "state-dir", "", "overrides [weft] state_dir")
}

// load reads the configuration. What it returns has notices even with an error, unless it is nil.
func (f *configFlags) load(load func([]config.Source, string) (*config.Loaded, error)) (*config.Loaded, error) {
	sources, err := config.ReadSources(f.files, f.dirs)
	if err != nil {
		return nil, err
	}
	if f.stateDir != "" {
		sources = append(sources, config.Override("--state-dir", "weft", "state_dir", f.stateDir))
	}
	hostname, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("host name: %w", err)
	}
	return load(sources, hostname)
}

// loadOrLab is load; where nobody says which configuration, it is that of the server of the lab that is up, if one is.
func (f *configFlags) loadOrLab(load func([]config.Source, string) (*config.Loaded, error)) (*config.Loaded, error) {
	if r := f.lab(); r != nil {
		f.files = r.ServerConfig()
	}
	return f.load(load)
}

// lab is the lab that is up, if one is and nobody says which configuration.
func (f *configFlags) lab() *lab.Record {
	if len(f.files)+len(f.dirs) > 0 || f.stateDir != "" {
		return nil
	}
	r, err := lab.Load()
	if err != nil {
		return nil
	}
	return r
}

// daemon is the RunE of a process that stays: it reads the configuration, makes the logger, tells of options that have no
// effect, and runs.
func (f *configFlags) daemon(load func([]config.Source, string) (*config.Loaded, error), run func(context.Context, *config.Loaded, *slog.Logger) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		l, err := f.load(load)
		log := obs.NewLogger(os.Stderr, debugOf(l))
		tellNotices(log, l)
		if err != nil {
			return err
		}
		return run(cmd.Context(), l, log)
	}
}

func debugOf(l *config.Loaded) bool { return l != nil && l.Server.Debug }

// tellNotices says in one line that options were ignored or renamed, and which ones to whoever asks (debug = true).
func tellNotices(log *slog.Logger, l *config.Loaded) {
	if l == nil || len(l.Notices) == 0 {
		return
	}
	log.Info("options of the configuration have no effect or another name today; debug = true lists them", "options", len(l.Notices), "first", l.Notices[0].String())
	for _, n := range l.Notices {
		log.Debug("configuration", "notice", n.String())
	}
}

func newConfigCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "About configuration files"}
	var agent bool
	sample := &cobra.Command{
		Use:   "sample",
		Short: "Print a configuration file that sets nothing: every option with its default and help",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			role := config.ForServer
			if agent {
				role = config.ForAgent
			}
			return config.WriteSample(cmd.OutOrStdout(), role)
		},
	}
	sample.Flags().BoolVar(&agent, "agent", false, "for the agent, in place of the server")
	cmd.AddCommand(sample)
	return cmd
}

func newPolicyCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "policy", Short: "About policy files"}
	cmd.AddCommand(&cobra.Command{
		Use:   "sample",
		Short: "Print a policy file that changes nothing: every rule with its default",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return policy.WriteSample(cmd.OutOrStdout()) },
	})
	return cmd
}
