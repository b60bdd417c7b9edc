// Package span reads and writes how long something is kept.
package span

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// Span is a length of time, such as 90d or 36h. Forever has no end.
type Span time.Duration

// Forever is the Span of what is never removed.
const Forever Span = -1

// Day is the Span of a day.
const Day = Span(24 * time.Hour)

// UnmarshalText reads whole days such as 90d, what time.ParseDuration reads, or the word forever.
func (s *Span) UnmarshalText(text []byte) error {
	word := string(text)
	if word == "forever" {
		*s = Forever
		return nil
	}
	if days, ok := strings.CutSuffix(word, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil && n > 0 {
			*s = Span(n) * Day
			return nil
		}
	} else if d, err := time.ParseDuration(word); err == nil && d > 0 {
		*s = Span(d)
		return nil
	}
	return errors.New("want a span such as 90d or 36h, or forever")
}

// String is what UnmarshalText reads.
func (s Span) String() string {
	switch {
	case s == Forever:
		return "forever"
	case s%Day == 0:
		return strconv.Itoa(int(s/Day)) + "d"
	default:
		return time.Duration(s).String()
	}
}

// MarshalText is String.
func (s Span) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Over reports whether what ended at a time is kept no longer.
func (s Span) Over(end, now time.Time) bool { return s != Forever && now.Sub(end) >= time.Duration(s) }
