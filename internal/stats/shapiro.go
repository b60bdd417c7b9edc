package stats

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// ShapiroWilkW returns the Shapiro-Wilk statistic of x, in (0,1]: 1 for a sample that lies on a normal probability
// plot. Source: Royston, "Remark AS R94: a remark on algorithm AS 181: the W-test for normality", Applied Statistics
// 44 (1995). It is NaN unless 3 <= len(x) <= 5000 and x has more than one value.
func ShapiroWilkW(x []float64) float64 {
	n := len(x)
	if n < 3 || n > 5000 {
		return math.NaN()
	}
	s := sorted(slices.Clone(x))
	if math.IsNaN(s[0]) || s[0] == s[n-1] {
		return math.NaN()
	}
	half := shapiroWeights(n)
	var mean, num, den float64
	for _, v := range s {
		mean += v / float64(n)
	}
	for i, a := range half {
		num += a * (s[n-1-i] - s[i])
	}
	for _, v := range s {
		den += (v - mean) * (v - mean)
	}
	return min(num*num/den, 1)
}

// shapiroWeights returns Royston's weights of the differences between the largest and smallest, second largest and
// second smallest, and so on.
func shapiroWeights(n int) []float64 {
	half := make([]float64, n/2)
	if n == 3 {
		half[0] = math.Sqrt(0.5)
		return half
	}
	var norm float64 // of the full vector of expected normal order statistics (Blom)
	for i := range half {
		half[i] = distuv.UnitNormal.Quantile((float64(n-i) - 0.375) / (float64(n) + 0.25))
		norm += 2 * half[i] * half[i]
	}
	u, root := 1/math.Sqrt(float64(n)), math.Sqrt(norm)
	m1 := half[0]
	a1 := m1/root + horner(u, -2.706056, 4.434685, -2.07119, -0.147981, 0.221157)*u
	if n <= 5 {
		phi := (norm - 2*m1*m1) / (1 - 2*a1*a1)
		rescale(half[1:], phi)
		half[0] = a1
		return half
	}
	m2 := half[1]
	a2 := m2/root + horner(u, -3.582633, 5.682633, -1.752461, -0.293762, 0.042981)*u
	phi := (norm - 2*m1*m1 - 2*m2*m2) / (1 - 2*a1*a1 - 2*a2*a2)
	rescale(half[2:], phi)
	half[0], half[1] = a1, a2
	return half
}

func rescale(a []float64, phi float64) {
	for i := range a {
		a[i] /= math.Sqrt(phi)
	}
}

// horner evaluates a polynomial whose coefficients come highest power first.
func horner(x float64, coef ...float64) float64 {
	var y float64
	for _, c := range coef {
		y = y*x + c
	}
	return y
}

// ShapiroWilkP returns the p-value of a Shapiro-Wilk statistic w of n values under normality (Royston 1995); small
// means not normal. It is NaN unless 3 <= n <= 5000 and 0 < w <= 1.
func ShapiroWilkP(w float64, n int) float64 {
	if n < 3 || n > 5000 || !(w > 0 && w <= 1) {
		return math.NaN()
	}
	if n == 3 { // exact
		return math.Max(0, 6/math.Pi*(math.Asin(math.Sqrt(w))-math.Asin(math.Sqrt(0.75))))
	}
	y, m, l := math.Log1p(-w), float64(n), math.Log(float64(n))
	var mean, sd float64
	if n <= 11 {
		gamma := 0.459*m - 2.273
		if y >= gamma {
			return 0
		}
		y = -math.Log(gamma - y)
		mean = horner(m, -0.0006714, 0.025054, -0.39978, 0.5440)
		sd = math.Exp(horner(m, -0.0020322, 0.062767, -0.77857, 1.3822))
	} else {
		mean = horner(l, 0.0038915, -0.083751, -0.31082, -1.5861)
		sd = math.Exp(horner(l, 0.0030302, -0.082676, -0.4803))
	}
	return math.Exp(LogNormalTail((y - mean) / sd))
}
