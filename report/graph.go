package report

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/palladium-guard/palladium"
)

// tokenKey is a piece of evidence.
type tokenKey struct {
	family palladium.Family
	name   string
}

// token is a piece of evidence with the accounts that hold it. weight is their mean in nats.
type token struct {
	tokenKey
	accounts int
	weight   float64
	sum      float64
}

// tokensOf gathers links by token, the one with the largest total weight first.
func tokensOf(ls []palladium.Link) []token {
	at := make(map[tokenKey]int)
	var out []token
	for _, l := range ls {
		k := tokenKey{l.Family, l.Token}
		i, ok := at[k]
		if !ok {
			i = len(out)
			at[k] = i
			out = append(out, token{tokenKey: k})
		}
		out[i].accounts++
		out[i].sum += l.Weight
	}
	for i := range out {
		out[i].weight = out[i].sum / float64(out[i].accounts)
	}
	slices.SortFunc(out, func(a, b token) int {
		return cmp.Or(cmp.Compare(b.sum, a.sum), cmp.Compare(a.family, b.family), strings.Compare(a.name, b.name))
	})
	return out
}

// network is a drawing of the strongest part of a campaign's bipartite graph of accounts and tokens.
type network struct {
	tokens   []token
	accounts []string
	edges    []edge
	hidden   int     // accounts of the links that are not drawn
	at       []point // tokens first, then accounts
}

type edge struct {
	token, account int
	weight         float64
}

type point struct{ x, y float64 }

// draw picks at most nodes nodes and places them in a box of width by height. A quarter of the nodes may be tokens,
// the strongest first with every family represented; accounts are those with most weight towards them.
func draw(ls []palladium.Link, nodes int, width, height float64) network {
	var g network
	g.tokens = pickTokens(tokensOf(ls), max(4, nodes/4))
	index := make(map[tokenKey]int, len(g.tokens))
	for i, t := range g.tokens {
		index[t.tokenKey] = i
	}
	weight, all := make(map[string]float64), make(map[string]bool)
	for _, l := range ls {
		all[l.Account] = true
		if _, ok := index[tokenKey{l.Family, l.Token}]; ok {
			weight[l.Account] += l.Weight
		}
	}
	for a := range weight {
		g.accounts = append(g.accounts, a)
	}
	slices.SortFunc(g.accounts, func(a, b string) int { return cmp.Or(cmp.Compare(weight[b], weight[a]), strings.Compare(a, b)) })
	g.accounts = spread(g.accounts, max(0, nodes-len(g.tokens)))
	g.hidden = len(all) - len(g.accounts)
	place := make(map[string]int, len(g.accounts))
	for i, a := range g.accounts {
		place[a] = i
	}
	for _, l := range ls {
		t, ok := index[tokenKey{l.Family, l.Token}]
		a, drawn := place[l.Account]
		if ok && drawn {
			g.edges = append(g.edges, edge{t, a, l.Weight})
		}
	}
	slices.SortFunc(g.edges, func(a, b edge) int { return cmp.Or(cmp.Compare(a.token, b.token), cmp.Compare(a.account, b.account)) })
	g.edges = slices.CompactFunc(g.edges, func(a, b edge) bool { return a.token == b.token && a.account == b.account })
	g.prune()
	g.layOut(width, height)
	return g
}

// prune drops the tokens that join nothing in the drawing: those with fewer than two of its accounts.
func (g *network) prune() {
	degree := make([]int, len(g.tokens))
	for _, e := range g.edges {
		degree[e.token]++
	}
	kept, to := g.tokens[:0], make([]int, len(g.tokens))
	for i, t := range g.tokens {
		to[i] = len(kept)
		if degree[i] > 1 {
			kept = append(kept, t)
		}
	}
	g.tokens = kept
	g.edges = slices.DeleteFunc(g.edges, func(e edge) bool { return degree[e.token] < 2 })
	for i := range g.edges {
		g.edges[i].token = to[g.edges[i].token]
	}
}

