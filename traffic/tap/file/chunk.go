package file

import (
	"context"
	"io"
	"slices"

	"github.com/zeebo/xxh3"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/traffic/dialect"
)

// chunk is a block on its way from the file to the merge: a worker turns its text into items. One goroutine owns it
// at a time.
type chunk[T any] struct {
	block    block
	source   *source
	format   *dialect.Format
	items    []T
	marks    []mark // one for each item
	rejects  []rejection
	accounts []located
	filtered int64
	end      Position // up to where the chunk reaches
	ready    chan struct{}
}

// mark is what the merge needs to know of an item.
type mark struct {
	time int64 // Unix ms
	key  int64 // time by which files are merged
	id   uint64
	line int64
	end  int64 // offset after the line
}

type rejection struct {
	line   int64
	reason string
}

type located struct {
	line    int64
	account palladium.Account
}

// follow reads s block by block into its queue and to the workers, until the end or until ctx is done. What went
// wrong with the file as a whole travels as the rejection of a last chunk without text.
func (r *reading[T]) follow(ctx context.Context, s *source, queue chan<- *chunk[T]) {
	defer close(queue)
	st, err := s.open(r.o.Resume, &r.read)
	if err != nil {
		r.send(ctx, queue, r.failure(s, s.start, "cannot be opened: "+err.Error()))
		return
	}
	defer st.close()
	in := splitter{in: st, size: r.block, line: s.start.Lines, offset: s.start.Bytes}
	for {
		c := r.blank()
		if err = in.next(&c.block); err != nil {
			break
		}
		if s.format == nil {
			s.format = sniff(r.o.Formats, &c.block)
		}
		c.source, c.format = s, s.format
		if !r.send(ctx, queue, c) {
			return
		}
		select {
		case r.jobs <- c:
		case <-ctx.Done():
			return
		}
	}
	if err != io.EOF {
		at := s.start
		at.Lines, at.Bytes = in.line, in.offset
		r.send(ctx, queue, r.failure(s, at, st.broke(err, in.line)))
	}
}

func (r *reading[T]) send(ctx context.Context, queue chan<- *chunk[T], c *chunk[T]) bool {
	select {
	case queue <- c:
		return true
	case <-ctx.Done():
		return false
	}
}

// failure is a chunk that says what is wrong with a file. No worker sees it.
func (r *reading[T]) failure(s *source, at Position, reason string) *chunk[T] {
	c := r.blank()
	c.source, c.end = s, at
	c.rejects = append(c.rejects, rejection{reason: reason})
	c.ready <- struct{}{}
	return c
}

// blank returns an empty chunk, a used one when there is one.
func (r *reading[T]) blank() *chunk[T] {
	select {
	case c := <-r.free:
		c.marks, c.rejects, c.accounts, c.filtered = c.marks[:0], c.rejects[:0], c.accounts[:0], 0
		return c
	default:
		return &chunk[T]{ready: make(chan struct{}, 1)}
	}
}

func (r *reading[T]) recycle(c *chunk[T]) {
	select {
	case r.free <- c:
	default:
	}
}

// sniff returns the first format that fits one of the first lines; the first of all when none does.
func sniff(formats []dialect.Format, b *block) *dialect.Format {
	found, tries := &formats[0], 20
	if len(formats) == 1 {
		return found
	}
	b.eachLine(func(line []byte, _, _ int64) bool {
		for i := range formats {
			if formats[i].Sniff(line) {
				found, tries = &formats[i], 0
				break
			}
		}
		tries--
		return tries > 0
	})
	return found
}

// worker decodes and measures chunks. Its decoders are its own.
type worker[T any] struct {
	r        *reading[T]
	measure  func(*palladium.Exchange, *T)
	decoders map[string]dialect.Decoder
	c        *chunk[T]
	line     int64
	end      int64
	known    bool // an account record of this line was delivered before
}

func (r *reading[T]) work(ctx context.Context, number int) {
	w := &worker[T]{r: r, measure: r.measure(number), decoders: map[string]dialect.Decoder{}}
	emit := w.take
	for {
		select {
		case c := <-r.jobs:
			w.decode(c, emit)
			c.ready <- struct{}{}
		case <-ctx.Done():
			return
		}
	}
}

// decode turns the chunk's text into items.
func (w *worker[T]) decode(c *chunk[T], emit func(*dialect.Record) error) {
	w.c = c
	b := &c.block
	c.end = c.source.start
	c.end.Lines, c.end.Bytes = b.line+b.lines, b.offset+b.size
	if b.long {
		c.rejects = append(c.rejects, rejection{b.line + 1, dialect.ErrTooLong.Error()})
		return
	}
	d := w.decoders[c.format.Name]
	if d == nil {
		d = c.format.New()
		w.decoders[c.format.Name] = d
	}
	early := !c.source.once && c.format.Account != nil
	b.eachLine(func(line []byte, number, end int64) bool {
		w.line, w.end = number, end
		w.known = early && c.format.Account(line)
		var err error
		if len(line) > dialect.MaxLine {
			err = dialect.ErrTooLong
		} else {
			err = d.Decode(line, emit)
		}
		if err != nil {
			w.fail(err)
		}
		return true
	})
	clip(c.marks)
}

// fail keeps the reason why the line, or a part of it, was left out. A last line without an end is read again when
// the file has grown.
func (w *worker[T]) fail(err error) {
	reason := err.Error()
	c := w.c
	if c.block.open && len(c.marks) == 0 {
		reason += " (the last line has no end: the file may be incomplete)"
		c.end.Lines, c.end.Bytes = c.block.line, c.block.offset
	}
	c.rejects = append(c.rejects, rejection{w.line, reason})
}

// take receives a record of the decoder.
func (w *worker[T]) take(rec *dialect.Record) error {
	c := w.c
	if rec.Kind == dialect.KindAccount {
		if !w.known {
			c.accounts = append(c.accounts, located{w.line, clone(&rec.Account)})
		}
		return nil
	}
	e := &rec.Exchange
	ms := e.Time.UnixMilli()
	if ms < oldest {
		c.rejects = append(c.rejects, rejection{w.line, "time before the year 2000: check the clock of the writer"})
		return nil
	}
	if ms < w.r.since || ms >= w.r.until {
		c.filtered++
		return nil
	}
	n := len(c.marks)
	if n == len(c.items) {
		var zero T
		c.items = append(c.items, zero)
		c.items = c.items[:cap(c.items)]
	}
	c.marks = append(c.marks, mark{ms, ms, xxh3.HashString(e.ID), w.line, w.end})
	w.measure(e, &c.items[n])
	return nil
}

// clip keeps a single time far in the future from holding back the rest of its file: an item is merged no later than
// the latest of the four that follow it.
func clip(m []mark) {
	for i := range len(m) - 1 {
		if m[i].time <= m[i+1].time {
			continue
		}
		latest := slices.MaxFunc(m[i+1:min(i+5, len(m))], func(a, b mark) int { return int(min(1, max(-1, a.time-b.time))) })
		m[i].key = min(m[i].time, latest.time)
	}
}
