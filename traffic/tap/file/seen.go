package file

// generation is how many ids one generation of seen holds. The last one to two million ids are known.
const generation = 1 << 20

// seen remembers the 64-bit hashes of the most recent ids, in two generations: when the young one is full it becomes
// the old one, and the old one is forgotten. With random hashes one new id in 10^13 is taken for a known one.
type seen struct {
	young, old []uint64 // open addressing, zero is free, at most half full
	n          int
}

// add reports whether id is new, and remembers it.
func (s *seen) add(id uint64) bool {
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

func (s *seen) grow() {
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
