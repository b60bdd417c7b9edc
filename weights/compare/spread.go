package compare

import "math"

// Spread is how alike the sizes of weights run through the layers. It is an index, not a proof: models of the same
// recipe that were trained apart can agree.
type Spread struct {
	// Correlation is the mean, over query, key, value and output, of the correlation of the two series over layers.
	Correlation float64 `json:"correlation"`
	Layers      int     `json:"layers"`
	Kinds       int     `json:"kinds"`
}

// spread compares the standard deviations of the attention's matrices, layer by layer, as series of mean 0 and standard
// deviation 1. Source: "Intrinsic fingerprint of LLMs" (arXiv 2507.03014); samples stand for all weights.
func (c *comparison) spread() error {
	const leastLayers = 4
	sum, kinds, layers := 0.0, 0, 0
	for _, k := range []kind{query, key, value, output} {
		var x, y []float64
		for _, p := range c.pairs {
			a, b := p.a.get(k), p.b.get(k)
			if a == nil || b == nil {
				continue
			}
			sa, err := deviation(a)
			if err != nil {
				return err
			}
			sb, err := deviation(b)
			if err != nil {
				return err
			}
			x, y = append(x, sa), append(y, sb)
		}
		if r, ok := pearson(x, y); ok && len(x) >= leastLayers {
			sum += r
			kinds++
			layers = max(layers, len(x))
		}
	}
	if kinds > 0 {
		c.report.Spread = &Spread{Correlation: sum / float64(kinds), Layers: layers, Kinds: kinds}
	}
	return nil
}

// deviation returns the standard deviation of samples of a matrix.
func deviation(m *matrix) (float64, error) {
	total := int64(m.out) * int64(m.in)
	at := int64(m.first) * int64(m.in)
	var s scratch
	x := make([]float32, runLength)
	var sum, squares, n float64
	runs := max(1, min(mostRuns, total/runLength))
	for i := range runs {
		x := x[:min(runLength, total)]
		if err := m.t.read(x, at+i*(total/runs)/256*256, &s); err != nil {
			return 0, err
		}
		for _, v := range x {
			v := float64(finite(v))
			sum += v
			squares += v * v
		}
		n += float64(len(x))
	}
	return math.Sqrt(max(0, squares/n-sum/n*sum/n)), nil
}

func pearson(x, y []float64) (float64, bool) {
	var sx, sy float64
	for i := range x {
		sx += x[i]
		sy += y[i]
	}
	n := float64(len(x))
	var xy, xx, yy float64
	for i := range x {
		a, b := x[i]-sx/n, y[i]-sy/n
		xy += a * b
		xx += a * a
		yy += b * b
	}
	if !(xx > 0 && yy > 0) {
		return 0, false
	}
	return xy / math.Sqrt(xx*yy), true
}
