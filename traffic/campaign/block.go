package campaign

import (
	"math"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/stats/cohesion"
)

// model is what a block of accounts has in common: how often its accounts hold a trait against how often others do,
// its mean loads, when it began, and its mean topic. It scores any account.
type model struct {
	gain   map[uint32]float32        // token -> log(rate in block / rate outside); set by seal
	rate   map[uint32]float32        // token -> rate in block; set by seal
	kindOf map[uint32]palladium.Kind // token -> its kind; set by seal
	local  []float32                 // gain by trait of the pool last fitted; 0 for none
	rates  []float32                 // rate by trait of that pool
	held   []float32
	lack   [palladium.KindCount]float32 // nats for having the kind but not its dominant token; <= 0
	major  [palladium.KindCount]uint32  // that dominant token

	levels  cohesion.Levels  // of loads
	onset   cohesion.Onset   // when its accounts began
	heading cohesion.Heading // of topics
	prior   float32
}

// Caps in nats: no family alone can make a member, and the program that an account runs is one circumstance.
const (
	familyCap   = 10
	softwareCap = 7
	scheduleCap = 6
	loadCap     = 5
	topicCap    = 6
)

// background is a sample of other accounts laid out like a pool.
type background struct {
	pool pool
}

// fit estimates the model from the accounts of p weighted by r.
func (m *model) fit(p *pool, r []float32, bg *background, population int, without *[famCount]bool) {
	var mass float32
	for _, w := range r {
		mass += w
	}
	m.fitTraits(p, r, mass, population)
	m.levels.OK, m.heading.OK, m.onset.Gain = false, false, 0
	if !without[famSchedule] {
		m.levels.Fit(&p.Sample, r, &bg.pool.Sample)
		m.onset.Fit(&p.Sample, r, &bg.pool.Sample)
	}
	if !without[famTwins] {
		m.heading.Fit(&p.Sample, r, &bg.pool.Sample)
	}
	m.prior = -float32(min(max(math.Log(float64(population)/20)+1, 6), 11))
}

// coreShare is the least share of a block that must hold a token for it to join its holder to the block as a whole,
// and coreNats how much an account must have in common with the whole. Without it a block could be two groups that
// share nothing with each other.
const (
	coreShare = 0.25
	coreNats  = 4
)

// wordingShare is the least share of a block that must use a wording for it to be the block's own. Strangers who draw
// on one public list of questions share many wordings, each among few.
const wordingShare = 0.15

func (m *model) fitTraits(p *pool, r []float32, mass float32, population int) {
	m.held = resize(m.held, len(p.tok))
	clear(m.held)
	held := m.held
	var kindMass [palladium.KindCount]float32
	for i := range p.acc {
		if r[i] < 0.01 {
			continue
		}
		for _, t := range p.traits[p.start[i]:p.start[i+1]] {
			held[t] += r[i]
		}
		for k := range kindMass {
			if p.has[i]&(1<<k) != 0 {
				kindMass[k] += r[i]
			}
		}
	}
	m.local, m.rates = resize(m.local, len(p.tok)), resize(m.rates, len(p.tok))
	clear(m.local)
	clear(m.rates)
	for k := range m.major {
		m.major[k], m.lack[k] = palladium.NoToken, 0
	}
	var best [palladium.KindCount]float32
	others := float32(population) - mass + 1
	for t, h := range held {
		if h < 2 {
			continue
		}
		tr := &p.tok[t]
		theta := (h + 0.1) / (mass + 1)
		out := max((tr.df-h+0.5)/others, 0.5/float32(population))
		if out > 1 {
			out = 1
		}
		if theta <= out*1.5 || tr.kind == palladium.KindShingle && theta < wordingShare {
			continue
		}
		m.local[t] = float32(math.Log(float64(theta / out)))
		m.rates[t] = theta
		if km := kindMass[tr.kind]; km > 0 && h/km > best[tr.kind] {
			best[tr.kind] = h / km
			if f := h / (km + 1); f >= 0.6 {
				m.major[tr.kind] = tr.token
				m.lack[tr.kind] = max(float32(math.Log(float64((1-f)/(1-min(out, 0.9))))), -4)
			}
		}
	}
}

