// Package decide holds what people do about campaigns: preview a measure, decide it, have a second person agree, undo it,
// and put policies in use. What is decided is carried out by an api.Board.
package decide

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/api"
	"github.com/palladium-guard/palladium/store/catalog"
)

// Check proves the text of a policy and returns the revision that it names. Its error says what is wrong and where.
type Check func(text []byte) (revision string, err error)

// Kind is a kind of policy of which versions may be stored.
type Kind struct {
	Check Check
	// Standing gives the text of the configuration, or the one that the program carries: it is in use while no version is. Nil, or an
	// empty text, for none. It is called from several goroutines.
	Standing func() string
}

// Desk decides. Its Routes are those of decisions, verdicts, approvals and policies.
type Desk struct {
	catalog *catalog.Store
	board   api.Board
	kinds   map[string]Kind
	since   time.Time // from when on the standing texts are known
}

// New makes a desk. kinds has an entry for each kind of policy that may be stored; now is when their standing texts were read.
func New(store *catalog.Store, board api.Board, kinds map[string]Kind, now time.Time) *Desk {
	return &Desk{store, board, kinds, now}
}

// Routes returns the operations.
func (d *Desk) Routes() []api.Route {
	return []api.Route{
		{Op: "previewDecision", Handle: d.preview}, {Op: "decide", Handle: d.decide}, {Op: "listDecisions", Handle: d.listDecisions},
		{Op: "getDecision", Handle: d.getDecision}, {Op: "undoDecision", Handle: d.undo}, {Op: "listVerdicts", Handle: d.listVerdicts},
		{Op: "listCampaignVerdicts", Handle: d.listCampaignVerdicts}, {Op: "listApprovals", Handle: d.listApprovals},
		{Op: "getApproval", Handle: d.getApproval}, {Op: "approve", Handle: d.approve}, {Op: "refuse", Handle: d.refuse},
		{Op: "listPolicies", Handle: d.listPolicies}, {Op: "addPolicy", Handle: d.addPolicy}, {Op: "getPolicy", Handle: d.getPolicy},
		{Op: "activatePolicy", Handle: d.activatePolicy}, {Op: "checkPolicy", Handle: d.checkPolicy},
	}
}

// longest is how far the end of a measure may lie ahead: a longer one is decided anew.
const longest = 90 * 24 * time.Hour

// draft is a decision as it is asked for.
type draft struct {
	Measure  palladium.Measure `json:"measure"`
	Accounts []string          `json:"accounts"`
	Reason   string            `json:"reason"`
	Text     string            `json:"text"`
	Expires  time.Time         `json:"expires"`
	Approval bool              `json:"approval"`
	api.Terms
}

func (in *draft) board(campaign, by string) api.Draft {
	return api.Draft{Campaign: campaign, Accounts: in.Accounts, Measure: in.Measure, Reason: in.Reason, Text: in.Text, Expires: in.Expires.UTC(), By: by, Approval: in.Approval,
		Terms: catalog.Terms{Delay: time.Duration(in.DelayMS) * time.Millisecond, TokensPerSecond: in.TokensPerSecond, Tokens: in.Tokens, Model: in.Model}}
}

// terms makes sure that a measure has the terms that it needs, and no others.
func (in *draft) terms() error {
	slow := in.DelayMS > 0 || in.TokensPerSecond > 0
	switch {
	case in.Measure == palladium.MeasureSlow && !slow:
		return api.BadRequest("slow needs delay_ms or tokens_per_second")
	case in.Measure == palladium.MeasureBudget && in.Tokens == 0:
		return api.BadRequest("budget needs tokens: output tokens a day for the campaign together")
	case in.Measure == palladium.MeasureSmaller && in.Model == "":
		return api.BadRequest("smaller-model needs model: what answers instead")
	case in.Measure != palladium.MeasureSlow && slow, in.Measure != palladium.MeasureBudget && in.Tokens > 0, in.Measure != palladium.MeasureSmaller && in.Model != "":
		return api.BadRequest("these terms do not belong to measure %s", in.Measure)
	}
	return nil
}

