package rank

import (
	"math"
	"testing"
)

func TestTails(t *testing.T) {
	for _, c := range []struct {
		name      string
		got, want float64
	}{ // computed with R: pt, pchisq, pbeta
		{"t at 2.306 with 8", math.Exp(LogP(2.306004135204166/math.Sqrt(8+2.306004135204166*2.306004135204166), 10)), 0.025},
		{"t at 0", math.Exp(LogP(0, 10)), 0.5},
		{"t at -2.306 with 8", math.Exp(LogP(-2.306004135204166/math.Sqrt(8+2.306004135204166*2.306004135204166), 10)), 0.975},
		{"one order among 24!", LogP(1, 24), -54.784729398112319},
		{"χ² of 18.307 with 10", math.Exp(Fisher([]float64{-18.307038053275146 / 2, 0, 0, 0, 0})), 0.05},
		{"χ² of 0", Fisher([]float64{0, 0}), 0},
		{"χ² of 2000 with 2", Fisher([]float64{-1000}), -1000},
		{"I_0.5(2,3)", math.Exp(logBeta(0.5, 2, 3)), 0.6875},
		{"I_x for small x", logBeta(1e-300, 100, 0.5), -69080.389},
	} {
		if math.Abs(c.got-c.want) > 1e-6*max(1, math.Abs(c.want)) {
			t.Errorf("%s: %v, want %v", c.name, c.got, c.want)
		}
	}
}
