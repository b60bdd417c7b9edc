package evaluation

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/palladium-guard/palladium/internal/stats"
	"github.com/palladium-guard/palladium/world"
	"github.com/palladium-guard/palladium/world/score"
)

// perMillion is k of n as a rate per million with its bounds.
func perMillion(k, n int) string {
	lo, hi := stats.ClopperPearson(k, n, score.Confidence)
	return fmt.Sprintf("%.0f (%.0f to %.0f)", 1e6*float64(k)/float64(max(n, 1)), 1e6*lo, 1e6*hi)
}

// negatives reports false alarms among many honest accounts.
func (d *document) negatives() {
	d.head(2, "Hard negatives")
	for _, o := range d.r.of(kindCrowd) {
		s := o.full
		d.say("%d honest accounts of all classes over %.0f days, %d exchanges, and %d campaigns with %d accounts: %.2f %% of all.",
			s.Benign, o.scenario.Days, o.exchanges, len(s.Campaigns), s.Accounts-s.Benign, 100*float64(s.Accounts-s.Benign)/float64(s.Accounts))
		t := d.table("honest class", "accounts", "at act", "per million", "at review", "per million", "watch", "linked")
		classes := slices.Clone(s.Classes)
		total := score.ClassScore{Class: "**all**"}
		for _, c := range classes {
			total.Accounts, total.Act, total.Review, total.Watch, total.Linked = total.Accounts+c.Accounts, total.Act+c.Act, total.Review+c.Review, total.Watch+c.Watch, total.Linked+c.Linked
		}
		for _, c := range append(classes, total) {
			t.row(string(c.Class), fmt.Sprint(c.Accounts), fmt.Sprint(c.Act), perMillion(c.Act, c.Accounts), fmt.Sprint(c.Review), perMillion(c.Review, c.Accounts), fmt.Sprint(c.Watch), fmt.Sprint(c.Linked))
		}
		t.end()
		act, review := levels([]*outcome{o}, false)
		d.say("Precision at act %s; at review %s.", act.text(), review.text())
		t = d.table("campaign in the crowd", "accounts", "recall at review", "at act", "purity", "parts", "leak", "hours to detection")
		for _, c := range s.Campaigns {
			hours := "never"
			if detected(&c) {
				hours = fmt.Sprintf("%.0f", c.Hours)
			}
			t.row(fmt.Sprintf("%s, camouflage %.0f %%, %s, %s", c.Spec.Text, 100*c.Spec.Camouflage, c.Spec.Network, c.Spec.Scheduler), fmt.Sprint(c.Accounts), f3(c.RecallReview), f3(c.RecallAct),
				f3(c.Purity), fmt.Sprint(c.Parts), percent(c.Leak), hours)
		}
		t.end()
		t = d.table("honest groups of one owner, 3 accounts or more", "groups", "reported as linked")
		for _, g := range s.Groups {
			t.row(string(g.Class), fmt.Sprint(g.Groups), fmt.Sprint(g.Linked))
		}
		t.end()
	}
	d.falseAlarms()
	d.caption(Negatives, "%s", d.r.seeds(kindCrowd))
}

// falseAlarms lists every honest account at review or act, in all worlds played, by the group that it stands in.
func (d *document) falseAlarms() {
	d.head(3, "Every honest account at review or act")
	t := d.table("world", "<stage", "honest accounts", "<of", "hostile accounts with them", "<families", "E", "extraction p", "score")
	n := 0
	for i := range d.r.plays {
		o := &d.r.plays[i]
		for k := range o.groups {
			g := &o.groups[k]
			if !g.reviewed() || len(g.honest) == 0 {
				continue
			}
			n++
			honest, of := 0, []string{}
			for _, c := range slices.Sorted(maps.Keys(g.honest)) {
				honest += g.honest[c]
				of = append(of, fmt.Sprintf("%s %d", c, g.honest[c]))
			}
			t.row(fmt.Sprintf("%s, seed %d", o.scenario.Name, o.scenario.Seed), string(g.stage), fmt.Sprint(honest), strings.Join(of, ", "), fmt.Sprint(g.hostile),
				fmt.Sprint(g.facts.Families), fmt.Sprintf("%.2g", g.facts.OperatorE), fmt.Sprintf("%.4f", g.facts.ExtractionP), fmt.Sprintf("%.2f", g.facts.ExtractionScore))
		}
	}
	t.end()
	if n == 0 {
		d.say("None, in %d worlds.", len(d.r.plays))
	}
}

