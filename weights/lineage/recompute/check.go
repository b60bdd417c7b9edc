package recompute

import (
	"bytes"
	"fmt"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/palladium-guard/palladium/internal/tensor"
)

// The kinds of transformations.
const (
	Copy  = "copy"      // the same tensors: sharded, unsharded, renamed files, or another container
	Cast  = "cast"      // rounded to another type, quantised to Q8_0 or Q4_0, or both
	LoRA  = "lora"      // W + s B A, s = alpha/r or, with rslora, alpha/sqrt(r)
	Mean  = "linear"    // the weighted mean
	SLERP = "slerp"     // spherical interpolation, tensor by tensor
	Task  = "task"      // task arithmetic (Ilharco et al. 2023): base + lambda sum w (W - base)
	TIES  = "ties"      // TIES (Yadav et al. 2023): trimmed, sign elected, disjoint mean
	names = "names"     // parameter: same, llama
	omit  = "omit"      // parameter: patterns of tensors that were left out, with commas
	types = "compute"   // parameter: the type in which sums were done, F32 or BF16 or F16
	alpha = "alpha"     // parameters of LoRA
	rank  = "rslora"    //
	wts   = "weights"   // of merges, with commas
	lam   = "lambda"    //
	dens  = "density"   //
	norma = "normalise" // divide by the sum of the weights: true or false
	tee   = "t"         // of SLERP
)

// Kinds returns all kinds of transformations.
func Kinds() []string { return []string{Copy, Cast, LoRA, Mean, SLERP, Task, TIES} }

// Inputs are what goes into a step, in the order in which it was declared. The first model is the base of LoRA, Task and
// TIES.
type Inputs struct {
	Models, Adapters []*Model
}

// Result says how a step that was done again compares.
type Result struct {
	Agree    bool
	Tensors  int
	Elements int64
	Exact    int64  // elements whose bytes agree
	Detail   string // one line
}

// comparison is one step done again.
type comparison struct {
	parameters map[string]string
	out        *Model
	result     Result
	used       map[string]bool

	raw, want []byte
	got       []float32
	exact     []float64
	slack     []float64
	in        [][]float32
}

// Check does a step again and compares it with its output, tensor by tensor. What is only copied or rounded must agree to
// the byte. Where sums are done, whose order nobody fixes, an element must be what the sum rounds to, give or take the
// rounding errors of the sum itself. Errors wrap ErrUnable when it cannot be done again.
func Check(kind string, parameters map[string]string, in Inputs, out *Model) (Result, error) {
	c := &comparison{parameters: parameters, out: out, used: map[string]bool{}, raw: make([]byte, chunk*8), want: make([]byte, chunk*8),
		got: make([]float32, chunk), exact: make([]float64, chunk), slack: make([]float64, chunk)}
	var err error
	switch kind {
	case Copy, Cast:
		err = c.cast(kind == Copy, in)
	case LoRA:
		err = c.lora(in)
	case Mean, SLERP, Task, TIES:
		err = c.merge(kind, in)
	default:
		err = fmt.Errorf("%w: transformation %q is none of %v", ErrUnable, kind, Kinds())
	}
	if err == nil {
		for name := range parameters {
			if !c.used[name] {
				return Result{}, fmt.Errorf("%w: transformation %s has no parameter %q", ErrUnable, kind, name)
			}
		}
	}
	if err != nil {
		var d *difference
		if asDifference(err, &d) {
			c.result.Detail = d.what
			return c.result, nil
		}
		return Result{}, err
	}
	r := c.result
	r.Agree = true
	r.Detail = fmt.Sprintf("%s done again: the bytes of all %d tensors agree", kind, r.Tensors)
	if r.Exact < r.Elements {
		r.Detail = fmt.Sprintf("%s done again: %d tensors agree, %d of %d elements to the byte and the others within the rounding of a sum", kind, r.Tensors, r.Exact, r.Elements)
	}
	return r, nil
}

// difference is an error that says that the output is not what the step gives.
type difference struct{ what string }

func (d *difference) Error() string { return d.what }

func differs(format string, args ...any) error { return &difference{fmt.Sprintf(format, args...)} }

func asDifference(err error, to **difference) bool {
	d, ok := err.(*difference) //nolint:errorlint // never wrapped
	if ok {
		*to = d
	}
	return ok
}

func (c *comparison) text(name, otherwise string) string {
	c.used[name] = true
	if v, ok := c.parameters[name]; ok {
		return v
	}
	return otherwise
}

