package compare

import (
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"

	"github.com/palladium-guard/palladium/internal/assign"
	"github.com/palladium-guard/palladium/internal/stats"
)

// Attention is the agreement of what two models' attention reads from the hidden state.
type Attention struct {
	// Score is the mean over layers and matrices of the unbiased centred kernel alignment (uCKA): about 0 for models
	// trained apart, 1 for equal ones.
	Score float64 `json:"score"`
	// Sigma is how far that is from the scores after hidden dimensions were assigned by lot, in their standard deviations.
	// It is a distance, not a p-value: dimensions of models trained apart are not quite exchangeable.
	Sigma  float64 `json:"sigma"`
	Layers int     `json:"layers"`
	Inputs int     `json:"inputs"` // hidden dimensions that were looked at
	// Ordered is set when layers correspond by number; otherwise they were assigned by their agreement.
	Ordered bool `json:"ordered"`
}

// gram is the centred matrix of inner products of hidden dimensions, over all outputs of a matrix.
type gram struct {
	n    int
	k    []float32
	norm float64
}

// gramOf computes the Gram matrix over the given hidden dimensions with signs, nil for all +1. For what writes into the
// hidden state these are outputs, and the sum is over inputs.
func gramOf(x *matrix, as kind, dims []int, sign []float32) (*gram, error) {
	g := &gram{n: len(dims), k: make([]float32, len(dims)*len(dims))}
	if err := g.add(x, as, dims); err != nil {
		return nil, err
	}
	for i, s := range sign {
		for j, t := range sign {
			g.k[i*g.n+j] *= s * t
		}
	}
	g.centre()
	return g, nil
}

// add adds the inner products of a matrix, some outputs at a time.
func (g *gram) add(x *matrix, as kind, dims []int) error {
	const step = 4096
	k := general(g.k, g.n, g.n)
	if as == down || as == output {
		for from := 0; from < x.in; from += step {
			w, err := x.gather(dims, span(from, min(from+step, x.in)))
			if err != nil {
				return err
			}
			y := general(w, g.n, len(w)/g.n)
			blas32.Gemm(blas.NoTrans, blas.Trans, 1, y, y, 1, k)
		}
		return nil
	}
	for from := 0; from < x.out; from += step {
		w, err := x.gather(span(from, min(from+step, x.out)), dims)
		if err != nil {
			return err
		}
		y := general(w, len(w)/g.n, g.n)
		blas32.Gemm(blas.Trans, blas.NoTrans, 1, y, y, 1, k)
	}
	return nil
}

func span(from, to int) []int {
	out := make([]int, to-from)
	for i := range out {
		out[i] = from + i
	}
	return out
}

// centre centres without bias: zero diagonal, m_i = Σ_j K_ij/(n-2), m -= Σm/(2(n-1)), K_ij -= m_i + m_j, zero diagonal.
// Source: Song et al., "Feature selection via dependence maximization" (2012), eq. 4, as used in AWM.
func (g *gram) centre() {
	n := g.n
	m := make([]float64, n)
	total := 0.0
	for i := range n {
		g.k[i*n+i] = 0
		for j := range n {
			m[i] += float64(g.k[i*n+j])
		}
		m[i] /= float64(n - 2)
		total += m[i]
	}
	for i := range m {
		m[i] -= total / (2 * float64(n-1))
	}
	sum := 0.0
	for i := range n {
		for j := range n {
			v := float64(g.k[i*n+j]) - m[i] - m[j]
			if i == j {
				v = 0
			}
			g.k[i*n+j] = float32(v)
			sum += v * v
		}
	}
	g.norm = math.Sqrt(sum)
}

// agreement returns uCKA = <K,L> / √(<K,K><L,L>), with L's dimensions taken in the order of shuffle, nil for their own.
func (g *gram) agreement(l *gram, shuffle []int) float64 {
	if g.norm == 0 || l.norm == 0 {
		return 0
	}
	n, sum := g.n, 0.0
	for i := range n {
		row := g.k[i*n : (i+1)*n]
		if shuffle == nil {
			sum += float64(blas32.Dot(blas32.Vector{N: n, Inc: 1, Data: row}, blas32.Vector{N: n, Inc: 1, Data: l.k[i*n : (i+1)*n]}))
			continue
		}
		other, part := l.k[shuffle[i]*n:(shuffle[i]+1)*n], float32(0)
		for j, v := range row {
			part += v * other[shuffle[j]]
		}
		sum += float64(part)
	}
	return sum / (g.norm * l.norm)
}

