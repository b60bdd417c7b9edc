package gguf

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"unicode/utf8"
)

// Read reads the header of a file of size bytes. It refuses duplicate keys and names, counts and lengths that the file
// is too short for, and tensors that overlap, are not aligned or lie outside. A tensor type that is not known is an
// error, because its size is not.
func Read(r io.ReaderAt, size int64) (*File, error) {
	p := newParser(r, 0, size)
	f := p.header()
	if p.err != nil {
		return nil, fmt.Errorf("read the header: %w", p.err)
	}
	if err := f.place(size); err != nil {
		return nil, fmt.Errorf("read the header: %w", err)
	}
	return f, nil
}

// Strings reads an array of strings, such as tokenizer.ggml.tokens.
func (a Array) Strings(r io.ReaderAt) ([]string, error) {
	if a.Kind != String {
		return nil, fmt.Errorf("read a list: %w: strings are expected, kind %d found", ErrFormat, a.Kind)
	}
	p := newParser(r, a.Offset, a.Offset+a.Size)
	if a.Count > p.left()/8 {
		return nil, fmt.Errorf("read a list: %w: %d strings in %d bytes", ErrFormat, a.Count, a.Size)
	}
	out := make([]string, 0, a.Count)
	for range a.Count {
		out = append(out, p.text(maxString))
		if p.err != nil {
			return nil, fmt.Errorf("read a list: %w", p.err)
		}
	}
	return out, nil
}

// parser reads forward; after the first error every read returns zero.
type parser struct {
	r    *bufio.Reader
	at   int64
	end  int64
	held int64 // bytes of strings kept
	err  error
}

func newParser(r io.ReaderAt, at, end int64) *parser {
	return &parser{r: bufio.NewReaderSize(io.NewSectionReader(r, at, end-at), 1<<16), at: at, end: end}
}

func (p *parser) left() int64 { return p.end - p.at }

func (p *parser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf("%w: "+format, append([]any{ErrFormat}, args...)...)
	}
}

func (p *parser) bytes(n int64) []byte {
	if p.err != nil {
		return nil
	}
	if n > p.left() {
		p.fail("%d bytes are announced where %d are left", n, p.left())
		return nil
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(p.r, b); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			p.fail("it ends early")
		} else {
			p.err = err
		}
		return nil
	}
	p.at += n
	return b
}

func (p *parser) uint(n int64) uint64 {
	var b [8]byte
	copy(b[:], p.bytes(n))
	return binary.LittleEndian.Uint64(b[:])
}

func (p *parser) text(most int64) string {
	n := p.uint(8)
	if p.err == nil && n > uint64(most) {
		p.fail("a string of %d bytes", n)
	}
	if p.err != nil {
		return ""
	}
	return string(p.bytes(int64(n)))
}

func (p *parser) keep(s string) string {
	if p.held += int64(len(s)); p.held > maxHeld {
		p.fail("its metadata hold more than %d bytes of text", maxHeld)
	}
	return s
}

func (p *parser) skip(n int64) {
	if p.err != nil {
		return
	}
	if n < 0 || n > p.left() {
		p.fail("%d bytes are announced where %d are left", n, p.left())
		return
	}
	for n > 0 {
		step, err := p.r.Discard(int(min(n, 1<<30)))
		p.at += int64(step)
		n -= int64(step)
		if err != nil {
			p.fail("it ends early")
			return
		}
	}
}

func (p *parser) header() *File {
	f := &File{Alignment: 32}
	if magic := string(p.bytes(4)); p.err == nil && magic != "GGUF" {
		p.fail("it begins with %q", magic)
	}
	f.Version = uint32(p.uint(4))
	if p.err == nil && f.Version != 2 && f.Version != 3 {
		p.fail("version %d; 2 and 3 in little-endian order are read", f.Version)
	}
	tensors, pairs := p.uint(8), p.uint(8)
	if p.err == nil && (tensors > maxTensors || pairs > maxPairs || int64(tensors) > p.left()/24 || int64(pairs) > p.left()/13) {
		p.fail("%d tensors and %d keys are announced in %d bytes", tensors, pairs, p.left())
	}
	seen := map[string]bool{}
	for i := uint64(0); i < pairs && p.err == nil; i++ {
		f.Metadata = append(f.Metadata, p.pair(seen))
	}
	if v, ok := f.Lookup("general.alignment"); ok && p.err == nil {
		a, isUint := v.(uint64)
		if !isUint || a == 0 || a > 1<<20 || a&(a-1) != 0 {
			p.fail("alignment %v", v)
		}
		f.Alignment = int64(a)
	}
	known := elements()
	seen = map[string]bool{}
	for i := uint64(0); i < tensors && p.err == nil; i++ {
		f.Tensors = append(f.Tensors, p.tensor(seen, known))
	}
	f.DataStart = p.at
	if rest := p.at % max(f.Alignment, 1); rest != 0 {
		f.DataStart += f.Alignment - rest
	}
	return f
}