// pickTokens keeps limit tokens: the best of each family, then the best of the rest. They stay in order.
func pickTokens(ts []token, limit int) []token {
	keep, seen, n := make([]bool, len(ts)), make(map[palladium.Family]bool), 0
	for pass := range 2 {
		for i, t := range ts {
			if n < limit && !keep[i] && (pass == 1 || !seen[t.family]) {
				keep[i], seen[t.family] = true, true
				n++
			}
		}
	}
	var out []token
	for i, t := range ts {
		if keep[i] {
			out = append(out, t)
		}
	}
	return out
}

// spread keeps limit of the accounts, evenly from the strongest to the weakest, so that the drawing shows both.
func spread(as []string, limit int) []string {
	if len(as) <= limit {
		return as
	}
	out := make([]string, 0, limit)
	for i := range limit {
		out = append(out, as[i*len(as)/limit])
	}
	return out
}

// layOut places the nodes by the spring model of Fruchterman and Reingold (1991): nodes repel with k²/d, edges attract
// with d²/k (less at nodes of many edges), all are drawn to the centre, and moves are bounded by a falling temperature.
// It starts from a sunflower spiral, so it is deterministic.
func (g *network) layOut(width, height float64) {
	n := len(g.tokens) + len(g.accounts)
	if n == 0 {
		return
	}
	g.at = make([]point, n)
	for i := range g.at {
		r, angle := math.Sqrt((float64(i)+0.5)/float64(n))*height/2, 2.399963229728653*float64(i)
		g.at[i] = point{width/2 + r*math.Cos(angle), height/2 + r*math.Sin(angle)}
	}
	k := 0.9 * math.Sqrt(width*height/float64(n))
	move := make([]point, n)
	const steps = 260
	for step := range steps {
		g.forces(move, k, point{width / 2, height / 2})
		hot := width / 8 * math.Pow(1-float64(step)/steps, 1.5)
		for i, m := range move {
			d := math.Hypot(m.x, m.y)
			if d > 0 {
				f := min(d, hot) / d
				g.at[i].x += m.x * f
				g.at[i].y += m.y * f
			}
		}
	}
	g.fit(width, height)
}

// forces fills move with the force on each node.
func (g *network) forces(move []point, k float64, centre point) {
	for i := range move {
		move[i] = point{(centre.x - g.at[i].x) * 0.6, (centre.y - g.at[i].y) * 1.5}
	}
	for i := range g.at {
		for j := range i {
			dx, dy := g.at[i].x-g.at[j].x, g.at[i].y-g.at[j].y
			d2 := max(dx*dx+dy*dy, 0.01)
			f := k * k / d2
			if i < len(g.tokens) {
				f *= 4 // tokens keep more room, so that their numbers can be read
			}
			move[i].x += dx * f
			move[i].y += dy * f
			move[j].x -= dx * f
			move[j].y -= dy * f
		}
	}
	degree := make([]float64, len(g.at))
	for _, e := range g.edges {
		degree[e.token]++
		degree[len(g.tokens)+e.account]++
	}
	for _, e := range g.edges {
		i, j := e.token, len(g.tokens)+e.account
		dx, dy := g.at[i].x-g.at[j].x, g.at[i].y-g.at[j].y
		f := math.Hypot(dx, dy) / k / math.Sqrt(min(degree[i], degree[j]))
		move[i].x -= dx * f / math.Sqrt(degree[i])
		move[i].y -= dy * f / math.Sqrt(degree[i])
		move[j].x += dx * f
		move[j].y += dy * f
	}
}

// fit scales the drawing into the box with a margin for the symbols and their numbers.
func (g *network) fit(width, height float64) {
	lo, hi := point{math.Inf(1), math.Inf(1)}, point{math.Inf(-1), math.Inf(-1)}
	for _, p := range g.at {
		lo.x, lo.y = min(lo.x, p.x), min(lo.y, p.y)
		hi.x, hi.y = max(hi.x, p.x), max(hi.y, p.y)
	}
	const margin = 26
	scale := func(v, lo, hi, size float64) float64 {
		if hi-lo < 1e-9 {
			return size / 2
		}
		return margin + (v-lo)/(hi-lo)*(size-2*margin)
	}
	for i, p := range g.at {
		g.at[i] = point{scale(p.x, lo.x, hi.x, width), scale(p.y, lo.y, hi.y, height)}
	}
}
