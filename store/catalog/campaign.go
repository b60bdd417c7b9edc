package catalog

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/store"
	"github.com/palladium-guard/palladium/store/catalog/record"
	"github.com/palladium-guard/palladium/store/texts"
)

// The orders of ListCampaigns. Largest first, but SortDeadline earliest first and those without one last.
const (
	SortRisk     = "risk"
	SortDeadline = "deadline"
	SortDraw     = "draw" // output tokens
	SortSize     = "size"
	SortUpdated  = "updated"
)

// CampaignQuery selects campaigns. An empty field selects all; several values of one field are joined by or.
type CampaignQuery struct {
	Page
	State    []string
	Stage    []palladium.Stage // empty: all but linked
	Assignee string            // user id; "none" for those of nobody
	Label    string
	Text     string // part of an id, label or of what the evidence says; or the beginning of a member's id
	Sort     string // empty: SortRisk
	Listed   bool   // only those that the detector still lists
}

// ListCampaigns gives campaigns without Accounts and Detail, and the cursor of the next page, empty at the end.
func (s *Store) ListCampaigns(ctx context.Context, q CampaignQuery) ([]Campaign, string, error) {
	w, err := s.selected(ctx, q)
	if err != nil {
		return nil, "", err
	}
	order := map[string]store.Order{
		SortRisk:     {Name: SortRisk, Key: "risk", ID: "id", Kind: "fs", Desc: true},
		SortDeadline: {Name: SortDeadline, Key: "urgency", ID: "id", Kind: "is"},
		SortDraw:     {Name: SortDraw, Key: "tokens_output", ID: "id", Kind: "is", Desc: true},
		SortSize:     {Name: SortSize, Key: "size", ID: "id", Kind: "is", Desc: true},
		SortUpdated:  {Name: SortUpdated, Key: "updated", ID: "id", Kind: "is", Desc: true},
	}
	sort := cmp.Or(q.Sort, SortRisk)
	o, ok := order[sort]
	if !ok {
		return nil, "", fmt.Errorf("%w: sort %q is none of risk, deadline, draw, size, updated", ErrInvalid, store.Cut(q.Sort, 40))
	}
	return campaigns().Page(ctx, s.db, w, o, q.Page)
}

func (s *Store) selected(ctx context.Context, q CampaignQuery) (w store.Where, err error) {
	store.In(&w, "state", q.State)
	if len(q.Stage) == 0 {
		w.And("stage <> 'linked'")
	}
	store.In(&w, "stage", q.Stage)
	if q.Assignee == "none" {
		w.And("assignee = ''")
	} else {
		w.Equal("assignee", q.Assignee)
	}
	if q.Label != "" {
		quoted, _ := json.Marshal(q.Label) // a string always marshals
		w.And("lower(labels) LIKE ? ESCAPE '!'", store.Like(string(quoted)))
	}
	if q.Text != "" {
		err = s.holding(ctx, &w, q.Text)
	}
	if q.Listed {
		w.And("gone IS NULL")
	}
	return w, err
}

// CountCampaigns says how many campaigns q selects on all pages.
func (s *Store) CountCampaigns(ctx context.Context, q CampaignQuery) (int64, error) {
	w, err := s.selected(ctx, q)
	if err != nil {
		return 0, err
	}
	return campaigns().Count(ctx, s.db, w)
}

// GetCampaign gives a campaign without Accounts and Detail.
func (s *Store) GetCampaign(ctx context.Context, id string) (Campaign, error) {
	return campaigns().Get(ctx, s.db, "WHERE id = ?", id)
}

// WholeCampaign gives a campaign with Accounts and Detail.
func (s *Store) WholeCampaign(ctx context.Context, id string) (Campaign, error) {
	var out Campaign
	err := s.db.View(ctx, func(tx *store.DB) (err error) {
		if out, err = campaigns().Get(ctx, tx, "WHERE id = ?", id); err != nil {
			return err
		}
		var data []byte
		if err := tx.Row(ctx, "SELECT x.data FROM campaigns c JOIN details x ON x.digest = c.detail WHERE c.id = ?", []any{id}, &data); err != nil {
			return err
		}
		out.Campaign, err = s.unpacked(data)
		return err
	})
	return out, err
}

// PutCampaign stores what people say of a campaign: State, Resolution, Assignee, Deadline and Labels. All else of c is the
// detector's and is not written. It gives the campaign as it is now. ErrConflict when c.Revision is not the stored one.
func (s *Store) PutCampaign(ctx context.Context, c Campaign) (Campaign, error) {
	if err := c.Check(); err != nil {
		return Campaign{}, invalid(err)
	}
	if c.Labels == nil {
		c.Labels = []string{}
	}
	err := s.db.Update(ctx, func(tx *store.DB) error {
		now, err := foundTable().Get(ctx, tx, "WHERE id = ?", c.ID)
		if err != nil {
			return err
		}
		was := c.Revision
		now.State, now.Resolution, now.Assignee, now.Deadline, now.Labels = c.State, c.Resolution, c.Assignee, c.Deadline, c.Labels
		now.Revision, now.Updated = was+1, time.Now().UTC()
		if err := foundTable().Change(ctx, tx, now, c.ID, was); err != nil {
			return err
		}
		if err := texts.Save(ctx, tx, []texts.Searched{{Campaign: now.ID, Text: record.Searched(now.ID, now.Labels, now.Evidence)}}); err != nil {
			return err
		}
		c, err = campaigns().Get(ctx, tx, "WHERE id = ?", c.ID)
		return err
	})
	return c, err
}

