package compare

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/palladium-guard/palladium/internal/gguf"
	"github.com/palladium-guard/palladium/internal/safetensors"
	"github.com/palladium-guard/palladium/internal/tensor"
)

// stored is a tensor on its way into a file.
type stored struct {
	name    string
	out, in int
	w       []float32
}

// tensors lists a model under the names of the transformers library.
func (m *llm) tensors() (out []stored) {
	add := func(name string, p *param) { out = append(out, stored{name + ".weight", p.out, p.in, p.w}) }
	add(m.embed.name, m.embed)
	add(m.head.name, m.head)
	for i := range m.blocks {
		for _, p := range m.blocks[i].params() {
			add(fmt.Sprintf("model.layers.%d.%s", i, p.name), p)
		}
		ones := make([]float32, m.d)
		for j := range ones {
			ones[j] = 1
		}
		out = append(out, stored{fmt.Sprintf("model.layers.%d.input_layernorm.weight", i), m.d, 0, ones})
	}
	return out
}

func encode(t testing.TB, d tensor.DType, w []float32) []byte {
	n, size := d.Block()
	b := make([]byte, len(w)/n*size)
	if err := d.Encode(b, w); err != nil {
		t.Fatal(err)
	}
	return b
}

func (s *stored) shape() []int64 {
	if s.in == 0 {
		return []int64{int64(s.out)}
	}
	return []int64{int64(s.out), int64(s.in)}
}

// files writes tensors into n safetensors files.
func files(t testing.TB, list []stored, d tensor.DType, n int) (out []Source) {
	for i := range n {
		var content []safetensors.Content
		for j := i; j < len(list); j += n {
			s := &list[j]
			content = append(content, safetensors.Content{Name: s.name, DType: string(d), Shape: s.shape(), Data: encode(t, d, s.w)})
		}
		var b bytes.Buffer
		if err := safetensors.Write(&b, nil, content); err != nil {
			t.Fatal(err)
		}
		out = append(out, Source{Name: fmt.Sprintf("shard %d", i), Data: bytes.NewReader(b.Bytes()), Size: int64(b.Len())})
	}
	return out
}

func quantised(t testing.TB, list []stored, d tensor.DType) []Source {
	var content []gguf.Content
	for i := range list {
		s, d := &list[i], d
		if s.in == 0 {
			d = tensor.F32
		}
		content = append(content, gguf.Content{Name: s.name, DType: string(d), Shape: s.shape(), Data: encode(t, d, s.w)})
	}
	var b bytes.Buffer
	if err := gguf.Write(&b, nil, content); err != nil {
		t.Fatal(err)
	}
	return []Source{{Name: "gguf", Data: bytes.NewReader(b.Bytes()), Size: int64(b.Len())}}
}

