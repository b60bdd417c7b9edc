// Package guard decides whether a model may be loaded: an operator's policy over what is known of it.
package guard

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"go.yaml.in/yaml/v3"
)

// Version is the policy format that this package reads.
const Version = 1

const (
	maxPolicy  = 256 << 10
	maxRules   = 100
	maxRequire = 4_096 // bytes of a condition
	costLimit  = 100_000
)

// ErrPolicy is wrapped by every error of Load.
var ErrPolicy = errors.New("policy refused")

//go:embed default.yaml
var standard []byte

// Default returns the text of the policy that holds when the operator gives none.
func Default() []byte { return bytes.Clone(standard) }

// Policy is a list of conditions that must all hold. It never changes and is safe for concurrent use.
type Policy struct {
	revision string
	rules    []rule
}

type rule struct {
	name, require, because string
	line                   int
	program                cel.Program
}

// RuleText is one rule as it was written.
type RuleText struct {
	Name    string
	Require string
	Because string
	Line    int // in the file, 1-based
}

// Broken is a rule that does not hold, and why.
type Broken struct {
	Rule    string `json:"rule"`
	Because string `json:"because"` // the policy's own words
	Found   string `json:"found"`   // what the condition saw
}

// Revision is the operator's own label of the policy; it may be empty.
func (p *Policy) Revision() string { return p.revision }

// Rules lists the rules in their order.
func (p *Policy) Rules() []RuleText {
	out := make([]RuleText, len(p.rules))
	for i, r := range p.rules {
		out[i] = RuleText{r.name, r.require, r.because, r.line}
	}
	return out
}

type document struct {
	Version  int    `yaml:"version"`
	Revision string `yaml:"revision"`
	Rules    []struct {
		Name    string    `yaml:"name"`
		Require yaml.Node `yaml:"require"`
		Because string    `yaml:"because"`
	} `yaml:"rules"`
}

// Load reads a policy and type checks every condition. Unknown keys, unknown names and rules of the same name are
// refused. Errors wrap ErrPolicy.
func Load(data []byte) (*Policy, error) {
	if len(data) > maxPolicy {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrPolicy, maxPolicy)
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	var doc document
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%w: the file is empty: start from `palladium model policy show`", ErrPolicy)
		}
		return nil, fmt.Errorf("%w: %s", ErrPolicy, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: keep one policy in a file", ErrPolicy)
	}
	if doc.Version != Version {
		return nil, fmt.Errorf("%w: write `version: %d`: this program reads no other policy format", ErrPolicy, Version)
	}
	if len(doc.Rules) == 0 || len(doc.Rules) > maxRules {
		return nil, fmt.Errorf("%w: write 1 to %d rules: a policy without rules would let everything load", ErrPolicy, maxRules)
	}
	env, err := language()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPolicy, err)
	}
	p := &Policy{revision: doc.Revision}
	for i := range doc.Rules {
		d := &doc.Rules[i]
		r := rule{name: d.Name, require: strings.TrimSpace(d.Require.Value), because: strings.TrimSpace(d.Because), line: d.Require.Line}
		if r.name == "" || r.because == "" || d.Require.Kind != yaml.ScalarNode || r.require == "" || len(r.require) > maxRequire {
			return nil, fmt.Errorf("%w: rule %d: give `name:`, `require:` and `because:` as text, the condition in at most %d bytes", ErrPolicy, i+1, maxRequire)
		}
		for _, earlier := range p.rules {
			if earlier.name == r.name {
				return nil, fmt.Errorf("%w: line %d: rule %q comes twice", ErrPolicy, r.line, r.name)
			}
		}
		if r.program, err = compile(env, r.require); err != nil {
			return nil, fmt.Errorf("%w: line %d: rule %q: %w", ErrPolicy, r.line, r.name, err)
		}
		p.rules = append(p.rules, r)
	}
	return p, nil
}

func language() (*cel.Env, error) {
	options := []cel.EnvOption{cel.ClearMacros(), cel.Macros(cel.HasMacro, cel.AllMacro, cel.ExistsMacro, cel.ExistsOneMacro)}
	for _, f := range new(Facts).Fields() {
		options = append(options, cel.Variable(f.Name, f.celType()))
	}
	return cel.NewEnv(options...)
}

func compile(env *cel.Env, text string) (cel.Program, error) {
	checked, issues := env.Compile(text)
	if err := issues.Err(); err != nil {
		first, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), "ERROR: <input>:"), "\n")
		return nil, fmt.Errorf("%s: `palladium model policy show --fields` lists the names", first)
	}
	if !checked.OutputType().IsExactType(cel.BoolType) {
		return nil, fmt.Errorf("the condition gives %s: it must give true or false", checked.OutputType())
	}
	return env.Program(checked, cel.CostLimit(costLimit))
}

// Decide returns the rules that do not hold for f. A condition that cannot be evaluated does not hold.
func (p *Policy) Decide(f *Facts) []Broken {
	vars := make(map[string]any)
	for _, field := range f.Fields() {
		if list, ok := field.value.([]string); ok && list == nil {
			field.value = []string{}
		}
		vars[field.Name] = field.value
	}
	var out []Broken
	for i := range p.rules {
		r := &p.rules[i]
		v, _, err := r.program.Eval(vars)
		switch {
		case err != nil:
			out = append(out, Broken{r.name, r.because, fmt.Sprintf("`%s` could not be evaluated: %v", r.require, err)})
		case v != types.True:
			out = append(out, Broken{r.name, r.because, "wanted `" + r.require + "`, with " + f.seen(r.require)})
		}
	}
	return out
}

// seen shows the values of the fields that a condition names.
func (f *Facts) seen(condition string) string {
	words := strings.FieldsFunc(condition, func(r rune) bool {
		return (r < 'a' || r > 'z') && r != '_'
	})
	var out []string
	for _, field := range f.Fields() {
		for _, w := range words {
			if w == field.Name {
				out = append(out, fmt.Sprintf("%s = %q", field.Name, fmt.Sprint(field.value)))
				break
			}
		}
	}
	if len(out) == 0 {
		return "no field"
	}
	return strings.Join(out, ", ")
}
