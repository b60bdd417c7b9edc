// Package secret keeps what proves an identity and stands in files: a server's certificate with the authorities of its
// clients, and bearer tokens. Files can be read again while the program runs, each whole or not at all.
package secret

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"

	"github.com/palladium-guard/palladium/internal/tlsfile"
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
	if err := tlsfile.CheckPair(s.Certificate, s.Key); err != nil {
		errs = append(errs, err)
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
	files  Server
	tls    *tlsfile.Keeper                     // nil without a certificate
	tokens atomic.Pointer[[][sha256.Size]byte] // nil without a file of tokens
}

// Open reads the files that s names.
func Open(s Server) (*Keeper, error) {
	k := &Keeper{files: s}
	if err := k.readTokens(); err != nil || s.Certificate == "" {
		return k, err
	}
	var err error
	k.tls, err = tlsfile.Open(tlsfile.Server{Certificate: s.Certificate, Key: s.Key, ClientCA: s.ClientCA})
	return k, err
}

// Reload reads the files again. When the certificate or the tokens cannot be used, those before stay.
func (k *Keeper) Reload() error {
	err := k.readTokens()
	if k.tls != nil {
		err = errors.Join(err, k.tls.Reload())
	}
	return err
}

func (k *Keeper) readTokens() error {
	if k.files.TokenFile == "" {
		return nil
	}
	tokens, err := readTokens(k.files.TokenFile)
	if err != nil {
		return err
	}
	k.tokens.Store(&tokens)
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
	if k.tls == nil {
		return nil
	}
	return k.tls.Config()
}

// Allows reports whether the value of an Authorization header, or a bare token, is one of the tokens. Without a token
// file everybody is allowed. Digests are compared, so that the time taken tells nothing of a token.
func (k *Keeper) Allows(value string) bool {
	if k.files.TokenFile == "" {
		return true
	}
	if scheme, token, ok := strings.Cut(value, " "); ok && strings.EqualFold(scheme, "Bearer") {
		value = strings.TrimSpace(token)
	}
	sum := sha256.Sum256([]byte(value))
	found := 0
	for _, known := range *k.tokens.Load() {
		found |= subtle.ConstantTimeCompare(sum[:], known[:])
	}
	return found == 1
}
