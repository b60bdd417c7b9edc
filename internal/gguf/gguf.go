// Package gguf reads and writes GGUF, the tensor format of ggml: typed metadata, a list of tensors, and their bytes at
// aligned offsets. The reader is strict, reads versions 2 and 3 in little-endian order, and never believes a count that
// the file is too short for.
package gguf

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// The limits of what is read.
const (
	maxString  = 64 << 20 // bytes of a value; templates and licences are shorter
	maxName    = 1 << 16  // bytes of a key or of a tensor's name
	maxHeld    = 128 << 20
	maxTensors = 1 << 20
	maxPairs   = 1 << 20
	maxDims    = 8
)

// ErrFormat is wrapped by every error about the content of a file.
var ErrFormat = errors.New("not a well-formed GGUF file")

// Kind is the type of a metadata value.
type Kind uint32

// The kinds, as numbered by the format.
const (
	Uint8 Kind = iota
	Int8
	Uint16
	Int16
	Uint32
	Int32
	Float32
	Bool
	String
	ArrayKind
	Uint64
	Int64
	Float64
)

// size is the number of bytes of a value of fixed size, or 0.
func (k Kind) size() int64 {
	switch k {
	case Uint8, Int8, Bool:
		return 1
	case Uint16, Int16:
		return 2
	case Uint32, Int32, Float32:
		return 4
	case Uint64, Int64, Float64:
		return 8
	}
	return 0
}

// Array is a list in the metadata. Its elements stay in the file: lists of tokens are long.
type Array struct {
	Kind   Kind
	Count  int64
	Offset int64 // of the first element, from the beginning of the file
	Size   int64 // bytes of all elements
}

// Pair is a key of the metadata with its value: uint64, int64, float64, bool, string or Array.
type Pair struct {
	Key   string
	Kind  Kind
	Value any
}

// Tensor is one entry of the list of tensors.
type Tensor struct {
	Name   string
	DType  string  // name of the ggml type, such as F16 or Q4_K
	Shape  []int64 // outermost first, the reverse of the order in the file: rows, then columns
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
	Version   uint32
	Alignment int64
	Metadata  []Pair
	Tensors   []Tensor // in the order of their bytes
	DataStart int64    // where the tensors' bytes begin
}

// Lookup returns the value of a key.
func (f *File) Lookup(key string) (any, bool) {
	for i := range f.Metadata {
		if f.Metadata[i].Key == key {
			return f.Metadata[i].Value, true
		}
	}
	return nil, false
}

// Text returns the value of a key that is a string, or "".
func (f *File) Text(key string) string {
	v, _ := f.Lookup(key)
	s, _ := v.(string)
	return s
}

// element is a tensor type: its number and name, and how many elements share how many bytes.
type element struct {
	number uint32
	name   string
	block  int64
	bytes  int64
}

// elements lists the tensor types of ggml.h (enum ggml_type) that are in use.
func elements() []element {
	return []element{
		{0, "F32", 1, 4}, {1, "F16", 1, 2}, {2, "Q4_0", 32, 18}, {3, "Q4_1", 32, 20}, {6, "Q5_0", 32, 22}, {7, "Q5_1", 32, 24},
		{8, "Q8_0", 32, 34}, {9, "Q8_1", 32, 36}, {10, "Q2_K", 256, 84}, {11, "Q3_K", 256, 110}, {12, "Q4_K", 256, 144},
		{13, "Q5_K", 256, 176}, {14, "Q6_K", 256, 210}, {15, "Q8_K", 256, 292}, {16, "IQ2_XXS", 256, 66}, {17, "IQ2_XS", 256, 74},
		{18, "IQ3_XXS", 256, 98}, {19, "IQ1_S", 256, 50}, {20, "IQ4_NL", 32, 18}, {21, "IQ3_S", 256, 110}, {22, "IQ2_S", 256, 82},
		{23, "IQ4_XS", 256, 136}, {24, "I8", 1, 1}, {25, "I16", 1, 2}, {26, "I32", 1, 4}, {27, "I64", 1, 8}, {28, "F64", 1, 8},
		{29, "IQ1_M", 256, 56}, {30, "BF16", 1, 2}, {34, "TQ1_0", 256, 54}, {35, "TQ2_0", 256, 66}, {39, "MXFP4", 32, 17},
	}
}

func elementByName(name string) (element, bool) {
	for _, e := range elements() {
		if e.name == name {
			return e, true
		}
	}
	return element{}, false
}

// place checks the tensors' sizes and offsets against the file.
func (f *File) place(size int64) error {
	slices.SortStableFunc(f.Tensors, func(a, b Tensor) int {
		if a.Offset < b.Offset {
			return -1
		}
		if a.Offset > b.Offset {
			return 1
		}
		return 0
	})
	end := f.DataStart
	for i := range f.Tensors {
		t := &f.Tensors[i]
		if t.Offset%f.Alignment != 0 {
			return fmt.Errorf("%w: tensor %q is not aligned to %d bytes", ErrFormat, t.Name, f.Alignment)
		}
		if t.Offset > math.MaxInt64-f.DataStart || t.Offset+f.DataStart < end {
			return fmt.Errorf("%w: tensor %q overlaps another one", ErrFormat, t.Name)
		}
		t.Offset += f.DataStart
		if t.Offset > size || t.Size > size-t.Offset {
			return fmt.Errorf("%w: tensor %q ends after the file", ErrFormat, t.Name)
		}
		end = t.Offset + t.Size
	}
	return nil
}
