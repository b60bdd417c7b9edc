package sketch

import (
	"iter"
	"math/bits"
)

// Recent remembers exactly the last distinct hashes of a stream: at least capacity of them, at most twice as many.
// Hashes are kept in two generations; when the younger is full it becomes the older, and the older is forgotten. It
// allocates when made and never again: 32 to 64 bytes per hash of capacity.
type Recent struct {
	young, old generation
	capacity   int
}

// generation is an open-addressing table. Zero marks a free place, so the hash 0 has a flag of its own.
type generation struct {
	table []uint64
	zero  bool
	n     int
}

// NewRecent returns a Recent for the given capacity, at least 1.
func NewRecent(capacity int) *Recent {
	capacity = max(capacity, 1)
	size := 1 << bits.Len(uint(2*capacity-1)) // a power of two, at most half full
	return &Recent{
		young:    generation{table: make([]uint64, size)},
		old:      generation{table: make([]uint64, size)},
		capacity: capacity,
	}
}

// Has says whether hash was seen lately, and remembers nothing.
func (r *Recent) Has(hash uint64) bool { return r.young.has(hash) || r.old.has(hash) }

// Seen says whether hash was seen lately, and remembers it as the latest.
func (r *Recent) Seen(hash uint64) bool {
	if r.young.has(hash) {
		return true
	}
	seen := r.old.has(hash)
	r.young.put(hash)
	if r.young.n == r.capacity { // at once, not at the next hash: All relies on it
		r.old, r.young = r.young, r.old
		r.young.clear()
	}
	return seen
}

// All yields what is remembered, the older generation first. Calling Seen with each, in this order, on a new Recent of
// the same capacity gives one that answers the same.
func (r *Recent) All() iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		for _, g := range []*generation{&r.old, &r.young} {
			if g.zero && !yield(0) {
				return
			}
			for _, h := range g.table {
				if h != 0 && !yield(h) {
					return
				}
			}
		}
	}
}

// place returns where hash is, or the free place where it belongs.
func (g *generation) place(hash uint64) int {
	mask := len(g.table) - 1
	i := int(hash*0x9e3779b97f4a7c15>>32) & mask // Fibonacci hashing, against hashes with poor low bits
	for g.table[i] != hash && g.table[i] != 0 {
		i = (i + 1) & mask
	}
	return i
}

func (g *generation) has(hash uint64) bool {
	if hash == 0 {
		return g.zero
	}
	return g.table[g.place(hash)] != 0
}

func (g *generation) put(hash uint64) {
	g.n++
	if hash == 0 {
		g.zero = true
		return
	}
	g.table[g.place(hash)] = hash
}

func (g *generation) clear() {
	clear(g.table)
	g.zero, g.n = false, 0
}