func (d *Desk) preview(q *api.Request) (*api.Answer, error) {
	var in draft
	if err := q.Decode(&in); err != nil {
		return nil, err
	}
	if err := d.members(q, in.Accounts); err != nil {
		return nil, err
	}
	p, err := d.board.Preview(q.Context(), in.board(q.Param("id"), q.By.ID))
	if err != nil {
		return nil, err
	}
	return api.OK(p)
}

// members makes sure that the campaign is there and that the accounts belong to it.
func (d *Desk) members(q *api.Request, accounts []string) error {
	id := q.Param("id")
	if len(accounts) == 0 {
		_, err := d.catalog.GetCampaign(q.Context(), id)
		return err
	}
	c, err := d.catalog.WholeCampaign(q.Context(), id)
	if err != nil {
		return err
	}
	member := make(map[string]bool, len(c.Accounts))
	for _, m := range c.Accounts {
		member[m.ID] = true
	}
	outside := 0
	for _, a := range accounts {
		if !member[a] {
			outside++
		}
	}
	if outside > 0 {
		return api.BadRequest("%d of the accounts are no members of the campaign: fetch its accounts anew", outside)
	}
	return nil
}

func (d *Desk) decide(q *api.Request) (*api.Answer, error) {
	var in draft
	if err := q.Decode(&in); err != nil {
		return nil, err
	}
	if !in.Expires.After(q.Now) || in.Expires.After(q.Now.Add(longest)) {
		return nil, api.BadRequest("expires must lie in the future, within 90 days: nothing is decided for good")
	}
	if err := errors.Join(in.terms(), d.members(q, in.Accounts)); err != nil {
		return nil, err
	}
	v, err := d.board.Decide(q.Context(), in.board(q.Param("id"), q.By.ID))
	if err != nil {
		return nil, err
	}
	if err := d.tell(q, "decision.asked", &v); err != nil {
		return nil, err
	}
	return api.Created("/decisions/"+v.ID, api.DecisionOf(&v))
}

// tell writes into the history who asked the board for what; what the board did stands there beside it.
func (d *Desk) tell(q *api.Request, kind string, v *catalog.Decision) error {
	refs := []string{}
	if v.Campaign != "" {
		refs = append(refs, "campaign:"+v.Campaign)
	}
	return d.catalog.Append(q.Context(), q.Event(kind, "decision:"+v.ID, map[string]any{"measure": v.Measure, "accounts": v.Accounts, "state": v.State, "approval": v.Approval}, refs...))
}

func (d *Desk) listDecisions(q *api.Request) (*api.Answer, error) {
	query := catalog.DecisionQuery{Page: pageOf(q), Campaign: q.Param("campaign"), State: q.List("state")}
	list, next, err := d.catalog.ListDecisions(q.Context(), query)
	if err != nil {
		return nil, err
	}
	out := make([]api.Decision, len(list))
	for i := range list {
		out[i] = api.DecisionOf(&list[i])
	}
	return api.OKCounted(q, out, next, func(ctx context.Context) (int64, error) { return d.catalog.CountDecisions(ctx, query) })
}

func pageOf(q *api.Request) catalog.Page {
	return catalog.Page{Cursor: q.Param("cursor"), Limit: q.Limit()}
}

func (d *Desk) getDecision(q *api.Request) (*api.Answer, error) {
	v, err := d.catalog.GetDecision(q.Context(), q.Param("id"))
	if err != nil {
		return nil, err
	}
	return &api.Answer{JSON: api.DecisionOf(&v), Revision: v.Revision}, nil
}

func (d *Desk) undo(q *api.Request) (*api.Answer, error) {
	var in struct {
		Reason string `json:"reason"`
	}
	if err := q.Decode(&in); err != nil {
		return nil, err
	}
	v, err := d.catalog.GetDecision(q.Context(), q.Param("id"))
	if err != nil {
		return nil, err
	}
	if q.By.Role == api.Analyst && v.By != q.By.ID && !v.Automated {
		return nil, api.Forbidden("an analyst undoes what they or a policy decided: ask an approver")
	}
	switch v.State {
	case catalog.StateEnforced, catalog.StateShadow, catalog.StatePending:
	default:
		return nil, api.Conflict("the decision is %s: nothing of it is in force", v.State)
	}
	if err := d.board.Undo(q.Context(), v.ID, q.By.ID, in.Reason); err != nil {
		return nil, err
	}
	if v, err = d.catalog.GetDecision(q.Context(), v.ID); err != nil {
		return nil, err
	}
	if err := d.tell(q, "decision.undo_asked", &v); err != nil {
		return nil, err
	}
	return api.OK(api.DecisionOf(&v))
}

