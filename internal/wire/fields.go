package wire

import (
	"fmt"
	"math"
	"strconv"
	"unicode"
	"unicode/utf8"
)

// Shape is what the value of a field has to be. Null is always allowed and means that the field is absent.
type Shape uint8

// The shapes.
const (
	Any      Shape = iota // anything; not read
	Flag                  // true or false; true asks
	FlagOff               // true or false; false asks, as true is the default
	Whole                 // a whole number; negative means all there is
	Above                 // a whole number; asks when above 1
	FlagSize              // a flag, or a whole number where the endpoint has it so
	Entries               // an object, array or string; asks when not empty
	Set                   // anything; asks when it is there
	Limit                 // a whole number that limits output tokens
)

// Field is a top-level field of a dialect.
type Field struct {
	Name    string
	Feature Feature // or zero
	Shape   Shape
	Top     bool // refused within a container, even where no server unfolds it: what is decided by it must be plain
}

// Fields is the table of a dialect's fields. It never changes and is safe for concurrent use.
type Fields struct {
	exact      map[string]Field
	folded     map[string]string
	containers map[string]bool
}

// NewFields makes a table. Containers are fields that some upstreams unfold into the request.
func NewFields(rows []Field, containers []string) *Fields {
	f := &Fields{exact: map[string]Field{}, folded: map[string]string{}, containers: map[string]bool{}}
	for _, r := range rows {
		f.exact[r.Name] = r
		f.folded[string(fold(nil, r.Name))] = r.Name
	}
	for _, c := range containers {
		f.containers[c] = true
		f.folded[string(fold(nil, c))] = c
	}
	return f
}

// fold drops what parsers that match names loosely do not look at: letter case, underscores and hyphens.
func fold(into []byte, name string) []byte {
	for _, c := range name {
		switch {
		case c == '_' || c == '-':
		case c < utf8.RuneSelf:
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			into = append(into, byte(c))
		default: // the smallest of the runes that fold together: ASCII for the Kelvin sign and the long s
			least := c
			for r := unicode.SimpleFold(c); r != c; r = unicode.SimpleFold(r) {
				least = min(least, r)
			}
			into = utf8.AppendRune(into, unicode.ToLower(least))
		}
	}
	return into
}

// Take reads the top-level members of r by the table: the model, stream, limits and all asks. The dialect reads what
// lies deeper.
func (f *Fields) Take(r *Request) error {
	for i := range r.Members {
		m := &r.Members[i]
		row, known := f.exact[m.Name]
		if known {
			if err := r.take(row, i, m, false); err != nil {
				return err
			}
			continue
		}
		if f.containers[m.Name] {
			if err := f.nested(r, i, m.Value); err != nil {
				return err
			}
			continue
		}
		if err := f.spelling(m.Name); err != nil {
			return err
		}
		r.Unknown = append(r.Unknown, i)
	}
	return nil
}

// spelling refuses a name that a lenient parser takes for one of the table's.
func (f *Fields) spelling(name string) error {
	var buf [64]byte
	if len(name) > len(buf)-4 {
		return nil
	}
	if is, ok := f.folded[string(fold(buf[:0], name))]; ok {
		return &FieldError{Field: is, Err: ErrSpelling, Do: "write it exactly so"}
	}
	return nil
}

// nested reads the fields of a container as if they stood outside.
func (f *Fields) nested(r *Request, member int, at Span) error {
	parts := r.Parts(0, at)
	for k := range parts {
		m := &parts[k]
		row, known := f.exact[m.Name]
		if !known {
			if err := f.spelling(m.Name); err != nil {
				return err
			}
			continue
		}
		if row.Top || row.Feature == 0 && row.Shape != Any {
			return &FieldError{Field: row.Name, Err: ErrPlace, Do: "move it to the top level of the request"}
		}
		if err := r.take(row, member, m, true); err != nil {
			return err
		}
	}
	return nil
}

func (r *Request) take(row Field, member int, m *Member, nested bool) error {
	if m.Kind == 'n' || row.Shape == Any {
		return nil
	}
	ask := Ask{Feature: row.Feature, Name: row.Name, Member: member, Value: m.Value, Nested: nested, Count: 1}
	if nested {
		ask.Within = m.At
	}
	shape := row.Shape
	if shape == FlagSize {
		if shape = Whole; r.Endpoint != Completions || m.Kind == 't' || m.Kind == 'f' {
			shape = Flag
		}
	}
	switch shape {
	case Flag, FlagOff:
		if m.Kind != 't' && m.Kind != 'f' {
			return WrongType(row.Name, "true or false")
		}
		if (m.Kind == 't') != (shape == Flag) {
			return nil
		}
		if row.Name == "stream" {
			r.Stream = true
		}
	case Whole, Above, Limit:
		n, ok := Integer(m.Value.Of(r.Body))
		if !ok {
			return WrongType(row.Name, "a whole number")
		}
		if shape == Limit {
			if n < 0 {
				n = math.MaxInt32
			}
			r.MaxTokens = max(r.MaxTokens, n)
			return nil
		}
		if ask.Count = n; n < 0 {
			ask.Count = math.MaxInt32
		}
		if shape == Above {
			r.Answers = max(r.Answers, ask.Count)
			if n >= 0 && n <= 1 {
				return nil
			}
		}
	case Entries:
		if ask.Count = r.entries(m); ask.Count == 0 {
			return nil
		}
	}
	if row.Feature != 0 {
		r.Asks = append(r.Asks, ask)
	}
	return nil
}

// entries counts the entries of a list or an object; any other value counts as one.
func (r *Request) entries(m *Member) int64 {
	switch m.Kind {
	case '{', '[':
		return int64(len(r.Parts(1, m.Value)))
	case '"':
		return int64(min(m.Value.Len()-2, 1))
	}
	return 1
}

// Integer reads a JSON number that stands for a whole number exactly, such as 5, 5.0 or 5e0.
func Integer(b []byte) (int64, bool) {
	if len(b) == 0 || b[0] != '-' && b[0]-'0' > 9 {
		return 0, false
	}
	var n int64
	for i, c := range b {
		if c-'0' > 9 || i >= 18 {
			f, err := strconv.ParseFloat(string(b), 64)
			return int64(f), err == nil && f == math.Trunc(f) && math.Abs(f) <= 1<<53
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// FieldError is an error about one field.
type FieldError struct {
	Field string // as documented, never as sent
	Err   error  // of this package
	Do    string // what to do
}

// Error implements error.
func (e *FieldError) Error() string { return fmt.Sprintf("%v %q: %s", e.Err, e.Field, e.Do) }

// Unwrap returns the reason.
func (e *FieldError) Unwrap() error { return e.Err }

// WrongType is the error of a field that does not hold what its name promises. Want is the expected type in words.
func WrongType(field, want string) error {
	return &FieldError{Field: field, Err: ErrType, Do: "want " + want}
}
