package compare

import (
	"cmp"
	"slices"
)

// byShapes recognises parts of a model whose names say nothing. The dimension that all matrices share is the hidden
// size; what writes into it from a wider one is the way down, its width that of the neurons, what has as many rows of
// the hidden size the way up or the gate, and the matrix with most rows the embedding. Which layer a matrix belongs to
// is not known.
func (m *Model) byShapes() {
	for i := range m.Tensors {
		t := &m.Tensors[i]
		if rows, cols, ok := flat(t); ok && len(t.Shape) == 2 {
			m.parts = append(m.parts, part{expert: -1, m: matrix{t: t, out: rows, in: cols}})
		}
	}
	m.hidden = m.commonest()
	downs := map[int]int{} // by width
	for i := range m.parts {
		if x := &m.parts[i].m; x.out == m.hidden && x.in != m.hidden {
			downs[x.in]++
		}
	}
	neurons := 0
	for f, n := range downs {
		if n > downs[neurons] || n == downs[neurons] && f > neurons {
			neurons = f
		}
	}
	if neurons == 0 || m.hidden < 16 {
		m.parts = nil
		return
	}
	rows := map[int]int{}
	for i := range m.parts {
		rows[m.parts[i].m.out]++
	}
	for i := range m.parts {
		p := &m.parts[i]
		x := &p.m
		switch {
		case x.in == m.hidden && x.out == neurons:
			p.kind = feedIn
		case x.out == m.hidden && x.in == neurons:
			p.kind = down
		case x.in == m.hidden && x.out > 2*m.hidden && rows[x.out] <= 2 && (len(m.embeds) == 0 || x.out >= m.embeds[0].out):
			if p.kind = embed; len(m.embeds) > 0 && x.out > m.embeds[0].out {
				m.embeds = nil
			}
			m.embeds = append(m.embeds, x)
		case x.in == m.hidden && x.out <= 4*m.hidden:
			p.kind = attentionIn
		}
	}
	m.parts = slices.DeleteFunc(m.parts, func(p part) bool { return p.kind == none })
}

// inOrder makes layers of parts that names do not tell apart, taking the files' order for the layers'.
func (m *Model) inOrder() {
	by := map[kind][]*matrix{}
	for i := range m.parts {
		by[m.parts[i].kind] = append(by[m.parts[i].kind], &m.parts[i].m)
	}
	n := len(by[down])
	if n == 0 {
		return
	}
	wide, att := len(by[feedIn])/n, len(by[attentionIn])/n
	for i := range n {
		l := layer{number: i, expert: -1, parts: map[kind]*matrix{down: by[down][i]}}
		if wide > 0 {
			l.parts[up] = by[feedIn][i*wide+wide-1]
		}
		if wide == 2 {
			l.parts[gate] = by[feedIn][i*wide]
		}
		for j, k := range []kind{query, key, value} {
			if j < att {
				l.parts[k] = by[attentionIn][i*att+j]
			}
		}
		m.layers = append(m.layers, l)
	}
}

// resolve gives the model of which only shapes are known the layers of the other one, matrix by matrix, by what they do
// with the hidden state. How neurons are ordered plays no part in it, so that the test of independence stays exact.
func (c *comparison) resolve() error {
	if c.a.named && c.b.named {
		return nil
	}
	known, other, dims, otherDims, sign, otherSign := c.a, c.b, c.inA, c.inB, []float32(nil), c.sign
	if !c.a.named && c.b.named {
		known, other, dims, otherDims, sign, otherSign = c.b, c.a, c.inB, c.inA, c.sign, nil
	}
	if !known.named {
		known.layers = nil
		known.inOrder()
	}
	other.layers = make([]layer, len(known.layers))
	for i := range other.layers {
		other.layers[i] = layer{number: known.layers[i].number, expert: known.layers[i].expert, parts: map[kind]*matrix{}}
	}
	for _, class := range []struct {
		kinds []kind
		as    kind
	}{{[]kind{query, key, value, fused}, attentionIn}, {[]kind{gate, up}, feedIn}, {[]kind{down}, down}} {
		if err := c.matchClass(known, other, class.kinds, class.as, dims, otherDims, sign, otherSign); err != nil {
			return err
		}
	}
	other.layers = slices.DeleteFunc(other.layers, func(l layer) bool { return len(l.parts) == 0 })
	c.report.note("layers of a model without telling names were found by what they do with the hidden state")
	return nil
}

// slot is a matrix of a known layer.
type slot struct {
	layer int
	kind  kind
	gram  *gram
}

func (c *comparison) matchClass(known, other *Model, kinds []kind, as kind, dims, otherDims []int, sign, otherSign []float32) error {
	var slots []slot
	for i := range known.layers {
		for _, k := range kinds {
			if x := known.layers[i].get(k); x != nil {
				g, err := gramOf(x, k, dims, sign)
				if err != nil {
					return err
				}
				slots = append(slots, slot{layer: i, kind: k, gram: g})
			}
		}
	}
	var found []*matrix
	var grams []*gram
	for i := range other.parts {
		if p := &other.parts[i]; p.kind == as {
			g, err := gramOf(&p.m, as, otherDims, otherSign)
			if err != nil {
				return err
			}
			found, grams = append(found, &p.m), append(grams, g)
		}
	}
	if len(slots) == 0 || len(found) == 0 {
		return nil
	}
	match := bestPairs(len(slots), len(found), func(i, j int) float64 { return slots[i].gram.agreement(grams[j], nil) })
	for i, j := range match {
		if j >= 0 {
			other.layers[slots[i].layer].parts[slots[i].kind] = found[j]
		}
	}
	return nil
}

// some returns at most n of the numbers below m, evenly spread.
func some(n, m int) []int {
	n = min(n, m)
	out := make([]int, n)
	for i := range out {
		out[i] = i * m / max(n, 1)
	}
	return out
}

func byNumber(x, y *layer) int {
	return cmp.Or(cmp.Compare(x.number, y.number), cmp.Compare(x.expert, y.expert))
}
