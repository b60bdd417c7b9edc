package archive

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/table"
)

// Limits of what a Writer holds in memory.
const (
	rollRows    = 128 << 10 // observations; a handful of files is written then
	rollBytes   = 128 << 20 // of their fields
	rollHours   = 24        // files of different hours
	maxAccounts = 1 << 19   // descriptions, where no observation comes with them
	maxNamed    = 1 << 16   // names of models that are remembered as written
)

// Writer writes one log of an archive. It is fed by one goroutine: rows, and after each batch the position that was reached with it.
// Files are written behind its back, one handful at a time: when a second one is full before the first is written, Position waits.
// When writing fails it is tried again for as long as it takes, and Health says so; nothing is lost, since the position does not move.
type Writer struct {
	archive *Archive
	log     string
	ctx     context.Context
	stop    context.CancelFunc
	unlock  func()
	tries   int           // 0: for as long as it takes
	every   time.Duration // longest wait of a row

	full  chan *roll      // to the goroutine that writes
	flush chan chan error // asks it to write what there is
	done  chan struct{}   // closed when it has ended

	mu      sync.Mutex // guards what follows; not held while anything is written
	current *roll
	spare   *roll
	queued  int               // rolls on their way to the goroutine
	names   map[uint64]string // of models, already in a roll
	failed  error             // for good
	trouble error             // at present
	head    head              // as it is in the archive
	state   []byte            // noted since

	tag string // of the head; of the writing goroutine
}

// WriterOptions say how a log is written. The zero value is what a running detector wants.
type WriterOptions struct {
	Log   string // default that of the archive's section
	Tries int    // how often a file is tried to be written before Position fails; 0: for as long as it takes
}

// roll is what is written together.
type roll struct {
	first    uint64 // place of the first row
	next     uint64 // place of the row to come
	marked   uint64 // next, at the last position
	position uint64
	newest   int64 // Unix ms, 0 before the first exchange
	earliest int64 // time of the first observation, 0 while there is none
	begun    time.Time
	at       time.Time // of the first try to write it: what is tried again is the same
	rows     int       // observations
	bytes    int
	hours    map[int64]*table.Sheet[observation]
	free     []*table.Sheet[observation]
	accounts []account
	models   []model
	state    []byte
}

func (r *roll) empty() bool { return r.next == r.first }

func (r *roll) reset(first, position uint64, newest int64) {
	for h, s := range r.hours {
		if s.Reset(); len(r.free) < 4 {
			r.free = append(r.free, s)
		}
		delete(r.hours, h)
	}
	r.first, r.next, r.marked, r.position, r.newest = first, first, first, position, newest
	r.earliest, r.rows, r.bytes, r.state = 0, 0, 0, nil
	r.accounts = r.accounts[:0]
}

// Writer begins to write a log, or goes on where it was left: give it what comes after Durable. What an earlier Writer left
// unfinished is removed. One process writes a log: ErrInUse says that another does on this machine, and a Writer elsewhere that goes
// on with the log makes this one fail with ErrTaken. Writing ends with ctx, or with Close.
func (a *Archive) Writer(ctx context.Context, o WriterOptions) (_ *Writer, err error) {
	or(&o.Log, a.config.Log)
	if !logName(o.Log) {
		return nil, fmt.Errorf("write the log %q: %w", o.Log, errLog)
	}
	unlock, ok, err := a.place.Lock(inner + "/log-" + o.Log + ".lock")
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("write the log %s in %s: %w", o.Log, a.place, ErrInUse)
	}
	w := &Writer{
		archive: a, log: o.Log, tries: o.Tries, every: a.config.Every, unlock: unlock, names: map[uint64]string{},
		full: make(chan *roll), flush: make(chan chan error), done: make(chan struct{}),
	}
	if err := w.begin(ctx); err != nil {
		unlock()
		return nil, err
	}
	w.ctx, w.stop = context.WithCancel(ctx)
	w.current = w.blank()
	go w.run()
	return w, nil
}

