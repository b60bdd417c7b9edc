package credential

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/palladium-guard/palladium/traffic/gateway"
)

// Config is the section credentials of the configuration. Nobody is let in by what is left out.
type Config struct {
	Keys         string              `yaml:"keys"` // file of Palladium keys; see palladium key
	Tokens       []TokenConfig       `yaml:"tokens"`
	Certificates []CertificateConfig `yaml:"certificates"`
	SPIFFE       []SPIFFEConfig      `yaml:"spiffe"`
	Trusted      []TrustedConfig     `yaml:"trusted"`
	Anonymous    AnonymousConfig     `yaml:"anonymous"`
}

// TokenConfig trusts the tokens (JWT) of one OpenID Connect issuer.
type TokenConfig struct {
	Name       string           `yaml:"name"`       // short, stands in credential ids; the issuer's host when empty
	Issuer     string           `yaml:"issuer"`     // as in the claim iss; https, or http on the loopback
	Audience   []string         `yaml:"audience"`   // one of them must be in the claim aud
	KeysURL    string           `yaml:"keys_url"`   // JSON Web Key Set; asked from the issuer when empty
	CA         string           `yaml:"ca"`         // PEM file of authorities for the issuer in place of the system's
	Algorithms []string         `yaml:"algorithms"` // all asymmetric ones when empty; HS* and none are never accepted
	Skew       time.Duration    `yaml:"skew"`       // how far clocks may differ, five minutes at most; 30s when not given
	Refresh    time.Duration    `yaml:"refresh"`    // of the issuer's keys; 15m when not given
	Stale      time.Duration    `yaml:"stale"`      // how long keys are good when the issuer is down; 24h when not given
	Claims     Claims           `yaml:"claims"`
	Grant      `yaml:",inline"` // what the claims leave open; account is not allowed here
}

// Claims name where a token says what. A dot reaches into an object. A claim that is named must be there.
type Claims struct {
	Account      string `yaml:"account"` // sub when empty
	Organization string `yaml:"organization"`
	Plan         string `yaml:"plan"`
	Models       string `yaml:"models"` // list, or text with spaces between
	Endpoints    string `yaml:"endpoints"`
	Features     string `yaml:"features"`
}

// CertificateConfig trusts client certificates of the authorities in a file.
type CertificateConfig struct {
	CA      string       `yaml:"ca"` // PEM file; re-read when it changes
	Callers []PeerConfig `yaml:"callers"`
}

// SPIFFEConfig trusts the identities of one SPIFFE trust domain.
type SPIFFEConfig struct {
	TrustDomain string       `yaml:"trust_domain"`
	Bundle      string       `yaml:"bundle"`       // file with a SPIFFE bundle; re-read when it changes
	WorkloadAPI string       `yaml:"workload_api"` // address in place of it, such as unix:///run/spire/agent.sock
	Callers     []PeerConfig `yaml:"callers"`
}

// Peer tells certificates apart: exactly one of its fields is given. '*' stands for any run of characters.
type Peer struct {
	SPIFFE     string `yaml:"spiffe"`      // SPIFFE id, proved by its trust domain's bundle
	URI        string `yaml:"uri"`         // subject alternative name
	DNS        string `yaml:"dns"`         // subject alternative name
	Email      string `yaml:"email"`       // subject alternative name
	CommonName string `yaml:"common_name"` // of the subject
}

// PeerConfig says who calls with a certificate. An empty account is the name that matched.
type PeerConfig struct {
	Peer  `yaml:",inline"`
	Grant `yaml:",inline"`
}

// TrustedConfig takes the word of a proxy that has authenticated callers itself and proves who it is by a certificate.
// From anybody else its headers mean nothing; they never reach an upstream.
type TrustedConfig struct {
	Peer               Peer             `yaml:"peer"`
	AccountHeader      string           `yaml:"account_header"`
	OrganizationHeader string           `yaml:"organization_header"`
	PlanHeader         string           `yaml:"plan_header"`
	Grant              `yaml:",inline"` // what the headers leave open; account is not allowed here
}

// AnonymousConfig lets callers in that show no credential at all.
type AnonymousConfig struct {
	Allow     bool     `yaml:"let_anybody_in_without_a_credential"`
	Plan      string   `yaml:"plan"` // must be named
	Models    []string `yaml:"models"`
	Endpoints []string `yaml:"endpoints"`
	Features  []string `yaml:"features"`
}

