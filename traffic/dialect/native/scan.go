package native

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"

	"github.com/palladium-guard/palladium/traffic/dialect"
)

// maxDepth is how deep arrays and objects may nest in one line.
const maxDepth = 512

// scanner walks over one line of JSON (RFC 8259), strictly. Strings alias the line where they hold no escape, and
// text otherwise: unescaping never makes a string longer, so text is sized once for the line and never moves.
type scanner struct {
	b      []byte
	i      int
	first  int  // position of the line's first backslash; len(b) when there is none
	escape int  // position of the next backslash at or after i; len(b) when there is none
	plain  bool // the line has no control character, so strings need not be searched for one
	text   []byte
}

// reset begins a new line. It checks the encoding of the whole line at once.
func (s *scanner) reset(line []byte) error {
	s.b, s.i = line, 0
	high, control := classes(line)
	s.plain = !control
	if high {
		if err := dialect.CheckUTF8(line); err != nil {
			return err
		}
	}
	s.findEscape(0)
	s.first = s.escape
	if s.escape < len(line) && cap(s.text) < len(line) {
		s.text = make([]byte, 0, len(line)+len(line)/4)
	}
	s.text = s.text[:0]
	return nil
}

// classes reports whether any byte has its top bit set, and whether any is a control character, eight at a time.
func classes(b []byte) (high, control bool) {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	var all, low uint64
	for len(b) >= 8 {
		w := binary.LittleEndian.Uint64(b)
		all |= w
		low |= (w - ones*0x20) & ^w // a borrow can only come from a lower byte that is itself below 0x20
		b = b[8:]
	}
	for _, c := range b {
		all |= uint64(c)
		if c < 0x20 {
			low |= 0x80
		}
	}
	return all&tops != 0, low&tops != 0
}

// rewind goes back to the start of the line. Strings read so far are lost.
func (s *scanner) rewind() { s.i, s.escape, s.text = 0, s.first, s.text[:0] }

func (s *scanner) findEscape(from int) {
	if n := bytes.IndexByte(s.b[from:], '\\'); n >= 0 {
		s.escape = from + n
	} else {
		s.escape = len(s.b)
	}
}

func (s *scanner) fail(what string) error { return dialect.Syntax(s.i, what) }

// space skips white space and returns the next byte without taking it; 0 at the end of the line.
func (s *scanner) space() byte {
	for s.i < len(s.b) {
		c := s.b[s.i]
		if c > ' ' || (c != ' ' && c != '\t' && c != '\r' && c != '\n') {
			return c
		}
		s.i++
	}
	return 0
}

// str reads a string whose opening quote is next.
func (s *scanner) str() (string, error) {
	start := s.i + 1
	n := quote(s.b[start:])
	if n < 0 {
		s.i = len(s.b)
		return "", s.fail("string without an end")
	}
	end := start + n
	if s.escape < end {
		return s.escaped(start)
	}
	raw := s.b[start:end]
	if !s.plain {
		if at := controlAt(raw); at >= 0 {
			s.i = start + at
			return "", s.fail("control character in a string")
		}
	}
	s.i = end + 1
	return unsafe.String(unsafe.SliceData(raw), len(raw)), nil
}

// quote is bytes.IndexByte for a quote that is usually near: keys are short.
func quote(b []byte) int {
	if len(b) >= 16 {
		const ones, tops, quotes = 0x0101010101010101, 0x8080808080808080, 0x2222222222222222
		for k := 0; k < 16; k += 8 {
			x := binary.LittleEndian.Uint64(b[k:]) ^ quotes
			if m := (x - ones) & ^x & tops; m != 0 {
				return k + bits.TrailingZeros64(m)/8
			}
		}
		if n := bytes.IndexByte(b[16:], '"'); n >= 0 {
			return 16 + n
		}
		return -1
	}
	return bytes.IndexByte(b, '"')
}

func controlAt(b []byte) int {
	for i, c := range b {
		if c < 0x20 {
			return i
		}
	}
	return -1
}

// escaped reads a string that holds a backslash before its first quote. It copies runs between escapes whole, and
// looks for the closing quote again only when the one it found was an escaped one.
func (s *scanner) escaped(start int) (string, error) {
	begin, i, end := len(s.text), start, -1
	for {
		if end < i {
			n := quote(s.b[i:])
			if n < 0 {
				s.i = len(s.b)
				return "", s.fail("string without an end")
			}
			end = i + n
		}
		stop := min(end, s.escape)
		if !s.plain {
			if at := controlAt(s.b[i:stop]); at >= 0 {
				s.i = i + at
				return "", s.fail("control character in a string")
			}
		}
		s.text = append(s.text, s.b[i:stop]...)
		s.i = stop
		if stop == end {
			s.i++
			return unsafe.String(unsafe.SliceData(s.text[begin:]), len(s.text)-begin), nil
		}
		var err error
		if i, err = s.unescape(stop); err != nil {
			return "", err
		}
		s.findEscape(i)
	}
}

// unescape reads the escape whose backslash stands at, appends what it means to text and returns the position after it.
func (s *scanner) unescape(at int) (int, error) {
	if at+1 >= len(s.b) {
		return 0, s.fail("string without an end")
	}
	c := s.b[at+1]
	switch c {
	case '"', '\\', '/':
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	case 'u':
		r, ok := hex4(s.b, at+2)
		if !ok {
			return 0, s.fail("bad \\u escape")
		}
		next := at + 6
		if utf16.IsSurrogate(r) {
			low := rune(0)
			if next+1 < len(s.b) && s.b[next] == '\\' && s.b[next+1] == 'u' {
				low, _ = hex4(s.b, next+2)
			}
			if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
				next += 6
			}
		}
		s.text = utf8.AppendRune(s.text, r)
		return next, nil
	default:
		return 0, s.fail("bad escape")
	}
	s.text = append(s.text, c)
	return at + 2, nil
}

