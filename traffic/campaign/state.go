package campaign

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/palladium-guard/palladium/internal/snapshot"
)

// errState is wrapped by Load's errors about a stream that no Tracker has written.
var errState = errors.New("the kept groups contradict themselves")

// kept lists the fields that a snapshot leaves out: what options set, what is rebuilt from the rest, and scratch that
// no look at the accounts carries over to the next one.
func kept() []string {
	return []string{"Tracker.opt", "Tracker.without", "Tracker.owner", "Tracker.refsOn", "Tracker.wanted", "Tracker.rng", "Tracker.search", "Tracker.bg", "Tracker.fitPool", "Tracker.scratch"}
}

// Layout identifies what Save writes: a stream can be loaded where Layout is what it was when it was saved.
func Layout() string { return snapshot.Fingerprint(new(Tracker), kept()...) }

// Save writes the groups, and where the random numbers stand, to w.
func (t *Tracker) Save(w io.Writer) error {
	if err := snapshot.Write(w, t, kept()...); err != nil {
		return fmt.Errorf("save the groups: %w", err)
	}
	return nil
}

// Load reads a tracker that Save wrote, over a population of the given numbers of accounts and tokens. opt must be as
// it was, but for the weights within Extraction. The caller vouches for the stream with a checksum: Load refuses what would make the
// tracker fail later, not what is merely false.
func Load(r io.Reader, opt Options, accounts, tokens int) (*Tracker, error) {
	t := New(opt)
	if err := snapshot.Read(r, t, kept()...); err != nil {
		return nil, fmt.Errorf("load the groups: %w", err)
	}
	if t.pcg == nil {
		return nil, fmt.Errorf("load the groups: %w: no random numbers", errState)
	}
	features := len(t.opt.Extraction.Names())
	for i := range t.refs {
		if len(t.refs[i].Features) != features {
			return nil, fmt.Errorf("load the groups: %w: a reference", errState)
		}
	}
	for _, tok := range t.naturals {
		if int64(tok) >= int64(tokens) {
			return nil, fmt.Errorf("load the groups: %w: a token", errState)
		}
	}
	for _, g := range t.groups {
		if g == nil || len(g.weights) < len(g.members) || len(g.use.Features) != features {
			return nil, fmt.Errorf("load the groups: %w: a group", errState)
		}
		for _, a := range slices.Concat(g.extra, g.roster, g.guests, g.let, g.late) {
			if int64(a) >= int64(accounts) {
				return nil, fmt.Errorf("load the groups: %w: an account", errState)
			}
		}
		for tok := range g.model.Gain {
			if int64(tok) >= int64(tokens) {
				return nil, fmt.Errorf("load the groups: %w: a token", errState)
			}
		}
		for _, m := range g.members {
			if int64(m.account) >= int64(accounts) {
				return nil, fmt.Errorf("load the groups: %w: a member", errState)
			}
			t.owner[m.account] = g
		}
	}
	t.file()
	return t, nil
}
