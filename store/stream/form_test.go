package stream

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
)

// form is one way to have a stream. open gives the connection of the nth process; there may be fewer than are asked for,
// then some are the same.
type form struct {
	name string
	open func(t *testing.T, n int) *Stream
}

// TestConformance holds all forms to the same promises.
func TestConformance(t *testing.T) {
	tests := []struct {
		name string
		run  func(t *testing.T, f form)
	}{
		{"carries", carries}, {"duplicates", duplicates}, {"release", release}, {"deleted", deleted}, {"full", full}, {"tables", tablesWhole},
		{"table soon", tableSoon}, {"lead", leadsOnce}, {"takeover", takeover}, {"cells", cellsCount},
	}
	for _, begin := range []func(t *testing.T) (name string, fresh func(t *testing.T, c Config) form){embedded, external, clustered} {
		name, fresh := begin(t)
		t.Run(name, func(t *testing.T) {
			for _, c := range tests {
				t.Run(c.name, func(t *testing.T) { c.run(t, fresh(t, Config{Name: "t" + rand.Text()[:8], MaxBytes: 64 << 20})) })
			}
		})
	}
}

func embedded(*testing.T) (string, func(*testing.T, Config) form) {
	return "embedded", func(t *testing.T, c Config) form {
		c.Dir = t.TempDir()
		s := open(t, c)
		return form{"embedded", func(*testing.T, int) *Stream { return s }}
	}
}

// external is a server of others, with TLS and credentials of the operator's kind.
func external(t *testing.T) (string, func(*testing.T, Config) form) {
	pki := authority(t)
	url, credentials := operated(t, pki)
	return "external", func(_ *testing.T, c Config) form {
		c.URL, c.TLS.CA, c.Credentials = url, pki.ca, credentials
		return form{"external", func(t *testing.T, _ int) *Stream { return settled(t, open(t, c)) }}
	}
}

// clustered is three processes that form a cluster themselves, with TLS between them. It is started once, as that takes
// it ten seconds.
func clustered(t *testing.T) (string, func(*testing.T, Config) form) {
	nodes := make([]*Stream, 3)
	for i, c := range cluster(t) {
		nodes[i] = open(t, c)
	}
	return "cluster", func(t *testing.T, c Config) form {
		under := make([]*Stream, 3)
		for i, n := range nodes {
			of := n.config
			of.Name, of.MaxBytes = c.Name, c.MaxBytes
			s := newStream(of, n.log)
			s.node = n.node
			if err := s.connect(); err != nil {
				t.Fatal(err)
			}
			s.node = nil // it is another's
			s.work.Go(s.tend)
			t.Cleanup(func() { _ = s.Close() })
			under[i] = s
		}
		for _, s := range under {
			settled(t, s)
		}
		return form{"cluster", func(_ *testing.T, n int) *Stream { return under[n%3] }}
	}
}

// operated starts a server that knows callers by credentials alone, and returns its address and such a file.
func operated(t *testing.T, pki pki) (url, credentials string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	pair := func(kp nkeys.KeyPair, err error) (nkeys.KeyPair, string) {
		t.Helper()
		must(err)
		public, err := kp.PublicKey()
		must(err)
		return kp, public
	}
	operator, operatorID := pair(nkeys.CreateOperator())
	oc := jwt.NewOperatorClaims(operatorID)
	account, accountID := pair(nkeys.CreateAccount())
	ac := jwt.NewAccountClaims(accountID)
	ac.Limits.JetStreamLimits = jwt.JetStreamLimits{DiskStorage: -1, MemoryStorage: -1, Streams: -1, Consumer: -1}
	accountJWT, err := ac.Encode(operator)
	must(err)
	system, systemID := pair(nkeys.CreateAccount())
	_ = system
	systemJWT, err := jwt.NewAccountClaims(systemID).Encode(operator)
	must(err)
	user, userID := pair(nkeys.CreateUser())
	userJWT, err := jwt.NewUserClaims(userID).Encode(account)
	must(err)
	seed, err := user.Seed()
	must(err)
	file, err := jwt.FormatUserConfig(userJWT, seed)
	must(err)
	credentials = filepath.Join(t.TempDir(), "palladium.creds")
	must(os.WriteFile(credentials, file, 0o600))
	resolver := &server.MemAccResolver{}
	must(resolver.Store(accountID, accountJWT))
	must(resolver.Store(systemID, systemJWT))
	return serve(t, &server.Options{TrustedOperators: []*jwt.OperatorClaims{oc}, AccountResolver: resolver, SystemAccount: systemID, TLSConfig: pki.server(t)}), credentials
}

