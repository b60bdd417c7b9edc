package wire

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"strconv"
)

// Name stands for the name of an object member, as a table of the dialect numbers it.
type Name uint8

// The names that every table has. Names from Opaque up mark values that are told as a whole, not entered.
const (
	Ignored Name = 0 // its value is passed over
	Element Name = 1 // an element of an array
	Opaque  Name = 0x80
)

// Token is what the Lexer found.
type Token uint8

// The tokens.
const (
	None   Token = iota // the bytes are used up
	String              // a piece of a string, in Piece as it is written; Last tells whether it is the last one
	Number              // in Digits
	True
	False
	Null
	Open  // of an object or an array
	Close // of the container that Path names
	Begin // of an opaque value; its first byte is not used yet
	End   // of an opaque value
	Broken
)

// pathDepth is how deep the Lexer looks; what lies deeper is passed over.
const pathDepth = 8

// Lexer finds values in JSON that comes in pieces of any length, in constant memory and without allocating. It trusts
// its input to be JSON: what is not is either passed over or told as Broken, and never read beyond. The zero value with
// Names set is ready.
type Lexer struct {
	// Names numbers a member's name, given without its quotes.
	Names func(name []byte) Name

	Path  uint64 // names from the outermost container to the value, eight bits each, the innermost lowest
	Piece []byte // of a String: a part of the input
	Last  bool   // Piece is the end of the string

	state  state
	depth  int
	object uint16 // bit d: the container at depth d is an object
	nest   int    // containers open within a value that is passed over
	esc    bool
	opaque bool
	kn, dn int
	key    [48]byte
	digits [32]byte
}

type state uint8

const (
	wantValue state = iota
	wantFirst       // value or ] after [
	wantName        // name or } after {
	wantNext        // name after a comma
	inName
	wantColon
	wantComma
	inString
	inNumber
	inLiteral
	skipWord   // number or literal that is passed over
	skipString // the same, of a string outside containers
	skipNested
	skipNestedString
	finished
	broken
)

// Reset forgets what was read.
func (l *Lexer) Reset() {
	l.Path, l.Piece, l.Last = 0, nil, false
	l.state, l.depth, l.object, l.nest, l.esc, l.opaque, l.kn, l.dn = wantValue, 0, 0, 0, false, false, 0, 0
}

// Complete reports whether one whole value was read and nothing else.
func (l *Lexer) Complete() bool {
	return l.state == finished || l.depth == 0 && (l.state == inNumber || l.state == skipWord)
}

// Untouched reports whether nothing was read.
func (l *Lexer) Untouched() bool { return l.state == wantValue && l.depth == 0 }

// Int returns the whole number of the last Number token; ok is false when it is not one.
func (l *Lexer) Int() (int64, bool) {
	d := l.digits[:l.dn]
	var n int64
	neg := len(d) > 0 && d[0] == '-'
	if neg {
		d = d[1:]
	}
	if len(d) == 0 || len(d) > 18 {
		return 0, false
	}
	for _, c := range d {
		if c-'0' > 9 {
			f, err := strconv.ParseFloat(string(l.digits[:l.dn]), 64)
			return int64(f), err == nil && f == float64(int64(f)) && f > -1<<53 && f < 1<<53
		}
		n = n*10 + int64(c-'0')
	}
	if neg {
		n = -n
	}
	return n, true
}

// Next reads from p up to the next token and returns how many bytes it used. It has used all of p when the token is
// None, and also with another token when p ends there. Broken is told once; after it all input is passed over.
func (l *Lexer) Next(p []byte) (int, Token) {
	i := 0
	for i < len(p) {
		switch l.state {
		case inString:
			n, t := l.inString(p[i:])
			return i + n, t
		case skipString, skipNested, skipNestedString, skipWord:
			n, done := l.skip(p[i:])
			i += n
			if done && l.opaque {
				l.opaque = false
				return i, End
			}
			continue
		case inName:
			i += l.inName(p[i:])
			continue
		case inNumber:
			if !l.number(p[i]) {
				l.after()
				return i, Number
			}
			i++
			continue
		case inLiteral:
			i++
			if l.dn--; l.dn == 0 {
				l.after()
				return i, Token(l.nest)
			}
			continue
		case broken:
			return len(p), None
		}
		c := p[i]
		if space(c) {
			i++
			continue
		}
		switch l.state {
		case wantValue, wantFirst:
			if c == ']' && l.state == wantFirst {
				return i + 1, l.close()
			}
			used, t := l.begin(c)
			i += used
			if t != None {
				return i, t
			}
		case wantName, wantNext:
			switch {
			case c == '"':
				l.state, l.kn, l.esc = inName, 0, false
			case c == '}' && l.state == wantName:
				return i + 1, l.close()
			default:
				return i, l.fail()
			}
			i++
		case wantColon:
			if c != ':' {
				return i, l.fail()
			}
			l.state = wantValue
			i++
		case wantComma:
			i++
			switch inObject := l.object>>l.depth&1 == 1; {
			case c == ',' && inObject:
				l.state = wantNext
			case c == ',':
				l.state = wantValue
			case c == '}' && inObject, c == ']' && !inObject:
				return i, l.close()
			default:
				return i - 1, l.fail()
			}
		default: // finished: a second value
			return i, l.fail()
		}
	}
	return i, None
}

