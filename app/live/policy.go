package live

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/api"
	"github.com/palladium-guard/palladium/store/catalog"
	"github.com/palladium-guard/palladium/traffic/sanction"
	"github.com/palladium-guard/palladium/traffic/verdict"
)

// policyActor begins the name under which policy decides.
const policyActor = "policy:"

// Actor carries out policy: it compares what the detector found with what stands, decides what is missing and withdraws what
// no longer holds. It belongs to one goroutine, and only the leading detector's acts.
type Actor struct {
	board    *Board
	accounts map[string][]string // of standing decisions, sorted; by decision
	odd      map[string]int      // accounts that no verdict can name, by campaign, as they were told last
	free     releases            // whom people let go
}

// NewActor returns one that knows of no decision yet.
func NewActor(b *Board) *Actor { return &Actor{board: b, accounts: map[string][]string{}} }

// Acted says what a round of policy did.
type Acted struct {
	Changes   catalog.ReportChanges
	Decided   []catalog.Decision
	Withdrawn []string
}

// Act keeps the report and carries out policy on it.
func (a *Actor) Act(ctx context.Context, r *palladium.Report) (Acted, error) {
	changes, err := a.board.cat.PutReport(ctx, r)
	if err != nil {
		return Acted{}, fmt.Errorf("keep the report: %w", err)
	}
	out, err := a.Again(ctx, r)
	out.Changes = changes
	return out, err
}

// Again carries out policy on a report that was kept before.
func (a *Actor) Again(ctx context.Context, r *palladium.Report) (Acted, error) {
	var out Acted
	b := a.board
	now := b.now().UTC()
	rules := b.rules.Load()
	free, err := b.allowed(ctx, now)
	if err == nil {
		err = a.released(ctx, free, now, now.Add(-rules.policy.Hold()))
	}
	if err != nil {
		return out, err
	}
	for i := range r.Campaigns {
		ids := make([]string, len(r.Campaigns[i].Accounts))
		for n, m := range r.Campaigns[i].Accounts {
			ids[n] = m.ID
		}
		free.group(ctx, ids)
	}
	campaigns, err := a.uncleared(ctx, r.Campaigns)
	if err != nil {
		return out, err
	}
	a.unnamed(campaigns)
	orders := rules.policy.Orders(now, campaigns, func(id string) bool { return !verdict.Names(id) || free.account(ctx, id) })
	standing, err := a.standing(ctx, now)
	if err != nil {
		return out, err
	}
	suspects := suspected(campaigns)
	anew, withdraw := rules.policy.Reconcile(now, orders, standing, func(id string) bool { return suspects[id] && !free.account(ctx, id) })
	by := policyActor + rules.revision
	for i := range anew {
		o := &anew[i]
		d, err := b.Decide(ctx, api.Draft{
			Campaign: o.Campaign, Accounts: o.Accounts, Measure: o.Rule.Measure, Reason: o.Reason, Text: words(o, r), Expires: o.Expires,
			By: by, Automated: true,
			Terms: catalog.Terms{Delay: o.Rule.Delay, TokensPerSecond: o.Rule.TokensPerSecond, Tokens: o.Rule.Tokens, Model: o.Rule.Model},
		})
		if errors.Is(err, ErrNobody) {
			continue
		}
		if err != nil {
			return out, err
		}
		a.accounts[d.ID] = o.Accounts
		out.Decided = append(out.Decided, d)
	}
	for _, id := range withdraw {
		err := b.Undo(ctx, id, by, "policy no longer calls for it")
		if err != nil && !errors.Is(err, ErrDecided) {
			return out, err
		}
		delete(a.accounts, id)
		out.Withdrawn = append(out.Withdrawn, id)
	}
	return out, nil
}

// Ease withdraws what policy had decided and enforces no more, as after the mode was set back to shadow. It needs no report, so that
// enforcement can be turned off before the detector has looked again.
func (a *Actor) Ease(ctx context.Context) (out Acted, err error) {
	rules := a.board.rules.Load()
	standing, err := a.standing(ctx, a.board.now().UTC())
	if err != nil {
		return out, err
	}
	for i := range standing {
		s := &standing[i]
		if s.Shadow || rules.policy.Enforced(s.Rule.Measure) {
			continue
		}
		if err := a.board.Undo(ctx, s.ID, policyActor+rules.revision, "policy no longer enforces it"); err != nil && !errors.Is(err, ErrDecided) {
			return out, err
		}
		delete(a.accounts, s.ID)
		out.Withdrawn = append(out.Withdrawn, s.ID)
	}
	return out, nil
}

