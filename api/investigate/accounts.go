package investigate

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/api"
	"github.com/palladium-guard/palladium/store/catalog"
)

// member is an account of a campaign.
type member struct {
	ID           string             `json:"id"`
	Membership   float64            `json:"membership"`
	Exchanges    int64              `json:"exchanges"`
	Tokens       palladium.Tokens   `json:"tokens"`
	First        *time.Time         `json:"first"`
	Last         *time.Time         `json:"last"`
	Families     []palladium.Family `json:"families"`
	Organization string             `json:"organization"`
	Plan         string             `json:"plan"`
	Relation     palladium.Relation `json:"relation"`
	Verdict      *standing          `json:"verdict"`
}

// standing is the strictest verdict in force on an account.
type standing struct {
	ID      string            `json:"id"`
	Measure palladium.Measure `json:"measure"`
	State   string            `json:"state"`
	Expires time.Time         `json:"expires"`
}

func (d *Desk) listMembers(q *api.Request) (*api.Answer, error) {
	query := catalog.MemberQuery{Page: pageOf(q), Campaign: q.Param("id"), Family: palladium.Family(q.Param("family")), Token: q.Param("token"), Text: q.Param("q"), Sort: q.Param("sort")}
	if query.Token != "" && query.Family == "" {
		return nil, api.BadRequest("token needs a family")
	}
	if _, err := d.catalog.GetCampaign(q.Context(), query.Campaign); err != nil {
		return nil, err
	}
	list, next, err := d.catalog.ListMembers(q.Context(), query)
	if err != nil {
		return nil, err
	}
	all, err := d.catalog.CountMembers(q.Context(), query)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(list))
	out := make([]member, len(list))
	at := map[string]*member{}
	for i, m := range list {
		ids[i] = m.ID
		out[i] = member{ID: m.ID, Membership: m.Membership, Exchanges: m.Exchanges, Tokens: m.Tokens, First: some(m.First), Last: some(m.Last), Families: m.Families}
		at[m.ID] = &out[i]
	}
	if err := d.fill(q.Context(), ids, at, q.Now); err != nil {
		return nil, err
	}
	return api.OK(api.Counted[member]{Page: api.NewPage(out, next), Total: all})
}

// fill adds what the catalog knows of the accounts beyond their membership.
func (d *Desk) fill(ctx context.Context, ids []string, at map[string]*member, now time.Time) error {
	if len(ids) == 0 {
		return nil
	}
	known, err := d.catalog.GetAccounts(ctx, ids)
	if err != nil {
		return err
	}
	for _, a := range known {
		if m := at[a.ID]; m != nil {
			m.Organization, m.Plan, m.Relation = a.Organization, a.Plan, a.Relation
		}
	}
	verdicts, _, err := d.catalog.ListVerdicts(ctx, catalog.VerdictQuery{Page: catalog.Page{Limit: 1000}, Accounts: ids, InForce: &now})
	if err != nil {
		return err
	}
	for _, v := range verdicts {
		if m := at[v.Account]; m != nil && (m.Verdict == nil || stricter(&v, m.Verdict)) {
			m.Verdict = &standing{v.ID, v.Measure, v.State, v.Expires}
		}
	}
	return nil
}

// stricter reports whether v does more than s: enforced before shadow, then by measure.
func stricter(v *catalog.Verdict, s *standing) bool {
	if (v.State == catalog.StateEnforced) != (s.State == catalog.StateEnforced) {
		return v.State == catalog.StateEnforced
	}
	return rank(v.Measure) > rank(s.Measure)
}

func rank(m palladium.Measure) int {
	for i, one := range palladium.Measures() {
		if one == m {
			return i
		}
	}
	return -1
}

