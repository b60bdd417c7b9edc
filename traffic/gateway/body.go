package gateway

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
)

// firstRead is how much memory a body gets before any of it has come: a length that is only declared costs nothing.
const firstRead = 32 << 10

// readBody takes in the whole body. The upstream gets it from memory: a body that is copied from one connection to the
// other makes net/http cut answers of fast upstreams short (golang/go#40747), and policy must see it first anyway.
func (x *exchange) readBody() *refusal {
	r, l := x.r, &x.s.cfg.Limits
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return nil
	}
	if e := r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return &refusal{status: http.StatusUnsupportedMediaType, reason: "request.encoding",
			says: "Send the request body without content encoding."}
	}
	if r.ContentLength > int64(l.Body) {
		return tooLarge()
	}
	ctl := http.NewResponseController(x.w)
	_ = ctl.SetReadDeadline(x.start.Add(l.BodyTime)) // a test's writer has none
	size := firstRead
	if n := r.ContentLength; n >= 0 {
		size = int(min(n, firstRead))
	}
	buf := make([]byte, 0, size+1) // one more, so that the end is seen without growing
	for {
		if len(buf) == cap(buf) {
			grown := min(2*cap(buf), int(l.Body)+2)
			if n := r.ContentLength; n > 0 {
				grown = min(grown, int(n)+1)
			}
			if !x.hold(grown) {
				return busy("request.memory")
			}
			buf = append(make([]byte, 0, grown), buf...)
		}
		n, err := r.Body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if len(buf) > int(l.Body) {
			return tooLarge()
		}
		if err == io.EOF {
			x.body = buf
			_ = ctl.SetReadDeadline(time.Time{})
			return nil
		}
		if err != nil {
			return unread(err)
		}
	}
}

// What is still read of the body of a request that is refused, and for how long.
const (
	lingerBytes = 1 << 20
	lingerTime  = time.Second
)

// linger reads on, for a little while, the body of a request that is refused: most callers send all of it before they
// look for an answer. It is bounded, since net/http would otherwise wait for the rest without an end.
func (x *exchange) linger() {
	r := x.r
	if x.body != nil || r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return
	}
	_ = http.NewResponseController(x.w).SetReadDeadline(time.Now().Add(lingerTime))
	if len(r.Header["Expect"]) == 0 {
		_, _ = io.CopyN(io.Discard, r.Body, lingerBytes) // whatever comes is of no use
	}
}

// hold counts n bytes for this exchange in place of those counted before; false when all exchanges hold too much.
func (x *exchange) hold(n int) bool {
	if x.g.held.Add(int64(n-x.held)) > int64(x.s.cfg.Limits.Memory) {
		x.g.held.Add(int64(x.held - n))
		return false
	}
	x.held = n
	return true
}

// unread is the refusal of a body that could not be read.
func unread(err error) *refusal {
	var timeout interface{ Timeout() bool }
	if errors.As(err, &timeout) && timeout.Timeout() {
		return &refusal{status: http.StatusRequestTimeout, reason: "request.slow", says: "The request body did not arrive in time.", retry: true}
	}
	return &refusal{status: http.StatusBadRequest, reason: "request.body", says: "The request body cannot be read."}
}

func tooLarge() *refusal {
	return &refusal{status: http.StatusRequestEntityTooLarge, reason: "request.size", says: "The request body is larger than this gateway takes."}
}

func busy(reason string) *refusal {
	return &refusal{status: http.StatusServiceUnavailable, reason: reason, says: "The gateway is at its limit. Try again soon.",
		after: time.Second, retry: true}
}
