package baseline

import (
	"slices"
	"strings"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/graph"
)

// Popular is the number of accounts beyond which a shared thing joins nobody: a network in one hour, or a constraint
// of SynchroTrap, whose authors drop the most popular objects without giving a figure.
const Popular = 500

// SharedAttribute flags connected components of at least MinComponent accounts that used one network (/24 or /48)
// within the same hour of the clock, or pay with one instrument. Networks that more than Popular accounts used in
// one hour are ignored.
type SharedAttribute struct {
	roll    roll
	union   graph.UnionFind
	payment map[string]uint32   // to an account that uses it
	nets    map[uint64][]uint32 // of the current hour: accounts, with repeats
	hour    int64
}

// NewSharedAttribute returns one without accounts.
func NewSharedAttribute() *SharedAttribute {
	return &SharedAttribute{roll: newRoll(), payment: map[string]uint32{}, nets: map[uint64][]uint32{}}
}

// Name implements Baseline.
func (s *SharedAttribute) Name() string { return "shared IP or payment" }

func (s *SharedAttribute) account(id string) uint32 {
	n, fresh := s.roll.of(id)
	if fresh {
		s.union.Add()
	}
	return n
}

// Account implements Baseline.
func (s *SharedAttribute) Account(a *palladium.Account) {
	n := s.account(a.ID)
	if a.Payment == "" {
		return
	}
	if other, ok := s.payment[a.Payment]; ok {
		s.union.Union(n, other)
		return
	}
	s.payment[strings.Clone(a.Payment)] = n
}

// Observe implements Baseline. A request that comes late, from the hour before, counts for the current hour.
func (s *SharedAttribute) Observe(o *palladium.Observation, _ *palladium.Exchange) {
	n := s.account(o.Account)
	if h := o.Time / hourMillis; h > s.hour {
		s.join()
		clear(s.nets)
		s.hour = h
	}
	if o.Net == 0 {
		return
	}
	if list := s.nets[o.Net]; len(list) == 0 || list[len(list)-1] != n {
		s.nets[o.Net] = append(list, n)
	}
}

// join unites the accounts that met in the current hour.
func (s *SharedAttribute) join() {
	for net, list := range s.nets {
		slices.Sort(list)
		list = slices.Compact(list)
		s.nets[net] = list
		if len(list) > Popular {
			continue
		}
		for _, n := range list[1:] {
			s.union.Union(list[0], n)
		}
	}
}

// Flagged implements Baseline.
func (s *SharedAttribute) Flagged() map[string]bool {
	s.join()
	return s.roll.inComponents(&s.union)
}
