// Package tap turns records of a live source into observations and hands them to a sink that loses nothing. One package
// a source stands below it. Text goes no further than the worker that measures it.
package tap

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/sketch"
	"github.com/palladium-guard/palladium/traffic/dialect"
)

// Sink takes what a tap has read. It is safe for concurrent use and copies what it keeps of an argument. What it has
// accepted stays accepted, whatever becomes of the context: a later Flush speaks for it too.
type Sink interface {
	DescribeWait(ctx context.Context, a *palladium.Account) error    // waits for room
	ObserveWait(ctx context.Context, o *palladium.Observation) error // waits for room
	NameModel(hash uint64, name string)                              // before the observations of that model; may come often
	Flush(ctx context.Context) error                                 // returns once all that was accepted before is kept for good
}

// Options are the parts that an Intake works with.
type Options struct {
	// Formats are tried in order on each record by how it begins; the first one is taken when none fits. Formats that
	// cannot be told by looking are used only when Dialect names them.
	Formats []dialect.Format
	Dialect string // name of the format of all records; empty to tell it by looking
	// Measure makes one function for each worker, which turns an exchange into an observation.
	Measure func() func(*palladium.Exchange, *palladium.Observation)
	Sink    Sink
	Workers int           // goroutines that decode and measure; 0 is one for each core
	Ahead   time.Duration // an exchange later than this after now is rejected; 0 is an hour
	// Rejected is told of records that are skipped for good, 100 of one Take at most. May be nil.
	Rejected func(palladium.Reject)
}

// Record is one value as its source delivers it: a JSON document, or several lines of them.
type Record struct {
	Value  []byte
	Source string // where it was read, for rejects
	At     int64  // its place there
}

// Taken counts what became of records.
type Taken struct {
	Exchanges  int64
	Accounts   int64
	Duplicates int64 // exchanges whose id was taken in before
	Rejected   int64 // records, or parts of one, that hold nothing usable
}

func (t *Taken) add(o *Taken) {
	t.Exchanges += o.Exchanges
	t.Accounts += o.Accounts
	t.Duplicates += o.Duplicates
	t.Rejected += o.Rejected
}

const (
	remembered  = 1 << 19     // ids known for sure; up to twice as many
	defaultLead = time.Hour   // Options.Ahead
	oldest      = 946_684_800 // Unix seconds of 2000-01-01: before it a clock was wrong
	maxRejects  = 100         // told of one Take
	maxModels   = 4096        // names that a worker remembers
)

// Intake decodes, measures and delivers. It is safe for concurrent use.
type Intake struct {
	o    Options
	idle chan *worker
	free sync.Pool // of *chunk

	mu    sync.Mutex
	known *sketch.Recent
	total Taken
}

// New returns an Intake by o, whose Formats, Measure and Sink are needed.
func New(o Options) (*Intake, error) {
	if len(o.Formats) == 0 || o.Measure == nil || o.Sink == nil {
		return nil, errors.New("open a tap: it needs formats, a measure and a sink")
	}
	formats, err := choose(o.Formats, o.Dialect)
	if err != nil {
		return nil, err
	}
	o.Formats = formats
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Ahead <= 0 {
		o.Ahead = defaultLead
	}
	in := &Intake{o: o, idle: make(chan *worker, o.Workers), known: sketch.NewRecent(remembered)}
	in.free.New = func() any { return new(chunk) }
	for range o.Workers {
		in.idle <- &worker{formats: formats, measure: o.Measure(), ahead: o.Ahead, names: map[uint64]string{}}
	}
	return in, nil
}

func choose(formats []dialect.Format, name string) (out []dialect.Format, err error) {
	known := ""
	for _, f := range formats {
		if f.Name == name {
			return []dialect.Format{f}, nil
		}
		if !f.Whole {
			out = append(out, f)
		}
		known += " " + f.Name
	}
	if name != "" {
		return nil, fmt.Errorf("unknown dialect %q: choose one of%s", name, known)
	}
	if len(out) == 0 {
		return nil, errors.New("name a dialect: none of the formats can be told by looking")
	}
	return out, nil
}

// Total returns what was taken in so far.
func (in *Intake) Total() Taken {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.total
}

// Take decodes and measures records on several cores, gives them to the sink in their order, and returns once the sink
// keeps them for good. After an error nothing may be taken for done: give the same records again. What was accepted
// before is then known by its id and not delivered twice. Reason is why the first of the rejected was rejected.
func (in *Intake) Take(ctx context.Context, records []Record) (t Taken, reason string, err error) {
	b := &batch{in: in, chunks: in.cut(records)}
	defer b.recycle()
	if err := b.run(ctx); err != nil {
		return Taken{}, "", err
	}
	if err := in.o.Sink.Flush(ctx); err != nil {
		return Taken{}, "", fmt.Errorf("keep what was read: %w", err)
	}
	in.mu.Lock()
	in.total.add(&b.taken)
	in.mu.Unlock()
	if in.o.Rejected != nil {
		for i := range b.rejects {
			in.o.Rejected(b.rejects[i])
		}
	}
	if len(b.rejects) > 0 {
		reason = b.rejects[0].Reason
	}
	return b.taken, reason, nil
}

func (in *Intake) isKnown(id uint64) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.known.Has(id)
}

func (in *Intake) remember(id uint64) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.known.Seen(id)
}
