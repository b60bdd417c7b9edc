package measure

import (
	"math/bits"
	"slices"

	"github.com/palladium-guard/palladium"
)

const (
	gramWords  = 5  // words in a shingle
	shortWords = 12 // a message with fewer words is compared by shingles of three words
	window     = 4  // shingles in a winnowing window; winnowing is written for four
	keepEnds   = 8  // winnowed shingles always kept at either end
	keepInner  = MaxShingles - 2
)

// fingerprint derives all of the last user message's fingerprints from its words w, of which there is at least one,
// and m.pairs.
func (m *Meter) fingerprint(w []uint64, o *palladium.Observation) {
	m.shingles(w, o)
	m.topic(w, o)
	o.SimHash = simHash(w, m.pairs[:len(w)-1])
}

// shingles fills Shingles and MinHash.
func (m *Meter) shingles(w []uint64, o *palladium.Observation) {
	n, p := len(w), m.pairs
	var minima [64]uint64
	if n < gramWords {
		h := w[0]
		for _, x := range w[1:] {
			h = mix(h^m.k[2], x^m.k[3])
		}
		o.Shingles = append(o.Shingles, h&^TagMask|TagWhole)
		if n < 3 {
			m.minHash(&minima, []uint64{h}, o)
			return
		}
	} else {
		o.Shingles = append(o.Shingles, m.four(p[0], p[2])&^TagMask|TagStart, m.four(p[n-4], p[n-2])&^TagMask|TagEnd)
		g := m.grams[:n-gramWords+1]
		for i := range g {
			g[i] = mix(m.four(p[i], p[i+2])^m.k[4], w[i+4]^m.k[5])
		}
		m.winnowing(g, o)
		if n >= shortWords {
			m.minHash(&minima, g, o)
			return
		}
	}
	g := m.grams[:n-2]
	for i := range g {
		g[i] = mix(p[i]^m.k[4], w[i+2]^m.k[6])
	}
	m.minHash(&minima, g, o)
}

// four is the hash of four words from that of two pairs.
func (m *Meter) four(a, b uint64) uint64 { return mix(a^m.k[2], b^m.k[3]) }

// winnowing keeps the smallest hash of every window of shingles, the rightmost of equals, each once (Schleimer,
// Wilkerson, Aiken 2003), so that any eight words which two messages share leave a shingle in common; then at most
// keepInner of them: the first and last keepEnds and those with the smallest hashes between, in the order of the text.
func (m *Meter) winnowing(g []uint64, o *palladium.Observation) {
	var met [32]uint64 // filter over 11 bits of the hash
	out := m.winnow[:0]
	// The minima are appended without a branch, since where one changes is chance, and only then looked at.
	runs := m.runs[:len(g)]
	last, n := ^uint64(0), 0
	if len(g) < window {
		runs[0], n = slices.Min(g)&^TagMask, 1
	}
	for i := window - 1; i < len(g); i++ {
		w := g[i-3 : i+1 : i+1]
		low := min(w[0], w[1], w[2], w[3]) &^ TagMask
		runs[n] = low
		if low != last {
			n++
		}
		last = low
	}
	for _, h := range runs[:n] {
		word, bit := h>>59, uint64(1)<<(h>>53&63)
		if met[word]&bit != 0 && slices.Contains(out, h) {
			continue
		}
		met[word] |= bit
		out = append(out, h)
	}
	if len(out) <= keepInner {
		o.Shingles = append(o.Shingles, out...)
		return
	}
	mid := out[keepEnds : len(out)-keepEnds]
	var buf [keepInner - 2*keepEnds]uint64
	least := smallest(buf[:0], mid, len(buf))
	bound := least[len(least)-1]
	o.Shingles = append(o.Shingles, out[:keepEnds]...)
	for _, h := range mid {
		if h <= bound {
			o.Shingles = append(o.Shingles, h)
		}
	}
	o.Shingles = append(o.Shingles, out[len(out)-keepEnds:]...)
}

// minHash fills MinHash by one-permutation hashing (Li, Owen, Zhang 2012): the highest six bits of a shingle's hash
// choose the bin, the smallest hash of a bin is its value, of which the lowest eight bits are kept. The share of equal
// bins of two messages estimates the Jaccard similarity of their shingle sets, 1/256 too high where they differ. An
// empty bin takes the value of the first full bin in a random order of its own (optimal densification, Shrivastava 2017).
func (m *Meter) minHash(minima *[64]uint64, g []uint64, o *palladium.Observation) {
	for i := range minima {
		minima[i] = ^uint64(0)
	}
	var full uint64
	for _, h := range g {
		b := h >> 58
		full |= 1 << b
		minima[b] = min(minima[b], h)
	}
	for i := range minima {
		o.MinHash[i] = uint8(minima[i])
	}
	empty, n := ^full, bits.OnesCount64(full)
	for empty != 0 {
		i := bits.TrailingZeros64(empty)
		empty &= empty - 1
		o.MinHash[i] = uint8(minima[m.lender(i, full, n)])
	}
}

