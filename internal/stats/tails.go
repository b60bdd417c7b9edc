package stats

import (
	"math"

	"gonum.org/v1/gonum/mathext"
)

// ClopperPearson returns the exact confidence interval for a proportion after k successes in n trials, at two-sided
// confidence conf (0.95 for 95 %). Source: Clopper and Pearson, Biometrika 26 (1934); lo and hi are the (1-conf)/2
// and (1+conf)/2 quantiles of Beta(k, n-k+1) and Beta(k+1, n-k). It is NaN, NaN outside 0 <= k <= n, n >= 1.
func ClopperPearson(k, n int, conf float64) (lo, hi float64) {
	if n < 1 || k < 0 || k > n || !(conf > 0 && conf < 1) {
		return math.NaN(), math.NaN()
	}
	a := (1 - conf) / 2
	x, m := float64(k), float64(n)
	switch k {
	case 0:
		lo = 0
	case n:
		lo = math.Exp(math.Log(a) / m)
	default:
		lo = mathext.InvRegIncBeta(x, m-x+1, a)
	}
	switch k {
	case n:
		hi = 1
	case 0:
		hi = -math.Expm1(math.Log(a) / m)
	default: // through the mirrored distribution, which keeps the digits of a small a
		hi = 1 - mathext.InvRegIncBeta(m-x, x+1, a)
	}
	return lo, hi
}

// LogBinomialTail returns log P(X >= k) for X ~ Binomial(n, p), natural logarithm. It stays exact to about 1e-12
// relative however small the probability; time grows with the square root of n at worst.
func LogBinomialTail(k, n int, p float64) float64 {
	switch {
	case n < 0 || !(p >= 0 && p <= 1):
		return math.NaN()
	case k <= 0:
		return 0
	case k > n || p == 0:
		return math.Inf(-1)
	case p == 1:
		return 0
	}
	odds := p / (1 - p)
	if float64(k) > float64(n)*p {
		t := seriesSum(func(i float64) float64 {
			return (float64(n) - float64(k) - i) / (float64(k) + i + 1) * odds
		})
		return math.Min(0, logBinomial(k, n, p)+math.Log(t))
	}
	below := k - 1 // P(X <= k-1) is the smaller side
	t := seriesSum(func(i float64) float64 {
		return (float64(below) - i) / (float64(n-below) + i + 1) / odds
	})
	return log1mexp(logBinomial(below, n, p) + math.Log(t))
}

// LogPoissonTail returns log P(X >= k) for X ~ Poisson(lambda).
func LogPoissonTail(k int, lambda float64) float64 {
	switch {
	case !(lambda >= 0) || math.IsInf(lambda, 1):
		return math.NaN()
	case k <= 0:
		return 0
	case lambda == 0:
		return math.Inf(-1)
	}
	if float64(k) > lambda {
		t := seriesSum(func(i float64) float64 { return lambda / (float64(k) + i + 1) })
		return math.Min(0, logPoisson(k, lambda)+math.Log(t))
	}
	t := seriesSum(func(i float64) float64 { return (float64(k-1) - i) / lambda })
	return log1mexp(logPoisson(k-1, lambda) + math.Log(t))
}

// LogHypergeomTail returns log P(X >= k), where X is the number of marked items among draw items drawn without
// replacement from total items of which marked are marked. The order of arguments is that of the P-value of an
// overlap: k shared, total in the population, marked in one set, draw in the other.
func LogHypergeomTail(k, total, marked, draw int) float64 {
	if total < 0 || marked < 0 || draw < 0 || marked > total || draw > total {
		return math.NaN()
	}
	least, most := max(0, draw+marked-total), min(draw, marked)
	switch {
	case k <= least:
		return 0
	case k > most:
		return math.Inf(-1)
	}
	N, K, n := float64(total), float64(marked), float64(draw)
	if float64(k) > n/N*K {
		c := float64(k)
		t := seriesSum(func(i float64) float64 {
			x := c + i
			return (K - x) / (x + 1) * (n - x) / (N - K - n + x + 1)
		})
		return math.Min(0, logHypergeom(k, total, marked, draw)+math.Log(t))
	}
	c := float64(k - 1)
	t := seriesSum(func(i float64) float64 {
		x := c - i
		return x / (K - x + 1) * (N - K - n + x) / (n - x + 1)
	})
	return log1mexp(logHypergeom(k-1, total, marked, draw) + math.Log(t))
}

