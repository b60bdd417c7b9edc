package evaluation

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/app"
	"github.com/palladium-guard/palladium/traffic/campaign"
	"github.com/palladium-guard/palladium/traffic/extraction"
	"github.com/palladium-guard/palladium/world"
	"github.com/palladium-guard/palladium/world/score"
)

// group is a group of the tracker at the end of a world, beside the truth.
type group struct {
	facts   campaign.Facts
	stage   palladium.Stage
	truth   nature
	members map[string]int // accounts by campaign or honest cause
	honest  map[string]int // honest accounts by class, those of negative controls among them
	hostile int
	score   string // what makes up the extraction score, for Verbose
}

// nature is what a group truly is.
type nature int

const (
	mixed       nature = iota // none of the others, or holding accounts of a negative control
	ofCampaign                // four fifths or more are of campaigns
	oneOwner                  // half or more have one honest owner
	oneCause                  // half or more share a tool, a benchmark, a course or an address, but no owner
	independent               // no more than a fifth share an owner or a cause, none is hostile
)

// owned reports whether the accounts of a group of class c have one owner.
func owned(c world.Class) bool {
	switch c {
	case world.ClassTool, world.ClassEvaluator, world.ClassRelease, world.ClassNAT, world.ClassCohort:
		return false
	}
	return true
}

// groups lists the detector's groups with what they truly are.
func groups(d *app.Detector, who *people, w *extraction.Weights) []group {
	var out []group
	for _, g := range d.Tracker().Groups() {
		accounts, _ := g.Members()
		if len(accounts) == 0 {
			continue
		}
		x := group{facts: g.Facts(d.Index()), members: map[string]int{}, honest: map[string]int{}}
		x.stage, _, _ = g.Stage()
		for _, a := range accounts {
			t := who.of[d.Index().Name(a)]
			switch {
			case who.hostile(t.ID):
				x.hostile++
			case t.Campaign != "":
				x.honest["negative control"]++
			default:
				x.honest[string(t.Class)]++
			}
			switch {
			case t.Campaign != "":
				x.members[t.Campaign]++
			case t.Group != "":
				x.members[t.Group]++
			default:
				x.members[string(t.Class)+" alone"]++
			}
		}
		x.truth = who.nature(d, accounts)
		f := extraction.Features(g.Features())
		x.score = terms(w, &f)
		out = append(out, x)
	}
	return out
}

// most returns the key with the largest count; of equals the least key.
func most[K cmp.Ordered](m map[K]int) (best K) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if m[k] > m[best] {
			best = k
		}
	}
	return best
}

// terms lists what moves the extraction score by a quarter or more, the lowest first.
func terms(w *extraction.Weights, f *extraction.Features) string {
	type term struct {
		name string
		v    float64
	}
	var list []term
	for i, n := range extraction.Names() {
		if v := w.Coef[i] * min(max(f[i], w.Lo[i]), w.Hi[i]); v <= -0.25 || v >= 0.25 {
			list = append(list, term{n[0], v})
		}
	}
	slices.SortFunc(list, func(a, b term) int { return cmp.Or(cmp.Compare(a.v, b.v), cmp.Compare(a.name, b.name)) })
	var b strings.Builder
	fmt.Fprintf(&b, "bias:%.1f", w.Bias)
	for _, t := range list {
		fmt.Fprintf(&b, " %s:%.1f", t.name, t.v)
	}
	return b.String()
}

// reviewed reports whether a person or a machine would act on the group.
func (g *group) reviewed() bool {
	return g.stage == palladium.StageAct || g.stage == palladium.StageReview
}

// why says what kept the group below review, the first of what the policy asks for.
func (g *group) why() string {
	switch f := &g.facts; {
	case g.truth != ofCampaign:
		return "in a group of mostly others that is not listed"
	case !f.OperatorRejected:
		return "one-operator test undecided"
	case f.Keys < 2:
		return "evidence of a single key"
	case !f.Calibrated:
		return "too few references to calibrate on"
	case g.stage == palladium.StageLinked:
		return "use taken for that of a benign linked group"
	}
	return "extraction test undecided"
}

// inNoGroup is why an account is missed that the detector has in no group at the end.
const inNoGroup = "in no group"

// lost counts the hostile accounts of the campaigns that are not at review, by reason.
func lost(campaigns []score.CampaignScore, all []group, into map[string]int) {
	for i := range campaigns {
		c := &campaigns[i]
		left := c.Accounts
		for k := range all {
			n := all[k].members[c.ID]
			left -= n
			if n > 0 && !all[k].reviewed() {
				into[all[k].why()] += n
			}
		}
		if left > 0 {
			into[inNoGroup] += left
		}
	}
}

