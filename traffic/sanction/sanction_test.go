package sanction

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
)

func at(h int) time.Time {
	return time.Date(2026, 5, 4, 0, 0, 0, 0, time.UTC).Add(time.Duration(h) * time.Hour)
}

func campaign(id string, stage palladium.Stage, members ...palladium.Member) palladium.Campaign {
	return palladium.Campaign{ID: id, Stage: stage, Accounts: members}
}

func members(ids ...string) (out []palladium.Member) {
	for _, id := range ids {
		out = append(out, palladium.Member{ID: id, Membership: 1})
	}
	return out
}

func policy(t *testing.T, c Config) *Policy {
	t.Helper()
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func nobody(string) bool { return false }

func TestDefaultsEnforceNothing(t *testing.T) {
	p := policy(t, Config{})
	for _, m := range palladium.Measures() {
		if p.Enforced(m) || p.NeedsApproval(m) {
			t.Errorf("%s is enforced or waits for approval without a word of the operator", m)
		}
	}
	got := p.Orders(at(0), []palladium.Campaign{
		campaign("c1", palladium.StageAct, members("b", "a", "a")...),
		campaign("c2", palladium.StageReview, members("c")...),
		campaign("c3", palladium.StageWatch, members("d")...),
	}, nobody)
	if len(got) != 2 || !got[0].Shadow || !got[1].Shadow {
		t.Fatalf("orders %+v", got)
	}
	if got[0].Rule.Measure != palladium.MeasureBudget || got[0].Reason != ReasonExtraction || !slices.Equal(got[0].Accounts, []string{"a", "b"}) {
		t.Errorf("act leads to %+v", got[0])
	}
	if got[1].Rule.Measure != palladium.MeasureObserve || !got[1].Expires.Equal(at(72)) {
		t.Errorf("review leads to %+v", got[1])
	}
}

func TestOrdersLeaveAlone(t *testing.T) {
	p := policy(t, Config{Mode: Enforce, Stages: map[palladium.Stage]Rule{palladium.StageAct: {Measure: palladium.MeasureSuspend, For: time.Hour}}})
	c := campaign("c1", palladium.StageAct, append(members("in", "allowed"), palladium.Member{ID: "doubtful", Membership: 0.6})...)
	got := p.Orders(at(0), []palladium.Campaign{c}, func(a string) bool { return a == "allowed" })
	if len(got) != 1 || !slices.Equal(got[0].Accounts, []string{"in"}) || got[0].Exempt != 2 || !got[0].Approval || got[0].Shadow {
		t.Errorf("orders %+v", got)
	}
	if got := p.Orders(at(0), []palladium.Campaign{c}, func(string) bool { return true }); len(got) != 0 {
		t.Errorf("a campaign of which all are allowed has orders: %+v", got)
	}
}

func TestOneMeasureIsEnforced(t *testing.T) {
	none := []palladium.Measure{}
	p := policy(t, Config{Mode: Enforce, Enforce: []palladium.Measure{palladium.MeasureSlow, palladium.MeasureSuspend}, Approval: &none})
	for m, want := range map[palladium.Measure]bool{palladium.MeasureSlow: true, palladium.MeasureSuspend: true, palladium.MeasureBudget: false} {
		if p.Enforced(m) != want || p.NeedsApproval(m) {
			t.Errorf("%s: enforced %v, approval %v", m, p.Enforced(m), p.NeedsApproval(m))
		}
	}
}

func TestReconcile(t *testing.T) {
	rule := Rule{Measure: palladium.MeasureSlow, For: 8 * time.Hour, Delay: time.Second}
	order := func(accounts ...string) Order {
		return Order{Campaign: "c1", Accounts: accounts, Rule: rule, Expires: at(8)}
	}
	stands := func(id string, accounts ...string) Standing {
		return Standing{ID: id, Campaign: "c1", Accounts: accounts, Rule: rule, Issued: at(0), Expires: at(8)}
	}
	shadow := stands("s", "a")
	shadow.Shadow = true
	p := policy(t, Config{Mode: Enforce, Stages: map[palladium.Stage]Rule{palladium.StageAct: rule}})
	rule = p.stages[palladium.StageAct]
	observing := order("a", "b")
	observing.Rule, observing.Stage = p.stages[palladium.StageReview], palladium.StageReview
	other := stands("o", "a")
	other.Rule.Delay = time.Minute
	for name, c := range map[string]struct {
		now      time.Time
		orders   []Order
		standing []Standing
		suspect  string   // accounts that are listed at review or act besides those of the orders
		anew     []string // accounts
		withdraw []string
	}{
		"nothing stands":             {now: at(1), orders: []Order{order("a", "b")}, anew: []string{"a", "b"}},
		"all stands":                 {now: at(1), orders: []Order{order("a", "b")}, standing: []Standing{stands("1", "a", "b")}},
		"stands in two parts":        {now: at(1), orders: []Order{order("a", "b")}, standing: []Standing{stands("1", "a"), stands("2", "b")}},
		"one joined":                 {now: at(1), orders: []Order{order("a", "b")}, standing: []Standing{stands("1", "a")}, anew: []string{"b"}},
		"one left":                   {now: at(1), orders: []Order{order("a")}, standing: []Standing{stands("1", "a", "b")}, anew: []string{"a"}, withdraw: []string{"1"}},
		"the campaign is gone":       {now: at(1), standing: []Standing{stands("1", "a")}, withdraw: []string{"1"}},
		"it is about to lapse":       {now: at(7), orders: []Order{order("a")}, standing: []Standing{stands("1", "a")}, anew: []string{"a"}, withdraw: []string{"1"}},
		"shadow became enforcement":  {now: at(1), orders: []Order{order("a")}, standing: []Standing{shadow}, anew: []string{"a"}, withdraw: []string{"s"}},
		"the terms are others":       {now: at(1), orders: []Order{order("a")}, standing: []Standing{other}, anew: []string{"a"}, withdraw: []string{"o"}},
		"another campaign's remains": {now: at(1), orders: []Order{{Campaign: "c2", Accounts: []string{"z"}, Rule: rule}}, standing: []Standing{stands("1", "a")}, anew: []string{"z"}, withdraw: []string{"1"}},
		"back at review":             {now: at(1), orders: []Order{observing}, standing: []Standing{stands("1", "a", "b")}, suspect: "ab"},
		"back at review, about to":   {now: at(7), orders: []Order{observing}, standing: []Standing{stands("1", "a", "b")}, suspect: "ab"},
		"below review":               {now: at(1), standing: []Standing{stands("1", "a", "b")}, withdraw: []string{"1"}},
		"one is doubted only":        {now: at(1), orders: []Order{order("a")}, standing: []Standing{stands("1", "a", "b")}, suspect: "ab"},
		"one left, one is doubted":   {now: at(1), orders: []Order{order("a")}, standing: []Standing{stands("1", "a", "b", "c")}, suspect: "ab", anew: []string{"a", "b"}, withdraw: []string{"1"}},
		"into another campaign":      {now: at(1), orders: []Order{{Campaign: "c2", Accounts: []string{"a"}, Rule: rule}}, standing: []Standing{stands("1", "a", "b")}, suspect: "ab", anew: []string{"a"}},
		"terms of before, at review": {now: at(1), orders: []Order{observing}, standing: []Standing{other}, suspect: "ab", anew: []string{"a", "b"}, withdraw: []string{"o"}},
	} {
		anew, withdraw := p.Reconcile(c.now, c.orders, c.standing, func(a string) bool { return strings.Contains(c.suspect, a) })
		var got []string
		for _, o := range anew {
			got = append(got, o.Accounts...)
		}
		if !slices.Equal(got, c.anew) || !slices.Equal(withdraw, c.withdraw) {
			t.Errorf("%s: anew %v, withdraw %v; wanted %v and %v", name, got, withdraw, c.anew, c.withdraw)
		}
	}
}

func TestRefusesPolicies(t *testing.T) {
	act := func(r Rule) Config { return Config{Stages: map[palladium.Stage]Rule{palladium.StageAct: r}} }
	for want, c := range map[string]Config{
		"neither shadow nor enforce": {Mode: "on"},
		"none of observe, slow":      {Mode: Enforce, Enforce: []palladium.Measure{"ban"}},
		"mode is shadow":             {Enforce: []palladium.Measure{palladium.MeasureSlow}},
		"only act and review":        {Stages: map[palladium.Stage]Rule{palladium.StageWatch: {Measure: palladium.MeasureObserve}}},
		"needs delay":                act(Rule{Measure: palladium.MeasureSlow}),
		"needs tokens":               act(Rule{Measure: palladium.MeasureBudget}),
		"needs model":                act(Rule{Measure: palladium.MeasureSmaller}),
		"every measure expires":      act(Rule{Measure: palladium.MeasureSuspend, For: 10000 * time.Hour}),
		"not between 0 and 1":        act(Rule{Measure: palladium.MeasureObserve, Membership: 1.5}),
		"negative":                   act(Rule{Measure: palladium.MeasureSlow, Delay: -1}),
		"hold is negative":           {Hold: -1},
	} {
		if _, err := New(c); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), want) {
			t.Errorf("wanted %q, got %v", want, err)
		}
	}
}

func TestOrdersAreRepeatable(t *testing.T) {
	p := policy(t, Config{Mode: Enforce})
	c := []palladium.Campaign{campaign("c9", palladium.StageAct, members("x", "y")...), campaign("c1", palladium.StageReview, members("z")...)}
	if a, b := p.Orders(at(3), c, nobody), p.Orders(at(3), c, nobody); !reflect.DeepEqual(a, b) {
		t.Errorf("%+v, then %+v", a, b)
	}
}
