package campaign

import (
	"cmp"
	"math"
	"slices"

	"github.com/palladium-guard/palladium"
)

// minAccounts is the smallest group that is looked for.
const minAccounts = 6

// holderLimit bounds how many holders of a seed are searched for a block; the newest are taken, so that a burst of
// new accounts behind a popular token stands out.
const holderLimit = 768

// searcher finds blocks: sets of accounts that agree in two families or more. It owns its scratch.
type searcher struct {
	pool    pool
	r, best []float32
	w       []weights
	buf     []uint32
	m       model
	without [famCount]bool
}

// interesting is a cheap first look at 48 of a seed's holders: do they agree in anything but the seed's own family
// and the program that they run, more than strangers do?
func (s *searcher) interesting(pop Population, accounts []uint32, seed palladium.Kind, bg *background, newest uint32) bool {
	if len(accounts) > 48 {
		accounts = accounts[:48]
	}
	n := float64(len(accounts))
	total := float64(pop.Accounts())
	count := &s.pool.count
	count.reset(len(accounts) * palladium.EdgeCount)
	for k := palladium.Kind(0); int(k) < palladium.KindCount; k++ {
		if k == palladium.KindOrganization || k == palladium.KindCell || k.Software() || s.without[familyIndex(k)] ||
			seed < palladium.Kind(palladium.KindCount) && k.Family() == seed.Family() {
			continue
		}
		lo, hi := k.Slots()
		for _, a := range accounts {
			edges := &pop.Profile(a).Edges
			for i := lo; i < hi; i++ {
				t := edges[i].Token
				if t == palladium.NoToken {
					continue
				}
				c := count.at(t)
				c.n++
				if c.n >= 4 && surprise(float64(c.n), n, float64(pop.Token(t).Holders)/total) > 12 {
					return true
				}
			}
		}
	}
	return s.alike(pop, accounts, bg, newest)
}

// surprise is a lower bound of -log P(Binomial(n, p) >= k), by the Chernoff bound k log(k/np) - (k - np).
func surprise(k, n, p float64) float64 {
	if k <= n*p {
		return 0
	}
	return k*math.Log(k/(n*p)) - (k - n*p)
}

// alike compares the spread of loads among the accounts with that among background accounts.
func (s *searcher) alike(pop Population, accounts []uint32, bg *background, newest uint32) bool {
	if s.without[famSchedule] || len(accounts) < 12 || len(bg.pool.acc) < 20 {
		return false
	}
	loads := make([][palladium.SlotCount]float32, len(accounts))
	for i, a := range accounts {
		readLoads(pop.Profile(a), newest, palladium.SlotCount-1, &loads[i])
	}
	var mean [palladium.SlotCount]float32
	one := pool{loads: loads, slots: palladium.SlotCount - 1}
	w := make([]float32, len(accounts))
	for i := range w {
		w[i] = 1
	}
	one.meanLoads(w, &mean)
	us := make([]float64, 0, len(loads))
	for i := range loads {
		if u, dof := misfit(&loads[i], &mean, one.slots); dof > 0 {
			us = append(us, float64(u))
		}
	}
	slices.Sort(us)
	if len(us) < 12 {
		return false
	}
	var per float32
	for _, m := range mean {
		per += m
	}
	return us[len(us)/3] < 0.7 && per >= 1.5
}

// find searches the accounts for the block with the largest likelihood ratio. It returns the members with their
// membership, or nil.
func (s *searcher) find(pop Population, accounts []uint32, seed palladium.Kind, bg *background, newest uint32) []member {
	slices.Sort(accounts)
	s.pool.load(pop, accounts, newest)
	n := len(accounts)
	s.r, s.w = resize(s.r, n), resize(s.w, n)
	var bestScore float64
	var found []member
	for _, start := range s.starts(seed, pop.Accounts()) {
		copy(s.r, start)
		score := s.climb(pop, bg)
		if score > bestScore {
			bestScore = score
			found = found[:0]
			for i, r := range s.r {
				if r > 0.5 {
					found = append(found, member{s.pool.acc[i], r})
				}
			}
		}
	}
	if len(found) < minAccounts {
		return nil
	}
	return found
}

// member is an account of a block with its posterior membership.
type member struct {
	account uint32
	r       float32
}

