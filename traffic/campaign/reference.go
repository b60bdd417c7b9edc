package campaign

import (
	"cmp"
	"slices"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/stats/cohesion"
)

// ExtractionTest answers the second question: is it extraction, given one operator? It says nothing of how groups are
// found. Features are numbers whose meaning Names tells.
type ExtractionTest interface {
	// Names returns the name and the meaning of each feature.
	Names() [][2]string
	// Usual takes in a sample of all accounts, which Measure compares with. It comes before the first Measure, and
	// again at every look.
	Usual(sample []*palladium.Profile)
	// Measure returns the features of a group of size accounts; group and s hold the same accounts, all or a sample.
	Measure(group []*palladium.Profile, s *cohesion.Sample, size int) []float64
	// Score returns the log-odds of extraction that features come to.
	Score(features []float64) float64
	// PValue compares a group with benign linked groups; it also returns with how many. Without any, p is 1.
	PValue(score float64, accounts int, references []palladium.LinkedUse) (p float64, compared int)
}

// unanswered is the test of a tracker that was given none: nothing is measured, and no group differs from others.
type unanswered struct{}

func (unanswered) Names() [][2]string                                            { return nil }
func (unanswered) Usual([]*palladium.Profile)                                    {}
func (unanswered) Measure([]*palladium.Profile, *cohesion.Sample, int) []float64 { return nil }
func (unanswered) Score([]float64) float64                                       { return 0 }
func (unanswered) PValue(float64, int, []palladium.LinkedUse) (p float64, n int) { return 1, 0 }

// use measures the accounts laid out in p, of a group of the given size.
func (t *Tracker) use(pop Population, p *pool, size int) palladium.LinkedUse {
	u := palladium.LinkedUse{Features: t.opt.Extraction.Measure(profiles(pop, p.Acc), &p.Sample, size), Accounts: size}
	u.Score = t.opt.Extraction.Score(u.Features)
	return u
}

func profiles(pop Population, accounts []uint32) []*palladium.Profile {
	out := make([]*palladium.Profile, len(accounts))
	for i, a := range accounts {
		out[i] = pop.Profile(a)
	}
	return out
}

// reference is a benign linked group that campaigns are compared with.
type reference struct {
	palladium.LinkedUse
	on      []uint32 // the accounts that it was measured on, in order
	vouched bool
}

// MinReferences is the least number of reference groups that the extraction test can be calibrated on.
const MinReferences = 20

// How many references there are at most. Those that the operator vouches for come first and do not take the others'
// place.
const (
	vouchedLimit = 1500
	naturalRefs  = 400
	refSample    = 200 // accounts that a reference is measured on
)

// calibrate measures groups of accounts that one thing joins and no campaign claims: those that the operator vouches for,
// an office behind one address, an organisation, the users of one tool, a class.
func (t *Tracker) calibrate(pop Population, newest uint32) {
	covered := map[uint32]bool{}
	t.refs = t.refs[:0]
	t.refer(pop, newest, vouchedTokens(pop), vouchedLimit, covered)
	t.refer(pop, newest, t.naturals, len(t.refs)+naturalRefs, covered)
	t.file()
}

// refer takes the holders of the tokens for references, until there are limit. covered are the accounts of references.
func (t *Tracker) refer(pop Population, newest uint32, tokens []uint32, limit int, covered map[uint32]bool) {
	var p pool
	var buf []uint32
	for _, tok := range tokens {
		k := pop.Token(tok)
		if k.Holders < minAccounts || k.Holders > 2000 || len(t.refs) >= limit {
			continue
		}
		buf = pop.Holders(tok, refSample, buf[:0])
		sure := vouched(pop, buf) > 0.5
		if !t.eligible(pop, buf, sure, covered) {
			continue
		}
		for _, a := range buf {
			covered[a] = true
		}
		slices.Sort(buf)
		p.Load(pop, buf, newest)
		t.refs = append(t.refs, reference{t.use(pop, &p, int(k.Holders)), slices.Clone(buf), sure})
	}
}

// vouchedTokens returns the tokens that mostly vouched accounts hold, the most held first: what joins the groups that the
// operator vouches for. It reads every account, which takes less than the seeds of one look.
func vouchedTokens(pop Population) []uint32 {
	holders := map[uint32]int{}
	for a := range uint32(pop.Accounts()) {
		p := pop.Profile(a)
		if p.Relation == 0 {
			continue
		}
		for i := range p.Edges {
			if tok := p.Edges[i].Token; tok != palladium.NoToken {
				holders[tok]++
			}
		}
	}
	out := make([]uint32, 0, len(holders))
	for tok, n := range holders {
		if all := int(pop.Token(tok).Holders); n >= minAccounts && n*2 > all && pop.Token(tok).Kind != palladium.KindCell {
			out = append(out, tok)
		}
	}
	slices.SortFunc(out, func(a, b uint32) int { return cmp.Or(holders[b]-holders[a], cmp.Compare(a, b)) })
	return out
}

// eligible reports whether the accounts can serve as a reference: enough use, not for the greater part of another
// reference, and no suspected campaign unless the operator is sure of them.
func (t *Tracker) eligible(pop Population, accounts []uint32, sure bool, covered map[uint32]bool) bool {
	var claimed, seen, drawn int
	for _, a := range accounts {
		if g := t.owner[a]; g != nil && g.suspect() {
			claimed++
		}
		if covered[a] {
			seen++
		}
		drawn += int(pop.Profile(a).Exchanges)
	}
	n := len(accounts)
	return n >= minAccounts && (sure || claimed*5 <= n) && seen*2 <= n && drawn >= 3*n
}

func vouched(pop Population, accounts []uint32) float64 {
	n := 0
	for _, a := range accounts {
		if pop.Profile(a).Relation != 0 {
			n++
		}
	}
	return float64(n) / float64(max(len(accounts), 1))
}

// pValue is the group's extraction p-value among the references that share no account with it, with how many it was
// compared. A reference of the group's own accounts is no other group, and an undecided campaign would be its own.
func (t *Tracker) pValue(g *Group) (p float64, compared int) {
	own := map[int32]bool{}
	for _, m := range g.members {
		for _, r := range t.refsOn[m.account] {
			own[r] = true
		}
	}
	uses := make([]palladium.LinkedUse, 0, len(t.refs))
	for i := range t.refs {
		if !own[int32(i)] {
			uses = append(uses, t.refs[i].LinkedUse)
		}
	}
	return t.opt.Extraction.PValue(g.use.Score, len(g.members), uses)
}

// file makes the references findable by account.
func (t *Tracker) file() {
	t.refsOn = map[uint32][]int32{}
	for i := range t.refs {
		for _, a := range t.refs[i].on {
			t.refsOn[a] = append(t.refsOn[a], int32(i))
		}
	}
}
