package office_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"crypto/rand"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/api"
	"github.com/palladium-guard/palladium/api/process"
	"github.com/palladium-guard/palladium/store/catalog"
)

// board carries decisions out on the catalog: a whole one, but for what gateways do with verdicts.
type board struct {
	store *catalog.Store
	log   api.Ledger
}

func id(prefix string) string { return prefix + strings.ToLower(rand.Text()[:12]) }

func (b *board) Decide(ctx context.Context, d api.Draft) (catalog.Decision, error) {
	now := time.Now().UTC()
	out := catalog.Decision{ID: id("d_"), Campaign: d.Campaign, Measure: d.Measure, Reason: d.Reason, Text: d.Text, By: d.By, Automated: d.Automated,
		At: now, Expires: d.Expires, State: catalog.StateEnforced, Terms: d.Terms}
	c, err := b.store.WholeCampaign(ctx, d.Campaign)
	if err != nil {
		return out, err
	}
	accounts := d.Accounts
	for i := range c.Accounts {
		if len(d.Accounts) == 0 {
			accounts = append(accounts, c.Accounts[i].ID)
		}
	}
	out.Accounts = len(accounts)
	if d.Approval || d.Measure == palladium.MeasureSuspend {
		out.State, out.Approval = catalog.StatePending, id("apv_")
	}
	var verdicts []catalog.Verdict
	for _, a := range accounts {
		verdicts = append(verdicts, catalog.Verdict{State: out.State, Decision: out.ID, DecidedBy: d.By, Automated: d.Automated, Approval: out.Approval, LedgerIndex: -1,
			Verdict: palladium.Verdict{ID: id("v_"), Account: a, Campaign: c.ID, Stage: c.Stage, Measure: d.Measure, Reason: d.Reason, Issued: now, Expires: d.Expires,
				Appeal: process.NewReference(), Delay: d.Delay, TokensPerSecond: d.TokensPerSecond, Tokens: d.Tokens, Model: d.Model}})
	}
	return out, b.put(ctx, &out, verdicts, now)
}

// put writes the ledger, then decision, verdicts, approval and notices.
func (b *board) put(ctx context.Context, d *catalog.Decision, verdicts []catalog.Verdict, now time.Time) error {
	body, err := json.Marshal(map[string]any{"decision": d.ID, "verdicts": verdicts})
	if err != nil {
		return err
	}
	index, err := b.log.Append(ctx, "palladium/verdict/v1", body)
	if err != nil {
		return err
	}
	for i := range verdicts {
		verdicts[i].LedgerIndex = index
	}
	return b.store.Update(ctx, func(tx *catalog.Store) error {
		put, err := tx.PutDecision(ctx, *d)
		if err != nil {
			return err
		}
		*d = put
		if d.State == catalog.StatePending {
			request, err := json.Marshal(map[string]any{"measure": d.Measure, "accounts": d.Accounts})
			if err != nil {
				return err
			}
			if _, err := tx.PutApproval(ctx, catalog.Approval{ID: d.Approval, Kind: "decision", Subject: "decision:" + d.ID, Request: request,
				RequestedBy: d.By, Reason: d.Text, At: now, Expires: now.Add(time.Hour), State: catalog.ApprovalOpen}); err != nil {
				return err
			}
		}
		if _, err := tx.PutVerdicts(ctx, verdicts); err != nil {
			return err
		}
		if err := tx.AddNotices(ctx, process.Notices(d, verdicts, "https://example.com/appeal", now)); err != nil {
			return err
		}
		return tx.Append(ctx, &catalog.Event{At: now, Actor: d.By, Kind: "decision.made", Subject: "decision:" + d.ID, Refs: []string{"campaign:" + d.Campaign}, LedgerIndex: index})
	})
}

func (b *board) answer(ctx context.Context, approval, by, comment, state string) error {
	now := time.Now().UTC()
	return b.store.Update(ctx, func(tx *catalog.Store) error {
		a, err := tx.GetApproval(ctx, approval)
		if err != nil {
			return err
		}
		if a.RequestedBy == by && state == catalog.ApprovalApproved {
			return api.SamePerson("you asked for it")
		}
		a.State, a.DecidedBy, a.DecidedAt, a.Comment = state, by, &now, comment
		if _, err := tx.PutApproval(ctx, a); err != nil {
			return err
		}
		d, err := tx.GetDecision(ctx, strings.TrimPrefix(a.Subject, "decision:"))
		if err != nil {
			return err
		}
		d.State = catalog.StateRefused
		if state == catalog.ApprovalApproved {
			d.State = catalog.StateEnforced
		}
		if d, err = tx.PutDecision(ctx, d); err != nil {
			return err
		}
		list, _, err := tx.ListVerdicts(ctx, catalog.VerdictQuery{Page: catalog.Page{Limit: 1000}, Decision: d.ID})
		if err != nil {
			return err
		}
		for i := range list {
			list[i].State = d.State
		}
		if _, err := tx.PutVerdicts(ctx, list); err != nil {
			return err
		}
		return tx.AddNotices(ctx, process.Notices(&d, list, "https://example.com/appeal", now))
	})
}

func (b *board) Approve(ctx context.Context, approval, by, comment string) error {
	return b.answer(ctx, approval, by, comment, catalog.ApprovalApproved)
}

func (b *board) Refuse(ctx context.Context, approval, by, comment string) error {
	return b.answer(ctx, approval, by, comment, catalog.StateRefused)
}

func (b *board) Undo(ctx context.Context, decision, by, reason string) error {
	now := time.Now().UTC()
	return b.store.Update(ctx, func(tx *catalog.Store) error {
		d, err := tx.GetDecision(ctx, decision)
		if err != nil {
			return err
		}
		d.State, d.UndoneBy, d.UndoneAt = catalog.StateRevoked, by, &now
		if _, err := tx.PutDecision(ctx, d); err != nil {
			return err
		}
		_, err = tx.RevokeVerdicts(ctx, catalog.Revocation{Decision: decision, By: by, Reason: reason, At: now, LedgerIndex: -1})
		return err
	})
}

func (b *board) Release(ctx context.Context, decision string, accounts []string, by, reason string) error {
	_, err := b.store.RevokeVerdicts(ctx, catalog.Revocation{Decision: decision, Accounts: accounts, By: by, Reason: reason, At: time.Now().UTC(), LedgerIndex: -1})
	return err
}

func (b *board) Preview(ctx context.Context, d api.Draft) (api.Preview, error) {
	c, err := b.store.WholeCampaign(ctx, d.Campaign)
	if err != nil {
		return api.Preview{}, err
	}
	p := api.Preview{Since: time.Now().Add(-7 * 24 * time.Hour), Until: time.Now(), Tokens: 0.25}
	for _, m := range c.Detail.Members {
		if len(d.Accounts) == 0 || slices.Contains(d.Accounts, m.ID) {
			p.Accounts++
			p.Requests += m.Exchanges
		}
	}
	p.Days = []api.PreviewDay{{Start: p.Since, Requests: p.Requests, Tokens: 5}}
	return p, nil
}
