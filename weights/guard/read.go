package guard

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// written is a policy as its file says it.
type written struct {
	revision string
	rules    []writtenRule
}

type writtenRule struct{ name, require, because *yaml.Node }

// position is a place in the file, from 1; zero where there is none.
type position struct{ line, column int }

func (p position) errorf(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	if p.line == 0 {
		return err
	}
	return fmt.Errorf("line %d, column %d: %w", p.line, p.column, err)
}

// at is an error about what a node says.
func at(n *yaml.Node, format string, args ...any) error {
	return position{n.Line, n.Column}.errorf(format, args...)
}

// read takes a policy's file apart.
func read(data []byte) (*written, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var file yaml.Node
	if err := dec.Decode(&file); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("the file is empty: start from `palladium model policy show`")
		}
		return nil, errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	var second yaml.Node
	if err := dec.Decode(&second); !errors.Is(err, io.EOF) {
		return nil, errors.New("keep one policy in a file: another document follows the first")
	}
	if len(file.Content) == 0 {
		return nil, errors.New("the file is empty: start from `palladium model policy show`")
	}
	top := file.Content[0]
	keys, err := fields(top, "a policy", "version", "revision", "rules")
	if err != nil {
		return nil, err
	}
	version, rules := keys["version"], keys["rules"]
	switch {
	case version == nil:
		return nil, at(top, "write `version: %d` first", Version)
	case version.Value != fmt.Sprint(Version):
		return nil, at(version, "write `version: %d`: this program reads no other policy format", Version)
	case rules == nil:
		return nil, at(top, "write 1 to %d rules: a policy without rules would let everything load", maxRules)
	case rules.Kind != yaml.SequenceNode || len(rules.Content) == 0 || len(rules.Content) > maxRules:
		return nil, at(rules, "write 1 to %d rules in a list: a policy without rules would let everything load", maxRules)
	}
	w := &written{}
	if r := keys["revision"]; r != nil {
		if w.revision = r.Value; r.Kind != yaml.ScalarNode {
			return nil, at(r, "give `revision:` as text")
		}
	}
	for _, n := range rules.Content {
		r, err := readRule(n)
		if err != nil {
			return nil, err
		}
		w.rules = append(w.rules, r)
	}
	return w, nil
}

func readRule(n *yaml.Node) (r writtenRule, err error) {
	keys, err := fields(n, "a rule", "name", "require", "because")
	if err != nil {
		return r, err
	}
	for _, key := range []string{"name", "require", "because"} {
		switch v := keys[key]; {
		case v == nil:
			return r, at(n, "the rule has no `%s:`", key)
		case v.Kind != yaml.ScalarNode || strings.TrimSpace(v.Value) == "":
			return r, at(v, "give `%s:` as text", key)
		case len(v.Value) > maxRequire:
			return r, at(v, "`%s:` is longer than %d bytes", key, maxRequire)
		}
	}
	return writtenRule{keys["name"], keys["require"], keys["because"]}, nil
}

// fields returns the values of a mapping that may have these keys alone, each once.
func fields(n *yaml.Node, what string, allowed ...string) (map[string]*yaml.Node, error) {
	if n.Kind != yaml.MappingNode {
		return nil, at(n, "%s has the keys %s", what, strings.Join(allowed, ", "))
	}
	out := map[string]*yaml.Node{}
next:
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		for _, a := range allowed {
			if key.Kind == yaml.ScalarNode && key.Value == a {
				if out[a] != nil {
					return nil, at(key, "`%s:` comes twice", a)
				}
				out[a] = value
				continue next
			}
		}
		return nil, at(key, "unknown key %q: %s has the keys %s", key.Value, what, strings.Join(allowed, ", "))
	}
	return out, nil
}

// positionOf finds in the file the place that has a line and a column, from 0, in the trimmed text of a node. YAML breaks and
// indents lines as it likes, but keeps the characters between: they are counted. Where the file spells them otherwise, as
// escapes do, it is the place of the node.
func positionOf(n *yaml.Node, line, column int, file []byte) position {
	node := position{n.Line, n.Column}
	lines := strings.Split(string(file), "\n")
	if n.Line < 1 || n.Line > len(lines) {
		return node
	}
	p := position{n.Line, n.Column}
	switch n.Style {
	case yaml.LiteralStyle, yaml.FoldedStyle: // the text starts below the sign
		p = position{n.Line + 1, 1}
	case yaml.DoubleQuotedStyle, yaml.SingleQuotedStyle:
		p.column++
	}
	text := []rune(strings.TrimSpace(n.Value))
	end := 0 // of the text before the place
	for ; end < len(text) && (line > 0 || column > 0 && text[end] != '\n'); end++ {
		switch {
		case line == 0:
			column--
		case text[end] == '\n':
			line--
		}
	}
	for _, want := range text[:end] {
		if unicode.IsSpace(want) {
			continue
		}
		got, next, ok := solid(lines, p)
		if !ok || got != want {
			return node
		}
		p = next
	}
	if end == len(text) {
		return p // behind the last character
	}
	got, next, ok := solid(lines, p)
	if !ok || unicode.IsSpace(text[end]) || got != text[end] {
		return p
	}
	return position{next.line, next.column - 1}
}

// solid returns the first character from p on that is no space, and the place behind it. Columns count characters.
func solid(lines []string, p position) (rune, position, bool) {
	for p.line <= len(lines) {
		rest := lines[p.line-1]
		for range p.column - 1 {
			_, size := utf8.DecodeRuneInString(rest)
			rest = rest[size:]
		}
		for _, r := range rest {
			p.column++
			if !unicode.IsSpace(r) {
				return r, p, true
			}
		}
		p = position{p.line + 1, 1}
	}
	return 0, p, false
}
