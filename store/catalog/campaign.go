package catalog

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/store"
)

// The states of work on a campaign or a case.
const (
	WorkNew        = "new"
	WorkInProgress = "in_progress"
	WorkOnHold     = "on_hold"
	WorkResolved   = "resolved"
	WorkClosed     = "closed"
)

// The resolutions of a campaign or a case; empty while there is none.
const (
	ResolvedTruePositive  = "true_positive"
	ResolvedBenign        = "benign"
	ResolvedFalsePositive = "false_positive"
	ResolvedDuplicate     = "duplicate"
	ResolvedAccepted      = "accepted"
)

// Campaign is what the detector last said of a group, and what people did with it. Groups under one operator whose use is
// not extraction are campaigns of palladium.StageLinked.
//
// Revision, and with it ErrConflict, counts what people change. What the detector says may change under one Revision;
// Updated moves with both.
type Campaign struct {
	palladium.Campaign                     // Accounts and Detail only from WholeCampaign
	Revision           int64               `json:"revision"`
	Updated            time.Time           `json:"updated"`
	Risk               float64             `json:"risk"`     // 0..1, orders the queue
	Trend              float64             `json:"trend"`    // draw of the last 24 h over that of the 24 h before; 0 when unknown
	Size               int                 `json:"size"`     // accounts
	Peak               palladium.Stage     `json:"peak"`     // the highest stage it ever had
	Gone               *time.Time          `json:"gone"`     // since when the detector no longer lists it
	WhyNot             string              `json:"why_not"`  // linked groups: why it is not extraction
	Features           []palladium.Feature `json:"features"` // linked groups only; else in Detail

	State      string     `json:"state"`
	Resolution string     `json:"resolution"`
	Assignee   string     `json:"assignee"` // user id
	Deadline   *time.Time `json:"deadline"`
	Labels     []string   `json:"labels"`
}

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
	w := q.where()
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

func (q *CampaignQuery) where() store.Where {
	var w store.Where
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
		like := store.Like(q.Text)
		w.And("(lower(id) LIKE ? ESCAPE '!' OR lower(labels) LIKE ? ESCAPE '!' OR lower(evidence) LIKE ? ESCAPE '!' OR "+
			"id IN (SELECT campaign FROM members WHERE account >= ? AND account < ?))", like, like, like, q.Text, q.Text+"\U0010FFFF")
	}
	if q.Listed {
		w.And("gone IS NULL")
	}
	return w
}

// CountCampaigns says how many campaigns q selects on all pages.
func (s *Store) CountCampaigns(ctx context.Context, q CampaignQuery) (int64, error) {
	return campaigns().Count(ctx, s.db, q.where())
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
		out.Campaign, err = unpacked(data)
		return err
	})
	return out, err
}

// PutCampaign stores what people say of a campaign: State, Resolution, Assignee, Deadline and Labels. All else of c is the
// detector's and is not written. It gives the campaign as it is now. ErrConflict when c.Revision is not the stored one.
func (s *Store) PutCampaign(ctx context.Context, c Campaign) (Campaign, error) {
	if err := errors.Join(oneOf("state", c.State, works()), oneOf("resolution", c.Resolution, resolutions())); err != nil {
		return Campaign{}, err
	}
	if c.Labels == nil {
		c.Labels = []string{}
	}
	err := s.db.Update(ctx, func(tx *store.DB) error {
		now, err := storedCampaigns().Get(ctx, tx, "WHERE id = ?", c.ID)
		if err != nil {
			return err
		}
		was := c.Revision
		now.State, now.Resolution, now.Assignee, now.Deadline, now.Labels = c.State, c.Resolution, c.Assignee, c.Deadline, c.Labels
		now.Revision, now.Updated = was+1, time.Now().UTC()
		if err := storedCampaigns().Change(ctx, tx, now, c.ID, was); err != nil {
			return err
		}
		c, err = campaigns().Get(ctx, tx, "WHERE id = ?", c.ID)
		return err
	})
	return c, err
}

// Membership is an account's place in a campaign.
type Membership struct {
	Campaign               string             `json:"campaign"`
	Stage                  palladium.Stage    `json:"stage"` // of the campaign
	Membership             float64            `json:"membership"`
	palladium.MemberDetail                    // ID is the account; zero but for ID where the detector gave no detail
	Families               []palladium.Family `json:"families"` // of Evidence
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
		out[i].complete(c.Stage)
	}
	return out, next, err
}

