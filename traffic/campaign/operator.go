package campaign

import (
	"cmp"
	"maps"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/palladium-guard/palladium/internal/stats"
	"github.com/palladium-guard/palladium/internal/stats/cohesion"
	"github.com/palladium-guard/palladium/internal/stats/collision"
)

// trial is the one-operator test of a group at one time. Its null hypothesis: the accounts are independent of each
// other given how common everything is. For each family f the accounts are chosen by the other families alone, and
// their agreement in f is compared with that of strangers: by the binomial law for tokens (the limit of shuffling
// tokens among accounts of the same plan), by matched random sets for loads and topics. So what chose the accounts
// never testifies for them. The families' e-values are averaged, which is valid under any dependence
// (Vovk and Wang 2021).
//
// Where the accounts send the prompts of a public list, as strangers who use it do, the list is the cause of all that
// follows from a text: wording, topics, and on the day of a release the hour. None of these testifies then; conversations that
// go on elsewhere and loads that last beyond a day still do, as no list moves a conversation. See internal/stats/collision.
type trial struct {
	at    int64
	m     int
	p     [famCount]float64 // 1 where not tested, and where the list is the cause
	e     float64           // e-value against independent accounts
	apart float64           // the same against independent accounts that use one public list
	list  collision.List
}

// lastingPeak is the largest share of the accounts' requests in the busiest day with which their loads are more than what a
// release brings: users of a public list may all come on that day.
const lastingPeak = 0.5

// pFloor is the least p-value that one family may claim: beyond it the model of chance is not to be trusted.
const pFloor = 1e-14

// choose returns the positions whose weights without family f are convincing.
func choose(w []weights, f int) []int {
	var best float32
	for i := range w {
		best = max(best, w[i].total()-w[i][f])
	}
	need := max(6, min(best*0.6, 12))
	var out []int
	for i := range w {
		if w[i].total()-w[i][f] >= need {
			out = append(out, i)
		}
	}
	return out
}

// tester holds what the tests of one moment share.
type tester struct {
	pop     Population
	bg      *background
	sample  []uint32 // background accounts
	rng     *rand.Rand
	without [famCount]bool
	alien   func(account uint32) bool // belongs to another group that one operator is shown to run; may be nil
}

// chance compares behaviour with that of the background.
func (t *tester) chance() *cohesion.Chance {
	return &cohesion.Chance{Others: &t.bg.pool.Sample, Rand: t.rng}
}

// untested is the trial in which nothing was tested.
func untested(at int64) trial {
	tr := trial{at: at}
	for f := range tr.p {
		tr.p[f] = 1
	}
	return tr
}

// run tests the group whose candidates are laid out in p with weights w.
func (t *tester) run(p *pool, w []weights, at int64) trial {
	tr := untested(at)
	var sum, apart, tested float64
	all := choose(w, famQueue)
	if len(all) >= minAccounts {
		tr.list = t.list(p, all)
	}
	for f := 0; f < famCount; f++ {
		if t.without[f] || f == famParameters {
			continue
		}
		tested++
		sum, apart = sum+stats.EValueFromP(1), apart+stats.EValueFromP(1)
		sel := choose(w, f)
		if len(sel) < minAccounts {
			continue
		}
		tr.m = max(tr.m, len(sel))
		var lp, broad float64 // log p-values; broad of what does not follow from a list
		switch f {
		case famIdentity, famNetwork:
			lp, broad = t.tokens(p, sel, f)
		case famTemplate:
			lp, _ = t.tokens(p, sel, f)
		case famContinuity:
			lp = t.continuity(p, sel)
			broad = lp
		case famSchedule:
			if lp = t.chance().Loads(&p.Sample, sel); p.Peak(sel, daySlots) <= lastingPeak {
				broad = lp
			}
		case famTwins:
			lp = t.chance().Directions(&p.Sample, sel)
		case famQueue:
			lp = tr.list.Dealt()
		}
		own, other := math.Max(math.Exp(min(lp, 0)), pFloor), math.Max(math.Exp(min(broad, 0)), pFloor)
		sum += stats.EValueFromP(own) - stats.EValueFromP(1)
		apart += stats.EValueFromP(other) - stats.EValueFromP(1)
		if tr.p[f] = own; tr.list.Public {
			tr.p[f] = other
		}
	}
	tr.e, tr.apart = sum/max(tested, 1), apart/max(tested, 1)
	return tr
}

