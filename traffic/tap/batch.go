package tap

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/palladium-guard/palladium"
)

// A chunk is as many records as one worker takes at a time.
const (
	chunkRecords = 64
	chunkBytes   = 256 << 10
)

// chunk is a run of records, and then what they hold. One goroutine owns it at a time.
type chunk struct {
	records  []Record
	accounts []palladium.Account
	items    []item
	rejects  []palladium.Reject
	rejected int64
	ready    chan struct{}
}

// item is one exchange, measured.
type item struct {
	obs   palladium.Observation
	model string
}

// next returns an item to overwrite; its memory is used again.
func (c *chunk) next() *item {
	if len(c.items) == cap(c.items) {
		c.items = append(c.items, item{})
	} else {
		c.items = c.items[:len(c.items)+1]
	}
	return &c.items[len(c.items)-1]
}

func (c *chunk) reject(r *Record, reason string, n int64) {
	c.rejected += n
	if len(c.rejects) < maxRejects {
		c.rejects = append(c.rejects, palladium.Reject{File: r.Source, Line: r.At, Reason: reason})
	}
}

// cut splits records into chunks.
func (in *Intake) cut(records []Record) (chunks []*chunk) {
	for len(records) > 0 {
		n, bytes := 0, 0
		for n < len(records) && n < chunkRecords && (n == 0 || bytes+len(records[n].Value) <= chunkBytes) {
			bytes += len(records[n].Value)
			n++
		}
		c := in.free.Get().(*chunk)
		c.records, c.ready = records[:n:n], make(chan struct{})
		chunks = append(chunks, c)
		records = records[n:]
	}
	return chunks
}

// batch is one Take.
type batch struct {
	in      *Intake
	chunks  []*chunk
	taken   Taken
	rejects []palladium.Reject
	model   uint64 // named last
	running sync.WaitGroup
}

// run has workers decode the chunks, and delivers each when its turn comes.
func (b *batch) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer b.running.Wait()
	defer cancel()
	var next atomic.Int64
	decode := func() {
		for {
			i := int(next.Add(1)) - 1
			if i >= len(b.chunks) {
				return
			}
			select {
			case w := <-b.in.idle:
				w.decode(b.chunks[i])
				b.in.idle <- w
				close(b.chunks[i].ready)
			case <-ctx.Done():
				return
			}
		}
	}
	if len(b.chunks) == 1 {
		decode()
	} else {
		for range min(len(b.chunks), b.in.o.Workers) {
			b.running.Go(decode)
		}
	}
	for _, c := range b.chunks {
		select {
		case <-c.ready:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := b.deliver(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// deliver gives a chunk to the sink.
func (b *batch) deliver(ctx context.Context, c *chunk) error {
	sink := b.in.o.Sink
	for i := range c.accounts {
		if err := sink.DescribeWait(ctx, &c.accounts[i]); err != nil {
			return err
		}
		b.taken.Accounts++
	}
	for i := range c.items {
		o := &c.items[i].obs
		if b.in.isKnown(o.ID) {
			b.taken.Duplicates++
			continue
		}
		if o.Model != b.model {
			b.model = o.Model
			sink.NameModel(o.Model, c.items[i].model)
		}
		if err := sink.ObserveWait(ctx, o); err != nil {
			return err
		}
		b.in.remember(o.ID) // not before: what was refused comes again
		b.taken.Exchanges++
	}
	b.taken.Rejected += c.rejected
	b.rejects = append(b.rejects, c.rejects[:min(len(c.rejects), maxRejects-len(b.rejects))]...)
	return nil
}

// recycle puts the chunks back without what they held.
func (b *batch) recycle() {
	for _, c := range b.chunks {
		clear(c.accounts)
		c.records, c.accounts, c.items, c.rejects, c.rejected = nil, c.accounts[:0], c.items[:0], c.rejects[:0], 0
		b.in.free.Put(c)
	}
}
