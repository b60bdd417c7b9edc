package judge

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"go.yaml.in/yaml/v3"

	"github.com/palladium-guard/palladium"
)

// Version is the policy format that this package reads.
const Version = 1

const (
	maxBytes     = 256 << 10
	maxRules     = 100
	maxExamples  = 200
	maxConstants = 100
)

// ErrPolicy is wrapped by every error of Load that is the policy's fault.
var ErrPolicy = errors.New("policy refused")

// Policy is a loaded policy. It never changes and is safe for concurrent use.
type Policy struct {
	revision string
	rules    []rule
	examples int
}

// RuleText is one rule as it was written.
type RuleText struct {
	Name    string
	Stage   palladium.Stage
	When    string
	Because string
	Line    int // in the file, 1-based
}

// Revision is the operator's own label of the policy, kept with every decision; it may be empty.
func (p *Policy) Revision() string { return p.revision }

// Examples is the number of examples in the policy's file, all of which came out as the file says.
func (p *Policy) Examples() int { return p.examples }

// Rules lists the rules in the order in which they are tried.
func (p *Policy) Rules() []RuleText {
	out := make([]RuleText, len(p.rules))
	for i, r := range p.rules {
		out[i] = RuleText{Name: r.name, Stage: r.stage, When: r.when, Because: r.because, Line: r.line}
	}
	return out
}

// constant is an entry of the constants section.
type constant struct {
	name  string
	kind  *cel.Type
	value ref.Val
}

// Load reads a policy, type checks every condition, proves the two promises of the package for every rule of stage
// act, and decides the policy's own examples. Unknown keys, unknown names and duplicate names are refused, and so is an
// example that comes out otherwise. Errors wrap ErrPolicy and name line and rule.
func Load(data []byte) (*Policy, error) {
	if len(data) > maxBytes {
		return nil, fmt.Errorf("%w: longer than %d bytes: remove rules that are not needed", ErrPolicy, maxBytes)
	}
	root, err := document(data)
	if err != nil {
		return nil, err
	}
	top, err := mapping(root, "policy", "version", "revision", "constants", "rules", "examples")
	if err != nil {
		return nil, err
	}
	if v := top["version"]; v == nil || v.Value != strconv.Itoa(Version) {
		return nil, refuse(lineOf(v, root), "write `version: %d`: this program reads no other policy format", Version)
	}
	p := &Policy{}
	if n := top["revision"]; n != nil {
		if p.revision, err = text(n, "revision"); err != nil {
			return nil, err
		}
	}
	constants, err := readConstants(top["constants"])
	if err != nil {
		return nil, err
	}
	lang, err := newLanguage(constants)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPolicy, err)
	}
	if p.rules, err = readRules(top["rules"], root, lang); err != nil {
		return nil, err
	}
	if p.examples, err = p.runExamples(top["examples"]); err != nil {
		return nil, err
	}
	return p, nil
}

func refuse(line int, format string, args ...any) error {
	return fmt.Errorf("%w: line %d: "+format, append([]any{ErrPolicy, line}, args...)...)
}

func lineOf(n, otherwise *yaml.Node) int {
	if n != nil {
		return n.Line
	}
	return otherwise.Line
}

// document parses data as one YAML document.
func document(data []byte) (*yaml.Node, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%w: the file is empty: start from `palladium policy show`", ErrPolicy)
		}
		return nil, fmt.Errorf("%w: %s", ErrPolicy, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: keep one policy in a file: a second document follows the first", ErrPolicy)
	}
	if len(doc.Content) != 1 {
		return nil, fmt.Errorf("%w: the file is empty: start from `palladium policy show`", ErrPolicy)
	}
	return doc.Content[0], nil
}

// mapping returns the entries of n by key and refuses keys that are not known or come twice. Without known keys any
// key is taken.
func mapping(n *yaml.Node, what string, known ...string) (map[string]*yaml.Node, error) {
	if n.Kind != yaml.MappingNode {
		return nil, refuse(n.Line, "write the %s as `key: value` lines", what)
	}
	out := make(map[string]*yaml.Node, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode || value.Kind == yaml.AliasNode {
			return nil, refuse(key.Line, "write plain keys and values: anchors and merges are not read")
		}
		if len(known) > 0 && !slices.Contains(known, key.Value) {
			return nil, refuse(key.Line, "unknown key %q in the %s: the keys are %s", key.Value, what, strings.Join(known, ", "))
		}
		if out[key.Value] != nil {
			return nil, refuse(key.Line, "key %q comes twice in the %s", key.Value, what)
		}
		out[key.Value] = value
	}
	return out, nil
}

func text(n *yaml.Node, what string) (string, error) {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" || strings.TrimSpace(n.Value) == "" {
		return "", refuse(n.Line, "write %s as text", what)
	}
	return strings.TrimSpace(n.Value), nil
}

