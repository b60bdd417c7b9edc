// Package provenance wires what is done to a model's files: signing and verifying them, looking into them, comparing
// them, and keeping what was found.
package provenance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/palladium-guard/palladium/internal/filestamp"
	"github.com/palladium-guard/palladium/internal/sha256pair"
	"github.com/palladium-guard/palladium/weights/manifest"
	"github.com/palladium-guard/palladium/weights/signing"
)

// SignatureName is the name of the signature file in a model's directory when no other is given.
const SignatureName = "model.sig"

// ErrRefused is wrapped by errors that say that a model, or a signature of one, must not be used.
var ErrRefused = errors.New("model is refused")

// Refused is an error that lists what is wrong with a model's files. It wraps ErrRefused.
type Refused struct {
	Act      string // what was to be done, such as "verify the model"
	Problems []manifest.Problem
}

// Error lists the first problems.
func (r *Refused) Error() string {
	const listed = 20
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", r.Act, ErrRefused)
	for i := range r.Problems {
		if i == listed {
			fmt.Fprintf(&b, "; and %d more", len(r.Problems)-listed)
			break
		}
		b.WriteString("; " + r.Problems[i].Error())
	}
	return b.String()
}

// Unwrap returns ErrRefused.
func (r *Refused) Unwrap() error { return ErrRefused }

// Scope says which files of a model count, when signing and when verifying.
type Scope struct {
	Ignore []string // paths that are left out beside those that always are; relative to the model, no patterns
	// AllowUnsigned lists loadable files, by exact path, that are accepted although no signature covers them. Whoever can
	// write to one of them can change what the model does.
	AllowUnsigned []string
	LinksAnywhere bool // links may lead out of the model
}

func (s *Scope) check() error {
	for _, p := range slices.Concat(s.Ignore, s.AllowUnsigned) {
		if err := manifest.CheckIgnored(p); err != nil {
			return err
		}
	}
	return nil
}

// model is an opened directory or file.
type model struct {
	path   string // as it was named
	name   string
	fsys   fs.FS
	single string // name in fsys of a model that is one file
	dir    string // that fsys stands for
	close  func() error
	blobs  []manifest.File     // of an OCI artifact
	given  []manifest.Resource // digests that stand already, of an OCI artifact in a registry
}

// openModel opens the directory or file at path. Names in it cannot lead out of it, unless links may.
func openModel(path string, links, anywhere bool) (*model, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("open the model: %w", err)
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open the model: %w", err)
	}
	m := &model{path: path, name: filepath.Base(absolute), dir: absolute}
	if !info.IsDir() {
		if own, err := os.Lstat(path); err == nil && own.Mode()&fs.ModeSymlink != 0 && !links {
			return nil, fmt.Errorf("open the model: %s is a symbolic link: name the file that it leads to", path)
		}
		if !info.Mode().IsRegular() {
			return nil, fmt.Errorf("open the model: %s is neither a file nor a directory", path)
		}
		m.single, m.dir = m.name, filepath.Dir(absolute)
	}
	if anywhere {
		dir, open := os.DirFS(m.dir), func(name string) (*os.File, error) {
			return os.OpenFile(filepath.Join(m.dir, filepath.FromSlash(name)), os.O_RDONLY|syscall.O_NONBLOCK, 0)
		}
		m.fsys, m.close = prompt{dir.(tree), open}, func() error { return nil }
		return m, nil
	}
	root, err := os.OpenRoot(m.dir)
	if err != nil {
		return nil, fmt.Errorf("open the model: %w", err)
	}
	m.fsys, m.close = prompt{root.FS().(tree), func(name string) (*os.File, error) {
		return root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	}}, root.Close
	return m, nil
}