func (p *people) nature(d *app.Detector, accounts []uint32) nature {
	n, hostile, control := len(accounts), 0, 0
	in, class := map[string]int{}, map[string]world.Class{}
	for _, a := range accounts {
		t := p.of[d.Index().Name(a)]
		switch {
		case t.Campaign != "" && p.control[t.Campaign]:
			control++
		case t.Campaign != "":
			hostile++
		case t.Group != "":
			in[t.Group]++
			class[t.Group] = t.Class
		}
	}
	top := most(in)
	switch {
	case hostile*5 >= n*4:
		return ofCampaign
	case hostile > 0 || control > 0:
		return mixed
	case in[top]*2 >= n && owned(class[top]):
		return oneOwner
	case in[top]*2 >= n:
		return oneCause
	case in[top]*5 <= n:
		return independent
	}
	return mixed
}

// diagnose says what stands behind every campaign and every false alarm of a world.
func diagnose(o *outcome) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n=== %s, seed %d, style %+v\n", o.scenario.Name, o.scenario.Seed, o.scenario.Style)
	for i, s := range []*score.Scores{o.full, o.bare} {
		if s == nil {
			continue
		}
		name := []string{"full", "bare"}[i]
		all := o.groups
		if i > 0 {
			all = o.bareGroups
		}
		for _, c := range append(slices.Clone(s.Campaigns), s.Negatives...) {
			fmt.Fprintf(&b, "%s %s %s: act %.2f review %.2f any %.2f purity %.2f parts %d leak %.3f\n", name, c.ID, specText(&c.Spec), c.RecallAct,
				c.RecallReview, c.RecallAny, c.Purity, c.Parts, c.Leak)
			in := 0
			for k := range all {
				if n := all[k].members[c.ID]; n > 0 {
					in += n
					fmt.Fprintf(&b, "    %s\n", all[k].text())
				}
			}
			if in < c.Accounts {
				fmt.Fprintf(&b, "    %d of its %d accounts are in no group\n", c.Accounts-in, c.Accounts)
			}
		}
		for k := range all {
			if g := &all[k]; g.reviewed() && g.truth != ofCampaign {
				fmt.Fprintf(&b, "%s FALSE %s\n", name, g.text())
			}
		}
		for k := range all {
			if g := &all[k]; g.truth == independent && g.facts.OperatorP <= 0.01 {
				fmt.Fprintf(&b, "%s STRANGERS %s\n", name, g.text())
			}
		}
		for _, c := range s.Classes {
			if c.Review > 0 {
				fmt.Fprintf(&b, "%s honest %s: %d at review, %d at act, of %d\n", name, c.Class, c.Review, c.Act, c.Accounts)
			}
		}
	}
	return b.String()
}

func specText(s *world.CampaignSpec) string {
	return fmt.Sprintf("[%d accounts, %.1f/day for %.1f days from day %.1f, %s forms %d narrow %v cues %v, camouflage %.1f %s, %s jitter %s failover %g rhythm %.2f multi %.1f grade %g probe %g, %s %s %s %s %s %s]",
		s.Accounts, s.Rate, s.Days, s.Start, s.Text, s.Forms, s.Narrow, s.Cues, s.Camouflage, s.Cover, s.Scheduler, s.Jitter, s.Failover, s.Rhythm, s.MultiTurn,
		s.Grade, s.Probe, s.Network, s.Client, s.Identity, s.Email, s.Age, s.Organization)
}

func (g *group) text() string {
	f := &g.facts
	var w []string
	for _, name := range palladium.Families() {
		if v := f.Weight[name]; v != 0 {
			w = append(w, fmt.Sprintf("%s:%.1f", name, v))
		}
	}
	keys := slices.SortedFunc(maps.Keys(g.members), func(a, b string) int { return cmp.Or(cmp.Compare(g.members[b], g.members[a]), cmp.Compare(a, b)) })
	var in []string
	for _, k := range keys[:min(len(keys), 5)] {
		in = append(in, fmt.Sprintf("%s:%d", k, g.members[k]))
	}
	stage := g.stage
	if stage == "" {
		stage = "none"
	}
	return fmt.Sprintf("%s n=%d E=%.2g rejected=%v keys=%d families=%v weights=%v extraction p=%.4f score=%.2f (%s) references=%d vouched=%.2f declared=%.2f collisions=%.2f exchanges=%d of %v",
		stage, f.Accounts, f.OperatorE, f.OperatorRejected, f.Keys, f.Families, w, f.ExtractionP, f.ExtractionScore, g.score, f.References, f.Vouched, f.Declared,
		f.Collisions, f.Exchanges, in)
}
