// Package stream carries observations from gateways to detectors, and tables of verdicts back, over NATS JetStream: a
// server in this process, servers that run elsewhere, or a cluster that processes of palladium form themselves. Batches
// arrive at least once and are handed on once. What publishers cannot hold is dropped and counted; nobody waits for a
// stream that is full or gone unless he asks to.
package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/palladium-guard/palladium/store/stream/batch"
)

// ErrGap says that observations between a reader's position and what is kept are gone: trimmed by age, or lost with the
// stream. The reader has to state where it goes on.
var ErrGap = errors.New("observations after this position are no longer in the stream")

// ErrClosed is returned after Close.
var ErrClosed = errors.New("the stream is closed")

// Stream is a connection to the stream, and the server too where that runs in this process. It is safe for concurrent use.
type Stream struct {
	config Config
	log    *slog.Logger
	node   *node // nil: the servers run elsewhere
	conn   *nats.Conn
	js     jetstream.JetStream
	end    chan struct{} // closed by Close
	nudge  chan struct{} // has tend look at once; holds one
	work   sync.WaitGroup

	mu         sync.Mutex
	closed     bool
	publishers []*Publisher
	buckets    map[string]jetstream.KeyValue // those that are known to be there
	limited    bool                          // the stream's limits are as configured; of Open, and then of tend

	whole bool // all was there once; tend's

	state      atomic.Pointer[state]
	unread     batch.Unread // batches that could not be read
	duplicates atomic.Int64 // batches that came twice
	read       atomic.Int64 // observations handed to readers
}

// state is what was last seen of the observations' stream.
type state struct {
	err         error // why it was not seen
	full        bool
	bytes, most uint64
	messages    uint64
	first, last uint64
}

// Open opens the stream. It returns an error for what only an operator can put right; a server elsewhere, or the peers of
// a cluster, may come later: until then publishers hold what they are given, and Health says so. ctx bounds the opening
// alone.
func Open(ctx context.Context, c Config, log *slog.Logger) (*Stream, error) {
	c, err := c.fill()
	if err != nil {
		return nil, err
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := newStream(c, log)
	if c.URL == "" {
		if s.node, err = newNode(c, log); err != nil {
			return nil, err
		}
	}
	if err := s.connect(); err != nil {
		if s.node != nil {
			s.node.close()
		}
		return nil, err
	}
	if s.node != nil && c.Cluster.Name == "" {
		if err := s.arrange(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("open the stream: %w", err), s.Close())
		}
	}
	s.work.Go(s.tend)
	return s, nil
}

func newStream(c Config, log *slog.Logger) *Stream {
	s := &Stream{config: c, log: log, end: make(chan struct{}), nudge: make(chan struct{}, 1), buckets: map[string]jetstream.KeyValue{}}
	s.state.Store(&state{err: errors.New("not seen yet")})
	return s
}

// connect makes the connection, which looks for the servers for as long as it is not closed.
func (s *Stream) connect() error {
	c := s.config
	opts := []nats.Option{
		nats.Name("palladium"), nats.MaxReconnects(-1), nats.ReconnectWait(200 * time.Millisecond), nats.ReconnectJitter(100*time.Millisecond, 100*time.Millisecond),
		nats.ReconnectBufSize(-1), nats.RetryOnFailedConnect(true), nats.Timeout(5 * time.Second), nats.PingInterval(2 * time.Second), nats.MaxPingsOutstanding(3),
		nats.ReconnectHandler(func(*nats.Conn) { s.again() }), nats.ConnectHandler(func(*nats.Conn) { s.again() }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				s.log.Warn("stream: connection lost, looking for it", "error", err)
			}
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { s.log.Debug("stream: connection", "error", err) }),
		nats.FlusherTimeout(5 * time.Second),
	}
	url := c.URL
	if s.node != nil {
		url = nats.DefaultURL
		opts = append(opts, nats.InProcessServer(s.node))
		if s.node.user != "" {
			opts = append(opts, nats.UserInfo(s.node.user, s.node.password))
		}
	} else {
		more, err := c.credentials()
		if err != nil {
			return err
		}
		opts = append(opts, more...)
	}
	conn, err := nats.Connect(url, opts...)
	if err != nil {
		return fmt.Errorf("%w: connect to the stream: %w", ErrConfig, err)
	}
	if s.js, err = jetstream.New(conn, jetstream.WithDefaultTimeout(5*time.Second)); err != nil {
		conn.Close()
		return fmt.Errorf("connect to the stream: %w", err)
	}
	s.conn = conn
	return nil
}

