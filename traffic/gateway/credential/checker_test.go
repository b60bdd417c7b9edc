package credential

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"go.yaml.in/yaml/v3"

	"github.com/palladium-guard/palladium/traffic/gateway"
)

// checker builds one from its section of the configuration; its clock stands at noon.
func checker(t testing.TB, section string, keys *Keys) *Checker {
	t.Helper()
	var c Config
	dec := yaml.NewDecoder(strings.NewReader(section))
	dec.KnownFields(true)
	if err := dec.Decode(&c); err != nil && section != "" {
		t.Fatal(err)
	}
	k, err := New(t.Context(), c, keys)
	if err != nil {
		t.Fatal(err)
	}
	k.now = noon
	return k
}

// request returns one with headers, given as name and value in turn.
func request(headers ...string) *http.Request {
	r, err := http.NewRequest(http.MethodPost, "https://gateway/v1/chat/completions", nil)
	if err != nil {
		panic(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

func TestHeaders(t *testing.T) {
	keys := newKeys(t)
	_, a := create(t, keys, Grant{Account: "a"})
	_, b := create(t, keys, Grant{Account: "b"})
	k := checker(t, "", keys)
	for _, c := range []struct {
		name    string
		headers []string
		account string
		want    error
	}{
		{"bearer", []string{"Authorization", "Bearer " + a.Reveal()}, "a", nil},
		{"bearer in small letters", []string{"Authorization", "bearer  " + a.Reveal()}, "a", nil},
		{"anthropic", []string{"x-api-key", a.Reveal()}, "a", nil},
		{"azure", []string{"api-key", a.Reveal()}, "a", nil},
		{"the same in two", []string{"Authorization", "Bearer " + a.Reveal(), "x-api-key", a.Reveal()}, "a", nil},
		{"two different", []string{"Authorization", "Bearer " + a.Reveal(), "x-api-key", b.Reveal()}, "", gateway.ErrAmbiguous},
		{"two different of one name", []string{"x-api-key", a.Reveal(), "x-api-key", b.Reveal()}, "", gateway.ErrAmbiguous},
		{"a good one and nonsense", []string{"Authorization", "Bearer " + a.Reveal(), "api-key", "x"}, "", gateway.ErrAmbiguous},
		{"two authorizations", []string{"Authorization", "Bearer " + a.Reveal(), "Authorization", "Bearer " + b.Reveal()}, "", gateway.ErrAmbiguous},
		{"basic", []string{"Authorization", "Basic " + a.Reveal()}, "", gateway.ErrCredential},
		{"bearer of nothing", []string{"Authorization", "Bearer "}, "", gateway.ErrCredential},
		{"empty", []string{"x-api-key", " "}, "", gateway.ErrCredential},
		{"none", nil, "", gateway.ErrNoCredential},
		{"a provider's key", []string{"Authorization", "Bearer sk-proj-abc"}, "", gateway.ErrCredential},
		{"a token without an issuer", []string{"Authorization", "Bearer e30.e30.e30"}, "", gateway.ErrCredential},
		{"giant", []string{"Authorization", "Bearer " + strings.Repeat("x", 20<<10)}, "", gateway.ErrCredential},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := k.Identify(request(c.headers...))
			if got.Account != c.account || !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Fatalf("%q, %v; want %q, %v", got.Account, err, c.account, c.want)
			}
			if err != nil && (strings.Contains(err.Error(), a.Reveal()[20:]) || strings.Contains(err.Error(), "sk-proj")) {
				t.Fatal("the error shows a credential")
			}
		})
	}
	r := request()
	r.URL.RawQuery = url.Values{"api_key": {a.Reveal()}, "key": {a.Reveal()}}.Encode()
	if _, err := k.Identify(r); !errors.Is(err, gateway.ErrNoCredential) {
		t.Errorf("a key in the address, which logs keep, was taken: %v", err)
	}
}

func TestAnonymous(t *testing.T) {
	keys := newKeys(t)
	_, a := create(t, keys, Grant{Account: "a"})
	k := checker(t, "anonymous: {let_anybody_in_without_a_credential: true, plan: free, models: [small]}", keys)
	c, err := k.Identify(request())
	if err != nil || c.Account != Anonymous || c.Kind != Anonymous || c.Plan != "free" || c.Scopes.Model("large") {
		t.Fatalf("%+v, %v", c, err)
	}
	if c, err := k.Identify(request("api-key", a.Reveal())); err != nil || c.Account != "a" {
		t.Fatalf("a caller with a key is %q, %v", c.Account, err)
	}
	if _, err := k.Identify(request("api-key", "wrong")); !errors.Is(err, gateway.ErrCredential) {
		t.Fatalf("a wrong key became nobody's: %v", err)
	}
}

