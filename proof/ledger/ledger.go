// Package ledger keeps acts in a transparency log, and proves to anybody with its public key that none was changed, left
// out, moved or taken back. The log is a tree of tiles as in C2SP tlog-tiles, its head a signed C2SP checkpoint. This
// package reads and checks; package tlog writes.
package ledger

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"
)

// The types of the statements about models. A lineage statement has the type of its in-toto predicate, decisions and what is asked
// of the API have the types that packages live and api give them.
const (
	TypeSignature = "palladium/signature/v1" // a model was signed
	TypeLoad      = "palladium/load/v1"      // a model is about to be loaded
	TypeRefusal   = "palladium/refusal/v1"   // a model was refused
)

const (
	// MaxStatement is the length of the longest statement, in bytes.
	MaxStatement = 16 << 20
	// MaxEntry is the length of the longest entry, in bytes: tlog-tiles gives it 16 bits.
	MaxEntry = 1<<16 - 1

	maxType = 512
)

// ErrStatement is wrapped by errors about a statement that no ledger takes.
var ErrStatement = errors.New("statement refused")

// Statement is what is said about an act, before it is done. The log holds its digest; the text lies beside the log.
type Statement struct {
	Type string    // what kind of act, in printable ASCII without spaces, 512 bytes at most
	Time time.Time // of the act; the ledger's own clock when zero
	Body []byte    // the text, 1 to MaxStatement bytes; no prompt and no secret
}

// Entry returns what the log holds of the statement.
func (s *Statement) Entry() (Entry, error) {
	e := Entry{Type: s.Type, Digest: sha256.Sum256(s.Body), Size: int64(len(s.Body)), Time: s.Time.UTC().Truncate(time.Millisecond)}
	switch {
	case !validType(s.Type):
		return e, fmt.Errorf("%w: type %q: use 1 to %d printable ASCII characters without spaces", ErrStatement, s.Type, maxType)
	case len(s.Body) == 0:
		return e, fmt.Errorf("%w: it is empty, which says nothing about the act", ErrStatement)
	case len(s.Body) > MaxStatement:
		return e, fmt.Errorf("%w: %d bytes are more than %d: keep digests in it instead of contents", ErrStatement, len(s.Body), MaxStatement)
	case s.Time.Year() < 1970 || s.Time.Year() > 9999:
		return e, fmt.Errorf("%w: year %d: give the time of the act", ErrStatement, s.Time.Year())
	}
	return e, nil
}

// Receipt says where a statement is in the log.
type Receipt struct {
	Index      uint64 // of the entry, from 0
	Entry      Entry
	Checkpoint []byte // signed, covers the entry; empty when the ledger does not wait for one
}

// Ledger is where acts are written down. An act that must not be lost is done only after Append has returned without an
// error: what it acknowledged is durable. After an error the statement may or may not be in the log. All methods may be
// called concurrently.
type Ledger interface {
	Append(ctx context.Context, s Statement) (Receipt, error)
	// AppendAll writes statements together, which costs little more than one, and returns their receipts in the same order;
	// so are their entries, perhaps with those of others between. After an error a first part of them may be in the log.
	AppendAll(ctx context.Context, s []Statement) ([]Receipt, error)
}

// Discard is a ledger that keeps nothing, for users who want none. It checks statements all the same.
type Discard struct{}

// Append checks s and forgets it.
func (Discard) Append(ctx context.Context, s Statement) (Receipt, error) {
	if err := ctx.Err(); err != nil {
		return Receipt{}, err
	}
	if s.Time.IsZero() {
		s.Time = time.Unix(0, 0)
	}
	e, err := s.Entry()
	return Receipt{Entry: e}, err
}

// AppendAll checks the statements and forgets them.
func (d Discard) AppendAll(ctx context.Context, s []Statement) ([]Receipt, error) {
	return oneByOne(ctx, d, s)
}

// oneByOne appends where together is no cheaper.
func oneByOne(ctx context.Context, l Ledger, statements []Statement) (out []Receipt, err error) {
	for _, s := range statements {
		r, err := l.Append(ctx, s)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}