// Check finds settings that make no sense or would let in more than they say.
func (c *Config) Check() error {
	for i := range c.Tokens {
		if err := c.Tokens[i].check(); err != nil {
			return fmt.Errorf("credentials: tokens %d: %w", i+1, err)
		}
		for _, o := range c.Tokens[:i] {
			if o.name() == c.Tokens[i].name() {
				return fmt.Errorf("credentials: tokens %d: another issuer is named %q too: set name", i+1, o.name())
			}
		}
	}
	for i := range c.Certificates {
		if c.Certificates[i].CA == "" {
			return fmt.Errorf("credentials: certificates %d: ca names no file", i+1)
		}
		if err := checkCallers(c.Certificates[i].Callers, false); err != nil {
			return fmt.Errorf("credentials: certificates %d: %w", i+1, err)
		}
	}
	for i := range c.SPIFFE {
		s := &c.SPIFFE[i]
		if s.TrustDomain == "" || (s.Bundle == "") == (s.WorkloadAPI == "") {
			return fmt.Errorf("credentials: spiffe %d: give trust_domain, and either bundle or workload_api", i+1)
		}
		if err := checkCallers(s.Callers, true); err != nil {
			return fmt.Errorf("credentials: spiffe %d: %w", i+1, err)
		}
	}
	for i := range c.Trusted {
		if err := c.Trusted[i].check(); err != nil {
			return fmt.Errorf("credentials: trusted %d: %w", i+1, err)
		}
		if len(c.Certificates)+len(c.SPIFFE) == 0 {
			return fmt.Errorf("credentials: trusted %d: a proxy proves who it is by a certificate: configure certificates or spiffe", i+1)
		}
	}
	if a := &c.Anonymous; a.Allow && a.Plan == "" {
		return errors.New("credentials: anonymous: name the plan that holds for everybody without a credential")
	} else if !a.Allow && (a.Plan != "" || len(a.Models)+len(a.Endpoints)+len(a.Features) > 0) {
		return errors.New("credentials: anonymous: nobody is let in unless let_anybody_in_without_a_credential is true")
	}
	return nil
}

func checkCallers(callers []PeerConfig, spiffe bool) error {
	for i := range callers {
		p := &callers[i]
		if err := p.Peer.check(); err != nil {
			return fmt.Errorf("callers %d: %w", i+1, err)
		}
		if (p.SPIFFE != "") != spiffe {
			return fmt.Errorf("callers %d: under spiffe callers are told apart by spiffe, under certificates by the others", i+1)
		}
		g := p.Grant
		if g.Account == "" {
			g.Account = "the name that matches"
		}
		if err := g.check(); err != nil {
			return fmt.Errorf("callers %d: %w", i+1, err)
		}
	}
	return nil
}

// algorithms are those that a token may be signed with: none that needs a shared secret, so that a public key can never
// be taken for one.
func algorithms() []string {
	return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
}

// maxSkew bounds how far clocks may differ.
const maxSkew = 5 * time.Minute

func (t *TokenConfig) name() string {
	if t.Name != "" {
		return t.Name
	}
	if u, err := url.Parse(t.Issuer); err == nil {
		return u.Host
	}
	return ""
}

func (t *TokenConfig) check() error {
	if err := checkURL(t.Issuer); err != nil {
		return fmt.Errorf("issuer: %w", err)
	}
	if t.KeysURL != "" {
		if err := checkURL(t.KeysURL); err != nil {
			return fmt.Errorf("keys_url: %w", err)
		}
	}
	if len(t.Audience) == 0 || slices.Contains(t.Audience, "") {
		return errors.New("audience: name at least one, or tokens that were made for others would be good here")
	}
	for _, a := range t.Algorithms {
		if !slices.Contains(algorithms(), a) {
			return fmt.Errorf("algorithms: %q is not one of %s", a, strings.Join(algorithms(), ", "))
		}
	}
	if t.Skew < 0 || t.Skew > maxSkew {
		return fmt.Errorf("skew: want 0 to %s", maxSkew)
	}
	if t.Refresh < 0 || t.Stale < 0 {
		return errors.New("refresh and stale must not be negative")
	}
	if t.Grant.Account != "" {
		return errors.New("account: it comes from a claim, or all tokens would be one account")
	}
	g := t.Grant
	g.Account = "from the claim"
	return g.check()
}

