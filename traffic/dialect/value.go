package dialect

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unsafe"

	"github.com/valyala/fastjson"
	"github.com/zeebo/xxh3"

	"github.com/palladium-guard/palladium"
)

// Parse reads a line of JSON with p. The values, and the strings taken from them, are valid until p parses again.
// Errors say where the line is wrong and quote nothing of it.
func Parse(p *fastjson.Parser, line []byte) (*fastjson.Value, error) {
	if len(line) > MaxLine {
		return nil, ErrTooLong
	}
	if err := CheckUTF8(line); err != nil {
		return nil, err
	}
	v, err := p.ParseBytes(line)
	if err == nil {
		return v, nil
	}
	// The parser's own error quotes the line, so the place is found by another one.
	var raw json.RawMessage
	var bad *json.SyntaxError
	if errors.As(json.Unmarshal(line, &raw), &bad) {
		return nil, Syntax(int(bad.Offset), "unexpected byte or end")
	}
	return nil, fmt.Errorf("%w: nested too deep", ErrSyntax)
}

// Text returns the string that v holds, empty when it holds anything else.
func Text(v *fastjson.Value) string {
	if v == nil || v.Type() != fastjson.TypeString {
		return ""
	}
	b := v.GetStringBytes()
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// Number returns the number that v holds, as such or in a string.
func Number(v *fastjson.Value) (float64, bool) {
	if v == nil {
		return 0, false
	}
	var f float64
	var err error
	switch v.Type() {
	case fastjson.TypeNumber:
		f, err = v.Float64()
	case fastjson.TypeString:
		f, err = strconv.ParseFloat(Text(v), 64)
	default:
		return 0, false
	}
	return f, err == nil && !math.IsNaN(f) && !math.IsInf(f, 0)
}

// Whole returns the integer that v holds, as such or in a string.
func Whole(v *fastjson.Value) (int64, bool) {
	if s := Text(v); s != "" {
		n, err := strconv.ParseInt(s, 10, 64)
		return n, err == nil
	}
	if v != nil && v.Type() == fastjson.TypeNumber {
		if n, err := v.Int64(); err == nil {
			return n, true
		}
	}
	f, ok := Number(v)
	return int64(f), ok && math.Abs(f) <= 1<<53 && f == math.Trunc(f)
}

// Texts appends the strings of an array, or the one string that stands in its place.
func Texts(into []string, v *fastjson.Value) []string {
	if s := Text(v); s != "" {
		return append(into, s)
	}
	for _, e := range v.GetArray() {
		if e.Type() == fastjson.TypeString {
			into = append(into, Text(e))
		}
	}
	return into
}

// Digest is a digest of a value that is not text: equal for equal values.
func Digest(v *fastjson.Value) string {
	return "xxh3:" + strconv.FormatUint(xxh3.Hash(v.MarshalTo(nil)), 16)
}

// Turn appends one turn of a conversation, in any of the shapes in which APIs have its content: a string; an array
// of parts, each a string or an object with its text in "text" or, as OpenTelemetry has it, in "content". Texts of
// one turn are joined with a line break and come first; each other part follows as a digest.
func Turn(into []palladium.Message, role string, content *fastjson.Value) []palladium.Message {
	if content == nil {
		return append(into, palladium.Message{Role: role})
	}
	if content.Type() != fastjson.TypeArray {
		if text, ok := partText(content); ok {
			return append(into, palladium.Message{Role: role, Text: text})
		}
		if content.Type() == fastjson.TypeNull {
			return append(into, palladium.Message{Role: role})
		}
		return append(into, palladium.Message{Role: role, Digest: Digest(content)})
	}
	text, some := joined(content)
	if some {
		into = append(into, palladium.Message{Role: role, Text: text})
	}
	for _, part := range content.GetArray() {
		if _, ok := partText(part); !ok {
			some = true
			into = append(into, palladium.Message{Role: role, Digest: Digest(part)})
		}
	}
	if !some {
		into = append(into, palladium.Message{Role: role})
	}
	return into
}

func partText(part *fastjson.Value) (string, bool) {
	switch part.Type() {
	case fastjson.TypeString:
		return Text(part), true
	case fastjson.TypeObject:
		kind := Text(part.Get("type"))
		if kind != "" && kind != "text" && kind != "input_text" && kind != "output_text" {
			return "", false
		}
		for _, name := range []string{"text", "content"} {
			if v := part.Get(name); v != nil && v.Type() == fastjson.TypeString {
				return Text(v), true
			}
		}
	}
	return "", false
}

// Joined returns the texts of content, which has one of the shapes of Turn, without the parts that are not text.
func Joined(content *fastjson.Value) string {
	if content == nil {
		return ""
	}
	if content.Type() != fastjson.TypeArray {
		text, _ := partText(content)
		return text
	}
	text, _ := joined(content)
	return text
}

// joined joins the texts of an array of parts and reports whether there are any. One text alone is not copied.
func joined(parts *fastjson.Value) (string, bool) {
	var l Lines
	for _, part := range parts.GetArray() {
		if text, ok := partText(part); ok {
			l.Add(text)
		}
	}
	return l.String(), l.n > 0
}

// Lines joins texts with line breaks, without copying a text that stays alone.
type Lines struct {
	n     int
	first string
	rest  strings.Builder
}

// Add appends a text.
func (l *Lines) Add(text string) {
	l.n++
	if l.n == 1 {
		l.first = text
		return
	}
	if l.n == 2 {
		l.rest.WriteString(l.first)
	}
	l.rest.WriteByte('\n')
	l.rest.WriteString(text)
}

// String returns what was added.
func (l *Lines) String() string {
	if l.n < 2 {
		return l.first
	}
	return l.rest.String()
}

// SplitSystem takes the system and developer turns from the head of a conversation, which some APIs put there, and
// returns their texts and the rest.
func SplitSystem(turns []palladium.Message) (string, []palladium.Message) {
	var system Lines
	n := 0
	for n < len(turns) && (turns[n].Role == "system" || turns[n].Role == "developer") {
		system.Add(turns[n].Text)
		n++
	}
	return system.String(), turns[:copy(turns, turns[n:])]
}

// UnixMilli turns a Unix time in seconds, milliseconds, microseconds or nanoseconds, told apart by its size, into
// milliseconds; ok is false outside the years 1970 to 5138.
func UnixMilli(t float64) (ms int64, ok bool) {
	const most = 1e11 // seconds; as milliseconds it is in 1973, before there was anything to log
	if !(t > 0) {
		return 0, false
	}
	for _, unit := range []float64{1e3, 1, 1e-3, 1e-6} {
		if t*unit < most*1e3 {
			return int64(math.Round(t * unit)), true
		}
	}
	return 0, false
}
