package stats

import (
	"math"
	"slices"
)

// PermutationTail returns a p-value for x against the statistics of random permutations, also where x lies so far
// beyond all of them that counting cannot tell 1e-3 from 1e-9.
//
// Up to the largest sample it is the exact permutation p-value of Conformal. Beyond it, a generalised Pareto tail is
// fitted to the largest quarter of the samples, as in Knijnenburg, Wessels, Reinders, Shmulevich, "Fewer permutations,
// more accurate P-values", Bioinformatics 25 (2009), with three changes that keep the answer honest:
//   - the shape is never below zero: a fitted end point would give p = 0 to whatever lies beyond it;
//   - what is returned is not the best estimate but an upper confidence limit of the tail probability, from the
//     profile likelihood over shape and scale, so fewer samples give larger p-values;
//   - x is moved down by one step of the samples' lattice, for statistics that are counts.
//
// It is never above 1/(n+1) beyond the samples, never below 1e-300, and never increases with x. Fewer than
// 40 samples, or fewer than 3 distinct values in the tail, give 1/(n+1) without extrapolation.
func PermutationTail(samples []float64, x float64) float64 {
	return permutationTail(samples, x, limitDrop)
}

// limitDrop is the fall of the log-likelihood that bounds the confidence region: half the 0.90 quantile of chi-squared
// with one degree of freedom, for a one-sided limit of about 95 %.
const limitDrop = 1.353

func permutationTail(samples []float64, x, drop float64) float64 {
	counted := Conformal(samples, x)
	n := len(samples)
	if n < 40 || counted > 1/float64(n+1) || math.IsNaN(x) {
		return counted
	}
	s := sorted(slices.Clone(samples))
	m := min(n/4, 250)
	u := (s[n-m] + s[n-m-1]) / 2
	first := n - m
	for first < n && s[first] <= u { // ties at the threshold
		first++
	}
	step, distinct := math.Inf(1), 1
	for i := first + 1; i < n; i++ {
		if d := s[i] - s[i-1]; d > 0 {
			distinct++
			step = min(step, d)
		}
	}
	if distinct < 3 || math.IsInf(s[n-1], 0) || math.IsInf(s[first], 0) {
		return counted
	}
	tail := s[first:]
	excess := make([]float64, len(tail))
	for i, v := range tail {
		excess[i] = v - u
	}
	y := x - step - u
	share := float64(len(tail)+1) / float64(n+1)
	return max(min(counted, share*paretoLimit(excess, y, drop)), 1e-300)
}

// paretoLimit returns the largest P(Y > y) among generalised Pareto distributions of shape zero or more whose
// log-likelihood of the excesses is within drop of the largest one.
func paretoLimit(excess []float64, y, drop float64) float64 {
	const shapeStep, shapes = 0.02, 101
	type point struct{ shape, scale, like float64 }
	profile := make([]point, 0, shapes)
	scale, best := 0.0, math.Inf(-1)
	for _, v := range excess {
		scale += v / float64(len(excess))
	}
	for i := range shapes {
		shape := float64(i) * shapeStep
		scale = paretoScale(excess, shape, scale)
		l := paretoLogLike(excess, shape, scale)
		best = max(best, l)
		if l < best-drop {
			break
		}
		profile = append(profile, point{shape, scale, l})
	}
	logq := math.Inf(-1)
	for _, p := range profile {
		if p.like < best-drop {
			continue
		}
		lo, hi := p.scale, p.scale*8
		for range 14 { // scale to 1e-3
			mid := math.Sqrt(lo * hi)
			if paretoLogLike(excess, p.shape, mid) >= best-drop {
				lo = mid
			} else {
				hi = mid
			}
		}
		logq = max(logq, paretoLogTail(p.shape, hi, y))
	}
	return math.Exp(logq)
}

// paretoScale returns the scale of largest likelihood at a shape, starting near from. The score equation
// scale = (1+shape) mean(y / (1 + shape y/scale)) is iterated; it converges monotonically.
func paretoScale(excess []float64, shape, from float64) float64 {
	for range 50 {
		var sum float64
		for _, y := range excess {
			sum += y / (1 + shape*y/from)
		}
		next := (1 + shape) * sum / float64(len(excess))
		if math.Abs(next-from) < 1e-4*from {
			return next
		}
		from = next
	}
	return from
}

func paretoLogLike(excess []float64, shape, scale float64) float64 {
	var sum float64
	n := float64(len(excess))
	if shape == 0 {
		for _, y := range excess {
			sum += y
		}
		return -n*math.Log(scale) - sum/scale
	}
	prod := 1.0 // logarithms of eight factors at a time
	for i, y := range excess {
		prod *= 1 + shape*y/scale
		if i&7 == 7 {
			sum += math.Log(prod)
			prod = 1
		}
	}
	sum += math.Log(prod)
	return -n*math.Log(scale) - (1+1/shape)*sum
}

func paretoLogTail(shape, scale, y float64) float64 {
	switch {
	case y <= 0:
		return 0
	case shape == 0:
		return -y / scale
	}
	return -math.Log1p(shape*y/scale) / shape
}
