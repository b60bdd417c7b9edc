// Package safetensors reads and writes the safetensors format: eight bytes of length, a JSON header, and the bytes of
// the tensors without holes. The reader is strict and never allocates more than the file is long.
package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"unicode/utf8"
)

// MaxHeader is the longest header that is read, in bytes: the limit of the format's reference.
const MaxHeader = 100_000_000

// ErrFormat is wrapped by every error about the content of a file.
var ErrFormat = errors.New("not a well-formed safetensors file")

// Tensor is one entry of the header.
type Tensor struct {
	Name   string
	DType  string  // as written, such as BF16
	Shape  []int64 // outermost first; empty for a scalar
	Offset int64   // of the first byte, from the beginning of the file
	Size   int64   // bytes
}

// Elements is how many numbers the tensor has.
func (t *Tensor) Elements() int64 {
	n := int64(1)
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// File is a header.
type File struct {
	Tensors  []Tensor          // in the order of their bytes
	Metadata map[string]string // of __metadata__; nil when there is none
}

// Bits returns the size of an element of the type in bits, or 0 when the format does not know it.
func Bits(dtype string) int64 {
	switch dtype {
	case "F4":
		return 4
	case "F6_E2M3", "F6_E3M2":
		return 6
	case "BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ":
		return 8
	case "U16", "I16", "F16", "BF16":
		return 16
	case "U32", "I32", "F32":
		return 32
	case "U64", "I64", "F64", "C64":
		return 64
	}
	return 0
}

// Read reads the header of a file of size bytes. It refuses duplicate keys, overlaps, holes, bytes after the last
// tensor, and sizes that do not fit the shape.
func Read(r io.ReaderAt, size int64) (*File, error) {
	var length [8]byte
	if size < 10 {
		return nil, fmt.Errorf("read the header: %w: it has %d bytes", ErrFormat, size)
	}
	if _, err := r.ReadAt(length[:], 0); err != nil {
		return nil, fmt.Errorf("read the header: %w", err)
	}
	n := binary.LittleEndian.Uint64(length[:])
	if n > MaxHeader || n > uint64(size-8) || n < 2 {
		return nil, fmt.Errorf("read the header: %w: a header of %d bytes in a file of %d", ErrFormat, n, size)
	}
	header := make([]byte, n)
	if _, err := r.ReadAt(header, 8); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read the header: %w", err)
	}
	f, err := parse(header)
	if err != nil {
		return nil, err
	}
	begin := int64(n) + 8
	slices.SortStableFunc(f.Tensors, func(a, b Tensor) int {
		if a.Offset != b.Offset {
			return compare(a.Offset, b.Offset)
		}
		return compare(a.Size, b.Size)
	})
	at := int64(0)
	for i := range f.Tensors {
		t := &f.Tensors[i]
		if t.Offset != at {
			return nil, fmt.Errorf("read the header: %w: tensor %q begins at %d where %d is expected", ErrFormat, t.Name, t.Offset, at)
		}
		if t.Size > size-begin-at {
			return nil, fmt.Errorf("read the header: %w: tensor %q ends after the file", ErrFormat, t.Name)
		}
		at += t.Size
		t.Offset += begin
	}
	if at != size-begin {
		return nil, fmt.Errorf("read the header: %w: %d bytes follow the last tensor", ErrFormat, size-begin-at)
	}
	return f, nil
}

func compare(a, b int64) int {
	if a < b {
		return -1
	}
	if a > b {
		return 1
	}
	return 0
}

