package graph

import (
	"math"
	"math/rand/v2"
)

// Leiden returns the community of every node of an undirected weighted graph, numbered from 0 in the order of each
// community's lowest node. It seeks the largest
//
//	sum over communities of (weight inside - resolution * size * (size-1) / 2),
//
// the constant Potts model (CPM), by the Leiden algorithm: nodes move to the best neighbouring community, each
// community is refined into well-connected parts, the parts become the nodes of a smaller graph, and so on until
// nothing moves; the whole is repeated from the result until it gains no more. Source: Traag, Waltman, van Eck,
// "From Louvain to Leiden: guaranteeing well-connected communities", Scientific Reports 9 (2019); CPM: Traag, Van
// Dooren, Nesterov (2011).
//
// The resolution is a density in units of edge weight per pair of nodes: a community holds together while the mean
// weight over all pairs that it consists of stays above it, and two communities stay apart while the mean weight over
// pairs between them stays below it, whatever the size of the graph. Communities are always connected; a node without
// edges is a community of its own. Time is near linear in the number of edges.
//
// It panics when an edge names a node outside 0..n-1.
func Leiden(n int, edges []Edge, resolution float64, seed uint64) []uint32 {
	weight := make([]float64, n)
	for i := range weight {
		weight[i] = 1
	}
	return LeidenWeighted(weight, edges, resolution, seed)
}

// LeidenWeighted is Leiden for nodes that count as more or less than one: the size of a community is the sum of its
// nodes' weights, which must be positive, and size*(size-1)/2 becomes the sum over pairs of the product of their
// weights.
func LeidenWeighted(weight []float64, edges []Edge, resolution float64, seed uint64) []uint32 {
	label := make([]uint32, len(weight))
	for i := range label {
		label[i] = uint32(i)
	}
	g := build(weight, edges)
	s := newSearch(len(weight), resolution, seed)
	best := quality(g, label, resolution)
	for range maxRounds {
		next := s.round(g, label)
		q := quality(g, next, resolution)
		if !(q > best+1e-9*math.Abs(best)) {
			break
		}
		label, best = next, q
	}
	return connected(g, label)
}

// maxRounds bounds the repetitions of the whole algorithm; two or three are the rule.
const maxRounds = 10

// CPM returns what Leiden seeks the largest of, for any labelling of nodes that count as one.
func CPM(label []uint32, edges []Edge, resolution float64) float64 {
	size := map[uint32]float64{}
	var q float64
	for _, l := range label {
		q -= resolution * size[l] // pairs with those already there
		size[l]++
	}
	for _, e := range edges {
		if e.A != e.B && usable(e.W) && label[e.A] == label[e.B] {
			q += e.W
		}
	}
	return q
}

func usable(w float64) bool { return w > 0 && !math.IsInf(w, 1) }

// adjacency is an undirected graph in compressed rows: neighbours of v are to[start[v]:start[v+1]]. Loops are left
// out: in CPM they change no decision.
type adjacency struct {
	start  []int
	to     []uint32
	w      []float64
	weight []float64 // of nodes
}

func (g *adjacency) len() int { return len(g.weight) }

func build(weight []float64, edges []Edge) *adjacency {
	n := len(weight)
	g := &adjacency{start: make([]int, n+1), weight: weight}
	for _, e := range edges {
		if int(e.A) >= n || int(e.B) >= n {
			panic("graph: edge names a node that does not exist")
		}
		if e.A != e.B && usable(e.W) {
			g.start[e.A+1]++
			g.start[e.B+1]++
		}
	}
	for v := range n {
		g.start[v+1] += g.start[v]
	}
	g.to, g.w = make([]uint32, g.start[n]), make([]float64, g.start[n])
	at := make([]int, n)
	copy(at, g.start)
	for _, e := range edges {
		if e.A != e.B && usable(e.W) {
			i, j := at[e.A], at[e.B]
			g.to[i], g.w[i] = e.B, e.W
			g.to[j], g.w[j] = e.A, e.W
			at[e.A]++
			at[e.B]++
		}
	}
	return g
}

// quality is CPM up to a constant that depends on the graph alone.
func quality(g *adjacency, label []uint32, resolution float64) float64 {
	size := make([]float64, g.len())
	var q float64
	for v, l := range label {
		q -= resolution * g.weight[v] * size[l]
		size[l] += g.weight[v]
		for i := g.start[v]; i < g.start[v+1]; i++ {
			if u := g.to[i]; int(u) > v && label[u] == l {
				q += g.w[i]
			}
		}
	}
	return q
}

// search holds the memory of a run.
type search struct {
	resolution float64
	rng        *rand.Rand
	size       []float64 // of a community
	members    []uint32  // of a community, counted in nodes
	link       []float64 // from the node at hand to a community
	touched    []uint32  // communities with link > 0, each once
	order      []uint32
	queued     []bool
	empty      []uint32  // communities without nodes
	part       []uint32  // refined community of a node
	cut        []float64 // weight from a refined community to the rest of its community
	partSize   []float64
	alone      []bool
	chance     []float64
}

