package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/palladium-guard/palladium/app/provenance"
	likeness "github.com/palladium-guard/palladium/weights/compare"
	"github.com/palladium-guard/palladium/weights/manifest"
)

type compareFlags struct {
	a, b    provenance.Weights
	options likeness.Options
	format  string
	expect  string
	quiet   bool
}

func modelCompare() *cobra.Command {
	var f compareFlags
	cmd := &cobra.Command{
		Use:   "compare A B",
		Short: "Say whether one model's weights are derived from another's",
		Long: "Say whether the weights of two models are the same, derived from each other, unrelated, or whether that cannot be\n" +
			"told. A and B are safetensors or GGUF files, or directories of them. The files alone are read; names, shards, element\n" +
			"types and the order of neurons do not matter. Exits with status 0 when the models could be compared, whatever the\n" +
			"answer, and with 3 when it is not the one given with --expect.",
		Example: "  palladium model compare ours/ found.gguf\n" +
			"  palladium model compare --expect derived base/ fine-tuned/",
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.a.Path, f.b.Path = args[0], args[1]
			return f.run(cmd)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.a.Tokenizer, "tokenizer-a", "", "tokenizer.json `FILE` of A, when it does not lie beside its weights")
	fl.StringVar(&f.b.Tokenizer, "tokenizer-b", "", "tokenizer.json `FILE` of B")
	fl.BoolVar(&f.options.SkipHash, "quick", false, "do not look for equal tensors, which takes reading every byte")
	fl.Uint64Var(&f.options.Seed, "seed", 1, "seed of the samples")
	fl.IntVar(&f.options.Workers, "workers", 0, "goroutines that read; 2 when not given")
	fl.StringVar(&f.expect, "expect", "", "`RELATION` that must be found: same, derived or unrelated")
	fl.StringVar(&f.format, "format", "text", "text or json")
	fl.BoolVarP(&f.quiet, "quiet", "q", false, "print no progress")
	return cmd
}

func (f *compareFlags) run(cmd *cobra.Command) error {
	if f.format != "text" && f.format != "json" {
		return usageError(fmt.Errorf("unknown format %q", f.format), "use text or json")
	}
	known := []likeness.Relation{"", likeness.Same, likeness.Derived, likeness.Unrelated}
	if !slices.Contains(known, likeness.Relation(f.expect)) {
		return usageError(fmt.Errorf("unknown relation %q", f.expect), "use same, derived or unrelated")
	}
	bar := newHashBar(cmd.ErrOrStderr())
	if !f.quiet {
		f.options.Progress = func(done, total int64) { bar.progress(manifest.Progress{Done: done, Total: total}) }
	}
	started := time.Now()
	r, err := provenance.Compare(cmd.Context(), f.a, f.b, f.options)
	bar.close()
	if err != nil {
		if errors.Is(err, likeness.ErrFormat) {
			return &failure{status: statusFailed, err: err, hint: "give safetensors or GGUF files, or a folder of them; convert pickles first"}
		}
		if err = modelError(err); errors.As(err, new(*failure)) {
			return err
		}
		return &failure{status: statusFailed, err: err}
	}
	if err := f.print(cmd.OutOrStdout(), r, time.Since(started)); err != nil {
		return err
	}
	if f.expect != "" && r.Relation != likeness.Relation(f.expect) {
		return &failure{status: statusFound, err: errors.New("the models are " + string(r.Relation) + ", not " + f.expect)}
	}
	return nil
}

func (f *compareFlags) print(w io.Writer, r *likeness.Report, took time.Duration) error {
	if f.format == "json" {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	_, err := fmt.Fprintf(w, "%s\n%s  time       %s\n", r.Relation, r.Text(), took.Round(10*time.Millisecond))
	return err
}
