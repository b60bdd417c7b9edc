package gateway

import (
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/wire"
	"github.com/palladium-guard/palladium/traffic/relay"
)

// headerWait is how long response headers may wait for the first bytes of the body, so that both leave in one packet.
const headerWait = 2 * time.Millisecond

// errCaller marks an error of the caller's connection.
var errCaller = errors.New("the caller left")

// streamBody passes events on: one write and one flush for each read of the upstream. Bytes pass as they are unless
// policy changes the stream.
func (x *exchange) streamBody(from io.Reader) error {
	x.mu.Lock()
	x.events = x.passing.Follows
	x.between = x.events
	x.mu.Unlock()
	body, free := x.g.piecesOf(from)
	defer free()
	for {
		p, err := body.Next()
		if len(p) > 0 {
			chunk, ending := x.passing.Follow(p)
			chunk = x.veil.Pass(chunk)
			if len(chunk) > 0 {
				if werr := x.pass(chunk, err != io.EOF || x.paced()); werr != nil { // what comes last leaves with the end

					return werr
				}
			} else {
				x.heard()
			}
			switch ending {
			case relay.Met:
				return x.endEarly(x.met())
			case relay.Unreadable:
				return x.endEarly(unreadable())
			}
			if x.paced() {
				x.wait()
			}
		}
		if err == io.EOF {
			return x.endStream()
		}
		if err != nil {
			return err
		}
	}
}

// endStream passes what was held back of a stream that the upstream has ended.
func (x *exchange) endStream() error {
	for _, rest := range [2][]byte{x.veil.Pass(x.passing.Rest()), x.veil.Rest()} {
		if len(rest) > 0 {
			if err := x.pass(rest, true); err != nil {
				return err
			}
		}
	}
	return nil
}

// met is the refusal that ends a stream at its budget.
func (x *exchange) met() *refusal {
	f := &refusal{status: http.StatusTooManyRequests, reason: "budget.output", says: "The answer was ended: the budget for output tokens is used up."}
	if v := &x.standing.Verdict; x.standing.Enforced && v.Measure == palladium.MeasureBudget {
		f.reason, f.appeal = reasonOf(v.Reason), x.appeal(v)
	}
	return f
}

// endEarly ends a stream with an error event in the caller's dialect, which clients raise as an error. Nothing follows
// it, the dialect's end mark least of all.
func (x *exchange) endEarly(f *refusal) error {
	x.reason = f.reason
	x.cancel(errEnded)
	return x.pass(x.dialect().RefuseEvent(nil, x.route.Kind, f.wire(x.id), x.passing.Scan.Sequence), true)
}

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
			x.timer.Reset(x.nextLook())
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
	x.between = x.events && x.passing.Between()
	x.pings = x.events && x.route.Kind == wire.Messages && x.passing.Scan.Events > 0
	return nil
}

// heard notes that the upstream is alive although nothing was passed on.
func (x *exchange) heard() {
	x.mu.Lock()
	x.lastRead = time.Now()
	x.mu.Unlock()
}

// extend gives the caller the usual time from now on to take what is written. The deadline is moved only once a
// quarter of it has passed, since that costs more than looking at it. mu is held.
func (x *exchange) extend(now time.Time) {
	limit := x.s.cfg.Limits.Write
	if x.deadline.Sub(now) > limit*3/4 {
		return
	}
	x.deadline = now.Add(limit)
	_ = http.NewResponseController(x.w).SetWriteDeadline(x.deadline) // a test's writer has none
}

// nextLook is how long the watch timer may sleep when the stream is alive now.
func (x *exchange) nextLook() time.Duration {
	d := x.s.cfg.Limits.Idle
	if k := x.s.cfg.KeepAlive; k > 0 {
		d = min(d, k)
	}
	return d
}

// tick is the watch timer: it ends what is late and keeps silent streams alive. It is not reset for every chunk, but
// looks how long the silence has been.
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
	silent := now.Sub(x.lastRead)
	if x.holding.After(x.lastRead) {
		silent = now.Sub(x.holding) // below zero while it is held back
	}
	switch {
	case l.Longest > 0 && now.Sub(x.start) >= l.Longest:
		x.cancel(errLongest)
		return
	case silent >= l.Idle:
		x.cancel(errIdle)
		return
	}
	next := l.Idle - silent
	if l.Longest > 0 {
		next = min(next, l.Longest-now.Sub(x.start))
	}
	if every := x.s.cfg.KeepAlive; x.phase == phaseStream && every > 0 && x.events {
		quiet := now.Sub(x.lastWrite)
		if quiet >= every {
			x.keepAlive(now)
			quiet = 0
		}
		next = min(next, every-quiet)
	}
	x.timer.Reset(max(next, time.Millisecond))
}

// keepAlive writes what every reader of the dialect skips, where the stream stands between two events. mu is held.
func (x *exchange) keepAlive(now time.Time) {
	x.lastWrite = now
	if !x.between {
		return
	}
	x.extend(now)
	sign := ": keep-alive\n\n"
	if x.pings {
		sign = "event: ping\ndata: {\"type\": \"ping\"}\n\n"
	}
	if _, err := io.WriteString(x.w, sign); err == nil {
		_ = x.flush() // a caller that left is noticed by the copy
	}
	if now.Before(x.holding) {
		x.rest()
	}
}

// pace is how many tokens a second a verdict lets through; 0 for no bound.
func (x *exchange) pace() float64 {
	if v := &x.standing.Verdict; x.standing.Enforced && v.Measure == palladium.MeasureSlow {
		return v.TokensPerSecond
	}
	return 0
}

func (x *exchange) paced() bool { return x.standing.Enforced && x.pace() > 0 }

// wait holds the stream back until its tokens have taken as long as the pace says.
func (x *exchange) wait() {
	due := x.firstByte.Add(time.Duration(float64(x.passing.Tokens()) / x.pace() * float64(time.Second)))
	x.pause(time.Until(due))
}

// pause keeps the answer back for d. The upstream is not silent meanwhile, and the caller has nothing to take: neither limit counts
// that time.
func (x *exchange) pause(d time.Duration) {
	if d <= 0 {
		return
	}
	x.mu.Lock()
	x.holding = time.Now().Add(d)
	x.rest()
	x.mu.Unlock()
	x.delay(d)
}

// rest ends the time that the caller has, until something is written again. mu is held.
func (x *exchange) rest() {
	x.deadline = time.Time{}
	_ = http.NewResponseController(x.w).SetWriteDeadline(x.deadline) // a test's writer has none
}
