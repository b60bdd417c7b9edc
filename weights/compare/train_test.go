package compare

import (
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
)

// param is a matrix of out by in with its gradient and Adam's moments.
type param struct {
	name       string
	out, in    int
	w, g, m, v []float32
}

func newParam(name string, out, in int, scale float64, rng *rand.Rand) *param {
	n := out * in
	p := &param{name: name, out: out, in: in, w: make([]float32, n), g: make([]float32, n), m: make([]float32, n), v: make([]float32, n)}
	for i := range p.w {
		p.w[i] = float32(rng.NormFloat64() * scale)
	}
	return p
}

// block is a transformer layer: attention with heads, then a gated feed-forward part, each after a norm without gain.
type block struct{ q, k, v, o, gate, up, down *param }

// llm is a small language model that is trained for real.
type llm struct {
	d, f, heads, vocab, ctx int
	embed, pos, head        *param
	blocks                  []block
	steps                   int
}

func newLLM(seed uint64, d, f, layers, vocab int) *llm {
	rng := rand.New(rand.NewPCG(seed, 99))
	s := 1 / math.Sqrt(float64(d))
	m := &llm{d: d, f: f, heads: 4, vocab: vocab, ctx: 16}
	m.embed, m.pos, m.head = newParam("model.embed_tokens", vocab, d, 0.3, rng), newParam("model.position", m.ctx, d, 0.1, rng), newParam("lm_head", vocab, d, s, rng)
	for range layers {
		m.blocks = append(m.blocks, block{
			q: newParam("self_attn.q_proj", d, d, s, rng), k: newParam("self_attn.k_proj", d, d, s, rng), v: newParam("self_attn.v_proj", d, d, s, rng),
			o: newParam("self_attn.o_proj", d, d, s, rng), gate: newParam("mlp.gate_proj", f, d, s, rng), up: newParam("mlp.up_proj", f, d, s, rng),
			down: newParam("mlp.down_proj", d, f, 1/math.Sqrt(float64(f)), rng),
		})
	}
	return m
}

func (b *block) params() []*param { return []*param{b.q, b.k, b.v, b.o, b.gate, b.up, b.down} }

func (m *llm) params() []*param {
	out := []*param{m.embed, m.pos, m.head}
	for i := range m.blocks {
		out = append(out, m.blocks[i].params()...)
	}
	return out
}

// clone copies the weights; the moments begin anew.
func (m *llm) clone() *llm {
	c := *m
	cp := func(p *param) *param {
		q := *p
		q.w = append([]float32(nil), p.w...)
		q.g, q.m, q.v = make([]float32, len(p.w)), make([]float32, len(p.w)), make([]float32, len(p.w))
		return &q
	}
	c.embed, c.pos, c.head, c.steps = cp(m.embed), cp(m.pos), cp(m.head), 0
	c.blocks = nil
	for _, b := range m.blocks {
		c.blocks = append(c.blocks, block{cp(b.q), cp(b.k), cp(b.v), cp(b.o), cp(b.gate), cp(b.up), cp(b.down)})
	}
	return &c
}

// language is a source of text: each token depends on the two before it.
type language struct{ next [][]int }

func newLanguage(seed uint64, vocab int) *language {
	rng := rand.New(rand.NewPCG(seed, 7))
	l := &language{}
	for range vocab * 8 {
		row := make([]int, 4)
		for j := range row {
			row[j] = int(float64(vocab) * math.Pow(rng.Float64(), 1.6)) // frequent and rare tokens
		}
		l.next = append(l.next, row)
	}
	return l
}

func (l *language) text(n int, rng *rand.Rand) []int {
	vocab := len(l.next) / 8
	out := []int{rng.IntN(vocab), rng.IntN(vocab)}
	for len(out) < n {
		row := l.next[out[len(out)-1]*8+out[len(out)-2]%8]
		out = append(out, row[rng.IntN(len(row))])
	}
	return out
}

func mat(x []float32, cols int) blas32.General { return general(x, len(x)/cols, cols) }

// linear returns x Wᵀ.
func (p *param) linear(x []float32) []float32 {
	y := make([]float32, len(x)/p.in*p.out)
	blas32.Gemm(blas.NoTrans, blas.Trans, 1, mat(x, p.in), mat(p.w, p.in), 0, mat(y, p.out))
	return y
}

// back adds to the gradient of W, and to dx.
func (p *param) back(dy, x, dx []float32) {
	blas32.Gemm(blas.Trans, blas.NoTrans, 1, mat(dy, p.out), mat(x, p.in), 1, mat(p.g, p.in))
	blas32.Gemm(blas.NoTrans, blas.NoTrans, 1, mat(dy, p.out), mat(p.w, p.in), 1, mat(dx, p.in))
}

