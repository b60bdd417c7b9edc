package budget

import (
	"context"
	"sync/atomic"
)

// Reservation is what one request may draw. Draw is for the goroutine that passes the answer on; Settle, Release and
// Close are safe from any, and only the first of them counts.
type Reservation struct {
	ledger   *Ledger
	id       uint64
	position uint64 // in the journal
	windows  windows
	reserved counts
	left     atomic.Int64 // output tokens not yet drawn; ended once the reservation is over
	holds    []hold
	few      [4]hold // memory of holds, for as many as nearly every request has
}

// hold is one principal of a reservation. Its limits belong to the demand and are nil once it is granted.
type hold struct {
	key    key
	meter  *meter
	limits *Limits
}

// ended marks a reservation that was settled, released or closed.
const ended = -1

// Output returns the output tokens that were granted. It may be less than was asked for: see Demand.Least.
func (r *Reservation) Output() int64 { return r.reserved[Output] }

// Input returns the input tokens that are reserved.
func (r *Reservation) Input() int64 { return r.reserved[Input] }

// Left returns the output tokens that may still be drawn.
func (r *Reservation) Left() int64 { return max(0, r.left.Load()) }

// Draw takes the tokens of one chunk before it is passed on. False says that the chunk would exceed the reservation, or
// that the reservation has ended: it must not be passed on, and nothing was taken. It allocates nothing, takes no lock
// and touches no memory that another request uses.
func (r *Reservation) Draw(tokens int64) bool {
	if tokens < 0 {
		return false
	}
	for {
		v := r.left.Load()
		if v < tokens {
			return false
		}
		if r.left.CompareAndSwap(v, v-tokens) {
			return true
		}
	}
}

// Durable returns when the reservation is on disk. Waiting for it before the first byte of an answer is passed on, while
// the upstream is at work, makes the caps hold over a crash of the machine at no cost in time. It returns at once when
// the ledger has no journal.
func (r *Reservation) Durable(ctx context.Context) error {
	if r.ledger.journal == nil {
		return nil
	}
	return r.ledger.journal.Wait(ctx, r.position)
}

// Settle ends the reservation with what the request cost by the upstream's own figures, and gives back the rest. The
// figures are charged as they are, also where they differ from what was drawn; above the reservation they count as
// overdrawn. It reports whether this call ended the reservation.
func (r *Reservation) Settle(input, output int64) bool {
	if r.left.Swap(ended) == ended {
		return false
	}
	r.end(counts{1, max(0, input), max(0, output)})
	return true
}

// Close ends the reservation where usage is not known, such as when the caller leaves: the reserved input and the drawn
// output are charged, the rest is given back. After Settle or Release it does nothing, so it can be deferred.
func (r *Reservation) Close() {
	left := r.left.Swap(ended)
	if left == ended {
		return
	}
	r.end(counts{1, r.reserved[Input], r.reserved[Output] - left})
}

// Release gives everything back, the request included: nothing was sent to the upstream, or it refused without doing any
// work. What was drawn before stays charged. It reports whether this call ended the reservation.
func (r *Reservation) Release() bool {
	left := r.left.Swap(ended)
	if left == ended {
		return false
	}
	if left < r.reserved[Output] {
		r.end(counts{1, r.reserved[Input], r.reserved[Output] - left})
	} else {
		r.end(counts{})
	}
	return true
}

// end replaces what is reserved by the final cost.
func (r *Reservation) end(cost counts) {
	for m := Input; m <= Output; m++ {
		if over := cost[m] - r.reserved[m]; over > 0 {
			r.ledger.overdrawn.Add(over)
		}
	}
	r.undo(cost)
	r.ledger.open.Add(-1)
	if r.ledger.journal != nil {
		var buf [recordRoom]byte
		// A settlement that cannot be kept leaves the reservation open in the journal: it counts as spent in full.
		_, _ = r.ledger.journal.Append(appendSettle(buf[:0], r.id, cost))
	}
}

// undo charges every principal with the difference between cost and what is reserved.
func (r *Reservation) undo(cost counts) {
	diff := cost.minus(r.reserved)
	for i := range r.holds {
		m := r.holds[i].meter
		m.mu.Lock()
		m.charge(r.windows, diff)
		m.mu.Unlock()
	}
}
