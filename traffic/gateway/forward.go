package gateway

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/palladium-guard/palladium/traffic/gateway/pool"
)

// Why the gateway ends an answer.
var (
	errFirstByte = errors.New("the upstream did not begin to answer in time")
	errIdle      = errors.New("the upstream fell silent")
	errEnded     = errors.New("the gateway ended the answer")
	errLongest   = errors.New("the answer took longer than the limit")
)

// forward sends the request and waits for the response headers. It tries another upstream only where no connection could
// be made: what was sent, even in part, is never sent again.
func (x *exchange) forward() (*http.Response, *refusal) {
	var tried uint64
	var ctx context.Context
	ctx, x.cancel = context.WithCancelCause(x.r.Context())
	x.ctx = ctx
	for {
		u, at, known := x.s.pool.Pick(x.model, tried, x.start.UnixNano())
		if !known {
			return nil, &refusal{status: http.StatusNotFound, reason: "model.unknown", param: "model", says: "No model of this name is served here."}
		}
		if u == nil {
			return nil, &refusal{status: http.StatusBadGateway, reason: "upstream.unreachable", says: "The model's server cannot be reached. Try again soon.",
				after: time.Second, retry: true}
		}
		tried |= 1 << at
		resp, unsent, err := x.send(ctx, u)
		if !unsent {
			x.up = u
		}
		if err == nil {
			return resp, nil
		}
		if x.r.Context().Err() != nil {
			x.reason = "caller.left"
			panic(http.ErrAbortHandler)
		}
		u.Failed(x.g.log, time.Now())
		slow := errors.Is(context.Cause(ctx), errFirstByte)
		if unsent && !slow {
			x.route.meters.retried.Inc()
			continue
		}
		if slow {
			return nil, &refusal{status: http.StatusGatewayTimeout, reason: "upstream.slow", says: "The model's server did not begin to answer in time."}
		}
		x.g.log.Warn("upstream broke off before it answered", "upstream", u.Name(), "request", x.id.String(), "error", u.Clean(err))
		return nil, &refusal{status: http.StatusBadGateway, reason: "upstream.broken", says: "The model's server broke off before it answered."}
	}
}

// send makes one attempt.
func (x *exchange) send(ctx context.Context, u *pool.Upstream) (resp *http.Response, unsent bool, err error) {
	if x.timer == nil {
		x.timer = time.AfterFunc(u.Timeout(), x.tick)
	} else {
		x.timer.Reset(u.Timeout())
	}
	body := x.sent
	if body == nil {
		body = x.body
	}
	return u.Send(ctx, x.request(u), body)
}

// request is what u is sent, without its body.
func (x *exchange) request(u *pool.Upstream) *http.Request {
	to := u.Address(x.r.URL.Path, x.r.URL.RawPath, x.r.URL.RawQuery)
	h := x.s.cfg.Headers.Outbound(x.r.Header, x.s.strip)
	scheme := "bearer"
	if x.name() == anthropic {
		scheme = "x-api-key"
	}
	u.Authorize(h, scheme)
	return &http.Request{Method: x.r.Method, URL: to, Host: to.Host, Header: h, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
}
