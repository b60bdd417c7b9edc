package app

import (
	"fmt"
	"iter"
	"time"

	"github.com/palladium-guard/palladium/store/journal"
	"github.com/palladium-guard/palladium/traffic/budget"
)

// OpenLedger returns the ledger whose journal is in the folder dir, with all that was drawn and reserved before. The
// journal is closed after the last request has ended. What it holds outlives the process at once, and the machine after
// behind at most; with 0, at once too. An empty dir gives a ledger that forgets, and no journal.
func OpenLedger(dir string, behind time.Duration) (*budget.Ledger, *journal.File, error) {
	if dir == "" {
		return budget.New(nil, nil), nil, nil
	}
	past := budget.NewReplay()
	j, err := journal.Open(dir, journal.Options{Sync: behind, Fold: func() journal.Fold { return folding{budget.NewReplay()} }}, past.Apply)
	if err != nil {
		return nil, nil, fmt.Errorf("open the budgets: %w", err)
	}
	return budget.New(j, past), j, nil
}

// folding shortens a journal of budgets: settled reservations become sums, principals of past months go.
type folding struct{ *budget.Replay }

// Records returns what is left to keep.
func (f folding) Records() iter.Seq[[]byte] {
	f.Forget(time.Now())
	return f.Replay.Records()
}
