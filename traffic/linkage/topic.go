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
	work  [palladium.TopicDims]float32
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

// add takes the terms of one prompt into p.
func (t *topics) add(p *palladium.Profile, terms []uint16) {
	if len(terms) == 0 {
		return
	}
	if t.docs >= t.stale {
		t.refresh()
	}
	t.docs++
	var dims [96]uint16
	var vals [96]float32
	terms = terms[:min(len(terms), len(dims))]
	v := &t.work
	for i, w := range terms {
		b := &t.terms[w]
		b.df++
		h := uint32(w) * 2654435761
		g := b.idf
		if h&(1<<20) != 0 {
			g = -g
		}
		dims[i], vals[i] = uint16(h>>24), g
		v[h>>24] += g
	}
	var q float32
	for i := range terms {
		f := v[dims[i]] // a dimension met twice is counted once: it is zeroed here
		v[dims[i]] = 0
		q += f * f
	}
	if q == 0 {
		return
	}
	if p.TopicN >= 300 {
		for i := range p.Topic {
			p.Topic[i] /= 2
		}
		p.TopicN /= 2
	}
	p.TopicN++
	s := palladium.TopicScale / float32(math.Sqrt(float64(q)))
	for i := range terms {
		f := vals[i] * s
		d := dims[i]
		if f >= 0 {
			p.Topic[d] += int16(f + 0.5)
		} else {
			p.Topic[d] += int16(f - 0.5)
		}
		t.sum[d] += float64(f)
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
	best, at := float32(-1), -1
	for c := range t.cells {
		var d float32
		for i, f := range &t.cells[c].dir {
			d += f * v[i]
		}
		if d > best {
			best, at = d, c
		}
	}
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
