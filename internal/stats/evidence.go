package stats

import (
	"cmp"
	"math"
	"slices"
)

// Conformal returns the p-value (1 + #{r in refs: r >= t}) / (len(refs) + 1). It is valid, P(p <= a) <= a, when t and
// refs are exchangeable under the null. Source: Vovk, Gammerman, Shafer, "Algorithmic Learning in a Random World"
// (2005); as a permutation p-value, Phipson and Smyth (2010).
func Conformal(refs []float64, t float64) float64 {
	n := 1
	for _, r := range refs {
		if !(r < t) { // NaN on either side counts against the finding
			n++
		}
	}
	return float64(n) / float64(len(refs)+1)
}

// EValueFromP turns a p-value into an e-value: kappa * p^(kappa-1) with kappa = 1/2, that is 1/(2 sqrt p). Its mean
// under the null is at most 1 since the function integrates to 1 over [0,1]. Source: Vovk and Wang, "E-values:
// calibration, combination and applications", Annals of Statistics 49 (2021), eq. (1). A p of zero gives +Inf; NaN
// gives 0, which speaks for nothing.
func EValueFromP(p float64) float64 {
	if math.IsNaN(p) || p > 1 {
		return 0
	}
	return 0.5 / math.Sqrt(max(p, 0))
}

// EBH returns which hypotheses the e-BH procedure rejects at false discovery rate alpha: those with the k largest
// e-values, k the largest with k e_(k) >= n/alpha. It holds under any dependence between the e-values. Source: Wang
// and Ramdas, "False discovery rate control with e-values", JRSS B 84 (2022), section 3.
func EBH(e []float64, alpha float64) []bool {
	return stepUp(e, func(a, b float64) int { return cmp.Compare(b, a) }, func(k int, v float64) bool {
		return float64(k)*v >= float64(len(e))/alpha
	})
}

// BH returns which hypotheses the Benjamini-Hochberg procedure rejects at false discovery rate alpha: those with the
// k smallest p-values, k the largest with p_(k) <= k alpha/n. It holds for independent or positively dependent
// p-values. Source: Benjamini and Hochberg, JRSS B 57 (1995).
func BH(p []float64, alpha float64) []bool {
	return stepUp(p, cmp.Compare[float64], func(k int, v float64) bool {
		return v <= float64(k)*alpha/float64(len(p))
	})
}

// stepUp walks v from the most to the least striking and marks all up to the last that passes. NaN is never marked.
func stepUp(v []float64, order func(a, b float64) int, passes func(k int, v float64) bool) []bool {
	idx := make([]int, 0, len(v))
	for i, x := range v {
		if !math.IsNaN(x) {
			idx = append(idx, i)
		}
	}
	slices.SortStableFunc(idx, func(a, b int) int { return order(v[a], v[b]) })
	last := 0
	for k, i := range idx {
		if passes(k+1, v[i]) {
			last = k + 1
		}
	}
	out := make([]bool, len(v))
	for _, i := range idx[:last] {
		out[i] = true
	}
	return out
}
