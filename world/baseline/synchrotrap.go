package baseline

import (
	"slices"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/graph"
)

// Constants of SynchroTrap. The paper gives the form of the rule and leaves the figures to the operator.
const (
	SynchroSimilarity = 0.5 // least Jaccard similarity of two linked accounts
	SynchroActions    = 5   // least number of actions that the two share: the paper asks for sustained synchrony
)

// SynchroTrap links accounts that do the same at the same time, again and again. Source: Cao, Yang, Yu, Palow,
// "Uncovering large groups of active malicious accounts in online social networks", CCS 2014. An action is an account,
// an hour and a constraint: the address that it came from, the exact prompt, or the exact system prompt. For each kind
// of constraint k the similarity of accounts i and j is |A_i^k ∩ A_j^k| / |A_i^k ∪ A_j^k|, and over all kinds it is
// the sum of the intersections over the sum of the unions. Pairs at SynchroSimilarity or above, in one kind or over
// all, are linked; components of at least MinComponent accounts are flagged.
//
// Two simplifications, both stated with the results: time is cut into hours of the clock, where the paper slides
// windows of T_sim = 1 h; and constraints are dropped when more than Popular accounts met others on them.
type SynchroTrap struct {
	roll    roll
	actions [][kinds]uint32 // distinct actions of each account
	hour    int64
	now     [kinds]map[action]struct{} // of the current hour
	groups  []meeting
	members []uint32
	popular map[constraint]bool
	scratch []grouped
}

const (
	byAddress = iota
	byPrompt
	bySystem
	kinds
)

type action struct {
	on      uint64
	account uint32
}

type constraint struct {
	kind int
	on   uint64
}

// meeting is two accounts or more that acted on one constraint in one hour; members[from:to] are they, ascending.
type meeting struct {
	constraint
	from, to int
}

type grouped struct {
	on      uint64
	account uint32
}

// NewSynchroTrap returns one without actions.
func NewSynchroTrap() *SynchroTrap {
	s := &SynchroTrap{roll: newRoll(), popular: map[constraint]bool{}}
	for k := range s.now {
		s.now[k] = map[action]struct{}{}
	}
	return s
}

// Name implements Baseline.
func (s *SynchroTrap) Name() string { return "SynchroTrap" }

// Account implements Baseline. What is known of an account is no action.
func (s *SynchroTrap) Account(*palladium.Account) {}

// Observe implements Baseline. A request that comes late, from the hour before, counts for the current hour.
func (s *SynchroTrap) Observe(o *palladium.Observation, _ *palladium.Exchange) {
	if h := o.Time / hourMillis; h > s.hour {
		s.close()
		s.hour = h
	}
	n, fresh := s.roll.of(o.Account)
	if fresh {
		s.actions = append(s.actions, [kinds]uint32{})
	}
	for k, on := range [kinds]uint64{o.IP, o.Prompt, o.System} {
		if on == 0 {
			continue
		}
		a := action{on, n}
		if _, met := s.now[k][a]; !met {
			s.now[k][a] = struct{}{}
			s.actions[n][k]++
		}
	}
}

// close files the meetings of the current hour. Actions that nobody shared are kept as a count only.
func (s *SynchroTrap) close() {
	for k := range s.now {
		list := s.scratch[:0]
		for a := range s.now[k] {
			list = append(list, grouped(a))
		}
		clear(s.now[k])
		slices.SortFunc(list, func(a, b grouped) int {
			switch {
			case a.on != b.on && a.on < b.on, a.on == b.on && a.account < b.account:
				return -1
			case a == b:
				return 0
			}
			return 1
		})
		for i := 0; i < len(list); {
			j := i
			for j < len(list) && list[j].on == list[i].on {
				j++
			}
			s.file(constraint{k, list[i].on}, list[i:j])
			i = j
		}
		s.scratch = list
	}
}

