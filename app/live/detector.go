// Package live runs the detector while traffic flows: it reads the stream of observations, keeps its state and its place in
// the stream together, presents what it finds to whoever acts on it, and holds the board on which decisions are made.
package live

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/app"
	"github.com/palladium-guard/palladium/store/stream"
	"github.com/palladium-guard/palladium/store/stream/snapshot"
	"github.com/palladium-guard/palladium/traffic/judge"
	"github.com/palladium-guard/palladium/traffic/measure"
	"github.com/palladium-guard/palladium/traffic/tap/file"
)

// Source is the part of a stream.Stream that a detector needs.
type Source interface {
	Read(ctx context.Context, after stream.Position, h stream.Handler) error
	Release(ctx context.Context, reader string, upto stream.Position) error
	// Whole reports whether what was written first is still there.
	Whole(ctx context.Context) (bool, error)
}

// Options set up a Detector.
type Options struct {
	Dir       string   // where the state is kept; "" keeps none
	Key       [32]byte // the installation's measuring key
	Policy    []byte   // judge's, in its YAML form; nil for the one that the program carries
	Without   map[palladium.Family]bool
	Every     time.Duration // exchange time between two looks; 0 means an hour, as in a scan
	SaveEvery time.Duration // between two snapshots; 0 is a minute, or more where snapshots take long
	// Shared is where detectors of one stream find the state of the one that leads; nil for a detector that is alone. With it the stream
	// forgets only what a shared state holds, and Share must run while this one leads.
	Shared *snapshot.Store
	Log    *slog.Logger
	// Found is given each report, after each look. It is called on the detector's goroutine, which waits for it. May be nil.
	Found func(*palladium.Report)
	// Looked is told when a look began and ended, and what it found, after Found. May be nil.
	Looked func(begun, ended time.Time, found *palladium.Report)
	// Described is told of each description that comes. It must not wait. May be nil.
	Described func(*palladium.Account)
	// Kept is told of each snapshot once it is on disk. May be nil.
	Kept func(p stream.Position)
}

// reader is the detector's name among the readers of the stream.
const reader = "detector"

// stateName is the snapshot's file.
const stateName = "state"

// book is the part of a snapshot that is neither accounts nor groups.
type book struct {
	KeyCheck uint64          `json:"key_check"`
	Without  []string        `json:"without"`
	Every    int64           `json:"every"` // ms
	Clock    app.Clock       `json:"clock"`
	Position stream.Position `json:"position"`
	Memory   []byte          `json:"memory"` // what the stream knows of those who write to it
	Taken    int64           `json:"taken"`  // observations
	Twice    int64           `json:"twice"`  // observations that were known already
}

// Detector runs the engines on a stream. Run owns all of its state; the figures may be read by anybody.
type Detector struct {
	opt    Options
	det    *app.Detector
	seen   *file.Seen
	book   book
	memory *stream.Memory // of the publishers; kept in the book
	look   bool           // something was looked at since the last report
	begun  time.Time      // when that look began
	looked time.Duration  // what looks took since the last report
	saved  time.Time
	pause  time.Duration // until the next snapshot
	grew   bool          // something was taken in since the last snapshot
	kept   chan kept     // the newest snapshot on disk that Share has not taken yet; holds one

	position atomic.Uint64
	taken    atomic.Int64
	twice    atomic.Int64
	gaps     atomic.Int64
	waits    atomic.Int64          // Unix ns at which the batch in hand, or the next one, was put into the stream; 0 while none waits
	lastLook atomic.Int64          // ns that the last look and its report took
	lastKeep atomic.Int64          // ns that the last snapshot took
	stopped  atomic.Int64          // ns that all looks, reports and snapshots took since the start
	reads    atomic.Bool           // the state that it goes on from is in place
	failed   atomic.Pointer[error] // of the last snapshot
	unshared atomic.Pointer[error] // of handing on the last snapshot
	latest   atomic.Pointer[palladium.Report]
	restored atomic.Pointer[palladium.Report] // of the state that was taken up
	policy   atomic.Pointer[judge.Policy]     // to be put in place; nil once it is
}

// Open returns a detector with the state that Dir holds. Errors of a state that cannot be used wrap app.ErrState.
func Open(opt Options) (*Detector, error) {
	d := &Detector{opt: opt, seen: new(file.Seen), memory: new(stream.Memory), saved: time.Now(), pause: opt.SaveEvery, kept: make(chan kept, 1)}
	if d.pause == 0 {
		d.pause = time.Minute
	}
	for _, f := range palladium.Families() {
		if opt.Without[f] {
			d.book.Without = append(d.book.Without, string(f))
		}
	}
	d.book.KeyCheck = measure.New(opt.Key, nil).Hash('k', "palladium state")
	d.book.Every = opt.Every.Milliseconds()
	var err error
	if opt.Dir != "" {
		if err := os.MkdirAll(opt.Dir, 0o700); err != nil {
			return nil, fmt.Errorf("make the detector's folder: %w", err)
		}
		in, err := os.Open(d.path())
		if err == nil {
			defer in.Close()
			if err := d.load(in); err != nil {
				return nil, fmt.Errorf("read %s: %w", d.path(), err)
			}
			return d, d.offer()
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("read the detector's state: %w", err)
		}
	}
	d.det, err = d.prepare()
	return d, err
}

