package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weft-cloud/weft/internal/lab"
)

func newLabKillCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "kill HOST",
		Short: "Pull a host's plug: its agent is gone and its cables are dead; `weft lab heal` mends it",
		Args:  cobra.ExactArgs(1),
		RunE: withLab(func(_ *cobra.Command, args []string, r *lab.Record) error {
			return r.Kill(args[0])
		}),
	}
}

func newLabCutCmd() *cobra.Command {
	return &cobra.Command{
		Use:       "cut HOST [" + strings.Join(lab.Links(), "|") + "]...",
		Short:     "Cut links of a host, all of them if none is named; `weft lab heal` mends them",
		Args:      cobra.MinimumNArgs(1),
		ValidArgs: lab.Links(),
		RunE: withLab(func(_ *cobra.Command, args []string, r *lab.Record) error {
			links := args[1:]
			for _, l := range links { // before any is cut
				if !slices.Contains(lab.Links(), l) {
					return fmt.Errorf("no link %q: the links of a host are %s", l, strings.Join(lab.Links(), ", "))
				}
			}
			if len(links) == 0 {
				links = lab.Links()
			}
			return r.Cut(args[0], links...)
		}),
	}
}

func newLabHealCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "heal",
		Short: "Mend all that `weft lab kill` and `weft lab cut` have broken",
		Args:  cobra.NoArgs,
		RunE:  withLab(func(_ *cobra.Command, _ []string, r *lab.Record) error { return r.Heal() }),
	}
}
