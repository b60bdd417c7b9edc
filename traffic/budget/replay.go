package budget

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"maps"
	"time"
)

// ErrRecord says that a journal record cannot be read.
var ErrRecord = errors.New("budget record is not valid")

// The operations of records. A record is the operation, then unsigned varints but for the windows, which are signed:
//
//	reserve  id, day, month, requests, input, output, count, then level, length and bytes of each principal's id
//	settle   id, requests, input, output
//	spent    level, length and bytes of the principal's id, then of four slots: window, requests, input, output
//	last     id: the last reservation that was made
//	lost     id: what is open up to it will never be settled, and counts as spent
const (
	opReserve = 1 + iota
	opSettle
	opSpent
	opLast
	opLost
)

const (
	recordRoom = 160 // bytes that most records fit in
	maxID      = 1024
)

// record writes r to the journal.
func (l *Ledger) record(r *Reservation) error {
	if l.journal == nil {
		return nil
	}
	r.id = l.next.Add(1) - 1
	var buf [recordRoom]byte
	position, err := l.journal.Append(appendReserve(buf[:0], r))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrJournal, err)
	}
	r.position = position
	return nil
}

func appendReserve(b []byte, r *Reservation) []byte {
	b = append(b, opReserve)
	b = binary.AppendUvarint(b, r.id)
	b = appendWindows(b, r.windows)
	b = appendCounts(b, r.reserved)
	b = binary.AppendUvarint(b, uint64(len(r.holds)))
	for i := range r.holds {
		b = appendKey(b, r.holds[i].key)
	}
	return b
}

func appendSettle(b []byte, id uint64, cost counts) []byte {
	b = append(b, opSettle)
	b = binary.AppendUvarint(b, id)
	return appendCounts(b, cost)
}

func appendWindows(b []byte, w windows) []byte {
	for _, v := range w {
		b = binary.AppendVarint(b, int64(v))
	}
	return b
}

func appendCounts(b []byte, c counts) []byte {
	for _, v := range c {
		b = binary.AppendUvarint(b, uint64(v))
	}
	return b
}

func appendKey(b []byte, k key) []byte {
	b = append(b, byte(k.level))
	b = binary.AppendUvarint(b, uint64(len(k.id)))
	return append(b, k.id...)
}

// Replay rebuilds what was drawn and reserved from the records of a journal, oldest first. It is for one goroutine.
type Replay struct {
	meters map[key]*meter
	open   map[uint64]*opened
	last   uint64
}

// opened is a reservation without a settlement.
type opened struct {
	windows  windows
	reserved counts
	keys     []key
}

// NewReplay returns an empty Replay.
func NewReplay() *Replay {
	return &Replay{meters: make(map[key]*meter), open: make(map[uint64]*opened)}
}

// Open returns the number of reservations without a settlement.
func (p *Replay) Open() int { return len(p.open) }

// Apply takes the next record. An error wraps ErrRecord and leaves p as it was.
func (p *Replay) Apply(record []byte) error {
	in := reader{rest: record}
	switch op := in.byte(); op {
	case opReserve:
		return p.reserve(&in)
	case opSettle:
		id, cost := in.uint(), in.counts()
		if err := in.end(); err != nil {
			return err
		}
		p.settle(id, cost)
	case opSpent:
		return p.spent(&in)
	case opLast:
		id := in.uint()
		if err := in.end(); err != nil {
			return err
		}
		p.last = max(p.last, id)
	case opLost:
		id := in.uint()
		if err := in.end(); err != nil {
			return err
		}
		maps.DeleteFunc(p.open, func(n uint64, _ *opened) bool { return n <= id })
	default:
		return fmt.Errorf("%w: operation %d", ErrRecord, op)
	}
	return nil
}

func (p *Replay) reserve(in *reader) error {
	id, o := in.uint(), &opened{windows: in.windows(), reserved: in.counts()}
	n := in.uint()
	if n == 0 || n > MaxPrincipals {
		return fmt.Errorf("%w: %d principals", ErrRecord, n)
	}
	for range n {
		o.keys = append(o.keys, in.key())
	}
	if err := in.end(); err != nil {
		return err
	}
	if p.open[id] != nil {
		return fmt.Errorf("%w: reservation %d is made twice", ErrRecord, id)
	}
	p.last = max(p.last, id)
	p.open[id] = o
	for _, k := range o.keys {
		m := p.meter(k)
		for period, w := range o.windows {
			m.at(Period(period), w)
		}
		m.charge(o.windows, o.reserved)
	}
	return nil
}

