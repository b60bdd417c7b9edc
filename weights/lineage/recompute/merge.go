package recompute

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// maxModels is how many models a merge may have: of each, a run of elements is held.
const maxModels = 12

// recipe is a merge with its parameters.
type recipe struct {
	kind      string
	weights   []float64
	lambda, t float64
	density   float64
	normalise bool
	unit      float64
}

func (c *comparison) recipe(kind string, models int) (r recipe, err error) {
	r.kind = kind
	if r.unit, err = c.unit(); err != nil {
		return r, err
	}
	switch kind {
	case SLERP:
		r.t, err = c.number(tee, math.NaN())
		return r, err
	case Task, TIES:
		models--
		if r.lambda, err = c.number(lam, 1); err != nil {
			return r, err
		}
	}
	if kind == TIES {
		if r.density, err = c.number(dens, 1); err != nil {
			return r, err
		}
		if r.density <= 0 || r.density > 1 {
			return r, fmt.Errorf("%w: parameter %s is not above 0 and at most 1", ErrUnable, dens)
		}
	}
	list := strings.Split(c.text(wts, strings.TrimSuffix(strings.Repeat("1,", models), ",")), ",")
	if len(list) != models {
		return r, fmt.Errorf("%w: %d weights for %d models", ErrUnable, len(list), models)
	}
	for _, s := range list {
		w, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
		if err != nil || math.IsNaN(w) || math.IsInf(w, 0) {
			return r, fmt.Errorf("%w: weight %q is no number", ErrUnable, s)
		}
		r.weights = append(r.weights, w)
	}
	if kind != Task {
		if r.normalise, err = strconv.ParseBool(c.text(norma, "true")); err != nil {
			return r, fmt.Errorf("%w: parameter %s is neither true nor false", ErrUnable, norma)
		}
	}
	return r, nil
}

// merge compares with a merge by a recipe, as the tool mergekit does it.
func (c *comparison) merge(kind string, in Inputs) error {
	least := 2
	if len(in.Models) < least || len(in.Models) > maxModels || len(in.Adapters) > 0 || kind == SLERP && len(in.Models) != 2 {
		return fmt.Errorf("%w: it takes 2 models for slerp, 2 to %d for others, and no adapter", ErrUnable, maxModels)
	}
	r, err := c.recipe(kind, len(in.Models))
	if err != nil {
		return err
	}
	tensors, err := c.align(in.Models[0])
	if err != nil {
		return err
	}
	for range in.Models {
		c.in = append(c.in, make([]float32, chunk))
	}
	for _, t := range tensors {
		var from []*weights
		for i, m := range in.Models {
			s := m.tensors[t.name]
			if s == nil {
				return fmt.Errorf("%w: model %d has no tensor %q", ErrUnable, i+1, t.name)
			}
			if err := sameShape(t, s); err != nil {
				return err
			}
			if err := float(s); err != nil {
				return err
			}
			from = append(from, s)
		}
		if err := float(t); err != nil {
			return err
		}
		c.result.Tensors++
		c.result.Elements += t.elements()
		if err := c.merged(&r, t, from); err != nil {
			return err
		}
	}
	return nil
}

// load reads a run of every model.
func (c *comparison) load(from []*weights, start int64, n int) error {
	for i, s := range from {
		if err := s.read(start, c.in[i][:n], c.want); err != nil {
			return err
		}
	}
	return nil
}

func (c *comparison) merged(r *recipe, t *weights, from []*weights) error {
	var s0, s1 float64
	var thresholds []float32
	var err error
	switch r.kind {
	case SLERP:
		s0, s1, err = c.angles(r.t, t, from)
	case TIES:
		thresholds, err = c.thresholds(r.density, t, from)
	}
	if err != nil {
		return err
	}
	return t.chunks(func(start int64, n int) error {
		if err := c.load(from, start, n); err != nil {
			return err
		}
		var others func(int, func(v, slack float64) bool) bool
		switch r.kind {
		case Mean:
			c.mean(r, n)
		case SLERP:
			for i := range n {
				a, b := s0*float64(c.in[0][i]), s1*float64(c.in[1][i])
				// The angle comes from three sums over the tensor, done in 32 bits or fewer.
				c.exact[i], c.slack[i] = a+b, (0x1p-18+4*above(r.unit))*(math.Abs(a)+math.Abs(b))
			}
		case Task:
			c.task(r, n)
		case TIES:
			e := election{r: r, in: c.in, thresholds: thresholds}
			for i := range n {
				c.exact[i], c.slack[i] = e.value(i, 0, false)
			}
			others = e.others
		}
		return c.near(t, start, n, others)
	})
}

// above is a rounding error, where it is more than that of F32.
func above(unit float64) float64 {
	if unit > 0x1p-24 {
		return unit
	}
	return 0
}

func (c *comparison) mean(r *recipe, n int) {
	total := 1.0
	if r.normalise {
		total = 0
		for _, w := range r.weights {
			total += w
		}
	}
	for i := range n {
		var v, size float64
		for m, w := range r.weights {
			x := w * float64(c.in[m][i])
			v += x
			size += math.Abs(x)
		}
		c.exact[i], c.slack[i] = v/total, float64(len(r.weights)+2)*r.unit*size/math.Abs(total)
	}
}

