package live

import (
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/api"
	"github.com/palladium-guard/palladium/traffic/sanction"
)

// What a second person refused policy does not ask for again and again: those accounts were looked at, and are left alone.
func TestRefusedIsNotAskedAgain(t *testing.T) {
	ctx := t.Context()
	d := newDesk(t, "a", "b")
	policy, err := sanction.New(sanction.Config{Mode: sanction.Enforce, Stages: map[palladium.Stage]sanction.Rule{palladium.StageAct: {Measure: palladium.MeasureSuspend}}})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	board := NewBoard(BoardOptions{Catalog: d.cat, Policy: policy, Log: quiet, Now: func() time.Time { return now }})
	actor := NewActor(board)
	round := func(a *Actor, want int) Acted {
		t.Helper()
		now = now.Add(time.Minute)
		out, err := a.Act(ctx, campaignOf("a", "b"))
		if err != nil || len(out.Decided) != want || len(out.Withdrawn) != 0 {
			t.Fatalf("%d decided, not %d, %d withdrawn: %v", len(out.Decided), want, len(out.Withdrawn), err)
		}
		return out
	}
	asked := round(actor, 1).Decided[0]
	round(actor, 0)
	if err := board.Refuse(ctx, asked.Approval, "ben", "they are students"); err != nil {
		t.Fatal(err)
	}
	round(actor, 0)
	round(NewActor(board), 0)

	// What a person asked for and another refused lets nobody go.
	d = newDesk(t, "a", "b")
	board = NewBoard(BoardOptions{Catalog: d.cat, Policy: policy, Log: quiet, Now: func() time.Time { return now }})
	dec, err := board.Decide(ctx, api.Draft{Campaign: "c-one", Measure: palladium.MeasureSuspend, Reason: "campaign.extraction", Text: "They extract.", Expires: now.Add(time.Hour), By: "ana"})
	if err != nil {
		t.Fatal(err)
	}
	if err := board.Refuse(ctx, dec.Approval, "ben", "not so long"); err != nil {
		t.Fatal(err)
	}
	round(NewActor(board), 1)
}
