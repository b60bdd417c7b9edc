package wire

import (
	"bytes"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
)

// MaxEvent is the longest event, in bytes, that an Editor holds.
const MaxEvent = 32 << 20

// Redactor takes what must not be shown out of answers.
type Redactor interface {
	// Redact appends a unary body without what rd takes away. An error wraps ErrAnswer; nothing of the body may then be
	// sent.
	Redact(dst, body []byte, e Endpoint, rd Redaction) ([]byte, error)
	// Touches reports, quickly, whether an event may hold something that rd takes away. It may say yes without need.
	Touches(event []byte, rd Redaction) bool
	// RedactEvent does so for the data of one event, which may have a name. Keep is false when the whole event is left out.
	RedactEvent(dst, name, data []byte, e Endpoint, rd Redaction) (out []byte, keep bool, err error)
}

// Editor redacts a stream. It holds back each event until it is whole; events that need no change pass byte for byte. It
// belongs to one goroutine.
type Editor struct {
	redactor Redactor
	endpoint Endpoint
	rd       Redaction
	held     []byte // of the event that is not whole yet
	seen     int    // bytes of held that hold no end of an event
	data     []byte
}

// Reset makes the editor ready for a stream.
func (e *Editor) Reset(r Redactor, endpoint Endpoint, rd Redaction) {
	e.redactor, e.endpoint, e.rd, e.held, e.seen = r, endpoint, rd, e.held[:0], 0
}

// Write appends what of p, and of what was held back, may be sent. After an error, which wraps ErrAnswer, the stream has
// to be ended with an error event: dst then ends with a whole event.
func (e *Editor) Write(dst, p []byte) ([]byte, error) {
	if len(e.held) == 0 && (bytes.HasSuffix(p, []byte("\n\n")) || bytes.HasSuffix(p, []byte("\r\n\r\n"))) && !e.redactor.Touches(p, e.rd) {
		return append(dst, p...), nil
	}
	e.held = append(e.held, p...)
	at := 0
	for {
		n := eventEnd(e.held[at:], e.seen)
		if n < 0 {
			break
		}
		var err error
		if dst, err = e.event(dst, e.held[at:at+n]); err != nil {
			e.held = e.held[:0]
			return dst, err
		}
		at += n
		e.seen = 0
	}
	e.held = e.held[:copy(e.held, e.held[at:])]
	e.seen = max(0, len(e.held)-3)
	if len(e.held) > MaxEvent {
		e.held = e.held[:0]
		return dst, fmt.Errorf("%w: an event is longer than %d bytes", ErrAnswer, MaxEvent)
	}
	return dst, nil
}

// Close appends what is left when the upstream has ended. An event that is not whole is redacted too when it can be read
// and left out when it cannot: clients do not take it for an event either.
func (e *Editor) Close(dst []byte) []byte {
	held := e.held
	e.held = e.held[:0]
	if len(held) == 0 {
		return dst
	}
	n := len(dst)
	out, err := e.event(dst, held)
	if err != nil {
		return dst[:n]
	}
	return out
}

// eventEnd returns the length of the first event in p, its blank line included, or -1. The first from bytes are known to
// end none.
func eventEnd(p []byte, from int) int {
	if from > 0 && from < len(p) && p[from] == '\n' && p[from-1] == '\r' {
		from++ // one end of a line, not two
	}
	for i := from; i < len(p); {
		n := lineEnd(p[i:])
		if n < 0 {
			return -1
		}
		end := i + n + 1
		if p[i+n] == '\r' {
			if end == len(p) {
				return -1 // a line feed may follow
			}
			if p[end] == '\n' {
				end++
			}
		}
		if n == 0 && (i == 0 || p[i-1] == '\n' || p[i-1] == '\r') {
			return end
		}
		i = end
	}
	return -1
}

// event appends one event, redacted.
func (e *Editor) event(dst, ev []byte) ([]byte, error) {
	if !e.redactor.Touches(ev, e.rd) {
		return append(dst, ev...), nil
	}
	var name []byte
	data, lines := e.data[:0], 0
	for at := 0; at < len(ev); {
		line, next := nextLine(ev, at)
		at = next
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(bytes.TrimPrefix(field, []byte("\uFEFF"))) {
		case "event":
			name = value
		case "data":
			if lines++; lines > 1 {
				data = append(data, '\n')
			}
			data = append(data, value...)
		}
	}
	e.data = data
	if lines == 0 || bytes.Equal(data, []byte(marker)) {
		return append(dst, ev...), nil
	}
	start := len(dst)
	dst, keep, err := e.redactor.RedactEvent(dst, name, data, e.endpoint, e.rd)
	if err != nil || !keep {
		return dst[:start], err
	}
	if bytes.Equal(dst[start:], data) {
		return append(dst[:start], ev...), nil
	}
	e.data = append(e.data[:0], dst[start:]...)
	return frame(dst[:start], ev, e.data), nil
}

// frame appends the event ev with data in place of its own.
func frame(dst, ev, data []byte) []byte {
	done := false
	for at := 0; at < len(ev); {
		line, next := nextLine(ev, at)
		field, _, _ := bytes.Cut(line, []byte(":"))
		isData := string(bytes.TrimPrefix(field, []byte("\uFEFF"))) == "data"
		switch {
		case isData && !done:
			dst = append(dst, "data: "...)
			for _, c := range data {
				if c == '\n' || c == '\r' {
					c = ' ' // between tokens: strings hold none
				}
				dst = append(dst, c)
			}
			dst = append(dst, ev[at+len(line):next]...)
			done = true
		case !isData:
			dst = append(dst, ev[at:next]...)
		}
		at = next
	}
	return dst
}

// nextLine returns the line at at without its terminator, and where the next one starts.
func nextLine(p []byte, at int) ([]byte, int) {
	n := lineEnd(p[at:])
	if n < 0 {
		return p[at:], len(p)
	}
	end := at + n + 1
	if p[at+n] == '\r' && end < len(p) && p[end] == '\n' {
		end++
	}
	return p[at : at+n], end
}

// Holds reports whether text has a JSON member of that name, given with its quotes, whose value is not null, an empty
// string or an empty list.
func Holds(text []byte, quoted string) bool {
	for {
		i := bytes.Index(text, []byte(quoted))
		if i < 0 {
			return false
		}
		text = text[i+len(quoted):]
		i = 0
		for i < len(text) && (space(text[i]) || text[i] == ':') {
			i++
		}
		switch v := text[i:]; {
		case bytes.HasPrefix(v, []byte("null")), bytes.HasPrefix(v, []byte(`""`)), bytes.HasPrefix(v, []byte("[]")):
		default:
			return true
		}
	}
}

// Rewrite appends data with some values replaced. Names numbers the members; a value whose name is opaque is given to
// target with its path, and target returns what to put in its place, or nil to leave it.
func Rewrite(dst, data []byte, names func([]byte) Name, target func(path uint64, value []byte) []byte) ([]byte, error) {
	if !jsontext.Value(data).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) {
		return dst, fmt.Errorf("%w: it is not JSON", ErrAnswer)
	}
	l := Lexer{Names: names}
	at, done, start := 0, 0, 0
	for at < len(data) {
		n, t := l.Next(data[at:])
		at += n
		switch t {
		case Begin:
			start = at
		case End:
			if with := target(l.Path, data[start:at]); with != nil {
				dst = append(dst, data[done:start]...)
				dst = append(dst, with...)
				done = at
			}
		}
	}
	return append(dst, data[done:]...), nil
}
