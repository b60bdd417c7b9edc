package compare

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"

	"github.com/palladium-guard/palladium/internal/assign"
	"github.com/palladium-guard/palladium/internal/stats"
)

// Alignment says how the models' hidden dimensions correspond, by the embeddings of tokens that both have.
type Alignment struct {
	Tokens int `json:"tokens"` // compared
	// Common is how rows correspond: "by name" when both vocabularies are known, else "by number".
	Common string `json:"common"`
	// Straight is set when dimensions correspond by number and sign.
	Straight bool `json:"straight"`
	// Cosine is the mean over dimensions of the cosine of two models' columns, absolute when they had to be searched for.
	Cosine float64 `json:"cosine"`
	// Sigma is how far the cosine of dimensions of the same number is from that of others, in standard deviations.
	Sigma float64 `json:"sigma"`
}

const (
	mostTokens    = 1024
	leastTokens   = 32
	leastInputs   = 16
	mostHidden    = 6144 // beyond, the assignment of dimensions takes too long
	straightSigma = 8
)

// align finds, for some hidden dimensions of the narrower model, their partners in the other one.
//
// Source: steps 1 and 2 of AWM (arXiv 2510.06738): the assignment of columns of the embeddings that makes the sum of
// absolute cosines greatest, and their signs. Columns are centred first, so that what all rare tokens share does not
// count. Dimensions that already agree by number are left as they are.
func (c *comparison) align() error {
	da, db := c.a.hidden, c.b.hidden
	var best *Alignment
	for _, ea := range c.a.embeds {
		for _, eb := range c.b.embeds {
			one := &comparison{a: c.a, b: c.b, o: c.o, report: c.report, embedA: ea, embedB: eb}
			al, err := one.alignBy(ea, eb)
			if err != nil {
				return err
			}
			if al == nil || best != nil && (best.Straight || !al.Straight && al.Cosine <= best.Cosine) {
				continue
			}
			best = al
			c.embedA, c.embedB, c.inA, c.inB, c.sign = ea, eb, one.inA, one.inB, one.sign
			c.rowsA, c.rowsB = one.rowsA, one.rowsB
		}
	}
	if c.report.Alignment = best; best != nil {
		return nil
	}
	if da != db {
		c.report.note("hidden sizes differ (%d and %d) and no tokens in common are known to align them by: give --tokenizer-a and --tokenizer-b", da, db)
		return nil
	}
	c.report.note("hidden dimensions are taken as numbered")
	c.numbered(da)
	return nil
}

// alignBy aligns by two embeddings; nil when they do not suffice.
func (c *comparison) alignBy(a, b *matrix) (*Alignment, error) {
	da, db := a.in, b.in
	rowsA, rowsB, how := c.tokens(a, b)
	if len(rowsA) < leastTokens {
		return nil, nil
	}
	c.rowsA, c.rowsB = rowsA, rowsB
	ea, err := columns(a, rowsA)
	if err != nil {
		return nil, err
	}
	eb, err := columns(b, rowsB)
	if err != nil {
		return nil, err
	}
	al := &Alignment{Tokens: len(rowsA), Common: how}
	if da == db {
		if al.Cosine, al.Sigma = c.diagonal(ea, eb); al.Sigma > straightSigma {
			al.Straight = true
			c.numbered(da)
			return al, nil
		}
	}
	if max(da, db) > mostHidden {
		c.report.note("hidden sizes above %d are not searched for dimensions in another order", mostHidden)
		return nil, nil
	}
	c.assignInputs(al, ea, eb)
	return al, nil
}

// assignInputs finds the partners of hidden dimensions by their columns.
func (c *comparison) assignInputs(al *Alignment, ea, eb blas32.General) {
	da, db := ea.Rows, eb.Rows
	s := product(ea, eb)
	if da > db {
		s = transpose(s, da, db)
	}
	n, m := min(da, db), max(da, db)
	cost := make([]float32, len(s))
	for i, v := range s {
		cost[i] = -float32(math.Abs(float64(v)))
	}
	partner := assign.Minimise(cost, n, m)
	var sum float64
	for i, j := range partner {
		sum -= float64(cost[i*m+j])
	}
	al.Cosine = sum / float64(n)
	for _, i := range some(c.o.Inputs, n) {
		j, sign := partner[i], float32(1)
		if s[i*m+j] < 0 {
			sign = -1
		}
		if da > db {
			c.inA, c.inB = append(c.inA, j), append(c.inB, i)
		} else {
			c.inA, c.inB = append(c.inA, i), append(c.inB, j)
		}
		c.sign = append(c.sign, sign)
	}
}

