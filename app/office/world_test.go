package office_test

import (
	"fmt"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/store/catalog"
)

// hostile is what a thief may call an account, an organisation, anything.
const hostile = `"><script>alert(1)</script>` + "\u202e{{7*7}}' OR 1=1 --"

func account(campaign string, i int) string { return fmt.Sprintf("acct-%s-%05d", campaign, i) }

// group makes a campaign whose accounts share networks and wording.
func group(name string, stage palladium.Stage, accounts int) palladium.Campaign {
	at := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	c := palladium.Campaign{ID: name, Stage: stage, OperatorP: 1e-15, ExtractionP: 0.003, First: at, Last: at.Add(72 * time.Hour), DetectedAt: new(at.Add(time.Hour)),
		Exchanges: int64(accounts) * 100, Tokens: palladium.Tokens{Input: 10, Output: int64(accounts) * 5000, Reasoning: 5},
		Evidence: []palladium.Evidence{{Family: palladium.Network, Says: "come from few networks", Accounts: accounts, Weight: 5},
			{Family: palladium.Template, Says: "share wording " + hostile, Accounts: accounts / 2, Weight: 3}},
		CounterEvidence: []palladium.Counter{{Says: "use follows the hours of a working day"}}, Techniques: []string{"reasoning-elicitation"},
		Detail: &palladium.Detail{Calibration: "120 benign groups", WhyStage: []string{"likely-extraction"}, WouldClear: []string{"fewer keys"},
			Models: []palladium.Share{{Name: "m-large", Share: 1}}, Features: []palladium.Feature{{Name: "cues", Says: "share of cues", Value: 2, P50: 0.5, P95: 1.5}},
			Days: []palladium.OperatorTrial{{From: at, To: at.Add(24 * time.Hour), Accounts: accounts, P: 0.001, E: 30}}}}
	for h := range 72 {
		c.Detail.Timeline = append(c.Detail.Timeline, palladium.Draw{Start: at.Add(time.Duration(h) * time.Hour), Exchanges: int64(h), Tokens: palladium.Tokens{Output: int64(h * 100)}})
	}
	for i := range accounts {
		id := account(name, i)
		c.Accounts = append(c.Accounts, palladium.Member{ID: id, Membership: 0.95})
		own := []palladium.Evidence{{Family: palladium.Network, Says: "comes from a shared network", Accounts: 9, Weight: 5}}
		if i%2 == 0 {
			own = append(own, palladium.Evidence{Family: palladium.Template, Says: "shares wording", Accounts: 9, Weight: 3})
		}
		c.Detail.Members = append(c.Detail.Members, palladium.MemberDetail{ID: id, Exchanges: 100, Tokens: palladium.Tokens{Output: 5000}, First: at, Last: at.Add(time.Hour), Evidence: own})
		if len(c.Detail.Links) < 4000 {
			c.Detail.Links = append(c.Detail.Links, palladium.Link{Account: id, Token: fmt.Sprintf("network %04x", i%5), Family: palladium.Network, Weight: 5})
			if i%2 == 0 {
				c.Detail.Links = append(c.Detail.Links, palladium.Link{Account: id, Token: fmt.Sprintf("wording %04x", i%3), Family: palladium.Template, Weight: 3})
			}
		}
	}
	return c
}

// people stores a report of two campaigns and a benign group, and what is known of the accounts.
func (r *rig) people() {
	r.t.Helper()
	report := &palladium.Report{Schema: palladium.ReportSchema, Campaigns: []palladium.Campaign{group("c-one", palladium.StageAct, 60), group("c-two", palladium.StageReview, 12)},
		Linked: []palladium.Linked{{ID: "l-class", Accounts: []palladium.Member{{ID: "acct-student", Membership: 1}}, WhyNotExtraction: "a class",
			Detail: &palladium.Detail{WhyNot: "a class", Features: []palladium.Feature{{Name: "cues", Says: "share of cues", Value: 0.6, P50: 0.5, P95: 1.5}}}}}}
	if _, err := r.store.PutReport(r.t.Context(), report); err != nil {
		r.t.Fatal(err)
	}
	var known []catalog.Account
	for _, c := range report.Campaigns {
		for i, m := range c.Accounts {
			a := catalog.Describe(&palladium.Account{ID: m.ID, Organization: "Acme", Plan: "pro", EmailDomain: "acme.example", Payment: fmt.Sprintf("pay-%d", i%3)})
			a.Exchanges, a.Tokens, a.First, a.Last = 100, palladium.Tokens{Output: 5000}, &c.First, &c.Last
			known = append(known, a)
		}
	}
	known = append(known, catalog.Describe(&palladium.Account{ID: "acct/odd " + hostile, Organization: hostile, Plan: hostile}))
	if err := r.store.PutAccounts(r.t.Context(), known); err != nil {
		r.t.Fatal(err)
	}
	err := r.store.PutArtifact(r.t.Context(), catalog.Artifact{ID: "m-1", Name: "model " + hostile, Digest: "sha256:00", Path: "/models/m-1", Signed: "verified", Inspected: "allowed",
		Signature: []byte(`{"ok":true}`), Lineage: []byte(`{"model":"sha256:00","nodes":[{"artifact":{"name":"m-1"},"identity":"sha256:00","root":true}],"edges":[]}`)})
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.store.AddLoad(r.t.Context(), "m-1", catalog.Load{At: time.Now(), By: "svc", Host: "gpu-1", Allowed: true, LedgerIndex: -1}); err != nil {
		r.t.Fatal(err)
	}
}

// draft is a decision that needs nobody else.
func draft(more map[string]any) map[string]any {
	out := map[string]any{"measure": "budget", "tokens": 1000, "reason": "campaign.extraction", "text": "the accounts copy the model", "expires": time.Now().Add(24 * time.Hour)}
	for k, v := range more {
		if v == nil {
			delete(out, k)
		} else {
			out[k] = v
		}
	}
	return out
}
