package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Bounds of a request body.
const (
	MaxDepth   = 256     // how deep it may nest; common parsers of Python stop near 1,000, some earlier
	MaxValues  = 1 << 19 // values in all; token ids count one each
	MaxMembers = 512     // top-level members
)

// Span is the bytes [Start, End) of a body.
type Span struct{ Start, End int }

// Of returns the bytes of s in body, which share body's memory.
func (s Span) Of(body []byte) []byte { return body[s.Start:s.End] }

// Len is the number of bytes.
func (s Span) Len() int { return s.End - s.Start }

// Member is one member of a JSON object, or one element of an array, whose Name is then empty and At starts at Value.
type Member struct {
	Name  string // without escapes
	At    Span   // from the name's first quote to the value's last byte
	Value Span
	Kind  jsontext.Kind // of the value: '{' '[' '"' '0' 't' 'f' 'n'
}

// Document is a JSON object that can be read in one way only, by the places of its members.
type Document struct {
	Body    []byte
	Members []Member
	open    int // just behind the opening brace

	buf bytes.Buffer
	dec *jsontext.Decoder
}

// Read checks body strictly and lists its members. Refused are duplicate names at any depth (after escapes are
// resolved), invalid UTF-8 and lone surrogates, a byte order mark, a second value, depth beyond MaxDepth and anything
// that RFC 8259 does not allow. The document refers to body, which nobody may change while it is in use; the memory of
// an earlier Read is reused. Errors name the byte and quote nothing.
func (d *Document) Read(body []byte) error {
	d.Body, d.Members, d.open = body, d.Members[:0], 0
	d.buf = *bytes.NewBuffer(body)
	if d.dec == nil {
		d.dec = jsontext.NewDecoder(&d.buf)
	} else {
		d.dec.Reset(&d.buf)
	}
	if err := bounds(body); err != nil {
		return err
	}
	dec := d.dec
	switch dec.PeekKind() {
	case '{':
	case jsontext.KindInvalid:
		_, err := dec.ReadToken()
		return reason(err)
	default:
		if err := dec.SkipValue(); err != nil {
			return reason(err)
		}
		return ErrObject
	}
	if _, err := dec.ReadToken(); err != nil {
		return reason(err)
	}
	d.open = int(dec.InputOffset())
	for dec.PeekKind() != '}' {
		var m Member
		name, err := dec.ReadValue()
		if err != nil {
			return reason(err)
		}
		m.At.Start = int(dec.InputOffset()) - len(name)
		if m.Name, err = unquote(name); err != nil {
			return reason(err)
		}
		value, err := dec.ReadValue()
		if err != nil {
			return reason(err)
		}
		m.At.End = int(dec.InputOffset())
		m.Value, m.Kind = Span{m.At.End - len(value), m.At.End}, value.Kind()
		if d.Members = append(d.Members, m); len(d.Members) > MaxMembers {
			return fmt.Errorf("%w: more than %d at the top level", ErrMany, MaxMembers)
		}
	}
	if _, err := dec.ReadToken(); err != nil {
		return reason(err)
	}
	if _, err := dec.ReadToken(); err == nil || !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w at byte %d", ErrTrailing, dec.InputOffset())
	}
	return nil
}

// Find returns the index of the member of that name, or -1.
func (d *Document) Find(name string) int {
	for i := range d.Members {
		if d.Members[i].Name == name {
			return i
		}
	}
	return -1
}

// bounds refuses a body that is too deep or has too many values before anything else looks at it, so that what follows
// needs memory in proportion to what honest requests need.
func bounds(body []byte) error {
	depth, values := 0, 0
	for i := 0; i < len(body); i++ {
		switch body[i] {
		case '{', '[':
			if depth++; depth > MaxDepth {
				return fmt.Errorf("%w: more than %d levels at byte %d", ErrDepth, MaxDepth, i)
			}
		case '}', ']':
			depth--
		case ',':
			if values++; values > MaxValues {
				return fmt.Errorf("%w: more than %d at byte %d", ErrMany, MaxValues, i)
			}
		case '"':
			i = stringEnd(body, i+1)
		}
	}
	return nil
}

