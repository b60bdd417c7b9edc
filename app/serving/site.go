package serving

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/app"
	"github.com/palladium-guard/palladium/config"
	"github.com/palladium-guard/palladium/internal/tlsfile"
	"github.com/palladium-guard/palladium/store/journal"
	"github.com/palladium-guard/palladium/store/watch"
	"github.com/palladium-guard/palladium/traffic/budget"
	"github.com/palladium-guard/palladium/traffic/dialect/anthropic"
	"github.com/palladium-guard/palladium/traffic/dialect/openai"
	"github.com/palladium-guard/palladium/traffic/gateway"
	"github.com/palladium-guard/palladium/traffic/gateway/admin"
	"github.com/palladium-guard/palladium/traffic/gateway/credential"
	"github.com/palladium-guard/palladium/traffic/gateway/listen"
	"github.com/palladium-guard/palladium/traffic/gateway/observe"
	"github.com/palladium-guard/palladium/traffic/measure"
	"github.com/palladium-guard/palladium/traffic/restrict"
	"github.com/palladium-guard/palladium/traffic/verdict"
)

// site is one running gateway with all that it needs.
type site struct {
	o    Options
	log  *slog.Logger
	life context.Context // of everything that runs beside the listeners
	end  context.CancelFunc

	gateway     *gateway.Gateway
	certificate *tlsfile.Keeper // nil without TLS
	ledger      *budget.Ledger
	journal     *journal.File // of the ledger; nil: it forgets
	limiter     *budget.Limiter
	observer    *observe.Observer // nil: nothing is observed
	sink        *lineSink         // nil: observations are counted only
	verdicts    *verdict.Holder
	version     atomic.Uint64 // of the verdict table

	mu      sync.Mutex // guards what reload changes
	file    *config.File
	keys    *credential.Keys // nil when no file is configured
	checker *credential.Checker
	forget  context.CancelFunc // ends what the checker fetches
	watched map[string]bool    // files of secrets that are followed
}

// open builds all parts of f.
func (s *site) open(f *config.File) error {
	g := &f.Gateway
	s.limiter = budget.NewLimiter()
	key, err := s.openState(g.State, behind(g.Outlive))
	if err != nil {
		return err
	}
	s.verdicts = verdict.NewHolder(g.Verdicts.MaxAge)
	if j := s.o.Join; j != nil {
		key = j.Key
		if j.Lease != nil {
			s.ledger.Join(j.Lease)
		}
		if g.Verdicts.File != "" {
			return errors.New("gateway.verdicts.file is set, but verdicts come from the detector: leave it out, or run palladium gateway alone")
		}
		go j.Follow(s.life, s.verdicts, s.log)
	} else if g.Verdicts.File == "" {
		if err := s.Replace(nil); err != nil {
			return err
		}
	} else {
		s.readVerdicts(g.Verdicts.File)
	}
	opt, err := s.parts(f)
	if err != nil {
		return err
	}
	if !g.Observe.Off {
		if s.observer, err = s.observe(g.Observe, key); err != nil {
			return err
		}
		opt.Observer = s.observer
	}
	opt.OpenAI, opt.Anthropic, opt.Log, opt.Tracer = openai.New(), anthropic.New(), s.log, s.o.Tracer
	if s.gateway, err = gateway.New(opt); err != nil {
		return err
	}
	if g.TLS.Certificate != "" {
		if s.certificate, err = listen.OpenCertificate(g.TLS, s.checker.WantsCertificates()); err != nil {
			return err
		}
	}
	s.file = f
	return nil
}

// observe opens the observer and what it gives observations to.
func (s *site) observe(o gateway.Observe, key [32]byte) (*observe.Observer, error) {
	var to observe.Sink
	if o.Dir != "" {
		var err error
		if s.sink, err = newLineSink(o.Dir, s.log); err != nil {
			return nil, err
		}
		to = s.sink
	}
	if s.o.Join != nil {
		to = s.o.Join.Sink
	}
	cues, err := app.Cues()
	if err != nil {
		return nil, err
	}
	return observe.New(o, measure.New(key, cues), to)
}

