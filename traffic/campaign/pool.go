package campaign

import (
	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/sketch"
	"github.com/palladium-guard/palladium/internal/stats/cohesion"
)

// pool is a set of accounts laid out for fitting: which traits each has, its loads, its topic.
type pool struct {
	acc    []uint32
	traits []int32  // trait numbers of all accounts, one after the other
	start  []int32  // account i has traits[start[i]:start[i+1]]
	has    []uint32 // kinds of which the account has any token, as bits
	tok    []trait
	cohesion.Sample

	count   sketch.Tally
	without [famCount]bool // families whose tokens are no traits
}

// trait is a token that several accounts of the pool hold.
type trait struct {
	token uint32
	kind  palladium.Kind
	df    float32 // holders in the population
	here  float32 // holders in the pool
}

// load fills the pool with the given accounts. newest is the newest load slot.
func (p *pool) load(pop Population, accounts []uint32, newest uint32) {
	p.acc = append(p.acc[:0], accounts...)
	p.count.Reset(len(accounts) * palladium.EdgeCount)
	p.tok = p.tok[:0]
	for _, a := range p.acc {
		pr := pop.Profile(a)
		for i := range pr.Edges {
			if t := pr.Edges[i].Token; t != palladium.NoToken {
				p.count.At(t).N++
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
			c := p.count.At(t)
			if c.N < 3 {
				continue
			}
			if c.Index < 0 {
				c.Index = int32(len(p.tok))
				p.tok = append(p.tok, trait{token: t, kind: k, df: float32(pop.Token(t).Holders), here: float32(c.N)})
			}
			p.traits = append(p.traits, c.Index)
		}
	}
	p.start = append(p.start, int32(len(p.traits)))
	p.has = append(p.has, kinds)
}

// frame lays out loads, beginnings and topics. The frame reaches back to when the earliest tenth had begun.
func (p *pool) frame(pop Population, newest uint32) {
	n := len(p.acc)
	p.Loads, p.First = resize(p.Loads, n), resize(p.First, n)
	p.Mean, p.Events = resize(p.Mean, n), resize(p.Events, n)
	for i, a := range p.acc {
		pr := pop.Profile(a)
		p.First[i] = float32(float64(pr.First) / 3.6e6)
		p.Events[i] = int32(pop.Centred(a, &p.Mean[i]))
	}
	p.Slots = palladium.SlotCount - 1
	for i, a := range p.acc {
		readLoads(pop.Profile(a), newest, p.Slots, &p.Loads[i])
	}
}

// readLoads writes the account's exchanges in the last n slots, oldest first; -1 in slots before it began.
func readLoads(pr *palladium.Profile, newest uint32, n int, out *cohesion.Row) {
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
