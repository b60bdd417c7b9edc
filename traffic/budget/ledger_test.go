package budget

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"
)

func noon() time.Time { return time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC) }

func capped(id string, day, month Amount) Principal {
	return Principal{Account, id, Limits{day, month}}
}

func free() Amount { return Amount{Unlimited, Unlimited, Unlimited} }

func TestWindows(t *testing.T) {
	east := time.FixedZone("east", 14*3600)
	for _, c := range []struct {
		at         time.Time
		day, month string
	}{
		{noon(), "2026-12-01", "2026-12-01"},
		{time.Date(2026, 12, 1, 13, 59, 59, 0, east), "2026-12-01", "2026-12-01"}, // still November in UTC
		{time.Date(2026, 12, 31, 23, 59, 59, 999, time.UTC), "2027-01-01", "2027-01-01"},
		{time.Date(2028, 2, 29, 0, 0, 0, 0, time.UTC), "2028-03-01", "2028-03-01"},
		{time.Date(1969, 12, 31, 23, 0, 0, 0, time.UTC), "1970-01-01", "1970-01-01"},
	} {
		w := windowsOf(c.at)
		if day := Day.end(w[Day]).Format(time.DateOnly); day != c.day {
			t.Errorf("the day of %s ends on %s, want %s", c.at, day, c.day)
		}
		if month := Month.end(w[Month]).Format(time.DateOnly); month != c.month {
			t.Errorf("the month of %s ends on %s, want %s", c.at, month, c.month)
		}
	}
}

func TestReserve(t *testing.T) {
	tight := Amount{Requests: 3, Input: 100, Output: 50}
	for _, c := range []struct {
		name   string
		demand Demand
		want   error // nil: granted
		output int64
	}{
		{"fits", Demand{Principals: []Principal{capped("a", tight, free())}, Input: 100, Output: 50}, nil, 50},
		{"input too much", Demand{Principals: []Principal{capped("a", tight, free())}, Input: 101}, &Exceeded{Measure: Input}, 0},
		{"output too much", Demand{Principals: []Principal{capped("a", tight, free())}, Output: 51}, &Exceeded{Measure: Output}, 0},
		{"what is left is granted", Demand{Principals: []Principal{capped("a", tight, free())}, Output: 500, Least: 1}, nil, 50},
		{"what is left is too little", Demand{Principals: []Principal{capped("a", tight, free())}, Output: 500, Least: 51}, &Exceeded{Measure: Output}, 0},
		{"the month counts too", Demand{Principals: []Principal{capped("a", free(), tight)}, Input: 101}, &Exceeded{Period: Month, Measure: Input}, 0},
		{"unlimited", Demand{Principals: []Principal{capped("a", free(), free())}, Input: 1 << 60, Output: 1 << 60}, nil, 1 << 60},
		{"no limits stated is nothing allowed", Demand{Principals: []Principal{{Level: Account, ID: "a"}}}, &Exceeded{Measure: Requests}, 0},
		{"no principal", Demand{}, ErrDemand, 0},
		{"no id", Demand{Principals: []Principal{capped("", tight, tight)}}, ErrDemand, 0},
		{"twice the same", Demand{Principals: []Principal{capped("a", tight, tight), capped("a", tight, tight)}}, ErrDemand, 0},
		{"negative", Demand{Principals: []Principal{capped("a", tight, tight)}, Input: -1}, ErrDemand, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := New(nil, nil)
			r, err := l.Reserve(noon(), c.demand)
			var got, want *Exceeded
			switch {
			case c.want == nil && err != nil:
				t.Fatalf("refused: %v", err)
			case errors.As(c.want, &want):
				if !errors.As(err, &got) || got.Measure != want.Measure || got.Period != want.Period {
					t.Fatalf("got %v, want the %s cap on %s", err, want.Period, want.Measure)
				}
			case !errors.Is(err, c.want):
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if err == nil && r.Output() != c.output {
				t.Fatalf("granted %d output tokens, want %d", r.Output(), c.output)
			}
		})
	}
}

// A demand that one principal has no room for is charged to none.
func TestAllOrNothing(t *testing.T) {
	l := New(nil, nil)
	wide, narrow := capped("a", free(), free()), Principal{Organization, "o", Limits{Amount{10, 10, 10}, free()}}
	for _, order := range [][]Principal{{wide, narrow}, {narrow, wide}} {
		if _, err := l.Reserve(noon(), Demand{Principals: order, Output: 11}); err == nil {
			t.Fatal("granted over the organisation's cap")
		}
	}
	if got := l.Used(noon(), Account, "a", Day); got != (Amount{}) {
		t.Fatalf("the account was charged %+v for a refused request", got)
	}
	// The smallest cap decides what is granted, and all are charged the same.
	r, err := l.Reserve(noon(), Demand{Principals: []Principal{wide, narrow}, Output: 100, Least: 1})
	if err != nil || r.Output() != 10 {
		t.Fatalf("granted %v, %v, want 10", r, err)
	}
	for _, p := range []Principal{wide, narrow} {
		if got := l.Used(noon(), p.Level, p.ID, Month); got != (Amount{Requests: 1, Output: 10}) {
			t.Fatalf("%s was charged %+v", p.Level, got)
		}
	}
}

