// Command palladium finds campaigns of fake accounts that steal a model through its API.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit statuses. Those of scan are part of the report format.
const (
	statusOK     = 0
	statusFailed = 1
	statusUsage  = 2
	statusFound  = 3
)

// gcPercent is how far the heap may grow beyond what is in use before it is collected. Nearly all of it is the state,
// which stays: Go's default of 100 would reserve as much again, and collecting earlier costs next to nothing.
const gcPercent = 40

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the whole program. It returns the exit status.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	// The first interrupt stops in an orderly way; the second one kills.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)

	root := rootCommand()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	started := false
	onStart(root, func() { started = true })
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return statusOK
	}
	var f *failure
	if !errors.As(err, &f) {
		f = &failure{status: statusFailed, err: err}
		if !started { // flags and arguments are checked before a command runs
			f = usageError(err, "palladium "+cmdPath(cmd)+"--help shows what can be given")
		}
	}
	if f.err != nil {
		for i, line := range strings.Split(f.err.Error(), "\n") {
			start := "palladium: error: "
			if i > 0 { // indented: no line of an error passes for one of the program's own
				start = "  "
			}
			fmt.Fprintln(stderr, start+plain(strings.TrimPrefix(line, "  ")))
		}
	}
	if f.hint != "" {
		fmt.Fprintf(stderr, "hint: %s\n", plain(f.hint))
	}
	return f.status
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "palladium",
		Short: "Find campaigns of fake accounts that steal a model through its API",
		Long: "Palladium reads the recorded traffic of a model API, finds groups of accounts that act for one operator, says\n" +
			"which of them are extracting the model, and shows the evidence for and against.",
		Example: "  palladium demo                        find a campaign in a made-up world\n" +
			"  palladium scan --state DIR logs/      report the campaigns in a directory of logs\n" +
			"  palladium explain --state DIR c0001   say why a campaign is listed",
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.AddCommand(demoCommand(), scanCommand(), explainCommand(), archiveCommand(), policyCommand(), worldCommand(), upstreamCommand(), gatewayCommand(), serveCommand(), catalogCommand(), notifyCommand(), configCommand(), keyCommand(), modelCommand(), ledgerCommand(), lineageCommand(), campaignCommand(), dossierCommand(), versionCommand())
	return root
}

// onStart has every command below cmd call f before it runs.
func onStart(cmd *cobra.Command, f func()) {
	if inner := cmd.RunE; inner != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			f()
			return inner(cmd, args)
		}
	}
	for _, c := range cmd.Commands() {
		onStart(c, f)
	}
}

func cmdPath(cmd *cobra.Command) string {
	if cmd == nil || !cmd.HasParent() {
		return ""
	}
	return cmdPath(cmd.Parent()) + cmd.Name() + " "
}

// failure is an error with an exit status of its own. An err of nil prints nothing.
type failure struct {
	status int
	err    error
	hint   string // what to do next; may be empty
}

func (f *failure) Error() string {
	if f.err == nil {
		return fmt.Sprintf("exit status %d", f.status)
	}
	return f.err.Error()
}

func (f *failure) Unwrap() error { return f.err }

func usageError(err error, hint string) *failure {
	return &failure{status: statusUsage, err: err, hint: hint}
}
