package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/palladium-guard/palladium/traffic/gateway/pool"
	"github.com/palladium-guard/palladium/traffic/relay"
)

// chunkSize is what is read of an answer at once where the upstream speaks over TLS, and holds what waits of a stream. With
// the frame of a chunk it fits the 4 KiB in which net/http gathers what it writes, so that one read makes one write.
const chunkSize = 4<<10 - 64

// pieces reads a body that does not hand over pieces by itself.
type pieces struct {
	body io.Reader
	held []byte
}

// Next implements pool.Pieces.
func (p *pieces) Next() ([]byte, error) {
	n, err := p.body.Read(p.held)
	return p.held[:n], err
}

// piecesOf returns body as pieces, and what gives their memory back.
func (g *Gateway) piecesOf(body io.Reader) (p pool.Pieces, free func()) {
	if p, ok := body.(pool.Pieces); ok {
		return p, func() {}
	}
	held := g.chunks.Get().(*[]byte)
	return &pieces{body, *held}, func() { g.chunks.Put(held) }
}

// answer passes the upstream's response to the caller. A refusal it returns is to be written in its place.
func (x *exchange) answer(resp *http.Response) *refusal {
	x.status, x.veil = resp.StatusCode, x.up.Veil()
	good := resp.StatusCode/100 == 2
	if f := x.upstreamFault(resp); f != nil {
		return f
	}
	streamed := eventStream(resp.Header)
	plain := resp.Header.Get("Content-Encoding") == ""
	if x.route.policed() && good {
		if !plain && (x.redaction.Any() || x.reserved != nil && x.route.Kind.Generates()) {
			x.reason = "upstream.encoding"
			return unreadable()
		}
		if plain {
			x.follow(streamed)
		}
	}
	switch {
	case streamed:
		return x.head(resp, true, x.streamBody)
	case x.passing.Follows && (x.redaction.Any() || x.pace() > 0), !good && x.up.Secret() != "", x.listsModels() && good && plain:
		return x.whole(resp)
	}
	flush := resp.ContentLength < 0 // it may come slowly
	return x.head(resp, false, func(r io.Reader) error { return x.unaryBody(r, flush) })
}

// follow has the answer followed.
func (x *exchange) follow(streamed bool) {
	d := x.dialect()
	o := relay.Options{Semantics: d.Answer(x.route.Kind), Redactor: d, Endpoint: x.route.Kind, Streamed: streamed, Redaction: x.redaction, Spare: &x.g.chunks}
	if x.reserved != nil {
		o.Reserved = x.reserved
	}
	if x.g.observer != nil && !x.s.cfg.Observe.Off {
		o.Text = int(x.s.cfg.Observe.Answer)
	}
	x.passing.Begin(o)
}

// upstreamFault turns what concerns the gateway's own credential at the upstream into a refusal of the gateway's: the
// caller can do nothing about it, and must not take it for its own.
func (x *exchange) upstreamFault(resp *http.Response) *refusal {
	if resp.StatusCode != http.StatusUnauthorized || x.up.Secret() == "" {
		return nil
	}
	x.g.log.Error("upstream does not take the gateway's secret: put a valid one in its place", "upstream", x.up.Name())
	return &refusal{status: http.StatusBadGateway, reason: "upstream.credential", says: "The gateway's own credential is not accepted by the model's server."}
}

func unreadable() *refusal {
	return &refusal{status: http.StatusBadGateway, reason: "answer.unreadable", says: "The answer of the model's server cannot be read, so that policy cannot be applied to it."}
}

// head writes the response headers and then the body.
func (x *exchange) head(resp *http.Response, streamed bool, body func(io.Reader) error) *refusal {
	h := x.headers(resp)
	if streamed {
		delete(h, "Content-Length")
		if _, ok := h["X-Accel-Buffering"]; !ok {
			h["X-Accel-Buffering"] = []string{"no"} // a proxy in front must not hold events back
		}
	}
	x.begin(streamed || resp.ContentLength < 0)
	x.w.WriteHeader(resp.StatusCode)
	x.mu.Unlock()
	if bodiless(x.r.Method, resp.StatusCode) {
		return nil
	}
	if err := body(resp.Body); err != nil {
		x.abort(err)
	}
	if x.cutShort(resp, streamed) {
		x.abort(io.ErrUnexpectedEOF)
	}
	for name, values := range resp.Trailer {
		if x.s.cfg.Headers.Shows(name, values, x.up.Secret()) {
			h[http.TrailerPrefix+name] = values
		}
	}
	return nil
}

