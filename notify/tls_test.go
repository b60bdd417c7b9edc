package notify

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/leodido/go-syslog/v4/rfc5424"

	"github.com/palladium-guard/palladium/internal/tlsfile"
)

// authority is one that these tests trust: its certificate's file, and what makes others.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	n    int64
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir(), n: 1}
	a.key = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der := must(x509.CreateCertificate(rand.Reader, tmpl, tmpl, &a.key.PublicKey, a.key))(t)
	a.cert = must(x509.ParseCertificate(der))(t)
	a.pem(t, "ca.pem", "CERTIFICATE", der)
	return a
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func (a *authority) pem(t *testing.T, name, kind string, der []byte) string {
	t.Helper()
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// issue makes a certificate for a name, and gives its files.
func (a *authority) issue(t *testing.T, name string) (cert, key string) {
	t.Helper()
	a.n++
	k := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(a.n), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der := must(x509.CreateCertificate(rand.Reader, tmpl, a.cert, &k.PublicKey, a.key))(t)
	return a.pem(t, name+".pem", "CERTIFICATE", der), a.pem(t, name+".key", "EC PRIVATE KEY", must(x509.MarshalECPrivateKey(k))(t))
}

// server is what a server of that name proves itself with; clients must be of the same authority where ask is set.
func (a *authority) server(t *testing.T, name string, ask bool) *tls.Config {
	t.Helper()
	cert, key := a.issue(t, name)
	c := &tls.Config{Certificates: []tls.Certificate{must(tls.LoadX509KeyPair(cert, key))(t)}, MinVersion: tls.VersionTLS12}
	if ask {
		c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		c.ClientCAs.AddCert(a.cert)
	}
	return c
}

// post office: mail is taken from who signed in, over TLS alone.
type office struct{ got chan string }

func (o office) NewSession(c *smtp.Conn) (smtp.Session, error) {
	_, encrypted := c.TLSConnectionState()
	return &visit{session: session(o), encrypted: encrypted}, nil
}

type visit struct {
	session
	encrypted, known bool
}

func (v *visit) AuthMechanisms() []string { return []string{sasl.Plain} }
func (v *visit) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if !v.encrypted || user != "palladium" || password != "sesame-9d1" {
			return smtp.ErrAuthFailed
		}
		v.known = true
		return nil
	}), nil
}
func (v *visit) Mail(string, *smtp.MailOptions) error {
	if !v.known {
		return smtp.ErrAuthRequired
	}
	return nil
}

func TestMailOverTLS(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	t.Setenv("NOTIFY_TEST_PASSWORD", "sesame-9d1")
	serve := func(implicit bool) (string, office) {
		o := office{make(chan string, 1)}
		srv := smtp.NewServer(o)
		srv.TLSConfig = a.server(t, "mail.example.com", false)
		l := must(net.Listen("tcp", "127.0.0.1:0"))(t)
		at := l.Addr().String()
		if implicit {
			l = tls.NewListener(l, srv.TLSConfig)
		}
		go srv.Serve(l)
		t.Cleanup(func() { _ = srv.Close() })
		return at, o
	}
	for _, c := range []struct {
		name, security, ca, host, env, fails string
	}{
		{"STARTTLS", "starttls", filepath.Join(a.dir, "ca.pem"), "mail.example.com", "NOTIFY_TEST_PASSWORD", ""},
		{"by default", "", filepath.Join(a.dir, "ca.pem"), "mail.example.com", "NOTIFY_TEST_PASSWORD", ""},
		{"TLS from the first byte", "tls", filepath.Join(a.dir, "ca.pem"), "mail.example.com", "NOTIFY_TEST_PASSWORD", ""},
		{"an authority that is not trusted", "starttls", filepath.Join(other.dir, "ca.pem"), "mail.example.com", "NOTIFY_TEST_PASSWORD", "certificate"},
		{"another's certificate", "starttls", filepath.Join(a.dir, "ca.pem"), "other.example.com", "NOTIFY_TEST_PASSWORD", "certificate"},
		{"another's certificate, TLS at once", "tls", filepath.Join(a.dir, "ca.pem"), "other.example.com", "NOTIFY_TEST_PASSWORD", "certificate"},
		{"a wrong password", "starttls", filepath.Join(a.dir, "ca.pem"), "mail.example.com", "NOTIFY_TEST_WRONG", "535"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("NOTIFY_TEST_WRONG", "wrong-3f")
			at, o := serve(c.security == "tls")
			n := openQuick(t, nil, Config{Sinks: []Sink{{Name: "mail", Allow: []string{"127.0.0.0/8"}, TLS: TLS{Files: tlsfile.Client{CA: c.ca}, Name: c.host}, Mail: &Mail{
				Server: at, From: "p@example.com", To: []string{"ops@example.com"}, Security: c.security, User: "palladium", PasswordEnv: c.env,
			}}}})
			said, err := n.Try(t.Context(), "mail")
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) || strings.Contains(err.Error(), "sesame") || strings.Contains(err.Error(), "wrong-3f") {
					t.Errorf("said %q: %v", said, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if text := <-o.got; !strings.Contains(text, "To: <ops@example.com>") || !strings.Contains(text, "@palladium.invalid>") {
				t.Errorf("the mail is %s", text)
			}
		})
	}
}

