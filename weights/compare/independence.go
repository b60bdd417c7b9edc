package compare

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/blas/blas32"

	"github.com/palladium-guard/palladium/internal/assign"
	"github.com/palladium-guard/palladium/internal/stats"
	"github.com/palladium-guard/palladium/internal/stats/rank"
)

// Independence is the outcome of the tests that two models were trained apart.
type Independence struct {
	// LogP is the natural logarithm of the p-value: the smallest one of the tests but Tokens.Matched, times their number,
	// at most 0.
	LogP float64 `json:"log_p"`
	// Ordered tests whether neurons that are alike have like numbers. It is exact as long as the order of one model's
	// neurons is arbitrary, and sees nothing when they were put into another order.
	Ordered Test `json:"ordered"`
	// Matched tests whether ways up and gates (or ways down, where there is no gate) are alike for the same neurons, in
	// whatever order they are. Its null distribution was measured, not proven; see DESIGN.md.
	Matched *Test `json:"matched,omitempty"`
	// InPlace tests whether neurons of the same number are more alike than those of different numbers, where models have
	// equally many. As exact as Ordered but for the tail of the normal distribution.
	InPlace *InPlace `json:"in_place,omitempty"`
	Layers  int      `json:"layers"`
	Neurons int      `json:"neurons"` // of each layer, that were matched
	// Cosine is the mean cosine of a neuron's weights with its partner's, over the hidden dimensions looked at.
	Cosine float64 `json:"cosine"`
	// Tokens is the same with neurons described by their products with the embeddings of tokens, which stay what they are
	// when the hidden state is rotated. It is measured when dimensions do not correspond by number and the tests above
	// see nothing.
	Tokens *Tokens `json:"tokens,omitempty"`
}

// Tokens are the tests by products with embeddings.
type Tokens struct {
	Ordered Test `json:"ordered"`
	// Matched does not count towards the p-value: models that learned the same from the same texts apart may have
	// neurons for the same tokens. It only keeps models from being called unrelated.
	Matched *Test `json:"matched,omitempty"`
	Layers  int   `json:"layers"`
}

// InPlace is the sum of cosines of neurons of the same number, beside its distribution when numbers are dealt by lot.
type InPlace struct {
	LogP  float64 `json:"log_p"`
	Sigma float64 `json:"sigma"` // standard deviations from the mean, over all layers
}

// Test is one test over all layers.
type Test struct {
	LogP        float64 `json:"log_p"`
	Correlation float64 `json:"correlation"` // mean over layers, of ranks
}

const (
	leastNeurons = 24
	mostNeurons  = 16384
)

// independence matches the neurons of layers that correspond.
//
// Source: Zhu, Ahmed, Kuditipudi and Liang, "Independence tests for language models" (ICML 2025, arXiv 2502.12292):
// neurons are assigned by the cosines of their weights; Spearman's correlation of the assignment with the numbers, or of
// two assignments with each other; p-values of layers are put together after Fisher, χ² = -2 Σ ln p with 2L degrees of
// freedom. Here the correlation is tested one-sided, and some neurons stand for all: they are drawn by lot from the
// narrower model and assigned among all of the other's.
func (c *comparison) independence() error {
	if len(c.inA) < leastInputs {
		return nil
	}
	var pairs []layerPair
	seen := map[*matrix]bool{}
	for _, p := range c.pairs {
		if a, b := p.a.get(up), p.b.get(up); a != nil && b != nil && !seen[a] && min(a.out, b.out) >= leastNeurons {
			seen[a] = true
			pairs = append(pairs, p)
		}
	}
	if len(pairs) == 0 {
		c.report.note("no layers with the same kind of feed-forward part are recognised: independence is not tested")
		return nil
	}
	r := &Independence{}
	rep := c.report
	rep.Independence = r
	for _, i := range some(c.o.Layers, len(pairs)) {
		r.Layers++
		p := pairs[i]
		r.Neurons = max(r.Neurons, min(c.o.Neurons, p.a.get(up).out, p.b.get(up).out))
	}
	all, err := c.layers(pairs, c.o.Layers, c.byInputs)
	if err != nil {
		return err
	}
	r.Ordered, r.Matched, r.InPlace, r.Cosine = all.ordered, all.matched, all.inPlace, all.cosine
	r.LogP = r.Ordered.LogP
	tests := 1.0
	if m := all.matched; m != nil {
		r.LogP, tests = min(r.LogP, m.LogP), tests+1
	}
	if p := all.inPlace; p != nil {
		r.LogP, tests = min(r.LogP, p.LogP), tests+1
	}
	if al := rep.Alignment; al != nil && !al.Straight && math.Log(tests)+r.LogP > math.Log(Alpha) {
		const fewLayers = 6
		r.Tokens = &Tokens{Layers: min(fewLayers, len(pairs))}
		all, err := c.layers(pairs, fewLayers, c.byTokens)
		if err != nil {
			return err
		}
		r.Tokens.Ordered, r.Tokens.Matched = all.ordered, all.matched
		r.LogP, tests = min(r.LogP, all.ordered.LogP), tests+1
	}
	r.LogP = min(0, math.Log(tests)+r.LogP)
	return nil
}

