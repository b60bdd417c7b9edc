package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/palladium-guard/palladium/store/catalog"
)

// statement is what the ledger keeps of a request.
type statement struct {
	At        time.Time      `json:"at"`
	Request   string         `json:"request"`
	Actor     string         `json:"actor"`
	Role      Role           `json:"role,omitempty"`
	Session   string         `json:"session,omitempty"` // a hash of the cookie, its beginning
	Operation string         `json:"operation"`
	Path      string         `json:"path"`
	Query     string         `json:"query,omitempty"`
	Body      jsontext.Value `json:"body,omitempty"`
	SHA256    string         `json:"body_sha256,omitempty"` // where the body is not given
}

// maxBody is the longest body that a statement repeats; of others it has the digest.
const maxBody = 64 << 10

// record writes the request down before anything is done or shown. Requests that carry secrets are recorded without their
// body, not even as a digest; those with free text about people by its digest, so that the text can be erased.
func (q *Request) record() error {
	op := &q.op.Operation
	kind := KindAct
	switch {
	case op.Personal:
		kind = KindRead
		if q.index = q.s.seen.find(q); q.index >= 0 {
			return nil
		}
	case op.Public() || q.Method == http.MethodGet || op.Dry:
		return nil
	}
	st := q.statement()
	switch {
	case op.Secret || len(q.body) == 0:
	case op.Text || len(q.body) > maxBody:
		sum := sha256.Sum256(q.body)
		st.SHA256 = hex.EncodeToString(sum[:])
	default:
		st.Body = q.body
	}
	if err := q.append(kind, st); err != nil {
		return err
	}
	if kind == KindRead {
		if err := q.tell("read."+op.ID, "user:"+q.By.ID); err != nil {
			return err
		}
		q.s.seen.keep(q)
	}
	return nil
}

func (q *Request) statement() statement {
	session := q.By.Session
	return statement{At: q.Now, Request: q.ID, Actor: q.By.Actor(), Role: q.By.Role, Session: session[:min(16, len(session))],
		Operation: q.op.ID, Path: q.URL.Path, Query: q.URL.RawQuery}
}

func (q *Request) append(kind string, st statement) (err error) {
	body, err := jsonv2.Marshal(st, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return fmt.Errorf("word a statement of %s: %w", st.Operation, err)
	}
	if q.index, err = q.s.o.Ledger.Append(q.Context(), kind, body); err != nil {
		q.s.metrics.ledger.Inc()
		q.s.o.Log.Error("ledger takes no statement: nothing was done", "operation", st.Operation, "request", q.ID, "error", err)
		return Unavailable("the ledger takes no statement, so nothing was done or shown: see the health of the ledger")
	}
	return nil
}

// Record writes an act of a public operation down, once it is known who acts: sign-in, an appeal. Other operations are
// recorded before they begin.
func (q *Request) Record(by Principal) error {
	q.By = by
	st := q.statement()
	st.Query = "" // codes of identity providers
	return q.append(KindAct, st)
}

// Event returns a line for the history, to be appended in the transaction that makes the change.
func (q *Request) Event(kind, subject string, data any, refs ...string) *catalog.Event {
	e := &catalog.Event{At: q.Now, Actor: q.By.Actor(), Kind: kind, Subject: subject, Refs: refs, LedgerIndex: q.index}
	if data != nil {
		if text, err := jsonv2.Marshal(data); err == nil {
			e.Data = []byte(text)
		}
	}
	return e
}

func (q *Request) tell(kind, subject string) error {
	e := q.Event(kind, subject, map[string]string{"path": q.URL.Path})
	if err := q.s.o.Catalog.Append(q.Context(), e); err != nil {
		return fmt.Errorf("append to the history: %w", err)
	}
	return nil
}

// Ledgered returns the index of the request's statement, -1 when it has none.
func (q *Request) Ledgered() int64 { return q.index }

// Catalog returns the catalog that the API stands on.
func (q *Request) Catalog() *catalog.Store { return q.s.o.Catalog }

// Update makes a change together with its line of the history.
func (q *Request) Update(do func(ctx context.Context, tx *catalog.Store) (*catalog.Event, error)) error {
	return q.s.o.Catalog.Update(q.Context(), func(tx *catalog.Store) error {
		e, err := do(q.Context(), tx)
		if err != nil || e == nil {
			return err
		}
		return tx.Append(q.Context(), e)
	})
}

// again is for how long reading the same thing again, in the same session, stays one entry of the ledger.
const again = time.Minute

// readings remembers what was recently recorded as read.
type readings struct {
	last *lru.Cache[string, reading]
}

type reading struct {
	at    time.Time
	index int64
}

func newReadings() *readings {
	last, _ := lru.New[string, reading](1 << 14) // fails for sizes below one alone
	return &readings{last}
}

func (r *readings) key(q *Request) string {
	sum := sha256.Sum256(q.body)
	return q.By.ID + "\x00" + q.By.Session + "\x00" + q.By.Token + "\x00" + q.op.ID + "\x00" + q.URL.Path + "?" + q.URL.RawQuery + "\x00" + string(sum[:])
}

func (r *readings) find(q *Request) int64 {
	if v, ok := r.last.Get(r.key(q)); ok && q.Now.Sub(v.at) < again && !q.Now.Before(v.at) {
		return v.index
	}
	return -1
}

func (r *readings) keep(q *Request) { r.last.Add(r.key(q), reading{q.Now, q.index}) }