// credentials are how servers elsewhere are told who connects.
func (c Config) credentials() (opts []nats.Option, err error) {
	secure, err := load(c.TLS, false)
	if err != nil {
		return nil, fmt.Errorf("%w: stream.tls: %w", ErrConfig, err)
	}
	if secure != nil {
		opts = append(opts, nats.Secure(secure))
	}
	if c.Credentials != "" {
		opts = append(opts, nats.UserCredentials(c.Credentials))
	}
	if c.NKey != "" {
		o, err := nats.NkeyOptionFromSeed(c.NKey)
		if err != nil {
			return nil, fmt.Errorf("%w: stream.nkey: %w", ErrConfig, err)
		}
		opts = append(opts, o)
	}
	if c.TokenFile != "" {
		if _, err := secret(c.TokenFile); err != nil {
			return nil, fmt.Errorf("%w: stream.token_file: %w", ErrConfig, err)
		}
		opts = append(opts, nats.TokenHandler(func() string {
			t, _ := secret(c.TokenFile) // read again for each connection, as it may have been replaced
			return t
		}))
	}
	return opts, nil
}

// Close ends publishers, connection and server. What publishers hold is lost: Flush them before.
func (s *Stream) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	close(s.end)
	publishers := s.publishers
	s.mu.Unlock()
	for _, p := range publishers {
		p.close()
	}
	s.work.Wait()
	s.conn.Close()
	if s.node != nil {
		s.node.close()
	}
	return nil
}

// again has all publishers send again what the lost connection may not have carried.
func (s *Stream) again() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.publishers {
		p.again()
	}
}

// The names on the servers.
func (s *Stream) streamName() string      { return s.config.Name + "-observations" }
func (s *Stream) subject() string         { return s.config.Name + ".observations" }
func (s *Stream) bucket(of string) string { return s.config.Name + "-" + of }

// Servers gives what a package below this one needs to keep more on the same servers: the installation's name, and of how many
// replicas what it makes shall be.
func (s *Stream) Servers() (js jetstream.JetStream, name string, replicas int) {
	return s.js, s.config.Name, s.config.copies()
}

// Whole reports whether the stream still holds its first observation, so that who reads it from its beginning misses nothing.
func (s *Stream) Whole(ctx context.Context) (bool, error) {
	str, err := s.js.Stream(ctx, s.streamName())
	if err != nil {
		return false, fmt.Errorf("look at the stream: %w", err)
	}
	info := str.CachedInfo()
	return info.State.FirstSeq <= max(1, info.Config.FirstSeq), nil
}

// ticks that a stream made anew begins at, a second: more than batches can come in, so that positions in an earlier stream
// of the same name lie before it.
const ticks = 1 << 20

// ensure makes the observations' stream where it is not there. What the configuration says of its limits is set once: other
// processes may have been told otherwise.
func (s *Stream) ensure(ctx context.Context) (*jetstream.StreamInfo, error) {
	have, err := s.js.Stream(ctx, s.streamName())
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		have, err = s.js.CreateStream(ctx, s.wanted())
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			have, err = s.js.Stream(ctx, s.streamName())
		}
	}
	if err != nil {
		return nil, err
	}
	if !s.limited {
		if have, err = s.limit(ctx, have); err != nil {
			return nil, fmt.Errorf("set the limits of the stream: %w", err)
		}
		s.limited = true
	}
	return have.CachedInfo(), nil
}

// wanted is the observations' stream as it is made.
func (s *Stream) wanted() jetstream.StreamConfig {
	c := s.config
	return jetstream.StreamConfig{
		Name: s.streamName(), Description: "observations of palladium", Subjects: []string{s.subject()},
		Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew, MaxBytes: int64(cmp.Or(c.MaxBytes, defaultMaxBytes)), MaxAge: max(0, cmp.Or(c.MaxAge, defaultMaxAge)),
		MaxMsgs: -1, MaxConsumers: -1, MaxMsgsPerSubject: -1, MaxMsgSize: -1, Storage: jetstream.FileStorage, Replicas: c.copies(),
		Duplicates: 20 * time.Second, AllowDirect: true, FirstSeq: uint64(time.Now().Unix()) * ticks,
	}
}

// limit has the limits of the stream follow what the configuration says of them.
func (s *Stream) limit(ctx context.Context, have jetstream.Stream) (jetstream.Stream, error) {
	c, was := s.config, have.CachedInfo().Config
	want := was
	want.MaxBytes = int64(cmp.Or(c.MaxBytes, Bytes(was.MaxBytes)))
	want.MaxAge = max(0, cmp.Or(c.MaxAge, was.MaxAge))
	want.Replicas = cmp.Or(c.Replicas, was.Replicas)
	want.Discard = jetstream.DiscardNew
	if want.MaxBytes == was.MaxBytes && want.MaxAge == was.MaxAge && want.Replicas == was.Replicas && want.Discard == was.Discard {
		return have, nil
	}
	return s.js.UpdateStream(ctx, want)
}