func newSearch(n int, resolution float64, seed uint64) *search {
	return &search{
		resolution: resolution,
		rng:        rand.New(rand.NewPCG(seed, 0x1e1de4)),
		size:       make([]float64, n),
		members:    make([]uint32, n),
		link:       make([]float64, n),
		order:      make([]uint32, n),
		queued:     make([]bool, n),
		part:       make([]uint32, n),
		cut:        make([]float64, n),
		partSize:   make([]float64, n),
		alone:      make([]bool, n),
	}
}

// round runs the algorithm once, down all levels, from the communities in label, which it does not change.
func (s *search) round(g *adjacency, label []uint32) []uint32 {
	flat := make([]uint32, g.len()) // node of the graph at hand in which an original node lies
	for i := range flat {
		flat[i] = uint32(i)
	}
	level := make([]uint32, g.len())
	copy(level, label)
	for {
		s.move(g, level)
		n := g.len()
		part := s.refine(g, level)
		parts := renumber(part)
		if parts == n { // every community is one node, up to rounding
			break
		}
		for i, v := range flat {
			flat[i] = part[v]
		}
		up := make([]uint32, parts)
		for v, p := range part {
			up[p] = level[v]
		}
		renumberAny(up, n)
		g, level = aggregate(g, part, parts), up
	}
	for i, v := range flat {
		flat[i] = level[v]
	}
	renumber(flat)
	return flat
}

// renumberAny is renumber for labels below limit, more than there are labels.
func renumberAny(label []uint32, limit int) {
	name := make([]uint32, limit)
	next := uint32(0)
	for i, l := range label {
		if name[l] == 0 {
			next++
			name[l] = next
		}
		label[i] = name[l] - 1
	}
}

// neighbours fills link and touched with the weight from v to each label among its neighbours, of those within
// community c of the labelling level when level is not nil.
func (s *search) neighbours(g *adjacency, v uint32, label, level []uint32) {
	s.touched = s.touched[:0]
	for i := g.start[v]; i < g.start[v+1]; i++ {
		u := g.to[i]
		if level != nil && level[u] != level[v] {
			continue
		}
		l := label[u]
		if s.link[l] == 0 {
			s.touched = append(s.touched, l)
		}
		s.link[l] += g.w[i]
	}
}

func (s *search) forget() {
	for _, l := range s.touched {
		s.link[l] = 0
	}
}

// shuffled returns 0..n-1 in random order, in memory that the next call reuses.
func (s *search) shuffled(n int) []uint32 {
	o := s.order[:n]
	for i := range o {
		o[i] = uint32(i)
	}
	s.rng.Shuffle(n, func(i, j int) { o[i], o[j] = o[j], o[i] })
	return o
}

// move is the fast local moving of nodes: each is visited once, and again when a neighbour has left its community.
func (s *search) move(g *adjacency, label []uint32) {
	n := g.len()
	size, members := s.size[:n], s.members[:n]
	clear(size)
	clear(members)
	for v, l := range label {
		size[l] += g.weight[v]
		members[l]++
	}
	s.empty = s.empty[:0]
	for c := n - 1; c >= 0; c-- {
		if members[c] == 0 {
			s.empty = append(s.empty, uint32(c))
		}
	}
	queue := s.shuffled(n) // a ring: no node is in it twice
	for _, v := range queue {
		s.queued[v] = true
	}
	head, waiting := 0, n
	for waiting > 0 {
		v := queue[head]
		if head++; head == n {
			head = 0
		}
		waiting--
		s.queued[v] = false
		to := s.best(g, v, label)
		if to == label[v] {
			continue
		}
		s.transfer(g, v, label, to)
		for i := g.start[v]; i < g.start[v+1]; i++ {
			u := g.to[i]
			if label[u] == to || s.queued[u] {
				continue
			}
			s.queued[u] = true
			at := head + waiting
			if at >= n {
				at -= n
			}
			queue[at] = u
			waiting++
		}
	}
}

// best returns the community in which v gains most; its own unless another, or one of its own, is truly better.
func (s *search) best(g *adjacency, v uint32, label []uint32) uint32 {
	own, w := label[v], g.weight[v]
	s.neighbours(g, v, label, nil)
	stay := s.link[own] - s.resolution*w*(s.size[own]-w)
	to, gain := own, stay
	margin := 1e-12 * (math.Abs(s.link[own]) + s.resolution*w*s.size[own])
	for _, c := range s.touched {
		if c == own {
			continue
		}
		if d := s.link[c] - s.resolution*w*s.size[c]; d > gain+margin {
			to, gain = c, d
		}
	}
	if gain < -margin && s.members[own] > 1 {
		to = s.empty[len(s.empty)-1]
	}
	s.forget()
	return to
}

