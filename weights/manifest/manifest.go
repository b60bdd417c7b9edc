// Package manifest states a model, a directory or one file, as digests: it lists what belongs to the model, hashes it on
// every core, and compares a list that was signed with what is there.
//
// It takes an fs.FS, returns values and never writes.
package manifest

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
)

// Method says how files become resources.
type Method string

// The methods of OpenSSF Model Signing v1.0, section 6.3.
const (
	Files  Method = "files"  // one resource a file
	Shards Method = "shards" // one resource for each run of ShardSize bytes of a file
)

// Algorithm names a hash function as manifests do.
type Algorithm string

// The hash functions of the algorithm registry of OpenSSF Model Signing.
const (
	SHA256  Algorithm = "sha256"
	BLAKE2b Algorithm = "blake2b" // 64 bytes
	BLAKE3  Algorithm = "blake3"  // 32 bytes
)

// DefaultShardSize is the size of a shard, in bytes, when none is asked for.
const DefaultShardSize = 1_000_000_000

// Single is the path of the only resource of a model that is one file.
const Single = "."

// ErrMalformed is wrapped by errors about a manifest that contradicts itself or the format.
var ErrMalformed = errors.New("manifest is malformed")

// Serialization says how a model was made into resources.
type Serialization struct {
	Method    Method
	Algorithm Algorithm
	ShardSize int64    // bytes; zero with Files
	Symlinks  bool     // links were followed, each under its own name
	Ignored   []string // paths left out, each with all below it
}

// Check returns an error that wraps ErrMalformed when s cannot be carried out.
func (s *Serialization) Check() error {
	if s.Algorithm.Size() == 0 {
		return fmt.Errorf("%w: hash %q is not one of sha256, blake2b, blake3", ErrMalformed, s.Algorithm)
	}
	switch {
	case s.Method == Files && s.ShardSize == 0, s.Method == Shards && s.ShardSize > 0:
		return nil
	case s.Method == Files:
		return fmt.Errorf("%w: a shard size of %d goes with method files", ErrMalformed, s.ShardSize)
	case s.Method == Shards:
		return fmt.Errorf("%w: a shard size of %d bytes", ErrMalformed, s.ShardSize)
	}
	return fmt.Errorf("%w: method %q is not one of files, shards", ErrMalformed, s.Method)
}

// Size returns the length of a digest in bytes, zero when a is unknown.
func (a Algorithm) Size() int {
	switch a {
	case SHA256, BLAKE3:
		return 32
	case BLAKE2b:
		return 64
	}
	return 0
}

// Resource is one file, or one run of bytes of it, and its digest.
type Resource struct {
	Path       string // relative, slashes between components; Single when the model is one file
	Start, End int64  // the bytes [Start, End); both zero for a whole file
	Digest     []byte
}

// Whole reports whether r is a file and not a shard of one.
func (r *Resource) Whole() bool { return r.End == 0 }

// Name returns the name of r in a manifest: the path, for a shard followed by :start:end.
func (r *Resource) Name() string {
	if r.Whole() {
		return r.Path
	}
	return r.Path + ":" + strconv.FormatInt(r.Start, 10) + ":" + strconv.FormatInt(r.End, 10)
}

// ParseName reads the name of a resource. With Shards, the last two parts between colons are offsets: a path may hold
// colons of its own (section 6.3.2).
func ParseName(name string, m Method) (Resource, error) {
	r := Resource{Path: name}
	if m == Shards {
		rest, end, ok := cutLast(name)
		path, start, ok2 := cutLast(rest)
		if !ok || !ok2 || start >= end {
			return r, fmt.Errorf("%w: resource %q does not end in :start:end", ErrMalformed, name)
		}
		r = Resource{Path: path, Start: start, End: end}
	}
	if !fs.ValidPath(r.Path) {
		return r, fmt.Errorf("%w: resource %q leads out of the model or is not a plain relative path", ErrMalformed, name)
	}
	return r, nil
}

func cutLast(s string) (rest string, n int64, ok bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return s, 0, false
	}
	digits := s[i+1:]
	n, err := strconv.ParseInt(digits, 10, 64)
	return s[:i], n, err == nil && n >= 0 && strconv.FormatInt(n, 10) == digits
}

// Manifest is a model as digests.
type Manifest struct {
	Name string // of the model; tells nothing, and may be anything
	Serialization
	Resources []Resource // in the order in which the root is computed
}

