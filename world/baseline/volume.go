package baseline

import (
	"math"

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

// Oracle returns the limit that gives the largest F1 on this very recording, see Oracle. Hostile accounts that sent
// nothing do not count.
func (v *VolumeLimit) Oracle(hostile func(id string) bool) (limit int, best Quality) {
	scores := make(map[string]float64, len(v.loads))
	for i, l := range v.loads {
		scores[v.roll.names[i]] = float64(l.most)
	}
	least, best := Oracle(scores, hostile)
	return int(min(least-1, math.MaxInt32)), best
}
