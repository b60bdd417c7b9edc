package campaign

import (
	"math"

	"github.com/palladium-guard/palladium"
)

// Facts are what the two tests and the group's use come to: the input of the policy.
type Facts struct {
	Accounts         int
	OperatorP        float64
	OperatorE        float64
	OperatorRejected bool
	ExtractionP      float64
	ExtractionScore  float64 // log-odds of the fitted score
	Families         []palladium.Family
	Weight           map[palladium.Family]float64
	Keys             int
	Exchanges        int64
	Tokens           palladium.Tokens
	First, Last      int64 // Unix ms
	Trials           int
	References       int
	Calibrated       bool
	Known            int // accounts in the traffic
	Vouched          float64
	Declared         float64
	Collisions       float64
	Probing          bool
	Whole            bool // no part of the group is left out by a model of the rest
	Acted            bool // it was at act before, or a group was that makes up a fifth of it
}

// evidenceWeight is the least mean weight, in nats over the members, and evidenceShare the least share of members
// with 2 nats, with which a family counts as evidence of the group.
const (
	evidenceWeight = 2.0
	evidenceShare  = 0.5
	plainP         = 1e-4
)

// Facts sums the group up.
func (g *Group) Facts(pop Population) Facts {
	f := Facts{
		Accounts: len(g.members), OperatorE: g.E(), OperatorP: min(1, 1/math.Max(g.E(), 1e-300)), OperatorRejected: g.Rejected,
		ExtractionP: g.extractP, ExtractionScore: g.use.Score, Weight: map[palladium.Family]float64{},
		References: g.compared, Calibrated: g.compared >= MinReferences && pop.Accounts() >= MinPopulation, Known: pop.Accounts(), Trials: len(g.Trials), First: math.MaxInt64,
	}
	keys := map[palladium.Key]bool{}
	for i := 0; i < famCount; i++ {
		mean, share := g.support(i)
		name := familyName(i)
		if mean > 0 {
			f.Weight[name] = mean
		}
		// Either most members show it, or its own test leaves no doubt.
		if (mean < evidenceWeight || share < evidenceShare) && g.trial.p[i] > plainP {
			continue
		}
		f.Families = append(f.Families, name)
		if g.opens(i) {
			keys[name.Key()] = true
		}
	}
	if g.trial.p[famQueue] < 1e-3 {
		f.Families = append(f.Families, palladium.Queue)
		keys[palladium.KeyWhat] = true
	}
	f.Keys = len(keys)
	orgs := map[uint32]int{}
	var probes, drawn float64
	for _, m := range g.members {
		p := pop.Profile(m.account)
		f.Exchanges += int64(p.Exchanges)
		f.Tokens.Input += int64(p.Input)
		f.Tokens.Output += int64(p.Output)
		f.Tokens.Reasoning += int64(p.Reasoning)
		f.First, f.Last = min(f.First, p.First), max(f.Last, p.Last)
		if p.Relation != 0 {
			f.Vouched++
		}
		if t := p.Edges[palladium.KindOrganization].Token; t != palladium.NoToken {
			orgs[t]++
		}
		probes += float64(p.Probes)
		drawn += float64(p.Exchanges)
	}
	n := float64(len(g.members))
	f.Vouched /= n
	f.Declared = float64(most(orgs)) / n
	f.Probing = probes > 0.2*drawn
	f.Whole, f.Acted = !g.loose, g.acted
	if g.trial.list.Public {
		f.Collisions = g.trial.list.Inside / math.Max(g.trial.list.Expect, 1)
	}
	return f
}

func most(m map[uint32]int) int {
	n := 0
	for _, k := range m {
		n = max(n, k)
	}
	return n
}

// support is the mean weight of family f over the members that the group was fitted with, and the share of them with 2 nats or more.
func (g *Group) support(f int) (mean, share float64) {
	n := 0.0
	for i := range g.members {
		if g.recent(g.members[i].account) {
			continue
		}
		n++
		w := float64(g.weights[i][f])
		mean += w
		if w >= 2 {
			share++
		}
	}
	return mean / max(n, 1), share / max(n, 1)
}

// daysProve is the e-value of the days from which on they show one dispatcher by themselves.
const daysProve = 100

// opens reports whether family f can count as a key: parameters and the like follow from the program that an account
// runs, so they never do; the others do when they chose the group or their own test rejects chance. Among the users of a
// public list only what does not follow from the list does: who they are, conversations that move, and loads day
// after day.
func (g *Group) opens(f int) bool {
	if f == famParameters {
		return false
	}
	if g.trial.list.Public {
		return g.trial.p[f] < 1e-3 || f == famSchedule && g.apartDays() >= daysProve
	}
	if g.trial.p[f] < 1e-3 {
		return true
	}
	mean, _ := g.support(f)
	if f == famSchedule {
		return mean >= 2.5
	}
	if f == famNetwork || f == famTemplate {
		return mean >= 5 && g.beyondSoftware(f)
	}
	return mean >= 4
}

