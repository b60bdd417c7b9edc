package file

import "fmt"

const day = 86_400_000 // ms

// Limits of how far an exchange may lie from the rest of its file.
const (
	jury     = 8          // exchanges that follow one and tell whether the file goes on from it
	quorum   = 4          // so many of them decide alone
	few      = 16         // a file of fewer exchanges shows no pace
	fewAhead = 366 * day  // what is believed of a file that shows no pace
	endAhead = 10 * day   // what is believed of a file's last exchanges
	farBack  = 3660 * day // an exchange so long before its file is wrong
	turned   = 16         // so many more late exchanges than others mean that the file has gone back
)

// clock is the running time of a file: the latest time that is believed. Exchanges are in order but for a minute, so
// one that is days ahead is wrong, unless those that follow it say that the file had a gap, or is in no order at all.
type clock struct {
	now    int64 // Unix ms; never before the first exchange
	n      int   // exchanges seen, up to few
	gap    int64 // longest step forward
	late   int   // how many more exchanges were more than a day behind than were not
	latest int64 // latest one of those behind
}

// believes reports whether t needs no jury.
func (k *clock) believes(t int64) bool {
	return k.now != never && t <= k.now+day && t >= k.now-farBack
}

// wrong judges a time that is not believed by the times of up to jury exchanges that follow it, and returns by how many
// milliseconds it is off, 0 when it may be right.
func (k *clock) wrong(t int64, follow []int64) int64 {
	if k.now != never && t < k.now-farBack {
		return t - k.now
	}
	behind, ahead := 0, 0
	low, high, next := t, int64(never), t // of those behind, and of those far ahead the nearest
	if k.now != never {
		low, high = min(low, k.now), k.now
	}
	for _, f := range follow {
		switch {
		case f < t-day:
			behind++
			low, high = min(low, f), max(high, f)
		case f > t+farBack:
			ahead++
			next = f
		}
	}
	if k.now == never && len(follow) >= quorum && 2*ahead > len(follow) {
		return t - next
	}
	limit := int64(day)
	if k.n+len(follow) < few/2 {
		limit = fewAhead
	}
	// A file in no order has times all over: one that stands out of them by less than they lie apart may be right.
	if 2*behind > len(follow) && t-high > max(limit, high-low) {
		return t - high
	}
	if len(follow) >= quorum || k.now == never {
		return 0
	}
	if limit = max(endAhead, 8*k.gap); k.n < few {
		limit = max(limit, fewAhead)
	}
	if t-k.now > limit {
		return t - k.now
	}
	return 0
}

// take goes on to t, an exchange's key.
func (k *clock) take(t int64) {
	if k.now == never {
		k.now = t
	}
	if k.n < few {
		k.n++
	}
	if t >= k.now-day {
		k.gap = max(k.gap, t-k.now)
		k.now = max(k.now, t)
		k.late = max(0, k.late-1)
		return
	}
	if k.late++; k.late == 1 || t > k.latest {
		k.latest = t
	}
	if k.late >= turned {
		k.now, k.late = k.latest, 0
	}
}

// off says how far a time is from the rest of its file.
func off(ms int64) string {
	way := "after"
	if ms < 0 {
		ms, way = -ms, "before"
	}
	if days := ms / day; days < 731 {
		return fmt.Sprintf("time %d days %s the rest of the file: check the clock of the writer", days, way)
	}
	return fmt.Sprintf("time %d years %s the rest of the file: check the clock of the writer", ms/(365*day), way)
}
