package archiving

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/app"
	"github.com/palladium-guard/palladium/store/archive"
	"github.com/palladium-guard/palladium/store/stream"
	"github.com/palladium-guard/palladium/traffic/tap/file"
)

// StreamReader is the archive's name among the readers of the stream.
const StreamReader = "archive"

// How many rows of a log are looked at for ids that are known, how often the stream is told what is written, and how long the last
// rows may take to be written when writing ends.
const (
	knownRows    = 2 << 20
	releaseEvery = 2 * time.Second
	closeTime    = 10 * time.Second
)

// Source is the part of a stream.Stream that is needed.
type Source interface {
	Read(ctx context.Context, after stream.Position, h stream.Handler) error
	Release(ctx context.Context, reader string, upto stream.Position) error
}

// Follower writes what comes through a stream to an archive. The stream keeps what is not written yet. It is a prometheus.Collector.
type Follower struct {
	archive *archive.Archive
	key     [32]byte
	now     func() time.Time
	log     *slog.Logger

	writer  atomic.Pointer[archive.Writer] // nil while another process writes, or none
	failed  atomic.Pointer[error]          // why writing ended; nil while it goes on
	written atomic.Int64
	twice   atomic.Int64
	gaps    atomic.Int64
	durable atomic.Uint64

	writtenDesc, twiceDesc, gapsDesc, durableDesc, healthyDesc *prometheus.Desc
}

// NewFollower returns one that does nothing until Run. key is the measuring key of what comes; what retention is over for ends by now.
func NewFollower(a *archive.Archive, key [32]byte, now func() time.Time, log *slog.Logger) *Follower {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("palladium_archive_"+name, help, nil, nil)
	}
	return &Follower{
		archive: a, key: key, now: now, log: log,
		writtenDesc: desc("observations_total", "Observations that were given to the archive's writer since the start."),
		twiceDesc:   desc("duplicates_total", "Observations that the archive left out since it holds them."),
		gapsDesc:    desc("gaps_total", "Times that the stream no longer held what was to be written next: some observations are not in the archive."),
		durableDesc: desc("position", "Position in the stream up to which all is written."),
		healthyDesc: desc("healthy", "1 while the archive can be written, or another process writes it."),
	}
}

// Run writes until ctx ends, and merges and removes files as the archive's section says. At most one process may run it: the stream's
// lease sees to that, and an archive refuses a second writer. It returns nil after an orderly end.
func (f *Follower) Run(ctx context.Context, from Source) error {
	err := f.run(ctx, from)
	if err != nil && ctx.Err() == nil {
		f.failed.Store(&err)
	}
	return err
}

func (f *Follower) run(ctx context.Context, from Source) (err error) {
	if err := f.archive.Bind(ctx, app.KeyCheck(f.key), true); err != nil {
		return err
	}
	w, err := f.archive.Writer(context.WithoutCancel(ctx), archive.WriterOptions{})
	if err != nil {
		return err
	}
	defer func() {
		f.writer.Store(nil)
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
		defer cancel()
		if e := w.Close(end); e != nil {
			f.log.Warn("the last observations are not in the archive yet; they are in the stream, and written at the next start", "error", e)
		}
		f.release(end, from, w)
	}()
	k := &following{f: f, w: w, seen: new(file.Seen), memory: new(stream.Memory)}
	ids, err := w.Recent(ctx, knownRows)
	if err != nil {
		return err
	}
	for _, id := range ids {
		k.seen.Add(id)
	}
	if saved, err := w.State(ctx); err != nil {
		return err
	} else if saved != nil {
		if err := k.memory.UnmarshalBinary(saved); err != nil {
			return fmt.Errorf("go on with %s: %w", f.archive, err)
		}
	}
	f.failed.Store(nil)
	f.writer.Store(w)
	side, stop := context.WithCancel(ctx)
	done := make(chan struct{}, 2)
	go func() { f.archive.Run(side, f.now); done <- struct{}{} }()
	go func() { f.releaseAll(side, from, w); done <- struct{}{} }()
	defer func() { stop(); <-done; <-done }()
	return k.read(ctx, from, stream.Position(w.Durable()))
}