// unnamed tells of accounts that no verdict can name: policy leaves them alone, and nobody else for their sake.
func (a *Actor) unnamed(campaigns []palladium.Campaign) {
	odd := map[string]int{}
	for i := range campaigns {
		c := &campaigns[i]
		for _, m := range c.Accounts {
			if !verdict.Names(m.ID) {
				odd[c.ID]++
			}
		}
		if n := odd[c.ID]; n > a.odd[c.ID] {
			a.board.log.Warn("policy leaves accounts alone: their ids are longer than 255 bytes or no text, and no verdict can name them", "campaign", c.ID, "accounts", n)
		}
	}
	a.odd = odd
}

// uncleared leaves out campaigns that a person found to be none: policy puts nothing on them, and takes off what it had put.
func (a *Actor) uncleared(ctx context.Context, campaigns []palladium.Campaign) ([]palladium.Campaign, error) {
	out := make([]palladium.Campaign, 0, len(campaigns))
	for i := range campaigns {
		c, err := a.board.cat.GetCampaign(ctx, campaigns[i].ID)
		if errors.Is(err, catalog.ErrNotFound) { // of a catalog that was restored: it is kept with the next look
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look at campaign %s: %w", campaigns[i].ID, err)
		}
		if c.Resolution != catalog.ResolvedBenign && c.Resolution != catalog.ResolvedFalsePositive {
			out = append(out, campaigns[i])
		}
	}
	return out, nil
}

// suspected are the accounts listed at review or act.
func suspected(campaigns []palladium.Campaign) map[string]bool {
	out := map[string]bool{}
	for i := range campaigns {
		c := &campaigns[i]
		if c.Stage != palladium.StageAct && c.Stage != palladium.StageReview {
			continue
		}
		for _, m := range c.Accounts {
			out[m.ID] = true
		}
	}
	return out
}

// words is what an account holder is told of an order of policy.
func words(o *sanction.Order, r *palladium.Report) string {
	at := slices.IndexFunc(r.Campaigns, func(c palladium.Campaign) bool { return c.ID == o.Campaign })
	since := ""
	if at >= 0 {
		since = " since " + r.Campaigns[at].First.UTC().Format("2 January 2006")
	}
	if o.Reason == sanction.ReasonReview {
		return "Requests of this account" + since + " are much alike those of other accounts that seem to be run together, and a person is looking at it. Nothing is decided yet."
	}
	return "Requests of this account" + since + " belong to a group of accounts that are run together and whose use looks like the training of another model on the answers. " +
		"This was decided by a rule, on evidence of several independent kinds, and expires by itself. You can appeal; a person will look at it."
}

// standing returns the decisions of policy that hold or wait.
func (a *Actor) standing(ctx context.Context, now time.Time) ([]sanction.Standing, error) {
	var out []sanction.Standing
	q := catalog.DecisionQuery{State: []string{catalog.StateEnforced, catalog.StateShadow, catalog.StatePending}}
	q.Limit = 1000
	known := map[string]bool{}
	for {
		page, next, err := a.board.cat.ListDecisions(ctx, q)
		if err != nil {
			return nil, fmt.Errorf("read what was decided: %w", err)
		}
		for i := range page {
			d := &page[i]
			if !d.Automated || !strings.HasPrefix(d.By, policyActor) || !now.Before(d.Expires) {
				continue
			}
			accounts, err := a.of(ctx, d.ID, d.Accounts)
			if err != nil {
				return nil, err
			}
			known[d.ID] = true
			out = append(out, sanction.Standing{
				ID: d.ID, Campaign: d.Campaign, Accounts: accounts, Issued: d.At, Expires: d.Expires, Shadow: d.State == catalog.StateShadow,
				Rule: a.rule(d),
			})
		}
		if next == "" {
			break
		}
		q.Cursor = next
	}
	for id := range a.accounts {
		if !known[id] {
			delete(a.accounts, id)
		}
	}
	return out, nil
}

// rule is the rule that would have led to a decision, as far as the decision tells: what it does not tell is taken from the
// policy in force, so that it differs where it matters.
func (a *Actor) rule(d *catalog.Decision) sanction.Rule {
	r := sanction.Rule{Measure: d.Measure, Delay: d.Delay, TokensPerSecond: d.TokensPerSecond, Tokens: d.Tokens, Model: d.Model}
	return a.board.rules.Load().policy.Like(r)
}

// of returns the accounts of a decision, sorted. Accounts that were released since are not among them.
func (a *Actor) of(ctx context.Context, decision string, count int) ([]string, error) {
	if known, ok := a.accounts[decision]; ok && len(known) == count {
		return known, nil
	}
	verdicts, err := allVerdicts(ctx, a.board.cat, catalog.VerdictQuery{Decision: decision})
	if err != nil {
		return nil, fmt.Errorf("read the verdicts of decision %s: %w", decision, err)
	}
	ids := []string{}
	for i := range verdicts {
		if s := verdicts[i].State; s != catalog.StateRevoked && s != catalog.StateRefused {
			ids = append(ids, verdicts[i].Account)
		}
	}
	slices.Sort(ids)
	a.accounts[decision] = ids
	return ids, nil
}
