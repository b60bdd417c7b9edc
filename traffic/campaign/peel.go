package campaign

import (
	"github.com/palladium-guard/palladium/internal/graph"
	"github.com/palladium-guard/palladium/internal/stats"
)

// peelAt is the least size of a group from which guests are peeled, peelGain the least weight of a token, in nats, by
// which its accounts hang together, and peelResolution that of the communities.
const (
	peelAt         = 12
	peelGain       = 2
	peelResolution = 0.6
)

// guests finds accounts of the group that hang together among themselves but not with the rest: it splits the group's
// bipartite graph of accounts and tokens into Leiden communities (node weights by degree, so that the quality is
// modularity), and asks of each smaller community whether the rest, fitted without it, claims it. A minority that is
// not claimed at all is returned. A part that is neither claimed nor small makes the group loose.
func (t *Tracker) guests(g *Group, pop Population, newest uint32) map[uint32]bool {
	g.loose = false
	if len(g.members) < peelAt {
		return nil
	}
	s := &t.search
	side := t.communities(g)
	size := map[uint32]int{}
	largest := uint32(0)
	for i, c := range side {
		if s.r[i] > 0.5 {
			size[c]++
			if size[c] > size[largest] {
				largest = c
			}
		}
	}
	members := 0
	for _, n := range size {
		members += n
	}
	out := map[uint32]bool{}
	r := make([]float32, len(s.r))
	w := make([]weights, len(s.r))
	for c, n := range size {
		if c == largest || n < 2 {
			continue
		}
		for i := range r {
			r[i] = s.r[i]
			if side[i] == c {
				r[i] = 0
			}
		}
		var m model
		m.Fit(&s.pool, r, &t.bg, pop.Accounts(), &t.without)
		m.ScoreAll(&s.pool, w)
		claimed := 0
		for i := range r {
			if side[i] == c && s.r[i] > 0.5 && w[i].Total()+m.Prior > 0 && w[i].Belongs() {
				claimed++
			}
		}
		if claimed*2 >= n {
			continue
		}
		if claimed*4 >= n || n*3 > members {
			g.loose = true // too many to be guests, yet not of one piece with the rest
			continue
		}
		for i := range r {
			if side[i] == c && s.r[i] > 0.5 {
				out[s.pool.Acc[i]] = true
			}
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// trim drops accounts that fit the group far worse than its members do: those with evidence of one key only where most
// have two, and those with less than half of the usual weight.
func (t *Tracker) trim(g *Group) {
	n := len(g.members)
	if n < minAccounts {
		return
	}
	two := 0
	totals := make([]float64, n)
	for i := range g.weights {
		if g.weights[i].Keys() >= 2 {
			two++
		}
		totals[i] = float64(g.weights[i].Total())
	}
	usual := stats.Median(totals)
	keep := 0
	for i, m := range g.members {
		if totals[i] < usual/2 || two*5 >= n*3 && g.weights[i].Keys() < 2 {
			delete(t.owner, m.account)
			continue
		}
		g.members[keep], g.weights[keep] = m, g.weights[i]
		keep++
	}
	g.members, g.weights = g.members[:keep], g.weights[:keep]
}

// communities returns the community of each account of the pool.
func (t *Tracker) communities(g *Group) []uint32 {
	s := &t.search
	p := &s.pool
	n := len(p.Acc)
	var edges []graph.Edge
	for i := range p.Acc {
		if s.r[i] <= 0.5 {
			continue
		}
		for _, tr := range p.Traits[p.Start[i]:p.Start[i+1]] {
			gain := float64(g.model.Gain[p.Tok[tr].Token])
			if gain < peelGain || p.Tok[tr].Kind.Software() {
				continue
			}
			edges = append(edges, graph.Edge{A: uint32(i), B: uint32(n) + uint32(tr), W: gain})
		}
	}
	return graph.Modular(n+len(p.Tok), edges, peelResolution, t.opt.Seed)[:n]
}

// showOut fits the group anew without the guests and enrols from all candidates but them.
func (t *Tracker) showOut(g *Group, pop Population, cands []uint32, guests map[uint32]bool, newest uint32) {
	s := &t.search
	for i, a := range s.pool.Acc {
		if guests[a] {
			s.r[i] = 0
			g.let = append(g.let, a)
		}
	}
	s.m.Fit(&s.pool, s.r, &t.bg, pop.Accounts(), &t.without)
	s.m.ScoreAll(&s.pool, s.w)
	s.partners(pop)
	g.model = s.m
	g.model.Seal(&s.pool)
	s.m = model{}
	for _, m := range g.members {
		delete(t.owner, m.account)
	}
	stay := make([]uint32, 0, len(cands))
	for _, a := range cands {
		if !guests[a] {
			stay = append(stay, a)
		}
	}
	for i, a := range s.pool.Acc {
		if guests[a] {
			s.w[i] = weights{}
		}
	}
	g.members = g.members[:0]
	t.enrol(g, pop, stay, newest)
	t.dismiss(g, pop)
	t.trim(g)
	t.unlist(g, pop)
}
