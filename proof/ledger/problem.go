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

// maxProblems is how many problems are listed; they are counted beyond.
const maxProblems = 100

// Problem is one thing that is wrong.
type Problem struct {
	Err   error  // wraps one of the errors above
	Where string // file, entry or checkpoint
}

func (p Problem) String() string { return p.Where + ": " + p.Err.Error() }

// Broken says what is wrong with a log. errors.Is finds ErrBroken and the kind of each problem.
type Broken struct {
	Problems []Problem // the first hundred
	Count    int
}

func (b *Broken) Error() string {
	lines := make([]string, 0, len(b.Problems)+1)
	for i, p := range b.Problems {
		if i == 10 {
			break
		}
		lines = append(lines, "  "+p.String())
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
	if b.Count++; len(b.Problems) < maxProblems {
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
