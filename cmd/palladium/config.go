package main

import (
	"bytes"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/palladium-guard/palladium/app/serve"
)

func configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Look at the configuration of serve and gateway",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(configCheckCommand())
	return cmd
}

// configCheckCommand shows what serve would run with.
func configCheckCommand() *cobra.Command {
	var o serve.Options
	var roles string
	var all, quiet bool
	cmd := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Check a configuration, and print the values in force with the source of each",
		Long: "Reads FILE as palladium serve does, strictly: keys that are not known are refused with their line and the nearest name. Prints\n" +
			"as YAML what would be in force, with the line, flag or default that each value comes from; secrets are masked. No address\n" +
			"is asked. Certificates and files of secrets are looked at: what is missing, expired or readable by anybody is a warning, as the\n" +
			"file may be meant for another machine. The other flags are those of serve.",
		Example: "  palladium config check palladium.yaml\n" +
			"  palladium config check --all palladium.yaml          empty values too: every key that there is\n" +
			"  palladium config check --quiet palladium.yaml        errors alone, for hooks and pipelines\n" +
			"  palladium config check --role detector palladium.yaml",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if o.Roles, err = serve.ParseRoles(roles); err != nil {
				return err
			}
			if len(args) > 0 {
				o.Config = args[0]
			}
			var out bytes.Buffer
			doubt := func(what string) {
				if !quiet {
					fmt.Fprintf(cmd.ErrOrStderr(), "palladium: warning: %s\n", plain(what))
				}
			}
			if err := serve.Explain(&out, o, all, doubt); err != nil || quiet {
				return err
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), out.String())
			return err
		},
	}
	f := cmd.Flags()
	f.BoolVar(&all, "all", false, "print empty values too")
	f.BoolVar(&quiet, "quiet", false, "print errors alone")
	f.StringVar(&roles, "role", "", "`ROLES` that would run, of gateway, detector, api and check, with commas between them; all when not given")
	f.StringVar(&o.State, "state", "", "`DIR` for all that outlives a restart (default palladium-state)")
	f.StringArrayVar(&o.Upstreams, "upstream", nil, "`URL` of a server of models, in place of the file's; can be given several times")
	f.StringVar(&o.Listen, "listen", "", "`HOST:PORT` for callers, in place of the file's")
	f.StringVar(&o.Admin, "admin", "", "`HOST:PORT` for metrics and health, in place of the file's")
	f.StringVar(&o.API, "api", "", "`HOST:PORT` for the operator's API, in place of the file's")
	f.StringVar(&o.Keys, "keys", "", "`FILE` of keys, in place of the file's")
	f.StringVar(&o.Anonymous, "anonymous", "", "serve callers without a credential, all as one account under this `PLAN`")
	return cmd
}