func TestConfigRefused(t *testing.T) {
	for section, want := range map[string]string{
		"anonymous: {let_anybody_in_without_a_credential: true}":                                           "name the plan",
		"anonymous: {plan: free}":                                                                          "nobody is let in unless",
		"tokens: [{issuer: http://login.example.com, audience: [x]}]":                                      "want https",
		"tokens: [{issuer: https://login.example.com}]":                                                    "audience: name at least one",
		"tokens: [{issuer: https://login.example.com, audience: [x], algorithms: [HS256]}]":                "is not one of RS256",
		"tokens: [{issuer: https://login.example.com, audience: [x], algorithms: [none]}]":                 "is not one of RS256",
		"tokens: [{issuer: https://login.example.com, audience: [x], skew: 1h}]":                           "skew: want 0 to 5m0s",
		"tokens: [{issuer: https://login.example.com, audience: [x], account: a}]":                         "or all tokens would be one account",
		"tokens: [{issuer: https://l.example, audience: [x]}, {issuer: https://l.example, audience: [y]}]": "another issuer is named",
		"certificates: [{callers: []}]":                                                                    "ca names no file",
		"certificates: [{ca: x, callers: [{dns: a, uri: b}]}]":                                             "give exactly one of",
		"certificates: [{ca: x, callers: [{spiffe: spiffe://a/b}]}]":                                       "under certificates by the others",
		"spiffe: [{trust_domain: example.org}]":                                                            "either bundle or workload_api",
		"spiffe: [{trust_domain: example.org, bundle: a, workload_api: b}]":                                "either bundle or workload_api",
		"trusted: [{peer: {dns: proxy}, account_header: X-Account}]":                                       "configure certificates or spiffe",
		"{certificates: [{ca: x}], trusted: [{peer: {dns: proxy}, account_header: Authorization}]}":        "has another meaning",
		"{certificates: [{ca: x}], trusted: [{peer: {dns: proxy}}]}":                                       "account_header: name the header",
		"{}": "no way to know a caller is configured",
	} {
		var c Config
		if err := yaml.Unmarshal([]byte(section), &c); err != nil {
			t.Fatal(err)
		}
		if _, err := New(t.Context(), c, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", section, err, want)
		}
	}
}

// authorityFor makes certificates for tests.
type testAuthority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func makeAuthority(t testing.TB, uris ...*url.URL) *testAuthority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: noon().AddDate(0, 0, -1), NotAfter: noon().AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, URIs: uris,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &testAuthority{cert, key}
}

func (a *testAuthority) write(t testing.TB, path string) string {
	t.Helper()
	if path == "" {
		path = filepath.Join(t.TempDir(), "ca.pem")
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// issue returns the TLS state of a connection whose caller proved to hold a certificate made by change.
func (a *testAuthority) issue(t testing.TB, change func(*x509.Certificate)) *tls.ConnectionState {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: noon().Add(-time.Hour), NotAfter: noon().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	change(tmpl)
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}}
}

func dns(names ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.DNSNames = names }
}

