// Package file reads recorded traffic: files, directories and standard input, plain or compressed, decoded on all
// cores and delivered in time order on one goroutine.
//
// A file keeps its own order; files are merged by time. The same input gives the same order of deliveries whatever
// the number of workers. Lines that hold no record are reported and skipped. Memory is bounded by the number of
// blocks in flight, a few for each file that is open at once, never by the size of the input.
package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/traffic/dialect"
)

// Options says what is read and how.
type Options struct {
	// Paths are files, directories, or "-" for Stdin. Directories are walked; names there end in .jsonl, .json,
	// .ndjson or .log, with .gz or .zst after it or not. Compression is told by the first bytes, not by the name.
	Paths []string
	Stdin io.Reader
	// Formats are tried in order on the first lines of a file; the first one is taken when none fits.
	Formats []dialect.Format
	Dialect string // name of the format of all files; empty to tell it by looking
	// Since and Until limit the exchanges to Since <= time < Until. Zero is no limit.
	Since, Until time.Time
	Workers      int // goroutines that decode and measure; 0 is one for each core
	// Resume holds the positions up to which files were taken in before.
	Resume []Position
	// Hold reads a file only up to the first line that holds an exchange at or after Until, so that a later Read that
	// resumes there passes nothing by. Standard input and pipes are read to their ends in any case.
	Hold bool
	// Seen holds the ids that are known already; a second exchange of an id is rejected. What is delivered is added: at
	// each call of emit it holds the batch and all before. Nil begins with none.
	Seen *Seen
	// Rejected is told of each line, or file, that is skipped. Called on Read's goroutine. May be nil.
	Rejected func(palladium.Reject)
	// Progress is called on Read's goroutine after each batch and for each file looked through. May be nil.
	Progress func(Progress)
}

// Progress is how far a Read is. Bytes are counted as they lie on disk, compressed or not.
type Progress struct {
	Looking    bool  // true while files are looked through for account records
	Read       int64 // bytes
	Total      int64 // bytes; 0 when standard input or a pipe is read
	Exchanges  int64
	Rejected   int64
	ActiveFile string // the file last read from
}

// Stats says what a Read did.
type Stats struct {
	Files      int
	Exchanges  int64 // delivered
	Accounts   int64 // delivered
	Rejected   int64 // lines, records and files skipped; duplicates among them
	Duplicates int64
	Filtered   int64 // outside Since and Until
	Held       int   // files left at Until, as Options.Hold says
	OutOfOrder int64 // delivered although more than a day behind their file
	// Position says, for every file, up to where everything has been delivered; also after ctx was done, but not after
	// an error of account or emit.
	Position []Position
}

// Batch is a run of exchanges in time order. Both slices are valid until emit returns.
type Batch[T any] struct {
	Items []T
	// Position says, for every file, up to where everything has been delivered, this batch included.
	Position []Position
}

// oldest is the first plausible time of an exchange, in Unix ms: 2000-01-01.
const oldest = 946_684_800_000

// reading is the state of one Read.
type reading[T any] struct {
	o       Options
	since   int64
	until   int64
	sources []*source
	account func(*palladium.Account) error
	emit    func(Batch[T]) error
	measure func(worker int) func(*palladium.Exchange, *T)

	jobs     chan *chunk[T]
	free     chan *chunk[T]
	block    int // bytes read at once
	ahead    int // blocks of one file in flight
	read     atomic.Int64
	progress Progress
	stats    Stats
	running  sync.WaitGroup
}

// Read delivers what o names. Account records of regular files come first, in the order of the files; those of
// standard input and of pipes as they are met. measure makes one function for each worker, which turns an exchange into a T that
// it must overwrite wholly: the T's memory is reused, the exchange's is not its own. emit receives the T's in order;
// what it keeps of a batch it copies. An error of account or emit ends the reading and is returned as it came.
func Read[T any](ctx context.Context, o Options, measure func(worker int) func(*palladium.Exchange, *T),
	account func(*palladium.Account) error, emit func(Batch[T]) error) (Stats, error) {
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	formats, err := choose(o.Formats, o.Dialect)
	if err != nil {
		return Stats{}, err
	}
	o.Formats = formats
	r := &reading[T]{o: o, since: oldest, until: 1 << 62, account: account, emit: emit, measure: measure}
	if !o.Since.IsZero() {
		r.since = o.Since.UnixMilli()
	}
	if !o.Until.IsZero() {
		r.until = o.Until.UnixMilli()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer r.running.Wait()
	defer cancel()
	if r.sources, err = r.find(); err != nil {
		return r.stats, err
	}
	r.stats.Files = len(r.sources)
	if err := r.lookThrough(ctx); err != nil {
		return r.stats, err
	}
	err = r.merge(ctx)
	return r.stats, err
}

func choose(formats []dialect.Format, name string) ([]dialect.Format, error) {
	if len(formats) == 0 {
		return nil, errors.New("read traffic: no format is known")
	}
	if name == "" {
		return formats, nil
	}
	known := ""
	for _, f := range formats {
		if f.Name == name {
			return []dialect.Format{f}, nil
		}
		known += " " + f.Name
	}
	return nil, fmt.Errorf("unknown dialect %q: choose one of%s", name, known)
}

func (r *reading[T]) reject(file string, line int64, reason string) {
	r.stats.Rejected++
	if r.o.Rejected != nil {
		r.o.Rejected(palladium.Reject{File: file, Line: line, Reason: reason})
	}
}

func (r *reading[T]) report(file string) {
	if r.o.Progress == nil {
		return
	}
	p := &r.progress
	p.Read, p.Exchanges, p.Rejected, p.ActiveFile = r.read.Load(), r.stats.Exchanges, r.stats.Rejected, file
	r.o.Progress(*p)
}
