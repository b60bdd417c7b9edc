package recompute

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// maxFactor is how many elements a matrix of an adapter may have: it is held in memory.
const maxFactor = 1 << 27

// factors are the two matrices of an adapter for one tensor.
type factors struct {
	a, b           *weights // rank x in, out x rank
	av, bv         []float32
	in, out, order int64
}

// lora compares with base + s B A, as the library PEFT merges (Hu et al. 2022, section 4.1).
func (c *comparison) lora(in Inputs) error {
	if len(in.Models) != 1 || len(in.Adapters) != 1 {
		return fmt.Errorf("%w: it takes one model and one adapter", ErrUnable)
	}
	base, adapter := in.Models[0], in.Adapters[0]
	settings, err := c.settings(adapter)
	if err != nil {
		return err
	}
	pairs, err := pairsOf(base, adapter)
	if err != nil {
		return err
	}
	unit, err := c.unit()
	if err != nil {
		return err
	}
	tensors, err := c.align(base)
	if err != nil {
		return err
	}
	for _, t := range tensors {
		w := base.tensors[t.name]
		if err := sameShape(t, w); err != nil {
			return err
		}
		c.result.Tensors++
		c.result.Elements += t.elements()
		f := pairs[t.name]
		switch {
		case f != nil:
			err = c.adapted(t, w, f, settings, unit)
		case t.dtype == w.dtype:
			err = c.same(t, w)
		default:
			err = c.rounded(t, w)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// settings of an adapter.
type settings struct {
	alpha     float64
	root      bool // rank-stabilised: alpha / sqrt(r)
	transpose bool // weights are stored in x out
}

// settings reads adapter_config.json, over which parameters go.
func (c *comparison) settings(adapter *Model) (settings, error) {
	var file struct {
		Alpha     float64         `json:"lora_alpha"`
		Root      bool            `json:"use_rslora"`
		Transpose bool            `json:"fan_in_fan_out"`
		DoRA      bool            `json:"use_dora"`
		Bias      string          `json:"bias"`
		Ranks     map[string]any  `json:"rank_pattern"`
		Alphas    map[string]any  `json:"alpha_pattern"`
		Saved     json.RawMessage `json:"modules_to_save"`
	}
	file.Alpha = math.NaN()
	if f, ok := adapter.raw["adapter_config.json"]; ok {
		data, err := io.ReadAll(io.NewSectionReader(f.Content, 0, min(f.Size, 1<<20)))
		if err == nil {
			err = json.Unmarshal(data, &file)
		}
		if err != nil {
			return settings{}, fmt.Errorf("%w: adapter_config.json cannot be read: %w", ErrUnable, err)
		}
		if file.DoRA || file.Bias != "" && file.Bias != "none" || len(file.Alphas) > 0 || string(file.Saved) != "" && string(file.Saved) != "null" {
			return settings{}, fmt.Errorf("%w: the adapter is more than W + s B A: DoRA, biases, patterns of alpha or saved modules", ErrUnable)
		}
	}
	s := settings{root: file.Root, transpose: file.Transpose}
	var err error
	if s.alpha, err = c.number(alpha, file.Alpha); err != nil {
		return s, err
	}
	if v := c.text(rank, ""); v != "" {
		if s.root, err = strconv.ParseBool(v); err != nil {
			return s, fmt.Errorf("%w: parameter %s is %q, neither true nor false", ErrUnable, rank, v)
		}
	}
	return s, nil
}

// pairsOf finds for each matrix of the adapter the tensor that it goes to.
func pairsOf(base, adapter *Model) (map[string]*factors, error) {
	out := map[string]*factors{}
	for _, name := range adapter.names() {
		module, side, ok := strings.Cut(name, ".lora_")
		if !ok || side != "A.weight" && side != "B.weight" && side != "A.default.weight" && side != "B.default.weight" {
			return nil, fmt.Errorf("%w: tensor %q of the adapter is no matrix A or B", ErrUnable, name)
		}
		module = strings.TrimPrefix(strings.TrimPrefix(module, "base_model."), "model.") + ".weight"
		if _, ok := base.tensors[module]; !ok {
			module = "model." + module
		}
		w, ok := base.tensors[module]
		if !ok {
			return nil, fmt.Errorf("%w: the base has no tensor for %q of the adapter", ErrUnable, name)
		}
		f := out[w.name]
		if f == nil {
			f = &factors{}
			out[w.name] = f
		}
		if side[0] == 'A' {
			f.a = adapter.tensors[name]
		} else {
			f.b = adapter.tensors[name]
		}
	}
	for name, f := range out {
		if f.a == nil || f.b == nil || len(f.a.shape) != 2 || len(f.b.shape) != 2 || f.a.shape[0] != f.b.shape[1] {
			return nil, fmt.Errorf("%w: the adapter's matrices for %q do not fit each other", ErrUnable, name)
		}
		f.order, f.in, f.out = f.a.shape[0], f.a.shape[1], f.b.shape[0]
	}
	return out, nil
}

func (f *factors) load() (err error) {
	for _, x := range []struct {
		w  *weights
		to *[]float32
	}{{f.a, &f.av}, {f.b, &f.bv}} {
		n := x.w.elements()
		if n > maxFactor {
			return fmt.Errorf("%w: matrix %q of the adapter has %d elements", ErrUnable, x.w.name, n)
		}
		*x.to = make([]float32, n)
		buf := make([]byte, n*8)
		if err := x.w.read(0, *x.to, buf); err != nil {
			return err
		}
	}
	return nil
}

// adapted compares one tensor with W + s B A.
func (c *comparison) adapted(t, w *weights, f *factors, s settings, unit float64) error {
	if err := errors.Join(float(t), float(w)); err != nil {
		return err
	}
	rows, columns := f.out, f.in
	if s.transpose {
		rows, columns = columns, rows
	}
	if len(t.shape) != 2 || t.shape[0] != rows || t.shape[1] != columns {
		return fmt.Errorf("%w: tensor %q of shape %v does not fit the adapter's %d x %d", ErrUnable, t.name, t.shape, f.out, f.in)
	}
	if err := f.load(); err != nil {
		return err
	}
	defer func() { f.av, f.bv = nil, nil }()
	scale := s.alpha / float64(f.order)
	if s.root {
		scale = s.alpha / math.Sqrt(float64(f.order))
	}
	size := make([]float64, chunk)
	in := make([]float32, chunk)
	return t.chunks(func(start int64, n int) error {
		if err := w.read(start, in[:n], c.want); err != nil {
			return err
		}
		clear(c.exact[:n])
		clear(size[:n])
		for done := int64(0); done < int64(n); {
			row, from := (start+done)/columns, (start+done)%columns
			k := min(columns-from, int64(n)-done)
			f.product(row, from, c.exact[done:done+k], size[done:done+k], s.transpose)
			done += k
		}
		for i := range n {
			d, wide := scale*c.exact[i], math.Abs(scale)*size[i]
			c.exact[i] = float64(in[i]) + d
			c.slack[i] = float64(f.order+2)*0x1p-24*wide + 0x1p-24*(math.Abs(float64(in[i]))+math.Abs(d))
			if unit > 0x1p-24 {
				c.slack[i] += 2 * unit * math.Abs(d)
			}
		}
		return c.near(t, start, n, nil)
	})
}

// product adds a part of a row of B A, or of its transpose, and the sum of the absolute values of what is added.
func (f *factors) product(row, from int64, sum, size []float64, transpose bool) {
	for k := range f.order {
		if transpose {
			a := float64(f.av[k*f.in+row])
			for j := range sum {
				v := a * float64(f.bv[(from+int64(j))*f.order+k])
				sum[j] += v
				size[j] += math.Abs(v)
			}
			continue
		}
		b := float64(f.bv[row*f.order+k])
		line := f.av[k*f.in+from:]
		for j := range sum {
			v := b * float64(line[j])
			sum[j] += v
			size[j] += math.Abs(v)
		}
	}
}
