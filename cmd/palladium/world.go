package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/world"
	"github.com/palladium-guard/palladium/world/record"
	"github.com/palladium-guard/palladium/world/score"
)

// worldCommand makes worlds and scores reports on them.
func worldCommand() *cobra.Command {
	var name, out, data string
	var seed uint64
	var half, people int
	var compress bool
	cmd := &cobra.Command{
		Use:   "world",
		Short: "Make recorded traffic with a known truth, to test a detector on",
		Long: "Makes a world of honest and hostile accounts and writes its traffic and its truth to a folder.\n" +
			"Scenarios: " + strings.Join(world.Presets(), ", ") + ", random (drawn from the seed), or a YAML file.",
		Example: "  palladium world --scenario demo --out /tmp/demo\n  palladium scan /tmp/demo --format json > report.json\n  palladium world score report.json /tmp/demo",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := openScenario(name, seed, people)
			if err != nil {
				return err
			}
			if cmd.Flags().Changed("seed") {
				s.Seed = seed
			}
			if people > 0 {
				s.Benign = world.Population(people)
			}
			corpus := world.OwnCorpus(s.Seed)
			if data != "" {
				if corpus, err = world.LoadCorpus(os.DirFS(data), half); err != nil {
					return err
				}
			}
			w, err := world.New(s, corpus)
			if err != nil {
				return err
			}
			if err := record.Free(out); err != nil {
				return err
			}
			sum, err := record.Write(w, out, compress, nil)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s, seed %d: %d exchanges, %d account records, %d campaigns; the truth is in %s\n",
				s.Name, s.Seed, sum.Exchanges, sum.Accounts, sum.Campaigns, filepath.Join(out, record.TruthName))
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&name, "scenario", "demo", "name of a scenario, or a YAML `FILE`")
	f.StringVar(&out, "out", "", "`DIR` to write to")
	f.StringVar(&data, "data", "", "data `DIR` with real prompts and arrivals; without it, text is made up")
	f.IntVar(&half, "half", 0, "which half of the data's sources to use, 0 or 1")
	f.Uint64Var(&seed, "seed", 1, "another seed, another world of the same kind")
	f.IntVar(&people, "accounts", 0, "number of honest accounts, in place of the scenario's")
	f.BoolVar(&compress, "compress", false, "compress the exchanges with zstd")
	_ = cmd.MarkFlagRequired("out")
	cmd.AddCommand(worldScore(), worldEvaluate(), worldFit())
	return cmd
}

// openScenario finds a preset, draws a scenario, or reads a file.
func openScenario(name string, seed uint64, people int) (world.Scenario, error) {
	if name == "random" {
		return world.RandomScenario(seed, max(people, 2000), 4), nil
	}
	if s, ok := world.Preset(name); ok {
		return s, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return world.Scenario{}, fmt.Errorf("open scenario: no preset has that name (use one of %s) and %w", strings.Join(world.Presets(), ", "), err)
	}
	defer f.Close()
	return world.Decode(f)
}

func worldScore() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "score REPORT TRUTH",
		Short: "Compare a JSON report of scan with the truth of the world it was made on",
		Long:  "REPORT is the output of palladium scan --format json. TRUTH is the world's folder, or its truth file.",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if format != "text" && format != "json" {
				return fmt.Errorf("format %q is unknown, use text or json", format)
			}
			data, err := os.ReadFile(args[0])
			if err != nil {
				return fmt.Errorf("read report: %w", err)
			}
			var report palladium.Report
			if err := json.Unmarshal(data, &report); err != nil {
				return fmt.Errorf("read report %s, make it with palladium scan --format json: %w", args[0], err)
			}
			if report.Schema != palladium.ReportSchema {
				return fmt.Errorf("read report %s: its schema is %q, want %q", args[0], report.Schema, palladium.ReportSchema)
			}
			path := args[1]
			if st, err := os.Stat(path); err == nil && st.IsDir() {
				path = filepath.Join(path, record.TruthName)
			}
			f, err := os.Open(path)
			if err != nil {
				return fmt.Errorf("open truth: %w", err)
			}
			defer f.Close()
			truth, err := record.ReadTruth(f)
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			if id, n := score.Stranger(&report, truth); n > 0 {
				return &failure{status: statusFailed, err: fmt.Errorf("score %s: the truth in %s does not know %d of its accounts, such as %q", args[0], path, n, id),
					hint: "name the world that was scanned: another seed is another world"}
			}
			s := score.Score(&report, truth)
			if format == "json" {
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetIndent("", "  ")
				return enc.Encode(s)
			}
			return score.Text(cmd.OutOrStdout(), s)
		},
	}
	cmd.Flags().StringVar(&format, "format", "text", "text or json")
	return cmd
}
