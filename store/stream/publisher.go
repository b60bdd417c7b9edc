package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/store/stream/batch"
)

// ErrTooLarge is returned for an observation, description or name that does not fit into a message.
var ErrTooLarge = fmt.Errorf("record is longer than %d bytes and was dropped", batch.MaxRecord)

const (
	fill    = 16 << 10              // bytes at which a batch is sent
	gather  = 50 * time.Millisecond // time after which it is sent anyway
	window  = 128                   // batches from the first not acknowledged to the last sent; Memory covers twice as many
	shortly = 50 * time.Millisecond // pause after a first refusal; it doubles up to a second
	overdue = 5 * time.Second       // an acknowledgement is waited for
	remind  = 5 * time.Minute       // after which the name of a model is sent again
	recent  = time.Minute           // for which Health speaks of what was dropped
)

// Publisher sends observations. It holds what is not acknowledged, within Config.Memory, and sends it again after a loss
// of the connection, in order. It is safe for concurrent use.
type Publisher struct {
	stream   *Stream
	source   string
	instance uint64
	timer    *time.Timer
	wake     chan struct{} // of the goroutine that sends; holds one

	mu         sync.Mutex
	closed     bool
	writer     batch.Writer
	open       bool      // a batch is being written
	since      time.Time // when it was begun
	number     uint64    // of the latest batch
	queue      []*flight // batches not acknowledged, in order; numbers follow each other
	next       int       // the first in queue that is to be sent
	flying     int       // sent, and neither acknowledged nor refused
	sending    *flight   // whose message is being read without the lock
	trouble    error     // a batch was refused or lost: what is not acknowledged is to be sent again
	last       error     // the trouble before, until something is acknowledged
	anew       bool      // the connection is new: the same, at once
	connection uint64    // that was sent on last
	resume     time.Time // nothing is sent before
	pause      time.Duration
	limit      int // window, but one after trouble, until a batch is acknowledged
	held       int // bytes of messages in queue
	spare      []*flight
	changed    chan struct{} // closed and replaced when something is acknowledged; nil when nobody waits
	names      map[uint64]time.Time
	accepted   uint64 // observations
	acked      uint64
	dropped    uint64
	drops      time.Time // of the latest drop
	before     uint64    // dropped when the present minute of drops began
	minute     time.Time
}

// flight is a batch on its way.
type flight struct {
	number       uint64
	message      []byte
	packed       []byte // memory of a compressed message
	observations int
	sent         time.Time
	state        byte
}

const (
	waiting = iota
	flying
	acked
	refused
)

// Publisher returns a new publisher. source says who publishes, such as gateway or tap.kafka; it is for people to read.
func (s *Stream) Publisher(source string) *Publisher {
	p := &Publisher{stream: s, source: source, instance: rand.Uint64() | 1, wake: make(chan struct{}, 1), pause: shortly, limit: window, names: make(map[uint64]time.Time)}
	p.timer = time.AfterFunc(time.Hour, p.ripe)
	p.timer.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		p.closed = true
		return p
	}
	s.publishers = append(s.publishers, p)
	s.work.Go(p.send)
	return p
}

// Observe takes a copy of o, or drops and counts it where the publisher's memory is full. It does not block.
func (p *Publisher) Observe(o *palladium.Observation) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.room() {
		p.drop()
		return
	}
	p.observe(o)
}

// observe writes o, for which there is room. The caller holds the lock.
func (p *Publisher) observe(o *palladium.Observation) bool {
	p.begin()
	ok := p.writer.Observe(o)
	if ok {
		p.accepted++
	} else {
		p.drop()
	}
	p.seal(false)
	return ok
}

// Describe takes a copy of a, or drops it where the publisher's memory is full. It does not block.
func (p *Publisher) Describe(a *palladium.Account) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.room() {
		p.begin()
		p.writer.Describe(a)
		p.seal(false)
	}
}

// NameModel says what name is behind a model's hash. It may be called for every exchange: a name is sent when it is new
// and every few minutes. It does not block.
func (p *Publisher) NameModel(hash uint64, name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if last, ok := p.names[hash]; ok && now.Sub(last) < remind || !p.room() {
		return
	}
	if len(p.names) >= 1<<12 {
		clear(p.names)
	}
	p.names[hash] = now
	p.begin()
	p.writer.NameModel(hash, name)
	p.seal(false)
}

