package file

import (
	"errors"
	"fmt"
	"io"

	"github.com/palladium-guard/palladium/internal/snapshot"
)

// generation is how many ids one generation of Seen holds. The last one to two million ids are known.
const generation = 1 << 20

// Seen remembers the 64-bit hashes of the ids of the exchanges delivered last, in two generations: when the young one
// is full it becomes the old one, and the old one is forgotten. With random hashes one new id in 10^13 is taken for a
// known one. The zero Seen knows none. While a Read uses it nobody else may, but for what Read calls.
type Seen struct {
	young, old []uint64 // open addressing, zero is free, at most half full
	n          int
}

// Add reports whether id is new, and remembers it.
func (s *Seen) Add(id uint64) bool {
	if id == 0 {
		id = 1
	}
	if known(s.young, id) || known(s.old, id) {
		return false
	}
	if 2*s.n >= len(s.young) {
		s.grow()
	}
	s.young[place(s.young, id)] = id
	s.n++
	return true
}

func known(table []uint64, id uint64) bool { return len(table) > 0 && table[place(table, id)] == id }

func (s *Seen) grow() {
	if s.n >= generation {
		s.young, s.old, s.n = s.old, s.young, 0
		if len(s.young) != len(s.old) {
			s.young = make([]uint64, len(s.old))
		}
		clear(s.young)
		return
	}
	bigger := make([]uint64, max(1<<12, 2*len(s.young)))
	for _, id := range s.young {
		if id != 0 {
			bigger[place(bigger, id)] = id
		}
	}
	s.young = bigger
}

// place finds id's place in a table whose length is a power of two, or the free one where it belongs.
func place(table []uint64, id uint64) int {
	mask := len(table) - 1
	at := int(id>>32^id) & mask
	for table[at] != 0 && table[at] != id {
		at = (at + 1) & mask
	}
	return at
}

// Save writes what is remembered, about 16 bytes an id.
func (s *Seen) Save(w io.Writer) error { return snapshot.Write(w, s) }

// LoadSeen reads what Save wrote. The caller vouches for the stream with a checksum.
func LoadSeen(r io.Reader) (*Seen, error) {
	s := new(Seen)
	if err := snapshot.Read(r, s); err != nil {
		return nil, fmt.Errorf("load the known ids: %w", err)
	}
	for _, table := range [][]uint64{s.young, s.old} {
		used := 0
		for _, id := range table {
			if id != 0 {
				used++
			}
		}
		if n := len(table); n&(n-1) != 0 || n > 4*generation || 2*used > n {
			return nil, errors.New("load the known ids: a table of the wrong size")
		}
	}
	if s.n < 0 || 2*s.n > len(s.young) {
		return nil, errors.New("load the known ids: a false count")
	}
	return s, nil
}
