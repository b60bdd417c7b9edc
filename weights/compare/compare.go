// Package compare says whether one model's weights are derived from another's, from their files alone: which tensors are
// the same, how far apart the others are, and how likely so much agreement would be between models that were trained
// apart. It reads safetensors and GGUF, a part at a time, and runs nothing.
package compare

import (
	"context"
	"errors"
	"fmt"
)

// Relation is what is said about two models.
type Relation string

// The relations.
const (
	Same       Relation = "same"        // the weights are equal, up to names, shards, order of neurons and element type
	Derived    Relation = "derived"     // they were not trained apart
	Unrelated  Relation = "unrelated"   // no test that had the power to see a relation sees one
	CannotTell Relation = "cannot tell" // the tests cannot be done, or do not suffice
)

// The bounds of the verdict. DESIGN.md says what was measured at them.
const (
	// Alpha is the greatest p-value at which models count as derived. The p-value is of the smaller of two tests, times two.
	Alpha = 1e-6
	// DerivedSigma is the distance of the attention's agreement from chance, in standard deviations, from which models
	// count as derived although their neurons do not tell.
	DerivedSigma = 12
	// CalmSigma is the distance below which the attention's agreement looks like chance.
	CalmSigma = 6
	// calmP is the p-value above which the neurons' agreement looks like chance.
	calmP = 1e-3
	// equalCosine is the cosine of all weights from which two models are equal but for rounding.
	equalCosine = 0.9999
)

// Options say how thoroughly models are compared.
type Options struct {
	Seed     uint64                  // of the samples; the same seed gives the same report
	Neurons  int                     // of a layer, that are matched; 256 when zero
	Inputs   int                     // hidden dimensions that are looked at; 192 when zero
	Layers   int                     // layers whose neurons are matched; 12 when zero
	Workers  int                     // goroutines that read; 2 when zero
	SkipHash bool                    // leave out the tensors' digests, which need every byte to be read
	Progress func(done, total int64) // bytes read for digests; called by one goroutine at a time
}

func (o Options) filled() Options {
	if o.Neurons == 0 {
		o.Neurons = 256
	}
	if o.Inputs == 0 {
		o.Inputs = 192
	}
	if o.Layers == 0 {
		o.Layers = 12
	}
	if o.Workers == 0 {
		o.Workers = 2
	}
	return o
}

// ErrTensors is wrapped by errors about a model in which nothing can be compared.
var ErrTensors = errors.New("no weights of a transformer are recognised")

// Report is the outcome.
type Report struct {
	Relation Relation `json:"relation"`
	Reasons  []string `json:"reasons"` // sentences, the weightiest first
	Notes    []string `json:"notes,omitempty"`
	A        Shape    `json:"a"`
	B        Shape    `json:"b"`

	Overlap      *Overlap      `json:"overlap,omitempty"`
	Alignment    *Alignment    `json:"alignment,omitempty"`
	Distance     *Distance     `json:"distance,omitempty"`
	Attention    *Attention    `json:"attention,omitempty"`
	Independence *Independence `json:"independence,omitempty"`
	Spread       *Spread       `json:"spread,omitempty"`
}

// Shape is what was recognised of a model.
type Shape struct {
	Tensors    int    `json:"tensors"`
	Parameters int64  `json:"parameters"`
	Layers     int    `json:"layers"`
	Hidden     int    `json:"hidden"`
	Neurons    int    `json:"neurons"` // of a layer's feed-forward part
	Vocabulary int    `json:"vocabulary"`
	Recognised string `json:"recognised"` // by names, or by shapes
	Types      string `json:"types"`      // element types, the most frequent first
}

// Compare compares two models. What cannot be measured is absent from the report and said in its notes; an error means
// that a file cannot be read or the context ended.
func Compare(ctx context.Context, a, b *Model, o Options) (*Report, error) {
	o = o.filled()
	r := &Report{A: a.shape(), B: b.shape()}
	for _, m := range []*Model{a, b} {
		for _, n := range m.notes {
			r.note("%s", n)
		}
	}
	if !o.SkipHash {
		var err error
		if r.Overlap, err = overlap(ctx, a, b, o); err != nil {
			return nil, err
		}
	}
	if len(a.parts) == 0 || len(b.parts) == 0 {
		r.note("%v in one of the models: only equal tensors can be found", ErrTensors)
		r.judge()
		return r, nil
	}
	c := &comparison{ctx: ctx, a: a, b: b, o: o, report: r}
	if err := c.run(); err != nil {
		return nil, err
	}
	r.judge()
	return r, nil
}

func (r *Report) note(format string, args ...any) {
	n := fmt.Sprintf(format, args...)
	for _, have := range r.Notes {
		if have == n {
			return
		}
	}
	r.Notes = append(r.Notes, n)
}

// comparison holds what is found on the way.
type comparison struct {
	ctx    context.Context
	a, b   *Model
	o      Options
	report *Report

	embedA, embedB *matrix // that were aligned

	inA, inB []int     // hidden dimensions that are looked at, and their partners
	sign     []float32 // by which B's are multiplied
	rowsA    []int     // of the embeddings, for tokens that both models have
	rowsB    []int
	pairs    []layerPair
}

// layerPair is two layers that correspond.
type layerPair struct{ a, b *layer }

// run takes the tests in the order in which they need each other.
func (c *comparison) run() error {
	for _, step := range []func() error{c.align, c.attention, c.independence, c.distance, c.spread} {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}
