// Package graph finds groups in graphs whose nodes are the numbers 0..n-1: union-find, Leiden communities under the
// constant Potts model, and the densest block of a bipartite graph by greedy peeling. It knows nothing of the product.
// All results depend on the arguments alone, the seed included.
package graph

// Edge joins nodes A and B with weight W. In an undirected graph the order of A and B does not matter, and parallel
// edges add up. Edges whose weight is not a positive finite number, and loops, are ignored where groups are sought.
type Edge struct {
	A, B uint32
	W    float64
}

// UnionFind keeps a partition of 0..Len()-1 that only ever grows coarser, with union by size and path halving
// (Tarjan and van Leeuwen, 1984): near-constant time per call. The zero value is an empty partition. It is not safe
// for use by several goroutines, Find included.
type UnionFind struct {
	parent []uint32
	size   []uint32 // of the set, at its root
	sets   int
}

// NewUnionFind returns n elements, each a set of its own.
func NewUnionFind(n int) *UnionFind {
	u := &UnionFind{parent: make([]uint32, n), size: make([]uint32, n), sets: n}
	for i := range u.parent {
		u.parent[i], u.size[i] = uint32(i), 1
	}
	return u
}

// Add makes one more element, in a set of its own, and returns it.
func (u *UnionFind) Add() uint32 {
	x := uint32(len(u.parent))
	u.parent, u.size = append(u.parent, x), append(u.size, 1)
	u.sets++
	return x
}

// Len returns the number of elements.
func (u *UnionFind) Len() int { return len(u.parent) }

// Sets returns the number of sets.
func (u *UnionFind) Sets() int { return u.sets }

// Find returns the element that stands for the set of x, until that set is next united.
func (u *UnionFind) Find(x uint32) uint32 {
	p := u.parent
	for p[x] != x {
		p[x] = p[p[x]]
		x = p[x]
	}
	return x
}

// Union unites the sets of a and b. It returns the element that stands for the whole, and false when they were one
// set already. Of two sets the larger keeps its element; of equals, a's.
func (u *UnionFind) Union(a, b uint32) (root uint32, joined bool) {
	a, b = u.Find(a), u.Find(b)
	if a == b {
		return a, false
	}
	if u.size[a] < u.size[b] {
		a, b = b, a
	}
	u.parent[b] = a
	u.size[a] += u.size[b]
	u.sets--
	return a, true
}

// Same says whether a and b are in one set.
func (u *UnionFind) Same(a, b uint32) bool { return u.Find(a) == u.Find(b) }

// Size returns the number of elements in the set of x.
func (u *UnionFind) Size(x uint32) int { return int(u.size[u.Find(x)]) }

// Labels returns the set of every element as a number from 0 up, in the order of each set's lowest element.
func (u *UnionFind) Labels() []uint32 {
	label := make([]uint32, len(u.parent))
	for i := range label {
		label[i] = u.Find(uint32(i))
	}
	renumber(label)
	return label
}

// renumber replaces labels, all below len(label), by 0, 1, 2 … in order of first appearance and returns their number.
func renumber(label []uint32) int {
	name := make([]uint32, len(label)) // new name plus one
	next := uint32(0)
	for i, l := range label {
		if name[l] == 0 {
			next++
			name[l] = next
		}
		label[i] = name[l] - 1
	}
	return int(next)
}
