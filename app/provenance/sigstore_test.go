package provenance

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/rekor/pkg/generated/models"
	"github.com/sigstore/rekor/pkg/types"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/testing/ca"
	"github.com/sigstore/sigstore-go/pkg/tlog"
	"github.com/sigstore/sigstore-go/pkg/verify"

	"github.com/palladium-guard/palladium/weights/signing"
)

// instance is a Sigstore of its own on this machine: an authority that believes every token, and a log.
type instance struct {
	*ca.VirtualSigstore
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	url  string
	curt bool // the log leaves out which entry it has made
}

// FulcioCertificateAuthorities replaces those of the virtual instance, whose keys cannot be had.
func (s *instance) FulcioCertificateAuthorities() []root.CertificateAuthority {
	return []root.CertificateAuthority{&root.FulcioCertificateAuthority{Root: s.cert, ValidityPeriodStart: time.Now().Add(-time.Hour), ValidityPeriodEnd: time.Now().Add(time.Hour)}}
}

func newInstance(t *testing.T) *instance {
	t.Helper()
	virtual, err := ca.NewVirtualSigstore()
	check(t, err)
	s := &instance{VirtualSigstore: virtual}
	s.cert, s.key, err = ca.GenerateRootCa()
	check(t, err)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v2/signingCert", s.certify)
	mux.HandleFunc("POST /api/v1/log/entries", s.enter)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// certify answers as Fulcio does.
func (s *instance) certify(w http.ResponseWriter, r *http.Request) {
	var req struct {
		PublicKeyRequest struct {
			PublicKey struct{ Content string } `json:"publicKey"`
		} `json:"publicKeyRequest"`
	}
	if r.Header.Get("Authorization") == "" {
		http.Error(w, "no token", http.StatusUnauthorized)
		return
	}
	_ = json.NewDecoder(r.Body).Decode(&req)
	block, _ := pem.Decode([]byte(req.PublicKeyRequest.PublicKey.Content))
	if block == nil {
		http.Error(w, "no key", http.StatusBadRequest)
		return
	}
	pub, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		http.Error(w, "no key", http.StatusBadRequest)
		return
	}
	issuer, _ := asn1.Marshal("https://issuer.example.org")
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(10 * time.Minute),
		EmailAddresses: []string{"release@example.org"}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 8}, Value: issuer}},
	}, s.cert, pub, s.key)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	chain := []string{string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}
	_ = json.NewEncoder(w).Encode(map[string]any{"signedCertificateEmbeddedSct": map[string]any{"chain": map[string]any{"certificates": chain}}})
}

