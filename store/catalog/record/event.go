package record

import (
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

// Bind ties each field to its column.
func (v *Event) Bind(c Columns) {
	c.Value("seq", &v.Seq)
	c.Value("at", &v.At)
	c.Value("actor", &v.Actor)
	c.Value("kind", &v.Kind)
	c.Value("subject", &v.Subject)
	c.Value("refs", &v.Refs)
	c.Value("data", &v.Data)
	c.Value("ledger_index", &v.LedgerIndex)
}

// Bind ties each field to its column.
func (v *Delivery) Bind(c Columns) {
	c.Key("id", &v.ID)
	c.Key("sink", &v.Sink)
	c.Key("event", &v.Event)
	c.Value("attempts", &v.Attempts)
	c.Value("next", &v.Next)
	c.Value("done", &v.Done)
	c.Value("dead", &v.Dead)
	c.Value("last_error", &v.LastError)
}
