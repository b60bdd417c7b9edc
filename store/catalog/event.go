package catalog

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/palladium-guard/palladium/store"
)

// Append stores events in one transaction and sets their Seq. An event about a decision, an approval, a verdict, an appeal or a case
// stands in the history of the campaign that it concerns too: where its Refs do not name the campaign, they do afterwards.
func (s *Store) Append(ctx context.Context, events ...*Event) error {
	if len(events) == 0 {
		return nil
	}
	return s.db.Update(ctx, func(tx *store.DB) error {
		last, err := tx.Bump(ctx, "events", int64(len(events)))
		if err != nil {
			return err
		}
		rows, refs := make([]Event, len(events)), []eventRef{}
		for i, e := range events {
			e.Seq = last - int64(len(events)-1-i)
			if err := concern(ctx, tx, e); err != nil {
				return err
			}
			rows[i] = *e
			subjects := append([]string{e.Subject}, e.Refs...)
			for j, subject := range subjects {
				if subject != "" && slices.Index(subjects, subject) == j {
					refs = append(refs, eventRef{subject, e.Seq})
				}
			}
		}
		if err := eventTable().Insert(ctx, tx, rows...); err != nil {
			return err
		}
		t := store.Table[eventRef]{Name: "event_refs", Bind: func(c *store.Columns, v *eventRef) {
			c.Key("subject", &v.subject)
			c.Value("seq", &v.seq)
		}}
		return t.Insert(ctx, tx, refs...)
	})
}

// concern adds the campaign to the Refs of an event, unless it is there, or the event tells of no change.
func concern(ctx context.Context, tx *store.DB, e *Event) error {
	if CampaignOf(e) != "" || strings.HasPrefix(e.Kind, "read.") {
		return nil
	}
	for _, subject := range append([]string{e.Subject}, e.Refs...) {
		kind, id, _ := strings.Cut(subject, ":")
		query := map[string]string{
			"decision": "SELECT campaign FROM decisions WHERE id = ?",
			"verdict":  "SELECT campaign FROM verdicts WHERE id = ?",
			"case":     "SELECT campaign FROM cases WHERE id = ?",
			"appeal":   "SELECT campaign FROM decisions WHERE id = (SELECT decision FROM appeals WHERE id = ?)",
			"approval": "SELECT campaign FROM decisions WHERE id = (SELECT substr(subject, 10) FROM approvals WHERE id = ? AND subject LIKE 'decision:%')",
		}[kind]
		if query == "" {
			continue
		}
		var campaign string
		err := tx.Row(ctx, query, []any{id}, &campaign)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if campaign != "" {
			e.Refs = append(slices.Clip(e.Refs), "campaign:"+campaign)
			return nil
		}
	}
	return nil
}

// CampaignOf gives the campaign that an event concerns, "" for none.
func CampaignOf(e *Event) string {
	for _, subject := range append([]string{e.Subject}, e.Refs...) {
		if id, ok := strings.CutPrefix(subject, "campaign:"); ok {
			return id
		}
	}
	return ""
}

// EventsAfter gives up to limit events after seq, oldest first. What it has not given when it returns will have a larger Seq.
func (s *Store) EventsAfter(ctx context.Context, seq int64, limit int) ([]Event, error) {
	return eventTable().All(ctx, s.db, "WHERE seq > ? ORDER BY seq LIMIT ?", seq, min(max(limit, 0), 10_000))
}

// LastEvent gives the Seq of the newest event, 0 when there is none.
func (s *Store) LastEvent(ctx context.Context) (int64, error) {
	return s.db.Number(ctx, "events")
}

// EventQuery selects events. An empty field selects all.
type EventQuery struct {
	Page
	Subject string // in Subject or Refs
	Kind    []string
	Actor   string
}

// ListEvents gives events, newest first.
func (s *Store) ListEvents(ctx context.Context, q EventQuery) ([]Event, string, error) {
	var w store.Where
	if q.Subject != "" {
		w.And("seq IN (SELECT seq FROM event_refs WHERE subject = ?)", q.Subject)
	}
	store.In(&w, "kind", q.Kind)
	w.Equal("actor", q.Actor)
	return eventTable().Page(ctx, s.db, w, store.Order{Name: "events", ID: "seq", Kind: "i", Desc: true}, q.Page)
}

// AddDeliveries stores those that are not there yet, by Sink and Event, and says how many they were.
func (s *Store) AddDeliveries(ctx context.Context, d []Delivery) (int, error) {
	n := int64(0)
	err := s.db.Update(ctx, func(tx *store.DB) (err error) {
		n, err = deliveries().Save(ctx, tx, "ON CONFLICT (sink, event) DO NOTHING", d...)
		return err
	})
	return int(n), err
}

// ClaimDeliveries gives up to limit deliveries that are due at now, the longest due first, and sets their Next to now+lease,
// so that no other process takes them meanwhile. An empty sink stands for all.
func (s *Store) ClaimDeliveries(ctx context.Context, sink string, now time.Time, lease time.Duration, limit int) ([]Delivery, error) {
	var out []Delivery
	err := s.db.Update(ctx, func(tx *store.DB) (err error) {
		var w store.Where
		w.And("done IS NULL AND dead = FALSE AND next <= ?", now.UnixMilli())
		w.Equal("sink", sink)
		clause, args := w.Clause()
		out, err = deliveries().All(ctx, tx, clause+" ORDER BY next, id LIMIT ?", append(args, min(max(limit, 0), store.MaxPage))...)
		if err != nil || len(out) == 0 {
			return err
		}
		for i := range out {
			out[i].Next = now.Add(lease)
		}
		return deliveries().Upsert(ctx, tx, "id", out)
	})
	return out, err
}

// PutDelivery stores how a delivery stands, by ID; ErrNotFound when there is none.
func (s *Store) PutDelivery(ctx context.Context, d Delivery) error {
	return s.db.Update(ctx, func(tx *store.DB) error {
		n, err := deliveries().Set(ctx, tx, d, "id = ?", d.ID)
		if err == nil && n == 0 {
			err = ErrNotFound
		}
		return err
	})
}

// DeliveryQuery selects deliveries. An empty field selects all.
type DeliveryQuery struct {
	Page
	Sink string
	Dead bool // only those given up
	Open bool // only those neither done nor given up
}

// ListDeliveries gives deliveries by Next, latest first.
func (s *Store) ListDeliveries(ctx context.Context, q DeliveryQuery) ([]Delivery, string, error) {
	return deliveries().Page(ctx, s.db, q.where(), newest("next"), q.Page)
}

// CountDeliveries says how many deliveries q selects on all pages.
func (s *Store) CountDeliveries(ctx context.Context, q DeliveryQuery) (int64, error) {
	return deliveries().Count(ctx, s.db, q.where())
}

func (q *DeliveryQuery) where() (w store.Where) {
	w.Equal("sink", q.Sink)
	if q.Dead {
		w.And("dead = TRUE")
	}
	if q.Open {
		w.And("done IS NULL AND dead = FALSE")
	}
	return w
}

// Mark gives a named number that was kept, 0 when there is none: how far a reader of events or of the stream has come.
func (s *Store) Mark(ctx context.Context, name string) (int64, error) {
	return s.db.Number(ctx, "mark:"+name)
}

// SetMark keeps a named number.
func (s *Store) SetMark(ctx context.Context, name string, value int64) error {
	return s.db.Update(ctx, func(tx *store.DB) error { return tx.SetNumber(ctx, "mark:"+name, value) })
}

type eventRef struct {
	subject string
	seq     int64
}
