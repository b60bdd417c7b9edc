package credential

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/palladium-guard/palladium/traffic/gateway"
)

// testIssuer is an OpenID Connect issuer on the loopback that rotates its keys, fails and dawdles when told to.
type testIssuer struct {
	*httptest.Server
	mu     sync.Mutex
	keys   map[string]*ecdsa.PrivateKey
	served []string // ids of the keys that are published
	down   bool
	slow   time.Duration
	asked  int
}

func newTestIssuer(t *testing.T) *testIssuer {
	s := &testIssuer{keys: map[string]*ecdsa.PrivateKey{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	s.rotate(t, "k1")
	return s
}

// rotate publishes the keys of these ids, made if need be.
func (s *testIssuer) rotate(t *testing.T, ids ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		if s.keys[id] == nil {
			key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			s.keys[id] = key
		}
	}
	s.served = ids
}

func (s *testIssuer) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *testIssuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	down, slow := s.down, s.slow
	s.asked++
	var set jose.JSONWebKeySet
	for _, id := range s.served {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: s.keys[id].Public(), KeyID: id, Use: "sig", Algorithm: "ES256"})
	}
	s.mu.Unlock()
	select {
	case <-time.After(slow):
	case <-r.Context().Done():
		return
	}
	switch {
	case down:
		http.Error(w, "down", http.StatusBadGateway)
	case strings.HasSuffix(r.URL.Path, "/.well-known/openid-configuration"):
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, s.URL, s.URL+"/keys")
	default:
		_ = json.NewEncoder(w).Encode(set)
	}
}

// claims are good ones; change overrides some, nil removes one.
func (s *testIssuer) claims(change map[string]any) map[string]any {
	c := map[string]any{
		"iss": s.URL, "aud": "palladium", "sub": "user-1", "exp": noon().Add(time.Hour).Unix(), "iat": noon().Add(-time.Minute).Unix(),
		"org": map[string]any{"id": "inc"}, "plan": "pro", "models": []string{"gpt-*"},
	}
	maps.Copy(c, change)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

func sign(t *testing.T, alg jose.SignatureAlgorithm, key any, id string, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key, KeyID: id}}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := token.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (s *testIssuer) token(t *testing.T, id string, change map[string]any) string {
	s.mu.Lock()
	key := s.keys[id]
	s.mu.Unlock()
	return sign(t, jose.ES256, key, id, s.claims(change))
}

// trusts returns a checker that trusts s and has its keys.
func (s *testIssuer) trusts(t *testing.T, more string, keys *Keys) *Checker {
	t.Helper()
	k := checker(t, `
tokens:
  - name: login
    issuer: `+s.URL+`
    audience: [palladium, other]
    claims: {organization: org.id, plan: plan, models: models}
    `+more+`
`, keys)
	ready(t, k)
	return k
}

func ready(t *testing.T, k *Checker) {
	t.Helper()
	for end := time.Now().Add(time.Minute); k.issuers[0].keys.generation() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the issuer's keys never came")
		}
	}
}

func bearer(token string) *http.Request { return request("Authorization", "Bearer "+token) }

func TestToken(t *testing.T) {
	s := newTestIssuer(t)
	keys := newKeys(t)
	k := s.trusts(t, "", keys)
	c, err := k.Identify(bearer(s.token(t, "k1", nil)))
	if err != nil || c.Account != "user-1" || c.Organization != "inc" || c.Plan != "pro" || c.Kind != "jwt" || c.Credential != "jwt:login:user-1" ||
		!c.Scopes.Model("gpt-5") || c.Scopes.Model("o3") || !c.Expires.Equal(noon().Add(time.Hour)) {
		t.Fatalf("%+v, %v", c, err)
	}
	at := func(d time.Duration) int64 { return noon().Add(d).Unix() }
	for _, c := range []struct {
		what   string
		change map[string]any
		want   error
	}{
		{"good", nil, nil},
		{"the other audience", map[string]any{"aud": []string{"x", "other"}}, nil},
		{"scopes as text", map[string]any{"models": "gpt-5 o3"}, nil},
		{"another audience", map[string]any{"aud": "someone-else"}, gateway.ErrCredential},
		{"no audience", map[string]any{"aud": nil}, gateway.ErrCredential},
		{"another issuer", map[string]any{"iss": "https://evil.example"}, gateway.ErrCredential},
		{"no issuer", map[string]any{"iss": nil}, gateway.ErrCredential},
		{"expired", map[string]any{"exp": at(-time.Minute)}, gateway.ErrExpired},
		{"expired within the skew", map[string]any{"exp": at(-20 * time.Second)}, nil},
		{"never expires", map[string]any{"exp": nil}, gateway.ErrCredential},
		{"from later on", map[string]any{"nbf": at(time.Minute)}, gateway.ErrCredential},
		{"from later on within the skew", map[string]any{"nbf": at(20 * time.Second)}, nil},
		{"issued in the future", map[string]any{"iat": at(10 * time.Minute)}, gateway.ErrCredential},
		{"nbf is no number", map[string]any{"nbf": "now"}, gateway.ErrCredential},
		{"no subject", map[string]any{"sub": nil}, gateway.ErrCredential},
		{"an account that cannot be printed", map[string]any{"sub": "a\nb"}, gateway.ErrCredential},
		{"a configured claim is missing", map[string]any{"plan": nil}, gateway.ErrCredential},
		{"scopes are missing: not all models", map[string]any{"models": nil}, gateway.ErrCredential},
		{"scopes are empty: not all models", map[string]any{"models": []string{}}, gateway.ErrCredential},
		{"scopes are numbers", map[string]any{"models": []int{1}}, gateway.ErrCredential},
	} {
		for range 2 { // the second time from memory
			_, err := k.Identify(bearer(s.token(t, "k1", c.change)))
			if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Errorf("%s: %v, want %v", c.what, err, c.want)
			}
		}
	}
	token := s.token(t, "k1", nil)
	if _, err := k.Identify(bearer(token)); err != nil {
		t.Fatal(err)
	}
	k.now = func() time.Time { return noon().Add(2 * time.Hour) }
	if _, err := k.Identify(bearer(token)); !errors.Is(err, gateway.ErrExpired) {
		t.Errorf("a remembered token outlives its expiry: %v", err)
	}
	k.now = noon
	if _, err := keys.Revoke(noon(), "jwt:login:user-1", "left"); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Identify(bearer(token)); !errors.Is(err, gateway.ErrRevoked) {
		t.Errorf("a revoked subject: %v", err)
	}
}

