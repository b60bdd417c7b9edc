package outside_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/palladium-guard/palladium/traffic/measure"
	"github.com/palladium-guard/palladium/world/outside"
)

// data opens ../shared/data beside the repository, or skips the test.
func data(t *testing.T) fs.FS {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			t.Skip("no go.mod above the test")
		}
	}
	dir = filepath.Join(filepath.Dir(dir), "shared", "data")
	if _, err := os.Stat(dir); err != nil {
		t.Skip("the evaluation data is not beside the repository: ../shared/data")
	}
	return os.DirFS(dir)
}

// The floors below are far under what is measured: they catch a break, they do not claim a figure.

func TestHop(t *testing.T) {
	fsys := data(t)
	for seed := range uint64(3) {
		r, err := outside.Hop(fsys, seed+1)
		if err != nil {
			t.Fatal(err)
		}
		half := func(name string, h outside.HopHalf) {
			s, l := h.Scores, h.LinkedScores
			t.Logf("seed %d %-10s %d groups %d accounts: ARI %.3f purity %.3f inverse %.3f B-cubed %.3f/%.3f, with kept ARI %.3f; "+
				"%d linked: ARI %.3f purity %.3f inverse %.3f B-cubed %.3f/%.3f", seed+1, name, h.Groups, h.Sybils, s.ARI, s.Purity,
				s.InversePurity, s.BCubedPrecision, s.BCubedRecall, h.WithKept, h.Linked, l.ARI, l.Purity, l.InversePurity,
				l.BCubedPrecision, l.BCubedRecall)
		}
		t.Logf("seed %d resolution %g: %d of %d kept accounts are in a community of %d or more, %d of them with accused ones; "+
			"%d of %d accused without a group", seed+1, r.Resolution, r.KeptGrouped, r.KeptAccounts, outside.MinGroup,
			r.KeptPulledIn, r.UngroupedFound, r.Ungrouped)
		half("chosen on", r.Chosen)
		half("test", r.Test)
		half("components", r.Components)
		if r.Test.Scores.ARI < 0.4 || r.Test.Scores.Purity < 0.8 {
			t.Errorf("seed %d: ARI %.3f, purity %.3f", seed+1, r.Test.Scores.ARI, r.Test.Scores.Purity)
		}
		if n := r.Chosen.Sybils + r.Test.Sybils + r.Ungrouped; n != r.Sybils {
			t.Errorf("seed %d: halves and ungrouped hold %d of %d accounts", seed+1, n, r.Sybils)
		}
	}
}

func meter() *measure.Meter { return measure.New([32]byte{1, 2, 3}, nil) }

func TestLogs(t *testing.T) {
	all, err := outside.Logs(data(t), meter())
	if err != nil {
		t.Fatal(err)
	}
	if m := outside.MeanLog(all); m.GroupingAccuracy < 0.5 || m.ARI < 0.7 {
		t.Errorf("mean grouping accuracy %.3f, ARI %.3f", m.GroupingAccuracy, m.ARI)
	}
	for _, r := range append(all, outside.MeanLog(all)) {
		t.Logf("%-12s %4d lines, %3d templates, %3d found: GA %.3f ARI %.3f (bare %d; digits blanked GA %.3f)", r.System, r.Lines,
			r.Templates, r.Found, r.GroupingAccuracy, r.ARI, r.Bare, r.Blanked)
	}
}

func TestTemplates(t *testing.T) {
	res, err := outside.Templates(data(t), meter())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d distinct prompts of %d templates, %d pairs, %d duplicates, %d without a shared shingle", res.Prompts, res.Templates,
		res.Pairs, res.Duplicates, res.NoShingle)
	for _, p := range res.At {
		t.Logf("weight %2g: %d links, precision %.3f (%.3f for the data set), recall %.3f", p.Weight, p.Links, p.Precision,
			p.DatasetPrecision, p.Recall)
		if p.DatasetPrecision < 0.9 {
			t.Errorf("weight %g: one link in ten or more joins two data sets", p.Weight)
		}
	}
}
