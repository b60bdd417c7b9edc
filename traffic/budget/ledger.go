package budget

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"maps"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Journal keeps records so that a process that starts after a crash knows what was reserved. Append copies the record to
// memory and returns its position at once, or an error when it can take no more; Wait returns when everything up to the
// position is on disk. Ready says why neither can be hoped for now: nothing is reserved then, but what ends is appended
// all the same, so that a journal that goes on later says what was drawn. All are safe for concurrent use.
type Journal interface {
	Ready() error
	Append(record []byte) (position uint64, err error)
	Wait(ctx context.Context, position uint64) error
}

// Ledger counts what principals have drawn and reserved. It is safe for concurrent use; a lock is held for the
// arithmetic of one request's principals only, never over I/O.
type Ledger struct {
	journal Journal // nil: nothing survives a restart
	fleet   *fleet  // nil: the caps are this ledger's alone
	seed    maphash.Seed
	shards  [shardCount]shard
	next    atomic.Uint64 // id of the next reservation

	granted, refused, overdrawn atomic.Int64
	open                        atomic.Int64
}

const shardCount = 128

type shard struct {
	mu     sync.RWMutex
	meters map[key]*meter
}

type key struct {
	level Level
	id    string
}

func (k key) compare(o key) int {
	return cmp.Or(cmp.Compare(k.level, o.level), strings.Compare(k.id, o.id))
}

// New returns a ledger that starts from what past has replayed and writes to journal. Either may be nil. It takes past
// over; reservations still open there count as spent, since nobody is left who could say what they drew.
func New(journal Journal, past *Replay) *Ledger {
	l := &Ledger{journal: journal, seed: maphash.MakeSeed()}
	for i := range l.shards {
		l.shards[i].meters = make(map[key]*meter)
	}
	l.next.Store(1)
	if past != nil {
		l.next.Store(past.last + 1)
		for k, m := range past.meters {
			l.shard(k).meters[k] = m
		}
		lost := past.last
		past.meters, past.open = nil, nil
		if journal != nil && lost > 0 {
			// Should it not be kept, the reservations stay open there, which counts the same.
			_, _ = journal.Append(binary.AppendUvarint([]byte{opLost}, lost))
		}
	}
	return l
}

func (l *Ledger) shard(k key) *shard {
	return &l.shards[maphash.String(l.seed, k.id)%shardCount]
}

// meter is what one principal has drawn and reserved in two days and two months: a day that is over is kept while the
// next one is charged, so that a clock that goes back finds what was drawn there.
type meter struct {
	mu    sync.Mutex
	gone  bool // swept: look it up again
	slots [periodCount][2]slot
}

type slot struct {
	window int32 // noWindow when unused
	used   counts
}

const noWindow = math.MinInt32

func newMeter() *meter {
	m := &meter{}
	for p := range m.slots {
		m.slots[p] = [2]slot{{window: noWindow}, {window: noWindow}}
	}
	return m
}

// at returns the slot of window w. A window later than the earlier of the two that are kept takes its place: it cannot
// have been charged before, because slots only ever make room for later ones. It is nil for a window that was given up.
// The caller holds the lock.
func (m *meter) at(p Period, w int32) *slot {
	s := &m.slots[p]
	early := 0
	if s[1].window < s[0].window {
		early = 1
	}
	switch {
	case s[0].window == w:
		return &s[0]
	case s[1].window == w:
		return &s[1]
	case w > s[early].window:
		s[early] = slot{window: w}
		return &s[early]
	}
	return nil
}

// find returns the slot of window w without making room for it; nil when it is not kept. The caller holds the lock.
func (m *meter) find(p Period, w int32) *slot {
	for i := range m.slots[p] {
		if s := &m.slots[p][i]; s.window == w {
			return s
		}
	}
	return nil
}

// charge adds c to the two windows, where they are still kept. The caller holds the lock.
func (m *meter) charge(w windows, c counts) {
	for p := range periodCount {
		if s := m.find(p, w[p]); s != nil {
			s.used.add(c)
		}
	}
}