func (d *Desk) verdicts(q *api.Request, query catalog.VerdictQuery) (*api.Answer, error) {
	query.Page, query.State = pageOf(q), q.List("state")
	list, next, err := d.catalog.ListVerdicts(q.Context(), query)
	if err != nil {
		return nil, err
	}
	out := make([]api.Verdict, len(list))
	for i := range list {
		out[i] = api.VerdictOf(&list[i])
	}
	return api.OKCounted(q, out, next, func(ctx context.Context) (int64, error) { return d.catalog.CountVerdicts(ctx, query) })
}

func (d *Desk) listVerdicts(q *api.Request) (*api.Answer, error) {
	query := catalog.VerdictQuery{Campaign: q.Param("campaign"), Decision: q.Param("decision")}
	if a := q.Param("account"); a != "" {
		query.Accounts = []string{a}
	}
	return d.verdicts(q, query)
}

func (d *Desk) listCampaignVerdicts(q *api.Request) (*api.Answer, error) {
	if _, err := d.catalog.GetCampaign(q.Context(), q.Param("id")); err != nil {
		return nil, err
	}
	return d.verdicts(q, catalog.VerdictQuery{Campaign: q.Param("id")})
}

func (d *Desk) listApprovals(q *api.Request) (*api.Answer, error) {
	list, next, err := d.catalog.ListApprovals(q.Context(), q.List("state"), pageOf(q))
	if err != nil {
		return nil, err
	}
	if !seesAccounts(q) {
		for i := range list {
			list[i].Request = nil // it may name accounts
		}
	}
	return api.OKCounted(q, list, next, func(ctx context.Context) (int64, error) { return d.catalog.CountApprovals(ctx, q.List("state")) })
}

func seesAccounts(q *api.Request) bool { return slices.Contains(q.By.May(), "getAccount") }

func (d *Desk) getApproval(q *api.Request) (*api.Answer, error) {
	a, err := d.catalog.GetApproval(q.Context(), q.Param("id"))
	if err != nil {
		return nil, err
	}
	if !seesAccounts(q) {
		a.Request = nil
	}
	return &api.Answer{JSON: a, Revision: a.Revision}, nil
}

func (d *Desk) approve(q *api.Request) (*api.Answer, error) { return d.answer(q, true) }
func (d *Desk) refuse(q *api.Request) (*api.Answer, error)  { return d.answer(q, false) }

// answer answers an approval. Nobody is the second person to themselves; to take back what one asked for is allowed.
func (d *Desk) answer(q *api.Request, yes bool) (*api.Answer, error) {
	var in struct {
		Comment string `json:"comment"`
	}
	if err := q.Decode(&in); err != nil {
		return nil, err
	}
	a, err := d.catalog.GetApproval(q.Context(), q.Param("id"))
	if err != nil {
		return nil, err
	}
	if a.State != catalog.ApprovalOpen || !q.Now.Before(a.Expires) {
		return nil, api.Conflict("the approval is no longer open")
	}
	if yes && a.RequestedBy == q.By.ID {
		return nil, api.SamePerson("you asked for this: somebody else has to agree")
	}
	act, kind := d.board.Refuse, "approval.refuse_asked"
	if yes {
		act, kind = d.board.Approve, "approval.approve_asked"
	}
	if err := act(q.Context(), a.ID, q.By.ID, in.Comment); err != nil {
		return nil, err
	}
	if err := d.catalog.Append(q.Context(), q.Event(kind, "approval:"+a.ID, nil, a.Subject)); err != nil {
		return nil, err
	}
	if a, err = d.catalog.GetApproval(q.Context(), a.ID); err != nil {
		return nil, err
	}
	return api.OK(a)
}