// begin takes over the log and removes files beyond its head.
func (w *Writer) begin(ctx context.Context) error {
	a := w.archive
	h, tag, err := a.head(ctx, w.log)
	if err != nil {
		return err
	}
	var beyond []string
	for _, folder := range []string{observations, accounts, models} {
		objects, err := a.place.List(ctx, folder)
		if err != nil {
			return err
		}
		for name, size := range objects {
			if f, ok := parseFile(name, size); ok && f.log == w.log && f.last > h.Place {
				if f.generation > 0 {
					return fmt.Errorf("go on with the log %s in %s: %s is ahead of %s: restore that file from a copy", w.log, a.place, name, headName(w.log))
				}
				beyond = append(beyond, name)
			}
		}
	}
	h.Format, h.Log, h.Writer, h.At = 1, w.log, rand.Text(), time.Now().UTC()
	if w.tag, err = w.swap(ctx, h, tag); err != nil {
		return err
	}
	w.head = h
	return a.place.Remove(ctx, beyond...)
}

func (w *Writer) swap(ctx context.Context, h head, tag string) (string, error) {
	data, err := json.Marshal(h)
	if err != nil {
		return "", err
	}
	now, ok, err := w.archive.place.Swap(ctx, headName(w.log), data, tag)
	if err == nil && !ok {
		err = fmt.Errorf("write the log %s in %s: %w", w.log, w.archive.place, ErrTaken)
	}
	return now, err
}

// blank makes an empty roll that follows the head.
func (w *Writer) blank() *roll {
	r := &roll{hours: map[int64]*table.Sheet[observation]{}}
	r.reset(w.head.Place+1, w.head.Position, w.head.Newest)
	return r
}

// Durable returns the position up to which all is written and will be found by a Writer after this one.
func (w *Writer) Durable() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.head.Position
}

// Health reports whether files can be written, and what is wrong when not.
func (w *Writer) Health() (ok bool, says string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.failed; err != nil {
		return false, "the archive is not written: " + err.Error()
	}
	if err := w.trouble; err != nil {
		return false, "the archive cannot be written at present: " + err.Error()
	}
	return true, ""
}

// State reads what was noted for the position that Durable returned when the Writer was made; nil for nothing.
func (w *Writer) State(ctx context.Context) ([]byte, error) {
	w.mu.Lock()
	name := w.head.State
	w.mu.Unlock()
	if name == "" {
		return nil, nil
	}
	data, tag, err := w.archive.place.Load(ctx, name)
	if err == nil && tag == "" {
		err = fmt.Errorf("read %s in %s: it is not there: restore it from a copy", name, w.archive.place)
	}
	return data, err
}

// Full reports whether so much has been given that Position will have it written.
func (w *Writer) Full() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.current.full()
}

// Note sets what State returns when the position that is given next has become durable. The data stay as they are.
func (w *Writer) Note(data []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state = data
}

// Describe takes in a copy of what is known of an account.
func (w *Writer) Describe(a *palladium.Account) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.current
	var row account
	row.take(a)
	row.Seq, row.Log, row.Described = r.next, w.log, r.newest
	r.accounts = append(r.accounts, row)
	r.next++
}

// NameModel takes in the name behind a model's hash. A name that was written lately is not written again.
func (w *Writer) NameModel(hash uint64, name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if known, ok := w.names[hash]; ok && known == name {
		return
	}
	if len(w.names) >= maxNamed {
		clear(w.names)
	}
	name = strings.Clone(name)
	w.names[hash] = name
	w.current.models = append(w.current.models, model{Seq: w.current.next, Log: w.log, Model: hash, Name: name})
}

