package file

import (
	"cmp"
	"container/heap"
	"context"
	"math"
	"slices"
)

// Sizes of the pipeline.
const (
	blockSize  = 256 << 10
	smallBlock = 64 << 10 // when many files are merged
	outSize    = 512      // items gathered from several files before they are delivered
	longRun    = 32       // items of one file that are delivered without being gathered
)

// cursor is the merge's place in one file.
type cursor[T any] struct {
	source   *source
	queue    chan *chunk[T]
	cur      *chunk[T]
	coming   []*chunk[T] // taken from the queue ahead of their turn
	i        int         // next item of cur
	hold     int         // item of cur at which the file is left; math.MaxInt for none
	rejects  int         // next rejection of cur
	accounts int         // next account of cur
	clock    clock
	follow   []int64 // times that follow a doubtful one; kept for its memory
	stop     context.CancelFunc
	moved    bool // the position has no tail yet
	done     bool
}

func (c *cursor[T]) key() int64 { return c.cur.marks[c.i].key }

// cursors is a heap of the open files: the one with the earliest item is first, equal ones in the order named.
type cursors[T any] []*cursor[T]

func (h cursors[T]) Len() int      { return len(h) }
func (h cursors[T]) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h cursors[T]) Less(i, j int) bool {
	a, b := h[i].key(), h[j].key()
	return a < b || (a == b && h[i].source.index < h[j].source.index)
}
func (h *cursors[T]) Push(c any) { *h = append(*h, c.(*cursor[T])) }
func (h *cursors[T]) Pop() any {
	last := len(*h) - 1
	c := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return c
}

// merge runs the pipeline: readers fill queues, workers fill chunks, and this goroutine takes the chunks of each file
// in order and delivers their items by time.
func (r *reading[T]) merge(ctx context.Context) error {
	r.block, r.ahead = blockSize, 2*r.o.Workers
	if len(r.sources) > 16 {
		r.block, r.ahead = smallBlock, 2
	}
	r.jobs = make(chan *chunk[T])
	r.free = make(chan *chunk[T], 4*r.o.Workers+16)
	for n := range r.o.Workers {
		r.running.Go(func() { r.work(ctx, n) })
	}
	for _, s := range r.sources {
		s.start.Path = s.path
		r.stats.Position[s.index] = s.start
	}
	m := &merger[T]{r: r, ctx: ctx, waiting: slices.Clone(r.sources), out: make([]T, outSize), ids: r.o.Seen}
	if m.ids == nil {
		m.ids = new(Seen)
	}
	slices.SortStableFunc(m.waiting, func(a, b *source) int { return cmp.Compare(a.first, b.first) })
	err := m.run()
	if err != nil && err == ctx.Err() {
		// What is in hand counts as seen, and as passed by the positions.
		if e := m.flush(); e != nil {
			return e
		}
	}
	return err
}

// merger orders files by the key of their next item. There are few open files at a time: one is opened when the
// merge comes near its first exchange.
type merger[T any] struct {
	r       *reading[T]
	ctx     context.Context
	waiting []*source // not open yet, by the time of the first exchange
	open    cursors[T]
	out     []T
	n       int // items in out
	ids     *Seen
	current string // file last taken from
}

func (m *merger[T]) run() error {
	for {
		limit, err := m.pick()
		if err != nil {
			return err
		}
		if len(m.open) == 0 {
			return m.flush()
		}
		c := m.open[0]
		if err := m.takeRun(c, limit); err != nil {
			return err
		}
		if c.done {
			// Its key is gone, but Pop would compare it: the last one takes its place first.
			m.open.Swap(0, len(m.open)-1)
			m.open.Pop()
		}
		if len(m.open) > 0 {
			heap.Fix(&m.open, 0)
		}
	}
}

// pick brings the file with the earliest item to the head of the heap and returns the key up to which it stays the
// earliest. The heap is empty at the end.
func (m *merger[T]) pick() (int64, error) {
	for len(m.waiting) > 0 && (len(m.open) == 0 || m.open[0].key() >= m.waiting[0].first) {
		next := m.waiting[0]
		m.waiting = m.waiting[1:]
		if err := m.start(next); err != nil {
			return 0, err
		}
	}
	limit := int64(math.MaxInt64)
	for _, c := range m.open[min(1, len(m.open)):min(3, len(m.open))] {
		limit = min(limit, c.key())
	}
	if len(m.waiting) > 0 {
		// Strictly before: an equal key of a file named earlier would come first.
		limit = min(limit, m.waiting[0].first-1)
	}
	return limit, nil
}

