package main

import "github.com/spf13/cobra"

func newLabCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "lab",
		Short: "A whole small cloud on this machine, to try and to take apart",
	}
}
