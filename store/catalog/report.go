package catalog

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/digest"
	"github.com/palladium-guard/palladium/store"
)

// ReportChanges says what a report changed.
type ReportChanges struct {
	Found  []string // campaigns that were not known before, linked groups not among them
	Staged []Staged // campaigns whose stage changed
	Gone   []string // campaigns and linked groups that the report no longer lists
	Wrote  int      // campaigns and linked groups of which anything was written
}

// Staged is a change of stage.
type Staged struct {
	ID       string
	From, To palladium.Stage
}

// stored is a campaign's row as it is written.
type stored struct {
	Campaign
	digest string
}

func storedCampaigns() store.Table[stored] {
	return store.Table[stored]{Name: "campaigns", Bind: func(c *store.Columns, v *stored) {
		bindCampaign(c, &v.Campaign)
		c.Ref("detail", &v.digest)
		c.Derived("urgency", func() any {
			return urgency(v.State != WorkResolved && v.State != WorkClosed, v.Deadline, v.Updated)
		})
	}}
}

// prior is what is known of a campaign before a report.
type prior struct {
	digest string
	stage  palladium.Stage
	gone   bool
}

// PutReport stores what the detector says now, in one transaction: campaigns and linked groups with their members and links.
// What people did with them stays; those that are not in r stay too, with Gone set. What did not change since the report
// before costs a comparison of hashes. It appends the events campaign.found, campaign.staged and campaign.gone.
func (s *Store) PutReport(ctx context.Context, r *palladium.Report) (ReportChanges, error) {
	said := make([]stored, 0, len(r.Campaigns)+len(r.Linked))
	for i := range r.Campaigns {
		said = append(said, stored{Campaign{Campaign: r.Campaigns[i]}, digest.Of(&r.Campaigns[i])})
	}
	for i := range r.Linked {
		said = append(said, linked(&r.Linked[i]))
	}
	var out ReportChanges
	err := s.db.Update(ctx, func(tx *store.DB) error {
		out = ReportChanges{}
		known, err := priors(ctx, tx)
		if err != nil {
			return err
		}
		now := time.Now().UTC()
		var events []*Event
		tell := func(kind, id string, data any) error {
			text, err := json.Marshal(data)
			events = append(events, &Event{At: now, Actor: "system", Kind: kind, Subject: "campaign:" + id, Data: text, LedgerIndex: -1})
			return err
		}
		listed := make(map[string]bool, len(said))
		for i := range said {
			c := said[i]
			listed[c.ID] = true
			was, old := known[c.ID]
			if old && was.digest == c.digest && !was.gone {
				continue
			}
			out.Wrote++
			if err := writeCampaign(ctx, tx, &c, old, now); err != nil {
				return err
			}
			if !old && c.Stage != palladium.StageLinked {
				out.Found = append(out.Found, c.ID)
				err = tell("campaign.found", c.ID, map[string]any{"stage": c.Stage, "accounts": len(c.Accounts)})
			} else if old && was.stage != c.Stage {
				out.Staged = append(out.Staged, Staged{c.ID, was.stage, c.Stage})
				err = tell("campaign.staged", c.ID, map[string]any{"from": was.stage, "to": c.Stage, "accounts": len(c.Accounts)})
			}
			if err != nil {
				return err
			}
		}
		for id, was := range known {
			if !listed[id] && !was.gone {
				out.Gone = append(out.Gone, id)
			}
		}
		slices.Sort(out.Gone)
		for _, id := range out.Gone {
			if _, err := tx.Exec(ctx, "UPDATE campaigns SET gone = ?, updated = ? WHERE id = ?", now.UnixMilli(), now.UnixMilli(), id); err != nil {
				return err
			}
			if err := tell("campaign.gone", id, map[string]any{"stage": known[id].stage}); err != nil {
				return err
			}
		}
		return errorsOf(noteReport(ctx, tx, r), s.bound(tx).Append(ctx, events...))
	})
	return out, err
}

func errorsOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// noteReport keeps the window and the counts of the newest report.
func noteReport(ctx context.Context, tx *store.DB, r *palladium.Report) error {
	var from, to int64
	if !r.Window.To.IsZero() {
		from, to = r.Window.From.UnixMilli(), r.Window.To.UnixMilli()
	}
	for name, v := range map[string]int64{"report:from": from, "report:to": to, "report:exchanges": r.Counts.Exchanges, "report:accounts": r.Counts.Accounts,
		"report:rejected": r.Counts.Rejected} {
		if err := setNumber(ctx, tx, name, v); err != nil {
			return err
		}
	}
	return nil
}

