package evaluation

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/palladium-guard/palladium/internal/stats"
	"github.com/palladium-guard/palladium/world"
	"github.com/palladium-guard/palladium/world/score"
)

// tally sums campaigns up.
type tally struct {
	accounts, review, act int // accounts: of the campaigns, listed at review, at act
	reviews, acts         []float64
	purities, leaks       []float64
	hours                 []float64 // to detection, of those found
	parts, found, merged  int
}

func (t *tally) add(c *score.CampaignScore) {
	n := float64(c.Accounts)
	t.accounts += c.Accounts
	t.review += int(math.Round(c.RecallReview * n))
	t.act += int(math.Round(c.RecallAct * n))
	t.reviews, t.acts = append(t.reviews, c.RecallReview), append(t.acts, c.RecallAct)
	t.leaks = append(t.leaks, c.Leak)
	if detected(c) {
		t.found++
		t.purities = append(t.purities, c.Purity)
		t.parts += c.Parts
		t.hours = append(t.hours, c.Hours)
	} else if c.RecallReview >= 0.5 {
		t.merged++
	}
}

// detected reports whether the campaign reached review in a group that is mostly its own.
func detected(c *score.CampaignScore) bool { return c.DetectedAt != nil && c.Leak < 1 }

// recall is the share of all accounts that were listed at review.
func (t *tally) recall() float64 {
	if t.accounts == 0 {
		return math.NaN()
	}
	return float64(t.review) / float64(t.accounts)
}

func quantile(v []float64, q float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	return stats.Quantile(v, q)
}

func mean(v []float64) float64 {
	var s float64
	for _, x := range v {
		s += x
	}
	return s / float64(len(v))
}

func hours(v float64) string {
	if math.IsNaN(v) {
		return "–"
	}
	return fmt.Sprintf("%.1f", v)
}

// spreadOf is median / mean / least.
func spreadOf(v []float64) string {
	if len(v) == 0 {
		return "–"
	}
	return fmt.Sprintf("%.3f / %.3f / %.3f", stats.Median(v), mean(v), quantile(v, 0))
}

func (t *tally) cells(name string) []string {
	n := len(t.reviews)
	return []string{name, fmt.Sprint(n), fmt.Sprint(t.accounts), f3(t.recall()), spreadOf(t.reviews), spreadOf(t.acts),
		fmt.Sprintf("%d of %d", t.found, n), fmt.Sprint(t.merged), f3(mean(t.purities)), f3(float64(t.parts) / float64(t.found)), percent(quantile(t.leaks, 0.5)), percent(quantile(t.leaks, 0.9)), hours(quantile(t.hours, 0.5))}
}

// bucket names the rows of a table: it says whether a campaign belongs to one.
type bucket struct {
	name string
	has  func(c *cell, s *world.CampaignSpec) bool
}

// grid reports whether the campaign is of the grid, under full logging.
func grid(c *cell) bool { return c.Special == "" && c.Style == styleFull }

// targets are the rows that the targets speak of.
func targets() []bucket {
	return []bucket{
		{"template, no camouflage", func(c *cell, _ *world.CampaignSpec) bool {
			return grid(c) && c.Text == world.TextTemplate && c.Camouflage == 0
		}},
		{"generated, no camouflage", func(c *cell, _ *world.CampaignSpec) bool {
			return grid(c) && c.Text == world.TextGenerated && c.Camouflage == 0
		}},
		{"pooled camouflage, 20 to 80 %, all texts", func(c *cell, _ *world.CampaignSpec) bool { return grid(c) && c.Camouflage > 0 }},
	}
}

// buckets are all rows of the campaign tables.
func buckets() []bucket {
	out := targets()
	out = append(out, bucket{"**all of the grid**", func(c *cell, _ *world.CampaignSpec) bool { return grid(c) }})
	for _, t := range texts() {
		out = append(out, bucket{"text " + t + ", any camouflage", func(c *cell, _ *world.CampaignSpec) bool { return grid(c) && c.Text == t }})
	}
	for _, m := range cameos() {
		out = append(out, bucket{fmt.Sprintf("camouflage %.0f %%", 100*m), func(c *cell, _ *world.CampaignSpec) bool { return grid(c) && c.Camouflage == m }})
	}
	for _, t := range texts() {
		for _, m := range []float64{0, 0.8} {
			out = append(out, bucket{fmt.Sprintf("%s, camouflage %.0f %%", t, 100*m), func(c *cell, _ *world.CampaignSpec) bool { return grid(c) && c.Text == t && c.Camouflage == m }})
		}
	}
	for _, n := range networks() {
		out = append(out, bucket{"network and identity " + n, func(c *cell, _ *world.CampaignSpec) bool { return grid(c) && c.Network == n }})
	}
	for _, w := range []string{world.SchedulerLRU, world.SchedulerRandom, world.SchedulerQuota} {
		out = append(out, bucket{"scheduler " + w, func(c *cell, s *world.CampaignSpec) bool { return grid(c) && s.Scheduler == w }})
	}
	for _, w := range []string{world.AgeBurst, world.AgeAged, world.AgeSpread} {
		out = append(out, bucket{"age " + w, func(c *cell, s *world.CampaignSpec) bool { return grid(c) && s.Age == w }})
	}
	out = append(out,
		bucket{"jitter of an hour", func(c *cell, s *world.CampaignSpec) bool { return grid(c) && s.Jitter.Hours() >= 1 }},
		bucket{"fewer than 100 accounts", func(c *cell, s *world.CampaignSpec) bool { return grid(c) && s.Accounts < 100 }},
		bucket{"no cues in the wording", func(c *cell, s *world.CampaignSpec) bool { return grid(c) && !s.Cues }},
		bucket{"**the grid where logging is drawn at random**", func(c *cell, _ *world.CampaignSpec) bool { return c.Special == "" && c.Style == styleRandom }})
	for _, s := range specials() {
		out = append(out, bucket{s.name, func(c *cell, _ *world.CampaignSpec) bool { return c.Special == s.name }})
	}
	return out
}