// parts builds what can be reloaded.
func (s *site) parts(f *config.File) (gateway.Options, error) {
	opt := gateway.Options{Config: f.Gateway, Verdicts: s.verdicts}
	policy, err := restrict.New(f.Restrict)
	if err != nil {
		return opt, err
	}
	book, err := budget.NewBook(f.Budget)
	if err != nil {
		return opt, fmt.Errorf("budget: %w", err)
	}
	keys := s.keys
	if path := f.Credentials.Keys; path == "" {
		keys = nil
	} else if keys == nil || keys.Path() != path {
		if keys, err = credential.OpenKeys(path); err != nil {
			return opt, err
		}
		keys.Watch(s.life, func(err error) {
			if err != nil {
				s.log.Error("keys cannot be read; those that are known still hold", "error", err)
			}
		})
	}
	ctx, forget := context.WithCancel(s.life)
	checker, err := credential.New(ctx, f.Credentials, keys)
	if err != nil {
		forget()
		return opt, err
	}
	if f.Credentials.Anonymous.Allow {
		s.log.Warn("anybody is served without a credential", "plan", f.Credentials.Anonymous.Plan)
	}
	s.keys, s.checker, s.forget = keys, checker, forget
	opt.Callers, opt.Strip, opt.Policy = checker, checker.Headers(), policy
	opt.Allowance = gateway.Allowance{Book: book, Ledger: s.ledger, Limiter: s.limiter}
	return opt, nil
}

// reload reads the configuration again and puts it in force, whole or not at all.
func (s *site) reload() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := s.o.Load()
	if err != nil {
		return err
	}
	if j := s.o.Join; j != nil && j.Refuse != nil {
		if err := j.Refuse(f); err != nil {
			return err
		}
	}
	keys, checker, forget := s.keys, s.checker, s.forget
	opt, err := s.parts(f)
	if err != nil {
		return err
	}
	s.watchSecrets(f) // before they are read, so that no change is missed
	if err := s.gateway.Reload(opt); err != nil {
		s.forget()
		s.keys, s.checker, s.forget = keys, checker, forget
		return err
	}
	forget()
	if j := s.o.Join; j != nil && j.Reloaded != nil {
		j.Reloaded(f)
	}
	if f.Gateway.Verdicts.File != "" {
		s.readVerdicts(f.Gateway.Verdicts.File)
	}
	was, is := s.file.Gateway, f.Gateway
	if was.Listen != is.Listen || was.Admin != is.Admin || was.TLS != is.TLS || was.State != is.State || was.Outlive != is.Outlive || was.Verdicts != is.Verdicts || !reflect.DeepEqual(was.Observe, is.Observe) {
		s.log.Warn("listeners, tls files, state directory, verdict file and observation change with the next start only")
	}
	return nil
}

func (s *site) reloadAndTell() {
	if err := s.reload(); err != nil {
		s.log.Error("configuration is not taken; the one before stays in force", "error", err)
		return
	}
	s.log.Info("configuration was read again")
}

// watch follows the files that can change while the gateway runs.
func (s *site) watch(f *config.File) {
	if s.o.Config != "" {
		watch.File(s.life, s.o.Config, 0, s.reloadAndTell)
	}
	s.mu.Lock()
	s.watchSecrets(f)
	s.mu.Unlock()
	if file := f.Gateway.Verdicts.File; file != "" {
		watch.File(s.life, file, 0, func() { s.readVerdicts(file) })
	}
	if s.certificate != nil {
		for _, file := range s.certificate.Files() {
			watch.File(s.life, file, 0, func() {
				if err := s.certificate.Reload(); err != nil { // between the two files of a pair this is usual
					s.log.Warn("certificate is not taken; the one before stays in use", "error", err)
					return
				}
				s.log.Info("certificate was read again")
			})
		}
	}
	go func() {
		t := time.NewTicker(time.Hour)
		defer t.Stop()
		back := time.NewTicker(time.Minute)
		defer back.Stop()
		trim := time.NewTicker(time.Second)
		defer trim.Stop()
		for {
			select {
			case now := <-t.C:
				s.ledger.Sweep(now)
				s.limiter.Sweep(now)
			case now := <-back.C:
				s.giveBack(now)
			case now := <-trim.C:
				s.trim(now)
			case <-s.life.Done():
				return
			}
		}
	}()
}

