package file

import (
	"bytes"
	"context"
	"errors"
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
	lines    int64 // up to where the chunk reaches
	bytes    int64
	ready    chan struct{}
}

// mark is what the merge needs to know of an item.
type mark struct {
	time  int64 // Unix ms
	key   int64 // time by which files are merged
	id    uint64
	line  int64
	start int64 // offset of the line
	end   int64 // offset after it
	wrong int64 // ms by which time is implausibly far from the rest of the file, negative before it; 0 when it is not
	late  bool  // more than a day before the file's running time
	out   bool  // outside Since and Until: there is no item
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
		r.send(ctx, queue, r.failure(s, s.start.Lines, s.start.Bytes, "cannot be opened: "+err.Error()))
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
		r.send(ctx, queue, r.failure(s, in.line, in.offset, st.broke(err, in.line)))
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
func (r *reading[T]) failure(s *source, lines, bytes int64, reason string) *chunk[T] {
	c := r.blank()
	c.source, c.lines, c.bytes = s, lines, bytes
	c.block.text = c.block.text[:0]
	c.rejects = append(c.rejects, rejection{reason: reason})
	c.ready <- struct{}{}
	return c
}

// blank returns an empty chunk, a used one when there is one.
func (r *reading[T]) blank() *chunk[T] {
	select {
	case c := <-r.free:
		c.marks, c.rejects, c.accounts = c.marks[:0], c.rejects[:0], c.accounts[:0]
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
	b.eachLine(func(line []byte, _, _, _ int64) bool {
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
	start    int64
	end      int64
	known    bool // an account record of this line was delivered before
	some     bool // the line gave a record
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
	c.lines, c.bytes = b.line+b.lines, b.offset+b.size
	if b.long {
		c.rejects = append(c.rejects, rejection{b.line + 1, dialect.ErrTooLong.Error()})
		return
	}
	d := w.decoder(c.format)
	early := !c.source.once && c.format.Account != nil
	b.eachLine(func(line []byte, number, start, end int64) bool {
		w.line, w.start, w.end, w.some = number, start, end, false
		w.known = early && end <= c.source.looked && c.format.Account(line)
		if err := w.record(d, line, emit); err != nil {
			w.fail(line, err)
		}
		return true
	})
	clip(c.marks)
}

// record decodes a line by its file's format, or by the one that it looks like when that finds nothing in it: files of
// several formats may have been joined.
func (w *worker[T]) record(d dialect.Decoder, line []byte, emit func(*dialect.Record) error) error {
	if len(line) > dialect.MaxLine {
		return dialect.ErrTooLong
	}
	err := d.Decode(line, emit)
	if err == nil || w.some {
		return err
	}
	for i := range w.r.o.Formats {
		if f := &w.r.o.Formats[i]; f != w.c.format && f.Sniff(line) {
			w.known = false
			return w.decoder(f).Decode(line, emit)
		}
	}
	return err
}

func (w *worker[T]) decoder(f *dialect.Format) dialect.Decoder {
	d := w.decoders[f.Name]
	if d == nil {
		d = f.New()
		w.decoders[f.Name] = d
	}
	return d
}

// fail keeps the reason why the line, or a part of it, was left out. A last line without an end is read again when
// the file has grown.
func (w *worker[T]) fail(line []byte, err error) {
	reason := err.Error()
	c := w.c
	if errors.Is(err, dialect.ErrSyntax) {
		reason += shape(line)
	}
	if c.block.open && len(c.marks) == 0 {
		reason += " (the last line has no end: the file may be incomplete)"
		c.lines, c.bytes = c.block.line, c.block.offset
	}
	c.rejects = append(c.rejects, rejection{w.line, reason})
}

// shape says what to do about JSON that is no JSON Lines.
func shape(line []byte) string {
	switch line = bytes.TrimSpace(line); {
	case len(line) == 1 && (line[0] == '{' || line[0] == '['):
		return " (JSON over several lines: write one record a line, as jq -c does)"
	case len(line) > 1 && line[0] == '[':
		return " (an array: write one record a line, as jq -c '.[]' does)"
	}
	return ""
}

// take receives a record of the decoder.
func (w *worker[T]) take(rec *dialect.Record) error {
	c := w.c
	w.some = true
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
	n := len(c.marks)
	if n == len(c.items) {
		var zero T
		c.items = append(c.items, zero)
		c.items = c.items[:cap(c.items)]
	}
	out := ms < w.r.since || ms >= w.r.until
	c.marks = append(c.marks, mark{time: ms, key: ms, id: xxh3.HashString(e.ID), line: w.line, start: w.start, end: w.end, out: out})
	if !out {
		w.measure(e, &c.items[n])
	}
	return nil
}

const clipAfter = 4

// clip keeps a single time far in the future from holding back the rest of its file: an item is merged no later than
// the latest of the clipAfter that follow it.
func clip(m []mark) {
	for i := range len(m) - 1 {
		if m[i].time <= m[i+1].time {
			continue
		}
		latest := slices.MaxFunc(m[i+1:min(i+1+clipAfter, len(m))], func(a, b mark) int { return int(min(1, max(-1, a.time-b.time))) })
		m[i].key = min(m[i].time, latest.time)
	}
}
