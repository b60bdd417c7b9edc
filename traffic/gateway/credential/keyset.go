package credential

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/palladium-guard/palladium/internal/tlsfile"
	"github.com/palladium-guard/palladium/traffic/gateway"
)

const (
	fetchTime = 10 * time.Second // for one document of an issuer
	fetchSize = 1 << 20          // bytes of it
	fetchGap  = 5 * time.Second  // between attempts that unknown keys ask for
	retryLow  = 500 * time.Millisecond
	retryHigh = time.Minute
)

// keySet holds the public keys of an issuer. They are fetched by one goroutine; requests read what is there.
type keySet struct {
	config     *TokenConfig
	algorithms []jose.SignatureAlgorithm
	client     *http.Client
	now        func() time.Time
	gap, wait  time.Duration
	kick       chan struct{} // asks for an attempt now; holds one
	held       atomic.Pointer[heldKeys]

	mu    sync.Mutex
	begun time.Time     // of the last attempt
	ended chan struct{} // closed when the attempt under way, or the next one, has ended
	fail  error         // of the last attempt
}

// heldKeys is one fetched set.
type heldKeys struct {
	generation uint64
	keys       []jose.JSONWebKey
	fetched    time.Time
}

func newKeySet(c *TokenConfig) (*keySet, error) {
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSHandshakeTimeout: fetchTime, ResponseHeaderTimeout: fetchTime, MaxIdleConns: 1,
		IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true,
	}
	if c.CA != "" {
		pool, err := tlsfile.Authorities(c.CA)
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig = tlsfile.Trusting(pool)
	}
	s := &keySet{
		config: c, now: time.Now, gap: fetchGap, wait: keyWait, kick: make(chan struct{}, 1), ended: make(chan struct{}),
		client: &http.Client{Transport: transport, Timeout: fetchTime, CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > 3 {
				return errors.New("too many redirections")
			}
			return checkURL(r.URL.String())
		}},
	}
	for _, a := range c.Algorithms {
		s.algorithms = append(s.algorithms, jose.SignatureAlgorithm(a))
	}
	return s, nil
}

// run fetches the keys now, at every refresh, when an unknown key asks for it, and again after a failure, until ctx ends.
func (s *keySet) run(ctx context.Context) {
	defer s.client.CloseIdleConnections()
	refresh := s.config.Refresh
	if refresh == 0 {
		refresh = 15 * time.Minute
	}
	for retry := retryLow; ctx.Err() == nil; {
		pause := refresh
		if err := s.attempt(ctx); err != nil {
			pause = retry
			retry = min(2*retry, retryHigh)
		} else {
			retry = retryLow
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		case <-s.kick:
		}
	}
}

// attempt fetches the keys once. A failure leaves those that are held.
func (s *keySet) attempt(ctx context.Context) error {
	s.mu.Lock()
	s.begun = s.now()
	s.mu.Unlock()
	keys, err := s.fetch(ctx)
	if err == nil {
		next := &heldKeys{generation: 1, keys: keys, fetched: s.now()}
		if old := s.held.Load(); old != nil {
			next.generation = old.generation + 1
		}
		s.held.Store(next)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
	close(s.ended)
	s.ended = make(chan struct{})
	return err
}

// fetch asks the issuer where its keys are, and then for them.
func (s *keySet) fetch(ctx context.Context) ([]jose.JSONWebKey, error) {
	from := s.config.KeysURL
	if from == "" {
		var d struct {
			Issuer  string `json:"issuer"`
			KeysURL string `json:"jwks_uri"`
		}
		if err := s.get(ctx, strings.TrimSuffix(s.config.Issuer, "/")+"/.well-known/openid-configuration", &d); err != nil {
			return nil, err
		}
		if d.Issuer != s.config.Issuer {
			return nil, errors.New("the issuer's own description names another issuer: write issuer as it does")
		}
		if err := checkURL(d.KeysURL); err != nil {
			return nil, fmt.Errorf("the issuer's jwks_uri: %w", err)
		}
		from = d.KeysURL
	}
	var set jose.JSONWebKeySet
	if err := s.get(ctx, from, &set); err != nil {
		return nil, err
	}
	var keys []jose.JSONWebKey
	for _, k := range set.Keys {
		if k.IsPublic() && k.Valid() && (k.Use == "" || k.Use == "sig") {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("the issuer's key set has no public key for signatures")
	}
	return keys, nil
}

func (s *keySet) get(ctx context.Context, url string, into any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Accept", "application/json")
	resp, err := s.client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("get %s: the issuer answers %s", url, resp.Status)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, fetchSize+1))
	if err != nil {
		return fmt.Errorf("get %s: %w", url, err)
	}
	if len(data) > fetchSize {
		return fmt.Errorf("get %s: the answer is larger than %d bytes", url, fetchSize)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("get %s: the answer is not the JSON that was asked for", url)
	}
	return nil
}

// generation counts the sets that were fetched.
func (s *keySet) generation() uint64 {
	if h := s.held.Load(); h != nil {
		return h.generation
	}
	return 0
}

// ready returns an error that wraps gateway.ErrIdentity while there are no keys, or only such as are too old.
func (s *keySet) ready(now time.Time) error {
	stale := s.config.Stale
	if stale == 0 {
		stale = 24 * time.Hour
	}
	if h := s.held.Load(); h == nil || now.Sub(h.fetched) > stale {
		return fmt.Errorf("%w: the issuer's keys cannot be had", gateway.ErrIdentity)
	}
	return nil
}

// status returns why the last attempt failed, or that there was none.
func (s *keySet) status(now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	return s.ready(now)
}

// VerifySignature returns the payload of a token that one of the keys has signed. It is oidc.KeySet. The key is chosen by
// the token's kid among those that are held; for a kid that is not known one attempt to fetch newer keys is waited for,
// a quarter of a second at most, and not within five seconds of the last attempt.
func (s *keySet) VerifySignature(ctx context.Context, text string) ([]byte, error) {
	token, err := jose.ParseSignedCompact(text, s.algorithms)
	if err != nil || len(token.Signatures) != 1 {
		return nil, gateway.ErrCredential
	}
	h := token.Signatures[0].Protected
	held := s.held.Load()
	key := held.find(h.KeyID, h.Algorithm)
	if key == nil {
		s.await(ctx)
		if next := s.held.Load(); next != held {
			key = next.find(h.KeyID, h.Algorithm)
		}
	}
	if key == nil {
		return nil, fmt.Errorf("%w: the key it was signed with is not known", gateway.ErrCredential)
	}
	payload, err := token.Verify(*key)
	if err != nil {
		return nil, gateway.ErrCredential
	}
	return payload, nil
}

// find returns the key of that id; without an id the only one there is. A key that names another algorithm is not used.
func (h *heldKeys) find(id, algorithm string) (found *jose.JSONWebKey) {
	if h == nil {
		return nil
	}
	for i := range h.keys {
		k := &h.keys[i]
		if id != "" && k.KeyID != id || k.Algorithm != "" && k.Algorithm != algorithm {
			continue
		}
		if found != nil {
			return nil
		}
		found = k
	}
	return found
}

// await asks for newer keys, if the last attempt is long enough ago, and waits for a short time.
func (s *keySet) await(ctx context.Context) {
	s.mu.Lock()
	ended, early := s.ended, s.now().Sub(s.begun) < s.gap
	s.mu.Unlock()
	if early {
		return
	}
	select {
	case s.kick <- struct{}{}:
	default:
	}
	t := time.NewTimer(s.wait)
	defer t.Stop()
	select {
	case <-ended:
	case <-t.C:
	case <-ctx.Done():
	}
}
