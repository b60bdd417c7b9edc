package archive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/palladium-guard/palladium"
)

// Read gives h what was observed from a time, inclusive, to another, exclusive; zero times are no limits. A log comes in the order in
// which it was written, so that whoever read its source and whoever reads the archive see the same; logs are merged by time.
// Descriptions of accounts come in their places, all those from before the first observation ahead of it. What a Writer still holds
// back is not among it. A file that is damaged ends the reading with an error that names it.
func (a *Archive) Read(ctx context.Context, from, to time.Time, h Handler) error {
	r := &reading{archive: a, ctx: ctx, from: from, to: to, sink: h, done: map[string]uint64{}}
	for try := 0; ; try++ {
		err := r.run()
		// Files that were merged meanwhile are gone: their rows are in others, and are read on where they were left.
		if !errors.Is(err, fs.ErrNotExist) || try == 20 {
			return err
		}
	}
}

// reading is one Read.
type reading struct {
	archive  *Archive
	ctx      context.Context
	from, to time.Time
	sink     Handler
	done     map[string]uint64 // by log, the place up to which rows were given
	names    map[uint64]string // given
	obs      palladium.Observation
	acc      palladium.Account
	count    int
}

func (r *reading) run() error {
	files, err := r.archive.files(r.ctx, append(days(r.from, r.to), accounts, models)...)
	if err != nil {
		return err
	}
	var logs []*logReader
	defer func() {
		for _, l := range logs {
			l.close()
		}
	}()
	byLog := map[string]*logReader{}
	for _, s := range shelves(files) {
		l := byLog[s.log]
		if l == nil {
			l = &logReader{reading: r, log: s.log}
			byLog[s.log] = l
			logs = append(logs, l)
		}
		if s.folder != accounts && s.folder != models {
			s.files = hours(s.files, r.from, r.to)
		}
		parts, _ := cover(s.files)
		l.waiting = append(l.waiting, parts...)
	}
	slices.SortFunc(logs, func(a, b *logReader) int { return cmp.Compare(a.log, b.log) })
	for _, l := range logs {
		slices.SortStableFunc(l.waiting, func(a, b part) int { return cmp.Compare(a.first, b.first) })
		if err := l.advance(); err != nil {
			return err
		}
	}
	return r.merge(logs)
}

// merge gives the rows of the logs, the log with the earliest one next.
func (r *reading) merge(logs []*logReader) error {
	for {
		var next *logReader
		for _, l := range logs {
			if l.ready && (next == nil || l.time < next.time) {
				next = l
			}
		}
		if next == nil {
			return nil
		}
		if r.count++; r.count%1024 == 0 && r.ctx.Err() != nil {
			return r.ctx.Err()
		}
		r.give(next)
		if err := next.advance(); err != nil {
			return err
		}
	}
}

func (r *reading) give(l *logReader) {
	switch s := l.best; {
	case s.observed != nil:
		s.observed.give(&r.obs)
		r.sink.Observe(&r.obs)
		r.done[l.log] = s.at
	case s.described != nil:
		s.described.give(&r.acc)
		r.sink.Describe(&r.acc)
		r.done[l.log] = s.at
	case s.named != nil:
		if name, ok := r.names[s.named.Model]; !ok || name != s.named.Name {
			if r.names == nil {
				r.names = map[uint64]string{}
			}
			r.names[s.named.Model] = s.named.Name
			r.sink.NameModel(s.named.Model, s.named.Name)
		}
	}
}

// logReader gives the rows of a log in the order of their places. Files are opened as their first places come up, so that only those
// that overlap are open at once.
type logReader struct {
	*reading
	log     string
	waiting []part // by first
	open    []*source
	best    *source // that holds the next row
	ready   bool
	time    int64 // of the next row, Unix ms
}

// source is an open file at one of its rows.
type source struct {
	at        uint64 // its place
	observed  *observation
	described *account
	named     *model
	next      func() error // moves on; none of the three is set at the end
	close     func()
}

func (l *logReader) close() {
	for _, s := range l.open {
		s.close()
	}
}

// advance moves to the next row.
func (l *logReader) advance() error {
	if l.best != nil {
		if err := l.step(l.best); err != nil {
			return err
		}
	}
	for {
		l.best = nil
		for _, s := range l.open {
			if l.best == nil || s.at < l.best.at || s.at == l.best.at && s.named != nil {
				l.best = s
			}
		}
		if len(l.waiting) == 0 || l.best != nil && l.waiting[0].first > l.best.at {
			break
		}
		p := l.waiting[0]
		l.waiting = l.waiting[1:]
		s, err := l.begin(p)
		if err != nil {
			return err
		}
		l.open = append(l.open, s)
		if err := l.step(s); err != nil {
			return err
		}
	}
	if l.ready = l.best != nil; l.ready {
		switch s := l.best; {
		case s.observed != nil:
			l.time = s.observed.Time
		case s.described != nil:
			l.time = s.described.Described
		}
	}
	return nil
}

// step moves a source to its next row that is asked for, and drops it at its end.
func (l *logReader) step(s *source) error {
	for {
		if err := s.next(); err != nil {
			return err
		}
		switch {
		case s.observed != nil:
			if s.at <= l.done[l.log] || !l.from.IsZero() && s.observed.Time < l.from.UnixMilli() || !l.to.IsZero() && s.observed.Time >= l.to.UnixMilli() {
				continue
			}
		case s.described != nil:
			if s.at <= l.done[l.log] || !l.to.IsZero() && s.described.Described >= l.to.UnixMilli() {
				continue
			}
		case s.named == nil:
			s.close()
			l.open = slices.DeleteFunc(l.open, func(o *source) bool { return o == s })
		}
		return nil
	}
}

// begin opens a file, at no row yet.
func (l *logReader) begin(p part) (*source, error) {
	s := &source{}
	switch p.folder {
	case accounts:
		c, err := openCursor[account](l.ctx, l.archive, p, true)
		if err != nil {
			return nil, err
		}
		s.close = c.close
		s.next = func() (err error) {
			if s.described, err = c.next(); s.described != nil {
				s.at = s.described.Seq
			}
			return err
		}
	case models:
		c, err := openCursor[model](l.ctx, l.archive, p, true)
		if err != nil {
			return nil, err
		}
		s.close = c.close
		s.next = func() (err error) {
			if s.named, err = c.next(); s.named != nil {
				s.at = s.named.Seq
			}
			return err
		}
	default:
		c, err := openCursor[observation](l.ctx, l.archive, p, true)
		if err != nil {
			return nil, err
		}
		s.close = c.close
		s.next = func() (err error) {
			if s.observed, err = c.next(); s.observed != nil {
				s.at = s.observed.Seq
			}
			return err
		}
	}
	return s, nil
}

// names reads what all models are called.
func (a *Archive) names(ctx context.Context) (map[uint64]string, error) {
	out := map[uint64]string{}
	files, err := a.files(ctx, models)
	if err != nil {
		return nil, err
	}
	for _, s := range shelves(files) {
		parts, _ := cover(s.files)
		for _, p := range parts {
			if err := a.readNames(ctx, p, out); err != nil {
				return nil, fmt.Errorf("read names of models: %w", err)
			}
		}
	}
	return out, nil
}

func (a *Archive) readNames(ctx context.Context, p part, out map[uint64]string) error {
	c, err := openCursor[model](ctx, a, p, true)
	if err != nil {
		return err
	}
	defer c.close()
	for {
		m, err := c.next()
		if m == nil || err != nil {
			return err
		}
		out[m.Model] = m.Name
	}
}
