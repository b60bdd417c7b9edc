package gateway

import (
	"context"
	"encoding/hex"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/palladium-guard/palladium/internal/wire"
	"github.com/palladium-guard/palladium/traffic/budget"
	"github.com/palladium-guard/palladium/traffic/gateway/pool"
	"github.com/palladium-guard/palladium/traffic/relay"
	"github.com/palladium-guard/palladium/traffic/verdict"
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

	// Settled while the request is admitted.
	route     *route
	caller    Caller
	body      []byte // as the caller sent it
	sent      []byte // as it goes to the upstream; nil: as it came
	held      int    // bytes counted in Gateway.held
	model     string
	stream    bool // asked for
	may       bool // the caller may ask for the model
	standing  verdict.Standing
	redaction wire.Redaction
	reserved  *budget.Reservation
	charged   [4]budget.Principal
	claims    [2]budget.Claim
	paces     [2]budget.Pace
	rated     int // of paces

	// The answer.
	up        *pool.Upstream
	ctx       context.Context // of the request to the upstream
	cancel    context.CancelCauseFunc
	status    int
	reason    string    // of a refusal or an early end
	firstByte time.Time // of the answer's body
	out       int64     // bytes of the answer
	passing   relay.Answer
	veil      pool.Veil // takes the upstream's secret out of what passes
	events    bool      // it is a stream that is followed
	context   uint64    // of what the caller wrote last, for the seals of the answer

	mu        sync.Mutex
	timer     *time.Timer
	phase     phase
	lastRead  time.Time
	lastWrite time.Time
	holding   time.Time // until when the gateway itself holds the answer back
	deadline  time.Time // for the caller to take what was written
	between   bool      // what was written ends between two events
	pings     bool      // the dialect's sign of life is an event
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

// serve admits, forwards and passes the answer on. A refusal it returns is still to be written.
func (x *exchange) serve() *refusal {
	if f := x.admit(); f != nil {
		return f
	}
	resp, f := x.forward()
	if f != nil {
		return f
	}
	defer resp.Body.Close()
	if f := x.kept(x.ctx); f != nil {
		return f
	}
	return x.answer(resp)
}

// kept waits until the reservation is on disk, where there is a journal: nothing of an answer passes before, so that no
// crash forgets what a caller has drawn. The upstream was at work meanwhile.
func (x *exchange) kept(ctx context.Context) *refusal {
	if x.reserved == nil {
		return nil
	}
	err := x.reserved.Durable(ctx)
	switch {
	case err == nil:
		return nil
	case x.r.Context().Err() != nil:
		x.reason = "caller.left"
		panic(http.ErrAbortHandler)
	}
	x.g.log.Error("budgets cannot be kept", "error", err)
	return unkept()
}

// finish settles, counts and hands over to be observed, however the exchange ended.
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
		x.up.Done()
	}
	x.passing.Close()
	if x.passing.Follows {
		x.g.memory.Learn(&x.passing.Scan.Tally, x.context, x.caller.Account, x.start)
	}
	x.settle()
	if x.held > 0 {
		x.g.held.Add(-int64(x.held))
	}
	x.g.inFlight.Add(-1)
	x.g.meters.finished(x)
	x.observed()
	if x.g.tracer != nil {
		x.traced()
	}
}
