package catalog

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/digest"
	"github.com/palladium-guard/palladium/store"
	"github.com/palladium-guard/palladium/store/catalog/record"
	"github.com/palladium-guard/palladium/store/links"
	"github.com/palladium-guard/palladium/store/texts"
)

// found is a campaign's row as a report writes it.
type found struct {
	Campaign
	digest string // of what the detector said: its row in details
}

func foundTable() store.Table[found] {
	return store.Table[found]{Name: "campaigns", Bind: func(c *store.Columns, v *found) {
		v.Campaign.Bind(c)
		c.Ref("detail", &v.digest)
		c.Derived("urgency", func() any {
			return record.Urgency(v.State != WorkResolved && v.State != WorkClosed, v.Deadline, v.Updated)
		})
	}}
}

// prior is what is known of a campaign before a report.
type prior struct {
	digest string
	stage  palladium.Stage
	peak   palladium.Stage
	trend  float64
	gone   bool
	labels []string
}

// PutReport stores what the detector says now, in one transaction: campaigns and linked groups with their members and links.
// What people did with them stays; those that are not in r stay too, with Gone set. What did not change since the report
// before costs a comparison of hashes. It appends the events campaign.found, campaign.staged, campaign.gone and campaign.back.
// Members whose id the catalog cannot hold (longer than 1000 bytes, not UTF-8, with a NUL) stand in WholeCampaign alone.
func (s *Store) PutReport(ctx context.Context, r *palladium.Report) (ReportChanges, error) {
	said := make([]found, 0, len(r.Campaigns)+len(r.Linked))
	for i := range r.Campaigns {
		said = append(said, found{Campaign{Campaign: r.Campaigns[i]}, digest.Of(&r.Campaigns[i])})
	}
	for i := range r.Linked {
		said = append(said, found{record.Linked(&r.Linked[i]), digest.Of(&r.Linked[i])})
	}
	for i := range said {
		c := &said[i]
		c.Size, c.Risk, c.Trend = len(c.Accounts), record.Risk(&c.Campaign.Campaign), record.Trend(c.Detail, r.Window.To)
	}
	var w *reporting
	err := s.db.Update(ctx, func(tx *store.DB) error {
		known, err := priors(ctx, tx)
		if err != nil {
			return err
		}
		w = &reporting{s: s.bound(tx), now: time.Now().UTC(), known: known}
		if err := w.take(ctx, said); err != nil {
			return err
		}
		if err := w.leave(ctx, said); err != nil {
			return err
		}
		if err := noteReport(ctx, tx, r); err != nil {
			return err
		}
		return w.s.Append(ctx, w.events...)
	})
	if err != nil {
		return ReportChanges{}, err
	}
	return w.out, nil
}

// reporting is one PutReport under way.
type reporting struct {
	s      *Store
	now    time.Time
	known  map[string]prior
	events []*Event
	out    ReportChanges
}

func (w *reporting) tell(kind, id string, data map[string]any) {
	text, _ := json.Marshal(data) // words and numbers: it cannot fail
	w.events = append(w.events, &Event{At: w.now, Actor: "system", Kind: kind, Subject: "campaign:" + id, Data: text, LedgerIndex: -1})
}

// take writes the campaigns of which anything is new.
func (w *reporting) take(ctx context.Context, said []found) error {
	tx := w.s.db
	var changed, fresh []found
	for i := range said {
		c := said[i]
		was, old := w.known[c.ID]
		c.Peak, c.Updated, c.Revision, c.State = c.Stage, w.now, 1, WorkNew
		if old && record.Rank(was.peak) > record.Rank(c.Stage) {
			c.Peak = was.peak
		}
		switch {
		case !old && c.Stage != palladium.StageLinked:
			w.out.Found = append(w.out.Found, c.ID)
			w.tell("campaign.found", c.ID, map[string]any{"stage": c.Stage, "accounts": len(c.Accounts)})
		case old && was.stage != c.Stage:
			w.out.Staged = append(w.out.Staged, Staged{ID: c.ID, From: was.stage, To: c.Stage})
			w.tell("campaign.staged", c.ID, map[string]any{"from": was.stage, "to": c.Stage, "accounts": len(c.Accounts)})
		case old && was.gone:
			w.tell("campaign.back", c.ID, map[string]any{"stage": c.Stage})
		}
		switch {
		case !old:
			fresh = append(fresh, c)
		case was.digest != c.digest || was.gone:
			changed = append(changed, c)
		case was.trend != c.Trend:
			if _, err := tx.Exec(ctx, "UPDATE campaigns SET trend = ? WHERE id = ?", c.Trend, c.ID); err != nil {
				return err
			}
		}
	}
	w.out.Wrote = len(fresh) + len(changed)
	if err := foundTable().Upsert(ctx, tx, "id", slices.Concat(fresh, changed), "revision", "state", "resolution", "assignee", "deadline", "labels", "urgency"); err != nil {
		return err
	}
	var shown []texts.Searched
	for _, c := range slices.Concat(fresh, changed) {
		shown = append(shown, texts.Searched{Campaign: c.ID, Text: record.Searched(c.ID, w.known[c.ID].labels, c.Evidence)})
	}
	if err := texts.Save(ctx, tx, shown); err != nil {
		return err
	}
	for _, c := range changed {
		if _, err := tx.Exec(ctx, `DELETE FROM details WHERE campaign = ? AND digest <> ? AND NOT EXISTS
			(SELECT 1 FROM decisions d WHERE d.detail = details.digest AND d.detail <> '')`, c.ID, c.digest); err != nil {
			return err
		}
	}
	var people []Membership
	var held []links.Link
	for _, c := range slices.Concat(fresh, changed) {
		_, old := w.known[c.ID]
		m, err := changedMembers(ctx, tx, &c.Campaign.Campaign, old)
		if err != nil {
			return err
		}
		l, err := links.Changed(ctx, tx, &c.Campaign.Campaign, old)
		if err != nil {
			return err
		}
		people, held = append(people, m...), append(held, l...)
	}
	if err := w.details(ctx, slices.Concat(fresh, changed)); err != nil {
		return err
	}
	if err := members().Upsert(ctx, tx, "campaign,account", people); err != nil {
		return err
	}
	if err := links.Save(ctx, tx, held); err != nil {
		return err
	}
	return countAccounts(ctx, tx, people)
}

