package live

import (
	"errors"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/api"
	"github.com/palladium-guard/palladium/store/catalog"
	"github.com/palladium-guard/palladium/traffic/sanction"
)

// Who came onto the allow-list while a decision waited for a second person is not hit by it.
func TestAllowedWhileItWaited(t *testing.T) {
	ctx := t.Context()
	d := newDesk(t, "a", "b", "c")
	now := time.Now().UTC()
	if err := d.cat.PutAccounts(ctx, []catalog.Account{{ID: "b", Organization: "lab"}}); err != nil {
		t.Fatal(err)
	}
	suspend := func(accounts ...string) catalog.Decision {
		t.Helper()
		dec, err := d.board.Decide(ctx, api.Draft{Campaign: "c-one", Accounts: accounts, Measure: palladium.MeasureSuspend, Reason: "campaign.extraction", Text: "They extract.", Expires: now.Add(time.Hour), By: "ana"})
		if err != nil || dec.State != catalog.StatePending {
			t.Fatalf("%+v %v", dec, err)
		}
		return dec
	}
	all, one := suspend(), suspend("a")
	for id, subject := range map[string]string{"al-1": "account:a", "al-2": "organization:lab"} {
		if _, err := d.cat.PutAllow(ctx, catalog.Allow{ID: id, Kind: "researcher", Subject: subject, Owner: "ben", Reason: "a study", Created: now, Expires: now.Add(24 * time.Hour)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.board.Approve(ctx, all.Approval, "ben", "agreed"); err != nil {
		t.Fatal(err)
	}
	if list, _, err := d.cat.VerdictsInForce(ctx, now); err != nil || len(list) != 1 || list[0].Account != "c" {
		t.Errorf("in force: %+v %v", list, err)
	}
	if dec, err := d.cat.GetDecision(ctx, all.ID); err != nil || dec.Accounts != 1 || dec.State != catalog.StateEnforced {
		t.Errorf("%+v %v", dec, err)
	}
	if err := d.board.Approve(ctx, one.Approval, "ben", "agreed"); !errors.Is(err, ErrNobody) {
		t.Errorf("nobody is left to be hit: %v", err)
	}
	if err := d.board.Refuse(ctx, one.Approval, "ben", "they are researchers"); err != nil {
		t.Error(err)
	}
}

// What is agreed to after enforcement was turned off is not enforced: it is recorded, as everything else is.
func TestApprovedInShadow(t *testing.T) {
	ctx := t.Context()
	d := newDesk(t, "a", "b")
	now := time.Now().UTC()
	dec, err := d.board.Decide(ctx, api.Draft{Campaign: "c-one", Measure: palladium.MeasureSuspend, Reason: "campaign.extraction", Text: "They extract.", Expires: now.Add(time.Hour), By: "ana"})
	if err != nil || dec.State != catalog.StatePending {
		t.Fatalf("%+v %v", dec, err)
	}
	off, err := sanction.New(sanction.Config{})
	if err != nil {
		t.Fatal(err)
	}
	d.board.SetPolicy(off, Configured)
	if err := d.board.Approve(ctx, dec.Approval, "ben", "agreed"); err != nil {
		t.Fatal(err)
	}
	if dec, err := d.cat.GetDecision(ctx, dec.ID); err != nil || dec.State != catalog.StateShadow {
		t.Errorf("%+v %v", dec, err)
	}
	list, _, err := d.cat.VerdictsInForce(ctx, now.Add(time.Second))
	if err != nil || len(list) != 2 || !list[0].Shadow || !list[1].Shadow {
		t.Errorf("in force: %+v %v", list, err)
	}
}
