package campaign

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/palladium-guard/palladium"
)

func TestJudgedGroupTakesInWhoSharesTwoKeys(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	wording := func(o *palladium.Observation) {
		for k := range uint64(3) {
			o.Shingles = append(o.Shingles, (k+1)*0x9e3779b97f4a7c15)
		}
	}
	addresses := func(o *palladium.Observation) { o.IP, o.Net = 1<<40+r.Uint64N(4), 1<<40 }
	for _, c := range []struct {
		name     string
		stage    palladium.Stage
		relation palladium.Relation
		shows    []func(*palladium.Observation)
		let      bool
		in       bool
	}{
		{"addresses and wording", palladium.StageAct, "", []func(*palladium.Observation){addresses, wording}, false, true},
		{"the same, of a group at review that was just found", palladium.StageReview, "", []func(*palladium.Observation){addresses, wording}, false, true},
		{"the same, of a group that nobody accuses", palladium.StageWatch, "", []func(*palladium.Observation){addresses, wording}, false, false},
		{"the same, vouched for", palladium.StageAct, palladium.RelationTenant, []func(*palladium.Observation){addresses, wording}, false, false},
		{"the same, let go by the last fit", palladium.StageAct, "", []func(*palladium.Observation){addresses, wording}, true, false},
		{"addresses alone", palladium.StageAct, "", []func(*palladium.Observation){addresses}, false, false},
		{"wording alone", palladium.StageAct, "", []func(*palladium.Observation){wording}, false, false},
		{"nothing", palladium.StageAct, "", nil, false, false},
	} {
		x, now := people(1, 160, crew{"bot", 24, ""})
		tr := examined(t, x, now)
		if len(tr.groups) != 1 {
			t.Fatalf("%d groups", len(tr.groups))
		}
		g := tr.groups[0]
		g.Decide(c.stage, nil, now, 1)
		before := g.Facts(x)
		x.Describe(&palladium.Account{ID: "new", Plan: "pro", Relation: c.relation})
		o := palladium.Observation{Account: "new", Time: now + hour, IP: r.Uint64(), Net: 7, Prompt: r.Uint64(), Words: 30, Turns: 1}
		for _, show := range c.shows {
			show(&o)
		}
		a := x.Observe(&o)
		if c.let {
			g.let = append(g.let, a)
		}
		if got := tr.Admit(a, o.Time, x); got != c.in {
			t.Errorf("%s: admitted %v", c.name, got)
			continue
		}
		if !c.in {
			continue
		}
		f := g.Facts(x)
		if tr.owner[a] != g || f.Accounts != before.Accounts+1 || f.Weight[palladium.Template] != before.Weight[palladium.Template] {
			t.Errorf("%s: %d accounts after %d; what newcomers show is no evidence of the group", c.name, f.Accounts, before.Accounts)
		}
		if tr.Admit(a, o.Time, x) {
			t.Errorf("%s: admitted twice", c.name)
		}
		if changed := tr.Examine(o.Time, x, nil, x.Background()); !changed || tr.owner[a] != g {
			t.Errorf("%s: the next look does not know of it", c.name)
		}
	}
}

func TestOverlapDoesNotUndoAct(t *testing.T) {
	set := func(from, to uint32) (out []member) {
		for a := from; a < to; a++ {
			out = append(out, member{a, 0.9})
		}
		return out
	}
	for _, c := range []struct {
		name  string
		acted bool
		stage palladium.Stage // of the younger group
		older palladium.Stage
		left  []string
	}{
		{"groups that overlap become one under the older name", false, palladium.StageWatch, palladium.StageWatch, []string{"old"}},
		{"one that was acted on stays beside an older one that is not suspected", true, palladium.StageAct, palladium.StageLinked, []string{"old", "young"}},
		{"and takes in one that is", true, palladium.StageAct, palladium.StageReview, []string{"young"}},
	} {
		tr := New(Options{Seed: 1})
		old := &Group{ID: "old", Born: 1, members: set(0, 20), stage: c.older}
		young := &Group{ID: "young", Born: 2, members: set(20, 60), stage: c.stage, acted: c.acted}
		tr.groups = []*Group{old, young}
		for _, g := range tr.groups {
			for _, m := range g.members {
				tr.owner[m.account] = g
			}
		}
		tr.merge([][]member{set(5, 55), set(8, 58)}, 3)
		var left []string
		for _, g := range tr.groups {
			if len(g.members) > 0 {
				left = append(left, g.ID)
			}
		}
		if len(left) != len(c.left) || left[0] != c.left[0] {
			t.Errorf("%s: %v are left, want %v", c.name, left, c.left)
		}
	}
}

func TestWhatWasDoneToAGroupHoldsForTheOneThatTakesItIn(t *testing.T) {
	for _, c := range []struct {
		n     int
		stage palladium.Stage // of the one that takes it in
		want  bool
	}{
		{3, palladium.StageWatch, false}, {3, palladium.StageLinked, false}, {3, palladium.StageReview, true}, {4, palladium.StageWatch, true}, {20, "", true},
	} {
		tr := New(Options{Seed: 1})
		d, g := &Group{members: make([]member, c.n), acted: true}, &Group{members: make([]member, 20), stage: c.stage}
		if tr.dissolve(d, g); g.acted != c.want {
			t.Errorf("%d of 20 at %q: %v", c.n, c.stage, g.acted)
		}
	}
}

