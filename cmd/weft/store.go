package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/weft-cloud/weft/internal/config"
	"github.com/weft-cloud/weft/internal/server/store/admin"
	"github.com/weft-cloud/weft/internal/server/store/dial"
)

func newStoreCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "store",
		Short: "Look at, back up and repair the server's store",
		Long: `Look at, back up and repair the store that the server's configuration names. status,
check and backup may be used beside a running server; what writes wants the server
stopped.`,
	}
	cmd.AddCommand(newStoreStatusCmd(), newStoreCheckCmd(), newBackupCmd(), newStoreInspectCmd(), newRestoreCmd(),
		newStoreDropCmd(), newStoreLineageCmd(), newStoreTrimCmd())
	return cmd
}

// storeCmd completes a command that does something with the configured store.
func storeCmd(cmd *cobra.Command, do func(cmd *cobra.Command, a *admin.Admin, args []string) error) *cobra.Command {
	var flags configFlags
	flags.bind(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		l, err := flags.load(loadStore)
		if err != nil {
			return err
		}
		a := &admin.Admin{Out: cmd.OutOrStdout(), Now: time.Now, Store: dial.Options{Database: l.Server.Database,
			Waiting: func(err error) { fmt.Fprintf(cmd.ErrOrStderr(), "weft: the database is not there yet: %v\n", err) }}}
		return do(cmd, a, args)
	}
	return cmd
}

// loadStore is config.LoadServer for commands that ask nobody who the caller is: Keystone's options may be missing.
func loadStore(sources []config.Source, hostname string) (*config.Loaded, error) {
	return config.LoadServer(append(sources, config.Override("weft store", "DEFAULT", "auth_strategy", "noauth")), hostname)
}

// existing is do for a store that is there: a command about what a store holds must not make an empty one.
func existing(do func(cmd *cobra.Command, a *admin.Admin, args []string) error) func(*cobra.Command, *admin.Admin, []string) error {
	return func(cmd *cobra.Command, a *admin.Admin, args []string) error {
		d := &a.Store.Database
		if d.Engine == "sqlite" {
			if _, err := os.Stat(d.Path); errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("there is no store at %s; name the server's configuration with --config-file, or its directory with --state-dir", d.Path)
			}
		}
		return do(cmd, a, args)
	}
}

func newStoreStatusCmd() *cobra.Command {
	return storeCmd(&cobra.Command{Use: "status", Short: "Print the position, and how many objects of each kind there are", Args: cobra.NoArgs},
		existing(func(cmd *cobra.Command, a *admin.Admin, _ []string) error { return a.Status(cmd.Context()) }))
}

func newStoreCheckCmd() *cobra.Command {
	return storeCmd(&cobra.Command{Use: "check", Short: "Read everything and name what is damaged", Args: cobra.NoArgs},
		existing(func(cmd *cobra.Command, a *admin.Admin, _ []string) error { return a.Check(cmd.Context()) }))
}

func newBackupCmd() *cobra.Command {
	return storeCmd(&cobra.Command{Use: "backup FILE", Short: "Write all of the store to a new file; also while the server runs", Args: cobra.ExactArgs(1)},
		existing(func(cmd *cobra.Command, a *admin.Admin, args []string) error { return a.Backup(cmd.Context(), args[0]) }))
}

func newStoreInspectCmd() *cobra.Command {
	return &cobra.Command{Use: "inspect FILE", Short: "Check a backup and say what is in it", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return (&admin.Admin{Out: cmd.OutOrStdout(), Now: time.Now}).Inspect(args[0])
		}}
}

func newRestoreCmd() *cobra.Command {
	var keep string
	cmd := storeCmd(&cobra.Command{
		Use:   "restore FILE",
		Short: "Replace what is in the store by a backup; the server must be stopped",
		Long: `Replace what is in the store by a backup. The server must be stopped. What was there
goes to the file of --keep first. Agents are told to delete nothing until
"weft server release" says so, since they may know better than an old backup.`,
		Args: cobra.ExactArgs(1),
	}, func(cmd *cobra.Command, a *admin.Admin, args []string) error {
		if err := makeStoreDir(&a.Store.Database); err != nil {
			return err
		}
		return a.Restore(cmd.Context(), args[0], keep)
	})
	cmd.Flags().StringVar(&keep, "keep", "", "new `file` to which a store that is not empty is backed up before it is replaced")
	return cmd
}

func newStoreDropCmd() *cobra.Command {
	return storeCmd(&cobra.Command{Use: "drop KIND/KEY", Aliases: []string{"repair"}, Short: "Remove one damaged object that check has named; the server must be stopped", Args: cobra.ExactArgs(1)},
		existing(func(cmd *cobra.Command, a *admin.Admin, args []string) error { return a.Drop(cmd.Context(), args[0]) }))
}

func newStoreLineageCmd() *cobra.Command {
	return storeCmd(&cobra.Command{
		Use:   "new-lineage",
		Short: "Say that the store's history is another one, after its database was put back by other means",
		Long: `Say that the store's history is another one from now on. Do this after the database was
put back from a dump or a snapshot of its disk and not by "weft restore": without it
agents would take the old positions for the new ones. The server must be stopped.`,
		Args: cobra.NoArgs,
	}, existing(func(cmd *cobra.Command, a *admin.Admin, _ []string) error { return a.NewLineage(cmd.Context()) }))
}

func newStoreTrimCmd() *cobra.Command {
	var age time.Duration
	var keep uint64
	cmd := storeCmd(&cobra.Command{
		Use:   "trim",
		Short: "Shorten the log of changes; no object is lost, and the server does this by itself",
		Args:  cobra.NoArgs,
	}, existing(func(cmd *cobra.Command, a *admin.Admin, _ []string) error { return a.Trim(cmd.Context(), age, keep) }))
	cmd.Flags().DurationVar(&age, "older-than", 0, "remove changes that are older, as 168h")
	cmd.Flags().Uint64Var(&keep, "keep", 0, "remove changes that are not among the newest so many")
	return cmd
}