func TestCertificates(t *testing.T) {
	ca, foreign := makeAuthority(t), makeAuthority(t)
	keys := newKeys(t)
	_, acme := create(t, keys, Grant{Account: "acme"})
	_, other := create(t, keys, Grant{Account: "other"})
	path := ca.write(t, "")
	k := checker(t, `
certificates:
  - ca: `+path+`
    callers:
      - {dns: billing.internal, account: acme, plan: pro}
      - {dns: "*.batch.internal", plan: batch}
      - {common_name: "robot-*", account: robots}
      - {email: ops@example.com, account: ops}
      - {uri: "https://example.com/*", account: web}
`, keys)
	if !k.WantsCertificates() {
		t.Fatal("the listener is not told to ask for certificates")
	}
	mail := func(c *x509.Certificate) { c.EmailAddresses = []string{"ops@example.com"} }
	uri := func(c *x509.Certificate) { c.URIs = []*url.URL{{Scheme: "https", Host: "example.com", Path: "/x"}} }
	name := func(c *x509.Certificate) { c.Subject.CommonName = "robot-7" }
	for _, c := range []struct {
		what    string
		state   *tls.ConnectionState
		headers []string
		account string
		want    error
	}{
		{"dns name", ca.issue(t, dns("x", "billing.internal")), nil, "acme", nil},
		{"the name is the account", ca.issue(t, dns("seven.batch.internal")), nil, "seven.batch.internal", nil},
		{"common name", ca.issue(t, name), nil, "robots", nil},
		{"email", ca.issue(t, mail), nil, "ops", nil},
		{"uri", ca.issue(t, uri), nil, "web", nil},
		{"a name nobody has", ca.issue(t, dns("nobody")), nil, "", gateway.ErrNoCredential},
		{"another authority", foreign.issue(t, dns("billing.internal")), nil, "", gateway.ErrCredential},
		{"another authority, beside a good key", foreign.issue(t, dns("billing.internal")), []string{"api-key", acme.Reveal()}, "", gateway.ErrCredential},
		{"for servers only", ca.issue(t, func(c *x509.Certificate) {
			dns("billing.internal")(c)
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		}), nil, "", gateway.ErrCredential},
		{"expired", ca.issue(t, func(c *x509.Certificate) { dns("billing.internal")(c); c.NotAfter = noon().Add(-time.Second) }), nil, "", gateway.ErrExpired},
		{"not yet good", ca.issue(t, func(c *x509.Certificate) { dns("billing.internal")(c); c.NotBefore = noon().Add(time.Minute) }), nil, "", gateway.ErrCredential},
		{"no certificate", &tls.ConnectionState{}, nil, "", gateway.ErrNoCredential},
		{"a key of the same account", ca.issue(t, dns("billing.internal")), []string{"api-key", acme.Reveal()}, "acme", nil},
		{"a key of another account", ca.issue(t, dns("billing.internal")), []string{"api-key", other.Reveal()}, "", gateway.ErrAmbiguous},
		{"a name nobody has, beside a key", ca.issue(t, dns("nobody")), []string{"api-key", other.Reveal()}, "other", nil},
	} {
		for range 2 { // the second time from memory
			r := request(c.headers...)
			r.TLS = c.state
			got, err := k.Identify(r)
			if got.Account != c.account || !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Errorf("%s: %q, %v; want %q, %v", c.what, got.Account, err, c.account, c.want)
			}
		}
	}
	good := request()
	good.TLS = ca.issue(t, dns("billing.internal"))
	if c, err := k.Identify(good); err != nil || c.Kind != "mtls" || c.Credential != "mtls:billing.internal" {
		t.Fatalf("%+v, %v", c, err)
	}
	if _, err := keys.Revoke(noon(), "mtls:billing.internal", "lost"); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Identify(good); !errors.Is(err, gateway.ErrRevoked) {
		t.Errorf("a revoked certificate: %v", err)
	}
	// An authority that is replaced takes what it vouched for with it.
	batch := request()
	batch.TLS = ca.issue(t, dns("seven.batch.internal"))
	if _, err := k.Identify(batch); err != nil {
		t.Fatal(err)
	}
	foreign.write(t, path)
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if _, err := k.Identify(batch); errors.Is(err, gateway.ErrCredential) {
			break
		} else if time.Now().After(end) {
			t.Fatalf("an authority that is gone still vouches: %v", err)
		}
	}
}

func spiffeID(id string) func(*x509.Certificate) {
	u, err := url.Parse(id)
	if err != nil {
		panic(err)
	}
	return func(c *x509.Certificate) { c.URIs = []*url.URL{u} }
}

func TestSPIFFE(t *testing.T) {
	domain := spiffeid.RequireTrustDomainFromString("example.org")
	ca, foreign := makeAuthority(t, domain.ID().URL()), makeAuthority(t)
	bundle, err := spiffebundle.FromX509Authorities(domain, []*x509.Certificate{ca.cert}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "bundle.json")
	if err := os.WriteFile(path, bundle, 0o600); err != nil {
		t.Fatal(err)
	}
	k := checker(t, `
spiffe:
  - trust_domain: example.org
    bundle: `+path+`
    callers:
      - {spiffe: "spiffe://example.org/ns/ml/*", account: ml, plan: internal}
certificates:
  - ca: `+foreign.write(t, "")+`
    callers: [{uri: "spiffe://*", account: forged}]
`, nil)
	for _, c := range []struct {
		what    string
		state   *tls.ConnectionState
		account string
		want    error
	}{
		{"an id of the domain", ca.issue(t, spiffeID("spiffe://example.org/ns/ml/sa/train")), "ml", nil},
		{"an id nobody has", ca.issue(t, spiffeID("spiffe://example.org/ns/web/sa/x")), "", gateway.ErrNoCredential},
		{"the domain's id, another authority", foreign.issue(t, spiffeID("spiffe://example.org/ns/ml/sa/train")), "", gateway.ErrCredential},
		{"expired", ca.issue(t, func(c *x509.Certificate) {
			spiffeID("spiffe://example.org/ns/ml/x")(c)
			c.NotAfter = noon().Add(-time.Minute)
		}), "", gateway.ErrExpired},
	} {
		r := request()
		r.TLS = c.state
		got, err := k.Identify(r)
		if got.Account != c.account || !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %q, %v; want %q, %v", c.what, got.Account, err, c.account, c.want)
		}
		if c.account == "ml" && (got.Kind != "spiffe" || got.Credential != "spiffe:spiffe://example.org/ns/ml/sa/train") {
			t.Errorf("%+v", got)
		}
	}
}