// watchSecrets follows the files of upstreams' secrets that are not followed yet. mu is held.
func (s *site) watchSecrets(f *config.File) {
	for _, u := range f.Gateway.Upstreams {
		if file := u.SecretFile; file != "" && !s.watched[file] {
			s.watched[file] = true
			watch.File(s.life, file, 0, s.reloadAndTell)
		}
	}
}

// readVerdicts takes in the verdict file. When it cannot be read the table before it is kept, and not relied on.
func (s *site) readVerdicts(file string) {
	data, err := os.ReadFile(file)
	if err == nil {
		var list []palladium.Verdict
		if t, e := verdict.Decode(data); e == nil {
			list = slices.Collect(t.All())
		} else {
			list, err = verdict.ReadList(data)
		}
		if err == nil {
			err = s.Replace(list)
		}
	}
	if err != nil {
		s.verdicts.Fail(err)
		s.log.Error("verdicts cannot be read; each route fails as it is configured to", "error", err)
	}
}

// Replace puts a table of verdicts in the place of the one in use.
func (s *site) Replace(list []palladium.Verdict) error {
	now := time.Now()
	t, err := verdict.New(s.version.Add(1), now, list)
	if err != nil {
		return err
	}
	if err := s.verdicts.Swap(t, now); err != nil {
		return err
	}
	s.log.Info("verdicts are in force", "verdicts", t.Len(), "version", t.Version())
	return nil
}

// Revoke ends a key at once.
func (s *site) Revoke(id, reason string) error {
	s.mu.Lock()
	keys := s.keys
	s.mu.Unlock()
	if keys == nil {
		return admin.ErrUnknown
	}
	_, err := keys.Revoke(time.Now(), id, reason)
	if errors.Is(err, credential.ErrUnknownKey) {
		return admin.ErrUnknown
	}
	if err == nil {
		s.log.Info("key was revoked", "key", id)
	}
	return err
}

// health adds to the gateway's parts those that only this package knows.
func (s *site) health() []gateway.Part {
	parts := s.gateway.Health()
	s.mu.Lock()
	status := s.checker.Status()
	s.mu.Unlock()
	id := gateway.Part{Name: "identities", OK: len(status) == 0}
	names := make([]string, 0, len(status))
	for name := range status {
		names = append(names, name)
	}
	slices.Sort(names)
	if len(names) > 0 {
		id.Says = "failing: " + strings.Join(names, ", ")
	}
	parts = append(parts, id)
	if s.observer != nil {
		measured, dropped := s.observer.Counts()
		p := gateway.Part{Name: "observation", OK: true, Says: fmt.Sprintf("%d exchanges measured, %d dropped", measured, dropped)}
		if s.sink != nil && s.sink.Lost() > 0 {
			p.OK, p.Says = false, p.Says+fmt.Sprintf(", %d writes failed: look at the disk they are on", s.sink.Lost())
		}
		parts = append(parts, p)
	}
	if s.o.Join != nil && s.o.Join.Health != nil {
		parts = append(parts, s.o.Join.Health()...)
	}
	if s.journal != nil {
		parts = append(parts, budgetsPart(s.journal.Err()))
	}
	return parts
}