// Observe takes in a copy of an observation.
func (w *Writer) Observe(o *palladium.Observation) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed != nil {
		return // Position says so
	}
	r := w.current
	hour := hourOf(o.Time)
	s := r.hours[hour]
	if s == nil {
		if n := len(r.free); n > 0 {
			s, r.free = r.free[n-1], r.free[:n-1]
		} else {
			s = table.NewSheet[observation](mark(), groupRows)
		}
		r.hours[hour] = s
	}
	row, err := s.Next()
	if err != nil {
		w.failed = err
		return
	}
	row.take(o)
	row.Seq, row.Log = r.next, w.log
	r.next++
	r.rows++
	r.bytes += 256 + 8*(len(o.Shingles)+len(o.Chain)+len(o.Quotes)+len(o.Answers)) + 4*(len(o.Terms)+len(o.Biased))
	if r.earliest == 0 {
		r.earliest = o.Time
	}
	if o.Time > r.newest || r.newest == 0 {
		r.newest = o.Time
	}
}

// Position says that all up to p of the source has been given. It waits when files are written more slowly than rows come, and fails
// when the Writer has given up for good; all after Durable is to be given to another then.
func (w *Writer) Position(p uint64) error {
	w.mu.Lock()
	r := w.current
	r.position, r.marked = p, r.next
	if w.state != nil {
		r.state, w.state = w.state, nil
	}
	if r.begun.IsZero() && !r.empty() {
		r.begun = time.Now()
	}
	var full *roll
	if w.failed == nil && r.due(w.every) {
		full = w.detach()
		w.queued++
	}
	err := w.failed
	w.mu.Unlock()
	if full == nil {
		return err
	}
	select {
	case w.full <- full:
		return nil
	case <-w.done:
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.failed
	}
}

func (r *roll) full() bool {
	return r.rows >= rollRows || r.bytes >= rollBytes || len(r.hours) >= rollHours || len(r.accounts) >= maxAccounts
}

func (r *roll) due(every time.Duration) bool {
	return r.full() || !r.empty() && time.Since(r.begun) >= every
}

// detach takes the current roll away, to be written, and begins the next. The mutex is held.
func (w *Writer) detach() *roll {
	r := w.current
	n := w.spare
	if w.spare = nil; n == nil {
		n = &roll{hours: map[int64]*table.Sheet[observation]{}}
	}
	n.reset(r.next, r.position, r.newest)
	n.begun, n.at, n.models = time.Time{}, time.Time{}, n.models[:0]
	w.current = n
	return r
}

// Flush writes all up to the last position and returns when it is durable.
func (w *Writer) Flush(ctx context.Context) error {
	answer := make(chan error, 1)
	select {
	case w.flush <- answer:
	case <-w.done:
		return w.failure()
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-answer:
		return err
	case <-w.done:
		return w.failure()
	case <-ctx.Done():
		return ctx.Err()
	}
}

var errClosed = errors.New("the writer of the archive is closed")

func (w *Writer) failure() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed == nil {
		return errClosed
	}
	return w.failed
}

// Close writes all up to the last position, unless ctx is done before, and ends the Writer.
func (w *Writer) Close(ctx context.Context) error {
	err := w.Flush(ctx)
	w.stop()
	<-w.done
	w.unlock()
	if errors.Is(err, errClosed) {
		return nil
	}
	return err
}

// run writes rolls until the context ends.
func (w *Writer) run() {
	defer close(w.done)
	tick := time.NewTicker(max(min(w.every/4, time.Second), time.Millisecond))
	defer tick.Stop()
	for {
		var err error
		select {
		case <-w.ctx.Done():
			w.fail(w.ctx.Err())
			return
		case r := <-w.full:
			w.mu.Lock()
			w.queued--
			w.mu.Unlock()
			err = w.write(r)
		case <-tick.C:
			if r := w.take(false); r != nil {
				err = w.write(r)
			}
		case answer := <-w.flush:
			for {
				r := w.take(true)
				if r == nil {
					break
				}
				if err = w.write(r); err != nil {
					break
				}
			}
			answer <- err
		}
		if err != nil {
			w.fail(err)
			return
		}
	}
}

func (w *Writer) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed == nil {
		w.failed = err
	}
}