// numbered takes dimensions as they are numbered.
func (c *comparison) numbered(d int) {
	c.inA = some(c.o.Inputs, d)
	c.inB = slices.Clone(c.inA)
	c.sign = make([]float32, len(c.inA))
	for i := range c.sign {
		c.sign[i] = 1
	}
}

// tokens returns rows of both embeddings that stand for the same tokens: half of them the first ones, which are the
// frequent ones in vocabularies that were made by merging, the others evenly spread.
func (c *comparison) tokens(ea, eb *matrix) (a, b []int, how string) {
	var pairs [][2]int
	how = "by number"
	if c.a.Vocab != nil && c.b.Vocab != nil {
		how = "by name"
		row := make(map[string]int, len(c.b.Vocab))
		for i, t := range c.b.Vocab {
			if _, ok := row[t]; !ok && i < eb.out && t != "" {
				row[t] = i
			}
		}
		for i, t := range c.a.Vocab {
			if j, ok := row[t]; ok && i < ea.out {
				pairs = append(pairs, [2]int{i, j})
				delete(row, t)
			}
		}
	} else {
		for i := range min(ea.out, eb.out) {
			pairs = append(pairs, [2]int{i, i})
		}
		c.report.note("rows of the embeddings are taken to stand for the same tokens by number, because %s", c.unknownVocab())
	}
	half := min(mostTokens/2, len(pairs))
	pick := pairs[:half]
	for _, i := range some(mostTokens-half, len(pairs)-half) {
		pick = append(pick[:len(pick):len(pick)], pairs[half+i])
	}
	for _, p := range pick {
		a, b = append(a, p[0]), append(b, p[1])
	}
	return a, b, how
}

func (c *comparison) unknownVocab() string {
	switch {
	case c.a.Vocab == nil && c.b.Vocab == nil:
		return "neither model comes with its vocabulary"
	case c.a.Vocab == nil:
		return "the first model comes without its vocabulary"
	}
	return "the second model comes without its vocabulary"
}

// columns returns the hidden dimensions of some rows of an embedding, one after another (a row of len(rows) numbers for
// each), centred and of length 1.
func columns(e *matrix, rows []int) (blas32.General, error) {
	all := make([]int, e.in)
	for i := range all {
		all[i] = i
	}
	x, err := e.gather(rows, all)
	if err != nil {
		return blas32.General{}, err
	}
	out := transpose(x, len(rows), e.in)
	for i := range e.in {
		centre(out[i*len(rows) : (i+1)*len(rows)])
	}
	return general(out, e.in, len(rows)), nil
}

func centre(x []float32) {
	var sum float64
	for _, v := range x {
		sum += float64(v)
	}
	mean := float32(sum / float64(len(x)))
	for i := range x {
		x[i] -= mean
	}
	unit(x)
}

// unit makes x of length 1, unless it is zero.
func unit(x []float32) {
	var sum float64
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	if sum == 0 {
		return
	}
	by := float32(1 / math.Sqrt(sum))
	for i := range x {
		x[i] *= by
	}
}

func general(x []float32, rows, cols int) blas32.General {
	return blas32.General{Rows: rows, Cols: cols, Stride: max(cols, 1), Data: x}
}

// product returns the inner products of the rows of x with those of y.
func product(x, y blas32.General) []float32 {
	out := general(make([]float32, x.Rows*y.Rows), x.Rows, y.Rows)
	blas32.Gemm(blas.NoTrans, blas.Trans, 1, x, y, 0, out)
	return out.Data
}

func transpose(x []float32, rows, cols int) []float32 {
	out := make([]float32, len(x))
	for i := range rows {
		for j := range cols {
			out[j*rows+i] = x[i*cols+j]
		}
	}
	return out
}

// diagonal returns the mean cosine of columns of the same number, and how many standard deviations it is above that of
// columns of different numbers.
func (c *comparison) diagonal(ea, eb blas32.General) (mean, sigma float64) {
	row := func(g blas32.General, i int) blas32.Vector {
		return blas32.Vector{N: g.Cols, Inc: 1, Data: g.Data[i*g.Stride : i*g.Stride+g.Cols]}
	}
	d := ea.Rows
	rng := stats.Rand(c.o.Seed, 1)
	var off, squares float64
	for i := range d {
		mean += float64(blas32.Dot(row(ea, i), row(eb, i)))
		v := float64(blas32.Dot(row(ea, i), row(eb, (i+1+rng.IntN(max(d-1, 1)))%d)))
		off += v
		squares += v * v
	}
	n := float64(d)
	mean, off, squares = mean/n, off/n, squares/n
	sd := math.Sqrt(max(squares-off*off, 1e-12) / n)
	return mean, (mean - off) / sd
}
