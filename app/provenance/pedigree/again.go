package pedigree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/palladium-guard/palladium/app/provenance"
	"github.com/palladium-guard/palladium/weights/lineage"
	"github.com/palladium-guard/palladium/weights/lineage/recompute"
)

// place is where an artifact is on this machine.
type place struct {
	path  string // of the directory, or of the file
	files []file // of it
}

type file struct {
	name, path string
	info       fs.FileInfo
}

// again does every step of a walk again whose transformation is stated and whose files are there, and measures the others
// if somebody can.
func (o *VerifyOptions) again(ctx context.Context, g *lineage.Graph, t *lineage.Trace) (map[string]lineage.Evidence, error) {
	places, err := locate(ctx, append(slices.Clone(o.Files), o.Model), o.Reading)
	if err != nil {
		return nil, err
	}
	out := map[string]lineage.Evidence{}
	for i := range t.Edges {
		e := &t.Edges[i]
		if e.Role != lineage.Model && e.Role != lineage.Adapter || e.Statement == "" {
			continue
		}
		if _, done := out[e.Statement]; done {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		s := g.Record(e.Statement).Statement
		if s.Transformation != nil {
			out[e.Statement], err = redo(s, places)
		} else if out[e.Statement], err = o.measure(ctx, s, places); err != nil {
			return nil, err
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// locate hashes the files and finds the artifacts among them: each path, each folder directly below, each file.
func locate(ctx context.Context, paths []string, r provenance.Reading) (map[string]place, error) {
	out := map[string]place{}
	for _, p := range paths {
		if strings.HasPrefix(p, "dir:") || strings.HasPrefix(p, "sha256:") {
			continue
		}
		o, err := provenance.Digest(ctx, p, leftOut(), r)
		if err != nil {
			return nil, err
		}
		o.Close()
		whole := place{path: p}
		below := map[string][]int{}
		var files []lineage.File
		digests := digestsOf(o)
		for i := range o.Files {
			f := lineage.File{Path: o.Files[i].Path, Size: o.Files[i].Info.Size(), SHA256: digests[o.Files[i].Path]}
			full := filepath.Join(p, filepath.FromSlash(f.Path))
			if o.Single != "" {
				full, f.Path = p, o.Single
			}
			one := file{name: f.Path, path: full, info: o.Files[i].Info}
			files = append(files, f)
			whole.files = append(whole.files, one)
			out["sha256:"+f.SHA256] = place{path: full, files: []file{one}}
			if top, _, ok := strings.Cut(f.Path, "/"); ok {
				below[top] = append(below[top], i)
			}
		}
		if o.Single != "" || len(files) == 0 {
			continue
		}
		a := lineage.NewDirectory(p, lineage.Model, files, nil)
		out[a.Identity()] = whole
		for top, list := range below {
			if sub, id := inside(p, top, list, files, whole.files); id != "" {
				out[id] = sub
			}
		}
	}
	return out, nil
}

// inside is the artifact that a folder of a folder is.
func inside(p, top string, list []int, files []lineage.File, where []file) (place, string) {
	sub := place{path: filepath.Join(p, top)}
	var own []lineage.File
	for _, i := range list {
		f := files[i]
		f.Path = strings.TrimPrefix(f.Path, top+"/")
		if first, _, _ := strings.Cut(f.Path, "/"); slices.Contains(leftOut(), first) {
			continue
		}
		own = append(own, f)
		w := where[i]
		w.name = f.Path
		sub.files = append(sub.files, w)
	}
	if len(own) == 0 {
		return sub, ""
	}
	a := lineage.NewDirectory(top, lineage.Model, own, nil)
	return sub, a.Identity()
}

// redo does a step again.
func redo(s *lineage.Statement, places map[string]place) (lineage.Evidence, error) {
	claim := func(format string, args ...any) (lineage.Evidence, error) {
		return lineage.Evidence{Grade: lineage.Claimed, Detail: fmt.Sprintf(format, args...)}, nil
	}
	var opened openedFiles
	defer opened.close()
	var in recompute.Inputs
	for i := range s.Inputs {
		a := &s.Inputs[i]
		if a.Role != lineage.Model && a.Role != lineage.Adapter {
			continue
		}
		m, err := opened.model(a, places)
		if errors.Is(err, fs.ErrNotExist) {
			return claim("not done again: input %s is not among the files given", a.Name)
		}
		if errors.Is(err, recompute.ErrUnable) {
			return claim("not done again: %s", err)
		}
		if err != nil {
			return lineage.Evidence{}, err
		}
		if a.Role == lineage.Adapter {
			in.Adapters = append(in.Adapters, m)
		} else {
			in.Models = append(in.Models, m)
		}
	}
	out := -1
	for i := range s.Outputs {
		if s.Outputs[i].Role == lineage.Model {
			if out >= 0 {
				return claim("not done again: it has several outputs")
			}
			out = i
		}
	}
	if out < 0 {
		return claim("not done again: it makes no model")
	}
	made, err := opened.model(&s.Outputs[out], places)
	if errors.Is(err, fs.ErrNotExist) {
		return claim("not done again: output %s is not among the files given", s.Outputs[out].Name)
	}
	if err == nil {
		var r recompute.Result
		if r, err = recompute.Check(s.Transformation.Kind, s.Transformation.Parameters, in, made); err == nil {
			if err := opened.unchanged(); err != nil {
				return lineage.Evidence{}, err
			}
			if !r.Agree {
				return lineage.Evidence{Grade: lineage.Refuted, Detail: s.Transformation.Kind + " done again gives something else: " + r.Detail}, nil
			}
			return lineage.Evidence{Grade: lineage.Recomputed, Detail: r.Detail}, nil
		}
	}
	if errors.Is(err, recompute.ErrUnable) {
		return claim("not done again: %s", err)
	}
	return lineage.Evidence{}, err
}

// measure asks whether the weights themselves tell where the output comes from: from every model that went in.
func (o *VerifyOptions) measure(ctx context.Context, s *lineage.Statement, places map[string]place) (lineage.Evidence, error) {
	all := lineage.Evidence{Grade: lineage.Claimed}
	if o.Measure == nil {
		return all, nil
	}
	for i := range s.Outputs {
		child, ok := places[s.Outputs[i].Identity()]
		if s.Outputs[i].Role != lineage.Model || !ok {
			continue
		}
		for j := range s.Inputs {
			parent, ok := places[s.Inputs[j].Identity()]
			if s.Inputs[j].Role != lineage.Model {
				continue
			}
			if !ok {
				return lineage.Evidence{Grade: lineage.Claimed, Detail: "not measured: input " + s.Inputs[j].Name + " is not among the files given"}, nil
			}
			e, err := o.Measure(ctx, parent.path, child.path)
			if err != nil || e.Grade != lineage.Measured {
				return e, err
			}
			all = e
		}
	}
	return all, nil
}

// openedFiles are the files with which a step is done again.
type openedFiles struct {
	open []*os.File
	was  []fs.FileInfo
}

func (o *openedFiles) close() {
	for _, f := range o.open {
		f.Close()
	}
}

// unchanged returns an error when a file is not what it was when it was hashed.
func (o *openedFiles) unchanged() error {
	for i, f := range o.open {
		now, err := f.Stat()
		if err != nil {
			return err
		}
		if !os.SameFile(now, o.was[i]) || now.Size() != o.was[i].Size() || !now.ModTime().Equal(o.was[i].ModTime()) {
			return fmt.Errorf("%s changed while it was read: run again when nothing writes to it", f.Name())
		}
	}
	return nil
}

func (o *openedFiles) model(a *lineage.Artifact, places map[string]place) (*recompute.Model, error) {
	p, ok := places[a.Identity()]
	if !ok {
		return nil, fs.ErrNotExist
	}
	var files []recompute.File
	for _, f := range p.files {
		h, _, err := provenance.OpenRegular(f.path)
		if err != nil {
			return nil, err
		}
		o.open, o.was = append(o.open, h), append(o.was, f.info)
		files = append(files, recompute.File{Name: path.Clean(f.name), Content: h, Size: f.info.Size()})
	}
	return recompute.Open(files)
}
