package stats

import (
	"math"
	"testing"
)

func TestClusterAgreement(t *testing.T) {
	for _, c := range []struct {
		name                    string
		pred, truth             []int
		ari, purity, inv, bp, r float64
	}{
		{"same, other names", []int{4, 4, 9, 9}, []int{0, 0, 1, 1}, 1, 1, 1, 1, 1},
		{"all together", []int{0, 0, 0, 0}, []int{0, 0, 1, 1}, 0, 0.5, 1, 0.5, 1},
		{"all apart", []int{0, 1, 2, 3}, []int{0, 0, 1, 1}, 0, 1, 0.5, 1, 0.5},
		{"known case", []int{0, 0, 1, 2}, []int{0, 0, 1, 1}, 4.0 / 7, 1, 0.75, 1, 0.75},
		{"worse than chance", []int{0, 1, 0, 1}, []int{0, 0, 1, 1}, -0.5, 0.5, 0.5, 0.5, 0.5},
		{"both all apart", []int{0, 1}, []int{1, 0}, 1, 1, 1, 1, 1},
	} {
		near(t, c.name+" ARI", ARI(c.pred, c.truth), c.ari, 1e-12)
		near(t, c.name+" purity", Purity(c.pred, c.truth), c.purity, 1e-12)
		near(t, c.name+" inverse purity", InversePurity(c.pred, c.truth), c.inv, 1e-12)
		p, r := BCubed(c.pred, c.truth)
		near(t, c.name+" BCubed precision", p, c.bp, 1e-12)
		near(t, c.name+" BCubed recall", r, c.r, 1e-12)
	}
	near(t, "no items", ARI([]int{}, []string{}), 1, 0)
	near(t, "no items", Purity([]int{}, []string{}), math.NaN(), 0)
	r := Rand(8, 0)
	a, b := make([]int, 20000), make([]int, 20000)
	for i := range a {
		a[i], b[i] = r.IntN(20), r.IntN(20)
	}
	if v := ARI(a, b); math.Abs(v) > 0.005 {
		t.Errorf("random labels agree by %v", v)
	}
}

func TestForecastScores(t *testing.T) {
	p, y := []float64{0.9, 0.8, 0.3, 0.1}, []bool{true, false, true, false}
	near(t, "Brier", Brier(p, y), (0.01+0.64+0.49+0.01)/4, 1e-12)
	near(t, "ECE of one bin", ECE(p, y, 1), math.Abs(2.1-2)/4, 1e-12)
	near(t, "ECE", ECE([]float64{1, 1, 0, 0.5, 0.5}, []bool{true, true, false, true, false}, 10), 0, 1e-12)
	near(t, "ECE", ECE([]float64{1, 0}, []bool{false, true}, 10), 1, 1e-12)
	near(t, "ECE without bins", ECE(p, y, 0), math.NaN(), 0)
	near(t, "PRAUC", PRAUC(p, y), 0.5*1+0.5*2.0/3, 1e-12)
	near(t, "PRAUC, perfect", PRAUC([]float64{1, 2, 3}, []bool{false, false, true}), 1, 0)
	near(t, "PRAUC, all tied", PRAUC([]float64{1, 1, 1, 1}, []bool{false, false, true, false}), 0.25, 0)
	near(t, "PRAUC, no positives", PRAUC([]float64{1}, []bool{false}), math.NaN(), 0)
}

func TestLengthsMustAgree(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("slices of two lengths were accepted")
		}
	}()
	Brier([]float64{1}, nil)
}
