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
	now      func() time.Time

	mu    sync.Mutex // guards what follows
	day   int64      // by the clock, since 1970, UTC
	drawn map[string]int64
}

// NewTally returns one that has counted nothing. now is the clock that says which day it is.
func NewTally(v Verdicts, now func() time.Time) *Tally {
	return &Tally{verdicts: v, now: now, drawn: map[string]int64{}}
}

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
	if t.today(t.now()) == dayOf(at) {
		t.drawn[s.Verdict.Campaign] += o.Usage.Output
	}
}

func dayOf(at time.Time) int64 { return at.Unix() / int64(aDay/time.Second) }

// today turns the day over when a later one has begun, and returns it. What exchanges are dated turns nothing over.
func (t *Tally) today(now time.Time) int64 {
	if day := dayOf(now); day > t.day {
		t.day = day
		clear(t.drawn)
	}
	return t.day
}

// Left implements Spending: budgets are by the day, UTC.
func (t *Tally) Left(campaign string, limit int64, now time.Time) (left int64, renewed time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.today(now)
	return max(limit-t.drawn[campaign], 0), now.UTC().Truncate(aDay).Add(aDay).Sub(now)
}
