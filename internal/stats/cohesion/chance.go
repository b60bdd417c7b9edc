package cohesion

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/palladium-guard/palladium/internal/stats"
)

// resamples is how many random sets a set is compared with, and setLimit how many of its sources are, at most.
const (
	resamples = 40
	setLimit  = 96
)

// Chance compares a set of sources with random sets of Others. Its tests return log p-values, 0 where nothing can be
// said.
type Chance struct {
	Others *Sample
	Rand   *rand.Rand
}

// Loads compares the spread of loads around a common profile with that of sets of others whose total loads match one
// for one, and how close together the sources began with random sets; it returns the lesser p-value, doubled.
func (c *Chance) Loads(s *Sample, sel []int) float64 {
	if len(sel) > setLimit {
		sel = c.pick(sel, setLimit)
	}
	total := c.Others.totals()
	order := make([]int, 0, len(total))
	for i, n := range total {
		if n > 0 {
			order = append(order, i)
		}
	}
	if len(order) < 40 {
		return 0
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(total[a], total[b]) })
	begun := c.onsets(s, sel, order)
	own := s.totals()
	var per float32
	for _, i := range sel {
		per += own[i] / float32(len(sel))
	}
	if per < 2 {
		return begun // one event each is equal by necessity
	}
	x := s.Spread(sel)
	null := make([]float64, resamples)
	pick := make([]int, len(sel))
	for b := range null {
		for j, i := range sel {
			at, _ := slices.BinarySearchFunc(order, own[i], func(o int, v float32) int { return cmp.Compare(total[o], v) })
			at += c.Rand.IntN(15) - 7
			pick[j] = order[min(max(at, 0), len(order)-1)]
		}
		null[b] = c.Others.Spread(pick)
	}
	return min(math.Ln2+min(normalTail(null, x, -1), begun), 0)
}

// onsets compares the log of the range of the middle half of the beginnings, in hours, with that of random sets.
func (c *Chance) onsets(s *Sample, sel, from []int) float64 {
	if len(s.First) == 0 || len(c.Others.First) == 0 || len(sel) < least {
		return 0
	}
	v := make([]float64, len(sel))
	span := func(first []float32, pick []int) float64 {
		for j, i := range pick {
			v[j] = float64(first[i])
		}
		q := stats.Quantiles(v, 0.25, 0.75)
		return math.Log(q[1] - q[0] + 1)
	}
	x := span(s.First, sel)
	null := make([]float64, resamples)
	for b := range null {
		null[b] = span(c.Others.First, c.some(from, len(sel)))
	}
	return normalTail(null, x, -1)
}

// Directions compares the sources' mutual similarity with that of random sets of others.
func (c *Chance) Directions(s *Sample, sel []int) float64 {
	if len(sel) > setLimit {
		sel = c.pick(sel, setLimit)
	}
	var with []int
	events := 0
	for _, i := range sel {
		if s.Events[i] >= MinEvents {
			with = append(with, i)
			events += int(s.Events[i])
		}
	}
	if len(with) < least || events < 24 {
		return 0
	}
	var from []int
	for i, n := range c.Others.Events {
		if n >= MinEvents {
			from = append(from, i)
		}
	}
	if len(from) < 40 {
		return 0
	}
	x := s.Cross(with)
	null := make([]float64, resamples)
	for b := range null {
		null[b] = c.Others.Cross(c.some(from, len(with)))
	}
	return normalTail(null, x, 1)
}

func (c *Chance) pick(sel []int, n int) []int {
	out := slices.Clone(sel)
	c.Rand.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out[:n]
}

// some draws n positions without replacement, or with when there are too few.
func (c *Chance) some(from []int, n int) []int {
	if n <= len(from)/2 {
		return c.pick(from, n)
	}
	out := make([]int, n)
	for i := range out {
		out[i] = from[c.Rand.IntN(len(from))]
	}
	return out
}

// normalTail is the log p-value of x among samples by a normal fit, never less than twelve deviations out: beyond
// that the normal law is not to be trusted. side is +1 when large is extreme and -1 when small is.
func normalTail(samples []float64, x float64, side float64) float64 {
	var s, q float64
	for _, v := range samples {
		s += v
		q += v * v
	}
	n := float64(len(samples))
	mu := s / n
	sd := math.Sqrt(max(q/n-mu*mu, 0)*n/(n-1)) + 1e-3
	z := side * (x - mu) / (sd * 1.3) // a third wider: the fit is from few sets
	if z <= 0 {
		return 0
	}
	return stats.LogNormalTail(min(z, 12))
}
