package signing

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"

	"github.com/palladium-guard/palladium/weights/manifest"
)

// ErrUntrusted is wrapped by errors that say that a signature is not one that is trusted.
var ErrUntrusted = errors.New("signature is not trusted")

// Trust says whose signatures are taken. What is not set trusts nobody.
type Trust struct {
	Key *ecdsa.PublicKey // for ByKey

	Roots       []*x509.Certificate // for ByCertificate: where chains must end
	Subject     string              // for ByCertificate: when set, the certificate's common name, or one of its alternative names
	Certificate time.Time           // for ByCertificate: the time at which the chain must hold

	Sigstore         root.TrustedMaterial // for BySigstore: keys of its certificate authority and logs
	Identity, Issuer string               // for BySigstore: who signed, by whose word; both are required
}

// Signer says who signed.
type Signer struct {
	Key      string    `json:"key,omitempty"`      // Hint of the key
	Subject  string    `json:"subject,omitempty"`  // of the certificate
	Names    []string  `json:"names,omitempty"`    // alternative names in the certificate
	Root     string    `json:"root,omitempty"`     // subject of the root
	Expires  time.Time `json:"expires,omitzero"`   // of the certificate
	Identity string    `json:"identity,omitempty"` // with BySigstore
	Issuer   string    `json:"issuer,omitempty"`
	Time     time.Time `json:"time,omitzero"` // of the signature, as a log or a timestamp authority states it
}

// String names the signer in one line.
func (s Signer) String() string {
	switch {
	case s.Identity != "":
		return s.Identity + " by the word of " + s.Issuer
	case s.Subject != "":
		return "certificate " + s.Subject
	}
	return "key " + s.Key
}

// Verified is a statement that somebody who is trusted has signed.
type Verified struct {
	Manifest   *manifest.Manifest
	Root       string // digest of the model, SHA-256 in hex; over the resources in the order in which they are listed
	Method     Method
	Signer     Signer
	Dialect    Dialect
	Signatures int      // all of them were checked
	Warnings   []string // what does not make the signature wrong but weaker than it could be
}

// Verify checks every signature of a bundle and reads the statement. It reads no file of the model. Errors wrap
// ErrUntrusted or ErrFormat.
func Verify(b *Bundle, t Trust) (*Verified, error) {
	r, err := readStatement(b.Payload)
	if err != nil {
		return nil, err
	}
	v := &Verified{Manifest: r.manifest, Method: b.Method, Dialect: dialectOf(b, r), Signatures: len(b.Signatures)}
	listed := r.manifest.Root()
	v.Root = hex.EncodeToString(listed[:])
	switch b.Method {
	case ByKey:
		err = v.byKey(b, r, t)
	case ByCertificate:
		err = v.byCertificate(b, r, t)
	case BySigstore:
		err = v.bySigstore(b, t)
	default:
		err = fmt.Errorf("%w: unknown method %q", ErrFormat, b.Method)
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

func (v *Verified) byKey(b *Bundle, r *read, t Trust) error {
	if t.Key == nil {
		return fmt.Errorf("%w: it was made with a key: give the signer's public key", ErrUntrusted)
	}
	hint, err := Hint(t.Key)
	if err != nil {
		return err
	}
	if b.hint != "" && b.hint != hint {
		return fmt.Errorf("%w: it was made with another key: expected %s, found %s", ErrUntrusted, hint, printable(b.hint))
	}
	if b.keyBytes {
		v.Warnings = append(v.Warnings, "the file has the old form that carries the key itself, which is not looked at; sign anew to have a hint")
	}
	v.Signer = Signer{Key: hint}
	return checkAll(b, r, t.Key)
}

// checkAll checks every signature with the key; one that is wrong is reason enough to refuse.
func checkAll(b *Bundle, r *read, pub *ecdsa.PublicKey) error {
	digest, _, err := digestFor(pub, preAuth(b.Payload))
	if err != nil {
		return err
	}
	if r.v02 { // and only there: the encoding of v0.2.0 is no alternative for other statements
		d := sha256.Sum256(preAuthV02(b.Payload))
		digest = d[:]
	}
	for i, sig := range b.Signatures {
		if !ecdsa.VerifyASN1(pub, digest, sig) {
			return fmt.Errorf("%w: signature %d of %d does not fit the statement and the key: the signature file was changed, or is of another key", ErrUntrusted, i+1, len(b.Signatures))
		}
	}
	return nil
}

func (v *Verified) byCertificate(b *Bundle, r *read, t Trust) error {
	if len(t.Roots) == 0 {
		return fmt.Errorf("%w: it was made with a certificate: give the certificate authority that you trust", ErrUntrusted)
	}
	var chain []*x509.Certificate
	for i, der := range b.chain {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return fmt.Errorf("%w: certificate %d of %d: %w", ErrFormat, i+1, len(b.chain), err)
		}
		chain = append(chain, c)
	}
	leaf := chain[0]
	pub, err := ecdsaKey(leaf.PublicKey)
	if err != nil {
		return fmt.Errorf("%w: certificate: %w", ErrUntrusted, err)
	}
	if err := maySign(leaf); err != nil {
		return fmt.Errorf("%w: %w", ErrUntrusted, err)
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range t.Roots {
		roots.AddCert(c)
	}
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	found, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: t.Certificate, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	})
	if err != nil {
		return chainError(err, leaf, t)
	}
	names := alternativeNames(leaf)
	if t.Subject != "" && t.Subject != leaf.Subject.CommonName && !slices.Contains(names, t.Subject) {
		return fmt.Errorf("%w: the certificate is of another subject: expected %s, found %s", ErrUntrusted, printable(t.Subject), printable(leaf.Subject.String()+" "+strings.Join(names, " ")))
	}
	last := found[0][len(found[0])-1]
	v.Signer = Signer{Subject: leaf.Subject.String(), Names: names, Root: last.Subject.String(), Expires: leaf.NotAfter}
	if v.Signer.Key, err = Hint(pub); err != nil {
		return err
	}
	v.Warnings = append(v.Warnings, "nothing states when it was signed: a certificate that was stolen and revoked is not noticed")
	return checkAll(b, r, pub)
}

