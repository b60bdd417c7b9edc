package compare

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/palladium-guard/palladium/internal/gguf"
	"github.com/palladium-guard/palladium/internal/safetensors"
	"github.com/palladium-guard/palladium/internal/tensor"
)

// Source is one file of a model.
type Source struct {
	Name string
	Data io.ReaderAt
	Size int64
}

// Tensor is a tensor in a file.
type Tensor struct {
	Name  string
	DType tensor.DType
	Shape []int64 // outermost first

	data   io.ReaderAt
	offset int64
	size   int64
}

// Model is the tensors of a model's files, and what they are recognised as.
type Model struct {
	Tensors []Tensor
	Vocab   []string // the token of each row of the embedding; nil when not known

	named  bool // parts are recognised by names
	hidden int
	embeds []*matrix // one that is the embedding; also the head, where names do not tell
	parts  []part
	layers []layer
	notes  []string
}

// ErrFormat is wrapped by errors about files that are neither safetensors nor GGUF.
var ErrFormat = errors.New("neither safetensors nor GGUF")

// Open reads the headers of a model's files. vocab may be nil; a GGUF file that has one brings its own.
func Open(sources []Source, vocab []string) (*Model, error) {
	m := &Model{Vocab: vocab}
	seen := map[string]string{}
	for i := range sources {
		s := &sources[i]
		tensors, err := m.open(s)
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", s.Name, err)
		}
		for j := range tensors {
			if other, ok := seen[tensors[j].Name]; ok {
				return nil, fmt.Errorf("open %s: the tensor %q is in %s as well: give the files of one model", s.Name, tensors[j].Name, other)
			}
			seen[tensors[j].Name] = s.Name
		}
		m.Tensors = append(m.Tensors, tensors...)
	}
	if len(m.Tensors) == 0 {
		return nil, fmt.Errorf("open the model: %w", ErrTensors)
	}
	m.recognise()
	return m, nil
}

func (m *Model) open(s *Source) (out []Tensor, err error) {
	magic := make([]byte, 9)
	if n, err := s.Data.ReadAt(magic, 0); err != nil && (n < 9 || !errors.Is(err, io.EOF)) {
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%w: it ends after %d bytes", ErrFormat, n)
		}
		return nil, err
	}
	switch {
	case string(magic[:4]) == "GGUF":
		f, err := gguf.Read(s.Data, s.Size)
		if err != nil {
			return nil, err
		}
		for i := range f.Tensors {
			t := &f.Tensors[i]
			out = append(out, Tensor{Name: t.Name, DType: tensor.DType(t.DType), Shape: t.Shape, data: s.Data, offset: t.Offset, size: t.Size})
		}
		if v, ok := f.Lookup("tokenizer.ggml.tokens"); ok && m.Vocab == nil {
			if list, ok := v.(gguf.Array); ok && list.Kind == gguf.String && list.Count < maxVocabulary {
				if m.Vocab, err = list.Strings(s.Data); err != nil {
					return nil, err
				}
			}
		}
	case magic[8] == '{' && binary.LittleEndian.Uint64(magic) <= safetensors.MaxHeader:
		f, err := safetensors.Read(s.Data, s.Size)
		if err != nil {
			return nil, err
		}
		for i := range f.Tensors {
			t := &f.Tensors[i]
			out = append(out, Tensor{Name: t.Name, DType: tensor.DType(t.DType), Shape: t.Shape, data: s.Data, offset: t.Offset, size: t.Size})
		}
	default:
		return nil, ErrFormat
	}
	return out, nil
}

// maxVocabulary is the longest vocabulary that is read, in tokens.
const maxVocabulary = 1 << 22

func (t *Tensor) elements() int64 {
	n := int64(1)
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

func (t *Tensor) readable() bool { return t.DType.Decodable() }

// read fills dst with the elements from the given one on; from and len(dst) need not be at the ends of blocks.
func (t *Tensor) read(dst []float32, from int64, s *scratch) error {
	n, size := t.DType.Block()
	if n == 0 {
		return fmt.Errorf("read tensor %q: the type %s cannot be decoded", t.Name, t.DType)
	}
	first, last := from/int64(n), (from+int64(len(dst))+int64(n)-1)/int64(n)
	raw := s.bytes(int(last-first) * size)
	if _, err := t.data.ReadAt(raw, t.offset+first*int64(size)); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read tensor %q: %w", t.Name, err)
	}
	whole := dst
	if n > 1 {
		whole = s.floats(int(last-first) * n)
	}
	if err := t.DType.Decode(whole, raw); err != nil {
		return fmt.Errorf("read tensor %q: %w", t.Name, err)
	}
	if n > 1 {
		copy(dst, whole[from-first*int64(n):])
	}
	return nil
}

// scratch is memory that is used again.
type scratch struct {
	raw   []byte
	block []float32
}

func (s *scratch) bytes(n int) []byte {
	if cap(s.raw) < n {
		s.raw = make([]byte, n)
	}
	return s.raw[:n]
}

func (s *scratch) floats(n int) []float32 {
	if cap(s.block) < n {
		s.block = make([]float32, n)
	}
	return s.block[:n]
}

// matrix is a linear map as it lies in a tensor: out rows of in numbers, or the other way round when turned. Rows from
// first on belong to it; the others to another map that is stored with it.
type matrix struct {
	t       *Tensor
	out, in int
	first   int // row of the tensor at which it begins; 0 when turned
	turned  bool
}

// gather returns the numbers at the given outputs and inputs, an output after another; nil outputs are all of them.
func (m *matrix) gather(outs, ins []int) ([]float32, error) {
	if outs == nil {
		outs = make([]int, m.out)
		for i := range outs {
			outs[i] = i
		}
	}
	x := make([]float32, len(outs)*len(ins))
	var s scratch
	if m.turned {
		row := make([]float32, m.out)
		for j, in := range ins {
			if err := m.t.read(row, int64(in)*int64(m.out), &s); err != nil {
				return nil, err
			}
			for i, o := range outs {
				x[i*len(ins)+j] = finite(row[o])
			}
		}
		return x, nil
	}
	row := make([]float32, m.in)
	for i, o := range outs {
		if err := m.t.read(row, int64(m.first+o)*int64(m.in), &s); err != nil {
			return nil, err
		}
		for j, in := range ins {
			x[i*len(ins)+j] = finite(row[in])
		}
	}
	return x, nil
}

// finite makes a zero of what is no number or larger than any weight, so that one broken weight does not hide the
// others, nor sums of products overflow.
func finite(f float32) float32 {
	const most = 1e12
	if !(f > -most && f < most) {
		return 0
	}
	return f
}

func (m *Model) shape() Shape {
	s := Shape{Tensors: len(m.Tensors), Layers: len(m.layers), Hidden: m.hidden, Recognised: "by shapes"}
	if m.named {
		s.Recognised = "by names"
	}
	types := map[tensor.DType]int64{}
	for i := range m.Tensors {
		n := m.Tensors[i].elements()
		s.Parameters += n
		types[m.Tensors[i].DType] += n
	}
	if len(m.embeds) > 0 {
		s.Vocabulary = m.embeds[0].out
	}
	for i := range m.layers {
		if up := m.layers[i].get(up); up != nil {
			s.Neurons = up.out
			break
		}
	}
	var names []string
	for d := range types {
		names = append(names, string(d))
	}
	slices.SortFunc(names, func(x, y string) int {
		return cmp.Or(cmp.Compare(types[tensor.DType(y)], types[tensor.DType(x)]), strings.Compare(x, y))
	})
	s.Types = strings.Join(names, " ")
	return s
}
