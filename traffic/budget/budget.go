// Package budget holds what principals may draw from a model: requests, input tokens and output tokens, by day and by
// month, and the rate at which they may be drawn. A request reserves the most it can cost before it is sent and gives
// back the rest when its usage is known, so the sum drawn never exceeds a cap, under any interleaving.
package budget

import (
	"errors"
	"fmt"
	"time"
)

// Level is the kind of principal that a budget belongs to.
type Level uint8

// The levels. One request may be charged at all of them; it is granted at all or at none.
const (
	Account      Level = iota
	Organization       // all accounts of one organisation together
	Campaign           // all accounts of one campaign together, while a verdict of measure budget holds
	Pool               // a named budget that several credentials share
	levelCount
)

// String returns the level's name.
func (l Level) String() string {
	switch l {
	case Account:
		return "account"
	case Organization:
		return "organization"
	case Campaign:
		return "campaign"
	case Pool:
		return "pool"
	}
	return "unknown"
}

// Amount is what a request draws, or what may be drawn. As a cap, Unlimited stands for no cap and zero for nothing at all:
// the zero Amount allows no request.
type Amount struct {
	Requests int64
	Input    int64 // tokens
	Output   int64 // tokens
}

// Unlimited as a cap stands for no cap.
const Unlimited int64 = 1<<63 - 1

// Limits are the caps of one principal. Days and months are those of the UTC calendar.
type Limits struct {
	Day, Month Amount
}

// Principal is somebody or something that is charged. The zero Limits allow nothing: take them from a Book, which has a
// default for those it does not know.
type Principal struct {
	Level  Level
	ID     string // not empty
	Limits Limits
}

// MaxPrincipals is the number of principals that one request can be charged to.
const MaxPrincipals = 8

// Demand is what a request asks for before it is sent.
type Demand struct {
	Principals []Principal
	Input      int64 // tokens, an upper bound: the body's length in bytes is one for byte-pair encodings
	Output     int64 // tokens, the most that can come back
	// Least is the number of output tokens below which the request is not worth sending. Where less than Output is
	// left but at least Least, what is left is granted. Zero: all of Output or nothing.
	Least int64
}

// Why a reservation was not made, beside *Exceeded.
var (
	ErrDemand  = errors.New("demand is not valid")
	ErrClock   = errors.New("clock went back behind the last two days or months that were charged: set it right")
	ErrJournal = errors.New("budget journal takes no records: look at the disk it is on")
)

// Period is the span over which a cap holds.
type Period uint8

// The periods.
const (
	Day Period = iota
	Month
	periodCount
)

// String returns "daily" or "monthly".
func (p Period) String() string {
	if p == Month {
		return "monthly"
	}
	return "daily"
}

// Measure is one of the three things that are counted.
type Measure uint8

// The measures, in the order of Amount's fields.
const (
	Requests Measure = iota
	Input
	Output
	measureCount
)

// String returns the measure's name.
func (m Measure) String() string {
	switch m {
	case Requests:
		return "requests"
	case Input:
		return "input tokens"
	}
	return "output tokens"
}

// Exceeded says which cap a demand met first. Its text names no principal, so it can be shown to the caller.
type Exceeded struct {
	Level   Level
	Period  Period
	Measure Measure
	Cap     int64
	Left    int64     // what is neither spent nor reserved; never negative
	Asked   int64     // what was asked for
	Reset   time.Time // when the period ends, UTC
}

// Error says what was met and when it ends.
func (e *Exceeded) Error() string {
	return fmt.Sprintf("%s budget of the %s is met: %d of %d %s left, %d asked for; it starts again at %s",
		e.Period, e.Level, e.Left, e.Cap, e.Measure, e.Asked, e.Reset.Format(time.RFC3339))
}

// RetryAfter returns the time from now until the period ends.
func (e *Exceeded) RetryAfter(now time.Time) time.Duration { return max(0, e.Reset.Sub(now)) }

// counts is an Amount by Measure.
type counts [measureCount]int64

func (a Amount) counts() counts { return counts{a.Requests, a.Input, a.Output} }

func (c counts) amount() Amount { return Amount{c[Requests], c[Input], c[Output]} }

// add adds o, saturating at both ends of what a counter holds.
func (c *counts) add(o counts) {
	for i, v := range o {
		switch sum := c[i] + v; {
		case v > 0 && sum < c[i]:
			c[i] = Unlimited
		default:
			c[i] = max(0, sum)
		}
	}
}

func (c counts) minus(o counts) counts {
	for i, v := range o {
		c[i] -= v
	}
	return c
}

// windows are the numbers of the day and the month that t lies in.
type windows [periodCount]int32

const daySeconds = 24 * 3600

// windowsOf returns the UTC day, counted from 1970-01-01, and the month, counted from January of year 0.
func windowsOf(t time.Time) windows {
	s := t.Unix()
	day := s / daySeconds
	if s%daySeconds < 0 {
		day--
	}
	y, m, _ := t.UTC().Date()
	return windows{int32(day), int32(y*12 + int(m) - 1)}
}

// end returns when window number w of period p ends.
func (p Period) end(w int32) time.Time {
	if p == Month {
		return time.Date(int(w/12), time.Month(w%12)+2, 1, 0, 0, 0, 0, time.UTC)
	}
	return time.Unix((int64(w)+1)*daySeconds, 0).UTC()
}
