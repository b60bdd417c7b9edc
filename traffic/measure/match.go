package measure

import (
	"slices"

	"github.com/palladium-guard/palladium"
)

// groupSet is a set of phrase groups of the rule file.
type groupSet [maxGroups / 64]uint64

func (g *groupSet) has(i uint16) bool { return g[i>>6]>>(i&63)&1 != 0 }

// matcher finds all phrases in one pass over a text's words. A phrase is entered under the hash of each pair of words
// with which it can begin (or of one word, where a gap or nothing follows); two bitmaps, each over 16 other bits of that
// hash, turn nearly all other positions away.
type matcher struct {
	filter  [2][1024]uint64
	entries []phraseEntry // open addressing by key; key zero is free
	nodes   []phraseNode
	phrases []phrase
	rules   []compiledRule
	single  bool // some phrase is entered under one word
}

// phraseEntry leads to the list of phrases with one key.
type phraseEntry struct {
	key   uint64
	first int32
}

type phraseNode struct{ phrase, next int32 } // next is -1 at the end

type phrase struct {
	parts []keyedPart
	group uint16
}

// keyedPart is a part with its words hashed; one without alternatives is a gap.
type keyedPart [][]uint64

type compiledRule struct {
	class  palladium.CueSet
	all    []uint16
	unless int32 // group, or -1
}

// compile enters the phrases under m's key.
func (c *matcher) compile(m *Meter, cues *Cues) {
	c.entries = make([]phraseEntry, 1)
	if cues == nil {
		return
	}
	var keys []uint64
	group := uint16(0)
	enter := func(phrases [][]part) {
		for _, p := range phrases {
			parts := m.keyedParts(p)
			begin := openings(nil, parts, nil)
			for _, words := range begin {
				key := words[0]
				if len(words) > 1 {
					key = m.pair(words[0], words[1])
				} else {
					c.single = true
				}
				keys = append(keys, key)
				c.nodes = append(c.nodes, phraseNode{phrase: int32(len(c.phrases))})
			}
			c.phrases = append(c.phrases, phrase{parts: parts, group: group})
		}
		group++
	}
	for _, r := range cues.rules {
		rule := compiledRule{class: r.class, unless: -1}
		for _, g := range r.all {
			rule.all = append(rule.all, group)
			enter(g)
		}
		if len(r.unless) > 0 {
			rule.unless = int32(group)
			enter(r.unless)
		}
		c.rules = append(c.rules, rule)
	}
	for len(c.entries) < 4*len(keys) {
		c.entries = make([]phraseEntry, 2*len(c.entries))
	}
	for i, k := range keys {
		e := c.find(k)
		c.nodes[i].next = -1
		if e.key == k {
			c.nodes[i].next = e.first
		}
		e.key, e.first = k, int32(i)
		c.filter[0][k>>54] |= 1 << (k >> 48 & 63)
		c.filter[1][k>>38&1023] |= 1 << (k >> 32 & 63)
	}
}

// keyedParts hashes the words of a phrase. Gaps at either end mean nothing and are left out.
func (m *Meter) keyedParts(p []part) []keyedPart {
	var out []keyedPart
	for _, x := range p {
		if x.gap {
			if len(out) > 0 && out[len(out)-1] != nil {
				out = append(out, nil)
			}
			continue
		}
		var alts keyedPart
		words := 0
		for _, a := range x.alts {
			alts = append(alts, m.tokens(a))
			words += len(alts[len(alts)-1])
		}
		if words > 0 {
			out = append(out, alts)
		}
	}
	if n := len(out); n > 0 && out[n-1] == nil {
		out = out[:n-1]
	}
	return out
}

// openings appends to out the one or two words with which a phrase can begin after the words so far.
func openings(out [][]uint64, p []keyedPart, so []uint64) [][]uint64 {
	switch {
	case len(so) >= 2:
		return append(out, so[:2])
	case len(so) > 0 && (len(p) == 0 || p[0] == nil):
		return append(out, so)
	case len(p) == 0:
		return out
	case p[0] == nil:
		return openings(out, p[1:], so)
	}
	for _, a := range p[0] {
		out = openings(out, p[1:], append(so[:len(so):len(so)], a...))
	}
	return out
}

// find returns the entry of key, or the free one where it belongs.
func (c *matcher) find(key uint64) *phraseEntry {
	mask := uint64(len(c.entries) - 1)
	for i := key & mask; ; i = (i + 1) & mask {
		if e := &c.entries[i]; e.key == key || e.key == 0 {
			return e
		}
	}
}

// match adds to met the groups with a phrase in the text of words w and pairs p.
func (c *matcher) match(w, p []uint64, met *groupSet) {
	for i, k := range p[:max(0, len(w)-1)] {
		if c.may(k) {
			c.try(k, w[i:], met)
		}
	}
	if !c.single {
		return
	}
	for i, k := range w {
		if c.may(k) {
			c.try(k, w[i:], met)
		}
	}
}

// may reports whether some phrase is entered under key k; rarely it does so in vain.
func (c *matcher) may(k uint64) bool {
	return c.filter[0][k>>54]>>(k>>48&63)&(c.filter[1][k>>38&1023]>>(k>>32&63))&1 != 0
}

// try compares the phrases of key with the text from w on.
func (c *matcher) try(key uint64, w []uint64, met *groupSet) {
	e := c.find(key)
	if e.key != key {
		return
	}
	for i := e.first; i >= 0; i = c.nodes[i].next {
		if p := &c.phrases[c.nodes[i].phrase]; !met.has(p.group) && starts(w, p.parts) {
			met[p.group>>6] |= 1 << (p.group & 63)
		}
	}
}

// starts reports whether w begins with the phrase p.
func starts(w []uint64, p []keyedPart) bool {
	if len(p) == 0 {
		return true
	}
	if p[0] == nil {
		for gap := 0; gap <= min(cueGap, len(w)); gap++ {
			if starts(w[gap:], p[1:]) {
				return true
			}
		}
		return false
	}
	for _, a := range p[0] {
		if len(a) <= len(w) && slices.Equal(w[:len(a)], a) && starts(w[len(a):], p[1:]) {
			return true
		}
	}
	return false
}

// judge returns the classes of the rules that the groups met satisfy.
func (c *matcher) judge(met *groupSet) palladium.CueSet {
	if *met == (groupSet{}) {
		return 0
	}
	var out palladium.CueSet
rules:
	for i := range c.rules {
		r := &c.rules[i]
		if out&r.class != 0 || r.unless >= 0 && met.has(uint16(r.unless)) {
			continue
		}
		for _, g := range r.all {
			if !met.has(g) {
				continue rules
			}
		}
		out |= r.class
	}
	return out
}
