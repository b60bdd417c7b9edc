// Package fetch reads a stream of JetStream in its order, and waits for more, without a consumer on the servers. A consumer of one
// copy dies with the server that has it, and another needs a leader of the whole cluster to be made: after the death of a server that
// can take half a minute. What is fetched here comes from whichever copy of the stream answers, as long as one does.
package fetch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Message is what the stream holds at a place.
type Message struct {
	Sequence uint64
	Time     time.Time // when the stream took it, by its own clock
	Waiting  uint64    // messages behind it when it was handed out; 0 where the server is older than 2.11, which does not say
	Data     []byte
}

const (
	many   = 256                   // messages that are asked for at once
	size   = 4 << 20               // bytes that are asked for at once, and one message
	soon   = 3 * time.Millisecond  // before more is asked for, where the last request brought less than it asked for
	late   = 24 * time.Millisecond // the same where nothing has come for a while
	answer = 2 * time.Second       // in which a server answers, or is held to be gone
	quiet  = 3 * time.Second       // for which nothing may come before it is held against what the stream's leader says
	again  = time.Second           // from one attempt to reach a copy to the next
)

// ErrChanged says that the stream is another than it was, or ends before what was read: it was made anew, or has lost its end.
var ErrChanged = errors.New("the stream is not what it was when its reading began")

// Reader hands out what a stream holds, in its order. A copy that is silent, behind, or lacks something is not believed: the leader is
// asked. It is for one goroutine.
type Reader struct {
	js     jetstream.JetStream
	stream string
	at     uint64    // sequence of the last message handed out; 0: none, and none was asked after
	copy   *copying  // nil: none is read
	tried  time.Time // when one was reached for last
	held   *Message  // came from a copy, after what it lacks
	behind bool      // the leader is asked
	last   uint64    // of the stream, as the leader has said
	short  int       // times in a row that this was before what was handed out
	made   time.Time // when the stream was, as the leader has said
}

// Open begins to read what comes after a place; 0 stands for the beginning of what is kept.
func Open(js jetstream.JetStream, stream string, after uint64) *Reader {
	return &Reader{js: js, stream: stream, at: after}
}

// Close ends the reader.
func (r *Reader) Close() { r.leave() }

// Next waits for the next message. It goes on by itself when servers die and when connections are lost. It returns ErrChanged, the
// error of ctx, or jetstream.ErrStreamNotFound.
func (r *Reader) Next(ctx context.Context) (Message, error) {
	for {
		m, err := r.copied(ctx)
		switch {
		case ctx.Err() != nil:
			return Message{}, ctx.Err()
		case err == nil && m.Sequence <= r.at:
		case err == nil && (m.Sequence == r.at+1 || r.at == 0):
			r.behind = false
			return r.hand(m), nil
		case err == nil: // the copy lacks something, or nobody has it
			l, err := Leader(ctx, r.js, r.stream, r.at+1)
			if err == nil && l.Sequence >= m.Sequence {
				return r.hand(m), nil
			}
			r.held = &m
			if err == nil {
				return r.hand(l), nil
			}
			if err := r.look(ctx); err != nil { // what is held may be of a stream that is gone
				return Message{}, err
			}
			if err := sleep(ctx, again); err != nil {
				return Message{}, err
			}
		case r.behind:
			m, err := Leader(ctx, r.js, r.stream, r.at+1)
			if err == nil {
				m.Waiting = r.last - min(r.last, m.Sequence)
				return r.hand(m), nil
			}
			r.behind = false
		default:
			if err := r.look(ctx); err != nil {
				return Message{}, err
			}
		}
	}
}

func (r *Reader) hand(m Message) Message {
	r.at = m.Sequence
	return m
}

// errNothing says that no message has come from a copy.
var errNothing = errors.New("nothing has come")

// copied returns the next message from a copy: at once where the leader is asked meanwhile, else within the time that may be quiet.
func (r *Reader) copied(ctx context.Context) (Message, error) {
	if r.held != nil {
		m := *r.held
		r.held = nil
		return m, nil
	}
	if r.copy == nil {
		if err := r.reach(ctx); err != nil {
			return Message{}, err
		}
	}
	select {
	case m := <-r.copy.out:
		return m, nil
	case err := <-r.copy.failed:
		r.leave()
		return Message{}, err
	default:
	}
	if r.behind {
		return Message{}, errNothing
	}
	wait := time.NewTimer(quiet)
	defer wait.Stop()
	select {
	case m := <-r.copy.out:
		return m, nil
	case err := <-r.copy.failed:
		r.leave()
		return Message{}, err
	case <-wait.C:
		return Message{}, errNothing
	case <-ctx.Done():
		return Message{}, ctx.Err()
	}
}