func bodiless(method string, status int) bool {
	return method == http.MethodHead || status == http.StatusNoContent || status == http.StatusNotModified
}

// cutShort reports whether a body whose end only the closed connection tells is not whole by the dialect's own mark, or as
// JSON.
func (x *exchange) cutShort(resp *http.Response, streamed bool) bool {
	if !x.passing.Follows || x.reason != "" || resp.ContentLength >= 0 || len(resp.TransferEncoding) > 0 || resp.ProtoMajor > 1 {
		return false
	}
	if !streamed {
		x.passing.Close()
	}
	return !x.passing.Scan.Ended && !(streamed && x.passing.Scan.Failed)
}

// headers are those of the response, as the caller gets them.
func (x *exchange) headers(resp *http.Response) http.Header {
	h := x.w.Header()
	x.s.cfg.Headers.Inbound(h, resp.Header, x.up.Secret())
	resp.Header = nil // a stream may be long
	h["X-Palladium-Request-Id"] = []string{x.id.String()}
	x.rateHeaders(h)
	return h
}

// begin moves the watch timer from the wait for headers to that for the body. It returns with mu held.
func (x *exchange) begin(streamed bool) {
	x.flush = http.NewResponseController(x.w).Flush
	if f, ok := x.w.(interface{ FlushError() error }); ok {
		x.flush = f.FlushError
	}
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

// unaryBody passes a body on as it comes.
func (x *exchange) unaryBody(from io.Reader, flush bool) error {
	body, free := x.g.piecesOf(from)
	defer free()
	for {
		p, err := body.Next()
		if len(p) > 0 {
			x.passing.Body(p)
			if p = x.veil.Pass(p); len(p) == 0 {
				x.heard()
			} else if werr := x.pass(p, flush && err == nil); werr != nil {
				return werr
			}
		}
		if err == io.EOF {
			if rest := x.veil.Rest(); len(rest) > 0 {
				return x.pass(rest, false)
			}
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// whole takes in an answer before any of it passes: policy changes it, a verdict paces it, or it may quote the
// gateway's secret.
func (x *exchange) whole(resp *http.Response) *refusal {
	limit := int64(x.s.cfg.Limits.Answer)
	x.begin(false)
	x.mu.Unlock()
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		if x.r.Context().Err() != nil {
			x.abort(err)
		}
		x.reason = "upstream.cut"
		return &refusal{status: http.StatusBadGateway, reason: "upstream.cut", says: "The model's server broke off its answer."}
	}
	if int64(len(body)) > limit {
		return unreadable()
	}
	if x.passing.Follows {
		x.passing.Body(body)
		if x.redaction.Any() {
			if body, err = x.dialect().Redact(make([]byte, 0, len(body)), body, x.route.Kind, x.redaction); err != nil {
				return unreadable()
			}
		}
		x.passing.Close()
		if pace := x.pace(); pace > 0 {
			_, output := x.cost()
			x.pause(time.Duration(float64(output) / pace * float64(time.Second)))
		}
	}
	if x.listsModels() && resp.StatusCode/100 == 2 {
		if body, err = x.models(x.ctx, body); err != nil {
			return unreadable()
		}
	}
	if s := x.up.Secret(); s != "" && bytes.Contains(body, []byte(s)) {
		body = bytes.ReplaceAll(body, []byte(s), []byte("[withheld]"))
	}
	h := x.headers(resp)
	if !bodiless(x.r.Method, resp.StatusCode) {
		h["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	x.w.WriteHeader(resp.StatusCode)
	if bodiless(x.r.Method, resp.StatusCode) {
		return nil
	}
	if err := x.pass(body, false); err != nil {
		x.abort(err)
	}
	return nil
}

// abort ends an answer that is not whole in a way that no client takes for its end: HTTP/1.1 closes the connection
// without the last chunk, HTTP/2 resets the stream.
func (x *exchange) abort(err error) {
	if errors.Is(err, errCaller) || context.Cause(x.r.Context()) != nil {
		x.reason = "caller.left"
	} else {
		x.reason = "upstream.cut"
		x.mu.Lock()
		_ = x.flush() // the caller sees as much as it would have seen without the gateway
		x.mu.Unlock()
	}
	panic(http.ErrAbortHandler)
}