// lender returns the first of the n full bins that empty bin i asks. With few full bins it ranks them all instead.
func (m *Meter) lender(i int, full uint64, n int) int {
	if n > 6 {
		o := &m.order[i]
		for k := 0; k < len(o); k += 4 { // four at a time: which of them is the first full one is chance
			a, b, c, d := o[k], o[k+1], o[k+2], o[k+3]
			if met := full>>(a&63)&1 | full>>(b&63)&1<<1 | full>>(c&63)&1<<2 | full>>(d&63)&1<<3; met != 0 {
				return int(o[k+bits.TrailingZeros64(met)])
			}
		}
	}
	best, at := uint8(255), 0
	for ; full != 0; full &= full - 1 {
		j := bits.TrailingZeros64(full)
		if r := m.rank[i][j]; r < best {
			best, at = r, j
		}
	}
	return at
}

// densification draws the orders in which empty bins ask. They do not depend on the key.
func (m *Meter) densification() {
	state := uint64(0x9e3779b97f4a7c15)
	for i := range m.order {
		o := &m.order[i]
		for j := range o {
			o[j] = uint8(j)
		}
		for j := len(o) - 1; j > 0; j-- {
			state += 0x9e3779b97f4a7c15
			k := mix(state, 0xd6e8feb86659fd93) % uint64(j+1)
			o[j], o[k] = o[k], o[j]
		}
		for j, b := range o {
			m.rank[i][b] = uint8(j)
		}
	}
}

// topic fills Terms: the highest 16 bits of the hashes of words and of word pairs, each value once.
func (m *Meter) topic(w []uint64, o *palladium.Observation) {
	var out [MaxTerms + 1]uint16 // what was met before is written too, and overwritten
	n := 0
	add := func(h uint64) {
		t := uint16(h >> 48)
		word, bit := &m.terms[t>>6], uint64(1)<<(t&63)
		out[n] = t
		if *word&bit == 0 {
			n++
		}
		*word |= bit
	}
	add(w[0])
	for i, h := range w[1:] {
		if n == MaxTerms {
			break
		}
		add(h)
		if n == MaxTerms {
			break
		}
		add(m.pairs[i])
	}
	o.Terms = append(o.Terms, out[:n]...)
	for _, t := range o.Terms {
		m.terms[t>>6] = 0
	}
}

// simHash is Charikar's (2002) fingerprint over words and word pairs: bit i is the majority of the hashes' bits i. The
// 64 counters are held bit-sliced, plane j being bit j of all of them, and are fed four hashes at a time through
// carry-save adders.
func simHash(w, p []uint64) uint64 {
	var planes [14]uint64 // 2 * maxWords fits in 13 bits
	var ones, twos uint64
	add := func(a, b, c, d uint64) {
		var twosA, twosB, fours uint64
		twosA, ones = carry(ones, a, b)
		twosB, ones = carry(ones, c, d)
		fours, twos = carry(twos, twosA, twosB)
		fours, planes[2] = planes[2]&fours, planes[2]^fours
		fours, planes[3] = planes[3]&fours, planes[3]^fours
		for j := 4; fours != 0; j++ {
			fours, planes[j] = planes[j]&fours, planes[j]^fours
		}
	}
	i := 0
	for ; i+1 < len(p); i += 2 {
		add(w[i], w[i+1], p[i], p[i+1])
	}
	switch { // one more word than pairs
	case i+1 == len(p):
		add(w[i], w[i+1], p[i], 0)
	default:
		add(w[i], 0, 0, 0)
	}
	planes[0], planes[1] = ones, twos
	half := (len(w) + len(p)) / 2
	more, equal := uint64(0), ^uint64(0)
	for j := len(planes) - 1; j >= 0; j-- {
		if half>>j&1 != 0 {
			equal &= planes[j]
			continue
		}
		more |= equal & planes[j]
		equal &^= planes[j]
	}
	return nonzero(more)
}

// carry adds three bits in each of 64 lanes.
func carry(a, b, c uint64) (high, low uint64) {
	u := a ^ b
	return a&b | u&c, u ^ c
}

// smallest returns in dst the k smallest distinct values of src that are not yet in dst, in ascending order after
// what dst held.
func smallest(dst, src []uint64, k int) []uint64 {
	base := len(dst)
next:
	for _, h := range src {
		if len(dst)-base == k {
			if k == 0 || h >= dst[len(dst)-1] {
				continue
			}
		}
		for _, x := range dst[:base] {
			if x == h {
				continue next
			}
		}
		i := len(dst)
		for i > base && dst[i-1] > h {
			i--
		}
		if i > base && dst[i-1] == h {
			continue
		}
		if len(dst)-base < k {
			dst = append(dst, 0)
		}
		copy(dst[i+1:], dst[i:])
		dst[i] = h
	}
	return dst
}
