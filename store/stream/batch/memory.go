package batch

import (
	"cmp"
	"encoding/binary"
	"errors"
	"slices"
)

// Memory is what a reader knows of publishers, so that it hands on each batch once: of each, the latest number and which
// of those before it came. It holds the publishers heard of last, 4,096 of them. The zero Memory knows nothing.
type Memory struct {
	latest Head // without its source
	clock  uint64
	seen   map[uint64]*heard
}

// heard is one publisher.
type heard struct {
	high uint64         // highest number that came
	bits [behind]uint64 // which of high, high-1, … came; more of them than a publisher has under way
	last uint64         // when it was heard of last, by the memory's clock
}

const (
	behind     = 4
	mostHeard  = 4096
	memoryForm = 1
)

// Latest is the head of the batch that was added last, without its source; the zero Head when there was none, or when one
// was passed over since.
func (m *Memory) Latest() Head { return m.latest }

// Pass notes that a batch was passed over whose head cannot be read: no batch is known to be the latest.
func (m *Memory) Pass() { m.latest = Head{} }

// Add notes a batch; false when it came before, or so long ago that it must have.
func (m *Memory) Add(h Head) bool {
	m.clock++
	m.latest = Head{Instance: h.Instance, Number: h.Number}
	if h.Instance == 0 {
		return true // not of a publisher: there is nothing to tell it by
	}
	p := m.seen[h.Instance]
	if p == nil {
		if m.seen == nil {
			m.seen = make(map[uint64]*heard)
		}
		if len(m.seen) >= mostHeard {
			m.forget()
		}
		// What came before is not known: a reader may begin anywhere.
		p = &heard{high: h.Number}
		p.bits[0] = 1
		p.last = m.clock
		m.seen[h.Instance] = p
		return true
	}
	p.last = m.clock
	if h.Number > p.high {
		p.shift(h.Number - p.high)
		p.high = h.Number
		p.bits[0] |= 1
		return true
	}
	back := p.high - h.Number
	if back >= behind*64 {
		return false
	}
	word, bit := back/64, uint64(1)<<(back%64)
	if p.bits[word]&bit != 0 {
		return false
	}
	p.bits[word] |= bit
	return true
}

// shift moves all bits n places towards the past.
func (p *heard) shift(n uint64) {
	if n >= behind*64 {
		p.bits = [behind]uint64{}
		return
	}
	words, bits := int(n/64), n%64
	for i := behind - 1; i >= 0; i-- {
		var v uint64
		if j := i - words; j >= 0 {
			v = p.bits[j] << bits
			if bits > 0 && j > 0 {
				v |= p.bits[j-1] >> (64 - bits)
			}
		}
		p.bits[i] = v
	}
}

// forget drops the quarter that was heard of longest ago.
func (m *Memory) forget() {
	ids := m.ids()
	for _, id := range ids[:len(ids)/4] {
		delete(m.seen, id)
	}
}

// ids lists publishers, the one heard of longest ago first.
func (m *Memory) ids() []uint64 {
	ids := make([]uint64, 0, len(m.seen))
	for id := range m.seen {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b uint64) int { return cmp.Compare(m.seen[a].last, m.seen[b].last) })
	return ids
}

// MarshalBinary returns m as bytes: a format byte, the latest batch, and 48 bytes a publisher, all little endian.
func (m *Memory) MarshalBinary() ([]byte, error) {
	b := []byte{memoryForm}
	b = binary.LittleEndian.AppendUint64(b, m.latest.Instance)
	b = binary.LittleEndian.AppendUint64(b, m.latest.Number)
	for _, id := range m.ids() {
		p := m.seen[id]
		b = binary.LittleEndian.AppendUint64(b, id)
		b = binary.LittleEndian.AppendUint64(b, p.high)
		for _, w := range p.bits {
			b = binary.LittleEndian.AppendUint64(b, w)
		}
	}
	return b, nil
}

// UnmarshalBinary replaces m by what MarshalBinary has returned.
func (m *Memory) UnmarshalBinary(b []byte) error {
	const each = 8 * (2 + behind)
	if len(b) < 17 || b[0] != memoryForm || (len(b)-17)%each != 0 || (len(b)-17)/each > mostHeard {
		return errors.New("read the memory of publishers: it is damaged or of another build")
	}
	*m = Memory{seen: make(map[uint64]*heard)}
	m.latest.Instance = binary.LittleEndian.Uint64(b[1:])
	m.latest.Number = binary.LittleEndian.Uint64(b[9:])
	for b = b[17:]; len(b) > 0; b = b[each:] {
		m.clock++
		p := &heard{high: binary.LittleEndian.Uint64(b[8:]), last: m.clock}
		for i := range p.bits {
			p.bits[i] = binary.LittleEndian.Uint64(b[16+8*i:])
		}
		m.seen[binary.LittleEndian.Uint64(b)] = p
	}
	return nil
}
