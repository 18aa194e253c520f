package main

import (
	"errors"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/weft-cloud/weft/internal/agent"
	"github.com/weft-cloud/weft/internal/config"
)

// newStatusCmd is what somebody types who wants to know whether something is wrong, and does not know yet where.
func newStatusCmd() *cobra.Command {
	var flags configFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say what is wrong: by the server of this machine or lab, with all hosts, or by this host's agent",
		Long: `Say what is wrong. Where a server runs, or a lab is up, that is the server's status, with
the problems of all hosts; else the status of this host's agent. The exit code is 0 if
there are no problems, and 1 if there are.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := flags.loadOrLab(loadStore)
			if err == nil {
				var s serverStatus
				if err = askServer(cmd.Context(), l.Server.StateDir, http.MethodGet, "/status", &s); err == nil {
					return tellStatus(len(s.problems()), asJSON, func() error { return printJSON(cmd.OutOrStdout(), s) },
						func() error { return printServerStatus(cmd.OutOrStdout(), &s, time.Now()) })
				}
			}
			l, agentErr := flags.load(config.LoadAgent)
			if agentErr != nil {
				return errors.Join(err, agentErr)
			}
			s, agentErr := agent.ReadStatus(cmd.Context(), l.Agent.StateDir)
			if agentErr != nil {
				return errors.Join(err, noAgent(l.Agent.StateDir, agentErr))
			}
			return tellStatus(len(s.Problems), asJSON, func() error { return printJSON(cmd.OutOrStdout(), s) },
				func() error { return printAgentStatus(cmd.OutOrStdout(), s) })
		},
	}
	flags.bind(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print everything, as JSON")
	return cmd
}

// tellStatus prints in one of the two forms, and ends with the exit code that the number of problems gives.
func tellStatus(problems int, asJSON bool, inJSON, inWords func() error) error {
	say := inWords
	if asJSON {
		say = inJSON
	}
	if err := say(); err != nil {
		return err
	}
	if problems > 0 {
		return exitCode(1)
	}
	return nil
}
