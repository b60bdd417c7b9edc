package store

import (
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"
)

// The longest texts of indexed columns, in bytes: PostgreSQL indexes hold no more than some 2,700 for all columns together.
const (
	MaxKey  = 1000
	MaxWord = 400
)

// Columns ties the columns of a table to the fields of one struct. A function that names them all is the only place where a
// struct's mapping stands: it serves reading and writing.
type Columns struct {
	names []string
	cells []cell
}

// cell reads and writes one field.
type cell interface {
	sql.Scanner
	value() (any, error)
}

func (c *Columns) add(name string, x cell) {
	c.names = append(c.names, name)
	c.cells = append(c.cells, x)
}

// dest gives the targets of a Scan.
func (c *Columns) dest() []any {
	out := make([]any, 0, len(c.cells)+1)
	for _, x := range c.cells {
		out = append(out, x)
	}
	return out
}

// args appends the fields' values to out.
func (c *Columns) args(out []any) ([]any, error) {
	for i, x := range c.cells {
		v, err := x.value()
		if err != nil {
			return out, fmt.Errorf("%w: %s: %w", ErrInvalid, c.names[i], err)
		}
		out = append(out, v)
	}
	return out, nil
}

// Key ties a text that identifies something: it must not be empty, nor longer than MaxKey, and is kept exactly.
func (c *Columns) Key(name string, p *string) { c.add(name, &text{p, MaxKey, exact}) }

// Ref ties the key of something else, which may be empty.
func (c *Columns) Ref(name string, p *string) { c.add(name, &text{p, MaxKey, optional}) }

// Word ties an indexed text; what goes beyond MaxWord bytes is cut.
func (c *Columns) Word(name string, p *string) { c.add(name, &text{p, MaxWord, cut}) }

// Value ties a field by its type: texts of any length, numbers (what is not finite is kept as 0), truth values, times in
// milliseconds, times that may be missing, bytes, JSON that is kept as it is, and any other slice as JSON. Nil bytes and slices
// are read back as empty. It panics at any other type.
func (c *Columns) Value(name string, p any) {
	switch p := p.(type) {
	case *string:
		c.add(name, &text{p, math.MaxInt, cut})
	case *int:
		c.add(name, &integer[int]{p})
	case *int64:
		c.add(name, &integer[int64]{p})
	case *time.Duration:
		c.add(name, &integer[time.Duration]{p})
	case *float64:
		c.add(name, &float{p})
	case *bool:
		c.add(name, &boolean{p})
	case *time.Time:
		c.add(name, &stamp{p})
	case **time.Time:
		c.add(name, &maybe{p})
	case *[]byte:
		c.add(name, &blob{p})
	case *json.RawMessage:
		c.add(name, &raw{p})
	default:
		switch v := reflect.ValueOf(p).Elem(); v.Kind() {
		case reflect.String:
			c.add(name, &named{v})
		case reflect.Slice:
			c.add(name, &list{v})
		default:
			panic("no column holds a " + v.Type().String())
		}
	}
}

// Known ties a time whose zero means that it is not known.
func (c *Columns) Known(name string, p *time.Time) { c.add(name, &known{p}) }

// Derived ties a column that follows from the other fields: it is written, and what is read of it is dropped.
func (c *Columns) Derived(name string, value func() any) { c.add(name, derived(value)) }

// Clean makes s storable in both forms: what is not UTF-8, and NUL, become U+FFFD.
func Clean(s string) string {
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "\uFFFD")
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// Storable reports whether s can be a key as it is.
func Storable(s string) bool {
	return s != "" && len(s) <= MaxKey && strings.IndexByte(s, 0) < 0 && utf8.ValidString(s)
}

// Cut gives the beginning of s that has n bytes at most and ends at the end of a character.
func Cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

type rule uint8

const (
	exact rule = iota
	optional
	cut
)

type text struct {
	p    *string
	max  int
	rule rule
}

func (x *text) Scan(src any) (err error) {
	*x.p, err = str(src)
	return err
}

func (x *text) value() (any, error) {
	switch {
	case x.rule == cut:
		return Cut(Clean(*x.p), x.max), nil
	case *x.p == "" && x.rule == optional, Storable(*x.p):
		return *x.p, nil
	case *x.p == "":
		return nil, errors.New("must be given")
	case len(*x.p) > x.max:
		return nil, fmt.Errorf("is longer than %d bytes", x.max)
	}
	return nil, errors.New("is not UTF-8 text, or holds a NUL")
}

type named struct{ v reflect.Value }

func (x *named) Scan(src any) error {
	s, err := str(src)
	x.v.SetString(s)
	return err
}