// checkURL accepts https, and http where it does not leave the machine.
func checkURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return errors.New("want a URL such as https://login.example.com")
	}
	ip := net.ParseIP(u.Hostname())
	if u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()) {
		return nil
	}
	return errors.New("want https: keys that come in the clear prove nothing")
}

func (p *Peer) check() error {
	n := 0
	for _, s := range []string{p.SPIFFE, p.URI, p.DNS, p.Email, p.CommonName} {
		if s != "" {
			n++
		}
	}
	if n != 1 {
		return errors.New("give exactly one of spiffe, uri, dns, email and common_name")
	}
	if p.SPIFFE != "" && !strings.HasPrefix(p.SPIFFE, "spiffe://") {
		return errors.New("spiffe: want an id such as spiffe://example.org/service")
	}
	return nil
}

// match reports whether a verified certificate is the one meant.
func (p *Peer) match(leaf *x509.Certificate, spiffe string) bool {
	_, ok := p.named(leaf, spiffe)
	return ok
}

// named returns the name in a verified certificate by which it is the one meant.
func (p *Peer) named(leaf *x509.Certificate, spiffe string) (string, bool) {
	if p.SPIFFE != "" {
		return spiffe, spiffe != "" && fits(p.SPIFFE, spiffe)
	}
	if spiffe != "" {
		return "", false // verified against a trust domain: its other names were not
	}
	switch {
	case p.URI != "":
		for _, u := range leaf.URIs {
			if fits(p.URI, u.String()) {
				return u.String(), true
			}
		}
	case p.DNS != "":
		return first(p.DNS, leaf.DNSNames)
	case p.Email != "":
		return first(p.Email, leaf.EmailAddresses)
	case p.CommonName != "":
		return first(p.CommonName, []string{leaf.Subject.CommonName})
	}
	return "", false
}

func first(pattern string, names []string) (string, bool) {
	for _, n := range names {
		if n != "" && fits(pattern, n) {
			return n, true
		}
	}
	return "", false
}

// fits reports whether name fits a pattern, in the way of scopes.
func fits(pattern, name string) bool {
	s := gateway.Scopes{Models: []string{pattern}}
	return s.Model(name)
}

func (t *TrustedConfig) check() error {
	if err := t.Peer.check(); err != nil {
		return fmt.Errorf("peer: %w", err)
	}
	if t.AccountHeader == "" {
		return errors.New("account_header: name the header that says who calls")
	}
	for _, h := range t.headers() {
		switch h {
		case headerBearer, headerAnthropic, headerAzure, "Host", "Content-Length", "Content-Type", "Transfer-Encoding", "Connection":
			return fmt.Errorf("header %s has another meaning: choose one of its own", h)
		}
	}
	if t.Grant.Account != "" {
		return errors.New("account: it comes from account_header")
	}
	g := t.Grant
	g.Account = "from the header"
	return g.check()
}

// headers are the canonical names of the headers that t reads.
func (t *TrustedConfig) headers() (out []string) {
	for _, h := range []string{t.AccountHeader, t.OrganizationHeader, t.PlanHeader} {
		if h != "" {
			out = append(out, textproto.CanonicalMIMEHeaderKey(h))
		}
	}
	return out
}

// caller reads the identity that the peer vouches for; false when it vouches for none.
func (t *TrustedConfig) caller(h http.Header) (gateway.Caller, bool, error) {
	g := t.Grant
	for _, f := range []struct {
		header string
		to     *string
	}{{t.AccountHeader, &g.Account}, {t.OrganizationHeader, &g.Organization}, {t.PlanHeader, &g.Plan}} {
		if f.header == "" {
			continue
		}
		values := h.Values(f.header)
		if len(values) > 1 {
			return gateway.Caller{}, false, gateway.ErrAmbiguous
		}
		if len(values) == 1 && values[0] != "" {
			*f.to = values[0]
		}
	}
	if g.Account == "" {
		return gateway.Caller{}, false, nil
	}
	if err := g.check(); err != nil {
		return gateway.Caller{}, false, fmt.Errorf("%w: the trusted peer's headers: %w", gateway.ErrCredential, err)
	}
	return g.caller("trusted", "trusted:"+g.Account), true, nil
}
