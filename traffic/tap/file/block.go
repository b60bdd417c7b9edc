package file

import (
	"bytes"
	"io"
	"slices"

	"github.com/palladium-guard/palladium/traffic/dialect"
)

// block is a run of whole lines of one file.
type block struct {
	text   []byte
	line   int64 // number of the line before the first
	offset int64 // where text begins in the uncompressed file
	lines  int64
	size   int64 // bytes of the file that the block stands for
	open   bool  // the last line has no end: the file may still be written
	long   bool  // one line longer than dialect.MaxLine, whose text is not kept
}

// splitter cuts a stream into blocks of about size bytes that end at line ends.
type splitter struct {
	in     io.Reader
	size   int
	carry  []byte // begin of a line whose end was not read yet
	line   int64
	offset int64
	err    error
}

// next fills b, whose memory it reuses. It returns io.EOF after the last block, or what the stream failed with; a
// line that the failure cut in two is dropped.
func (s *splitter) next(b *block) error {
	text := b.text[:0]
	if cap(text) < s.size || cap(text) > 4*s.size {
		text = make([]byte, 0, s.size)
	}
	text = append(text, s.carry...)
	s.carry = s.carry[:0]
	*b = block{line: s.line, offset: s.offset}
	for searched := 0; ; searched = len(text) {
		if s.err == nil {
			text = s.fill(text)
		}
		if end := bytes.LastIndexByte(text[searched:], '\n'); end >= 0 {
			end += searched + 1
			s.carry = append(s.carry, text[end:]...)
			b.text = text[:end]
			b.lines, b.size = int64(bytes.Count(b.text, []byte{'\n'})), int64(end)
			break
		}
		if s.err != nil {
			b.text = text
			if s.err != io.EOF || len(text) == 0 {
				return s.err
			}
			b.lines, b.size, b.open = 1, int64(len(text)), true
			break
		}
		if len(text) > dialect.MaxLine {
			b.text, b.lines, b.long = text[:0], 1, true
			b.size = s.skip(text)
			break
		}
	}
	s.line += b.lines
	s.offset += b.size
	return nil
}

// fill reads until text is full, after making room when it is.
func (s *splitter) fill(text []byte) []byte {
	if len(text) == cap(text) {
		text = slices.Grow(text, max(s.size, len(text)))
	}
	for len(text) < cap(text) && s.err == nil {
		var n int
		n, s.err = s.in.Read(text[len(text):cap(text)])
		text = text[:len(text)+n]
	}
	return text
}

// skip drops the line that text begins, keeps what follows its end, and returns the line's size.
func (s *splitter) skip(text []byte) int64 {
	size := int64(len(text))
	for s.err == nil {
		var n int
		n, s.err = s.in.Read(text[:cap(text)])
		if end := bytes.IndexByte(text[:n], '\n'); end >= 0 {
			s.carry = append(s.carry, text[end+1:n]...)
			return size + int64(end) + 1
		}
		size += int64(n)
	}
	return size
}

// eachLine calls f with every line of b that is not blank, without its end, with its number and the offsets of its
// start and of what follows it, until f returns false.
func (b *block) eachLine(f func(line []byte, number, start, end int64) bool) {
	text, number, end := b.text, b.line, b.offset
	for len(text) > 0 {
		line, n := text, len(text)
		if at := bytes.IndexByte(text, '\n'); at >= 0 {
			line, n = text[:at], at+1
		}
		text = text[n:]
		number++
		end += int64(n)
		if number == 1 {
			line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
		}
		if len(line) > 0 && line[len(line)-1] == '\r' {
			line = line[:len(line)-1]
		}
		if blank(line) {
			continue
		}
		if !f(line, number, end-int64(n), end) {
			return
		}
	}
}

func blank(line []byte) bool {
	for _, c := range line {
		if c > ' ' {
			return false
		}
	}
	return true
}