func (p *parser) pair(seen map[string]bool) Pair {
	kv := Pair{Key: p.keep(p.text(maxName))}
	if p.err == nil && (seen[kv.Key] || !utf8.ValidString(kv.Key)) {
		p.fail("key %q is given twice or not valid", kv.Key)
	}
	seen[kv.Key] = true
	kv.Kind = Kind(p.uint(4))
	if p.err == nil {
		kv.Value = p.value(kv.Kind)
	}
	return kv
}

func (p *parser) value(k Kind) any {
	switch k {
	case Uint8, Uint16, Uint32, Uint64:
		return p.uint(k.size())
	case Int8:
		return int64(int8(p.uint(1)))
	case Int16:
		return int64(int16(p.uint(2)))
	case Int32:
		return int64(int32(p.uint(4)))
	case Int64:
		return int64(p.uint(8))
	case Float32:
		return float64(math.Float32frombits(uint32(p.uint(4))))
	case Float64:
		return math.Float64frombits(p.uint(8))
	case Bool:
		b := p.uint(1)
		if b > 1 {
			p.fail("a truth value of %d", b)
		}
		return b == 1
	case String:
		return p.keep(p.text(maxString))
	case ArrayKind:
		return p.array()
	}
	p.fail("a value of kind %d", k)
	return nil
}

func (p *parser) array() Array {
	a := Array{Kind: Kind(p.uint(4))}
	n := p.uint(8)
	a.Offset = p.at
	if p.err != nil {
		return a
	}
	each := a.Kind.size()
	if a.Kind == String {
		each = 8
	}
	if each == 0 {
		p.fail("a list of kind %d", a.Kind)
		return a
	}
	if n > uint64(p.left()/each) {
		p.fail("a list of %d elements in %d bytes", n, p.left())
		return a
	}
	a.Count = int64(n)
	if a.Kind != String {
		p.skip(a.Count * each)
	}
	for i := int64(0); a.Kind == String && i < a.Count && p.err == nil; i++ {
		length := p.uint(8)
		if length > maxString {
			p.fail("a string of %d bytes", length)
		}
		p.skip(int64(length))
	}
	a.Size = p.at - a.Offset
	return a
}

func (p *parser) tensor(seen map[string]bool, known []element) Tensor {
	t := Tensor{Name: p.keep(p.text(maxName))}
	if p.err == nil && (seen[t.Name] || !utf8.ValidString(t.Name)) {
		p.fail("tensor %q is given twice or not valid", t.Name)
	}
	seen[t.Name] = true
	dims := p.uint(4)
	if p.err == nil && dims > maxDims {
		p.fail("tensor %q has %d dimensions", t.Name, dims)
	}
	if p.err != nil {
		return t
	}
	t.Shape = make([]int64, dims)
	n, row := int64(1), int64(1)
	for i := range t.Shape {
		d := p.uint(8)
		if d > math.MaxInt64/1024 || d > 0 && n > math.MaxInt64/1024/int64(d) {
			p.fail("tensor %q is too large", t.Name)
			return t
		}
		t.Shape[len(t.Shape)-1-i] = int64(d)
		if n *= int64(d); i == 0 {
			row = int64(d)
		}
	}
	number, offset := uint32(p.uint(4)), p.uint(8)
	if p.err == nil && offset > math.MaxInt64 {
		p.fail("tensor %q lies at %d", t.Name, offset)
	}
	t.Offset = int64(offset)
	for _, e := range known {
		if e.number == number {
			t.DType, t.Size = e.name, n/e.block*e.bytes
			if row%e.block != 0 {
				p.fail("tensor %q: rows of %d are not whole blocks of %s", t.Name, row, e.name)
			}
		}
	}
	if t.DType == "" && p.err == nil {
		p.fail("tensor %q has the type %d, which is not known", t.Name, number)
	}
	return t
}