// bestPairs assigns each of n things one of m so that the sum of their likeness is greatest; -1 for what stays alone.
func bestPairs(n, m int, like func(i, j int) float64) []int {
	rows, cols := min(n, m), max(n, m)
	cost := make([]float32, rows*cols)
	for i := range n {
		for j := range m {
			v := -float32(like(i, j))
			if n <= m {
				cost[i*m+j] = v
			} else {
				cost[j*n+i] = v
			}
		}
	}
	match := assign.Minimise(cost, rows, cols)
	if n <= m {
		return match
	}
	out := make([]int, n)
	for i := range out {
		out[i] = -1
	}
	for j, i := range match {
		out[i] = j
	}
	return out
}

// attention pairs layers and measures the agreement of their attention.
//
// Source: steps 3 to 5 of AWM (arXiv 2510.06738), on some of the hidden dimensions, and with the null distribution taken
// from these two models instead of a table: the same is done with dimensions assigned by lot. Where one model stores
// query, key and value together, the sums of their Gram matrices are compared.
func (c *comparison) attention() error {
	if len(c.inA) < leastInputs {
		return nil
	}
	if err := c.resolve(); err != nil {
		return err
	}
	whole := c.a.stores(fused) || c.b.stores(fused)
	layersA, gramsA, err := c.a.grams(c.inA, nil, whole)
	if err != nil {
		return err
	}
	layersB, gramsB, err := c.b.grams(c.inB, c.sign, whole)
	if err != nil {
		return err
	}
	if len(layersA) == 0 || len(layersB) == 0 {
		c.report.note("no matrices of attention are recognised in one of the models")
		c.pairByNumber()
		return nil
	}
	ordered := len(layersA) == len(layersB)
	like := func(shuffle []int) func(i, j int) float64 {
		return func(i, j int) float64 {
			sum := 0.0
			for k := range gramsA[i] {
				sum += gramsA[i][k].agreement(gramsB[j][k], shuffle)
			}
			return sum / float64(len(gramsA[i]))
		}
	}
	score := func(shuffle []int) (match []int, mean float64) {
		if ordered {
			match = span(0, len(layersA))
		} else {
			match = bestPairs(len(layersA), len(layersB), like(shuffle))
		}
		n := 0.0
		for i, j := range match {
			if j >= 0 {
				mean += like(shuffle)(i, j)
				n++
			}
		}
		return match, mean / n
	}
	match, mean := score(nil)
	shuffles := 48
	if len(layersA)*len(layersB) > 256 && !ordered {
		shuffles = 12
	}
	rng := stats.Rand(c.o.Seed, 2)
	var sum, squares float64
	for range shuffles {
		_, s := score(rng.Perm(len(c.inA)))
		sum += s
		squares += s * s
	}
	n := float64(shuffles)
	sd := math.Sqrt(max((squares-sum*sum/n)/(n-1), 1e-12))
	at := &Attention{Score: mean, Sigma: (mean - sum/n) / sd, Inputs: len(c.inA), Ordered: ordered}
	for i, j := range match {
		if j >= 0 {
			c.pairs = append(c.pairs, layerPair{layersA[i], layersB[j]})
			at.Layers++
		}
	}
	c.report.Attention = at
	return nil
}

func (c *comparison) pairByNumber() {
	for i := range c.a.layers {
		for j := range c.b.layers {
			if byNumber(&c.a.layers[i], &c.b.layers[j]) == 0 {
				c.pairs = append(c.pairs, layerPair{&c.a.layers[i], &c.b.layers[j]})
			}
		}
	}
}

func (m *Model) stores(k kind) bool {
	for i := range m.layers {
		if m.layers[i].get(k) != nil {
			return true
		}
	}
	return false
}

// grams returns the layers with attention and their Gram matrices: query and key, or all together.
func (m *Model) grams(dims []int, sign []float32, whole bool) (layers []*layer, grams [][]*gram, err error) {
	done := map[*matrix]*gram{} // experts share the attention of their layer
	for i := range m.layers {
		l := &m.layers[i]
		var gs []*gram
		if whole {
			g := &gram{n: len(dims), k: make([]float32, len(dims)*len(dims))}
			found := false
			for _, k := range []kind{fused, query, key, value} {
				if x := l.get(k); x != nil {
					found = true
					if err := g.add(x, k, dims); err != nil {
						return nil, nil, err
					}
				}
			}
			if !found {
				continue
			}
			for i, s := range sign {
				for j, t := range sign {
					g.k[i*g.n+j] *= s * t
				}
			}
			g.centre()
			gs = append(gs, g)
		} else {
			for _, k := range []kind{query, key} {
				x := l.get(k)
				if x == nil {
					break
				}
				if done[x] == nil {
					if done[x], err = gramOf(x, k, dims, sign); err != nil {
						return nil, nil, err
					}
				}
				gs = append(gs, done[x])
			}
			if len(gs) < 2 {
				continue
			}
		}
		layers, grams = append(layers, l), append(grams, gs)
	}
	return layers, grams, nil
}
