package wire

import "bytes"

// Form is what an event of a stream looks like when it says something: most events of a stream are the same to the byte,
// but for a few letters of text. A Scanner with a Form counts those without reading them as JSON again. The counts are the
// same with and without one.
type Form struct {
	b             [640]byte // the event without its text
	at, n         int       // the text goes in at b[at]; n bytes are known, 0: none
	keep, thought bool

	pieces int // of output in the event so far
	piece  []byte
	kept   bool
}

// Learn gives the scanner memory for the form of events, until the next Reset; nil takes it away.
func (s *Scanner) Learn(f *Form) {
	if s.form = f; f != nil {
		f.n = 0
	}
}

// note takes down a piece of output.
func (f *Form) note(s *Scanner, keep bool) {
	f.pieces++
	f.piece, f.kept = s.Piece, keep
	if !s.fresh || !s.Last {
		f.pieces++
	}
}

// like follows the event at the beginning of p where it has the known form, and returns its length; else 0.
func (s *Scanner) like(p []byte) int {
	f := s.form
	if f.n == 0 || len(p) <= f.n || !bytes.HasPrefix(p, f.b[:f.at]) {
		return 0
	}
	text := p[f.at:]
	end := bytes.IndexByte(text, '"')
	if end <= 0 || !bytes.HasPrefix(text[end:], f.b[f.at:f.n]) {
		return 0
	}
	text = text[:end]
	for _, c := range text {
		if c < ' ' || c == '\\' {
			return 0
		}
	}
	s.Piece = text
	s.Output(f.keep)
	s.Piece, s.Thought = nil, f.thought
	s.Events++
	s.settle()
	return f.n + end
}

// learn takes the form of event, which a step that began with was and marks has read, where its text is all that it told.
func (s *Scanner) learn(event []byte, was *Tally, text int, other bool) {
	f := s.form
	if f.pieces != 1 || s.cr || s.Other != other || s.hash != offset64 {
		return
	}
	n := len(f.piece)
	at := cap(event) - cap(f.piece) // both end where the memory ends
	if at <= 0 || at+n >= len(event) || len(event)-n > len(f.b) || &event[at] != &f.piece[0] || event[at-1] != '"' || event[at+n] != '"' {
		return
	}
	want := *was
	want.Events++
	want.Deltas++
	want.Bytes += int64(n)
	thought := s.Reasoning > want.Reasoning
	if thought {
		want.Reasoning++
	}
	if f.kept {
		text += n
	}
	if s.Tally != want || s.Text != nil && len(s.Text) != text {
		return
	}
	f.keep, f.thought, f.at = f.kept, thought, at
	f.n = at + copy(f.b[at:], event[at+n:])
	copy(f.b[:at], event)
}
