package arrival

import (
	"math"
	"math/rand/v2"
	"testing"
)

func daily() *Habits {
	h := &Habits{}
	for i := range h.Hours {
		h.Hours[i] = 0.1
		if i >= 8 && i < 20 {
			h.Hours[i] = 1
		}
	}
	return h
}

func TestClocksKeepTheirRateAndNeverGoBack(t *testing.T) {
	halves := make([]float64, 144)
	for i := range halves[:72] {
		halves[i] = 1
	}
	shape := NewShape(halves, 2)
	for _, c := range []struct {
		name   string
		clock  Clock
		lo, hi float64 // requests a day
	}{
		{"shaped", &Shaped{Shape: &shape, PerDay: 50}, 40, 60},
		{"flat", &Flat{Habits: daily(), PerDay: 50}, 45, 55},
		{"flat with rhythm", &Flat{Habits: daily(), PerDay: 50, Rhythm: 0.5}, 40, 60},
		{"cron", &Cron{Period: 6 * Hour, Size: 5, Gap: Second}, 18, 24},
		{"sittings", &Sittings{Habits: daily(), PerDay: 4, Size: 5}, 8, 20},
	} {
		r := rand.New(rand.NewPCG(1, 2))
		now, n := int64(0), 0
		for now < 200*Day {
			next := c.clock.Next(r, now)
			if next <= now {
				t.Fatalf("%s: %d after %d", c.name, next, now)
			}
			now = next
			n++
		}
		if rate := float64(n) / 200; rate < c.lo || rate > c.hi {
			t.Errorf("%s: %.1f a day", c.name, rate)
		}
	}
}

func TestShapedFollowsTheShape(t *testing.T) {
	halves := make([]float64, 144)
	for i := range halves[:72] {
		halves[i] = 1
	}
	shape := NewShape(halves, 1)
	k := &Shaped{Shape: &shape, PerDay: 100}
	r := rand.New(rand.NewPCG(1, 2))
	for now := k.Next(r, 0); now < 100*Day; now = k.Next(r, now) {
		if now%Day >= 12*Hour+Minute {
			t.Fatalf("arrival at hour %d, where the rate is zero", now%Day/Hour)
		}
	}
}

func TestSittingsAvoidTheNight(t *testing.T) {
	k := &Sittings{Habits: daily(), PerDay: 4, Size: 3, Zone: -5 * Hour}
	r := rand.New(rand.NewPCG(1, 2))
	day, n := 0.0, 0.0
	for now := k.Next(r, 0); now < 200*Day; now = k.Next(r, now) {
		if h := (now - 5*Hour + Day) % Day / Hour; h >= 8 && h < 20 {
			day++
		}
		n++
	}
	if day/n < 0.8 {
		t.Errorf("%.2f by day", day/n)
	}
}

func TestBurstEnds(t *testing.T) {
	k := &Burst{Start: Hour, Gap: Second, Left: 10}
	r := rand.New(rand.NewPCG(1, 2))
	now := int64(0)
	for range 10 {
		now = k.Next(r, now)
	}
	if now < Hour || now > Hour+5*Minute || k.Next(r, now) != Never {
		t.Errorf("last at %d", now)
	}
}

func TestGammaMoments(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, k := range []float64{0.1, 0.5, 1, 4} {
		sum, squares := 0.0, 0.0
		const n = 200000
		for range n {
			x := gamma(r, k)
			sum, squares = sum+x, squares+x*x
		}
		mean := sum / n
		if v := squares/n - mean*mean; math.Abs(mean-k) > 0.03*k+0.005 || math.Abs(v-k) > 0.08*k+0.01 {
			t.Errorf("shape %g: mean %.3f, variance %.3f", k, mean, v)
		}
	}
}