func open(t testing.TB, s []Source) *Model {
	m, err := Open(s, nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *llm) model(t testing.TB) *Model { return open(t, files(t, m.tensors(), tensor.F32, 1)) }

func compared(t testing.TB, a, b *Model) *Report {
	r, err := Compare(context.Background(), a, b, Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// The size of the models that are trained here.
const (
	tinyHidden, tinyNeurons, tinyLayers, tinyVocab = 32, 64, 3, 96
)

func trained(seed uint64, steps int) *llm {
	m := newLLM(seed, tinyHidden, tinyNeurons, tinyLayers, tinyVocab)
	m.train(newLanguage(1, tinyVocab), 5, steps, 5e-3)
	return m
}

// permuted reorders neurons, and hidden dimensions with signs when asked; the model's outputs stay as they were.
func (m *llm) permuted(rng *rand.Rand, hidden bool) *llm {
	c := m.clone()
	for i := range c.blocks {
		b := &c.blocks[i]
		order := rng.Perm(c.f)
		b.gate.rows(order)
		b.up.rows(order)
		b.down.cols(order, nil)
	}
	if !hidden {
		return c
	}
	order, sign := rng.Perm(c.d), make([]float32, c.d)
	for i := range sign {
		sign[i] = float32(1 - 2*rng.IntN(2))
	}
	for _, p := range []*param{c.embed, c.pos, c.head} {
		p.cols(order, sign)
	}
	for i := range c.blocks {
		b := &c.blocks[i]
		for _, p := range []*param{b.q, b.k, b.v, b.gate, b.up} {
			p.cols(order, sign)
		}
		for _, p := range []*param{b.o, b.down} {
			p.rows(order)
			for r := range p.out {
				for j := range p.in {
					p.w[r*p.in+j] *= sign[r]
				}
			}
		}
	}
	return c
}

// rows keeps the rows given, in their order; cols does with columns, and multiplies them with signs.
func (p *param) rows(order []int) {
	w := make([]float32, 0, len(order)*p.in)
	for _, r := range order {
		w = append(w, p.w[r*p.in:(r+1)*p.in]...)
	}
	p.w, p.out = w, len(order)
}

func (p *param) cols(order []int, sign []float32) {
	w := make([]float32, p.out*len(order))
	for r := range p.out {
		for j, c := range order {
			w[r*len(order)+j] = p.w[r*p.in+c]
			if sign != nil {
				w[r*len(order)+j] *= sign[j]
			}
		}
	}
	p.w, p.in = w, len(order)
}

// rotated turns the hidden state by a random orthogonal matrix; the outputs stay as they were.
func (m *llm) rotated(rng *rand.Rand) *llm {
	d := m.d
	q := make([]float32, d*d) // rows orthonormal, by Gram and Schmidt
	for i := range d {
		row := q[i*d : (i+1)*d]
		for j := range row {
			row[j] = float32(rng.NormFloat64())
		}
		for range 2 {
			for k := range i {
				s := float32(0)
				for j := range d {
					s += row[j] * q[k*d+j]
				}
				for j := range d {
					row[j] -= s * q[k*d+j]
				}
			}
			unit(row)
		}
	}
	turn := param{out: d, in: d, w: q}
	c := m.clone()
	reads := []*param{c.embed, c.pos, c.head}
	for i := range c.blocks {
		b := &c.blocks[i]
		reads = append(reads, b.q, b.k, b.v, b.gate, b.up)
		for _, p := range []*param{b.o, b.down} {
			p.w = transpose(turn.linear(transpose(p.w, d, p.in)), p.in, d)
		}
	}
	for _, p := range reads {
		p.w = turn.linear(p.w)
	}
	return c
}

func (m *llm) each(f func(p *param, i int)) *llm {
	c := m.clone()
	for n, p := range c.params() {
		f(p, n)
	}
	return c
}

func renamedTensors(list []stored, rng *rand.Rand) []stored {
	out := append([]stored(nil), list...)
	rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	for i := range out {
		out[i].name = fmt.Sprintf("t%x", rng.Uint64())
	}
	return out
}

// relative is a model and what it is to the base.
type relative struct {
	name string
	b    []Source
	want Relation
}

// relatives derives models from base, and lists one that was trained apart.
func relatives(t testing.TB, base, other *llm, steps int, seed uint64) []relative {
	rng := rand.New(rand.NewPCG(8, seed))
	finer := base.clone()
	finer.train(newLanguage(2, tinyVocab), 6, 40, 1e-3)
	longer := base.clone()
	longer.train(newLanguage(3, tinyVocab), 7, 2*steps, 3e-3)
	shallow := base.clone()
	shallow.blocks = append(shallow.blocks[:1:1], shallow.blocks[2:]...)
	narrow := base.clone()
	for i := range narrow.blocks {
		b := &narrow.blocks[i]
		kept := some(40, 64)
		b.gate.rows(kept)
		b.up.rows(kept)
		b.down.cols(kept, nil)
	}
	sparse := base.each(func(p *param, _ int) {
		for i, v := range p.w {
			if math.Abs(float64(v)) < 0.08 {
				p.w[i] = 0
			}
		}
	})
	bare := base.each(func(p *param, _ int) {
		size := make([]float64, len(p.w))
		for i, v := range p.w {
			size[i] = math.Abs(float64(v))
		}
		slices.Sort(size)
		for i, v := range p.w {
			if math.Abs(float64(v)) < size[len(size)*9/10] {
				p.w[i] = 0
			}
		}
	})
	op := other.params()
	faint := base.each(func(p *param, n int) {
		for i := range p.w {
			p.w[i] = 0.25*p.w[i] + 0.75*op[n].w[i]
		}
	})
	merged := base.each(func(p *param, n int) {
		for i := range p.w {
			p.w[i] = 0.6*p.w[i] + 0.4*op[n].w[i]
		}
	})
	lora := base.each(func(p *param, n int) {
		if p.out != p.in {
			return
		}
		for i := range p.out {
			u := float32(rng.NormFloat64() * 0.1)
			for j := range p.in {
				p.w[i*p.in+j] += u * float32(math.Sin(float64(j*n)))
			}
		}
	})
	file := func(m *llm) []Source { return files(t, m.tensors(), tensor.F32, 1) }
	return []relative{
		{"itself", file(base), Same},
		{"other shards", files(t, base.tensors(), tensor.F32, 3), Same},
		{"other names", files(t, renamedTensors(base.tensors(), rng), tensor.F32, 2), Same},
		{"BF16", files(t, base.tensors(), tensor.BF16, 1), Same},
		{"F16", files(t, base.tensors(), tensor.F16, 1), Same},
		{"Q8_0", quantised(t, base.tensors(), tensor.Q8_0), Same},
		{"Q4_0", quantised(t, base.tensors(), tensor.Q4_0), Same},
		{"Q4_0 under other names", quantised(t, renamedTensors(base.tensors(), rng), tensor.Q4_0), Same},
		{"fine-tuned", file(finer), Derived},
		{"fine-tuned, BF16, other names", files(t, renamedTensors(finer.tensors(), rng), tensor.BF16, 2), Derived},
		{"fine-tuned, Q4_0", quantised(t, finer.tensors(), tensor.Q4_0), Derived},
		{"trained on for long", file(longer), Derived},
		{"layer removed", file(shallow), Derived},
		{"neurons removed", file(narrow), Derived},
		{"small weights removed", file(sparse), Derived},
		{"merged with another", file(merged), Derived},
		{"LoRA merged", file(lora), Derived},
		{"neurons reordered", file(base.permuted(rng, false)), Derived},
		{"hidden dimensions reordered, signs changed", file(base.permuted(rng, true)), Derived},
		{"fine-tuned and reordered", file(finer.permuted(rng, true)), Derived},
		{"fine-tuned, reordered, Q8_0, other names", quantised(t, renamedTensors(finer.permuted(rng, true).tensors(), rng), tensor.Q8_0), Derived},
		{"hidden state rotated", file(base.rotated(rng)), Derived},
		{"fine-tuned and rotated", file(finer.rotated(rng)), Derived},
		{"rotated, neurons reordered", file(base.rotated(rng).permuted(rng, false)), CannotTell},
		{"merged, one part of four", file(faint), Derived},
		{"nine of ten weights removed", file(bare), Derived},
		{"trained apart on the same data", file(other), Unrelated},
		{"trained apart, other names", files(t, renamedTensors(other.tensors(), rng), tensor.BF16, 1), Unrelated},
		{"trained apart, Q8_0", quantised(t, other.tensors(), tensor.Q8_0), Unrelated},
	}
}

func TestRelations(t *testing.T) {
	const steps = 60
	base := trained(1, steps)
	a := base.model(t)
	for _, c := range relatives(t, base, trained(2, steps), steps, 9) {
		t.Run(c.name, func(t *testing.T) {
			b := open(t, c.b)
			for _, r := range []*Report{compared(t, a, b), compared(t, b, a)} {
				if r.Relation != c.want {
					t.Errorf("%s, want %s\n%s", r.Relation, c.want, r.Text())
				}
			}
		})
	}
}

func TestCannotTell(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	noise := func(n int) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(rng.NormFloat64())
		}
		return x
	}
	lists := func() *Model {
		return open(t, files(t, []stored{{"x", 4096, 0, noise(4096)}}, tensor.F32, 1))
	}
	if r := compared(t, lists(), lists()); r.Relation != CannotTell || len(r.Notes) == 0 {
		t.Errorf("%s\n%s", r.Relation, r.Text())
	}
	if _, err := Open([]Source{{Name: "x", Data: bytes.NewReader(binary.LittleEndian.AppendUint64(nil, 1)), Size: 8}}, nil); err == nil {
		t.Error("eight bytes are taken for a model")
	}
}
