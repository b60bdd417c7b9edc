package tlsfile

import (
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
	"runtime"
	"strings"
	"testing"
	"time"
)

// folder holds files made for a test.
type folder struct {
	t   *testing.T
	dir string
}

func (f folder) at(name string) string { return filepath.Join(f.dir, name) }

func (f folder) put(name string, text []byte) string {
	f.t.Helper()
	if err := os.WriteFile(f.at(name), text, 0o600); err != nil {
		f.t.Fatal(err)
	}
	return f.at(name)
}

// signed makes a certificate that signs itself, for the loopback address and a name, and returns it in PEM form with its key.
func (f folder) signed(name string, from, to time.Time) (certificate, key []byte) {
	f.t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.t.Fatal(err)
	}
	tpl := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: from, NotAfter: to, IsCA: true,
		BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, &k.PublicKey, k)
	if err != nil {
		f.t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		f.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}

func (f folder) pair(name string) (certificate, key string) {
	f.t.Helper()
	c, k := f.signed(name, time.Now().Add(-time.Hour), time.Now().Add(1000*time.Hour))
	return f.put(name+".pem", c), f.put(name+".key", k)
}

// What cannot be used is refused by an error that names the file, what was expected and what to do, and quotes nothing of it.
func TestRefused(t *testing.T) {
	f := folder{t, t.TempDir()}
	c, k := f.pair("a")
	_, other := f.pair("b")
	text, _ := os.ReadFile(c)
	secret, _ := os.ReadFile(k)
	foreign, _ := os.ReadFile(f.at("b.pem"))
	block, _ := pem.Decode(text)
	f.put("empty", nil)
	f.put("words", []byte("canary-in-a-file"))
	f.put("der", block.Bytes)
	f.put("broken", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("canary-in-a-file")}))
	f.put("broken.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("canary-in-a-file")}))
	f.put("request", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: block.Bytes}))
	f.put("locked", pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("canary-in-a-file")}))
	f.put("locked.old", pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED"}, Bytes: []byte("canary-in-a-file")}))
	f.put("chain", append(append([]byte{}, foreign...), text...))
	f.put("large", make([]byte, longest+1))
	for name, row := range map[string]struct {
		ca, certificate, key string // names in the folder; the key alone is tried with a.pem
		want                 []string
	}{
		"no such authorities":      {ca: "none", want: []string{"read the authorities", "none", "no such file", "correct its name in the configuration"}},
		"authorities are a folder": {ca: ".", want: []string{"read the authorities", "name a file"}},
		"no authorities in it":     {ca: "words", want: []string{"words must hold the certificates of the authorities in PEM form", "-----BEGIN"}},
		"authorities empty":        {ca: "empty", want: []string{"the file is empty"}},
		"authorities in DER":       {ca: "der", want: []string{"DER form", "openssl x509 -inform der"}},
		"a key for authorities":    {ca: "a.key", want: []string{"holds a private key", "swapped"}},
		"a request":                {ca: "request", want: []string{"something else"}},
		"authorities broken":       {ca: "broken", want: []string{"broken", "no X.509 certificate", "copy the file anew"}},
		"too large":                {ca: "large", want: []string{"larger than"}},
		"no such certificate":      {certificate: "none", key: "a.key", want: []string{"read the certificate", "none"}},
		"swapped":                  {certificate: "a.key", key: "a.pem", want: []string{"a.key must hold the certificate", "swapped"}},
		"no such key":              {key: "none", want: []string{"read the key of the certificate", "none"}},
		"certificate for key":      {key: "a.pem", want: []string{"a.pem must hold the private key", "swapped"}},
		"another's key":            {key: "b.key", want: []string{"b.key does not belong to the certificate in", "a.pem", "after a renewal, replace both"}},
		"leaf last":                {certificate: "chain", key: "a.key", want: []string{"not its first", "put that one first"}},
		"passphrase":               {key: "locked", want: []string{"locked is under a passphrase", "openssl pkey -in"}},
		"passphrase, old form":     {key: "locked.old", want: []string{"under a passphrase"}},
		"key broken":               {key: "broken.key", want: []string{"broken.key", "copy them anew"}},
		"certificate broken":       {certificate: "broken", key: "a.key", want: []string{"broken", "copy them anew"}},
	} {
		var err error
		if row.ca != "" {
			_, err = Authorities(f.at(row.ca))
		} else {
			if row.certificate == "" {
				row.certificate = "a.pem"
			}
			_, err = Pair(f.at(row.certificate), f.at(row.key))
		}
		if err == nil {
			t.Errorf("%s: taken", name)
			continue
		}
		for _, want := range row.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v lacks %q", name, err, want)
			}
		}
		if strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), strings.Split(string(secret), "\n")[1]) {
			t.Errorf("%s: what stands in the file is quoted: %v", name, err)
		}
	}
	if _, err := Pair(c, other); err == nil {
		t.Error("a key that does not fit is taken")
	}
	if pool, err := Authorities(""); pool != nil || err != nil {
		t.Error("no file stands for the system's authorities")
	}
	if CheckPair("a", "") == nil || CheckPair("", "b") == nil || CheckPair("", "") != nil || CheckPair("a", "b") != nil {
		t.Error("pairs")
	}
}