// list returns the files of the model.
func (m *model) list(s manifest.Scope) (*manifest.Tree, error) {
	switch {
	case m.blobs != nil:
		t := &manifest.Tree{Files: slices.Clone(m.blobs)}
		for i := range t.Files {
			t.Bytes += t.Files[i].Info.Size()
		}
		return t, nil
	case m.single != "":
		info, err := fs.Stat(m.fsys, m.single)
		if err != nil {
			return nil, fmt.Errorf("read the model: %w", err)
		}
		return &manifest.Tree{Files: []manifest.File{{Path: manifest.Single, At: m.single, Info: info}}, Bytes: info.Size()}, nil
	}
	t, err := manifest.Walk(m.fsys, s)
	if err != nil {
		return nil, fmt.Errorf("read the model: %w", err)
	}
	return t, nil
}

// signaturePath returns where the signature file is, and its name in the model, "" when it is not in it.
func (m *model) signaturePath(given string) (path, within string, err error) {
	path = given
	switch {
	case path == "" && m.single != "":
		path = filepath.Join(m.dir, m.single+".sig")
	case path == "":
		path = filepath.Join(m.dir, SignatureName)
	}
	if m.single != "" {
		return path, "", nil
	}
	// The folder's own name may be a link's, so that names alone do not tell whether the file is inside.
	folder, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return "", "", err
	}
	if real, err := filepath.EvalSymlinks(folder); err == nil {
		folder = real
	}
	dir, err := filepath.EvalSymlinks(m.dir)
	if err != nil {
		return "", "", fmt.Errorf("open the model: %w", err)
	}
	rel, err := filepath.Rel(dir, filepath.Join(folder, filepath.Base(path)))
	if err != nil || !filepath.IsLocal(rel) {
		return path, "", nil
	}
	return path, filepath.ToSlash(rel), nil
}

// holes returns the loadable files among those that are left out and that nobody has allowed to be.
func (m *model) holes(ignored []manifest.File, allowed []string) (problems []manifest.Problem) {
	for i := range ignored {
		f := &ignored[i]
		if slices.Contains(allowed, f.Path) {
			continue
		}
		if kind := manifest.LoadableFile(m.fsys, f); kind != "" {
			problems = append(problems, manifest.Problem{Path: f.Path, Kind: manifest.Hole, Want: "nothing loadable where files are ignored", Found: kind,
				Do: "sign it with the others, remove it, or accept it with --unsafe-allow-unsigned"})
		}
	}
	return problems
}

// digests hashes the files, unless their digests stand already.
func (m *model) digests(ctx context.Context, t *manifest.Tree, s manifest.Serialization, r *Reading, recalled *int64) ([]manifest.Resource, error) {
	if m.given != nil {
		return m.given, nil
	}
	o := r.options()
	o.Progress = counting(o.Progress, recalled)
	return manifest.Hash(ctx, m.fsys, t.Files, s, o)
}

// Reading says how files are read.
type Reading struct {
	Workers  int // goroutines; one for each core when zero
	Progress func(manifest.Progress)
	Cache    *Cache // digests of earlier runs; nil reads everything
}

// keep saves the cache; what goes wrong is a warning.
func (r *Reading) keep(complete bool) []string {
	if r.Cache == nil {
		return nil
	}
	if err := r.Cache.Save(complete); err != nil {
		return []string{err.Error()}
	}
	return nil
}

func (r *Reading) options() manifest.Options {
	o := manifest.Options{Workers: cmp.Or(r.Workers, runtime.GOMAXPROCS(0)), Progress: r.Progress, Stamp: filestamp.Of, Pair: sha256pair.New().Write}
	if r.Cache != nil {
		o.Memory = r.Cache
	}
	return o
}

// Left is a path that is left out.
type Left struct {
	Path  string `json:"path"`
	Files int    `json:"files"` // there now
}

// Report says what was signed or verified.
type Report struct {
	Model      string             `json:"model"`
	Signature  string             `json:"signature"`                  // path, or digest of the artifact that holds it
	Sum        string             `json:"signature_sha256,omitempty"` // of the signature that was verified, in hex
	Root       string             `json:"root"`                       // digest that stands for the model, SHA-256 in hex
	Method     signing.Method     `json:"method"`
	Signer     signing.Signer     `json:"signer"`
	Dialect    signing.Dialect    `json:"dialect"`
	Signatures int                `json:"signatures"`
	Serialized string             `json:"serialization"`
	Files      int                `json:"files"`
	Bytes      int64              `json:"bytes"`
	Recalled   int64              `json:"bytes_from_cache"`
	Ignored    []Left             `json:"ignored,omitempty"`
	Unsigned   []string           `json:"unsigned,omitempty"` // accepted although no signature covers them
	Entry      *uint64            `json:"ledger_entry,omitempty"`
	Warnings   []string           `json:"warnings,omitempty"`
	Manifest   *manifest.Manifest `json:"-"`
}

