package budget

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Lease is where several gateways draw portions of one cap from a store that they share, so that a cap holds over all of
// them.
type Lease interface {
	// Take asks for up to want of the cap of p in the window that starts at start, and returns what was granted, which
	// may be nothing. What is granted and not given back counts as drawn once the window ends.
	Take(ctx context.Context, p Principal, period Period, start int64, want Amount) (Amount, error)
	// Return gives back what will not be drawn.
	Return(ctx context.Context, p Principal, period Period, start int64, unused Amount) error
}

// ErrLease is wrapped by errors of Reserve where no portion of a cap can be had, since the store does not answer.
var ErrLease = errors.New("no portion of a budget can be had from the store that gateways share: look at the stream")

// Cells are small values that several processes change by comparing and setting. Set sets a cell that has the revision, zero
// for one that was never set; after an error it may or may not have been set.
type Cells interface {
	Get(ctx context.Context, key string) (value []byte, revision uint64, err error)
	Set(ctx context.Context, key string, value []byte, revision uint64) (next uint64, err error)
}

// NewLease returns a lease that keeps in one cell, for each principal and window, how much of the cap gateways have taken.
// A portion of a gateway that died stays taken until the window ends, and so does one of which it is not known whether it was
// granted: what can go wrong lets through less, never more. No clock is compared with another's. changed reports whether an
// error of Set says that another came before.
func NewLease(c Cells, changed func(error) bool) Lease { return cells{c, changed} }

type cells struct {
	cells   Cells
	changed func(error) bool
}

func cellKey(p Principal, period Period, start int64) string {
	return fmt.Sprintf("%d.%d.%d.%s", p.Level, period, start, p.ID)
}

// cellTries is how often a cell is tried that others change at the same time.
const cellTries = 64

// change adds to what is taken as much of delta as keeps it within caps and above zero, and returns how much that was.
func (c cells) change(ctx context.Context, key string, caps, delta counts) (counts, error) {
	for range cellTries {
		value, revision, err := c.cells.Get(ctx, key)
		if err != nil {
			return counts{}, fmt.Errorf("%w: %w", ErrLease, err)
		}
		var taken, did counts
		for i := range taken {
			v, n := binary.Varint(value)
			if n <= 0 && revision != 0 {
				return counts{}, fmt.Errorf("%w: the cell of a budget cannot be read", ErrLease)
			}
			taken[i], value = v, value[max(n, 0):]
		}
		var next []byte
		for i, d := range delta {
			if d > 0 {
				d = min(d, max(0, caps[i]-taken[i]))
			} else {
				d = max(d, -taken[i])
			}
			did[i] = d
			next = binary.AppendVarint(next, taken[i]+d)
		}
		if did == (counts{}) {
			return did, nil
		}
		_, err = c.cells.Set(ctx, key, next, revision)
		if err == nil {
			return did, nil
		}
		if !c.changed(err) {
			return counts{}, fmt.Errorf("%w: %w", ErrLease, err)
		}
	}
	return counts{}, fmt.Errorf("%w: too many gateways ask at once", ErrLease)
}

// Take takes a portion.
func (c cells) Take(ctx context.Context, p Principal, period Period, start int64, want Amount) (Amount, error) {
	got, err := c.change(ctx, cellKey(p, period, start), p.Limits.of(period), want.counts())
	return got.amount(), err
}

// Return gives back.
func (c cells) Return(ctx context.Context, p Principal, period Period, start int64, unused Amount) error {
	_, err := c.change(ctx, cellKey(p, period, start), counts{}, counts{}.minus(unused.counts()))
	return err
}

// fleet is what a ledger holds of caps that several gateways share.
type fleet struct {
	lease Lease
	mu    sync.RWMutex // held for reading while a request is charged, for writing while portions change; never over I/O
	held  map[portionKey]*portion
	fresh map[portionKey]struct{} // those that were granted something since all was given back
	take  sync.Mutex              // one at a time asks for more, so that a burst does not ask for as many portions
	mute  atomic.Pointer[silence] // the store did not answer when it was asked last; nil when it did
}

// silence is a store that did not answer.
type silence struct {
	asked time.Time // by the requests' time
	err   error
}

type portionKey struct {
	key    key
	period Period
	window int32
}

type portion struct {
	principal Principal
	counts    counts    // granted to this gateway in the window, drawn or not
	dry       time.Time // when the store had nothing of what was asked for; by the requests' time
}

