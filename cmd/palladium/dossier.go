package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/palladium-guard/palladium/app/office"
	"github.com/palladium-guard/palladium/proof/dossier"
)

// dossierCommand groups what is done with dossiers, by whoever was given one.
func dossierCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dossier",
		Short: "Check what a site has said of a campaign",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(dossierVerify())
	return cmd
}

func dossierVerify() *cobra.Command {
	var key, log, format string
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "Prove that a dossier is whole, unchanged and signed",
		Long: "Checks, offline, that every byte of the archive is accounted for, that every file is the one signed, and that the\n" +
			"ledger's proofs hold. Get the key from elsewhere than the dossier: whoever gets both together proves nothing.\n\n" +
			"The exit status is 0 when all holds, 3 when something does not, 1 when it could not be checked (also without --key),\n" +
			"2 for wrong usage.",
		Example: "  palladium dossier verify --key ledger.pub dossier-c0001-partner.zip",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if format != "text" && format != "json" {
				return usageError(fmt.Errorf("unknown format %q", format), "use text or json")
			}
			r, err := office.VerifyDossier(args[0], key, log)
			for _, bad := range []error{dossier.ErrForm, dossier.ErrChanged, dossier.ErrSignature, dossier.ErrLedger} {
				if errors.Is(err, bad) {
					return &failure{status: statusFound, err: fmt.Errorf("do not rely on %s: %w", args[0], err)}
				}
			}
			if err != nil {
				return err
			}
			return printDossier(cmd.OutOrStdout(), format, r)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&key, "key", "", "public key `FILE` of who must have signed it")
	fl.StringVar(&log, "ledger-key", "", "public key `FILE` of the ledger, where it is not the one of --key")
	fl.StringVar(&format, "format", "text", "text or json")
	return cmd
}

func printDossier(out io.Writer, format string, r *dossier.Report) error {
	if format == "json" {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		if err := enc.Encode(r); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(out, "campaign %s, profile %s, made %s\n", plain(r.Campaign), r.Profile, r.Made.Format("2006-01-02 15:04:05Z"))
		fmt.Fprintf(out, "%d files are as the manifest lists them, and nothing else is in the archive\n", r.Files)
		if r.Signed {
			fmt.Fprintf(out, "signed by %s\n", plain(r.Signer))
		}
		if r.Proved {
			fmt.Fprintf(out, "%d entries are proved to be in the ledger\n", r.Proofs)
		}
	}
	if !r.Signed {
		return &failure{status: statusFailed, err: fmt.Errorf("signed in the name of %s, which is not checked", r.Signer), hint: "give --key with a public key that you got from elsewhere"}
	}
	return nil
}