// meter returns the meter of k, made if need be.
func (l *Ledger) meter(k key) *meter {
	s := l.shard(k)
	s.mu.RLock()
	m := s.meters[k]
	s.mu.RUnlock()
	if m != nil {
		return m
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if m = s.meters[k]; m == nil {
		m = newMeter()
		k.id = strings.Clone(k.id) // the caller's string may alias a request
		s.meters[k] = m
	}
	return m
}

// Reserve takes d from every principal or from none. The reservation must be ended by Settle, Release or Close: until
// then all of it counts as drawn. It returns *Exceeded for the first cap in the way, and errors that wrap ErrDemand,
// ErrClock or ErrJournal. A demand is charged to the day and month of now, also when it ends in the next one.
func (l *Ledger) Reserve(now time.Time, d Demand) (*Reservation, error) {
	if l.fleet != nil {
		return l.reserveShared(context.Background(), now, d) // the store bounds its own time
	}
	return l.reserve(now, d)
}

func (l *Ledger) reserve(now time.Time, d Demand) (*Reservation, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	if l.journal != nil {
		if err := l.journal.Ready(); err != nil {
			l.refused.Add(1)
			return nil, fmt.Errorf("%w: %w", ErrJournal, err)
		}
	}
	r := &Reservation{ledger: l, windows: windowsOf(now)}
	r.holds = r.few[:0]
	for i := range d.Principals {
		p := &d.Principals[i]
		at := len(r.holds)
		k := key{p.Level, p.ID}
		for at > 0 && r.holds[at-1].key.compare(k) > 0 {
			at--
		}
		r.holds = append(r.holds, hold{})
		copy(r.holds[at+1:], r.holds[at:])
		r.holds[at] = hold{key: k, limits: &p.Limits}
	}
	l.lock(r.holds)
	granted, err := r.grant(&d)
	if err == nil {
		for i := range r.holds {
			r.holds[i].meter.charge(r.windows, granted)
		}
	}
	for i := range r.holds {
		r.holds[i].meter.mu.Unlock()
		r.holds[i].limits = nil // the demand's; not kept
	}
	if err != nil {
		l.refused.Add(1)
		return nil, err
	}
	r.reserved = granted
	r.left.Store(granted[Output])
	if err := l.record(r); err != nil {
		r.undo(counts{})
		return nil, err
	}
	l.granted.Add(1)
	l.open.Add(1)
	return r, nil
}

// check finds demands that make no sense.
func (d *Demand) check() error {
	n := len(d.Principals)
	if n == 0 || n > MaxPrincipals {
		return fmt.Errorf("%w: %d principals, want 1 to %d", ErrDemand, n, MaxPrincipals)
	}
	if d.Input < 0 || d.Output < 0 || d.Least < 0 || d.Least > d.Output {
		return fmt.Errorf("%w: tokens must not be negative, and the least not above what is asked for", ErrDemand)
	}
	for i, p := range d.Principals {
		if p.ID == "" || p.Level >= levelCount {
			return fmt.Errorf("%w: a principal has no id or no level", ErrDemand)
		}
		if len(p.ID) > maxID {
			return fmt.Errorf("%w: a principal's id is longer than %d bytes", ErrDemand, maxID)
		}
		for _, o := range d.Principals[:i] {
			if o.Level == p.Level && o.ID == p.ID {
				return fmt.Errorf("%w: a principal is named twice", ErrDemand)
			}
		}
	}
	return nil
}

// lock finds and locks the meters of holds, which are in the order of their keys. All callers lock in that order, so
// nobody waits in a circle.
func (l *Ledger) lock(holds []hold) {
	for i := range holds {
		h := &holds[i]
		for {
			h.meter = l.meter(h.key)
			h.meter.mu.Lock()
			if !h.meter.gone {
				break
			}
			h.meter.mu.Unlock()
		}
	}
}

// grant says how much of d all caps allow. The meters are locked.
func (r *Reservation) grant(d *Demand) (counts, error) {
	wanted := counts{1, d.Input, d.Output}
	ask := wanted
	least := d.Least
	if least == 0 {
		least = d.Output
	}
	for i := range r.holds {
		h := &r.holds[i]
		for p := range periodCount {
			s := h.meter.at(p, r.windows[p])
			if s == nil {
				return ask, ErrClock
			}
			caps := h.limits.of(p)
			for m := range measureCount {
				left := max(0, caps[m]-s.used[m])
				if caps[m] == Unlimited || ask[m] <= left {
					continue
				}
				if m == Output && left >= least && left > 0 {
					ask[m] = left
					continue
				}
				return ask, &Exceeded{Level: h.key.level, Period: p, Measure: m, Cap: caps[m], Left: left, Asked: wanted[m], Reset: p.end(r.windows[p])}
			}
		}
	}
	return ask, nil
}

func (l *Limits) of(p Period) counts {
	if p == Month {
		return l.Month.counts()
	}
	return l.Day.counts()
}

// Standing is how much of one cap is left.
type Standing struct {
	Cap   int64 // Unlimited for none
	Left  int64 // what is neither spent nor reserved; never negative
	Reset time.Time
}

// Standing returns what is left to p in the period that now lies in, by measure.
func (l *Ledger) Standing(now time.Time, p Principal, period Period) (standing [3]Standing) {
	w := windowsOf(now)[period]
	caps := p.Limits.of(period)
	var used counts
	k := key{p.Level, p.ID}
	s := l.shard(k)
	s.mu.RLock()
	m := s.meters[k]
	s.mu.RUnlock()
	if m != nil {
		m.mu.Lock()
		if s := m.find(period, w); s != nil {
			used = s.used
		}
		m.mu.Unlock()
	}
	for i := range standing {
		standing[i] = Standing{Cap: caps[i], Left: max(0, caps[i]-used[i]), Reset: period.end(w)}
		if caps[i] == Unlimited {
			standing[i].Left = Unlimited
		}
	}
	return standing
}

// Used returns what p has drawn and reserved in the period that now lies in.
func (l *Ledger) Used(now time.Time, level Level, id string, period Period) Amount {
	m := l.meter(key{level, id})
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.find(period, windowsOf(now)[period]); s != nil {
		return s.used.amount()
	}
	return Amount{}
}

// Sweep forgets principals that were last charged before the month and the day that precede those of now, and returns
// how many. Call it every hour or so.
func (l *Ledger) Sweep(now time.Time) (swept int) {
	w := windowsOf(now)
	if f := l.fleet; f != nil { // what a portion was drawn for goes with the portion
		f.mu.Lock()
		defer f.mu.Unlock()
		maps.DeleteFunc(f.held, func(k portionKey, _ *portion) bool { return k.window < w[k.period]-1 })
	}
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		for k, m := range s.meters {
			// A request that holds this meter may wait for this very shard to find its next one, so do not wait for it:
			// what is in use is not old.
			if !m.mu.TryLock() {
				continue
			}
			if m.past(w) {
				m.gone = true
				delete(s.meters, k)
				swept++
			}
			m.mu.Unlock()
		}
		s.mu.Unlock()
	}
	return swept
}

// past reports whether all that is kept lies before the windows that precede w. The caller holds the lock.
func (m *meter) past(w windows) bool {
	for p := range m.slots {
		for _, s := range m.slots[p] {
			if s.window >= w[p]-1 {
				return false
			}
		}
	}
	return true
}

// Stats are counts since the ledger was made.
type Stats struct {
	Principals int   // kept now
	Open       int64 // reservations not yet ended
	Granted    int64
	Refused    int64
	Overdrawn  int64 // tokens that settled usage exceeded its reservation by
}

// Stats returns the ledger's counts.
func (l *Ledger) Stats() Stats {
	s := Stats{Open: l.open.Load(), Granted: l.granted.Load(), Refused: l.refused.Load(), Overdrawn: l.overdrawn.Load()}
	for i := range l.shards {
		l.shards[i].mu.RLock()
		s.Principals += len(l.shards[i].meters)
		l.shards[i].mu.RUnlock()
	}
	return s
}