// saw notes the stream's state. It is full when less than a hundredth of its room, or a mebibyte, is left.
func (s *Stream) saw(info *jetstream.StreamInfo) {
	st := &state{bytes: info.State.Bytes, messages: info.State.Msgs, first: info.State.FirstSeq, last: info.State.LastSeq, most: math.MaxUint64}
	if most := info.Config.MaxBytes; most > 0 {
		st.most = uint64(most)
		st.full = st.bytes+min(st.most/100, 1<<20) >= st.most
	}
	s.state.Store(st)
}

// tend looks after the stream: makes it where it is missing, notes its state, starts the server anew where that has
// given up.
func (s *Stream) tend() {
	said := ""
	for wait := time.Duration(0); ; {
		select {
		case <-s.end:
			return
		case <-time.After(wait):
		case <-s.nudge:
			if s.wait(context.Background(), 100*time.Millisecond) != nil { // not all the time
				return
			}
		}
		err := s.look()
		wait = 3 * time.Second
		if err != nil {
			wait = 500 * time.Millisecond
			s.state.Store(&state{err: err})
		}
		if says := text(err); says != said {
			if said = says; err != nil {
				s.log.Warn("stream: not usable now, publishers hold what they can", "error", err)
			} else {
				s.log.Info("stream: usable")
			}
		}
	}
}

// look brings the stream into order if that can be done.
func (s *Stream) look() error {
	if s.node != nil {
		if why := s.node.broken(); why != "" {
			mended, err := s.node.mend()
			if err != nil {
				return fmt.Errorf("its server stores nothing, as %s: %w", why, err)
			}
			if mended {
				s.log.Warn("stream: its server was started anew", "because", why)
			}
		}
	}
	if !s.conn.IsConnected() {
		return errors.New("not connected to its servers")
	}
	wait := 5 * time.Second
	if !s.whole {
		wait = time.Second // servers leave unanswered who asks for what they make for another at that moment
	}
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	err := s.arrange(ctx)
	s.whole = s.whole || err == nil
	return err
}

// arrange makes all that is missing on the servers, before somebody waits for it, and notes how the stream is.
func (s *Stream) arrange(ctx context.Context) error {
	info, err := s.ensure(ctx)
	if err != nil {
		return err
	}
	for _, of := range []string{tables, leases, budgets} {
		if _, err := s.keys(ctx, of); err != nil {
			return err
		}
	}
	s.saw(info)
	return nil
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// Health reports whether observations are taken and kept, and says what is wrong, or how much is kept.
func (s *Stream) Health() (ok bool, says string) {
	st := s.state.Load()
	var wrong []string
	switch {
	case st.err != nil:
		wrong = append(wrong, st.err.Error())
	case st.full:
		wrong = append(wrong, fmt.Sprintf("full: %.1f of %.1f MB are taken; let readers release, or raise stream.max_bytes", float64(st.bytes)/1e6, float64(st.most)/1e6))
	}
	all := s.standing()
	if all.trouble != nil && st.err == nil && !st.full {
		wrong = append(wrong, all.trouble.Error())
	}
	if all.recent > 0 {
		wrong = append(wrong, fmt.Sprintf("%d observations were dropped in the last minute, %d since the start", all.recent, all.dropped))
	}
	if len(wrong) > 0 {
		return false, fmt.Sprintf("%s; %.1f MB are held in memory", strings.Join(wrong, "; "), float64(all.held)/1e6)
	}
	return true, fmt.Sprintf("%.1f MB kept, batches: %d", float64(st.bytes)/1e6, st.messages)
}

// Reachable reports whether tables of verdicts come, were there newer ones: its servers answer, whatever becomes of observations.
func (s *Stream) Reachable() bool { return s.state.Load().err == nil }

// standing is what a publisher tells, or all of them together.
type standing struct {
	held                                    int // bytes
	accepted, acknowledged, dropped, recent uint64
	trouble                                 error // why nothing is acknowledged at this moment
}

func (s *Stream) standing() (all standing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.publishers {
		one := p.standing()
		all.held += one.held
		all.accepted += one.accepted
		all.acknowledged += one.acknowledged
		all.dropped += one.dropped
		all.recent += one.recent
		all.trouble = cmp.Or(all.trouble, one.trouble)
	}
	return all
}

// open reports whether Close was not yet called.
func (s *Stream) open() bool {
	select {
	case <-s.end:
		return false
	default:
		return true
	}
}

// wait waits for d, or until ctx or the stream ends.
func (s *Stream) wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-s.end:
		return ErrClosed
	case <-t.C:
		return nil
	}
}
