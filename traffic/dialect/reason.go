package dialect

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// Missing is the error of a record that lacks a required field.
func Missing(field string) error { return fmt.Errorf("%w %q", ErrMissing, field) }

// WrongType is the error of a field that does not hold what its name promises. Want is the expected type in words.
func WrongType(field, want string) error {
	return fmt.Errorf("%w %q: want %s", ErrType, field, want)
}

// WrongTime is the error of a time that cannot be read.
func WrongTime(field string) error { return fmt.Errorf("%w %q", ErrTime, field) }

// Syntax is the error of a line that stops being JSON at byte at, counted from 0.
func Syntax(at int, what string) error {
	return fmt.Errorf("%w at byte %d: %s", ErrSyntax, at, what)
}

// CheckUTF8 returns nil when line is valid UTF-8, else an error that names the first bad byte.
func CheckUTF8(line []byte) error {
	if utf8.Valid(line) {
		return nil
	}
	at := 0
	for at < len(line) {
		r, n := utf8.DecodeRune(line[at:])
		if r == utf8.RuneError && n <= 1 {
			break
		}
		at += n
	}
	return fmt.Errorf("%w at byte %d", ErrUTF8, at)
}

// Left returns the error of a line of which some records were left out: nil for none, the first reason, or the first
// reason with the number of the others. Omitted tells how many there were.
func Left(reasons []error) error {
	switch len(reasons) {
	case 0:
		return nil
	case 1:
		return reasons[0]
	}
	return &omission{reasons[0], len(reasons)}
}

// omission is the error of several records left out.
type omission struct {
	first error
	n     int
}

func (o *omission) Error() string {
	return fmt.Sprintf("%v; %d more records of this line were left out", o.first, o.n-1)
}

func (o *omission) Unwrap() error { return o.first }

// Omitted returns how many records an error of Decode stands for: 0 for nil, 1 for a line that could not be read.
func Omitted(err error) int {
	var o *omission
	switch {
	case err == nil:
		return 0
	case errors.As(err, &o):
		return o.n
	}
	return 1
}

// IsReason reports whether err is one of this package's reasons, as opposed to an error that emit returned.
func IsReason(err error) bool {
	for _, e := range []error{ErrSyntax, ErrUTF8, ErrMissing, ErrType, ErrTime, ErrKind, ErrTooLong} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
