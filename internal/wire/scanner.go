package wire

import (
	"bytes"

	"github.com/palladium-guard/palladium"
)

// Tally is what an answer has shown so far.
type Tally struct {
	Events    int   // server-sent events with data
	Unread    int   // events, or bodies, that are not JSON
	Deltas    int   // events that carried output: text, reasoning, arguments of tools
	Reasoning int   // of these, events that carried reasoning
	Bytes     int64 // of output as written, escapes included
	Sequence  int64 // last sequence_number (responses), or -1

	Usage    palladium.Usage // last figures that the upstream gave
	HasUsage bool
	Ended    bool     // the dialect's end marker was seen, or a whole unary body
	Failed   bool     // the upstream told an error
	Cut      bool     // text beyond the buffer's capacity was left out
	Inputs   [3]int64 // dialect's own note: parts that make up Usage.Input
	Finish   Short    // finish or stop reason, of the first answer
	Fault    Short    // type or code of the upstream's error

	Seals  [8]uint64 // hashes of the first sealed reasoning blocks (signatures, encrypted content)
	SealsN int
}

// Short is a short text without memory of its own. What does not fit is left out.
type Short struct {
	b [40]byte
	n uint8
}

func (s *Short) add(p []byte) { s.n += uint8(copy(s.b[s.n:], p)) }

// String returns the text.
func (s *Short) String() string { return string(s.b[:s.n]) }

// Is reports whether the text is t.
func (s *Short) Is(t string) bool { return string(s.b[:s.n]) == t }

// Contains reports whether t stands in the text.
func (s *Short) Contains(t string) bool { return bytes.Contains(s.b[:s.n], []byte(t)) }

// Empty reports whether there is no text.
func (s *Short) Empty() bool { return s.n == 0 }

// Set replaces the text with a piece, or continues it when fresh is false.
func (s *Short) Set(piece []byte, fresh bool) {
	if fresh {
		s.n = 0
	}
	s.add(piece)
}

// Semantics is what a dialect knows about its answers.
type Semantics interface {
	Name(name []byte) Name
	// Token is called for each token; s.Path names the value.
	Token(s *Scanner, t Token)
	// Event is called when an event, or a unary body, is complete; s.Type is the event's name or type.
	Event(s *Scanner)
}

// Scanner follows an answer as its raw bytes pass, however they are cut, and counts. It changes nothing, allocates
// nothing, keeps only what Tally and Text show, and takes what it does not know for an answer that it does not know. It
// belongs to one goroutine. A byte stream gives the same counts in whatever pieces it comes.
type Scanner struct {
	Tally
	Lexer
	Type    Short  // name of the event line, else type of its data
	Stream  bool   // server-sent events; else one JSON body
	Text    []byte // the answer's text, escaped as in JSON, up to the capacity that it came with
	Mark    int    // length of Text at the event's start
	Carried bool   // the event so far carried output
	Thought bool   // the event so far carried reasoning
	Other   bool   // the dialect's own note: this part is of another answer than the first

	semantics Semantics
	line      lineState
	named     bool // Type is from an event line
	fresh     bool // next piece of a string begins it
	data      bool // the event has data
	cr        bool // the last byte was a carriage return
	blank     bool // the line so far is empty
	done      uint8
	fn        uint8
	field     [8]byte
	newline   [1]byte
	hash      uint64
	form      *Form
}

type lineState uint8

const (
	inField lineState = iota
	afterColon
	inData
	inType
	inOther
)

// Reset makes the scanner ready for an answer. Text is collected into text[:0] up to its capacity; with nil, none is.
func (s *Scanner) Reset(semantics Semantics, stream bool, text []byte) {
	*s = Scanner{semantics: semantics, Stream: stream, Text: text[:0]}
	s.Names = semantics.Name
	s.Sequence = -1
	s.blank, s.fresh = true, true
	s.newline[0] = '\n'
	s.hash = offset64
}