// settle replaces a reservation by its cost. One that is not known was settled before.
func (p *Replay) settle(id uint64, cost counts) {
	o := p.open[id]
	if o == nil {
		return
	}
	delete(p.open, id)
	diff := cost.minus(o.reserved)
	for _, k := range o.keys {
		p.meter(k).charge(o.windows, diff)
	}
}

func (p *Replay) spent(in *reader) error {
	k, m := in.key(), newMeter()
	for period := range m.slots {
		for i := range m.slots[period] {
			m.slots[period][i] = slot{window: in.window(), used: in.counts()}
		}
	}
	if err := in.end(); err != nil {
		return err
	}
	p.meters[k] = m
	return nil
}

func (p *Replay) meter(k key) *meter {
	m := p.meters[k]
	if m == nil {
		m = newMeter()
		p.meters[k] = m
	}
	return m
}

// Forget drops principals that were last charged before the month and the day that precede those of now.
func (p *Replay) Forget(now time.Time) {
	w := windowsOf(now)
	held := p.held()
	maps.DeleteFunc(p.meters, func(k key, m *meter) bool { return held[k] == nil && m.past(w) })
}

// Records yields records that rebuild p from nothing: they can take the place of all that were applied. A record is
// valid until the next one.
func (p *Replay) Records() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		b := binary.AppendUvarint([]byte{opLast}, p.last)
		if !yield(b) {
			return
		}
		held := p.held()
		for k, m := range p.meters {
			b = appendKey(append(b[:0], opSpent), k)
			held := held[k]
			for period := range m.slots {
				for i := range m.slots[period] {
					s := m.slots[period][i]
					if held != nil {
						s.used.add(counts{}.minus(held[period][i]))
					}
					b = binary.AppendVarint(b, int64(s.window))
					b = appendCounts(b, s.used)
				}
			}
			if !yield(b) {
				return
			}
		}
		for id, o := range p.open {
			r := Reservation{id: id, windows: o.windows, reserved: o.reserved}
			for _, k := range o.keys {
				r.holds = append(r.holds, hold{key: k})
			}
			b = appendReserve(b[:0], &r)
			if !yield(b) {
				return
			}
		}
	}
}

// held sums what open reservations hold in each slot, so that a spent record can leave it out.
func (p *Replay) held() map[key]*[periodCount][2]counts {
	out := make(map[key]*[periodCount][2]counts)
	for _, o := range p.open {
		for _, k := range o.keys {
			m, sum := p.meters[k], out[k]
			if sum == nil {
				sum = new([periodCount][2]counts)
				out[k] = sum
			}
			for period, w := range o.windows {
				for i := range m.slots[period] {
					if m.slots[period][i].window == w {
						sum[period][i].add(o.reserved)
					}
				}
			}
		}
	}
	return out
}

// reader takes a record apart. After a mistake it returns zeros and end tells.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) byte() byte {
	if len(r.rest) == 0 {
		r.bad = true
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) window() int32 {
	v, n := binary.Varint(r.rest)
	if n <= 0 || v != int64(int32(v)) {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return int32(v)
}

func (r *reader) windows() (w windows) {
	for i := range w {
		w[i] = r.window()
	}
	return w
}

func (r *reader) counts() (c counts) {
	for i := range c {
		v := r.uint()
		if v > uint64(Unlimited) {
			r.bad = true
		}
		c[i] = int64(v & uint64(Unlimited))
	}
	return c
}

func (r *reader) key() key {
	level, n := Level(r.byte()), r.uint()
	if level >= levelCount || n == 0 || n > maxID || n > uint64(len(r.rest)) {
		r.bad, r.rest = true, nil
		return key{}
	}
	id := string(r.rest[:n])
	r.rest = r.rest[n:]
	return key{level, id}
}

func (r *reader) end() error {
	if r.bad || len(r.rest) > 0 {
		return fmt.Errorf("%w: it ends too early, or goes on too long, or holds a number out of range", ErrRecord)
	}
	return nil
}