func (c *comparison) number(name string, otherwise float64) (float64, error) {
	v := c.text(name, "")
	if v == "" {
		if math.IsNaN(otherwise) {
			return 0, fmt.Errorf("%w: parameter %s is not stated", ErrUnable, name)
		}
		return otherwise, nil
	}
	f, err := strconv.ParseFloat(v, 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return 0, fmt.Errorf("%w: parameter %s is %q, no number", ErrUnable, name, v)
	}
	return f, nil
}

// omitted returns a test for tensors that the step left out.
func (c *comparison) omitted() (func(string) bool, error) {
	list := c.text(omit, "")
	if list == "" {
		return func(string) bool { return false }, nil
	}
	patterns := strings.Split(list, ",")
	for _, p := range patterns {
		if _, err := path.Match(p, ""); err != nil {
			return nil, fmt.Errorf("%w: parameter %s: %q is no pattern", ErrUnable, omit, p)
		}
	}
	return func(name string) bool {
		return slices.ContainsFunc(patterns, func(p string) bool { ok, _ := path.Match(p, name); return ok })
	}, nil
}

// align finds for each tensor of the output that of the input, and refuses what is left over on either side.
func (c *comparison) align(in *Model) ([]*weights, error) {
	omitted, err := c.omitted()
	if err != nil {
		return nil, err
	}
	for _, name := range in.names() {
		if _, ok := c.out.tensors[name]; !ok && !omitted(name) {
			return nil, differs("tensor %q went in and did not come out", name)
		}
	}
	var out []*weights
	for _, name := range c.out.names() {
		if in.tensors[name] == nil {
			return nil, differs("tensor %q came out and did not go in", name)
		}
		out = append(out, c.out.tensors[name])
	}
	return out, nil
}

func sameShape(a, b *weights) error {
	if !slices.Equal(a.shape, b.shape) {
		return differs("tensor %q has shape %v, and %v went in", a.name, a.shape, b.shape)
	}
	return nil
}

