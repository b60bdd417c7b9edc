package stats

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestConformal(t *testing.T) {
	refs := []float64{1, 2, 3}
	for _, c := range []struct{ t, want float64 }{{0, 1}, {3, 0.5}, {2.5, 0.5}, {4, 0.25}, {math.NaN(), 1}} {
		near(t, "p", Conformal(refs, c.t), c.want, 0)
	}
	near(t, "no references", Conformal(nil, 9), 1, 0)
}

func TestEValueFromP(t *testing.T) {
	for _, c := range []struct{ p, want float64 }{{1, 0.5}, {0.25, 1}, {1e-4, 50}, {math.NaN(), 0}, {2, 0}} {
		near(t, "e", EValueFromP(c.p), c.want, 1e-15)
	}
	var mean float64
	const steps = 1 << 20
	for i := range steps {
		mean += EValueFromP((float64(i)+0.5)/steps) / steps
	}
	if mean > 1 || mean < 0.99 {
		t.Errorf("mean under the null is %v, want just below 1", mean)
	}
}

func TestStepUpProcedures(t *testing.T) {
	e := []float64{1, 100, 39, 41, math.NaN(), 0}
	if got := EBH(e, 0.1); !slices.Equal(got, []bool{false, true, true, true, false, false}) {
		t.Errorf("EBH rejects %v", got) // 3*39 >= 60, although 1*39 < 60
	}
	p := []float64{0.035, 0.9, 0.01, 0.02, math.NaN()}
	if got := BH(p, 0.06); !slices.Equal(got, []bool{true, false, true, true, false}) {
		t.Errorf("BH rejects %v", got)
	}
	if got := EBH(nil, 0.1); len(got) != 0 {
		t.Errorf("EBH of nothing is %v", got)
	}
}

func TestEBHKeepsTheFalseDiscoveryRate(t *testing.T) {
	r := Rand(5, 0)
	const runs, n, real, alpha = 400, 100, 10, 0.2
	var fdr, power float64
	for range runs {
		e := make([]float64, n)
		shared := r.NormFloat64() // makes all e-values dependent
		for i := range e {
			z := 0.8*shared + 0.6*r.NormFloat64()
			if i < real {
				z += 7
			}
			e[i] = EValueFromP(math.Exp(LogNormalTail(z)))
		}
		rejected, wrong := 0.0, 0.0
		for i, hit := range EBH(e, alpha) {
			if hit {
				rejected++
				if i >= real {
					wrong++
				}
			}
		}
		fdr += wrong / math.Max(1, rejected) / runs
		power += (rejected - wrong) / real / runs
	}
	if fdr > alpha || power < 0.9 {
		t.Errorf("false discovery rate %.3f, power %.3f", fdr, power)
	}
}

func poisson(r *rand.Rand, lambda float64) float64 {
	k, p, floor := 0.0, r.Float64(), math.Exp(-lambda)
	for p > floor {
		k++
		p *= r.Float64()
	}
	return k
}

// TestPermutationTailIsHonest asks for statistics whose true p-value is near 1e-6 and checks that what is reported is
// not below a third of it more often than one time in twenty.
func TestPermutationTailIsHonest(t *testing.T) {
	largest := func(draw func(*rand.Rand) float64) func(*rand.Rand) float64 {
		return func(r *rand.Rand) float64 {
			m := draw(r)
			for range 99 {
				m = max(m, draw(r))
			}
			return m
		}
	}
	normalAt := func(logp float64) float64 {
		lo, hi := 0.0, 40.0
		for range 60 {
			if mid := (lo + hi) / 2; LogNormalTail(mid) > logp {
				lo = mid
			} else {
				hi = mid
			}
		}
		return lo
	}
	million := math.Log(1e-6)
	each := math.Log(-math.Expm1(math.Log1p(-1e-6) / 100)) // of 100, so that their maximum has 1e-6
	norm := (*rand.Rand).NormFloat64
	lognorm := func(r *rand.Rand) float64 { return math.Exp(r.NormFloat64()) }
	for _, c := range []struct {
		name   string
		draw   func(*rand.Rand) float64
		x, p   float64
		medMax float64 // the median report must not be above this
	}{
		{"normal", norm, normalAt(million), 1e-6, 1e-3},
		{"exponential", (*rand.Rand).ExpFloat64, -million, 1e-6, 2e-4},
		{"Poisson 4", func(r *rand.Rand) float64 { return poisson(r, 4) }, 17, math.Exp(LogPoissonTail(17, 4)), 1e-3},
		{"Poisson 0.3", func(r *rand.Rand) float64 { return poisson(r, 0.3) }, 6, math.Exp(LogPoissonTail(6, 0.3)), 1e-3},
		{"maximum of normals", largest(norm), normalAt(each), 1e-6, 3e-4},
		{"maximum of lognormals", largest(lognorm), math.Exp(normalAt(each)), 1e-6, 1e-4},
	} {
		r := Rand(11, 0)
		const runs, n = 100, 1000
		got, low := make([]float64, runs), 0
		samples := make([]float64, n)
		for i := range got {
			for j := range samples {
				samples[j] = c.draw(r)
			}
			got[i] = PermutationTail(samples, c.x)
			if got[i] < c.p/3 {
				low++
			}
		}
		med := Median(got)
		t.Logf("%-22s true %.1e: median %.1e, 5 %% %.1e, too small %d of %d", c.name, c.p, med, Quantile(got, 0.05), low, runs)
		if low > runs/20 || med > c.medMax {
			t.Errorf("%s: %d of %d too small, median %.1e", c.name, low, runs, med)
		}
	}
}

func TestPermutationTailShape(t *testing.T) {
	r := Rand(12, 0)
	s := make([]float64, 999)
	for i := range s {
		s[i] = r.NormFloat64()
	}
	keep := slices.Clone(s)
	last := 1.0
	for x := -5.0; x < 60; x += 0.01 {
		p := PermutationTail(s, x)
		if p > last {
			t.Fatalf("rises to %v at %v", p, x)
		}
		if counted := Conformal(s, x); counted > 0.001 && p != counted || p > counted {
			t.Fatalf("%v at %v where counting gives %v", p, x, counted)
		}
		last = p
	}
	if last > 1e-10 {
		t.Errorf("60 standard deviations give %v", last)
	}
	if !slices.Equal(s, keep) {
		t.Error("input changed")
	}
	same := make([]float64, 100)
	near(t, "constant samples", PermutationTail(same, 50), 1.0/101, 0)
	near(t, "few samples", PermutationTail(s[:39], 50), 1.0/40, 0)
	near(t, "no samples", PermutationTail(nil, 50), 1, 0)
	near(t, "NaN", PermutationTail(s, math.NaN()), 1, 0)
	if p := PermutationTail(s, math.Inf(1)); !(p > 0 && p < 1e-3) {
		t.Errorf("infinite statistic gives %v", p)
	}
}

func BenchmarkPermutationTail(b *testing.B) {
	r := Rand(1, 1)
	s := make([]float64, 1000)
	for i := range s {
		s[i] = r.ExpFloat64()
	}
	for b.Loop() {
		PermutationTail(s, 14)
	}
}
