package signing

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"

	"github.com/youmark/pkcs8"
)

// ErrKey is wrapped by errors about a key or certificate that cannot be used.
var ErrKey = errors.New("key cannot be used")

// ErrPassphrase is wrapped, beside ErrKey, when a private key is encrypted and the passphrase is absent or wrong.
var ErrPassphrase = errors.New("passphrase is needed or wrong")

// digestFor returns the hash of the signature that goes with the curve: SHA-256, 384 and 512 for P-256, 384 and 521.
func digestFor(pub *ecdsa.PublicKey, data []byte) ([]byte, crypto.Hash, error) {
	switch pub.Curve {
	case elliptic.P256():
		d := sha256.Sum256(data)
		return d[:], crypto.SHA256, nil
	case elliptic.P384():
		d := sha512.Sum384(data)
		return d[:], crypto.SHA384, nil
	case elliptic.P521():
		d := sha512.Sum512(data)
		return d[:], crypto.SHA512, nil
	}
	return nil, 0, fmt.Errorf("%w: its curve is not P-256, P-384 or P-521", ErrKey)
}

// ecdsaKey returns pub when it is of a supported curve.
func ecdsaKey(pub crypto.PublicKey) (*ecdsa.PublicKey, error) {
	k, ok := pub.(*ecdsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("%w: it is %T, not ECDSA on P-256, P-384 or P-521", ErrKey, pub)
	}
	_, _, err := digestFor(k, nil)
	return k, err
}

// ParsePublicKey reads a public key in PEM, or takes it out of a certificate.
func ParsePublicKey(data []byte) (*ecdsa.PublicKey, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%w: it is not PEM", ErrKey)
	}
	switch block.Type {
	case "PUBLIC KEY":
		pub, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrKey, err)
		}
		return ecdsaKey(pub)
	case "CERTIFICATE":
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrKey, err)
		}
		return ecdsaKey(c.PublicKey)
	}
	return nil, fmt.Errorf("%w: it holds %q where a PUBLIC KEY is expected: derive one with openssl ec -in KEY -pubout", ErrKey, block.Type)
}

// ParsePrivateKey reads an ECDSA private key in PEM: SEC 1, PKCS #8, or PKCS #8 encrypted with the passphrase.
func ParsePrivateKey(data, passphrase []byte) (*ecdsa.PrivateKey, error) {
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil, fmt.Errorf("%w: it holds no private key in PEM", ErrKey)
		}
		var key any
		var err error
		switch block.Type {
		case "EC PARAMETERS":
			continue
		case "EC PRIVATE KEY":
			if block.Headers["DEK-Info"] != "" {
				return nil, fmt.Errorf("%w: it is encrypted in a way that is broken: convert it with openssl pkcs8 -topk8", ErrKey)
			}
			key, err = x509.ParseECPrivateKey(block.Bytes)
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "ENCRYPTED PRIVATE KEY":
			if len(passphrase) == 0 {
				return nil, fmt.Errorf("%w: %w", ErrKey, ErrPassphrase)
			}
			if key, err = pkcs8.ParsePKCS8PrivateKey(block.Bytes, passphrase); err != nil {
				return nil, fmt.Errorf("%w: %w", ErrKey, ErrPassphrase)
			}
		default:
			return nil, fmt.Errorf("%w: it holds %q where a private key is expected", ErrKey, block.Type)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: the private key cannot be read", ErrKey) // the reason could quote key material
		}
		k, ok := key.(*ecdsa.PrivateKey)
		if !ok {
			return nil, fmt.Errorf("%w: it is not ECDSA on P-256, P-384 or P-521", ErrKey)
		}
		_, err = ecdsaKey(&k.PublicKey)
		return k, err
	}
}

// Hint returns what stands for a public key in a bundle: SHA-256, in hex, of its PEM text.
func Hint(pub *ecdsa.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrKey, err)
	}
	sum := sha256.Sum256(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	return hex.EncodeToString(sum[:]), nil
}

// sign signs a payload. The signer may be a key in a token.
func sign(random io.Reader, s crypto.Signer, payload []byte) ([]byte, *ecdsa.PublicKey, error) {
	pub, err := ecdsaKey(s.Public())
	if err != nil {
		return nil, nil, err
	}
	data := preAuth(payload)
	digest, hash, err := digestFor(pub, data)
	if err != nil {
		return nil, nil, err
	}
	sig, err := s.Sign(random, digest, hash)
	if err != nil {
		return nil, nil, fmt.Errorf("sign the statement: %w", err)
	}
	if !ecdsa.VerifyASN1(pub, digest, sig) {
		return nil, nil, errors.New("sign the statement: the key gave a signature that does not verify: check that private and public key belong together")
	}
	return sig, pub, nil
}

// SignKey returns a bundle for a payload, signed with a key whose public half the verifier has.
func SignKey(random io.Reader, s crypto.Signer, payload []byte) ([]byte, error) {
	sig, pub, err := sign(random, s, payload)
	if err != nil {
		return nil, err
	}
	hint, err := Hint(pub)
	if err != nil {
		return nil, err
	}
	return compose(materialJSON{PublicKey: &publicKeyJSON{Hint: hint}}, payload, sig)
}

// SignCertificate returns a bundle for a payload, signed with the key of the first certificate. The others lead from it
// to a root that the verifier has; the root itself may be among them.
func SignCertificate(random io.Reader, s crypto.Signer, chain []*x509.Certificate, payload []byte) ([]byte, error) {
	if len(chain) == 0 {
		return nil, fmt.Errorf("%w: no certificate is given", ErrKey)
	}
	leaf, err := ecdsaKey(chain[0].PublicKey)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	if pub, err := ecdsaKey(s.Public()); err != nil || !pub.Equal(leaf) {
		return nil, fmt.Errorf("%w: certificate and private key do not belong together", ErrKey)
	}
	if err := maySign(chain[0]); err != nil {
		return nil, err
	}
	sig, _, err := sign(random, s, payload)
	if err != nil {
		return nil, err
	}
	m := chainJSON{}
	for _, c := range chain {
		m.Certificates = append(m.Certificates, certificateJSON{RawBytes: c.Raw})
	}
	return compose(materialJSON{Chain: &m}, payload, sig)
}

// ParseCertificates reads all certificates of a PEM file, in order; at least one.
func ParseCertificates(data []byte) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrKey, err)
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: it holds no certificate in PEM", ErrKey)
	}
	return out, nil
}

// maySign reports, by an error, that a certificate is not for signatures: its key usage, if any, must have
// digitalSignature.
func maySign(c *x509.Certificate) error {
	if c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return fmt.Errorf("%w: the certificate's key usage does not allow digital signatures", ErrKey)
	}
	return nil
}
