package linkage

import (
	"math"

	"github.com/palladium-guard/palladium"
)

// topics turns the hashed terms of prompts into vectors: weights by inverse document frequency, a signed hash into
// TopicDims dimensions (Weinberger et al. 2009), unit length. The mean over all prompts is what an account's own
// mean is measured from.
type topics struct {
	terms []term // by term bucket
	docs  uint32
	stale uint32 // documents at which the weights are computed anew
	sum   [palladium.TopicDims]float64
	n     float64
	cells []centroid
	work  [palladium.TopicDims]float32 // all zero between calls
}

// term is a bucket of hashed terms: how many documents had it, and its weight.
type term struct {
	df  uint32
	idf float32
}

// centroid is the direction of one cell of topics, folded to cellDims dimensions.
type centroid struct {
	dir [cellDims]float32
	n   float32
}

const (
	cellDims  = 64
	cellLimit = 192
	termSpace = 1 << 16
)

func (t *topics) refresh() {
	if t.terms == nil {
		t.terms = make([]term, termSpace)
	}
	top := math.Log(float64(t.docs) + 64)
	for i := range t.terms {
		t.terms[i].idf = float32(max(top-math.Log(float64(t.terms[i].df)+2), 0.2))
	}
	t.stale = t.docs + t.docs/4 + 256
}

// direction is the topic of one prompt before it is given its length: what each of its terms adds to which dimension.
type direction struct {
	dims [termLimit]uint8
	vals [termLimit]float32
	n    int
	unit float32 // factor that gives it length TopicScale; 0 when it points nowhere
}

// termLimit is the most terms of a prompt that count.
const termLimit = 96

// weigh counts the terms of one prompt and makes its direction.
func (t *topics) weigh(terms []uint16, d *direction) {
	d.n, d.unit = 0, 0
	if len(terms) == 0 {
		return
	}
	if t.docs >= t.stale {
		t.refresh()
	}
	t.docs++
	terms = terms[:min(len(terms), termLimit)]
	v, space := &t.work, (*[termSpace]term)(t.terms)
	for i, w := range terms {
		b := &space[w]
		b.df++
		h := uint32(w) * 2654435761
		g := math.Float32frombits(math.Float32bits(b.idf) ^ h<<11&(1<<31)) // no branch: the sign is chance
		d.dims[i], d.vals[i] = uint8(h>>24), g
		v[h>>24] += g
	}
	var q float32
	for _, dim := range d.dims[:len(terms)] {
		f := v[dim] // a dimension met twice is counted once: it is zeroed here
		v[dim] = 0
		q += f * f
	}
	if q != 0 {
		d.n, d.unit = len(terms), palladium.TopicScale/float32(math.Sqrt(float64(q)))
	}
}

// add takes a prompt's direction into p and into the mean of all.
func (t *topics) add(p *palladium.Profile, d *direction) {
	if d.n == 0 {
		return
	}
	if p.TopicN >= 300 {
		for i := range p.Topic {
			p.Topic[i] /= 2
		}
		p.TopicN /= 2
	}
	p.TopicN++
	vals := d.vals[:d.n]
	for i, dim := range d.dims[:d.n] {
		f := vals[i] * d.unit
		half := math.Float32frombits(math.Float32bits(f)&(1<<31) | math.Float32bits(0.5)) // to round away from zero
		p.Topic[dim] += int16(f + half)
		t.sum[dim] += float64(f)
	}
	t.n++
}

// Centred writes into out account a's mean topic less the mean of all prompts, each prompt's vector having length
// 1, and returns the number of prompts behind it.
func (x *Index) Centred(a uint32, out *[palladium.TopicDims]float32) int {
	return x.topic.centred(x.Profile(a), out)
}

func (t *topics) centred(p *palladium.Profile, out *[palladium.TopicDims]float32) int {
	if p.TopicN == 0 || t.n == 0 {
		clear(out[:])
		return 0
	}
	a, b := 1/(float32(p.TopicN)*palladium.TopicScale), 1/(t.n*palladium.TopicScale)
	for i := range out {
		out[i] = float32(p.Topic[i])*a - float32(t.sum[i]*b)
	}
	return int(p.TopicN)
}

// cell assigns p's topic to the nearest cell, opening a new one while there is room and none is near.
func (t *topics) cell(p *palladium.Profile) (int, bool) {
	var m [palladium.TopicDims]float32
	t.centred(p, &m)
	var v [cellDims]float32
	var q float32
	for i, f := range m {
		v[i%cellDims] += f
	}
	for _, f := range v {
		q += f * f
	}
	if q == 0 {
		return 0, false
	}
	s := 1 / float32(math.Sqrt(float64(q)))
	for i := range v {
		v[i] *= s
	}
	best, at := nearest(t.cells, &v)
	if best < 0.55 && len(t.cells) < cellLimit {
		t.cells = append(t.cells, centroid{dir: v, n: 1})
		return len(t.cells) - 1, true
	}
	c := &t.cells[at]
	c.n = min(c.n+1, 400)
	q = 0
	for i := range c.dir {
		c.dir[i] += (v[i] - c.dir[i]) / c.n
		q += c.dir[i] * c.dir[i]
	}
	s = 1 / float32(math.Sqrt(float64(q)))
	for i := range c.dir {
		c.dir[i] *= s
	}
	return at, true
}

// nearest returns the cell whose direction is closest to v, the first of equals, and their cosine. Four sums are made
// side by side, since each waits for its own last addition.
func nearest(cells []centroid, v *[cellDims]float32) (best float32, at int) {
	best, at = -1, -1
	for c := 0; c < len(cells); c += 4 {
		end := len(cells) - 1
		d0, d1, d2, d3 := &cells[c].dir, &cells[min(c+1, end)].dir, &cells[min(c+2, end)].dir, &cells[min(c+3, end)].dir
		var s0, s1, s2, s3 float32
		for i, f := range v {
			s0 += d0[i] * f
			s1 += d1[i] * f
			s2 += d2[i] * f
			s3 += d3[i] * f
		}
		for i, d := range [...]float32{s0, s1, s2, s3} {
			if d > best {
				best, at = d, c+i
			}
		}
	}
	return best, at
}