// take takes what there is to write, all that was given up to a position, or nil. One roll after another: what Position has taken
// comes first. Unless it is to be written now, only what has waited long enough is taken.
func (w *Writer) take(now bool) *roll {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.queued > 0 {
		if !now {
			return nil
		}
		w.queued--
		w.mu.Unlock()
		r := <-w.full // Position is about to send it
		w.mu.Lock()
		return r
	}
	r := w.current
	if r.empty() || r.marked != r.next || !now && time.Since(r.begun) < w.every {
		return nil
	}
	return w.detach()
}

// write makes a roll durable.
func (w *Writer) write(r *roll) error {
	wait := 100 * time.Millisecond
	for try := 1; ; try++ {
		err := w.store(r)
		if err == nil {
			break
		}
		if w.ctx.Err() != nil || errors.Is(err, ErrTaken) || errors.Is(err, table.ErrEncode) || w.tries > 0 && try >= w.tries {
			return err
		}
		w.mu.Lock()
		first := w.trouble == nil
		w.trouble = err
		w.mu.Unlock()
		if first {
			w.archive.log.Error("the archive cannot be written; trying again until it can", "log", w.log, "error", err)
		}
		select {
		case <-w.ctx.Done():
			return err
		case <-time.After(wait):
		}
		wait = min(2*wait, 15*time.Second)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.trouble != nil {
		w.archive.log.Info("the archive can be written again", "log", w.log)
		w.trouble = nil
	}
	r.models = r.models[:0]
	w.spare = r
	return nil
}

// store writes the files of a roll and then the head. To do it again after a failure is to do it once.
func (w *Writer) store(r *roll) error {
	f := file{log: w.log, first: r.first, last: r.next - 1, kept: everything}
	if r.at.IsZero() {
		r.at = time.Now().UTC()
	}
	h := head{Format: 1, Log: w.log, Place: f.last, Position: r.position, Newest: r.newest, At: r.at}
	w.mu.Lock()
	h.Writer, h.State = w.head.Writer, w.head.State
	w.mu.Unlock()
	old := h.State
	for hour, s := range r.hours {
		data, err := s.Finish()
		if err != nil {
			return err
		}
		f.folder = hourFolder(hour)
		if err := w.putFile(f.name(), data); err != nil {
			return err
		}
		h.Files++
	}
	for i := range r.accounts {
		if a := &r.accounts[i]; a.Described == 0 {
			if a.Described = r.earliest; r.earliest == 0 {
				a.Described = r.at.UnixMilli()
			}
		}
	}
	f.folder = accounts
	if err := putRows(w, f, r.accounts, &h.Files); err != nil {
		return err
	}
	f.folder = models
	if err := putRows(w, f, r.models, &h.Files); err != nil {
		return err
	}
	if r.state != nil {
		h.State = fmt.Sprintf("%s/state-%s-%012d", inner, w.log, h.Place)
		if err := w.putFile(h.State, r.state); err != nil {
			return err
		}
	}
	tag, err := w.swap(w.ctx, h, w.tag)
	if err != nil {
		return err
	}
	w.tag = tag
	w.mu.Lock()
	w.head = h
	w.mu.Unlock()
	if old != "" && old != h.State {
		_ = w.archive.place.Remove(w.ctx, old) // what is left of it harms nobody
	}
	return nil
}

func (w *Writer) putFile(name string, data []byte) error {
	return w.archive.place.Put(w.ctx, name, func(out io.Writer) error {
		_, err := out.Write(data)
		return err
	})
}

func putRows[T any](w *Writer, f file, rows []T, files *int) error {
	if len(rows) == 0 {
		return nil
	}
	s := table.NewSheet[T](mark(), groupRows)
	for i := range rows {
		row, err := s.Next()
		if err != nil {
			return err
		}
		*row = rows[i]
	}
	data, err := s.Finish()
	if err != nil {
		return err
	}
	*files++
	return w.putFile(f.name(), data)
}
