package demo

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/app"
	"github.com/palladium-guard/palladium/app/serve"
	"github.com/palladium-guard/palladium/traffic/gateway/credential"
	"github.com/palladium-guard/palladium/world/drive"
	"github.com/palladium-guard/palladium/world/record"
)

// serveModel starts the model's server and returns its address.
func (r *Running) serveModel(m *drive.Model) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("listen for the model: %w", err)
	}
	srv := &http.Server{Handler: m, ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = srv.Serve(l) // it ends by Close alone
	}()
	r.cleanup = append(r.cleanup, func() {
		_ = srv.Close()
		<-ended
	})
	return "http://" + l.Addr().String(), nil
}

func (r *Running) file(name string) string { return filepath.Join(r.o.Dir, name) }

// writeAccounts writes down what the operator knows of the accounts.
func (r *Running) writeAccounts() error {
	err := app.WriteFile(r.file("accounts.jsonl"), func(w io.Writer) error {
		var line []byte
		for a := range r.world.Accounts() {
			line = record.AppendAccount(line[:0], a)
			if _, err := w.Write(line); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("write the accounts: %w", err)
	}
	return nil
}

// writeKeys makes a key for each account.
func (r *Running) writeKeys() error {
	plans := map[string]string{}
	for a := range r.world.Accounts() {
		plans[a.ID] = a.Plan
	}
	now := time.Now()
	keys, err := credential.OpenKeys(r.file("keys.jsonl"))
	if err != nil {
		return err
	}
	for _, a := range r.Truth.Accounts {
		_, secret, err := keys.Create(now, rand.Reader, credential.Grant{Account: a.ID, Plan: cmp.Or(plans[a.ID], "free")}, now.Add(24*time.Hour), "demo")
		if err != nil {
			return err
		}
		r.secrets[a.ID] = secret.Reveal()
		if a.Campaign == "" && r.Key == "" {
			r.Key = r.secrets[a.ID]
		}
	}
	r.Accounts = len(r.Truth.Accounts)
	return nil
}

// configure writes the configuration. Days of the world pass in seconds, so that limits by the minute and the day are those of
// a world that is as much faster; a measure of policy is enforced as it would be.
func (r *Running) configure(upstream string) error {
	if r.o.API == "" { // known beforehand, since notices name the appeal page
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return fmt.Errorf("find a port for the operator's API: %w", err)
		}
		r.o.API = l.Addr().String()
		if err := l.Close(); err != nil {
			return fmt.Errorf("find a port for the operator's API: %w", err)
		}
	}
	mode := "enforce"
	if r.o.Shadow {
		mode = "shadow"
	}
	free := "{day: {requests: unlimited, input: unlimited, output: unlimited}, month: {requests: unlimited, input: unlimited, output: unlimited}}"
	text := fmt.Sprintf(`# Written by palladium demo.
gateway:
  listen: %q
  admin: {listen: "127.0.0.1:0", token_file: %q}
  upstreams: [{url: %q}]
  observe: {proxies: ["127.0.0.0/8"], queue: 16384}
  limits: {drain: 5s}
credentials: {keys: %q}
budget: {plans: {default: {account: %s, organization: %s, per_minute: {requests: 1M, tokens: unlimited}}}}
enforcement: {mode: %s}
taps: {files: [%q]}
`, cmp.Or(r.o.Listen, "127.0.0.1:0"), r.file("admin.token"), upstream, r.file("keys.jsonl"), free, free, mode, r.file("accounts.jsonl"))
	err := app.WriteFile(r.file("palladium.yaml"), func(w io.Writer) error { _, err := io.WriteString(w, text); return err })
	if err == nil {
		err = app.WriteFile(r.file("admin.token"), func(w io.Writer) error { _, err := io.WriteString(w, rand.Text()+"\n"); return err })
	}
	if err != nil {
		return fmt.Errorf("write the demo's configuration: %w", err)
	}
	return nil
}

// serve starts the system, and returns once it is up and knows the accounts.
func (r *Running) serve(ctx context.Context) error {
	inner, stop := context.WithCancel(context.WithoutCancel(ctx))
	r.stop = stop
	up := make(chan serve.Addresses, 1)
	go func() {
		r.ended <- serve.Run(inner, serve.Options{
			Config: r.file("palladium.yaml"), State: r.file("state"), API: r.o.API, Log: r.o.Log,
			Ready:    func(a serve.Addresses) { up <- a },
			Observed: func(next serve.Sink) serve.Sink { return timed{next, r.player.Clock(), r.pace} },
			Acted:    r.found,
			Welcome:  r.o.Welcome,
		})
	}()
	select {
	case r.Addresses = <-up:
		return nil
	case err := <-r.ended:
		r.ended <- err
		return fmt.Errorf("start the system: %w", err)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// timed gives observations the time of the world, in which days pass in seconds.
type timed struct {
	serve.Sink
	clock *drive.Clock
	pace  *pace
}

// Observe passes o on with the world's time.
func (t timed) Observe(o *palladium.Observation) {
	if now := t.clock.Now(); !now.IsZero() {
		o.Time = now.UnixMilli()
	}
	t.Sink.Observe(o)
	t.pace.observed()
}