// cast compares the output with the input rounded to the output's types.
func (c *comparison) cast(exactly bool, in Inputs) error {
	if len(in.Models) != 1 || len(in.Adapters) > 0 {
		return fmt.Errorf("%w: it takes one model", ErrUnable)
	}
	source, err := c.renamed(in.Models[0])
	if err != nil {
		return err
	}
	tensors, err := c.align(source)
	if err != nil {
		return err
	}
	if want := c.text("dtype", ""); want != "" {
		if err := c.asked(source, tensors, tensor.DType(want)); err != nil {
			return err
		}
	}
	for _, t := range tensors {
		s := source.tensors[t.name]
		if err := sameShape(t, s); err != nil {
			return err
		}
		c.result.Tensors++
		c.result.Elements += t.elements()
		switch {
		case t.dtype == s.dtype && s.row == nil:
			err = c.same(t, s)
		case exactly && t.dtype != s.dtype:
			err = differs("tensor %q is %s, and %s went in", t.name, t.dtype, s.dtype)
		default:
			err = c.rounded(t, s)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// asked checks that the matrices have the type that is stated, so that what was left as it was is not taken for cast.
func (c *comparison) asked(source *Model, tensors []*weights, want tensor.DType) error {
	for _, t := range tensors {
		if s := source.tensors[t.name]; len(t.shape) > 1 && t.dtype != want && t.dtype != s.dtype {
			return differs("tensor %q is %s, neither %s nor as it went in", t.name, t.dtype, want)
		}
	}
	if !slices.ContainsFunc(tensors, func(t *weights) bool { return t.dtype == want }) {
		return differs("no tensor is %s", want)
	}
	return nil
}

// same compares bytes, of any type.
func (c *comparison) same(t, s *weights) error {
	if t.size != s.size {
		return differs("tensor %q has %d bytes, and %d went in", t.name, t.size, s.size)
	}
	for at := int64(0); at < t.size; at += int64(len(c.raw)) {
		n := min(int64(len(c.raw)), t.size-at)
		for _, x := range []struct {
			w   *weights
			buf []byte
		}{{t, c.raw[:n]}, {s, c.want[:n]}} {
			if k, err := x.w.at.ReadAt(x.buf, x.w.offset+at); k < len(x.buf) {
				return fmt.Errorf("read tensor %q: %w", t.name, err)
			}
		}
		if !bytes.Equal(c.raw[:n], c.want[:n]) {
			return differs("the bytes of tensor %q differ from those that went in", t.name)
		}
	}
	c.result.Exact += t.elements()
	return nil
}

// rounded compares with the input, decoded and encoded as the output is.
func (c *comparison) rounded(t, s *weights) error {
	switch t.dtype {
	case tensor.F32, tensor.F16, tensor.BF16, tensor.Q8_0, tensor.Q4_0:
	default:
		return fmt.Errorf("%w: tensor %q is %s, which depends on more than the weights or is not built", ErrUnable, t.name, t.dtype)
	}
	if s.dtype.Quantised() || s.dtype == tensor.F64 {
		return fmt.Errorf("%w: tensor %q went in as %s", ErrUnable, t.name, s.dtype)
	}
	if block, _ := t.dtype.Block(); t.columns()%int64(block) != 0 {
		return differs("the rows of tensor %q are no whole blocks of %s", t.name, t.dtype)
	}
	return t.chunks(func(start int64, n int) error {
		in := c.got[:n]
		if err := s.read(start, in, c.want); err != nil {
			return err
		}
		raw, err := t.bytes(start, int64(n), c.raw)
		if err != nil {
			return err
		}
		want := c.want[:len(raw)]
		if err := t.dtype.Encode(want, in); err != nil {
			return fmt.Errorf("%w: %w", ErrUnable, err)
		}
		if !bytes.Equal(raw, want) && !c.onlyNaN(t, raw, want, n) {
			return differs("tensor %q is not what %s gives when it is rounded to %s", t.name, s.dtype, t.dtype)
		}
		c.result.Exact += int64(n)
		return nil
	})
}

// onlyNaN reports whether two runs differ in the bits of NaNs alone, which every implementation writes in its own way.
func (c *comparison) onlyNaN(t *weights, a, b []byte, n int) bool {
	if t.dtype.Quantised() {
		return false
	}
	x, y := make([]float32, n), make([]float32, n)
	if t.dtype.Decode(x, a) != nil || t.dtype.Decode(y, b) != nil {
		return false
	}
	for i := range x {
		if math.Float32bits(x[i]) != math.Float32bits(y[i]) && (x[i] == x[i] || y[i] == y[i]) {
			return false
		}
	}
	return true
}

// near compares a run of the output with what a sum gives exactly, and how far rounding may lead from it. Where some
// elements may come out in several ways, others gives them.
func (c *comparison) near(t *weights, start int64, n int, others func(i int, ok func(v, slack float64) bool) bool) error {
	raw, err := t.bytes(start, int64(n), c.raw)
	if err != nil {
		return err
	}
	got := c.got[:n]
	if err := t.dtype.Decode(got, raw); err != nil {
		return err
	}
	for i := range got {
		v := c.exact[i]
		if got[i] == round(t.dtype, v) {
			c.result.Exact++
			continue
		}
		fits := func(v, slack float64) bool {
			return math.Abs(float64(got[i])-v) <= 0.5*ulp(t.dtype, max(math.Abs(v), math.Abs(float64(got[i]))))+slack
		}
		if fits(v, c.slack[i]) || math.IsNaN(v) && got[i] != got[i] || others != nil && others(i, fits) {
			continue
		}
		return differs("tensor %q, element %d, is %g where doing it again gives %g", t.name, start+int64(i), got[i], v)
	}
	return nil
}

// round returns v as the type holds it.
func round(d tensor.DType, v float64) float32 {
	f := float32(v)
	switch d {
	case tensor.BF16:
		return tensor.FromBF16(tensor.ToBF16(f))
	case tensor.F16:
		return tensor.FromF16(tensor.ToF16(f))
	}
	return f
}

// unit returns the rounding error of the type in which sums were done.
func (c *comparison) unit() (float64, error) {
	switch v := c.text(types, "F32"); v {
	case "F32":
		return 0x1p-24, nil
	case "BF16":
		return 0x1p-8, nil
	case "F16":
		return 0x1p-11, nil
	default:
		return 0, fmt.Errorf("%w: parameter %s is %q, none of F32, BF16, F16", ErrUnable, types, v)
	}
}

// float refuses outputs whose neighbours are not known.
func float(t *weights) error {
	if t.dtype != tensor.F32 && t.dtype != tensor.BF16 && t.dtype != tensor.F16 {
		return fmt.Errorf("%w: tensor %q is %s: merge first, then quantise", ErrUnable, t.name, t.dtype)
	}
	return nil
}