// tokens returns the log p-value of the most surprising token of family f that the chosen accounts share, and of the most
// surprising one that a quarter of them hold: among the users of a list there are owners of several accounts.
func (t *tester) tokens(p *pool, sel []int, f int) (lp, broad float64) {
	here := map[int32]int{}
	for _, i := range sel {
		for _, tr := range p.traits[p.start[i]:p.start[i+1]] {
			if k := p.tok[tr].kind; familyIndex(k) == f && !k.Software() {
				here[tr]++
			}
		}
	}
	plans := map[uint64]float64{}
	for _, i := range sel {
		plans[t.pop.Profile(p.acc[i]).Plan] += 1 / float64(len(sel))
	}
	tops := make([]int32, 0, len(here))
	for tr, k := range here {
		if k >= 3 {
			tops = append(tops, tr)
		}
	}
	tested := len(tops)
	slices.SortFunc(tops, func(a, b int32) int {
		sa := stats.ChernoffBinomial(float64(here[a]), float64(len(sel)), float64(p.tok[a].df)/float64(t.pop.Accounts()))
		sb := stats.ChernoffBinomial(float64(here[b]), float64(len(sel)), float64(p.tok[b].df)/float64(t.pop.Accounts()))
		return cmp.Or(cmp.Compare(sb, sa), cmp.Compare(a, b))
	})
	for _, tr := range tops[:min(len(tops), 6)] {
		v := stats.LogBinomialTail(here[tr], len(sel), t.rate(&p.tok[tr], plans))
		if lp = min(lp, v); here[tr]*4 >= len(sel) {
			broad = min(broad, v)
		}
	}
	tries := math.Log(float64(max(tested, 1)))
	return lp + tries, broad + tries
}

// rate is how often strangers hold the token: the larger of its share of all accounts and its share of the sampled
// accounts on the same plans.
func (t *tester) rate(tr *trait, plans map[uint64]float64) float64 {
	n := float64(max(t.pop.Accounts(), 1))
	rate := float64(tr.df) / n
	lo, hi := tr.kind.Slots()
	have, all := map[uint64]float64{}, map[uint64]float64{}
	for _, a := range t.sample {
		pr := t.pop.Profile(a)
		if plans[pr.Plan] == 0 {
			continue
		}
		all[pr.Plan]++
		for e := lo; e < hi; e++ {
			if pr.Edges[e].Token == tr.token {
				have[pr.Plan]++
				break
			}
		}
	}
	var strat float64
	for _, plan := range slices.Sorted(maps.Keys(plans)) { // in one order, for the same sum each time
		strat += plans[plan] * have[plan] / (all[plan] + 1)
	}
	return min(max(rate, strat), 1)
}

// continuity returns the log p-value of how many chosen accounts share a conversation or an answer with another
// chosen one, against how common such sharing is at all.
func (t *tester) continuity(p *pool, sel []int) float64 {
	in := map[uint32]bool{}
	for _, i := range sel {
		in[p.acc[i]] = true
	}
	hit := 0
	for _, i := range sel {
		if t.partnered(p.acc[i], in) {
			hit++
		}
	}
	if hit == 0 {
		return 0
	}
	any := 0
	for _, a := range t.sample {
		if t.partnered(a, nil) {
			any++
		}
	}
	// A stranger's partner would have to be in this very group as well.
	rate := (float64(any) + 1) / (float64(len(t.sample)) + 1)
	rate *= min(float64(len(sel))/float64(max(t.pop.Accounts(), 1))*10, 1)
	return stats.LogBinomialTail(hit, len(sel), min(rate, 1))
}

// partnered reports whether account a has a companion, among those in when it is not nil.
func (t *tester) partnered(a uint32, in map[uint32]bool) bool {
	var buf [48]uint32
	return slices.ContainsFunc(companions(t.pop, a, buf[:0]), func(b uint32) bool { return in == nil || in[b] })
}