// parsed reads an RFC 5424 message as a collector does.
func parsed(t *testing.T, line string) *rfc5424.SyslogMessage {
	t.Helper()
	m, err := rfc5424.NewParser().Parse([]byte(line))
	if err != nil {
		t.Fatalf("%q is no RFC 5424: %v", line, err)
	}
	return m.(*rfc5424.SyslogMessage)
}

func isSample(t *testing.T, line string) {
	t.Helper()
	m := parsed(t, line)
	data := (*m.StructuredData)["palladium@32473"]
	if *m.Appname != "palladium" || *m.MsgID != KindTest || *m.Facility != 10 || data["id"] == "" || data["severity"] == "" {
		t.Errorf("the line is %s", line)
	}
}

func TestSyslogOverTLS(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	cert, key := a.issue(t, "palladium")
	lines := make(chan string, 4)
	l := must(tls.Listen("tcp", "127.0.0.1:0", a.server(t, "siem.example.com", true)))(t)
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			// Octet counting, as RFC 5425 has it: a length, a space, and as many bytes.
			r := bufio.NewReader(conn)
			if size, err := r.ReadString(' '); err == nil {
				n, _ := strconv.Atoi(strings.TrimSpace(size))
				b := make([]byte, n)
				if _, err := io.ReadFull(r, b); err == nil {
					if _, err := r.ReadByte(); err == io.EOF { // nothing after it
						lines <- string(b)
					}
				}
			}
			_ = conn.Close()
		}
	}()
	for _, c := range []struct {
		name, ca, host, fails string
		cert, key             string
	}{
		{"", filepath.Join(a.dir, "ca.pem"), "siem.example.com", "", cert, key},
		{"an authority that is not trusted", filepath.Join(other.dir, "ca.pem"), "siem.example.com", "certificate", cert, key},
		{"another's certificate", filepath.Join(a.dir, "ca.pem"), "other.example.com", "certificate", cert, key},
		{"no certificate of ours", filepath.Join(a.dir, "ca.pem"), "siem.example.com", "certificate required", "", ""},
	} {
		n := openQuick(t, nil, Config{Sinks: []Sink{{Name: "siem", Allow: []string{"127.0.0.0/8"}, TLS: TLS{Files: tlsfile.Client{CA: c.ca, Certificate: c.cert, Key: c.key}, Name: c.host}, Syslog: &Syslog{Address: l.Addr().String()}}}})
		said, err := n.Try(t.Context(), "siem")
		if c.fails != "" {
			if err == nil || !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%s: said %q: %v", c.name, said, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		isSample(t, <-lines)
	}
	if len(lines) != 0 {
		t.Errorf("a line was taken that should not have been sent: %s", <-lines)
	}
}

func TestSyslogOverUDP(t *testing.T) {
	l := must(net.ListenPacket("udp", "127.0.0.1:0"))(t)
	defer l.Close()
	n := openQuick(t, nil, Config{Sinks: []Sink{{Name: "log", Allow: []string{"127.0.0.0/8"}, Syslog: &Syslog{Address: l.LocalAddr().String(), Network: "udp"}}}})
	if _, err := n.Try(t.Context(), "log"); err != nil {
		t.Fatal(err)
	}
	if err := l.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 64<<10)
	size, _, err := l.ReadFrom(b)
	if err != nil {
		t.Fatal(err)
	}
	isSample(t, string(b[:size])) // a datagram is the message alone, with no count before it
}
