package stats

import (
	"math"
	"slices"
	"testing"
)

func near(t *testing.T, what string, got, want, rel float64) {
	t.Helper()
	if math.IsNaN(got) != math.IsNaN(want) || math.Abs(got-want) > rel*math.Max(math.Abs(want), 1e-300) {
		t.Errorf("%s = %.15g, want %.15g", what, got, want)
	}
}

func TestQuantileIsType7AndLeavesInput(t *testing.T) {
	x := []float64{7, 1, 3, 9}
	keep := slices.Clone(x)
	for _, c := range []struct{ q, want float64 }{{0, 1}, {0.25, 2.5}, {0.5, 5}, {0.9, 8.4}, {1, 9}} {
		near(t, "Quantile", Quantile(x, c.q), c.want, 1e-12)
		near(t, "Quantiles", Quantiles(x, c.q)[0], c.want, 1e-12)
	}
	near(t, "Median", Median([]float64{3, 1, 2}), 2, 0)
	near(t, "MAD", MAD([]float64{1, 1, 2, 2, 4, 6, 9}), 1, 0)
	near(t, "infinite", Quantile([]float64{1, math.Inf(1), math.Inf(1)}, 0.75), math.Inf(1), math.NaN())
	for _, bad := range []float64{Median(nil), MAD(nil), Quantile(x, 1.1), Quantile([]float64{1, math.NaN()}, 0.5)} {
		near(t, "outside the domain", bad, math.NaN(), 0)
	}
	if !slices.Equal(x, keep) {
		t.Errorf("input changed to %v", x)
	}
}

func TestVarianceToMean(t *testing.T) {
	near(t, "level", VarianceToMean([]float64{4, 4, 4}), 0, 0)
	near(t, "spread", VarianceToMean([]float64{2, 4, 6}), 1, 1e-15)
	near(t, "one", VarianceToMean([]float64{2}), math.NaN(), 0)
	near(t, "zeros", VarianceToMean([]float64{0, 0}), math.NaN(), 0)
}

func TestRandIsTheSameEverywhere(t *testing.T) {
	if got := Rand(1, 2).Uint64(); got != 0xc4f5a58656eef510 {
		t.Errorf("first number of seed 1, stream 2 is %#x", got)
	}
}

func TestShapiroWilk(t *testing.T) {
	weights := []float64{148, 154, 158, 160, 161, 162, 166, 170, 182, 195, 236} // Shapiro and Wilk 1965
	w := ShapiroWilkW(weights)
	near(t, "W", w, 0.7888147, 1e-6)
	near(t, "p", ShapiroWilkP(w, len(weights)), 0.0067038, 1e-4)
	near(t, "three on a line", ShapiroWilkW([]float64{1, 2, 3}), 1, 1e-12)
	for _, bad := range [][]float64{nil, {1, 2}, {5, 5, 5}, make([]float64, 5001)} {
		near(t, "outside the domain", ShapiroWilkW(bad), math.NaN(), 0)
	}
	r := Rand(3, 0)
	for _, n := range []int{4, 5, 6, 11, 12, 50, 2000} { // p-values are uniform under normality
		const runs = 400
		low, mid := 0, 0
		for range runs {
			x := make([]float64, n)
			for i := range x {
				x[i] = 7 + 3*r.NormFloat64()
			}
			p := ShapiroWilkP(ShapiroWilkW(x), n)
			if p < 0.05 {
				low++
			}
			if p < 0.5 {
				mid++
			}
		}
		if low > runs/10 || mid < runs*4/10 || mid > runs*6/10 {
			t.Errorf("n=%d: %d of %d p-values below 0.05, %d below 0.5", n, low, runs, mid)
		}
	}
}
