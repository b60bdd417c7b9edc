// Package journal keeps records in append-only files of one folder. To append costs a copy in memory; one goroutine writes
// and syncs what has gathered, so that many records share one trip to the disk: every few milliseconds, and at once when
// somebody waits for one of them. From time to time the records are folded
// into fewer that say the same. What they say is not known here.
package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
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
	ErrFailed = errors.New("journal cannot be written and tries again each second: see to its disk")
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
//
// While its disk takes nothing it is not Ready, nobody is told that a record is kept, and what is appended waits in memory.
// It tries again by itself until the disk takes everything that was appended, in its order.
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
	number uint64 // of the segment that is written
	upto   uint64 // the last record that was put into tail
	again  *time.Timer
	halted bool // another segment could not be begun: not before again has fired

	files sync.Mutex // held to sync out and to replace it; fail is only set by a sync, and only cleared, under it
	out   output

	ends    sync.Mutex // guards what follows
	tail    []byte     // what the segment holds from synced on, or is to hold: it is written again where a sync failed
	written int64      // bytes of the segment that the operating system has whole
	synced  int64      // bytes of it that are on disk

	behind  chan struct{} // closed when the goroutine that syncs has ended; nil without
	folding sync.WaitGroup
	busy    atomic.Bool // a fold is under way
	folded  atomic.Pointer[error]
}

// output is the segment that is written.
type output interface {
	io.WriterAt
	io.Closer
	Sync() error
	Truncate(size int64) error
}

// How long a journal that failed waits before it tries again: longer each time.
const (
	againLeast = 100 * time.Millisecond
	againMost  = time.Second
)

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
	f.again = time.NewTimer(againMost)
	f.again.Stop()
	if o.Sync > 0 {
		f.behind = make(chan struct{})
		go f.syncBehind()
	}
	go f.write()
	if last > 0 {
		f.fold(last)
	}
	return f, nil
}

// Ready says whether records are kept soon: while the disk takes nothing the error wraps ErrFailed.
func (f *File) Ready() error {
	if p := f.fail.Load(); p != nil {
		return *p
	}
	return nil
}

