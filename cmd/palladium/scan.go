package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/app"
	"github.com/palladium-guard/palladium/report"
	"github.com/palladium-guard/palladium/traffic/dialect"
	"github.com/palladium-guard/palladium/traffic/judge"
)

// inputFlags say what is read. Scan and explain share them.
type inputFlags struct {
	dialect, since, until, state, policy, archive, key string

	without []string
	quiet   bool
}

func (f *inputFlags) add(cmd *cobra.Command) {
	var names []string
	for _, d := range app.Formats() {
		names = append(names, d.Name)
	}
	fl := cmd.Flags()
	fl.StringVar(&f.dialect, "dialect", "", "format of all files, one of "+strings.Join(names, ", ")+"; found by looking when not given")
	fl.StringVar(&f.since, "since", "", "leave out exchanges before this `TIME`, RFC 3339 or YYYY-MM-DD (UTC)")
	fl.StringVar(&f.until, "until", "", "leave out exchanges at or after this `TIME`")
	fl.StringSliceVar(&f.without, "without", nil, "evidence `FAMILIES` not to use, separated by commas: "+familyNames())
	fl.StringVar(&f.state, "state", "", "`DIR` in which the state is kept from one scan to the next")
	fl.StringVar(&f.archive, "archive", "", "`PLACE` of an archive to read in place of files: a folder, or s3://BUCKET/PREFIX")
	fl.StringVar(&f.key, "key", "", "`FILE` of the measuring key: that of the archive, or one under which files are measured; a random one when not given")
	fl.StringVar(&f.policy, "policy", "", "policy `FILE` that gives groups their stage; see palladium policy show")
	fl.BoolVarP(&f.quiet, "quiet", "q", false, "print no progress and do not list skipped records")
	_ = cmd.RegisterFlagCompletionFunc("dialect", cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp))
}

func familyNames() string {
	var names []string
	for _, f := range palladium.Families() {
		names = append(names, string(f))
	}
	return strings.Join(names, ", ")
}

// options reads the flags. Errors are of wrong usage, but for a policy file that cannot be read.
func (f *inputFlags) options(cmd *cobra.Command, paths []string) (app.ScanOptions, error) {
	o := app.ScanOptions{Paths: paths, Stdin: cmd.InOrStdin(), Dialect: f.dialect, StateDir: f.state}
	if !slices.ContainsFunc(app.Formats(), func(d dialect.Format) bool { return f.dialect == "" || d.Name == f.dialect }) {
		return o, usageError(fmt.Errorf("unknown dialect %q", f.dialect), "leave out --dialect to have the format found by looking")
	}
	var err error
	if o.Since, err = readTime("since", f.since); err != nil {
		return o, err
	}
	if o.Until, err = readTime("until", f.until); err != nil {
		return o, err
	}
	if !o.Since.IsZero() && !o.Until.IsZero() && !o.Since.Before(o.Until) {
		return o, usageError(errors.New("--since is not before --until: nothing is in between"), "")
	}
	for _, name := range f.without {
		fam := palladium.Family(strings.TrimSpace(name))
		if !slices.Contains(palladium.Families(), fam) {
			return o, usageError(fmt.Errorf("unknown evidence family %q", name), "the families are "+familyNames())
		}
		if o.Without == nil {
			o.Without = map[palladium.Family]bool{}
		}
		o.Without[fam] = true
	}
	if f.policy != "" {
		if o.Policy, err = readPolicy(f.policy, cmd.InOrStdin()); err != nil {
			return o, err
		}
	}
	return o, f.fromArchive(&o)
}

func readTime(flag, s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339Nano} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usageError(fmt.Errorf("--%s %q is no time", flag, s), "write 2026-05-03 or 2026-05-03T16:30:00Z")
}

// scanFlags say what comes out of a scan.
type scanFlags struct {
	in     inputFlags
	format string
	html   string
	reject string
	detail bool
	every  time.Duration
}

