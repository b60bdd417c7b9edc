package campaign

import (
	"cmp"
	"maps"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/stats"
	"github.com/palladium-guard/palladium/internal/stats/cohesion"
)

// trial is the one-operator test of a group at one time. Its null hypothesis: the accounts are independent of each
// other given how common everything is. For each family f the accounts are chosen by the other families alone, and
// their agreement in f is compared with that of strangers: by the binomial law for tokens (the limit of shuffling
// tokens among accounts of the same plan), by matched random sets for loads and topics. So what chose the accounts
// never testifies for them. The families' e-values are averaged, which is valid under any dependence
// (Vovk and Wang 2021).
type trial struct {
	at       int64
	m        int
	p        [famCount]float64 // 1 where not tested
	e        float64
	inside   float64 // pairs of accounts that sent the same prompt, against what strangers' collisions let expect
	expect   float64
	stranger bool // prompts collide as those of independent accounts do
}

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
}

// chance compares behaviour with that of the background.
func (t *tester) chance() *cohesion.Chance {
	return &cohesion.Chance{Others: &t.bg.pool.Sample, Rand: t.rng}
}

// run tests the group whose candidates are laid out in p with weights w.
func (t *tester) run(p *pool, w []weights, at int64) trial {
	tr := trial{at: at, m: 0}
	for f := range tr.p {
		tr.p[f] = 1
	}
	var sum, tested float64
	for f := 0; f < famCount; f++ {
		if t.without[f] || f == famParameters {
			continue
		}
		tested++
		sum += stats.EValueFromP(1)
		sel := choose(w, f)
		if len(sel) < minAccounts {
			continue
		}
		tr.m = max(tr.m, len(sel))
		var lp float64
		switch f {
		case famIdentity, famNetwork, famTemplate:
			lp = t.tokens(p, sel, f)
		case famContinuity:
			lp = t.continuity(p, sel)
		case famSchedule:
			lp = t.chance().Loads(&p.Sample, sel)
		case famTwins:
			lp = t.chance().Directions(&p.Sample, sel)
		case famQueue:
			lp = t.queue(p, sel, &tr)
		}
		tr.p[f] = math.Max(math.Exp(min(lp, 0)), pFloor)
		sum += stats.EValueFromP(tr.p[f]) - stats.EValueFromP(1)
	}
	tr.e = sum / max(tested, 1)
	return tr
}

// tokens returns the log p-value of the most surprising token of family f that the chosen accounts share.
func (t *tester) tokens(p *pool, sel []int, f int) float64 {
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
	best := 0.0
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
		best = min(best, stats.LogBinomialTail(here[tr], len(sel), t.rate(&p.tok[tr], plans)))
	}
	return best + math.Log(float64(max(tested, 1)))
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

// queue looks at prompts that several accounts sent. Strangers who draw on one public list collide at a rate that
// can be measured between the group and others who draw on it; a work queue never deals a prompt twice.
func (t *tester) queue(p *pool, sel []int, tr *trial) float64 {
	if len(sel) > 300 {
		sel = sel[:300]
	}
	in := map[uint32]bool{}
	prompts := map[uint32]int{}
	for _, i := range sel {
		in[p.acc[i]] = true
		for _, h := range t.pop.Profile(p.acc[i]).Prompts {
			if h != math.MaxUint32 {
				prompts[h]++
			}
		}
	}
	inside := 0
	for _, n := range prompts {
		inside += n * (n - 1) / 2
	}
	var outside, accounts int
	for _, a := range t.neighbours(p, sel, in) {
		accounts++
		for _, h := range t.pop.Profile(a).Prompts {
			if h != math.MaxUint32 {
				outside += prompts[h]
			}
		}
	}
	m := float64(len(sel))
	tr.inside = float64(inside)
	if accounts < 5 || outside < 3 {
		return 0
	}
	tr.expect = float64(outside) / float64(accounts) * (m - 1) / 2
	tr.stranger = tr.inside >= 0.35*tr.expect && tr.expect >= 2
	if inside > 0 || tr.expect < 3 {
		return 0
	}
	return -tr.expect / 2 // half: the rate is an estimate
}

// neighbours returns up to 64 accounts outside the group with the same topic cell or shingles.
func (t *tester) neighbours(p *pool, sel []int, in map[uint32]bool) []uint32 {
	votes := map[uint32]int{}
	for _, i := range sel {
		pr := t.pop.Profile(p.acc[i])
		lo, hi := palladium.KindShingle.Slots()
		for e := lo; e < hi; e++ {
			if k := pr.Edges[e].Token; k != palladium.NoToken {
				votes[k]++
			}
		}
		if c := pr.Edges[palladium.EdgeCount-1].Token; c != palladium.NoToken {
			votes[c] += 2
		}
	}
	toks := make([]uint32, 0, len(votes))
	for k := range votes {
		toks = append(toks, k)
	}
	slices.SortFunc(toks, func(a, b uint32) int {
		if votes[a] != votes[b] {
			return votes[b] - votes[a]
		}
		return int(a) - int(b)
	})
	var out, buf []uint32
	seen := map[uint32]bool{}
	for _, k := range toks[:min(len(toks), 24)] {
		buf = t.pop.Holders(k, 400, buf[:0])
		for _, a := range buf {
			if !in[a] && !seen[a] {
				seen[a] = true
				out = append(out, a)
				if len(out) >= 64 {
					return out
				}
			}
		}
	}
	return out
}
