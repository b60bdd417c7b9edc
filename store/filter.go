package store

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Filter is one condition that somebody asks for by name. Ops: is, not and in for all; begins and has for text; from
// (inclusive) and to (exclusive) for times and numbers. A time stands in Values in RFC 3339, a number in decimal.
type Filter struct {
	Field, Op string
	Values    []string // one; for in, up to 100
}

// Field is what a filter may name.
type Field struct {
	Column string
	Kind   byte   // s text, i whole number, t time
	Within string // for rows that another table refers to: "id IN (SELECT account FROM members WHERE %s)"
}

// maxValues bounds the values of one filter.
const maxValues = 100

// Filter adds the conditions of filters, or gives an ErrInvalid that names the first that is wrong.
func (w *Where) Filter(fields map[string]Field, filters []Filter) error {
	for i, f := range filters {
		if err := w.filter(fields, f); err != nil {
			return fmt.Errorf("%w: filter %d, %.40q %.40q: %w", ErrInvalid, i+1, f.Field, f.Op, err)
		}
	}
	return nil
}

func (w *Where) filter(fields map[string]Field, f Filter) error {
	field, ok := fields[f.Field]
	if !ok {
		return errors.New("there is no such field")
	}
	if len(f.Values) == 0 || len(f.Values) > maxValues || f.Op != "in" && len(f.Values) != 1 {
		return fmt.Errorf("give one value, or for in up to %d", maxValues)
	}
	args := make([]any, len(f.Values))
	for i, v := range f.Values {
		var err error
		if args[i], err = field.value(v); err != nil {
			return err
		}
	}
	not := ""
	if field.Within != "" && f.Op == "not" {
		not, f.Op = "NOT ", "is"
	}
	cond, args, err := field.condition(f.Op, args)
	if err != nil {
		return err
	}
	if field.Within != "" {
		cond = not + fmt.Sprintf(field.Within, cond)
	}
	w.And("("+cond+")", args...)
	return nil
}

func (f Field) value(s string) (any, error) {
	switch f.Kind {
	case 'i':
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return nil, errors.New("write a whole number")
		}
		return n, nil
	case 't':
		t, err := time.Parse(time.RFC3339, s)
		if err != nil {
			return nil, errors.New("write a time such as 2026-05-04T00:00:00Z")
		}
		return t.UnixMilli(), nil
	}
	return s, nil
}

func (f Field) condition(op string, args []any) (string, []any, error) {
	c := f.Column
	switch {
	case op == "is":
		return c + " = ?", args, nil
	case op == "not":
		return c + " <> ?", args, nil
	case op == "in":
		return c + " IN (?" + strings.Repeat(", ?", len(args)-1) + ")", args, nil
	case f.Kind != 's' && op == "from":
		return c + " >= ?", args, nil
	case f.Kind != 's' && op == "to":
		return c + " < ?", args, nil
	case f.Kind == 's' && op == "begins":
		s := args[0].(string)
		return c + " >= ? AND " + c + " < ?", []any{s, s + last}, nil
	case f.Kind == 's' && op == "has":
		return "lower(" + c + ") LIKE ? ESCAPE '!'", []any{Like(args[0].(string))}, nil
	case f.Kind == 's':
		return "", nil, errors.New("the operators are is, not, in, begins, has")
	}
	return "", nil, errors.New("the operators are is, not, in, from, to")
}

// last follows a prefix in the text that stands after all texts that begin with it.
const last = "\U0010FFFF"
