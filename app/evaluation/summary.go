package evaluation

import (
	"fmt"
	"math"

	"github.com/palladium-guard/palladium/world"
)

// target is one figure that the detector has to reach.
type target struct {
	name     string
	want     string
	measured string
	short    float64 // by how much it was missed, in the unit of the figure; 0 or less when met; NaN when not measured
	unit     string  // of short, as printed
}

func (t *target) verdict() string {
	switch {
	case math.IsNaN(t.short):
		return "not measured"
	case t.short <= 0:
		return "met"
	case t.unit == "":
		return fmt.Sprintf("**missed by %.4f**", t.short)
	}
	return fmt.Sprintf("**missed by %.4g %s**", t.short, t.unit)
}

// atLeast is a target for a share.
func atLeast(name string, want, got float64, detail string) target {
	return target{name: name, want: fmt.Sprintf("≥ %g", want), measured: f3(got) + detail, short: want - got}
}

// targets compares what was measured with what has to be reached.
func (r *Results) targets() []target {
	sweep, crowd := r.of(kindSweep), r.of(kindCrowd)
	out := []target{}
	for _, where := range []struct {
		name   string
		worlds []*outcome
		bare   bool
	}{{"campaign worlds", sweep, false}, {"crowd at true prevalence", crowd, false}, {"campaign worlds, without identity and network", sweep, true}} {
		act, review := levels(where.worlds, where.bare)
		out = append(out, target{name: "account precision at act, " + where.name, want: "1.000", measured: act.text(), short: 1 - act.precision()},
			target{name: "account precision at review, " + where.name, want: "≥ 0.99", measured: review.text(), short: 0.99 - review.precision()})
	}
	worst, worstClass, n := math.NaN(), world.Class(""), 0
	for _, o := range crowd {
		worst = 0
		n += o.full.Benign
		for _, c := range o.full.Classes {
			if float64(c.Act) > worst {
				worst, worstClass = float64(c.Act), c.Class
			}
		}
	}
	measured := fmt.Sprintf("0 in %d", n)
	if worst > 0 {
		measured = fmt.Sprintf("%.0f in class %s, of %d honest accounts", worst, worstClass, n)
	}
	out = append(out, target{name: "false positives in any class at act, 200,000 honest accounts", want: "0", measured: measured, short: worst, unit: "accounts"})
	wants := []float64{0.95, 0.90, 0.85}
	for _, bare := range []bool{false, true} {
		for i, b := range targets() {
			sum := r.tallyOf(&b, bare)
			want, name := wants[i], "account recall at review, "+b.name
			if bare {
				want, name = 0.80, "the same without identity and network, "+b.name
			}
			out = append(out, atLeast(name, want, sum.recall(), fmt.Sprintf(" (%d campaigns, worst %s)", len(sum.reviews), f3(quantile(sum.reviews, 0)))))
		}
	}
	leak := quantile(r.tallyOf(&bucket{has: func(c *cell, _ *world.CampaignSpec) bool { return grid(c) }}, false).leaks, 0.5)
	out = append(out, target{name: "harvest leaked before review, median over the campaigns of the grid", want: "≤ 5 %", measured: percent(leak), short: 100*leak - 5, unit: "points"})
	return append(out, r.controlTarget())
}

func (r *Results) controlTarget() target {
	var sum alarms
	t := target{name: "negative controls and worlds without campaigns: accounts at review or act", want: "0", short: math.NaN(), unit: "accounts"}
	worlds := r.of(kindControl)
	for _, o := range worlds {
		full, _ := alarmsOf(o)
		sum.groups, sum.act, sum.review, sum.of = sum.groups+full.groups, sum.act+full.act, sum.review+full.review, sum.of+full.of
	}
	if len(worlds) > 0 {
		t.short = float64(sum.review)
		t.measured = fmt.Sprintf("%d at review or act, %d of them at act, in %d groups; %d worlds, %d accounts", sum.review, sum.act, sum.groups, len(worlds), sum.of)
	}
	return t
}

// summary is the table on top.
func (d *document) summary() {
	d.head(2, "Summary")
	t := d.table("measure", "<target", "<measured", "<")
	for _, g := range d.r.targets() {
		if math.IsNaN(g.short) {
			g.measured = "–"
		}
		t.row(g.name, g.want, g.measured, g.verdict())
	}
	t.row("speed; state of an account", "see there", "`docs/PERFORMANCE.md`", "")
	t.end()
	d.caption("", "seeds from %d on", d.r.opt.Seed)
}
