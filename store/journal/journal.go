// Package journal keeps records in append-only files of one folder. To append costs a copy in memory; one goroutine writes
// and syncs what has gathered, so that many records share one trip to the disk: every few milliseconds, and at once when
// somebody waits for one of them. From time to time the records are folded
// into fewer that say the same. What they say is not known here.
package journal

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// Why a journal takes no records.
var (
	ErrFull   = errors.New("journal holds as much in memory as it may: the disk is too slow")
	ErrFailed = errors.New("journal could not be written and takes nothing more: see to its disk and start again")
	ErrClosed = errors.New("journal is closed")
	ErrInUse  = errors.New("another process uses the journal")
	ErrRecord = fmt.Errorf("a record is empty or longer than %d bytes", MaxRecord)
)

// MaxRecord is the most bytes that a record may have.
const MaxRecord = 64 << 10

// Fold takes records in the order in which they were appended and gives back fewer that mean the same.
type Fold interface {
	Apply(record []byte) error
	Records() iter.Seq[[]byte]
}

// Options say how a journal is kept. Zero values stand for what is good for most.
type Options struct {
	Every time.Duration // least time between two writes that nobody waits for; 5 ms
	// Sync is how long what is written may wait to be synced. 0: a record counts as kept, for Wait, once it is on disk.
	// More: once the operating system has it, so that it outlives the process at once, and the machine a Sync later.
	Sync    time.Duration
	Room    int   // bytes that may wait in memory; 16 MiB, at most 64 MiB
	Segment int64 // bytes after which a file is ended and folded; 64 MiB
	// Fold returns an empty Fold, to shorten the journal with; nil: it only grows.
	Fold func() Fold
}

const (
	room    = 16 << 20
	maxRoom = 64 << 20
)

// File is an open journal. It is safe for concurrent use. The process that has it open is the only one.
type File struct {
	dir     string
	options Options
	lock    *os.File

	mu      sync.Mutex
	waiting []byte // framed records that are not written yet
	spare   []byte // memory of the batch before
	taken   uint64 // records appended
	closed  bool

	kick    chan struct{}
	stop    chan struct{} // closed to end the writer
	done    chan struct{} // closed when it has ended
	hurry   chan struct{}
	wanted  atomic.Uint64 // the last record that somebody waits for
	durable atomic.Uint64 // records on disk
	fail    atomic.Pointer[error]
	news    atomic.Pointer[chan struct{}] // closed and replaced when durable or fail changes

	// Of the writer's goroutine.
	files   sync.RWMutex // held to replace out, and by others to use it
	out     *os.File
	number  uint64 // of the segment that is written
	size    int64
	behind  atomic.Int64  // bytes written that are not synced, with Options.Sync
	synced  chan struct{} // closed when the goroutine that syncs has ended; nil without
	folding sync.WaitGroup
	busy    atomic.Bool // a fold is under way
	folded  atomic.Pointer[error]
}