// A bundle with words between and a certificate that cannot be read is taken for what can.
func TestBundle(t *testing.T) {
	f := folder{t, t.TempDir()}
	a, _ := f.signed("a", time.Now(), time.Now().Add(time.Hour))
	b, _ := f.signed("b", time.Now(), time.Now().Add(time.Hour))
	text := "# ours\n" + string(a) + string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")})) + "# theirs\r\n" + string(b)
	all, err := authorities(f.put("bundle", []byte(text)))
	if err != nil || len(all) != 2 {
		t.Fatal(len(all), err)
	}
}

// What will not do is told before somebody stumbles over it.
func TestDoubts(t *testing.T) {
	f := folder{t, t.TempDir()}
	now := time.Date(2030, 5, 1, 12, 0, 0, 0, time.UTC)
	day := 24 * time.Hour
	for name, row := range map[string]struct {
		from, to time.Duration
		mode     os.FileMode
		want     string // "" for nothing
	}{
		"good":            {-day, 90 * day, 0o600, ""},
		"for the group":   {-day, 90 * day, 0o640, ""},
		"expired":         {-90 * day, -time.Minute, 0o600, "has expired on 2030-05-01 11:59:00 UTC"},
		"not yet":         {time.Hour, 90 * day, 0o600, "valid from 2030-05-01 13:00:00 UTC only"},
		"soon":            {-80 * day, 10 * day, 0o600, "expires on 2030-05-11"},
		"short by design": {-time.Hour, day, 0o600, ""},
		"for anybody":     {-day, 90 * day, 0o644, "(mode 0644): chmod 600"},
	} {
		c, k := f.signed("x", now.Add(row.from), now.Add(row.to))
		certificate, key := f.put("x.pem", c), f.put("x.key", k)
		if err := os.Chmod(key, row.mode); err != nil {
			t.Fatal(err)
		}
		if runtime.GOOS == "windows" && row.mode == 0o644 {
			continue
		}
		got := strings.Join(Doubts(certificate, key, now), "; ")
		if (got == "") != (row.want == "") || !strings.Contains(got, row.want) {
			t.Errorf("%s: %q, wanted %q", name, got, row.want)
		}
		got = strings.Join(AuthorityDoubts(certificate, now), "; ")
		if wanted := row.mode == 0o600 && row.want != ""; (got != "") != wanted || wanted && !strings.Contains(got, row.want) {
			t.Errorf("%s, as an authority: %q", name, got)
		}
	}
	old, _ := f.signed("old", now.Add(-2*day), now.Add(-day))
	fresh, _ := f.signed("fresh", now.Add(-2*day), now.Add(90*day))
	if w := AuthorityDoubts(f.put("both", append(old, fresh...)), now); w != nil {
		t.Errorf("one valid authority is enough: %v", w)
	}
	if w := Doubts(f.at("none"), f.at("none"), now); len(w) != 1 || !strings.Contains(w[0], "no such file") {
		t.Errorf("missing files: %v", w)
	}
	if w := AuthorityDoubts(f.at("none"), now); len(w) != 1 {
		t.Errorf("missing authorities: %v", w)
	}
	if Exposed(f.at("none")) != "" {
		t.Error("a file that is not there")
	}
}

