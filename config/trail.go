package config

import (
	"bytes"
	"encoding"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Trail remembers where the values of a File come from while it is put together: lines of the file, the command line, the
// state directory, defaults. It belongs to one goroutine.
type Trail struct {
	from map[string]string // path of a value, such as gateway.upstreams[1].url -> where it comes from
	now  map[string]string // path -> value, at the last Note
}

// NewTrail begins a trail with what stands in a file that Parse has read.
func NewTrail(data []byte) *Trail {
	t := &Trail{from: map[string]string{}, now: map[string]string{}}
	var doc yaml.Node
	if yaml.Unmarshal(data, &doc) == nil && len(doc.Content) == 1 {
		t.lines(doc.Content[0], "")
	}
	return t
}

// lines notes the line of every value below n.
func (t *Trail) lines(n *yaml.Node, path string) {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			at := under(path, n.Content[i].Value)
			t.lines(n.Content[i+1], at)
			t.from[at] = "line " + strconv.Itoa(n.Content[i].Line) // of the key, where what is below begins on a later one
		}
	case yaml.SequenceNode:
		for i, c := range n.Content {
			t.lines(c, item(path, i))
		}
	}
	t.from[path] = "line " + strconv.Itoa(n.Line)
}

// Note says that what changed in f since the last Note comes from a source. The first Note is of the file as it was read.
func (t *Trail) Note(f *File, source string) {
	now, empty := map[string]string{}, map[string]bool{}
	walk(reflect.ValueOf(f).Elem(), "", func(path string, v reflect.Value) { now[path], empty[path] = text(v), v.IsZero() })
	for path, v := range now {
		_, named := t.from[path]
		if was, ok := t.now[path]; source != "" && (ok && was != v || !ok && (named || !empty[path])) {
			t.from[path] = source
		}
	}
	t.now = now
}

// Write writes f as YAML with the source of each value beside it. Secrets are masked. What is empty is left out unless it is
// written in the file, or all is set.
func (t *Trail) Write(w io.Writer, f *File, all bool) error {
	root := t.node(reflect.ValueOf(f).Elem(), "", all)
	if root == nil {
		_, err := io.WriteString(w, "{}\n")
		return err
	}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(root); err != nil {
		return fmt.Errorf("write the effective configuration: %w", err)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// source says where a value comes from: its own place, or that of what it stands in.
func (t *Trail) source(path string) string {
	if s, ok := t.from[path]; ok {
		return s
	}
	return "default"
}

// node makes YAML of v; nil for what is left out.
func (t *Trail) node(v reflect.Value, path string, all bool) *yaml.Node {
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return nil
		}
		v = v.Elem()
	}
	switch {
	case leaf(v):
		if _, named := t.from[path]; !all && !named && v.IsZero() {
			return nil
		}
		return t.scalar(v, path)
	case v.Kind() == reflect.Slice:
		seq := &yaml.Node{Kind: yaml.SequenceNode}
		for i := range v.Len() {
			if c := t.node(v.Index(i), item(path, i), all); c != nil {
				seq.Content = append(seq.Content, c)
			}
		}
		if len(seq.Content) == 0 {
			seq.Style = yaml.FlowStyle
			seq.LineComment = t.source(path)
			if _, named := t.from[path]; !all && !named {
				return nil
			}
		}
		return seq
	}
	m := &yaml.Node{Kind: yaml.MappingNode}
	each(v, path, func(name, path string, v reflect.Value) {
		if c := t.node(v, path, all); c != nil {
			m.Content = append(m.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: name}, c)
		}
	})
	if len(m.Content) == 0 {
		return nil
	}
	return m
}

func (t *Trail) scalar(v reflect.Value, path string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Value: Masked(path, text(v))}
	if v.Kind() == reflect.String {
		n.Tag = "!!str" // quoted where it would be read as something else
	}
	n.LineComment = t.source(path)
	return n
}

// walk calls f with every leaf below v.
func walk(v reflect.Value, path string, f func(path string, v reflect.Value)) {
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return
		}
		v = v.Elem()
	}
	switch {
	case leaf(v):
		f(path, v)
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			walk(v.Index(i), item(path, i), f)
		}
	default:
		each(v, path, func(_, path string, v reflect.Value) { walk(v, path, f) })
	}
}

// each calls f with what a struct or a map holds, under the names of the file and in their order there, maps sorted.
func each(v reflect.Value, path string, f func(name, path string, v reflect.Value)) {
	if v.Kind() == reflect.Map {
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(text(a), text(b)) })
		for _, k := range keys {
			f(text(k), under(path, text(k)), v.MapIndex(k))
		}
		return
	}
	for i := range v.NumField() {
		field := v.Type().Field(i)
		name, opts, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		switch {
		case !field.IsExported() || name == "-":
		case opts == "inline":
			each(v.Field(i), path, f)
		default:
			if name == "" {
				name = strings.ToLower(field.Name)
			}
			f(name, under(path, name), v.Field(i))
		}
	}
}

// leaf reports whether v stands in the file as one value.
func leaf(v reflect.Value) bool {
	if p := reflect.PointerTo(v.Type()); p.Implements(reflect.TypeFor[yaml.Unmarshaler]()) || p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return true
	}
	switch v.Kind() {
	case reflect.Struct, reflect.Map, reflect.Slice:
		return false
	}
	return true
}

// text is the form of a leaf, as it is read.
func text(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case encoding.TextMarshaler:
		if b, err := x.MarshalText(); err == nil {
			return string(b)
		}
	case fmt.Stringer:
		return x.String()
	}
	return fmt.Sprint(v.Interface())
}

func under(path, name string) string { return strings.TrimPrefix(path+"."+name, ".") }

func item(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i+1) }

const mask = "***"

// Masked returns a value of the file at a path as it may be shown: passwords in addresses and in the words of a connection are
// masked, and the whole of a value whose key names a secret. Names of files and of variables that hold secrets are no secrets.
func Masked(path, value string) string {
	if value == "" {
		return value
	}
	key := path[strings.LastIndexByte(path, '.')+1:]
	switch strings.TrimRight(key, "[]0123456789") {
	case "password", "secret", "token", "passphrase", "private_key", "api_key", "access_key", "routing_key", "integration_key":
		return mask
	case "webhook": // the path of such an address is what lets messages in
		if i := strings.Index(value, "://"); i >= 0 {
			if j := strings.IndexAny(value[i+3:], "/?"); j >= 0 {
				return Masked("", value[:i+3+j]) + "/" + mask
			}
		}
	}
	value = regexp.MustCompile(`(://[^/@\s,:]*:)[^@\s,]*@`).ReplaceAllString(value, "${1}"+mask+"@")
	value = regexp.MustCompile(`((?:nats|tls)://)[^/@:\s,]+@`).ReplaceAllString(value, "${1}"+mask+"@") // a token alone
	return regexp.MustCompile(`(?i)((?:password|passwd|pwd|secret|token|signature|api_?key)=)('[^']*'|[^&\s,]*)`).ReplaceAllString(value, "${1}"+mask)
}
