package measure

import (
	"strings"

	"github.com/palladium-guard/palladium"
)

// groupSet is a set of phrase groups of the rule file.
type groupSet [maxGroups / 64]uint64

func (g *groupSet) has(i uint16) bool { return g[i>>6]>>(i&63)&1 != 0 }

// matcher finds all phrases in one pass over a text's words. A phrase is entered under the hash of its first two words
// (or of the first, when a gap or nothing follows); a bitmap over 16 bits of that hash turns most positions away.
type matcher struct {
	filter  [1024]uint64
	entries []phraseEntry // open addressing by key; key zero is free
	phrases []phrase
	rules   []compiledRule
	single  bool // some phrase is entered under one word
}

// phraseEntry leads to the chain of phrases with one key.
type phraseEntry struct {
	key   uint64
	first int32
}

type phrase struct {
	words []uint64 // zero is a gap of up to cueGap words
	group uint16
	next  int32 // of the same key, or -1
}

type compiledRule struct {
	class  palladium.CueSet
	all    []uint16
	unless int32 // group, or -1
}

// compile enters the phrases under m's key.
func (c *matcher) compile(m *Meter, cues *Cues) {
	c.entries = make([]phraseEntry, 16)
	if cues == nil {
		return
	}
	var keys []uint64
	group := uint16(0)
	enter := func(phrases []string) {
		for _, p := range phrases {
			if words := m.phraseWords(p); len(words) > 0 {
				c.phrases = append(c.phrases, phrase{words: words, group: group, next: -1})
				if len(words) > 1 && words[1] != 0 {
					keys = append(keys, m.pair(words[0], words[1]))
				} else {
					keys = append(keys, words[0])
					c.single = true
				}
			}
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
		c.phrases[i].next = -1
		if e.key == k {
			c.phrases[i].next = e.first
		}
		e.key, e.first = k, int32(i)
		c.filter[k>>54] |= 1 << (k >> 48 & 63)
	}
}

// phraseWords turns a phrase into word hashes with zero for a gap; gaps at either end mean nothing.
func (m *Meter) phraseWords(p string) []uint64 {
	var out []uint64
	for part := range strings.SplitSeq(p, "..") {
		words := m.tokens(part)
		if len(out) > 0 && len(words) > 0 {
			out = append(out, 0)
		}
		out = append(out, words...)
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
		if c.filter[k>>54]>>(k>>48&63)&1 != 0 {
			c.try(k, w[i:], met)
		}
	}
	if !c.single {
		return
	}
	for i, k := range w {
		if c.filter[k>>54]>>(k>>48&63)&1 != 0 {
			c.try(k, w[i:], met)
		}
	}
}

// try compares the phrases of key with the text from w on.
func (c *matcher) try(key uint64, w []uint64, met *groupSet) {
	e := c.find(key)
	if e.key != key {
		return
	}
	for i := e.first; i >= 0; i = c.phrases[i].next {
		if p := &c.phrases[i]; !met.has(p.group) && starts(w, p.words) {
			met[p.group>>6] |= 1 << (p.group & 63)
		}
	}
}

// starts reports whether w begins with the phrase p.
func starts(w, p []uint64) bool {
	for i, x := range p {
		if x == 0 {
			for gap := 0; gap <= cueGap && gap+i <= len(w); gap++ {
				if starts(w[i+gap:], p[i+1:]) {
					return true
				}
			}
			return false
		}
		if i == len(w) || w[i] != x {
			return false
		}
	}
	return true
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
