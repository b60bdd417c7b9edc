package tensor

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"

	"github.com/zeebo/xxh3"

	"github.com/palladium-guard/palladium/weights/inspect"
)

// Types of values in GGUF that are looked at.
const (
	ggufString = 8
	ggufArray  = 9
)

func matchGGUF(f *inspect.File) bool { return bytes.HasPrefix(f.Head(), []byte("GGUF")) }

var errBounds = errors.New("out of bounds")

// ggufReader reads forward and remembers the first error.
type ggufReader struct {
	f     *inspect.File
	r     *bufio.Reader
	at    int64
	order binary.ByteOrder
	err   error
	align uint64
}

func scanGGUF(f *inspect.File) {
	r := &ggufReader{f: f, r: bufio.NewReaderSize(f.Section(4, f.Size), 64<<10), at: 4, order: binary.LittleEndian, align: 32}
	version := r.u32()
	if version&0xffff == 0 && version != 0 {
		r.order, version = binary.BigEndian, version>>24
	}
	if version != 2 && version != 3 {
		f.Report(inspect.RuleHeader, inspect.Unknown, 4, "GGUF version %d is not known", version)
		return
	}
	tensors, pairs := r.u64(), r.u64()
	left := uint64(max(f.Size-r.at, 0))
	// A tensor takes at least 8+4+4+8 bytes and a pair 8+4+1.
	if tensors > left/24 || pairs > left/13 {
		f.Report(inspect.RuleBounds, inspect.Suspicious, 8, "%d tensors and %d values are claimed, which the file has no room for", tensors, pairs)
		return
	}
	r.pairs(pairs)
	spans, ok := r.tensors(tensors)
	switch {
	case r.err != nil && !errors.Is(r.err, errBounds):
		f.Report(inspect.RuleBroken, inspect.Suspicious, r.at, "the file ends within its header")
	case r.err == nil && ok:
		base := (r.at + int64(r.align) - 1) / int64(r.align) * int64(r.align)
		for _, s := range spans {
			if s.end > f.Size-base {
				f.Report(inspect.RuleBounds, inspect.Suspicious, base, "a tensor leads out of the file")
				return
			}
		}
		checkSpans(f, spans, base, int64(r.align))
	}
}

func (r *ggufReader) fixed(n int) []byte {
	var b [8]byte
	if r.err == nil {
		_, r.err = io.ReadFull(r.r, b[:n])
		r.at += int64(n)
	}
	return b[:n]
}

func (r *ggufReader) u32() uint32 { return r.order.Uint32(r.fixed(4)) }
func (r *ggufReader) u64() uint64 { return r.order.Uint64(r.fixed(8)) }

// skip moves on by n bytes that the file claims to have.
func (r *ggufReader) skip(n uint64) {
	if r.err != nil {
		return
	}
	if n > uint64(max(r.f.Size-r.at, 0)) {
		r.f.Report(inspect.RuleBounds, inspect.Suspicious, r.at, "a length of %d leads out of the file", n)
		r.err = errBounds
		return
	}
	r.at += int64(n)
	if n <= uint64(r.r.Buffered()) {
		_, r.err = r.r.Discard(int(n))
		return
	}
	r.r.Reset(r.f.Section(r.at, r.f.Size))
}

// text reads a string and returns at most limit bytes of it.
func (r *ggufReader) text(limit int) string {
	n := r.u64()
	if r.err != nil || n > uint64(max(r.f.Size-r.at, 0)) {
		r.skip(n)
		return ""
	}
	b := make([]byte, min(n, uint64(limit)))
	_, r.err = io.ReadFull(r.r, b)
	r.at += int64(len(b))
	r.skip(n - uint64(len(b)))
	return string(b)
}

// pairs reads the metadata.
func (r *ggufReader) pairs(n uint64) {
	seen := map[uint64]bool{}
	for range n {
		at := r.at
		key := r.text(1024)
		kind := r.u32()
		if r.err != nil {
			return
		}
		if h := xxh3.HashString(key); seen[h] {
			r.f.Report(inspect.RuleDuplicate, inspect.Suspicious, at, "%s is there twice", inspect.Quote(key))
		} else if len(seen) < maxTensors {
			seen[h] = true
		}
		at = r.at
		switch {
		case kind == ggufString && strings.HasPrefix(key, "tokenizer.chat_template"):
			r.f.Template(r.text(2<<20), at)
		case key == "general.alignment" && kind == 4:
			if r.align = uint64(r.u32()); r.align == 0 || r.align > 1<<20 || r.align&(r.align-1) != 0 {
				r.f.Report(inspect.RuleHeader, inspect.Suspicious, at, "an alignment of %d is not used", r.align)
				r.align = 32
			}
		default:
			r.value(kind, 0, strings.HasPrefix(key, "tokenizer.chat_template"))
		}
	}
}