// serve starts a server on a free port of loopback.
func serve(t *testing.T, o *server.Options) (url string) {
	t.Helper()
	o.Host, o.Port, o.NoSigs, o.NoLog, o.JetStream, o.DisableJetStreamBanner = "127.0.0.1", cmp.Or(o.Port, server.RANDOM_PORT), true, true, true, true
	if o.StoreDir == "" {
		o.StoreDir = t.TempDir()
	}
	o.TLS = o.TLSConfig != nil
	o.TLSTimeout = 5
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(20 * time.Second) {
		t.Fatal("the server does not start")
	}
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return s.ClientURL()
}

// cluster returns the configurations of three nodes.
func cluster(t *testing.T) (out []Config) {
	t.Helper()
	pki := authority(t)
	dir := t.TempDir()
	shared := filepath.Join(dir, "secret")
	if err := os.WriteFile(shared, []byte(rand.Text()+rand.Text()), 0o600); err != nil {
		t.Fatal(err)
	}
	var addresses []string
	for range 3 {
		addresses = append(addresses, fmt.Sprintf("127.0.0.1:%d", freePort(t)))
	}
	for i, a := range addresses {
		name := fmt.Sprintf("node-%d", i+1)
		out = append(out, Config{Dir: filepath.Join(dir, name), Cluster: Cluster{
			Name: "test", Node: name, Listen: a, Peers: addresses, SecretFile: shared, TLS: TLS{CA: pki.ca, Certificate: pki.certificate, Key: pki.key},
		}})
	}
	return out
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// settled waits until the stream is usable.
func settled(t *testing.T, s *Stream) *Stream {
	t.Helper()
	eventually(t, 40*time.Second, func() error {
		if ok, says := s.Health(); !ok {
			return fmt.Errorf("not usable: %s", says)
		}
		return nil
	})
	return s
}

// eventually waits until try has no error.
func eventually(t *testing.T, within time.Duration, try func() error) {
	t.Helper()
	for end := time.Now().Add(within); ; time.Sleep(20 * time.Millisecond) {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("after %v: %v", within, err)
		}
	}
}

// pki is a certificate authority and a certificate for loopback, as files.
type pki struct{ ca, certificate, key string }

func (p pki) server(t *testing.T) *tls.Config {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(p.certificate, p.key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
}

func authority(t *testing.T, hosts ...net.IP) (p pki) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, kind string, der []byte, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	root, leaf := key(), key()
	day := time.Now().Add(24 * time.Hour)
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: day, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, &root.PublicKey, root)
	p.ca = write("ca.pem", "CERTIFICATE", der, err)
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotAfter: day, IPAddresses: append(hosts, net.IPv4(127, 0, 0, 1)), DNSNames: []string{"localhost"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err = x509.CreateCertificate(rand.Reader, cert, ca, &leaf.PublicKey, root)
	p.certificate = write("cert.pem", "CERTIFICATE", der, err)
	der, err = x509.MarshalPKCS8PrivateKey(leaf)
	p.key = write("key.pem", "PRIVATE KEY", der, err)
	return p
}

// patient is the context of a test that must not take long.
func patient(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func open(t testing.TB, c Config) *Stream {
	t.Helper()
	var log *slog.Logger
	if os.Getenv("STREAM_TEST_LOG") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	s, err := Open(patient(t), c, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
