package baseline

import (
	"cmp"
	"slices"

	"github.com/palladium-guard/palladium"
)

// DailyLimit is a usual limit of an account, in requests per day. Reported campaigns drew about 26 a day and account.
const DailyLimit = 1000

// VolumeLimit flags accounts that sent more than a limit in any UTC day.
type VolumeLimit struct {
	limit int
	roll  roll
	loads []load
}

type load struct {
	day         int32
	today, most uint32
	at          int64 // when the limit was passed, Unix ms; 0 when never
}

// NewVolumeLimit returns a limit of that many requests a day.
func NewVolumeLimit(limit int) *VolumeLimit { return &VolumeLimit{limit: limit, roll: newRoll()} }

// Name implements Baseline.
func (v *VolumeLimit) Name() string { return "volume limit" }

// Account implements Baseline. An account that never sends is never flagged.
func (v *VolumeLimit) Account(*palladium.Account) {}

// Observe implements Baseline. A request that comes late, from the day before, counts for the current day.
func (v *VolumeLimit) Observe(o *palladium.Observation, _ *palladium.Exchange) {
	n, fresh := v.roll.of(o.Account)
	if fresh {
		v.loads = append(v.loads, load{})
	}
	l := &v.loads[n]
	if day := int32(o.Time / dayMillis); day > l.day {
		l.day, l.today = day, 0
	}
	l.today++
	l.most = max(l.most, l.today)
	if int(l.today) > v.limit && l.at == 0 {
		l.at = o.Time
	}
}

// Flagged implements Baseline.
func (v *VolumeLimit) Flagged() map[string]bool { return v.Above(v.limit) }

// Above returns the accounts that sent more than limit in some day.
func (v *VolumeLimit) Above(limit int) map[string]bool {
	out := map[string]bool{}
	for i, l := range v.loads {
		if int(l.most) > limit {
			out[v.roll.names[i]] = true
		}
	}
	return out
}

// FlaggedAt implements Timed.
func (v *VolumeLimit) FlaggedAt() map[string]int64 {
	out := map[string]int64{}
	for i, l := range v.loads {
		if l.at != 0 {
			out[v.roll.names[i]] = l.at
		}
	}
	return out
}

// Oracle returns the limit that gives the largest F1 on this very recording, and its quality: an oracle threshold,
// chosen in hindsight from the answers, that no operator could have set. Of equals the highest limit is taken.
// Hostile accounts that sent nothing do not count.
func (v *VolumeLimit) Oracle(hostile func(id string) bool) (limit int, best Quality) {
	type entry struct {
		most uint32
		bad  bool
	}
	all := make([]entry, len(v.loads))
	total := 0
	for i, l := range v.loads {
		all[i] = entry{l.most, hostile(v.roll.names[i])}
		if all[i].bad {
			total++
		}
	}
	slices.SortFunc(all, func(a, b entry) int { return cmp.Compare(b.most, a.most) })
	q := Quality{Hostile: total}
	best = q
	if len(all) > 0 {
		limit = int(all[0].most)
	}
	for i := 0; i < len(all); {
		most := all[i].most
		for ; i < len(all) && all[i].most == most; i++ {
			q.Flagged++
			if all[i].bad {
				q.Right++
			}
		}
		if q.F1() > best.F1() {
			limit, best = int(most)-1, q
		}
	}
	return limit, best
}
