// Package wallclock is the time by which a process writes down what has ended: that of the machine's clock, unless that has jumped
// ahead. A jump cannot be told from the clock's having been set right at last, so it is believed only once it has stood for a while.
package wallclock

import (
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// What is taken for a jump, and how long the clock must stand by it to be believed.
const (
	Tolerance = 3 * time.Minute // between two looks, against the monotonic clock
	Trial     = time.Hour       // by the monotonic clock
)

// Reading gives what the machine's clock shows, and the time that has passed by a clock that nobody sets.
type Reading func() (wall time.Time, passed time.Duration)

// System reads the clocks of this machine. The monotonic one of Linux stands while the machine is suspended, so that a machine
// that wakes looks like one whose clock has jumped.
func System() Reading {
	begun := time.Now()
	return func() (time.Time, time.Duration) { return time.Now().Round(0), time.Since(begun) }
}

// Clock tells the time. What its clock showed when it was made is believed. Its methods may be called from several goroutines; each
// looks at the machine's clock, and a jump that is over before the next look has done nothing.
type Clock struct {
	read Reading
	log  *slog.Logger

	mu     sync.Mutex
	wall   time.Time     // as it was believed last
	passed time.Duration // then
	ahead  time.Duration // by how much the clock has jumped; 0: it is believed
	since  time.Duration // reading of the monotonic clock when that was seen first
}

// New returns a clock that says in the log what it does not believe.
func New(read Reading, log *slog.Logger) *Clock {
	c := &Clock{read: read, log: log}
	c.wall, c.passed = read()
	return c
}

// Now returns what the machine's clock shows; while that has jumped ahead, the time it would be had it not. A clock that is set back
// is believed at once: nothing ends too early by it.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, _ := c.look()
	return now
}

// Health reports whether the machine's clock is believed, and says what to do where it is not.
func (c *Clock) Health() (ok bool, says string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, left := c.look()
	if c.ahead == 0 {
		return true, "has not jumped"
	}
	return false, fmt.Sprintf("the machine's clock has jumped ahead by %v; decisions are made, renewed and written down as expired as if it were %s, for %v more: "+
		"set the clock right; if it is right now, start this process again", c.ahead.Round(time.Second), now.UTC().Format(time.RFC3339), left.Round(time.Second))
}

// Ahead returns by how much the machine's clock is ahead of the time that is believed; 0 while it is believed.
func (c *Clock) Ahead() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.look()
	return c.ahead
}

// look returns the time that is believed, and how long the clock has to stand by a jump still.
func (c *Clock) look() (now time.Time, left time.Duration) {
	wall, passed := c.read()
	now = c.wall.Add(passed - c.passed)
	ahead := wall.Sub(now)
	switch {
	case ahead <= Tolerance:
		if c.ahead != 0 {
			c.log.Info("the machine's clock has come back from its jump; what ended meanwhile is written down now")
		}
	case c.ahead == 0 || (ahead-c.ahead).Abs() > Tolerance:
		c.ahead, c.since = ahead, passed
		c.log.Error("the machine's clock has jumped ahead and is not believed: nothing is written down as expired by it until it comes back or has stood by it. "+
			"Set it right; if it is right now, start this process again, or wait", "ahead", ahead.Round(time.Second), "shows", wall.UTC(), "believed", now.UTC(), "wait", Trial)
		return now, Trial
	case passed-c.since < Trial:
		return now, Trial - (passed - c.since)
	default:
		c.log.Warn("the machine's clock has stood by its jump and is believed; what has ended by it is written down", "ahead", ahead.Round(time.Second), "after", Trial)
	}
	c.wall, c.passed, c.ahead = wall, passed, 0
	return wall, 0
}