func some(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func (d *Desk) listAccounts(q *api.Request) (*api.Answer, error) {
	query := catalog.HuntQuery{Page: pageOf(q), Text: q.Param("q")}
	for _, field := range []string{"campaign", "family", "token", "plan"} {
		if v := q.Param(field); v != "" {
			query.Filters = append(query.Filters, catalog.Filter{Field: field, Op: "is", Values: []string{v}})
		}
	}
	list, next, err := d.catalog.Hunt(q.Context(), query)
	if err != nil {
		return nil, err
	}
	return api.OKCounted(q, list, next, func(ctx context.Context) (int64, error) { return d.catalog.CountHunt(ctx, query) })
}

// joined is one campaign that an account belongs to, and by what.
type joined struct {
	Campaign   string           `json:"campaign"`
	Stage      palladium.Stage  `json:"stage"`
	Membership float64          `json:"membership"`
	Exchanges  int64            `json:"exchanges"`
	Tokens     palladium.Tokens `json:"tokens"`
	Evidence   []evidence       `json:"evidence"`
}

// accountPage is all that an account page shows.
type accountPage struct {
	Account  catalog.Account   `json:"account"`
	Joined   []joined          `json:"joined"`
	Verdicts []api.Verdict     `json:"verdicts"`
	Appeals  []api.Appeal      `json:"appeals"`
	Notices  []catalog.Notice  `json:"notices"`
	Allow    []api.Allow       `json:"allow"`
	Models   []palladium.Share `json:"models"`
}

func (d *Desk) getAccount(q *api.Request) (*api.Answer, error) {
	ctx, id := q.Context(), q.Param("id")
	a, err := d.catalog.GetAccount(ctx, id)
	if err != nil {
		return nil, err
	}
	out := accountPage{Account: a}
	memberships, err := d.catalog.Memberships(ctx, id)
	if err != nil {
		return nil, err
	}
	for _, m := range memberships {
		out.Joined = append(out.Joined, joined{m.Campaign, m.Stage, m.Membership, m.Exchanges, m.Tokens, evidenceOf(m.Evidence)})
	}
	hundred := catalog.Page{Limit: 100}
	verdicts, _, err := d.catalog.ListVerdicts(ctx, catalog.VerdictQuery{Page: hundred, Accounts: []string{id}})
	if err != nil {
		return nil, err
	}
	for i := range verdicts {
		out.Verdicts = append(out.Verdicts, api.VerdictOf(&verdicts[i]))
	}
	appeals, _, err := d.catalog.ListAppeals(ctx, catalog.AppealQuery{Page: hundred, Account: id})
	if err != nil {
		return nil, err
	}
	for i := range appeals {
		out.Appeals = append(out.Appeals, api.AppealOf(&appeals[i], q.Now))
	}
	if out.Notices, _, err = d.catalog.ListNotices(ctx, catalog.NoticeQuery{Page: hundred, Account: id}); err != nil {
		return nil, err
	}
	subjects := []string{"account:" + id}
	if a.Organization != "" {
		subjects = append(subjects, "organization:"+a.Organization)
	}
	if a.EmailDomain != "" {
		subjects = append(subjects, "domain:"+a.EmailDomain)
	}
	allow, _, err := d.catalog.ListAllow(ctx, catalog.AllowQuery{Page: hundred, Subject: subjects})
	if err != nil {
		return nil, err
	}
	for i := range allow {
		out.Allow = append(out.Allow, api.AllowOf(&allow[i], q.Now))
	}
	if d.usage != nil {
		if out.Models, err = d.usage.Models(ctx, id, q.Now.Add(-30*24*time.Hour)); err != nil {
			return nil, fmt.Errorf("ask the archive for the models of an account: %w", err)
		}
	}
	return api.OK(out)
}

func (d *Desk) getHoldings(q *api.Request) (*api.Answer, error) {
	id := q.Param("id")
	if _, err := d.catalog.GetAccount(q.Context(), id); err != nil {
		return nil, err
	}
	list, next, err := d.catalog.ListHoldings(q.Context(), id, pageOf(q))
	if err != nil {
		return nil, err
	}
	type held struct {
		Campaign string           `json:"campaign"`
		Family   palladium.Family `json:"family"`
		Token    string           `json:"token"`
		Weight   float64          `json:"weight"`
		Others   int              `json:"others"`
	}
	out := make([]held, len(list))
	for i, h := range list {
		out[i] = held{h.Campaign, h.Family, h.Token, h.Weight, h.Others}
	}
	return api.OK(api.NewPage(out, next))
}

// hunting is a hunt as it is asked for.
type hunting struct {
	Filters []struct {
		Field string `json:"field"`
		Op    string `json:"op"`
		Value any    `json:"value"`
	} `json:"filters"`
	Pivot  string `json:"pivot"`
	Sort   string `json:"sort"`
	Cursor string `json:"cursor"`
	Limit  int    `json:"limit"`
}

func (d *Desk) hunt(q *api.Request) (*api.Answer, error) {
	in := hunting{Sort: catalog.SortOutput, Limit: 50}
	if err := q.Decode(&in); err != nil {
		return nil, err
	}
	query := catalog.HuntQuery{Page: catalog.Page{Cursor: in.Cursor, Limit: in.Limit}, Sort: in.Sort}
	for _, f := range in.Filters {
		filter := catalog.Filter{Field: f.Field, Op: f.Op}
		switch v := f.Value.(type) {
		case string:
			filter.Values = []string{v}
		case float64:
			filter.Values = []string{strconv.FormatFloat(v, 'f', -1, 64)}
		case []any:
			for _, one := range v {
				filter.Values = append(filter.Values, fmt.Sprint(one))
			}
		}
		query.Filters = append(query.Filters, filter)
	}
	list, next, err := d.catalog.Hunt(q.Context(), query)
	if err != nil {
		return nil, err
	}
	all, err := d.catalog.CountHunt(q.Context(), query)
	if err != nil {
		return nil, err
	}
	out := struct {
		api.Counted[catalog.Account]
		Pivot []catalog.Pivot `json:"pivot"`
	}{Counted: api.Counted[catalog.Account]{Page: api.NewPage(list, next), Total: all}}
	if in.Pivot != "" {
		if out.Pivot, err = d.catalog.PivotHunt(q.Context(), query, in.Pivot, 100); err != nil {
			return nil, err
		}
	}
	return api.OK(out)
}
