// Package dialect says what a log format is: something that turns one line of recorded traffic into records. Each
// format is a package below this one; app puts the table of formats together.
package dialect

import (
	"errors"

	"github.com/palladium-guard/palladium"
)

// MaxLine is the longest line, in bytes, that a record may take. A longer one is rejected.
const MaxLine = 16 << 20

// Kind tells the records apart.
type Kind uint8

// The kinds of record.
const (
	KindExchange Kind = iota + 1
	KindAccount
)

// Record is one decoded record. The field that Kind names is set; the other one is stale.
type Record struct {
	Kind     Kind
	Exchange palladium.Exchange
	Account  palladium.Account
}

// Decoder turns lines of one format into records. It keeps memory between lines and belongs to one goroutine.
//
// Decode calls emit for each record of the line, in order. The record, with all its slices and strings, aliases the
// line and the decoder's memory: it is valid until emit returns. An exchange that is emitted has ID, Time and
// Account; an account has ID. The line holds no line terminator and may be changed by nobody while Decode runs.
//
// An error is either emit's, returned as it came, or one of this package's and then says why the line, or a part of
// it, holds no record; what was emitted before stands. Errors name fields and positions and never quote content.
type Decoder interface {
	Decode(line []byte, emit func(*Record) error) error
}

// Format is one log format.
type Format struct {
	Name string
	// Sniff reports whether a line of a file looks like this format. It is cheap and may be wrong about a broken line.
	Sniff func(line []byte) bool
	// Account reports, much faster than Decode, whether the line may be an account record. It may be wrong only in
	// saying yes to a line that is not one, or no to one that spells its kind in an unusual way. Nil when the format
	// has no account records.
	Account func(line []byte) bool
	// Whole says that a record is a value of any bytes, not a line of text: it does not stand in files of lines, and nothing
	// tells it from another by looking. Sniff and Account are nil.
	Whole bool
	// New makes a decoder. Decoders share nothing.
	New func() Decoder
}

// Why a line is rejected. Errors of Decode wrap one of these.
var (
	ErrSyntax  = errors.New("invalid JSON")
	ErrUTF8    = errors.New("invalid UTF-8")
	ErrMissing = errors.New("missing field")
	ErrType    = errors.New("wrong type in field")
	ErrTime    = errors.New("time is not RFC 3339 in field")
	ErrKind    = errors.New("unknown kind of record")
	ErrTooLong = errors.New("line longer than 16 MiB")
)
