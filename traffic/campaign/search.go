package campaign

import (
	"cmp"
	"math"
	"slices"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/stats"
	"github.com/palladium-guard/palladium/internal/stats/cohesion"
	"github.com/palladium-guard/palladium/internal/stats/cohesion/block"
)

// minAccounts is the smallest group that is looked for.
const minAccounts = 6

// holderLimit bounds how many holders of a seed are searched for a block; the newest are taken, so that a burst of
// new accounts behind a popular token stands out.
const holderLimit = 768

// searcher finds blocks: sets of accounts that agree in two families or more. It owns its scratch.
type searcher struct {
	pool    pool
	r       []float32
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
	count := &s.pool.Tally
	count.Reset(len(accounts) * palladium.EdgeCount)
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
				c := count.At(t)
				c.N++
				if c.N >= 4 && stats.ChernoffBinomial(float64(c.N), n, float64(pop.Token(t).Holders)/total) > 12 {
					return true
				}
			}
		}
	}
	return s.alike(pop, accounts, bg, newest)
}

// alike reports whether the accounts draw their loads as if these were dealt.
func (s *searcher) alike(pop Population, accounts []uint32, bg *background, newest uint32) bool {
	if s.without[famSchedule] || len(accounts) < 12 || len(bg.Pool.Acc) < 20 {
		return false
	}
	sample := cohesion.Sample{Loads: make([]cohesion.Row, len(accounts)), Slots: palladium.SlotCount - 1}
	for i, a := range accounts {
		block.ReadLoads(pop.Profile(a), newest, sample.Slots, &sample.Loads[i])
	}
	return sample.Levelled()
}

// find searches the accounts for the block with the largest likelihood ratio. It returns the members with their
// membership, or nil.
func (s *searcher) find(pop Population, accounts []uint32, seed palladium.Kind, bg *background, newest uint32) []member {
	slices.Sort(accounts)
	s.pool.Load(pop, accounts, newest)
	n := len(accounts)
	s.r, s.w = block.Resize(s.r, n), block.Resize(s.w, n)
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
					found = append(found, member{s.pool.Acc[i], r})
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
	n := len(p.Acc)
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
	for t := range p.Tok {
		tr := &p.Tok[t]
		if tr.Here < 5 || seed < palladium.Kind(palladium.KindCount) && tr.Kind.Family() == seed.Family() {
			continue
		}
		g := stats.ChernoffBinomial(float64(tr.Here), float64(n), math.Max(float64(tr.DF-tr.Here+1)/float64(population), 1e-9))
		if tr.Here > 0.8*float32(n) && n <= 400 {
			continue // no narrower than everybody
		}
		if g > 12 {
			top = append(top, cand{int32(t), g})
		}
	}
	slices.SortFunc(top, func(a, b cand) int { return cmp.Or(cmp.Compare(b.g, a.g), cmp.Compare(a.t, b.t)) })
	var used [palladium.KindCount]int
	for _, c := range top {
		k := p.Tok[c.t].Kind
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
	r := make([]float32, len(p.Acc))
	for i := range p.Acc {
		r[i] = 0.02
		if slices.Contains(p.Traits[p.Start[i]:p.Start[i+1]], t) {
			r[i] = 0.95
		}
	}
	return r
}

// steadiest starts from the accounts whose total load is the commonest.
func (s *searcher) steadiest() []float32 {
	r := make([]float32, len(s.pool.Acc))
	for i := range r {
		r[i] = 0.02
	}
	for _, i := range s.pool.Commonest() {
		r[i] = 0.9
	}
	return r
}

// climb fits and scores in turn (expectation-maximisation of a two-part mixture) and returns the log-likelihood
// ratio of the block against no block.
func (s *searcher) climb(pop Population, bg *background) float64 {
	var score float64
	for iter := 0; iter < 7; iter++ {
		var moved float32
		s.m.Fit(&s.pool, s.r, bg, pop.Accounts(), &s.without)
		s.m.ScoreAll(&s.pool, s.w)
		s.partners(pop)
		score = 0
		var mass float32
		for i := range s.r {
			t := s.w[i].Total() + s.m.Prior
			if !s.w[i].Belongs() {
				t = min(t, -5)
			}
			r := float32(1 / (1 + math.Exp(-float64(t))))
			moved += max(r-s.r[i], s.r[i]-r)
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
	for i, a := range s.pool.Acc {
		s.buf = companions(pop, a, s.buf[:0])
		for _, b := range s.buf {
			if j := s.where(b); j >= 0 && s.r[j] > 0.3 {
				if s.w[i][famContinuity] == 0 {
					s.w[i][famMutual] += 2
				}
				s.w[i][famContinuity] = 8
			}
		}
	}
}

// companions appends to buf the accounts that share a conversation or an answer with account a. One that more than
// eight share is a stock text and joins nobody.
func companions(pop Population, a uint32, buf []uint32) []uint32 {
	edges := &pop.Profile(a).Edges
	lo, _ := palladium.KindChain.Slots()
	_, hi := palladium.KindEcho.Slots()
	for _, e := range edges[lo:hi] {
		if e.Token == palladium.NoToken {
			continue
		}
		if n := pop.Token(e.Token).Holders; n >= 2 && n <= 8 {
			buf = pop.Holders(e.Token, 8, buf)
		}
	}
	return slices.DeleteFunc(buf, func(b uint32) bool { return b == a })
}

// where returns the position of account a in the pool; -1 when it is not there.
func (s *searcher) where(a uint32) int {
	if i, ok := slices.BinarySearch(s.pool.Acc, a); ok {
		return i
	}
	return -1
}
