// Package pool is the servers of models behind a gateway: which one gets a request, whether it is well, and the secret by
// which it knows the gateway.
package pool

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/palladium-guard/palladium/internal/tlsfile"
	"github.com/palladium-guard/palladium/internal/wildcard"
)

// Upstream is one server of models. Its health is shared by all pools that hold it. It is safe for concurrent use.
type Upstream struct {
	cfg    Config
	base   *url.URL
	secret string
	plain  *client         // without TLS
	client *http.Transport // with TLS, where HTTP/2 may be spoken
	open   atomic.Int64    // exchanges in flight
	fails  atomic.Int32    // connection failures and failed checks in a row
	out    atomic.Int64    // Unix nanoseconds until which it is left out; 0: in
	ejects atomic.Int32    // times it was taken out since it last answered
	sick   atomic.Bool     // the last active check failed
}

// Pool is the upstreams of one configuration. It never changes and is safe for concurrent use.
type Pool struct {
	all []*Upstream
}

// maxUpstreams lets a set of them be one word.
const maxUpstreams = 64

// dialError marks a request of which nothing was sent: no connection could be made.
type dialError struct{ err error }

func (e *dialError) Error() string { return "connect: " + e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }

// Limits are the times that hold for all upstreams.
type Limits struct {
	Connect time.Duration // to make a connection
	Idle    time.Duration // that one is kept without a request
}

// Open opens the upstreams of configs, which are filled and checked, and takes over from old, which may be nil, those
// whose configuration and secret are the same. Errors name the upstream, and no secret.
func Open(configs []Config, l Limits, old *Pool) (*Pool, error) {
	if len(configs) > maxUpstreams {
		return nil, fmt.Errorf("gateway: upstreams: at most %d are possible: put a balancer before some", maxUpstreams)
	}
	p := &Pool{}
	for _, c := range configs {
		secret, err := c.secret()
		if err != nil {
			return nil, err
		}
		if u := old.same(&c, secret); u != nil {
			p.all = append(p.all, u)
			continue
		}
		u, err := newUpstream(c, secret, l)
		if err != nil {
			return nil, err
		}
		p.all = append(p.all, u)
	}
	return p, nil
}

func (p *Pool) same(c *Config, secret string) *Upstream {
	if p == nil {
		return nil
	}
	for _, u := range p.all {
		if u.secret == secret && reflect.DeepEqual(u.cfg, *c) {
			return u
		}
	}
	return nil
}

func newUpstream(c Config, secret string, l Limits) (*Upstream, error) {
	base, err := c.base()
	if err != nil {
		return nil, fmt.Errorf("gateway: upstreams: %s: %w", c.Name, err)
	}
	roots, err := tlsfile.Authorities(c.CA)
	if err != nil {
		return nil, fmt.Errorf("gateway: upstreams: %s: %w", c.Name, err)
	}
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		d := net.Dialer{Timeout: l.Connect, KeepAlive: 30 * time.Second}
		conn, err := d.DialContext(ctx, network, addr)
		if err != nil {
			return nil, &dialError{err}
		}
		return conn, nil
	}
	u := &Upstream{cfg: c, base: base, secret: secret}
	if base.Scheme == "http" {
		port := base.Port()
		if port == "" {
			port = "80"
		}
		u.plain = newClient(net.JoinHostPort(base.Hostname(), port), l.Idle, dial)
		return u, nil
	}
	u.client = &http.Transport{
		DialContext:            dial,
		TLSClientConfig:        tlsfile.Trusting(roots),
		TLSHandshakeTimeout:    l.Connect,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true, // bytes pass as they are
		MaxIdleConns:           0,
		MaxIdleConnsPerHost:    most,
		IdleConnTimeout:        l.Idle,
		MaxResponseHeaderBytes: maxHead,
	}
	return u, nil
}

// Chooses reports whether u serves some models only.
func (u *Upstream) Chooses() bool { return len(u.cfg.Models) > 0 }

// Serves reports whether u answers for model; "" is asked for paths without one.
func (u *Upstream) Serves(model string) bool {
	return model == "" || len(u.cfg.Models) == 0 || wildcard.Any(u.cfg.Models, model)
}

// Well reports whether u is to be used at the time now, Unix nanoseconds.
func (u *Upstream) Well(now int64) bool { return !u.sick.Load() && u.out.Load() <= now }

// Pick chooses an upstream for model that is not in tried, by weight among the healthy ones. When none is healthy, the
// sick ones are tried: an answer that may fail is better than one that must. known is false when no upstream serves the
// model at all.
func (p *Pool) Pick(model string, tried uint64, now int64) (u *Upstream, at int, known bool) {
	if len(p.all) == 1 && tried == 0 && p.all[0].Serves(model) {
		return p.all[0], 0, true
	}
	for _, sickToo := range [2]bool{false, true} {
		total := 0
		for i, u := range p.all {
			if !u.Serves(model) {
				continue
			}
			known = true
			if tried&(1<<i) == 0 && u.cfg.Weight > 0 && (sickToo || u.Well(now)) {
				total += u.cfg.Weight
			}
		}
		if total == 0 {
			continue
		}
		left := rand.IntN(total)
		for i, u := range p.all {
			if tried&(1<<i) != 0 || u.cfg.Weight <= 0 || !u.Serves(model) || !sickToo && !u.Well(now) {
				continue
			}
			if left -= u.cfg.Weight; left < 0 {
				return u, i, true
			}
		}
	}
	return nil, 0, known
}

