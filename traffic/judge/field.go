package judge

import (
	"strconv"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/palladium-guard/palladium"
)

// Field is a name that a policy can use.
type Field struct {
	Name string
	Type string // CEL type: bool, int, double, list(string), map(string, double)
	Says string // what it is, in words
}

// Fields lists the names that a policy can use, in the order in which they are shown.
func Fields() []Field {
	return []Field{
		{"linked", "bool", "the accounts share more than chance explains"},
		{"accounts", "int", "accounts in the group"},
		{"operator_rejected", "bool", "the test of all groups together rules out that the accounts act independently"},
		{"operator_p", "double", "p-value of accounts that act independently"},
		{"operator_e", "double", "e-value against accounts that act independently"},
		{"keys", "int", "independent keys of evidence: who, what, how"},
		{"families", "list(string)", "families of evidence"},
		{"weight", "map(string, double)", "mean nats an account, by family; 0 for a family without evidence"},
		{"calibrated", "bool", "there are enough benign linked groups to compare with"},
		{"references", "int", "benign linked groups compared with"},
		{"reference_floor", "double", "least extraction_p that so many references can give"},
		{"extraction_p", "double", "p-value of one more benign linked group"},
		{"extraction_score", "double", "fitted log-odds that the use is extraction, against benign linked groups"},
		{"vouched", "double", "share of accounts that the operator vouches for"},
		{"declared", "double", "share of accounts that declare one and the same organisation"},
		{"collisions", "double", "repeated prompts between accounts, as a share of what independent use expects"},
		{"probing", "bool", "the accounts together sweep token biases over the vocabulary"},
		{"whole", "bool", "no part of the group is left out by a model of the rest"},
		{"acted", "bool", "the group, or a fifth of it, was at stage act before"},
		{"exchanges", "int", "exchanges drawn"},
		{"input_tokens", "int", "input tokens drawn"},
		{"output_tokens", "int", "output tokens drawn"},
		{"reasoning_tokens", "int", "reasoning tokens drawn"},
		{"hours", "double", "hours from the first exchange to the last"},
		{"days", "int", "days that the one-operator test had data for"},
	}
}

// celType returns the CEL type that f declares.
func (f Field) celType() *cel.Type {
	switch f.Type {
	case "bool":
		return cel.BoolType
	case "int":
		return cel.IntType
	case "double":
		return cel.DoubleType
	case "list(string)":
		return cel.ListType(cel.StringType)
	}
	return cel.MapType(cel.StringType, cel.DoubleType)
}

// pointer returns the address of the field that a policy calls name, or nil for a name that is no field.
func (f *Facts) pointer(name string) any {
	switch name {
	case "linked":
		return &f.Linked
	case "whole":
		return &f.Whole
	case "acted":
		return &f.Acted
	case "accounts":
		return &f.Accounts
	case "operator_rejected":
		return &f.OperatorRejected
	case "operator_p":
		return &f.OperatorP
	case "operator_e":
		return &f.OperatorE
	case "keys":
		return &f.Keys
	case "families":
		return &f.Families
	case "weight":
		return &f.Weight
	case "calibrated":
		return &f.Calibrated
	case "references":
		return &f.References
	case "reference_floor":
		return &f.ReferenceFloor
	case "extraction_p":
		return &f.ExtractionP
	case "extraction_score":
		return &f.ExtractionScore
	case "vouched":
		return &f.Vouched
	case "declared":
		return &f.Declared
	case "collisions":
		return &f.Collisions
	case "probing":
		return &f.Probing
	case "exchanges":
		return &f.Exchanges
	case "input_tokens":
		return &f.Tokens.Input
	case "output_tokens":
		return &f.Tokens.Output
	case "reasoning_tokens":
		return &f.Tokens.Reasoning
	case "hours":
		return &f.Hours
	case "days":
		return &f.Days
	}
	return nil
}

// value returns the field that a policy calls name as a CEL value; ok is false for a name that is no field.
func (f *Facts) value(name string) (v ref.Val, ok bool) {
	switch p := f.pointer(name).(type) {
	case *bool:
		return types.Bool(*p), true
	case *int:
		return types.Int(*p), true
	case *int64:
		return types.Int(*p), true
	case *float64:
		return types.Double(*p), true
	case *[]string:
		return types.NewStringList(types.DefaultTypeAdapter, *p), true
	case *map[string]float64:
		return types.DefaultTypeAdapter.NativeToValue(f.weights()), true
	}
	return nil, false
}

// weights is Weight with every known family in it, so that naming one in a policy is never an error.
func (f *Facts) weights() map[string]float64 {
	m := make(map[string]float64, len(f.Weight)+8)
	for _, fam := range palladium.Families() {
		m[string(fam)] = 0
	}
	for k, v := range f.Weight {
		m[k] = v
	}
	return m
}

// activation lets CEL read Facts field by field, without a map.
type activation struct{ facts *Facts }

func (a activation) ResolveName(name string) (any, bool) {
	v, ok := a.facts.value(name)
	return v, ok
}

func (a activation) Parent() cel.Activation { return nil }

var _ cel.Activation = activation{}

// say formats a CEL value for a sentence.
func say(v ref.Val) string {
	switch v := v.(type) {
	case types.Double:
		return strconv.FormatFloat(float64(v), 'g', 4, 64)
	case types.Int:
		return strconv.FormatInt(int64(v), 10)
	case types.Bool:
		return strconv.FormatBool(bool(v))
	case types.String:
		return strconv.Quote(string(v))
	}
	switch n := v.Value().(type) {
	case []string:
		return "[" + strings.Join(n, ", ") + "]"
	case map[string]float64:
		parts := make([]string, 0, len(n))
		for _, fam := range palladium.Families() {
			if w := n[string(fam)]; w != 0 {
				parts = append(parts, string(fam)+" "+strconv.FormatFloat(w, 'g', 3, 64))
			}
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return v.Type().TypeName()
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

func join(s []string) string { return strings.Join(s, "; ") }