func (d *Detector) prepare() (*app.Detector, error) {
	return app.Prepare(d.opt.Key, d.opt.Policy, app.DetectorOptions{Without: d.opt.Without, Every: d.opt.Every})
}

func (d *Detector) path() string { return filepath.Join(d.opt.Dir, stateName) }

// load puts a snapshot in the place of the state. After an error the state is as it was.
func (d *Detector) load(in io.Reader) error {
	next, memory := book{}, new(stream.Memory)
	det, seen, err := app.ReadSnapshot(in, &next, func() (*app.Detector, error) {
		switch {
		case next.KeyCheck != d.book.KeyCheck:
			return nil, fmt.Errorf("%w: it was made with another measuring key: restore the two together", app.ErrState)
		case !slices.Equal(next.Without, d.book.Without):
			return nil, fmt.Errorf("%w: it was made without the families %v, this run is without %v: use the same, or another folder", app.ErrState, next.Without, d.book.Without)
		case next.Every != d.book.Every:
			return nil, fmt.Errorf("%w: it was made with another time between looks: use the same, or another folder", app.ErrState)
		}
		return d.prepare()
	})
	if err != nil {
		return err
	}
	if err := memory.UnmarshalBinary(next.Memory); err != nil {
		return fmt.Errorf("%w: %w", app.ErrState, err)
	}
	d.det, d.seen, d.book, d.memory = det, seen, next, memory
	d.det.Resume(d.book.Clock)
	d.position.Store(uint64(d.book.Position))
	d.taken.Store(d.book.Taken)
	d.twice.Store(d.book.Twice)
	return nil
}

// Run reads the stream until ctx ends, and then keeps the state once more. It returns nil after an orderly end.
func (d *Detector) Run(ctx context.Context, from Source) error {
	err := d.begin(ctx, from)
	if d.book.Taken > 0 {
		d.restored.Store(d.det.Present(0))
	}
	d.reads.Store(err == nil)
	for err == nil {
		err = from.Read(ctx, d.book.Position, &intake{d: d, ctx: ctx, from: from})
		if errors.Is(err, stream.ErrGap) {
			err = d.overGap(ctx, from, err)
		}
	}
	if ctx.Err() != nil {
		err = nil
	}
	if d.grew {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		err = errors.Join(err, d.keep(end, from))
	}
	return err
}

// intake is the stream's reader. It lives on Run's goroutine.
type intake struct {
	d       *Detector
	ctx     context.Context
	from    Source
	waiting uint64 // batches behind the one in hand
}

// Stored is told when the batch that comes next was put into the stream.
func (i *intake) Stored(at time.Time, waiting uint64) {
	i.waiting = waiting
	i.d.waits.Store(at.UnixNano())
}

// Memory is what the stream knows of its publishers, kept with the position.
func (i *intake) Memory() *stream.Memory { return i.d.memory }

// Describe takes in what is known of an account.
func (i *intake) Describe(a *palladium.Account) {
	i.d.grew = true
	i.d.det.Describe(a)
	if i.d.opt.Described != nil {
		i.d.opt.Described(a)
	}
}

// NameModel takes in the name of a model.
func (i *intake) NameModel(hash uint64, name string) { i.d.det.NameModel(hash, name) }

// Observe takes in one exchange, unless it is known already: what is sent twice counts once.
func (i *intake) Observe(o *palladium.Observation) {
	d := i.d
	d.grew = true
	if o.ID != 0 && !d.seen.Add(o.ID) {
		d.book.Twice++
		return
	}
	d.book.Taken++
	if p := d.policy.Swap(nil); p != nil {
		d.det.SetPolicy(p)
	}
	begun := time.Now()
	if d.det.Observe(o) {
		if !d.look {
			d.begun = begun
		}
		d.look = true
		d.looked += time.Since(begun)
	}
}

// Position is called after each batch: all before p has been taken in.
func (i *intake) Position(p stream.Position) error {
	d := i.d
	d.book.Position = p
	d.position.Store(uint64(p))
	d.taken.Store(d.book.Taken)
	d.twice.Store(d.book.Twice)
	if d.look {
		d.look = false
		d.present()
	}
	if d.opt.Dir != "" && time.Since(d.saved) >= d.pause {
		if err := d.keep(i.ctx, i.from); err != nil {
			d.opt.Log.Error("the detector's state is not kept; what was kept before is still there", "error", err)
		}
	}
	if i.waiting == 0 {
		d.waits.Store(0)
	}
	return nil
}