// enter answers as Rekor does.
func (s *instance) enter(w http.ResponseWriter, r *http.Request) {
	fail := func(err error) { http.Error(w, err.Error(), http.StatusBadRequest) }
	proposed, err := models.UnmarshalProposedEntry(r.Body, consumer{})
	if err != nil {
		fail(err)
		return
	}
	entry, err := types.CreateVersionedEntry(proposed)
	if err != nil {
		fail(err)
		return
	}
	body, err := types.CanonicalizeEntry(r.Context(), entry)
	if err != nil {
		fail(err)
		return
	}
	id, err := s.RekorLogID()
	if err != nil {
		fail(err)
		return
	}
	now, text := time.Now().Unix(), base64.StdEncoding.EncodeToString(body)
	set, err := s.RekorSignPayload(tlog.RekorPayload{Body: text, IntegratedTime: now, LogIndex: 1000, LogID: id})
	if err != nil {
		fail(err)
		return
	}
	proof, err := s.GetInclusionProof(body)
	if err != nil {
		fail(err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if !s.curt {
		w.Header().Set("ETag", strings.Repeat("a", 64))
	}
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(map[string]any{strings.Repeat("a", 64): map[string]any{
		"body": text, "integratedTime": now, "logID": id, "logIndex": 1000,
		"verification": map[string]any{"signedEntryTimestamp": set, "inclusionProof": proof},
	}})
}

type consumer struct{}

func (consumer) Consume(r io.Reader, v any) error {
	return json.NewDecoder(r).Decode(v)
}

func TestSigstore(t *testing.T) {
	s := newInstance(t)
	b := newBench(t, small())
	dir := t.TempDir()
	claims := base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"https://issuer.example.org","sub":"x","email":"release@example.org","email_verified":true}`))
	token, config := filepath.Join(dir, "token"), filepath.Join(dir, "config.json")
	check(t, os.WriteFile(token, []byte("e30."+claims+".c2ln\n"), 0o600))
	service := fmt.Sprintf(`[{"url":%q,"majorApiVersion":1,"validFor":{"start":"2020-01-01T00:00:00Z"},"operator":"test"}]`, s.url)
	check(t, os.WriteFile(config, []byte(`{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.2+json","caUrls":`+service+
		`,"rekorTlogUrls":`+service+`,"rekorTlogConfig":{"selector":"ANY"}}`), 0o600))
	sig := filepath.Join(dir, "m.sig")
	r, err := Sign(t.Context(), SignOptions{Model: b.dir, Signature: sig, With: &SigstoreOptions{TokenFile: token, Config: config}})
	if err != nil {
		t.Fatal(err)
	}
	if r.Method != signing.BySigstore {
		t.Errorf("method %s", r.Method)
	}
	// The instance has no certificate log, which verify asks for: check all else, then that it is asked for.
	data, err := os.ReadFile(sig)
	check(t, err)
	var file bundle.Bundle
	check(t, file.UnmarshalJSON(data))
	v, err := verify.NewVerifier(s, verify.WithTransparencyLog(1), verify.WithObserverTimestamps(1))
	check(t, err)
	who, err := verify.NewShortCertificateIdentity("https://issuer.example.org", "", "release@example.org", "")
	check(t, err)
	if _, err := v.Verify(&file, verify.NewPolicy(verify.WithoutArtifactUnsafe(), verify.WithCertificateIdentity(who))); err != nil {
		t.Error(err)
	}
	_, err = Verify(t.Context(), VerifyOptions{Model: b.dir, Signature: sig, Trust: signing.Trust{Sigstore: s, Identity: "release@example.org", Issuer: "https://issuer.example.org"}})
	if err == nil || !strings.Contains(err.Error(), "signed certificate timestamp") {
		t.Errorf("without a certificate log: %v", err)
	}
	s.curt = true
	if _, err := Sign(t.Context(), SignOptions{Model: b.dir, Signature: filepath.Join(dir, "none.sig"), With: &SigstoreOptions{TokenFile: token, Config: config}}); err == nil || !strings.Contains(err.Error(), "incomplete answer") {
		t.Errorf("an incomplete answer: %v", err)
	}
	s.curt = false
	// Nothing is written when the services do not answer, and no token is told.
	for name, o := range map[string]*SigstoreOptions{
		"no services":    {TokenFile: token, Config: strings.Replace(config, "config", "none", 1)},
		"no token":       {TokenFile: filepath.Join(dir, "none"), Config: config},
		"a broken token": {TokenFile: config, Config: config},
	} {
		out := filepath.Join(dir, "none.sig")
		_, err := Sign(context.Background(), SignOptions{Model: b.dir, Signature: out, With: o})
		if err == nil || strings.Contains(err.Error(), claims) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(out); err == nil {
			t.Errorf("%s: a signature was written", name)
		}
	}
}

// A CI job hands out tokens.
func TestJobToken(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer job" || r.URL.Query().Get("audience") != "sigstore" || r.URL.Query().Get("x") != "1" {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		_, _ = w.Write([]byte(`{"value":"a.b.c"}`))
	}))
	defer server.Close()
	t.Setenv("SIGSTORE_ID_TOKEN", "")
	t.Setenv("ACTIONS_ID_TOKEN_REQUEST_URL", server.URL+"?x=1")
	t.Setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "job")
	o := &SigstoreOptions{}
	if got, err := o.token(t.Context()); err != nil || got != "a.b.c" {
		t.Errorf("%q %v", got, err)
	}
	t.Setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "secret-of-the-job")
	if _, err := o.token(t.Context()); err == nil || strings.Contains(err.Error(), "secret-of-the-job") {
		t.Errorf("refused: %v", err)
	}
	t.Setenv("ACTIONS_ID_TOKEN_REQUEST_URL", "")
	if _, err := o.token(t.Context()); err == nil || !strings.Contains(err.Error(), "--identity-token-file") {
		t.Errorf("no token: %v", err)
	}
	t.Setenv("SIGSTORE_ID_TOKEN", "x.y.z")
	if got, err := o.token(t.Context()); err != nil || got != "x.y.z" {
		t.Errorf("%q %v", got, err)
	}
}
