package sketch

import (
	"math"
	"math/bits"
)

// LogHist is a histogram in 32 bins that double in width: bin 0 holds the value 0, bin i the values from 2^(i-1) up to
// but not including 2^i, the last bin all from 2^30 up. In milliseconds that is 1 ms to 12 days. 64 bytes. A bin stops
// counting at 65535.
type LogHist [32]uint16

// Add counts a value; negative ones count as 0.
func (h *LogHist) Add(v int64) {
	b := min(bits.Len64(uint64(max(v, 0))), len(h)-1)
	if h[b] < math.MaxUint16 {
		h[b]++
	}
}

// Count returns how many values were counted.
func (h *LogHist) Count() int {
	n := 0
	for _, c := range h {
		n += int(c)
	}
	return n
}

// Quantile estimates the q quantile, q in [0,1], interpolating geometrically within its bin: off by less than a factor
// of 2. It is NaN when h is empty or q is out of range. The last bin is taken to end at 2^31.
func (h *LogHist) Quantile(q float64) float64 {
	n := h.Count()
	if n == 0 || !(q >= 0 && q <= 1) {
		return math.NaN()
	}
	rank := q * float64(n)
	var below float64
	last := 0
	for i, c := range h {
		if c == 0 {
			continue
		}
		last = i
		if rank <= below+float64(c) {
			break
		}
		below += float64(c)
	}
	if last == 0 {
		return 0
	}
	f := min(max((rank-below)/float64(h[last]), 0), 1)
	return math.Exp2(float64(last-1) + f)
}

// Merge adds the counts of o.
func (h *LogHist) Merge(o *LogHist) {
	for i, c := range o {
		h[i] = saturate(uint32(h[i]) + uint32(c))
	}
}

// Counter is an item of a SpaceSaving list. The item occurred at most Count times, and at least Count - Over, while
// Count is below 65535. A Count of zero marks a free place. 8 bytes.
type Counter struct {
	Hash  uint32
	Count uint16
	Over  uint16 // what of Count may belong to items that were displaced
}

// Sure returns the number of occurrences that are certain.
func (c Counter) Sure() int { return int(c.Count - c.Over) }

// SpaceSaving finds the most frequent items of a stream in a fixed number of counters, the array that the caller
// slices: SpaceSaving(array[:]).Add(hash). With k counters and n items, every item that occurred more than n/k times
// is among them and no count is off by more than n/k. Source: Metwally, Agrawal, El Abbadi, "Efficient computation of
// frequent and top-k elements in data streams", ICDT 2005. Meant for k of up to a few dozen: Add looks at all.
type SpaceSaving []Counter

// Add counts one occurrence. Of several least counters the first is displaced.
func (s SpaceSaving) Add(hash uint32) {
	if len(s) == 0 {
		return
	}
	least := 0
	for i := range s {
		c := &s[i]
		if c.Hash == hash && c.Count > 0 {
			if c.Count < math.MaxUint16 {
				c.Count++
			}
			return
		}
		if c.Count < s[least].Count {
			least = i
		}
	}
	c := &s[least]
	c.Hash, c.Over = hash, c.Count
	c.Count = saturate(uint32(c.Count) + 1)
}

// Top returns the counter of largest certain count, the first of equals; the zero Counter when s is empty.
func (s SpaceSaving) Top() Counter {
	var top Counter
	for _, c := range s {
		if c.Count > 0 && (top.Count == 0 || c.Sure() > top.Sure()) {
			top = c
		}
	}
	return top
}

// Get returns the counter of hash, and false when it has none.
func (s SpaceSaving) Get(hash uint32) (Counter, bool) {
	for _, c := range s {
		if c.Hash == hash && c.Count > 0 {
			return c, true
		}
	}
	return Counter{}, false
}

func saturate(n uint32) uint16 { return uint16(min(n, math.MaxUint16)) }
