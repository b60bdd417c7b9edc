package manifest

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// Listed compares the names in m with the files that are there, without reading any: what is missing, what is there
// unsigned, and with Shards what has another size. Files for which allowed is true may be unsigned. A file without
// bytes counts like any other.
func (m *Manifest) Listed(files []File, allowed func(*File) bool) []Problem {
	sizes := m.Paths()
	var problems []Problem
	for i := range files {
		f := &files[i]
		size, signed := sizes[f.Path]
		delete(sizes, f.Path)
		switch {
		case !signed && !allowed(f):
			found := strconv.FormatInt(f.Info.Size(), 10) + " bytes that nobody signed"
			if f.Info.Size() == 0 && m.Method == Shards {
				found = "an empty file, which shards cannot state"
			}
			problems = append(problems, Problem{Path: f.Path, Kind: Unsigned, Want: "no such file", Found: found,
				Do: "remove it, or have the model signed anew with it"})
		case signed && size >= 0 && size != f.Info.Size():
			problems = append(problems, Problem{Path: f.Path, Kind: Changed, Want: fmt.Sprintf("%d bytes", size),
				Found: fmt.Sprintf("%d bytes", f.Info.Size()), Do: "fetch the file anew from where the model was signed"})
		}
	}
	for _, p := range slices.Sorted(maps.Keys(sizes)) {
		problems = append(problems, Problem{Path: p, Kind: Missing, Want: "a file", Found: "none", Do: "fetch it from where the model was signed"})
	}
	return problems
}

// Differences compares the digests in m with those of the files that are there; resources that m does not list are passed
// over, since Listed tells of them.
func (m *Manifest) Differences(found []Resource) []Problem {
	digests := make(map[string][]byte, len(found))
	for i := range found {
		digests[found[i].Name()] = found[i].Digest
	}
	var problems []Problem
	for i := range m.Resources {
		r := &m.Resources[i]
		d, ok := digests[r.Name()]
		switch {
		case !ok:
			problems = append(problems, Problem{Path: r.Name(), Kind: Missing, Want: r.text(m), Found: "no such bytes", Do: "fetch the file anew from where the model was signed"})
		case !bytes.Equal(d, r.Digest):
			problems = append(problems, Problem{Path: r.Name(), Kind: Changed, Want: r.text(m), Found: hex.EncodeToString(d), Do: "fetch the file anew from where the model was signed"})
		}
	}
	return problems
}

func (r *Resource) text(m *Manifest) string {
	return string(m.Algorithm) + " " + hex.EncodeToString(r.Digest)
}