// begin starts a value with its first byte and returns how many bytes it used.
func (l *Lexer) begin(c byte) (int, Token) {
	name := Name(l.Path)
	if l.depth > 0 && name >= Opaque && !l.opaque {
		l.opaque = true
		return 0, Begin
	}
	pass := l.depth > 0 && name == Ignored || l.opaque || l.depth == pathDepth
	switch {
	case c == '"':
		l.state, l.esc = inString, false
		if pass {
			l.state = skipString
		}
		return 1, None
	case c == '{' || c == '[':
		if pass {
			l.state, l.nest = skipNested, 1
			return 1, None
		}
		l.depth++
		l.Path <<= 8
		if c == '{' {
			l.object |= 1 << l.depth
			l.state = wantName
		} else {
			l.object &^= 1 << l.depth
			l.Path |= uint64(Element)
			l.state = wantFirst
		}
		return 1, Open
	case c == '-' || c-'0' <= 9:
		if pass {
			l.state = skipWord
			return 1, None
		}
		l.state, l.dn = inNumber, 0
		l.number(c)
		return 1, None
	}
	return l.literal(c, pass)
}

func (l *Lexer) literal(c byte, pass bool) (int, Token) {
	left, t := 3, Null
	switch c {
	case 't':
		t = True
	case 'f':
		left, t = 4, False
	case 'n':
	default:
		return 0, l.fail()
	}
	if pass {
		l.state = skipWord
		return 1, None
	}
	l.state, l.dn, l.nest = inLiteral, left, int(t)
	return 1, None
}

func (l *Lexer) number(c byte) bool {
	if c-'0' > 9 && c != '-' && c != '+' && c != '.' && c != 'e' && c != 'E' {
		return false
	}
	if l.dn < len(l.digits) {
		l.digits[l.dn] = c
		l.dn++
	}
	return true
}

// after sets what follows a value.
func (l *Lexer) after() {
	l.state = wantComma
	if l.depth == 0 {
		l.state = finished
	}
}

// close leaves a container; Path then names it.
func (l *Lexer) close() Token {
	l.depth--
	l.Path >>= 8
	l.after()
	return Close
}

func (l *Lexer) fail() Token {
	l.state = broken
	return Broken
}

func (l *Lexer) inString(p []byte) (int, Token) {
	n, done := run(p, &l.esc)
	l.Piece, l.Last = p[:n], done
	if done {
		l.after()
		return n + 1, String
	}
	return n, String
}

func (l *Lexer) inName(p []byte) int {
	n, done := run(p, &l.esc)
	key := p[:n]
	if l.kn > 0 || !done {
		if l.kn+n <= len(l.key) {
			copy(l.key[l.kn:], p[:n])
			l.kn += n
		} else {
			l.kn = len(l.key) + 1 // too long to be known
		}
		if !done {
			return n
		}
		key = l.key[:min(l.kn, len(l.key))]
	}
	name := Ignored
	if l.kn <= len(l.key) && len(key) <= len(l.key) {
		if bytes.IndexByte(key, '\\') >= 0 {
			key = []byte(Unquote(append(append([]byte{'"'}, key...), '"')))
		}
		name = l.Names(key)
	}
	l.Path = l.Path&^0xff | uint64(name)
	if n++; n < len(p) && p[n] == ':' {
		l.state = wantValue
		return n + 1
	}
	l.state = wantColon
	return n
}

// run returns how many bytes of p belong to the string that is open, and whether a quote ends it there.
func run(p []byte, esc *bool) (int, bool) {
	i := 0
	if *esc && len(p) > 0 {
		*esc = false
		i = 1
	}
	for i < len(p) {
		for len(p)-i >= 8 {
			if at := special(binary.LittleEndian.Uint64(p[i:])); at < 8 {
				i += at
				break
			}
			i += 8
		}
		for i < len(p) && p[i] != '"' && p[i] != '\\' {
			i++
		}
		if i == len(p) {
			break
		}
		if p[i] == '"' {
			return i, true
		}
		if i += 2; i > len(p) {
			*esc = true
			return len(p), false
		}
	}
	return len(p), false
}

// special returns the place of the first quote or backslash among eight bytes, 8 when there is none. A byte is zero
// after the exclusive or exactly when it is the one looked for; the lowest such byte is told rightly (Warren, Hacker's
// Delight, section 6-1).
func special(word uint64) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	q, e := word^ones*'"', word^ones*'\\'
	return bits.TrailingZeros64(((q-ones)&^q|(e-ones)&^e)&highs) / 8
}

// skip passes over a value and reports whether it ended within p.
func (l *Lexer) skip(p []byte) (int, bool) {
	i := 0
	for i < len(p) {
		switch l.state {
		case skipString, skipNestedString:
			n, done := run(p[i:], &l.esc)
			i += n
			if !done {
				return i, false
			}
			i++
			if l.state == skipString {
				l.after()
				return i, true
			}
			l.state = skipNested
		case skipWord:
			if delimiter(p[i]) {
				l.after()
				return i, true
			}
			i++
		default:
			switch p[i] {
			case '"':
				l.state, l.esc = skipNestedString, false
			case '{', '[':
				l.nest++
			case '}', ']':
				if l.nest--; l.nest == 0 {
					l.after()
					return i + 1, true
				}
			}
			i++
		}
	}
	return i, false
}