func linked(l *palladium.Linked) stored {
	c := palladium.Campaign{ID: l.ID, Stage: palladium.StageLinked, OperatorP: 1, ExtractionP: 1, Accounts: l.Accounts, Detail: l.Detail}
	out := Campaign{WhyNot: l.WhyNotExtraction}
	if l.Detail != nil {
		out.Features = l.Detail.Features
		for i := range l.Detail.Members {
			m := &l.Detail.Members[i]
			c.Exchanges += m.Exchanges
			c.Tokens.Input, c.Tokens.Output, c.Tokens.Reasoning = c.Tokens.Input+m.Tokens.Input, c.Tokens.Output+m.Tokens.Output, c.Tokens.Reasoning+m.Tokens.Reasoning
			if c.First.IsZero() || !m.First.IsZero() && m.First.Before(c.First) {
				c.First = m.First
			}
			if m.Last.After(c.Last) {
				c.Last = m.Last
			}
		}
	}
	out.Campaign = c
	return stored{out, digest.Of(l)}
}

func priors(ctx context.Context, tx *store.DB) (map[string]prior, error) {
	out := map[string]prior{}
	err := tx.Each(ctx, "SELECT id, detail, stage, gone IS NOT NULL FROM campaigns", nil, func(rows *sql.Rows) error {
		var id string
		var p prior
		err := rows.Scan(&id, &p.digest, &p.stage, &p.gone)
		out[id] = p
		return err
	})
	return out, err
}

// writeCampaign writes all that the detector says of one campaign.
func writeCampaign(ctx context.Context, tx *store.DB, c *stored, old bool, now time.Time) error {
	c.Size, c.Updated, c.Peak = len(c.Accounts), now, c.Stage
	c.Risk, c.Trend = risk(&c.Campaign), trend(c.Detail)
	if old {
		was, err := storedCampaigns().Get(ctx, tx, "WHERE id = ?", c.ID)
		if err != nil {
			return err
		}
		c.Revision, c.State, c.Resolution, c.Assignee, c.Deadline, c.Labels = was.Revision, was.State, was.Resolution, was.Assignee, was.Deadline, was.Labels
		if stageRank(was.Peak) > stageRank(c.Stage) {
			c.Peak = was.Peak
		}
	} else {
		c.Revision, c.State, c.Labels = 1, WorkNew, []string{}
	}
	whole := c.Campaign.Campaign
	if err := storedCampaigns().Upsert(ctx, tx, "id", []stored{*c}); err != nil {
		return err
	}
	data, err := packed(&whole)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "INSERT INTO details (digest, campaign, data) VALUES (?, ?, ?) ON CONFLICT (digest) DO NOTHING", c.digest, c.ID, data); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "DELETE FROM details WHERE campaign = ? AND digest <> ? AND digest NOT IN (SELECT detail FROM decisions WHERE detail <> '')", c.ID, c.digest); err != nil {
		return err
	}
	if err := writeMembers(ctx, tx, &whole); err != nil {
		return err
	}
	return writeLinks(ctx, tx, &whole)
}

// stageRank is how far a stage is.
func stageRank(s palladium.Stage) int {
	return slices.Index([]palladium.Stage{palladium.StageLinked, palladium.StageWatch, palladium.StageReview, palladium.StageAct}, s)
}

// risk orders the queue, in [0,1]: by stage first, then by what was drawn. Half of what a stage leaves open is reached at a
// million output tokens.
func risk(c *Campaign) float64 {
	floor := map[palladium.Stage]float64{palladium.StageAct: 0.7, palladium.StageReview: 0.4, palladium.StageWatch: 0.1}[c.Stage]
	if c.Stage == palladium.StageLinked {
		return 0
	}
	out := float64(c.Tokens.Output)
	return floor + 0.3*out/(out+1e6)
}

// trend is the draw of the last 24 hours over that of the 24 hours before; 0 when unknown.
func trend(d *palladium.Detail) float64 {
	if d == nil || len(d.Timeline) == 0 {
		return 0
	}
	end := d.Timeline[len(d.Timeline)-1].Start
	var last, before float64
	for _, t := range d.Timeline {
		switch age := end.Sub(t.Start); {
		case age < 24*time.Hour:
			last += float64(t.Tokens.Output)
		case age < 48*time.Hour:
			before += float64(t.Tokens.Output)
		}
	}
	if before == 0 {
		return 0
	}
	return math.Min(last/before, 1e6)
}

