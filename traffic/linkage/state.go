package linkage

import (
	"errors"
	"fmt"
	"io"
	"math/bits"

	"github.com/zeebo/xxh3"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/snapshot"
)

// errState is wrapped by Load's errors about a stream that no Index has written.
var errState = errors.New("the kept links contradict themselves")

// kept lists the fields that a snapshot leaves out: what options set, what is rebuilt from the rest, and scratch.
func kept() []string {
	return []string{"Index.opt", "Index.ids", "Index.table0", "Index.topical", "Index.chosen", "Index.touched", "table.slots", "topics.work"}
}

// Layout identifies what Save writes: a stream can be loaded where Layout is what it was when it was saved.
func Layout() string { return snapshot.Fingerprint(new(Index), kept()...) }

// Tokens returns how many numbers tokens have: all are below it.
func (x *Index) Tokens() int { return len(x.table.tokens) }

// Save writes the whole index to w. It takes no copy of it.
func (x *Index) Save(w io.Writer) error {
	if err := snapshot.Write(w, x, kept()...); err != nil {
		return fmt.Errorf("save the links: %w", err)
	}
	return nil
}

// Load reads an index that Save wrote. opt must hold the hash and the switched-off families of the saved one; its
// RecallBits give way to what was saved. The caller vouches for the stream with a checksum: Load refuses what would
// make the index fail later, not what is merely false.
func Load(r io.Reader, opt Options) (*Index, error) {
	small := opt
	small.RecallBits = 4 // what was saved takes its place
	x := New(small)
	x.opt = opt
	if err := snapshot.Read(r, x, kept()...); err != nil {
		return nil, fmt.Errorf("load the links: %w", err)
	}
	if err := x.check(); err != nil {
		return nil, fmt.Errorf("load the links: %w", err)
	}
	for a, id := range x.names {
		h := xxh3.HashString(id)
		if _, ok := x.ids.find(h); ok {
			return nil, fmt.Errorf("load the links: %w: an account is there twice", errState)
		}
		x.ids.add(h, uint32(a))
	}
	x.table.rebuild()
	return x, nil
}

// rebuild fills the slots with the tokens that somebody holds.
func (t *table) rebuild() {
	t.used = 0
	for i := range t.tokens {
		if t.tokens[i].Holders > 0 {
			t.used++
		}
	}
	n := 1 << 12
	for t.used*4 > n*3 {
		n *= 2
	}
	t.slots = make([]uint32, n)
	mask := uint64(n - 1)
	for i := range t.tokens {
		if t.tokens[i].Holders == 0 {
			continue
		}
		at := t.tokens[i].Hash & mask
		for t.slots[at] != 0 {
			at = (at + 1) & mask
		}
		t.slots[at] = uint32(i) + 1
	}
}

// check finds numbers that point nowhere.
func (x *Index) check() error {
	accounts, tokens := len(x.names), len(x.table.tokens)
	u := &x.partners
	if len(x.slabs) != (accounts+slabSize-1)>>slabBits || len(u.up) != accounts || len(u.next) != accounts || len(u.size) != accounts {
		return fmt.Errorf("%w: the number of accounts", errState)
	}
	for _, s := range x.slabs {
		if s == nil {
			return fmt.Errorf("%w: missing profiles", errState)
		}
	}
	within := func(list []uint32, n int) bool {
		for _, v := range list {
			if int64(v) >= int64(n) {
				return false
			}
		}
		return true
	}
	if !within(u.up, accounts) || !within(u.next, accounts) || !within(x.moved, accounts) || !within(x.sample.accounts, accounts) ||
		!within(x.dirty, tokens) || !within(x.table.free, tokens) || len(x.sample.accounts) > reservoirSize {
		return fmt.Errorf("%w: a list", errState)
	}
	edge := func(n uint32) bool { return n == palladium.NoToken || int64(n) < int64(accounts)*palladium.EdgeCount }
	for i := range x.table.tokens {
		if t := &x.table.tokens[i]; !edge(t.Head) || int(t.Kind) >= palladium.KindCount || t.Holders > 0 && t.Head == palladium.NoToken {
			return fmt.Errorf("%w: a token", errState)
		}
	}
	for a := range accounts {
		for _, e := range &x.Profile(uint32(a)).Edges {
			if e.Token != palladium.NoToken && (int64(e.Token) >= int64(tokens) || !edge(e.Prev) || !edge(e.Next)) {
				return fmt.Errorf("%w: an edge", errState)
			}
		}
	}
	for _, r := range []*recall{&x.shingles, &x.prompts, &x.chains, &x.answers, &x.limited} {
		n := len(r.slots)
		if n < 16 || bits.OnesCount(uint(n)) != 1 || r.mask != uint64(n-1)&^3 {
			return fmt.Errorf("%w: a memory", errState)
		}
		for i := range r.slots {
			if int(r.slots[i].owner) >= accounts && r.slots[i].count > 0 {
				return fmt.Errorf("%w: an owner", errState)
			}
		}
	}
	if n := len(x.topic.terms); n != 0 && n != termSpace || len(x.topic.cells) > cellLimit {
		return fmt.Errorf("%w: topics", errState)
	}
	return nil
}
