// Package collision tells from samples of what sources sent how the items were drawn: each source for itself from one
// list, or dealt out of one queue. It knows nothing of the product.
//
// A source's sample are the items with the smallest hashes, so that samples of two sources that sent the same item tend to
// hold it both (Broder 1997, bottom-k sketches). An item of None is an empty place.
package collision

import (
	"cmp"
	"math"
	"slices"
)

// None is no item.
const None = math.MaxUint32

// List is what collisions say of the list that sources draw on.
type List struct {
	Inside float64 // pairs of the sources that sent the same item
	Expect float64 // pairs that the collisions with other sources let expect among strangers
	Users  int     // other sources that sent three of the items or more
	Public bool    // the sources collide as those do that draw for themselves on a list that others use as well
}

// leastUsers is the least number of other sources that make a list public, likeness the least share of the expected
// collisions that strangers have, and tellingTriples the least expected number of triples that says anything.
const (
	leastUsers     = 3
	likeness       = 0.35
	tellingTriples = 5
)

// Compare compares collisions among the sources of own with those between them and others. retried is how many items of
// own are expected to be a source's repeat of an item that another was refused: pairs that they explain are left out.
//
// Strangers collide by three as well as by two: with N items in the list and M sent, pairs number M^2/2N and triples
// M^3/6N^2. Two queues of one list give pairs, and no triples.
func Compare(own, others [][]uint32, retried float64) (l List) {
	count := map[uint32]int{}
	sent := 0.0
	for _, items := range own {
		for _, h := range items {
			if h != None {
				count[h]++
				sent++
			}
		}
	}
	var twos, more, triples float64
	for _, n := range count {
		if v := float64(n); n == 2 {
			twos++
		} else {
			more += v * (v - 1) / 2
			triples += v * (v - 1) * (v - 2) / 6
		}
	}
	l.Inside = twos + more
	outside := 0
	for _, items := range others {
		same := 0
		for _, h := range items {
			if n := count[h]; n > 0 {
				outside += n
				same++
			}
		}
		if same >= 3 {
			l.Users++
		}
	}
	if len(others) < 5 || outside < 3 {
		return l
	}
	l.Expect = float64(outside) / float64(len(others)) * float64(len(own)-1) / 2
	rate := 2 * l.Inside / max(sent, 1)
	byThree := sent * rate * rate / 6
	l.Public = l.Users >= leastUsers && l.Expect >= 2 && more+max(twos-retried, 0) >= likeness*l.Expect &&
		(byThree < tellingTriples || triples >= likeness*byThree)
	return l
}

// Dealt is the log p-value of no collision at all, half of what the expected number gives as that is an estimate.
func (l *List) Dealt() float64 {
	if l.Inside > 0 || l.Expect < 3 {
		return 0
	}
	return -l.Expect / 2
}

// crib and clean are the share of a source's items that two others sent as well: of those that use a list, at least, and
// of the rest of a set that does not, at most, on average. fewItems is the least number of items that shares are of.
const (
	crib     = 0.15
	clean    = 0.03
	fewItems = 8
)

// withLast adds the users who are left because those whom they collided with were taken out before them. Where they
// are many, the rest collide with the users by being dealt the same list, and none is added.
func withLast(sources [][]uint32, out []int, gone []bool) []int {
	count := map[uint32]int{}
	for _, i := range out {
		for _, h := range sources[i] {
			count[h]++
		}
	}
	all := slices.Clone(out)
	for i, items := range sources {
		kept, common := 0, 0
		for _, h := range items {
			if h != None {
				if kept++; count[h] >= 2 {
					common++
				}
			}
		}
		if !gone[i] && float64(common) >= crib*float64(max(kept, fewItems)) {
			all = append(all, i)
		}
	}
	if len(all)*2 <= 3*len(out) && len(all)*3 <= len(sources) {
		out = all
	}
	slices.Sort(out)
	return out
}

// Users returns the positions of a minority of sources that draw on one list among sources that do not: three or more, and
// a third at most. Those who collide most are taken out first, as the rest may collide with them too. When that does not
// leave a set without collisions, its sources are alike, and Users returns none.
func Users(sources [][]uint32) []int {
	count := map[uint32]int{}
	tally := func(items []uint32, by int) {
		for _, h := range items {
			if h != None {
				count[h] += by
			}
		}
	}
	for _, items := range sources {
		tally(items, 1)
	}
	share := func(items []uint32) float64 {
		kept, common := 0, 0
		for _, h := range items {
			if h != None {
				if kept++; count[h] >= 3 {
					common++
				}
			}
		}
		return float64(common) / float64(max(kept, fewItems))
	}
	type user struct {
		at    int
		share float64
	}
	gone, out := make([]bool, len(sources)), []int(nil)
	for len(out)*3 <= len(sources) {
		var users []user
		var sum float64
		for i, items := range sources {
			if !gone[i] {
				v := share(items)
				if sum += v; v >= crib {
					users = append(users, user{i, v})
				}
			}
		}
		if len(users) == 0 {
			if len(out) < 3 || sum > clean*float64(len(sources)-len(out)) {
				return nil
			}
			return withLast(sources, out, gone)
		}
		slices.SortFunc(users, func(a, b user) int { return cmp.Or(cmp.Compare(b.share, a.share), cmp.Compare(a.at, b.at)) })
		for _, u := range users[:(len(users)+7)/8] {
			gone[u.at] = true
			out = append(out, u.at)
			tally(sources[u.at], -1)
		}
	}
	return nil
}
