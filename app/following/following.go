// Package following feeds files into the stream of observations as they grow.
package following

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/app"
	"github.com/palladium-guard/palladium/store/catalog"
	"github.com/palladium-guard/palladium/traffic/measure"
	"github.com/palladium-guard/palladium/traffic/tap"
	"github.com/palladium-guard/palladium/traffic/tap/file"
)

// How often files are looked at for what was appended, how often the place in them is kept, and how many descriptions of
// accounts are kept at once.
const (
	followEvery   = 5 * time.Second
	keepEvery     = 5 * time.Second
	describeBatch = 500
)

// Options say what is followed.
type Options struct {
	Paths    []string // files and folders
	Place    string   // file in which it is kept how far they are taken in
	Key      [32]byte // the measuring key
	Sink     tap.Sink
	Accounts func(context.Context, []catalog.Account) error // keeps what is known of accounts; may be nil
	Log      *slog.Logger
}

// Files follows files and goes on where it stopped. It loses nothing: what the sink does not keep is read again, and what was sent
// twice counts once. Run does the work; the rest may be called from anywhere. It is a prometheus.Collector.
type Files struct {
	reader reader

	mu      sync.Mutex
	sum     file.Stats // of the readings that are over
	now     file.Stats // of the one that goes on
	told    [2]int64   // exchanges and rejected records that were told last: what a failed reading had read is read again, and counts do not go back
	trouble error      // why the last one failed
}

// Open looks whether there is what is to be followed, and how far it was taken in before.
func Open(o Options) (*Files, error) {
	for _, p := range o.Paths {
		if _, err := os.Stat(p); err != nil {
			return nil, fmt.Errorf("taps.files: %w", err)
		}
	}
	cues, err := app.Cues()
	if err != nil {
		return nil, err
	}
	f := &Files{reader: reader{o: o, cues: cues, seen: new(file.Seen)}}
	data, err := os.ReadFile(o.Place)
	if err == nil {
		err = json.Unmarshal(data, &f.reader.past)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read how far files were taken in, restore %s from a copy or move it away to read them again: %w", o.Place, err)
	}
	return f, nil
}

// Run follows the files until ctx ends. What fails is tried again.
func (f *Files) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		stats, err := f.reader.read(ctx, func(p file.Progress) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.now.Exchanges, f.now.Rejected = p.Exchanges, p.Rejected
		})
		if ctx.Err() != nil {
			break
		}
		f.mu.Lock()
		failed := f.trouble != nil
		f.trouble, f.now = err, file.Stats{}
		if err == nil { // else it is read again
			f.sum.Exchanges, f.sum.Accounts, f.sum.Rejected = f.sum.Exchanges+stats.Exchanges, f.sum.Accounts+stats.Accounts, f.sum.Rejected+stats.Rejected
		}
		f.mu.Unlock()
		if err != nil && !failed {
			f.reader.o.Log.Error("files are not read; it is tried again", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(followEvery):
		}
	}
	return nil
}

// Health says whether files can be read, and how much was.
func (f *Files) Health() (ok bool, says string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.trouble != nil {
		return false, "files are not read, which is tried again: " + f.trouble.Error()
	}
	return true, fmt.Sprintf("%d exchanges taken in, %d records skipped", f.sum.Exchanges+f.now.Exchanges, f.sum.Rejected+f.now.Rejected)
}

// Describe implements prometheus.Collector.
func (f *Files) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(f, ch) }

