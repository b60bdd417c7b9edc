package kafka

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
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"github.com/palladium-guard/palladium/internal/tlsfile"
)

// certificate makes one that signs itself, for the loopback address, and writes it to files.
func certificate(t *testing.T) (pair tls.Certificate, cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kafka"}, NotAfter: time.Now().Add(time.Hour), IsCA: true,
		BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := x509.MarshalPKCS8PrivateKey(k)
	cert, key = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	write(t, cert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	write(t, key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})))
	if pair, err = tls.LoadX509KeyPair(cert, key); err != nil {
		t.Fatal(err)
	}
	return pair, cert, key
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// The tap proves itself to brokers that want it, over TLS; with a wrong secret it says so, and a right one put in its place
// is taken up without a restart.
func TestSecure(t *testing.T) {
	pair, cert, key := certificate(t)
	pool := x509.NewCertPool()
	pool.AddCert(pair.Leaf)
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser("PLAIN", "admin", "root-secret"),
		kfake.Superuser("SCRAM-SHA-256", "tap", "secret-256"), kfake.Superuser("SCRAM-SHA-512", "tap5", "secret-512"),
		kfake.TLS(&tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	w := &world{t: t, brokers: c.ListenAddrs(), topic: "secured"}
	w.cl, err = kgo.NewClient(kgo.SeedBrokers(w.brokers...), kgo.DefaultProduceTopic(w.topic),
		kgo.DialTLSConfig(&tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}}),
		kgo.SASL(plain.Auth{User: "admin", Pass: "root-secret"}.AsMechanism()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.cl.Close)
	if _, err := kadm.NewClient(w.cl).CreateTopic(t.Context(), 1, 1, nil, w.topic); err != nil {
		t.Fatal(err)
	}
	w.produce(10)
	for _, m := range []struct{ mechanism, user, secret string }{
		{"plain", "admin", "root-secret"}, {"scram-sha-256", "tap", "secret-256"}, {"scram-sha-512", "tap5", "secret-512"},
	} {
		t.Run(m.mechanism, func(t *testing.T) {
			t.Parallel()
			w := &world{t: t, brokers: w.brokers, topic: w.topic}
			cfg := w.config()
			cfg.Group = m.mechanism
			file := filepath.Join(t.TempDir(), "secret")
			write(t, file, "wrong\n")
			cfg.TLS = TLS{On: true, Files: tlsfile.Client{CA: cert, Certificate: cert, Key: key}}
			cfg.SASL = SASL{Mechanism: m.mechanism, User: m.user, PasswordFile: file}
			s := newSink()
			tp, stop := w.start(s, cfg)
			w.until("it says that it cannot read", func() bool { ok, _ := tp.Health(); return !ok })
			if _, says := tp.Health(); strings.Contains(says, "wrong") {
				t.Errorf("the secret stands in what is said: %s", says)
			}
			write(t, file, m.secret+"\n")
			w.keeps(s, 10)
			stop()
		})
	}
}
