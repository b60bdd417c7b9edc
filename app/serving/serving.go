// Package serving puts the gateway together and runs it: configuration, identities, policy, budgets, verdicts, listeners,
// reload and drain.
package serving

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/palladium-guard/palladium/config"
	"github.com/palladium-guard/palladium/traffic/gateway"
	"github.com/palladium-guard/palladium/traffic/gateway/listen"
	"github.com/palladium-guard/palladium/traffic/gateway/pool"
)

// Options are what the command line says.
type Options struct {
	Config    string   // file; "" for none
	Upstreams []string // addresses that take the place of the file's upstreams
	Listen    string   // takes the place of the file's
	Admin     string   // takes the place of the file's
	Keys      string   // takes the place of the file's
	Verdicts  string   // takes the place of the file's
	State     string   // takes the place of the file's
	Anonymous string   // plan of callers without a credential; "" leaves it to the file
	Check     bool     // read and check everything, then end
	Log       io.Writer
	Appeal    func(*config.File) string     // where callers appeal where the file names no address; may be nil
	Tracer    gateway.Tracer                // nil: nothing is traced
	Join      *Joined                       // nil: the gateway stands alone
	Ready     func(callers, admin net.Addr) // called once, when the listeners accept; admin is nil when there is none
}

// Load reads the configuration and puts what the command line says over it.
func (o *Options) Load() (*config.File, error) {
	f := &config.File{}
	var data []byte
	if o.Config != "" {
		var err error
		if data, err = os.ReadFile(o.Config); err != nil {
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
			g.Upstreams = append(g.Upstreams, pool.Config{URL: u})
		}
	}
	over(&g.Listen, o.Listen)
	over(&g.Admin.Listen, o.Admin)
	over(&g.Verdicts.File, o.Verdicts)
	over(&g.State, o.State)
	over(&f.Credentials.Keys, o.Keys)
	if o.Anonymous != "" {
		f.Credentials.Anonymous.Allow, f.Credentials.Anonymous.Plan = true, o.Anonymous
	}
	if o.Appeal != nil {
		over(&g.Appeal, cmp.Or(g.Appeal, o.Appeal(f)))
	}
	g.Fill()
	return f, config.NewTrail(data).Locate(errors.Join(g.Check(), f.Credentials.Check()))
}

func over(v *string, by string) {
	if by != "" {
		*v = by
	}
}

// Run serves until ctx ends, then drains. It returns nil after an orderly end. A hang-up signal has it read the
// configuration again.
func Run(ctx context.Context, o Options) error {
	f, err := o.Load()
	if err != nil {
		return err
	}
	defer collectLess()()
	s := &site{o: o, log: slog.New(slog.NewTextHandler(o.Log, nil)), watched: map[string]bool{}}
	s.life, s.end = context.WithCancel(context.WithoutCancel(ctx))
	defer s.close()
	if err := s.open(f); err != nil {
		return err
	}
	if o.Check {
		return nil
	}
	callers, err := net.Listen("tcp", f.Gateway.Listen)
	if err != nil {
		return fmt.Errorf("listen for callers: %w", err)
	}
	defer callers.Close()
	servers := []*http.Server{listen.Server(&f.Gateway, s.gateway, s.certificate)}
	listeners := []net.Listener{callers}
	var adminAt net.Addr
	if f.Gateway.Admin.Listen != "" {
		l, err := net.Listen("tcp", f.Gateway.Admin.Listen)
		if err != nil {
			return fmt.Errorf("listen for the operator: %w", err)
		}
		defer l.Close()
		srv, err := s.admin(f)
		if err != nil {
			return err
		}
		servers, listeners, adminAt = append(servers, srv), append(listeners, l), l.Addr()
	}
	s.watch(f)
	failed := make(chan error, len(servers))
	for i, srv := range servers {
		go func() {
			if i == 0 && s.certificate != nil {
				failed <- srv.ServeTLS(listeners[i], "", "")
			} else {
				failed <- srv.Serve(listeners[i])
			}
		}()
	}
	s.log.Info("serving", "listen", callers.Addr().String(), "tls", s.certificate != nil, "upstreams", len(f.Gateway.Upstreams))
	if adminAt != nil {
		s.log.Info("serving the operator", "listen", adminAt.String())
	}
	if o.Ready != nil {
		o.Ready(callers.Addr(), adminAt)
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for {
		select {
		case <-hangup:
			s.reloadAndTell()
		case err := <-failed:
			return fmt.Errorf("serve: %w", err)
		case <-ctx.Done():
			return s.drain(servers, f.Gateway.Limits)
		}
	}
}

// drain lets open answers end, takes nothing new, and gives up after the limit. Health stays up meanwhile.
func (s *site) drain(servers []*http.Server, l gateway.Limits) error {
	start := time.Now()
	s.gateway.Drain()
	s.log.Info("draining", "open", s.gateway.InFlight())
	time.Sleep(l.DrainNotice) // balancers see that it is not ready before connections are refused
	limit, cancel := context.WithTimeout(context.Background(), l.Drain)
	defer cancel()
	err := servers[0].Shutdown(limit)
	for _, srv := range servers[1:] {
		_ = srv.Close() // nobody waits for the operator's requests
	}
	if err != nil {
		n := s.gateway.InFlight()
		_ = servers[0].Close() // it is over either way
		return fmt.Errorf("drain: %d open answers were cut off after %s", n, time.Since(start).Round(time.Second))
	}
	s.log.Info("drained", "after", time.Since(start).Round(time.Millisecond))
	return nil
}