// details writes what the detector said whole, a few at a time.
func (w *reporting) details(ctx context.Context, list []found) error {
	type detail struct {
		digest, campaign string
		data             []byte
	}
	t := store.Table[detail]{Name: "details", Bind: func(c *store.Columns, v *detail) {
		c.Key("digest", &v.digest)
		c.Key("campaign", &v.campaign)
		c.Value("data", &v.data)
	}}
	for part := range slices.Chunk(list, 64) {
		rows := make([]detail, len(part))
		for i := range part {
			c := &part[i]
			text, err := json.Marshal(&c.Campaign.Campaign)
			if err != nil {
				return fmt.Errorf("write campaign %s: %w", c.ID, err)
			}
			rows[i] = detail{c.digest, c.ID, w.s.zip.EncodeAll(text, nil)}
		}
		if _, err := t.Save(ctx, w.s.db, "ON CONFLICT (digest) DO NOTHING", rows...); err != nil {
			return err
		}
	}
	return nil
}

// leave marks the campaigns that the report no longer lists.
func (w *reporting) leave(ctx context.Context, said []found) error {
	listed := make(map[string]bool, len(said))
	for i := range said {
		listed[said[i].ID] = true
	}
	for id, was := range w.known {
		if !listed[id] && !was.gone {
			w.out.Gone = append(w.out.Gone, id)
		}
	}
	slices.Sort(w.out.Gone)
	for _, id := range w.out.Gone {
		w.tell("campaign.gone", id, map[string]any{"stage": w.known[id].stage})
		if _, err := w.s.db.Exec(ctx, "UPDATE campaigns SET gone = ?, updated = ? WHERE id = ?", w.now.UnixMilli(), w.now.UnixMilli(), id); err != nil {
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
	for _, n := range []struct {
		name  string
		value int64
	}{{"from", from}, {"to", to}, {"exchanges", r.Counts.Exchanges}, {"accounts", r.Counts.Accounts}, {"rejected", r.Counts.Rejected}} {
		if err := tx.SetNumber(ctx, "report:"+n.name, n.value); err != nil {
			return err
		}
	}
	return nil
}

func priors(ctx context.Context, tx *store.DB) (map[string]prior, error) {
	out := map[string]prior{}
	err := tx.Each(ctx, "SELECT id, detail, stage, peak, trend, gone IS NOT NULL, labels FROM campaigns", nil, func(rows *sql.Rows) error {
		var id string
		var p prior
		var labels []byte
		err := rows.Scan(&id, &p.digest, &p.stage, &p.peak, &p.trend, &p.gone, &labels)
		if err == nil && len(labels) > 2 {
			err = json.Unmarshal(labels, &p.labels)
		}
		out[id] = p
		return err
	})
	return out, err
}

// changedMembers gives the members that are not stored as they are, and takes out those that left.
func changedMembers(ctx context.Context, tx *store.DB, c *palladium.Campaign, old bool) ([]Membership, error) {
	was := map[string]int64{}
	if old {
		if err := tx.Each(ctx, "SELECT account, hash FROM members WHERE campaign = ?", []any{c.ID}, func(rows *sql.Rows) error {
			var id string
			var h int64
			err := rows.Scan(&id, &h)
			was[id] = h
			return err
		}); err != nil {
			return nil, err
		}
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
		h, stored := was[m.ID]
		delete(was, m.ID)
		if store.Storable(m.ID) && (!stored || h != memberHash(&v)) {
			changed = append(changed, v)
		}
	}
	for id := range was {
		if _, err := tx.Exec(ctx, "DELETE FROM members WHERE campaign = ? AND account = ?", c.ID, id); err != nil {
			return nil, err
		}
	}
	return lastOf(changed, func(m *Membership) string { return m.ID }), nil
}

// memberHash tells whether what the detector said of a member is what it said before.
func memberHash(v *Membership) int64 {
	return digest.Of64(&struct {
		Membership float64
		Detail     palladium.MemberDetail
	}{v.Membership, v.MemberDetail})
}

func (s *Store) unpacked(data []byte) (c palladium.Campaign, err error) {
	text, err := s.unzip.DecodeAll(data, nil)
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
		c.Campaign, err = s.unpacked(data)
		c.Size = len(c.Accounts)
		out = c
		return err
	})
	return out, err
}
