// Package tlsfile reads what TLS needs from PEM files: the certificates of authorities, and certificates with their keys. Its
// errors say which file, what was expected in it and what to do; they never hold what stands in a key. TLS 1.2 is the least
// that is spoken.
package tlsfile

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// least is the oldest version of TLS that is spoken.
const least = tls.VersionTLS12

// longest is the size of the largest file that is read, in bytes. The bundles of systems have a quarter of a megabyte.
const longest = 4 << 20

// ErrPair is wrapped by what CheckPair returns.
var ErrPair = errors.New("give certificate and key together")

// CheckPair says whether certificate and key are both named, or neither.
func CheckPair(certificate, key string) error {
	if (certificate == "") != (key == "") {
		return ErrPair
	}
	return nil
}

// Authorities reads the certificates of authorities. Without a file it returns nil, which stands for the system's.
func Authorities(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pool := x509.NewCertPool()
	return pool, AddAuthorities(pool, file)
}

// AddAuthorities adds the certificates in a file to a pool.
func AddAuthorities(pool *x509.CertPool, file string) error {
	certificates, err := authorities(file)
	if err != nil {
		return fmt.Errorf("read the authorities: %w", err)
	}
	for _, c := range certificates {
		pool.AddCert(c)
	}
	return nil
}

// authorities lists the certificates in a file. Those that cannot be read are left out, as long as one can: bundles of systems
// hold such.
func authorities(file string) (out []*x509.Certificate, err error) {
	text, err := read(file)
	if err != nil {
		return nil, err
	}
	found := 0
	for _, b := range blocks(text) {
		if b.Type != "CERTIFICATE" {
			continue
		}
		found++
		if c, err := x509.ParseCertificate(b.Bytes); err == nil {
			out = append(out, c)
		}
	}
	switch {
	case len(out) > 0:
		return out, nil
	case found > 0:
		return nil, fmt.Errorf("%s: what stands there between BEGIN CERTIFICATE and END CERTIFICATE is no X.509 certificate: copy the file anew from where the authority gives it", file)
	}
	return nil, without(file, text, "the certificates of the authorities")
}

// Pair reads a certificate, the leaf first and then those between it and its authority, and the key that belongs to it.
func Pair(certificate, key string) (tls.Certificate, error) {
	var none tls.Certificate
	text, err := read(certificate)
	if err != nil {
		return none, fmt.Errorf("read the certificate: %w", err)
	}
	if kinds(text)["CERTIFICATE"] == 0 {
		return none, fmt.Errorf("read the certificate: %w", without(certificate, text, "the certificate, and those between it and its authority"))
	}
	secret, err := read(key)
	if err != nil {
		return none, fmt.Errorf("read the key of the certificate: %w", err)
	}
	if err := plainKey(key, secret); err != nil {
		return none, fmt.Errorf("read the key of the certificate: %w", err)
	}
	pair, err := tls.X509KeyPair(text, secret)
	if err == nil {
		return pair, nil
	}
	if says := err.Error(); strings.Contains(says, "does not match") {
		return none, unfit(certificate, text, key, secret)
	}
	return none, fmt.Errorf("read the certificate in %s and its key in %s: %w: make them anew, or copy them anew from where they were made", certificate, key, err)
}

// unfit says of a certificate and a key that they are not of the same pair.
func unfit(certificate string, text []byte, key string, secret []byte) error {
	all := blocks(text)
	for i := 1; i < len(all); i++ {
		if all[i].Type == "CERTIFICATE" {
			if _, err := tls.X509KeyPair(pem.EncodeToMemory(all[i]), secret); err == nil {
				return fmt.Errorf("key in %s belongs to a certificate in %s that is not its first: put that one first, then those between it and its authority", key, certificate)
			}
		}
	}
	return fmt.Errorf("key in %s does not belong to the certificate in %s: name the key that this certificate was issued for; after a renewal, replace both", key, certificate)
}

// plainKey says why a file holds no key that can be used.
func plainKey(file string, text []byte) error {
	for _, b := range blocks(text) {
		switch {
		case b.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(b.Headers["Proc-Type"], "ENCRYPTED"):
			return fmt.Errorf("key in %s is under a passphrase, which nobody is there to type: write it without one (openssl pkey -in %s -out NEW), readable for this program's user alone", file, file)
		case b.Type == "PRIVATE KEY" || strings.HasSuffix(b.Type, " PRIVATE KEY"):
			return nil
		}
	}
	return without(file, text, "the private key of the certificate")
}

// without says that a file does not hold what was wanted, and what it holds in its place.
func without(file string, text []byte, wanted string) error {
	held := kinds(text)
	var hint string
	switch {
	case len(bytes.TrimSpace(text)) == 0:
		hint = "the file is empty"
	case held["CERTIFICATE"] > 0:
		hint = "it holds a certificate: are the names of certificate and key swapped?"
	case held["key"] > 0:
		hint = "it holds a private key: are the names of two files swapped?"
	case len(held) > 0:
		hint = "it holds something else: name another file"
	case len(text) > 2 && text[0] == 0x30 && text[1] >= 0x80: // a sequence of more than 127 bytes
		hint = fmt.Sprintf("it seems to be in DER form: convert it with openssl (openssl x509 -inform der -in %s, or openssl pkey for a key)", file)
	default:
		hint = "it has no line that starts with -----BEGIN: convert it, or name another file"
	}
	return fmt.Errorf("%s must hold %s in PEM form: %s", file, wanted, hint)
}

// read reads a file whole.
func read(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		switch {
		case errors.Is(err, os.ErrNotExist):
			return nil, fmt.Errorf("%w: put the file there, or correct its name in the configuration; relative names count from where the program was started", err)
		case errors.Is(err, os.ErrPermission):
			return nil, fmt.Errorf("%w: let the user that runs this program read it (chown or chmod), and nobody else if it is a key", err)
		}
		return nil, err
	}
	defer f.Close() // nothing was written
	text, err := io.ReadAll(io.LimitReader(f, longest+1))
	if err != nil {
		return nil, fmt.Errorf("%w: name a file", err)
	}
	if len(text) > longest {
		return nil, fmt.Errorf("%s is larger than %d bytes: name a file of certificates or a key", file, longest)
	}
	return text, nil
}

func blocks(text []byte) (out []*pem.Block) {
	for {
		b, rest := pem.Decode(text)
		if b == nil {
			return out
		}
		out, text = append(out, b), rest
	}
}

// kinds counts the blocks of a PEM file by type, all kinds of private keys under key.
func kinds(text []byte) map[string]int {
	out := map[string]int{}
	for _, b := range blocks(text) {
		if strings.HasSuffix(b.Type, "PRIVATE KEY") {
			out["key"]++
		} else {
			out[b.Type]++
		}
	}
	return out
}
