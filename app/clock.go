package app

import "time"

// Clock is a detector's time. It follows the exchanges, which come in order of time, and is moved far only by several
// of them: one that is dated wrongly must not have campaigns looked at years from now, or not at all until then.
type Clock struct {
	Now    int64 `json:"now"`  // newest exchange time believed, Unix ms; unset before the first
	Next   int64 `json:"next"` // when campaigns are looked at next
	Ahead  int   `json:"ahead"`
	Near   int64 `json:"near"` // earliest time of the Ahead exchanges in a row that are more than a day after Now
	Behind int   `json:"behind"`
	Latest int64 `json:"latest"` // latest time of the Behind exchanges in a row that are more than a day before Now
	Told   int64 `json:"told"`   // when something new was told last
	Waits  bool  `json:"waits"`  // something new has not been told yet
}

// NewClock returns one that has seen no exchange.
func NewClock() Clock { return Clock{Now: unset} }

const (
	unset    = -1 << 63
	oneDay   = int64(24 * time.Hour / time.Millisecond)
	moveOn   = 16   // exchanges in a row after which the clock goes on over a gap
	moveBack = 1000 // exchanges in a row after which the clock is taken to have been wrong
)

// Tick takes in an exchange's time. It returns whether campaigns are to be looked at before the exchange is taken in,
// as they stand at now, with the time between two looks given by every, and sets the clock on.
func (c *Clock) Tick(t, every int64) (look bool, now int64) {
	now = c.Now
	if now == unset {
		c.Now, c.Next = t, t+every
		return false, now
	}
	switch {
	case t > now+oneDay:
		if c.Ahead++; c.Ahead == 1 || t < c.Near {
			c.Near = t
		}
		c.Behind = 0
		if c.Ahead < moveOn {
			return false, now
		}
		t = c.Near
	case t < now-oneDay:
		if c.Behind++; c.Behind == 1 || t > c.Latest {
			c.Latest = t
		}
		c.Ahead = 0
		if c.Behind == moveBack {
			c.Now, c.Next, c.Behind = c.Latest, c.Latest+every, 0
		}
		return false, now
	}
	c.Ahead, c.Behind = 0, 0
	if t >= c.Next {
		look = true
		c.Next += (t - c.Next + every) / every * every
	}
	c.Now = max(c.Now, t)
	return look, now
}

// between is the least time, in ms, between two tellings but those of looks.
const between = int64(time.Minute / time.Millisecond)

// tell returns whether callers are to act: after a look at once, when campaigns have gained accounts not sooner than a minute after the
// last time.
func (c *Clock) tell(look, gained bool) bool {
	c.Waits = c.Waits || gained
	if !look && !(c.Waits && (c.Now >= c.Told+between || c.Now < c.Told)) {
		return false
	}
	c.Told, c.Waits = c.Now, false
	return true
}
