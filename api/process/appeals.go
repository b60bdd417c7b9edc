package process

import (
	"context"
	"errors"
	"slices"

	"github.com/palladium-guard/palladium/api"
	"github.com/palladium-guard/palladium/store/catalog"
)

// appealFile is an appeal with what it is about.
type appealFile struct {
	Appeal    api.Appeal      `json:"appeal"`
	Decision  *api.Decision   `json:"decision"`
	Notice    *catalog.Notice `json:"notice"`
	Verdict   *api.Verdict    `json:"verdict"`
	MayReview bool            `json:"may_review"`
}

func (d *Desk) listAppeals(q *api.Request) (*api.Answer, error) {
	query := catalog.AppealQuery{Page: pageOf(q), State: q.List("state"), Account: q.Param("account")}
	list, next, err := d.o.Catalog.ListAppeals(q.Context(), query)
	if err != nil {
		return nil, err
	}
	f, err := d.o.Catalog.Figures(q.Context(), q.Now)
	if err != nil {
		return nil, err
	}
	out := make([]api.Appeal, len(list))
	for i := range list {
		out[i] = api.AppealOf(&list[i], q.Now)
	}
	page, err := api.NewCounted(q, out, next, func(ctx context.Context) (int64, error) { return d.o.Catalog.CountAppeals(ctx, query) })
	if err != nil {
		return nil, err
	}
	return api.OK(struct {
		api.Counted[api.Appeal]
		Overdue int64 `json:"overdue"`
	}{page, f.AppealsOverdue})
}

// deciders returns who must not judge an appeal: who decided, and who agreed to it.
func deciders(ctx context.Context, tx *catalog.Store, decision string) (*catalog.Decision, []string, error) {
	v, err := tx.GetDecision(ctx, decision)
	if errors.Is(err, catalog.ErrNotFound) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	who := []string{v.By}
	if v.Approval != "" {
		a, err := tx.GetApproval(ctx, v.Approval)
		if err != nil && !errors.Is(err, catalog.ErrNotFound) {
			return nil, nil, err
		}
		who = append(who, a.RequestedBy, a.DecidedBy)
	}
	return &v, who, nil
}

func (d *Desk) show(q *api.Request, a *catalog.Appeal) (*api.Answer, error) {
	ctx := q.Context()
	out := appealFile{Appeal: api.AppealOf(a, q.Now)}
	decision, who, err := deciders(ctx, d.o.Catalog, a.Decision)
	if err != nil {
		return nil, err
	}
	out.MayReview = !slices.Contains(who, q.By.ID)
	if decision != nil {
		v := api.DecisionOf(decision)
		out.Decision = &v
	}
	switch v, err := d.o.Catalog.GetVerdict(ctx, a.Verdict); {
	case err == nil:
		view := api.VerdictOf(&v)
		out.Verdict = &view
	case !errors.Is(err, catalog.ErrNotFound):
		return nil, err
	}
	switch n, err := d.o.Catalog.GetNoticeByRef(ctx, a.Ref); {
	case err == nil:
		out.Notice = &n
	case !errors.Is(err, catalog.ErrNotFound):
		return nil, err
	}
	return &api.Answer{JSON: out, Revision: a.Revision}, nil
}

func (d *Desk) getAppeal(q *api.Request) (*api.Answer, error) {
	a, err := d.o.Catalog.GetAppeal(q.Context(), q.Param("id"))
	if err != nil {
		return nil, err
	}
	return d.show(q, &a)
}

// other is the problem of one who would judge their own decision.
func other() *api.Problem {
	return api.SamePerson("you took, asked for or agreed to the decision that this appeal is about: somebody else has to look at it")
}

func (d *Desk) reviewAppeal(q *api.Request) (*api.Answer, error) {
	var a catalog.Appeal
	err := q.Update(func(ctx context.Context, tx *catalog.Store) (*catalog.Event, error) {
		var err error
		if a, err = tx.GetAppeal(ctx, q.Param("id")); err != nil {
			return nil, err
		}
		if a.State != catalog.AppealOpen && a.State != catalog.AppealInReview {
			return nil, api.Conflict("the appeal is %s", a.State)
		}
		_, who, err := deciders(ctx, tx, a.Decision)
		if err != nil {
			return nil, err
		}
		if slices.Contains(who, q.By.ID) {
			return nil, other()
		}
		a.State, a.Reviewer = catalog.AppealInReview, q.By.ID
		a, err = tx.PutAppeal(ctx, a)
		return q.Event("appeal.taken_up", "appeal:"+a.ID, nil, "account:"+a.Account), err
	})
	if err != nil {
		return nil, err
	}
	return d.show(q, &a)
}

// outcome is how an appeal is decided.
type outcome struct {
	Outcome string `json:"outcome"`
	Scope   string `json:"scope"`
	Reply   string `json:"reply"`
}

