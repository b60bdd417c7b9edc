package campaign

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/palladium-guard/palladium"
)

// Under independence no family's p-value is small more often than it says. 200 draws: the limits are three deviations
// above what a uniform p-value would give.
func TestChanceIsConservative(t *testing.T) {
	x, now := people(50, 400)
	newest := uint32(now / palladium.SlotMillis)
	tr := New(Options{Seed: 1})
	tr.prepare(x, x.Background(), newest)
	r := rand.New(rand.NewPCG(4, 4))
	var below [famCount][2]int
	var e float64
	const draws = 200
	for range draws {
		accounts := make([]uint32, 0, 14)
		for _, a := range r.Perm(x.Accounts())[:14] {
			accounts = append(accounts, uint32(a))
		}
		slices.Sort(accounts)
		var p pool
		p.Load(x, accounts, newest)
		w := make([]weights, len(accounts))
		for i := range w {
			w[i][famParameters] = 8 // chosen by what is never tested
		}
		ts := tester{pop: x, bg: &tr.bg, sample: tr.bg.Pool.Acc, rng: tr.rng}
		trial := ts.run(&p, w, now)
		e += trial.e / draws
		for f, v := range trial.p {
			for i, level := range []float64{0.05, 0.01} {
				if v <= level {
					below[f][i]++
				}
			}
		}
	}
	for f, n := range below {
		if n[0] > 19 || n[1] > 6 {
			t.Errorf("%s: p <= 0.05 in %d and p <= 0.01 in %d of %d draws", familyName(f), n[0], n[1], draws)
		}
	}
	if e > 1.1 {
		t.Errorf("the e-value of chance is %.3f on average", e)
	}
}

// What chose the accounts never testifies for them: family f is tested on accounts chosen by the others.
func TestChooseLeavesTheFamilyOut(t *testing.T) {
	var w []weights
	for i := range 10 {
		var v weights
		v[famTemplate], v[famNetwork] = 9, 2
		if i < 4 {
			v[famTemplate], v[famNetwork] = 0, 9
		}
		w = append(w, v)
	}
	if got := choose(w, famTemplate); !slices.Equal(got, []int{0, 1, 2, 3}) {
		t.Errorf("without the template: %v", got)
	}
	if got := choose(w, famNetwork); !slices.Equal(got, []int{4, 5, 6, 7, 8, 9}) {
		t.Errorf("without the network: %v", got)
	}
}

// The looks at one group share one budget: look k adds its e-value over k(k+1).
func TestLooksShareOneBudget(t *testing.T) {
	x, now := people(9, 200, crew{"a", 16, ""})
	tr := New(Options{Seed: 1})
	tr.prepare(x, x.Background(), uint32(now/palladium.SlotMillis))
	g := fitted(tr, x, numbers(0, 16), now)
	var want float64
	for k := 1.0; k <= 66; k++ {
		tr.try(g, x, now)
		want += g.trial.e / (k * (k + 1))
		if math.Abs(g.structE-want) > 1e-9*want {
			t.Fatalf("look %v: e-value %v, want %v", k, g.structE, want)
		}
	}
	if tr.tried != 1 || g.looks != 66 || len(g.Trials) > 64 {
		t.Errorf("%d groups tried, %d looks, %d trials kept", tr.tried, g.looks, len(g.Trials))
	}
	g.dayE = 3
	if g.E() != (g.structE+3)/2 {
		t.Error("the days are not averaged with the looks")
	}
}

// Groups that were tested and dissolved count among the hypotheses.
func TestDissolvedGroupsCount(t *testing.T) {
	for _, c := range []struct {
		e     float64
		tried int
		want  bool
	}{{150, 1, true}, {150, 2, false}, {99, 1, false}, {1e4, 50, true}} {
		tr := New(Options{})
		tr.tried = c.tried
		tr.groups = []*Group{{structE: c.e, dayE: c.e}}
		tr.conclude()
		if got := tr.groups[0].Rejected; got != c.want {
			t.Errorf("e %v among %d: rejected %v", c.e, c.tried, got)
		}
	}
}