// tallyOf sums up the campaigns of a bucket, for the full detector or without identity and network.
func (r *Results) tallyOf(b *bucket, bare bool) *tally {
	t := &tally{}
	for _, o := range r.of(kindSweep) {
		s := o.full
		if bare {
			s = o.bare
		}
		for i := range s.Campaigns {
			if b.has(&o.about[i], &s.Campaigns[i].Spec) {
				t.add(&s.Campaigns[i])
			}
		}
	}
	return t
}

// level sums the accounts listed at one stage over worlds.
type level struct{ right, wrong int }

func (l level) precision() float64 {
	if l.right+l.wrong == 0 {
		return math.NaN()
	}
	return float64(l.right) / float64(l.right+l.wrong)
}

func (l level) text() string {
	n := l.right + l.wrong
	if n == 0 {
		return "nothing listed"
	}
	lo, _ := stats.ClopperPearson(l.right, n, score.Confidence)
	return fmt.Sprintf("%.4f (%d of %d, at least %.4f)", l.precision(), l.right, n, lo)
}

func levels(worlds []*outcome, bare bool) (act, review level) {
	for _, o := range worlds {
		s := o.full
		if bare {
			s = o.bare
		}
		if s == nil {
			continue
		}
		act.right, act.wrong = act.right+s.Act.True, act.wrong+s.Act.False
		review.right, review.wrong = review.right+s.Review.True, review.wrong+s.Review.False
	}
	return act, review
}

func (d *document) campaigns() {
	d.head(2, "Campaigns")
	worlds := d.r.of(kindSweep)
	if len(worlds) == 0 {
		return
	}
	x := d.r.opt.Size.extent()
	often := "once and in part"
	if x.repeats > 1 {
		often = fmt.Sprintf("%d times, the last time under other operators' logging, drawn at random, and in the tables apart", x.repeats)
	}
	d.say("A grid of text × camouflage × network and identity, played %s. All other knobs are a "+
		"Latin hypercube: 60 to 250 accounts, 48 prompts an account or more on average (camouflage included, up to 25 a day), 8 to 12 days, scheduler, jitter up to "+
		"an hour, failover, rhythm, follow-ups, client, age of the accounts, number of wordings, cues. %d campaigns share a world of about %d honest accounts "+
		"of all classes and %.0f days.", often, x.perWorld, x.benign, x.days)
	d.say("A campaign is found when a reported one holds a tenth of its accounts or more and is half its own. Merged ones stand at review with half of their " +
		"accounts or more, but in a group that is mostly another campaign's: they count as not found, and as leaked whole.")
	for _, bare := range []bool{false, true} {
		d.head(3, map[bool]string{false: "All evidence", true: "Without identity and network evidence"}[bare])
		act, review := levels(worlds, bare)
		d.say("Precision over these worlds, in accounts: at act %s, at review %s.", act.text(), review.text())
		t := d.table("campaigns", "number", "accounts", "recall at review, all accounts", "by campaign: median / mean / least", "at act: median / mean / least", "found", "merged", "purity", "parts",
			"leak, median", "leak, 90 %", "hours to review, median of those found")
		for _, b := range buckets() {
			if sum := d.r.tallyOf(&b, bare); sum.accounts > 0 {
				t.row(sum.cells(b.name)...)
			}
		}
		t.end()
		d.caption(Campaigns, "%s", d.r.seeds(kindSweep))
	}
	d.lost(worlds)
	d.each(worlds)
}

// lost says for what reason accounts of campaigns were not at review at the end.
func (d *document) lost(worlds []*outcome) {
	d.head(3, "Why accounts were missed")
	full, bare := map[string]int{}, map[string]int{}
	for _, o := range worlds {
		lost(o.full.Campaigns, o.groups, full)
		lost(o.bare.Campaigns, o.bareGroups, bare)
	}
	d.say("Hostile accounts of all campaigns, tactics and random logging among them, that did not stand at review at the end of their world.")
	t := d.table("reason", "accounts, all evidence", "accounts, without identity and network")
	names := map[string]bool{}
	for _, m := range []map[string]int{full, bare} {
		for k := range m {
			names[k] = true
		}
	}
	for _, k := range slices.Sorted(maps.Keys(names)) {
		t.row(k, fmt.Sprint(full[k]), fmt.Sprint(bare[k]))
	}
	t.end()
}

// each lists every campaign.
func (d *document) each(worlds []*outcome) {
	d.head(3, "Every campaign")
	t := d.table("seed", "<text", "camouflage", "<network", "<tactic or logging", "accounts", "rate", "<scheduler", "jitter", "recall", "at act", "purity", "leak", "recall without who", "leak without who")
	for _, o := range worlds {
		for i := range o.full.Campaigns {
			c, b, about := &o.full.Campaigns[i], &o.bare.Campaigns[i], &o.about[i]
			note := about.Special
			if note == "" && about.Style != styleFull {
				note = "random logging"
			}
			t.row(fmt.Sprint(o.scenario.Seed), about.Text, fmt.Sprintf("%.0f %%", 100*about.Camouflage), about.Network, note, fmt.Sprint(c.Accounts), fmt.Sprintf("%.0f", c.Spec.Rate),
				c.Spec.Scheduler, c.Spec.Jitter.String(), f3(c.RecallReview), f3(c.RecallAct), f3(c.Purity), percent(c.Leak), f3(b.RecallReview), percent(b.Leak))
		}
	}
	t.end()
}