// The orders of ListMembers: largest first, SortID ascending.
const (
	SortMembership = "membership"
	SortExchanges  = "exchanges"
	SortID         = "id"
)

// MemberQuery selects members of a campaign.
type MemberQuery struct {
	Page
	Campaign string // must be given
	Family   palladium.Family
	Token    string // label of a piece of evidence: those that hold it
	Text     string // beginning of an account id
	Sort     string // SortMembership (when empty), SortDraw, SortExchanges or SortID
}

// ListMembers gives members of a campaign.
func (s *Store) ListMembers(ctx context.Context, q MemberQuery) ([]Membership, string, error) {
	w, err := q.where()
	if err != nil {
		return nil, "", err
	}
	order := map[string]store.Order{
		SortMembership: {Name: SortMembership, Key: "membership", ID: "account", Kind: "fs", Desc: true},
		SortDraw:       {Name: SortDraw, Key: "tokens_output", ID: "account", Kind: "is", Desc: true},
		SortExchanges:  {Name: SortExchanges, Key: "exchanges", ID: "account", Kind: "is", Desc: true},
		SortID:         {Name: SortID, ID: "account", Kind: "s"},
	}
	o, ok := order[cmp.Or(q.Sort, SortMembership)]
	if !ok {
		return nil, "", fmt.Errorf("%w: sort %q is none of membership, draw, exchanges, id", ErrInvalid, store.Cut(q.Sort, 40))
	}
	c, err := s.GetCampaign(ctx, q.Campaign)
	if err != nil {
		return nil, "", err
	}
	out, next, err := members().Page(ctx, s.db, w, o, q.Page)
	for i := range out {
		complete(&out[i], c.Stage)
	}
	return out, next, err
}

func (q *MemberQuery) where() (w store.Where, err error) {
	if q.Campaign == "" {
		return w, fmt.Errorf("%w: members are those of a campaign: name it", ErrInvalid)
	}
	w.And("campaign = ?", q.Campaign)
	if q.Family != "" {
		w.And("(families & ?) <> 0", record.Bits([]palladium.Family{q.Family}))
	}
	if q.Token != "" {
		w.And("account IN (SELECT account FROM links WHERE campaign = ? AND token = ?)", q.Campaign, q.Token)
	}
	if q.Text != "" {
		w.Begins("account", q.Text)
	}
	return w, nil
}

// complete puts in what is not stored.
func complete(m *Membership, stage palladium.Stage) {
	m.Stage, m.Families = stage, []palladium.Family{}
	for _, e := range m.Evidence {
		m.Families = append(m.Families, e.Family)
	}
}

// CountMembers says how many members q selects on all pages.
func (s *Store) CountMembers(ctx context.Context, q MemberQuery) (int64, error) {
	w, err := q.where()
	if err != nil {
		return 0, err
	}
	return members().Count(ctx, s.db, w)
}

// Memberships gives the campaigns to which an account belongs, by campaign.
func (s *Store) Memberships(ctx context.Context, account string) ([]Membership, error) {
	var out []Membership
	err := s.db.View(ctx, func(tx *store.DB) (err error) {
		if out, err = members().All(ctx, tx, "WHERE account = ? ORDER BY campaign", account); err != nil {
			return err
		}
		for i := range out {
			c, err := campaigns().Get(ctx, tx, "WHERE id = ?", out[i].Campaign)
			if err != nil {
				return err
			}
			complete(&out[i], c.Stage)
		}
		return nil
	})
	return out, err
}

// ListHoldings gives each piece of evidence that an account holds, strongest first.
func (s *Store) ListHoldings(ctx context.Context, account string, p Page) ([]Holding, string, error) {
	var w store.Where
	w.And("account = ?", account)
	t := store.Table[Holding]{Name: "links", Bind: func(c *store.Columns, v *Holding) {
		c.Key("campaign", &v.Campaign)
		c.Key("account", &v.Account)
		c.Key("token", &v.Token)
		c.Value("family", &v.Family)
		c.Value("weight", &v.Weight)
	}}
	out, next, err := t.Page(ctx, s.db, w, store.Order{Name: "holdings", Key: "weight", ID: "campaign || ' ' || family || ' ' || token", Kind: "fs", Desc: true}, p)
	for i := range out {
		h := &out[i]
		if err != nil {
			break
		}
		err = s.db.Row(ctx, "SELECT count(*) FROM links WHERE campaign = ? AND family = ? AND token = ? AND account <> ?",
			[]any{h.Campaign, string(h.Family), h.Token, account}, &h.Others)
	}
	return out, next, err
}

// AddLabel stores a label; ErrConflict when its id is taken.
func (s *Store) AddLabel(ctx context.Context, l Label) error {
	return s.db.Update(ctx, func(tx *store.DB) error { return labels().Insert(ctx, tx, l) })
}

// ListLabels gives labels, newest first; of one campaign when it is not empty.
func (s *Store) ListLabels(ctx context.Context, campaign string, p Page) ([]Label, string, error) {
	var w store.Where
	w.Equal("campaign", campaign)
	return labels().Page(ctx, s.db, w, newest("at"), p)
}
