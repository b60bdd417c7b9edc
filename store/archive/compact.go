package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/palladium-guard/palladium/internal/table"
)

// How files are merged.
const (
	settled    = 10 * time.Minute // after its end an hour's files are merged: few come later
	mergeBytes = 256 << 20        // largest file that is made of others, about
	mergeMost  = 200              // files at once
	mergeGap   = 16 << 20         // rows of the log between two files; beyond it, a reader of the log would hold a file open for long
	fewFiles   = 6                // of accounts, models or an hour that is not over
	smallGroup = groupRows / 2    // rows; smaller groups are encoded anew, together, larger ones are copied as they are
)

// Run merges files and removes what is over by the clock, at once and then as often as the section says, until ctx ends. What goes wrong is
// logged and tried again the next time.
func (a *Archive) Run(ctx context.Context, clock func() time.Time) {
	tick := time.NewTicker(a.config.Compact)
	defer tick.Stop()
	for {
		now := clock()
		if err := errors.Join(a.Compact(ctx, now), a.Expire(ctx, now)); err != nil && ctx.Err() == nil {
			a.log.Error("the archive could not be tidied; trying again", "in", a.config.Compact, "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Compact merges the small files of each hour that is over at now, and of accounts and models, and removes what others hold all of.
// It can be stopped at any moment, and several may be at it.
func (a *Archive) Compact(ctx context.Context, now time.Time) error {
	if err := a.place.Tidy(ctx); err != nil {
		return err
	}
	files, err := a.files(ctx, observations, accounts, models)
	if err != nil {
		return err
	}
	var failed error
	for _, s := range shelves(files) {
		least := fewFiles
		if hour, ok := parseHour(s.folder); ok && now.Sub(time.Unix((hour+1)*3600, 0)) >= settled {
			least = 2
		} else if !ok && s.folder != accounts && s.folder != models {
			continue
		}
		if err := a.compact(ctx, s, least, now); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if !errors.Is(err, fs.ErrNotExist) { // another was at it
				failed = errors.Join(failed, err)
			}
		}
	}
	return failed
}

func (a *Archive) compact(ctx context.Context, s shelf, least int, now time.Time) error {
	parts, over := cover(s.files)
	if err := a.discard(ctx, over); err != nil {
		return err
	}
	for _, run := range runs(parts, least) {
		into := file{folder: s.folder, log: s.log, first: run[0].first, last: run[len(run)-1].last}
		var old []file
		for _, p := range run {
			into.generation = max(into.generation, p.generation+1)
			into.kept |= p.kept
			old = append(old, p.file)
		}
		if err := a.rewrite(ctx, run, into, now); err != nil {
			return fmt.Errorf("merge files of %s: %w", s.folder, err)
		}
		if err := a.discard(ctx, old); err != nil {
			return err
		}
	}
	return nil
}

// runs picks neighbours that are worth merging.
func runs(parts []part, least int) (out [][]part) {
	for from := 0; from < len(parts); {
		to, sum := from+1, parts[from].size
		for to < len(parts) && to-from < mergeMost {
			p, before := &parts[to], &parts[to-1]
			if sum+p.size > mergeBytes && p.after == 0 || p.first > before.last+mergeGap {
				break
			}
			sum += p.size
			to++
		}
		out = append(out, worthy(parts[from:to], least)...)
		from = to
	}
	return out
}

// worthy picks of a run what is worth merging: at least so many files, or files that overlap. One that is most of the whole stays out
// of it, so that it is not copied again and again for the sake of a few small ones.
func worthy(run []part, least int) [][]part {
	if len(run) < least {
		return nil
	}
	var sum int64
	largest := 0
	for i := range run {
		if run[i].after > 0 {
			return [][]part{run}
		}
		if sum += run[i].size; run[i].size > run[largest].size {
			largest = i
		}
	}
	if sum > 1<<20 && run[largest].size > sum/4*3 {
		return append(worthy(run[:largest], least), worthy(run[largest+1:], least)...)
	}
	return [][]part{run}
}

// rewrite writes the rows of some parts as one file.
func (a *Archive) rewrite(ctx context.Context, from []part, into file, now time.Time) error {
	return a.place.Put(ctx, into.name(), func(w io.Writer) (err error) {
		out := &noted{w: w}
		switch into.folder {
		case accounts:
			err = rewriteRows(ctx, a, from, out, a.currentAccounts(now))
		case models:
			seen := map[uint64]string{}
			err = rewriteRows(ctx, a, from, out, func(m *model) bool {
				name, ok := seen[m.Model]
				seen[m.Model] = m.Name
				return !ok || name != m.Name
			})
		default:
			err = a.rewriteObservations(ctx, from, into, out)
		}
		if out.err != nil { // not the fault of what was read
			return out.err
		}
		return err
	})
}

// noted keeps the error of the place that is written to.
type noted struct {
	w   io.Writer
	err error
}

func (n *noted) Write(p []byte) (int, error) {
	k, err := n.w.Write(p)
	if err != nil {
		n.err = err
	}
	return k, err
}

// currentAccounts returns what decides which descriptions are kept: none older than the retention, and of those from before the first
// class of fields is over, after which no detector would come to the same any more, none that says again what was known lately.
func (a *Archive) currentAccounts(now time.Time) func(*account) bool {
	r := a.config.Retention
	exact := r.Connection
	if exact == Forever || r.Fingerprints != Forever && r.Fingerprints < exact {
		exact = r.Fingerprints
	}
	last := map[string]account{}
	return func(row *account) bool {
		at := time.UnixMilli(row.Described)
		if r.Accounts.Over(at, now) {
			return false
		}
		if !exact.Over(at, now) {
			return true
		}
		known, ok := last[row.Account]
		if ok && known.same(row) && (r.Accounts == Forever || time.UnixMilli(known.Described).Add(time.Duration(r.Accounts)/8).After(at)) {
			return false
		}
		last[row.Account] = *row
		return true
	}
}

// rewriteRows writes those rows that keep says.
func rewriteRows[T any, P placed[T]](ctx context.Context, a *Archive, from []part, out io.Writer, keep func(P) bool) error {
	w := table.NewWriter[T](out, mark(), mergedRows)
	for _, p := range from {
		c, err := openCursor[T, P](ctx, a, p, true)
		if err != nil {
			return err
		}
		err = copyRows(ctx, w, c, keep)
		c.close()
		if err != nil {
			return err
		}
	}
	return w.Close()
}

// copyRows writes the rows of a cursor that keep says.
func copyRows[T any, P placed[T]](ctx context.Context, w *table.Writer[T], c *cursor[T, P], keep func(P) bool) error {
	var batch []T
	for {
		row, err := c.next()
		if err != nil || row == nil {
			return errors.Join(err, w.Append(batch))
		}
		if keep(row) {
			batch = append(batch, *row)
		}
		if c.Left() == 0 { // what was given is valid no longer than this
			if err := errors.Join(w.Append(batch), ctx.Err()); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
}

// rewriteObservations writes observations, without the classes of columns that the new file does not keep. Groups that are large and
// whole are copied as they lie there.
func (a *Archive) rewriteObservations(ctx context.Context, from []part, into file, out io.Writer) error {
	w := table.NewWriter[observation](out, mark(), mergedRows)
	for _, p := range from {
		c, err := openCursor[observation](ctx, a, p, true)
		if err != nil {
			return err
		}
		done := false
		if p.after == 0 && p.kept&^into.kept == 0 && c.file.Rows() >= smallGroup*int64(c.file.Groups()) {
			done, err = w.Splice(c.file)
		}
		if !done && err == nil {
			err = copyRows(ctx, w, c, func(row *observation) bool {
				row.forget(into.kept)
				return true
			})
		}
		c.close()
		if err != nil {
			return err
		}
	}
	return w.Close()
}

// Expire removes what is over at now by the section's retention: observations whose hour is over for counts, and the columns of a class
// from the files of hours for which it is over; descriptions of accounts by when they were given. It can be stopped at any moment.
func (a *Archive) Expire(ctx context.Context, now time.Time) error {
	files, err := a.files(ctx, observations, accounts)
	if err != nil {
		return err
	}
	var failed error
	for _, s := range shelves(files) {
		err := a.expire(ctx, s, now)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			failed = errors.Join(failed, fmt.Errorf("remove what is over from %s: %w", s.folder, err))
		}
	}
	return failed
}

func (a *Archive) expire(ctx context.Context, s shelf, now time.Time) error {
	hour, ok := parseHour(s.folder)
	if !ok {
		if s.folder == accounts {
			return a.expireAccounts(ctx, s, now)
		}
		return nil
	}
	end, r := time.Unix((hour+1)*3600, 0), a.config.Retention
	if r.Counts.Over(end, now) {
		return a.discard(ctx, s.files)
	}
	keep := everything
	if r.Connection.Over(end, now) {
		keep &^= connection
	}
	if r.Fingerprints.Over(end, now) {
		keep &^= fingerprints
	}
	parts, over := cover(s.files)
	var old []file
	for _, f := range over { // they may hold what is to go
		if f.kept&^keep != 0 {
			old = append(old, f)
		}
	}
	for _, p := range parts {
		if p.kept&^keep == 0 {
			continue
		}
		into := p.file
		into.generation++
		into.kept &= keep
		p.after = 0 // the file keeps its name's promise
		if err := a.rewrite(ctx, []part{p}, into, now); err != nil {
			return err
		}
		old = append(old, p.file)
	}
	return a.discard(ctx, old)
}

// expireAccounts rewrites files of descriptions the oldest of which is over, by a day at least, so that it is done once a day at most.
func (a *Archive) expireAccounts(ctx context.Context, s shelf, now time.Time) error {
	if a.config.Retention.Accounts == Forever {
		return nil
	}
	parts, _ := cover(s.files)
	for _, p := range parts {
		oldest, err := a.oldest(ctx, p)
		if err != nil {
			return err
		}
		if !a.config.Retention.Accounts.Over(time.UnixMilli(oldest).Add(day), now) {
			continue
		}
		into := p.file
		into.generation++
		p.after = 0
		if err := a.rewrite(ctx, []part{p}, into, now); err != nil {
			return err
		}
		if err := a.discard(ctx, []file{p.file}); err != nil {
			return err
		}
	}
	return nil
}

// oldest returns the time of the first row of a file of accounts, Unix ms; of an empty one, a time to come.
func (a *Archive) oldest(ctx context.Context, p part) (int64, error) {
	c, err := openCursor[account](ctx, a, part{file: p.file}, false)
	if err != nil {
		return 0, err
	}
	defer c.close()
	row, err := c.next()
	if row == nil {
		return 1 << 62 / int64(time.Microsecond), err
	}
	return row.Described, nil
}
