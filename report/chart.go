package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/stats"
)

type timelineView struct {
	Step, Mark, Detected string
	Earlier              string // what the drawing leaves out at its beginning; empty when it reaches back to the first exchange
	Panels               []panelView
	Ticks                []string
	Rows                 []drawView
}

type panelView struct {
	Name, Top, Class, Alt string
	Bars                  []barView
}

type barView struct{ X, Y, W, H, Class, Title string }

type drawView struct{ When, Exchanges, Output string }

// newTimeline draws output tokens and exchanges over time, or nil when nothing was kept. Steps are merged until at
// most bars remain.
func newTimeline(c *palladium.Campaign, d dates, bars int) *timelineView {
	draws, step := merge(c.Detail.Timeline, bars)
	if len(draws) == 0 {
		return nil
	}
	from, to := draws[0].Start, draws[len(draws)-1].Start.Add(step)
	at := func(t time.Time) float64 {
		return 1000 * min(1, max(0, float64(t.Sub(from))/float64(to.Sub(from))))
	}
	v := &timelineView{Step: strings.TrimPrefix(span(step), "1"+nb)}
	if c.DetectedAt != nil {
		v.Detected = "detected " + beforeDetection(c, d)
		if !c.DetectedAt.Before(from) {
			v.Mark = coord(at(*c.DetectedAt))
		}
	}
	if c.First.Before(from) {
		shown := int64(0)
		for _, w := range draws {
			shown += w.Exchanges
		}
		if missing := c.Exchanges - shown; missing > 0 {
			v.Earlier = fmt.Sprintf("Loads are kept for %s. Not shown is what was drawn before %s: %s of %s.",
				span(to.Sub(from)), d.minute(from), count(missing), plural(c.Exchanges, "exchange"))
		}
	}
	early := func(w palladium.Draw) bool { return c.DetectedAt == nil || w.Start.Before(*c.DetectedAt) }
	for _, q := range []struct {
		name, class string
		of          func(palladium.Draw) int64
	}{
		{"Output tokens", "high", func(w palladium.Draw) int64 { return w.Tokens.Output }},
		{"Exchanges", "low", func(w palladium.Draw) int64 { return w.Exchanges }},
	} {
		p := panelView{Name: q.name, Class: q.class}
		most := draws[0]
		for _, w := range draws {
			if q.of(w) > q.of(most) {
				most = w
			}
		}
		top := max(1, q.of(most))
		p.Top = short(top)
		p.Alt = fmt.Sprintf("%s per %s from %s to %s; the most, %s, from %s", q.name, v.Step, d.minute(from), d.minute(to), short(q.of(most)), d.minute(most.Start))
		if c.DetectedAt != nil {
			p.Alt += "; detected " + d.minute(*c.DetectedAt)
		}
		for _, w := range draws {
			x := at(w.Start)
			width := at(w.Start.Add(step)) - x
			h := 100 * float64(q.of(w)) / float64(top)
			if h < 0.05 {
				continue
			}
			b := barView{X: coord(x + width*0.08), W: coord(width * 0.84), Y: coord(100 - h), H: coord(h), Class: "bar"}
			if early(w) {
				b.Class = "early"
			}
			b.Title = d.minute(w.Start) + ": " + short(q.of(w))
			p.Bars = append(p.Bars, b)
		}
		v.Panels = append(v.Panels, p)
	}
	const ticks = 5
	for i := range ticks {
		t := from.Add(to.Sub(from) * time.Duration(i) / (ticks - 1))
		if to.Sub(from) < 72*time.Hour {
			v.Ticks = append(v.Ticks, d.minute(t))
		} else {
			v.Ticks = append(v.Ticks, d.day(t))
		}
	}
	for _, w := range draws {
		v.Rows = append(v.Rows, drawView{d.minute(w.Start), count(w.Exchanges), short(w.Tokens.Output)})
	}
	return v
}

