package live

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/api"
	"github.com/palladium-guard/palladium/store/catalog"
	"github.com/palladium-guard/palladium/traffic/sanction"
)

// Who undoes what a person decided puts back what was before it: policy's own measures on the same accounts go on. Those that a
// person let go, by undoing policy's decision or after an appeal, policy leaves alone.
func TestUndoPutsBack(t *testing.T) {
	ctx := context.Background()
	cat, err := catalog.Open(ctx, catalog.Config{URL: filepath.Join(t.TempDir(), "catalog.db")}, quiet, true)
	if err != nil {
		t.Fatal(err)
	}
	defer cat.Close()
	policy, err := sanction.New(sanction.Config{Mode: sanction.Enforce})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	board := NewBoard(BoardOptions{Catalog: cat, Policy: policy, Log: quiet, Now: func() time.Time { return now }})
	actor := NewActor(board)
	campaign := palladium.Campaign{ID: "c-one", Stage: palladium.StageAct, First: now, Last: now}
	for _, id := range []string{"a", "b", "c"} {
		campaign.Accounts = append(campaign.Accounts, palladium.Member{ID: id, Membership: 1})
	}
	round := func() Acted {
		t.Helper()
		now = now.Add(time.Minute)
		out, err := actor.Act(ctx, &palladium.Report{Schema: palladium.ReportSchema, Campaigns: []palladium.Campaign{campaign}})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	budgets := func(want ...string) {
		t.Helper()
		list, _, err := cat.VerdictsInForce(ctx, now)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, v := range list {
			if v.Measure == palladium.MeasureBudget {
				got = append(got, v.Account)
			} else {
				t.Errorf("%s on %s is in force", v.Measure, v.Account)
			}
		}
		if len(got) != len(want) {
			t.Fatalf("budgets on %v, not on %v", got, want)
		}
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("budgets on %v, not on %v", got, want)
			}
		}
	}
	suspend := func() catalog.Decision {
		t.Helper()
		now = now.Add(time.Minute)
		d, err := board.Decide(ctx, api.Draft{Campaign: "c-one", Measure: palladium.MeasureSuspend, Reason: "campaign.extraction", Text: "They extract.", Expires: now.Add(24 * time.Hour), By: "ana"})
		if err != nil || d.State != catalog.StatePending {
			t.Fatalf("%+v %v", d, err)
		}
		if err := board.Approve(ctx, d.Approval, "ben", "agreed"); err != nil {
			t.Fatal(err)
		}
		return d
	}
	undo := func(id string) {
		t.Helper()
		now = now.Add(time.Minute)
		if err := board.Undo(ctx, id, "ana", "they were cleared"); err != nil {
			t.Fatal(err)
		}
	}

	first := round()
	if len(first.Decided) != 1 {
		t.Fatalf("%+v", first)
	}
	budgets("a", "b", "c")
	d := suspend()
	if out := round(); len(out.Decided)+len(out.Withdrawn) != 0 {
		t.Errorf("a person's suspend moved policy: %+v", out)
	}
	undo(d.ID)
	budgets("a", "b", "c")
	if out := round(); len(out.Decided)+len(out.Withdrawn) != 0 {
		t.Errorf("undoing it moved policy: %+v", out)
	}
	budgets("a", "b", "c")

	// One is let go after an appeal: it stays free of policy, the others do not.
	d = suspend()
	if err := board.Release(ctx, d.ID, []string{"b"}, "cy", "appeal upheld"); err != nil {
		t.Fatal(err)
	}
	undo(d.ID)
	round()
	budgets("a", "c")

	// Policy's own decision is undone by a person: all are left alone.
	list, _, err := cat.ListDecisions(ctx, catalog.DecisionQuery{State: []string{catalog.StateEnforced}})
	if err != nil || len(list) != 1 {
		t.Fatalf("%d decisions hold: %v", len(list), err)
	}
	undo(list[0].ID)
	round()
	budgets()
}

// A campaign that a person finds to be none loses policy's measures at the next look, and gets none again.
func TestClearedCampaign(t *testing.T) {
	ctx := context.Background()
	cat, err := catalog.Open(ctx, catalog.Config{URL: filepath.Join(t.TempDir(), "catalog.db")}, quiet, true)
	if err != nil {
		t.Fatal(err)
	}
	defer cat.Close()
	policy, err := sanction.New(sanction.Config{Mode: sanction.Enforce})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	actor := NewActor(NewBoard(BoardOptions{Catalog: cat, Policy: policy, Log: quiet, Now: func() time.Time { return now }}))
	look := func(want int) {
		t.Helper()
		now = now.Add(time.Minute)
		_, err := actor.Act(ctx, &palladium.Report{Schema: palladium.ReportSchema, Campaigns: []palladium.Campaign{
			{ID: "c-one", Stage: palladium.StageAct, First: now, Last: now, Accounts: []palladium.Member{{ID: "a", Membership: 1}, {ID: "b", Membership: 1}}},
		}})
		if err != nil {
			t.Fatal(err)
		}
		if list, _, err := cat.VerdictsInForce(ctx, now); err != nil || len(list) != want {
			t.Fatalf("%d verdicts in force, wanted %d: %v", len(list), want, err)
		}
	}
	look(2)
	c, err := cat.GetCampaign(ctx, "c-one")
	if err != nil {
		t.Fatal(err)
	}
	c.State, c.Resolution = catalog.WorkResolved, catalog.ResolvedBenign
	if _, err := cat.PutCampaign(ctx, c); err != nil {
		t.Fatal(err)
	}
	look(0)
	look(0)
}

// Enforcement is turned off, as by a start with another mode, before the detector has looked again: what policy enforced ends at once,
// what people decided holds on, and shadows stay.
func TestEase(t *testing.T) {
	ctx := t.Context()
	d := newDesk(t, "a", "b")
	if out, err := NewActor(d.board).Act(ctx, campaignOf("a", "b")); err != nil || len(out.Decided) != 1 {
		t.Fatalf("%+v %v", out, err)
	}
	d.slow("a")
	for _, c := range []struct {
		policy    sanction.Config
		withdrawn int
		left      int
	}{
		{sanction.Config{Mode: sanction.Enforce}, 0, 3},
		{sanction.Config{Mode: sanction.Enforce, Enforce: []palladium.Measure{palladium.MeasureSlow}}, 1, 1},
		{sanction.Config{}, 0, 1},
	} {
		policy, err := sanction.New(c.policy)
		if err != nil {
			t.Fatal(err)
		}
		board := NewBoard(BoardOptions{Catalog: d.cat, Policy: policy, Log: quiet})
		<-board.Other()
		out, err := NewActor(board).Ease(ctx)
		if err != nil || len(out.Withdrawn) != c.withdrawn {
			t.Errorf("%+v: %+v %v", c.policy, out, err)
		}
		if list, _, err := d.cat.VerdictsInForce(ctx, time.Now()); err != nil || len(list) != c.left {
			t.Errorf("%+v: %d verdicts are in force: %v", c.policy, len(list), err)
		}
	}
}