func norm(x []float32, d int) (y, rms []float32) {
	y, rms = make([]float32, len(x)), make([]float32, len(x)/d)
	for i := range rms {
		s := 0.0
		for _, v := range x[i*d : (i+1)*d] {
			s += float64(v) * float64(v)
		}
		rms[i] = float32(math.Sqrt(s/float64(d) + 1e-5))
		for j := range d {
			y[i*d+j] = x[i*d+j] / rms[i]
		}
	}
	return y, rms
}

func normBack(dy, y, rms, dx []float32, d int) {
	for i := range rms {
		s := float32(0)
		for j := range d {
			s += dy[i*d+j] * y[i*d+j]
		}
		s /= float32(d)
		for j := range d {
			dx[i*d+j] += (dy[i*d+j] - y[i*d+j]*s) / rms[i]
		}
	}
}

// attend computes causal attention for a batch of texts; probabilities are kept for the way back.
func (m *llm) attend(q, k, v []float32, texts int) (out []float32, probs []float32) {
	d, t, hd := m.d, m.ctx, m.d/m.heads
	out, probs = make([]float32, len(q)), make([]float32, texts*m.heads*t*t)
	scale := float32(1 / math.Sqrt(float64(hd)))
	for b := range texts {
		for h := range m.heads {
			for i := range t {
				p := probs[((b*m.heads+h)*t+i)*t:][:t]
				qi := q[(b*t+i)*d+h*hd:][:hd]
				sum, most := float32(0), float32(-1e30)
				for j := range i + 1 {
					kj, s := k[(b*t+j)*d+h*hd:][:hd], float32(0)
					for e := range hd {
						s += qi[e] * kj[e]
					}
					p[j] = s * scale
					most = max(most, p[j])
				}
				for j := range i + 1 {
					p[j] = float32(math.Exp(float64(p[j] - most)))
					sum += p[j]
				}
				o := out[(b*t+i)*d+h*hd:][:hd]
				for j := range i + 1 {
					p[j] /= sum
					vj := v[(b*t+j)*d+h*hd:][:hd]
					for e := range hd {
						o[e] += p[j] * vj[e]
					}
				}
			}
		}
	}
	return out, probs
}

func (m *llm) attendBack(dout, probs, q, k, v []float32, texts int) (dq, dk, dv []float32) {
	d, t, hd := m.d, m.ctx, m.d/m.heads
	dq, dk, dv = make([]float32, len(q)), make([]float32, len(q)), make([]float32, len(q))
	scale := float32(1 / math.Sqrt(float64(hd)))
	dp := make([]float32, t)
	for b := range texts {
		for h := range m.heads {
			for i := range t {
				p := probs[((b*m.heads+h)*t+i)*t:][:t]
				at := (b*t+i)*d + h*hd
				do, mean := dout[at:][:hd], float32(0)
				for j := range i + 1 {
					vj, dvj, s := v[(b*t+j)*d+h*hd:][:hd], dv[(b*t+j)*d+h*hd:][:hd], float32(0)
					for e := range hd {
						s += do[e] * vj[e]
						dvj[e] += p[j] * do[e]
					}
					dp[j] = s
					mean += s * p[j]
				}
				for j := range i + 1 {
					ds := p[j] * (dp[j] - mean) * scale
					aj := (b*t+j)*d + h*hd
					for e := range hd {
						dq[at+e] += ds * k[aj+e]
						dk[aj+e] += ds * q[at+e]
					}
				}
			}
		}
	}
	return dq, dk, dv
}

// tape is what a layer's way forward leaves for its way back.
type tape struct{ x, n1, r1, q, k, v, probs, att, x2, n2, r2, g, u, act []float32 }