// ObserveWait is Observe for those who can wait for room. It returns ErrTooLarge, ErrClosed or the error of ctx.
func (p *Publisher) ObserveWait(ctx context.Context, o *palladium.Observation) error {
	return p.await(ctx, p.room, func() error {
		if !p.observe(o) {
			return ErrTooLarge
		}
		return nil
	})
}

// DescribeWait is Describe for those who can wait for room. It returns ErrTooLarge, ErrClosed or the error of ctx.
func (p *Publisher) DescribeWait(ctx context.Context, a *palladium.Account) error {
	return p.await(ctx, p.room, func() (err error) {
		p.begin()
		if !p.writer.Describe(a) {
			err = ErrTooLarge
		}
		p.seal(false)
		return err
	})
}

// Flush returns when all that was accepted before is acknowledged by the stream: see docs/stream.md for what that
// survives. It returns ErrClosed or the error of ctx, in which case what is not acknowledged stays held.
func (p *Publisher) Flush(ctx context.Context) error {
	p.mu.Lock()
	p.seal(true)
	upto := p.number
	p.mu.Unlock()
	done := func() bool { return len(p.queue) == 0 || p.queue[0].number > upto }
	return p.await(ctx, done, func() error { return nil })
}

// await does what once there is what is waited for, which is looked at whenever something was acknowledged. Both are called
// under the lock.
func (p *Publisher) await(ctx context.Context, there func() bool, what func() error) error {
	for {
		p.mu.Lock()
		if there() {
			defer p.mu.Unlock()
			return what()
		}
		if p.closed {
			p.mu.Unlock()
			return ErrClosed
		}
		if p.changed == nil {
			p.changed = make(chan struct{})
		}
		changed := p.changed
		trouble := cmp.Or(p.trouble, p.last)
		p.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			if trouble != nil {
				return fmt.Errorf("%w: the stream says: %w", ctx.Err(), trouble)
			}
			return ctx.Err()
		}
	}
}

// Counts are how many observations were acknowledged by the stream, and how many dropped.
func (p *Publisher) Counts() (published, dropped uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.acked, p.dropped
}

func (p *Publisher) standing() standing {
	p.mu.Lock()
	defer p.mu.Unlock()
	st := standing{held: p.held + p.writer.Len(), accepted: p.accepted, acknowledged: p.acked, dropped: p.dropped, trouble: cmp.Or(p.trouble, p.last)}
	if p.dropped > 0 && time.Since(p.drops) < recent {
		st.recent = p.dropped - p.before
	}
	return st
}

// room reports whether anything more is taken. The caller holds the lock, as for all that follows up to close.
func (p *Publisher) room() bool { return !p.closed && p.held < int(p.stream.config.Memory) }

func (p *Publisher) drop() {
	now := time.Now()
	if now.Sub(p.minute) > recent {
		p.minute, p.before = now, p.dropped
	}
	p.drops = now
	p.dropped++
}

// begin opens a batch where none is open.
func (p *Publisher) begin() {
	if p.open {
		return
	}
	var f *flight
	if n := len(p.spare); n > 0 {
		f, p.spare = p.spare[n-1], p.spare[:n-1]
	} else {
		f = &flight{message: make([]byte, 0, fill+fill/4)}
	}
	p.number++
	f.number, f.state = p.number, waiting
	p.writer.Begin(f.message, batch.Head{Source: p.source, Instance: p.instance, Number: p.number})
	f.message = nil
	p.queue = append(p.queue, f)
	p.open, p.since = true, time.Now()
	p.timer.Reset(gather)
}

// seal ends the open batch when it is full, or in any case.
func (p *Publisher) seal(anyway bool) {
	if !p.open || !anyway && p.writer.Len() < fill {
		return
	}
	f := p.queue[len(p.queue)-1]
	f.observations = p.writer.Observations()
	f.message = p.writer.End()
	p.held += cap(f.message)
	p.open = false
	p.poke()
}

// poke has the goroutine that sends look.
func (p *Publisher) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// ripe ends the open batch when it has been open for long enough.
func (p *Publisher) ripe() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open {
		if left := gather - time.Since(p.since); left > 0 {
			p.timer.Reset(left)
			return
		}
		p.seal(true)
	}
}

