package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/palladium-guard/palladium/app"
	"github.com/palladium-guard/palladium/app/fitting"
)

// worldFit fits the weights of the extraction score on worlds.
func worldFit() *cobra.Command {
	var data, out, keep, from string
	opt := fitting.Options{}
	cmd := &cobra.Command{
		Use:   "fit",
		Short: "Fit the weights of the extraction score on random worlds",
		Long: "Plays random worlds with a known truth through the detector, fits the weights of the extraction score on the groups that it forms,\n" +
			"and says how well they part campaigns from honest groups of worlds that they were not fitted on. Worlds with even seeds are made of\n" +
			"half 0 of the data; the others, and all when there are no data, of text that is made up. It takes five to ten minutes on two cores.",
		Example: "  palladium world fit --data ../shared/data --out rules/extraction.json\n" +
			"  palladium world fit --worlds 10 --rows rows.jsonl --out new.json && palladium world fit --from rows.jsonl --out again.json",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if data != "" {
				if st, err := os.Stat(data); err != nil || !st.IsDir() {
					return usageError(fmt.Errorf("data folder %s is no folder", data), "without --data text is made up")
				}
				opt.Data = os.DirFS(data)
			}
			opt.Progress = cmd.ErrOrStderr()
			rows, err := fittingRows(cmd.Context(), opt, from)
			if err != nil {
				return err
			}
			if keep != "" {
				if err := app.WriteFile(keep, func(w io.Writer) error { return fitting.WriteRows(w, rows) }); err != nil {
					return fmt.Errorf("keep the rows, does the folder exist? %w", err)
				}
			}
			m, err := fitting.Fit(cmd.Context(), rows)
			if err != nil {
				return err
			}
			if err := m.WriteTable(cmd.OutOrStdout()); err != nil {
				return err
			}
			if err := app.WriteFile(out, m.WriteWeights); err != nil {
				return fmt.Errorf("write the weights, does the folder exist? %w", err)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&data, "data", "", "data `DIR` with real prompts and arrivals; without it, text is made up")
	f.StringVar(&out, "out", "", "JSON `FILE` to write the weights to")
	f.Uint64Var(&opt.First, "seed", fitting.FirstSeed, "seed of the first world; seeds follow one another")
	f.IntVar(&opt.Worlds, "worlds", fitting.DefaultWorlds, "number of worlds, at least 2")
	f.IntVar(&opt.Size, "accounts", fitting.DefaultSize, "honest accounts of a world, about")
	f.IntVar(&opt.Workers, "workers", 0, "worlds played at a time; 0 means one for each core")
	f.StringVar(&keep, "rows", "", "`FILE` to keep the measured groups in, for --from")
	f.StringVar(&from, "from", "", "fit on the groups of a `FILE` made with --rows, and play no worlds")
	_ = cmd.MarkFlagRequired("out")
	cmd.MarkFlagsMutuallyExclusive("from", "rows")
	cmd.MarkFlagsMutuallyExclusive("from", "data")
	return cmd
}

// fittingRows reads rows, or plays worlds when there is no file to read.
func fittingRows(ctx context.Context, opt fitting.Options, from string) ([]fitting.Row, error) {
	if from == "" {
		return fitting.Collect(ctx, opt)
	}
	f, err := os.Open(from)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("open the rows, make them with --rows: %w", err)
	} else if err != nil {
		return nil, fmt.Errorf("open the rows: %w", err)
	}
	defer f.Close()
	return fitting.ReadRows(f)
}