func (q *MemberQuery) where() (w store.Where, err error) {
	if q.Campaign == "" {
		return w, fmt.Errorf("%w: members are those of a campaign: name it", ErrInvalid)
	}
	w.And("campaign = ?", q.Campaign)
	if q.Family != "" {
		w.And("(families & ?) <> 0", familyBits([]palladium.Family{q.Family}))
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
func (m *Membership) complete(stage palladium.Stage) {
	m.Stage, m.Families = stage, []palladium.Family{}
	for _, e := range m.Evidence {
		m.Families = append(m.Families, e.Family)
	}
}

// familyBits has one bit for each family, in the order of palladium.Families.
func familyBits(list []palladium.Family) (bits int64) {
	for i, f := range palladium.Families() {
		if slices.Contains(list, f) {
			bits |= 1 << i
		}
	}
	return bits
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
			out[i].complete(c.Stage)
		}
		return nil
	})
	return out, err
}

// Holding is a piece of evidence that an account holds in a campaign.
type Holding struct {
	Campaign string `json:"campaign"`
	palladium.Link
	Others int `json:"others"` // other members of the campaign that hold it
}

// ListHoldings gives each piece of evidence that an account holds, strongest first.
func (s *Store) ListHoldings(ctx context.Context, account string, p Page) ([]Holding, string, error) {
	var w store.Where
	w.And("account = ?", account)
	t := store.Table[Holding]{Name: "links", Bind: func(c *store.Columns, v *Holding) {
		c.Key("campaign", &v.Campaign)
		c.Key("account", &v.Account)
		c.Key("token", &v.Token)
		store.Named(c, "family", &v.Family)
		c.Float("weight", &v.Weight)
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

// Label is a person's word on whether accounts belong to an extraction; it feeds the calibration.
type Label struct {
	ID       string    `json:"id"`
	Campaign string    `json:"campaign"`
	Accounts []string  `json:"accounts"`
	Benign   bool      `json:"benign"`
	Why      string    `json:"why"`
	By       string    `json:"by"`
	At       time.Time `json:"at"`
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

func campaigns() store.Table[Campaign] {
	return store.Table[Campaign]{Name: "campaigns", Bind: bindCampaign}
}

// bindCampaign ties all that lists hold.
func bindCampaign(c *store.Columns, v *Campaign) {
	c.Key("id", &v.ID)
	store.Int(c, "revision", &v.Revision)
	c.Time("updated", &v.Updated)
	store.Named(c, "stage", &v.Stage)
	store.Named(c, "peak", &v.Peak)
	c.Float("operator_p", &v.OperatorP)
	c.Float("extraction_p", &v.ExtractionP)
	c.Time("first", &v.First)
	c.Time("last", &v.Last)
	c.Maybe("detected_at", &v.DetectedAt)
	store.Int(c, "exchanges", &v.Exchanges)
	store.Int(c, "exchanges_before_detection", &v.ExchangesBeforeDetection)
	store.Int(c, "tokens_input", &v.Tokens.Input)
	store.Int(c, "tokens_output", &v.Tokens.Output)
	store.Int(c, "tokens_reasoning", &v.Tokens.Reasoning)
	store.List(c, "evidence", &v.Evidence)
	store.List(c, "counter_evidence", &v.CounterEvidence)
	store.List(c, "techniques", &v.Techniques)
	c.Float("risk", &v.Risk)
	c.Float("trend", &v.Trend)
	store.Int(c, "size", &v.Size)
	c.Maybe("gone", &v.Gone)
	c.Text("why_not", &v.WhyNot)
	store.List(c, "features", &v.Features)
	c.Text("state", &v.State)
	c.Text("resolution", &v.Resolution)
	c.Ref("assignee", &v.Assignee)
	c.Maybe("deadline", &v.Deadline)
	store.List(c, "labels", &v.Labels)
}

func members() store.Table[Membership] {
	return store.Table[Membership]{Name: "members", Bind: func(c *store.Columns, v *Membership) {
		c.Key("campaign", &v.Campaign)
		c.Key("account", &v.ID)
		c.Float("membership", &v.Membership)
		store.Int(c, "exchanges", &v.Exchanges)
		store.Int(c, "tokens_input", &v.Tokens.Input)
		store.Int(c, "tokens_output", &v.Tokens.Output)
		store.Int(c, "tokens_reasoning", &v.Tokens.Reasoning)
		c.Known("first", &v.First)
		c.Known("last", &v.Last)
		store.List(c, "evidence", &v.Evidence)
		c.Derived("families", func() any { return familyBits(v.Families) })
		c.Derived("hash", func() any { return v.hash() })
	}}
}

func labels() store.Table[Label] {
	return store.Table[Label]{Name: "labels", Bind: func(c *store.Columns, v *Label) {
		c.Key("id", &v.ID)
		c.Ref("campaign", &v.Campaign)
		store.List(c, "accounts", &v.Accounts)
		c.Bool("benign", &v.Benign)
		c.Text("why", &v.Why)
		c.Ref("author", &v.By)
		c.Time("at", &v.At)
	}}
}
