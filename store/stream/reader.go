package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/store/stream/batch"
	"github.com/palladium-guard/palladium/store/stream/fetch"
)

// Position is the place of a batch in the stream: that of the last one taken in. Zero stands for none.
type Position uint64

// Handler takes in what the stream holds, in its order, from one goroutine. What it is given by pointer is reused when
// the call returns; strings may be kept. Position comes after each batch: what came before it is complete. An error of
// Position ends the reading.
type Handler interface {
	Describe(*palladium.Account)
	NameModel(hash uint64, name string)
	Observe(*palladium.Observation)
	Position(Position) error
}

// Rememberer is a Handler that keeps what Read knows of publishers together with its position, so that batches sent
// again are known for such after a restart too. A handler that is none loses at most that.
type Rememberer interface {
	Handler
	// Memory returns the memory that belongs to the position with which Read was called; Read changes it before each call
	// of Position and at no other time.
	Memory() *Memory
}

// Timed is a Handler that is told how old what it is handed is.
type Timed interface {
	Handler
	// Stored is called before a batch is handed on: when the stream took it, by its own clock, and how many batches waited
	// behind it when the stream handed it out.
	Stored(at time.Time, waiting uint64)
}

// Memory is what a reader knows of publishers, so that it hands on each batch once. It is kept as bytes.
type Memory = batch.Memory

// Read hands to h what comes after the position, in stream order, and waits for more, until ctx ends; it then returns
// its error. It goes on by itself after a loss of the connection, and waits for a stream that is not there yet. It
// returns ErrGap where what comes next is gone, and the error of h. What is damaged, or what only a newer build can read, is
// passed over, counted and told: see Unread. Position 0 reads all that is kept.
func (s *Stream) Read(ctx context.Context, after Position, h Handler) error {
	r := reading{stream: s, at: after, to: h, memory: &Memory{}}
	if m, ok := h.(Rememberer); ok {
		r.memory = m.Memory()
	}
	said := ""
	for {
		err := r.run(ctx)
		if end := s.ended(ctx); end != nil {
			return end
		}
		if r.final {
			return err
		}
		if says := text(err); says != said {
			said = says
			s.log.Warn("stream: reading is interrupted, it goes on when it can", "error", err)
		}
		if err := s.wait(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}

// ended returns why nothing more is to be done; nil when something is.
func (s *Stream) ended(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !s.open() {
		return ErrClosed
	}
	return nil
}

// reading is one call of Read.
type reading struct {
	stream *Stream
	at     Position // what was taken in
	to     Handler
	memory *Memory
	in     batch.Reader
	final  bool // the error ends the reading
}

// stop makes err the end of the reading.
func (r *reading) stop(err error) error {
	r.final = true
	return err
}

// run reads until something fails.
func (r *reading) run(ctx context.Context) error {
	s := r.stream
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-s.end:
			cancel()
		case <-ctx.Done():
		}
	}()
	str, err := s.js.Stream(ctx, s.streamName())
	if err != nil {
		return fmt.Errorf("look at the stream: %w", err)
	}
	if err := r.check(ctx, str); err != nil {
		return err
	}
	messages := fetch.Open(s.js, s.streamName(), uint64(r.at))
	defer messages.Close()
	for {
		m, err := messages.Next(ctx)
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		if t, ok := r.to.(Timed); ok {
			t.Stored(m.Time, m.Waiting)
		}
		if err := r.take(ctx, str, Position(m.Sequence), m.Data); err != nil {
			return err
		}
	}
}

// check reports ErrGap where the stream does not hold what comes after the position.
func (r *reading) check(ctx context.Context, str jetstream.Stream) error {
	if r.at == 0 {
		return nil
	}
	info, err := str.Info(ctx)
	if err != nil {
		return fmt.Errorf("look at the stream: %w", err)
	}
	first, last := Position(info.State.FirstSeq), Position(info.State.LastSeq)
	if first > r.at+1 {
		return r.stop(fmt.Errorf("%w: the first is %d, after %d was asked for", ErrGap, first, r.at))
	}
	if last < r.at {
		return r.stop(fmt.Errorf("%w: the stream ends at %d, before %d: its end was lost", ErrGap, last, r.at))
	}
	return r.same(ctx, str)
}

