package stats

import (
	"math"
	"math/big"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"
)

func TestClopperPearson(t *testing.T) {
	for _, c := range []struct {
		k, n   int
		lo, hi float64
	}{ // textbook values
		{0, 10, 0, 0.3084971},
		{10, 10, 0.6915029, 1},
		{1, 10, 0.0025286, 0.4450161},
		{5, 10, 0.1870860, 0.8129140},
		{0, 200000, 0, 1.844423e-5},
	} {
		lo, hi := ClopperPearson(c.k, c.n, 0.95)
		near(t, "lo", lo, c.lo, 2e-5)
		near(t, "hi", hi, c.hi, 2e-5)
	}
	for _, n := range []int{7, 300, 200000, 5000000} { // by definition of the interval
		for _, k := range []int{1, 3, n / 2, n - 1} {
			lo, hi := ClopperPearson(k, n, 0.99)
			near(t, "tail at lo", math.Exp(LogBinomialTail(k, n, lo)), 0.005, 1e-5)
			near(t, "tail at hi", -math.Expm1(LogBinomialTail(k+1, n, hi)), 0.005, 1e-5)
		}
	}
	for _, c := range [][2]int{{-1, 5}, {6, 5}, {0, 0}} {
		if lo, hi := ClopperPearson(c[0], c[1], 0.95); !math.IsNaN(lo) || !math.IsNaN(hi) {
			t.Errorf("%v gives %v, %v", c, lo, hi)
		}
	}
}

// logOfSum sums exact rational terms term(k..most).
func logOfSum(k, most int, term func(i int64) *big.Rat) float64 {
	sum := new(big.Rat)
	for i := k; i <= most; i++ {
		sum.Add(sum, term(int64(i)))
	}
	f := new(big.Float).SetPrec(200).SetRat(sum)
	mant := new(big.Float)
	e := f.MantExp(mant)
	m, _ := mant.Float64()
	return math.Log(m) + float64(e)*math.Ln2
}

func TestBinomialTailAgainstExactArithmetic(t *testing.T) {
	for _, n := range []int{1, 5, 40, 120} {
		for _, p := range []float64{1e-6, 0.01, 0.3, 0.5, 0.97} {
			rp := new(big.Rat).SetFloat64(p)
			rq := new(big.Rat).Sub(big.NewRat(1, 1), rp)
			for _, k := range []int{1, n / 3, n / 2, n - 1, n} {
				if k < 1 {
					continue
				}
				want := logOfSum(k, n, func(i int64) *big.Rat {
					c := new(big.Rat).SetInt(new(big.Int).Binomial(int64(n), i))
					return c.Mul(c, new(big.Rat).Mul(power(rp, i), power(rq, int64(n)-i)))
				})
				if got := LogBinomialTail(k, n, p); math.Abs(got-want) > 1e-11*math.Max(1, math.Abs(want)) {
					t.Errorf("P(X >= %d) of %d, %v: %v, want %v", k, n, p, got, want)
				}
			}
		}
	}
}

func power(r *big.Rat, n int64) *big.Rat {
	e := big.NewInt(n)
	return new(big.Rat).SetFrac(new(big.Int).Exp(r.Num(), e, nil), new(big.Int).Exp(r.Denom(), e, nil))
}

func TestHypergeomTailAgainstExactArithmetic(t *testing.T) {
	for _, c := range [][3]int{{50, 5, 10}, {60, 30, 30}, {400, 200, 350}, {1000, 20, 500}, {9, 9, 4}, {9, 4, 9}} {
		N, K, n := c[0], c[1], c[2]
		den := new(big.Rat).SetInt(new(big.Int).Binomial(int64(N), int64(n)))
		least, most := max(0, n+K-N), min(n, K)
		for k := least; k <= most; k++ {
			want := logOfSum(k, most, func(i int64) *big.Rat {
				a := new(big.Int).Binomial(int64(K), i)
				a.Mul(a, new(big.Int).Binomial(int64(N-K), int64(n)-i))
				x := new(big.Rat).SetInt(a)
				return x.Quo(x, den)
			})
			got := LogHypergeomTail(k, N, K, n)
			if math.Abs(got-want) > 1e-10*math.Max(1, math.Abs(want)) {
				t.Errorf("k=%d of %v: %v, want %v", k, c, got, want)
			}
		}
		if v := LogHypergeomTail(most+1, N, K, n); !math.IsInf(v, -1) {
			t.Errorf("impossible overlap has log probability %v", v)
		}
	}
	// Far more items than draws: the binomial limit.
	near(t, "big N", LogHypergeomTail(40, 4e15, 1e13, 2000), LogBinomialTail(40, 2000, 0.0025), 1e-6)
}

func TestPoissonTail(t *testing.T) {
	for _, c := range []struct {
		k      int
		lambda float64
	}{{1, 1e-9}, {3, 0.3}, {9, 10}, {10, 10}, {200, 100}, {999, 1000}, {40, 80}} {
		want := math.Log(distuv.Poisson{Lambda: c.lambda}.Survival(float64(c.k - 1)))
		near(t, "log tail", LogPoissonTail(c.k, c.lambda), want, 1e-6)
	}
	// One term dominates: log P(X >= 1000) of lambda 1e-3 is that of P(X = 1000) to 1e-6.
	g, _ := math.Lgamma(1001)
	near(t, "deep", LogPoissonTail(1000, 1e-3), 1000*math.Log(1e-3)-1e-3-g, 1e-9)
	near(t, "binomial limit", LogBinomialTail(30, 1e9, 1e-9), LogPoissonTail(30, 1), 1e-6)
	near(t, "below", LogPoissonTail(0, 3), 0, 0)
	near(t, "bad", LogPoissonTail(3, -1), math.NaN(), 0)
}

func TestNormalTail(t *testing.T) {
	for _, c := range []struct{ z, want float64 }{
		{0, math.Log(0.5)},
		{1.6448536269514722, math.Log(0.05)},
		{-3, math.Log1p(-0.0013498980316300933)},
		{10, -53.23128515051247},
		{37, math.Log(5.725571222524576e-300)},
		{100, -5005.524208694205},
	} {
		near(t, "log tail", LogNormalTail(c.z), c.want, 1e-9)
	}
	a, b := LogNormalTail(math.Nextafter(12, 0)), LogNormalTail(math.Nextafter(12, 13))
	near(t, "joint of the two forms", a, b, 1e-13)
}

func TestTailsFallWithK(t *testing.T) {
	for k := range 400 {
		if LogBinomialTail(k+1, 400, 0.3) > LogBinomialTail(k, 400, 0.3) ||
			LogPoissonTail(k+1, 97.3) > LogPoissonTail(k, 97.3) ||
			LogHypergeomTail(k+1, 5000, 400, 700) > LogHypergeomTail(k, 5000, 400, 700) {
			t.Fatalf("a tail rises after %d", k)
		}
	}
}

func BenchmarkLogHypergeomTail(b *testing.B) {
	for b.Loop() {
		LogHypergeomTail(30, 200000, 900, 1200)
	}
}

func BenchmarkLogBinomialTailAtTheMean(b *testing.B) {
	for b.Loop() {
		LogBinomialTail(500000, 1000000, 0.5)
	}
}
