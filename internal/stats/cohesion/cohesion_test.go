package cohesion

import (
	"math"
	"math/rand/v2"
	"testing"
)

func poisson(r *rand.Rand, mean float64) float32 {
	n, p := 0, math.Exp(-mean)
	for u := r.Float64(); u > p; u *= r.Float64() {
		n++
	}
	return float32(n)
}

// crowd is n sources with habits of their own, and after them dealt sources that one dispatcher feeds.
func crowd(r *rand.Rand, n, dealt int) *Sample {
	s := &Sample{Slots: 28}
	for i := range n + dealt {
		var row Row
		var v Vector
		rate := math.Exp(1 + 1.5*r.NormFloat64())
		for t := range s.Slots {
			if i < n {
				row[t] = poisson(r, rate*2*r.Float64())
			} else {
				row[t] = float32(3 + (t+i)%2)
			}
		}
		for d := range v {
			v[d] = float32(r.NormFloat64()) / 40
		}
		begin := float32(500 * r.Float64())
		if i >= n {
			v[7] += 0.2
			begin = 100 + float32(3*r.Float64())
		}
		s.Loads, s.First, s.Mean, s.Events = append(s.Loads, row), append(s.First, begin), append(s.Mean, v), append(s.Events, 30)
	}
	return s
}

func span(lo, hi int) (out []int) {
	for i := lo; i < hi; i++ {
		out = append(out, i)
	}
	return out
}

func TestDealtLoadsAreLevel(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	s := crowd(r, 100, 20)
	if dealt, own := s.Spread(span(100, 120)), s.Spread(span(0, 20)); dealt > 0 || own < 0.5 {
		t.Errorf("spread of dealt loads %.2f, of people's %.2f", dealt, own)
	}
	if s.Spread(nil) != 0 {
		t.Error("nobody has a spread")
	}
	for _, c := range []struct {
		name string
		s    *Sample
		want bool
	}{{"dealt", crowd(r, 0, 20), true}, {"half dealt", crowd(r, 10, 14), true}, {"people", crowd(r, 40, 0), false}, {"few", crowd(r, 0, 11), false}} {
		if got := c.s.Levelled(); got != c.want {
			t.Errorf("%s: levelled %v", c.name, got)
		}
	}
	if got := s.Commonest(); countAbove(got, 100) != 20 {
		t.Errorf("commonest loads: %v", got)
	}
}

func countAbove(list []int, least int) (n int) {
	for _, i := range list {
		if i >= least {
			n++
		}
	}
	return n
}

func TestMisfit(t *testing.T) {
	row := func(v ...float32) *Row {
		var r Row
		copy(r[:], v)
		return &r
	}
	for _, c := range []struct {
		name        string
		loads, mean *Row
		n           int
		u, dof      float64
	}{
		{"its share", row(2, 2, 2), row(2, 2, 2), 3, math.Log(0.25), 3},
		{"slots before it began do not count", row(-1, 2, 2), row(2, 2, 2), 3, math.Log(0.25), 2},
		{"nor do slots in which nobody did anything", row(0, 2), row(0.01, 2), 2, math.Log(0.25), 1},
		{"nothing to compare", row(-1, -1), row(2, 2), 2, 0, 0},
		{"all at once", row(6, 0, 0), row(2, 2, 2), 3, math.Log(0.25 + (16+4+4)/2.1/3), 3},
	} {
		u, dof := Misfit(c.loads, c.mean, c.n)
		if math.Abs(float64(u)-c.u) > 1e-5 || float64(dof) != c.dof {
			t.Errorf("%s: %v over %v, want %v over %v", c.name, u, dof, c.u, c.dof)
		}
	}
}

func TestFitsTellTheBlock(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	others := crowd(r, 300, 0)
	s := crowd(r, 30, 20)
	w := make([]float32, 50)
	for i := 30; i < 50; i++ {
		w[i] = 0.95
	}
	var l Levels
	var o Onset
	var h Heading
	l.Fit(s, w, others)
	o.Fit(s, w, others)
	h.Fit(s, w, others)
	if !l.OK || !h.OK || o.Gain <= 1 || o.Hours() > 8 {
		t.Fatalf("levels %v, heading %v, onset %v nats in %v hours", l.OK, h.OK, o.Gain, o.Hours())
	}
	for i := range 50 {
		lr, _ := l.Ratio(&s.Loads[i])
		hr, _ := h.Ratio(&s.Mean[i], s.Events[i])
		if block := i >= 30; block != (lr+hr > 3) {
			t.Errorf("source %d: %.1f nats by load, %.1f by direction", i, lr, hr)
		}
	}
	if _, ok := h.Ratio(&s.Mean[0], 1); ok {
		t.Error("one event has a direction")
	}
	var none Levels
	if none.Fit(s, make([]float32, 50), others); none.OK {
		t.Error("an empty block has levels")
	}
}

// Sets of strangers are told from chance no more often than the p-value says; dealt sets always are.
func TestChance(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	c := Chance{Others: crowd(r, 300, 0), Rand: r}
	var loads, directions int
	for range 200 {
		s := crowd(r, 16, 0)
		if c.Loads(s, span(0, 16)) < math.Log(0.05) {
			loads++
		}
		if c.Directions(s, span(0, 16)) < math.Log(0.05) {
			directions++
		}
	}
	if loads > 19 || directions > 19 {
		t.Errorf("p < 0.05 in %d and %d of 200 draws", loads, directions)
	}
	s := crowd(r, 0, 16)
	if a, b := c.Loads(s, span(0, 16)), c.Directions(s, span(0, 16)); a > math.Log(1e-6) || b > math.Log(1e-6) {
		t.Errorf("dealt: log p %v and %v", a, b)
	}
	if c.Others = crowd(r, 30, 0); c.Loads(s, span(0, 16)) != 0 || c.Directions(s, span(0, 16)) != 0 {
		t.Error("something is said against too few others")
	}
}

func TestWithinAndCross(t *testing.T) {
	s := crowd(rand.New(rand.NewPCG(4, 4)), 1, 12)
	if c := s.Cross(span(1, 13)); math.Abs(c-0.04) > 0.02 {
		t.Errorf("cross %v, want the square of 0.2", c)
	}
	s.Events = make([]int32, 13)
	if _, ok := s.Within(); ok {
		t.Error("no source has four events")
	}
}
