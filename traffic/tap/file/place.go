package file

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"io"
	"os"
	"slices"
	"sync/atomic"

	"github.com/zeebo/xxh3"
)

// Identity recognises a file by how its text begins, so that it stays the same when the file is renamed, or compressed
// after it was rotated.
type Identity struct {
	Prefix int64  `json:"prefix"` // bytes hashed: at most headSize
	Hash   uint64 `json:"hash"`   // xxh3 of them
}

// Position is how far a file was taken in: whole lines, and the bytes of text (uncompressed) that they take.
type Position struct {
	Path     string   `json:"path"`
	Identity Identity `json:"identity"` // zero for standard input
	Lines    int64    `json:"lines"`
	Bytes    int64    `json:"bytes"`
	Tail     Tail     `json:"tail"`  // the text just before the position
	Clock    int64    `json:"clock"` // Unix ms: the file's running time there; 0 when not known

	// Continues is 1 + the index in Options.Resume of the position that this one went on from; 0 for none. Who keeps
	// positions drops that one for this one.
	Continues int `json:"-"`
}

// Tail tells files apart that begin alike, as exports do that open with the same accounts every day.
type Tail struct {
	Size int64  `json:"size"` // bytes hashed: at most tailSize; 0 in a position that was kept without a tail
	Hash uint64 `json:"hash"` // xxh3 of them
}

const (
	headSize = 64 << 10
	tailSize = 256
)

// tailOf describes the end of text.
func tailOf(text []byte) Tail {
	text = text[max(0, len(text)-tailSize):]
	return Tail{Size: int64(len(text)), Hash: xxh3.Hash(text)}
}

// fits reports whether t is a tail of text.
func (t Tail) fits(text []byte) bool {
	n := int(t.Size)
	return n == 0 || n > 0 && n <= len(text) && xxh3.Hash(text[len(text)-n:]) == t.Hash
}

// errShort is of a file that ends before the position up to which it was read.
var errShort = errors.New("shorter than when it was read before: restore it, or read it without the state")

// stream is an open source: its text from the start position on.
type stream struct {
	io.Reader
	packed string // gzip, zstd or empty
	close  func()
}

// open opens s and skips what was taken in before. Bytes taken from disk are added to read.
func (s *source) open(past []Position, read *atomic.Int64) (*stream, error) {
	if s.stdin != nil {
		s.start = Position{Path: s.path}
		return unpack(&counter{r: s.stdin, n: read}, func() {})
	}
	f, err := os.Open(s.path)
	if err != nil {
		return nil, err
	}
	if s.once {
		s.start = Position{Path: s.path}
		return unpack(&counter{r: f, n: read}, func() { f.Close() })
	}
	st, err := s.goOn(f, past, read)
	if err != nil {
		f.Close()
		return nil, err
	}
	inner := st.close
	st.close = func() { inner(); f.Close() }
	return st, nil
}

// candidate is a position that may be the file's.
type candidate struct {
	Position
	index int    // in Options.Resume
	prior []byte // the text just before it, once it was found
}

// goOn finds the position of f among those of the past, and returns the stream from there. A position is the file's
// when the file begins as its identity says and has its tail in the same place; of several the farthest is taken.
func (s *source) goOn(f *os.File, past []Position, read *atomic.Int64) (*stream, error) {
	text := &passed{counter: counter{r: f, n: read}, f: f}
	if err := text.rewind(); err != nil {
		return nil, err
	}
	head, _ := text.b.Peek(headSize) // what is wrong with the file is found when it is read
	s.start = Position{Path: s.path, Identity: Identity{Prefix: prefix(int64(len(head)))}}
	s.start.Identity.Hash = xxh3.Hash(head[:s.start.Identity.Prefix])
	known := candidates(head, past)
	c, err := s.search(known, text)
	if err == nil && c == nil && text.at > 0 {
		err = text.rewind()
	}
	if err == nil && c != nil {
		err = s.resume(c, text)
	}
	if err != nil {
		text.st.close()
		return nil, err
	}
	return text.st, nil
}