// merge sorts the steps and joins neighbours until at most limit remain; it returns them with their length.
func merge(in []palladium.Draw, limit int) ([]palladium.Draw, time.Duration) {
	if len(in) == 0 {
		return nil, 0
	}
	in = slices.Clone(in)
	slices.SortStableFunc(in, func(a, b palladium.Draw) int { return a.Start.Compare(b.Start) })
	step := time.Hour
	for i := 1; i < len(in); i++ {
		if gap := in[i].Start.Sub(in[i-1].Start); gap > 0 && (i == 1 || gap < step) {
			step = gap
		}
	}
	whole := in[len(in)-1].Start.Sub(in[0].Start) + step
	most := step * time.Duration(limit)
	wide := step * ((whole + most - 1) / most)
	var out []palladium.Draw
	for _, w := range in {
		start := in[0].Start.Add(w.Start.Sub(in[0].Start) / wide * wide)
		if len(out) == 0 || !out[len(out)-1].Start.Equal(start) {
			out = append(out, palladium.Draw{Start: start})
		}
		o := &out[len(out)-1]
		o.Exchanges += w.Exchanges
		o.Tokens.Input += w.Tokens.Input
		o.Tokens.Output += w.Tokens.Output
		o.Tokens.Reasoning += w.Tokens.Reasoning
	}
	return out, wide
}

type graphView struct {
	Width, Height int
	Note, Alt     string
	Edges         []edgeView
	Accounts      []nodeView
	Tokens        []tokenView
	Legend        []legendView
}

type edgeView struct {
	Family, D string
	Token     int
}

type nodeView struct{ X, Y, Title, Tokens string }

type tokenView struct {
	Index, Number                       int
	Family, FamilyName, Name            string
	X, Y, TX, TY, Title, Holders, Times string
}

type legendView struct{ Family, Name string }

// newGraph draws the strongest links of a campaign, or nil when none were kept.
func newGraph(c *palladium.Campaign, nodes int) *graphView {
	v := &graphView{Width: 800, Height: 540}
	g := draw(c.Detail.Links, nodes, float64(v.Width), float64(v.Height))
	if len(g.edges) == 0 {
		return nil
	}
	v.Alt = fmt.Sprintf("%d accounts joined to %d pieces of evidence by %d links; the table beside it holds the same", len(g.accounts), len(g.tokens), min(len(g.edges), maxEdges))
	v.Note = fmt.Sprintf("Each line joins an account to something that it shares. Shown: %s and %s.",
		plural(int64(len(g.accounts)), "account"), plural(int64(len(g.tokens)), "strongest piece")+" of evidence")
	if g.hidden > 0 {
		v.Note += fmt.Sprintf(" %s more with links are left out, evenly from the strongest to the weakest.", count(int64(g.hidden)))
	}
	classes, reasons := make([]string, len(g.accounts)), make([]string, len(g.accounts))
	edges := g.edges
	if len(edges) > maxEdges {
		edges = slices.Clone(edges)
		slices.SortStableFunc(edges, func(a, b edge) int { return cmp.Compare(b.weight, a.weight) })
		edges = edges[:maxEdges]
		v.Note += fmt.Sprintf(" Of %s lines the strongest %d are drawn.", count(int64(len(g.edges))), maxEdges)
	}
	for _, e := range edges {
		t := g.tokens[e.token]
		a, b := g.at[e.token], g.at[len(g.tokens)+e.account]
		v.Edges = append(v.Edges, edgeView{familyClass(t.family), "M" + coord(a.x) + " " + coord(a.y) + "L" + coord(b.x) + " " + coord(b.y), e.token})
		classes[e.account] += fmt.Sprintf(" t%d", e.token)
		name, _ := familyWords(t.family)
		reasons[e.account] += "\n" + name + ": " + label(t.name, 40) + " (" + ratio(e.weight) + ")"
	}
	for i, a := range g.accounts {
		at := g.at[len(g.tokens)+i]
		v.Accounts = append(v.Accounts, nodeView{coord(at.x), coord(at.y), label(a, 48) + reasons[i], classes[i]})
	}
	for i, t := range g.tokens {
		at := g.at[i]
		name, gloss := familyWords(t.family)
		v.Tokens = append(v.Tokens, tokenView{
			Index: i, Number: i + 1, Family: familyClass(t.family), FamilyName: name, Name: label(t.name, 60),
			X: coord(at.x - 9), Y: coord(at.y - 9), TX: coord(at.x + 10), TY: coord(at.y + 4),
			Holders: count(int64(t.accounts)), Times: ratio(t.weight),
			Title: fmt.Sprintf("%d. %s: %s\nheld by %s, %s likelier under one operator\n(%s)", i+1, name, label(t.name, 60), plural(int64(t.accounts), "account"), ratio(t.weight), gloss),
		})
	}
	v.Legend = legend(g.tokens)
	return v
}

