package signing

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/palladium-guard/palladium/weights/manifest"
)

// The identifiers of OpenSSF Model Signing.
const (
	StatementType     = "https://in-toto.io/Statement/v1"
	PredicateType     = "https://model_signing/signature/v1.0"
	predicateTypeV02  = "https://model_signing/Digests/v0.1" // of release v0.2.0, read and never written
	PayloadType       = "application/vnd.in-toto+json"
	BundleMediaType   = "application/vnd.dev.sigstore.bundle.v0.3+json"
	shardedAlgorithm  = "-sharded-" // between the name of the hash and the size of a shard, as the reference writes it
	blake2Alias       = "blake2"    // what the reference calls blake2b where it is chosen
	maxStatementDepth = 32
)

// ErrFormat is wrapped by errors about a signature file that cannot be read as what it should be.
var ErrFormat = errors.New("signature file is malformed")

// Form is how a manifest is written where the specification v1.0 and the Python reference part.
type Form string

// The forms. For a directory with method files, Interop is accepted by both and of the specification's letter; for shards
// and single files no form is, and Interop is that of the reference, whose verifiers are the ones in use.
const (
	Interop   Form = "interop"
	Spec      Form = "spec"
	Reference Form = "reference"
)

// Forms returns all forms, the one that suits most first.
func Forms() []Form { return []Form{Interop, Spec, Reference} }

type statement struct {
	Type          string          `json:"_type"`
	Subject       []subject       `json:"subject"`
	PredicateType string          `json:"predicateType"`
	Predicate     json.RawMessage `json:"predicate,omitempty"`
}

type subject struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"`
}

type predicate struct {
	Serialization *serialization `json:"serialization"`
	Resources     []resource     `json:"resources"`
}

type serialization struct {
	Method        string      `json:"method"`
	HashType      string      `json:"hash_type"`
	ShardSize     json.Number `json:"shard_size,omitempty"`
	AllowSymlinks *bool       `json:"allow_symlinks"`
	IgnorePaths   []string    `json:"ignore_paths,omitempty"`
}

type resource struct {
	Name      string `json:"name"`
	Algorithm string `json:"algorithm"`
	Digest    string `json:"digest"`
}

// Payload returns the statement that is signed for a model, in one of the forms, and the manifest as the form orders it.
// m.Resources must name a model of one file manifest.Single. It refuses what the form cannot express.
func Payload(m *manifest.Manifest, f Form) ([]byte, *manifest.Manifest, error) {
	if err := m.Check(); err != nil {
		return nil, nil, fmt.Errorf("write the statement: %w", err)
	}
	out := *m
	out.Resources = append([]manifest.Resource(nil), m.Resources...)
	algorithm := string(m.Algorithm)
	switch {
	case f != Spec && f != Interop && f != Reference:
		return nil, nil, fmt.Errorf("write the statement: form %q is not one of interop, spec, reference", f)
	case m.Method == manifest.Shards && f != Spec:
		if m.Algorithm == manifest.BLAKE3 {
			return nil, nil, errors.New("write the statement: the reference implementation knows no shards with blake3: use method files, or form spec")
		}
		algorithm += shardedAlgorithm + strconv.FormatInt(m.ShardSize, 10)
	}
	for i := range out.Resources {
		r := &out.Resources[i]
		if m.Method == manifest.Shards && f != Spec && strings.Contains(r.Path, ":") {
			return nil, nil, fmt.Errorf("write the statement: the reference implementation cannot read shards of %q, which has a colon: use method files, or form spec", r.Path)
		}
		if r.Path == manifest.Single && f == Spec {
			r.Path = m.Name
		}
	}
	if f == Reference {
		manifest.SortReference(out.Resources)
	} else {
		manifest.SortSpec(out.Resources)
	}
	p := predicate{Serialization: &serialization{
		Method: string(m.Method), HashType: string(m.Algorithm), AllowSymlinks: &out.Symlinks, IgnorePaths: m.Ignored,
	}}
	if m.Method == manifest.Shards {
		p.Serialization.ShardSize = json.Number(strconv.FormatInt(m.ShardSize, 10))
	}
	for i := range out.Resources {
		r := &out.Resources[i]
		p.Resources = append(p.Resources, resource{Name: r.Name(), Algorithm: algorithm, Digest: hex.EncodeToString(r.Digest)})
	}
	body, err := encode(p)
	if err != nil {
		return nil, nil, err
	}
	root := out.Root()
	data, err := encode(statement{
		Type: StatementType, PredicateType: PredicateType, Predicate: body,
		Subject: []subject{{Name: m.Name, Digest: map[string]string{"sha256": hex.EncodeToString(root[:])}}},
	})
	return data, &out, err
}