// budgetsPart says how the journal of budgets is. One that only could not be shortened takes records all the same.
func budgetsPart(err error) gateway.Part {
	p := gateway.Part{Name: "budgets", OK: err == nil, Needed: err == nil || errors.Is(err, journal.ErrFailed)}
	if err != nil {
		p.Says = err.Error()
	}
	return p
}

// admin is the operator's server.
func (s *site) admin(f *config.File) (*http.Server, error) {
	token, err := os.ReadFile(f.Gateway.Admin.TokenFile)
	if err != nil {
		return nil, fmt.Errorf("read the admin token: %w", err)
	}
	token = bytes.TrimSpace(token)
	if len(token) < 16 {
		return nil, fmt.Errorf("read the admin token: %s holds fewer than 16 characters: put a random token there, such as `openssl rand -hex 32` gives", f.Gateway.Admin.TokenFile)
	}
	reg := prometheus.NewRegistry()
	figures := []prometheus.Collector{s.gateway, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})}
	if s.observer != nil {
		figures = append(figures, s.observer)
	}
	if s.o.Join != nil {
		figures = append(figures, s.o.Join.Metrics...)
	}
	for _, c := range figures {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	o := admin.Options{
		Token: string(token), Health: s.health, Metrics: promhttp.HandlerFor(reg, promhttp.HandlerOpts{}), Keys: s, Reload: s.reload,
		Parse: verdict.ReadList,
	}
	if f.Gateway.Verdicts.File == "" && s.o.Join == nil {
		o.Verdicts = s
	}
	return admin.New(o), nil
}

// behind is how long what was drawn may wait to be on disk, in gateway.outlive's words.
func behind(outlive string) time.Duration {
	if outlive == "machine" {
		return 0
	}
	return time.Second
}

const measuringKey = "measuring.key"

// openState opens the state directory and returns the measuring key.
func (s *site) openState(dir string, sync time.Duration) (key [32]byte, err error) {
	_, _ = rand.Read(key[:]) // never fails
	if dir == "" {
		s.ledger = budget.New(nil, nil)
		s.log.Warn("no state directory: budgets start anew with every start; set gateway.state or --state")
		return key, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return key, fmt.Errorf("make the state directory: %w", err)
	}
	path := filepath.Join(dir, measuringKey)
	old, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = app.WriteFile(path, func(w io.Writer) error { _, err := w.Write(key[:]); return err })
		if err != nil {
			return key, fmt.Errorf("make the measuring key: %w", err)
		}
	case err != nil:
		return key, fmt.Errorf("read the measuring key: %w", err)
	case len(old) != len(key):
		return key, fmt.Errorf("read the measuring key: %s has %d bytes, not %d: restore it from a copy", path, len(old), len(key))
	default:
		copy(key[:], old)
	}
	s.ledger, s.journal, err = app.OpenLedger(filepath.Join(dir, "budgets"), sync)
	return key, err
}

// giveBack lets other gateways have what this one holds of shared caps and does not draw.
func (s *site) giveBack(now time.Time) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := s.ledger.GiveBack(ctx, now); err != nil {
		s.log.Warn("portions of budgets are not given back; they count as drawn until the day or the month ends", "error", err)
	}
}

// trim gives back at once what is more than a gateway needs to hold. What cannot be returned counts as drawn, and giveBack tells.
func (s *site) trim(now time.Time) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := s.ledger.Trim(ctx, now); err != nil {
		s.log.Debug("portions of budgets are not given back", "error", err)
	}
}

// close ends what runs beside the listeners.
func (s *site) close() {
	if s.gateway != nil {
		s.gateway.Close()
		s.giveBack(time.Now())
	}
	if s.observer != nil {
		s.observer.Close()
	}
	if s.sink != nil {
		if err := s.sink.Close(); err != nil {
			s.log.Error("the last observations could not be written", "error", err)
		}
	}
	s.end()
	if s.journal != nil {
		if err := s.journal.Close(); err != nil {
			s.log.Error("budgets could not be kept to the end; open reservations count as spent", "error", err)
		}
	}
}
