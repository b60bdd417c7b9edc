// Package stats holds the statistics that the engines share: exact tails, p-values and e-values, robust summaries,
// and the measures by which a clustering or a forecast is scored against the truth. It knows nothing of the product.
//
// Slices passed in are never changed unless a function says so. Arguments outside a function's domain give NaN;
// slices that must have one length and do not are a mistake of the caller and panic.
package stats

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Rand returns a generator that gives the same numbers for the same seed and stream on every machine: PCG-DXSM of
// math/rand/v2. Streams of one seed are independent of each other. It is not safe for use by several goroutines.
func Rand(seed, stream uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed, stream))
}

// Median returns the 0.5 quantile of x, NaN when x is empty.
func Median(x []float64) float64 { return Quantile(x, 0.5) }

// MAD returns the median absolute deviation from the median, in the units of x and not rescaled. Multiply by 1.4826
// to estimate the standard deviation of normal data. It is NaN when x is empty.
func MAD(x []float64) float64 {
	m := Median(x)
	d := make([]float64, len(x))
	for i, v := range x {
		d[i] = math.Abs(v - m)
	}
	return sortedQuantile(sorted(d), 0.5)
}

// Quantile returns the q quantile of x, q in [0,1], by linear interpolation between order statistics: type 7 of
// Hyndman and Fan, "Sample quantiles in statistical packages" (1996). It is NaN when x is empty or holds a NaN.
func Quantile(x []float64, q float64) float64 {
	return sortedQuantile(sorted(slices.Clone(x)), q)
}

// Quantiles returns the quantiles qs of x, sorting x once.
func Quantiles(x []float64, qs ...float64) []float64 {
	s := sorted(slices.Clone(x))
	out := make([]float64, len(qs))
	for i, q := range qs {
		out[i] = sortedQuantile(s, q)
	}
	return out
}

// sorted sorts x in place and returns it. NaN goes first.
func sorted(x []float64) []float64 {
	slices.Sort(x)
	return x
}

func sortedQuantile(s []float64, q float64) float64 {
	if len(s) == 0 || math.IsNaN(s[0]) || !(q >= 0 && q <= 1) {
		return math.NaN()
	}
	h := q * float64(len(s)-1)
	i := int(h)
	if i >= len(s)-1 {
		return s[len(s)-1]
	}
	f := h - float64(i)
	if f == 0 || s[i] == s[i+1] { // also keeps infinities from turning into NaN
		return s[i]
	}
	return s[i] + f*(s[i+1]-s[i])
}

// VarianceToMean returns the index of dispersion of counts, their unbiased variance divided by their mean: 1 for
// Poisson counts, less for loads that are levelled, more for bursts. It is NaN for fewer than two counts or mean zero.
func VarianceToMean(counts []float64) float64 {
	n := float64(len(counts))
	if n < 2 {
		return math.NaN()
	}
	var mean, m2 float64
	for i, v := range counts { // Welford 1962
		d := v - mean
		mean += d / float64(i+1)
		m2 += d * (v - mean)
	}
	if mean == 0 {
		return math.NaN()
	}
	return m2 / (n - 1) / mean
}

func sameLength(a, b int) {
	if a != b {
		panic("stats: slices differ in length")
	}
}
