package judge

import (
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/palladium-guard/palladium"
)

// What one condition may cost. CEL counts about one unit an operation; the default policy's rules stay below 40.
const (
	costLimit  = 20_000
	sizeLimit  = 4_096 // code points of a condition
	nodeLimit  = 1_000
	depthLimit = 50
)

// rule is one compiled rule of a policy.
type rule struct {
	name    string
	stage   palladium.Stage
	because string
	when    string // as written
	line    int    // of the rule in its file, 1-based
	terms   []term // joined by &&, in the order written
}

// term is one conjunct of a rule.
type term struct {
	text    string
	program cel.Program
	shape   shape
}

// shape is what is known of a term's form, for saying in words why it failed.
type shape struct {
	field  string  // the field compared, or the Boolean field itself; empty for any other form
	says   string  // what the field is, in words
	op     string  // as read with the field on the left; "" for a Boolean field
	limit  ref.Val // what it is compared with
	source string  // name of the constant that limit came from
	want   bool    // for a Boolean field
	fields []string
}

func (r *rule) head() string { return fmt.Sprintf("%s (%s): ", r.stage, r.name) }

// try evaluates every term. It says in words which terms failed or, when all held, what they wanted and got.
func (r *rule) try(f *Facts) (held bool, met, failed []string) {
	for i := range r.terms {
		t := &r.terms[i]
		out, _, err := t.program.Eval(activation{f})
		switch {
		case err != nil:
			failed = append(failed, fmt.Sprintf("`%s` could not be evaluated: %v", t.text, err))
		case out != types.True:
			failed = append(failed, t.words(f))
		}
	}
	if len(failed) > 0 {
		return false, nil, failed
	}
	met = make([]string, len(r.terms))
	for i := range r.terms {
		met[i] = r.terms[i].words(f)
	}
	return true, met, nil
}

// words says what the term wants and what f has.
func (t *term) words(f *Facts) string {
	s := &t.shape
	if s.field == "" {
		parts := make([]string, 0, len(s.fields))
		for _, name := range s.fields {
			if v, ok := f.value(name); ok {
				parts = append(parts, name+" = "+say(v))
			}
		}
		return fmt.Sprintf("wanted `%s`, with %s", t.text, strings.Join(parts, ", "))
	}
	v, _ := f.value(s.field)
	text := fmt.Sprintf("%s = %s, wanted %s (%s)", s.field, say(v), s.wanted(), s.says)
	if s.field == "extraction_p" && (s.op == operators.LessEquals || s.op == operators.Less) {
		if limit, ok := s.limit.(types.Double); ok && f.References > 0 && f.ReferenceFloor > float64(limit) {
			text += fmt.Sprintf(", and %s cannot give less than %s", count(f.References, "reference group"), say(types.Double(f.ReferenceFloor)))
		}
	}
	return text
}

func (s *shape) wanted() string {
	if s.op == "" {
		return fmt.Sprint(s.want)
	}
	text := comparison(s.op) + " " + say(s.limit)
	if s.source != "" {
		text += " [" + s.source + "]"
	}
	return text
}

func comparison(op string) string {
	switch op {
	case operators.LessEquals:
		return "at most"
	case operators.Less:
		return "less than"
	case operators.GreaterEquals:
		return "at least"
	case operators.Greater:
		return "more than"
	case operators.NotEquals:
		return "other than"
	}
	return "exactly"
}

func meaning(name string) string {
	for _, f := range Fields() {
		if f.Name == name {
			return f.Says
		}
	}
	return name
}

// language is the CEL environment of one policy: the fields of Facts and the policy's constants.
type language struct {
	env       *cel.Env
	constants map[string]ref.Val
}

func newLanguage(constants []constant) (*language, error) {
	opts := []cel.EnvOption{
		cel.CrossTypeNumericComparisons(true),
		cel.EnableMacroCallTracking(),
		cel.ParserExpressionSizeLimit(sizeLimit),
		cel.ParserRecursionLimit(depthLimit),
		cel.ExpressionNodeLimit(nodeLimit),
	}
	for _, f := range Fields() {
		opts = append(opts, cel.VariableWithDoc(f.Name, f.celType(), f.Says))
	}
	values := make(map[string]ref.Val, len(constants))
	for _, c := range constants {
		values[c.name] = c.value
		opts = append(opts, cel.Constant(c.name, c.kind, c.value))
	}
	env, err := cel.NewEnv(opts...)
	if err != nil {
		return nil, fmt.Errorf("prepare the policy language: %w", err)
	}
	return &language{env: env, constants: values}, nil
}

// compile checks the condition and splits it at its top-level &&. The error names what is wrong with it and, when it
// has more than one line, where; the caller adds file line and rule.
func (l *language) compile(when string) (*cel.Ast, []term, error) {
	checked, issues := l.env.Compile(when)
	if issues != nil && issues.Err() != nil {
		return nil, nil, conditionError(issues)
	}
	if checked.OutputType() != cel.BoolType {
		return nil, nil, fmt.Errorf("the condition is of type %s: write one that is true or false", checked.OutputType())
	}
	native := checked.NativeRep()
	if err := familyNames(native.Expr()); err != nil {
		return nil, nil, err
	}
	var terms []term
	for _, e := range conjuncts(native.Expr(), nil) {
		part := ast.NewCheckedAST(ast.NewAST(e, native.SourceInfo()), native.TypeMap(), native.ReferenceMap())
		s := l.shapeOf(e)
		opts := []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize)}
		if s.field == "" { // a plain comparison has nothing that could grow, and counting costs more than it does
			opts = append(opts, cel.CostLimit(costLimit))
		}
		program, err := l.env.PlanProgram(part, opts...)
		if err != nil {
			return nil, nil, fmt.Errorf("plan the condition: %w", err)
		}
		text, err := cel.ExprToString(e, native.SourceInfo())
		if err != nil {
			return nil, nil, fmt.Errorf("print the condition: %w", err)
		}
		terms = append(terms, term{text: text, program: program, shape: s})
	}
	return checked, terms, nil
}