// look asks the leader how far the stream goes. That it is not there to be asked is no error: a copy may be.
func (r *Reader) look(ctx context.Context) error {
	ask, cancel := context.WithTimeout(ctx, answer)
	defer cancel()
	s, err := r.js.Stream(ask, r.stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return err
	}
	if err != nil {
		return ctx.Err()
	}
	info := s.CachedInfo()
	if r.made.IsZero() {
		r.made = info.Created
	}
	if r.last = info.State.LastSeq; r.last >= r.at {
		r.short = 0
	} else {
		r.short++ // a leader that was chosen just now may not have applied all yet
	}
	if r.short == 3 || !info.Created.Equal(r.made) {
		return ErrChanged
	}
	r.behind = r.last > r.at && info.State.Msgs > 0
	return nil
}

// copying is a copy that is read.
type copying struct {
	out    chan Message
	failed chan error // holds one: why there is no more
	cancel context.CancelFunc
}

// reach connects to whichever copy answers, at most once a second. It has a connection of its own, since a server answers in the
// goroutine that takes in what the connection sends: batches would wait.
func (r *Reader) reach(ctx context.Context) error {
	if wait := again - time.Since(r.tried); wait > 0 {
		if r.behind {
			return errNothing
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
	r.tried = time.Now()
	o := options(r.js.Conn())
	conn, err := o.Connect()
	if err != nil {
		return fmt.Errorf("connect to read: %w", err)
	}
	inbox := conn.NewInbox()
	sub, err := conn.SubscribeSync(inbox + ".*")
	if err == nil {
		err = sub.SetPendingLimits(-1, -1) // what was asked for bounds what comes
	}
	if err != nil {
		conn.Close()
		return fmt.Errorf("subscribe to answers: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	c := &copying{out: make(chan Message, 16), failed: make(chan error, 1), cancel: cancel}
	p := pump{conn: conn, sub: sub, inbox: inbox, subject: jetstream.DefaultAPIPrefix + "DIRECT.GET." + r.stream, next: r.at + 1, out: c.out}
	go func() {
		err := p.run(ctx)
		conn.Close()
		c.failed <- err
	}()
	r.copy = c
	return nil
}

func (r *Reader) leave() {
	if r.copy != nil {
		r.copy.cancel()
		r.copy = nil
	}
}

// options are those of a connection, with all servers that it has learned of.
func options(conn *nats.Conn) nats.Options {
	o := conn.Opts
	o.RetryOnFailedConnect, o.AllowReconnect, o.Timeout = false, false, answer
	o.ConnectedCB, o.ReconnectedCB, o.DisconnectedErrCB, o.ClosedCB = nil, nil, nil, nil
	var user *url.Userinfo // of what was configured, as what was learned comes without
	for _, s := range append(o.Servers, o.Url) {
		if u, err := url.Parse(s); err == nil && u.User != nil {
			user = u.User
		}
	}
	o.Servers = slices.Clone(o.Servers)
	for _, s := range conn.Servers() {
		u, err := url.Parse(s)
		if err != nil {
			continue
		}
		if u.User == nil {
			u.User = user
		}
		if s = u.String(); !slices.Contains(o.Servers, s) {
			o.Servers = append(o.Servers, s)
		}
	}
	return o
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// pump asks for messages, one request after the other, and is ahead of who takes them by what a request brings and some messages.
type pump struct {
	conn    *nats.Conn
	sub     *nats.Subscription
	inbox   string
	subject string
	number  uint64 // of the request
	next    uint64 // sequence
	single  bool   // the server is older than 2.11 and gives one message to a request
	brought int    // messages that the request has brought
	bytes   int    // in them
	out     chan<- Message
}

func (p *pump) run(ctx context.Context) error {
	for pause := soon; ; {
		if err := p.ask(ctx); err != nil {
			return err
		}
		if pause = min(2*pause, late); p.brought > 0 {
			pause = soon
		}
		if p.brought == many || p.bytes >= size || p.single && p.brought > 0 {
			continue
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// ask sends one request and hands on what it brings.
func (p *pump) ask(ctx context.Context) error {
	p.number++
	p.brought, p.bytes = 0, 0
	reply := p.inbox + "." + strconv.FormatUint(p.number, 10)
	ask, err := json.Marshal(map[string]any{"seq": p.next, "next_by_subj": ">", "batch": many, "max_bytes": size})
	if err != nil {
		return fmt.Errorf("ask for messages: %w", err)
	}
	if err := p.conn.PublishRequest(p.subject, reply, ask); err != nil {
		return fmt.Errorf("ask for messages: %w", err)
	}
	for {
		wait, cancel := context.WithTimeout(ctx, answer)
		m, err := p.sub.NextMsgWithContext(wait)
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrNoResponders) {
				err = ErrSilent
			}
			return fmt.Errorf("fetch after %d: %w", p.next-1, err)
		}
		if m.Subject != reply {
			continue // of an earlier request
		}
		if end, err := p.take(ctx, m); end || err != nil {
			return err
		}
	}
}

// take hands on one answer. end says that no more answers come to the request.
func (p *pump) take(ctx context.Context, m *nats.Msg) (end bool, err error) {
	switch status := m.Header.Get("Status"); status {
	case "":
	case "204", "404": // the end of what was asked for; nothing there
		return true, nil
	default:
		return true, fmt.Errorf("fetch after %d: the server says %s %s", p.next-1, status, m.Header.Get("Description"))
	}
	got := Message{Data: m.Data}
	if got.Sequence, err = strconv.ParseUint(m.Header.Get("Nats-Sequence"), 10, 64); err != nil {
		return true, fmt.Errorf("read the place of a message: %w", err)
	}
	got.Time, _ = time.Parse(time.RFC3339Nano, m.Header.Get("Nats-Time-Stamp"))
	pending := m.Header.Get("Nats-Num-Pending")
	got.Waiting, _ = strconv.ParseUint(pending, 10, 64)
	p.single = pending == ""
	p.brought, p.bytes = p.brought+1, p.bytes+len(m.Data)
	if got.Sequence >= p.next {
		select {
		case p.out <- got:
		case <-ctx.Done():
			return true, ctx.Err()
		}
		p.next = got.Sequence + 1
	}
	return p.single, nil
}

// ErrSilent says that the copy that was asked has not answered in two seconds, since its server has stopped and is not known for it
// yet, or that none answers.
var ErrSilent = errors.New("no copy of the stream answers")

// ErrNone says that the stream holds nothing at or after a place.
var ErrNone = errors.New("the stream holds no more")

// Leader returns the first message at or after a sequence as the leader of the stream has it, for where a copy is behind.
func Leader(ctx context.Context, js jetstream.JetStream, stream string, sequence uint64) (Message, error) {
	ask, err := json.Marshal(map[string]any{"seq": sequence, "next_by_subj": ">"})
	if err != nil {
		return Message{}, fmt.Errorf("ask the leader: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*answer)
	defer cancel()
	m, err := js.Conn().RequestWithContext(ctx, jetstream.DefaultAPIPrefix+"STREAM.MSG.GET."+stream, ask)
	if err != nil {
		return Message{}, fmt.Errorf("ask the leader: %w", err)
	}
	var said struct {
		Error   *jetstream.APIError `json:"error"`
		Message *struct {
			Seq  uint64    `json:"seq"`
			Time time.Time `json:"time"`
			Data []byte    `json:"data"`
		} `json:"message"`
	}
	if err := json.Unmarshal(m.Data, &said); err != nil {
		return Message{}, fmt.Errorf("read what the leader says: %w", err)
	}
	switch {
	case said.Error != nil && said.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return Message{}, ErrNone
	case said.Error != nil:
		return Message{}, fmt.Errorf("ask the leader: %w", said.Error)
	case said.Message == nil:
		return Message{}, fmt.Errorf("ask the leader of %s: it says nothing", stream)
	}
	return Message{Sequence: said.Message.Seq, Time: said.Message.Time, Data: said.Message.Data}, nil
}