// Tokens that nobody who holds the issuer's private key has signed.
func TestForgedTokens(t *testing.T) {
	s := newTestIssuer(t)
	k := s.trusts(t, "", nil)
	good := s.token(t, "k1", nil)
	parts := strings.Split(good, ".")
	enc := base64.RawURLEncoding.EncodeToString
	der, err := x509.MarshalPKIXPublicKey(s.keys["k1"].Public())
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	stranger, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	embedded, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: stranger}, &jose.SignerOptions{EmbedJWK: true})
	if err != nil {
		t.Fatal(err)
	}
	payload, _ := json.Marshal(s.claims(nil))
	own, _ := embedded.Sign(payload)
	ownText, _ := own.CompactSerialize()
	other := strings.Split(s.token(t, "k1", map[string]any{"sub": "root"}), ".")
	for name, token := range map[string]string{
		"alg none":                        enc([]byte(`{"alg":"none"}`)) + "." + parts[1] + ".",
		"alg None":                        enc([]byte(`{"alg":"None","kid":"k1"}`)) + "." + parts[1] + "." + parts[2],
		"HS256 with the public key":       sign(t, jose.HS256, public, "k1", s.claims(nil)),
		"HS256 with the public key (DER)": sign(t, jose.HS256, der, "k1", s.claims(nil)),
		"a stranger's key, the good id":   sign(t, jose.ES256, stranger, "k1", s.claims(nil)),
		"a stranger's key, another id":    sign(t, jose.ES256, stranger, "k9", s.claims(nil)),
		"a key it brings along":           ownText,
		"another payload":                 parts[0] + "." + other[1] + "." + parts[2],
		"no signature":                    parts[0] + "." + parts[1] + ".",
		"a critical header nobody knows":  enc([]byte(`{"alg":"ES256","kid":"k1","crit":["x"],"x":1}`)) + "." + parts[1] + "." + parts[2],
		"not base64":                      "a.b!.c",
		"not JSON":                        enc([]byte("x")) + "." + enc([]byte("y")) + "." + enc([]byte("z")),
	} {
		_, err := k.Identify(bearer(token))
		if !errors.Is(err, gateway.ErrCredential) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), parts[1][:10]) {
			t.Errorf("%s: the error shows the token", name)
		}
	}
	if _, err := k.Identify(bearer(good)); err != nil {
		t.Errorf("the good one: %v", err)
	}
	// Narrowed to another algorithm, the same token is not good.
	if _, err := s.trusts(t, "algorithms: [RS256]", nil).Identify(bearer(good)); !errors.Is(err, gateway.ErrCredential) {
		t.Errorf("an algorithm that is not configured: %v", err)
	}
}

