package compare

import (
	"cmp"
	"math"
	"slices"

	"gonum.org/v1/gonum/blas/blas32"

	"github.com/palladium-guard/palladium/internal/assign"
	"github.com/palladium-guard/palladium/internal/stats"
)

// Independence is the outcome of the tests that two models were trained apart.
type Independence struct {
	// LogP is the natural logarithm of the p-value: the smaller one of the two tests, times two, at most 0.
	LogP float64 `json:"log_p"`
	// Ordered tests whether neurons that are alike have like numbers. It is exact as long as the order of one model's
	// neurons is arbitrary, and sees nothing when they were put into another order.
	Ordered Test `json:"ordered"`
	// Matched tests whether ways up and gates (or ways down, where there is no gate) are alike for the same neurons, in
	// whatever order they are. Its null distribution was measured, not proven; see DESIGN.md.
	Matched *Test `json:"matched,omitempty"`
	Layers  int   `json:"layers"`
	Neurons int   `json:"neurons"` // of each layer, that were matched
	// Cosine is the mean cosine of a neuron's weights with its partner's, over the hidden dimensions looked at.
	Cosine float64 `json:"cosine"`
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
	var ordered, matched []float64
	r := &Independence{}
	var m Test
	for _, i := range some(c.o.Layers, len(pairs)) {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		t, err := c.neurons(pairs[i], uint64(i))
		if err != nil {
			return err
		}
		r.Layers++
		r.Neurons = max(r.Neurons, t.n)
		r.Cosine += t.cosine
		r.Ordered.Correlation += t.ordered
		ordered = append(ordered, spearmanLogP(t.ordered, t.n))
		if t.both {
			m.Correlation += t.matched
			matched = append(matched, spearmanLogP(t.matched, t.n))
		}
	}
	n := float64(r.Layers)
	r.Cosine /= n
	r.Ordered.Correlation /= n
	r.Ordered.LogP = fisherLogP(ordered)
	r.LogP = r.Ordered.LogP
	if len(matched) > 0 {
		m.Correlation /= float64(len(matched))
		m.LogP = fisherLogP(matched)
		r.Matched = &m
		r.LogP = min(0, math.Ln2+min(r.Ordered.LogP, m.LogP))
	}
	c.report.Independence = r
	return nil
}

// matching is what one layer says.
type matching struct {
	n                int
	ordered, matched float64
	cosine           float64
	both             bool
}

func (c *comparison) neurons(p layerPair, stream uint64) (t matching, err error) {
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
	assigned := func(k kind) ([]int, float64, error) {
		few, many := rows, cols
		if swap {
			few, many = cols, rows
		}
		x, err := vectors(p.a.get(k), k, few, c.inA, nil)
		if err != nil {
			return nil, 0, err
		}
		y, err := vectors(p.b.get(k), k, many, c.inB, c.sign)
		if err != nil {
			return nil, 0, err
		}
		if swap {
			x, y = y, x
		}
		cost := product(x, y)
		for i := range cost {
			cost[i] = -cost[i]
		}
		match := assign.Minimise(cost, len(rows), len(cols))
		sum := 0.0
		for i, j := range match {
			sum -= float64(cost[i*len(cols)+j])
		}
		return match, sum / float64(len(rows)), nil
	}
	first, mean, err := assigned(up)
	if err != nil {
		return t, err
	}
	t.cosine = mean
	t.ordered = rankCorrelation(span(0, len(rows)), first)
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
	t.both, t.matched = true, rankCorrelation(first, other)
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

// rankCorrelation returns Spearman's correlation of two lists of different numbers: ρ = 1 - 6 Σd²/(n(n²-1)).
func rankCorrelation(x, y []int) float64 {
	rx, ry := ranks(x), ranks(y)
	sum := 0.0
	for i := range rx {
		d := float64(rx[i] - ry[i])
		sum += d * d
	}
	n := float64(len(x))
	return 1 - 6*sum/(n*(n*n-1))
}

func ranks(x []int) []int {
	order := span(0, len(x))
	slices.SortFunc(order, func(i, j int) int { return cmp.Compare(x[i], x[j]) })
	r := make([]int, len(x))
	for rank, i := range order {
		r[i] = rank
	}
	return r
}

// spearmanLogP returns the logarithm of the chance that n ranks by lot are correlated by rho or more: Student's
// distribution of ρ√((n-2)/(1-ρ²)) with n-2 degrees of freedom, and never less than that of one order among n!.
func spearmanLogP(rho float64, n int) float64 {
	least, _ := math.Lgamma(float64(n) + 1)
	if rho >= 1 {
		return -least
	}
	if rho < 0 {
		return math.Log1p(-math.Exp(spearmanLogP(-rho, n)))
	}
	p := -math.Ln2 + logBeta(1-rho*rho, float64(n-2)/2, 0.5)
	return max(p, -least)
}

// logBeta returns the logarithm of the regularised incomplete beta function I_x(a,b), by the continued fraction of
// Abramowitz and Stegun 26.5.8 after Lentz; it does not underflow for small x.
func logBeta(x, a, b float64) float64 {
	switch {
	case x <= 0:
		return math.Inf(-1)
	case x >= 1:
		return 0
	case x > (a+1)/(a+b+2):
		return math.Log1p(-math.Exp(logBeta(1-x, b, a)))
	}
	ga, _ := math.Lgamma(a)
	gb, _ := math.Lgamma(b)
	gab, _ := math.Lgamma(a + b)
	front := a*math.Log(x) + b*math.Log1p(-x) + gab - ga - gb - math.Log(a)
	const tiny = 1e-300
	f, c, d := 1.0, 1.0, 0.0
	for i := range 400 {
		m := float64(i / 2)
		var num float64
		switch {
		case i == 0:
			num = 1
		case i%2 == 0:
			num = m * (b - m) * x / ((a + 2*m - 1) * (a + 2*m))
		default:
			num = -(a + m) * (a + b + m) * x / ((a + 2*m) * (a + 2*m + 1))
		}
		if d = 1 + num*d; math.Abs(d) < tiny {
			d = tiny
		}
		d = 1 / d
		if c = 1 + num/c; math.Abs(c) < tiny {
			c = tiny
		}
		f *= c * d
		if math.Abs(1-c*d) < 1e-14 {
			break
		}
	}
	return front + math.Log(f-1)
}

// fisherLogP puts independent p-values together: with s = -Σ ln p, the upper tail of χ² with 2L degrees of freedom at 2s
// is e^-s Σ_{k<L} s^k/k!.
func fisherLogP(logs []float64) float64 {
	s := 0.0
	for _, l := range logs {
		s -= l
	}
	if s <= 0 {
		return 0
	}
	sum, term := math.Inf(-1), 0.0
	for k := range logs {
		if k > 0 {
			term += math.Log(s) - math.Log(float64(k))
		}
		hi, lo := max(sum, term), min(sum, term)
		sum = hi + math.Log1p(math.Exp(lo-hi))
	}
	return min(0, sum-s)
}