// SetPolicy has the detector judge by another policy from its next look on, until it is opened anew. It may be called at any time.
func (d *Detector) SetPolicy(p *judge.Policy) { d.policy.Store(p) }

func (d *Detector) present() {
	begun := time.Now()
	r := d.det.Present(0)
	d.latest.Store(r)
	if d.opt.Found != nil {
		d.opt.Found(r)
	}
	took := d.looked + time.Since(begun)
	d.looked = 0
	d.lastLook.Store(int64(took))
	d.stopped.Add(int64(took))
	if d.opt.Looked != nil {
		d.opt.Looked(d.begun, time.Now(), r)
	}
}

// keep puts the state on disk, and then lets the stream forget what is in it.
func (d *Detector) keep(ctx context.Context, from Source) error {
	if d.opt.Dir == "" {
		return nil
	}
	begun := time.Now()
	err := app.WriteFile(d.path(), d.write)
	if err == nil {
		err = syncDir(d.opt.Dir)
	}
	d.saved = time.Now()
	took := d.saved.Sub(begun)
	d.lastKeep.Store(int64(took))
	d.stopped.Add(int64(took))
	if d.opt.SaveEvery == 0 {
		d.pause = max(time.Minute, 20*took)
	}
	if err != nil {
		err = fmt.Errorf("keep the detector's state in %s: %w: make room; the stream is read again from the last state kept", d.opt.Dir, err)
		d.failed.Store(&err)
		return err
	}
	d.grew = false
	d.failed.Store(nil)
	if d.opt.Kept != nil {
		d.opt.Kept(d.book.Position)
	}
	if d.opt.Shared != nil { // the stream forgets what is shared
		return d.offer()
	}
	if err := from.Release(ctx, reader, d.book.Position); err != nil && ctx.Err() == nil {
		d.opt.Log.Warn("the stream cannot forget what is kept; it grows until it can", "error", err)
	}
	return nil
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// Figures is what a detector tells about itself.
type Figures struct {
	Position stream.Position
	Taken    int64 // observations taken in since the state was begun
	Twice    int64 // observations left out since they were known
	Gaps     int64 // times, since the start, that the stream had lost what comes next and reading went on with what it held
	Err      error // why the last snapshot was not kept, or not handed on; nil otherwise

	// Delay is the age of the oldest observation that is in the stream and not taken in; 0 while none waits. It grows while
	// the detector looks, presents what it found and keeps its state.
	Delay time.Duration
	// Look, Snapshot and Stopped are what the last look with its report took, what the last snapshot took, and what all of them
	// took since the start: nothing is taken in meanwhile.
	Look, Snapshot, Stopped time.Duration
}

// Figures returns how far the detector is.
func (d *Detector) Figures() Figures {
	f := Figures{
		Position: stream.Position(d.position.Load()), Taken: d.taken.Load(), Twice: d.twice.Load(), Gaps: d.gaps.Load(),
		Look: time.Duration(d.lastLook.Load()), Snapshot: time.Duration(d.lastKeep.Load()), Stopped: time.Duration(d.stopped.Load()),
	}
	if at := d.waits.Load(); at != 0 {
		f.Delay = max(time.Since(time.Unix(0, at)), 0)
	}
	for _, p := range []*atomic.Pointer[error]{&d.unshared, &d.failed} {
		if err := p.Load(); err != nil {
			f.Err = *err
		}
	}
	return f
}

// Ready reports whether Run has begun to read the stream.
func (d *Detector) Ready() bool { return d.reads.Load() }

// Latest returns the report of the last look; nil before the first since the start.
func (d *Detector) Latest() *palladium.Report { return d.latest.Load() }

// Standing returns the report of the last look; before the first since the start, what the state that was taken up says, which lacks
// the reasons of linked groups. Nil where nothing is known.
func (d *Detector) Standing() *palladium.Report {
	return cmp.Or(d.latest.Load(), d.restored.Load())
}

// Close looks once more at everything and returns the report, as a scan of the same traffic ends. It is for after Run: a
// state that goes on would not be looked at here, so it is kept before.
func (d *Detector) Close() *palladium.Report { return d.det.Report(0) }

func (d *Detector) write(w io.Writer) error {
	var err error
	d.book.Clock = d.det.Clock()
	if d.book.Memory, err = d.memory.MarshalBinary(); err != nil {
		return err
	}
	return app.WriteSnapshot(w, d.det, d.seen, &d.book)
}