// Check returns an error that wraps ErrMalformed when resources repeat, overlap, or are not of the serialization.
func (m *Manifest) Check() error {
	if err := m.Serialization.Check(); err != nil {
		return err
	}
	if len(m.Resources) == 0 {
		return fmt.Errorf("%w: it lists no file", ErrMalformed)
	}
	next := make(map[string]int64, len(m.Resources)) // by path: where its next shard begins
	sorted := slices.Clone(m.Resources)
	SortReference(sorted)
	for i := range sorted {
		r := &sorted[i]
		if len(r.Digest) != m.Algorithm.Size() {
			return fmt.Errorf("%w: the digest of %q has %d bytes, %s has %d", ErrMalformed, r.Name(), len(r.Digest), m.Algorithm, m.Algorithm.Size())
		}
		if !fs.ValidPath(r.Path) {
			return fmt.Errorf("%w: resource %q is not a plain relative path", ErrMalformed, r.Name())
		}
		if r.Whole() != (m.Method == Files) {
			return fmt.Errorf("%w: resource %q is not of method %s", ErrMalformed, r.Name(), m.Method)
		}
		at, seen := next[r.Path]
		if m.Method == Files && seen {
			return fmt.Errorf("%w: %q is listed twice", ErrMalformed, r.Path)
		}
		if r.Start != at || m.Method == Shards && (at%m.ShardSize != 0 || r.End-r.Start > m.ShardSize) {
			return fmt.Errorf("%w: shard %q overlaps another, leaves a gap, or is not of %d bytes", ErrMalformed, r.Name(), m.ShardSize)
		}
		next[r.Path] = r.End
	}
	if _, single := next[Single]; single && len(next) > 1 {
		return fmt.Errorf("%w: it lists %q, which stands for a model of one file, among others", ErrMalformed, Single)
	}
	return nil
}

// Paths returns each path once, sorted, with its size in bytes where the manifest tells it and -1 where not.
func (m *Manifest) Paths() map[string]int64 {
	sizes := make(map[string]int64, len(m.Resources))
	for i := range m.Resources {
		r := &m.Resources[i]
		if m.Method == Files {
			sizes[r.Path] = -1
			continue
		}
		sizes[r.Path] = max(sizes[r.Path], r.End)
	}
	return sizes
}

// Root returns the digest that stands for the whole: SHA-256 over the digests of the resources in their order, whatever
// function made those (section 6.5.1).
func (m *Manifest) Root() [sha256.Size]byte { return rootOf(m.Resources) }

// RootSpec returns the root with the resources in the order of the specification, wherever they stand.
func (m *Manifest) RootSpec() [sha256.Size]byte {
	sorted := slices.Clone(m.Resources)
	SortSpec(sorted)
	return rootOf(sorted)
}

func rootOf(resources []Resource) [sha256.Size]byte {
	h := sha256.New()
	for i := range resources {
		h.Write(resources[i].Digest)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// SortSpec sorts as the specification has it: names by code point, the offsets of shards as text (section 5.2.1).
func SortSpec(resources []Resource) {
	slices.SortFunc(resources, func(a, b Resource) int { return cmp.Compare(a.Name(), b.Name()) })
}

// SortReference sorts as the Python reference does: paths by component, shards by offset.
func SortReference(resources []Resource) {
	slices.SortFunc(resources, func(a, b Resource) int {
		return cmp.Or(comparePaths(a.Path, b.Path), cmp.Compare(a.Start, b.Start), cmp.Compare(a.End, b.End))
	})
}

// comparePaths compares component by component: a slash comes before every character.
func comparePaths(a, b string) int {
	for i := 0; i < len(a) && i < len(b); i++ {
		if a[i] == b[i] {
			continue
		}
		if a[i] == '/' {
			return -1
		}
		if b[i] == '/' {
			return 1
		}
		return cmp.Compare(a[i], b[i])
	}
	return cmp.Compare(len(a), len(b))
}

// Equal reports whether both list the same resources with the same digests, in any order.
func Equal(a, b []Resource) bool {
	if len(a) != len(b) {
		return false
	}
	byName := make(map[string][]byte, len(a))
	for i := range a {
		byName[a[i].Name()] = a[i].Digest
	}
	for i := range b {
		if d, ok := byName[b[i].Name()]; !ok || !bytes.Equal(d, b[i].Digest) {
			return false
		}
	}
	return true
}