// Without an answer of the Workload API nobody waits, and nobody gets in.
func TestWorkloadAPIAbsent(t *testing.T) {
	ca := makeAuthority(t)
	k := checker(t, `
spiffe:
  - trust_domain: example.org
    workload_api: unix://`+filepath.Join(t.TempDir(), "absent.sock")+`
    callers: [{spiffe: "spiffe://example.org/*", account: ml}]
`, nil)
	r := request()
	r.TLS = ca.issue(t, spiffeID("spiffe://example.org/x"))
	start := time.Now()
	if _, err := k.Identify(r); !errors.Is(err, gateway.ErrIdentity) || time.Since(start) > time.Second {
		t.Fatalf("%v after %s", err, time.Since(start))
	}
	if k.Status()["spiffe example.org"] == nil {
		t.Fatal("the status hides that the Workload API does not answer")
	}
}

func TestTrusted(t *testing.T) {
	ca, foreign := makeAuthority(t), makeAuthority(t)
	keys := newKeys(t)
	_, key := create(t, keys, Grant{Account: "direct"})
	k := checker(t, `
certificates: [{ca: `+ca.write(t, "")+`}]
trusted:
  - peer: {dns: edge.internal}
    account_header: x-edge-account
    organization_header: X-Edge-Org
    plan_header: X-Edge-Plan
    models: [small]
`, keys)
	want := []string{"Api-Key", "Authorization", "X-Api-Key", "X-Edge-Account", "X-Edge-Org", "X-Edge-Plan"}
	if got := slices.Sorted(slices.Values(k.Headers())); !slices.Equal(got, want) {
		t.Fatalf("headers to strip %v, want %v", got, want)
	}
	edge, else_ := ca.issue(t, dns("edge.internal")), ca.issue(t, dns("elsewhere.internal"))
	for _, c := range []struct {
		what    string
		state   *tls.ConnectionState
		headers []string
		account string
		want    error
	}{
		{"the edge's word", edge, []string{"X-Edge-Account", "u7", "X-Edge-Org", "o", "X-Edge-Plan", "pro"}, "u7", nil},
		{"the same words in the clear", nil, []string{"X-Edge-Account", "u7"}, "", gateway.ErrNoCredential},
		{"from another peer", else_, []string{"X-Edge-Account", "u7"}, "", gateway.ErrNoCredential},
		{"from another authority", foreign.issue(t, dns("edge.internal")), []string{"X-Edge-Account", "u7"}, "", gateway.ErrCredential},
		{"from another peer with a key", else_, []string{"X-Edge-Account", "u7", "api-key", key.Reveal()}, "direct", nil},
		{"the edge with a key and no word", edge, []string{"api-key", key.Reveal()}, "direct", nil},
		{"the edge's word and a key", edge, []string{"X-Edge-Account", "u7", "api-key", key.Reveal()}, "", gateway.ErrAmbiguous},
		{"the edge names two", edge, []string{"X-Edge-Account", "u7", "X-Edge-Account", "u8"}, "", gateway.ErrAmbiguous},
		{"the edge names nobody", edge, []string{"X-Edge-Org", "o"}, "", gateway.ErrNoCredential},
		{"the edge names what cannot be printed", edge, []string{"X-Edge-Account", "a\x01"}, "", gateway.ErrCredential},
	} {
		r := request(c.headers...)
		r.TLS = c.state
		got, err := k.Identify(r)
		if got.Account != c.account || !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %q, %v; want %q, %v", c.what, got.Account, err, c.account, c.want)
		}
		if c.account == "u7" && (got.Kind != "trusted" || got.Organization != "o" || got.Plan != "pro" || got.Scopes.Model("large")) {
			t.Errorf("%+v", got)
		}
	}
	if _, err := keys.Revoke(noon(), "trusted:u7", "fraud"); err != nil {
		t.Fatal(err)
	}
	r := request("X-Edge-Account", "u7")
	r.TLS = edge
	if _, err := k.Identify(r); !errors.Is(err, gateway.ErrRevoked) {
		t.Errorf("a revoked identity: %v", err)
	}
}
