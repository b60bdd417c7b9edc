package provenance

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"

	"github.com/palladium-guard/palladium/weights/manifest"
	"github.com/palladium-guard/palladium/weights/signing"
)

// maxCredential is more than any key, certificate chain or trusted root needs, in bytes.
const maxCredential = 8 << 20

// TrustFiles say whose signatures are taken, by the files that hold their keys. What is empty trusts nobody.
type TrustFiles struct {
	Key     string    // public key, PEM
	Roots   []string  // certificate authorities, PEM
	Subject string    // of the certificate, when only one of an authority's is meant
	At      time.Time // when certificates must hold; now when zero

	Identity, Issuer string // Sigstore: who signed, and by whose word
	TrustedRoot      string // Sigstore: keys of its services; fetched from the public good instance when empty
}

// Load reads the files.
func (f *TrustFiles) Load() (signing.Trust, error) {
	t := signing.Trust{Subject: f.Subject, Certificate: f.At, Identity: f.Identity, Issuer: f.Issuer}
	if t.Certificate.IsZero() {
		t.Certificate = time.Now()
	}
	if f.Key != "" {
		data, err := readSmall(f.Key, maxCredential)
		if err == nil {
			t.Key, err = signing.ParsePublicKey(data)
		}
		if err != nil {
			return t, fmt.Errorf("read the public key %s: %w", f.Key, err)
		}
	}
	for _, path := range f.Roots {
		certs, err := readCertificates(path)
		if err != nil {
			return t, err
		}
		t.Roots = append(t.Roots, certs...)
	}
	if f.Identity == "" && f.Issuer == "" {
		return t, nil
	}
	if f.Identity == "" || f.Issuer == "" {
		return t, errors.New("a Sigstore signer is known by identity and issuer: give both")
	}
	if f.TrustedRoot == "" {
		tr, err := root.FetchTrustedRoot()
		if err != nil {
			return t, fmt.Errorf("fetch the trusted root of Sigstore's public instance: %w: without network, give one as a file", err)
		}
		t.Sigstore = tr
		return t, nil
	}
	data, err := readSmall(f.TrustedRoot, maxCredential)
	if err == nil {
		t.Sigstore, err = parseTrustedRoot(data)
	}
	if err != nil {
		return t, fmt.Errorf("read %s: %w", f.TrustedRoot, err)
	}
	return t, nil
}

func parseTrustedRoot(data []byte) (root.TrustedMaterial, error) {
	tr, err := signing.ParseTrustedRoot(data)
	if err != nil {
		return nil, err
	}
	return tr, nil
}

func readCertificates(path string) ([]*x509.Certificate, error) {
	data, err := readSmall(path, maxCredential)
	var certs []*x509.Certificate
	if err == nil {
		certs, err = signing.ParseCertificates(data)
	}
	if err != nil {
		return nil, fmt.Errorf("read the certificates %s: %w", path, err)
	}
	return certs, nil
}

// VerifyOptions say what is verified and who is believed.
type VerifyOptions struct {
	Model     string
	Signature string // file to read; SignatureName in the model when empty
	Trust     signing.Trust
	Scope     Scope
	// IgnoreUnsigned accepts files that the signature does not list, as long as they are not loadable.
	IgnoreUnsigned bool
	Reading        Reading
}

// Verify checks the signature, then that the model holds the signed files and nothing else that could be loaded. Errors
// about signature or files wrap ErrRefused.
func Verify(ctx context.Context, o VerifyOptions) (*Report, error) {
	if err := o.Scope.check(); err != nil {
		return nil, err
	}
	if IsArtifact(o.Model) {
		return verifyArtifact(ctx, o)
	}
	m, err := openModel(o.Model, false, false)
	if err != nil {
		return nil, err
	}
	defer func() { m.close() }()
	path, within, err := m.signaturePath(o.Signature)
	if err != nil {
		return nil, err
	}
	data, err := readSignature(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("verify the model: %w: it has no signature: %s is not there", ErrRefused, path)
		}
		return nil, fmt.Errorf("read the signature: %w", err)
	}
	v, err := verifyBundle(data, path, o.Trust)
	if err != nil {
		return nil, err
	}
	if o.Scope.LinksAnywhere && v.Manifest.Symlinks {
		wide, err := openModel(o.Model, true, true)
		if err != nil {
			return nil, err
		}
		m.close()
		m = wide
	}
	r, err := verifyModel(ctx, m, within, v, &o)
	kept := o.Reading.keep(err == nil)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	r.Signature, r.Sum = path, hex.EncodeToString(sum[:])
	r.Warnings = append(r.Warnings, kept...)
	return r, nil
}

