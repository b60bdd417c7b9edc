package outside_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/palladium-guard/palladium/internal/stats"
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
	all, err := outside.Hop(data(t), 1, 9)
	if err != nil {
		t.Fatal(err)
	}
	show := func(name string, of func(r *outside.HopResult) float64) (median float64) {
		v := make([]float64, len(all))
		for i := range all {
			v[i] = of(&all[i])
		}
		q := stats.Quantiles(v, 0, 0.5, 1)
		t.Logf("%-42s median %.3f, from %.3f to %.3f", name, q[1], q[0], q[2])
		return q[1]
	}
	agreement := func(name string, of func(r *outside.HopResult) outside.Agreement) (ari, purity float64) {
		ari = show(name+" ARI", func(r *outside.HopResult) float64 { return of(r).ARI })
		purity = show(name+" purity", func(r *outside.HopResult) float64 { return of(r).Purity })
		show(name+" inverse purity", func(r *outside.HopResult) float64 { return of(r).InversePurity })
		show(name+" B-cubed precision", func(r *outside.HopResult) float64 { return of(r).BCubedPrecision })
		show(name+" B-cubed recall", func(r *outside.HopResult) float64 { return of(r).BCubedRecall })
		return ari, purity
	}
	show("resolution", func(r *outside.HopResult) float64 { return r.Resolution })
	ari, purity := agreement("test", func(r *outside.HopResult) outside.Agreement { return r.Test.Scores })
	agreement("test, with a transfer", func(r *outside.HopResult) outside.Agreement { return r.Test.LinkedScores })
	agreement("components", func(r *outside.HopResult) outside.Agreement { return r.Components.Scores })
	show("test with kept accounts ARI", func(r *outside.HopResult) float64 { return r.Test.WithKept })
	show("share of kept accounts with accused ones", func(r *outside.HopResult) float64 {
		return float64(r.KeptPulledIn) / float64(r.KeptAccounts)
	})
	show("share of accused with a transfer", func(r *outside.HopResult) float64 { return float64(r.Test.Linked) / float64(r.Test.Sybils) })
	r := &all[0]
	t.Logf("%d accounts, %d accused in %d groups; of %d without a group %d found", r.Accounts, r.Sybils, r.Groups, r.Ungrouped, r.UngroupedFound)
	if ari < 0.4 || purity < 0.8 {
		t.Errorf("median ARI %.3f, purity %.3f", ari, purity)
	}
	if n := r.Chosen.Sybils + r.Test.Sybils + r.Ungrouped; n != r.Sybils {
		t.Errorf("halves and ungrouped hold %d of %d accounts", n, r.Sybils)
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

func TestDatacentersAreRead(t *testing.T) {
	is, err := outside.Datacenters(data(t))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for asn := range uint32(500_000) {
		if is(asn) {
			n++
		}
	}
	if n < 800 {
		t.Errorf("%d datacenters, want about 900", n)
	}
}
