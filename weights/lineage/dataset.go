package lineage

import (
	"fmt"
	"slices"
)

// Change is how a shard of a data set differs from what was stated.
type Change string

// The changes.
const (
	Gone      Change = "missing"
	Added     Change = "added"     // a shard that is not stated
	Replaced  Change = "replaced"  // another content
	Appended  Change = "appended"  // the stated content, and more behind it
	Truncated Change = "truncated" // shorter
	Swapped   Change = "swapped"   // the content of another stated shard
	Renamed   Change = "renamed"   // a stated content under a name that is not stated
	Reordered Change = "reordered" // in a list: the same shard at another place
)

// Difference is one shard that is not as stated.
type Difference struct {
	Path   string `json:"path"`
	Change Change `json:"change"`
	Detail string `json:"detail"`
}

// String returns one line.
func (d *Difference) String() string { return fmt.Sprintf("%s: %s: %s", d.Path, d.Change, d.Detail) }

// Compare says how a data set that was found differs from the one that was stated; none when they are the same. prefix
// returns the SHA-256, in hex, of the first n bytes of a found shard; it may be nil.
func Compare(want, found *Artifact, prefix func(path string, n int64) (string, error)) ([]Difference, error) {
	if want.Form == OneFile || found.Form == OneFile {
		want, found = single(want), single(found)
	}
	byPath, byContent := map[string]*File{}, map[string]*File{}
	for i := range want.Files {
		f := &want.Files[i]
		byPath[f.Path] = f
		byContent[f.SHA256] = f
	}
	var out []Difference
	add := func(f *File, c Change, format string, args ...any) {
		out = append(out, Difference{f.Path, c, fmt.Sprintf(format, args...)})
	}
	here := map[string]bool{}
	for i := range found.Files {
		f := &found.Files[i]
		here[f.Path] = true
		w := byPath[f.Path]
		twin := byContent[f.SHA256]
		switch {
		case w == nil && twin != nil:
			add(f, Renamed, "it holds what %s is stated to hold", twin.Path)
		case w == nil:
			add(f, Added, "it is not stated: %d bytes%s", f.Size, rows(f.Rows))
		case w.SHA256 == f.SHA256 && w.Size == f.Size:
		case twin != nil:
			add(f, Swapped, "it holds what %s is stated to hold", twin.Path)
		case f.Size > w.Size:
			grown, err := extends(f, w, prefix)
			if err != nil {
				return nil, err
			}
			if grown {
				add(f, Appended, "%d bytes%s stand behind what is stated", f.Size-w.Size, rows(f.Rows-w.Rows))
				continue
			}
			add(f, Replaced, "%d bytes%s, not the %d%s that are stated", f.Size, rows(f.Rows), w.Size, rows(w.Rows))
		case f.Size < w.Size:
			add(f, Truncated, "%d of %d bytes are there, %d of %d rows", f.Size, w.Size, f.Rows, w.Rows)
		default:
			add(f, Replaced, "the same size, another content: expected sha256:%s, found sha256:%s", Short(w.SHA256), Short(f.SHA256))
		}
	}
	for i := range want.Files {
		if f := &want.Files[i]; !here[f.Path] {
			add(f, Gone, "%d bytes%s are stated", f.Size, rows(f.Rows))
		}
	}
	if len(out) == 0 && want.Form == List && found.Form == List {
		for i := range want.Files {
			if want.Files[i].Path != found.Files[i].Path {
				add(&found.Files[i], Reordered, "it is number %d, and %s is stated there", i+1, want.Files[i].Path)
			}
		}
	}
	return out, nil
}

// single lists a file as a directory would, so that names do not count.
func single(a *Artifact) *Artifact {
	if a.Form != OneFile {
		return a
	}
	b := *a
	b.Files = []File{{Path: "(the file)", Size: a.Size, SHA256: a.Digest[digestFile], Rows: a.Rows}}
	return &b
}

func extends(f, w *File, prefix func(string, int64) (string, error)) (bool, error) {
	if prefix == nil || f.Path == "(the file)" {
		return false, nil
	}
	sum, err := prefix(f.Path, w.Size)
	return sum == w.SHA256, err
}

func rows(n int64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" and %d rows", n)
}

// Datasets returns the data sets that a statement makes, or uses when it makes none.
func (s *Statement) Datasets() (out []*Artifact) {
	for _, list := range [][]Artifact{s.Outputs, s.Inputs} {
		for i := range list {
			if list[i].Role == Data {
				out = append(out, &list[i])
			}
		}
		if len(out) > 0 {
			break
		}
	}
	return slices.Clip(out)
}
