package block

import (
	"math"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/stats/cohesion"
)

// Model is what a block of accounts has in common: how often its accounts hold a trait against how often others do,
// its mean loads, when it began, and its mean topic. It scores any account.
type Model struct {
	Gain   map[uint32]float32        // token -> log(rate in block / rate outside); set by seal
	Rate   map[uint32]float32        // token -> rate in block; set by seal
	KindOf map[uint32]palladium.Kind // token -> its kind; set by seal
	local  []float32                 // gain by trait of the pool last fitted; 0 for none
	rates  []float32                 // rate by trait of that pool
	held   []float32
	lack   [palladium.KindCount]float32 // nats for having the kind but not its dominant token; <= 0
	major  [palladium.KindCount]uint32  // that dominant token

	levels  cohesion.Levels  // of loads
	Onset   cohesion.Onset   // when its accounts began
	heading cohesion.Heading // of topics
	Prior   float32
}

// Caps in nats: no family alone can make a member, and the program that an account runs is one circumstance.
const (
	familyCap   = 10
	softwareCap = 7
	scheduleCap = 6
	loadCap     = 5
	topicCap    = 6
)

// Background is a sample of other accounts laid out like a pool.
type Background struct {
	Pool Pool
}

// Fit estimates the model from the accounts of p weighted by r.
func (m *Model) Fit(p *Pool, r []float32, bg *Background, population int, without *[FamilyCount]bool) {
	var mass float32
	for _, w := range r {
		mass += w
	}
	m.fitTraits(p, r, mass, population)
	m.levels.OK, m.heading.OK, m.Onset.Gain = false, false, 0
	if !without[Schedule] {
		m.levels.Fit(&p.Sample, r, &bg.Pool.Sample)
		m.Onset.Fit(&p.Sample, r, &bg.Pool.Sample)
	}
	if !without[Twins] {
		m.heading.Fit(&p.Sample, r, &bg.Pool.Sample)
	}
	m.Prior = -float32(min(max(math.Log(float64(population)/20)+1, 6), 11))
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

func (m *Model) fitTraits(p *Pool, r []float32, mass float32, population int) {
	m.held = Resize(m.held, len(p.Tok))
	clear(m.held)
	held := m.held
	var kindMass [palladium.KindCount]float32
	for i := range p.Acc {
		if r[i] < 0.01 {
			continue
		}
		for _, t := range p.Traits[p.Start[i]:p.Start[i+1]] {
			held[t] += r[i]
		}
		for k := range kindMass {
			if p.Has[i]&(1<<k) != 0 {
				kindMass[k] += r[i]
			}
		}
	}
	m.local, m.rates = Resize(m.local, len(p.Tok)), Resize(m.rates, len(p.Tok))
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
		tr := &p.Tok[t]
		theta := (h + 0.1) / (mass + 1)
		out := max((tr.DF-h+0.5)/others, 0.5/float32(population))
		if out > 1 {
			out = 1
		}
		if theta <= out*1.5 || tr.Kind == palladium.KindShingle && theta < wordingShare {
			continue
		}
		m.local[t] = float32(math.Log(float64(theta / out)))
		m.rates[t] = theta
		if km := kindMass[tr.Kind]; km > 0 && h/km > best[tr.Kind] {
			best[tr.Kind] = h / km
			if f := h / (km + 1); f >= 0.6 {
				m.major[tr.Kind] = tr.Token
				m.lack[tr.Kind] = max(float32(math.Log(float64((1-f)/(1-min(out, 0.9))))), -4)
			}
		}
	}
}

// Scorable is one account's data in the form that score takes.
type Scorable struct {
	Tokens []uint32
	Kinds  []palladium.Kind
	Has    uint32
	Loads  *cohesion.Row
	First  float32
	Topic  *cohesion.Vector
	TopicN int32
}

// Asks reports whether the model says anything of loads and of topics. What it does not ask for need not be laid out.
func (m *Model) Asks() (loads, topics bool) { return m.levels.OK, m.heading.OK }

// Score returns the account's weights: for each kind of token the most telling one, summed within a family up to
// its cap; what the account lacks counts against it.
func (m *Model) Score(s *Scorable, w *Weights) {
	var kind, core [palladium.KindCount]float32
	var major uint32
	for i, t := range s.Tokens {
		k := s.Kinds[i]
		if g, ok := m.Gain[t]; ok {
			kind[k] = max(kind[k], g)
			if m.Rate[t] >= coreShare {
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
func (m *Model) weigh(s *Scorable, kind, core *[palladium.KindCount]float32, major uint32, w *Weights) {
	*w = Weights{}
	var mutual float32
	var software float32
	for k := range kind {
		g := kind[k]
		if m.lack[k] < 0 && s.Has&(1<<k) != 0 && major&(1<<k) == 0 && g < familyCap/2 {
			g = m.lack[k]
		}
		if palladium.Kind(k).Software() && g > 0 {
			g = min(g, softwareCap-software)
			software += g
		}
		w[Index(palladium.Kind(k))] += g
		mutual += core[k]
	}
	if g, ok := m.levels.Ratio(s.Loads); ok {
		w[Schedule] += min(max(g, -5), loadCap)
	}
	if m.Onset.Gain > 0 && m.Onset.Covers(s.First) {
		w[Schedule] += m.Onset.Gain
	}
	if g, ok := m.heading.Ratio(s.Topic, s.TopicN); ok {
		w[Twins] += min(max(g, -4), topicCap)
	}
	for f := range w[:FamilyCount] {
		w[f] = min(max(w[f], -8), familyCap)
	}
	w[Schedule] = min(w[Schedule], scheduleCap)
	w[Mutual] = min(mutual+w[Schedule]+max(w[Twins], 0), familyCap)
}

// ScoreAll scores every account of the pool that the model was last fitted to.
func (m *Model) ScoreAll(p *Pool, out []Weights) {
	for i := range p.Acc {
		var kind, core [palladium.KindCount]float32
		var major uint32
		for _, t := range p.Traits[p.Start[i]:p.Start[i+1]] {
			k := p.Tok[t].Kind
			kind[k] = max(kind[k], m.local[t])
			if m.rates[t] >= coreShare {
				core[k] = max(core[k], m.local[t])
			}
			if m.major[k] == p.Tok[t].Token {
				major |= 1 << k
			}
		}
		s := Scorable{Has: p.Has[i], Loads: &p.Loads[i], First: p.First[i], Topic: &p.Mean[i], TopicN: p.Events[i]}
		m.weigh(&s, &kind, &core, major, &out[i])
	}
}

// Seal makes the model independent of the pool that it was fitted to.
func (m *Model) Seal(p *Pool) {
	m.Gain, m.Rate, m.KindOf = map[uint32]float32{}, map[uint32]float32{}, map[uint32]palladium.Kind{}
	for t, g := range m.local {
		if g > 0 {
			m.Gain[p.Tok[t].Token], m.Rate[p.Tok[t].Token] = g, m.rates[t]
			m.KindOf[p.Tok[t].Token] = p.Tok[t].Kind
		}
	}
	m.local, m.rates, m.held = nil, nil, nil
}
