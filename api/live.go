package api

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/palladium-guard/palladium/store/catalog"
)

const (
	streamsEach = 8   // open streams of one user
	streamsAll  = 512 // of all users together
	heartbeat   = 15 * time.Second
	eventsOnce  = 200 // read from the catalog at once
)

// audience counts open streams by user.
type audience struct {
	mu    sync.Mutex
	open  map[string]int
	all   int
	ended bool
	end   chan struct{} // closed when all streams are to end
}

func newAudience() *audience { return &audience{open: map[string]int{}, end: make(chan struct{})} }

// Close ends all streams, so that an HTTP server that is shut down need not wait for them; see http.Server.RegisterOnShutdown.
// Other requests are not touched.
func (s *Server) Close() {
	s.live.mu.Lock()
	defer s.live.mu.Unlock()
	if !s.live.ended {
		s.live.ended = true
		close(s.live.end)
	}
}

// enter counts one stream more, unless there are enough.
func (a *audience) enter(user string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.open[user] >= streamsEach || a.all >= streamsAll {
		return false
	}
	a.open[user]++
	a.all++
	return true
}

func (a *audience) leave(user string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all--
	if a.open[user]--; a.open[user] <= 0 {
		delete(a.open, user)
	}
}

// stream sends the history as it grows, without what its lines say of accounts.
func (s *Server) stream(q *Request) (*Answer, error) {
	after := q.Int("after", -1)
	if last := q.Int("Last-Event-ID", -1); last >= 0 {
		after = last
	}
	if after < 0 {
		var err error
		if after, err = s.o.Catalog.LastEvent(q.Context()); err != nil {
			return nil, err
		}
	}
	if !s.live.enter(q.By.ID) {
		return nil, TooMany(heartbeat)
	}
	return &Answer{Stream: func(w http.ResponseWriter) error {
		defer s.live.leave(q.By.ID)
		h := w.Header()
		h.Set("Content-Type", "text/event-stream")
		h.Set("X-Accel-Buffering", "no")
		w.WriteHeader(http.StatusOK)
		s.follow(w, q, after)
		return nil
	}}, nil
}

// follow sends events until the caller goes, or may no longer listen.
func (s *Server) follow(w http.ResponseWriter, q *Request, after int64) {
	ctx, control := q.Context(), http.NewResponseController(w)
	changed := s.o.Catalog.Changed(ctx)
	accounts := slices.Contains(q.By.May(), "getAccount")
	look, beat := time.NewTicker(s.o.Poll), time.NewTicker(heartbeat)
	defer look.Stop()
	defer beat.Stop()
	// What is written must go out within the timeout; between events nothing need go.
	send := func(text string) bool {
		_, _ = control.SetReadDeadline(time.Time{}), control.SetWriteDeadline(time.Now().Add(s.o.Timeout))
		if _, err := w.Write([]byte(text)); err != nil {
			return false
		}
		return control.Flush() == nil
	}
	if !send(": listening\n\n") {
		return
	}
	for {
		events, err := s.o.Catalog.EventsAfter(ctx, after, eventsOnce)
		if err != nil {
			return // the browser comes again with Last-Event-ID
		}
		var b strings.Builder
		for i := range events {
			after = events[i].Seq
			b.WriteString(line(&events[i], accounts))
		}
		if b.Len() > 0 && !send(b.String()) {
			return
		}
		if len(events) == eventsOnce {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-s.live.end:
			return
		case _, open := <-changed:
			if !open {
				return
			}
		case <-look.C:
		case <-beat.C:
			if who, err := s.o.Auth.Identify(q.Request); err != nil || who.ID != q.By.ID || !send(": still here\n\n") {
				return
			}
		}
	}
}

// line writes an event, with the campaign that it concerns; "" for those of no interest to a console: who read what.
// Those who may not see accounts do not learn which one it is about.
func line(e *catalog.Event, accounts bool) string {
	if strings.HasPrefix(e.Kind, "read.") {
		return ""
	}
	shown := struct {
		catalog.Event
		Campaign string `json:"campaign,omitempty"`
	}{*e, catalog.CampaignOf(e)}
	shown.Data = nil
	if !accounts {
		shown.Refs = nil
		if strings.HasPrefix(e.Subject, "account:") {
			shown.Subject = "account:"
		}
	}
	data, err := encode(&shown)
	if err != nil || strings.ContainsAny(e.Kind, "\r\n") {
		return ""
	}
	return fmt.Sprintf("id: %d\nevent: %s\ndata: %s\n\n", e.Seq, e.Kind, data)
}
