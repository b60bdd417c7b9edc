package check

import (
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/traffic/verdict"
)

// A campaign's draw is counted over all of its accounts, by the day, and only what is drawn under a budget.
func TestTally(t *testing.T) {
	start := time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC)
	under := func(account, campaign string, m palladium.Measure, shadow bool) palladium.Verdict {
		return palladium.Verdict{ID: "v-" + account, Account: account, Campaign: campaign, Measure: m, Shadow: shadow, Reason: "campaign.act", Tokens: 1000, Delay: time.Second,
			Issued: start, Expires: start.Add(72 * time.Hour), Appeal: "r"}
	}
	table, err := verdict.New(1, start, []palladium.Verdict{
		under("a", "c1", palladium.MeasureBudget, false), under("b", "c1", palladium.MeasureBudget, false), under("c", "c2", palladium.MeasureBudget, false),
		under("d", "c1", palladium.MeasureSlow, false), under("e", "c1", palladium.MeasureBudget, true),
	})
	if err != nil {
		t.Fatal(err)
	}
	holder := verdict.NewHolder(time.Hour)
	if err := holder.Swap(table, start); err != nil {
		t.Fatal(err)
	}
	now := start
	tally := NewTally(holder, func() time.Time { return now })
	hour := time.Hour
	for _, s := range []struct {
		account string
		at      time.Duration // after start
		tokens  int64
		c1, c2  int64 // left then
	}{
		{"a", hour, 300, 700, 1000},
		{"b", hour, 200, 500, 1000},
		{"c", 2 * hour, 900, 500, 100},
		{"d", 2 * hour, 900, 500, 100},  // slow is no budget
		{"e", 2 * hour, 900, 500, 100},  // in shadow
		{"x", 2 * hour, 900, 500, 100},  // under nothing
		{"a", -hour, 900, 500, 100},     // before it was decided
		{"b", 3 * hour, 600, 0, 100},    // more than was left
		{"a", 30 * hour, 500, 0, 100},   // dated ahead of the clock
		{"c", 15 * hour, 50, 1000, 950}, // another day
		{"a", 4 * hour, 500, 1000, 950}, // told late
		{"a", 80 * hour, 5, 1000, 1000}, // what was decided has expired
	} {
		at := start.Add(s.at)
		if s.at != 30*hour && at.After(now) {
			now = at
		}
		tally.Observe(&palladium.Observation{Account: s.account, Time: at.UnixMilli(), Usage: palladium.Usage{Output: s.tokens}})
		c1, renewed := tally.Left("c1", 1000, now)
		c2, _ := tally.Left("c2", 1000, now)
		if c1 != s.c1 || c2 != s.c2 || renewed <= 0 || renewed > 24*hour || !now.Add(renewed).Equal(now.Add(renewed).Truncate(24*hour)) {
			t.Errorf("%s after %s: %d and %d are left, wanted %d and %d; renewed in %s", s.account, s.at, c1, c2, s.c1, s.c2, renewed)
		}
	}
}
