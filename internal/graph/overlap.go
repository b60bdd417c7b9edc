package graph

import (
	"cmp"
	"math"
	"slices"
)

// Overlaps joins sets that share elements, by edges whose weight is the overlap coefficient, the number shared over
// the size of the smaller set. Each set's elements are distinct. Edges come in the order of A, then of B.
func Overlaps[T comparable](sets [][]T) []Edge {
	holds := map[T][]int32{}
	for i, s := range sets {
		for _, m := range s {
			holds[m] = append(holds[m], int32(i))
		}
	}
	both := map[[2]int32]int{}
	for _, in := range holds {
		for x := range in {
			for _, b := range in[x+1:] {
				both[[2]int32{in[x], b}]++
			}
		}
	}
	edges := make([]Edge, 0, len(both))
	for k, n := range both {
		w := float64(n) / float64(min(len(sets[k[0]]), len(sets[k[1]])))
		edges = append(edges, Edge{A: uint32(k[0]), B: uint32(k[1]), W: w})
	}
	slices.SortFunc(edges, func(a, b Edge) int { return cmp.Or(cmp.Compare(a.A, b.A), cmp.Compare(a.B, b.B)) })
	return edges
}

// Modular returns Leiden communities whose nodes weigh their degree over the root of twice the total weight, so that
// the quality is modularity at the given resolution (Traag, Waltman and van Eck 2019). n is the number of nodes.
func Modular(n int, edges []Edge, resolution float64, seed uint64) []uint32 {
	degree := make([]float64, n)
	var total float64
	for _, e := range edges {
		degree[e.A] += e.W
		degree[e.B] += e.W
		total += e.W
	}
	scale := 1 / math.Sqrt(max(2*total, 1e-9))
	for i := range degree {
		degree[i] *= scale
	}
	return LeidenWeighted(degree, edges, resolution, seed)
}
