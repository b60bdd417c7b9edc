package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/app"
	"github.com/palladium-guard/palladium/store/catalog"
	"github.com/palladium-guard/palladium/store/stream"
	"github.com/palladium-guard/palladium/traffic/measure"
	"github.com/palladium-guard/palladium/traffic/tap/file"
)

// How often files are looked at for what was appended, how often the place in them is kept, and how many descriptions of
// accounts are kept at once.
const (
	followEvery   = 5 * time.Second
	keepEvery     = 5 * time.Second
	describeBatch = 500
)

// tapFiles feeds files into the stream, and goes on where it stopped. It loses nothing: what is not acknowledged is read again,
// and what was sent twice counts once.
func (h *house) tapFiles(ctx context.Context) error {
	paths := h.file.Taps.Files
	if len(paths) == 0 {
		return nil
	}
	for _, p := range paths {
		if _, err := os.Stat(p); err != nil {
			return fmt.Errorf("taps.files: %w", err)
		}
	}
	cues, err := app.Cues()
	if err != nil {
		return err
	}
	t := &fileTap{h: h, pub: h.publisher("files"), path: filepath.Join(h.o.State, "taps.json"), seen: new(file.Seen)}
	data, err := os.ReadFile(t.path)
	if err == nil {
		err = json.Unmarshal(data, &t.past)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read how far files were taken in, restore %s from a copy or move it away to read them again: %w", t.path, err)
	}
	h.work.Go(func() {
		for ctx.Err() == nil {
			if err := t.read(ctx, cues); err != nil && ctx.Err() == nil {
				h.log.Error("files are not read; it is tried again", "error", err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(followEvery):
			}
		}
	})
	return nil
}

// fileTap is an app.Sink. It belongs to one goroutine.
type fileTap struct {
	h        *house
	ctx      context.Context // of the reading
	pub      *stream.Publisher
	path     string
	past     []file.Position
	seen     *file.Seen
	kept     time.Time
	accounts []catalog.Account
	rejected int64
}

func (t *fileTap) read(ctx context.Context, cues *measure.Cues) error {
	t.ctx, t.kept = ctx, time.Now()
	o := file.Options{
		Paths: t.h.file.Taps.Files, Formats: app.Formats(), Resume: slices.Clone(t.past), Seen: t.seen,
		Rejected: func(palladium.Reject) { t.rejected++ },
	}
	stats, err := app.Feed(ctx, o, t.h.key, cues, t)
	if err == nil {
		defer func() { t.past = app.Positions(o.Resume, stats.Position) }()
	}
	if err == nil {
		err = t.describe()
	}
	if err == nil && stats.Exchanges+stats.Accounts > 0 {
		err = t.keep(stats.Position)
		t.h.log.Info("files were taken in", "exchanges", stats.Exchanges, "accounts", stats.Accounts, "rejected", stats.Rejected)
	}
	return err
}

// Describe takes in what is known of an account.
func (t *fileTap) Describe(a *palladium.Account) error {
	if t.h.cat != nil {
		t.accounts = append(t.accounts, catalog.Describe(a))
		if len(t.accounts) >= describeBatch {
			if err := t.describe(); err != nil {
				return err
			}
		}
	}
	return t.pub.DescribeWait(t.ctx, a)
}

func (t *fileTap) describe() error {
	if len(t.accounts) == 0 {
		return nil
	}
	err := t.h.cat.PutAccounts(t.ctx, t.accounts)
	t.accounts = t.accounts[:0]
	return err
}

// NameModel takes in the name of a model.
func (t *fileTap) NameModel(hash uint64, name string) { t.pub.NameModel(hash, name) }

// Observe takes in one exchange.
func (t *fileTap) Observe(o *palladium.Observation) error { return t.pub.ObserveWait(t.ctx, o) }

// Reached keeps the place now and then.
func (t *fileTap) Reached(at []file.Position) error {
	if time.Since(t.kept) < keepEvery {
		return nil
	}
	return t.keep(at)
}

// keep writes down how far files are taken in, once the stream has it all.
func (t *fileTap) keep(at []file.Position) error {
	if err := t.pub.Flush(t.ctx); err != nil {
		return fmt.Errorf("wait for the stream: %w", err)
	}
	t.kept = time.Now()
	all := app.Positions(t.past, at)
	data, err := json.Marshal(all)
	if err != nil {
		return err
	}
	err = app.WriteFile(t.path, func(w io.Writer) error { _, err := w.Write(data); return err })
	if err != nil {
		return fmt.Errorf("keep how far files are taken in: %w", err)
	}
	return nil
}
