package verdict

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// State says how far a gateway can rely on the table it has. What it does when it cannot (let requests through or refuse
// them) is for each route to say.
type State uint8

// The states.
const (
	Unknown    State = iota // no table was ever read
	Current                 // the last attempt to read one succeeded, and it is not too old
	Stale                   // the table is older than is allowed
	Unreadable              // the last attempt to read one failed; the table before it is kept
)

// String returns the state's name.
func (s State) String() string {
	switch s {
	case Current:
		return "current"
	case Stale:
		return "stale"
	case Unreadable:
		return "unreadable"
	}
	return "unknown"
}

// Reliable reports whether the answers of Find can be enforced as they are.
func (s State) Reliable() bool { return s == Current }

// ErrOlder says that a table has a lower version than the one in use.
var ErrOlder = errors.New("verdict table is older than the one in use")

// Holder holds the table in use. Readers see one table or the next, never a mixture, and take no lock.
type Holder struct {
	maxAge time.Duration
	swap   sync.Mutex // serialises writers
	held   atomic.Pointer[held]
}

type held struct {
	table *Table // nil until one was read
	since time.Time
	fail  error
}

// NewHolder returns a holder without a table. A table that was read longer ago than maxAge is stale; zero means that
// tables do not grow stale, as with a file that is changed by hand.
func NewHolder(maxAge time.Duration) *Holder {
	h := &Holder{maxAge: maxAge}
	h.held.Store(&held{})
	return h
}

// Swap puts t in place of the table in use; now is when it was read or confirmed. A table of a lower version is refused
// with ErrOlder and changes nothing.
func (h *Holder) Swap(t *Table, now time.Time) error {
	h.swap.Lock()
	defer h.swap.Unlock()
	if old := h.held.Load().table; old != nil && t.version < old.version {
		return fmt.Errorf("%w: version %d, in use is %d", ErrOlder, t.version, old.version)
	}
	h.held.Store(&held{table: t, since: now})
	return nil
}

// Confirm records that the table in use is the newest one still, as of now. One that could not be replaced is not confirmed.
func (h *Holder) Confirm(now time.Time) {
	h.swap.Lock()
	defer h.swap.Unlock()
	if old := h.held.Load(); old.table != nil && old.fail == nil {
		h.held.Store(&held{table: old.table, since: now})
	}
}

// Fail records that a new table could not be read. The one in use stays.
func (h *Holder) Fail(err error) {
	h.swap.Lock()
	defer h.swap.Unlock()
	old := h.held.Load()
	h.held.Store(&held{table: old.table, since: old.since, fail: err})
}

// Find returns what the table in use says of the account, and how far that can be relied on.
func (h *Holder) Find(account string, now time.Time) (Standing, State) {
	held := h.held.Load()
	return held.table.Find(account, now), h.state(held, now)
}

func (h *Holder) state(in *held, now time.Time) State {
	switch {
	case in.table == nil && in.fail == nil:
		return Unknown
	case in.fail != nil:
		return Unreadable
	case h.maxAge > 0 && now.Sub(in.since) > h.maxAge:
		return Stale
	}
	return Current
}

// Status is what a holder tells about its table.
type Status struct {
	State   State
	Version uint64
	Len     int
	Age     time.Duration // since the table was read; zero without one
	Err     error         // why the last attempt to read one failed; nil otherwise
}

// Status returns the state of the table in use.
func (h *Holder) Status(now time.Time) Status {
	in := h.held.Load()
	s := Status{State: h.state(in, now), Err: in.fail}
	if in.table != nil {
		s.Version, s.Len, s.Age = in.table.version, in.table.Len(), max(0, now.Sub(in.since))
	}
	return s
}

// Table returns the table in use; nil when there is none.
func (h *Holder) Table() *Table { return h.held.Load().table }
