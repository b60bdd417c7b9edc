package cohesion

import (
	"math"
	"sort"
)

// stride thins the others when a block is fitted; tests use all of them.
const stride = 3

// normal is the normal law of a measure within the block and among others.
type normal struct {
	mu, sd, otherMu, otherSd float32
}

// ratio is log N(x; block) - log N(x; others).
func (n *normal) ratio(x float32) float32 {
	z, o := (x-n.mu)/n.sd, (x-n.otherMu)/n.otherSd
	return (o*o-z*z)/2 + float32(math.Log(float64(n.otherSd/n.sd)))
}

// moments returns mean and deviation from the sums of w, w*x and w*x*x.
func moments(w, s, q float32) (mu, sd float32) {
	mu = s / w
	return mu, float32(math.Sqrt(float64(max(q/w-mu*mu, 0))))
}

// Levels is what the loads of a block of sources have in common. The zero value, and one with OK unset, says nothing.
type Levels struct {
	mean  Row
	slots int
	law   normal // of the misfit to mean
	OK    bool
}

// Fit estimates l from the sources of s weighted by r, and from others.
func (l *Levels) Fit(s *Sample, r []float32, others *Sample) {
	l.OK = false
	s.means(r, &l.mean)
	l.slots = s.Slots
	var sum, q, w float32
	for i := range s.Loads {
		if r[i] < 0.05 {
			continue
		}
		u, dof := Misfit(&s.Loads[i], &l.mean, l.slots)
		if dof == 0 {
			continue
		}
		sum, q, w = sum+r[i]*u, q+r[i]*u*u, w+r[i]
	}
	if w < 3 {
		return
	}
	l.law.mu, l.law.sd = moments(w, sum, q)
	l.law.sd += 0.25
	sum, q, w = 0, 0, 0
	for i := 0; i < len(others.Loads); i += stride {
		u, dof := Misfit(&others.Loads[i], &l.mean, l.slots)
		if dof == 0 {
			continue
		}
		sum, q, w = sum+u, q+u*u, w+1
	}
	if w < 20 {
		return
	}
	l.law.otherMu, l.law.otherSd = moments(w, sum, q)
	l.law.otherSd += 0.25
	l.OK = true
}

// Ratio is the log-likelihood ratio, in nats, of the loads in the block against elsewhere; ok is false when nothing
// can be said.
func (l *Levels) Ratio(loads *Row) (nats float32, ok bool) {
	if !l.OK {
		return 0, false
	}
	u, dof := Misfit(loads, &l.mean, l.slots)
	if dof == 0 {
		return 0, false
	}
	return l.law.ratio(u), true
}

// Onset is the window in which most of a block began.
type Onset struct {
	mid, half float32 // hours
	Gain      float32 // nats for a source that began within; 0 says nothing
}

// Fit sets o from the sources of s with r over one half: the share of the block that began within its central window,
// by construction about 0.8, against the share of others that did. It needs five of them.
func (o *Onset) Fit(s *Sample, r []float32, others *Sample) {
	o.Gain = 0
	v := make([]float64, 0, len(s.First))
	for i := range s.First {
		if r[i] > 0.5 {
			v = append(v, float64(s.First[i]))
		}
	}
	if len(v) < 5 {
		return
	}
	sort.Float64s(v)
	lo, hi := v[len(v)/10], v[len(v)-1-len(v)/10]
	o.mid, o.half = float32((lo+hi)/2), float32((hi-lo)/2)+1
	in := 0.0
	for _, f := range others.First {
		if o.Covers(f) {
			in++
		}
	}
	out := (in + 1) / (float64(len(others.First)) + 1)
	o.Gain = float32(min(max(math.Log(0.8/out), 0), 3))
}

// Covers reports whether a source that began at first, in hours, began within the window.
func (o *Onset) Covers(first float32) bool {
	return float32(math.Abs(float64(first-o.mid))) <= o.half
}

// Hours is the length of the window.
func (o *Onset) Hours() float64 { return float64(o.half) * 2 }

// Heading is the direction that a block of sources has in common. The zero value, and one with OK unset, says nothing.
type Heading struct {
	dir Vector // unit
	law normal // of the scalar product with dir
	OK  bool
}

// Fit estimates h from the sources of s weighted by r and by the root of their events, 100 at most, and from others. A
// source is compared with the direction of the rest of the block.
func (h *Heading) Fit(s *Sample, r []float32, others *Sample) {
	h.OK = false
	norm := h.direct(s, r)
	if norm == 0 {
		return
	}
	var sum, q, w float32
	for i := range s.Mean {
		if r[i] < 0.05 || s.Events[i] < MinEvents {
			continue
		}
		own := r[i] * float32(math.Sqrt(float64(min(s.Events[i], 100))))
		c := Dot(&s.Mean[i], &h.dir) - own*Dot(&s.Mean[i], &s.Mean[i])/norm // without itself
		sum, q, w = sum+r[i]*c, q+r[i]*c*c, w+r[i]
	}
	if w < 4 {
		return
	}
	h.law.mu, h.law.sd = moments(w, sum, q)
	h.law.sd += 0.01
	sum, q, w = 0, 0, 0
	for i := 0; i < len(others.Mean); i += stride {
		if others.Events[i] < MinEvents {
			continue
		}
		c := Dot(&others.Mean[i], &h.dir)
		sum, q, w = sum+c, q+c*c, w+1
	}
	if w < 20 {
		return
	}
	h.law.otherMu, h.law.otherSd = moments(w, sum, q)
	h.law.otherSd += 0.01
	h.OK = h.law.mu > h.law.otherMu
}

// direct sets h.dir and returns the length that the weighted sum had; 0 when there is no direction.
func (h *Heading) direct(s *Sample, r []float32) float32 {
	h.dir = Vector{}
	var sw float32
	for i := range s.Mean {
		if r[i] < 0.05 || s.Events[i] < MinEvents {
			continue
		}
		w := r[i] * float32(math.Sqrt(float64(min(s.Events[i], 100))))
		for d, f := range &s.Mean[i] {
			h.dir[d] += w * f
		}
		sw += w
	}
	if sw == 0 {
		return 0
	}
	var q float32
	for _, f := range &h.dir {
		q += f * f
	}
	if q == 0 {
		return 0
	}
	norm := float32(math.Sqrt(float64(q)))
	for d := range h.dir {
		h.dir[d] /= norm
	}
	return norm
}

// Ratio is the log-likelihood ratio, in nats, of the source in the block against elsewhere; ok is false when nothing
// can be said. Nobody is less a member for being closer to the centre.
func (h *Heading) Ratio(mean *Vector, events int32) (nats float32, ok bool) {
	if !h.OK || events < MinEvents {
		return 0, false
	}
	return h.law.ratio(min(Dot(mean, &h.dir), h.law.mu)), true
}
