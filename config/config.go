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
		return nil, refused(data, err)
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: line %d: keep one document in the file: a second one begins there (---)", ErrConfig, max(more.Line, 1))
	}
	if len(doc.Content) != 1 || doc.Content[0].Tag == "!!null" {
		return f, nil
	}
	if err := known(doc.Content[0], reflect.TypeFor[T](), ""); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if err := doc.Decode(f); err != nil {
		return nil, refused(data, err)
	}
	return f, nil
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
		return fits(n, t, path) // it reads itself
	}
	if n.Tag == "!!null" {
		return nil
	}
	var errs []error
	switch {
	case t.Kind() == reflect.Struct:
		if n.Kind != yaml.MappingNode {
			return fmt.Errorf("line %d: write %s as `key: value` lines", n.Line, within(path))
		}
		fields := fieldsOf(t)
		pairs(n, path, &errs, func(key, value *yaml.Node) {
			ft, ok := fields[key.Value]
			if !ok {
				errs = append(errs, unknown(key, path, fields))
				return
			}
			errs = append(errs, known(value, ft, under(path, key.Value)))
		})
	case t.Kind() == reflect.Map && n.Kind == yaml.MappingNode:
		pairs(n, path, &errs, func(key, value *yaml.Node) { errs = append(errs, known(value, t.Elem(), under(path, key.Value))) })
	case (t.Kind() == reflect.Slice || t.Kind() == reflect.Array) && n.Kind == yaml.SequenceNode:
		for i, c := range n.Content {
			errs = append(errs, known(c, t.Elem(), item(path, i)))
		}
	default:
		return fits(n, t, path)
	}
	return errors.Join(errs...)
}

// pairs calls f with each key of a mapping and its value. Keys that come twice are refused.
func pairs(n *yaml.Node, path string, errs *[]error, f func(key, value *yaml.Node)) {
	first := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if line, twice := first[key.Value]; twice {
			*errs = append(*errs, fmt.Errorf("line %d: %s stands on line %d already: keep one of the two", key.Line, clip(under(path, key.Value)), line))
			continue
		}
		first[key.Value] = key.Line
		f(key, n.Content[i+1])
	}
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
