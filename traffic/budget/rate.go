package budget

import (
	"hash/maphash"
	"math"
	"math/bits"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Rate allows Count units in every span of Per, and Burst of them at once. A Burst of zero stands for Count.
type Rate struct {
	Count int64
	Per   time.Duration
	Burst int64
}

// PerMinute returns the rate of n units a minute.
func PerMinute(n int64) Rate { return Rate{Count: n, Per: time.Minute} }

// burst is the number of units that are there after a long silence.
func (r Rate) burst() int64 {
	if r.Burst > 0 {
		return r.Burst
	}
	return r.Count
}

// cost is the time in nanoseconds in which n units come back, rounded up, so that rounding never lets more through.
func (r Rate) cost(n int64) int64 { return r.span(n, true) }

// span is the time in nanoseconds in which n units come back.
func (r Rate) span(n int64, up bool) int64 {
	hi, lo := bits.Mul64(uint64(n), uint64(r.Per))
	if hi >= uint64(r.Count) {
		return math.MaxInt64 / 4
	}
	q, rem := bits.Div64(hi, lo, uint64(r.Count))
	if up && rem > 0 {
		q++
	}
	return int64(min(q, math.MaxInt64/4))
}

// units is the number of whole units that come back in d nanoseconds.
func (r Rate) units(d int64) int64 {
	if d <= 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(d), uint64(r.Count))
	if hi >= uint64(r.Per) {
		return math.MaxInt64
	}
	q, _ := bits.Div64(hi, lo, uint64(r.Per))
	return int64(min(q, math.MaxInt64))
}

// Claim asks for N units of a principal's rate. A Rate whose Count or Per is not positive lets nothing through.
type Claim struct {
	Level   Level
	ID      string
	Measure Measure // Requests, or Input for tokens of both directions
	Rate    Rate
	N       int64
}

// Pace is the state of one rate after a claim, in the terms of the rate limit headers.
type Pace struct {
	Allowed   bool
	Limit     int64 // units at once
	Remaining int64
	Reset     time.Duration // until all units are back
	// RetryAfter is how long the same claim has to wait: zero when allowed, negative when it never fits, since it asks
	// for more than the rate has at once.
	RetryAfter time.Duration
}

// Limiter is a rate limiter by the generic cell rate algorithm (ITU-T I.371, virtual scheduling): each key keeps one
// number, the theoretical arrival time TAT. A claim of cost c at time t conforms when
//
//	max(t, TAT) + c - t <= cost(burst)
//
// and then moves TAT to max(t, TAT) + c. It is safe for concurrent use and takes no lock where the key is known.
type Limiter struct {
	seed   maphash.Seed
	shards [shardCount]rateShard
}

type rateShard struct {
	mu    sync.RWMutex
	cells map[rateKey]*atomic.Int64
}

type rateKey struct {
	level   Level
	measure Measure
	id      string
}

// swept is the TAT of a cell that was taken out of the map: look it up again.
const swept = math.MinInt64

// NewLimiter returns a limiter that has seen nobody.
func NewLimiter() *Limiter {
	l := &Limiter{seed: maphash.MakeSeed()}
	for i := range l.shards {
		l.shards[i].cells = make(map[rateKey]*atomic.Int64)
	}
	return l
}

// Take claims c.N units at the time now.
func (l *Limiter) Take(now time.Time, c Claim) Pace {
	if c.Rate.Count <= 0 || c.Rate.Per <= 0 || c.N < 0 {
		return Pace{RetryAfter: -1}
	}
	t, full, cost := now.UnixNano(), c.Rate.cost(c.Rate.burst()), c.Rate.cost(c.N)
	for {
		cell := l.cell(c)
		old := cell.Load()
		if old == swept {
			continue
		}
		// A clock that went back, or a rate that was lowered, leaves a TAT that no claim could have made: it counts as
		// a rate that is used up, not more.
		tat := min(max(t, old), t+full)
		next := tat + cost
		if next-t > full {
			p := pace(c.Rate, t, tat, full)
			p.RetryAfter = time.Duration(next - t - full)
			if cost > full {
				p.RetryAfter = -1
			}
			return p
		}
		if cell.CompareAndSwap(old, next) {
			p := pace(c.Rate, t, next, full)
			p.Allowed = true
			return p
		}
	}
}

func pace(r Rate, t, tat, full int64) Pace {
	return Pace{Limit: r.burst(), Remaining: min(r.burst(), r.units(full-(tat-t))), Reset: time.Duration(tat - t)}
}

// Return gives back n units of a claim that was allowed: the tokens that a request reserved and did not use.
func (l *Limiter) Return(c Claim, n int64) {
	if c.Rate.Count <= 0 || c.Rate.Per <= 0 || n <= 0 {
		return
	}
	cell := l.known(c)
	if cell == nil {
		return // silent for so long that all units are back
	}
	back := c.Rate.span(n, false)
	for {
		old := cell.Load()
		if old == swept || cell.CompareAndSwap(old, max(swept+1+back, old)-back) {
			return
		}
	}
}

// TakeAll claims all of claims or none. It returns the pace of each, and the index of the one that stood in the way, or
// -1. The result has the length of claims and is appended to paces[:0].
func (l *Limiter) TakeAll(now time.Time, claims []Claim, paces []Pace) (_ []Pace, stopped int) {
	paces = paces[:0]
	for i := range claims {
		p := l.Take(now, claims[i])
		paces = append(paces, p)
		if p.Allowed {
			continue
		}
		for j := range i {
			l.Return(claims[j], claims[j].N)
		}
		return paces, i
	}
	return paces, -1
}

func (c *Claim) key() rateKey { return rateKey{c.Level, c.Measure, c.ID} }

func (l *Limiter) shard(id string) *rateShard {
	return &l.shards[maphash.String(l.seed, id)%shardCount]
}

func (l *Limiter) known(c Claim) *atomic.Int64 {
	s := l.shard(c.ID)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.cells[c.key()]
}

func (l *Limiter) cell(c Claim) *atomic.Int64 {
	if cell := l.known(c); cell != nil {
		return cell
	}
	s := l.shard(c.ID)
	s.mu.Lock()
	defer s.mu.Unlock()
	k := c.key()
	cell := s.cells[k]
	if cell == nil {
		cell = new(atomic.Int64)
		cell.Store(swept + 1)
		k.id = strings.Clone(k.id) // the caller's string may alias a request
		s.cells[k] = cell
	}
	return cell
}

// Sweep forgets the keys whose units are all back, which changes no answer, and returns how many.
func (l *Limiter) Sweep(now time.Time) (n int) {
	t := now.UnixNano()
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		for k, cell := range s.cells {
			if old := cell.Load(); old <= t && cell.CompareAndSwap(old, swept) {
				delete(s.cells, k)
				n++
			}
		}
		s.mu.Unlock()
	}
	return n
}

// Len returns the number of keys that are kept.
func (l *Limiter) Len() (n int) {
	for i := range l.shards {
		l.shards[i].mu.RLock()
		n += len(l.shards[i].cells)
		l.shards[i].mu.RUnlock()
	}
	return n
}
