package serving

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/palladium-guard/palladium/config"
	"github.com/palladium-guard/palladium/traffic/budget"
	"github.com/palladium-guard/palladium/traffic/gateway"
	"github.com/palladium-guard/palladium/traffic/gateway/observe"
	"github.com/palladium-guard/palladium/traffic/verdict"
)

// Joined is what a gateway is joined to where it does not stand alone. All of it belongs to the caller.
type Joined struct {
	Key  [32]byte     // the installation's measuring key
	Sink observe.Sink // takes what is measured
	// Verdicts calls got with the tables that are decided on: the present one first, then each newer one, until ctx ends.
	Verdicts func(ctx context.Context, got func(version uint64, data []byte)) error
	// Alive reports whether tables would come if there were newer ones: while they would, the one in use does not grow stale.
	Alive   func() bool
	Health  func() []gateway.Part
	Lease   budget.Lease           // what gateways share caps by; nil: this one holds its caps alone
	Metrics []prometheus.Collector // more figures for the operator's listener
	// Refuse says what is wrong with a configuration that was read again: nothing of it is then put in force. Reloaded is told of one
	// that is in force. Either may be nil.
	Refuse   func(*config.File) error
	Reloaded func(*config.File)
}

// confirm is how often a table is said to be the newest still, and how long is waited before tables are asked for anew.
const confirm = 2 * time.Second

// Follow keeps the table of verdicts the newest one, until ctx ends.
func (j *Joined) Follow(ctx context.Context, table *verdict.Holder, log *slog.Logger) {
	take := func(version uint64, data []byte) {
		now := time.Now()
		t, err := verdict.Decode(data)
		if err == nil {
			err = table.Swap(t, now)
		}
		if err != nil {
			table.Fail(err)
			log.Error("a table of verdicts is not taken; each route fails as it is configured to", "version", version, "error", err)
			return
		}
		log.Info("verdicts are in force", "verdicts", t.Len(), "version", t.Version())
	}
	var work sync.WaitGroup
	defer work.Wait()
	work.Go(func() {
		for ctx.Err() == nil {
			if err := j.Verdicts(ctx, take); err != nil && ctx.Err() == nil {
				table.Fail(err)
				log.Error("verdicts do not come; each route fails as it is configured to", "error", err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(confirm):
			}
		}
	})
	t := time.NewTicker(confirm)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if j.Alive() {
				table.Confirm(time.Now())
			}
		}
	}
}