// A key that the issuer has only just begun to use is fetched while the first request waits for a moment; one that it
// gave up is not believed any more after the next fetch.
func TestKeyRotation(t *testing.T) {
	s := newTestIssuer(t)
	k := s.trusts(t, "", nil)
	k.issuers[0].keys.gap, k.issuers[0].keys.wait = 0, 5*time.Second
	old := s.token(t, "k1", nil)
	if _, err := k.Identify(bearer(old)); err != nil {
		t.Fatal(err)
	}
	s.rotate(t, "k1", "k2")
	if _, err := k.Identify(bearer(s.token(t, "k2", nil))); err != nil {
		t.Fatalf("a new key: %v", err)
	}
	if _, err := k.Identify(bearer(old)); err != nil {
		t.Fatalf("the key before it: %v", err)
	}
	s.rotate(t, "k3")
	if _, err := k.Identify(bearer(s.token(t, "k3", nil))); err != nil {
		t.Fatalf("the next key: %v", err)
	}
	if _, err := k.Identify(bearer(old)); !errors.Is(err, gateway.ErrCredential) {
		t.Fatalf("a key that was given up: %v", err)
	}
}

// No request hangs on an issuer that is down or slow, and strangers' key ids do not make the gateway ask it.
func TestIssuerInTrouble(t *testing.T) {
	s := newTestIssuer(t)
	s.set(func() { s.down = true })
	k := checker(t, "tokens: [{name: login, issuer: "+s.URL+", audience: [palladium]}]", nil)
	quick := func(token string, want error) {
		t.Helper()
		start := time.Now()
		_, err := k.Identify(bearer(token))
		if took := time.Since(start); !errors.Is(err, want) && err != want || took > 2*time.Second {
			t.Fatalf("%v after %s, want %v at once", err, took, want)
		}
	}
	quick(s.token(t, "k1", nil), gateway.ErrIdentity)
	for end := time.Now().Add(time.Minute); k.Status()["issuer login"] == nil; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the status hides that the issuer is down")
		}
	}
	s.set(func() { s.down = false })
	ready(t, k) // it tries again by itself
	quick(s.token(t, "k1", nil), nil)
	s.set(func() { s.slow = time.Hour })
	s.rotate(t, "k2")
	set := k.issuers[0].keys
	set.mu.Lock()
	set.begun = set.begun.Add(-time.Minute)
	set.mu.Unlock()
	s.set(func() { s.asked = 0 })
	quick(s.token(t, "k2", nil), gateway.ErrCredential) // waited a quarter of a second
	for range 20 {
		start := time.Now()
		quick(s.token(t, "k2", nil), gateway.ErrCredential)
		if took := time.Since(start); took > 200*time.Millisecond {
			t.Fatalf("a later request waited %s", took)
		}
	}
	quick(s.token(t, "k1", map[string]any{"jti": "x"}), nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked > 2 {
		t.Fatalf("21 tokens of unknown keys made the gateway ask %d times", s.asked)
	}
}

func TestStaleKeys(t *testing.T) {
	s := newTestIssuer(t)
	k := s.trusts(t, "stale: 1h", nil)
	s.set(func() { s.down = true })
	token := s.token(t, "k1", map[string]any{"exp": time.Now().Add(1e6 * time.Second).Unix(), "iat": nil})
	for _, c := range []struct {
		after time.Duration
		want  error
	}{{0, nil}, {59 * time.Minute, nil}, {61 * time.Minute, gateway.ErrIdentity}} {
		k.now = func() time.Time { return time.Now().Add(c.after) }
		if _, err := k.Identify(bearer(token)); !errors.Is(err, c.want) {
			t.Errorf("after %s: %v, want %v", c.after, err, c.want)
		}
	}
}

// What an issuer answers is bounded, and must be about itself.
func TestIssuerAnswers(t *testing.T) {
	symmetric, _ := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: []byte("secret"), KeyID: "k", Algorithm: "HS256"}}})
	for want, h := range map[string]http.HandlerFunc{
		"larger than": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, fetchSize+10)) },
		"names another issuer": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"issuer":"https://other.example","jwks_uri":"https://other.example/k"}`)
		},
		"want https": func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, `{"issuer":"http://%s","jwks_uri":"http://keys.example/k"}`, r.Host)
		},
		"no public key": func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/k" {
				_, _ = w.Write(symmetric)
				return
			}
			fmt.Fprintf(w, `{"issuer":"http://%s","jwks_uri":"http://%s/k"}`, r.Host, r.Host)
		},
		"not the JSON": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") },
	} {
		s := httptest.NewServer(h)
		c := &TokenConfig{Issuer: s.URL, Audience: []string{"a"}, Algorithms: algorithms()}
		set, err := newKeySet(c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := set.fetch(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		s.Close()
	}
}

func BenchmarkToken(b *testing.B) {
	t := &testing.T{}
	s := &testIssuer{keys: map[string]*ecdsa.PrivateKey{}}
	s.Server = httptest.NewServer(s)
	defer s.Close()
	s.rotate(t, "k1")
	k := checker(b, "tokens: [{issuer: "+s.URL+", audience: [palladium]}]", nil)
	for k.issuers[0].keys.generation() == 0 {
		time.Sleep(time.Millisecond)
	}
	r := bearer(s.token(t, "k1", nil))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Identify(r); err != nil {
			b.Fatal(err)
		}
	}
}
