package evaluation

import (
	"fmt"
	"io/fs"

	"github.com/palladium-guard/palladium/internal/stats"
	"github.com/palladium-guard/palladium/traffic/measure"
	"github.com/palladium-guard/palladium/world/outside"
)

// outsideResults are the figures on data that no world has made.
type outsideResults struct {
	hop       []outside.HopResult
	logs      []outside.LogResult
	templates *outside.TemplateResult
}

// deals is how often the Hop groups are dealt into halves.
const deals = 49

func measureOutside(data fs.FS, seed uint64, size Size) (*outsideResults, error) {
	r := &outsideResults{}
	var err error
	n := deals
	if size != Full {
		n = 9
	}
	m := measure.New([32]byte{1, 2, 3}, nil)
	if r.hop, err = outside.Hop(data, seed, n); err != nil {
		return nil, fmt.Errorf("measure on Hop: %w", err)
	}
	if r.logs, err = outside.Logs(data, m); err != nil {
		return nil, fmt.Errorf("measure on logs: %w", err)
	}
	if r.templates, err = outside.Templates(data, m); err != nil {
		return nil, fmt.Errorf("measure on templates: %w", err)
	}
	return r, nil
}

func (d *document) outside(r *outsideResults) {
	d.head(2, "Outside data")
	if r == nil {
		d.say("Not measured: no data folder was given.")
		return
	}
	d.hop(r.hop)
	d.logs(r.logs)
	d.templates(r.templates)
	d.caption(Outside, "Hop dealt from seed %d on, loghub and T0 without chance", d.r.opt.Seed)
}

func (d *document) hop(all []outside.HopResult) {
	h := &all[0]
	d.head(3, "Hop: accused groups of Sybil accounts")
	d.say("%d accounts, %d of them accused, in %d groups. Groups are dealt into halves %d times; the resolution is chosen on one half "+
		"and the figures are of the other. Median over the deals, with the least and the greatest; the deals share one data set, so the range is no confidence interval.",
		h.Accounts, h.Sybils, h.Groups, len(all))
	t := d.table("", "median", "least", "greatest")
	for _, row := range []struct {
		name string
		of   func(r *outside.HopResult) float64
	}{
		{"ARI, accused accounts", func(r *outside.HopResult) float64 { return r.Test.Scores.ARI }},
		{"purity", func(r *outside.HopResult) float64 { return r.Test.Scores.Purity }},
		{"inverse purity", func(r *outside.HopResult) float64 { return r.Test.Scores.InversePurity }},
		{"B-cubed precision", func(r *outside.HopResult) float64 { return r.Test.Scores.BCubedPrecision }},
		{"B-cubed recall", func(r *outside.HopResult) float64 { return r.Test.Scores.BCubedRecall }},
		{"ARI, accused accounts with a transfer", func(r *outside.HopResult) float64 { return r.Test.LinkedScores.ARI }},
		{"ARI, accounts that nobody accused added", func(r *outside.HopResult) float64 { return r.Test.WithKept }},
		{"ARI of plain connected components", func(r *outside.HopResult) float64 { return r.Components.Scores.ARI }},
		{"share of unaccused accounts in a community with accused ones", func(r *outside.HopResult) float64 {
			return float64(r.KeptPulledIn) / float64(max(1, r.KeptAccounts))
		}},
	} {
		v := make([]float64, len(all))
		for i := range all {
			v[i] = row.of(&all[i])
		}
		q := stats.Quantiles(v, 0.5, 0, 1)
		t.row(row.name, f3(q[0]), f3(q[1]), f3(q[2]))
	}
	t.end()
	if ours, plain := medianARI(all, false), medianARI(all, true); plain > ours {
		d.say("On accused accounts alone, plain connected components do better than clustering (%.3f against %.3f). The resolution is chosen with every "+
			"unaccused account counted as a group of its own, which favours smaller communities.", plain, ours)
	}
	d.say("Read with care. The accusers used transfers, and sometimes timing, which is also what is linked here: the test is in part circular. " +
		"How the resolution is chosen was adjusted after figures of both halves had been seen. It runs a small linker of its own on the same " +
		"weights and the same clustering, not the detector. An unaccused account is one that was not found guilty, which is less than innocent.")
}

// medianARI is that of accused accounts under clustering, or under plain components.
func medianARI(all []outside.HopResult, components bool) float64 {
	v := make([]float64, len(all))
	for i := range all {
		v[i] = all[i].Test.Scores.ARI
		if components {
			v[i] = all[i].Components.Scores.ARI
		}
	}
	return stats.Median(v)
}

func (d *document) logs(all []outside.LogResult) {
	d.head(3, "loghub: log lines with known templates")
	d.say("Lines as prompts, grouped by shared shingles. Grouping accuracy is the share of lines whose group is exactly the true one.")
	t := d.table("system", "lines", "templates", "found", "grouping accuracy", "ARI", "accuracy with digits blanked")
	for _, r := range append(all[:len(all):len(all)], outside.MeanLog(all)) {
		t.row(r.System, fmt.Sprint(r.Lines), fmt.Sprint(r.Templates), fmt.Sprint(r.Found), f3(r.GroupingAccuracy), f3(r.ARI), f3(r.Blanked))
	}
	t.end()
	mean := outside.MeanLog(all)
	verdict := "The plain baseline of the last column, lines alike once every word with a digit is blanked, is beaten"
	if mean.Blanked > mean.GroupingAccuracy {
		verdict = "The plain baseline of the last column, lines alike once every word with a digit is blanked, is the better one"
	}
	d.say("%s (%.3f against our %.3f). The fingerprints are made for prompts of many words; log lines are short and differ in single words.",
		verdict, mean.Blanked, mean.GroupingAccuracy)
}

func (d *document) templates(r *outside.TemplateResult) {
	d.head(3, "T0: prompts made from known templates")
	d.say("%d distinct prompts of %d templates, %d pairs of one template; %d prompts share no shingle with two others. Pairs are linked "+
		"when their shared shingles weigh at least so much.", r.Prompts, r.Templates, r.Pairs, r.NoShingle)
	t := d.table("least weight, nats", "links", "precision, one template", "precision, one data set", "recall of pairs")
	for _, p := range r.At {
		t.row(fmt.Sprintf("%g", p.Weight), fmt.Sprint(p.Links), f3(p.Precision), f3(p.DatasetPrecision), f3(p.Recall))
	}
	t.end()
	d.say("Templates of one data set are filled with the same passages, so many links across templates join texts that do share a passage.")
}
