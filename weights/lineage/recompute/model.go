// Package recompute does deterministic steps of a model's life again, from tensor files alone, and compares: casts,
// quantisation, resharding, merging of adapters and merges by a recipe. It streams: memory does not grow with the model,
// but for an adapter's matrices, two of which are held.
package recompute

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"path"
	"slices"
	"strings"

	"github.com/palladium-guard/palladium/internal/gguf"
	"github.com/palladium-guard/palladium/internal/safetensors"
	"github.com/palladium-guard/palladium/internal/tensor"
)

// ErrUnable is wrapped by errors that say that a step cannot be done again. They say nothing against it.
var ErrUnable = errors.New("the step cannot be done again")

// chunk is how many elements are compared at a time. It is a multiple of every block.
const chunk = 1 << 16

// File is a file of a model.
type File struct {
	Name    string
	Content io.ReaderAt
	Size    int64
}

// Model is the tensors of a model's files.
type Model struct {
	tensors map[string]*weights
	gguf    *gguf.File // of the first GGUF file
	raw     map[string]File
}

// weights is one tensor in a file.
type weights struct {
	name   string
	dtype  tensor.DType
	shape  []int64
	at     io.ReaderAt
	offset int64
	size   int64
	// row returns the row of the file that stands at a row of the tensor; nil when they are the same.
	row func(int64) int64
}

// Open reads the headers of a model's safetensors and GGUF files; other files are kept by name. Errors wrap ErrUnable.
func Open(files []File) (*Model, error) {
	m := &Model{tensors: map[string]*weights{}, raw: map[string]File{}}
	for _, f := range files {
		var magic [4]byte
		_, _ = f.Content.ReadAt(magic[:], 0) // a short file is of neither format
		switch {
		case string(magic[:]) == "GGUF":
			h, err := gguf.Read(f.Content, f.Size)
			if err != nil {
				return nil, fmt.Errorf("%w: %s: %w", ErrUnable, f.Name, err)
			}
			if m.gguf == nil {
				m.gguf = h
			}
			for _, t := range h.Tensors {
				if err := m.add(f, t.Name, t.DType, t.Shape, t.Offset, t.Size); err != nil {
					return nil, err
				}
			}
		case strings.HasSuffix(f.Name, ".safetensors"):
			h, err := safetensors.Read(f.Content, f.Size)
			if err != nil {
				return nil, fmt.Errorf("%w: %s: %w", ErrUnable, f.Name, err)
			}
			for _, t := range h.Tensors {
				if err := m.add(f, t.Name, t.DType, t.Shape, t.Offset, t.Size); err != nil {
					return nil, err
				}
			}
		default:
			m.raw[path.Base(f.Name)] = f
		}
	}
	if len(m.tensors) == 0 {
		return nil, fmt.Errorf("%w: no safetensors or GGUF file is among the model's", ErrUnable)
	}
	return m, nil
}

func (m *Model) add(f File, name, dtype string, shape []int64, offset, size int64) error {
	if _, twice := m.tensors[name]; twice {
		return fmt.Errorf("%w: tensor %q is in two files", ErrUnable, name)
	}
	m.tensors[name] = &weights{name: name, dtype: tensor.DType(dtype), shape: shape, at: f.Content, offset: offset, size: size}
	return nil
}

func (m *Model) names() []string { return slices.Sorted(maps.Keys(m.tensors)) }

func (t *weights) elements() int64 {
	n := int64(1)
	for _, d := range t.shape {
		n *= d
	}
	return n
}

// columns is the length of a row: of all elements when there is one dimension.
func (t *weights) columns() int64 {
	if len(t.shape) == 0 {
		return 1
	}
	return t.shape[len(t.shape)-1]
}

// bytes reads the bytes of n elements from start, which is at the beginning of a block.
func (t *weights) bytes(start, n int64, dst []byte) ([]byte, error) {
	elements, size := t.dtype.Block()
	if elements == 0 {
		return nil, fmt.Errorf("%w: tensor %q is of type %s", ErrUnable, t.name, t.dtype)
	}
	if start%int64(elements) != 0 || n%int64(elements) != 0 {
		return nil, fmt.Errorf("%w: the rows of tensor %q are not whole blocks", ErrUnable, t.name)
	}
	dst = dst[:n/int64(elements)*int64(size)]
	_, err := t.at.ReadAt(dst, t.offset+start/int64(elements)*int64(size))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read tensor %q: %w", t.name, err)
	}
	return dst, nil
}

// read decodes elements, row by row where rows stand in another order.
func (t *weights) read(start int64, dst []float32, buf []byte) error {
	if t.row == nil {
		raw, err := t.bytes(start, int64(len(dst)), buf)
		if err != nil {
			return err
		}
		return t.dtype.Decode(dst, raw)
	}
	columns := t.columns()
	for done := int64(0); done < int64(len(dst)); {
		at := start + done
		row, in := at/columns, at%columns
		n := min(columns-in, int64(len(dst))-done)
		raw, err := t.bytes(t.row(row)*columns+in, n, buf)
		if err != nil {
			return err
		}
		if err := t.dtype.Decode(dst[done:done+n], raw); err != nil {
			return err
		}
		done += n
	}
	return nil
}

// chunks calls f for runs of elements: of whole blocks.
func (t *weights) chunks(f func(start int64, n int) error) error {
	total := t.elements()
	for start := int64(0); start < total; start += chunk {
		if err := f(start, int(min(chunk, total-start))); err != nil {
			return err
		}
	}
	return nil
}

// ulp is the distance between neighbours of the type around v, as a 64-bit float.
func ulp(d tensor.DType, v float64) float64 {
	bits, least := 23, -126
	switch d {
	case tensor.BF16:
		bits = 7
	case tensor.F16:
		bits, least = 10, -14
	case tensor.F32:
	default:
		return 0
	}
	e := least
	if v != 0 {
		_, exp := math.Frexp(v)
		e = max(exp-1, least)
	}
	return math.Ldexp(1, e-bits)
}
