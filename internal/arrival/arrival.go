// Package arrival makes arrival times: of people, with sittings and nights; of applications, in measured shapes of
// load; of batch programs. It knows nothing of the product. Times are Unix milliseconds.
package arrival

import (
	"math"
	"math/rand/v2"
	"sort"
)

// Lengths of time in milliseconds, and a time that never comes.
const (
	Second = int64(1000)
	Minute = 60 * Second
	Hour   = 60 * Minute
	Day    = 24 * Hour
	Never  = int64(math.MaxInt64)
)

// Clock says when the next request comes after t.
type Clock interface {
	// Next returns the first arrival after t; Never when there is none.
	Next(r *rand.Rand, t int64) int64
}

// Habits is what people have in common.
type Habits struct {
	Gaps  []float32   // seconds between two requests of a sitting; empty = a made-up law
	Hours [24]float64 // share of sittings by local hour, the busiest 1
}

// Shape is how a program's requests are spread: the cumulated share over windows of ten minutes, and the coefficient
// of variation of the intervals.
type Shape struct {
	cum []float32
	cv  float64
}

// NewShape makes a shape from relative rates in windows of ten minutes.
func NewShape(rates []float64, cv float64) Shape {
	s := Shape{cum: make([]float32, len(rates)), cv: cv}
	sum := 0.0
	for _, r := range rates {
		sum += r
	}
	run := 0.0
	for i, r := range rates {
		run += r
		s.cum[i] = float32(run / sum)
	}
	return s
}

// hourOf returns the hour of the day, before 1970 too.
func hourOf(t int64) int64 { return (t%Day + Day) % Day / Hour }

// Sittings is a person's clock: sittings by day, few at night, several requests in each.
type Sittings struct {
	Habits   *Habits
	PerDay   float64 // sittings a day
	Size     float64 // mean requests of a sitting
	Zone     int64   // ms east of UTC
	left     int32
	Weekdays bool // rests at weekends
}

// Next returns the next request of the person after t.
func (s *Sittings) Next(r *rand.Rand, t int64) int64 {
	if s.left > 0 {
		s.left--
		if n := len(s.Habits.Gaps); n > 0 && r.IntN(3) > 0 {
			return t + int64(float64(s.Habits.Gaps[r.IntN(n)])*1000*(0.8+0.4*r.Float64())) + 1 + r.Int64N(Second)
		}
		return t + Second + int64(math.Exp(math.Log(45)+1.1*r.NormFloat64())*1000)
	}
	s.left = int32(r.ExpFloat64() * s.Size)
	for range 2000 {
		t += int64(r.ExpFloat64() / s.PerDay * float64(Day))
		local := t + s.Zone
		p := s.Habits.Hours[hourOf(local)]
		if d := (local / Day) % 7; s.Weekdays && (d == 2 || d == 3) { // 1 January 1970 was a Thursday
			p *= 0.2
		}
		if r.Float64() < p {
			return t
		}
	}
	return t
}

// Shaped is an application's clock: renewals with a coefficient of variation, in a measured shape of load.
type Shaped struct {
	Shape  *Shape
	PerDay float64 // mean requests a day
	Phase  int64   // ms into the shape
}

// Next returns the next renewal after t.
func (s *Shaped) Next(r *rand.Rand, t int64) int64 {
	n := len(s.Shape.cum)
	span := int64(n) * 10 * Minute
	// Interval in operational time, mean 1/(requests per cycle).
	cv2 := s.Shape.cv * s.Shape.cv
	u := gamma(r, 1/cv2) * cv2 / (s.PerDay * float64(span) / float64(Day))
	at := t + s.Phase
	cycle, in := at/span, at%span
	w := int(in / (10 * Minute))
	before := 0.0
	if w > 0 {
		before = float64(s.Shape.cum[w-1])
	}
	target := before + (float64(s.Shape.cum[w])-before)*float64(in%(10*Minute))/float64(10*Minute) + u
	whole := math.Floor(target)
	target -= whole
	i := sort.Search(n, func(i int) bool { return float64(s.Shape.cum[i]) > target })
	i = min(i, n-1)
	lo := 0.0
	if i > 0 {
		lo = float64(s.Shape.cum[i-1])
	}
	frac := 0.0
	if width := float64(s.Shape.cum[i]) - lo; width > 0 {
		frac = (target - lo) / width
	}
	next := (cycle+int64(whole))*span + int64((float64(i)+frac)*float64(10*Minute)) - s.Phase
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

// Flat is a Poisson clock, with day and night as far as rhythm says.
type Flat struct {
	Habits *Habits
	PerDay float64
	Rhythm float64 // 0 flat, 1 full day and night
	Zone   int64
}

// Next returns the next arrival after t.
func (f *Flat) Next(r *rand.Rand, t int64) int64 {
	for range 1000 {
		t += 1 + int64(r.ExpFloat64()/(f.PerDay*(1+f.Rhythm))*float64(Day))
		p := (1 - f.Rhythm) + f.Rhythm*2*f.Habits.Hours[hourOf(t+f.Zone)]
		if r.Float64()*(1+f.Rhythm) < p {
			return t
		}
	}
	return t
}

// Cron starts a batch every period, with gap between the requests of a batch.
type Cron struct {
	Period, Phase int64
	Size          int   // requests of a batch, about
	Gap           int64 // mean ms between them
	left          int
}

// Next returns the next request of the batch, or the start of the next batch after t.
func (k *Cron) Next(r *rand.Rand, t int64) int64 {
	if k.left > 0 {
		k.left--
		return t + 1 + k.Gap/2 + r.Int64N(k.Gap)
	}
	k.left = max(0, k.Size-1+r.IntN(1+k.Size/5))
	return ((t-k.Phase)/k.Period+1)*k.Period + k.Phase + r.Int64N(3*Second)
}

// Burst is a run of size requests from start on, then nothing.
type Burst struct {
	Start int64
	Gap   int64 // mean ms
	Left  int   // requests still to come
}

// Next returns the next request of the run after t.
func (u *Burst) Next(r *rand.Rand, t int64) int64 {
	if u.Left <= 0 {
		return Never
	}
	u.Left--
	if t < u.Start {
		return u.Start + r.Int64N(Minute)
	}
	return t + 1 + int64(r.ExpFloat64()*float64(u.Gap))
}