// Failed counts a connection that could not be made or an answer that never began.
func (u *Upstream) Failed(log *slog.Logger, now time.Time) {
	if int(u.fails.Add(1)) < u.cfg.Health.Fails {
		return
	}
	n := min(u.ejects.Add(1), 5)
	u.fails.Store(0)
	d := u.cfg.Health.Eject << (n - 1)
	u.out.Store(now.Add(d).UnixNano())
	log.Warn("upstream is left out for a while: it cannot be reached", "upstream", u.cfg.Name, "for", d)
}

// answered takes back what Failed counted.
func (u *Upstream) answered() {
	if u.fails.Load() != 0 || u.ejects.Load() != 0 {
		u.fails.Store(0)
		u.ejects.Store(0)
		u.out.Store(0)
	}
}

// Watch asks the health path of each upstream that has one until ctx ends. It returns at once.
func (p *Pool) Watch(ctx context.Context, log *slog.Logger) {
	for _, u := range p.all {
		if u.cfg.Health.Path != "" {
			go u.watch(ctx, log)
		}
	}
}

// watch asks the upstream's health path until ctx ends.
func (u *Upstream) watch(ctx context.Context, log *slog.Logger) {
	t := time.NewTicker(u.cfg.Health.Every)
	defer t.Stop()
	fails := 0
	for {
		err := u.check(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			fails = 0
			if u.sick.CompareAndSwap(true, false) {
				u.answered()
				log.Info("upstream is healthy again", "upstream", u.cfg.Name)
			}
		} else if fails++; fails >= u.cfg.Health.Fails && u.sick.CompareAndSwap(false, true) {
			log.Warn("upstream fails its health check", "upstream", u.cfg.Name, "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

func (u *Upstream) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, u.cfg.Health.Timeout)
	defer cancel()
	at := *u.base
	at.Path += u.cfg.Health.Path
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return errors.New("the health path makes no address")
	}
	if u.secret != "" {
		u.Authorize(req.Header, "bearer")
	}
	resp, err := u.roundTrip(ctx, req, nil)
	if err != nil {
		return u.Clean(err)
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // so that the connection can be used again
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("it answers with status %d", resp.StatusCode)
	}
	return nil
}

// Authorize puts the upstream's secret where it expects it. scheme is the dialect's way, which the configuration overrides.
func (u *Upstream) Authorize(h http.Header, scheme string) {
	if u.secret == "" {
		return
	}
	if u.cfg.Auth != "" {
		scheme = u.cfg.Auth
	}
	switch scheme {
	case "x-api-key":
		h["X-Api-Key"] = []string{u.secret}
	case "api-key":
		h["Api-Key"] = []string{u.secret}
	default:
		h["Authorization"] = []string{"Bearer " + u.secret}
	}
}

// Clean reduces an error of the transport to its kind, so that neither an address nor text of an answer gets out.
func (u *Upstream) Clean(err error) error {
	var dial *dialError
	var timeout net.Error
	switch {
	case errors.As(err, &dial):
		return errors.New("no connection can be made")
	case errors.Is(err, context.Canceled):
		return errors.New("it was cancelled")
	case errors.As(err, &timeout) && timeout.Timeout():
		return errors.New("it does not answer in time")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("it closes the connection")
	}
	var cert *tls.CertificateVerificationError
	if errors.As(err, &cert) {
		return errors.New("its certificate is not trusted")
	}
	return errors.New("its answer cannot be read")
}

// Close lets go of idle connections.
func (p *Pool) Close() {
	for _, u := range p.all {
		if u.plain != nil {
			u.plain.close()
		} else {
			u.client.CloseIdleConnections()
		}
	}
}

// All lists the upstreams.
func (p *Pool) All() []*Upstream { return p.all }

// Name is the upstream's name.
func (u *Upstream) Name() string { return u.cfg.Name }

// Timeout is how long the upstream may take to begin its answer.
func (u *Upstream) Timeout() time.Duration { return u.cfg.Timeout }

// Secret is the secret by which the upstream knows the gateway; "" when there is none. It is for taking it out of answers.
func (u *Upstream) Secret() string { return u.secret }

// Open is the number of exchanges that the upstream is answering.
func (u *Upstream) Open() int64 { return u.open.Load() }

// Done ends what Send began.
func (u *Upstream) Done() { u.open.Add(-1) }

// Address is where path, with its escaped form where that differs, and query lie on the upstream.
func (u *Upstream) Address(path, escaped, query string) *url.URL {
	to := &url.URL{Scheme: u.base.Scheme, Host: u.base.Host, Path: u.base.Path + path, RawQuery: query}
	if escaped != "" {
		to.RawPath = u.base.EscapedPath() + escaped
	}
	return to
}

// Send sends req with that body once and waits for the response headers. The body of the response may be Pieces. unsent
// tells of an error that no byte was sent: another upstream may be asked. Without an error, or where something may have
// been sent, the caller calls Done when the exchange is over.
func (u *Upstream) Send(ctx context.Context, req *http.Request, body []byte) (resp *http.Response, unsent bool, err error) {
	u.open.Add(1)
	resp, err = u.roundTrip(ctx, req, body)
	if err == nil {
		u.answered()
		return resp, false, nil
	}
	var dial *dialError
	if errors.As(err, &dial) {
		u.open.Add(-1)
		return nil, true, err
	}
	return nil, false, err
}

func (u *Upstream) roundTrip(ctx context.Context, req *http.Request, body []byte) (*http.Response, error) {
	if u.plain != nil {
		return u.plain.send(ctx, req, body)
	}
	req = req.WithContext(ctx)
	if len(body) > 0 {
		// net/http knows this to be in memory: headers and body leave in one write, and can be sent anew where no byte of
		// them was.
		req.Body = io.NopCloser(bytes.NewReader(body))
		req.ContentLength = int64(len(body))
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	}
	return u.client.RoundTrip(req)
}
