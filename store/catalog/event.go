package catalog

import (
	"context"
	"encoding/json"
	"time"
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
func (s *Store) Append(ctx context.Context, events ...*Event) error { return errNotBuilt }

// EventsAfter gives up to limit events after seq, oldest first. What it has not given when it returns will have a larger Seq.
func (s *Store) EventsAfter(ctx context.Context, seq int64, limit int) ([]Event, error) {
	return nil, errNotBuilt
}

// LastEvent gives the Seq of the newest event, 0 when there is none.
func (s *Store) LastEvent(ctx context.Context) (int64, error) { return 0, errNotBuilt }

// EventQuery selects events. An empty field selects all.
type EventQuery struct {
	Page
	Subject string // in Subject or Refs
	Kind    []string
	Actor   string
}

// ListEvents gives events, newest first.
func (s *Store) ListEvents(ctx context.Context, q EventQuery) ([]Event, string, error) {
	return nil, "", errNotBuilt
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
func (s *Store) AddDeliveries(ctx context.Context, d []Delivery) (int, error) { return 0, errNotBuilt }

// ClaimDeliveries gives up to limit deliveries that are due at now, the longest due first, and sets their Next to now+lease,
// so that no other process takes them meanwhile. An empty sink stands for all.
func (s *Store) ClaimDeliveries(ctx context.Context, sink string, now time.Time, lease time.Duration, limit int) ([]Delivery, error) {
	return nil, errNotBuilt
}

// PutDelivery stores how a delivery stands, by ID; ErrNotFound when there is none.
func (s *Store) PutDelivery(ctx context.Context, d Delivery) error { return errNotBuilt }

// DeliveryQuery selects deliveries. An empty field selects all.
type DeliveryQuery struct {
	Page
	Sink string
	Dead bool // only those given up
	Open bool // only those neither done nor given up
}

// ListDeliveries gives deliveries by Next, latest first.
func (s *Store) ListDeliveries(ctx context.Context, q DeliveryQuery) ([]Delivery, string, error) {
	return nil, "", errNotBuilt
}

// Mark gives a named number that was kept, 0 when there is none: how far a reader of events or of the stream has come.
func (s *Store) Mark(ctx context.Context, name string) (int64, error) { return 0, errNotBuilt }

// SetMark keeps a named number.
func (s *Store) SetMark(ctx context.Context, name string, value int64) error { return errNotBuilt }