func TestEnds(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(*Reservation)
		want Amount
	}{
		{"open", func(*Reservation) {}, Amount{1, 40, 100}},
		{"settled", func(r *Reservation) { r.Settle(30, 60) }, Amount{1, 30, 60}},
		{"settled above", func(r *Reservation) { r.Settle(50, 120) }, Amount{1, 50, 120}},
		{"closed unused", func(r *Reservation) { r.Close() }, Amount{1, 40, 0}},
		{"closed in the middle", func(r *Reservation) { r.Draw(7); r.Draw(8); r.Close() }, Amount{1, 40, 15}},
		{"released", func(r *Reservation) { r.Release() }, Amount{}},
		{"released after a draw", func(r *Reservation) { r.Draw(5); r.Release() }, Amount{1, 40, 5}},
		{"settled, then closed", func(r *Reservation) { r.Settle(1, 2); r.Close(); r.Release() }, Amount{1, 1, 2}},
		{"closed, then settled", func(r *Reservation) { r.Close(); r.Settle(1, 2) }, Amount{1, 40, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := New(nil, nil)
			p := capped("a", free(), free())
			r, err := l.Reserve(noon(), Demand{Principals: []Principal{p}, Input: 40, Output: 100})
			if err != nil {
				t.Fatal(err)
			}
			c.end(r)
			for _, period := range []Period{Day, Month} {
				if got := l.Used(noon(), Account, "a", period); got != c.want {
					t.Errorf("%s: %+v charged, want %+v", period, got, c.want)
				}
			}
			if c.name != "open" {
				if r.Draw(1) || l.Stats().Open != 0 {
					t.Error("something can be drawn after the end")
				}
			}
		})
	}
}

func TestDrawStopsAtTheChunk(t *testing.T) {
	r, err := New(nil, nil).Reserve(noon(), Demand{Principals: []Principal{capped("a", Amount{1, 1, 10}, free())}, Output: 1000, Least: 1})
	if err != nil {
		t.Fatal(err)
	}
	if !r.Draw(4) || !r.Draw(6) || r.Draw(1) || !r.Draw(0) || r.Draw(-5) || r.Left() != 0 {
		t.Fatal("ten tokens were not exactly ten tokens")
	}
}

// Eight first calls of a user nobody has seen arrive at once: one of them fits.
func TestFirstCallsTogether(t *testing.T) {
	b, err := NewBook(Settings{Plans: map[string]Plan{Default: {Account: Share{Day: Caps{Output: Cap{100, true}}}}}})
	if err != nil {
		t.Fatal(err)
	}
	for round := range 200 {
		l := New(nil, nil)
		var granted, drawn int64
		var mu sync.Mutex
		var all sync.WaitGroup
		start := make(chan struct{})
		all.Go(func() { // a meter that is not charged yet may be swept at any moment
			<-start
			for range 50 {
				l.Sweep(noon())
			}
		})
		for range 8 {
			all.Go(func() {
				<-start
				r, err := l.Reserve(noon(), Demand{Principals: []Principal{b.Account("new", "no such plan")}, Output: 100})
				if err != nil {
					return
				}
				n := int64(0)
				for r.Draw(1) {
					n++
				}
				mu.Lock()
				defer mu.Unlock()
				granted++
				drawn += n
			})
		}
		close(start)
		all.Wait()
		if granted != 1 || drawn != 100 {
			t.Fatalf("round %d: %d of 8 calls granted, %d tokens drawn; want 1 and 100", round, granted, drawn)
		}
	}
}

func TestRollOver(t *testing.T) {
	l := New(nil, nil)
	p := capped("a", Amount{Unlimited, Unlimited, 10}, Amount{Unlimited, Unlimited, 25})
	ask := func(at time.Time) error {
		_, err := l.Reserve(at, Demand{Principals: []Principal{p}, Output: 10})
		return err
	}
	late := time.Date(2026, 11, 28, 23, 59, 59, 0, time.UTC)
	day := 24 * time.Hour
	for i, c := range []struct {
		at time.Time
		ok bool
	}{
		{late, true},
		{late, false},                    // the day is spent
		{late.Add(time.Second), true},    // the next day
		{late, false},                    // back again: the day is still spent
		{late.Add(time.Second), false},   // and so is the next
		{late.Add(day + 1e9), false},     // a third day, but the month is spent
		{late.Add(2*day + 1e9), true},    // December
		{late.Add(2*day + 1e9), false},   // its first day is spent
		{late.Add(time.Second), false},   // back in November
		{late.Add(40 * day), true},       // January
		{late.Add(-3 * 30 * day), false}, // long before: refused rather than counted anew
	} {
		if err := ask(c.at); (err == nil) != c.ok {
			t.Fatalf("step %d at %s: %v, want granted %v", i, c.at, err, c.ok)
		}
	}
	if err := ask(late.Add(-365 * day)); !errors.Is(err, ErrClock) {
		t.Fatalf("got %v, want the complaint about the clock", err)
	}
}

