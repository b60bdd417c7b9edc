package provenance

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/palladium-guard/palladium/weights/inspect"
	"github.com/palladium-guard/palladium/weights/manifest"
	"github.com/palladium-guard/palladium/weights/signing"
)

// Summary is what is known of a model at a glance, without reading its files: what lies there, and what its signature says.
// That the files are those that were signed, only Verify can say.
type Summary struct {
	Path      string     `json:"path"`
	Files     int        `json:"files"`
	Bytes     int64      `json:"bytes"`
	Modified  time.Time  `json:"modified,omitzero"` // of the file that was written last
	Signature *Signature `json:"signature,omitempty"`
	Note      string     `json:"note,omitempty"` // why there is no more to say
}

// Signature is what a signature file says.
type Signature struct {
	Path     string         `json:"path"`
	SHA256   string         `json:"sha256"` // of the file: the digest of its statement in a ledger
	Root     string         `json:"root,omitempty"`
	Method   signing.Method `json:"method"`
	Signer   signing.Signer `json:"signer"`
	Dialect  string         `json:"dialect"`
	Trusted  bool           `json:"trusted"`            // it is by somebody of those whom one trusts
	Note     string         `json:"note,omitempty"`     // why it is not
	Unlisted []string       `json:"unlisted,omitempty"` // files that it does not list, the first 20
	Missing  []string       `json:"missing,omitempty"`  // files that it lists and that are not there, the first 20
}

const listedFiles = 20

// Summarise says at a glance what a model is. The signature counts as trusted when it is by one of those in trust; with
// nobody in it, it is not checked.
func Summarise(path string, trust []signing.Trust) (*Summary, error) {
	m, err := openModel(path, false, false)
	if err != nil {
		return nil, err
	}
	defer m.close()
	at, within, err := m.signaturePath("")
	if err != nil {
		return nil, err
	}
	tree, err := m.list(manifest.Scope{Ignore: append(manifest.DefaultIgnored(), SignatureName)})
	if err != nil {
		return nil, err
	}
	s := &Summary{Path: path, Files: len(tree.Files), Bytes: tree.Bytes}
	for i := range tree.Files {
		if t := tree.Files[i].Info.ModTime(); t.After(s.Modified) {
			s.Modified = t
		}
	}
	if len(tree.Problems) > 0 {
		s.Note = tree.Problems[0].Error()
	}
	data, err := readSignature(at)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s, nil
	case err != nil:
		return nil, fmt.Errorf("read the signature: %w", err)
	}
	sum := sha256.Sum256(data)
	s.Signature = &Signature{Path: at, SHA256: hex.EncodeToString(sum[:])}
	s.Signature.read(data, trust, tree.Files, within)
	return s, nil
}

// read says what the signature is; what is wrong with it is a note.
func (g *Signature) read(data []byte, trust []signing.Trust, files []manifest.File, within string) {
	b, err := signing.ParseBundle(data)
	if err != nil {
		g.Note = err.Error()
		return
	}
	dialect, signer, err := signing.Describe(b)
	if err != nil {
		g.Note = err.Error()
		return
	}
	g.Method, g.Signer, g.Dialect = b.Method, signer, dialect.String()
	man, err := signing.Listed(b)
	if err != nil {
		g.Note = err.Error()
		return
	}
	g.Root = fmt.Sprintf("%x", man.Root())
	for _, t := range trust {
		v, err := signing.Verify(b, t)
		if err == nil {
			g.Trusted, g.Note, g.Signer = true, "", v.Signer
			break
		}
		g.Note = err.Error()
	}
	there := make(map[string]bool, len(files))
	signed := man.Paths()
	for i := range files {
		p := files[i].Path
		there[p] = true
		if _, ok := signed[p]; !ok && p != within && !manifest.Within(p, man.Ignored) && len(g.Unlisted) < listedFiles {
			g.Unlisted = append(g.Unlisted, p)
		}
	}
	for p := range signed {
		if !there[p] {
			g.Missing = append(g.Missing, p)
		}
	}
	slices.Sort(g.Missing)
	g.Missing = g.Missing[:min(len(g.Missing), listedFiles)]
}

// Models summarises the folders directly below dir, in the order of their names. One that cannot be read has a note.
func Models(dir string, trust []signing.Trust) ([]Summary, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list the models: %w", err)
	}
	out := []Summary{}
	for _, e := range entries {
		if !e.IsDir() || e.Name()[0] == '.' {
			continue
		}
		path := filepath.Join(dir, e.Name())
		s, err := Summarise(path, trust)
		if err != nil {
			s = &Summary{Path: path, Note: err.Error()}
		}
		out = append(out, *s)
	}
	return out, nil
}

// InspectionSummary is the outcome of an inspection in a few words.
type InspectionSummary struct {
	Verdict  string         `json:"verdict"`            // of the worst file
	Files    map[string]int `json:"files"`              // by verdict
	Findings []string       `json:"findings,omitempty"` // rules that files broke, sorted
	Unsafe   []string       `json:"unsafe,omitempty"`   // files that are not safe, the first 20
}

// Summary tells the outcome in a few words.
func (i *Inspection) Summary() InspectionSummary {
	s := InspectionSummary{Verdict: i.Verdict.String(), Files: map[string]int{}}
	for j := range i.Files {
		f := &i.Files[j]
		s.Files[f.Verdict.String()]++
		if f.Verdict != inspect.Safe && len(s.Unsafe) < listedFiles {
			s.Unsafe = append(s.Unsafe, f.Path)
		}
		for _, finding := range f.Findings {
			s.Findings = append(s.Findings, string(finding.Rule))
		}
	}
	slices.Sort(s.Findings)
	s.Findings = slices.Compact(s.Findings)
	return s
}
