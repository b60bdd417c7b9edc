// Package secret keeps what proves an identity and stands in files: a server's certificate with the authorities of its
// clients, and bearer tokens. Files can be read again while the program runs, whole or not at all.
package secret

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
)

// Server names the files by which a listener proves itself and knows its clients. It is a part of a configuration
// section. Zero is a listener without TLS that knows nobody.
type Server struct {
	Certificate string `yaml:"certificate"` // PEM, leaf first
	Key         string `yaml:"key"`
	ClientCA    string `yaml:"client_ca"`  // PEM: clients must have a certificate of one of these authorities
	TokenFile   string `yaml:"token_file"` // bearer tokens, one a line; one of them must be sent
	Insecure    bool   `yaml:"insecure"`   // let in whoever can reach an address that is not of this machine
}

// Check says what is wrong with s for a listener on address, all of it at once; nil when nothing is.
func (s *Server) Check(address string) error {
	var errs []error
	if (s.Certificate == "") != (s.Key == "") {
		errs = append(errs, errors.New("give certificate and key together"))
	}
	if s.ClientCA != "" && s.Certificate == "" {
		errs = append(errs, errors.New("client_ca needs certificate and key"))
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		errs = append(errs, fmt.Errorf("listen on host:port, not on %q", address))
	}
	if ip, err := netip.ParseAddr(host); !s.Insecure && s.ClientCA == "" && s.TokenFile == "" && host != "localhost" && (err != nil || !ip.IsLoopback()) {
		errs = append(errs, fmt.Errorf("%s can be reached from elsewhere: give token_file or client_ca, or set insecure if something else keeps strangers out", address))
	}
	return errors.Join(errs...)
}

// Files lists the files to watch.
func (s *Server) Files() (out []string) {
	for _, f := range []string{s.Certificate, s.Key, s.ClientCA, s.TokenFile} {
		if f != "" {
			out = append(out, f)
		}
	}
	return out
}

// Keeper holds what the files said when they were read last. It is safe for concurrent use.
type Keeper struct {
	files   Server
	current atomic.Pointer[contents]
}

type contents struct {
	tls    *tls.Config // nil without a certificate
	tokens [][sha256.Size]byte
}

// Open reads the files that s names.
func Open(s Server) (*Keeper, error) {
	k := &Keeper{files: s}
	return k, k.Reload()
}

// Reload reads the files again. When one cannot be used, what was read before stays.
func (k *Keeper) Reload() error {
	c := &contents{}
	if k.files.Certificate != "" {
		pair, err := tls.LoadX509KeyPair(k.files.Certificate, k.files.Key)
		if err != nil {
			return fmt.Errorf("read the certificate: %w", err)
		}
		c.tls = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2", "http/1.1"}}
	}
	if k.files.ClientCA != "" {
		pem, err := os.ReadFile(k.files.ClientCA)
		if err != nil {
			return fmt.Errorf("read the clients' authorities: %w", err)
		}
		c.tls.ClientCAs = x509.NewCertPool()
		if !c.tls.ClientCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("read the clients' authorities: %s holds no certificate in PEM form", k.files.ClientCA)
		}
		c.tls.ClientAuth = tls.RequireAndVerifyClientCert
	}
	if k.files.TokenFile != "" {
		var err error
		if c.tokens, err = readTokens(k.files.TokenFile); err != nil {
			return err
		}
	}
	k.current.Store(c)
	return nil
}

// shortest is the least length of a token, in bytes.
const shortest = 16

func readTokens(file string) (out [][sha256.Size]byte, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the tokens: %w", err)
	}
	for line := range bytes.Lines(text) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		if len(line) < shortest {
			return nil, fmt.Errorf("read the tokens: %s has one of fewer than %d characters: put random ones there, such as `openssl rand -hex 32` gives", file, shortest)
		}
		out = append(out, sha256.Sum256(line))
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("read the tokens: %s holds none: write one a line", file)
	}
	return out, nil
}

// TLS returns the listener's configuration, which follows Reload; nil without a certificate.
func (k *Keeper) TLS() *tls.Config {
	if k.current.Load().tls == nil {
		return nil
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return k.current.Load().tls, nil },
	}
}

// Allows reports whether the value of an Authorization header, or a bare token, is one of the tokens. Without a token
// file everybody is allowed. Digests are compared, so that the time taken tells nothing of a token.
func (k *Keeper) Allows(value string) bool {
	c := k.current.Load()
	if k.files.TokenFile == "" {
		return true
	}
	if scheme, token, ok := strings.Cut(value, " "); ok && strings.EqualFold(scheme, "Bearer") {
		value = strings.TrimSpace(token)
	}
	sum := sha256.Sum256([]byte(value))
	found := 0
	for i := range c.tokens {
		found |= subtle.ConstantTimeCompare(sum[:], c.tokens[i][:])
	}
	return found == 1
}
