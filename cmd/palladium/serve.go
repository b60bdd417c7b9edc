package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"

	"github.com/spf13/cobra"

	"github.com/palladium-guard/palladium/app/serve"
	"github.com/palladium-guard/palladium/app/telemetry"
)

// serveCommand runs gateway, stream, detector, board and API as one system.
func serveCommand() *cobra.Command {
	var o serve.Options
	var roles string
	cmd := &cobra.Command{
		Use:   "serve --upstream URL",
		Short: "Stand in front of a model's server, find campaigns while traffic runs, and bring verdicts back in seconds",
		Long: "Runs the gateway, the stream of observations, the detector, the board of decisions and the operator's API in one process,\n" +
			"or by --role some of them. Nothing is enforced until the configuration says so: enforcement.mode is shadow by default,\n" +
			"and records what would have been done.",
		Example: "  palladium serve --upstream http://127.0.0.1:8000 --keys keys.jsonl --state state\n" +
			"  palladium serve --config palladium.yaml\n" +
			"  palladium serve --config palladium.yaml --check       read and check everything, then end",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if o.Roles, err = serve.ParseRoles(roles); err != nil {
				return err
			}
			spareThreads(o.Roles)
			o.Log = cmd.ErrOrStderr()
			o.Welcome = func(origin, token string) {
				fmt.Fprintf(cmd.ErrOrStderr(), "the first administrator signs in at %s with this token, once, within a day: %s\n", origin, token)
			}
			err = traced(cmd, func(t *telemetry.Traces) error {
				o.Traces = t
				return serve.Run(cmd.Context(), o)
			})
			if err == nil && o.Check {
				fmt.Fprintln(cmd.OutOrStdout(), "the configuration is good")
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Config, "config", "", "configuration `FILE`, see docs/serve.md")
	f.StringVar(&roles, "role", "", "`ROLES` that run here, of gateway, detector, api and check, with commas between them; all when not given")
	f.StringVar(&o.State, "state", "", "`DIR` for all that outlives a restart (default palladium-state)")
	f.StringArrayVar(&o.Upstreams, "upstream", nil, "`URL` of a server of models, in place of the file's; can be given several times")
	f.StringVar(&o.Listen, "listen", "", "`HOST:PORT` for callers, in place of the file's (default 127.0.0.1:8080)")
	f.StringVar(&o.Admin, "admin", "", "`HOST:PORT` for metrics and health, in place of the file's")
	f.StringVar(&o.API, "api", "", "`HOST:PORT` for the operator's API, in place of the file's (default 127.0.0.1:8090)")
	f.StringVar(&o.Keys, "keys", "", "`FILE` of keys, in place of the file's; see palladium key")
	f.StringVar(&o.Anonymous, "anonymous", "", "serve callers without a credential, all as one account under this `PLAN`")
	f.BoolVar(&o.Check, "check", false, "read and check everything, then end")
	return cmd
}

// spareThreads lets two more threads run Go code than there are cores where callers are served beside the detector. A look at many
// accounts, and the writing down of what it found, keep two threads busy for seconds; on two cores nobody would then wait for the
// network but once in 10 ms. The system shares cores out between threads at once. GOMAXPROCS in the environment has its way.
func spareThreads(roles []serve.Role) {
	if os.Getenv("GOMAXPROCS") == "" && slices.Contains(roles, serve.RoleGateway) && slices.Contains(roles, serve.RoleDetector) {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 2)
	}
}
