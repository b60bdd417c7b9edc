package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/palladium-guard/palladium/app/provenance"
	"github.com/palladium-guard/palladium/weights/inspect"
)

func modelInspect() *cobra.Command {
	var format string
	var allowUnknown, all bool
	formats := []string{"text", "json", "sarif"}
	cmd := &cobra.Command{
		Use:   "inspect PATH...",
		Short: "Say what would run if the files of a model were loaded",
		Long: "Reads model files by their content, never by their names, runs nothing, and gives each a verdict: safe, unknown,\n" +
			"suspicious or hostile, with the reasons. Safe is only what is understood to its last byte.\n\n" +
			"The exit status is 0 when all files are safe, 3 when one is not, 1 when a path could not be read, 2 for wrong usage.",
		Example: "  palladium model inspect models/m1\n" +
			"  palladium model inspect --format sarif models/m1 > inspection.sarif",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains(formats, format) {
				return usageError(fmt.Errorf("unknown format %q", format), "use text, json or sarif")
			}
			r, err := provenance.Inspect(cmd.Context(), args)
			if err != nil {
				return modelError(err)
			}
			if err := printInspection(cmd.OutOrStdout(), r, format, all); err != nil {
				return err
			}
			if r.Verdict > inspect.Unknown || r.Verdict == inspect.Unknown && !allowUnknown {
				return &failure{status: statusFound}
			}
			return nil
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&format, "format", "text", strings.Join(formats, ", "))
	fl.BoolVar(&allowUnknown, "allow-unknown", false, "let unknown files pass: nobody has looked into them")
	fl.BoolVar(&all, "all", false, "list safe files as well, and what is worth knowing of them")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func printInspection(w io.Writer, r *provenance.Inspection, format string, all bool) error {
	switch format {
	case "json":
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(r)
	case "sarif":
		v, _ := build()
		return inspect.WriteSARIF(w, r.Files, v)
	}
	count := map[inspect.Verdict]int{}
	for _, f := range r.Files {
		count[f.Verdict]++
		if f.Verdict == inspect.Safe && !all {
			continue
		}
		fmt.Fprintf(w, "%-10s  %s", f.Verdict, plain(f.Path))
		if f.Format != "" {
			fmt.Fprintf(w, " (%s, %s)", f.Format, size(f.Size))
		}
		fmt.Fprintln(w)
		for _, g := range f.Findings {
			place := ""
			if g.Member != "" {
				place = " in " + g.Member
			}
			if g.Offset >= 0 {
				place += fmt.Sprintf(" at byte %d", g.Offset)
			}
			fmt.Fprintf(w, "    %s: %s [%s%s]\n", g.Verdict, plain(g.Text), g.Rule, plain(place))
		}
	}
	var parts []string
	for _, v := range slices.Backward(inspect.Verdicts()) {
		if count[v] > 0 {
			parts = append(parts, fmt.Sprintf("%s %s", thousands(int64(count[v])), v))
		}
	}
	_, err := fmt.Fprintf(w, "%s files: %s\n", thousands(int64(len(r.Files))), strings.Join(parts, ", "))
	return err
}
