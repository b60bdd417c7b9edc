package campaign

import (
	"math"
	"sort"

	"github.com/palladium-guard/palladium"
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

	loads            [palladium.SlotCount]float32
	newest           uint32
	slots            int
	loadMu, loadSd   float32
	otherMu, otherSd float32
	loadOK           bool

	firstMid, firstHalf float32 // hours
	firstGain           float32

	topic              [palladium.TopicDims]float32 // unit
	topicMu, topicSd   float32
	topicOMu, topicOSd float32
	topicOK            bool
	prior              float32
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

// fitStride thins the background when a model is fitted; tests use all of it.
const fitStride = 3

// fit estimates the model from the accounts of p weighted by r.
func (m *model) fit(p *pool, r []float32, bg *background, population int, without *[famCount]bool) {
	var mass float32
	for _, w := range r {
		mass += w
	}
	m.fitTraits(p, r, mass, population)
	m.loadOK, m.topicOK, m.firstGain = false, false, 0
	if !without[famSchedule] {
		m.fitLoads(p, r, mass, bg)
		m.fitFirst(p, r, mass, bg)
	}
	if !without[famTwins] {
		m.fitTopic(p, r, mass, bg)
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

func (m *model) fitLoads(p *pool, r []float32, mass float32, bg *background) {
	p.meanLoads(r, &m.loads)
	m.slots = p.slots
	var s, q, w float32
	for i := range p.acc {
		if r[i] < 0.05 {
			continue
		}
		u, dof := misfit(&p.loads[i], &m.loads, m.slots)
		if dof == 0 {
			continue
		}
		s, q, w = s+r[i]*u, q+r[i]*u*u, w+r[i]
	}
	if w < 3 {
		return
	}
	m.loadMu = s / w
	m.loadSd = float32(math.Sqrt(float64(max(q/w-m.loadMu*m.loadMu, 0)))) + 0.25
	s, q, w = 0, 0, 0
	for i := 0; i < len(bg.pool.acc); i += fitStride {
		u, dof := misfit(&bg.pool.loads[i], &m.loads, m.slots)
		if dof == 0 {
			continue
		}
		s, q, w = s+u, q+u*u, w+1
	}
	if w < 20 {
		return
	}
	m.otherMu = s / w
	m.otherSd = float32(math.Sqrt(float64(max(q/w-m.otherMu*m.otherMu, 0)))) + 0.25
	m.loadOK = true
}

// fitFirst weighs a common beginning: the share of the block that began within its central window against the share
// of others that did.
func (m *model) fitFirst(p *pool, r []float32, mass float32, bg *background) {
	v := make([]float64, 0, len(p.acc))
	for i := range p.acc {
		if r[i] > 0.5 {
			v = append(v, float64(p.first[i]))
		}
	}
	if len(v) < 5 {
		return
	}
	sort.Float64s(v)
	lo, hi := v[len(v)/10], v[len(v)-1-len(v)/10]
	m.firstMid, m.firstHalf = float32((lo+hi)/2), float32((hi-lo)/2)+1
	in := 0.0
	for i := range bg.pool.acc {
		if abs32(bg.pool.first[i]-m.firstMid) <= m.firstHalf {
			in++
		}
	}
	out := (in + 1) / (float64(len(bg.pool.acc)) + 1)
	m.firstGain = float32(min(max(math.Log(0.8/out), 0), 3))
}

func (m *model) fitTopic(p *pool, r []float32, mass float32, bg *background) {
	m.topic = [palladium.TopicDims]float32{}
	var sw float32
	for i := range p.acc {
		if r[i] < 0.05 || p.topicN[i] < minTopic {
			continue
		}
		w := r[i] * float32(math.Sqrt(float64(min(p.topicN[i], 100))))
		for d, f := range &p.topic[i] {
			m.topic[d] += w * f
		}
		sw += w
	}
	if sw == 0 {
		return
	}
	var q float32
	for _, f := range &m.topic {
		q += f * f
	}
	if q == 0 {
		return
	}
	norm := float32(math.Sqrt(float64(q)))
	for d := range m.topic {
		m.topic[d] /= norm
	}
	var s, w float32
	q = 0
	for i := range p.acc {
		if r[i] < 0.05 || p.topicN[i] < minTopic {
			continue
		}
		own := r[i] * float32(math.Sqrt(float64(min(p.topicN[i], 100))))
		c := dot(&p.topic[i], &m.topic) - own*dot(&p.topic[i], &p.topic[i])/norm // without itself
		s, q, w = s+r[i]*c, q+r[i]*c*c, w+r[i]
	}
	if w < 4 {
		return
	}
	m.topicMu = s / w
	m.topicSd = float32(math.Sqrt(float64(max(q/w-m.topicMu*m.topicMu, 0)))) + 0.01
	s, q, w = 0, 0, 0
	for i := 0; i < len(bg.pool.acc); i += fitStride {
		if bg.pool.topicN[i] < minTopic {
			continue
		}
		c := dot(&bg.pool.topic[i], &m.topic)
		s, q, w = s+c, q+c*c, w+1
	}
	if w < 20 {
		return
	}
	m.topicOMu = s / w
	m.topicOSd = float32(math.Sqrt(float64(max(q/w-m.topicOMu*m.topicOMu, 0)))) + 0.01
	m.topicOK = m.topicMu > m.topicOMu
}

func dot(a, b *[palladium.TopicDims]float32) float32 {
	var s0, s1, s2, s3 float32
	for i := 0; i < palladium.TopicDims; i += 4 {
		s0 += a[i] * b[i]
		s1 += a[i+1] * b[i+1]
		s2 += a[i+2] * b[i+2]
		s3 += a[i+3] * b[i+3]
	}
	return s0 + s1 + s2 + s3
}

func abs32(f float32) float32 { return float32(math.Abs(float64(f))) }

// logRatio is log N(x; a) - log N(x; b), each normal given by mean and deviation.
func logRatio(x, mu, sd, omu, osd float32) float32 {
	z, o := (x-mu)/sd, (x-omu)/osd
	return (o*o-z*z)/2 + float32(math.Log(float64(osd/sd)))
}

// scorable is one account's data in the form that score takes.
type scorable struct {
	tokens []uint32
	kinds  []palladium.Kind
	has    uint32
	loads  *[palladium.SlotCount]float32
	first  float32
	topic  *[palladium.TopicDims]float32
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
	if m.loadOK {
		if u, dof := misfit(s.loads, &m.loads, m.slots); dof > 0 {
			w[famSchedule] += min(max(logRatio(u, m.loadMu, m.loadSd, m.otherMu, m.otherSd), -5), loadCap)
		}
	}
	if m.firstGain > 0 {
		if abs32(s.first-m.firstMid) <= m.firstHalf {
			w[famSchedule] += m.firstGain
		}
	}
	if m.topicOK && s.topicN >= minTopic {
		c := dot(s.topic, &m.topic)
		if c > m.topicMu {
			c = m.topicMu // nobody is less a member for being closer to the centre
		}
		g := logRatio(c, m.topicMu, m.topicSd, m.topicOMu, m.topicOSd)
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
		s := scorable{has: p.has[i], loads: &p.loads[i], first: p.first[i], topic: &p.topic[i], topicN: p.topicN[i]}
		m.weigh(&s, &kind, &core, major, &out[i])
	}
}

// seal makes the model independent of the pool that it was fitted to.
func (m *model) seal(p *pool, newest uint32) {
	m.gain, m.rate, m.kindOf = map[uint32]float32{}, map[uint32]float32{}, map[uint32]palladium.Kind{}
	for t, g := range m.local {
		if g > 0 {
			m.gain[p.tok[t].token], m.rate[p.tok[t].token] = g, m.rates[t]
			m.kindOf[p.tok[t].token] = p.tok[t].kind
		}
	}
	m.local, m.rates, m.held = nil, nil, nil
	m.newest = newest
}