func TestExceededSays(t *testing.T) {
	l := New(nil, nil)
	_, err := l.Reserve(noon(), Demand{Principals: []Principal{capped("secret-account", Amount{1, 5, 5}, free())}, Input: 7})
	want := "daily budget of the account is met: 5 of 5 input tokens left, 7 asked for; it starts again at 2026-12-01T00:00:00Z"
	var e *Exceeded
	if !errors.As(err, &e) || err.Error() != want || e.RetryAfter(noon()) != 12*time.Hour {
		t.Fatalf("got %q, want %q and half a day", err, want)
	}
}

func TestStanding(t *testing.T) {
	l := New(nil, nil)
	p := capped("a", Amount{10, 100, Unlimited}, free())
	s := l.Standing(noon(), p, Day)
	if s[Requests].Left != 10 || s[Output].Left != Unlimited || !s[Input].Reset.Equal(time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)) {
		t.Fatalf("nobody has drawn, yet %+v", s)
	}
	if _, err := l.Reserve(noon(), Demand{Principals: []Principal{p}, Input: 99}); err != nil {
		t.Fatal(err)
	}
	if s := l.Standing(noon(), p, Day); s[Requests].Left != 9 || s[Input].Left != 1 {
		t.Fatalf("after one request %+v", s)
	}
	if s := l.Standing(noon().Add(24*time.Hour), p, Day); s[Input].Left != 100 {
		t.Fatalf("a day later %+v", s)
	}
}

func TestSweep(t *testing.T) {
	l := New(nil, nil)
	for i := range 100 {
		at := noon()
		if i < 60 {
			at = at.AddDate(0, -3, 0)
		}
		if _, err := l.Reserve(at, Demand{Principals: []Principal{capped(fmt.Sprint(i), free(), free())}}); err != nil {
			t.Fatal(err)
		}
	}
	if n := l.Sweep(noon()); n != 60 || l.Stats().Principals != 40 {
		t.Fatalf("%d swept, %d kept, want 60 and 40", n, l.Stats().Principals)
	}
}

// Sweeping beside requests never forgets what counts.
func TestSweepBeside(t *testing.T) {
	l := New(nil, nil)
	p := capped("a", Amount{Unlimited, Unlimited, 1000}, free())
	stop := make(chan struct{})
	var sweeping sync.WaitGroup
	sweeping.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				l.Sweep(noon())
			}
		}
	})
	var all sync.WaitGroup
	var mu sync.Mutex
	drawn := int64(0)
	for range 4 {
		all.Go(func() {
			for range 2000 {
				r, err := l.Reserve(noon(), Demand{Principals: []Principal{p}, Output: 1})
				if err == nil && r.Draw(1) {
					r.Close()
					mu.Lock()
					drawn++
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	close(stop)
	sweeping.Wait()
	if drawn != 1000 {
		t.Fatalf("%d tokens drawn of 1,000", drawn)
	}
}

func TestDrawAllocatesNothing(t *testing.T) {
	r, err := New(nil, nil).Reserve(noon(), Demand{Principals: []Principal{capped("a", free(), free())}, Output: 1 << 40})
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(1000, func() { r.Draw(3) }); n != 0 {
		t.Fatalf("a draw allocates %v times", n)
	}
}

func BenchmarkDraw(b *testing.B) {
	r, err := New(nil, nil).Reserve(noon(), Demand{Principals: []Principal{capped("a", free(), free())}, Output: 1 << 60})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		r.Draw(1)
	}
}

func BenchmarkReserveSettle(b *testing.B) {
	for _, n := range []int{1, 4} {
		b.Run(fmt.Sprintf("principals=%d", n), func(b *testing.B) {
			l, now := New(nil, nil), noon()
			d := Demand{Input: 100, Output: 4000}
			for i := range n {
				d.Principals = append(d.Principals, Principal{Level(i), "somebody", Limits{free(), free()}})
			}
			b.ReportAllocs()
			for b.Loop() {
				r, err := l.Reserve(now, d)
				if err != nil {
					b.Fatal(err)
				}
				r.Settle(90, 200)
			}
		})
	}
}
