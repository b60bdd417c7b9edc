package budget

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func claim(r Rate, n int64) Claim { return Claim{Account, "a", Requests, r, n} }

func TestRate(t *testing.T) {
	l, r := NewLimiter(), Rate{Count: 60, Per: time.Minute, Burst: 3}
	now := noon()
	for i, c := range []struct {
		after     time.Duration
		n         int64
		allowed   bool
		remaining int64
		reset     time.Duration
		retry     time.Duration
	}{
		{0, 1, true, 2, time.Second, 0},
		{0, 2, true, 0, 3 * time.Second, 0},
		{0, 1, false, 0, 3 * time.Second, time.Second},
		{400 * time.Millisecond, 1, false, 0, 2600 * time.Millisecond, 600 * time.Millisecond},
		{600 * time.Millisecond, 1, true, 0, 3 * time.Second, 0},
		{0, 4, false, 0, 3 * time.Second, -1},
		{time.Hour, 3, true, 0, 3 * time.Second, 0},
		{-time.Hour, 1, false, 0, 3 * time.Second, time.Second}, // the clock went back: used up, not locked out for an hour
	} {
		now = now.Add(c.after)
		p := l.Take(now, claim(r, c.n))
		if p.Allowed != c.allowed || p.Remaining != c.remaining || p.Reset != c.reset || p.RetryAfter != c.retry || p.Limit != 3 {
			t.Fatalf("step %d: %+v, want %+v", i, p, c)
		}
	}
	for _, r := range []Rate{{}, {Count: 1}, {Per: 1}, {Count: -1, Per: 1}} {
		if p := l.Take(now, claim(r, 1)); p.Allowed {
			t.Errorf("rate %+v lets something through", r)
		}
	}
}

// In no span does more pass than the burst and what comes back in it.
func TestRateHolds(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 5))
		rate := Rate{Count: 1 + r.Int64N(1000), Per: time.Duration(1 + r.Int64N(int64(time.Minute))), Burst: 1 + r.Int64N(50)}
		l := NewLimiter()
		start := noon()
		var passed atomic.Int64
		var all sync.WaitGroup
		span := 5 * rate.Per
		for range 4 {
			r := rand.New(rand.NewPCG(r.Uint64(), 5))
			all.Go(func() {
				for range 2000 {
					at := start.Add(time.Duration(r.Int64N(int64(span)))) // in any order
					n := 1 + r.Int64N(3)
					if l.Take(at, claim(rate, n)).Allowed {
						passed.Add(n)
						if r.IntN(4) == 0 {
							l.Return(claim(rate, n), 1)
							passed.Add(-1)
						}
					}
					if r.IntN(100) == 0 {
						l.Sweep(start)
					}
				}
			})
		}
		all.Wait()
		if most := rate.burst() + 5*rate.Count; passed.Load() > most {
			t.Fatalf("seed %d: %d passed, %d are the most for %+v", seed, passed.Load(), most, rate)
		}
	}
}

func TestTakeAll(t *testing.T) {
	l := NewLimiter()
	claims := []Claim{
		{Account, "a", Requests, PerMinute(10), 1},
		{Account, "a", Input, PerMinute(100), 60},
	}
	var buf [2]Pace
	if p, stopped := l.TakeAll(noon(), claims, buf[:0]); stopped != -1 || p[0].Remaining != 9 || p[1].Remaining != 40 {
		t.Fatalf("first: %+v, stopped by %d", p, stopped)
	}
	if p, stopped := l.TakeAll(noon(), claims, buf[:0]); stopped != 1 || p[1].RetryAfter != 12*time.Second {
		t.Fatalf("second: %+v, stopped by %d", p, stopped)
	}
	if p := l.Take(noon(), claims[0]); p.Remaining != 8 {
		t.Fatalf("a refused request was counted: %d left, want 8", p.Remaining)
	}
	l.Return(claims[1], 50)
	if p := l.Take(noon(), Claim{Account, "a", Input, PerMinute(100), 90}); !p.Allowed || p.Remaining != 0 {
		t.Fatalf("after giving 50 back: %+v", p)
	}
}

func TestLimiterSweep(t *testing.T) {
	l := NewLimiter()
	for i := range 50 {
		l.Take(noon(), Claim{Account, fmt.Sprint(i), Requests, PerMinute(60), 1})
	}
	if n := l.Sweep(noon()); n != 0 {
		t.Fatalf("%d keys swept while units are out", n)
	}
	if n := l.Sweep(noon().Add(2 * time.Second)); n != 50 || l.Len() != 0 {
		t.Fatalf("%d keys swept, %d kept", n, l.Len())
	}
}

func TestTakeAllocatesNothing(t *testing.T) {
	l, now := NewLimiter(), noon()
	claims := []Claim{claim(PerMinute(1e9), 1), {Account, "a", Input, PerMinute(1e12), 100}}
	var buf [2]Pace
	if n := testing.AllocsPerRun(1000, func() { l.TakeAll(now, claims, buf[:0]) }); n != 0 {
		t.Fatalf("a claim allocates %v times", n)
	}
}

func BenchmarkTake(b *testing.B) {
	l, now, c := NewLimiter(), noon(), claim(PerMinute(1e12), 1)
	b.ReportAllocs()
	for b.Loop() {
		l.Take(now, c)
	}
}
