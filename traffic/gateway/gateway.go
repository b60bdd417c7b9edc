// Package gateway is the only inline code: it stands between callers and a model's server, knows who calls, holds them
// to policy, budget and verdict, passes answers on as they come, and observes.
//
// DESIGN.md beside this file says what was weighed.
package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/palladium-guard/palladium/traffic/gateway/pool"
	"github.com/palladium-guard/palladium/traffic/restrict"
	"github.com/palladium-guard/palladium/traffic/verdict"
)

// Options are the parts that a Gateway works with. Those that are nil are left out.
type Options struct {
	Config    Config
	Callers   Authenticator    // nil refuses everybody
	Strip     []string         // caller's headers, in canonical form, that identify and are not to be passed on
	Policy    *restrict.Policy // nil: the default policy
	Allowance Allowance        // without a Ledger nothing is limited
	Verdicts  *verdict.Holder  // nil: there are none

	// What follows is taken by New; Reload leaves it as it is.
	OpenAI, Anthropic Dialect      // needed
	Observer          Observer     // nil: nothing is observed
	Tracer            Tracer       // nil: nothing is traced
	Log               *slog.Logger // what the operator should know; never text or secrets
}

// Gateway serves callers. It is safe for concurrent use.
type Gateway struct {
	log               *slog.Logger
	current           atomic.Pointer[snapshot]
	meters            *meters
	openAI, anthropic Dialect
	observer          Observer
	tracer            Tracer // nil: none
	memory            *restrict.Memory
	scratch           sync.Pool    // of *scratch
	chunks            sync.Pool    // of *[]byte, of chunkSize
	held              atomic.Int64 // bytes of request bodies
	inFlight          atomic.Int64
	draining          atomic.Bool

	mu    sync.Mutex // one reload at a time
	base  context.Context
	stop  context.CancelFunc
	watch context.CancelFunc // ends the health checks of the current snapshot
}

// snapshot is all that can be reloaded. It never changes; an exchange keeps the one that it began with.
type snapshot struct {
	cfg       *Config
	callers   Authenticator
	strip     []string
	policy    *restrict.Policy
	allowance Allowance
	verdicts  *verdict.Holder
	routes    *table
	pool      *pool.Pool
}

// What the request policy remembers over requests: 6 MB of seals, and up to 80 MB where very many accounts use biases.
const (
	rememberedSeals    = 1 << 18
	rememberedAccounts = 10_000
)

// New returns a Gateway that serves by opt. Close ends it.
func New(opt Options) (*Gateway, error) {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	g := &Gateway{log: opt.Log, meters: newMeters(), openAI: opt.OpenAI, anthropic: opt.Anthropic, observer: opt.Observer, tracer: opt.Tracer}
	g.memory = restrict.NewMemory(rememberedSeals, rememberedAccounts)
	g.chunks.New = func() any { b := make([]byte, chunkSize); return &b }
	g.scratch.New = func() any { return new(scratch) }
	g.base, g.stop = context.WithCancel(context.Background())
	if err := g.Reload(opt); err != nil {
		g.stop()
		return nil, err
	}
	return g, nil
}

// Reload puts opt in place of what was served by, whole or not at all. Exchanges that are open end as they began. The
// logger stays.
func (g *Gateway) Reload(opt Options) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	cfg := opt.Config
	cfg.Fill()
	if err := cfg.Check(); err != nil {
		return err
	}
	var old *pool.Pool
	if s := g.current.Load(); s != nil {
		old = s.pool
	}
	p, err := pool.Open(cfg.Upstreams, pool.Limits{Connect: cfg.Limits.Connect, Idle: cfg.Limits.UpstreamIdle}, old)
	if err != nil {
		return err
	}
	policy := opt.Policy
	if policy == nil {
		if policy, err = restrict.New(restrict.Default()); err != nil {
			return fmt.Errorf("read the default policy: %w", err)
		}
	}
	s := &snapshot{
		cfg: &cfg, callers: opt.Callers, strip: opt.Strip, policy: policy, allowance: opt.Allowance, verdicts: opt.Verdicts,
		pool: p, routes: newTable(&cfg, g.meters),
	}
	if g.watch != nil {
		g.watch()
	}
	var ctx context.Context
	ctx, g.watch = context.WithCancel(g.base)
	p.Watch(ctx, g.log)
	g.current.Store(s)
	if old != nil {
		old.Close()
	}
	return nil
}

// Drain has readiness say no from now on. What comes is served until the listener closes.
func (g *Gateway) Drain() { g.draining.Store(true) }

// InFlight is the number of exchanges being served.
func (g *Gateway) InFlight() int64 { return g.inFlight.Load() }

// Close ends health checks and idle connections. The server in front has been shut down before.
func (g *Gateway) Close() {
	g.stop()
	g.current.Load().pool.Close()
}

// ServeHTTP serves one exchange.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{g: g, s: g.current.Load(), w: w, r: r, start: time.Now(), id: newID()}
	n := g.inFlight.Add(1)
	defer x.finish()
	if n > int64(x.s.cfg.Limits.InFlight) {
		x.refuse(busy("gateway.busy"))
		return
	}
	if f := x.serve(); f != nil {
		x.refuse(f)
	}
}