// outcome is what some pairs of layers say together.
type outcome struct {
	ordered Test
	matched *Test
	inPlace *InPlace
	cosine  float64
}

// layers tests some pairs of layers with neurons as described.
func (c *comparison) layers(pairs []layerPair, most int, describe describer) (o outcome, err error) {
	var logs, logsMatched []float64
	var matched Test
	var z, placed float64
	for _, i := range some(most, len(pairs)) {
		if err := c.ctx.Err(); err != nil {
			return o, err
		}
		t, err := c.neurons(pairs[i], uint64(i), describe)
		if err != nil {
			return o, err
		}
		o.cosine += t.cosine
		o.ordered.Correlation += t.ordered
		logs = append(logs, rank.LogP(t.ordered, t.n))
		if t.both {
			matched.Correlation += t.matched
			logsMatched = append(logsMatched, rank.LogP(t.matched, t.n))
		}
		if t.placed {
			z += t.sigma
			placed++
		}
	}
	n := float64(len(logs))
	o.cosine /= n
	o.ordered.Correlation /= n
	o.ordered.LogP = rank.Fisher(logs)
	if m := float64(len(logsMatched)); m > 0 {
		matched.Correlation /= m
		matched.LogP = rank.Fisher(logsMatched)
		o.matched = &matched
	}
	if placed > 0 {
		z /= math.Sqrt(placed)
		o.inPlace = &InPlace{LogP: stats.LogNormalTail(z), Sigma: z}
	}
	return o, nil
}

// inPlace returns how many standard deviations Σ_i C[i,col(i)] is above its mean when columns are dealt to rows by lot.
// With D the matrix less the means of its rows, and m columns, the variance is
// Σ D²/m - (Σ_j (Σ_i D_ij)² - Σ D²)/(m(m-1)). Source: Hoeffding, "A combinatorial central limit theorem" (1951).
func inPlace(like []float32, col []int, m int) float64 {
	sums := make([]float64, m)
	var t, squares float64
	for i, c := range col {
		row := like[i*m : (i+1)*m]
		mean := 0.0
		for _, v := range row {
			mean += float64(v)
		}
		mean /= float64(m)
		for j, v := range row {
			d := float64(v) - mean
			sums[j] += d
			squares += d * d
		}
		t += float64(row[c]) - mean
	}
	cross := -squares
	for _, s := range sums {
		cross += s * s
	}
	variance := squares/float64(m) - cross/(float64(m)*float64(m-1))
	if variance <= 0 {
		return 0
	}
	return t / math.Sqrt(variance)
}

// describer returns a vector of length 1 for each of some neurons of A, or of B when second is set.
type describer func(l *layer, k kind, neurons []int, second bool) (blas32.General, error)

// byInputs describes neurons by their weights at the hidden dimensions that are looked at.
func (c *comparison) byInputs(l *layer, k kind, neurons []int, second bool) (blas32.General, error) {
	if second {
		return vectors(l.get(k), k, neurons, c.inB, c.sign)
	}
	return vectors(l.get(k), k, neurons, c.inA, nil)
}

