package graph

import "math"

// Peel returns the rows and columns, ascending, of the densest block that greedy removal finds in a bipartite graph,
// and its density: the weight of the edges inside over the number of rows and columns together. In an edge A is a row
// and B a column. Source: FRAUDAR (Hooi et al., "FRAUDAR: bounding graph fraud in the face of camouflage", KDD 2016)
// after Charikar (2000): the node with least weight left is removed until none is left, and the densest state seen is
// kept. The density is at least half that of the densest block there is. For resistance to camouflage, the caller
// gives an edge into a column of degree d the weight 1/log(d+5). Of equally dense states the largest is returned.
//
// Time is O(edges * log(rows + cols)). Without usable edges it returns nil, nil, 0. It panics when an edge names a row
// or column that does not exist.
func Peel(rows, cols int, edges []Edge) (inRows, inCols []uint32, density float64) {
	shifted := make([]Edge, len(edges))
	for i, e := range edges {
		if int(e.A) >= rows || int(e.B) >= cols {
			panic("graph: edge names a row or column that does not exist")
		}
		shifted[i] = Edge{e.A, e.B + uint32(rows), e.W}
	}
	n := rows + cols
	g := build(make([]float64, n), shifted)
	h := newHeap(g)
	var left float64
	for v := range n {
		left += h.key[v]
	}
	left /= 2
	var removed []uint32
	best, keep := 0.0, n
	for len(h.node) > 0 {
		if d := left / float64(len(h.node)); d > best*(1+1e-12) {
			best, keep = d, len(removed)
		}
		v := h.pop()
		left = math.Max(0, left-h.key[v])
		removed = append(removed, v)
		for i := g.start[v]; i < g.start[v+1]; i++ {
			h.lower(g.to[i], g.w[i])
		}
	}
	if best == 0 {
		return nil, nil, 0
	}
	inside := make([]bool, n)
	for _, v := range removed[keep:] {
		inside[v] = true
	}
	for v, in := range inside {
		switch {
		case in && v < rows:
			inRows = append(inRows, uint32(v))
		case in:
			inCols = append(inCols, uint32(v-rows))
		}
	}
	return inRows, inCols, blockWeight(g, inside) / float64(len(inRows)+len(inCols))
}

// blockWeight sums the edges inside afresh: the running sum of the peeling carries rounding.
func blockWeight(g *adjacency, inside []bool) float64 {
	var sum float64
	for v := range inside {
		if !inside[v] {
			continue
		}
		for i := g.start[v]; i < g.start[v+1]; i++ {
			if u := int(g.to[i]); u > v && inside[u] {
				sum += g.w[i]
			}
		}
	}
	return sum
}

// heap is an indexed binary heap of nodes, least key on top, the lower node first among equals.
type heap struct {
	node []uint32
	at   []int // position of a node, -1 when it has left
	key  []float64
}

// newHeap returns the nodes of g keyed by the weight of their edges.
func newHeap(g *adjacency) *heap {
	n := g.len()
	h := &heap{node: make([]uint32, n), at: make([]int, n), key: make([]float64, n)}
	for v := range n {
		h.node[v], h.at[v] = uint32(v), v
		for i := g.start[v]; i < g.start[v+1]; i++ {
			h.key[v] += g.w[i]
		}
	}
	for i := n/2 - 1; i >= 0; i-- {
		h.down(i)
	}
	return h
}

func (h *heap) pop() uint32 {
	v, last := h.node[0], len(h.node)-1
	h.swap(0, last)
	h.node = h.node[:last]
	h.at[v] = -1
	h.down(0)
	return v
}

// lower takes w from the key of v, if v is still there.
func (h *heap) lower(v uint32, w float64) {
	i := h.at[v]
	if i < 0 {
		return
	}
	h.key[v] = math.Max(0, h.key[v]-w)
	for i > 0 && h.less(i, (i-1)/2) {
		h.swap(i, (i-1)/2)
		i = (i - 1) / 2
	}
}

func (h *heap) down(i int) {
	for {
		c := 2*i + 1
		if c >= len(h.node) {
			return
		}
		if c+1 < len(h.node) && h.less(c+1, c) {
			c++
		}
		if !h.less(c, i) {
			return
		}
		h.swap(c, i)
		i = c
	}
}

func (h *heap) less(i, j int) bool {
	a, b := h.node[i], h.node[j]
	if h.key[a] != h.key[b] {
		return h.key[a] < h.key[b]
	}
	return a < b
}

func (h *heap) swap(i, j int) {
	h.node[i], h.node[j] = h.node[j], h.node[i]
	h.at[h.node[i]], h.at[h.node[j]] = i, j
}
