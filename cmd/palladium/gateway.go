package main

import (
	"github.com/spf13/cobra"

	"github.com/palladium-guard/palladium/app/serving"
)

func gatewayCommand() *cobra.Command {
	var o serving.Options
	cmd := &cobra.Command{
		Use:   "gateway --upstream URL",
		Short: "Stand in front of a model's server: know who calls, hold to policy, budget and verdict, observe",
		Example: "  palladium gateway --upstream http://127.0.0.1:8000 --config palladium.yaml\n" +
			"  palladium gateway --upstream http://127.0.0.1:8000 --anonymous trial   serve callers without a key",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Log = cmd.ErrOrStderr()
			return serving.Run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Config, "config", "", "configuration `FILE`, see docs/gateway.md")
	f.StringArrayVar(&o.Upstreams, "upstream", nil, "`URL` of a server of models, in place of the file's; can be given several times")
	f.StringVar(&o.Listen, "listen", "", "`HOST:PORT` for callers, in place of the file's (default 127.0.0.1:8080)")
	f.StringVar(&o.Admin, "admin", "", "`HOST:PORT` for the operator, in place of the file's")
	f.StringVar(&o.Anonymous, "anonymous", "", "serve callers without a credential, all as one account under this `PLAN`")
	return cmd
}