// start opens a file and goes to its first item.
func (m *merger[T]) start(s *source) error {
	ctx, stop := context.WithCancel(m.ctx)
	c := &cursor[T]{source: s, queue: make(chan *chunk[T], m.r.ahead), stop: stop, clock: clock{now: never}}
	follow := func() { m.r.follow(ctx, s, c.queue) }
	if !s.once {
		m.r.running.Go(follow)
	} else {
		go follow() // may hang in a read that nothing can interrupt
	}
	if err := m.advance(c); err != nil {
		return err
	}
	if !c.done {
		heap.Push(&m.open, c)
	}
	return nil
}

// advance goes to the next chunk that holds an item and closes the file at its end.
func (m *merger[T]) advance(c *cursor[T]) error {
	for {
		if c.cur != nil {
			if c.i < len(c.cur.marks) {
				return nil
			}
			if err := m.asides(c, math.MaxInt64); err != nil {
				return err
			}
			m.stand(c, c.cur.lines, c.cur.bytes)
			m.seal(c)
			m.r.recycle(c.cur)
			c.cur = nil
		}
		if len(c.coming) == 0 {
			if err := m.pull(c); err != nil {
				return err
			}
		}
		if len(c.coming) == 0 {
			c.stop()
			c.done = true
			return m.ctx.Err()
		}
		c.cur, c.coming = c.coming[0], c.coming[1:]
		c.i, c.rejects, c.accounts = 0, 0, 0
		if err := m.date(c); err != nil {
			return err
		}
		m.current = c.source.path
		m.r.report(m.current)
	}
}

// pull takes the next chunk from the queue, if there is one, and waits until its text is decoded.
func (m *merger[T]) pull(c *cursor[T]) error {
	select {
	case next, more := <-c.queue:
		if !more {
			return nil
		}
		select {
		case <-next.ready:
		case <-m.ctx.Done():
			return m.ctx.Err()
		}
		c.coming = append(c.coming, next)
	case <-m.ctx.Done():
		return m.ctx.Err()
	}
	return nil
}

// date judges the times of the current chunk by the file's running time.
func (m *merger[T]) date(c *cursor[T]) error {
	if at := c.source.start; c.clock.now == never && at.Clock != 0 {
		c.clock.now = at.Clock
	}
	marks := c.cur.marks
	c.hold = math.MaxInt
	holds := m.r.o.Hold && !c.source.once
	line := 0 // first item of the line
	for i := range marks {
		k := &marks[i]
		if k.line != marks[line].line {
			line = i
		}
		if !c.clock.believes(k.time) {
			if err := m.hear(c, i+1); err != nil {
				return err
			}
			if k.wrong = c.clock.wrong(k.time, c.follow); k.wrong != 0 {
				k.key = k.time - k.wrong // in its place
				continue
			}
			if n := min(len(c.follow), clipAfter); n > 0 {
				k.key = min(k.time, slices.Max(c.follow[:n]))
			}
		}
		k.late = c.clock.now != never && k.time < c.clock.now-day
		c.clock.take(k.key)
		if holds && k.time >= m.r.until && c.hold == math.MaxInt {
			c.hold = line
		}
	}
	return nil
}

// hear gathers the times that follow from the current chunk's item number i on, from a few chunks ahead where it must.
func (m *merger[T]) hear(c *cursor[T], i int) error {
	c.follow = c.follow[:0]
	add := func(marks []mark) {
		for _, k := range marks[:min(len(marks), jury-len(c.follow))] {
			c.follow = append(c.follow, k.time)
		}
	}
	add(c.cur.marks[i:])
	for n := 0; len(c.follow) < jury && n < quorum; n++ {
		if n == len(c.coming) {
			if err := m.pull(c); err != nil {
				return err
			}
		}
		if n == len(c.coming) {
			return nil
		}
		add(c.coming[n].marks)
	}
	return nil
}

// stand notes how far c has come in its current chunk.
func (m *merger[T]) stand(c *cursor[T], lines, bytes int64) {
	p := &m.r.stats.Position[c.source.index]
	if p.Lines == lines && p.Bytes == bytes {
		return
	}
	start := c.source.start
	p.Identity, p.Continues = start.Identity, start.Continues
	p.Lines, p.Bytes = lines, bytes
	if c.clock.now != never {
		p.Clock = c.clock.now
	}
	p.Tail = Tail{}
	c.moved = true
}

