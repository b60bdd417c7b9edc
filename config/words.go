package config

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// refused puts an error of the parser in words that say what to do. Values are not quoted, since one may be a secret in the
// wrong place.
func refused(data []byte, err error) error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 0
	if m := regexp.MustCompile(`^line (\d+): (?s:(.*))$`).FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1])
		text = m[2]
	}
	if at := badByte(data); at >= 0 {
		return fmt.Errorf("%w: line %d: what stands there is not text in UTF-8: save the file as UTF-8 without control characters", ErrConfig, 1+bytes.Count(data[:at], []byte("\n")))
	}
	if real := breaks(data); real > 0 {
		line = real
	}
	for _, w := range []struct{ has, says string }{
		{"cannot start any token", "a value cannot begin like that: indent with spaces instead of tabs, and put values that begin with @, `, % or a tab into quotes"},
		{"tab character", "it is indented with a tab: use spaces"},
		{"mapping values are not allowed", "it is indented further than the lines above it, or holds a second `: `: align it, and put a value that holds `: ` into quotes"},
		{"unexpected end of stream", "a quote is opened there and never closed: close it"},
		{"did not find expected ','", "a bracket or brace is opened there and not closed, or a comma is missing: close it, or put commas between"},
		{"did not find expected key", "it does not line up with the lines above: give it the indentation of its neighbours, and look for an open quote or bracket before it"},
		{"could not find expected ':'", "it has no `: ` after its key: write it as `key: value`"},
		{"block sequence entries are not allowed", "a list cannot begin there: put `- ` on a line of its own below its key"},
		{"did not find expected '-' indicator", "it does not line up with the list above: begin it with `- `, or align it"},
		{"unknown anchor", "write the value out: aliases are not understood"},
	} {
		if strings.Contains(text, w.has) {
			text = w.says
			break
		}
	}
	if line == 0 {
		return fmt.Errorf("%w: %s", ErrConfig, unquoted(text))
	}
	if bytes.HasPrefix(bytes.TrimLeft(lineOf(data, line), " "), []byte("\t")) {
		text = "it is indented with a tab: use spaces"
	}
	return fmt.Errorf("%w: line %d: %s", ErrConfig, line, unquoted(text))
}

// badByte is where data is no text: bytes that are not UTF-8, and control characters; -1 where it is.
func badByte(data []byte) int {
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 || r < ' ' && r != '\n' && r != '\r' && r != '\t' {
			return i
		}
		i += n
	}
	return -1
}

// longestSearched is the number of lines in which the line of an error is looked for; the parser's own word counts beyond.
const longestSearched = 400

// breaks finds the line from which on a document cannot be read: the one after the longest beginning that can be. The parser
// often names the line of what encloses it. 0: not found.
func breaks(data []byte) int {
	lines := bytes.SplitAfter(data, []byte("\n"))
	if len(lines) > longestSearched || len(data) > 1<<16 {
		return 0
	}
	size := len(data)
	for k := len(lines); k > 0; k-- {
		size -= len(lines[k-1])
		var doc yaml.Node
		if err := yaml.NewDecoder(bytes.NewReader(data[:size])).Decode(&doc); err == nil || errors.Is(err, io.EOF) {
			return k
		}
	}
	return 0
}

func lineOf(data []byte, line int) []byte {
	for range line - 1 {
		_, data, _ = bytes.Cut(data, []byte("\n"))
	}
	out, _, _ := bytes.Cut(data, []byte("\n"))
	return out
}

// unquoted takes the quoted value out of a message of the parser, such as: cannot unmarshal !!str `abc` into int.
func unquoted(s string) string {
	from := strings.IndexByte(s, '`')
	to := strings.LastIndexByte(s, '`')
	if from >= 0 && to > from && strings.Contains(s, "unmarshal") {
		s = s[:from] + "value" + s[to+1:]
	}
	return strings.ReplaceAll(s, "cannot unmarshal", "wrong type: cannot read")
}

// fits reports whether the value n can be read as t, and says what to write where it cannot. It repeats nothing of the value.
func fits(n *yaml.Node, t reflect.Type, path string) error {
	if n.Tag == "!!null" {
		return nil
	}
	p := reflect.PointerTo(t)
	own := p.Implements(reflect.TypeFor[yaml.Unmarshaler]()) || p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
	if n.Kind == yaml.ScalarNode && t.Kind() == reflect.String && !own && regexp.MustCompile(`^\$(\{[A-Za-z_]\w*\}|[A-Z_][A-Z0-9_]*)$`).MatchString(n.Value) {
		return fmt.Errorf("line %d: %s: variables of the environment are not filled in: write the value itself, or fill in the file before the start", n.Line, path)
	}
	err := n.Decode(reflect.New(t).Interface())
	if err == nil {
		return nil
	}
	says := "write " + kindly(t)
	switch {
	case n.Kind == yaml.SequenceNode:
		says += ", not a list"
	case n.Kind == yaml.MappingNode:
		says += ", not `key: value` lines"
	case own:
		says = regexp.MustCompile(`^(?:yaml: )?(?:line \d+: )?`).ReplaceAllString(err.Error(), "")
	case t == reflect.TypeFor[time.Duration]() && n.Tag == "!!int":
		says = "the number has no unit: " + says
	}
	return fmt.Errorf("line %d: %s: %s", n.Line, path, says)
}

// kindly says how a value of a type is written.
func kindly(t reflect.Type) string {
	if t == reflect.TypeFor[time.Duration]() {
		return "a time with its unit, such as 30s, 15m or 1h30m"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number, such as 8"
	case reflect.Float32, reflect.Float64:
		return "a number, such as 0.5"
	case reflect.Slice, reflect.Array:
		return "a list, such as [a, b]"
	case reflect.Map, reflect.Struct:
		return "`key: value` lines"
	}
	return "one value"
}

func unknown(key *yaml.Node, path string, fields map[string]reflect.Type) error {
	hint, best := "", 1+len(key.Value)/2
	var names []string
	for name := range fields {
		names = append(names, name)
		if d := distance(key.Value, name); d < best || d == best && hint != "" && name < hint {
			best, hint = d, name
		}
	}
	if slices.Sort(names); hint != "" {
		hint = fmt.Sprintf(": did you mean %q?", hint)
	} else {
		hint = ": remove it, or write one of " + strings.Join(names, ", ")
	}
	return fmt.Errorf("line %d: unknown key %q in %s%s", key.Line, clip(key.Value), within(path), hint)
}

func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}

// distance is the number of letters to change, insert or remove to make b of a (Levenshtein 1966).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := last
			if a[i] != b[j] {
				cost++
			}
			last = row[j+1]
			row[j+1] = min(cost, row[j]+1, last+1)
		}
	}
	return row[len(b)]
}
