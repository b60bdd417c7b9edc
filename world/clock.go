package world

import (
	"math"
	"math/rand/v2"
	"sort"
)

// Times inside the package are Unix milliseconds.
const (
	second = int64(1000)
	minute = 60 * second
	hour   = 60 * minute
	day    = 24 * hour
	never  = int64(math.MaxInt64)
)

// clock says when the next request comes after t.
type clock interface {
	next(c *Corpus, r *rand.Rand, t int64) int64
}

// sittings is a person's clock: sittings by day, few at night, several requests in each.
type sittings struct {
	perDay float64 // sittings a day
	size   float64 // mean requests of a sitting
	zone   int64   // ms east of UTC
	left   int32
	week   bool // rests at weekends
}

func (s *sittings) next(c *Corpus, r *rand.Rand, t int64) int64 {
	if s.left > 0 {
		s.left--
		if n := len(c.gaps); n > 0 && r.IntN(3) > 0 {
			return t + int64(float64(c.gaps[r.IntN(n)])*1000*(0.8+0.4*r.Float64())) + 1 + r.Int64N(second)
		}
		return t + second + int64(math.Exp(math.Log(45)+1.1*r.NormFloat64())*1000)
	}
	s.left = int32(r.ExpFloat64() * s.size)
	for range 2000 {
		t += int64(r.ExpFloat64() / s.perDay * float64(day))
		local := t + s.zone
		p := c.hours[local/hour%24]
		if d := (local / day) % 7; s.week && (d == 2 || d == 3) { // 1 January 1970 was a Thursday
			p *= 0.2
		}
		if r.Float64() < p {
			return t
		}
	}
	return t
}

// shaped is an application's clock: renewals with a coefficient of variation, in a measured shape of load.
type shaped struct {
	shape  *shape
	perDay float64
	phase  int64
}

func (s *shaped) next(_ *Corpus, r *rand.Rand, t int64) int64 {
	n := len(s.shape.cum)
	span := int64(n) * 10 * minute
	// Interval in operational time, mean 1/(requests per cycle).
	cv2 := s.shape.cv * s.shape.cv
	u := gamma(r, 1/cv2) * cv2 / (s.perDay * float64(span) / float64(day))
	at := t + s.phase
	cycle, in := at/span, at%span
	w := int(in / (10 * minute))
	before := 0.0
	if w > 0 {
		before = float64(s.shape.cum[w-1])
	}
	target := before + (float64(s.shape.cum[w])-before)*float64(in%(10*minute))/float64(10*minute) + u
	whole := math.Floor(target)
	target -= whole
	i := sort.Search(n, func(i int) bool { return float64(s.shape.cum[i]) > target })
	i = min(i, n-1)
	lo := 0.0
	if i > 0 {
		lo = float64(s.shape.cum[i-1])
	}
	frac := 0.0
	if width := float64(s.shape.cum[i]) - lo; width > 0 {
		frac = (target - lo) / width
	}
	next := (cycle+int64(whole))*span + int64((float64(i)+frac)*float64(10*minute)) - s.phase
	return max(next, t+1)
}

// gamma draws from Gamma(shape, 1) by Marsaglia and Tsang (2000).
func gamma(r *rand.Rand, k float64) float64 {
	if k < 1 {
		return gamma(r, k+1) * math.Pow(r.Float64(), 1/k)
	}
	d := k - 1.0/3
	c := 1 / math.Sqrt(9*d)
	for {
		x := r.NormFloat64()
		v := 1 + c*x
		if v <= 0 {
			continue
		}
		v = v * v * v
		if math.Log(r.Float64()) < 0.5*x*x+d-d*v+d*math.Log(v) {
			return d * v
		}
	}
}

// flat is a Poisson clock, with day and night as far as rhythm says.
type flat struct {
	perDay float64
	rhythm float64
	zone   int64
}

func (f *flat) next(c *Corpus, r *rand.Rand, t int64) int64 {
	for range 1000 {
		t += 1 + int64(r.ExpFloat64()/(f.perDay*(1+f.rhythm))*float64(day))
		p := (1 - f.rhythm) + f.rhythm*2*c.hours[(t+f.zone)/hour%24]
		if r.Float64()*(1+f.rhythm) < p {
			return t
		}
	}
	return t
}

// cron starts a batch every period, with gap between the requests of a batch.
type cron struct {
	period, phase int64
	size          int
	gap           int64
	left          int
}

func (k *cron) next(_ *Corpus, r *rand.Rand, t int64) int64 {
	if k.left > 0 {
		k.left--
		return t + 1 + k.gap/2 + r.Int64N(k.gap)
	}
	k.left = max(0, k.size-1+r.IntN(1+k.size/5))
	return ((t-k.phase)/k.period+1)*k.period + k.phase + r.Int64N(3*second)
}

// burst is a run of size requests from start on, then nothing.
type burst struct {
	start int64
	gap   int64 // mean
	left  int
}

func (u *burst) next(_ *Corpus, r *rand.Rand, t int64) int64 {
	if u.left <= 0 {
		return never
	}
	u.left--
	if t < u.start {
		return u.start + r.Int64N(minute)
	}
	return t + 1 + int64(r.ExpFloat64()*float64(u.gap))
}
