package main

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"github.com/palladium-guard/palladium/app/serve"
	"github.com/palladium-guard/palladium/store"
	"github.com/palladium-guard/palladium/store/backup"
)

// catalogCommand groups what is done with the catalog as a whole.
func catalogCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "catalog",
		Short: "Back up and restore the catalog: campaigns, decisions, verdicts, cases, users",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(catalogBackupCommand(), catalogRestoreCommand())
	return cmd
}

// catalogFlags say which catalog is meant.
func catalogFlags(cmd *cobra.Command) *serve.CatalogAt {
	at := &serve.CatalogAt{}
	cmd.Flags().StringVar(&at.Config, "config", "", "configuration `FILE` of palladium serve, which names the catalog")
	cmd.Flags().StringVar(&at.State, "state", "", "state `DIR` of palladium serve, which holds the catalog when nothing else is said (default palladium-state)")
	cmd.Flags().StringVar(&at.URL, "catalog", "", "`URL` of the catalog: sqlite:PATH or postgres://…; a password is better kept in the configuration")
	return at
}

func catalogBackupCommand() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Copy the catalog to a file, while palladium serve may run",
		Long: "The file holds the catalog as it was at one moment, is written whole or not at all, and can be restored into SQLite and\n" +
			"into PostgreSQL, whichever it came from. It holds what people decided and hashes of passwords and tokens: only its owner\n" +
			"may read it.",
		Example: "  palladium catalog backup --config palladium.yaml /backups/catalog.palladium",
		Args:    cobra.ExactArgs(1),
	}
	at := catalogFlags(cmd)
	cmd.Flags().BoolVar(&force, "force", false, "replace a file that is there already")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		sum, err := serve.BackUp(cmd.Context(), *at, args[0], force)
		if err != nil {
			f := &failure{status: statusFailed, err: fmt.Errorf("back up the catalog: %w", err)}
			switch {
			case errors.Is(err, fs.ErrExist):
				f.hint = "name another file, or give --force to replace it"
			case errors.Is(err, store.ErrNotFound):
				f.hint = "name the catalog of palladium serve by --config, --state or --catalog"
			}
			return f
		}
		return toldSummary(cmd, "backed up", sum)
	}
	return cmd
}

func catalogRestoreCommand() *cobra.Command {
	var replace bool
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Put a backup into the catalog",
		Long: "The whole file is checked first; then the catalog is changed in one transaction, so that it is as before or as in the\n" +
			"backup. A backup of an older version is brought up to date. Stop palladium serve meanwhile; gateways in processes of their\n" +
			"own may go on.",
		Example: "  palladium catalog restore --config palladium.yaml /backups/catalog.palladium\n" +
			"  palladium catalog restore --catalog postgres://pal@db/palladium /backups/catalog.palladium   # move to PostgreSQL",
		Args: cobra.ExactArgs(1),
	}
	at := catalogFlags(cmd)
	cmd.Flags().BoolVar(&replace, "replace", false, "delete what the catalog holds")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		sum, err := serve.Restore(cmd.Context(), *at, args[0], replace)
		if err != nil {
			f := &failure{status: statusFailed, err: fmt.Errorf("restore the catalog from %s: %w", args[0], err)}
			if errors.Is(err, backup.ErrHolds) {
				f.hint = "back it up first, then give --replace to delete what it holds"
			}
			return f
		}
		return toldSummary(cmd, "restored", sum)
	}
	return cmd
}

func toldSummary(cmd *cobra.Command, did string, s backup.Summary) error {
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s %d rows of %d tables, schema %d, from %s at %s\nsha256 %s\n",
		did, s.Rows, s.Tables, s.Schema, s.From, s.Made.Format(time.RFC3339), s.SHA256)
	return err
}