// Scan follows p. Of a stream it returns the offset just behind the last event that ends in p, or -1 when none does:
// only there a stream may be cut and an event of another source be put in.
func (s *Scanner) Scan(p []byte) int {
	last, at := -1, 0
	for at < len(p) {
		n, end := s.Step(p[at:])
		at += n
		if end {
			last = at
		}
	}
	return last
}

// Step follows p up to the end of the first event in it and returns the bytes used; end is false when p holds no end.
func (s *Scanner) Step(p []byte) (n int, end bool) {
	if s.form == nil || !s.Stream || s.cr || !s.AtBoundary() {
		return s.step(p)
	}
	if n := s.like(p); n > 0 {
		return n, true
	}
	was, text, other := s.Tally, len(s.Text), s.Other
	s.form.pieces = 0
	if n, end = s.step(p); end {
		s.learn(p[:n], &was, text, other)
	}
	s.form.piece = nil
	return n, end
}

func (s *Scanner) step(p []byte) (n int, end bool) {
	if !s.Stream {
		s.lex(p)
		return len(p), false
	}
	i := 0
	if s.cr && len(p) > 0 {
		s.cr = false
		if p[0] == '\n' {
			i = 1
		}
	}
	for i < len(p) {
		rest := p[i:]
		eol := lineEnd(rest)
		if eol < 0 {
			s.part(rest)
			return len(p), false
		}
		s.part(rest[:eol])
		i += eol + 1
		if rest[eol] == '\r' {
			if i == len(p) {
				s.cr = true
			} else if p[i] == '\n' {
				i++
			}
		}
		if s.endLine() {
			return i, true
		}
	}
	return i, false
}

// AtBoundary reports whether the stream so far ends with a whole event.
func (s *Scanner) AtBoundary() bool {
	return s.blank && s.line == inField && s.fn == 0 && !s.data && !s.named
}

// Close tells that no more comes. A unary body that was whole counts as Ended.
func (s *Scanner) Close() {
	if s.Stream {
		if s.done == 6 {
			s.Ended = true
		}
		return
	}
	if s.Complete() {
		s.Ended = true
		s.semantics.Event(s)
		s.settle()
		return
	}
	s.Unread++
}

// lineEnd returns the index of the first line terminator, or -1. It looks for both kinds in one stretch at a time: a
// stream that uses only one of them must not be searched to its end, line by line, for the other.
func lineEnd(p []byte) int {
	const stretch = 512
	for at := 0; at < len(p); at += stretch {
		part := p[at:min(at+stretch, len(p))]
		n := bytes.IndexByte(part, '\n')
		if n >= 0 {
			part = part[:n]
		}
		if r := bytes.IndexByte(part, '\r'); r >= 0 {
			return at + r
		}
		if n >= 0 {
			return at + n
		}
	}
	return -1
}

// part reads a piece of a line.
func (s *Scanner) part(p []byte) {
	if len(p) == 0 {
		return
	}
	s.blank = false
	if s.line == inField {
		for i, c := range p {
			if c == ':' {
				s.line = afterColon
				p = p[i+1:]
				break
			}
			if int(s.fn) < len(s.field) {
				s.field[s.fn] = c
				s.fn++
			}
		}
		if s.line == inField {
			return
		}
	}
	if s.line == afterColon {
		if len(p) == 0 {
			return
		}
		s.beginValue()
		if p[0] == ' ' {
			p = p[1:]
		}
	}
	switch s.line {
	case inData:
		s.inData(p)
	case inType:
		s.Type.add(p)
	}
}

// beginValue decides by the field's name what the rest of the line is.
func (s *Scanner) beginValue() {
	name := s.field[:s.fn]
	if s.Events == 0 && !s.data && len(name) > 3 && name[0] == 0xEF && name[1] == 0xBB && name[2] == 0xBF {
		name = name[3:] // a byte order mark may begin a stream
	}
	switch string(name) {
	case "data":
		s.line = inData
		s.data = true
	case "event":
		s.line = inType
		s.named = true
		s.Type = Short{}
	default:
		s.line = inOther
	}
}

const marker = "[DONE]"