// candidates returns the positions of files that begin as head does, the nearest first.
func candidates(head []byte, past []Position) []candidate {
	var out []candidate
	tried := map[int64]uint64{}
	for i, p := range past {
		n := p.Identity.Prefix
		if n <= 0 || n > int64(len(head)) || p.Bytes <= 0 {
			continue
		}
		h, ok := tried[n]
		if !ok {
			h = xxh3.Hash(head[:n])
			tried[n] = h
		}
		if h == p.Identity.Hash {
			out = append(out, candidate{Position: p, index: i})
		}
	}
	slices.SortStableFunc(out, func(a, b candidate) int { return cmp.Compare(a.Bytes, b.Bytes) })
	return out
}

// search returns the farthest candidate whose tail is in its place, or nil.
func (s *source) search(known []candidate, text *passed) (*candidate, error) {
	var found *candidate
	short := false
	for i := range known {
		c := &known[i]
		err := text.reach(c.Bytes)
		if errors.Is(err, io.EOF) || err != nil && text.st.packed != "" {
			short = short || slices.ContainsFunc(known[i:], func(c candidate) bool { return c.Path == s.path })
			break
		}
		if err != nil {
			return nil, err
		}
		if c.Tail.fits(text.last) {
			found, c.prior = c, bytes.Clone(text.last)
		}
	}
	if found == nil && short {
		return nil, errShort
	}
	return found, nil
}

// resume goes to c. A last line that had no end then may have got one since.
func (s *source) resume(c *candidate, text *passed) error {
	if text.at > c.Bytes {
		if err := text.rewind(); err != nil {
			return err
		}
	}
	if err := text.reach(c.Bytes); err != nil {
		return err
	}
	s.start.Lines, s.start.Bytes, s.start.Clock, s.start.Continues = c.Lines, c.Bytes, c.Clock, c.index+1
	s.start.Tail = tailOf(c.prior)
	if c.prior[len(c.prior)-1] == '\n' {
		return nil
	}
	if next, err := text.b.Peek(1); err == nil && next[0] == '\n' {
		_, _ = text.b.Discard(1)
		s.start.Bytes++
		s.start.Tail = tailOf(append(c.prior, '\n'))
	}
	return nil
}

// passed is the text of a file on the way to a position.
type passed struct {
	counter
	f    *os.File
	st   *stream
	b    *bufio.Reader // of the stream's text
	at   int64         // bytes of text before the place reached
	last []byte        // the last tailSize of them
}

// rewind goes to the start of the file.
func (t *passed) rewind() error {
	if _, err := t.f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if t.st != nil {
		t.st.close()
	}
	st, err := unpack(&t.counter, func() {})
	if err != nil {
		t.st = &stream{close: func() {}}
		return err
	}
	t.st, t.at, t.last = st, 0, t.last[:0]
	t.b = bufio.NewReaderSize(st.Reader, headSize)
	st.Reader = t.b
	return nil
}

// reach goes forward to a place. It returns io.EOF when the text ends before it.
func (t *passed) reach(at int64) error {
	if t.st.packed == "" && at-t.at > tailSize {
		if _, err := t.f.Seek(at-tailSize, io.SeekStart); err != nil {
			return err
		}
		t.n.Add(at - tailSize - t.at)
		t.b.Reset(&t.counter)
		t.at, t.last = at-tailSize, t.last[:0]
	}
	n, err := io.CopyN(t, t.b, at-t.at)
	t.at += n
	return err
}

// Write keeps the end of what was passed.
func (t *passed) Write(p []byte) (int, error) {
	t.last = append(t.last, p[max(0, len(p)-tailSize):]...)
	t.last = slices.Delete(t.last, 0, max(0, len(t.last)-tailSize))
	return len(p), nil
}

// prefix rounds a length down to four significant bits, so that the identities of many files that grow have few
// different lengths to try.
func prefix(n int64) int64 {
	step := int64(1)
	for n/step >= 16 {
		step *= 2
	}
	return n / step * step
}
