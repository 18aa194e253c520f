package main

import (
	"fmt"
	"net"
	"os"

	"github.com/spf13/cobra"

	"github.com/weft-cloud/weft/internal/lab/guest"
)

func newGuestInitCmd() *cobra.Command {
	cfg := guest.Config{Console: os.Stdout}
	var mac string
	var plain bool
	cmd := &cobra.Command{
		Use:    "guest-init",
		Short:  "Be an instance of the lab, in the network namespace this is started in",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg.Offloads = !plain
			if cfg.Tap != "" {
				var err error
				if cfg.MAC, err = net.ParseMAC(mac); err != nil {
					return fmt.Errorf("--mac: %w", err)
				}
			}
			return guest.Run(cmd.Context(), cfg)
		},
	}
	f := cmd.Flags()
	f.StringVar(&cfg.Name, "name", "guest", "the instance's name")
	f.StringVar(&cfg.Home, "home", "", "directory for the instance's host name, keys and user data; without it they are not used")
	f.StringVar(&cfg.Tap, "tap", "", "make this tap in --tap-netns and eth0 here, and carry frames between them; without it eth0 must be there")
	f.StringVar(&cfg.TapNetns, "tap-netns", "", "network namespace of --tap")
	f.StringVar(&mac, "mac", "", "address of eth0, with --tap")
	f.IntVar(&cfg.MTU, "mtu", 1500, "MTU of eth0, with --tap")
	f.BoolVar(&plain, "no-offloads", false, "let the tap hand over plain frames, with --tap")
	return cmd
}
