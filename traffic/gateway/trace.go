package gateway

import (
	"time"

	"github.com/palladium-guard/palladium/internal/wire"
	"github.com/palladium-guard/palladium/traffic/verdict"
)

// Tracer is told of exchanges that are over, refused ones too. Trace never waits and is safe for concurrent use.
type Tracer interface{ Trace(*Traced) }

// Traced is what may be told of an exchange for traces: neither text nor who called.
type Traced struct {
	ID                      string
	Start, FirstByte, End   time.Time // FirstByte is zero when there was none
	Method, Route, Dialect  string    // Route is a path of the configuration; empty when the request's is not served
	Kind                    wire.Endpoint
	Upstream, Model         string // empty: none was reached
	Stream                  bool   // asked for
	Status                  int
	Reason                  string // code of a refusal or an early end
	Standing                verdict.Standing
	Tally                   *wire.Tally // valid until Trace returns; nil when no answer was followed
	Traceparent, Tracestate string      // as the caller sent them
}

// traced tells the tracer.
func (x *exchange) traced() {
	h := x.r.Header
	t := &Traced{
		ID: x.id.String(), Start: x.start, FirstByte: x.firstByte, End: time.Now(), Method: x.r.Method, Dialect: x.name(), Status: x.status,
		Reason: x.reason, Stream: x.stream, Standing: x.standing, Traceparent: h.Get("Traceparent"), Tracestate: h.Get("Tracestate"),
	}
	if x.route != nil {
		t.Route, t.Kind = x.route.Path, x.route.Kind
	}
	if x.up != nil {
		t.Upstream, t.Model = x.up.Name(), x.model
	}
	if x.passing.Follows {
		t.Tally = &x.passing.Scan.Tally
	}
	x.g.tracer.Trace(t)
}