// starts returns initial memberships: everybody, and the holders of the traits that are most over-represented
// outside the seed's family.
func (s *searcher) starts(seed palladium.Kind, population int) [][]float32 {
	p := &s.pool
	n := len(p.acc)
	var out [][]float32
	if n <= 400 {
		all := make([]float32, n)
		for i := range all {
			all[i] = 0.9
		}
		out = append(out, all)
	}
	type cand struct {
		t int32
		g float64
	}
	var top []cand
	for t := range p.tok {
		tr := &p.tok[t]
		if tr.here < 5 || seed < palladium.Kind(palladium.KindCount) && tr.kind.Family() == seed.Family() {
			continue
		}
		g := surprise(float64(tr.here), float64(n), math.Max(float64(tr.df-tr.here+1)/float64(population), 1e-9))
		if tr.here > 0.8*float32(n) && n <= 400 {
			continue // no narrower than everybody
		}
		if g > 12 {
			top = append(top, cand{int32(t), g})
		}
	}
	slices.SortFunc(top, func(a, b cand) int { return cmp.Or(cmp.Compare(b.g, a.g), cmp.Compare(a.t, b.t)) })
	var used [palladium.KindCount]int
	for _, c := range top {
		k := p.tok[c.t].kind
		if used[k] > 0 || len(out) >= 4 {
			continue
		}
		used[k]++
		out = append(out, s.holdersOf(c.t))
	}
	if len(out) < 4 && !s.without[famSchedule] {
		out = append(out, s.steadiest())
	}
	return out
}

func (s *searcher) holdersOf(t int32) []float32 {
	p := &s.pool
	r := make([]float32, len(p.acc))
	for i := range p.acc {
		r[i] = 0.02
		if slices.Contains(p.traits[p.start[i]:p.start[i+1]], t) {
			r[i] = 0.95
		}
	}
	return r
}

// steadiest starts from the accounts whose total load is the commonest: the densest window of log totals.
func (s *searcher) steadiest() []float32 {
	p := &s.pool
	type at struct {
		i int
		v float64
	}
	tot := make([]at, 0, len(p.acc))
	for i := range p.loads {
		var c float32
		for _, l := range p.loads[i][:p.slots] {
			c += max(l, 0)
		}
		if c >= 4 {
			tot = append(tot, at{i, math.Log(float64(c))})
		}
	}
	r := make([]float32, len(p.acc))
	slices.SortFunc(tot, func(a, b at) int { return cmp.Or(cmp.Compare(a.v, b.v), cmp.Compare(a.i, b.i)) })
	lo, bestLo, bestHi := 0, 0, 0
	for hi := range tot {
		for tot[hi].v-tot[lo].v > 0.35 {
			lo++
		}
		if hi-lo > bestHi-bestLo {
			bestLo, bestHi = lo, hi
		}
	}
	for i := range r {
		r[i] = 0.02
	}
	if len(tot) > 0 {
		for _, t := range tot[bestLo : bestHi+1] {
			r[t.i] = 0.9
		}
	}
	return r
}

// climb fits and scores in turn (expectation-maximisation of a two-part mixture) and returns the log-likelihood
// ratio of the block against no block.
func (s *searcher) climb(pop Population, bg *background) float64 {
	var score float64
	for iter := 0; iter < 7; iter++ {
		var moved float32
		s.m.fit(&s.pool, s.r, bg, pop.Accounts(), &s.without)
		s.m.scoreAll(&s.pool, s.w)
		s.partners(pop)
		score = 0
		var mass float32
		for i := range s.r {
			t := s.w[i].total() + s.m.prior
			if !s.w[i].belongs() {
				t = min(t, -5)
			}
			r := float32(1 / (1 + math.Exp(-float64(t))))
			moved += abs32(r - s.r[i])
			s.r[i] = r
			score += math.Log1p(math.Exp(float64(min(t, 30))))
			mass += s.r[i]
		}
		if mass < 4 {
			return 0
		}
		if iter > 0 && moved < 0.005*mass {
			break
		}
	}
	return score
}

// partners adds continuity: a conversation or an answer shared with an account now in the block.
func (s *searcher) partners(pop Population) {
	if s.without[famContinuity] {
		return
	}
	for i, a := range s.pool.acc {
		pr := pop.Profile(a)
		lo, _ := palladium.KindChain.Slots()
		_, hi := palladium.KindEcho.Slots()
		for e := lo; e < hi; e++ {
			t := pr.Edges[e].Token
			if t == palladium.NoToken {
				continue
			}
			tok := pop.Token(t)
			if tok.Holders < 2 || tok.Holders > 8 {
				continue
			}
			s.buf = pop.Holders(t, 8, s.buf[:0])
			for _, b := range s.buf {
				if b == a {
					continue
				}
				if j := s.where(b); j >= 0 && s.r[j] > 0.3 {
					if s.w[i][famContinuity] == 0 {
						s.w[i][famMutual] += 2
					}
					s.w[i][famContinuity] = 8
				}
			}
		}
	}
}

// where returns the position of account a in the pool; -1 when it is not there.
func (s *searcher) where(a uint32) int {
	if i, ok := slices.BinarySearch(s.pool.acc, a); ok {
		return i
	}
	return -1
}