// Collect implements prometheus.Collector.
func (f *Files) Collect(ch chan<- prometheus.Metric) {
	f.mu.Lock()
	defer f.mu.Unlock()
	one := func(name, help string, typ prometheus.ValueType, v float64) {
		ch <- prometheus.MustNewConstMetric(prometheus.NewDesc("palladium_files_"+name, help, nil, nil), typ, v)
	}
	healthy := 1.0
	if f.trouble != nil {
		healthy = 0
	}
	one("healthy", "1 while the files that are followed can be read.", prometheus.GaugeValue, healthy)
	f.told = [2]int64{max(f.told[0], f.sum.Exchanges+f.now.Exchanges), max(f.told[1], f.sum.Rejected+f.now.Rejected)}
	one("exchanges_total", "Exchanges read from files.", prometheus.CounterValue, float64(f.told[0]))
	one("accounts_total", "Account records read from files.", prometheus.CounterValue, float64(f.sum.Accounts))
	one("rejected_total", "Records of files that were skipped, duplicates among them.", prometheus.CounterValue, float64(f.told[1]))
}

// reader is an app.Sink. It belongs to the goroutine of Run.
type reader struct {
	o        Options
	cues     *measure.Cues
	ctx      context.Context // of the reading
	past     []file.Position
	seen     *file.Seen
	kept     time.Time
	accounts []catalog.Account
	told     palladium.Reject // that was logged last
}

// read takes in what was appended. running is told how far it is.
func (r *reader) read(ctx context.Context, running func(file.Progress)) (file.Stats, error) {
	r.ctx, r.kept = ctx, time.Now()
	var first palladium.Reject
	o := file.Options{
		Paths: r.o.Paths, Formats: app.Formats(), Resume: slices.Clone(r.past), Seen: r.seen, Progress: running,
		Rejected: func(x palladium.Reject) {
			if first.Reason == "" {
				first = x
			}
		},
	}
	stats, err := app.Feed(ctx, o, r.o.Key, r.cues, r)
	if err == nil {
		defer func() { r.past = app.Positions(o.Resume, stats.Position) }()
		err = r.describe()
	}
	if first.Reason != "" && first != r.told { // a file that cannot be read is told once
		r.told = first
		r.o.Log.Warn("records are skipped", "records", stats.Rejected, "file", first.File, "line", first.Line, "reason", first.Reason)
	}
	if err == nil && stats.Exchanges+stats.Accounts > 0 {
		err = r.keep(stats.Position)
		r.o.Log.Info("files were taken in", "exchanges", stats.Exchanges, "accounts", stats.Accounts, "rejected", stats.Rejected)
	}
	return stats, err
}

// Describe takes in what is known of an account.
func (r *reader) Describe(a *palladium.Account) error {
	if r.o.Accounts != nil {
		r.accounts = append(r.accounts, catalog.Describe(a))
		if len(r.accounts) >= describeBatch {
			if err := r.describe(); err != nil {
				return err
			}
		}
	}
	return r.o.Sink.DescribeWait(r.ctx, a)
}

func (r *reader) describe() error {
	if len(r.accounts) == 0 {
		return nil
	}
	err := r.o.Accounts(r.ctx, r.accounts)
	r.accounts = r.accounts[:0]
	return err
}

// NameModel takes in the name of a model.
func (r *reader) NameModel(hash uint64, name string) { r.o.Sink.NameModel(hash, name) }

// Observe takes in one exchange.
func (r *reader) Observe(o *palladium.Observation) error { return r.o.Sink.ObserveWait(r.ctx, o) }

// Reached keeps the place now and then.
func (r *reader) Reached(at []file.Position) error {
	if time.Since(r.kept) < keepEvery {
		return nil
	}
	return r.keep(at)
}

// keep writes down how far files are taken in, once the sink has it all.
func (r *reader) keep(at []file.Position) error {
	if err := r.o.Sink.Flush(r.ctx); err != nil {
		return fmt.Errorf("wait for the stream: %w", err)
	}
	r.kept = time.Now()
	data, err := json.Marshal(app.Positions(r.past, at))
	if err != nil {
		return err
	}
	err = app.WriteFile(r.o.Place, func(w io.Writer) error { _, err := w.Write(data); return err })
	if err != nil {
		return fmt.Errorf("keep how far files are taken in: %w", err)
	}
	return nil
}