func (s *search) transfer(g *adjacency, v uint32, label []uint32, to uint32) {
	own := label[v]
	if s.members[to] == 0 {
		s.empty = s.empty[:len(s.empty)-1]
	}
	s.size[own] -= g.weight[v]
	s.members[own]--
	if s.members[own] == 0 {
		s.size[own] = 0
		s.empty = append(s.empty, own)
	}
	s.size[to] += g.weight[v]
	s.members[to]++
	label[v] = to
}

// refine splits every community into parts that are well connected to the rest of it, by merging single nodes into a
// part chosen at random with probability growing with the gain. The result is memory that the next call reuses.
func (s *search) refine(g *adjacency, level []uint32) []uint32 {
	n := g.len()
	part, cut, size, alone := s.part[:n], s.cut[:n], s.partSize[:n], s.alone[:n]
	var total float64
	for v := range part {
		part[v], size[v], alone[v], cut[v] = uint32(v), g.weight[v], true, 0
		for i := g.start[v]; i < g.start[v+1]; i++ {
			total += g.w[i]
			if level[g.to[i]] == level[v] {
				cut[v] += g.w[i]
			}
		}
	}
	// Randomness of the choice: the 0.01 of the paper, in units of the mean edge weight.
	theta := 0.01 * total / math.Max(1, float64(len(g.w)))
	for _, v := range s.shuffled(n) {
		whole := s.size[level[v]] // left by move
		if !alone[v] || !s.wellConnected(cut[v], size[v], whole) {
			continue
		}
		s.neighbours(g, v, part, level)
		if to := s.choose(g.weight[v], whole, theta); to >= 0 && uint32(to) != v {
			t := uint32(to)
			cut[t] += cut[v] - 2*s.link[t]
			size[t] += size[v]
			part[v] = t
			alone[t], alone[v] = false, false
		}
		s.forget()
	}
	return part
}

// wellConnected says whether a part of a community holds at least the resolution's share of weight to its rest.
func (s *search) wellConnected(cut, size, whole float64) bool {
	need := s.resolution * size * (whole - size)
	return cut >= need-1e-9*math.Abs(need)
}

// choose draws one of the touched parts for a node of weight w, or -1 when none gains.
func (s *search) choose(w, whole, theta float64) int {
	s.chance = s.chance[:0]
	most := math.Inf(-1)
	for _, c := range s.touched {
		d := s.link[c] - s.resolution*w*s.partSize[c]
		if d < 0 || !s.wellConnected(s.cut[c], s.partSize[c], whole) {
			d = math.Inf(-1)
		}
		s.chance = append(s.chance, d)
		most = math.Max(most, d)
	}
	if math.IsInf(most, -1) {
		return -1
	}
	var sum float64
	for i, d := range s.chance {
		sum += math.Exp((d - most) / theta)
		s.chance[i] = sum
	}
	x := s.rng.Float64() * sum
	for i, c := range s.chance {
		if x < c {
			return int(s.touched[i])
		}
	}
	return int(s.touched[len(s.touched)-1])
}

// aggregate makes each part a node, and the weight between two parts their edge.
func aggregate(g *adjacency, part []uint32, parts int) *adjacency {
	out := &adjacency{start: make([]int, parts+1), weight: make([]float64, parts)}
	first := make([]int, parts+1) // nodes by part
	for v, p := range part {
		first[p+1]++
		out.weight[p] += g.weight[v]
	}
	for p := range parts {
		first[p+1] += first[p]
	}
	nodes, at := make([]uint32, len(part)), make([]int, parts)
	copy(at, first)
	for v, p := range part {
		nodes[at[p]] = uint32(v)
		at[p]++
	}
	link, touched := make([]float64, parts), []uint32(nil)
	for p := range uint32(parts) {
		touched = touched[:0]
		for _, v := range nodes[first[p]:first[p+1]] {
			for i := g.start[v]; i < g.start[v+1]; i++ {
				q := part[g.to[i]]
				if q == p {
					continue
				}
				if link[q] == 0 {
					touched = append(touched, q)
				}
				link[q] += g.w[i]
			}
		}
		for _, q := range touched {
			out.to, out.w = append(out.to, q), append(out.w, link[q])
			link[q] = 0
		}
		out.start[p+1] = len(out.to)
	}
	return out
}

// connected splits labels into connected components, which the algorithm gives up to rounding, and numbers them.
func connected(g *adjacency, label []uint32) []uint32 {
	u := NewUnionFind(g.len())
	for v, l := range label {
		for i := g.start[v]; i < g.start[v+1]; i++ {
			if label[g.to[i]] == l {
				u.Union(uint32(v), g.to[i])
			}
		}
	}
	return u.Labels()
}