func readConstants(n *yaml.Node) ([]constant, error) {
	if n == nil || n.Tag == "!!null" {
		return nil, nil
	}
	if _, err := mapping(n, "constants"); err != nil {
		return nil, err
	}
	if len(n.Content)/2 > maxConstants {
		return nil, refuse(n.Line, "more than %d constants", maxConstants)
	}
	var out []constant
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if !identifier(key.Value) {
			return nil, refuse(key.Line, "constant %q: a name is lower-case letters, digits and _, and starts with a letter", key.Value)
		}
		if slices.ContainsFunc(Fields(), func(f Field) bool { return f.Name == key.Value }) {
			return nil, refuse(key.Line, "constant %q has the name of a field: choose another", key.Value)
		}
		kind, v, err := scalar(value)
		if err != nil {
			return nil, refuse(value.Line, "constant %q: %w", key.Value, err)
		}
		out = append(out, constant{name: key.Value, kind: kind, value: v})
	}
	return out, nil
}

// identifier reports whether s can name a constant. The words that CEL keeps for itself cannot.
func identifier(s string) bool {
	if s == "" || len(s) > 64 || s[0] < 'a' || s[0] > 'z' || slices.Contains(reserved(), s) {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

// reserved lists the words that the CEL specification keeps from identifiers, and the names of its types.
func reserved() []string {
	return []string{
		"as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in", "let", "loop",
		"namespace", "null", "package", "return", "true", "var", "void", "while",
		"bool", "bytes", "double", "dyn", "int", "list", "map", "null_type", "string", "type", "uint",
	}
}

func scalar(n *yaml.Node) (*cel.Type, ref.Val, error) {
	if n.Kind == yaml.ScalarNode {
		switch n.Tag {
		case "!!int":
			if v, err := strconv.ParseInt(n.Value, 0, 64); err == nil {
				return cel.IntType, types.Int(v), nil
			}
		case "!!float":
			if v, err := strconv.ParseFloat(n.Value, 64); err == nil && !math.IsNaN(v) && !math.IsInf(v, 0) {
				return cel.DoubleType, types.Double(v), nil
			}
		case "!!bool":
			if v, err := strconv.ParseBool(n.Value); err == nil {
				return cel.BoolType, types.Bool(v), nil
			}
		case "!!str":
			return cel.StringType, types.String(n.Value), nil
		}
	}
	return nil, nil, errors.New("write one finite number, true, false or a text")
}

func readRules(n, root *yaml.Node, lang *language) ([]rule, error) {
	if n == nil || n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		return nil, refuse(lineOf(n, root), "write at least one rule under `rules:`, each starting with `- name:`")
	}
	if len(n.Content) > maxRules {
		return nil, refuse(n.Line, "more than %d rules", maxRules)
	}
	var out []rule
	for _, node := range n.Content {
		r, err := readRule(node, lang)
		if err != nil {
			return nil, err
		}
		for _, earlier := range out {
			if earlier.name == r.name {
				return nil, refuse(node.Line, "rule %q: the name is taken by the rule of line %d", r.name, earlier.line)
			}
		}
		out = append(out, r)
	}
	return out, nil
}

func readRule(n *yaml.Node, lang *language) (rule, error) {
	r := rule{line: n.Line}
	m, err := mapping(n, "rule", "name", "stage", "when", "because")
	if err != nil {
		return r, err
	}
	values := make(map[string]string, 4)
	for _, key := range []string{"name", "stage", "when", "because"} {
		v := m[key]
		if v == nil {
			return r, refuse(n.Line, "rule %q: `%s:` is missing", values["name"], key)
		}
		if values[key], err = text(v, "`"+key+":`"); err != nil {
			return r, err
		}
	}
	r.name, r.when, r.because = values["name"], values["when"], values["because"]
	switch r.stage = palladium.Stage(values["stage"]); r.stage {
	case palladium.StageAct, palladium.StageReview, palladium.StageWatch, palladium.StageLinked:
	default:
		return r, refuse(m["stage"].Line, "rule %q: no stage is called %q: the stages are act, review, watch, linked", r.name, values["stage"])
	}
	checked, terms, err := lang.compile(r.when)
	if err != nil {
		return r, refuse(conditionLine(m["when"], err), "rule %q: %w", r.name, err)
	}
	r.terms = terms
	if r.stage == palladium.StageAct {
		if err := lang.promises(checked); err != nil {
			return r, refuse(m["when"].Line, "rule %q: %w", r.name, err)
		}
	}
	return r, nil
}

// conditionLine is the line of the file that a complaint about the condition n is about. In a folded scalar the line
// breaks are gone, so that the complaint is given the first line.
func conditionLine(n *yaml.Node, err error) int {
	line := n.Line
	if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		line++
	}
	var at *positionError
	if n.Style&yaml.LiteralStyle != 0 && errors.As(err, &at) && at.line > 1 {
		line += at.line - 1
	}
	return line
}
