package linkage

// roll numbers accounts by the hash of their id: open addressing, so that a look-up reads one cache line. Ids are not
// compared: two of a million collide once in 10^7 installations.
type roll struct {
	slots []entry
	used  int
}

// entry is free when account is 0.
type entry struct {
	hash    uint64
	account uint32 // its number + 1
}

// find returns the account with hash h.
func (r *roll) find(h uint64) (uint32, bool) {
	mask := uint64(len(r.slots) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		switch e := &r.slots[i]; {
		case e.account == 0:
			return 0, false
		case e.hash == h:
			return e.account - 1, true
		}
	}
}

// near reads the slot of h.
func (r *roll) near(h uint64) uint32 { return r.slots[h&uint64(len(r.slots)-1)].account }

// add enters account a, whose hash is not there yet.
func (r *roll) add(h uint64, a uint32) {
	if r.used*3 >= len(r.slots)*2 {
		r.grow(2 * len(r.slots))
	}
	r.put(entry{hash: h, account: a + 1})
	r.used++
}

func (r *roll) put(e entry) {
	mask := uint64(len(r.slots) - 1)
	i := e.hash & mask
	for r.slots[i].account != 0 {
		i = (i + 1) & mask
	}
	r.slots[i] = e
}

// grow makes room for n slots, a power of two.
func (r *roll) grow(n int) {
	old := r.slots
	r.slots = make([]entry, n)
	for _, e := range old {
		if e.account != 0 {
			r.put(e)
		}
	}
}
