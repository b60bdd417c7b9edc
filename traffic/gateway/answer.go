package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
)

// headerWait is how long response headers may wait for the first bytes of the body, so that both leave in one packet.
const headerWait = 2 * time.Millisecond

// chunkSize is what is read of a stream at once. A stream that waits holds this much.
const chunkSize = 4 << 10

// answer passes the upstream's response to the caller.
func (x *exchange) answer(resp *http.Response) {
	defer resp.Body.Close()
	h := x.w.Header()
	inbound(h, resp.Header, x.up.secret)
	h["X-Palladium-Request-Id"] = []string{x.id.String()}
	x.limitHeaders(h)
	x.status = resp.StatusCode
	streamed := eventStream(resp.Header)
	if streamed {
		delete(h, "Content-Length")
		if _, ok := h["X-Accel-Buffering"]; !ok {
			h["X-Accel-Buffering"] = []string{"no"} // a proxy in front must not hold events back
		}
	}
	x.flush = http.NewResponseController(x.w).Flush
	if f, ok := x.w.(interface{ FlushError() error }); ok {
		x.flush = f.FlushError
	}
	x.begin(streamed)
	x.w.WriteHeader(resp.StatusCode)
	x.mu.Unlock()
	if x.r.Method == http.MethodHead || resp.StatusCode == http.StatusNoContent || resp.StatusCode == http.StatusNotModified {
		return
	}
	err := x.copy(resp.Body, streamed || resp.ContentLength < 0)
	if err == nil {
		err = x.ended(resp)
	}
	if err != nil {
		x.abort(err)
	}
	for name, values := range resp.Trailer {
		h[http.TrailerPrefix+name] = values
	}
}

func eventStream(h http.Header) bool {
	v := h["Content-Type"]
	return len(v) > 0 && len(v[0]) >= 17 && strings.EqualFold(v[0][:17], "text/event-stream")
}

// begin moves the watch timer from the wait for headers to that for the body. It returns with mu held.
func (x *exchange) begin(streamed bool) {
	now := time.Now()
	x.mu.Lock()
	x.lastRead, x.lastWrite = now, now
	x.phase = phaseUnary
	wait := x.s.cfg.Limits.Idle
	if streamed {
		x.phase, wait = phaseHeaders, headerWait
	}
	x.extend(now)
	x.timer.Reset(wait)
}

// extend gives the caller the usual time from now on to take what is written. The deadline is moved only once a
// quarter of it has passed, since setting it costs a system call's worth of time.
func (x *exchange) extend(now time.Time) {
	limit := x.s.cfg.Limits.Write
	if x.deadline.Sub(now) > limit*3/4 {
		return
	}
	x.deadline = now.Add(limit)
	_ = http.NewResponseController(x.w).SetWriteDeadline(x.deadline) // a test's writer has none
}

// copy passes the body on, one write and, where it streams, one flush for each read.
func (x *exchange) copy(body io.Reader, flush bool) error {
	size := chunkSize
	if !flush {
		size = 4 * chunkSize
	}
	buf := make([]byte, size)
	for {
		n, err := body.Read(buf)
		if n > 0 {
			if werr := x.pass(buf[:n], flush); werr != nil {
				return werr
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// errCaller marks an error of the caller's connection.
var errCaller = errors.New("the caller left")

// pass writes one chunk to the caller.
func (x *exchange) pass(chunk []byte, flush bool) error {
	now := time.Now()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.lastRead = now
	if x.out == 0 {
		x.firstByte = now
		if x.phase == phaseHeaders {
			x.phase = phaseStream
		}
	}
	x.extend(now)
	n, err := x.w.Write(chunk)
	x.out += int64(n)
	if err == nil && flush {
		err = x.flush()
	}
	if err != nil {
		return errCaller
	}
	x.lastWrite = now
	return nil
}

// tick is the watch timer: it ends what is late and keeps silent streams alive.
func (x *exchange) tick() {
	x.mu.Lock()
	defer x.mu.Unlock()
	now := time.Now()
	l := &x.s.cfg.Limits
	switch x.phase {
	case phaseOver:
		return
	case phaseWait:
		x.cancel(errFirstByte)
		return
	case phaseHeaders:
		x.phase = phaseStream
		_ = x.flush() // a caller that left is noticed by the copy
	}
	if l.Longest > 0 && now.Sub(x.start) >= l.Longest {
		x.cancel(errLongest)
		return
	}
	silent := now.Sub(x.lastRead)
	if silent >= l.Idle {
		x.cancel(errIdle)
		return
	}
	next := l.Idle - silent
	if every := x.s.cfg.KeepAlive; x.phase == phaseStream && every > 0 {
		quiet := now.Sub(x.lastWrite)
		if quiet >= every {
			x.keepAlive(now)
			quiet = 0
		}
		next = min(next, every-quiet)
	}
	x.timer.Reset(next)
}

// keepAlive writes a comment, which every reader of event streams skips. mu is held.
func (x *exchange) keepAlive(now time.Time) {
	x.lastWrite = now
	x.extend(now)
	if _, err := io.WriteString(x.w, ": keep-alive\n\n"); err == nil {
		_ = x.flush() // a caller that left is noticed by the copy
	}
}

// ended reports whether the end of the body is the answer's end.
func (x *exchange) ended(_ *http.Response) error { return nil }

// abort ends an answer that is not whole in a way that no client takes for its end: HTTP/1.1 closes the connection
// without the last chunk, HTTP/2 resets the stream.
func (x *exchange) abort(err error) {
	cause := context.Cause(x.r.Context())
	switch {
	case errors.Is(err, errCaller) || cause != nil:
		x.reason = "caller.left"
	default:
		x.reason = "upstream.cut"
		_ = x.flush() // the caller sees as much as it would have seen without the gateway
	}
	panic(http.ErrAbortHandler)
}

// limitHeaders tells the caller what is left of its rate.
func (x *exchange) limitHeaders(http.Header) {}
