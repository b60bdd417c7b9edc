package fitting

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"

	"github.com/palladium-guard/palladium/internal/stats"
	"github.com/palladium-guard/palladium/traffic/extraction"
)

// The settings of the regression.
const (
	ridge          = 3.0 // penalty on half the squared coefficients of standardised features
	weightHonest   = 2.0 // of a row of an honest group: to accuse the honest is worse than to miss a campaign for a day
	weightUnjudged = 0.3 // of a row that the score does not judge; it still shows what campaigns and honest groups do
	folds          = 5
	mostNats       = 3.0 // that one feature, over its whole range, may move the log-odds: none accuses or clears alone
	// Augmented copies of each row beside the row itself, and steps, in cross-validation and for the weights.
	copiesFold, stepsFold   = 3, 600
	copiesFinal, stepsFinal = 4, 1500
	settled                 = 1e-6 // the largest move of a coefficient that ends the descent
)

// Model is what was fitted, with the score of every row by weights that were fitted on other worlds.
type Model struct {
	Weights extraction.Weights
	rows    []Row
	scores  []float64 // held out
	columns []column
	beta    []float64 // intercept, then one for each column, of standardised features
}

// column is a feature in the regression, standardised to mean 0 and deviation 1 over eligible rows.
type column struct {
	feature       int
	name          string
	term          term
	mid, mean, sd float64 // mid: half-way between the means of the two kinds, for rows that do not know
}

// design is the rows as the regression sees them.
type design struct {
	columns []column
	z       [][]float64
	y       []float64 // 1 for campaigns
	w       []float64
	group   []int  // a number for each group of each world
	use     []bool // eligible
}

// Fit fits weights on rows by ridge logistic regression with signs held to terms, on rows with noise added by swapping
// features. Each world is scored by weights that were fitted without it, world seed modulo five at a time; the
// weights returned are fitted on all. Rows of a group share a weight of one.
func Fit(ctx context.Context, rows []Row) (*Model, error) {
	d, err := newDesign(rows)
	if err != nil {
		return nil, err
	}
	m := &Model{rows: rows, scores: make([]float64, len(rows)), columns: d.columns}
	for k := range uint64(folds) {
		var train, test []int
		for i := range rows {
			if rows[i].World%folds == k {
				test = append(test, i)
			} else {
				train = append(train, i)
			}
		}
		if len(test) == 0 {
			continue
		}
		if err := d.enough(train); err != nil {
			return nil, err
		}
		beta := d.augmented(train, copiesFold, stats.Rand(k, 0xf01d)).fit(ctx, stepsFold)
		for _, i := range test {
			m.scores[i] = score(beta, d.z[i])
		}
	}
	m.beta = d.augmented(indices(len(rows)), copiesFinal, stats.Rand(0, 0xa11)).fit(ctx, stepsFinal)
	m.Weights = d.weights(m.beta)
	return m, ctx.Err()
}

func newDesign(rows []Row) (*design, error) {
	type key struct {
		world uint64
		group string
	}
	d := &design{y: make([]float64, len(rows))}
	number, count := map[key]int{}, []float64{}
	for i := range rows {
		k := key{rows[i].World, rows[i].Group}
		if _, ok := number[k]; !ok {
			number[k] = len(count)
			count = append(count, 0)
		}
		d.group = append(d.group, number[k])
		count[number[k]]++
		d.use = append(d.use, rows[i].Eligible)
		if rows[i].Hostile {
			d.y[i] = 1
		}
	}
	if err := d.enough(indices(len(rows))); err != nil {
		return nil, err
	}
	for i := range rows {
		w := 1 / count[d.group[i]]
		if !rows[i].Hostile {
			w *= weightHonest
		}
		if !rows[i].Eligible {
			w *= weightUnjudged
		}
		d.w = append(d.w, w)
	}
	d.standardise(rows)
	return d, nil
}