// loss runs forward and backward over texts of ctx+1 tokens and returns the mean loss in nats.
func (m *llm) loss(texts [][]int) float64 {
	n, d := len(texts)*m.ctx, m.d
	x := make([]float32, n*d)
	for b, text := range texts {
		for i := range m.ctx {
			for j := range d {
				x[(b*m.ctx+i)*d+j] = m.embed.w[text[i]*d+j] + m.pos.w[i*d+j]
			}
		}
	}
	tapes := make([]tape, len(m.blocks))
	for l := range m.blocks {
		b, t := &m.blocks[l], &tapes[l]
		t.x = x
		t.n1, t.r1 = norm(x, d)
		t.q, t.k, t.v = b.q.linear(t.n1), b.k.linear(t.n1), b.v.linear(t.n1)
		t.att, t.probs = m.attend(t.q, t.k, t.v, len(texts))
		t.x2 = added(x, b.o.linear(t.att))
		t.n2, t.r2 = norm(t.x2, d)
		t.g, t.u = b.gate.linear(t.n2), b.up.linear(t.n2)
		t.act = make([]float32, len(t.g))
		for i, g := range t.g {
			t.act[i] = g * sigmoid(g) * t.u[i]
		}
		x = added(t.x2, b.down.linear(t.act))
	}
	y, r := norm(x, d)
	logits := m.head.linear(y)
	total := 0.0
	for b, text := range texts {
		for i := range m.ctx {
			row := logits[(b*m.ctx+i)*m.vocab:][:m.vocab]
			total += softmaxLoss(row, text[i+1], n)
		}
	}
	dy, dx := make([]float32, len(y)), make([]float32, len(x))
	m.head.back(logits, y, dy)
	normBack(dy, y, r, dx, d)
	for l := len(m.blocks) - 1; l >= 0; l-- {
		dx = m.blockBack(&m.blocks[l], &tapes[l], dx, len(texts))
	}
	for b, text := range texts {
		for i := range m.ctx {
			for j := range d {
				v := dx[(b*m.ctx+i)*d+j]
				m.embed.g[text[i]*d+j] += v
				m.pos.g[i*d+j] += v
			}
		}
	}
	return total / float64(n)
}

func (m *llm) blockBack(b *block, t *tape, dx []float32, texts int) []float32 {
	dact := make([]float32, len(t.act))
	b.down.back(dx, t.act, dact)
	dg, du := make([]float32, len(dact)), make([]float32, len(dact))
	for i, g := range t.g {
		s := sigmoid(g)
		du[i] = dact[i] * g * s
		dg[i] = dact[i] * t.u[i] * s * (1 + g*(1-s))
	}
	dn := make([]float32, len(dx))
	b.gate.back(dg, t.n2, dn)
	b.up.back(du, t.n2, dn)
	normBack(dn, t.n2, t.r2, dx, m.d) // dx already has the residual
	datt := make([]float32, len(dx))
	b.o.back(dx, t.att, datt)
	dq, dk, dv := m.attendBack(datt, t.probs, t.q, t.k, t.v, texts)
	dn = make([]float32, len(dx))
	b.q.back(dq, t.n1, dn)
	b.k.back(dk, t.n1, dn)
	b.v.back(dv, t.n1, dn)
	normBack(dn, t.n1, t.r1, dx, m.d)
	return dx
}

func added(x, y []float32) []float32 {
	for i := range y {
		y[i] += x[i]
	}
	return y
}

func sigmoid(x float32) float32 { return float32(1 / (1 + math.Exp(-float64(x)))) }

// softmaxLoss turns logits into the gradient of the mean loss.
func softmaxLoss(row []float32, want, n int) float64 {
	most := row[0]
	for _, v := range row {
		most = max(most, v)
	}
	sum := 0.0
	for i, v := range row {
		row[i] = float32(math.Exp(float64(v - most)))
		sum += float64(row[i])
	}
	loss := -math.Log(float64(row[want])/sum + 1e-30)
	for i := range row {
		row[i] /= float32(sum)
		if i == want {
			row[i]--
		}
		row[i] /= float32(n)
	}
	return loss
}

// train takes steps of Adam on texts of a language; it returns the mean loss of the last ten.
func (m *llm) train(l *language, seed uint64, steps int, rate float64) float64 {
	rng := rand.New(rand.NewPCG(seed, 11))
	tail := 0.0
	for s := range steps {
		texts := make([][]int, 8)
		for i := range texts {
			texts[i] = l.text(m.ctx+1, rng)
		}
		loss := m.loss(texts)
		if s >= steps-10 {
			tail += loss / float64(min(10, steps))
		}
		m.steps++
		a, b := 1-math.Pow(0.9, float64(m.steps)), 1-math.Pow(0.99, float64(m.steps))
		for _, p := range m.params() {
			for i, g := range p.g {
				p.m[i] = 0.9*p.m[i] + 0.1*g
				p.v[i] = 0.99*p.v[i] + 0.01*g*g
				p.w[i] -= float32(rate * (float64(p.m[i]) / a / (math.Sqrt(float64(p.v[i])/b) + 1e-8)))
				p.g[i] = 0
			}
		}
	}
	return tail
}