// meets has a client speak with a listener once, and returns what certificate each saw of the other.
func meets(t *testing.T, server, client *tls.Config) (seen, shown string, err error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	other := make(chan string, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			other <- ""
			return
		}
		defer c.Close()
		s := tls.Server(c, server)
		if s.Handshake() != nil || len(s.ConnectionState().PeerCertificates) == 0 {
			_, _ = s.Write([]byte("x"))
			other <- ""
			return
		}
		_, _ = s.Write([]byte("x"))
		other <- s.ConnectionState().PeerCertificates[0].Subject.CommonName
	}()
	conn, err := tls.Dial("tcp", l.Addr().String(), client)
	if err == nil {
		defer conn.Close()
		seen = conn.ConnectionState().PeerCertificates[0].Subject.CommonName
		_, err = io.ReadFull(conn, make([]byte, 1)) // a refused client's certificate shows here
	}
	return seen, <-other, err
}

// Both sides use renewed files: the listener when it is told, the client by itself; what cannot be read changes nothing.
func TestRenewed(t *testing.T) {
	f := folder{t, t.TempDir()}
	c, k := f.pair("a")
	keeper, err := Open(Server{Certificate: c, Key: k, ClientCA: c})
	if err != nil {
		t.Fatal(err)
	}
	if len(keeper.Files()) != 3 {
		t.Errorf("files %v", keeper.Files())
	}
	client := func() *tls.Config {
		cfg, err := Client{CA: c, Certificate: c, Key: k}.Config()
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	server, before := keeper.Config(), client()
	if seen, shown, err := meets(t, server, before); err != nil || seen != "a" || shown != "a" {
		t.Fatalf("%q %q %v", seen, shown, err)
	}
	if _, _, err := meets(t, server, Trusting(before.RootCAs)); err == nil {
		t.Error("a client without a certificate is let in")
	}
	if _, _, err := meets(t, server, &tls.Config{RootCAs: before.RootCAs, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
	f.put("a.key", []byte("half written"))
	if keeper.Reload() == nil {
		t.Error("a broken key is taken")
	}
	if seen, shown, err := meets(t, server, before); err != nil || seen != "a" || shown != "a" {
		t.Errorf("with a broken key on disk: %q %q %v", seen, shown, err)
	}
	was, _ := os.ReadFile(c)
	renewed, secret := f.signed("b", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	f.put("a.pem", append(append([]byte{}, renewed...), was...))
	f.put("a.key", secret)
	if err := keeper.Reload(); err != nil {
		t.Fatal(err)
	}
	if seen, shown, err := meets(t, server, client()); err != nil || seen != "b" || shown != "b" {
		t.Errorf("renewed: %q %q %v", seen, shown, err)
	}
	roots := client().RootCAs
	before.RootCAs = roots // authorities of a client stay as they were read
	if _, shown, err := meets(t, server, before); err != nil || shown != "b" {
		t.Errorf("a client begun before the renewal: %q %v", shown, err)
	}
}

// Listeners ask for certificates, demand them or do not, as they are told.
func TestClients(t *testing.T) {
	f := folder{t, t.TempDir()}
	c, k := f.pair("a")
	strange, key := f.pair("b")
	roots, _ := Authorities(c)
	with := func(certificate, key string) *tls.Config {
		cfg := Trusting(roots)
		if certificate != "" {
			pair, err := Pair(certificate, key)
			if err != nil {
				t.Fatal(err)
			}
			cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		}
		return cfg
	}
	for name, row := range map[string]struct {
		s                     Server
		none, known, stranger bool // let in
	}{
		"nobody is asked": {Server{}, true, true, true},
		"asked":           {Server{Clients: tls.RequestClientCert}, true, true, true},
		"if given":        {Server{ClientCA: c, Clients: tls.VerifyClientCertIfGiven}, true, true, false},
		"demanded":        {Server{ClientCA: c}, false, true, false},
	} {
		row.s.Certificate, row.s.Key = c, k
		keeper, err := Open(row.s)
		if err != nil {
			t.Fatal(err)
		}
		for who, one := range map[string]struct {
			cfg  *tls.Config
			want bool
		}{"none": {with("", ""), row.none}, "known": {with(c, k), row.known}, "stranger": {with(strange, key), row.stranger}} {
			if _, _, err := meets(t, keeper.Config(), one.cfg); (err == nil) != one.want {
				t.Errorf("%s, %s: %v", name, who, err)
			}
		}
	}
	mutual, err := Client{CA: c, Certificate: c, Key: k}.Mutual()
	if err != nil {
		t.Fatal(err)
	}
	if seen, shown, err := meets(t, mutual, mutual); err != nil || seen != "a" || shown != "a" {
		t.Errorf("mutual: %q %q %v", seen, shown, err)
	}
}
