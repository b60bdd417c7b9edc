package pickle

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/palladium-guard/palladium/weights/inspect"
)

// Rules say what a pickle may name. They are immutable after Parse.
type Rules struct {
	Version int
	allow   map[string]map[string]bool
	modules map[string]bool
	names   map[string]map[string]bool
	slow    bool // tests: take the slow way only
}

// ParseRules reads a rule file: exact names that are harmless, and modules and names that are denied. A name that is
// both is an error, and so is one that could match more than itself.
func ParseRules(data []byte) (*Rules, error) {
	var file struct {
		Version int
		Allow   map[string][]string
		Deny    struct {
			Modules []string
			Names   map[string][]string
		}
	}
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(&file); err != nil {
		return nil, fmt.Errorf("read the rules for pickles: %w", err)
	}
	if err := d.Decode(new(any)); !errors.Is(err, io.EOF) {
		return nil, errors.New("read the rules for pickles: there is more than one document")
	}
	if file.Version != 1 {
		return nil, fmt.Errorf("read the rules for pickles: version %d is not known: this program reads version 1", file.Version)
	}
	r := &Rules{Version: file.Version, allow: index(file.Allow), modules: map[string]bool{}, names: index(file.Deny.Names)}
	for _, m := range file.Deny.Modules {
		r.modules[m] = true
	}
	for module, names := range r.allow {
		for name := range names {
			if !identifier(module) || !identifier(name) || strings.Contains(name, ".") {
				return nil, fmt.Errorf("read the rules for pickles: allow %s.%s: give an exact module and an exact name in it", module, name)
			}
			if r.denied(module, name) {
				return nil, fmt.Errorf("read the rules for pickles: %s.%s is allowed and denied: remove one", module, name)
			}
		}
	}
	return r, nil
}

func index(lists map[string][]string) map[string]map[string]bool {
	m := make(map[string]map[string]bool, len(lists))
	for module, names := range lists {
		m[module] = make(map[string]bool, len(names))
		for _, n := range names {
			m[module][n] = true
		}
	}
	return m
}

// Judge grades a global by its module and name as a pickle gives them.
func (r *Rules) Judge(module, name string) inspect.Verdict {
	if r.allow[module][name] {
		return inspect.Safe
	}
	if r.denied(module, name) {
		return inspect.Hostile
	}
	// An attribute of what is named is reached by a dotted name, and a module imported by another is its attribute.
	path := module + "." + name
	for rest := path; ; {
		_, after, ok := strings.Cut(rest, ".")
		if !ok {
			return inspect.Suspicious
		}
		rest = after
		m, n, ok := strings.Cut(rest, ".")
		if ok && (m == "os" || m == "sys" || m == "subprocess" || m == "builtins" || m == "posix" || m == "nt") && n != "" {
			return inspect.Hostile
		}
	}
}

// denied looks the name up at every split into a module and a name.
func (r *Rules) denied(module, name string) bool {
	path := module + "." + name
	for i, c := range path {
		if c != '.' || i == 0 {
			continue
		}
		if r.modules[path[:i]] {
			return true
		}
		first, _, _ := strings.Cut(path[i+1:], ".")
		if r.names[path[:i]][first] {
			return true
		}
	}
	return false
}

// identifier reports whether s is a dotted Python name in ASCII.
func identifier(s string) bool {
	start := true
	for i := range len(s) {
		c := s[i]
		switch {
		case c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z':
			start = false
		case c >= '0' && c <= '9' && !start:
		case c == '.' && !start:
			start = true
		default:
			return false
		}
	}
	return !start
}
