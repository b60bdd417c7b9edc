package gateway

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// requestID names one exchange.
type requestID [16]byte

func newID() (id requestID) {
	a, b := rand.Uint64(), rand.Uint64()
	for i := range 8 {
		id[i], id[8+i] = byte(a>>(8*i)), byte(b>>(8*i))
	}
	return id
}

// String is the id as callers see it.
func (id requestID) String() string {
	var b [36]byte
	copy(b[:], "req_")
	hex.Encode(b[4:], id[:])
	return string(b[:])
}

// exchange is one request and its answer while it is served. It belongs to the server's goroutine; what the watch timer
// shares is guarded by mu.
type exchange struct {
	g     *Gateway
	s     *snapshot
	w     http.ResponseWriter
	r     *http.Request
	id    requestID
	start time.Time

	route  *route
	caller Caller
	body   []byte // as it goes to the upstream
	held   int    // bytes counted in Gateway.held
	model  string
	stream bool

	up        *upstream
	cancel    context.CancelCauseFunc
	status    int
	reason    string    // of a refusal or an early end
	firstByte time.Time // of the answer's body
	out       int64     // bytes of the answer

	mu        sync.Mutex
	timer     *time.Timer
	phase     phase
	lastRead  time.Time
	lastWrite time.Time
	deadline  time.Time // for the caller to take what was written
	flush     func() error
}

type phase uint8

const (
	phaseWait    phase = iota // for the upstream's headers
	phaseHeaders              // headers are written, but not flushed
	phaseStream
	phaseUnary
	phaseOver
)

// Why the gateway ends an answer.
var (
	errFirstByte = errors.New("the upstream did not begin to answer in time")
	errIdle      = errors.New("the upstream fell silent")
	errLongest   = errors.New("the answer took longer than the limit")
)

func (x *exchange) dialect() Dialect {
	if x.route == nil || x.route.Name == "models" {
		return headerDialect(x.r.Header)
	}
	return x.route.Dialect
}

// serve admits, forwards and passes the answer on. A refusal it returns is still to be written.
func (x *exchange) serve() *refusal {
	if f := x.admit(); f != nil {
		return f
	}
	resp, f := x.forward()
	if f != nil {
		return f
	}
	x.answer(resp)
	return nil
}

// admit decides whether the exchange goes to an upstream at all.
func (x *exchange) admit() *refusal {
	rt, allowed := x.s.routes.find(x.r)
	if rt == nil {
		return &refusal{status: http.StatusNotFound, reason: "route.denied", says: "This gateway does not serve the path."}
	}
	x.route = rt
	if !allowed {
		return &refusal{status: http.StatusMethodNotAllowed, reason: "route.method", says: "This gateway does not serve the method on this path."}
	}
	if x.s.callers == nil {
		return identity(ErrIdentity)
	}
	var err error
	if x.caller, err = x.s.callers.Identify(x.r); err != nil {
		return identity(err)
	}
	if !x.caller.Scopes.Endpoint(rt.Name) {
		return &refusal{status: http.StatusForbidden, reason: "scope.endpoint", says: "The credential may not use this endpoint."}
	}
	return x.readBody()
}

// forward sends the request and waits for the response headers. It tries another upstream only where no connection could
// be made: what was sent, even in part, is never sent again.
func (x *exchange) forward() (*http.Response, *refusal) {
	var tried uint64
	var ctx context.Context
	ctx, x.cancel = context.WithCancelCause(x.r.Context())
	header := outbound(x.r.Header, x.s.strip)
	for {
		u, at, known := x.s.pool.pick(x.model, tried, time.Now().UnixNano())
		if !known {
			return nil, &refusal{status: http.StatusNotFound, reason: "model.unknown", param: "model", says: "No model of this name is served here."}
		}
		if u == nil {
			return nil, &refusal{status: http.StatusBadGateway, reason: "upstream.unreachable", says: "The model's server cannot be reached. Try again soon.",
				after: time.Second, retry: true}
		}
		tried |= 1 << at
		resp, err := x.send(ctx, u, header)
		if err == nil {
			x.up = u
			u.answered()
			return resp, nil
		}
		var dial *errDial
		if x.r.Context().Err() != nil {
			x.reason = "caller.left"
			panic(http.ErrAbortHandler)
		}
		if errors.As(err, &dial) {
			u.failed(x.g.log, time.Now())
			x.route.meters.retried.Inc()
			continue
		}
		if cause := context.Cause(ctx); errors.Is(cause, errFirstByte) {
			u.failed(x.g.log, time.Now())
			return nil, &refusal{status: http.StatusGatewayTimeout, reason: "upstream.slow", says: "The model's server did not begin to answer in time."}
		}
		x.g.log.Warn("upstream broke off before it answered", "upstream", u.cfg.Name, "request", x.id.String(), "error", u.clean(err))
		return nil, &refusal{status: http.StatusBadGateway, reason: "upstream.broken", says: "The model's server broke off before it answered."}
	}
}

// send makes one attempt.
func (x *exchange) send(ctx context.Context, u *upstream, header http.Header) (*http.Response, error) {
	if x.timer == nil {
		x.timer = time.AfterFunc(u.cfg.Timeout, x.tick)
	} else {
		x.timer.Reset(u.cfg.Timeout)
	}
	to := &url.URL{Scheme: u.base.Scheme, Host: u.base.Host, Path: u.base.Path + x.r.URL.Path, RawQuery: x.r.URL.RawQuery}
	if x.r.URL.RawPath != "" {
		to.RawPath = u.base.EscapedPath() + x.r.URL.RawPath
	}
	scheme := "bearer"
	if x.dialect() == Anthropic {
		scheme = "x-api-key"
	}
	u.authorize(header, scheme)
	req := &http.Request{Method: x.r.Method, URL: to, Host: u.base.Host, Header: header, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
	if len(x.body) > 0 {
		req.Body = newMemory(x.body)
		req.ContentLength = int64(len(x.body))
		req.GetBody = func() (io.ReadCloser, error) { return newMemory(x.body), nil }
	}
	u.open.Add(1)
	resp, err := u.client.RoundTrip(req.WithContext(ctx))
	if err != nil {
		u.open.Add(-1)
	}
	return resp, err
}

// finish settles and counts, however the exchange ended.
func (x *exchange) finish() {
	x.mu.Lock()
	x.phase = phaseOver
	if x.timer != nil {
		x.timer.Stop()
	}
	x.mu.Unlock()
	if x.cancel != nil {
		x.cancel(nil)
	}
	if x.up != nil {
		x.up.open.Add(-1)
	}
	if x.held > 0 {
		x.g.held.Add(-int64(x.held))
	}
	x.g.inFlight.Add(-1)
	x.g.meters.finished(x)
}
