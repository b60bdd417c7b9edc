package archive

import (
	"errors"
	"fmt"
	"time"

	"github.com/palladium-guard/palladium/internal/span"
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
type Span = span.Span

// Forever is the Span of what is never removed.
const Forever = span.Forever

const day = 24 * time.Hour

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
