// Package guard decides whether a model may be loaded: an operator's policy over what is known of it.
package guard

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
)

// Version is the policy format that this package reads.
const Version = 1

const (
	maxPolicy  = 256 << 10
	maxRules   = 100
	maxRequire = 4_096 // bytes of a condition
	costLimit  = 100_000
	maxShown   = 10 // elements of a list that a refusal shows
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

// Load reads a policy and type checks every condition. Unknown keys, unknown names and rules of the same name are
// refused. Errors wrap ErrPolicy and say line and column in the file, of a condition those of the word that is wrong.
func Load(data []byte) (*Policy, error) {
	if len(data) > maxPolicy {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrPolicy, maxPolicy)
	}
	doc, err := read(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPolicy, err)
	}
	env, err := language()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPolicy, err)
	}
	p := &Policy{revision: doc.revision}
	for i := range doc.rules {
		w := &doc.rules[i]
		r := rule{name: w.name.Value, require: strings.TrimSpace(w.require.Value), because: strings.TrimSpace(w.because.Value), line: w.require.Line}
		for _, earlier := range p.rules {
			if earlier.name == r.name {
				return nil, fmt.Errorf("%w: %w", ErrPolicy, at(w.name, "rule %q comes twice", r.name))
			}
		}
		if r.program, err = compile(env, r.require); err != nil {
			where := positionOf(w.require, 0, 0, nil)
			if e := (*conditionError)(nil); errors.As(err, &e) {
				where = positionOf(w.require, e.line, e.column, data)
			}
			return nil, fmt.Errorf("%w: %w", ErrPolicy, where.errorf("rule %q: %w", r.name, err))
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

// conditionError says what is wrong with a condition, and where in its text: line and column from 0, in characters.
type conditionError struct {
	line, column int
	message      string
}

func (e *conditionError) Error() string {
	message, _, _ := strings.Cut(e.message, " expecting {") // what else could stand there is a long list
	return message + ": `palladium model policy show --fields` lists the names"
}

// compile checks a condition. Errors about its text are a *conditionError.
func compile(env *cel.Env, text string) (cel.Program, error) {
	checked, issues := env.Compile(text)
	if err := issues.Err(); err != nil {
		first := issues.Errors()[0]
		return nil, &conditionError{first.Location.Line() - 1, first.Location.Column(), first.Message}
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
				value := fmt.Sprint(field.value)
				if list, ok := field.value.([]string); ok && len(list) > maxShown {
					value = fmt.Sprintf("%v and %d more", list[:maxShown], len(list)-maxShown)
				}
				out = append(out, fmt.Sprintf("%s = %q", field.Name, value))
				break
			}
		}
	}
	if len(out) == 0 {
		return "no field"
	}
	return strings.Join(out, ", ")
}
