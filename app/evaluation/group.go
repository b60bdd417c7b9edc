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
	"github.com/palladium-guard/palladium/world"
	"github.com/palladium-guard/palladium/world/score"
)

// group is a group of the tracker at the end of a world, beside the truth.
type group struct {
	facts   campaign.Facts
	stage   palladium.Stage
	truth   nature
	class   world.Class // of most of its accounts
	members map[string]int
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
func groups(d *app.Detector, who *people) []group {
	var out []group
	for _, g := range d.Tracker().Groups() {
		accounts, _ := g.Members()
		if len(accounts) == 0 {
			continue
		}
		x := group{facts: g.Facts(d.Index()), members: map[string]int{}}
		x.stage, _, _ = g.Stage()
		classes := map[world.Class]int{}
		for _, a := range accounts {
			t := who.of[d.Index().Name(a)]
			classes[t.Class]++
			switch {
			case t.Campaign != "":
				x.members[t.Campaign]++
			case t.Group != "":
				x.members[t.Group]++
			default:
				x.members[string(t.Class)+" alone"]++
			}
		}
		x.class = most(classes)
		x.truth = who.nature(d, accounts)
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
func diagnose(o *outcome, detectors []*app.Detector, who *people) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n=== %s, seed %d, style %+v\n", o.scenario.Name, o.scenario.Seed, o.scenario.Style)
	for i, s := range []*score.Scores{o.full, o.bare} {
		if s == nil {
			continue
		}
		name := []string{"full", "bare"}[i]
		all := o.groups
		if i > 0 {
			all = groups(detectors[i], who)
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
			if g := &all[k]; (g.stage == palladium.StageAct || g.stage == palladium.StageReview) && g.truth != ofCampaign {
				fmt.Fprintf(&b, "%s FALSE %s\n", name, g.text())
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
	return fmt.Sprintf("%s n=%d E=%.2g rejected=%v keys=%d families=%v weights=%v extraction p=%.4f score=%.2f references=%d vouched=%.2f declared=%.2f collisions=%.2f exchanges=%d of %v",
		stage, f.Accounts, f.OperatorE, f.OperatorRejected, f.Keys, f.Families, w, f.ExtractionP, f.ExtractionScore, f.References, f.Vouched, f.Declared,
		f.Collisions, f.Exchanges, in)
}
