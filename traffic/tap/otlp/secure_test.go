package otlp

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc/credentials"

	"github.com/palladium-guard/palladium/store/secret"
)

func identity(cert, key, ca, tokens string) secret.Server {
	return secret.Server{Certificate: cert, Key: key, ClientCA: ca, TokenFile: tokens}
}

// signed makes a certificate that signs itself, for the loopback address.
func signed(t *testing.T, dir string) (pair tls.Certificate, cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tpl := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "palladium"}, NotAfter: time.Now().Add(time.Hour), IsCA: true,
		BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := x509.MarshalPKCS8PrivateKey(k)
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, b := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if pair, err = tls.LoadX509KeyPair(cert, key); err != nil {
		t.Fatal(err)
	}
	return pair, cert, key
}

// With authorities for clients only those with a certificate of theirs are let in, on both transports; certificates and
// tokens that change are taken up.
func TestSecure(t *testing.T) {
	dir := t.TempDir()
	pair, cert, key := signed(t, dir)
	tokens := filepath.Join(dir, "tokens")
	if err := os.WriteFile(tokens, []byte("first-token-of-many\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newSink()
	tp, g, h := serve(t, s, func(c *Config) { c.Identity = identity(cert, key, cert, tokens) })
	send := func(over string, own []tls.Certificate, token string) bool {
		pool := x509.NewCertPool()
		pool.AddCert(pair.Leaf)
		cfg := &tls.Config{RootCAs: pool, Certificates: own}
		headers := map[string]string{"authorization": "Bearer " + token}
		var e sdktrace.SpanExporter
		var err error
		if over == "grpc" {
			e, err = otlptracegrpc.New(t.Context(), otlptracegrpc.WithEndpoint(g), otlptracegrpc.WithTLSCredentials(credentials.NewTLS(cfg)),
				otlptracegrpc.WithHeaders(headers), otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{}), otlptracegrpc.WithTimeout(2*time.Second))
		} else {
			e, err = otlptracehttp.New(t.Context(), otlptracehttp.WithEndpoint(h), otlptracehttp.WithTLSClientConfig(cfg),
				otlptracehttp.WithHeaders(headers), otlptracehttp.WithRetry(otlptracehttp.RetryConfig{}), otlptracehttp.WithTimeout(2*time.Second))
		}
		if err != nil {
			t.Fatal(err)
		}
		before := s.count()
		p := sdktrace.NewTracerProvider(sdktrace.WithSyncer(e))
		alone(p.Tracer("x"))
		_ = p.Shutdown(t.Context())
		return s.count() == before+1
	}
	own := []tls.Certificate{pair}
	stranger, _, _ := signed(t, t.TempDir())
	for _, over := range []string{"grpc", "http"} {
		for name, c := range map[string]struct {
			own   []tls.Certificate
			token string
			want  bool
		}{
			"known":          {own, "first-token-of-many", true},
			"no certificate": {nil, "first-token-of-many", false},
			"another's":      {[]tls.Certificate{stranger}, "first-token-of-many", false},
			"wrong token":    {own, "first-token-of-man", false},
			"no token":       {own, "", false},
		} {
			if got := send(over, c.own, c.token); got != c.want {
				t.Errorf("%s, %s: let in: %v", over, name, got)
			}
		}
	}
	pair, _, _ = signed(t, dir)
	if err := os.WriteFile(tokens, []byte("second-token-of-many\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := tp.Reload(); err != nil {
		t.Fatal(err)
	}
	for _, over := range []string{"grpc", "http"} {
		if !send(over, []tls.Certificate{pair}, "second-token-of-many") || send(over, []tls.Certificate{pair}, "first-token-of-many") {
			t.Errorf("%s: new files were not taken up", over)
		}
	}
}
