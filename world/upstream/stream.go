package upstream

import (
	"bytes"
	"iter"
	"net/http"
	"time"
)

// Names of the providers whose manner a dialect has.
const (
	providerOpenAI    = "openai"
	providerAnthropic = "anthropic"
)

// dialect words an answer.
type dialect interface {
	provider() string
	problem(status int, code, message, id string) any
}

// talk is one request of an endpoint that generates.
type talk interface {
	dialect
	read(x *exchange) (ask, bool) // false: refused already
	streams() bool
	whole(x *exchange, a *answer) any
	events(x *exchange, a *answer) iter.Seq[event]
	failure() event
}

// event is one server-sent event. A token is what faults count.
type event struct {
	name  string // empty for none
	data  []byte
	token bool
}

func dialects() map[string]func() talk {
	return map[string]func() talk{
		"/v1/chat/completions": func() talk { return &chat{} },
		"/v1/completions":      func() talk { return &completion{} },
		"/v1/responses":        func() talk { return &responses{} },
		"/v1/messages":         func() talk { return &messages{} },
	}
}

// answer answers an endpoint that generates.
func (s *Server) answer(open func() talk) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		t := open()
		s.reading(t, func(x *exchange) {
			q, ok := t.read(x)
			if !ok {
				return
			}
			a := x.draw(q)
			if !t.streams() {
				if x.sleep(x.fault.Quiet + time.Duration(a.output())*x.fault.Pace) {
					x.send(t.whole(x, a), a.output())
				}
				return
			}
			x.s.log.update(x.rec, func(q *Request) { q.Stream = true })
			x.stream(t, a)
		})(w, r)
	}
}

// stream sends the events of an answer, with what the fault does to them.
func (x *exchange) stream(t talk, a *answer) {
	x.headers("text/event-stream; charset=utf-8")
	x.w.Header().Set("Cache-Control", "no-cache")
	x.w.WriteHeader(http.StatusOK)
	out := &writer{x: x, control: http.NewResponseController(x.w), ping: []byte(": ping\n\n")}
	if t.provider() == providerAnthropic {
		out.ping = frame(nil, event{name: "ping", data: []byte(`{"type":"ping"}`)})
	}
	x.s.log.update(x.rec, func(q *Request) { q.Status = http.StatusOK })
	f := x.fault
	if out.control.Flush() != nil || !out.wait(f.Quiet) {
		return
	}
	n := 0
	for e := range t.events(x, a) {
		if e.token {
			if n > 0 || f.Quiet == 0 {
				if !out.wait(f.Pace) {
					return
				}
			}
			n++
		}
		if !out.event(e) {
			return
		}
		if e.token && !out.misbehave(t, n) {
			return
		}
		if e.token && n == f.Stop {
			break
		}
	}
	if out.flush() {
		x.s.log.update(x.rec, func(q *Request) { q.Tokens = n })
	}
}

// misbehave does what the fault asks for after n tokens. It returns false when the stream is over.
func (o *writer) misbehave(t talk, n int) bool {
	f := o.x.fault
	if n != f.Cut && n != f.Hang && n != f.Error {
		return true
	}
	o.flush()
	o.x.s.log.update(o.x.rec, func(q *Request) { q.Tokens = n })
	switch n {
	case f.Cut:
		o.x.s.log.end(o.x.rec, Cut)
		panic(http.ErrAbortHandler)
	case f.Hang:
		<-o.x.r.Context().Done()
		o.x.s.log.end(o.x.rec, Cancelled)
	case f.Error:
		o.event(t.failure())
		o.flush()
	}
	return false
}

// writer writes events as the fault wants them.
type writer struct {
	x       *exchange
	control *http.ResponseController
	buf     []byte
	held    int // events in buf
	tokens  int
	ping    []byte
}

func frame(buf []byte, e event) []byte {
	if e.name != "" {
		buf = append(append(append(buf, "event: "...), e.name...), '\n')
	}
	return append(append(append(buf, "data: "...), e.data...), "\n\n"...)
}

// event writes e, or keeps it until enough have come together. It returns false when the caller has left.
func (o *writer) event(e event) bool {
	o.buf = frame(o.buf, e)
	o.held++
	if e.token {
		o.tokens++
	}
	if o.held < o.x.fault.Join {
		return true
	}
	return o.flush()
}

// flush writes what is kept.
func (o *writer) flush() bool {
	if o.held == 0 {
		return true
	}
	b := o.buf
	if o.x.fault.CRLF {
		b = bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n"))
	}
	o.buf, o.held = o.buf[:0], 0
	step := len(b)
	if o.x.fault.Split > 0 {
		step = o.x.fault.Split
	}
	for len(b) > 0 {
		n := min(step, len(b))
		_, err := o.x.w.Write(b[:n])
		if err == nil {
			err = o.control.Flush()
		}
		if err != nil {
			o.left()
			return false
		}
		b = b[n:]
	}
	return true
}

// left notes that the caller has gone.
func (o *writer) left() {
	o.x.s.log.update(o.x.rec, func(q *Request) { q.Tokens = o.tokens })
	o.x.s.log.end(o.x.rec, Cancelled)
}

// wait lets d pass, with signs of life where the fault asks for them. It returns false when the caller has left.
func (o *writer) wait(d time.Duration) bool {
	if o.x.r.Context().Err() != nil {
		o.left()
		return false
	}
	every := o.x.fault.Ping
	for d > 0 {
		if !o.flush() {
			return false
		}
		step := d
		if every > 0 && every < d {
			step = every
		}
		if !o.x.sleep(step) {
			o.left()
			return false
		}
		if d -= step; d > 0 {
			if _, err := o.x.w.Write(o.ping); err != nil || o.control.Flush() != nil {
				o.left()
				return false
			}
		}
	}
	return true
}