func (s *Scanner) inData(p []byte) {
	for len(p) > 0 && s.done <= 6 && (s.done > 0 || s.Untouched() && p[0] == '[') {
		if s.done == 6 || p[0] != marker[s.done] {
			s.done = 7 // something else: not JSON of any dialect
			return
		}
		s.done++
		p = p[1:]
	}
	if s.done == 0 {
		s.lex(p)
	}
}

func (s *Scanner) lex(p []byte) {
	for len(p) > 0 {
		n, t := s.Next(p)
		p = p[n:]
		switch t {
		case None:
			return
		case String:
			s.semantics.Token(s, t)
			s.fresh = s.Last
		default:
			s.semantics.Token(s, t)
		}
	}
}

// endLine ends a line and reports whether it ended an event.
func (s *Scanner) endLine() bool {
	if !s.blank {
		if s.line == afterColon || s.line == inField {
			s.beginValue() // a field without a value
		}
		if s.line == inData && s.done == 0 {
			s.lex(s.newline[:])
		}
		s.line, s.fn, s.blank = inField, 0, true
		return false
	}
	if s.data {
		s.Events++
		switch {
		case s.done == 6:
			s.Ended = true
		case s.done == 0 && s.Complete():
			s.semantics.Event(s)
		case s.done != 0 || !s.Untouched():
			s.Unread++
			s.Carried, s.Thought = false, false
			s.Text = s.Text[:s.Mark]
		}
		s.settle()
	}
	s.Lexer.Reset()
	s.Type = Short{}
	s.named, s.data, s.done, s.fresh = false, false, 0, true
	return true
}

// settle counts what the event carried.
func (s *Scanner) settle() {
	if s.Carried {
		s.Deltas++
		if s.Thought {
			s.Reasoning++
		}
	}
	s.Carried, s.Thought = false, false
	s.Mark = len(s.Text)
}

// Named reports whether the event has a name line, which goes before the type in its data.
func (s *Scanner) Named() bool { return s.named }

// Fresh reports whether the current piece of a string begins it.
func (s *Scanner) Fresh() bool { return s.fresh }

// Output counts a piece of output and, when keep is set, collects it.
func (s *Scanner) Output(keep bool) {
	if len(s.Piece) == 0 {
		return
	}
	if s.form != nil {
		s.form.note(s, keep)
	}
	s.Carried = true
	s.Bytes += int64(len(s.Piece))
	if !keep || s.Text == nil {
		return
	}
	n := min(len(s.Piece), cap(s.Text)-len(s.Text))
	s.Text = append(s.Text, s.Piece[:n]...)
	s.Cut = s.Cut || n < len(s.Piece)
}

// Forget drops the text collected since at, which turned out to be something else.
func (s *Scanner) Forget(at int) { s.Text = s.Text[:min(at, len(s.Text))] }

const (
	offset64 = 14695981039346656037
	prime64  = 1099511628211
)

// Seal hashes a piece of a seal, as written, and notes the hash at its end.
func (s *Scanner) Seal() {
	s.hash = Hash(s.hash, s.Piece)
	if !s.Last {
		return
	}
	if s.hash != offset64 && s.SealsN < len(s.Seals) {
		s.Seals[s.SealsN] = s.hash
		s.SealsN++
	}
	s.hash = offset64
}

// Hash continues the 64-bit FNV-1a hash h with p. Start with HashStart.
func Hash(h uint64, p []byte) uint64 {
	for _, c := range p {
		h = (h ^ uint64(c)) * prime64
	}
	return h
}

// HashStart is the hash of nothing.
const HashStart uint64 = offset64

// Answer returns the text collected, without escapes. It allocates: call it off the path.
func (s *Scanner) Answer() string {
	if len(s.Text) == 0 {
		return ""
	}
	text := s.Text
	if s.Cut { // a cut may have split an escape
		if e := bytes.LastIndexByte(text, '\\'); e >= 0 && e > len(text)-12 {
			for e > 0 && text[e-1] == '\\' {
				e--
			}
			text = text[:e]
		}
	}
	return Unquote(append(append([]byte{'"'}, text...), '"'))
}
