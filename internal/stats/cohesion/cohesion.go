// Package cohesion measures how alike sources of events are in what they do: how many events each draws in each slot
// of time, when it began, and the mean direction of its events' feature vectors. It weighs one source against a block
// of them, and compares a set of sources with random sets of others. It knows nothing of the product.
//
// Nothing here is safe for use by several goroutines, and nothing changes a Sample.
package cohesion

import (
	"cmp"
	"math"
	"slices"
)

// Sizes of a source's fixed parts.
const (
	Slots = 32
	Dims  = 256
)

// Row is one source's events in each slot, oldest first; -1 in slots before it began.
type Row = [Slots]float32

// Vector is the mean of the vectors of one source's events, less that of all sources; each event's has length 1.
type Vector = [Dims]float32

// Sample is a set of sources side by side: source i stands at i in all of its slices. First, Mean and Events may be
// empty where only loads are compared.
type Sample struct {
	Loads  []Row
	Slots  int       // how many slots of a Row count
	First  []float32 // when each began, in hours
	Mean   []Vector
	Events []int32 // events behind each Mean
}

// MinEvents is the least number of events behind a Mean that is looked at.
const MinEvents = 2

// least is the size of the smallest set that is tested.
const least = 6

// means writes the mean load in each slot over the sources weighted by r; 0 where nobody had begun.
func (s *Sample) means(r []float32, out *Row) {
	for t := 0; t < s.Slots; t++ {
		var sum, w float32
		for i := range s.Loads {
			if c := s.Loads[i][t]; c >= 0 {
				sum += r[i] * c
				w += r[i]
			}
		}
		out[t] = 0
		if w > 1e-3 {
			out[t] = sum / w
		}
	}
}

// Misfit is the log of the mean Poisson deviation of one source's loads from the mean loads, over the first n slots:
// about 0 for a source that is dealt its share of one queue, large for one with habits of its own. dof is how many
// slots count; with none, both are 0.
func Misfit(loads, mean *Row, n int) (u, dof float32) {
	var x2 float32
	for s := 0; s < n; s++ {
		c, m := loads[s], mean[s]
		if c < 0 || m < 0.02 {
			continue
		}
		d := c - m
		x2 += d * d / (m + 0.1)
		dof++
	}
	if dof == 0 {
		return 0, 0
	}
	return float32(math.Log(float64(0.25 + x2/dof))), dof
}

// Spread is the mean misfit of the selected sources' loads to their own mean profile; 0 when none can be compared.
func (s *Sample) Spread(sel []int) float64 {
	var mean Row
	for t := 0; t < s.Slots; t++ {
		var sum, n float32
		for _, i := range sel {
			if c := s.Loads[i][t]; c >= 0 {
				sum, n = sum+c, n+1
			}
		}
		if n > 0 {
			mean[t] = sum / n
		}
	}
	var sum, n float64
	for _, i := range sel {
		if u, dof := Misfit(&s.Loads[i], &mean, s.Slots); dof > 0 {
			sum, n = sum+float64(u), n+1
		}
	}
	if n == 0 {
		return 0
	}
	return sum / n
}

// Levelled reports whether a third of the sources fit one mean profile closely enough to be dealt their loads, and
// the loads are large enough to tell. Fewer than twelve sources never are.
func (s *Sample) Levelled() bool {
	var mean Row
	w := make([]float32, len(s.Loads))
	for i := range w {
		w[i] = 1
	}
	s.means(w, &mean)
	us := make([]float64, 0, len(s.Loads))
	for i := range s.Loads {
		if u, dof := Misfit(&s.Loads[i], &mean, s.Slots); dof > 0 {
			us = append(us, float64(u))
		}
	}
	slices.Sort(us)
	if len(us) < 12 {
		return false
	}
	var per float32
	for _, m := range mean {
		per += m
	}
	return us[len(us)/3] < 0.7 && per >= 1.5
}

// totals returns each source's events in all slots.
func (s *Sample) totals() []float32 {
	out := make([]float32, len(s.Loads))
	for i := range s.Loads {
		for _, c := range s.Loads[i][:s.Slots] {
			out[i] += max(c, 0)
		}
	}
	return out
}

// Commonest returns the sources whose total load is the commonest, those of the densest window of log totals 0.35
// wide. Sources of fewer than four events are passed over.
func (s *Sample) Commonest() []int {
	type at struct {
		i int
		v float64
	}
	tot := make([]at, 0, len(s.Loads))
	for i, c := range s.totals() {
		if c >= 4 {
			tot = append(tot, at{i, math.Log(float64(c))})
		}
	}
	slices.SortFunc(tot, func(a, b at) int { return cmp.Or(cmp.Compare(a.v, b.v), cmp.Compare(a.i, b.i)) })
	lo, bestLo, bestHi := 0, 0, 0
	for hi := range tot {
		for tot[hi].v-tot[lo].v > 0.35 {
			lo++
		}
		if hi-lo > bestHi-bestLo {
			bestLo, bestHi = lo, hi
		}
	}
	if len(tot) == 0 {
		return nil
	}
	out := make([]int, 0, bestHi-bestLo+1)
	for _, t := range tot[bestLo : bestHi+1] {
		out = append(out, t.i)
	}
	return out
}

// Dot is the scalar product.
func Dot(a, b *Vector) float32 {
	var s0, s1, s2, s3 float32
	for i := 0; i < Dims; i += 4 {
		s0 += a[i] * b[i]
		s1 += a[i+1] * b[i+1]
		s2 += a[i+2] * b[i+2]
		s3 += a[i+3] * b[i+3]
	}
	return s0 + s1 + s2 + s3
}

// Cross is the mean scalar product of the Means of two different selected sources. sel names two or more.
func (s *Sample) Cross(sel []int) float64 {
	var sum [Dims]float64
	var own float64
	for _, i := range sel {
		for d, f := range &s.Mean[i] {
			sum[d] += float64(f)
			own += float64(f) * float64(f)
		}
	}
	var q float64
	for _, f := range sum {
		q += f * f
	}
	n := float64(len(sel))
	return (q - own) / (n * (n - 1))
}

// Within is the mean squared length of the direction behind the Means of sources of four events or more: that of two
// different events of one source, |mean|^2 = within*(1-1/k) + 1/k for k unit vectors, the mean of all taken off. ok is
// false when there is no such source.
func (s *Sample) Within() (within float64, ok bool) {
	var n float64
	for i := range s.Mean {
		if k := float64(s.Events[i]); k >= 4 {
			within += (float64(Dot(&s.Mean[i], &s.Mean[i])) - 1/k) / (1 - 1/k)
			n++
		}
	}
	return within / max(n, 1), n > 0
}

// Window returns the sources' loads in n slots from the given one on, without the rest.
func (s *Sample) Window(from, n int) *Sample {
	out := &Sample{Loads: make([]Row, len(s.Loads)), Slots: n}
	for i := range s.Loads {
		copy(out.Loads[i][:n], s.Loads[i][from:from+n])
	}
	return out
}

// Peak returns the largest share of the chosen sources' events that fell in the given number of slots in a row.
func (s *Sample) Peak(sel []int, slots int) float64 {
	var by [Slots]float64
	var total float64
	for _, i := range sel {
		for t := 0; t < s.Slots; t++ {
			by[t] += float64(s.Loads[i][t])
			total += float64(s.Loads[i][t])
		}
	}
	most := 0.0
	for t := 0; t < s.Slots; t++ {
		sum := 0.0
		for _, v := range by[t:min(t+slots, s.Slots)] {
			sum += v
		}
		most = max(most, sum)
	}
	return most / max(total, 1)
}