// verifyBundle checks the signature alone.
func verifyBundle(data []byte, name string, t signing.Trust) (*signing.Verified, error) {
	b, err := signing.ParseBundle(data)
	if err == nil {
		var v *signing.Verified
		if v, err = signing.Verify(b, t); err == nil {
			return v, nil
		}
	}
	return nil, fmt.Errorf("verify the signature %s: %w: %w", name, ErrRefused, err)
}

// verifyModel compares the files with the manifest that was signed.
func verifyModel(ctx context.Context, m *model, within string, v *signing.Verified, o *VerifyOptions) (*Report, error) {
	man := v.Manifest
	r := &Report{Model: m.path, Root: v.Root, Method: v.Method, Signer: v.Signer, Dialect: v.Dialect, Signatures: v.Signatures, Warnings: v.Warnings}
	ignore, err := ignoredPaths(man, within, o, r)
	if err != nil {
		return nil, err
	}
	tree, err := m.list(manifest.Scope{Ignore: ignore, Symlinks: man.Symlinks})
	if err != nil {
		return nil, err
	}
	if err := m.matchSingle(man); err != nil {
		return nil, err
	}
	ignored := slices.DeleteFunc(slices.Clone(tree.Ignored), func(f manifest.File) bool { return f.Path == within })
	problems := append(tree.Problems, m.holes(ignored, o.Scope.AllowUnsigned)...)
	problems = append(problems, man.Listed(tree.Files, func(f *manifest.File) bool {
		if slices.Contains(o.Scope.AllowUnsigned, f.Path) || o.IgnoreUnsigned && manifest.LoadableFile(m.fsys, f) == "" {
			r.Unsigned = append(r.Unsigned, f.Path)
			return true
		}
		return false
	})...)
	if len(problems) > 0 {
		return nil, &Refused{Act: "verify the model", Problems: problems}
	}
	sizes := man.Paths()
	tree.Files = slices.DeleteFunc(tree.Files, func(f manifest.File) bool { _, signed := sizes[f.Path]; return !signed })
	found, err := m.digests(ctx, tree, man.Serialization, &o.Reading, &r.Recalled)
	if err != nil {
		return nil, refuse("verify the model", err)
	}
	if problems := man.Differences(found); len(problems) > 0 {
		return nil, &Refused{Act: "verify the model", Problems: problems}
	}
	tree.Bytes = 0
	for i := range tree.Files {
		tree.Bytes += tree.Files[i].Info.Size()
	}
	r.describe(man, tree)
	r.Ignored = leftOut(ignore, tree.Ignored)
	r.Unsigned = append(r.Unsigned, accepted(tree.Ignored, o.Scope.AllowUnsigned)...)
	return r, nil
}

// ignoredPaths puts together what the signature, the specification and the operator leave out. A path in the signature
// that matches no file in any model is passed over with a warning; one that would leave out everything is refused.
func ignoredPaths(man *manifest.Manifest, within string, o *VerifyOptions, r *Report) ([]string, error) {
	ignore := slices.Concat(manifest.DefaultIgnored(), o.Scope.Ignore)
	if within != "" {
		ignore = append(ignore, within)
	}
	for _, p := range man.Ignored {
		if filepath.Clean(p) == "." {
			return nil, fmt.Errorf("verify the model: %w: its signature ignores %q, which is everything", ErrRefused, p)
		}
		if err := manifest.CheckIgnored(p); err != nil {
			r.Warnings = append(r.Warnings, "the signature has an "+err.Error())
			continue
		}
		ignore = append(ignore, p)
	}
	slices.Sort(ignore)
	return slices.Compact(ignore), nil
}

// matchSingle settles the name of the only resource of a model of one file: the reference writes ".", the specification
// the name of the file.
func (m *model) matchSingle(man *manifest.Manifest) error {
	paths := man.Paths()
	_, dot := paths[manifest.Single]
	switch {
	case m.single == "" && dot:
		return fmt.Errorf("verify the model: %w: the signature is of a model of one file, and %s is a directory: name the file", ErrRefused, m.path)
	case m.single == "" || dot:
		return nil
	}
	if _, ok := paths[m.single]; !ok || len(paths) != 1 {
		return fmt.Errorf("verify the model: %w: the signature does not list %q alone: name the directory that was signed", ErrRefused, m.single)
	}
	for i := range man.Resources {
		man.Resources[i].Path = manifest.Single
	}
	return nil
}