func (d *Desk) decideAppeal(q *api.Request) (*api.Answer, error) {
	var in outcome
	if err := q.Decode(&in); err != nil {
		return nil, err
	}
	ctx := q.Context()
	a, err := d.o.Catalog.GetAppeal(ctx, q.Param("id"))
	if err != nil {
		return nil, err
	}
	if a.State != catalog.AppealOpen && a.State != catalog.AppealInReview {
		return nil, api.Conflict("the appeal is %s", a.State)
	}
	decision, who, err := deciders(ctx, d.o.Catalog, a.Decision)
	if err != nil {
		return nil, err
	}
	if slices.Contains(who, q.By.ID) {
		return nil, other()
	}
	if in.Outcome == catalog.AppealOverturned {
		if a, err = d.restore(q, a, decision, in.Scope == "decision"); err != nil {
			return nil, err
		}
	}
	err = q.Update(func(ctx context.Context, tx *catalog.Store) (*catalog.Event, error) {
		a.State, a.Reviewer, a.Reply, a.DecidedAt = in.Outcome, q.By.ID, in.Reply, &q.Now
		put, err := tx.PutAppeal(ctx, a)
		if err == nil {
			a = put
		}
		refs := []string{"account:" + a.Account}
		if decision != nil && decision.Campaign != "" {
			refs = append(refs, "campaign:"+decision.Campaign)
		}
		return q.Event("appeal.decided", "appeal:"+a.ID, map[string]string{"outcome": a.State}, refs...), err
	})
	if err != nil {
		return nil, err
	}
	return d.show(q, &a)
}

// restore gives back what an overturned decision took: access, budgets and reputation first, then what others were told,
// then the label for the calibration. Each step may be repeated, so that an appeal whose restoring broke off is decided
// again. What it returns is the appeal as stored after the first step.
func (d *Desk) restore(q *api.Request, a catalog.Appeal, decision *catalog.Decision, whole bool) (catalog.Appeal, error) {
	ctx := q.Context()
	if decision == nil {
		return a, api.Conflict("the decision is no longer in the catalog: revoke what is left of it by hand")
	}
	accounts := []string{a.Account}
	if whole {
		var err error
		if accounts, err = d.hit(ctx, decision.ID); err != nil {
			return a, err
		}
	}
	if err := d.giveBack(q, a, decision, whole); err != nil {
		return a, err
	}
	var err error
	if !a.Restored {
		a.Restored = true
		if a, err = d.o.Catalog.PutAppeal(ctx, a); err != nil {
			return a, err
		}
	}
	if d.o.Sharing != nil {
		if err := d.o.Sharing.Recall(ctx, decision.Campaign, accounts, "appeal "+a.ID+" was overturned"); err != nil {
			d.o.Log.Error("what was shared is not recalled yet", "appeal", a.ID, "error", err)
			return a, api.Unavailable("access is given back, but what was shared could not be recalled: decide the appeal again")
		}
	}
	err = d.o.Catalog.AddLabel(ctx, catalog.Label{ID: "lb_" + a.ID, Campaign: decision.Campaign, Accounts: accounts, Benign: true, Why: "appeal overturned", By: q.By.ID, At: q.Now})
	if errors.Is(err, catalog.ErrConflict) { // stored by an attempt before
		err = nil
	}
	return a, err
}

// giveBack ends the verdicts, unless they have ended.
func (d *Desk) giveBack(q *api.Request, a catalog.Appeal, decision *catalog.Decision, whole bool) error {
	ctx, reason := q.Context(), "appeal "+a.ID+" overturned"
	inForce := func(state string) bool {
		return state == catalog.StateEnforced || state == catalog.StateShadow || state == catalog.StatePending
	}
	if whole {
		if !inForce(decision.State) {
			return nil
		}
		return d.o.Board.Undo(ctx, decision.ID, q.By.ID, reason)
	}
	v, err := d.o.Catalog.GetVerdict(ctx, a.Verdict)
	if errors.Is(err, catalog.ErrNotFound) || err == nil && !inForce(v.State) {
		return nil
	}
	if err != nil {
		return err
	}
	return d.o.Board.Release(ctx, decision.ID, []string{a.Account}, q.By.ID, reason)
}

// hit returns the accounts of a decision.
func (d *Desk) hit(ctx context.Context, decision string) (accounts []string, err error) {
	seen := map[string]bool{}
	query := catalog.VerdictQuery{Page: catalog.Page{Limit: 1000}, Decision: decision}
	for {
		list, next, err := d.o.Catalog.ListVerdicts(ctx, query)
		if err != nil {
			return nil, err
		}
		for i := range list {
			if !seen[list[i].Account] {
				seen[list[i].Account] = true
				accounts = append(accounts, list[i].Account)
			}
		}
		if next == "" {
			return accounts, nil
		}
		query.Cursor = next
	}
}