func (c *comparison) task(r *recipe, n int) {
	for i := range n {
		base := float64(c.in[0][i])
		var v, size float64
		for m, w := range r.weights {
			x := w * (float64(c.in[m+1][i]) - base)
			v += x
			size += math.Abs(x)
		}
		c.exact[i] = base + r.lambda*v
		c.slack[i] = float64(len(r.weights)+3)*r.unit*math.Abs(r.lambda)*size + 0x1p-24*math.Abs(base)
	}
}

// angles returns the factors of spherical interpolation between two tensors taken as vectors: sin((1-t)a)/sin a and
// sin(ta)/sin a, a the angle between them (Shoemake 1985); for nearly parallel ones, 1-t and t.
func (c *comparison) angles(t float64, of *weights, from []*weights) (s0, s1 float64, err error) {
	const parallel = 0.9995
	var dot, n0, n1 float64
	err = of.chunks(func(start int64, n int) error {
		if err := c.load(from, start, n); err != nil {
			return err
		}
		for i := range n {
			a, b := float64(c.in[0][i]), float64(c.in[1][i])
			dot += a * b
			n0 += a * a
			n1 += b * b
		}
		return nil
	})
	if err != nil || n0 == 0 || n1 == 0 {
		return 1 - t, t, err
	}
	cos := dot / math.Sqrt(n0*n1)
	if math.Abs(cos) > parallel {
		return 1 - t, t, nil
	}
	angle := math.Acos(cos)
	return math.Sin((1-t)*angle) / math.Sin(angle), math.Sin(t*angle) / math.Sin(angle), nil
}

// thresholds returns for each model the size of the smallest difference from the base that is kept, in two passes that
// count the upper and then the lower half of the bits of its absolute value.
func (c *comparison) thresholds(density float64, of *weights, from []*weights) ([]float32, error) {
	total := of.elements()
	keep := int64(density * float64(total))
	out := make([]float32, len(from)-1)
	if keep >= total {
		return out, nil // everything is kept
	}
	if keep == 0 {
		for m := range out {
			out[m] = float32(math.Inf(1))
		}
		return out, nil
	}
	upper := make([][]int64, len(out))
	for m := range upper {
		upper[m] = make([]int64, 1<<16)
	}
	prefix := make([]uint32, len(out))
	left := make([]int64, len(out))
	for pass := range 2 {
		err := of.chunks(func(start int64, n int) error {
			if err := c.load(from, start, n); err != nil {
				return err
			}
			for m := range out {
				for i := range n {
					bits := math.Float32bits(c.in[m+1][i]-c.in[0][i]) &^ (1 << 31)
					if pass == 0 {
						upper[m][bits>>16]++
					} else if bits>>16 == prefix[m] {
						upper[m][bits&0xffff]++
					}
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		for m := range out {
			want := keep
			if pass == 1 {
				want = left[m]
			}
			at := len(upper[m]) - 1
			for ; at > 0 && upper[m][at] < want; at-- {
				want -= upper[m][at]
			}
			if pass == 0 {
				prefix[m], left[m] = uint32(at), want
				clear(upper[m])
			} else {
				out[m] = math.Float32frombits(prefix[m]<<16 | uint32(at))
			}
		}
	}
	return out, nil
}

// election is TIES at one element.
type election struct {
	r          *recipe
	in         [][]float32
	thresholds []float32
}

// value returns the merged element. Bits of dropped say which models' differences, among those that stand at the
// threshold, are taken as trimmed; flip elects the other sign.
func (e *election) value(i int, dropped uint, flip bool) (v, slack float64) {
	base := float64(e.in[0][i])
	var sum, size float64
	var deltas [maxModels]float64
	for m, w := range e.r.weights {
		d := e.in[m+1][i] - e.in[0][i]
		if abs(d) < e.thresholds[m] || dropped&(1<<m) != 0 {
			continue
		}
		deltas[m] = w * float64(d)
		sum += deltas[m]
		size += math.Abs(deltas[m])
	}
	positive := sum >= 0
	if flip {
		positive = !positive
	}
	var mixed, total float64
	for m, w := range e.r.weights {
		if d := deltas[m]; d != 0 && (d > 0) == positive {
			mixed += d
			total += w
		}
	}
	if e.r.normalise && math.Abs(total) >= 1e-8 {
		mixed /= total
		size /= math.Abs(total)
	}
	return base + e.r.lambda*mixed, float64(len(e.r.weights)+4)*e.r.unit*math.Abs(e.r.lambda)*size + 0x1p-24*math.Abs(base)
}

// others tries what an element may also be: which of equal differences are trimmed is up to the sorting, and the sign of a
// sum near zero up to its rounding.
func (e *election) others(i int, ok func(v, slack float64) bool) bool {
	var ties uint
	var sum, size float64
	for m, w := range e.r.weights {
		d := e.in[m+1][i] - e.in[0][i]
		if abs(d) == e.thresholds[m] && d != 0 {
			ties |= 1 << m
		}
		if abs(d) >= e.thresholds[m] {
			sum += w * float64(d)
			size += math.Abs(w * float64(d))
		}
	}
	near := math.Abs(sum) <= float64(len(e.r.weights)+2)*e.r.unit*size
	for dropped := ties; ; dropped = (dropped - 1) & ties { // every subset of the ties
		if ok(e.value(i, dropped, false)) || near && ok(e.value(i, dropped, true)) {
			return true
		}
		if dropped == 0 {
			return false
		}
	}
}

func abs(f float32) float32 { return math.Float32frombits(math.Float32bits(f) &^ (1 << 31)) }
