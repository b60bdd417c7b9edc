package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/app"
	"github.com/palladium-guard/palladium/report"
)

func explainCommand() *cobra.Command {
	var in inputFlags
	var from string
	cmd := &cobra.Command{
		Use:   "explain ID [PATH...]",
		Short: "Say why a campaign or an account is listed, or why it is not",
		Long: "Says in plain words which evidence joined the campaign, linked group or account ID, what speaks against it, and what\n" +
			"would have to change for it not to be listed. The findings come from a state, from a report, or from reading the\n" +
			"traffic at PATH again. Without a state, each reading numbers the groups anew: ask there for an account.",
		Example: "  palladium explain c0007 --state DIR\n  palladium explain acct-123 --report report.json\n" +
			"  palladium explain acct-123 logs/",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, seen, err := in.findings(cmd, from, args[1:])
			if err != nil {
				return err
			}
			o := textOptions(cmd.OutOrStdout())
			o.Seen, o.Explain = seen, in.explain(from)
			err = report.Explain(cmd.OutOrStdout(), r, args[0], o)
			if errors.Is(err, report.ErrUnknown) && seen == nil {
				return &failure{status: statusFailed, err: err,
					hint: "a report knows the accounts of groups only: name a state or the traffic to ask about others"}
			}
			return err
		},
	}
	in.add(cmd)
	cmd.Flags().StringVar(&from, "report", "", "take the findings from this `FILE`, made by scan --format json --detail")
	return cmd
}

// explain is the command that explains an id from the source that was named.
func (f *inputFlags) explain(from string) string {
	switch {
	case from != "":
		return "palladium explain --report " + from
	case f.state != "":
		return "palladium explain --state " + f.state
	case f.archive != "" && f.key != "":
		return "palladium explain --archive " + f.archive + " --key " + f.key
	}
	return ""
}

// sources are what a report is made from.
func (f *inputFlags) sources(paths []string) []string {
	if f.archive != "" {
		return []string{f.archive}
	}
	return paths
}

type seenFunc = func(string) (palladium.MemberDetail, bool)

// findings gets the report from the one source that was named.
func (f *inputFlags) findings(cmd *cobra.Command, from string, paths []string) (*palladium.Report, seenFunc, error) {
	sources := 0
	for _, given := range []bool{from != "", f.state != "", f.archive != "", len(paths) > 0} {
		if given {
			sources++
		}
	}
	if sources != 1 {
		return nil, nil, usageError(errors.New("name one source of findings"), "give --state DIR, --report FILE, --archive PLACE, or the PATH of the traffic")
	}
	if len(paths) == 0 && f.archive == "" { // what was read is settled
		for _, name := range []string{"dialect", "since", "until", "without"} {
			if cmd.Flags().Changed(name) {
				return nil, nil, usageError(fmt.Errorf("--%s says how traffic is read", name), "leave it out, or name the PATH of the traffic")
			}
		}
	}
	if from != "" {
		if f.policy != "" {
			return nil, nil, usageError(errors.New("--policy cannot change the stages of a report"), "leave it out, or explain from --state DIR")
		}
		r, err := readReport(from)
		return r, nil, err
	}
	opt, err := f.options(cmd, paths)
	if err != nil {
		return nil, nil, err
	}
	var c *app.Case
	if f.state != "" {
		c, err = app.OpenCase(f.state, opt.Policy)
	} else {
		watch := newWatcher(cmd.ErrOrStderr(), f.quiet)
		opt.Progress, opt.Rejected = watch.progress, watch.reject
		c, _, err = app.Inspect(cmd.Context(), opt)
		watch.close()
	}
	if err != nil {
		return nil, nil, explainError(err)
	}
	return c.Report, c.Seen, nil
}

func readReport(path string) (*palladium.Report, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the report: %w", err)
	}
	r := new(palladium.Report)
	if err := json.Unmarshal(data, r); err != nil {
		return nil, &failure{status: statusFailed, err: fmt.Errorf("read the report %s: %w", path, err),
			hint: "make it with palladium scan --format json --detail"}
	}
	if r.Schema != palladium.ReportSchema {
		return nil, &failure{status: statusFailed, err: fmt.Errorf("read the report %s: its schema is %q, not %q", path, r.Schema, palladium.ReportSchema),
			hint: "make it with palladium scan --format json --detail"}
	}
	return r, nil
}