func indices(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// enough reports whether there are eligible rows of both kinds to fit on.
func (d *design) enough(rows []int) error {
	var n [2]int
	for _, i := range rows {
		if d.use[i] {
			n[int(d.y[i])]++
		}
	}
	if n[0] == 0 || n[1] == 0 {
		return fmt.Errorf("fit the weights: among %d rows are %d of campaigns and %d of honest groups that one operator runs: play more or larger worlds", len(rows), n[1], n[0])
	}
	return nil
}

// standardise sets columns and z.
func (d *design) standardise(rows []Row) {
	table := terms()
	for f, n := range extraction.Names() {
		t := table[n[0]]
		if t.sign == out {
			continue
		}
		var x [2][]float64
		for i := range rows {
			if v := rows[i].Features[f]; d.use[i] && !math.IsNaN(v) {
				x[int(d.y[i])] = append(x[int(d.y[i])], v)
			}
		}
		if len(x[0]) == 0 || len(x[1]) == 0 {
			continue // one kind never shows it
		}
		q := stats.Quantiles(slices.Concat(x[0], x[1]), 0.01, 0.99)
		if math.IsNaN(t.lo) {
			t.lo = q[0]
		}
		if math.IsNaN(t.hi) {
			t.hi = q[1]
		}
		t.hi = max(t.hi, t.lo)
		mid := 0.0
		for k := range x {
			for i, v := range x[k] {
				x[k][i] = clip(v, t)
			}
			mid += stat.Mean(x[k], nil) / 2
		}
		mean, sd := stat.PopMeanStdDev(slices.Concat(x[0], x[1]), nil)
		d.columns = append(d.columns, column{f, n[0], t, mid, mean, sd + 1e-3}) // a feature that never changes stays 0
	}
	for i := range rows {
		z := make([]float64, len(d.columns))
		for j := range d.columns {
			c := &d.columns[j]
			v := clip(rows[i].Features[c.feature], c.term)
			if math.IsNaN(v) {
				v = c.mid
			}
			z[j] = (v - c.mean) / c.sd
		}
		d.z = append(d.z, z)
	}
}

func clip(v float64, t term) float64 { return min(max(v, t.lo), t.hi) }

// augmented returns the rows with copies in which features are replaced, each by its term's chance, by those of eligible
// rows of either kind, drawn evenly. A group keeps its replacements over time. What a copy says is kept: no feature may
// be leant on so much that its being amiss turns the verdict. It is the swap noise of denoising autoencoders (Vincent
// et al. 2008), with a balanced pool so that a replacement says nothing of the kind.
func (d *design) augmented(rows []int, copies int, r *rand.Rand) *design {
	var pool [2][]int
	noisy := &design{columns: d.columns}
	add := func(i int, z []float64) {
		noisy.z, noisy.y, noisy.w = append(noisy.z, z), append(noisy.y, d.y[i]), append(noisy.w, d.w[i])
	}
	groups := make([][]int, 1+slices.Max(d.group))
	for _, i := range rows {
		add(i, d.z[i])
		groups[d.group[i]] = append(groups[d.group[i]], i)
		if d.use[i] {
			pool[int(d.y[i])] = append(pool[int(d.y[i])], i)
		}
	}
	swapped := make([]float64, len(d.columns))
	for range copies {
		for _, members := range groups {
			for j := range d.columns {
				swapped[j] = math.NaN()
				if r.Float64() < d.columns[j].term.swap {
					from := pool[r.IntN(2)]
					swapped[j] = d.z[from[r.IntN(len(from))]][j]
				}
			}
			for _, i := range members {
				z := slices.Clone(d.z[i])
				for j, v := range swapped {
					if !math.IsNaN(v) {
						z[j] = v
					}
				}
				add(i, z)
			}
		}
	}
	return noisy
}

// score is the log-odds of a standardised row.
func score(beta, z []float64) float64 {
	s := beta[0]
	for j, v := range z {
		s += beta[1+j] * v
	}
	return s
}

// fit minimises the weighted logistic loss and ridge by accelerated projected gradient (Beck and Teboulle 2009, "A fast
// iterative shrinkage-thresholding algorithm"), begun afresh when the momentum points uphill (O'Donoghue and Candes
// 2015). The intercept goes free of ridge. It returns early when the context ends.
func (d *design) fit(ctx context.Context, steps int) []float64 {
	n := len(d.columns) + 1
	b, v, g, next := make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n)
	rate := 1 / (d.curvature()/4 + ridge)
	t := 1.0
	for range steps {
		if ctx.Err() != nil {
			break
		}
		g[0] = 0
		for j := 1; j < n; j++ {
			g[j] = ridge * v[j]
		}
		for i, z := range d.z {
			e := d.w[i] * (1/(1+math.Exp(-score(v, z))) - d.y[i])
			g[0] += e
			for j, x := range z {
				g[1+j] += e * x
			}
		}
		move, uphill := 0.0, 0.0
		for j := range next {
			next[j] = v[j] - rate*g[j]
			if j > 0 {
				next[j] = d.columns[j-1].project(next[j])
			}
			move = max(move, math.Abs(next[j]-b[j]))
			uphill += (v[j] - next[j]) * (next[j] - b[j])
		}
		if uphill > 0 {
			t = 1
		}
		grown := (1 + math.Sqrt(1+4*t*t)) / 2
		for j := range v {
			v[j] = next[j] + (t-1)/grown*(next[j]-b[j])
		}
		b, next, t = next, b, grown
		if move < settled {
			break
		}
	}
	return b
}

// project returns the coefficient nearest to v that has the column's sign and keeps its whole range within mostNats.
func (c *column) project(v float64) float64 {
	most := mostNats * c.sd / max(c.term.hi-c.term.lo, 1e-9)
	switch c.term.sign {
	case up:
		return min(max(v, 0), most)
	case down:
		return max(min(v, 0), -most)
	}
	return v
}

// curvature is the largest eigenvalue of the weighted Gram matrix of the rows with a leading one, and a little more to be
// on the safe side.
func (d *design) curvature() float64 {
	gram := mat.NewSymDense(len(d.columns)+1, nil)
	row := mat.NewVecDense(len(d.columns)+1, nil)
	row.SetVec(0, 1)
	for i, z := range d.z {
		copy(row.RawVector().Data[1:], z)
		gram.SymRankOne(gram, d.w[i], row)
	}
	var e mat.EigenSym
	if !e.Factorize(gram, false) {
		return mat.Trace(gram)
	}
	return slices.Max(e.Values(nil)) * 1.001
}

// weights turns coefficients of standardised features into those of the features themselves.
func (d *design) weights(beta []float64) extraction.Weights {
	w := extraction.Weights{Bias: beta[0]}
	for j := range d.columns {
		c := &d.columns[j]
		if beta[1+j] == 0 {
			continue
		}
		raw := beta[1+j] / c.sd
		w.Bias -= raw * c.mean
		w.Coef[c.feature], w.Lo[c.feature], w.Hi[c.feature], w.Mid[c.feature] = raw, c.term.lo, c.term.hi, c.mid
	}
	return w
}
