// Package check tells other people's gateways what is decided about the account behind a request: Envoy by its external
// authorisation over gRPC; nginx, Traefik and Caddy by a subrequest over HTTP; programs by a question in JSON. It refuses
// what a verdict refuses, keeps back what a verdict slows down, and tells what only the gateway that asks can do. It never
// answers falsely: each answer says which verdict it rests on, and whether verdicts could be relied on.
package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/palladium-guard/palladium/internal/listen"
	"github.com/palladium-guard/palladium/store/secret"
	"github.com/palladium-guard/palladium/traffic/verdict"
)

// Verdicts is the table of verdicts in use. It is safe for concurrent use.
type Verdicts interface {
	Find(account string, now time.Time) (verdict.Standing, verdict.State)
}

// Identity is what is known of who calls.
type Identity struct {
	Account     string // empty: not known
	Reason      string // why not, as a code such as credential.expired
	Unavailable bool   // it cannot be told at the moment
}

// Callers knows callers by the credential in a request's headers. It is safe for concurrent use and waits for nothing.
type Callers interface {
	Identify(r *http.Request) Identity
}

// Spending knows what accounts have drawn together. It is safe for concurrent use.
type Spending interface {
	// Left is how many of limit output tokens the campaign's accounts may still draw, and how long until they may draw
	// again as many.
	Left(campaign string, limit int64, now time.Time) (left int64, renewed time.Duration)
}

// Options are the parts that a Door works with.
type Options struct {
	Config   Config // filled
	Verdicts Verdicts
	Callers  Callers      // needed where the configuration wants credentials
	Spending Spending     // nil: budgets are told, not enforced
	Log      *slog.Logger // may be nil
}

// Door answers checks.
type Door struct {
	c        Config
	verdicts Verdicts
	callers  Callers
	spending Spending
	log      *slog.Logger
	keys     *secret.Keeper
	meters   *meters
	holding  atomic.Int64 // checks that are kept back
	strange  atomic.Bool  // a check without a token was logged
	http     *http.Server
	grpc     *grpc.Server
	at       listen.Pair
}

// Open checks the configuration, reads the files that it names and listens. Run serves.
func Open(o Options) (*Door, error) {
	d, err := open(o)
	if err != nil {
		return nil, err
	}
	if err := d.at.Bind(o.Config.HTTP, o.Config.GRPC); err != nil {
		return nil, fmt.Errorf("check: %w", err)
	}
	d.http, d.grpc = d.newHTTP(), d.newGRPC()
	return d, nil
}

func open(o Options) (*Door, error) {
	if err := o.Config.Check(); err != nil {
		return nil, err
	}
	switch {
	case o.Verdicts == nil:
		return nil, errors.New("check: it needs a table of verdicts")
	case o.Config.Account.Credential && o.Callers == nil:
		return nil, errors.New("check: account.credential is set, but no credentials are configured")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	keys, err := secret.Open(o.Config.Identity)
	if err != nil {
		return nil, fmt.Errorf("check: %w", err)
	}
	return &Door{c: o.Config, verdicts: o.Verdicts, callers: o.Callers, spending: o.Spending, log: o.Log, keys: keys, meters: newMeters()}, nil
}

// Addresses are where the door listens; nil for a form that is off.
func (d *Door) Addresses() (http, grpc net.Addr) { return d.at.Addresses() }

// Files lists the files to watch; when one has changed, call Reload.
func (d *Door) Files() []string { return d.c.Identity.Files() }

// Reload reads certificates and tokens again. When they cannot be used, those before stay.
func (d *Door) Reload() error { return d.keys.Reload() }

// drain is how long checks in hand are given when the door closes.
const drain = 5 * time.Second

// Run serves until ctx ends, then answers what is in hand and returns nil; or returns why it cannot serve.
func (d *Door) Run(ctx context.Context) error {
	if err := d.at.Serve(ctx, d.http, d.grpc, d.keys.TLS(), drain); err != nil {
		return fmt.Errorf("answer checks: %w", err)
	}
	return nil
}

// identify says who calls, by the headers of the caller's request as the gateway that asks passes them on. values gives
// all values under a canonical name.
func (d *Door) identify(values func(name string) []string, r func() *http.Request) Identity {
	if name := d.c.Account.Header; name != "" {
		switch v := values(name); {
		case len(v) > 1 || len(v) == 1 && strings.Contains(v[0], ","):
			// Somebody has put one beside the gateway's. Which is which cannot be told.
			return Identity{Reason: "account.ambiguous"}
		case len(v) == 1 && len(v[0]) > longestAccount:
			return Identity{Reason: "account.invalid"}
		case len(v) == 1 && strings.TrimSpace(v[0]) != "":
			return Identity{Account: strings.TrimSpace(v[0])}
		}
	}
	if d.c.Account.Credential {
		return d.callers.Identify(r())
	}
	return Identity{Reason: missing}
}

// longestAccount is the longest name of an account that a verdict can be of, in bytes.
const longestAccount = 255

// hold keeps an answer back as long as the verdict wants and most allows; false when the asker has left. What it did not
// wait for stays in the answer, for the asker to do.
func (d *Door) hold(ctx context.Context, a *Answer, most time.Duration) bool {
	wait := min(a.wait, most)
	if wait <= 0 {
		return true
	}
	if d.holding.Add(1) > int64(d.c.Hold.AtOnce) {
		d.holding.Add(-1)
		a.Allow, a.Status, a.After = false, http.StatusTooManyRequests, seconds(a.wait)
		a.Says = "Too many requests of slowed accounts wait already. Try again later."
		return true
	}
	defer d.holding.Add(-1)
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
		return false
	}
	a.wait -= wait
	a.Delay = a.wait.Seconds()
	return true
}

// unknown logs, once, that somebody asks without a token.
func (d *Door) unknown() {
	if !d.strange.Swap(true) {
		d.log.Error("a check came without one of the tokens of token_file: it is refused; configure the gateway that asks")
	}
}

// Health says whether checks can be answered by a table that can be relied on.
func (d *Door) Health() (ok bool, says string) {
	_, state := d.verdicts.Find("", time.Now())
	return state.Reliable(), fmt.Sprintf("verdicts are %s, %d checks are held", state, d.holding.Load())
}

// quiet is the log of servers whose lines quote what strangers send.
func quiet() *log.Logger { return log.New(io.Discard, "", 0) }
