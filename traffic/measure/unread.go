package measure

import (
	"encoding/binary"
	"slices"

	"github.com/palladium-guard/palladium"
)

const (
	probeStep  = 16             // bytes between two looks at unread text
	probeBytes = probeStep + 8  // of an answer's passage that must stand there as they are
	probeMax   = 2 * MaxAnswers // passages looked for
	probeReach = 1 << 20        // bytes of unread text that are looked at
	probeSlots = 4 * 256        // of the table
	probeMask  = probeSlots - 1
	probeMul   = 0x9e3779b97f4a7c15
)

// probes finds passages of an answer in the parts of the request that were not turned into words. Each passage is
// entered under its first sixteen runs of eight bytes, so one look in sixteen bytes of the text cannot miss a copy.
// It compares raw bytes: a copy in other case or with other line breaks within these bytes goes unnoticed.
type probes struct {
	slots [probeSlots]probe
	from  [probeMax]uint32 // where in the answer the passage begins
	met   [probeMax]bool
	n     int
}

type probe struct {
	key          uint64
	passage, off uint8
	used         bool
}

// unread drops from fresh the passages that stand in an unread part of the request. at says where in the answer each
// passage begins. Only the probeMax smallest are looked at and can remain.
func (m *Meter) unread(e *palladium.Exchange, answer string, fresh []uint64, at []uint32) []uint64 {
	var buf [probeMax]uint64
	chosen := smallest(buf[:0], fresh, probeMax)
	p := &m.probes
	clear(p.slots[:])
	p.n = 0
	for _, h := range chosen {
		from := at[slices.Index(fresh, h)]
		p.from[p.n], p.met[p.n] = min(from, uint32(max(0, len(answer)-probeBytes))), false
		p.enter(answer, p.n)
		p.n++
	}
	reach := probeReach
	p.search(e.System, answer, false, &reach)
	for i := range e.Messages {
		p.search(e.Messages[i].Text, answer, i < m.within.oldest && i != m.within.lastAt, &reach)
	}
	out := fresh[:0]
	for i, h := range chosen {
		if !p.met[i] {
			out = append(out, h)
		}
	}
	return out
}

// enter adds a passage to the table.
func (p *probes) enter(answer string, passage int) {
	for off := range probeStep {
		i := int(p.from[passage]) + off
		if i+8 > len(answer) {
			return
		}
		key := load(answer, i)
		s := key * probeMul >> 54
		for p.slots[s].used {
			s = (s + 1) & probeMask
		}
		p.slots[s] = probe{key: key, passage: uint8(passage), off: uint8(off), used: true}
	}
}

// search marks the passages that stand in text: in all of it where whole, else in what lies between head and tail.
func (p *probes) search(text, answer string, whole bool, reach *int) {
	if !whole {
		if len(text) <= headBytes+tailBytes {
			return
		}
		head, tail := cut(text)
		text = text[head-probeBytes : tail+probeBytes]
	}
	text = text[:min(len(text), *reach)]
	*reach -= len(text)
	for i := 0; i+8 <= len(text); i += probeStep {
		key := load(text, i)
		for s := key * probeMul >> 54; p.slots[s].used; s = (s + 1) & probeMask {
			if x := &p.slots[s]; x.key == key && !p.met[x.passage] {
				from, start := int(p.from[x.passage]), i-int(x.off)
				if start >= 0 && start+probeBytes <= len(text) && from+probeBytes <= len(answer) &&
					text[start:start+probeBytes] == answer[from:from+probeBytes] {
					p.met[x.passage] = true
				}
			}
		}
	}
}

func load(s string, i int) uint64 {
	var b [8]byte
	copy(b[:], s[i:i+8])
	return binary.LittleEndian.Uint64(b[:])
}