// same reports ErrGap where another batch than the one taken in stands at the position: the stream has lost its end, and
// has grown since.
func (r *reading) same(ctx context.Context, str jetstream.Stream) error {
	latest := r.memory.Latest()
	if latest == (batch.Head{}) {
		return nil
	}
	m, err := str.GetMsg(ctx, uint64(r.at))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil // released
	}
	if err != nil {
		return fmt.Errorf("look at the position: %w", err)
	}
	if h, err := r.in.Head(m.Data); err == nil && (h.Instance != latest.Instance || h.Number != latest.Number) {
		return r.stop(fmt.Errorf("%w: another batch stands at %d than the one taken in: the end of the stream was lost", ErrGap, r.at))
	}
	return nil
}

// take hands on one message.
func (r *reading) take(ctx context.Context, str jetstream.Stream, at Position, data []byte) error {
	if at <= r.at {
		return nil
	}
	if r.at > 0 && at != r.at+1 {
		info, err := str.Info(ctx)
		if err != nil {
			return fmt.Errorf("look at the stream: %w", err)
		}
		if first := Position(info.State.FirstSeq); first > r.at+1 {
			return r.stop(fmt.Errorf("%w: the first is %d, after %d was asked for", ErrGap, first, r.at))
		}
		// What is missing within was deleted by hand; nothing is lost by trimming.
	}
	h, err := r.in.Head(data)
	switch {
	case err != nil:
		r.memory.Pass()
		r.passOver(at, err)
	case r.memory.Add(h):
		c := counting{r.to, 0}
		if _, err := r.in.Read(data, &c); err != nil {
			r.passOver(at, err)
		}
		r.stream.read.Add(c.n)
	default:
		r.stream.duplicates.Add(1)
	}
	r.at = at
	if err := r.to.Position(at); err != nil {
		return r.stop(err)
	}
	return nil
}

// passOver counts a batch that cannot be read. The reading goes on: it would never get past it.
func (r *reading) passOver(at Position, err error) {
	if n, tell := r.stream.unread.Add(uint64(at), err, time.Now()); tell {
		r.stream.log.Error("stream: a batch cannot be read and is passed over; more that follow are told once a minute", "position", at, "error", err, "passed_over", n)
	}
}

// Unread reports whether all batches of the last hour could be read by readers in this process, and says what to do where not.
func (s *Stream) Unread() (ok bool, says string) { return s.unread.Health(time.Now()) }

// counting counts observations on their way.
type counting struct {
	Handler
	n int64
}

func (c *counting) Observe(o *palladium.Observation) {
	c.n++
	c.Handler.Observe(o)
}

// Last returns the position of the latest batch that the stream holds, or has held; 0 when there was none.
func (s *Stream) Last(ctx context.Context) (Position, error) {
	str, err := s.js.Stream(ctx, s.streamName())
	if err != nil {
		return 0, fmt.Errorf("look at the stream: %w", err)
	}
	st := str.CachedInfo().State
	if st.LastSeq < st.FirstSeq && st.LastTime.IsZero() {
		return 0, nil
	}
	return Position(st.LastSeq), nil
}

// Behind returns how many batches the stream holds after a position.
func (s *Stream) Behind(ctx context.Context, at Position) (uint64, error) {
	str, err := s.js.Stream(ctx, s.streamName())
	if err != nil {
		return 0, fmt.Errorf("look at the stream: %w", err)
	}
	st := str.CachedInfo().State
	return min(st.Msgs, st.LastSeq-min(st.LastSeq, uint64(at))), nil
}