// value passes over a value. Templates can be given as a list.
func (r *ggufReader) value(kind uint32, depth int, template bool) {
	size, ok := ggufSize(kind)
	switch {
	case ok:
		r.skip(size)
	case kind == ggufString && template:
		at := r.at
		r.f.Template(r.text(2<<20), at)
	case kind == ggufString:
		r.skip(r.u64())
	case kind == ggufArray && depth < 8:
		inner, n := r.u32(), r.u64()
		if size, ok := ggufSize(inner); ok {
			total, fits := product(n, size)
			if !fits {
				total = 1<<63 - 1
			}
			r.skip(uint64(total))
			return
		}
		if n > uint64(max(r.f.Size-r.at, 0))/8 {
			r.skip(n)
			r.err = errBounds
			r.f.Report(inspect.RuleBounds, inspect.Suspicious, r.at, "a list of %d values leads out of the file", n)
			return
		}
		for i := uint64(0); i < n && r.err == nil; i++ {
			r.value(inner, depth+1, template)
		}
	default:
		if r.err == nil {
			r.f.Report(inspect.RuleHeader, inspect.Suspicious, r.at, "a value is of the unknown type %d", kind)
			r.err = errBounds
		}
	}
}

func ggufSize(kind uint32) (uint64, bool) {
	switch kind {
	case 0, 1, 7:
		return 1, true
	case 2, 3:
		return 2, true
	case 4, 5, 6:
		return 4, true
	case 10, 11, 12:
		return 8, true
	}
	return 0, false
}

// tensors reads the list of tensors. It returns false when their places are not all known.
func (r *ggufReader) tensors(n uint64) ([]span, bool) {
	if n > maxTensors {
		r.f.Report(inspect.RuleLimit, inspect.Unknown, r.at, "there are more than %d tensors", maxTensors)
		return nil, false
	}
	var spans []span
	seen := map[uint64]bool{}
	for range n {
		at := r.at
		name := r.text(1024)
		dims := r.u32()
		if r.err == nil && dims > 8 {
			r.f.Report(inspect.RuleHeader, inspect.Suspicious, at, "a tensor has %d dimensions", dims)
			return nil, false
		}
		shape := []uint64{1, 1}
		for range dims {
			shape = append(shape, r.u64())
		}
		kind, offset := r.u32(), r.u64()
		if r.err != nil {
			return nil, false
		}
		if h := xxh3.HashString(name); seen[h] {
			r.f.Report(inspect.RuleDuplicate, inspect.Suspicious, at, "tensor %s is there twice", inspect.Quote(name))
		} else {
			seen[h] = true
		}
		block, size := ggmlBlock(kind)
		if block == 0 {
			r.f.Report(inspect.RuleHeader, inspect.Unknown, at, "tensor %s is of the unknown type %d", inspect.Quote(name), kind)
			return nil, false
		}
		elements, ok := product(shape...)
		total, ok2 := product(uint64(elements/block), uint64(size))
		if !ok || !ok2 || elements%block != 0 || offset > uint64(r.f.Size) || total > r.f.Size {
			r.f.Report(inspect.RuleBounds, inspect.Suspicious, at, "tensor %s has a size or place that the file has no room for", inspect.Quote(name))
			return nil, false
		}
		if offset%r.align != 0 {
			r.f.Report(inspect.RuleHeader, inspect.Suspicious, at, "tensor %s is not aligned", inspect.Quote(name))
		}
		spans = append(spans, span{int64(offset), int64(offset) + total})
	}
	return spans, true
}

// ggmlBlock returns how many elements a block of the type has, and how many bytes, or zero.
func ggmlBlock(kind uint32) (elements, size int64) {
	type b = [2]int64
	blocks := map[uint32]b{
		0: {1, 4}, 1: {1, 2}, 2: {32, 18}, 3: {32, 20}, 6: {32, 22}, 7: {32, 24}, 8: {32, 34}, 9: {32, 36}, 10: {256, 84}, 11: {256, 110}, 12: {256, 144},
		13: {256, 176}, 14: {256, 210}, 15: {256, 292}, 16: {256, 66}, 17: {256, 74}, 18: {256, 98}, 19: {256, 50}, 20: {32, 18}, 21: {256, 110},
		22: {256, 82}, 23: {256, 136}, 24: {1, 1}, 25: {1, 2}, 26: {1, 4}, 27: {1, 8}, 28: {1, 8}, 29: {256, 56}, 30: {1, 2}, 34: {256, 54}, 35: {256, 66}, 39: {32, 17},
	}
	return blocks[kind][0], blocks[kind][1]
}