// LogNormalTail returns log P(Z >= z) of the standard normal distribution. Beyond z = 12 it uses the continued
// fraction of Mills' ratio (Abramowitz and Stegun 26.2.14), so it does not underflow.
func LogNormalTail(z float64) float64 {
	switch {
	case z < 0:
		return math.Log1p(-0.5 * math.Erfc(-z/math.Sqrt2))
	case z <= 12:
		return math.Log(0.5 * math.Erfc(z/math.Sqrt2))
	case math.IsInf(z, 1):
		return math.Inf(-1)
	}
	f := z
	for i := 40.0; i >= 1; i-- {
		f = z + i/f
	}
	return -0.5*z*z - 0.5*math.Log(2*math.Pi) - math.Log(f)
}

// seriesSum returns 1 + r(0) + r(0)r(1) + … until a term no longer counts. Ratios fall below one and keep falling.
func seriesSum(ratio func(i float64) float64) float64 {
	sum, term := 1.0, 1.0
	for i := 0.0; ; i++ {
		term *= ratio(i)
		if !(term > sum*1e-17) {
			return sum
		}
		sum += term
	}
}

// log1mexp returns log(1 - exp(x)) for x <= 0 without losing digits at either end.
func log1mexp(x float64) float64 {
	switch {
	case x >= 0:
		return math.Inf(-1)
	case x < -math.Ln2:
		return math.Log1p(-math.Exp(x))
	}
	return math.Log(-math.Expm1(x))
}

// The three point masses below follow Loader, "Fast and accurate computation of binomial probabilities" (2000):
// deviances in place of differences of large log-gammas.

func logBinomial(k, n int, p float64) float64 {
	x, m := float64(k), float64(n)
	switch k {
	case 0:
		return m * math.Log1p(-p)
	case n:
		return m * math.Log(p)
	}
	return stirlingError(m) - stirlingError(x) - stirlingError(m-x) -
		deviance(x, m*p) - deviance(m-x, m*(1-p)) + 0.5*math.Log(m/(2*math.Pi*x*(m-x)))
}

func logPoisson(k int, lambda float64) float64 {
	if k == 0 {
		return -lambda
	}
	x := float64(k)
	return -stirlingError(x) - deviance(x, lambda) - 0.5*math.Log(2*math.Pi*x)
}

func logHypergeom(k, total, marked, draw int) float64 {
	if draw == 0 || draw == total {
		return 0
	}
	p := float64(draw) / float64(total)
	return logBinomial(k, marked, p) + logBinomial(draw-k, total-marked, p) - logBinomial(draw, total, p)
}

// stirlingError returns log n! minus Stirling's approximation of it, n >= 1.
func stirlingError(n float64) float64 {
	if n <= 15 {
		g, _ := math.Lgamma(n + 1)
		return g - (n+0.5)*math.Log(n) + n - 0.5*math.Log(2*math.Pi)
	}
	s := n * n
	return (1.0/12 - (1.0/360-(1.0/1260-(1.0/1680-1.0/1188/s)/s)/s)/s) / n
}

// deviance returns x log(x/m) + m - x, by series where the terms nearly cancel.
func deviance(x, m float64) float64 {
	d := x - m
	if math.Abs(d) >= 0.1*(x+m) {
		return x*math.Log(x/m) - d
	}
	v := d / (x + m)
	s, term := d*v, 2*x*v
	for j := 1; j < 1000; j++ {
		term *= v * v
		next := s + term/float64(2*j+1)
		if next == s {
			break
		}
		s = next
	}
	return s
}