func (s *SynchroTrap) file(c constraint, list []grouped) {
	if len(list) < 2 {
		return
	}
	if len(list) > Popular || s.popular[c] {
		s.popular[c] = true
		for _, g := range list { // what is dropped is no action
			s.actions[g.account][c.kind]--
		}
		return
	}
	from := len(s.members)
	for _, g := range list {
		s.members = append(s.members, g.account)
	}
	s.groups = append(s.groups, meeting{c, from, len(s.members)})
}

// Flagged implements Baseline.
func (s *SynchroTrap) Flagged() map[string]bool {
	s.close()
	s.dropPopular()
	n := len(s.roll.names)
	start := make([]uint32, n+1) // of each account in at
	for _, m := range s.members {
		start[m+1]++
	}
	for i := range n {
		start[i+1] += start[i]
	}
	at, fill := make([]uint32, len(s.members)), slices.Clone(start[:n])
	for g := range s.groups {
		for _, m := range s.members[s.groups[g].from:s.groups[g].to] {
			at[fill[m]] = uint32(g)
			fill[m]++
		}
	}
	u := graph.NewUnionFind(n)
	shared := make([][kinds]uint32, n) // with the account looked at
	var touched []uint32
	for i := range uint32(n) {
		for _, g := range at[start[i]:start[i+1]] {
			group := &s.groups[g]
			list := s.members[group.from:group.to]
			pos, _ := slices.BinarySearch(list, i)
			for _, j := range list[pos+1:] {
				if shared[j] == [kinds]uint32{} {
					touched = append(touched, j)
				}
				shared[j][group.kind]++
			}
		}
		for _, j := range touched {
			if synchronous(&s.actions[i], &s.actions[j], &shared[j]) {
				u.Union(i, j)
			}
			shared[j] = [kinds]uint32{}
		}
		touched = touched[:0]
	}
	return s.roll.inComponents(u)
}

// synchronous applies the rule to two accounts with actions a and b, of which they share some.
func synchronous(a, b, shared *[kinds]uint32) bool {
	both, either := uint32(0), uint32(0)
	for k, n := range shared {
		union := a[k] + b[k] - n
		if n >= SynchroActions && float64(n) >= SynchroSimilarity*float64(union) {
			return true
		}
		both, either = both+n, either+union
	}
	return both >= SynchroActions && float64(both) >= SynchroSimilarity*float64(either)
}

// dropPopular forgets the meetings on constraints on which more than Popular accounts met.
func (s *SynchroTrap) dropPopular() {
	order := make([]int, len(s.groups))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		x, y := s.groups[a].constraint, s.groups[b].constraint
		switch {
		case x.kind != y.kind:
			return x.kind - y.kind
		case x.on < y.on:
			return -1
		case x.on > y.on:
			return 1
		}
		return a - b
	})
	var who []uint32
	for i := 0; i < len(order); {
		c := s.groups[order[i]].constraint
		who = who[:0]
		j := i
		for ; j < len(order) && s.groups[order[j]].constraint == c; j++ {
			m := s.groups[order[j]]
			who = append(who, s.members[m.from:m.to]...)
		}
		slices.Sort(who)
		if s.popular[c] || len(slices.Compact(who)) > Popular {
			s.popular[c] = true
		}
		i = j
	}
	s.keepMeetings(func(m *meeting) bool { return !s.popular[m.constraint] })
}

// keepMeetings drops the meetings that keep refuses, and their actions.
func (s *SynchroTrap) keepMeetings(keep func(*meeting) bool) {
	members, groups := s.members[:0], s.groups[:0]
	for _, g := range s.groups {
		list := s.members[g.from:g.to]
		if !keep(&g) {
			for _, m := range list {
				s.actions[m][g.kind]--
			}
			continue
		}
		from := len(members)
		members = append(members, list...)
		groups = append(groups, meeting{g.constraint, from, len(members)})
	}
	s.members, s.groups = members, groups
}
