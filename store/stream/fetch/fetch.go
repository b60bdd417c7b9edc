// Package fetch reads a stream of JetStream in its order, and waits for more, without a consumer on the servers. A consumer of one
// copy dies with the server that has it, and another needs a leader of the whole cluster to be made: after the death of a server that
// can take half a minute. What is fetched here comes from whichever copy of the stream answers, as long as one does.
package fetch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
)

// Reader hands out what a stream holds. It is for one goroutine.
type Reader struct {
	out    chan Message
	cancel context.CancelFunc
	failed chan error // holds one: why there is no more
}

// Open begins to read what comes after a place; 0 stands for the beginning of what is kept. The reader ends with ctx. It has a
// connection of its own, since a server answers in the goroutine that takes in what the connection sends: batches would wait.
func Open(ctx context.Context, js jetstream.JetStream, stream string, after uint64) (*Reader, error) {
	o := js.Conn().Opts
	o.RetryOnFailedConnect, o.AllowReconnect = false, false
	o.ConnectedCB, o.ReconnectedCB, o.DisconnectedErrCB, o.ClosedCB = nil, nil, nil, nil
	conn, err := o.Connect()
	if err != nil {
		return nil, fmt.Errorf("connect to read: %w", err)
	}
	inbox := conn.NewInbox()
	sub, err := conn.SubscribeSync(inbox + ".*")
	if err == nil {
		err = sub.SetPendingLimits(-1, -1) // what was asked for bounds what comes
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("subscribe to answers: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	r := &Reader{out: make(chan Message, many), cancel: cancel, failed: make(chan error, 1)}
	p := pump{conn: conn, sub: sub, inbox: inbox, subject: jetstream.DefaultAPIPrefix + "DIRECT.GET." + stream, next: after + 1, out: r.out}
	go func() {
		err := p.run(ctx)
		conn.Close()
		r.failed <- err
	}()
	return r, nil
}

// Next waits for the next message. An error other than that of ctx ends the reader: open another after the last message.
func (r *Reader) Next(ctx context.Context) (Message, error) {
	select {
	case m := <-r.out:
		return m, nil
	default:
	}
	select {
	case m := <-r.out:
		return m, nil
	case err := <-r.failed:
		r.failed <- err
		return Message{}, err
	case <-ctx.Done():
		return Message{}, ctx.Err()
	}
}

// Close ends the reader.
func (r *Reader) Close() { r.cancel() }

// pump asks for messages, one request after the other, and is ahead of who takes them by what two requests bring.
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
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// ask sends one request and hands on what it brings.
func (p *pump) ask(ctx context.Context) error {
	p.number++
	p.brought, p.bytes = 0, 0
	reply := p.inbox + "." + strconv.FormatUint(p.number, 10)
	ask, err := json.Marshal(map[string]any{"seq": p.next, "batch": many, "max_bytes": size})
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
