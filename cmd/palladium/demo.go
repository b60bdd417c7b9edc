package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/palladium-guard/palladium/app"
	"github.com/palladium-guard/palladium/report"
	"github.com/palladium-guard/palladium/world"
	"github.com/palladium-guard/palladium/world/score"
)

// demoCommand runs the main job from beginning to end on a world of its own.
func demoCommand() *cobra.Command {
	var out string
	var seed uint64
	var recorded, shadow, stay bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Play a world with a theft campaign through a running system: found, explained, contained",
		Long: "Starts gateway, detector and console on this machine, in front of a made-up model, and lets honest accounts and one campaign of\n" +
			"fake ones send real requests, days of their world in seconds. It shows the campaign being found, explained and contained in\n" +
			"under two minutes. On a terminal everything then stays up for a look, until you interrupt it. It needs no data and no network.\n\n" +
			"With --recorded the same world is written to files and scanned as any logs would be.\n\n" +
			"The exit status is 0 when the campaign was found, and 1 when it was not.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if out == "" {
				dir, err := os.MkdirTemp("", "palladium-demo-")
				if err != nil {
					return fmt.Errorf("make a folder for the demo, name one with --out: %w", err)
				}
				out = dir
			}
			if recorded {
				return demonstrate(cmd, out, seed)
			}
			if !cmd.Flags().Changed("stay") {
				_, stay = terminal(cmd.OutOrStdout())
			}
			return playLive(cmd, out, seed, shadow, stay)
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "`DIR` to write to; a new temporary folder when not given")
	cmd.Flags().BoolVar(&recorded, "recorded", false, "write the world to files and scan them, in place of requests to a running system")
	cmd.Flags().BoolVar(&shadow, "shadow", false, "decide, and enforce nothing")
	cmd.Flags().BoolVar(&stay, "stay", false, "stay up for a look afterwards (default: on a terminal)")
	cmd.Flags().Uint64Var(&seed, "seed", 1, "another seed, another world of the same kind")
	cmd.Flags().Bool("live", true, "")
	_ = cmd.Flags().MarkHidden("live") // what is the case anyway
	cmd.MarkFlagsMutuallyExclusive("recorded", "shadow")
	cmd.MarkFlagsMutuallyExclusive("recorded", "stay")
	return cmd
}

func demonstrate(cmd *cobra.Command, dir string, seed uint64) error {
	d, err := app.MakeDemo(dir, seed)
	if err != nil {
		return err
	}
	w := cmd.OutOrStdout()
	o := textOptions(w)
	head := func(n int, title string) {
		line := fmt.Sprintf("%d. %s", n, title)
		fmt.Fprintf(w, "\n%s\n%s\n\n", line, strings.Repeat("=", len(line)))
	}
	head(1, "A world is made")
	describeWorld(w, d)

	head(2, "It is scanned")
	watch := newWatcher(cmd.ErrOrStderr(), false)
	r, err := d.Find(cmd.Context(), watch.progress)
	watch.close()
	if err != nil {
		return err
	}
	page, detail := filepath.Join(dir, "findings.html"), filepath.Join(dir, "report.json")
	if err := errors.Join(writePage(page, r, report.Meta{Sources: []string{d.Traffic}}),
		app.WriteFile(detail, func(w io.Writer) error { return report.JSONDetail(w, r) })); err != nil {
		return err
	}
	o.HTMLPath, o.Explain = page, itself()+" explain --report "+detail
	fmt.Fprintf(w, "$ %s scan --html %s %s\n\n", itself(), page, d.Traffic)
	if err := report.Text(w, r, o); err != nil {
		return err
	}
	if len(r.Campaigns) > 0 {
		head(3, "The first finding is explained")
		fmt.Fprintf(w, "$ %s %s\n\n", o.Explain, r.Campaigns[0].ID)
		if err := report.Explain(w, r, r.Campaigns[0].ID, o); err != nil {
			return err
		}
	}
	head(4, "The findings are compared with the truth")
	s := d.Score(r)
	found := compare(w, s)
	fmt.Fprintf(w, "\nOpen %s in a browser for the timeline, the links and the evidence.\nOn your own logs: %s scan logs/\n", page, itself())
	if !found {
		return &failure{status: statusFailed, err: errors.New("the campaign was not found"),
			hint: "that is a miss worth reporting: say which version and seed, see palladium version"}
	}
	return nil
}

// describeWorld says what was made, and what the scan is not told.
func describeWorld(w io.Writer, d *app.Demo) {
	classes := map[world.Class]int{}
	for i := range d.Truth.Accounts {
		classes[d.Truth.Accounts[i].Class]++
	}
	alike := 0
	for _, c := range world.HardNegatives() {
		alike += classes[c]
	}
	count := func(n int) string { return thousands(int64(n)) }
	fmt.Fprintf(w, "%.0f days of a model API's traffic, all made up: %s requests of %s accounts,\nwritten to %s.\n\n", d.Truth.Days,
		thousands(d.Summary.Exchanges), count(len(d.Truth.Accounts)), d.Traffic)
	fmt.Fprintf(w, "  %6s  people\n  %6s  applications\n", count(classes[world.ClassPerson]), count(classes[world.ClassApp]))
	fmt.Fprintf(w, "  %6s  honest accounts that look alike for good reasons: customers with many keys,\n"+
		"          resellers, a class of students, users of one tool, people behind one address, …\n", count(alike))
	for i := range d.Truth.Campaigns {
		c := &d.Truth.Campaigns[i]
		fmt.Fprintf(w, "  %6s  fake accounts of one operator, who collects answers to train a model of its own;\n"+
			"          each has its own card and address, and %.0f %% of its requests are a cover:\n"+
			"          those of harmless customers\n", count(len(c.Accounts)), 100*c.Spec.Camouflage)
	}
	fmt.Fprint(w, "\nThe scan that follows is not told which are which.\n")
}

// compare says how the findings fare beside the truth. It reports whether at least half of every campaign was found.
func compare(w io.Writer, s *score.Scores) bool {
	found := len(s.Campaigns) > 0
	for i := range s.Campaigns {
		c := &s.Campaigns[i]
		listed := int(math.Round(c.RecallReview * float64(c.Accounts)))
		fmt.Fprintf(w, "  found     %d of the %d fake accounts are listed at review or act: recall %.1f %%\n", listed, c.Accounts, 100*c.RecallReview)
		if c.DetectedAt != nil {
			fmt.Fprintf(w, "  in time   %.1f hours after its first request, with %.1f %% of its harvest drawn\n", c.Hours, 100*c.Leak)
		}
		found = found && c.RecallReview >= 0.5
	}
	watch, linked := 0, 0
	for _, c := range s.Classes {
		watch += c.Watch
		linked += c.Linked
	}
	fmt.Fprintf(w, "  in error  %d of the %s honest accounts are listed at review or act\n", s.Review.False, thousands(int64(s.Benign)))
	fmt.Fprintf(w, "  besides   %d honest accounts are on watch, which accuses nobody;\n"+
		"            %d are linked under one operator, and said not to extract\n", watch, linked)
	fmt.Fprint(w, "\nThis world is small and easy. Harder ones are measured by make eval, misses included.\n")
	return found
}

// itself is how the user called this program, for commands to copy.
func itself() string {
	if strings.ContainsRune(os.Args[0], filepath.Separator) {
		return os.Args[0]
	}
	return "palladium"
}
