package lineage

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// Form is what an artifact is on a disk.
type Form string

// The forms.
const (
	OneFile   Form = "file"
	Directory Form = "directory"
	List      Form = "list" // files in an order that matters
)

// Names of digests in an artifact. Those of a file and of a directory are in-toto's.
const (
	digestFile = "sha256"   // of a file: its content; of a directory: the root of its OpenSSF Model Signing manifest
	digestDir  = "dirHash"  // over the lines "SHA-256, two spaces, path", sorted by path: binds names and contents
	digestList = "listHash" // over the same lines in the order of the list
)

const maxFiles = 1_000_000

// Artifact is a file, a directory, or a list of files, as digests.
type Artifact struct {
	Name      string            `json:"name"` // as it was declared; tells nothing
	Role      Role              `json:"role"`
	Form      Form              `json:"form"`
	Digest    map[string]string `json:"digest"`
	Size      int64             `json:"size"`                // bytes
	Rows      int64             `json:"rows,omitempty"`      // of data, where they were counted
	Files     []File            `json:"files,omitempty"`     // of a directory, sorted by path, or of a list
	Ignored   []string          `json:"ignored,omitempty"`   // paths of a directory that were left out
	URI       string            `json:"uri,omitempty"`       // where it came from
	Statement string            `json:"statement,omitempty"` // ID of the statement that says how it was made, as known then
	Changed   bool              `json:"changed,omitempty"`   // of an input: it was another at the command's end
}

// File is a file of an artifact.
type File struct {
	Path   string `json:"path"` // relative, with slashes
	Size   int64  `json:"size"` // bytes
	SHA256 string `json:"sha256"`
	Rows   int64  `json:"rows,omitempty"`
	Format string `json:"format,omitempty"` // of data, when rows were counted
}

// NewFile returns the artifact that a single file is.
func NewFile(name string, role Role, f File) Artifact {
	return Artifact{Name: name, Role: role, Form: OneFile, Digest: map[string]string{digestFile: f.SHA256}, Size: f.Size, Rows: f.Rows}
}

// NewDirectory returns the artifact that the files of a directory are.
func NewDirectory(name string, role Role, files []File, ignored []string) Artifact {
	a := Artifact{Name: name, Role: role, Form: Directory, Files: slices.Clone(files), Ignored: ignored}
	slices.SortFunc(a.Files, func(x, y File) int { return cmp.Compare(x.Path, y.Path) })
	a.total()
	a.Digest = map[string]string{digestDir: hashLines(a.Files), digestFile: hashRoot(a.Files)}
	return a
}

// NewList returns the artifact that files in an order are.
func NewList(name string, role Role, files []File) Artifact {
	a := Artifact{Name: name, Role: role, Form: List, Files: slices.Clone(files)}
	a.total()
	a.Digest = map[string]string{digestList: hashLines(a.Files)}
	return a
}

func (a *Artifact) total() {
	for i := range a.Files {
		a.Size += a.Files[i].Size
		a.Rows += a.Files[i].Rows
	}
}

// hashLines is the Hash1 of Go modules, with the files in the order given.
func hashLines(files []File) string {
	h := sha256.New()
	for i := range files {
		fmt.Fprintf(h, "%s  %s\n", files[i].SHA256, files[i].Path)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// hashRoot is the root of section 6.5.1 of OpenSSF Model Signing, the files sorted by name: what a model's signature states.
func hashRoot(files []File) string {
	h := sha256.New()
	for i := range files {
		d, _ := hex.DecodeString(files[i].SHA256)
		h.Write(d)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Identity returns what two artifacts share when they are the same: form, content and, in directories and lists, names.
func (a *Artifact) Identity() string {
	switch a.Form {
	case Directory:
		return "dir:" + a.Digest[digestDir]
	case List:
		return "list:" + a.Digest[digestList]
	}
	return "sha256:" + a.Digest[digestFile]
}

// Check returns an error that wraps ErrFormat when the artifact contradicts itself, so that a listing is as good as the
// digest that stands for it.
func (a *Artifact) Check() error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("%w: artifact %q: "+format, append([]any{ErrFormat, a.Name}, args...)...)
	}
	switch {
	case a.Name == "":
		return fail("it has no name")
	case !slices.Contains(Roles(), a.Role):
		return fail("role %q is none of %v", a.Role, Roles())
	case a.Size < 0 || a.Rows < 0:
		return fail("a size below zero")
	case a.Statement != "" && !isHex(a.Statement, sha256.Size):
		return fail("%q is no ID of a statement", a.Statement)
	}
	for name, d := range a.Digest {
		if !isHex(d, sha256.Size) {
			return fail("digest %s is not SHA-256 in lower-case hex", name)
		}
	}
	var want Artifact
	switch a.Form {
	case OneFile:
		if len(a.Files) > 0 || len(a.Digest) != 1 || a.Digest[digestFile] == "" {
			return fail("a file has one digest, sha256, and lists no files")
		}
		return nil
	case Directory:
		want = NewDirectory(a.Name, a.Role, a.Files, a.Ignored)
	case List:
		want = NewList(a.Name, a.Role, a.Files)
	default:
		return fail("form %q is not one of file, directory, list", a.Form)
	}
	if err := checkFiles(a.Files); err != nil {
		return fail("%w", err)
	}
	if !slices.Equal(a.Files, want.Files) {
		return fail("its files are not sorted")
	}
	if len(a.Digest) != len(want.Digest) {
		return fail("it has other digests than a %s has", a.Form)
	}
	for name, d := range want.Digest {
		if a.Digest[name] != d {
			return fail("digest %s is not that of the files it lists: expected %s, found %s", name, d, a.Digest[name])
		}
	}
	if a.Size != want.Size || a.Rows != want.Rows {
		return fail("its size or rows are not the sum of its files'")
	}
	return nil
}

func checkFiles(files []File) error {
	if len(files) == 0 || len(files) > maxFiles {
		return fmt.Errorf("it lists %d files, not 1 to %d", len(files), maxFiles)
	}
	seen := make(map[string]bool, len(files))
	for i := range files {
		f := &files[i]
		switch {
		case !fs.ValidPath(f.Path) || f.Path == "." || strings.ContainsAny(f.Path, "\n\r\x00"):
			return fmt.Errorf("%q is no plain relative path", f.Path)
		case seen[f.Path]:
			return fmt.Errorf("file %q is listed twice", f.Path)
		case !isHex(f.SHA256, sha256.Size):
			return fmt.Errorf("file %q has no SHA-256 in lower-case hex", f.Path)
		case f.Size < 0 || f.Rows < 0:
			return fmt.Errorf("file %q has a size below zero", f.Path)
		}
		seen[f.Path] = true
	}
	return nil
}
