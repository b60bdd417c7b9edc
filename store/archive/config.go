package archive

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Config is what the section `archive` says besides the place: how observations are kept, and for how long.
type Config struct {
	// Log names the sequence of observations that this installation writes. Where several installations with one measuring key share an
	// archive, each has a log of its own. Default: stream.
	Log       string        `yaml:"log"`
	Every     time.Duration `yaml:"every"`   // longest time that an observation waits to be written; default 1m
	Compact   time.Duration `yaml:"compact"` // time between two rounds of merging files and removing what is over; default 10m
	Retention Retention     `yaml:"retention"`
}

// Retention says how long what is kept, by class of field, counted from the end of the hour of an exchange.
type Retention struct {
	Counts       Span `yaml:"counts"`       // the row: account, model, tokens, outcome …; default 400d
	Fingerprints Span `yaml:"fingerprints"` // hashes of text and parameters; default 90d
	Connection   Span `yaml:"connection"`   // hashes of addresses, clients, devices and credentials; default 30d
	Accounts     Span `yaml:"accounts"`     // descriptions of accounts, from when they were given; default 400d
}

// Span is a length of time, such as 90d or 36h. Forever has no end.
type Span time.Duration

// Forever is the Span of what is never removed.
const Forever Span = -1

const day = 24 * time.Hour

// UnmarshalText reads whole days such as 90d, what time.ParseDuration reads, or the word forever.
func (s *Span) UnmarshalText(text []byte) error {
	word := string(text)
	if word == "forever" {
		*s = Forever
		return nil
	}
	if days, ok := strings.CutSuffix(word, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil && n > 0 {
			*s = Span(n) * Span(day)
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
	switch d := time.Duration(s); {
	case s == Forever:
		return "forever"
	case d%day == 0:
		return strconv.Itoa(int(d/day)) + "d"
	default:
		return d.String()
	}
}

// MarshalText is String.
func (s Span) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// over reports whether what ended at a time is kept no longer.
func (s Span) over(end, now time.Time) bool { return s != Forever && now.Sub(end) >= time.Duration(s) }

// ErrConfig is wrapped by errors of what a Config says.
var ErrConfig = errors.New("archive section refused")

// Fill puts defaults in the place of zero values.
func (c *Config) Fill() {
	or(&c.Log, "stream")
	or(&c.Every, time.Minute)
	or(&c.Compact, 10*time.Minute)
	or(&c.Retention.Counts, 400*Span(day))
	or(&c.Retention.Fingerprints, 90*Span(day))
	or(&c.Retention.Connection, 30*Span(day))
	or(&c.Retention.Accounts, 400*Span(day))
}

func or[T comparable](v *T, otherwise T) {
	var zero T
	if *v == zero {
		*v = otherwise
	}
}

// Check says what in a filled Config cannot be.
func (c *Config) Check() error {
	switch r := c.Retention; {
	case !logName(c.Log):
		return fmt.Errorf("%w: archive.log: %w", ErrConfig, errLog)
	case c.Every < 0 || c.Compact < 0:
		return fmt.Errorf("%w: archive.every and archive.compact are times above zero", ErrConfig)
	case r.Counts != Forever && (r.Fingerprints == Forever || r.Connection == Forever || r.Fingerprints > r.Counts || r.Connection > r.Counts):
		return fmt.Errorf("%w: archive.retention: counts are kept longest: fingerprints and connection go with them", ErrConfig)
	}
	return nil
}
