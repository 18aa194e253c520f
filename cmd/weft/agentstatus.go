package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/weft-cloud/weft/internal/agent"
	"github.com/weft-cloud/weft/internal/config"
)

func newAgentStatusCmd() *cobra.Command {
	var flags configFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say how this host's agent is: connection, what is applied, ports, problems",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := flags.load(config.LoadAgent)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), 10*time.Second)
			defer cancel()
			s, err := agent.ReadStatus(ctx, l.Agent.StateDir)
			if err != nil {
				return noAgent(l.Agent.StateDir, err)
			}
			if asJSON {
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				return e.Encode(s)
			}
			return printAgentStatus(cmd.OutOrStdout(), s)
		},
	}
	flags.bind(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print everything, as JSON")
	return cmd
}

// noAgent says in words why an agent could not be asked.
func noAgent(dir string, err error) error {
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("no agent answers at %s; is it running, and is this its state_dir?", filepath.Join(dir, agent.SocketName))
	}
	return err
}

func printAgentStatus(out io.Writer, s agent.Status) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "host\t%s (%s, data plane %s), started %s\n", s.Host, s.Mode, s.DataPlane, s.StartedAt.Format(time.RFC3339))
	switch {
	case s.Server.Connected:
		fmt.Fprintf(w, "server\tconnected to %s since %s; its clock is %v ahead\n", s.Server.Server, s.Server.Since.Format(time.RFC3339), s.Server.ClockOffset.Round(time.Millisecond))
	default:
		fmt.Fprintf(w, "server\tnot connected: %s\n", s.Server.Error)
	}
	fmt.Fprintf(w, "position\t%s applied of %s%s\n", s.Applied, s.Position, remark(s))
	fmt.Fprintf(w, "scope\t%d networks, %d routers, %d neighbours, %d other hosts\n", s.Networks, s.Routers, s.Neighbors, s.Peers)
	for _, e := range s.Endpoints {
		state := "programmed"
		switch {
		case !e.Present:
			state = "waits for its interface"
		case !e.Programmed:
			state = "NOT PROGRAMMED"
		}
		fmt.Fprintf(w, "port\t%s %s %v %s: %s\n", e.Device, e.Port, e.Addresses, e.Name, state)
	}
	for _, p := range s.Problems {
		fmt.Fprintf(w, "problem\t%s %s: %s\n", p.Kind, p.ID, p.Why)
	}
	return w.Flush()
}

func remark(s agent.Status) string {
	switch {
	case s.Held:
		return "; the server asks to delete nothing until an operator releases it"
	case !s.InSync:
		return "; from disk, the server has not confirmed it yet"
	}
	return ""
}