// stringEnd returns the index of the quote that ends a string whose content starts at i, or len(b).
func stringEnd(b []byte, i int) int {
	if i >= len(b) {
		return len(b)
	}
	esc := false
	n, _ := run(b[i:], &esc)
	return i + n
}

func unquote(quoted []byte) (string, error) {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return intern(quoted[1 : len(quoted)-1]), nil
	}
	b, err := jsontext.AppendUnquote(nil, quoted)
	return string(b), err
}

// intern returns b as a string, without allocating for the names that fill conversations.
func intern(b []byte) string {
	switch string(b) {
	case "role":
		return "role"
	case "content":
		return "content"
	case "type":
		return "type"
	case "text":
		return "text"
	case "user":
		return "user"
	case "assistant":
		return "assistant"
	case "tool_calls":
		return "tool_calls"
	case "tool_call_id":
		return "tool_call_id"
	case "model":
		return "model"
	case "messages":
		return "messages"
	case "input":
		return "input"
	case "stream":
		return "stream"
	case "max_tokens":
		return "max_tokens"
	case "temperature":
		return "temperature"
	case "tools":
		return "tools"
	}
	return string(b)
}

// Unquote returns the text of a valid JSON string.
func Unquote(quoted []byte) string {
	s, err := unquote(quoted)
	if err != nil {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	return s
}

// reason translates the parser's error, which may quote a name, into one that does not.
func reason(err error) error {
	why := ErrSyntax
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		why = ErrDuplicate
	case strings.Contains(err.Error(), "UTF-8") || strings.Contains(err.Error(), "surrogate"):
		why = ErrUTF8
	}
	var at *jsontext.SyntacticError
	if errors.As(err, &at) {
		return fmt.Errorf("%w at byte %d", why, at.ByteOffset)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends too early", why)
	}
	return why
}

// Parts lists the members of an object or the elements of an array that stand at s in a body that was read before.
// A value of another kind has none.
func Parts(into []Member, body []byte, s Span) []Member {
	if s.Len() < 2 || body[s.Start] != '{' && body[s.Start] != '[' {
		return into
	}
	object := body[s.Start] == '{'
	for i := s.Start + 1; ; {
		for i < s.End && (space(body[i]) || body[i] == ',') {
			i++
		}
		if i >= s.End-1 {
			return into
		}
		m := Member{At: Span{Start: i}}
		if object {
			end := valueEnd(body, i)
			m.Name = Unquote(body[i:end])
			for i = end; space(body[i]) || body[i] == ':'; i++ {
			}
		}
		end := valueEnd(body, i)
		m.Value, m.At.End, m.Kind = Span{i, end}, end, jsontext.Value(body[i:end]).Kind()
		into = append(into, m)
		i = end
	}
}

// valueEnd returns the end of the valid JSON value that starts at i.
func valueEnd(b []byte, i int) int {
	nest := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			i = stringEnd(b, i+1) + 1
		case '{', '[':
			nest++
			i++
		case '}', ']':
			if nest == 0 {
				return i
			}
			nest--
			i++
		case ',', ' ', '\t', '\n', '\r', ':':
			if nest == 0 {
				return i
			}
			i++
			continue
		default:
			for i < len(b) && !delimiter(b[i]) {
				i++
			}
		}
		if nest == 0 {
			return i
		}
	}
	return len(b)
}

func space(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

func delimiter(c byte) bool {
	return space(c) || c == ',' || c == ':' || c == '}' || c == ']' || c == '{' || c == '[' || c == '"'
}

// Trim returns the span of body without white space around it.
func Trim(body []byte) Span {
	s := Span{0, len(body)}
	for s.Start < s.End && space(body[s.Start]) {
		s.Start++
	}
	for s.End > s.Start && space(body[s.End-1]) {
		s.End--
	}
	return s
}
