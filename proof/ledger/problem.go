package ledger

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
)

// What can be wrong with a log. Every problem wraps one of them.
var (
	ErrRollback  = errors.New("log was rolled back")                  // it is shorter than it was when last seen
	ErrFork      = errors.New("log was rewritten")                    // it has another past than when last seen
	ErrTruncated = errors.New("part of the log is missing")           // fewer entries or hashes than its checkpoint counts
	ErrEntry     = errors.New("entry is not what was logged")         // changed, moved or exchanged
	ErrTile      = errors.New("hash in the tree is wrong")            // the entries are in order, the tree over them is not
	ErrMissing   = errors.New("statement is missing")                 // an entry stands for a text that is not there
	ErrTampered  = errors.New("statement is not the one logged")      // another text than the entry stands for
	ErrProof     = errors.New("proof does not hold")                  // a proof is not one for the entry and checkpoint
	ErrBroken    = errors.New("log does not hold what it has signed") // wrapped by Broken
)

// What is listed of one kind, and what of it a message shows. All are counted.
const (
	maxProblems = 20
	maxShown    = 4
)

// kinds lists what can be wrong, worst first.
func kinds() []error {
	return []error{ErrRollback, ErrFork, ErrUntrusted, ErrTruncated, ErrEntry, ErrTile, ErrMissing, ErrTampered}
}

// Problem is one thing that is wrong.
type Problem struct {
	Err   error  // wraps one of the errors above
	Where string // file, entry or checkpoint
}

func (p Problem) String() string { return p.Where + ": " + p.Err.Error() }

// Broken says what is wrong with a log. errors.Is finds ErrBroken and the kind of each problem.
type Broken struct {
	Problems []Problem // the first 20 of each kind
	Count    int
}

func (b *Broken) Error() string {
	var lines []string
	for _, kind := range kinds() {
		shown := 0
		for _, p := range b.Problems {
			if shown < maxShown && errors.Is(p.Err, kind) {
				lines = append(lines, "  "+p.String())
				shown++
			}
		}
	}
	if more := b.Count - len(lines); more > 0 {
		lines = append(lines, fmt.Sprintf("  and %d more", more))
	}
	return fmt.Sprintf("%s:\n%s", ErrBroken, strings.Join(lines, "\n"))
}

// Unwrap returns ErrBroken and the errors of the problems.
func (b *Broken) Unwrap() []error {
	out := []error{ErrBroken}
	for _, p := range b.Problems {
		out = append(out, p.Err)
	}
	return out
}

func (b *Broken) add(where string, err error) {
	b.Count++
	same := 0
	for _, kind := range kinds() {
		if !errors.Is(err, kind) {
			continue
		}
		for _, p := range b.Problems {
			if errors.Is(p.Err, kind) {
				same++
			}
		}
		break
	}
	if same < maxProblems {
		b.Problems = append(b.Problems, Problem{Err: err, Where: where})
	}
}

// check compares a body with the entry that stands for it.
func (e *Entry) check(body []byte) error {
	if int64(len(body)) != e.Size || sha256.Sum256(body) != e.Digest {
		return fmt.Errorf("%w: expected %d bytes with SHA-256 %x, found %d with %x", ErrTampered, e.Size, e.Digest, len(body), sha256.Sum256(body))
	}
	return nil
}