// byTokens describes neurons by the products of their weights with embeddings, centred over tokens. What reads the
// hidden state does so after a norm, whose gains count.
func (c *comparison) byTokens(l *layer, k kind, neurons []int, second bool) (blas32.General, error) {
	e, rows, m := c.embedA, c.rowsA, c.a
	if second {
		e, rows, m = c.embedB, c.rowsB, c.b
	}
	pick := make([]int, 0, c.o.Inputs)
	for _, i := range some(c.o.Inputs, len(rows)) {
		pick = append(pick, rows[i])
	}
	all := span(0, m.hidden)
	tokens, err := e.gather(pick, all)
	if err != nil {
		return blas32.General{}, err
	}
	var gains []float32
	if l.gain != nil && k != down {
		gains = make([]float32, m.hidden)
		if err := l.gain.read(gains, 0, &scratch{}); err != nil {
			return blas32.General{}, err
		}
	}
	for i := range pick {
		row := tokens[i*m.hidden : (i+1)*m.hidden]
		unit(row)
		for j, g := range gains {
			row[j] *= finite(g)
		}
	}
	w, err := vectors(l.get(k), k, neurons, all, nil)
	if err != nil {
		return blas32.General{}, err
	}
	out := product(w, general(tokens, len(pick), m.hidden))
	for i := range neurons {
		centre(out[i*len(pick) : (i+1)*len(pick)])
	}
	return general(out, len(neurons), len(pick)), nil
}

// matching is what one layer says.
type matching struct {
	n                int
	ordered, matched float64
	cosine           float64
	sigma            float64 // in place
	both, placed     bool
}

func (c *comparison) neurons(p layerPair, stream uint64, describe describer) (t matching, err error) {
	upA, upB := p.a.get(up), p.b.get(up)
	swap := upA.out > upB.out
	narrow, wide := min(upA.out, upB.out), max(upA.out, upB.out)
	rng := stats.Rand(c.o.Seed, 100+stream)
	rows := rng.Perm(narrow)[:min(c.o.Neurons, narrow)]
	slices.Sort(rows)
	cols := span(0, wide)
	if wide > mostNeurons {
		cols = rng.Perm(wide)[:mostNeurons]
		slices.Sort(cols)
	}
	t.n = len(rows)
	like := make([]float32, len(rows)*len(cols)) // the sum over kinds of matrices
	assigned := func(k kind) ([]int, float64, error) {
		few, many := rows, cols
		if swap {
			few, many = cols, rows
		}
		x, err := describe(p.a, k, few, false)
		if err != nil {
			return nil, 0, err
		}
		y, err := describe(p.b, k, many, true)
		if err != nil {
			return nil, 0, err
		}
		if swap {
			x, y = y, x
		}
		cost := product(x, y)
		for i, v := range cost {
			like[i] += v
			cost[i] = -v
		}
		match := assign.Minimise(cost, len(rows), len(cols))
		sum := 0.0
		for i, j := range match {
			sum -= float64(cost[i*len(cols)+j])
		}
		return match, sum / float64(len(rows)), nil
	}
	defer func() {
		if t.placed = narrow == wide && wide == len(cols); t.placed {
			t.sigma = inPlace(like, rows, wide)
		}
	}()
	first, mean, err := assigned(up)
	if err != nil {
		return t, err
	}
	t.cosine = mean
	t.ordered = rank.Correlation(span(0, len(rows)), first)
	second := gate
	if p.a.get(gate) == nil || p.b.get(gate) == nil {
		second = down
	}
	a, b := p.a.get(second), p.b.get(second)
	if a == nil || b == nil || neuronsOf(a, second) != upA.out || neuronsOf(b, second) != upB.out {
		return t, nil
	}
	other, _, err := assigned(second)
	if err != nil {
		return t, err
	}
	t.both, t.matched = true, rank.Correlation(first, other)
	return t, nil
}

func neuronsOf(x *matrix, k kind) int {
	if k == down {
		return x.in
	}
	return x.out
}

// vectors returns the weights of neurons at some hidden dimensions, each of length 1.
func vectors(x *matrix, k kind, neurons, dims []int, sign []float32) (blas32.General, error) {
	var w []float32
	var err error
	if k == down {
		if w, err = x.gather(dims, neurons); err == nil {
			w = transpose(w, len(dims), len(neurons))
		}
	} else {
		w, err = x.gather(neurons, dims)
	}
	if err != nil {
		return blas32.General{}, err
	}
	d := len(dims)
	for i := range neurons {
		row := w[i*d : (i+1)*d]
		for j, s := range sign {
			row[j] *= s
		}
		unit(row)
	}
	return general(w, len(neurons), d), nil
}
