package inspect

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/zeebo/xxh3"
)

// The bounds of a JSON text.
const (
	jsonDepth  = 128
	jsonString = 2 << 20 // bytes of one string
	jsonNumber = 4096    // bytes of one number
	jsonNames  = 400_000 // members of one object that are told apart
)

// ErrJSON is wrapped by errors of a text that is not JSON, or more than is read.
var ErrJSON = errors.New("not the JSON that is read here")

// JSONEvent is a value of a JSON text, or the end of an object or array.
type JSONEvent struct {
	Path  []string // names of the members that lead to it; "" for an element of an array. Valid during the call
	Value any      // string, json.Number, bool, nil, or json.Delim
	Again bool     // an object has had that name already
}

// ReadJSON reads one JSON value in little memory and calls visit for all that is in it. Only white space may follow.
func ReadJSON(r io.Reader, visit func(JSONEvent) error) error {
	d := json.NewDecoder(&jsonGuard{r: r})
	if err := readJSON(d, visit); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: something follows the value", ErrJSON)
	}
	return nil
}

// ReadJSONPrefix reads one JSON value, whatever follows, and returns how many bytes it has.
func ReadJSONPrefix(r io.Reader, visit func(JSONEvent) error) (int64, error) {
	d := json.NewDecoder(&jsonGuard{r: r})
	err := readJSON(d, visit)
	return d.InputOffset(), err
}

// level is an open object or array.
type level struct {
	object bool
	name   bool // a name comes next
	seen   map[uint64]struct{}
}

func readJSON(d *json.Decoder, visit func(JSONEvent) error) error {
	d.UseNumber()
	var levels []level
	var path []string
	again := false
	for {
		t, err := d.Token()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("%w: %w", ErrJSON, err)
		}
		if n := len(levels); n > 0 && levels[n-1].name {
			if name, ok := t.(string); ok {
				l := &levels[n-1]
				l.name = false
				h := xxh3.HashString(name)
				_, again = l.seen[h]
				if len(l.seen) >= jsonNames {
					return fmt.Errorf("%w: an object has more than %d members", ErrJSON, jsonNames)
				}
				if l.seen == nil {
					l.seen = map[uint64]struct{}{}
				}
				l.seen[h] = struct{}{}
				path[n-1] = name
				continue
			}
		}
		delim, _ := t.(json.Delim)
		if delim == '}' || delim == ']' {
			levels, path = levels[:len(levels)-1], path[:len(path)-1]
		}
		if err := visit(JSONEvent{Path: path, Value: t, Again: again}); err != nil {
			return err
		}
		again = false
		if delim == '{' || delim == '[' {
			if len(levels) == jsonDepth {
				return fmt.Errorf("%w: it is nested more than %d deep", ErrJSON, jsonDepth)
			}
			levels, path = append(levels, level{object: delim == '{', name: delim == '{'}), append(path, "")
			continue
		}
		if len(levels) == 0 {
			return nil
		}
		levels[len(levels)-1].name = levels[len(levels)-1].object
	}
}

// jsonGuard ends a text whose strings or numbers would take much memory.
type jsonGuard struct {
	r       io.Reader
	text    bool
	escaped bool
	run     int
}

func (g *jsonGuard) Read(p []byte) (int, error) {
	n, err := g.r.Read(p)
	for i, c := range p[:n] {
		g.run++
		switch {
		case g.text && g.escaped:
			g.escaped = false
		case g.text && c == '\\':
			g.escaped = true
		case c == '"':
			g.text, g.run = !g.text, 0
		case !g.text && (c <= ' ' || c == ',' || c == ':' || c == '[' || c == ']' || c == '{' || c == '}'):
			g.run = 0
		}
		if g.text && g.run > jsonString || !g.text && g.run > jsonNumber {
			return i, fmt.Errorf("%w: one value is too long", ErrJSON)
		}
	}
	return n, err
}
