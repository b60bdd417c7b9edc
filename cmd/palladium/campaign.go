package main

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/palladium-guard/palladium/app/office"
	"github.com/palladium-guard/palladium/proof/dossier"
)

// campaignCommand groups what is done with campaigns of a running site.
func campaignCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "campaign",
		Short: "Take what a running site knows of a campaign elsewhere",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(campaignExport())
	return cmd
}

func campaignExport() *cobra.Command {
	r := office.Remote{Server: os.Getenv("PALLADIUM_SERVER"), TokenFile: os.Getenv("PALLADIUM_TOKEN_FILE")}
	var profile, out string
	cmd := &cobra.Command{
		Use:   "export ID",
		Short: "Fetch the dossier of a campaign as one signed archive",
		Long: "Asks a running site for the dossier of a campaign: facts apart from inference, evidence and counter-evidence, method and\n" +
			"error rates, what was done, and proofs of the ledger. The site checks whether you may, and writes down that you did.\n\n" +
			"Profile internal holds everything, agency accounts but neither staff nor thresholds nor other customers, partner\n" +
			"pseudonyms in place of accounts. What each leaves out stands in the archive. Check it with palladium dossier verify.",
		Example: "  palladium campaign export --server https://palladium.example.com --token-file token c0001",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if r.Server == "" || r.TokenFile == "" {
				return usageError(errors.New("give --server and --token-file"), "a token of scope investigate is made in the console, or by POST /api/v1/tokens")
			}
			if !slices.Contains(dossier.Profiles(), dossier.Profile(profile)) {
				return usageError(fmt.Errorf("unknown profile %q", profile), fmt.Sprintf("choose one of %v", dossier.Profiles()))
			}
			path, err := r.Export(cmd.Context(), args[0], profile, out)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), path)
			return err
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&r.Server, "server", r.Server, "`URL` of the site; PALLADIUM_SERVER when not given")
	fl.StringVar(&r.TokenFile, "token-file", r.TokenFile, "`FILE` that holds an API token; PALLADIUM_TOKEN_FILE when not given")
	fl.StringVar(&r.CA, "ca", "", "PEM `FILE` of authorities to trust beside those of the system")
	fl.StringVar(&profile, "profile", string(dossier.Partner), "internal, partner or agency")
	fl.StringVar(&out, "out", "", "write to this `FILE`, which must not be there yet; the site names it when not given")
	return cmd
}