// alarms counts what a world has at review or act.
type alarms struct{ groups, act, review, of int }

// alarmsOf counts false alarms of a world without campaigns to be found.
func alarmsOf(o *outcome) (full, bare alarms) {
	for i := range o.groups {
		if o.groups[i].reviewed() {
			full.groups++
		}
	}
	full.act, full.review, full.of = o.full.Act.False, o.full.Review.False, o.full.Benign
	if o.bare != nil {
		bare.act, bare.review, bare.of = o.bare.Act.False, o.bare.Review.False, o.bare.Benign
	}
	return full, bare
}

// controls reports worlds in which nothing is to be found.
func (d *document) controls() {
	d.head(2, "Negative controls")
	d.say("Worlds without anything to find. negative-control: each account writes as one honest person and keeps a person's hours. negative-people: prompts drawn " +
		"from all that honest people write, a person's hours. negative-lru: the same prompts dealt out by a dispatcher. quiet: no such accounts at all. " +
		"Nothing may stand at review or act, neither the control's accounts nor others.")
	t := d.table("world", "seed", "honest accounts", "groups at review or act", "accounts at act", "accounts at review", "of them the control's", "without identity and network: at act", "at review")
	for _, o := range d.r.of(kindControl) {
		full, bare := alarmsOf(o)
		own := 0
		for _, c := range o.full.Classes {
			if c.Class == world.Class("negative control") {
				own = c.Review
			}
		}
		t.row(o.scenario.Name, fmt.Sprint(o.scenario.Seed), fmt.Sprint(full.of), fmt.Sprint(full.groups), fmt.Sprint(full.act), fmt.Sprint(full.review), fmt.Sprint(own), fmt.Sprint(bare.act), fmt.Sprint(bare.review))
	}
	t.end()
	d.caption(Controls, "%s", d.r.seeds(kindControl))
}

// baselines compares with simple detectors.
func (d *document) baselines() {
	d.head(2, "Baselines")
	worlds := d.r.of(kindSweep)
	d.say("The same worlds as under Campaigns, scored by simple detectors, over all their accounts. The PRADA-like test looks at some of the accounts only and is " +
		"scored on those. Rows “chosen in hindsight” were given, for each world, the threshold that does best on that world's own answers: no operator " +
		"could set it. What each does and which thresholds it takes is written in package world/baseline.")
	t := d.table("detector", "accounts flagged", "precision", "recall", "F1")
	line := func(name string, flagged, right, hostile int) {
		precision, recall, f1 := "–", "–", "0.000"
		if flagged > 0 {
			precision = f3(float64(right) / float64(flagged))
		}
		if hostile > 0 {
			recall = f3(float64(right) / float64(hostile))
		}
		if right > 0 {
			f1 = f3(2 * float64(right) / float64(flagged+hostile))
		}
		t.row(name, fmt.Sprint(flagged), precision, recall, f1)
	}
	for _, v := range []struct {
		name string
		bare bool
	}{{"Palladium", false}, {"Palladium without identity and network", true}} {
		var hostile int
		for _, o := range worlds {
			hostile += o.full.Accounts - o.full.Benign
		}
		act, review := levels(worlds, v.bare)
		line(v.name+", at review", review.right+review.wrong, review.right, hostile)
		line(v.name+", at act", act.right+act.wrong, act.right, hostile)
	}
	if len(worlds) > 0 {
		for i := range worlds[0].baselines {
			var flagged, right, hostile int
			for _, o := range worlds {
				q := o.baselines[i]
				flagged, right, hostile = flagged+q.Flagged, right+q.Right, hostile+q.Hostile
			}
			line(worlds[0].baselines[i].name, flagged, right, hostile)
		}
	}
	t.end()
	d.caption(Baselines, "%s", d.r.seeds(kindSweep))
}