// beyondSoftware reports whether the family rests on more than what a program brings with it.
func (g *Group) beyondSoftware(f int) bool {
	for tok, gain := range g.model.Gain {
		k, ok := g.model.KindOf[tok]
		if ok && familyIndex(k) == f && !k.Software() && gain*g.model.Rate[tok] >= 2 {
			return true
		}
	}
	return false
}

// nameless is the most that the membership of an account is given as which shows nothing of who it is, where three in four do: its
// texts and hours may be alike for a cause of their own, and no measure shall rest on these alone.
const nameless = 0.8

// Members returns the accounts of the group and their membership, by account number.
func (g *Group) Members() ([]uint32, []float64) {
	a, r := make([]uint32, len(g.members)), make([]float64, len(g.members))
	named := 0
	for i := range g.members {
		if g.named(i) {
			named++
		}
	}
	for i, m := range g.members {
		if a[i], r[i] = m.account, float64(m.r); named*4 >= len(g.members)*3 && !g.named(i) {
			r[i] = min(r[i], nameless)
		}
	}
	return a, r
}

// named reports whether member i shows who it is, by 2 nats or more.
func (g *Group) named(i int) bool {
	return max(g.weights[i][famIdentity], g.weights[i][famNetwork]) >= 2
}

// Guests returns accounts that the group's model claims and that were let go because the operator vouches for them.
func (g *Group) Guests() []uint32 { return g.guests }

// Groups returns the tracker's groups, oldest first. They are live until the next Examine.
func (t *Tracker) Groups() []*Group { return t.groups }

// Stage returns the group's stage, and when it first reached review or act (Unix ms, 0 for never) with the exchanges
// drawn by then.
func (g *Group) Stage() (s palladium.Stage, at int64, drawn uint64) {
	return g.stage, g.decidedAt, g.drawn
}

// Decide records the stage that the policy gives the group at time now, and why.
func (g *Group) Decide(s palladium.Stage, why []string, now int64, drawn int64) {
	g.stage, g.why = s, why
	g.acted = g.acted || s == palladium.StageAct
	if (s == palladium.StageAct || s == palladium.StageReview) && g.decidedAt == 0 {
		g.decidedAt, g.drawn = now, uint64(drawn)
	}
}

// Shared is a token that the group's accounts have in common.
type Shared struct {
	Token uint32
	Kind  palladium.Kind
	Gain  float64 // log(rate in the group / rate outside), nats
	Rate  float64 // share of the group that holds it
}

// Shared returns what the group's accounts have in common, by token.
func (g *Group) Shared() map[uint32]Shared {
	out := make(map[uint32]Shared, len(g.model.Gain))
	for tok, gain := range g.model.Gain {
		out[tok] = Shared{Token: tok, Kind: g.model.KindOf[tok], Gain: float64(gain), Rate: float64(g.model.Rate[tok])}
	}
	return out
}

// Weights returns member i's log-likelihood ratio for each of palladium.Families, in nats.
func (g *Group) Weights(i int) []float32 { return g.weights[i][:famCount] }

// Support returns the mean weight of family f over the members, and the share of members with 2 nats or more.
func (g *Group) Support(f palladium.Family) (mean, share float64) {
	for i := range famCount {
		if familyName(i) == f {
			return g.support(i)
		}
	}
	return 0, 0
}

// Chance returns the p-value of each of palladium.Families in the last one-operator test; 1 where it was not tested.
func (g *Group) Chance() [famCount]float64 { return g.trial.p }

// Collisions returns how many prompts several of the accounts sent, how many strangers drawing on the same list
// would have, and whether the two agree: then what follows from a text is no evidence.
func (g *Group) Collisions() (seen, expected float64, asStrangers bool) {
	return g.trial.list.Inside, g.trial.list.Expect, g.trial.list.Public
}

// Beginning returns the length of the window in which most of the accounts began, in hours, and what that says in nats.
func (g *Group) Beginning() (hours, nats float64) {
	return g.model.Onset.Hours(), float64(g.model.Onset.Gain)
}

// Features returns what the extraction test measured at the last fit, in the order of its Names. It is not to be changed.
func (g *Group) Features() []float64 { return g.use.Features }

// Why returns the policy's reasons for the stage.
func (g *Group) Why() []string { return g.why }

// FeatureNames returns the name and the meaning of each feature of the extraction test.
func (t *Tracker) FeatureNames() [][2]string { return t.opt.Extraction.Names() }

// References returns the features of the benign linked groups that campaigns are compared with, and how many of them
// the operator vouches for.
func (t *Tracker) References() (features [][]float64, vouched int) {
	for i := range t.refs {
		features = append(features, t.refs[i].Features)
		if t.refs[i].vouched {
			vouched++
		}
	}
	return features, vouched
}
