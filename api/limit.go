package api

import (
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

// limited is how many callers a Limiter remembers.
const limited = 1 << 14

// Limiter makes callers wait who come too often. It remembers the last 16,384 of them.
type Limiter struct {
	rate  rate.Limit
	burst int
	seen  *lru.Cache[string, *rate.Limiter]
}

// NewLimiter allows perSecond events a second to each caller, and burst at once.
func NewLimiter(perSecond float64, burst int) *Limiter {
	seen, _ := lru.New[string, *rate.Limiter](limited) // fails for sizes below one alone
	return &Limiter{rate: rate.Limit(perSecond), burst: max(1, burst), seen: seen}
}

// Wait counts one event of the caller and returns zero, or how long the caller has to wait; it is then not counted.
func (l *Limiter) Wait(caller string, now time.Time) time.Duration {
	wait, _ := l.Take(caller, now)
	return wait
}

// Take does as Wait, and returns what takes the counting back, for events that turn out to be good.
func (l *Limiter) Take(caller string, now time.Time) (wait time.Duration, back func()) {
	one, ok := l.seen.Get(caller)
	if !ok {
		one = rate.NewLimiter(l.rate, l.burst)
		if before, had, _ := l.seen.PeekOrAdd(caller, one); had {
			one = before
		}
	}
	r := one.ReserveN(now, 1)
	back = func() { r.CancelAt(now) }
	if wait = r.DelayFrom(now); wait > 0 {
		back()
	}
	return wait, back
}

// Full reports how long the caller has to wait for the next event, without counting one.
func (l *Limiter) Full(caller string, now time.Time) time.Duration {
	one, ok := l.seen.Get(caller)
	if !ok || one.TokensAt(now) >= 1 {
		return 0
	}
	return time.Duration((1 - one.TokensAt(now)) / float64(l.rate) * float64(time.Second))
}