// seal adds what tells the position of c from one of another file. The text is at hand as long as the chunk is.
func (m *merger[T]) seal(c *cursor[T]) {
	if !c.moved || c.cur == nil {
		return
	}
	c.moved = false
	p := &m.r.stats.Position[c.source.index]
	text := c.cur.block.text
	if n := p.Bytes - c.cur.block.offset; n > 0 && n <= int64(len(text)) {
		p.Tail = tailOf(text[:n])
	}
}

// leave leaves a file before the line of its next item.
func (m *merger[T]) leave(c *cursor[T]) error {
	k := c.cur.marks[c.i]
	if err := m.asides(c, k.line); err != nil {
		return err
	}
	m.stand(c, k.line-1, k.start)
	m.seal(c)
	m.r.stats.Held++
	c.stop()
	c.done, c.cur, c.coming = true, nil, nil
	return nil
}

// asides delivers what the chunk holds beside its items, up to before line.
func (m *merger[T]) asides(c *cursor[T], line int64) error {
	for ; c.accounts < len(c.cur.accounts) && c.cur.accounts[c.accounts].line < line; c.accounts++ {
		m.r.stats.Accounts++
		if err := m.r.account(&c.cur.accounts[c.accounts].account); err != nil {
			return err
		}
	}
	for ; c.rejects < len(c.cur.rejects) && c.cur.rejects[c.rejects].line < line; c.rejects++ {
		x := c.cur.rejects[c.rejects]
		m.r.reject(c.source.path, x.line, x.reason)
	}
	return nil
}

// takeRun takes the items of c up to the key limit, at least one line's. A long run is delivered as it lies; a short
// one is gathered with those of other files.
func (m *merger[T]) takeRun(c *cursor[T], limit int64) error {
	if c.i == c.hold {
		return m.leave(c)
	}
	marks := c.cur.marks
	last := c.i + 1
	for last < min(len(marks), c.hold) && (marks[last].key <= limit || marks[last].line == marks[last-1].line) {
		last++
	}
	long := last-c.i >= longRun
	if long || m.n+last-c.i > len(m.out) {
		if err := m.flush(); err != nil {
			return err
		}
	}
	kept, first := c.i, c.i // items[first:kept] are to be delivered
	for ; c.i < last; c.i++ {
		if err := m.asides(c, marks[c.i].line); err != nil {
			return err
		}
		if !m.admit(c, marks[c.i]) {
			continue
		}
		if kept != c.i {
			c.cur.items[kept], c.cur.items[c.i] = c.cur.items[c.i], c.cur.items[kept]
		}
		kept++
	}
	m.stand(c, marks[last-1].line, marks[last-1].end)
	if !long {
		for i := first; i < kept; i++ {
			// Swapped, so that both keep memory to reuse.
			m.out[m.n], c.cur.items[i] = c.cur.items[i], m.out[m.n]
			m.n++
		}
		return m.advance(c)
	}
	if last == len(marks) {
		// What follows the last item is part of the position told with it.
		if err := m.asides(c, math.MaxInt64); err != nil {
			return err
		}
		m.stand(c, c.cur.lines, c.cur.bytes)
	}
	if err := m.hand(c.cur.items[first:kept]); err != nil {
		return err
	}
	return m.advance(c)
}

// admit checks an item against what came before it: its time and its id.
func (m *merger[T]) admit(c *cursor[T], k mark) bool {
	if k.wrong != 0 {
		m.r.reject(c.source.path, k.line, off(k.wrong))
		return false
	}
	if k.out {
		m.r.stats.Filtered++
		return false
	}
	if !m.ids.Add(k.id) {
		m.r.stats.Duplicates++
		m.r.reject(c.source.path, k.line, "duplicate id: an exchange with this id was read before")
		return false
	}
	if k.late {
		m.r.stats.OutOfOrder++
	}
	return true
}

func (m *merger[T]) flush() error {
	n := m.n
	m.n = 0
	return m.hand(m.out[:n])
}

// hand delivers items.
func (m *merger[T]) hand(items []T) error {
	if len(items) == 0 {
		return nil
	}
	m.r.stats.Exchanges += int64(len(items))
	for _, c := range m.open {
		m.seal(c)
	}
	if err := m.r.emit(Batch[T]{Items: items, Position: m.r.stats.Position}); err != nil {
		return err
	}
	m.r.report(m.current)
	return nil
}
