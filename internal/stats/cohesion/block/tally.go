package block

// Tally counts numbers: an open-addressing table that is emptied by counting generations, so that it can be used over
// and over without being cleared. The zero value takes a Reset before use.
type Tally struct {
	cells []Count
	gen   uint32
	mask  uint32
}

// Count is what a Tally holds of one number: two figures for the caller's use.
type Count struct {
	item, gen uint32
	N, Index  int32
}

// Reset empties the tally and makes room for n different numbers: no more may be asked for until the next Reset.
func (t *Tally) Reset(n int) {
	size := 1 << 10
	for size < n*2 {
		size *= 2
	}
	if len(t.cells) < size {
		t.cells, t.gen = make([]Count, size), 0
	}
	t.mask = uint32(len(t.cells) - 1)
	t.gen++
	if t.gen == 0 {
		clear(t.cells)
		t.gen = 1
	}
}

// At returns the number's count, fresh with N 0 and Index -1 when it was not there. It is valid until the next Reset.
func (t *Tally) At(item uint32) *Count {
	i := item * 2654435761 >> 7 & t.mask
	for {
		c := &t.cells[i]
		if c.gen != t.gen {
			*c = Count{item: item, gen: t.gen, Index: -1}
			return c
		}
		if c.item == item {
			return c
		}
		i = (i + 1) & t.mask
	}
}
