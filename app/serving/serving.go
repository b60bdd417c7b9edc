// Package serving puts the gateway together and runs it: configuration, identities, policy, budgets, verdicts, listeners,
// reload and drain.
package serving

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/palladium-guard/palladium/config"
	"github.com/palladium-guard/palladium/traffic/gateway"
)

// Options are what the command line says.
type Options struct {
	Config    string   // file; "" for none
	Upstreams []string // addresses that take the place of the file's upstreams
	Listen    string   // takes the place of the file's
	Admin     string   // takes the place of the file's
	Anonymous string   // plan of callers without a credential; "" refuses them
	Log       io.Writer
	Ready     func(callers, admin net.Addr) // called once, when both listeners accept
}

// load reads the configuration and puts what the command line says over it.
func (o *Options) load() (*config.File, error) {
	f := &config.File{}
	if o.Config != "" {
		data, err := os.ReadFile(o.Config)
		if err != nil {
			return nil, fmt.Errorf("read the configuration: %w", err)
		}
		if f, err = config.Parse(data); err != nil {
			return nil, fmt.Errorf("read %s: %w", o.Config, err)
		}
	}
	g := &f.Gateway
	if len(o.Upstreams) > 0 {
		g.Upstreams = nil
		for _, u := range o.Upstreams {
			g.Upstreams = append(g.Upstreams, gateway.UpstreamConfig{URL: u})
		}
	}
	if o.Listen != "" {
		g.Listen = o.Listen
	}
	if o.Admin != "" {
		g.Admin.Listen = o.Admin
	}
	g.Fill()
	return f, g.Check()
}

// Run serves until ctx ends, then drains. It returns nil after an orderly end.
func Run(ctx context.Context, o Options) error {
	f, err := o.load()
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(o.Log, nil))
	g, err := gateway.New(gateway.Options{Config: f.Gateway, Callers: anonymous{plan: o.Anonymous}, Log: log})
	if err != nil {
		return err
	}
	defer g.Close()
	ln, err := net.Listen("tcp", f.Gateway.Listen)
	if err != nil {
		return fmt.Errorf("listen for callers: %w", err)
	}
	srv := gateway.Server(&f.Gateway, g, nil)
	log.Info("serving", "listen", ln.Addr().String())
	if o.Ready != nil {
		o.Ready(ln.Addr(), nil)
	}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve callers: %w", err)
	case <-ctx.Done():
	}
	g.Drain()
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), f.Gateway.Limits.Drain)
	defer cancel()
	start := time.Now()
	if err := srv.Shutdown(drain); err != nil && !errors.Is(err, http.ErrServerClosed) {
		n := g.InFlight()
		_ = srv.Close() // it is over either way
		return fmt.Errorf("drain: %d exchanges were cut off after %s", n, time.Since(start).Round(time.Second))
	}
	log.Info("drained", "after", time.Since(start).Round(time.Millisecond))
	return nil
}

// anonymous serves everybody under one plan; without a plan, nobody.
type anonymous struct{ plan string }

func (a anonymous) Identify(*http.Request) (gateway.Caller, error) {
	if a.plan == "" {
		return gateway.Caller{}, gateway.ErrNoCredential
	}
	return gateway.Caller{Account: "anonymous", Plan: a.plan, Kind: "anonymous"}, nil
}
