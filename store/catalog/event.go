package catalog

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/palladium-guard/palladium/store"
)

// Event is a line of the history of everything. Seq rises by one from event to event, without gaps, in the order in which
// they became visible.
type Event struct {
	Seq         int64           `json:"seq"`
	At          time.Time       `json:"at"`
	Actor       string          `json:"actor"`          // user id, policy:REVISION, token:ID or system
	Kind        string          `json:"kind"`           // such as decision.made
	Subject     string          `json:"subject"`        // kind:ID of what it is about
	Refs        []string        `json:"refs,omitempty"` // further subjects in whose history it stands, such as campaign:ID
	Data        json.RawMessage `json:"data"`
	LedgerIndex int64           `json:"ledger_index"` // -1 for none
}

// Append stores events in one transaction and sets their Seq.
func (s *Store) Append(ctx context.Context, events ...*Event) error {
	if len(events) == 0 {
		return nil
	}
	return s.db.Update(ctx, func(tx *store.DB) error {
		last, err := bump(ctx, tx, "events", int64(len(events)))
		if err != nil {
			return err
		}
		rows, refs := make([]Event, len(events)), []eventRef{}
		for i, e := range events {
			e.Seq = last - int64(len(events)-1-i)
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
			store.Int(c, "seq", &v.seq)
		}}
		return t.Insert(ctx, tx, refs...)
	})
}

// EventsAfter gives up to limit events after seq, oldest first. What it has not given when it returns will have a larger Seq.
func (s *Store) EventsAfter(ctx context.Context, seq int64, limit int) ([]Event, error) {
	return eventTable().All(ctx, s.db, "WHERE seq > ? ORDER BY seq LIMIT ?", seq, min(max(limit, 0), 10_000))
}

// LastEvent gives the Seq of the newest event, 0 when there is none.
func (s *Store) LastEvent(ctx context.Context) (int64, error) {
	return number(ctx, s.db, "events")
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

// Delivery is one event on its way to one sink. A sink gets an event once: (Sink, Event) is unique.
type Delivery struct {
	ID        string     `json:"id"`
	Sink      string     `json:"sink"`
	Event     string     `json:"event"` // what is told: an event's number, or a key of the notifier's own
	Attempts  int        `json:"attempts"`
	Next      time.Time  `json:"next"` // not before
	Done      *time.Time `json:"done"`
	Dead      bool       `json:"dead"` // given up
	LastError string     `json:"last_error"`
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
	var w store.Where
	w.Equal("sink", q.Sink)
	if q.Dead {
		w.And("dead = TRUE")
	}
	if q.Open {
		w.And("done IS NULL AND dead = FALSE")
	}
	return deliveries().Page(ctx, s.db, w, newest("next"), q.Page)
}

// Mark gives a named number that was kept, 0 when there is none: how far a reader of events or of the stream has come.
func (s *Store) Mark(ctx context.Context, name string) (int64, error) {
	return number(ctx, s.db, "mark:"+name)
}

// SetMark keeps a named number.
func (s *Store) SetMark(ctx context.Context, name string, value int64) error {
	return s.db.Update(ctx, func(tx *store.DB) error { return setNumber(ctx, tx, "mark:"+name, value) })
}

type eventRef struct {
	subject string
	seq     int64
}

func eventTable() store.Table[Event] {
	return store.Table[Event]{Name: "events", Bind: func(c *store.Columns, v *Event) {
		store.Int(c, "seq", &v.Seq)
		c.Time("at", &v.At)
		c.Text("actor", &v.Actor)
		c.Text("kind", &v.Kind)
		c.Text("subject", &v.Subject)
		store.List(c, "refs", &v.Refs)
		c.Raw("data", &v.Data)
		store.Int(c, "ledger_index", &v.LedgerIndex)
	}}
}

func deliveries() store.Table[Delivery] {
	return store.Table[Delivery]{Name: "deliveries", Bind: func(c *store.Columns, v *Delivery) {
		c.Key("id", &v.ID)
		c.Key("sink", &v.Sink)
		c.Key("event", &v.Event)
		store.Int(c, "attempts", &v.Attempts)
		c.Time("next", &v.Next)
		c.Maybe("done", &v.Done)
		c.Bool("dead", &v.Dead)
		c.Text("last_error", &v.LastError)
	}}
}
