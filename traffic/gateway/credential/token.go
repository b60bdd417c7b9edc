package credential

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/palladium-guard/palladium/traffic/gateway"
)

const (
	maxToken   = 16 << 10 // bytes of a token
	tokens     = 8192     // verified tokens that are remembered for each issuer
	tokenLife  = 5 * time.Minute
	keyWait    = 250 * time.Millisecond // the longest that a request waits for new keys of an issuer
	defaultNow = 30 * time.Second
)

// issuer verifies the tokens of one OpenID Connect issuer.
type issuer struct {
	config   TokenConfig
	keys     *keySet
	verifier *oidc.IDTokenVerifier
	memory   *lru.Cache[[sha256.Size]byte, pass]
}

// pass is what a token proved.
type pass struct {
	caller     gateway.Caller
	generation uint64 // of the issuer's keys
	from, till time.Time
}

func newIssuer(ctx context.Context, c *TokenConfig) (*issuer, error) {
	s := &issuer{config: *c}
	s.config.Name = c.name()
	if s.config.Skew == 0 {
		s.config.Skew = defaultNow
	}
	if len(s.config.Algorithms) == 0 {
		s.config.Algorithms = algorithms()
	}
	if s.config.Claims.Account == "" {
		s.config.Claims.Account = "sub"
	}
	var err error
	if s.memory, err = lru.New[[sha256.Size]byte, pass](tokens); err != nil {
		return nil, err
	}
	if s.keys, err = newKeySet(&s.config); err != nil {
		return nil, fmt.Errorf("credentials: tokens: %s: %w", s.config.Name, err)
	}
	// Times and the audience are checked below: go-oidc allows five minutes for nbf, none for exp, and one audience.
	s.verifier = oidc.NewVerifier(s.config.Issuer, s.keys, &oidc.Config{
		SkipClientIDCheck: true, SkipExpiryCheck: true, SupportedSigningAlgs: s.config.Algorithms,
	})
	go s.keys.run(ctx)
	return s, nil
}

// identifyToken has the issuer that a token names verify it. What the token says counts for nothing until then.
func identifyToken(ctx context.Context, issuers []*issuer, text string, now time.Time) (gateway.Caller, error) {
	key := sha256.Sum256([]byte(text))
	for _, s := range issuers {
		if s.memory.Contains(key) {
			return s.identify(ctx, text, key, now)
		}
	}
	_, payload, _ := strings.Cut(text, ".")
	payload, _, _ = strings.Cut(payload, ".")
	raw, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return gateway.Caller{}, gateway.ErrCredential
	}
	var claims struct {
		Issuer string `json:"iss"`
	}
	if json.Unmarshal(raw, &claims) != nil {
		return gateway.Caller{}, gateway.ErrCredential
	}
	for _, s := range issuers {
		if s.config.Issuer == claims.Issuer {
			return s.identify(ctx, text, key, now)
		}
	}
	return gateway.Caller{}, fmt.Errorf("%w: its issuer is not trusted here", gateway.ErrCredential)
}

// identify takes a token, whose SHA-256 is key, from memory or verifies it.
func (s *issuer) identify(ctx context.Context, text string, key [sha256.Size]byte, now time.Time) (gateway.Caller, error) {
	if err := s.keys.ready(now); err != nil {
		return gateway.Caller{}, err
	}
	p, known := s.memory.Get(key)
	if !known || p.generation != s.keys.generation() || !now.Before(p.from.Add(tokenLife)) {
		var err error
		if p, err = s.verify(ctx, text, now); err != nil {
			return gateway.Caller{}, err
		}
		s.memory.Add(key, p)
	}
	if !now.Before(p.till) {
		return gateway.Caller{}, gateway.ErrExpired
	}
	return p.caller, nil
}

// verify reads a token for the first time.
func (s *issuer) verify(ctx context.Context, text string, now time.Time) (pass, error) {
	p := pass{generation: s.keys.generation(), from: now}
	t, err := s.verifier.Verify(ctx, text)
	if err != nil {
		if errors.Is(err, gateway.ErrIdentity) {
			return p, err
		}
		return p, fmt.Errorf("%w: its issuer did not sign it, or in another way than is accepted", gateway.ErrCredential)
	}
	if !slices.ContainsFunc(t.Audience, func(a string) bool { return slices.Contains(s.config.Audience, a) }) {
		return p, fmt.Errorf("%w: it was made for another audience", gateway.ErrCredential)
	}
	var claims map[string]any
	if err := t.Claims(&claims); err != nil {
		return p, gateway.ErrCredential
	}
	if t.Expiry.Unix() <= 0 {
		return p, fmt.Errorf("%w: it does not say when it expires", gateway.ErrCredential)
	}
	p.till = t.Expiry.Add(s.config.Skew)
	if !now.Before(p.till) {
		return p, gateway.ErrExpired
	}
	for _, claim := range []string{"nbf", "iat"} {
		switch v := claims[claim].(type) {
		case nil:
		case float64:
			if v > float64(now.Add(s.config.Skew).Unix()) {
				return p, fmt.Errorf("%w: it holds from a later time on: compare the clocks", gateway.ErrCredential)
			}
		default:
			return p, gateway.ErrCredential
		}
	}
	g, err := s.grant(claims)
	if err != nil {
		return p, err
	}
	p.caller = g.caller("jwt", "jwt:"+s.config.Name+":"+t.Subject)
	p.caller.Expires = t.Expiry
	return p, nil
}

// grant reads what the claims give. A claim that is configured and missing refuses the token: what it would have narrowed
// must not become wide.
func (s *issuer) grant(claims map[string]any) (Grant, error) {
	g, c := s.config.Grant, &s.config.Claims
	missing := func(name string) error {
		return fmt.Errorf("%w: its claim %q is missing or of the wrong type", gateway.ErrCredential, name)
	}
	for _, f := range []struct {
		claim string
		to    *string
	}{{c.Account, &g.Account}, {c.Organization, &g.Organization}, {c.Plan, &g.Plan}} {
		if f.claim == "" {
			continue
		}
		v, ok := claim(claims, f.claim).(string)
		if !ok || v == "" {
			return g, missing(f.claim)
		}
		*f.to = v
	}
	for _, f := range []struct {
		claim string
		to    *[]string
	}{{c.Models, &g.Models}, {c.Endpoints, &g.Endpoints}, {c.Features, &g.Features}} {
		if f.claim == "" {
			continue
		}
		v, ok := list(claim(claims, f.claim))
		if !ok {
			return g, missing(f.claim)
		}
		*f.to = v
	}
	if err := g.check(); err != nil {
		return g, fmt.Errorf("%w: its claims: %w", gateway.ErrCredential, err)
	}
	return g, nil
}

// claim finds a claim by its name, or by a path with dots between.
func claim(claims map[string]any, path string) any {
	if v, ok := claims[path]; ok {
		return v
	}
	head, rest, deeper := strings.Cut(path, ".")
	inner, ok := claims[head].(map[string]any)
	if !deeper || !ok {
		return nil
	}
	return claim(inner, rest)
}

// list reads a claim that is a list of texts, or one text with spaces between. An empty one is refused.
func list(v any) (out []string, ok bool) {
	switch v := v.(type) {
	case string:
		out = strings.Fields(v)
	case []any:
		for _, e := range v {
			s, ok := e.(string)
			if !ok {
				return nil, false
			}
			out = append(out, s)
		}
	}
	return out, len(out) > 0
}
