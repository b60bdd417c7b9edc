package api

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// openAPI is the contract: requests are checked against it as they come in, answers in the tests.
//
//go:embed openapi.yaml
var openAPI []byte

// base is where all paths of the contract begin.
const base = "/api/v1"

// contract is the OpenAPI document, made ready.
type contract struct {
	json       []byte
	operations map[string]*operation // by operationId
}

// operation is one operation of the contract.
type operation struct {
	Operation
	method string
	path   string // as in the contract
	params []parameter
	body   *jsonschema.Schema // nil when it takes none
}

// parameter is one parameter of an operation.
type parameter struct {
	name, in string
	kind     string // string, integer, number, boolean or array
	required bool
	schema   *jsonschema.Schema
}

// node is an object of the document.
type node = map[string]any

// readContract reads the document and joins each operation of it with its line in the table of roles. Either without the
// other is an error.
func readContract(text []byte) (*contract, error) {
	var tree any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		return nil, fmt.Errorf("read OpenAPI document: %w", err)
	}
	data, err := json.Marshal(tree)
	if err != nil {
		return nil, fmt.Errorf("read OpenAPI document: %w", err)
	}
	root, err := jsonschema.UnmarshalJSON(strings.NewReader(string(data)))
	if err != nil {
		return nil, fmt.Errorf("read OpenAPI document: %w", err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	const url = "https://palladium.invalid/openapi.json"
	if err := compiler.AddResource(url, root); err != nil {
		return nil, fmt.Errorf("read OpenAPI document: %w", err)
	}
	r := reader{root: root.(node), compile: func(pointer string) (*jsonschema.Schema, error) { return compiler.Compile(url + "#" + pointer) }}
	c := &contract{json: data, operations: map[string]*operation{}}
	table := map[string]Operation{}
	for _, o := range Operations() {
		table[o.ID] = o
	}
	for path, item := range child(r.root, "paths") {
		for _, method := range []string{"get", "post", "put", "patch", "delete"} {
			if _, ok := item.(node)[method]; !ok {
				continue
			}
			o, err := r.operation(path, method)
			if err != nil {
				return nil, err
			}
			row, ok := table[o.ID]
			if !ok || c.operations[o.ID] != nil {
				return nil, fmt.Errorf("operation %s of the OpenAPI document is not in the table of roles, or stands in the document twice", o.ID)
			}
			o.Operation = row
			c.operations[o.ID] = o
		}
	}
	for id := range table {
		if c.operations[id] == nil {
			return nil, fmt.Errorf("operation %s of the table of roles is not in the OpenAPI document", id)
		}
	}
	return c, nil
}

// reader finds its way in the document.
type reader struct {
	root    node
	compile func(pointer string) (*jsonschema.Schema, error)
}

func child(n node, name string) node {
	c, _ := n[name].(node)
	return c
}

// operation reads one operation with the parameters that it shares with its path.
func (r *reader) operation(path, method string) (*operation, error) {
	at := "/paths/" + escape(path)
	item := child(child(r.root, "paths"), path)
	own := child(item, method)
	id, _ := own["operationId"].(string)
	o := &operation{Operation: Operation{ID: id}, method: strings.ToUpper(method), path: path}
	for _, list := range []struct {
		at    string
		items any
	}{{at, item["parameters"]}, {at + "/" + method, own["parameters"]}} {
		params, _ := list.items.([]any)
		for i, p := range params {
			param, err := r.parameter(p.(node), fmt.Sprintf("%s/parameters/%d", list.at, i))
			if err != nil {
				return nil, fmt.Errorf("operation %s: %w", id, err)
			}
			o.params = append(o.params, param)
		}
	}
	if child(own, "requestBody") == nil {
		return o, nil
	}
	var err error
	if o.body, err = r.compile(at + "/" + method + "/requestBody/content/application~1json/schema"); err != nil {
		return nil, fmt.Errorf("operation %s: body: %w", id, err)
	}
	return o, nil
}

func (r *reader) parameter(p node, at string) (parameter, error) {
	if ref, ok := p["$ref"].(string); ok {
		at = strings.TrimPrefix(ref, "#")
		p = r.follow(at)
	}
	out := parameter{kind: "string"}
	out.name, _ = p["name"].(string)
	out.in, _ = p["in"].(string)
	out.required, _ = p["required"].(bool)
	schema := child(p, "schema")
	if ref, ok := schema["$ref"].(string); ok {
		schema = r.follow(strings.TrimPrefix(ref, "#"))
	}
	if kind, ok := schema["type"].(string); ok {
		out.kind = kind
	}
	var err error
	if out.schema, err = r.compile(at + "/schema"); err != nil {
		return out, fmt.Errorf("parameter %s: %w", out.name, err)
	}
	return out, nil
}

// follow returns what a pointer into the document leads to.
func (r *reader) follow(pointer string) node {
	n := r.root
	for _, part := range strings.Split(strings.TrimPrefix(pointer, "/"), "/") {
		n = child(n, strings.NewReplacer("~1", "/", "~0", "~").Replace(part))
	}
	return n
}

func escape(s string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(s) }

// pattern is the operation's pattern for http.ServeMux.
func (o *operation) pattern() string {
	return o.method + " " + base + strings.ReplaceAll(o.path, "tile/{path}", "tile/{path...}")
}

// checkParams checks all parameters of r. A parameter that the contract does not name, or that is given twice, is refused.
func (o *operation) checkParams(r *http.Request) *Problem {
	var wrong []Field
	query, err := url.ParseQuery(r.URL.RawQuery) // r.URL.Query drops what it cannot read
	if err != nil {
		return BadRequest("the query cannot be read: escape ; and %% in it")
	}
	for _, name := range slices.Sorted(maps.Keys(query)) {
		switch known := slices.ContainsFunc(o.params, func(p parameter) bool { return p.in == "query" && p.name == name }); {
		case !known:
			wrong = append(wrong, Field{clip(name), "there is no such parameter"})
		case len(query[name]) > 1:
			wrong = append(wrong, Field{name, "is given twice"})
		}
	}
	for i := range o.params {
		p := &o.params[i]
		text, given := p.of(r)
		switch {
		case !given && p.required:
			wrong = append(wrong, Field{p.name, "is missing"})
		case given:
			if says := p.check(text); says != "" {
				wrong = append(wrong, Field{p.name, says})
			}
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return invalid(wrong)
}

// of returns the text that r gives for p.
func (p *parameter) of(r *http.Request) (text string, given bool) {
	switch p.in {
	case "path":
		return r.PathValue(p.name), true
	case "header":
		text = r.Header.Get(p.name)
		return text, text != ""
	}
	return r.URL.Query().Get(p.name), r.URL.Query().Has(p.name)
}

// check returns what is wrong with the text, "" when nothing is.
func (p *parameter) check(text string) string {
	var v any = text
	switch p.kind {
	case "integer":
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return "must be a whole number"
		}
		v = n
	case "number":
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return "must be a number"
		}
		v = f
	case "boolean":
		if text != "true" && text != "false" {
			return "must be true or false"
		}
		v = text == "true"
	case "array":
		list := []any{}
		for part := range strings.SplitSeq(text, ",") {
			list = append(list, part)
		}
		v = list
	}
	if fields := broken(p.schema.Validate(v)); len(fields) > 0 {
		return fields[0].Says
	}
	return ""
}

// checkBody checks a decoded body.
func (o *operation) checkBody(v any) *Problem {
	if fields := broken(o.body.Validate(v)); len(fields) > 0 {
		return invalid(fields)
	}
	return nil
}

func invalid(fields []Field) *Problem {
	p := BadRequest("%s: %s", fields[0].Field, fields[0].Says)
	if fields[0].Field == "" {
		p.Detail = fields[0].Says
	}
	p.Fields = fields
	return p
}

// broken flattens what a schema found into the places where it was found, 20 at most.
func broken(err error) (out []Field) {
	var v *jsonschema.ValidationError
	if !errors.As(err, &v) {
		if err != nil {
			return []Field{{"", err.Error()}}
		}
		return nil
	}
	printer := message.NewPrinter(language.English)
	var walk func(v *jsonschema.ValidationError)
	walk = func(v *jsonschema.ValidationError) {
		if len(v.Causes) == 0 && len(out) < 20 {
			at := ""
			for _, part := range v.InstanceLocation {
				at += "/" + escape(part)
			}
			out = append(out, Field{clip(at), clip(v.ErrorKind.LocalizedString(printer))})
		}
		for _, c := range v.Causes {
			walk(c)
		}
	}
	walk(v)
	return out
}

// clip keeps what is shown of a caller's words short.
func clip(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
