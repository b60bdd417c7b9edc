package gateway

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"sync/atomic"
	"time"
)

// upstream is one server of models. Its health is shared by all snapshots that hold it.
type upstream struct {
	cfg    UpstreamConfig
	base   *url.URL
	secret string
	client *http.Transport
	open   atomic.Int64 // exchanges in flight
	fails  atomic.Int32 // connection failures and failed checks in a row
	out    atomic.Int64 // Unix nanoseconds until which it is left out; 0: in
	ejects atomic.Int32 // times it was taken out since it last answered
	sick   atomic.Bool  // the last active check failed
}

// pool is the upstreams of one snapshot. At most 64, so that a set of them is one word.
type pool struct {
	all []*upstream
}

const maxUpstreams = 64

// errDial marks a request of which nothing was sent: no connection could be made.
type errDial struct{ err error }

func (e *errDial) Error() string { return "connect: " + e.err.Error() }
func (e *errDial) Unwrap() error { return e.err }

// newPool opens the upstreams of cfg, and takes over from old those whose configuration and secret are the same.
func newPool(cfg *Config, old *pool) (*pool, error) {
	if len(cfg.Upstreams) > maxUpstreams {
		return nil, fmt.Errorf("gateway: upstreams: at most %d are possible: put a balancer before some", maxUpstreams)
	}
	p := &pool{}
	for _, c := range cfg.Upstreams {
		secret, err := c.secret()
		if err != nil {
			return nil, err
		}
		if u := old.same(&c, secret); u != nil {
			p.all = append(p.all, u)
			continue
		}
		u, err := newUpstream(c, secret, &cfg.Limits)
		if err != nil {
			return nil, err
		}
		p.all = append(p.all, u)
	}
	return p, nil
}

func (p *pool) same(c *UpstreamConfig, secret string) *upstream {
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

func newUpstream(c UpstreamConfig, secret string, l *Limits) (*upstream, error) {
	base, err := c.base()
	if err != nil {
		return nil, fmt.Errorf("gateway: upstreams: %s: %w", c.Name, err)
	}
	roots, err := authorities(c.CA)
	if err != nil {
		return nil, fmt.Errorf("gateway: upstreams: %s: %w", c.Name, err)
	}
	dial := &net.Dialer{Timeout: l.Connect, KeepAlive: 30 * time.Second}
	return &upstream{cfg: c, base: base, secret: secret, client: &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dial.DialContext(ctx, network, addr)
			if err != nil {
				return nil, &errDial{err}
			}
			return conn, nil
		},
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    l.Connect,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true, // bytes pass as they are
		MaxIdleConns:           0,
		MaxIdleConnsPerHost:    4096,
		IdleConnTimeout:        l.UpstreamIdle,
		MaxResponseHeaderBytes: 256 << 10,
	}}, nil
}

// authorities reads a PEM file of certificates; nil, the system's, without one.
func authorities(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read authorities: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read authorities: %s holds no certificate in PEM form", file)
	}
	return roots, nil
}

// serves reports whether u answers for model; "" is asked for paths without one.
func (u *upstream) serves(model string) bool {
	return model == "" || len(u.cfg.Models) == 0 || matchAny(u.cfg.Models, model)
}

// well reports whether u is to be used at the time now, Unix nanoseconds.
func (u *upstream) well(now int64) bool { return !u.sick.Load() && u.out.Load() <= now }

// pick chooses an upstream for model that is not in tried, by weight among the healthy ones. When none is healthy, the
// sick ones are tried: an answer that may fail is better than one that must. known is false when no upstream serves the
// model at all.
func (p *pool) pick(model string, tried uint64, now int64) (u *upstream, at int, known bool) {
	if len(p.all) == 1 && tried == 0 && p.all[0].serves(model) {
		return p.all[0], 0, true
	}
	for _, sickToo := range [2]bool{false, true} {
		total := 0
		for i, u := range p.all {
			if !u.serves(model) {
				continue
			}
			known = true
			if tried&(1<<i) == 0 && u.cfg.Weight > 0 && (sickToo || u.well(now)) {
				total += u.cfg.Weight
			}
		}
		if total == 0 {
			continue
		}
		left := rand.IntN(total)
		for i, u := range p.all {
			if tried&(1<<i) != 0 || u.cfg.Weight <= 0 || !u.serves(model) || !sickToo && !u.well(now) {
				continue
			}
			if left -= u.cfg.Weight; left < 0 {
				return u, i, true
			}
		}
	}
	return nil, 0, known
}

// failed counts a connection that could not be made or an answer that never began.
func (u *upstream) failed(log *slog.Logger, now time.Time) {
	if int(u.fails.Add(1)) < u.cfg.Health.Fails {
		return
	}
	n := min(u.ejects.Add(1), 5)
	u.fails.Store(0)
	d := u.cfg.Health.Eject << (n - 1)
	u.out.Store(now.Add(d).UnixNano())
	log.Warn("upstream is left out for a while: it cannot be reached", "upstream", u.cfg.Name, "for", d)
}

// answered takes back what failed counted.
func (u *upstream) answered() {
	if u.fails.Load() != 0 || u.ejects.Load() != 0 {
		u.fails.Store(0)
		u.ejects.Store(0)
		u.out.Store(0)
	}
}

// watch asks the upstream's health path until ctx ends.
func (u *upstream) watch(ctx context.Context, log *slog.Logger) {
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

func (u *upstream) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, u.cfg.Health.Timeout)
	defer cancel()
	at := *u.base
	at.Path += u.cfg.Health.Path
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return errors.New("the health path makes no address")
	}
	if u.secret != "" {
		u.authorize(req.Header, "bearer")
	}
	resp, err := u.client.RoundTrip(req)
	if err != nil {
		return u.clean(err)
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // so that the connection can be used again
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("it answers with status %d", resp.StatusCode)
	}
	return nil
}

// authorize puts the upstream's secret where it expects it. scheme is the dialect's way, which the configuration overrides.
func (u *upstream) authorize(h http.Header, scheme string) {
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

// clean reduces an error of the transport to its kind, so that neither an address nor text of an answer gets out.
func (u *upstream) clean(err error) error {
	var dial *errDial
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

// close lets go of idle connections.
func (p *pool) close() {
	for _, u := range p.all {
		u.client.CloseIdleConnections()
	}
}
