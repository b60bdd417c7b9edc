package provenance

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/palladium-guard/palladium/weights/signing"
)

// KeyFiles say with what a model is signed: a key in a file or in a token, and the certificate of it if there is one.
type KeyFiles struct {
	Key        string // private key, PEM
	Passphrase string // file that holds the key's passphrase or, for a token, its PIN, in its first line
	Token      string // PKCS #11 URI of a key in a token; instead of Key

	Certificate string   // of the key, PEM
	Chain       []string // certificates that lead from it to the authority, PEM
}

// Open reads the files. The caller closes what comes back by calling done.
func (f *KeyFiles) Open() (s *KeySigner, done func(), err error) {
	s, done = &KeySigner{}, func() {}
	if f.Certificate != "" {
		for _, path := range append([]string{f.Certificate}, f.Chain...) {
			certs, err := readCertificates(path)
			if err != nil {
				return nil, nil, err
			}
			s.Chain = append(s.Chain, certs...)
		}
		if err := holds(s.Chain[0], time.Now()); err != nil {
			return nil, nil, fmt.Errorf("read the certificate %s: %w", f.Certificate, err)
		}
	}
	secret, err := f.secret()
	if err != nil {
		return nil, nil, err
	}
	if f.Token != "" {
		if s.Key, done, err = openToken(f.Token, string(secret)); err != nil {
			return nil, nil, fmt.Errorf("open the key in the token: %w", err)
		}
		return s, done, nil
	}
	data, err := readSmall(f.Key, maxCredential)
	if err == nil {
		s.Key, err = signing.ParsePrivateKey(data, secret)
	}
	if errors.Is(err, signing.ErrPassphrase) {
		return nil, nil, fmt.Errorf("read the private key %s: %w: name a file that holds it with --passphrase-file", f.Key, err)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read the private key %s: %w", f.Key, err)
	}
	return s, done, nil
}

// holds refuses a certificate by which nobody would take what is signed now.
func holds(c *x509.Certificate, now time.Time) error {
	if now.Before(c.NotBefore) || now.After(c.NotAfter) {
		return fmt.Errorf("it holds from %s to %s, and nobody would take what it signs now: have it issued anew", c.NotBefore.Format(time.DateOnly), c.NotAfter.Format(time.DateOnly))
	}
	return nil
}

func (f *KeyFiles) secret() ([]byte, error) {
	if f.Passphrase == "" {
		return nil, nil
	}
	data, err := os.ReadFile(f.Passphrase)
	if err != nil {
		return nil, fmt.Errorf("read the passphrase: %w", err)
	}
	line, _, _ := bytes.Cut(data, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r")), nil
}
