package evaluation

import (
	"fmt"
	"math"

	"github.com/palladium-guard/palladium/internal/stats"
	"github.com/palladium-guard/palladium/world/score"
)

// bins of the reliability table.
const bins = 10

// calibration asks whether the two probabilities are what they are called.
func (d *document) calibration() {
	d.head(2, "Calibration")
	all := d.r.gathered(func(*outcome) bool { return true })
	quiet := d.r.gathered(func(o *outcome) bool { return o.kind == kindControl })
	d.operatorP(all, quiet)
	d.extractionP(all)
	d.extractionScore(all)
	d.caption(Calibration, "%s, %s, %s", d.r.seeds(kindSweep), d.r.seeds(kindCrowd), d.r.seeds(kindControl))
}

// gathered returns the full detector's groups of the worlds that are wanted.
func (r *Results) gathered(want func(*outcome) bool) []group {
	var out []group
	for i := range r.plays {
		if want(&r.plays[i]) {
			out = append(out, r.plays[i].groups...)
		}
	}
	return out
}

// shareBelow is a table cell: how many of the values are at or below the level, with bounds.
func shareBelow(v []float64, level float64) string {
	k := 0
	for _, x := range v {
		if x <= level {
			k++
		}
	}
	if len(v) == 0 {
		return "–"
	}
	lo, hi := stats.ClopperPearson(k, len(v), score.Confidence)
	return fmt.Sprintf("%.3f (%.3f to %.3f)", float64(k)/float64(len(v)), lo, hi)
}

func (d *document) operatorP(all, quiet []group) {
	d.head(3, "operator_p")
	d.say("Of groups of independent accounts no more than a share p may have operator_p ≤ p. Groups are those that the detector had at the end of each world, by what " +
		"they truly are: independent when at most a fifth of the accounts share an owner or a cause. Such groups are few, because the search puts up what is " +
		"surprising and drops what does not hold; those dropped count in the e-BH procedure but not here, which makes this a hard test. Users of one tool, " +
		"benchmark, course or address have no common owner, yet are no independent accounts either: they are shown apart. The truth does not record every cause: strangers behind one carrier's address, programs that " +
		"were dealt one published template, and people who were dealt one real thread count as independent here, and agree in more than the null " +
		"hypothesis of independence allows. That is why the policy asks for two keys; the last column counts what passes both.")
	t := d.table("groups", "number", "share with p ≤ 0.1", "≤ 0.01", "≤ 0.001", "rejected by e-BH", "and two keys")
	for _, row := range []struct {
		name string
		in   []group
		is   nature
	}{
		{"independent, worlds without campaigns", quiet, independent},
		{"independent, all worlds", all, independent},
		{"one tool, benchmark, course or address", all, oneCause},
		{"one honest owner", all, oneOwner},
		{"campaigns", all, ofCampaign},
		{"mixed", all, mixed},
	} {
		var p []float64
		rejected, keyed := 0, 0
		for i := range row.in {
			if g := &row.in[i]; g.truth == row.is {
				p = append(p, g.facts.OperatorP)
				if g.facts.OperatorRejected {
					rejected++
					if g.facts.Keys >= 2 {
						keyed++
					}
				}
			}
		}
		t.row(row.name, fmt.Sprint(len(p)), shareBelow(p, 0.1), shareBelow(p, 0.01), shareBelow(p, 0.001), fmt.Sprint(rejected), fmt.Sprint(keyed))
	}
	t.end()
}

// linkedBenign reports whether the group is what extraction_p is calibrated for: linked, and not hostile.
func linkedBenign(g *group) bool {
	return g.facts.OperatorRejected && g.facts.Calibrated && (g.truth == oneOwner || g.truth == oneCause)
}

func (d *document) extractionP(all []group) {
	d.head(3, "extraction_p")
	d.say("Of benign linked groups no more than a share p may have extraction_p ≤ p. The least value that r references can give is 1/(r+1).")
	t := d.table("benign linked groups", "number", "share with p ≤ 0.01", "≤ 0.05", "≤ 0.1", "≤ 0.2", "≤ 0.5")
	for _, row := range []struct {
		name string
		has  func(g *group) bool
	}{
		{"all", func(*group) bool { return true }},
		{"one honest owner", func(g *group) bool { return g.truth == oneOwner }},
		{"vouched for", func(g *group) bool { return g.facts.Vouched >= 0.5 }},
		{"not vouched for", func(g *group) bool { return g.facts.Vouched < 0.5 }},
	} {
		var p []float64
		for i := range all {
			if linkedBenign(&all[i]) && row.has(&all[i]) {
				p = append(p, all[i].facts.ExtractionP)
			}
		}
		t.row(row.name, fmt.Sprint(len(p)), shareBelow(p, 0.01), shareBelow(p, 0.05), shareBelow(p, 0.1), shareBelow(p, 0.2), shareBelow(p, 0.5))
	}
	t.end()
}

func (d *document) extractionScore(all []group) {
	d.head(3, "The extraction score as a probability")
	var p []float64
	var yes []bool
	var n, k [bins]int
	var sum [bins]float64
	for i := range all {
		g := &all[i]
		hostile := g.truth == ofCampaign && g.facts.OperatorRejected
		if !hostile && !linkedBenign(g) {
			continue
		}
		v := 1 / (1 + math.Exp(-g.facts.ExtractionScore))
		b := min(int(v*bins), bins-1)
		n[b]++
		sum[b] += v
		if hostile {
			k[b]++
		}
		p, yes = append(p, v), append(yes, hostile)
	}
	if len(p) == 0 {
		d.say("No linked groups.")
		return
	}
	d.say("1/(1+e^-score) over %d linked groups, campaigns against benign ones, at the shares that these worlds have: Brier score %.4f, expected calibration error "+
		"%.4f in %d bins, area under precision and recall %.4f. The score orders groups and is weighed by the policy; it is not reported as a probability.",
		len(p), stats.Brier(p, yes), stats.ECE(p, yes, bins), bins, stats.PRAUC(p, yes))
	t := d.table("predicted", "groups", "mean predicted", "campaigns among them")
	for b := range n {
		if n[b] == 0 {
			continue
		}
		lo, hi := stats.ClopperPearson(k[b], n[b], score.Confidence)
		t.row(fmt.Sprintf("%.1f to %.1f", float64(b)/bins, float64(b+1)/bins), fmt.Sprint(n[b]), f3(sum[b]/float64(n[b])),
			fmt.Sprintf("%.3f (%.3f to %.3f)", float64(k[b])/float64(n[b]), lo, hi))
	}
	t.end()
}