func hex4(b []byte, at int) (rune, bool) {
	if at+4 > len(b) {
		return 0, false
	}
	var r rune
	for _, c := range b[at : at+4] {
		switch {
		case c-'0' <= 9:
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// number reads a number and returns its spelling.
func (s *scanner) number() ([]byte, error) {
	b, start, i := s.b, s.i, s.i
	if i < len(b) && b[i] == '-' {
		i++
	}
	first := i
	for i < len(b) && b[i]-'0' <= 9 {
		i++
	}
	ok := i > first && (b[first] != '0' || i == first+1)
	if ok && i < len(b) && b[i] == '.' {
		i++
		first = i
		for i < len(b) && b[i]-'0' <= 9 {
			i++
		}
		ok = i > first
	}
	if ok && i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		first = i
		for i < len(b) && b[i]-'0' <= 9 {
			i++
		}
		ok = i > first
	}
	if !ok {
		s.i = min(i, len(b))
		return nil, s.fail("bad number")
	}
	s.i = i
	return b[start:i], nil
}

// float returns the value of a number's spelling; ok is false when it does not fit.
func float(raw []byte) (float64, bool) {
	// With at most 15 digits and a power of ten up to 22 both operands are exact, and so is the rounded quotient.
	mantissa, point, digits := uint64(0), -1, 0
	for i, c := range raw {
		switch {
		case c-'0' <= 9:
			mantissa = mantissa*10 + uint64(c-'0')
			digits++
		case c == '.':
			point = i
		case c == '-' && i == 0:
		default:
			digits = 99
		}
	}
	if digits > 15 {
		f, err := strconv.ParseFloat(unsafe.String(unsafe.SliceData(raw), len(raw)), 64)
		return f, err == nil
	}
	f := float64(mantissa)
	if point >= 0 {
		f /= power(len(raw) - point - 1)
	}
	if raw[0] == '-' {
		f = -f
	}
	return f, true
}

func power(n int) float64 {
	f := 1.0
	for ; n > 0; n-- {
		f *= 10
	}
	return f
}

// integer returns the value of a number's spelling; ok is false when it is not whole or does not fit. 100.0 and 1e3
// are whole.
func integer(raw []byte) (int64, bool) {
	digits, negative := raw, raw[0] == '-'
	if negative {
		digits = raw[1:]
	}
	if len(digits) <= 18 {
		n := int64(0)
		for _, c := range digits {
			if c-'0' > 9 {
				return whole(raw)
			}
			n = n*10 + int64(c-'0')
		}
		if negative {
			n = -n
		}
		return n, true
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err == nil {
		return n, true
	}
	return whole(raw)
}

func whole(raw []byte) (int64, bool) {
	f, ok := float(raw)
	n := int64(f)
	return n, ok && f >= -(1<<53) && f <= 1<<53 && float64(n) == f
}

// word takes a literal such as true.
func (s *scanner) word(w string) error {
	if len(s.b)-s.i < len(w) || string(s.b[s.i:s.i+len(w)]) != w {
		return s.fail("bad literal")
	}
	s.i += len(w)
	return nil
}

// skip takes a value of any kind and checks its syntax.
func (s *scanner) skip(depth int) error {
	switch c := s.space(); {
	case c == '"':
		_, err := s.str()
		return err
	case c == '{':
		return s.object(depth, func(string) error { return s.skip(depth + 1) })
	case c == '[':
		return s.array(depth, func() error { return s.skip(depth + 1) })
	case c == 't':
		return s.word("true")
	case c == 'f':
		return s.word("false")
	case c == 'n':
		return s.word("null")
	case c == '-' || c-'0' <= 9:
		_, err := s.number()
		return err
	}
	return s.fail("no value")
}

// object takes an object whose brace is next and calls field with each key; field takes the value.
func (s *scanner) object(depth int, field func(key string) error) error {
	more, err := s.open('{', '}', depth)
	for more && err == nil {
		var key string
		if key, err = s.key(); err != nil {
			return err
		}
		if err = field(key); err != nil {
			return err
		}
		more, err = s.next('}')
	}
	return err
}

// array takes an array whose bracket is next and calls element for each element, which takes it.
func (s *scanner) array(depth int, element func() error) error {
	more, err := s.open('[', ']', depth)
	for more && err == nil {
		if err = element(); err != nil {
			return err
		}
		more, err = s.next(']')
	}
	return err
}

// open takes the opening bracket and reports whether anything is inside; when not, it takes the closing one too.
func (s *scanner) open(begin, end byte, depth int) (bool, error) {
	if depth >= maxDepth {
		return false, s.fail("nested too deep")
	}
	if s.space() != begin {
		return false, s.fail("no " + string(rune(begin)))
	}
	s.i++
	if s.space() == end {
		s.i++
		return false, nil
	}
	return true, nil
}

// next takes the comma and reports true, or the closing bracket and reports false.
func (s *scanner) next(end byte) (bool, error) {
	switch s.space() {
	case ',':
		s.i++
		return true, nil
	case end:
		s.i++
		return false, nil
	}
	return false, s.fail("no comma or end of the object or array")
}

// key takes a key and its colon.
func (s *scanner) key() (string, error) {
	if s.space() != '"' {
		return "", s.fail("no key")
	}
	k, err := s.str()
	if err != nil {
		return "", err
	}
	if s.space() != ':' {
		return "", s.fail("no colon after a key")
	}
	s.i++
	return k, nil
}

// end checks that nothing but white space is left.
func (s *scanner) end() error {
	s.space()
	if s.i < len(s.b) {
		return s.fail("something after the object")
	}
	return nil
}
