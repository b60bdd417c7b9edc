package provenance

import (
	"cmp"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"github.com/palladium-guard/palladium/proof/ledger"
	"github.com/palladium-guard/palladium/store"
	"github.com/palladium-guard/palladium/weights/manifest"
	"github.com/palladium-guard/palladium/weights/signing"
)

// SignOptions say what is signed, by whom, and how it is written.
type SignOptions struct {
	Model     string // directory, file, or OCI artifact; see IsArtifact
	Signature string // file to write; SignatureName in the model, or attached to the artifact, when empty

	With  Signer
	Form  signing.Form // Interop when empty
	Scope Scope
	Links bool // follow symbolic links to files

	Method    manifest.Method    // Files when empty
	Algorithm manifest.Algorithm // SHA256 when empty
	ShardSize int64              // bytes, with Shards; DefaultShardSize when zero

	Reading Reading
	Ledger  ledger.Ledger // the signature is written to it before it is put in its place; none when nil
}

// Signer makes a bundle for a payload.
type Signer interface {
	Sign(ctx context.Context, payload []byte) ([]byte, error)
}

// KeySigner signs with a private key, which may be in a token, and with the certificate of its public half when there is
// one. Close, when set, is called by the owner.
type KeySigner struct {
	Key   crypto.Signer
	Chain []*x509.Certificate // the key's own first; empty to sign by key alone
}

// Sign implements Signer.
func (k *KeySigner) Sign(_ context.Context, payload []byte) ([]byte, error) {
	if len(k.Chain) > 0 {
		return signing.SignCertificate(rand.Reader, k.Key, k.Chain, payload)
	}
	return signing.SignKey(rand.Reader, k.Key, payload)
}

// Sign signs a model and writes the signature file, whole or not at all. Errors about the model's files wrap ErrRefused.
func Sign(ctx context.Context, o SignOptions) (*Report, error) {
	if err := o.Scope.check(); err != nil {
		return nil, err
	}
	if IsArtifact(o.Model) {
		return signArtifact(ctx, o)
	}
	m, err := openModel(o.Model, o.Links, o.Links && o.Scope.LinksAnywhere)
	if err != nil {
		return nil, err
	}
	defer m.close()
	path, within, err := m.signaturePath(o.Signature)
	if err != nil {
		return nil, err
	}
	sweep(path)
	r, data, err := signModel(ctx, m, within, &o)
	kept := o.Reading.keep(err == nil)
	if err != nil {
		return nil, err
	}
	if err := store.ReplaceBytes(path, 0o644, data); err != nil {
		return nil, fmt.Errorf("write the signature: %w", err)
	}
	r.Signature = path
	r.Warnings = append(r.Warnings, kept...)
	return r, nil
}

// signModel returns the bundle.
func signModel(ctx context.Context, m *model, within string, o *SignOptions) (*Report, []byte, error) {
	s := manifest.Serialization{
		Method: cmp.Or(o.Method, manifest.Files), Algorithm: cmp.Or(o.Algorithm, manifest.SHA256), Symlinks: o.Links, ShardSize: o.ShardSize,
	}
	if s.Method == manifest.Shards {
		s.ShardSize = cmp.Or(s.ShardSize, manifest.DefaultShardSize)
	}
	if err := s.Check(); err != nil {
		return nil, nil, fmt.Errorf("sign the model: %w", err)
	}
	if m.single == "" && m.blobs == nil {
		s.Ignored = slices.Concat(manifest.DefaultIgnored(), o.Scope.Ignore)
		if within != "" {
			s.Ignored = append(s.Ignored, within)
		}
		slices.Sort(s.Ignored)
		s.Ignored = slices.Compact(s.Ignored)
	}
	tree, err := m.list(manifest.Scope{Ignore: s.Ignored, Symlinks: o.Links, Portable: true})
	if err != nil {
		return nil, nil, err
	}
	if err := m.signable(tree, &s, within, o); err != nil {
		return nil, nil, err
	}
	man := &manifest.Manifest{Name: m.name, Serialization: s}
	var recalled int64
	if man.Resources, err = m.digests(ctx, tree, s, &o.Reading, &recalled); err != nil {
		return nil, nil, refuse("sign the model", err)
	}
	payload, man, err := signing.Payload(man, cmp.Or(o.Form, signing.Interop))
	if err != nil {
		return nil, nil, err
	}
	data, err := o.With.Sign(ctx, payload)
	if err != nil {
		return nil, nil, err
	}
	b, err := signing.ParseBundle(data)
	if err != nil {
		return nil, nil, fmt.Errorf("read back the signature: %w", err)
	}
	r := &Report{Model: m.path, Root: fmt.Sprintf("%x", man.Root()), Method: b.Method, Recalled: recalled, Signatures: len(b.Signatures)}
	r.describe(man, tree)
	if r.Dialect, r.Signer, err = signing.Describe(b); err != nil {
		return nil, nil, fmt.Errorf("read back the signature: %w", err)
	}
	r.Ignored, r.Unsigned = leftOut(s.Ignored, tree.Ignored), accepted(tree.Ignored, o.Scope.AllowUnsigned)
	if o.Ledger != nil {
		receipt, err := o.Ledger.Append(ctx, ledger.Statement{Type: ledger.TypeSignature, Body: data})
		if err != nil {
			return nil, nil, fmt.Errorf("write the signature to the ledger: %w", err)
		}
		r.Entry = &receipt.Index
	}
	return r, data, nil
}

// signable refuses what a signature could not vouch for.
func (m *model) signable(tree *manifest.Tree, s *manifest.Serialization, within string, o *SignOptions) error {
	problems := tree.Problems
	ignored := slices.DeleteFunc(slices.Clone(tree.Ignored), func(f manifest.File) bool { return f.Path == within })
	problems = append(problems, m.holes(ignored, o.Scope.AllowUnsigned)...)
	for i := range tree.Files {
		if f := &tree.Files[i]; s.Method == manifest.Shards && f.Info.Size() == 0 {
			problems = append(problems, manifest.Problem{Path: f.Path, Kind: manifest.Unsigned, Want: "a byte at least, with method shards", Found: "an empty file, which shards cannot state",
				Do: "use method files, or remove it"})
		}
	}
	if len(problems) > 0 {
		return &Refused{Act: "sign the model", Problems: problems}
	}
	if len(tree.Files) == 0 {
		return fmt.Errorf("sign the model: %w: %s holds no file to sign", ErrRefused, m.path)
	}
	return nil
}

// refuse turns a problem with a file into a refusal.
func refuse(act string, err error) error {
	var p *manifest.Problem
	if errors.As(err, &p) {
		return &Refused{Act: act, Problems: []manifest.Problem{*p}}
	}
	return fmt.Errorf("%s: %w", act, err)
}

// counting passes progress on and keeps how much was recalled.
func counting(f func(manifest.Progress), recalled *int64) func(manifest.Progress) {
	return func(p manifest.Progress) {
		*recalled = p.Recalled
		if f != nil {
			f(p)
		}
	}
}
