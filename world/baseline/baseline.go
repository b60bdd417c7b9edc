// Package baseline holds simple detectors that the product is compared with. Each sees the same stream and flags
// accounts; none is part of the product, and none is tuned to lose: thresholds are those of the source, and where a
// source leaves one open, the comment of its constant says what was taken and why.
package baseline

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/graph"
)

// Baseline flags accounts of one recording. Account is called for the account records, before or between the
// exchanges; Observe for every exchange in time order, give or take a minute. Nothing that is passed in is kept. A
// Baseline belongs to one goroutine.
type Baseline interface {
	// Name is short, for the head of a table row.
	Name() string
	Account(a *palladium.Account)
	Observe(o *palladium.Observation, e *palladium.Exchange)
	// Flagged returns the flagged accounts, each mapped to true, when the stream has ended. It may take seconds.
	Flagged() map[string]bool
}

// Timed is a Baseline that flags while the stream runs, so that what leaks before can be counted.
type Timed interface {
	Baseline
	// FlaggedAt returns when each flagged account was flagged first, in Unix ms of exchange time.
	FlaggedAt() map[string]int64
}

// Sampled is a Baseline that is too costly to look at all accounts. Score it on those that it covers.
type Sampled interface {
	Baseline
	Covers(id string) bool
}

// Standard returns the baselines of the evaluation, ready for one recording. datacenter says whether an autonomous
// system belongs to a hosting company; nil means that nobody knows.
func Standard(datacenter func(asn uint32) bool) []Baseline {
	return []Baseline{
		NewVolumeLimit(DailyLimit), NewSharedAttribute(), NewSynchroTrap(), NewPrada(PradaAccounts), NewFixedWeights(datacenter),
	}
}

// MinComponent is the least number of accounts that the linking baselines flag.
const MinComponent = 5

// Quality compares flagged accounts with hostile ones.
type Quality struct {
	Flagged, Right, Hostile int
}

// Score compares flagged with the truth, over the accounts all.
func Score(flagged map[string]bool, all []string, hostile func(id string) bool) Quality {
	var q Quality
	for _, id := range all {
		f, h := flagged[id], hostile(id)
		if f {
			q.Flagged++
		}
		if h {
			q.Hostile++
		}
		if f && h {
			q.Right++
		}
	}
	return q
}

// Precision is the share of flagged accounts that are hostile; NaN when none is flagged.
func (q Quality) Precision() float64 { return ratio(q.Right, q.Flagged) }

// Recall is the share of hostile accounts that are flagged; NaN when there is none.
func (q Quality) Recall() float64 { return ratio(q.Right, q.Hostile) }

// F1 is the harmonic mean of precision and recall; 0 when nothing is right.
func (q Quality) F1() float64 {
	if q.Right == 0 {
		return 0
	}
	return 2 * float64(q.Right) / float64(q.Flagged+q.Hostile)
}

func ratio(a, b int) float64 {
	if b == 0 {
		return math.NaN()
	}
	return float64(a) / float64(b)
}

// Oracle returns the least score to flag that gives the largest F1 on this very recording, and its quality: an oracle
// threshold, chosen in hindsight from the answers, that no operator could have set. Of equals the highest is taken; it
// is +Inf, flagging nobody, when none is hostile. Accounts without a score do not count.
func Oracle(scores map[string]float64, hostile func(id string) bool) (least float64, best Quality) {
	type entry struct {
		score float64
		bad   bool
	}
	all := make([]entry, 0, len(scores))
	q := Quality{}
	for id, s := range scores {
		bad := hostile(id)
		all = append(all, entry{s, bad})
		if bad {
			q.Hostile++
		}
	}
	slices.SortFunc(all, func(a, b entry) int { return cmp.Compare(b.score, a.score) })
	least, best = math.Inf(1), q
	for i := 0; i < len(all); {
		s := all[i].score
		for ; i < len(all) && all[i].score == s; i++ {
			q.Flagged++
			if all[i].bad {
				q.Right++
			}
		}
		if q.F1() > best.F1() {
			least, best = s, q
		}
	}
	return least, best
}

// roll numbers accounts in the order in which they appear.
type roll struct {
	number map[string]uint32
	names  []string
}

func newRoll() roll { return roll{number: map[string]uint32{}} }

// of returns the number of account id and whether it is new.
func (r *roll) of(id string) (n uint32, fresh bool) {
	if n, ok := r.number[id]; ok {
		return n, false
	}
	n, id = uint32(len(r.names)), strings.Clone(id)
	r.number[id] = n
	r.names = append(r.names, id)
	return n, true
}

// inComponents returns the names of accounts in sets of at least MinComponent.
func (r *roll) inComponents(u *graph.UnionFind) map[string]bool {
	out := map[string]bool{}
	for i, name := range r.names {
		if u.Size(uint32(i)) >= MinComponent {
			out[name] = true
		}
	}
	return out
}

const (
	hourMillis = 3600 * 1000
	dayMillis  = 24 * hourMillis
)