// scorable is one account's data in the form that score takes.
type scorable struct {
	tokens []uint32
	kinds  []palladium.Kind
	has    uint32
	loads  *cohesion.Row
	first  float32
	topic  *cohesion.Vector
	topicN int32
}

// score returns the account's weights: for each kind of token the most telling one, summed within a family up to
// its cap; what the account lacks counts against it.
func (m *model) score(s *scorable, w *weights) {
	var kind, core [palladium.KindCount]float32
	var major uint32
	for i, t := range s.tokens {
		k := s.kinds[i]
		if g, ok := m.gain[t]; ok {
			kind[k] = max(kind[k], g)
			if m.rate[t] >= coreShare {
				core[k] = max(core[k], g)
			}
		}
		if m.major[k] == t {
			major |= 1 << k
		}
	}
	m.weigh(s, &kind, &core, major, w)
}

// weigh turns the most telling token of each kind, and the behaviour, into weights.
func (m *model) weigh(s *scorable, kind, core *[palladium.KindCount]float32, major uint32, w *weights) {
	*w = weights{}
	var mutual float32
	var software float32
	for k := range kind {
		g := kind[k]
		if m.lack[k] < 0 && s.has&(1<<k) != 0 && major&(1<<k) == 0 && g < familyCap/2 {
			g = m.lack[k]
		}
		if palladium.Kind(k).Software() && g > 0 {
			g = min(g, softwareCap-software)
			software += g
		}
		w[familyIndex(palladium.Kind(k))] += g
		mutual += core[k]
	}
	if g, ok := m.levels.Ratio(s.loads); ok {
		w[famSchedule] += min(max(g, -5), loadCap)
	}
	if m.onset.Gain > 0 && m.onset.Covers(s.first) {
		w[famSchedule] += m.onset.Gain
	}
	if g, ok := m.heading.Ratio(s.topic, s.topicN); ok {
		w[famTwins] += min(max(g, -4), topicCap)
	}
	for f := range w[:famCount] {
		w[f] = min(max(w[f], -8), familyCap)
	}
	w[famSchedule] = min(w[famSchedule], scheduleCap)
	w[famMutual] = min(mutual+w[famSchedule]+max(w[famTwins], 0), familyCap)
}

// scoreAll scores every account of the pool that the model was last fitted to.
func (m *model) scoreAll(p *pool, out []weights) {
	for i := range p.acc {
		var kind, core [palladium.KindCount]float32
		var major uint32
		for _, t := range p.traits[p.start[i]:p.start[i+1]] {
			k := p.tok[t].kind
			kind[k] = max(kind[k], m.local[t])
			if m.rates[t] >= coreShare {
				core[k] = max(core[k], m.local[t])
			}
			if m.major[k] == p.tok[t].token {
				major |= 1 << k
			}
		}
		s := scorable{has: p.has[i], loads: &p.Loads[i], first: p.First[i], topic: &p.Mean[i], topicN: p.Events[i]}
		m.weigh(&s, &kind, &core, major, &out[i])
	}
}

// seal makes the model independent of the pool that it was fitted to.
func (m *model) seal(p *pool) {
	m.gain, m.rate, m.kindOf = map[uint32]float32{}, map[uint32]float32{}, map[uint32]palladium.Kind{}
	for t, g := range m.local {
		if g > 0 {
			m.gain[p.tok[t].token], m.rate[p.tok[t].token] = g, m.rates[t]
			m.kindOf[p.tok[t].token] = p.tok[t].kind
		}
	}
	m.local, m.rates, m.held = nil, nil, nil
}
