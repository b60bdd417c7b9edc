package block

import (
	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/stats/cohesion"
)

// Pool is a set of accounts laid out for fitting: which traits each has, its loads, its topic.
type Pool struct {
	Acc    []uint32
	Traits []int32  // trait numbers of all accounts, one after the other
	Start  []int32  // account i has traits[start[i]:start[i+1]]
	Has    []uint32 // kinds of which the account has any token, as bits
	Tok    []Trait
	cohesion.Sample

	Tally   Tally
	Without [FamilyCount]bool // families whose tokens are no traits
}

// Trait is a token that several accounts of the pool hold.
type Trait struct {
	Token uint32
	Kind  palladium.Kind
	DF    float32 // holders in the population
	Here  float32 // holders in the pool
}

// Load fills the pool with the given accounts. newest is the newest load slot.
func (p *Pool) Load(pop Population, accounts []uint32, newest uint32) {
	p.Acc = append(p.Acc[:0], accounts...)
	p.Tally.Reset(len(accounts) * palladium.EdgeCount)
	p.Tok = p.Tok[:0]
	for _, a := range p.Acc {
		pr := pop.Profile(a)
		for i := range pr.Edges {
			if t := pr.Edges[i].Token; t != palladium.NoToken {
				p.Tally.At(t).N++
			}
		}
	}
	p.Traits, p.Start, p.Has = p.Traits[:0], append(p.Start[:0], 0), p.Has[:0]
	for _, a := range p.Acc {
		p.row(pop, pop.Profile(a))
	}
	p.frame(pop, newest)
}

func (p *Pool) row(pop Population, pr *palladium.Profile) {
	var kinds uint32
	for k := palladium.Kind(0); int(k) < palladium.KindCount; k++ {
		lo, hi := k.Slots()
		for i := lo; i < hi; i++ {
			t := pr.Edges[i].Token
			if t == palladium.NoToken {
				continue
			}
			if k == palladium.KindOrganization || k == palladium.KindCell || p.Without[Index(k)] {
				continue
			}
			kinds |= 1 << k
			c := p.Tally.At(t)
			if c.N < 3 {
				continue
			}
			if c.Index < 0 {
				c.Index = int32(len(p.Tok))
				p.Tok = append(p.Tok, Trait{Token: t, Kind: k, DF: float32(pop.Token(t).Holders), Here: float32(c.N)})
			}
			p.Traits = append(p.Traits, c.Index)
		}
	}
	p.Start = append(p.Start, int32(len(p.Traits)))
	p.Has = append(p.Has, kinds)
}

// frame lays out loads, beginnings and topics. The frame reaches back to when the earliest tenth had begun.
func (p *Pool) frame(pop Population, newest uint32) {
	n := len(p.Acc)
	p.Loads, p.First = Resize(p.Loads, n), Resize(p.First, n)
	p.Mean, p.Events = Resize(p.Mean, n), Resize(p.Events, n)
	for i, a := range p.Acc {
		pr := pop.Profile(a)
		p.First[i] = float32(float64(pr.First) / 3.6e6)
		p.Events[i] = int32(pop.Centred(a, &p.Mean[i]))
	}
	p.Slots = palladium.SlotCount - 1
	for i, a := range p.Acc {
		ReadLoads(pop.Profile(a), newest, p.Slots, &p.Loads[i])
	}
}

// ReadLoads writes the account's exchanges in the last n slots, oldest first; -1 in slots before it began.
func ReadLoads(pr *palladium.Profile, newest uint32, n int, out *cohesion.Row) {
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

// Resize returns s with length n; what it holds then is of no matter.
func Resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n, n+n/4)
	}
	return s[:n]
}

// Peak returns the largest share of the chosen accounts' requests that fell in one day's slots in a row.
func (p *Pool) Peak(sel []int) float64 {
	var by [len(cohesion.Row{})]float64
	var total float64
	for _, i := range sel {
		for t := 0; t < p.Slots; t++ {
			by[t] += float64(p.Loads[i][t])
			total += float64(p.Loads[i][t])
		}
	}
	most := 0.0
	for t := 0; t < p.Slots; t++ {
		day := 0.0
		for _, v := range by[t:min(t+DaySlots, p.Slots)] {
			day += v
		}
		most = max(most, day)
	}
	return most / max(total, 1)
}

// DaySlots is how many whole slots make a day. The newest slot is not over, so a row of loads ends with it.
const DaySlots = 4
