package app

import (
	"context"
	"strings"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/traffic/measure"
	"github.com/palladium-guard/palladium/traffic/tap/file"
)

// Sink takes in recorded traffic, in one order whatever the number of workers. What it keeps of an argument it copies. An
// error ends the reading and is returned as it came.
type Sink interface {
	Describe(a *palladium.Account) error
	NameModel(hash uint64, name string) // before the first observation of the model, and again now and then
	Observe(o *palladium.Observation) error
	// Reached is called between batches: at says, for every file, up to where everything has been taken in.
	Reached(at []file.Position) error
}

// Feed reads what o names, measures it under the key and gives it to the sink. Text goes no further than the workers.
func Feed(ctx context.Context, o file.Options, key [32]byte, cues *measure.Cues, to Sink) (file.Stats, error) {
	var last uint64 // hash of the model named last
	emit := func(b file.Batch[measured]) error {
		for i := range b.Items {
			m := &b.Items[i]
			if m.obs.Model != last {
				last = m.obs.Model
				to.NameModel(last, m.model)
			}
			if err := to.Observe(&m.obs); err != nil {
				return err
			}
		}
		return to.Reached(b.Position)
	}
	worker := func(int) func(*palladium.Exchange, *measured) { return measurer(key, cues) }
	return file.Read(ctx, o, worker, to.Describe, emit)
}

// measured is what a worker hands on of one exchange.
type measured struct {
	obs   palladium.Observation
	model string // name behind obs.Model, owned by the worker
}

// maxModels is how many model names a worker remembers; where there are more, each is copied anew.
const maxModels = 4096

// measurer makes one worker's measuring function.
func measurer(key [32]byte, cues *measure.Cues) func(*palladium.Exchange, *measured) {
	meter := measure.New(key, cues)
	names := map[uint64]string{}
	return func(e *palladium.Exchange, m *measured) {
		meter.Measure(e, &m.obs)
		name, ok := names[m.obs.Model]
		if !ok {
			name = strings.Clone(e.Model)
			if len(names) < maxModels {
				names[m.obs.Model] = name
			}
		}
		m.model = name
	}
}
