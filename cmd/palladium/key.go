package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/palladium-guard/palladium/app"
)

// keyCommand manages the keys by which callers of the gateway are known.
func keyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Create, list, rotate and revoke the keys by which callers of the gateway are known",
		Example: "  palladium key create --account acme --plan pro --models 'gpt-*' --expires 90d\n" +
			"  palladium key rotate 4fJq0ZrT9bXk --overlap 24h\n" +
			"  palladium key revoke 4fJq0ZrT9bXk --reason leaked",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	path := cmd.PersistentFlags().String("keys", "keys.jsonl", "file of the keys; a running gateway follows it")
	cmd.AddCommand(keyCreate(path), keyList(path), keyRotate(path), keyRevoke(path))
	return cmd
}

func keyCreate(path *string) *cobra.Command {
	var k app.NewKey
	cmd := &cobra.Command{
		Use:   "create --account NAME",
		Short: "Create a key and print it, this once",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return app.CreateKey(*path, k, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringVar(&k.Account, "account", "", "who is billed")
	f.StringVar(&k.Organization, "organization", "", "to which the account belongs")
	f.StringVar(&k.Plan, "plan", "", "selects the request policy and the budget")
	f.StringSliceVar(&k.Models, "models", nil, "models that may be asked, * stands for any characters (default all)")
	f.StringSliceVar(&k.Endpoints, "endpoints", nil, "endpoints that may be used, such as chat,messages (default all)")
	f.StringSliceVar(&k.Features, "features", nil, "features that may be used, such as stream,tools (default all)")
	f.StringSliceVar(&k.Budgets, "budgets", nil, "pools that are charged too")
	f.Int64Var(&k.RequestsPerMinute, "requests-per-minute", 0, "rate (default the plan's)")
	f.Int64Var(&k.TokensPerMinute, "tokens-per-minute", 0, "rate, input and output together (default the plan's)")
	f.StringVar(&k.Expires, "expires", "90d", "a span such as 90d or 36h, a day such as 2027-01-31, or never")
	f.StringVar(&k.Note, "note", "", "for whoever reads the list")
	_ = cmd.MarkFlagRequired("account")
	return cmd
}

func keyList(path *string) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the keys, never their secrets",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if format != "text" && format != "json" {
				return usageError(fmt.Errorf("unknown format %q", format), "the formats are text and json")
			}
			return app.ListKeys(*path, format == "json", cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&format, "format", "text", "text, or json: one object a line")
	return cmd
}

func keyRotate(path *string) *cobra.Command {
	var overlap string
	cmd := &cobra.Command{
		Use:   "rotate ID",
		Short: "Give a key a new secret and print it, this once",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := app.Span(overlap)
			if err != nil {
				return usageError(fmt.Errorf("overlap: %w", err), "0s ends the old secret at once")
			}
			return app.RotateKey(*path, args[0], d, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&overlap, "overlap", "24h", "how long the old secret stays good")
	return cmd
}

func keyRevoke(path *string) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "revoke ID",
		Short: "End a key, or a token's subject or certificate by its credential id, for good",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return app.RevokeKey(*path, args[0], reason, cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "kept with the key, for whoever reads the list")
	return cmd
}