func (r *Report) describe(m *manifest.Manifest, t *manifest.Tree) {
	r.Manifest, r.Files = m, len(m.Paths())
	r.Serialized = string(m.Method) + ", " + string(m.Algorithm)
	if m.Method == manifest.Shards {
		r.Serialized += fmt.Sprintf(", shards of %d bytes", m.ShardSize)
	}
	if m.Symlinks {
		r.Serialized += ", links followed"
	}
	r.Bytes = t.Bytes
}

// accepted returns the ignored files that are listed as allowed.
func accepted(ignored []manifest.File, allowed []string) (out []string) {
	for i := range ignored {
		if slices.Contains(allowed, ignored[i].Path) {
			out = append(out, ignored[i].Path)
		}
	}
	return out
}

// leftOut counts what each ignored path leaves out now.
func leftOut(paths []string, ignored []manifest.File) []Left {
	var out []Left
	for _, p := range slices.Compact(slices.Sorted(slices.Values(paths))) {
		l := Left{Path: p}
		for i := range ignored {
			if manifest.Within(ignored[i].Path, []string{p}) {
				l.Files++
			}
		}
		out = append(out, l)
	}
	return out
}

// readSmall reads a file, or a pipe that the operator names, of at most limit bytes.
func readSmall(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readLimited(f, path, limit)
}

// readSignature reads a signature file. It may lie in a model, by anybody.
func readSignature(path string) ([]byte, error) {
	f, _, err := OpenRegular(path)
	if errors.Is(err, errIrregular) {
		return nil, fmt.Errorf("%w: the signature %w: put the signature's own file in its place", ErrRefused, err)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readLimited(f, path, signing.MaxBundle)
}

// errIrregular is wrapped by errors about a pipe, a device or a directory where a file is expected.
var errIrregular = errors.New("is no regular file")

// OpenRegular opens a file of a model for reading, and never waits: opening a pipe the usual way keeps its reader until
// somebody writes to it.
func OpenRegular(path string) (*os.File, fs.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	return regular(f, path)
}

// regular returns an opened file that is a regular one, and closes any other.
func regular(f *os.File, path string) (*os.File, fs.FileInfo, error) {
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s %w", path, errIrregular)
	}
	if err != nil {
		_ = f.Close() // nothing was read
		return nil, nil, err
	}
	return f, info, nil
}

// tree is what the file systems of package os can do.
type tree interface {
	fs.StatFS
	fs.ReadDirFS
	fs.ReadLinkFS
}

// prompt opens files without waiting: what was a file when the folder was listed can be a pipe by now.
type prompt struct {
	tree
	open func(name string) (*os.File, error)
}

// Open opens a regular file. Folders are read by ReadDir.
func (p prompt) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	f, err := p.open(name)
	if err != nil {
		return nil, err
	}
	if f, _, err = regular(f, name); err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errIrregular}
	}
	return f, nil
}

func readLimited(f io.Reader, path string, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s has more than %d bytes", path, limit)
	}
	return data, nil
}

// sweep removes what a run that was killed while store.Replace wrote the file at path left beside it. In a model it would be a file
// that nobody signed.
func sweep(path string) {
	left, err := filepath.Glob(filepath.Join(quoteGlob(filepath.Dir(path)), quoteGlob("."+filepath.Base(path)+".")+"*.tmp"))
	if err != nil {
		return
	}
	for _, p := range left {
		_ = os.Remove(p) // what stays is told of as a file of the model
	}
}

// quoteGlob has filepath.Glob take s as it is.
func quoteGlob(s string) string {
	if runtime.GOOS == "windows" { // has no escapes
		return s
	}
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(s)
}
