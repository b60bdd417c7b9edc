package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/palladium-guard/palladium/app/serve"
	"github.com/palladium-guard/palladium/notify"
)

// notifyCommand groups what is done about notifications.
func notifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "notify",
		Short: "Try out and look after the places that are told of what happens",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(notifyTestCommand(), notifyListCommand(), &cobra.Command{
		Use:   "secret",
		Short: "Make a secret for a signed webhook",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), notify.NewSecret())
			return err
		},
	})
	return cmd
}

func notifyTestCommand() *cobra.Command {
	var config string
	cmd := &cobra.Command{
		Use:     "test NAME --config FILE",
		Short:   "Send one sample to a sink and say what came back",
		Example: "  palladium notify test soc --config palladium.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			said, err := serve.TryNotify(cmd.Context(), config, args[0])
			if err != nil {
				return fmt.Errorf("tell %s: %w", args[0], err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", args[0], plain(said))
			return err
		},
	}
	cmd.Flags().StringVar(&config, "config", "", "configuration `FILE`, see docs/notify.md")
	return cmd
}

func notifyListCommand() *cobra.Command {
	var config, state string
	var dead bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List what is on its way to sinks, or was given up",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serve.ListNotifications(cmd.Context(), cmd.OutOrStdout(), config, state, dead)
		},
	}
	cmd.Flags().StringVar(&config, "config", "", "configuration `FILE`")
	cmd.Flags().StringVar(&state, "state", "", "`DIR` of palladium serve (default palladium-state)")
	cmd.Flags().BoolVar(&dead, "dead", false, "list what was given up")
	return cmd
}