func (x *named) value() (any, error) { return Clean(x.v.String()), nil }

func str(src any) (string, error) {
	switch v := src.(type) {
	case string:
		return v, nil
	case []byte:
		return string(v), nil
	}
	return "", mismatch("text", src)
}

func mismatch(want string, src any) error {
	return fmt.Errorf("the database holds %T in place of %s", src, want)
}

func whole(src any) (int64, error) {
	if v, ok := src.(int64); ok {
		return v, nil
	}
	return 0, mismatch("a whole number", src)
}

type integer[T ~int | ~int64] struct{ p *T }

func (x *integer[T]) Scan(src any) error {
	n, err := whole(src)
	*x.p = T(n)
	return err
}

func (x *integer[T]) value() (any, error) { return int64(*x.p), nil }

type float struct{ p *float64 }

func (x *float) Scan(src any) error {
	switch v := src.(type) {
	case float64:
		*x.p = v
	case int64:
		*x.p = float64(v)
	default:
		return mismatch("a number", src)
	}
	return nil
}

func (x *float) value() (any, error) {
	if math.IsNaN(*x.p) || math.IsInf(*x.p, 0) {
		return 0.0, nil
	}
	return *x.p, nil
}

type boolean struct{ p *bool }

func (x *boolean) Scan(src any) error {
	switch v := src.(type) {
	case bool:
		*x.p = v
	case int64:
		*x.p = v != 0
	default:
		return mismatch("a truth value", src)
	}
	return nil
}

func (x *boolean) value() (any, error) { return *x.p, nil }

type stamp struct{ p *time.Time }

func (x *stamp) Scan(src any) error {
	n, err := whole(src)
	*x.p = time.UnixMilli(n).UTC()
	return err
}

func (x *stamp) value() (any, error) { return x.p.UnixMilli(), nil }

type maybe struct{ p **time.Time }

func (x *maybe) Scan(src any) error {
	if src == nil {
		*x.p = nil
		return nil
	}
	n, err := whole(src)
	t := time.UnixMilli(n).UTC()
	*x.p = &t
	return err
}

func (x *maybe) value() (any, error) {
	if *x.p == nil {
		return nil, nil
	}
	return (*x.p).UnixMilli(), nil
}

type known struct{ p *time.Time }

func (x *known) Scan(src any) error {
	var t *time.Time
	err := (&maybe{&t}).Scan(src)
	if *x.p = (time.Time{}); t != nil {
		*x.p = *t
	}
	return err
}

func (x *known) value() (any, error) {
	if x.p.IsZero() {
		return nil, nil
	}
	return x.p.UnixMilli(), nil
}

type blob struct{ p *[]byte }

func (x *blob) Scan(src any) error {
	v, ok := src.([]byte)
	if !ok && src != nil {
		return mismatch("bytes", src)
	}
	*x.p = append([]byte{}, v...)
	return nil
}

func (x *blob) value() (any, error) {
	if *x.p == nil {
		return []byte{}, nil
	}
	return *x.p, nil
}

type raw struct{ p *json.RawMessage }

func (x *raw) Scan(src any) error {
	s, err := str(src)
	*x.p = nil
	if s != "" {
		*x.p = json.RawMessage(s)
	}
	return err
}

func (x *raw) value() (any, error) {
	if len(*x.p) > 0 && !json.Valid(*x.p) {
		return nil, errors.New("is not JSON")
	}
	return Clean(string(*x.p)), nil
}

type list struct{ v reflect.Value }

func (x *list) Scan(src any) error {
	s, err := str(src)
	if err != nil {
		return err
	}
	x.v.Set(reflect.MakeSlice(x.v.Type(), 0, 0))
	if s == "[]" {
		return nil
	}
	if err := json.Unmarshal([]byte(s), x.v.Addr().Interface()); err != nil {
		return fmt.Errorf("the database holds a list that cannot be read: %w", err)
	}
	return nil
}

func (x *list) value() (any, error) {
	if x.v.Len() == 0 {
		return "[]", nil
	}
	b, err := json.Marshal(x.v.Interface())
	return string(b), err
}

type derived func() any

func (x derived) Scan(any) error { return nil }

func (x derived) value() (any, error) { return x(), nil }

// Hex ties binary data that is looked up: it is kept as hexadecimal text.
func (c *Columns) Hex(name string, p *[]byte) { c.add(name, &hexed{p}) }

type hexed struct{ p *[]byte }

func (x *hexed) Scan(src any) error {
	s, err := str(src)
	if err == nil {
		*x.p, err = hex.DecodeString(s)
	}
	return err
}

func (x *hexed) value() (any, error) { return hex.EncodeToString(*x.p), nil }
