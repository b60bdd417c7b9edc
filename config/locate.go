package config

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"
)

// Locate puts the line of the file before each error of a section's check: that of the value whose name the error begins with, or
// of the nearest thing around it. Errors about what the file does not hold are left as they are.
func (t *Trail) Locate(err error) error {
	if err == nil {
		return nil
	}
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		var out []error
		var said []string
		for _, e := range all.Unwrap() {
			out = append(out, t.Locate(e))
			said = append(said, e.Error())
		}
		if strings.Join(said, "\n") == err.Error() { // errors.Join, and no words around it
			return errors.Join(out...)
		}
	}
	text := err.Error()
	if strings.HasPrefix(text, "line ") {
		return err
	}
	at := t.named(text)
	if line, ok := strings.CutPrefix(t.from[at], "line "); ok && at != "" {
		return fmt.Errorf("line %s: %w", line, err)
	}
	return err
}

// named is the path of the value that an error begins with, as in: taps.kafka: drain must not be negative.
func (t *Trail) named(text string) (path string) {
	if m := regexp.MustCompile(`^(\w+)[ \w]* refused: `).FindStringSubmatch(text); m != nil {
		text = text[len(m[0]):]
		if _, ok := t.from[m[1]]; ok {
			path = m[1]
		}
	}
	word := regexp.MustCompile(`^(?:two |a |set (?:both )?)?([a-z_0-9.]+)(?: (\d+))?(?: "[^"]*")?:? *`)
	for {
		m := word.FindStringSubmatch(text)
		if m == nil {
			return path
		}
		next := ""
		for _, p := range []string{under(path, m[1]), m[1], under(path, m[1]+"s")} {
			if _, ok := t.from[p]; ok && (path == "" || strings.HasPrefix(p, path)) {
				next = p
				break
			}
		}
		if next == "" || next == path {
			return path
		}
		if m[2] != "" {
			if p := next + "[" + m[2] + "]"; t.from[p] != "" {
				next = p
			}
		}
		path, text = next, text[len(m[0]):]
	}
}

// Texts calls f with every text that f's file holds and that is not empty, with its path and where it comes from.
func (t *Trail) Texts(file *File, f func(path, value, source string)) {
	walk(reflect.ValueOf(file).Elem(), "", func(path string, v reflect.Value) {
		if v.Kind() == reflect.String && v.String() != "" {
			f(path, v.String(), t.source(path))
		}
	})
}
