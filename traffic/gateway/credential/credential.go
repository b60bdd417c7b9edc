// Package credential says who sends a request: by Palladium keys, tokens of an OpenID Connect issuer, client
// certificates, SPIFFE identities, or the word of a named proxy. It decides in memory; what it needs from files and
// issuers is fetched beside the requests, never on their path.
package credential

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/palladium-guard/palladium/traffic/gateway"
)

// Checker is a gateway.Authenticator over all ways that are configured.
type Checker struct {
	keys      *Keys // may be nil
	issuers   []*issuer
	peers     *peers // nil: certificates are not looked at
	trusted   []TrustedConfig
	anonymous *gateway.Caller // nil: nobody
	now       func() time.Time
}

// New starts a checker. Keys may be nil where none are used; their file is watched by whoever opened it. Issuers and
// bundles are fetched in the background until ctx ends: New does not wait for them, and callers that depend on one that is
// not there yet get gateway.ErrIdentity. Errors name the setting at fault.
func New(ctx context.Context, c Config, keys *Keys) (*Checker, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	k := &Checker{keys: keys, trusted: c.Trusted, now: time.Now}
	var err error
	if k.peers, err = newPeers(ctx, &c); err != nil {
		return nil, err
	}
	for i := range c.Tokens {
		s, err := newIssuer(ctx, &c.Tokens[i])
		if err != nil {
			return nil, err
		}
		k.issuers = append(k.issuers, s)
	}
	if c.Anonymous.Allow {
		a := (&Grant{Account: Anonymous, Plan: c.Anonymous.Plan, Models: c.Anonymous.Models, Endpoints: c.Anonymous.Endpoints,
			Features: c.Anonymous.Features}).caller(Anonymous, Anonymous)
		k.anonymous = &a
	}
	if keys == nil && len(k.issuers) == 0 && k.peers == nil && k.anonymous == nil {
		return nil, errors.New("credentials: no way to know a caller is configured: name a key file, an issuer of tokens or an authority for certificates")
	}
	return k, nil
}

// Anonymous is the account, the credential and the kind of callers without a credential, where they are allowed.
const Anonymous = "anonymous"

// headers are those that a caller's credential can come in.
const (
	headerBearer    = "Authorization"
	headerAnthropic = "X-Api-Key"
	headerAzure     = "Api-Key"
)

// Headers returns the canonical names of all headers that carry a credential or an identity. They are for the gateway
// alone: none of them may reach an upstream, whatever the caller put in them.
func (k *Checker) Headers() []string {
	out := []string{headerBearer, headerAnthropic, headerAzure}
	for i := range k.trusted {
		out = append(out, k.trusted[i].headers()...)
	}
	return out
}

// WantsCertificates reports whether the listener has to ask for client certificates. tls.RequestClientCert suffices: the
// handshake proves that the caller holds the certificate's key, and the checker verifies the chain.
func (k *Checker) WantsCertificates() bool { return k.peers != nil }

// Status tells of each source that the checker depends on and that is failing, by name. It is empty when all is well.
func (k *Checker) Status() map[string]error {
	out := make(map[string]error)
	if k.keys != nil && k.keys.Err() != nil {
		out["keys"] = k.keys.Err()
	}
	for _, s := range k.issuers {
		if err := s.keys.status(k.now()); err != nil {
			out["issuer "+s.config.Name] = err
		}
	}
	if k.peers != nil {
		k.peers.status(out)
	}
	return out
}

// Identify says who sends r: see gateway.Authenticator. The order is: an identity that a trusted peer vouches for, a key
// or a token in a header, a client certificate, and last anonymous where that is configured. Two that disagree are
// refused with gateway.ErrAmbiguous.
func (k *Checker) Identify(r *http.Request) (gateway.Caller, error) {
	now := k.now()
	text, err := presented(r.Header)
	if err != nil {
		return gateway.Caller{}, err
	}
	var peer identity
	if k.peers != nil {
		if peer, err = k.peers.identify(r.TLS, now); err != nil {
			return gateway.Caller{}, err
		}
	}
	caller, err := k.choose(r, text, &peer, now)
	if err != nil {
		return gateway.Caller{}, err
	}
	if k.keys != nil && caller.Kind != "key" && k.keys.Revoked(caller.Credential) {
		return gateway.Caller{}, gateway.ErrRevoked
	}
	if k.keys != nil && peer.known() && peer.caller != nil && k.keys.Revoked(peer.caller.Credential) {
		return gateway.Caller{}, gateway.ErrRevoked
	}
	return caller, nil
}

func (k *Checker) choose(r *http.Request, text string, peer *identity, now time.Time) (gateway.Caller, error) {
	if peer.known() {
		for i := range k.trusted {
			t := &k.trusted[i]
			if !t.Peer.match(peer.leaf, peer.spiffe) {
				continue
			}
			caller, ok, err := t.caller(r.Header)
			if err != nil {
				return gateway.Caller{}, err
			}
			if ok && text != "" {
				return gateway.Caller{}, gateway.ErrAmbiguous
			}
			if ok {
				return caller, nil
			}
		}
	}
	if text != "" {
		caller, err := k.header(r.Context(), text, now)
		if err == nil && peer.caller != nil && peer.caller.Account != caller.Account {
			return gateway.Caller{}, gateway.ErrAmbiguous
		}
		return caller, err
	}
	if peer.caller != nil {
		return *peer.caller, nil
	}
	if k.anonymous != nil {
		return *k.anonymous, nil
	}
	return gateway.Caller{}, gateway.ErrNoCredential
}

// header takes the text of a credential that came in a header.
func (k *Checker) header(ctx context.Context, text string, now time.Time) (gateway.Caller, error) {
	if strings.HasPrefix(text, prefix) && k.keys != nil {
		return k.keys.Find(text, now)
	}
	if len(k.issuers) == 0 || strings.Count(text, ".") != 2 {
		return gateway.Caller{}, gateway.ErrCredential
	}
	return identifyToken(ctx, k.issuers, text, now)
}

// presented returns the credential that stands in the headers, "" when there is none. The same one in two headers counts
// once; two different ones, or a header that is there and says nothing, are refused.
func presented(h http.Header) (text string, err error) {
	take := func(v string) bool {
		if text != "" && text != v {
			return false
		}
		text = v
		return true
	}
	for _, v := range h[headerBearer] {
		scheme, token, _ := strings.Cut(v, " ")
		token = strings.TrimSpace(token)
		if !strings.EqualFold(scheme, "Bearer") || token == "" {
			return "", fmt.Errorf("%w: Authorization is not of the form Bearer KEY", gateway.ErrCredential)
		}
		if !take(token) {
			return "", gateway.ErrAmbiguous
		}
	}
	for _, name := range [...]string{headerAnthropic, headerAzure} {
		for _, v := range h[name] {
			if v = strings.TrimSpace(v); v == "" {
				return "", fmt.Errorf("%w: %s is empty", gateway.ErrCredential, strings.ToLower(name))
			}
			if !take(v) {
				return "", gateway.ErrAmbiguous
			}
		}
	}
	if len(text) > maxToken {
		return "", fmt.Errorf("%w: it is longer than %d bytes", gateway.ErrCredential, maxToken)
	}
	return text, nil
}

// identity is what a client certificate proves.
type identity struct {
	leaf   *x509.Certificate // nil: no certificate, or none that is looked at
	spiffe string            // SPIFFE id; empty for another kind of certificate
	caller *gateway.Caller   // nil: it names nobody who may call by it alone
}

func (i *identity) known() bool { return i.leaf != nil }
