package campaign

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/traffic/linkage"
)

// evaluators lets n accounts run one public list after the people are done, each for itself: some of its questions in an
// order of its own, over two days, all in the list's wording. It returns the time of the last exchange.
func evaluators(x *linkage.Index, seed uint64, now int64, n, questions int) int64 {
	r := rand.New(rand.NewPCG(seed, 77))
	type request struct{ account, question int }
	var all []request
	for a := range n {
		x.Describe(&palladium.Account{ID: fmt.Sprint("evaluator", a), Plan: "pro"})
		for _, q := range r.Perm(questions)[:40+r.IntN(40)] {
			all = append(all, request{a, q})
		}
	}
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for i, e := range all {
		now += 48 * hour / int64(len(all))
		o := palladium.Observation{Account: fmt.Sprint("evaluator", e.account), Time: now, IP: uint64(7_000_000 + e.account), Net: uint64(8_000_000 + e.account),
			Prompt: (uint64(e.question) + 1) * 0x9e3779b97f4a7c15, Words: 30, Turns: 1, Shingles: []uint64{0xabcdef123456789, 0x123456789abcdef, 0xfedcba987654321}}
		for k := range 10 {
			o.Terms = append(o.Terms, uint16(21_000+(e.question*7+k*13+i)%200))
		}
		x.Observe(&o)
	}
	return now
}

// Evaluators of one benchmark agree in wording, topics and days. None of it makes them one operator, and no key opens.
func TestPublicListIsNoOperator(t *testing.T) {
	for seed := range uint64(3) {
		x, now := people(30+seed, 300)
		now = evaluators(x, seed, now, 29, 300)
		tr := New(Options{Seed: 1})
		tr.prepare(x, x.Background(), uint32(now/palladium.SlotMillis))
		g := fitted(tr, x, numbers(300, 324), now)
		tr.try(g, x, now)
		tr.groups = []*Group{g}
		tr.conclude()
		if !g.trial.list.Public || g.Rejected || g.E() > 2 {
			t.Errorf("seed %d: e-value %v, p %v, %+v", seed, g.E(), g.trial.p, g.trial.list)
		}
		if f := g.Facts(x); f.Keys != 0 || f.Collisions == 0 {
			t.Errorf("seed %d: %d keys of %v, collisions %v", seed, f.Keys, f.Families, f.Collisions)
		}
		if g.structE < 1e3 {
			t.Errorf("seed %d: not knowing of the list, the e-value would be %v: the test shows nothing", seed, g.structE)
		}
	}
}

// Beside a list's users, loads dealt day after day still prove a dispatcher; those of one day do not.
func TestOneDayMayBeARelease(t *testing.T) {
	g := &Group{dayE: 1, members: []member{{}}, weights: make([]weights, 1)}
	g.trial.list.Public = true
	for f := range g.trial.p {
		g.trial.p[f] = 1
	}
	for day, want := range []bool{false, true} {
		g.wager(1e-9)
		if got := g.opens(famSchedule); got != want {
			t.Errorf("after %d days: opens %v, e-value %v", day+1, got, g.E())
		}
	}
	for f := range famCount {
		g.trial.p[f] = 1e-9
	}
	for f, want := range map[int]bool{famIdentity: true, famNetwork: true, famParameters: false} {
		if g.opens(f) != want {
			t.Errorf("%s opens: %v", familyName(f), !want)
		}
	}
}

// Evaluators who stand beside a campaign are let go, and take no part in its tests.
func TestUsersOfAListAreLetGo(t *testing.T) {
	x, now := people(40, 150, crew{"a", 30, ""})
	now = evaluators(x, 5, now, 10, 120)
	tr := New(Options{Seed: 1})
	tr.prepare(x, x.Background(), uint32(now/palladium.SlotMillis))
	g := fitted(tr, x, append(numbers(0, 30), numbers(180, 190)...), now)
	for _, m := range g.members {
		tr.owner[m.account] = g
	}
	tr.unlist(g, x)
	if in, out := within(g, 0, 30); in != 30 || out > 0 || len(g.weights) != 30 || tr.owner[185] != nil || tr.owner[5] != g {
		t.Errorf("%d of the campaign and %d evaluators are left", in, out)
	}
	if i := tr.search.where(185); i < 0 || tr.search.w[i] != (weights{}) {
		t.Error("an evaluator takes part in the tests")
	}
	g = fitted(tr, x, numbers(0, 30), now)
	if tr.unlist(g, x); len(g.members) != 30 {
		t.Errorf("%d of a campaign of 30 are left", len(g.members))
	}
}

// Accounts that repeat what others sent are told from a campaign whose prompts are its own, not within one that repeats.
func TestRepeaters(t *testing.T) {
	for _, c := range []struct {
		name       string
		own, users float64 // share of repeats
		n, of      int     // users of all
		want       int
	}{
		{"evaluators beside a campaign", 0.05, 0.95, 10, 40, 10},
		{"nearly half", 0.1, 0.6, 19, 40, 19},
		{"more than half", 0.1, 0.9, 21, 40, 0},
		{"a campaign that draws from a list", 0.6, 0.95, 10, 40, 0},
		{"retries", 0.05, 0.3, 10, 40, 0},
		{"none", 0, 0, 0, 40, 0},
	} {
		pop := repeating{profiles: make([]palladium.Profile, c.of)}
		for i := range pop.profiles {
			share := c.own
			if i < c.n {
				share = c.users
			}
			pop.profiles[i].Exchanges, pop.profiles[i].Repeats = 100, uint32(100*share)
		}
		got := repeaters(pop, numbers(0, uint32(c.of)))
		if len(got) != c.want || c.want > 0 && got[len(got)-1] != c.n-1 {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// repeating is a population of made-up profiles.
type repeating struct {
	Population
	profiles []palladium.Profile
}

func (p repeating) Profile(a uint32) *palladium.Profile { return &p.profiles[a] }

// An account for which a name and a text that others sent speak is not taken in where more speaks for most, and is once more does.
func TestLookersAreAskedAgain(t *testing.T) {
	name := weights{famIdentity: 5, famTemplate: 8}
	more := name
	more[famParameters] = 4
	for _, c := range []struct {
		name    string
		w       weights
		repeats uint32 // of 20
		want    bool
	}{{"a name and a text of others", name, 4, true}, {"a name and a text of its own", name, 2, false}, {"more than that", more, 4, false}} {
		if got := looks(&c.w, &palladium.Profile{Exchanges: 20, Repeats: c.repeats}); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	pop := repeating{profiles: make([]palladium.Profile, 8)}
	g := &Group{}
	for i := range pop.profiles {
		pop.profiles[i] = palladium.Profile{Exchanges: 20, Repeats: 4}
		g.members, g.weights = append(g.members, member{account: uint32(i)}), append(g.weights, more)
	}
	g.weights[3] = name
	if out := g.lookers(pop); len(out) != 1 || out[0] != 3 || !g.firm {
		t.Errorf("%v look like it, firm %v", out, g.firm)
	}
	for i := range 3 {
		g.weights[i] = name
	}
	if out := g.lookers(pop); len(out) != 0 || g.firm {
		t.Errorf("%v look like it where more speaks for half, firm %v", out, g.firm)
	}
}