// Open opens the journal in the folder dir, which is made if need be, and gives take all records that were on disk, oldest
// first; a record is valid until take returns. What a crash left half written at the very end is cut off: it was never
// reported to be durable. Damage anywhere else is an error.
func Open(dir string, o Options, take func(record []byte) error) (_ *File, err error) {
	if o.Every <= 0 {
		o.Every = 5 * time.Millisecond
	}
	if o.Room <= 0 {
		o.Room = room
	}
	o.Room = min(o.Room, maxRoom)
	if o.Segment <= 0 {
		o.Segment = 64 << 20
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	f := &File{dir: dir, options: o, kick: make(chan struct{}, 1), hurry: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	news := make(chan struct{})
	f.news.Store(&news)
	if f.lock, err = os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	defer func() {
		if err != nil {
			f.lock.Close()
		}
	}()
	if err := flock(f.lock); err != nil {
		return nil, fmt.Errorf("open the journal in %s: %w", dir, ErrInUse)
	}
	last, err := f.replay(take)
	if err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	if err := f.begin(last + 1); err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	if o.Sync > 0 {
		f.synced = make(chan struct{})
		go f.syncBehind()
	}
	go f.write()
	if last > 0 {
		f.fold(last)
	}
	return f, nil
}

// Append takes a copy of the record and returns its position, which Wait understands. It does not wait for the disk.
func (f *File) Append(record []byte) (position uint64, err error) {
	if len(record) == 0 || len(record) > MaxRecord {
		return 0, ErrRecord
	}
	if f.fail.Load() != nil {
		return 0, ErrFailed
	}
	f.mu.Lock()
	first := len(f.waiting) == 0
	switch {
	case f.closed:
		err = ErrClosed
	case len(f.waiting)+len(record)+recordHead > f.options.Room:
		err = ErrFull
	default:
		if first {
			f.waiting = append(f.waiting, make([]byte, batchHead)...)
		}
		f.waiting = appendRecord(f.waiting, record)
		f.taken++
		position = f.taken
	}
	f.mu.Unlock()
	if err != nil {
		return 0, err
	}
	if first {
		select {
		case f.kick <- struct{}{}:
		default:
		}
	}
	return position, nil
}

// Wait returns once the record at position, and all before it, are kept: see Options.Sync. It has them written without delay.
func (f *File) Wait(ctx context.Context, position uint64) error {
	if f.durable.Load() < position {
		f.want(position)
	}
	for {
		news := *f.news.Load()
		if f.durable.Load() >= position {
			return nil
		}
		if f.fail.Load() != nil {
			return ErrFailed
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-news:
		case <-f.done:
			if f.durable.Load() >= position {
				return nil
			}
			return ErrClosed
		}
	}
}

// want has the writer not rest before the record at position is written.
func (f *File) want(position uint64) {
	for {
		last := f.wanted.Load()
		if last >= position {
			return // whoever wanted that has told the writer
		}
		if f.wanted.CompareAndSwap(last, position) {
			break
		}
	}
	select {
	case f.hurry <- struct{}{}:
	default:
	}
}

// Err returns why nothing more is written, or why the last fold failed; nil when all is well.
func (f *File) Err() error {
	if p := f.fail.Load(); p != nil {
		return *p
	}
	if p := f.folded.Load(); p != nil {
		return *p
	}
	return nil
}

// Close writes what waits and ends the journal.
func (f *File) Close() error {
	f.mu.Lock()
	again := f.closed
	f.closed = true
	f.mu.Unlock()
	if again {
		return nil
	}
	close(f.stop)
	<-f.done
	if f.synced != nil {
		<-f.synced
	}
	f.folding.Wait()
	err := f.syncRest()
	err = errors.Join(err, f.out.Close())
	if p := f.fail.Load(); p != nil {
		err = *p
	}
	return errors.Join(err, f.lock.Close())
}

// write is the writer's goroutine.
func (f *File) write() {
	defer close(f.done)
	pause := time.NewTimer(f.options.Every)
	for open := true; open; {
		select {
		case <-f.kick:
		case <-f.stop:
			open = false
		}
		f.mu.Lock()
		batch, upto := f.waiting, f.taken
		f.waiting, f.spare = f.spare[:0], nil
		f.mu.Unlock()
		if len(batch) > 0 && f.fail.Load() == nil {
			f.report(f.commit(batch), upto)
		}
		if cap(batch) <= 1<<20 {
			f.mu.Lock()
			f.spare = batch[:0]
			f.mu.Unlock()
		}
		pause.Reset(f.options.Every)
		for rest := open; rest && f.wanted.Load() <= f.durable.Load(); {
			select {
			case <-pause.C:
				rest = false
			case <-f.hurry:
			case <-f.stop:
				rest = false
			}
		}
	}
}

// report tells those that wait how a batch went.
func (f *File) report(err error, upto uint64) {
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrFailed, err)
		f.fail.Store(&err)
	} else {
		f.durable.Store(upto)
	}
	next := make(chan struct{})
	close(*f.news.Swap(&next))
}

// commit writes one batch and syncs it.
func (f *File) commit(batch []byte) error {
	sealBatch(batch)
	if _, err := f.out.Write(batch); err != nil {
		return err
	}
	n := f.behind.Add(int64(len(batch)))
	if f.options.Sync <= 0 || n > maxRoom/2 { // a crash may damage no more than is looked for
		if err := f.syncRest(); err != nil {
			return err
		}
	}
	if f.size += int64(len(batch)); f.size < f.options.Segment || f.busy.Load() {
		return nil
	}
	old := f.number
	if err := f.syncRest(); err != nil {
		return err
	}
	f.files.Lock()
	defer f.files.Unlock()
	if err := f.out.Close(); err != nil {
		return err
	}
	if err := f.begin(old + 1); err != nil {
		return err
	}
	f.fold(old)
	return nil
}

// syncRest syncs what is written of the open segment.
func (f *File) syncRest() error {
	if f.behind.Swap(0) == 0 {
		return nil
	}
	return f.out.Sync()
}

// syncBehind syncs now and then what is written, beside the writer.
func (f *File) syncBehind() {
	defer close(f.synced)
	t := time.NewTicker(f.options.Sync)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-f.stop:
			return
		}
		f.files.RLock()
		err := f.syncRest()
		f.files.RUnlock()
		if err != nil {
			f.report(err, 0)
			return
		}
	}
}

// begin makes the segment of that number the one that is written.
func (f *File) begin(number uint64) error {
	out, err := os.OpenFile(f.segment(number), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := syncDir(f.dir); err != nil {
		out.Close()
		return err
	}
	f.out, f.number, f.size = out, number, 0
	return nil
}
