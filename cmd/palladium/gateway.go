package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/palladium-guard/palladium/app/serving"
	"github.com/palladium-guard/palladium/app/telemetry"
)

func gatewayCommand() *cobra.Command {
	var o serving.Options
	cmd := &cobra.Command{
		Use:   "gateway --upstream URL",
		Short: "Stand in front of a model's server: know who calls, hold to policy, budget and verdict, observe",
		Long: "Serves OpenAI and Anthropic requests from the upstream to callers with a credential, and nobody else. Streams pass\n" +
			"byte for byte unless policy changes them. A hang-up signal, or a change of the file, has the configuration read again.",
		Example: "  palladium gateway --upstream http://127.0.0.1:8000 --keys keys.jsonl\n" +
			"  palladium gateway --upstream http://127.0.0.1:8000 --config palladium.yaml\n" +
			"  palladium gateway --config palladium.yaml --check              read and check everything, then end\n" +
			"  palladium gateway --upstream http://127.0.0.1:8000 --anonymous trial   serve callers without a credential",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Log = cmd.ErrOrStderr()
			err := traced(cmd, func(t *telemetry.Traces) error {
				o.Tracer = t.Gateway()
				return serving.Run(cmd.Context(), o)
			})
			if err == nil && o.Check {
				fmt.Fprintln(cmd.OutOrStdout(), "the configuration is good")
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Config, "config", "", "configuration `FILE`, see docs/gateway.md")
	f.StringArrayVar(&o.Upstreams, "upstream", nil, "`URL` of a server of models, in place of the file's; can be given several times")
	f.StringVar(&o.Listen, "listen", "", "`HOST:PORT` for callers, in place of the file's (default 127.0.0.1:8080)")
	f.StringVar(&o.Admin, "admin", "", "`HOST:PORT` for the operator, in place of the file's")
	f.StringVar(&o.Keys, "keys", "", "`FILE` of keys, in place of the file's; see palladium key")
	f.StringVar(&o.Verdicts, "verdicts", "", "`FILE` of verdicts, in place of the file's")
	f.StringVar(&o.State, "state", "", "`DIR` for what outlives a restart, in place of the file's")
	f.StringVar(&o.Anonymous, "anonymous", "", "serve callers without a credential, all as one account under this `PLAN`")
	f.BoolVar(&o.Check, "check", false, "read and check everything, then end")
	return cmd
}
