package pedigree

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/palladium-guard/palladium/app/provenance"
	"github.com/palladium-guard/palladium/weights/lineage"
	"github.com/palladium-guard/palladium/weights/manifest"
)

// Declared is an artifact that somebody names.
type Declared struct {
	Role lineage.Role
	Path string

	damaged bool // data whose rows cannot be counted has none
}

// leftOut is what does not belong to an artifact that is a directory: what never belongs to a model, its signature, and
// statements about it.
func leftOut() []string {
	return append(manifest.DefaultIgnored(), ".palladium", provenance.SignatureName)
}

// readArtifact hashes what is declared. Rows of data are counted.
func readArtifact(ctx context.Context, d Declared, r provenance.Reading) (lineage.Artifact, error) {
	o, err := provenance.Digest(ctx, d.Path, leftOut(), r)
	if err != nil {
		return lineage.Artifact{}, err
	}
	defer o.Close()
	files := make([]lineage.File, 0, len(o.Files))
	digests := digestsOf(o)
	for i := range o.Files {
		f := &o.Files[i]
		file := lineage.File{Path: f.Path, Size: f.Info.Size(), SHA256: digests[f.Path]}
		if d.Role == lineage.Data {
			if err := countRows(o.FS, cmp.Or(f.At, f.Path), &file); err != nil && !(d.damaged && errors.Is(err, lineage.ErrRows)) {
				return lineage.Artifact{}, fmt.Errorf("count the rows of %s: %w", f.Path, err)
			}
		}
		files = append(files, file)
	}
	name := nameOf(d.Path)
	if o.Single != "" {
		return lineage.NewFile(name, d.Role, files[0]), nil
	}
	if len(files) == 0 {
		return lineage.Artifact{}, fmt.Errorf("read %s: it holds no file", d.Path)
	}
	ignored := leftOut()
	slices.Sort(ignored)
	a := lineage.NewDirectory(name, d.Role, files, ignored)
	return a, a.Check()
}

// digestsOf returns the digests of files, in hex, by path.
func digestsOf(o *provenance.Opened) map[string]string {
	out := make(map[string]string, len(o.Resources))
	for i := range o.Resources {
		out[o.Resources[i].Path] = hex.EncodeToString(o.Resources[i].Digest)
	}
	return out
}

// nameOf is how an artifact is called: the path as it was given, with slashes, and no more of an absolute one than its end.
func nameOf(p string) string {
	p = filepath.ToSlash(filepath.Clean(p))
	if p == "." || strings.HasPrefix(p, "..") || filepath.IsAbs(p) {
		if abs, err := filepath.Abs(p); err == nil {
			return filepath.Base(abs)
		}
	}
	return p
}
