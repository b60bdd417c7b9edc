package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/palladium-guard/palladium/app/evaluation"
)

// worldEvaluate measures the detector and writes the document.
func worldEvaluate() *cobra.Command {
	var data, out string
	var sections []string
	var quick, verbose bool
	opt := evaluation.Options{}
	cmd := &cobra.Command{
		Use:   "evaluate",
		Short: "Measure the detector on worlds with fixed seeds and write the table",
		Long: "Plays worlds made from a data folder, with and without campaigns, through the detector and through simple baselines, and writes what\n" +
			"was measured beside what has to be reached. It takes about half an hour on two cores; --quick shows in a minute that it works.",
		Example: "  palladium world evaluate --data ../shared/data --out docs/EVALUATION.md",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if opt.Sections, err = evaluation.ParseSections(sections); err != nil {
				return usageError(err, "leave --sections out to measure all")
			}
			if data != "" {
				if st, err := os.Stat(data); err != nil || !st.IsDir() {
					return fmt.Errorf("open data folder %s: it is no folder; without --data text is made up", data)
				}
				opt.Data, opt.DataName = os.DirFS(data), data
			}
			if quick {
				opt.Size = evaluation.Quick
			}
			opt.Date, opt.Progress = time.Now(), cmd.ErrOrStderr()
			if verbose {
				opt.Verbose = cmd.ErrOrStderr()
			}
			opt.Version, opt.Commit = build()
			results, err := evaluation.Run(cmd.Context(), opt)
			if err != nil {
				return err
			}
			return writeDocument(cmd.OutOrStdout(), out, results)
		},
	}
	f := cmd.Flags()
	f.StringVar(&data, "data", "", "data `DIR` with real prompts and arrivals; without it, text is made up")
	f.StringVar(&out, "out", "", "Markdown `FILE` to write; without it, standard output")
	f.Uint64Var(&opt.Seed, "seed", 0, fmt.Sprintf("first seed of the worlds; 0 means %d, or %d with --quick", evaluation.DefaultSeed, evaluation.QuickSeed))
	f.StringSliceVar(&sections, "sections", nil, fmt.Sprintf("measure only these of %v", evaluation.Sections()))
	f.IntVar(&opt.Workers, "workers", 0, "worlds played at a time; 0 means one for each core")
	f.BoolVar(&quick, "quick", false, "play little: shows that it works, the figures are not for the record")
	f.BoolVar(&verbose, "verbose", false, "say what stands behind each campaign and each false alarm, on standard error")
	return cmd
}

// writeDocument writes the document to a file, replaced whole but for what other measurements wrote at its end, or to standard output.
func writeDocument(stdout io.Writer, name string, results *evaluation.Results) error {
	if name == "" {
		return results.Write(stdout)
	}
	var text bytes.Buffer
	if err := results.Write(&text); err != nil {
		return err
	}
	old, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read what the evaluation is to replace: %w", err)
	}
	text.Write(evaluation.Kept(old))
	temp, err := os.CreateTemp(filepath.Dir(name), ".evaluation-*")
	if err != nil {
		return fmt.Errorf("write the evaluation, does the folder exist? %w", err)
	}
	defer os.Remove(temp.Name())
	_, err = temp.Write(text.Bytes())
	if close := temp.Close(); err == nil {
		err = close
	}
	if err == nil {
		err = os.Chmod(temp.Name(), 0o644)
	}
	if err == nil {
		err = os.Rename(temp.Name(), name)
	}
	if err != nil {
		return fmt.Errorf("write the evaluation: %w", err)
	}
	return nil
}