// again has all that is not acknowledged sent again, as the connection is new.
func (p *Publisher) again() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.anew = true
	p.poke()
}

func (p *Publisher) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.timer.Stop()
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
	p.poke()
}

// send sends batches and follows what becomes of them, until the stream is closed.
func (p *Publisher) send() {
	conn := p.stream.conn
	inbox := nats.NewInbox()
	var sub *nats.Subscription
	for sub == nil {
		var err error
		sub, err = conn.Subscribe(inbox+".*", func(m *nats.Msg) { p.answered(m.Subject[len(inbox)+1:], m) })
		if err != nil && p.stream.wait(context.Background(), 100*time.Millisecond) != nil {
			return
		}
	}
	_ = sub.SetPendingLimits(-1, -1) // there are never more than window
	defer func() { _ = sub.Unsubscribe() }()
	message := &nats.Msg{Subject: p.stream.subject(), Header: nats.Header{}}
	prefix := strconv.FormatUint(p.instance, 16) + "-"
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for p.stream.open() {
		connected := conn.IsConnected()
		f, wait := p.pick(connected, conn.Stats().Reconnects)
		if f == nil {
			var later <-chan time.Time
			if wait > 0 {
				later = time.After(wait)
			}
			select {
			case <-p.stream.end:
				return
			case <-p.wake:
			case <-later:
			case <-tick.C:
			}
			continue
		}
		number := strconv.FormatUint(f.number, 10)
		message.Reply = inbox + "." + number
		message.Header["Nats-Msg-Id"] = []string{prefix + number}
		message.Data = f.message
		if p.stream.config.Compress {
			message.Data = batch.Compress(f.message, f.packed)
			if &message.Data[0] != &f.message[0] {
				f.packed = message.Data
			}
		}
		if err := conn.PublishMsg(message); err != nil {
			p.refuse(f, err)
		}
	}
}

// pick returns the next batch to send, or nil and how long to wait at most; zero: until something happens. connection counts
// connections, and is read after connected: a new one is told by it, since the callback that tells of it comes later, and a batch
// sent in between would overtake those that the old connection lost.
func (p *Publisher) pick(connected bool, connection uint64) (*flight, time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if connection != p.connection {
		p.connection, p.anew = connection, true
	}
	p.sending = nil
	now := time.Now()
	if len(p.queue) > 0 && p.queue[0].state == flying && now.Sub(p.queue[0].sent) > overdue {
		p.fault(errors.New("no acknowledgement in time"))
		p.flying = 0
	}
	switch {
	case !connected:
		return nil, 100 * time.Millisecond
	case p.anew:
		p.rewind(now)
	case p.trouble != nil && p.flying > 0:
		return nil, 100 * time.Millisecond // what is under way comes back first, so that little is sent twice
	case p.trouble != nil:
		p.rewind(now.Add(p.pause))
		p.pause = min(2*p.pause, time.Second)
	}
	if wait := p.resume.Sub(now); wait > 0 {
		return nil, wait
	}
	for p.next < len(p.queue) && p.queue[p.next].state == acked {
		p.next++
	}
	if p.next == len(p.queue) || p.open && p.next == len(p.queue)-1 || p.next >= p.limit {
		return nil, 0
	}
	f := p.queue[p.next]
	f.state, f.sent = flying, now
	p.next++
	p.flying++
	p.sending = f
	return f, 0
}

// rewind has all that is not acknowledged sent again from then on, one batch first. The caller holds the lock.
func (p *Publisher) rewind(then time.Time) {
	p.anew, p.next, p.flying, p.resume, p.limit = false, 0, 0, then, 1
	p.last, p.trouble = p.trouble, nil
	for _, f := range p.queue {
		if f.state != acked {
			f.state = waiting
		}
	}
}

// fault notes that something has to be sent again. The caller holds the lock.
func (p *Publisher) fault(err error) {
	p.trouble = err
	p.poke()
	select {
	case p.stream.nudge <- struct{}{}:
	default:
	}
}

// refuse notes that f was not taken.
func (p *Publisher) refuse(f *flight, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f.state == flying {
		f.state = refused
		p.flying--
		p.fault(err)
	}
}
