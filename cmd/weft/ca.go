package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/weft-cloud/weft/internal/pki"
)

func newCACmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ca",
		Short: "Make the certificates by which servers and hosts know each other",
		Long: `Make the certificates by which servers and hosts know each other. Keep the directory
of the CA where nobody else reads it; a server needs ca.crt and its own pair, a host
ca.crt and its own.`,
	}
	cmd.AddCommand(newCAInitCmd(), newCAIssueCmd())
	return cmd
}

func newCAInitCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "init DIR",
		Short: "Make a CA for a cloud in DIR",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := os.Stat(filepath.Join(args[0], pki.CAKeyFile)); err == nil {
				return fmt.Errorf("there is a CA in %s already; every certificate that it signed would be worthless: remove it by hand if that is meant", args[0])
			}
			if err := os.MkdirAll(args[0], 0o700); err != nil {
				return err
			}
			ca, err := pki.NewCA("weft", time.Now())
			if err != nil {
				return err
			}
			return ca.Save(args[0])
		},
	}
}

func newCAIssueCmd() *cobra.Command {
	var server []string
	cmd := &cobra.Command{
		Use:   "issue DIR NAME",
		Short: "Make NAME.crt and NAME.key in DIR: for the host of that name or, with --server, for a server",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			ca, err := pki.Load(args[0])
			if err != nil {
				return err
			}
			pair, err := ca.Issue(args[1], server, time.Now())
			if err != nil {
				return err
			}
			return pair.Save(args[0], args[1])
		},
	}
	cmd.Flags().StringSliceVar(&server, "server", nil, "names or `addresses` at which agents reach this server")
	return cmd
}