func scanCommand() *cobra.Command {
	var f scanFlags
	cmd := &cobra.Command{
		Use:   "scan PATH...",
		Short: "Find campaigns in recorded traffic",
		Long: "Reads recorded traffic and reports the groups of accounts that act for one operator and extract the model.\n" +
			"A PATH is a file, plain or compressed with gzip or zstd, a directory of such files, or - for standard input.\n\n" +
			"With --state, what was read is kept, and the next scan goes on from there: it reads new files and what was added\n" +
			"to known ones. A scan that is stopped, however roughly, loses nothing that it has reported as kept.\n\n" +
			"The exit status is 0 when nothing was found at act or review, 3 when something was, 1 when the scan failed and\n" +
			"2 for wrong usage.",
		Example: "  palladium scan logs/\n  palladium scan --html findings.html may.jsonl.zst\n" +
			"  palladium scan --state /var/lib/palladium logs/\n  palladium scan --archive s3://traffic/palladium --key measuring.key --since 2026-05-01\n  palladium scan --format json --since 2026-05-01 logs/ > report.json",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 && f.in.state == "" && f.in.archive == "" {
				return errors.New("name a file, a directory or - to read")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) },
	}
	f.in.add(cmd)
	fl := cmd.Flags()
	fl.StringVar(&f.format, "format", "text", "text or json")
	fl.StringVar(&f.html, "html", "", "also write the report to this `FILE`, one page that needs no network")
	fl.StringVar(&f.reject, "rejects", "", "write every skipped record to this `FILE`: one JSON object a line, with file, line and reason")
	fl.BoolVar(&f.detail, "detail", false, "with --format json: add what explain and other tools need to each group")
	fl.DurationVar(&f.every, "save-every", 0, "with --state: `TIME` between two snapshots of the state; a minute when not given")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (f *scanFlags) run(cmd *cobra.Command, paths []string) error {
	if f.format != "text" && f.format != "json" {
		return usageError(fmt.Errorf("unknown format %q", f.format), "use text or json")
	}
	if f.detail && f.format != "json" {
		return usageError(errors.New("--detail goes with --format json"), "the text and the page show the detail anyway")
	}
	if every := cmd.Flags().Lookup("save-every"); every.Changed && (f.every <= 0 || f.in.state == "") {
		return usageError(fmt.Errorf("--save-every %s has nothing to do", every.Value), "give --state DIR, and a time above zero such as 30s")
	}
	opt, err := f.in.options(cmd, paths)
	if err != nil {
		return err
	}
	watch := newWatcher(cmd.ErrOrStderr(), f.in.quiet)
	opt.Progress, opt.Rejected = watch.progress, watch.reject
	opt.Kept, opt.Failed, opt.SaveEvery = watch.kept, watch.failed, f.every
	opt.RejectsFile = f.reject
	r, stats, failed := app.Scan(cmd.Context(), opt)
	watch.close()
	if r == nil {
		return explainError(failed)
	}
	var page error // told after the report is out: a full disk must not cost the findings
	if f.html != "" {
		page = writePage(f.html, r, report.Meta{Sources: f.in.sources(paths), Rejects: watch.sample, Notes: stats.Notes})
	}
	if f.format != "text" {
		watch.notes(stats.Notes)
	}
	if err := f.print(cmd.OutOrStdout(), r, watch.sample, stats.Notes); err != nil {
		return err
	}
	if page != nil {
		return page
	}
	if failed != nil {
		return explainError(failed)
	}
	if stats.Interrupted {
		hint := "with --state, a scan can be continued"
		if f.in.state != "" {
			hint = "run the same command again to continue"
		}
		return &failure{status: statusFailed, err: errors.New("interrupted: the report is on what was read until then"), hint: hint}
	}
	if slices.ContainsFunc(r.Campaigns, func(c palladium.Campaign) bool {
		return c.Stage == palladium.StageAct || c.Stage == palladium.StageReview
	}) {
		return &failure{status: statusFound}
	}
	return nil
}

func (f *scanFlags) print(w io.Writer, r *palladium.Report, rejects []palladium.Reject, notes []string) error {
	switch {
	case f.detail:
		return report.JSONDetail(w, r)
	case f.format == "json":
		return report.JSON(w, r)
	}
	o := textOptions(w)
	o.Rejects, o.Notes, o.HTMLPath, o.Explain = rejects, notes, f.html, f.in.explain("")
	if o.Explain == "" { // another reading of the traffic would number the groups anew
		o.Explain = "scan with --state DIR, then palladium explain --state DIR"
	}
	return report.Text(w, r, o)
}

// textOptions suit w: colour and its width on a terminal, plain otherwise.
func textOptions(w io.Writer) report.Options {
	o := report.Options{Width: 100}
	if width, ok := terminal(w); ok {
		o.Width, o.Color = width, os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	}
	return o
}

// terminal returns the number of columns of the terminal behind w; ok is false when w is none.
func terminal(w io.Writer) (width int, ok bool) {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 {
		width = 80
	}
	return width, true
}

// writePage writes the report's page to path: whole, or not at all.
func writePage(path string, r *palladium.Report, m report.Meta) error {
	m.Version, _ = build()
	m.Made = time.Now()
	err := app.WriteFile(path, func(w io.Writer) error {
		return report.HTML(w, r, m)
	})
	if err != nil {
		return explainError(fmt.Errorf("make the page: %w", err))
	}
	return nil
}

// explainError adds a hint to the errors of a scan that people meet most.
func explainError(err error) error {
	switch {
	case errors.Is(err, app.ErrWrite):
		return &failure{status: statusFailed, err: err, hint: "check that its folder is there, can be written to and has room"}
	case errors.Is(err, os.ErrNotExist):
		return &failure{status: statusFailed, err: err, hint: "check the path; - reads standard input"}
	case errors.Is(err, os.ErrPermission):
		return &failure{status: statusFailed, err: err, hint: "check the file's permissions"}
	case errors.Is(err, judge.ErrPolicy):
		return &failure{status: statusFailed, err: err, hint: "try changes with palladium policy check FILE"}
	}
	return err
}
