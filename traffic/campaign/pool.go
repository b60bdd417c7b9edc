package campaign

import (
	"math"

	"github.com/palladium-guard/palladium"
)

// pool is a set of accounts laid out for fitting: which traits each has, its loads, its topic.
type pool struct {
	acc    []uint32
	traits []int32  // trait numbers of all accounts, one after the other
	start  []int32  // account i has traits[start[i]:start[i+1]]
	has    []uint32 // kinds of which the account has any token, as bits
	tok    []trait
	loads  [][palladium.SlotCount]float32 // exchanges in each slot of the frame; -1 before the account began
	first  []float32                      // hours
	topic  [][palladium.TopicDims]float32
	topicN []int32
	slots  int // slots in the frame

	count   tally
	without [famCount]bool // families whose tokens are no traits
}

// tally counts tokens: an open-addressing table that is emptied by counting generations.
type tally struct {
	cells []cell
	gen   uint32
	mask  uint32
}

type cell struct {
	token, gen uint32
	n, index   int32
}

// reset empties the tally and makes room for n different tokens.
func (t *tally) reset(n int) {
	size := 1 << 10
	for size < n*2 {
		size *= 2
	}
	if len(t.cells) < size {
		t.cells, t.gen = make([]cell, size), 0
	}
	t.mask = uint32(len(t.cells) - 1)
	t.gen++
	if t.gen == 0 {
		clear(t.cells)
		t.gen = 1
	}
}

// at returns the token's cell, fresh with n 0 and index -1 when it was not there.
func (t *tally) at(token uint32) *cell {
	i := token * 2654435761 >> 7 & t.mask
	for {
		c := &t.cells[i]
		if c.gen != t.gen {
			*c = cell{token: token, gen: t.gen, index: -1}
			return c
		}
		if c.token == token {
			return c
		}
		i = (i + 1) & t.mask
	}
}

// trait is a token that several accounts of the pool hold.
type trait struct {
	token uint32
	kind  palladium.Kind
	df    float32 // holders in the population
	here  float32 // holders in the pool
}

// minTopic is the least number of prompts behind a topic vector that is looked at.
const minTopic = 2

// load fills the pool with the given accounts. newest is the newest load slot.
func (p *pool) load(pop Population, accounts []uint32, newest uint32) {
	p.acc = append(p.acc[:0], accounts...)
	p.count.reset(len(accounts) * palladium.EdgeCount)
	p.tok = p.tok[:0]
	for _, a := range p.acc {
		pr := pop.Profile(a)
		for i := range pr.Edges {
			if t := pr.Edges[i].Token; t != palladium.NoToken {
				p.count.at(t).n++
			}
		}
	}
	p.traits, p.start, p.has = p.traits[:0], append(p.start[:0], 0), p.has[:0]
	for _, a := range p.acc {
		p.row(pop, pop.Profile(a))
	}
	p.frame(pop, newest)
}

func (p *pool) row(pop Population, pr *palladium.Profile) {
	var kinds uint32
	for k := palladium.Kind(0); int(k) < palladium.KindCount; k++ {
		lo, hi := k.Slots()
		for i := lo; i < hi; i++ {
			t := pr.Edges[i].Token
			if t == palladium.NoToken {
				continue
			}
			if k == palladium.KindOrganization || k == palladium.KindCell || p.without[familyIndex(k)] {
				continue
			}
			kinds |= 1 << k
			c := p.count.at(t)
			if c.n < 3 {
				continue
			}
			if c.index < 0 {
				c.index = int32(len(p.tok))
				p.tok = append(p.tok, trait{token: t, kind: k, df: float32(pop.Token(t).Holders), here: float32(c.n)})
			}
			p.traits = append(p.traits, c.index)
		}
	}
	p.start = append(p.start, int32(len(p.traits)))
	p.has = append(p.has, kinds)
}

// frame lays out loads, beginnings and topics. The frame reaches back to when the earliest tenth had begun.
func (p *pool) frame(pop Population, newest uint32) {
	n := len(p.acc)
	p.loads, p.first = resize(p.loads, n), resize(p.first, n)
	p.topic, p.topicN = resize(p.topic, n), resize(p.topicN, n)
	for i, a := range p.acc {
		pr := pop.Profile(a)
		p.first[i] = float32(float64(pr.First) / 3.6e6)
		p.topicN[i] = int32(pop.Centred(a, &p.topic[i]))
	}
	p.slots = palladium.SlotCount - 1
	for i, a := range p.acc {
		readLoads(pop.Profile(a), newest, p.slots, &p.loads[i])
	}
}

// readLoads writes the account's exchanges in the last n slots, oldest first; -1 in slots before it began.
func readLoads(pr *palladium.Profile, newest uint32, n int, out *[palladium.SlotCount]float32) {
	begin := uint32(pr.First / palladium.SlotMillis)
	for j := 0; j < n; j++ {
		s := newest - uint32(n-1-j)
		switch {
		case s < begin:
			out[j] = -1
		case s > pr.Slot || pr.Slot-s >= palladium.SlotCount:
			out[j] = 0
		default:
			out[j] = float32(pr.Loads[s%palladium.SlotCount])
		}
	}
}

func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n, n+n/4)
	}
	return s[:n]
}

// profileOf returns the mean load in each slot over the weighted accounts; NaN-free, 0 where nobody had begun.
func (p *pool) meanLoads(r []float32, out *[palladium.SlotCount]float32) {
	for s := 0; s < p.slots; s++ {
		var sum, w float32
		for i := range p.loads {
			if c := p.loads[i][s]; c >= 0 {
				sum += r[i] * c
				w += r[i]
			}
		}
		out[s] = 0
		if w > 1e-3 {
			out[s] = sum / w
		}
	}
}

// misfit is the log of the mean Poisson deviation of one account's loads from the mean loads: about 0 for an
// account that is dealt its share of one queue, large for one with habits of its own. dof is how many slots count.
func misfit(loads, mean *[palladium.SlotCount]float32, slots int) (u float32, dof float32) {
	var x2 float32
	for s := 0; s < slots; s++ {
		c, m := loads[s], mean[s]
		if c < 0 || m < 0.02 {
			continue
		}
		d := c - m
		x2 += d * d / (m + 0.1)
		dof++
	}
	if dof == 0 {
		return 0, 0
	}
	return float32(math.Log(float64(0.25 + x2/dof))), dof
}