// conditionError is CEL's first complaint, without its drawing of the source.
func conditionError(issues *cel.Issues) error {
	all := issues.Errors()
	if len(all) == 0 {
		return issues.Err()
	}
	e := all[0]
	message, _, _ := strings.Cut(e.Message, " (in container")
	if strings.HasPrefix(message, "undeclared reference") {
		message += ": `palladium policy show --fields` lists the names"
	}
	return &positionError{line: e.Location.Line(), column: e.Location.Column() + 1, message: message}
}

// positionError is a complaint about one place of a condition.
type positionError struct {
	line, column int // 1-based, of the condition's text
	message      string
}

func (e *positionError) Error() string {
	return fmt.Sprintf("column %d of the condition: %s", e.column, e.message)
}

func conjuncts(e ast.Expr, out []ast.Expr) []ast.Expr {
	if e.Kind() == ast.CallKind && e.AsCall().FunctionName() == operators.LogicalAnd {
		for _, arg := range e.AsCall().Args() {
			out = conjuncts(arg, out)
		}
		return out
	}
	return append(out, e)
}

// shapeOf recognises the forms that can be put into words: a Boolean field, its negation, and a comparison of a
// field with a literal or a constant, either way round.
func (l *language) shapeOf(e ast.Expr) shape {
	s := shape{want: true, fields: l.fieldsOf(e)}
	switch e.Kind() {
	case ast.IdentKind:
		if _, constant := l.constants[e.AsIdent()]; !constant {
			s.field, s.says = e.AsIdent(), meaning(e.AsIdent())
		}
		return s
	case ast.CallKind:
	default:
		return s
	}
	call := e.AsCall()
	args := call.Args()
	if call.FunctionName() == operators.LogicalNot && args[0].Kind() == ast.IdentKind {
		s = l.shapeOf(args[0])
		s.want = false
		return s
	}
	flip, known := map[string]string{
		operators.Less: operators.Greater, operators.LessEquals: operators.GreaterEquals,
		operators.Greater: operators.Less, operators.GreaterEquals: operators.LessEquals,
		operators.Equals: operators.Equals, operators.NotEquals: operators.NotEquals,
	}[call.FunctionName()]
	if !known || len(args) != 2 {
		return s
	}
	op, left, right := call.FunctionName(), args[0], args[1]
	if _, _, ok := l.fixed(left); ok {
		op, left, right = flip, right, left
	}
	limit, source, ok := l.fixed(right)
	if !ok || left.Kind() != ast.IdentKind {
		return s
	}
	if _, _, constant := l.fixed(left); constant {
		return s
	}
	s.field, s.op, s.limit, s.source = left.AsIdent(), op, limit, source
	s.says = meaning(s.field)
	return s
}

// fixed returns the value of a literal or of a constant, and the constant's name.
func (l *language) fixed(e ast.Expr) (ref.Val, string, bool) {
	switch e.Kind() {
	case ast.LiteralKind:
		return e.AsLiteral(), "", true
	case ast.IdentKind:
		v, ok := l.constants[e.AsIdent()]
		return v, e.AsIdent(), ok
	}
	return nil, "", false
}

// fieldsOf lists the fields that e names, in the order in which Fields shows them.
func (l *language) fieldsOf(e ast.Expr) []string {
	named := make(map[string]bool)
	ast.PostOrderVisit(e, ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() == ast.IdentKind {
			named[e.AsIdent()] = true
		}
	}))
	var out []string
	for _, f := range Fields() {
		if named[f.Name] {
			out = append(out, f.Name)
		}
	}
	return out
}

// familyNames refuses a family that does not exist: weight["identty"] would otherwise never hold and never say why.
func familyNames(e ast.Expr) error {
	var bad error
	ast.PostOrderVisit(e, ast.NewExprVisitor(func(e ast.Expr) {
		if bad != nil || e.Kind() != ast.CallKind {
			return
		}
		args := e.AsCall().Args()
		var name, of ast.Expr
		switch e.AsCall().FunctionName() {
		case operators.Index:
			of, name = args[0], args[1]
		case operators.In:
			name, of = args[0], args[1]
		default:
			return
		}
		if of.Kind() != ast.IdentKind || name.Kind() != ast.LiteralKind || !slices.Contains([]string{"weight", "families"}, of.AsIdent()) {
			return
		}
		if s, ok := name.AsLiteral().(types.String); ok && !slices.Contains(palladium.Families(), palladium.Family(s)) {
			bad = fmt.Errorf("no family of evidence is called %q: the families are %s", string(s), familyList())
		}
	}))
	return bad
}

func familyList() string {
	names := make([]string, 0, 8)
	for _, f := range palladium.Families() {
		names = append(names, string(f))
	}
	return strings.Join(names, ", ")
}