// releaseAll tells the stream now and then up to where all is written.
func (f *Follower) releaseAll(ctx context.Context, from Source, w *archive.Writer) {
	t := time.NewTicker(releaseEvery)
	defer t.Stop()
	for {
		f.release(ctx, from, w)
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// release lets the stream forget what is written; at the start it also keeps the stream from forgetting what is not.
func (f *Follower) release(ctx context.Context, from Source, w *archive.Writer) {
	at := w.Durable()
	if err := from.Release(ctx, StreamReader, stream.Position(at)); err != nil && ctx.Err() == nil {
		f.log.Warn("the stream cannot forget what is in the archive; it grows until it can", "error", err)
	}
	f.durable.Store(at)
}

// following takes in the stream. It lives on Run's goroutine.
type following struct {
	f      *Follower
	w      *archive.Writer
	seen   *file.Seen
	memory *stream.Memory
}

// read reads until ctx ends. Where the stream has lost what comes next, it goes on with what there is: an archive with a gap is better
// than one that ends.
func (k *following) read(ctx context.Context, from Source, after stream.Position) error {
	for {
		err := from.Read(ctx, after, k)
		switch {
		case err != nil && ctx.Err() != nil:
			return nil
		case !errors.Is(err, stream.ErrGap):
			return fmt.Errorf("write the archive in %s: %w", k.f.archive, err)
		case after == 0:
			return err
		}
		k.f.gaps.Add(1)
		k.f.log.Error("observations were lost before they were in the archive; it goes on with what the stream still holds", "error", err)
		after = 0
	}
}

// Memory implements stream.Rememberer.
func (k *following) Memory() *stream.Memory { return k.memory }

// Describe takes in what is known of an account.
func (k *following) Describe(a *palladium.Account) { k.w.Describe(a) }

// NameModel takes in the name of a model.
func (k *following) NameModel(hash uint64, name string) { k.w.NameModel(hash, name) }

// Observe takes in one exchange, unless it is known already, as the detector does.
func (k *following) Observe(o *palladium.Observation) {
	if o.ID != 0 && !k.seen.Add(o.ID) {
		k.f.twice.Add(1)
		return
	}
	k.w.Observe(o)
	k.f.written.Add(1)
}

// Position says that all up to p was given, and what is known of publishers then.
func (k *following) Position(p stream.Position) error {
	b, err := k.memory.MarshalBinary()
	if err != nil {
		return err
	}
	k.w.Note(b)
	return k.w.Position(uint64(p))
}

// Health reports whether the archive is written, by this process or another.
func (f *Follower) Health() (ok bool, says string) {
	if err := f.failed.Load(); err != nil {
		return false, (*err).Error()
	}
	w := f.writer.Load()
	if w == nil {
		return true, "stands by"
	}
	if ok, says = w.Health(); ok {
		says = fmt.Sprintf("written to %s up to position %d", f.archive, w.Durable())
	}
	return ok, says
}

// Describe implements prometheus.Collector.
func (f *Follower) Describe(out chan<- *prometheus.Desc) { prometheus.DescribeByCollect(f, out) }

// Collect implements prometheus.Collector.
func (f *Follower) Collect(out chan<- prometheus.Metric) {
	count := func(d *prometheus.Desc, n int64) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n))
	}
	count(f.writtenDesc, f.written.Load())
	count(f.twiceDesc, f.twice.Load())
	count(f.gapsDesc, f.gaps.Load())
	healthy := 0.0
	if ok, _ := f.Health(); ok {
		healthy = 1
	}
	out <- prometheus.MustNewConstMetric(f.durableDesc, prometheus.GaugeValue, float64(f.durable.Load()))
	out <- prometheus.MustNewConstMetric(f.healthyDesc, prometheus.GaugeValue, healthy)
}
