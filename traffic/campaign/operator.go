package campaign

import (
	"cmp"
	"maps"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/stats"
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
	says     [famCount]string
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

// run tests the group whose candidates are laid out in p with weights w.
func (t *tester) run(p *pool, w []weights, at int64) trial {
	tr := trial{at: at, m: 0}
	for f := range tr.p {
		tr.p[f] = 1
	}
	tested := 0
	for f := 0; f < famCount; f++ {
		if t.without[f] || f == famParameters {
			continue
		}
		tested++
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
			lp = t.schedule(p, sel)
		case famTwins:
			lp = t.twins(p, sel)
		case famQueue:
			lp = t.queue(p, sel, &tr)
		}
		tr.p[f] = math.Max(math.Exp(min(lp, 0)), pFloor)
	}
	var sum float64
	for f := range tr.p {
		if tr.p[f] < 1 {
			sum += stats.EValueFromP(tr.p[f])
		} else {
			sum += 0.5
		}
	}
	tr.e = sum / float64(max(tested, 1))
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
		sa := surprise(float64(here[a]), float64(len(sel)), float64(p.tok[a].df)/float64(t.pop.Accounts()))
		sb := surprise(float64(here[b]), float64(len(sel)), float64(p.tok[b].df)/float64(t.pop.Accounts()))
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

func (t *tester) partnered(a uint32, in map[uint32]bool) bool {
	pr := t.pop.Profile(a)
	lo, _ := palladium.KindChain.Slots()
	_, hi := palladium.KindEcho.Slots()
	var buf [8]uint32
	for e := lo; e < hi; e++ {
		tok := pr.Edges[e].Token
		if tok == palladium.NoToken {
			continue
		}
		if n := t.pop.Token(tok).Holders; n < 2 || n > 8 {
			continue
		}
		if in == nil {
			return true
		}
		for _, b := range t.pop.Holders(tok, 8, buf[:0]) {
			if b != a && in[b] {
				return true
			}
		}
	}
	return false
}

// resamples is how many matched random sets a behaviour is compared with.
const resamples = 40

// schedule compares the spread of loads around a common profile with that of sets of strangers whose total loads
// match one for one.
func (t *tester) schedule(p *pool, sel []int) float64 {
	if len(sel) > 96 {
		sel = t.pick(sel, 96)
	}
	bgTotal := totals(&t.bg.pool)
	order := make([]int, 0, len(bgTotal))
	for i, c := range bgTotal {
		if c > 0 {
			order = append(order, i)
		}
	}
	if len(order) < 40 {
		return 0
	}
	slices.SortFunc(order, func(a, b int) int { return cmpFloat(bgTotal[a], bgTotal[b]) })
	lf := t.beginnings(p, sel, order)
	own := totals(p)
	var per float32
	for _, i := range sel {
		per += own[i] / float32(len(sel))
	}
	if per < 2 {
		return lf // one request each is equal by necessity
	}
	x := spread(p, sel)
	null := make([]float64, resamples)
	pick := make([]int, len(sel))
	for b := range null {
		for j, i := range sel {
			at, _ := slices.BinarySearchFunc(order, own[i], func(o int, v float32) int { return cmpFloat(bgTotal[o], v) })
			at += t.rng.IntN(15) - 7
			pick[j] = order[min(max(at, 0), len(order)-1)]
		}
		null[b] = spread(&t.bg.pool, pick)
	}
	return min(math.Ln2+min(normalTail(null, x, -1), lf), 0)
}

// beginnings compares how close together the accounts sent their first request with random sets of strangers: the
// log of the range of the middle half, in hours.
func (t *tester) beginnings(p *pool, sel, from []int) float64 {
	if len(p.first) == 0 || len(t.bg.pool.first) == 0 || len(sel) < minAccounts {
		return 0
	}
	v := make([]float64, len(sel))
	span := func(first []float32, pick []int) float64 {
		for j, i := range pick {
			v[j] = float64(first[i])
		}
		q := stats.Quantiles(v, 0.25, 0.75)
		return math.Log(q[1] - q[0] + 1)
	}
	x := span(p.first, sel)
	null := make([]float64, resamples)
	for b := range null {
		null[b] = span(t.bg.pool.first, t.some(from, len(sel)))
	}
	return normalTail(null, x, -1)
}

func cmpFloat(a, b float32) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func totals(p *pool) []float32 {
	out := make([]float32, len(p.acc))
	for i := range p.acc {
		for _, c := range p.loads[i][:p.slots] {
			out[i] += max(c, 0)
		}
	}
	return out
}

// spread is the mean misfit of the accounts' loads to their own mean profile.
func spread(p *pool, sel []int) float64 {
	var mean [palladium.SlotCount]float32
	for s := 0; s < p.slots; s++ {
		var sum, n float32
		for _, i := range sel {
			if c := p.loads[i][s]; c >= 0 {
				sum, n = sum+c, n+1
			}
		}
		if n > 0 {
			mean[s] = sum / n
		}
	}
	var sum, n float64
	for _, i := range sel {
		if u, dof := misfit(&p.loads[i], &mean, p.slots); dof > 0 {
			sum, n = sum+float64(u), n+1
		}
	}
	if n == 0 {
		return 0
	}
	return sum / n
}

// normalTail is the log p-value of x among samples by a normal fit, never less than twelve deviations out: beyond
// that the normal law is not to be trusted. side is +1 when large is extreme and -1 when small is.
func normalTail(samples []float64, x float64, side float64) float64 {
	var s, q float64
	for _, v := range samples {
		s += v
		q += v * v
	}
	n := float64(len(samples))
	mu := s / n
	sd := math.Sqrt(max(q/n-mu*mu, 0)*n/(n-1)) + 1e-3
	z := side * (x - mu) / (sd * 1.3) // a third wider: the fit is from few sets
	if z <= 0 {
		return 0
	}
	return stats.LogNormalTail(min(z, 12))
}

// twins compares the accounts' mutual similarity of topics with that of random sets of strangers.
func (t *tester) twins(p *pool, sel []int) float64 {
	if len(sel) > 96 {
		sel = t.pick(sel, 96)
	}
	var with []int
	prompts := 0
	for _, i := range sel {
		if p.topicN[i] >= minTopic {
			with = append(with, i)
			prompts += int(p.topicN[i])
		}
	}
	if len(with) < minAccounts || prompts < 24 {
		return 0
	}
	var bgWith []int
	for i := range t.bg.pool.acc {
		if t.bg.pool.topicN[i] >= minTopic {
			bgWith = append(bgWith, i)
		}
	}
	if len(bgWith) < 40 {
		return 0
	}
	x := cross(p, with)
	null := make([]float64, resamples)
	for b := range null {
		null[b] = cross(&t.bg.pool, t.some(bgWith, len(with)))
	}
	return normalTail(null, x, 1)
}

// cross is the mean scalar product of the mean topics of two different accounts: the numerator of rho.
func cross(p *pool, sel []int) float64 {
	var sum [palladium.TopicDims]float64
	var own float64
	for _, i := range sel {
		for d, f := range &p.topic[i] {
			sum[d] += float64(f)
			own += float64(f) * float64(f)
		}
	}
	var q float64
	for _, f := range sum {
		q += f * f
	}
	n := float64(len(sel))
	return (q - own) / (n * (n - 1))
}

func (t *tester) pick(sel []int, n int) []int {
	out := slices.Clone(sel)
	t.rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out[:n]
}

// some draws n positions without replacement, or with when there are too few.
func (t *tester) some(from []int, n int) []int {
	if n <= len(from)/2 {
		return t.pick(from, n)
	}
	out := make([]int, n)
	for i := range out {
		out[i] = from[t.rng.IntN(len(from))]
	}
	return out
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
