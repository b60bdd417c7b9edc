package check

import (
	"sync"
	"time"

	"github.com/palladium-guard/palladium"
)

// Tally counts the output tokens that campaigns draw past other people's gateways, as far as these tell of them: by the exchanges
// that taps report of accounts under a budget. What is told late is counted late, so that a campaign may draw more than its
// budget by what is under way. It is safe for concurrent use.
type Tally struct {
	verdicts Verdicts

	mu    sync.Mutex // guards what follows
	day   int64      // since 1970, UTC
	drawn map[string]int64
}

// NewTally returns one that has counted nothing.
func NewTally(v Verdicts) *Tally { return &Tally{verdicts: v, drawn: map[string]int64{}} }

const aDay = 24 * time.Hour

// Observe counts an exchange, where its account was under an enforced budget when it was.
func (t *Tally) Observe(o *palladium.Observation) {
	if o.Usage.Output <= 0 {
		return
	}
	at := time.UnixMilli(o.Time)
	s, _ := t.verdicts.Find(o.Account, at)
	if v := &s.Verdict; !s.Enforced || v.Measure != palladium.MeasureBudget || !v.InForce(at) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.today(at) {
		t.drawn[s.Verdict.Campaign] += o.Usage.Output
	}
}

// today turns the day over when a later one begins. It reports whether at is in it.
func (t *Tally) today(at time.Time) bool {
	day := at.Unix() / int64(aDay/time.Second)
	if day > t.day {
		t.day = day
		clear(t.drawn)
	}
	return day == t.day
}

// Left implements Spending: budgets are by the day, UTC.
func (t *Tally) Left(campaign string, limit int64, now time.Time) (left int64, renewed time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	left = limit
	if now.Unix()/int64(aDay/time.Second) == t.day { // nothing is known to be drawn on another
		left -= t.drawn[campaign]
	}
	return max(left, 0), now.UTC().Truncate(aDay).Add(aDay).Sub(now)
}
