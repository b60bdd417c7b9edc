package pedigree

import (
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/palladium-guard/palladium/app/provenance"
	"github.com/palladium-guard/palladium/weights/lineage"
	"github.com/palladium-guard/palladium/weights/manifest"
)

// What Grade says beside the grades of edges.
const (
	Unrecorded = "none"   // no statement names the model
	Unsound    = "broken" // the walk to its roots does not hold
)

// Grader says how well the lineage of verified models is known. Model of its options is set for each.
type Grader VerifyOptions

// Grade returns the weakest grade on the way from the model to its roots: claimed, measured or recomputed; Unrecorded when
// no statement names the model, and Unsound when something is missing, forged, refuted or signed by nobody who is trusted.
func (o *Grader) Grade(ctx context.Context, r *provenance.Report) (string, error) {
	v := VerifyOptions(*o)
	records, err := v.Store.Load(v.Trust)
	if err != nil {
		return "", err
	}
	g := lineage.NewGraph(records)
	if v.Model, err = identify(ctx, r, v.Reading); err != nil {
		return "", err
	}
	if g.Artifact(v.Model) == nil {
		return Unrecorded, nil
	}
	t, err := Verify(ctx, v)
	if err != nil {
		return "", err
	}
	if !t.Holds() {
		return Unsound, nil
	}
	return string(t.Weakest()), nil
}

// identify returns the identity of the artifact that a verified model is, from the digests that were just checked. Where
// those are not of whole files by SHA-256 it reads the files.
func identify(ctx context.Context, r *provenance.Report, reading provenance.Reading) (string, error) {
	m := r.Manifest
	if m == nil || m.Method != manifest.Files || m.Algorithm != manifest.SHA256 {
		a, err := readArtifact(ctx, Declared{Role: lineage.Model, Path: r.Model}, reading)
		if err != nil {
			return "", fmt.Errorf("identify the model: %w", err)
		}
		return a.Identity(), nil
	}
	ignored := leftOut()
	slices.Sort(ignored)
	var files []lineage.File
	for i := range m.Resources {
		f := &m.Resources[i]
		if !manifest.Within(f.Path, ignored) {
			files = append(files, lineage.File{Path: f.Path, SHA256: hex.EncodeToString(f.Digest)})
		}
	}
	var a lineage.Artifact
	if len(files) == 1 && single(r.Model, files[0].Path) {
		a = lineage.NewFile(nameOf(r.Model), lineage.Model, files[0])
	} else {
		a = lineage.NewDirectory(nameOf(r.Model), lineage.Model, files, ignored)
	}
	return a.Identity(), nil
}

// single reports whether a model is one file: the specification gives the file its name, the reference a dot.
func single(model, name string) bool {
	info, err := os.Stat(model)
	return err == nil && info.Mode().IsRegular() && (name == manifest.Single || name == filepath.Base(model))
}