// writeMembers writes the members that changed, and takes out those that left.
func writeMembers(ctx context.Context, tx *store.DB, c *palladium.Campaign) error {
	was := map[string]int64{}
	if err := tx.Each(ctx, "SELECT account, hash FROM members WHERE campaign = ?", []any{c.ID}, func(rows *sql.Rows) error {
		var id string
		var h int64
		err := rows.Scan(&id, &h)
		was[id] = h
		return err
	}); err != nil {
		return err
	}
	var changed []Membership
	for i, m := range c.Accounts {
		v := Membership{Campaign: c.ID, Membership: m.Membership}
		if c.Detail != nil && i < len(c.Detail.Members) && c.Detail.Members[i].ID == m.ID {
			v.MemberDetail = c.Detail.Members[i]
		}
		v.ID = m.ID
		for _, e := range v.Evidence {
			v.Families = append(v.Families, e.Family)
		}
		h, old := was[m.ID]
		delete(was, m.ID)
		if !old || h != v.hash() {
			changed = append(changed, v)
		}
	}
	changed = lastOf(changed, func(m *Membership) string { return m.ID })
	if err := members().Upsert(ctx, tx, "campaign,account", changed); err != nil {
		return err
	}
	for id := range was {
		if _, err := tx.Exec(ctx, "DELETE FROM members WHERE campaign = ? AND account = ?", c.ID, id); err != nil {
			return err
		}
	}
	return countAccounts(ctx, tx, changed)
}

func (m *Membership) hash() int64 {
	return digest.Of64(&struct {
		Membership float64
		Detail     palladium.MemberDetail
	}{m.Membership, m.MemberDetail})
}

// heldLink is a link with its campaign.
type heldLink struct {
	campaign string
	palladium.Link
}

func linkTable() store.Table[heldLink] {
	return store.Table[heldLink]{Name: "links", Bind: func(c *store.Columns, v *heldLink) {
		c.Key("campaign", &v.campaign)
		c.Key("account", &v.Account)
		c.Key("token", &v.Token)
		store.Named(c, "family", &v.Family)
		c.Float("weight", &v.Weight)
	}}
}

func writeLinks(ctx context.Context, tx *store.DB, c *palladium.Campaign) error {
	if _, err := tx.Exec(ctx, "DELETE FROM links WHERE campaign = ?", c.ID); err != nil || c.Detail == nil {
		return err
	}
	rows := make([]heldLink, len(c.Detail.Links))
	for i, l := range c.Detail.Links {
		rows[i] = heldLink{c.ID, l}
	}
	rows = lastOf(rows, func(l *heldLink) string { return string(l.Family) + "\x00" + l.Token + "\x00" + l.Account })
	return linkTable().Insert(ctx, tx, rows...)
}

// maxDetail bounds what is unpacked of one campaign, in bytes.
const maxDetail = 512 << 20

func packed(c *palladium.Campaign) ([]byte, error) {
	text, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("write campaign %s: %w", c.ID, err)
	}
	z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		return nil, err
	}
	return z.EncodeAll(text, nil), z.Close()
}

func unpacked(data []byte) (c palladium.Campaign, err error) {
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxDetail))
	if err != nil {
		return c, err
	}
	defer z.Close()
	text, err := z.DecodeAll(data, nil)
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err != nil {
		return c, fmt.Errorf("%w: what the detector said of a campaign: %w", store.ErrDamaged, err)
	}
	return c, nil
}

// EvidenceAt gives a campaign with Accounts and Detail as the detector saw it when the decision was made, and ErrNotFound
// for a decision without a campaign. State, Revision and what else people do is as it is now.
func (s *Store) EvidenceAt(ctx context.Context, decision string) (Campaign, error) {
	var out Campaign
	err := s.db.View(ctx, func(tx *store.DB) error {
		var campaign string
		var data []byte
		if err := tx.Row(ctx, "SELECT d.campaign, x.data FROM decisions d JOIN details x ON x.digest = d.detail WHERE d.id = ?", []any{decision}, &campaign, &data); err != nil {
			return err
		}
		c, err := s.bound(tx).GetCampaign(ctx, campaign)
		if err != nil {
			return err
		}
		c.Campaign, err = unpacked(data)
		c.Size = len(c.Accounts)
		out = c
		return err
	})
	return out, err
}