// Append takes a copy of the record and returns its position, which Wait understands. It does not wait for the disk, and takes
// records, as long as there is room, while the disk takes nothing.
func (f *File) Append(record []byte) (position uint64, err error) {
	if len(record) == 0 || len(record) > MaxRecord {
		return 0, ErrRecord
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
// ErrFailed says that nobody knows whether the record outlives the process; it is written all the same once the disk takes it.
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

// Err returns why nothing is written, or why the journal could not be shortened; nil when all is well.
func (f *File) Err() error {
	if err := f.Ready(); err != nil {
		return err
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
	if f.behind != nil {
		<-f.behind
	}
	f.folding.Wait()
	err := f.sync()
	if err == nil {
		err = f.out.Close()
	} else {
		f.out.Close() // the first error tells more
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
		case <-f.again.C:
			f.halted = false
			f.turn()
		case <-f.stop:
			open = false
		}
		f.mend()
		if open && f.fail.Load() != nil { // a sync behind failed meanwhile, and has kicked: what waits, waits on
			continue
		}
		f.mu.Lock()
		batch, upto := f.waiting, f.taken
		f.waiting, f.spare = f.spare[:0], nil
		f.mu.Unlock()
		if len(batch) > 0 && (open || f.fail.Load() == nil) { // what is written after a sync that fails now is written again with the rest
			f.commit(batch, upto)
		}
		if cap(batch) <= 1<<20 {
			f.mu.Lock()
			f.spare = batch[:0]
			f.mu.Unlock()
		}
		pause.Reset(f.options.Every)
		for rest := open; rest && f.wanted.Load() <= f.durable.Load() && f.fail.Load() == nil; {
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

// tell wakes those that wait.
func (f *File) tell() {
	next := make(chan struct{})
	close(*f.news.Swap(&next))
}

// failed notes that the disk does not take what it should, and has the writer mend it.
func (f *File) failed(err error) error {
	err = fmt.Errorf("%w: %w", ErrFailed, err)
	f.fail.Store(&err)
	f.tell()
	for _, c := range [2]chan struct{}{f.kick, f.hurry} {
		select {
		case c <- struct{}{}:
		default:
		}
	}
	return err
}

// commit writes one batch, and syncs it where that is wanted.
func (f *File) commit(batch []byte, upto uint64) {
	sealBatch(batch)
	f.ends.Lock()
	f.tail = append(f.tail, batch...)
	at, long := f.written, len(f.tail) > maxRoom/2 // a crash may damage no more than is looked for
	f.ends.Unlock()
	f.upto = upto
	if _, err := f.out.WriteAt(batch, at); err != nil {
		_ = f.failed(err)
		return
	}
	at += int64(len(batch))
	f.ends.Lock()
	f.written = at
	f.ends.Unlock()
	if (f.options.Sync <= 0 || long) && f.sync() != nil {
		return
	}
	f.durable.Store(upto)
	f.tell()
	f.turn()
}

// mend has the journal go on after a failure: it tries until the disk takes what waits, and a last time at the end.
func (f *File) mend() {
	for wait := againLeast; f.fail.Load() != nil; wait = min(2*wait, againMost) {
		t := time.NewTimer(wait)
		last := false
		select {
		case <-t.C:
		case <-f.stop:
			last = true
		}
		t.Stop()
		if f.restore(); last {
			return
		}
	}
}

// restore writes what the segment should hold beyond what was synced. What a write left half done is cut off before, and again
// where this fails, so that nothing torn is ever followed by anything. What the operating system has whole is written over with
// the same bytes and never cut: a sync that failed may have dropped it, and it was promised to outlive the process.
func (f *File) restore() {
	f.files.Lock()
	defer f.files.Unlock()
	f.ends.Lock()
	tail, from, whole := f.tail, f.synced, f.written
	f.ends.Unlock()
	err := f.out.Truncate(whole)
	if err == nil {
		_, err = f.out.WriteAt(tail, from)
	}
	if err == nil {
		err = f.out.Sync()
	}
	if err != nil {
		_ = f.out.Truncate(whole)
		_ = f.failed(err)
		return
	}
	f.ends.Lock()
	f.written = from + int64(len(tail))
	f.ends.Unlock()
	f.trim(from + int64(len(tail)))
	f.durable.Store(f.upto)
	f.fail.Store(nil)
	f.tell()
}

// turn ends a segment that is long enough, begins the next one and has the old one folded. Where that cannot be, the segment
// goes on, and it is tried again after a while.
func (f *File) turn() {
	f.ends.Lock()
	size := f.written
	f.ends.Unlock()
	if size < f.options.Segment || f.halted || f.busy.Load() || f.sync() != nil {
		return
	}
	f.files.Lock()
	defer f.files.Unlock()
	old, number := f.out, f.number
	if err := f.begin(number + 1); err != nil {
		err = fmt.Errorf("begin another file of the journal: %w", err)
		f.folded.Store(&err)
		f.halted = true
		f.again.Reset(againMost)
		return
	}
	_ = old.Close() // all of it is synced
	f.folded.Store(nil)
	f.fold(number)
}

// sync syncs what is written of the open segment. One at a time does, since an error is told to one of several only.
func (f *File) sync() error {
	f.files.Lock()
	defer f.files.Unlock()
	if err := f.Ready(); err != nil {
		return err
	}
	f.ends.Lock()
	upto, had := f.written, f.synced
	f.ends.Unlock()
	if upto == had {
		return nil
	}
	if err := f.out.Sync(); err != nil {
		return f.failed(err)
	}
	f.trim(upto)
	return nil
}

// trim forgets what is on disk, up to the offset upto. files is held.
func (f *File) trim(upto int64) {
	f.ends.Lock()
	defer f.ends.Unlock()
	rest := f.tail[upto-f.synced:]
	if len(rest) == 0 && cap(f.tail) > 1<<20 {
		f.tail = nil
	} else {
		f.tail = append(f.tail[:0], rest...)
	}
	f.synced = upto
}

// syncBehind syncs now and then what is written, beside the writer.
func (f *File) syncBehind() {
	defer close(f.behind)
	t := time.NewTicker(f.options.Sync)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			_ = f.sync() // it tells, and the writer mends
		case <-f.stop:
			return
		}
	}
}

// begin makes the segment of that number the one that is written. After an error the one before still is.
func (f *File) begin(number uint64) error {
	out, err := os.OpenFile(f.segment(number), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := syncDir(f.dir); err != nil {
		out.Close()
		return errors.Join(err, os.Remove(out.Name()))
	}
	f.out, f.number = out, number
	f.ends.Lock()
	f.tail, f.written, f.synced = f.tail[:0], 0, 0
	f.ends.Unlock()
	return nil
}