func chainError(err error, leaf *x509.Certificate, t Trust) error {
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		c := invalid.Cert
		return fmt.Errorf("%w: certificate %s holds from %s to %s, not at %s: have the model signed anew with a valid one",
			ErrUntrusted, printable(c.Subject.String()), c.NotBefore.Format(time.DateOnly), c.NotAfter.Format(time.DateOnly), t.Certificate.Format(time.RFC3339))
	}
	if errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage {
		return fmt.Errorf("%w: certificate %s is not for signing code (extended key usage)", ErrUntrusted, printable(leaf.Subject.String()))
	}
	return fmt.Errorf("%w: certificate %s does not lead to an authority that you trust: %w", ErrUntrusted, printable(leaf.Subject.String()), err)
}

func alternativeNames(c *x509.Certificate) []string {
	names := slices.Concat(c.EmailAddresses, c.DNSNames)
	for _, u := range c.URIs {
		names = append(names, u.String())
	}
	return names
}

// printable keeps what a signature file says about itself from taking over a terminal or a message.
func printable(s string) string {
	const enough = 200
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, s)
	if len(s) > enough {
		s = s[:enough] + "..."
	}
	return s
}

// Describe says in which form a bundle is written and who says to have signed it. Nothing of it is verified: it is for a
// bundle that was just made.
func Describe(b *Bundle) (Dialect, Signer, error) {
	r, err := readStatement(b.Payload)
	if err != nil {
		return Dialect{}, Signer{}, err
	}
	s := Signer{Key: printable(b.hint)}
	if b.Method == ByCertificate {
		c, err := x509.ParseCertificate(b.chain[0])
		if err != nil {
			return Dialect{}, Signer{}, fmt.Errorf("%w: certificate: %w", ErrFormat, err)
		}
		s = Signer{Subject: c.Subject.String(), Names: alternativeNames(c), Expires: c.NotAfter}
	}
	return dialectOf(b, r), s, nil
}

// Listed returns what the statement of a bundle lists, whoever signed it.
func Listed(b *Bundle) (*manifest.Manifest, error) {
	r, err := readStatement(b.Payload)
	if err != nil {
		return nil, err
	}
	return r.manifest, nil
}
