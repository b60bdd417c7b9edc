package pedigree

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/palladium-guard/palladium/app/provenance"
	"github.com/palladium-guard/palladium/weights/lineage"
	"github.com/palladium-guard/palladium/weights/signing"
)

// VerifyOptions say whose lineage is walked, and what it must be like.
type VerifyOptions struct {
	Store *Store
	Model string // path, or an identity such as dir:HEX
	Trust []signing.Trust

	Roots    []string      // identities, or paths of artifacts, that are taken as they are
	Require  lineage.Grade // of each edge between models; Claimed when empty
	Unsigned bool          // accept statements that nobody who is trusted signed
	Files    []string      // artifacts, or folders of them, with which steps are done again

	// Measure says whether the weights in one folder or file come from those in another. It is asked about edges between
	// models that cannot be done again; nil asks nobody.
	Measure func(ctx context.Context, parent, child string) (lineage.Evidence, error)

	Reading provenance.Reading
}

// Verify walks from a model to its roots. An error means that it could not be walked; what is wrong with the lineage is in
// the trace.
func Verify(ctx context.Context, o VerifyOptions) (*lineage.Trace, error) {
	g, model, err := load(ctx, &o)
	if err != nil {
		return nil, err
	}
	wo := lineage.Options{Roots: map[string]bool{}, Require: o.Require, Unsigned: o.Unsigned}
	for _, r := range o.Roots {
		a, err := artifactOf(ctx, r, lineage.Model, g, o.Reading)
		if err != nil {
			return nil, fmt.Errorf("take the root: %w", err)
		}
		wo.Roots[a.Identity()] = true
	}
	t := g.Walk(model, wo)
	if len(o.Files) == 0 {
		return t, nil
	}
	if wo.Evidence, err = o.again(ctx, g, t); err != nil {
		return nil, err
	}
	return g.Walk(model, wo), nil
}

func load(ctx context.Context, o *VerifyOptions) (*lineage.Graph, lineage.Artifact, error) {
	records, err := o.Store.Load(o.Trust)
	if err != nil {
		return nil, lineage.Artifact{}, err
	}
	g := lineage.NewGraph(records)
	model, err := artifactOf(ctx, o.Model, lineage.Model, g, o.Reading)
	return g, model, err
}

// artifactOf reads what is named: a path, or an identity.
func artifactOf(ctx context.Context, name string, role lineage.Role, g *lineage.Graph, r provenance.Reading) (lineage.Artifact, error) {
	if kind, digest, ok := strings.Cut(name, ":"); ok && (kind == "dir" || kind == "sha256" || kind == "list") {
		if raw, err := hex.DecodeString(digest); err != nil || len(raw) != 32 {
			return lineage.Artifact{}, errors.New("an identity is dir:, list: or sha256: and 64 hex digits")
		}
		if a := g.Artifact(name); a != nil {
			return *a, nil
		}
		return lineage.Artifact{}, fmt.Errorf("no statement of the store names %s: give the path instead", name)
	}
	return readArtifact(ctx, Declared{Role: role, Path: name}, r)
}
