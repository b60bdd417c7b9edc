// Package config reads the one configuration file. Each section is a type of the package that it configures; this one
// knows only where the sections stand, and refuses what it does not know.
package config

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/palladium-guard/palladium/api/auth"
	"github.com/palladium-guard/palladium/notify"
	"github.com/palladium-guard/palladium/store/catalog"
	"github.com/palladium-guard/palladium/store/stream"
	"github.com/palladium-guard/palladium/traffic/budget"
	"github.com/palladium-guard/palladium/traffic/check"
	"github.com/palladium-guard/palladium/traffic/gateway"
	"github.com/palladium-guard/palladium/traffic/gateway/credential"
	"github.com/palladium-guard/palladium/traffic/restrict"
	"github.com/palladium-guard/palladium/traffic/sanction"
)

// MaxBytes is the largest file that is read.
const MaxBytes = 4 << 20

// ErrConfig is wrapped by every error of Parse.
var ErrConfig = errors.New("configuration refused")

// File is the configuration, section by section.
type File struct {
	Gateway     gateway.Config    `yaml:"gateway"`
	Credentials credential.Config `yaml:"credentials"`
	Restrict    restrict.Config   `yaml:"restrict"`
	Budget      budget.Settings   `yaml:"budget"`

	Key         string          `yaml:"measuring_key"` // file of the 32 bytes behind all hashes, the same in every process
	Stream      stream.Config   `yaml:"stream"`
	Catalog     catalog.Config  `yaml:"catalog"`
	Detector    Detector        `yaml:"detector"`
	Archive     Archive         `yaml:"archive"`
	Enforcement sanction.Config `yaml:"enforcement"`
	Ledger      Ledger          `yaml:"ledger"`
	Taps        Taps            `yaml:"taps"`
	Check       check.Config    `yaml:"check"`
	API         API             `yaml:"api"`
	SignIn      auth.Config     `yaml:"sign_in"`
	Notify      notify.Config   `yaml:"notify"`
}

// Parse reads a configuration. Keys that are not known or come twice, values of another type and a second document are
// refused with their line. What the values must satisfy is each section's own to check. An empty file is an empty File.
func Parse(data []byte) (*File, error) { return parse[File](data) }

// ParseEnforcement reads the section enforcement where it stands alone, as a policy of the catalog does.
func ParseEnforcement(data []byte) (sanction.Config, error) {
	c, err := parse[sanction.Config](data)
	if err != nil {
		return sanction.Config{}, err
	}
	return *c, nil
}

func parse[T any](data []byte) (*T, error) {
	if len(data) > MaxBytes {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrConfig, MaxBytes)
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	f := new(T)
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return f, nil
	} else if err != nil {
		return nil, refused(err)
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: keep one document in the file: a second one follows", ErrConfig)
	}
	if len(doc.Content) != 1 || doc.Content[0].Tag == "!!null" {
		return f, nil
	}
	if err := known(doc.Content[0], reflect.TypeFor[T](), ""); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if err := doc.Decode(f); err != nil {
		return nil, refused(err)
	}
	return f, nil
}

// refused makes one line of the parser's error. Values are not quoted, since one may be a secret in the wrong place.
func refused(err error) error {
	var wrong *yaml.TypeError
	if errors.As(err, &wrong) {
		var all []error
		for _, line := range wrong.Errors {
			all = append(all, errors.New(unquoted(line)))
		}
		return fmt.Errorf("%w: %w", ErrConfig, errors.Join(all...))
	}
	return fmt.Errorf("%w: %s", ErrConfig, unquoted(strings.TrimPrefix(err.Error(), "yaml: ")))
}

// unquoted takes the quoted value out of a message of the parser, such as: cannot unmarshal !!str `abc` into int.
func unquoted(s string) string {
	from := strings.IndexByte(s, '`')
	to := strings.LastIndexByte(s, '`')
	if from >= 0 && to > from {
		s = s[:from] + "value" + s[to+1:]
	}
	return strings.ReplaceAll(s, "cannot unmarshal", "wrong type: cannot read")
}

// known refuses mapping keys of n that t has no field for, and names them all.
func known(n *yaml.Node, t reflect.Type, path string) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if n.Kind == yaml.AliasNode {
		return fmt.Errorf("line %d: write the value out: aliases are not understood", n.Line)
	}
	if p := reflect.PointerTo(t); p.Implements(reflect.TypeFor[yaml.Unmarshaler]()) || p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return nil // it reads itself
	}
	var errs []error
	switch t.Kind() {
	case reflect.Struct:
		if n.Kind != yaml.MappingNode {
			if n.Tag == "!!null" {
				return nil
			}
			return fmt.Errorf("line %d: write %s as `key: value` lines", n.Line, within(path))
		}
		fields := fieldsOf(t)
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			ft, ok := fields[key.Value]
			if !ok {
				errs = append(errs, unknown(key, path, fields))
				continue
			}
			errs = append(errs, known(n.Content[i+1], ft, under(path, key.Value)))
		}
	case reflect.Slice, reflect.Array:
		if n.Kind == yaml.SequenceNode {
			for i, c := range n.Content {
				errs = append(errs, known(c, t.Elem(), item(path, i)))
			}
		}
	case reflect.Map:
		if n.Kind == yaml.MappingNode {
			for i := 0; i+1 < len(n.Content); i += 2 {
				errs = append(errs, known(n.Content[i+1], t.Elem(), under(path, n.Content[i].Value)))
			}
		}
	}
	return errors.Join(errs...)
}

func within(path string) string {
	if path == "" {
		return "the file"
	}
	return path
}

func fieldsOf(t reflect.Type) map[string]reflect.Type {
	out := make(map[string]reflect.Type, t.NumField())
	for i := range t.NumField() {
		f := t.Field(i)
		name, opts, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case !f.IsExported() || name == "-":
		case opts == "inline":
			for k, v := range fieldsOf(f.Type) {
				out[k] = v
			}
		case name == "":
			out[strings.ToLower(f.Name)] = f.Type
		default:
			out[name] = f.Type
		}
	}
	return out
}

func unknown(key *yaml.Node, path string, fields map[string]reflect.Type) error {
	hint := ""
	best := 1 + len(key.Value)/2
	for name := range fields {
		if d := distance(key.Value, name); d < best || d == best && hint != "" && name < hint {
			best, hint = d, name
		}
	}
	if hint != "" {
		hint = fmt.Sprintf(": did you mean %q?", hint)
	}
	return fmt.Errorf("line %d: unknown key %q in %s%s", key.Line, clip(key.Value), within(path), hint)
}

func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}

// distance is the number of letters to change, insert or remove to make b of a (Levenshtein 1966).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := last
			if a[i] != b[j] {
				cost++
			}
			last = row[j+1]
			row[j+1] = min(cost, row[j]+1, last+1)
		}
	}
	return row[len(b)]
}
