package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"
)

// Why the gateway ends an answer.
var (
	errFirstByte = errors.New("the upstream did not begin to answer in time")
	errIdle      = errors.New("the upstream fell silent")
	errLongest   = errors.New("the answer took longer than the limit")
)

// forward sends the request and waits for the response headers. It tries another upstream only where no connection could
// be made: what was sent, even in part, is never sent again.
func (x *exchange) forward() (*http.Response, *refusal) {
	var tried uint64
	var ctx context.Context
	ctx, x.cancel = context.WithCancelCause(x.r.Context())
	for {
		u, at, known := x.s.pool.pick(x.model, tried, x.start.UnixNano())
		if !known {
			return nil, &refusal{status: http.StatusNotFound, reason: "model.unknown", param: "model", says: "No model of this name is served here."}
		}
		if u == nil {
			return nil, &refusal{status: http.StatusBadGateway, reason: "upstream.unreachable", says: "The model's server cannot be reached. Try again soon.",
				after: time.Second, retry: true}
		}
		tried |= 1 << at
		resp, err := x.send(ctx, u)
		if err == nil {
			x.up = u
			u.answered()
			return resp, nil
		}
		if x.r.Context().Err() != nil {
			x.reason = "caller.left"
			panic(http.ErrAbortHandler)
		}
		var dial *errDial
		if errors.As(err, &dial) && !errors.Is(context.Cause(ctx), errFirstByte) {
			u.failed(x.g.log, time.Now())
			x.route.meters.retried.Inc()
			continue
		}
		u.failed(x.g.log, time.Now())
		x.up = u // it may have been at work: the request is charged
		u.open.Add(1)
		if errors.Is(context.Cause(ctx), errFirstByte) {
			return nil, &refusal{status: http.StatusGatewayTimeout, reason: "upstream.slow", says: "The model's server did not begin to answer in time."}
		}
		x.g.log.Warn("upstream broke off before it answered", "upstream", u.cfg.Name, "request", x.id.String(), "error", u.clean(err))
		return nil, &refusal{status: http.StatusBadGateway, reason: "upstream.broken", says: "The model's server broke off before it answered."}
	}
}

// send makes one attempt.
func (x *exchange) send(ctx context.Context, u *upstream) (*http.Response, error) {
	if x.timer == nil {
		x.timer = time.AfterFunc(u.cfg.Timeout, x.tick)
	} else {
		x.timer.Reset(u.cfg.Timeout)
	}
	to := &url.URL{Scheme: u.base.Scheme, Host: u.base.Host, Path: u.base.Path + x.r.URL.Path, RawQuery: x.r.URL.RawQuery}
	if x.r.URL.RawPath != "" {
		to.RawPath = u.base.EscapedPath() + x.r.URL.RawPath
	}
	header := outbound(x.r.Header, x.s.strip)
	scheme := "bearer"
	if x.name() == anthropic {
		scheme = "x-api-key"
	}
	u.authorize(header, scheme)
	req := &http.Request{Method: x.r.Method, URL: to, Host: u.base.Host, Header: header, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
	body := x.sent
	if body == nil {
		body = x.body
	}
	if len(body) > 0 {
		req.Body = newMemory(body)
		req.ContentLength = int64(len(body))
		req.GetBody = func() (io.ReadCloser, error) { return newMemory(body), nil }
	}
	u.open.Add(1)
	resp, err := u.client.RoundTrip(req.WithContext(ctx))
	if err != nil {
		u.open.Add(-1)
	}
	return resp, err
}