// encode writes compact JSON and leaves <, > and & as they are.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("write the statement: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// read is a statement as it was found.
type read struct {
	manifest *manifest.Manifest
	root     string // as the statement has it, in hex; empty in v0.2.0, which has none
	v02      bool
	sharded  bool // the algorithm carries the size of the shards
	decimal  bool // the size of the shards is written as a decimal fraction
	ordered  bool // resources stand in the specification's order
	byParts  bool // resources stand in the reference's order
	listed   bool // ignore_paths is there
}

// readStatement reads what was signed. The bytes are never written again in another way.
func readStatement(payload []byte) (*read, error) {
	if err := strictJSON(payload); err != nil {
		return nil, fmt.Errorf("%w: statement: %w", ErrFormat, err)
	}
	var s statement
	if err := json.Unmarshal(payload, &s); err != nil {
		return nil, fmt.Errorf("%w: statement: %w", ErrFormat, err)
	}
	if s.Type != StatementType {
		return nil, fmt.Errorf("%w: statement is of type %q, not %s", ErrFormat, s.Type, StatementType)
	}
	switch s.PredicateType {
	case PredicateType:
		return readPredicate(&s)
	case predicateTypeV02:
		return readV02(&s)
	}
	return nil, fmt.Errorf("%w: predicate is of type %q, not %s: this signs something else than a model", ErrFormat, s.PredicateType, PredicateType)
}

func readPredicate(s *statement) (*read, error) {
	if len(s.Subject) != 1 || s.Subject[0].Name == "" {
		return nil, fmt.Errorf("%w: statement has %d subjects, not one with a name", ErrFormat, len(s.Subject))
	}
	var p predicate
	if err := json.Unmarshal(s.Predicate, &p); err != nil {
		return nil, fmt.Errorf("%w: predicate: %w", ErrFormat, err)
	}
	if p.Serialization == nil || p.Serialization.AllowSymlinks == nil {
		return nil, fmt.Errorf("%w: predicate does not say how the model was serialized", ErrFormat)
	}
	r := &read{root: s.Subject[0].Digest["sha256"], listed: p.Serialization.IgnorePaths != nil}
	size, decimal, err := wholeNumber(p.Serialization.ShardSize)
	if err != nil {
		return nil, err
	}
	r.decimal = decimal
	r.manifest = &manifest.Manifest{Name: s.Subject[0].Name, Serialization: manifest.Serialization{
		Method: manifest.Method(p.Serialization.Method), Algorithm: algorithmOf(p.Serialization.HashType), ShardSize: size,
		Symlinks: *p.Serialization.AllowSymlinks, Ignored: p.Serialization.IgnorePaths,
	}}
	if err := r.manifest.Serialization.Check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	for i := range p.Resources {
		if err := r.add(&p.Resources[i], p.Serialization.HashType); err != nil {
			return nil, err
		}
	}
	if err := r.manifest.Check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return r, r.checkRoot()
}