// dryFor is how long a store that had nothing left, or did not answer, is not asked again, so that what is used up costs it nothing.
const dryFor = time.Second

// Join makes the ledger one of several that share each cap: it charges only what the lease has granted, and asks for more when
// that is used up. It comes before the first Reserve. What the ledger had drawn before, by its journal, was granted before.
func (l *Ledger) Join(lease Lease) {
	l.fleet = &fleet{lease: lease, held: map[portionKey]*portion{}, fresh: map[portionKey]struct{}{}}
}

// reserveShared is Reserve for a ledger that shares its caps.
func (l *Ledger) reserveShared(ctx context.Context, now time.Time, d Demand) (*Reservation, error) {
	f := l.fleet
	if err := d.check(); err != nil {
		return nil, err
	}
	whole := d
	whole.Least = 0 // what is granted here may be less than is left in all
	r, err := f.try(l, now, whole)
	var met *Exceeded
	if !errors.As(err, &met) {
		return r, err
	}
	if err := f.turn(now); err != nil {
		return nil, err
	}
	defer f.take.Unlock()
	for range askTries {
		if r, err = f.try(l, now, whole); !errors.As(err, &met) {
			return r, err
		}
		// Every cap, not only the one that was met: of several that are all below what is asked for, less than all is granted
		// within the smallest, and each of them must have been asked.
		more, err := f.ask(ctx, l, now, &d)
		switch {
		case errors.Is(err, ErrLease):
			f.mute.Store(&silence{now, err})
		case err == nil:
			f.mute.Store(nil)
		}
		if err != nil {
			return nil, err
		}
		if !more {
			break
		}
	}
	if r, err = f.try(l, now, d); !errors.As(err, &met) {
		return r, err
	}
	for i := range d.Principals {
		if d.Principals[i].Level == met.Level {
			met.Cap = d.Principals[i].Limits.of(met.Period)[met.Measure]
		}
	}
	return nil, met
}

// turn takes the turn to ask. Where the store does not answer, one request after the other finds out, at most one every dryFor, and
// none waits behind it: those that came before that was known end with the first, the others at once.
func (f *fleet) turn(now time.Time) error {
	was := f.mute.Load()
	if !f.take.TryLock() {
		if was != nil {
			return was.err
		}
		f.take.Lock()
	}
	is := f.mute.Load()
	if is == nil {
		return nil
	}
	if since := now.Sub(is.asked); is != was || since >= 0 && since < dryFor {
		f.take.Unlock()
		return is.err
	}
	return nil
}

// askTries is how often more is asked for while others draw what was granted.
const askTries = 8

// try reserves within what is granted.
func (f *fleet) try(l *Ledger, now time.Time, d Demand) (*Reservation, error) {
	w := windowsOf(now)
	f.mu.RLock()
	defer f.mu.RUnlock()
	mine := make([]Principal, len(d.Principals))
	for i, p := range d.Principals {
		mine[i] = p
		mine[i].Limits.Day = f.within(p, Day, w)
		mine[i].Limits.Month = f.within(p, Month, w)
	}
	d.Principals = mine
	return l.reserve(now, d)
}

// within is the part of a cap that is granted here. The caller holds the lock.
func (f *fleet) within(p Principal, period Period, w windows) Amount {
	caps := p.Limits.of(period)
	var has counts
	if h := f.held[portionKey{key{p.Level, p.ID}, period, w[period]}]; h != nil {
		has = h.counts
	}
	for m := range caps {
		if caps[m] != Unlimited {
			caps[m] = min(caps[m], has[m])
		}
	}
	return caps.amount()
}

// part is the share of a cap that is asked for beyond what is needed, so that most requests need not ask.
const part = 64

// ask takes a portion of every cap of which too little is held here. It reports whether anything was granted.
func (f *fleet) ask(ctx context.Context, l *Ledger, now time.Time, d *Demand) (more bool, err error) {
	w := windowsOf(now)
	for i := range d.Principals {
		for period := range periodCount {
			got, err := f.askOne(ctx, l, now, d, &d.Principals[i], portionKey{key{d.Principals[i].Level, d.Principals[i].ID}, period, w[period]})
			if err != nil {
				return more, err
			}
			more = more || got
		}
	}
	return more, nil
}