// legend names the families that occur.
func legend(ts []token) []legendView {
	var out []legendView
	for _, f := range append(palladium.Families(), "other") {
		if slices.ContainsFunc(ts, func(t token) bool { return familyClass(t.family) == string(f) }) {
			name, _ := familyWords(f)
			out = append(out, legendView{string(f), name})
		}
	}
	return out
}

type featureView struct {
	Name, Says, Value, P50, P95, Place, Alt string
	BandX, BandW, Mid, At                   string
	Out                                     bool
}

// featureViews draws each feature on a scale from zero, or the least value, to the greatest.
func featureViews(fs []palladium.Feature) []featureView {
	var out []featureView
	for _, f := range fs {
		lo, hi := min(0, f.Value, f.P50, f.P95), max(0, f.Value, f.P50, f.P95)
		x := func(v float64) float64 {
			if !(hi > lo) || math.IsInf(hi-lo, 0) {
				return 6
			}
			return 6 + 168*(v-lo)/(hi-lo)
		}
		v := featureView{
			Name: label(f.Name, 60), Says: sentence(capital(prose(f.Says))), Value: measure(f.Value), P50: measure(f.P50), P95: measure(f.P95),
			Place: capital(place(f)), Out: f.Value > f.P95,
			BandX: coord(x(lo)), BandW: coord(max(1, x(f.P95)-x(lo))), Mid: coord(x(f.P50)), At: coord(x(f.Value)),
		}
		v.Alt = fmt.Sprintf("%s here; ordinary groups: middle %s, 95 in 100 below %s", v.Value, v.P50, v.P95)
		out = append(out, v)
	}
	return out
}

type trialView struct{ When, Accounts, P, E, W string }

// window says when a trial was, and of which kind: only a day's factor is its bet undivided, half of what p allows kept.
func window(t palladium.OperatorTrial, d dates) string {
	kind := "look, "
	if day := 0.5 + 0.5*min(stats.EValueFromP(t.P), 1e4); math.Abs(t.E-day) < 1e-9*day {
		kind = "day, "
	}
	return kind + d.minute(t.From) + " to " + d.minute(t.To)
}

// trialViews lists the windows of the one-operator test with their factors, which are not of one kind and have no
// running total: what looks win adds up, what days win multiplies.
func trialViews(ts []palladium.OperatorTrial, d dates) []trialView {
	var out []trialView
	logs, most := make([]float64, len(ts)), 1.0
	for i, t := range ts {
		logs[i] = math.Log10(t.E)
		if !math.IsInf(logs[i], 0) {
			most = max(most, logs[i])
		}
		out = append(out, trialView{window(t, d), count(int64(t.Accounts)), oneIn(t.P), power(t.E), ""})
	}
	for i := range out {
		out[i].W = coord(200 * min(1, max(0, logs[i]/most)))
	}
	return out[max(0, len(out)-400):]
}