func parse(header []byte) (*File, error) {
	if header[0] != '{' || !utf8.Valid(header) {
		return nil, fmt.Errorf("read the header: %w: the header is not a JSON object", ErrFormat)
	}
	dec := json.NewDecoder(bytes.NewReader(header))
	f := &File{}
	err := object(dec, func(key string) error {
		if key == "__metadata__" {
			f.Metadata = map[string]string{}
			return object(dec, func(k string) error {
				tok, err := dec.Token()
				if err != nil {
					return err
				}
				v, ok := tok.(string)
				if !ok {
					return fmt.Errorf("metadata %q is not a string", k)
				}
				f.Metadata[k] = v
				return nil
			})
		}
		t := Tensor{Name: key}
		if err := t.read(dec); err != nil {
			return fmt.Errorf("tensor %q: %w", key, err)
		}
		f.Tensors = append(f.Tensors, t)
		return nil
	})
	if err == nil {
		if rest := bytes.TrimLeft(header[dec.InputOffset():], " \t\r\n"); len(rest) != 0 {
			err = errors.New("something follows the object")
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read the header: %w: %w", ErrFormat, err)
	}
	return f, nil
}

// object walks a JSON object, calling value for each key with the decoder before the value. A key twice is an error.
func object(dec *json.Decoder, value func(key string) error) error {
	tok, err := dec.Token()
	if err != nil {
		return err
	}
	if tok != json.Delim('{') {
		return errors.New("an object is expected")
	}
	seen := map[string]bool{}
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return err
		}
		key, ok := tok.(string)
		if !ok || seen[key] {
			return fmt.Errorf("key %q is given twice", key)
		}
		seen[key] = true
		if err := value(key); err != nil {
			return err
		}
	}
	_, err = dec.Token()
	return err
}

func (t *Tensor) read(dec *json.Decoder) error {
	var span []int64
	fields := 0
	err := object(dec, func(key string) error {
		fields++
		switch key {
		case "dtype":
			return dec.Decode(&t.DType)
		case "shape":
			return dec.Decode(&t.Shape)
		case "data_offsets":
			return dec.Decode(&span)
		}
		return fmt.Errorf("unknown field %q", key)
	})
	if err != nil {
		return err
	}
	if fields != 3 || len(span) != 2 || t.Shape == nil {
		return errors.New("dtype, shape and two data_offsets are needed")
	}
	if span[0] < 0 || span[1] < span[0] {
		return fmt.Errorf("offsets %d and %d", span[0], span[1])
	}
	t.Offset, t.Size = span[0], span[1]-span[0]
	bits := Bits(t.DType)
	if bits == 0 {
		return fmt.Errorf("unknown type %q", t.DType)
	}
	n := int64(1)
	for _, d := range t.Shape {
		if d < 0 || d > 0 && n > math.MaxInt64/64/d {
			return fmt.Errorf("shape %v", t.Shape)
		}
		n *= d
	}
	if n*bits%8 != 0 || n*bits/8 != t.Size {
		return fmt.Errorf("%d bytes where shape %v of %s needs %d bits", t.Size, t.Shape, t.DType, n*bits)
	}
	return nil
}

// Content is a tensor to be written.
type Content struct {
	Name  string
	DType string
	Shape []int64
	Data  []byte
}

// Write writes a file with the tensors in the order given. The header is padded so that data begin at a multiple of 8.
func Write(w io.Writer, metadata map[string]string, tensors []Content) error {
	var b bytes.Buffer
	b.WriteByte('{')
	if metadata != nil {
		m, err := json.Marshal(metadata)
		if err != nil {
			return fmt.Errorf("write the header: %w", err)
		}
		b.WriteString(`"__metadata__":`)
		b.Write(m)
	}
	at := int64(0)
	for i := range tensors {
		t := &tensors[i]
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(t.Name)
		if err != nil {
			return fmt.Errorf("write the header: %w", err)
		}
		shape := t.Shape
		if shape == nil {
			shape = []int64{}
		}
		entry, err := json.Marshal(struct {
			DType string   `json:"dtype"`
			Shape []int64  `json:"shape"`
			Span  [2]int64 `json:"data_offsets"`
		}{t.DType, shape, [2]int64{at, at + int64(len(t.Data))}})
		if err != nil {
			return fmt.Errorf("write the header: %w", err)
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(entry)
		at += int64(len(t.Data))
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	if _, err := w.Write(binary.LittleEndian.AppendUint64(nil, uint64(b.Len()))); err != nil {
		return fmt.Errorf("write the header: %w", err)
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("write the header: %w", err)
	}
	for i := range tensors {
		if _, err := w.Write(tensors[i].Data); err != nil {
			return fmt.Errorf("write tensor %q: %w", tensors[i].Name, err)
		}
	}
	return nil
}