func (r *read) add(d *resource, hashType string) error {
	m := r.manifest
	switch d.Algorithm {
	case hashType:
	case hashType + shardedAlgorithm + strconv.FormatInt(m.ShardSize, 10):
		r.sharded = true
	default:
		return fmt.Errorf("%w: %q is hashed with %q, the model with %q", ErrFormat, d.Name, d.Algorithm, hashType)
	}
	out, err := manifest.ParseName(d.Name, m.Method)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if out.Digest, err = hex.DecodeString(d.Digest); err != nil {
		return fmt.Errorf("%w: the digest of %q is not hexadecimal", ErrFormat, d.Name)
	}
	m.Resources = append(m.Resources, out)
	return nil
}

// checkRoot compares the root with the resources. The specification leaves this to verifiers; here a root that is not that
// of the resources, in their order or in that of the specification, is refused, since others go by it.
func (r *read) checkRoot() error {
	listed, spec := r.manifest.Root(), r.manifest.RootSpec()
	r.ordered = listed == spec
	byParts := *r.manifest
	byParts.Resources = append([]manifest.Resource(nil), byParts.Resources...)
	manifest.SortReference(byParts.Resources)
	r.byParts = byParts.Root() == listed
	if r.root != hex.EncodeToString(listed[:]) && r.root != hex.EncodeToString(spec[:]) {
		return fmt.Errorf("%w: its root digest is %q, that of its resources %x", ErrFormat, r.root, listed)
	}
	return nil
}

// readV02 reads the statement of release v0.2.0: every subject is a file, hashed with SHA-256.
func readV02(s *statement) (*read, error) {
	r := &read{v02: true, manifest: &manifest.Manifest{
		Name: "unnamed", Serialization: manifest.Serialization{Method: manifest.Files, Algorithm: manifest.SHA256},
	}}
	for i := range s.Subject {
		d := resource{Name: s.Subject[i].Name, Algorithm: "sha256", Digest: s.Subject[i].Digest["sha256"]}
		if err := r.add(&d, "sha256"); err != nil {
			return nil, err
		}
	}
	if err := r.manifest.Check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return r, nil
}

func algorithmOf(name string) manifest.Algorithm {
	if name == blake2Alias {
		return manifest.BLAKE2b
	}
	return manifest.Algorithm(name)
}

// wholeNumber reads a size, which writers that go through a protobuf Struct write as 1000000000.0 or 1e9.
func wholeNumber(n json.Number) (v int64, decimal bool, err error) {
	if n == "" {
		return 0, false, nil
	}
	if v, err := n.Int64(); err == nil {
		return v, false, nil
	}
	f, err := n.Float64()
	if err != nil || f != math.Trunc(f) || f < 1 || f > 1<<53 {
		return 0, true, fmt.Errorf("%w: a shard size of %q bytes", ErrFormat, n.String())
	}
	return int64(f), true, nil
}

// strictJSON refuses what readers understand in different ways: a key twice in an object, something after the end,
// nesting beyond all need.
func strictJSON(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var open []map[string]bool // per open object its keys, nil for an array
	var key bool               // the next token in the innermost object is a key
	for n := 0; ; n++ {
		t, err := d.Token()
		if errors.Is(err, io.EOF) && n > 0 && len(open) == 0 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("not JSON: %w", noEOF(err))
		}
		if n > 0 && len(open) == 0 {
			return errors.New("more follows its end")
		}
		switch t {
		case json.Delim('{'):
			open, key = append(open, map[string]bool{}), true
		case json.Delim('['):
			open, key = append(open, nil), false
		case json.Delim('}'), json.Delim(']'):
			open = open[:len(open)-1]
			key = len(open) > 0 && open[len(open)-1] != nil
		default:
			if key {
				name, _ := t.(string)
				name = strings.ToLower(name) // readers that ignore case would see it twice
				if open[len(open)-1][name] {
					return fmt.Errorf("key %q stands twice in one object", name)
				}
				open[len(open)-1][name] = true
			}
			key = !key && len(open) > 0 && open[len(open)-1] != nil
		}
		if len(open) > maxStatementDepth {
			return fmt.Errorf("nested more than %d deep", maxStatementDepth)
		}
	}
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