// askOne takes a portion of one cap.
func (f *fleet) askOne(ctx context.Context, l *Ledger, now time.Time, d *Demand, p *Principal, k portionKey) (more bool, err error) {
	caps, need := p.Limits.of(k.period), counts{1, d.Input, d.Output}
	f.mu.Lock()
	used, kept := l.charged(k)
	if !kept {
		f.mu.Unlock()
		return false, ErrClock
	}
	h := f.held[k]
	if h == nil {
		// What a journal brought back was drawn under a portion of before. Requests are charged under portions alone.
		h = &portion{counts: used}
		f.held[k] = h
	}
	h.principal = *p
	has, dry := h.counts, h.dry
	f.mu.Unlock()
	var want counts
	for m := range want {
		if short := used[m] + need[m] - has[m]; caps[m] != Unlimited && short > 0 {
			want[m] = min(short+caps[m]/part, max(0, caps[m]-has[m]))
		}
	}
	if since := now.Sub(dry); want == (counts{}) || since >= 0 && since < dryFor {
		return false, nil
	}
	granted, err := f.lease.Take(ctx, *p, k.period, int64(k.window), want.amount())
	if err != nil {
		return false, err
	}
	got := granted.counts()
	f.mu.Lock()
	defer f.mu.Unlock()
	for m := range got {
		if got[m] < want[m] {
			h.dry = now
		}
	}
	h.counts.add(got)
	if got == (counts{}) {
		return false, nil
	}
	f.fresh[k] = struct{}{}
	return true, nil
}

// charged returns what was drawn and reserved in the window of k, and makes room for it where it is new; false says that the
// window was given up.
func (l *Ledger) charged(k portionKey) (counts, bool) {
	h := []hold{{key: k.key}}
	l.lock(h)
	defer h[0].meter.mu.Unlock()
	s := h[0].meter.at(k.period, k.window)
	if s == nil {
		return counts{}, false
	}
	return s.used, true
}

// GiveBack returns to the store what is granted here and not drawn: at the end of a process, after the last request has ended,
// and now and then so that others can have it. Portions of windows that are not kept any more are forgotten. Errors wrap
// ErrLease; what could not be returned stays taken until its window ends.
func (l *Ledger) GiveBack(ctx context.Context, now time.Time) error {
	f := l.fleet
	if f == nil {
		return nil
	}
	w := windowsOf(now)
	var list []back
	f.mu.Lock()
	for k := range f.held {
		list = f.surplus(list, l, w, k, false)
	}
	clear(f.fresh)
	f.mu.Unlock()
	return f.give(ctx, list)
}

// Trim is GiveBack for what was granted since that was called last, and of it for what lies above the part of a cap that a gateway
// holds in any case: what a request reserved and did not draw, which can be all that others could have. It is for every second.
func (l *Ledger) Trim(ctx context.Context, now time.Time) error {
	f := l.fleet
	if f == nil {
		return nil
	}
	w := windowsOf(now)
	var list []back
	f.mu.Lock()
	for k := range f.fresh {
		list = f.surplus(list, l, w, k, true)
	}
	f.mu.Unlock()
	return f.give(ctx, list)
}

// back is what is given back of a portion.
type back struct {
	k      portionKey
	p      Principal
	unused counts
}

// surplus takes out of a portion what is not drawn, or only what is above a part of the cap. The caller holds the lock.
func (f *fleet) surplus(list []back, l *Ledger, w windows, k portionKey, above bool) []back {
	h := f.held[k]
	if h == nil || k.window < w[k.period]-1 {
		delete(f.held, k)
		return list
	}
	if k.window != w[k.period] {
		return list
	}
	used, kept := l.charged(k)
	if !kept { // what was drawn is not known any more, so none of it can be said to be unused
		delete(f.held, k)
		return list
	}
	caps := h.principal.Limits.of(k.period)
	unused := h.counts.minus(used)
	for m := range unused {
		unused[m] = max(0, unused[m])
		if above && unused[m] <= caps[m]/part {
			unused[m] = 0
		}
	}
	if unused == (counts{}) {
		return list
	}
	h.counts = h.counts.minus(unused)
	return append(list, back{k, h.principal, unused})
}

// give gives back.
func (f *fleet) give(ctx context.Context, list []back) error {
	var errs []error
	for _, b := range list {
		errs = append(errs, f.lease.Return(ctx, b.p, b.k.period, int64(b.k.window), b.unused.amount()))
	}
	return errors.Join(errs...)
}
