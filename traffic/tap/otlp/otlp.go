// Package otlp receives what an existing gateway, SDK or collector says of exchanges with models by OTLP, over gRPC and
// over HTTP in protobuf and JSON form, as the OpenTelemetry protocol specification has it. A request is answered with
// success once the sink has kept its observations for good; spans and log records that hold nothing usable are counted
// in a partial success, and what cannot be taken at the moment is refused in the way that has clients try again.
package otlp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/palladium-guard/palladium/internal/listen"
	"github.com/palladium-guard/palladium/store/secret"
	"github.com/palladium-guard/palladium/traffic/tap"
)

// Tap is the receiver.
type Tap struct {
	c     Config
	log   *slog.Logger
	in    *tap.Intake
	keys  *secret.Keeper
	slots chan struct{} // one for each request in hand
	grpc  *grpc.Server
	http  *http.Server
	at    listen.Pair

	requests [2]atomic.Int64 // answered with success, by transport
	bytes    atomic.Int64
	refused  [causes]atomic.Int64
	failing  atomic.Pointer[error] // why observations are not taken, while they are not
}

// The transports, by place in Tap.requests.
const (
	overGRPC = iota
	overHTTP
)

// Open checks c, a filled section, reads the files it names and listens. into says how records become observations and
// who takes them; it needs the otlp format alone. log may be nil. Run serves.
func Open(c Config, into tap.Options, log *slog.Logger) (*Tap, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	t := &Tap{c: c, log: log, slots: make(chan struct{}, c.AtOnce)}
	var err error
	if t.in, err = tap.New(into); err != nil {
		return nil, fmt.Errorf("taps.otlp: %w", err)
	}
	if t.keys, err = secret.Open(c.Identity); err != nil {
		return nil, fmt.Errorf("taps.otlp: %w", err)
	}
	if err := t.at.Bind(c.HTTP, c.GRPC); err != nil {
		return nil, fmt.Errorf("taps.otlp: %w", err)
	}
	t.grpc, t.http = t.newGRPC(), t.newHTTP()
	return t, nil
}

// Addresses are where the tap listens; nil for a transport that is off.
func (t *Tap) Addresses() (grpc, http net.Addr) {
	http, grpc = t.at.Addresses()
	return grpc, http
}

// Files lists the files to watch; when one has changed, call Reload.
func (t *Tap) Files() []string { return t.c.Identity.Files() }

// Reload reads certificates and tokens again. When they cannot be used, those before stay.
func (t *Tap) Reload() error { return t.keys.Reload() }

// drain is how long requests in hand are given when the tap ends, beyond the time that they may wait anyway.
const drain = 5 * time.Second

// Run serves until ctx ends, then answers what is in hand and returns nil; or returns why it cannot serve.
func (t *Tap) Run(ctx context.Context) error {
	if err := t.at.Serve(ctx, t.http, t.grpc, t.keys.TLS(), t.c.Wait+drain); err != nil {
		return fmt.Errorf("serve OTLP: %w", err)
	}
	return nil
}

// cause is why a request got no success.
type cause int

// The causes, in the order of their names.
const (
	causeIdentity cause = iota // no token, or a wrong one
	causeForm                  // it cannot be read
	causeSize
	causeBusy // too many requests in hand
	causeSink // observations were not taken in time, or not kept
	causes
)

func (c cause) String() string { return [...]string{"identity", "form", "size", "busy", "sink"}[c] }

// take has a slot for a request until the returned function is called; nil when there is none.
func (t *Tap) take() (release func()) {
	select {
	case t.slots <- struct{}{}:
		return func() { <-t.slots }
	default:
		return nil
	}
}

// accept gives a request, in its JSON form, to the sink. An error means that the client is to try again.
func (t *Tap) accept(ctx context.Context, from string, document []byte) (rejected int64, reason string, err error) {
	ctx, cancel := context.WithTimeout(ctx, t.c.Wait)
	defer cancel()
	taken, reason, err := t.in.Take(ctx, []tap.Record{{Value: document, Source: from}})
	if err == nil {
		if t.failing.Swap(nil) != nil {
			t.log.Info("observations are taken again")
		}
		return taken.Rejected, reason, nil
	}
	t.refused[causeSink].Add(1)
	if !errors.Is(err, context.Canceled) && t.failing.Swap(&err) == nil {
		t.log.Error("observations are not taken; clients are told to try again", "error", err)
	}
	return 0, "", err
}

// Health says whether what comes is taken in.
func (t *Tap) Health() (ok bool, says string) {
	if err := t.failing.Load(); err != nil {
		return false, "observations are not taken, clients are told to try again: " + (*err).Error()
	}
	total := t.in.Total()
	return true, fmt.Sprintf("%d exchanges taken in, %d spans and log records left out", total.Exchanges, total.Rejected)
}

// quiet is the log of servers whose lines quote what strangers send.
func quiet() *log.Logger { return log.New(io.Discard, "", 0) }
