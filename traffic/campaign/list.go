package campaign

import (
	"slices"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/stats"
	"github.com/palladium-guard/palladium/internal/stats/collision"
)

// listSample bounds how many accounts of a group are looked at.
const listSample = 300

// list compares the prompts of the chosen accounts with each other's and with those of accounts near them. Each
// account's share of refused requests says how many of its prompts are another's retry.
func (t *tester) list(p *pool, sel []int) collision.List {
	if len(sel) > listSample {
		sel = sel[:listSample]
	}
	in := map[uint32]bool{}
	retried := 0.0
	accounts := make([]uint32, 0, len(sel))
	for _, i := range sel {
		a := p.Acc[i]
		in[a], accounts = true, append(accounts, a)
		pr := t.pop.Profile(a)
		retried += palladium.PromptKeep * float64(pr.Limited) / float64(max(pr.Exchanges, 1))
	}
	return collision.Compare(prompts(t.pop, accounts), prompts(t.pop, t.neighbours(p, sel, in)), retried)
}

// prompts returns the samples of the accounts' prompts.
func prompts(pop Population, accounts []uint32) [][]uint32 {
	out := make([][]uint32, len(accounts))
	for i, a := range accounts {
		out[i] = pop.Profile(a).Prompts[:]
	}
	return out
}

// fresh is the most that a usual member of a group of its own prompts repeats of what others sent before, retries
// included, and stale the least that the user of a list does.
const (
	fresh = 0.15
	stale = 0.5
)

// repeaters returns the positions of accounts that mostly send what some account had sent before, where the usual one of
// the set hardly does: the users of a list, whoever else uses it.
func repeaters(pop Population, accounts []uint32) (out []int) {
	shares := make([]float64, len(accounts))
	for i, a := range accounts {
		p := pop.Profile(a)
		if shares[i] = float64(p.Repeats) / float64(max(p.Exchanges, 1)); shares[i] >= stale {
			out = append(out, i)
		}
	}
	if len(out) == 0 || stats.Median(shares) > fresh {
		return nil
	}
	return out
}

// looks reports whether nothing speaks for an account but a name and a text that others sent before: in a crowd, some of the many
// who send the prompts of one list have a card of the campaign's issuer by chance.
func looks(w *weights, p *palladium.Profile) bool {
	return w.Kinds() < 3 && float64(p.Repeats) >= fresh*float64(max(p.Exchanges, 1))
}

// lookers returns the positions of members who look like it, where for three members in four more speaks, and notes whether it does.
func (g *Group) lookers(pop Population) (out []int) {
	firm := 0
	for i, m := range g.members {
		if g.weights[i].Kinds() >= 3 {
			firm++
		} else if looks(&g.weights[i], pop.Profile(m.account)) {
			out = append(out, i)
		}
	}
	if g.firm = firm*4 >= len(g.members)*3; !g.firm {
		return nil
	}
	return out
}

// unlist lets go of members that use one list among members who do not: evaluators of a public benchmark beside a
// campaign whose tasks or wording come near it. They take no part in the tests either.
func (t *Tracker) unlist(g *Group, pop Population) {
	if len(g.members) < peelAt {
		return
	}
	accounts, _ := g.Members()
	users := slices.Concat(collision.Users(prompts(pop, accounts)), repeaters(pop, accounts))
	gone := slices.Concat(users, g.lookers(pop))
	if len(gone) == 0 {
		return
	}
	keep := 0
	for i, m := range g.members {
		if slices.Contains(gone, i) {
			delete(t.owner, m.account)
			if slices.Contains(users, i) { // others are asked again as soon as they show more
				g.let = append(g.let, m.account)
			}
			if at := t.search.where(m.account); at >= 0 {
				t.search.w[at] = weights{}
			}
			continue
		}
		g.members[keep], g.weights[keep] = m, g.weights[i]
		keep++
	}
	g.members, g.weights = g.members[:keep], g.weights[:keep]
}

// alienE is the e-value of what follows from no list from which on a group is one user of a list, however many its accounts.
const alienE = 100

// alien returns whether an account belongs to a group other than g that one operator runs by evidence no list explains: two
// campaigns that draw on one list do not make it public.
func (t *Tracker) alien(g *Group) func(uint32) bool {
	return func(a uint32) bool {
		o := t.owner[a]
		return o != nil && o != g && (o.apartE+o.apartDays())/2 >= alienE
	}
}

// neighbours returns up to 64 accounts outside the group with the same topic cell or shingles, other operators' left out.
func (t *tester) neighbours(p *pool, sel []int, in map[uint32]bool) []uint32 {
	votes := map[uint32]int{}
	for _, i := range sel {
		pr := t.pop.Profile(p.Acc[i])
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
			if !in[a] && !seen[a] && (t.alien == nil || !t.alien(a)) {
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
