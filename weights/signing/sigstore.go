package signing

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
)

// ParseTrustedRoot reads a Sigstore trusted root, or a client trust configuration that holds one.
func ParseTrustedRoot(data []byte) (*root.TrustedRoot, error) {
	var config struct {
		TrustedRoot json.RawMessage `json:"trustedRoot"`
	}
	if err := json.Unmarshal(data, &config); err == nil && len(config.TrustedRoot) > 0 {
		data = config.TrustedRoot
	}
	tr, err := root.NewTrustedRootFromJSON(data)
	if err != nil {
		return nil, fmt.Errorf("read the Sigstore trusted root: %w", err)
	}
	return tr, nil
}

// bySigstore checks the certificate, its entry in a certificate transparency log, the signature's entry in a transparency
// log and the time, all offline. sigstore-go goes by the Sigstore client specification and takes one signature only.
func (v *Verified) bySigstore(b *Bundle, t Trust) error {
	if t.Sigstore == nil || t.Identity == "" || t.Issuer == "" {
		return fmt.Errorf("%w: it was made with Sigstore: give the signer's identity and its issuer, and a trusted root", ErrUntrusted)
	}
	if len(b.Signatures) != 1 {
		return fmt.Errorf("%w: a Sigstore signature file with %d signatures, of which its log states one", ErrUntrusted, len(b.Signatures))
	}
	var entity bundle.Bundle
	if err := entity.UnmarshalJSON(b.raw); err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if !bytes.Equal(entity.GetDsseEnvelope().GetPayload(), b.Payload) {
		return fmt.Errorf("%w: its statement can be read in two ways", ErrFormat)
	}
	verifier, err := verify.NewVerifier(t.Sigstore,
		verify.WithSignedCertificateTimestamps(1), verify.WithTransparencyLog(1), verify.WithObserverTimestamps(1))
	if err != nil {
		return fmt.Errorf("prepare the Sigstore verifier: %w", err)
	}
	who, err := verify.NewShortCertificateIdentity(t.Issuer, "", t.Identity, "")
	if err != nil {
		return fmt.Errorf("prepare the Sigstore verifier: %w", err)
	}
	// The artifact is the list of files, which the statement holds: what is in the files is checked by the caller.
	result, err := verifier.Verify(&entity, verify.NewPolicy(verify.WithoutArtifactUnsafe(), verify.WithCertificateIdentity(who)))
	if err != nil {
		var other *verify.ErrNoMatchingCertificateIdentity
		if errors.As(err, &other) {
			return fmt.Errorf("%w: somebody else signed it: expected %s by the word of %s: %s", ErrUntrusted, t.Identity, t.Issuer, printable(err.Error()))
		}
		return fmt.Errorf("%w: %s", ErrUntrusted, printable(err.Error()))
	}
	v.Signer = Signer{Identity: result.Signature.Certificate.SubjectAlternativeName, Issuer: result.Signature.Certificate.Issuer}
	for _, ts := range result.VerifiedTimestamps {
		if v.Signer.Time.IsZero() || ts.Timestamp.Before(v.Signer.Time) {
			v.Signer.Time = ts.Timestamp.UTC()
		}
	}
	return nil
}
