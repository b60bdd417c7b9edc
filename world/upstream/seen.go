package upstream

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// SeenPath answers with the log of requests as a JSON list, oldest first: ?after=N leaves out requests up to number N,
// ?tag=T gives only those whose model, fault header or body names T.
const SeenPath = "/_upstream/seen"

// Outcome is how an exchange ended, as the upstream saw it.
type Outcome string

// The outcomes.
const (
	Running   Outcome = "running"
	Complete  Outcome = "complete"  // everything was sent
	Cancelled Outcome = "cancelled" // the caller left
	Refused   Outcome = "refused"   // answered with an error status
	Cut       Outcome = "cut"       // broken off by a fault
)

// Request is what the upstream saw of one exchange. It holds what the caller sent, credentials included: this is a tool
// for tests.
type Request struct {
	Number  int64       `json:"number"` // 1 for the first one
	Time    time.Time   `json:"time"`   // when its headers had arrived
	Ended   time.Time   `json:"ended,omitzero"`
	Method  string      `json:"method"`
	Path    string      `json:"path"` // with the query
	Proto   string      `json:"proto"`
	Host    string      `json:"host"`
	Remote  string      `json:"remote"` // address of the other end
	Header  http.Header `json:"header"`
	Size    int64       `json:"size"`   // bytes of the body
	Digest  string      `json:"digest"` // SHA-256 of the body, hexadecimal
	Body    []byte      `json:"body,omitempty"`
	Model   string      `json:"model"` // as asked for, with its fault
	Stream  bool        `json:"stream"`
	Status  int         `json:"status"` // 0 while there is none
	Tokens  int         `json:"tokens"` // sent so far
	Outcome Outcome     `json:"outcome"`
}

// log remembers the newest requests.
type log struct {
	mu      sync.Mutex
	limit   int
	number  int64
	ring    []*Request
	changed chan struct{} // closed at the next change; nil when nobody waits
}

func newLog(limit int) *log { return &log{limit: max(limit, 0)} }

func (l *log) open(r *http.Request) *Request {
	q := &Request{
		Time: time.Now(), Method: r.Method, Path: r.URL.RequestURI(), Proto: r.Proto, Host: r.Host, Remote: r.RemoteAddr,
		Header: r.Header, Outcome: Running,
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.number++
	q.Number = l.number
	switch {
	case l.limit == 0:
	case len(l.ring) < l.limit:
		l.ring = append(l.ring, q)
	default:
		l.ring[int((q.Number-1)%int64(l.limit))] = q
	}
	l.wake()
	return q
}

func (l *log) wake() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

func (l *log) update(q *Request, change func(*Request)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(q)
	l.wake()
}

// end notes how q ended; the first word stands.
func (l *log) end(q *Request, o Outcome) {
	l.update(q, func(q *Request) {
		if q.Outcome == Running {
			q.Outcome, q.Ended = o, time.Now()
		}
	})
}

// all returns a copy of what is remembered, oldest first.
func (l *log) all() []Request {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]Request, 0, len(l.ring))
	start := 0
	if len(l.ring) == l.limit && l.limit > 0 {
		start = int(l.number % int64(l.limit))
	}
	for i := range l.ring {
		out = append(out, *l.ring[(start+i)%len(l.ring)])
	}
	return out
}

// Seen returns the requests that are remembered, oldest first. Headers and bodies must not be changed.
func (s *Server) Seen() []Request { return s.log.all() }

// Await returns the first remembered request for which want is true, waiting for it until ctx is done.
func (s *Server) Await(ctx context.Context, want func(Request) bool) (Request, error) {
	for {
		s.log.mu.Lock()
		if s.log.changed == nil {
			s.log.changed = make(chan struct{})
		}
		changed := s.log.changed
		s.log.mu.Unlock()
		for _, q := range s.log.all() {
			if want(q) {
				return q, nil
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Request{}, ctx.Err()
		}
	}
}

func (s *Server) seen(w http.ResponseWriter, r *http.Request) {
	after, _ := strconv.ParseInt(r.URL.Query().Get("after"), 10, 64)
	tag := r.URL.Query().Get("tag")
	out := []Request{}
	for _, q := range s.log.all() {
		if q.Number > after && (tag == "" || q.names(tag)) {
			out = append(out, q)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(out)
}

func (q *Request) names(tag string) bool {
	return strings.Contains(q.Model, tag) || strings.Contains(q.Header.Get(FaultHeader), tag) || bytes.Contains(q.Body, []byte(tag))
}
