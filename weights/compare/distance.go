package compare

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"

	"github.com/palladium-guard/palladium/internal/tensor"
)

// Distance is how far weights in the same place are apart, over samples of all matrices that correspond in place and
// shape. It sees nothing when neurons or hidden dimensions are in another order.
type Distance struct {
	// Bits is the mean number of bits in which two weights differ, as bfloat16: 0 for equal ones, about 5.8 for
	// independent ones of like size. Source: ZipLLM (arXiv 2505.06252), where both are of the same type; others are rounded.
	Bits float64 `json:"bits"`
	// Cosine is that of all weights, taken as one vector each (PCS of HuRef, NeurIPS 2024).
	Cosine float64 `json:"cosine"`
	// Recast is the share of samples that are equal byte for byte when the finer model's are rounded to the type of the
	// coarser one; -1 when no matrices differ in type.
	Recast  float64 `json:"recast"`
	Tensors int     `json:"tensors"`
	Samples int64   `json:"samples"`
}

// sums are what a distance is made of.
type sums struct {
	ab, aa, bb    float64
	bits, n       int64
	recast, tried int64
}

const (
	runLength = 8192 // elements read at a time: a multiple of every block
	mostRuns  = 24   // for each tensor
)

// distance reads samples of matrices in the same place.
func (c *comparison) distance() error {
	var s sums
	n := 0
	seen := map[*matrix]bool{}
	if al := c.report.Alignment; al != nil && al.Common == "by number" && c.embedA.in == c.embedB.in {
		n++
		if err := s.sample(c.embedA, c.embedB); err != nil {
			return err
		}
	}
	for _, p := range c.pairs {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		for k, a := range p.a.parts {
			b := p.b.get(k)
			if b == nil || seen[a] || a.out != b.out || a.in != b.in || a.turned != b.turned {
				continue
			}
			seen[a] = true
			n++
			if err := s.sample(a, b); err != nil {
				return err
			}
		}
	}
	if s.n == 0 {
		return nil
	}
	d := &Distance{Bits: float64(s.bits) / float64(s.n), Tensors: n, Samples: s.n, Recast: -1}
	if s.aa > 0 && s.bb > 0 {
		d.Cosine = s.ab / math.Sqrt(s.aa*s.bb)
	}
	if s.tried > 0 {
		d.Recast = float64(s.recast) / float64(s.tried)
	}
	c.report.Distance = d
	return nil
}

// sample adds some runs of two matrices that are stored alike.
func (s *sums) sample(a, b *matrix) error {
	rows, cols := min(a.out, b.out), a.in
	if a.turned {
		rows, cols = a.in, a.out
	}
	total := int64(rows) * int64(cols)
	var sa, sb scratch
	x, y := make([]float32, runLength), make([]float32, runLength)
	runs := max(1, min(mostRuns, total/runLength))
	for i := range runs {
		at := i * (total / runs) / 256 * 256
		n := min(runLength, total-at)
		fromA, fromB := at+int64(a.first)*int64(cols), at+int64(b.first)*int64(cols)
		if err := a.t.read(x[:n], fromA, &sa); err != nil {
			return err
		}
		if err := b.t.read(y[:n], fromB, &sb); err != nil {
			return err
		}
		s.add(x[:n], y[:n])
		if a.t.DType != b.t.DType {
			if err := s.recasts(a.t, b.t, x[:n], y[:n], fromA, fromB); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *sums) add(x, y []float32) {
	var ab, aa, bb float64
	var count int
	for i, a := range x {
		a, b := finite(a), finite(y[i])
		ab += float64(a) * float64(b)
		aa += float64(a) * float64(a)
		bb += float64(b) * float64(b)
		count += bits.OnesCount16(tensor.ToBF16(a) ^ tensor.ToBF16(b))
	}
	s.ab, s.aa, s.bb = s.ab+ab, s.aa+aa, s.bb+bb
	s.bits += int64(count)
	s.n += int64(len(x))
}

// fineness orders types: a finer one can be rounded to a coarser one.
func fineness(d tensor.DType) int {
	switch d {
	case tensor.F64, tensor.F32:
		return 4
	case tensor.F16, tensor.BF16:
		return 3
	case tensor.Q8_0:
		return 2
	case tensor.Q4_0:
		return 1
	}
	return 0
}

// recasts counts the blocks that are equal when the finer tensor is rounded to the coarser one's type.
func (s *sums) recasts(a, b *Tensor, x, y []float32, fromA, fromB int64) error {
	fine, coarse, from := x, b, fromB
	if fineness(a.DType) < fineness(b.DType) {
		fine, coarse, from = y, a, fromA
	}
	n, size := coarse.DType.Block()
	if fineness(coarse.DType) == 0 || fineness(a.DType) == fineness(b.DType) || from%int64(n) != 0 {
		return nil
	}
	fine = fine[:len(fine)/n*n]
	want, have := make([]byte, len(fine)/n*size), make([]byte, len(fine)/n*size)
	if err := coarse.DType.Encode(want, fine); err != nil {
		return err
	}
	if _, err := coarse.data.ReadAt(have, coarse.offset+from/int64(n)*int64(size)); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read tensor %q: %w", coarse.Name, err)
	}
	for i := 0; i < len(want); i += size {
		s.tried += int64(n)
		if bytes.Equal(want[i:i+size], have[i:i+size]) {
			s.recast += int64(n)
		}
	}
	return nil
}