// An account of a campaign that came into another group by chance is won over where the campaign explains it better by far.
func TestAccountsAreWonOver(t *testing.T) {
	for _, c := range []struct {
		name    string
		other   Group   // that the account is in
		explain float32 // nats by which that explains it
		want    bool
	}{
		{"from a group that nothing is done about", Group{stage: palladium.StageLinked, calm: true}, 1, true},
		{"not from one that explains it as well", Group{stage: palladium.StageLinked, calm: true}, 500, false},
		{"not from one at review", Group{stage: palladium.StageReview}, 1, false},
		{"not from one that was acted on", Group{stage: palladium.StageWatch, acted: true}, 1, false},
		{"not from one that is to be fitted", Group{stage: palladium.StageWatch}, 1, false},
	} {
		x, now := people(1, 160, crew{"bot", 24, ""})
		tr := examined(t, x, now)
		g := tr.groups[0]
		g.Decide(palladium.StageAct, nil, now, 1)
		a := g.members[5].account
		g.members, g.weights = slices.Delete(g.members, 5, 6), slices.Delete(g.weights, 5, 6)
		o := c.other
		o.fitted.accounts = 1
		if c.name == "not from one that is to be fitted" {
			o.fitted.accounts = 0
		}
		for _, m := range []uint32{a, 100, 101, 102, 103, 104, 105, 106} { // it, and persons
			o.members, o.weights = append(o.members, member{m, 0.9}), append(o.weights, weights{famTemplate: c.explain})
			tr.owner[m] = &o
		}
		tr.recruit(g, x, now+hour)
		_, in := g.find(a)
		_, still := o.find(a)
		if in != c.want || still == c.want || (tr.owner[a] == g) != c.want || len(o.members) != len(o.weights) || len(g.members) != len(g.weights) {
			t.Errorf("%s: in %v, still %v", c.name, in, still)
		}
	}
}

func TestNobodyIsAMemberForCertainWithoutAName(t *testing.T) {
	for _, c := range []struct {
		name  string
		named int // of eight
		want  float64
	}{{"most show who they are", 7, nameless}, {"three in four", 6, nameless}, {"few do", 5, 0.99}} {
		g := &Group{}
		for i := range 8 {
			w := weights{famTemplate: 8, famSchedule: 4}
			if i < c.named {
				w[famNetwork] = 5
			}
			g.members, g.weights = append(g.members, member{uint32(i), 0.99}), append(g.weights, w)
		}
		if _, r := g.Members(); math.Abs(r[7]-c.want) > 1e-6 || math.Abs(r[0]-0.99) > 1e-6 {
			t.Errorf("%s: %v", c.name, r)
		}
	}
}

// A group that was left too small by those whom another won over lets the rest go, so that they can be found elsewhere.
func TestTooFewAreLetGo(t *testing.T) {
	x, now := people(1, 160, crew{"bot", 24, ""})
	tr := examined(t, x, now)
	g := tr.groups[0]
	g.Decide(palladium.StageAct, nil, now, 1)
	a := g.members[5].account
	g.members, g.weights = slices.Delete(g.members, 5, 6), slices.Delete(g.weights, 5, 6)
	o := &Group{ID: "other", stage: palladium.StageLinked, calm: true}
	o.fitted.accounts, o.fitted.exchanges, o.fitted.at = 6, 1<<40, now
	for _, m := range []uint32{a, 100, 101, 102, 103, 104} {
		o.members, o.weights = append(o.members, member{m, 0.9}), append(o.weights, weights{famTemplate: 1})
		tr.owner[m] = o
	}
	tr.groups = append(tr.groups, o)
	tr.Examine(now+hour, x, nil, x.Background())
	if _, in := g.find(a); !in || slices.Contains(tr.groups, o) {
		t.Fatalf("won over %v, %d groups", in, len(tr.groups))
	}
	for _, m := range o.members {
		if tr.owner[m.account] == o {
			t.Errorf("%d still belongs to a group that is none", m.account)
		}
	}
}

// Who was taken in by the first requests is weighed again by each one that follows, and let go when they speak against it.
func TestNewcomersAreWeighedAgain(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	x, now := people(1, 160, crew{"bot", 24, ""})
	tr := examined(t, x, now)
	g := tr.groups[0]
	g.Decide(palladium.StageAct, nil, now, 1)
	x.Describe(&palladium.Account{ID: "new", Plan: "pro"})
	o := palladium.Observation{Account: "new", Time: now + hour, IP: 1<<40 + r.Uint64N(4), Net: 1 << 40, Prompt: r.Uint64(), Words: 30, Turns: 1}
	for k := range uint64(3) {
		o.Shingles = append(o.Shingles, (k+1)*0x9e3779b97f4a7c15)
	}
	a := x.Observe(&o)
	if !tr.Admit(a, o.Time, x) {
		t.Fatal("it is not taken in")
	}
	if tr.Admit(a, o.Time, x) || tr.owner[a] != g {
		t.Fatal("nothing has changed, and it is said that something has")
	}
	model := g.model.Prior
	g.model.Prior -= 200 // as if what it does spoke against it
	told := tr.Admit(a, o.Time, x)
	_, in := g.find(a)
	_, let := slices.BinarySearch(g.let, a)
	if !told || in || !let || tr.owner[a] != nil || g.recent(a) || len(g.members) != len(g.weights) || !g.grown {
		t.Errorf("told %v, in %v, let go %v", told, in, let)
	}
	g.model.Prior = model
	if tr.Admit(a, o.Time, x) {
		t.Error("it is taken in again before the next fit")
	}
	for _, m := range g.members { // those of the fit are left to the next one
		if tr.Admit(m.account, o.Time, x) {
			t.Errorf("%d: something has changed", m.account)
		}
	}
}
