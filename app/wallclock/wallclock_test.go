package wallclock

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// What is believed after each step of a clock, what the log says of it, and whether health is well.
func TestJump(t *testing.T) {
	const days = 24 * time.Hour
	type step struct {
		passes, jumps time.Duration
		believed      time.Duration // since the start
		ok            bool
	}
	for _, row := range []struct {
		name   string
		steps  []step
		errors int
		says   string
	}{
		{"runs on", []step{{passes: time.Minute, believed: time.Minute, ok: true}, {passes: 9 * time.Hour, believed: 541 * time.Minute, ok: true}}, 0, ""},
		{"is set by a little", []step{{30 * time.Second, 2 * time.Minute, 150 * time.Second, true}, {30 * time.Second, 2 * time.Minute, 300 * time.Second, true}}, 0, ""},
		{"jumps ahead", []step{{30 * time.Second, 40 * days, 30 * time.Second, false}, {passes: 59 * time.Minute, believed: 59*time.Minute + 30*time.Second}}, 1, "ahead=960h0m0s"},
		{"jumps ahead and comes back", []step{{30 * time.Second, 40 * days, 30 * time.Second, false}, {time.Minute, -40 * days, 90 * time.Second, true}}, 1, "come back"},
		{"jumps ahead and stays", []step{{30 * time.Second, 40 * days, 30 * time.Second, false}, {passes: time.Hour, believed: 40*days + time.Hour + 30*time.Second, ok: true}}, 1, "stood by"},
		{"jumps twice: the hour begins anew", []step{{0, 40 * days, 0, false}, {50 * time.Minute, time.Hour, 50 * time.Minute, false},
			{passes: 50 * time.Minute, believed: 100 * time.Minute}, {passes: 10 * time.Minute, believed: 40*days + 170*time.Minute, ok: true}}, 2, "stood by"},
		{"comes back half the way", []step{{0, 40 * days, 0, false}, {50 * time.Minute, -20 * days, 50 * time.Minute, false}, {passes: 50 * time.Minute, believed: 100 * time.Minute}}, 2, "ahead=480h0m0s"},
		{"jumps again after it was believed", []step{{0, days, 0, false}, {passes: time.Hour, believed: days + time.Hour, ok: true}, {0, days, days + time.Hour, false}}, 2, "stood by"},
		{"is set back", []step{{time.Minute, -40 * days, time.Minute - 40*days, true}}, 0, ""},
		{"is set back and right again", []step{{0, -40 * days, -40 * days, true}, {0, 40 * days, -40 * days, false}, {passes: time.Hour, believed: time.Hour, ok: true}}, 1, "stood by"},
		{"beyond what a duration holds", []step{{0, 290 * 365 * days, 0, false}, {290 * 24 * time.Hour, -290 * 365 * days, 290 * days, true}}, 1, "come back"},
	} {
		t.Run(row.name, func(t *testing.T) {
			begin := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
			wall, passed := begin, time.Hour
			var log bytes.Buffer
			c := New(func() (time.Time, time.Duration) { return wall, passed }, slog.New(slog.NewTextHandler(&log, nil)))
			for i, s := range row.steps {
				wall, passed = wall.Add(s.passes).Add(s.jumps), passed+s.passes
				for range 3 { // looking changes nothing
					if got := c.Now().Sub(begin); got != s.believed {
						t.Errorf("step %d: it is believed that %v have passed, not %v", i, got, s.believed)
					}
					if a := c.Ahead(); s.ok != (a == 0) || a != 0 && a != wall.Sub(begin)-s.believed {
						t.Errorf("step %d: it is ahead by %v", i, a)
					}
					if ok, says := c.Health(); ok != s.ok || ok == strings.Contains(says, "start this process again") {
						t.Errorf("step %d: health is %v: %s", i, ok, says)
					}
				}
			}
			if n := strings.Count(log.String(), "level=ERROR"); n != row.errors || !strings.Contains(log.String(), row.says) {
				t.Errorf("%d errors, not %d, or no %q:\n%s", n, row.errors, row.says, log.String())
			}
		})
	}
}

// The clocks of this machine agree over a moment.
func TestSystem(t *testing.T) {
	c := New(System(), slog.New(slog.DiscardHandler))
	before := time.Now()
	now := c.Now()
	if ok, says := c.Health(); !ok || now.Before(before.Round(0)) || now.After(time.Now()) {
		t.Errorf("%v is not now: %s", now, says)
	}
}
