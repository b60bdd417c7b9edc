package stats

import (
	"math"
	"testing"
)

func TestChernoffBinomial(t *testing.T) {
	for _, c := range []struct {
		k, n int
		p    float64
	}{{6, 48, 0.01}, {12, 40, 0.1}, {3, 300, 0.02}, {48, 48, 0.3}} {
		if bound, exact := ChernoffBinomial(float64(c.k), float64(c.n), c.p), -LogBinomialTail(c.k, c.n, c.p); bound < 0 || bound > exact {
			t.Errorf("%+v: bound %v, exactly %v", c, bound, exact)
		}
	}
}

func TestShapes(t *testing.T) {
	day, noon := make([]float64, 24), make([]float64, 24)
	for i := range day {
		day[i] = 3
	}
	noon[12] = 9
	for _, c := range []struct {
		name      string
		got, want float64
	}{
		{"round the clock", Harmonic(day), 0}, {"one hour", Harmonic(noon), 1}, {"empty", Harmonic(make([]float64, 24)), 0},
		{"even", Entropy(day), math.Log2(24)}, {"one bin", Entropy(noon), 0}, {"nothing", Entropy(nil), 0},
	} {
		if math.Abs(c.got-c.want) > 1e-12 {
			t.Errorf("%s: %v, want %v", c.name, c.got, c.want)
		}
	}
}
