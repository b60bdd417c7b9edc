// Package rank correlates orders and puts the chances of such correlations together, in logarithms that do not underflow.
package rank

import (
	"cmp"
	"math"
	"slices"
)

// Correlation returns Spearman's correlation of two lists of different numbers: ρ = 1 - 6 Σd²/(n(n²-1)).
func Correlation(x, y []int) float64 {
	rx, ry := ranks(x), ranks(y)
	sum := 0.0
	for i := range rx {
		d := float64(rx[i] - ry[i])
		sum += d * d
	}
	n := float64(len(x))
	return 1 - 6*sum/(n*(n*n-1))
}

func ranks(x []int) []int {
	order := make([]int, len(x))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return cmp.Compare(x[i], x[j]) })
	r := make([]int, len(x))
	for rank, i := range order {
		r[i] = rank
	}
	return r
}

// LogP returns the logarithm of the chance that n ranks by lot are correlated by rho or more: Student's
// distribution of ρ√((n-2)/(1-ρ²)) with n-2 degrees of freedom, and never less than that of one order among n!.
func LogP(rho float64, n int) float64 {
	least, _ := math.Lgamma(float64(n) + 1)
	if rho >= 1 {
		return -least
	}
	if rho < 0 {
		return math.Log1p(-math.Exp(LogP(-rho, n)))
	}
	p := -math.Ln2 + logBeta(1-rho*rho, float64(n-2)/2, 0.5)
	return max(p, -least)
}

// logBeta returns the logarithm of the regularised incomplete beta function I_x(a,b), by the continued fraction of
// Abramowitz and Stegun 26.5.8 after Lentz; it does not underflow for small x.
func logBeta(x, a, b float64) float64 {
	switch {
	case x <= 0:
		return math.Inf(-1)
	case x >= 1:
		return 0
	case x > (a+1)/(a+b+2):
		return math.Log1p(-math.Exp(logBeta(1-x, b, a)))
	}
	ga, _ := math.Lgamma(a)
	gb, _ := math.Lgamma(b)
	gab, _ := math.Lgamma(a + b)
	front := a*math.Log(x) + b*math.Log1p(-x) + gab - ga - gb - math.Log(a)
	const tiny = 1e-300
	f, c, d := 1.0, 1.0, 0.0
	for i := range 400 {
		m := float64(i / 2)
		var num float64
		switch {
		case i == 0:
			num = 1
		case i%2 == 0:
			num = m * (b - m) * x / ((a + 2*m - 1) * (a + 2*m))
		default:
			num = -(a + m) * (a + b + m) * x / ((a + 2*m) * (a + 2*m + 1))
		}
		if d = 1 + num*d; math.Abs(d) < tiny {
			d = tiny
		}
		d = 1 / d
		if c = 1 + num/c; math.Abs(c) < tiny {
			c = tiny
		}
		f *= c * d
		if math.Abs(1-c*d) < 1e-14 {
			break
		}
	}
	return front + math.Log(f-1)
}

// Fisher puts independent p-values together: with s = -Σ ln p, the upper tail of χ² with 2L degrees of freedom at 2s
// is e^-s Σ_{k<L} s^k/k!.
func Fisher(logs []float64) float64 {
	s := 0.0
	for _, l := range logs {
		s -= l
	}
	if s <= 0 {
		return 0
	}
	sum, term := math.Inf(-1), 0.0
	for k := range logs {
		if k > 0 {
			term += math.Log(s) - math.Log(float64(k))
		}
		hi, lo := max(sum, term), min(sum, term)
		sum = hi + math.Log1p(math.Exp(lo-hi))
	}
	return min(0, sum-s)
}
