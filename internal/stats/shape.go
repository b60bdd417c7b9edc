package stats

import "math"

// ChernoffBinomial is a bound of -log P(X >= k) for X ~ Binomial(n, p), natural logarithm: k log(k/np) - (k - np), 0
// where k <= np. It is never more than the true value. Source: Chernoff, Annals of Mathematical Statistics 23 (1952),
// in its Poisson form.
func ChernoffBinomial(k, n, p float64) float64 {
	if k <= n*p {
		return 0
	}
	return k*math.Log(k/(n*p)) - (k - n*p)
}

// Harmonic is the length of the first harmonic of a histogram over a circle, such as the hours of a day, in [0,1]: 0
// when it is even, 1 when all is in one bin (the mean resultant length of directional statistics). Empty gives 0.
func Harmonic(h []float64) float64 {
	var x, y, n float64
	for i, k := range h {
		x += k * math.Cos(2*math.Pi*float64(i)/float64(len(h)))
		y += k * math.Sin(2*math.Pi*float64(i)/float64(len(h)))
		n += k
	}
	if n == 0 {
		return 0
	}
	return math.Hypot(x, y) / n
}

// Entropy is Shannon's entropy of a histogram, in bits. Empty gives 0.
func Entropy(h []float64) float64 {
	var n, s float64
	for _, k := range h {
		n += k
	}
	for _, k := range h {
		if k > 0 {
			s -= k / n * math.Log2(k/n)
		}
	}
	return s
}
