// Package snapshot keeps the newest snapshot of a detector's state beside the stream, so that one that stands by, or starts on another
// machine, begins with what the stream no longer holds.
package snapshot

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/palladium-guard/palladium/store/stream"
)

// The errors that callers tell apart.
var (
	ErrNone  = errors.New("no snapshot was put yet")
	ErrOlder = errors.New("a snapshot of this version or a newer one was put before")
)

// piece is how much of a snapshot one message carries. Servers take messages of a mebibyte unless told otherwise.
const piece = 256 << 10

// ahead is how many pieces are on their way at once.
const ahead = 16

// Store keeps snapshots by name. It is safe for concurrent use, by several processes too.
type Store struct {
	js       jetstream.JetStream
	name     string
	replicas int
}

// New returns the store on the servers of s.
func New(s *stream.Stream) *Store {
	js, name, replicas := s.Servers()
	return &Store{js, name, replicas}
}

// head says which snapshot is the newest.
type head struct {
	Version uint64 `json:"version"`
	Size    int64  `json:"size"`
	Digest  []byte `json:"digest"` // SHA-256
	Set     string `json:"set"`    // of the pieces
	First   uint64 `json:"first"`  // sequence of the first piece
	Pieces  int    `json:"pieces"`
	Before  string `json:"before,omitempty"` // the set before, kept for those who read it now
}

func (s *Store) streamName() string        { return s.name + "-snapshots" }
func (s *Store) headOf(name string) string { return s.name + ".snapshots." + name + ".head" }
func (s *Store) dataOf(name, set string) string {
	return s.name + ".snapshots." + name + ".data." + set
}

// stream returns the stream that snapshots are in, made where it is not there.
func (s *Store) stream(ctx context.Context) (jetstream.Stream, error) {
	have, err := s.js.Stream(ctx, s.streamName())
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		have, err = s.js.CreateStream(ctx, jetstream.StreamConfig{
			Name: s.streamName(), Description: "snapshots of palladium", Subjects: []string{s.name + ".snapshots.>"}, Storage: jetstream.FileStorage,
			Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew, MaxBytes: -1, MaxMsgs: -1, MaxConsumers: -1, MaxMsgsPerSubject: -1, MaxMsgSize: -1,
			Replicas: s.replicas,
		})
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			have, err = s.js.Stream(ctx, s.streamName())
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open the stream of snapshots: %w", err)
	}
	return have, nil
}

// look reads the head of a name; revision 0 where there is none.
func (s *Store) look(ctx context.Context, str jetstream.Stream, name string) (h head, revision uint64, err error) {
	m, err := str.GetLastMsgForSubject(ctx, s.headOf(name))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return h, 0, nil
	}
	if err == nil {
		err = json.Unmarshal(m.Data, &h)
	}
	if err != nil {
		return h, 0, fmt.Errorf("look at snapshot %s: %w", name, err)
	}
	return h, m.Sequence, nil
}

// Version returns the version of the newest snapshot of that name, 0 where there is none.
func (s *Store) Version(ctx context.Context, name string) (uint64, error) {
	str, err := s.stream(ctx)
	if err != nil {
		return 0, err
	}
	h, _, err := s.look(ctx, str, name)
	return h.Version, err
}

// Put puts a snapshot in the place of the one before, whole: who asks for it gets one or the other. It returns ErrOlder unless version
// is above that of the one that is there. When it returns nil the snapshot is stored on all replicas that it takes.
func (s *Store) Put(ctx context.Context, name string, version uint64, from io.Reader) error {
	str, err := s.stream(ctx)
	if err != nil {
		return err
	}
	sets, err := s.sets(ctx, str, name) // before the head is read: who begins later finds a head that has changed
	if err != nil {
		return err
	}
	now, revision, err := s.look(ctx, str, name)
	if err != nil {
		return err
	}
	if version <= now.Version {
		return fmt.Errorf("snapshot %s, version %d: %w (%d)", name, version, ErrOlder, now.Version)
	}
	next := head{Version: version, Set: rand.Text(), Before: now.Set}
	if err := s.send(ctx, name, &next, from); err != nil {
		s.drop(ctx, str, name, next.Set)
		return fmt.Errorf("put snapshot %s: %w", name, err)
	}
	b, err := json.Marshal(&next)
	if err != nil {
		return fmt.Errorf("put snapshot %s: %w", name, err)
	}
	_, err = s.js.Publish(ctx, s.headOf(name), b, jetstream.WithExpectLastSequencePerSubject(revision))
	var api *jetstream.APIError
	if errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence {
		s.drop(ctx, str, name, next.Set)
		return fmt.Errorf("snapshot %s, version %d: %w", name, version, ErrOlder)
	}
	if err != nil {
		return fmt.Errorf("put snapshot %s: %w", name, err) // it may be there all the same: its pieces stay until the next
	}
	_ = str.Purge(ctx, jetstream.WithPurgeSubject(s.headOf(name)), jetstream.WithPurgeKeep(1))
	for _, set := range sets {
		if set != next.Before {
			s.drop(ctx, str, name, set)
		}
	}
	return nil
}

// send sends the pieces.
func (s *Store) send(ctx context.Context, name string, h *head, from io.Reader) error {
	sum := sha256.New()
	var sent []jetstream.PubAckFuture
	settle := func(leave int) error {
		for len(sent) > leave {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case ack := <-sent[0].Ok():
				if h.First == 0 {
					h.First = ack.Sequence
				}
			case err := <-sent[0].Err():
				return err
			}
			sent = sent[1:]
		}
		return nil
	}
	for buf := make([]byte, piece); ; {
		n, err := io.ReadFull(from, buf)
		if n > 0 {
			sum.Write(buf[:n])
			one, err := s.js.PublishAsync(s.dataOf(name, h.Set), bytes.Clone(buf[:n]))
			if err != nil {
				return errors.Join(err, settle(0))
			}
			sent = append(sent, one)
			h.Pieces++
			h.Size += int64(n)
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err == nil {
			err = settle(ahead - 1)
		}
		if err != nil {
			return errors.Join(err, settle(0)) // so that nothing arrives after it is dropped
		}
	}
	h.Digest = sum.Sum(nil)
	return settle(0)
}

// sets lists the sets of pieces that are there.
func (s *Store) sets(ctx context.Context, str jetstream.Stream, name string) (out []string, err error) {
	info, err := str.Info(ctx, jetstream.WithSubjectFilter(s.dataOf(name, "*")))
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	before := len(s.dataOf(name, ""))
	for subject := range info.State.Subjects {
		out = append(out, subject[before:])
	}
	slices.Sort(out)
	return out, nil
}

// drop deletes the pieces of a set. What cannot be deleted only takes room, until the next is put.
func (s *Store) drop(ctx context.Context, str jetstream.Stream, name, set string) {
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_ = str.Purge(end, jetstream.WithPurgeSubject(s.dataOf(name, set)))
}

// Get hands the newest snapshot of that name to read, which may be called again where a newer one took its place meanwhile. It
// returns ErrNone where there is none, and the error of read.
func (s *Store) Get(ctx context.Context, name string, read func(version uint64, from io.Reader) error) error {
	str, err := s.stream(ctx)
	if err != nil {
		return err
	}
	var last uint64
	for {
		h, revision, e := s.look(ctx, str, name)
		if e != nil {
			return e
		}
		switch {
		case revision == 0:
			return ErrNone
		case revision == last: // it is still the one that could not be read
			return err
		}
		last = revision
		if err = read(h.Version, &pieces{ctx: ctx, str: str, subject: s.dataOf(name, h.Set), head: h, next: h.First, sum: sha256.New()}); err == nil || ctx.Err() != nil {
			return err
		}
	}
}

// pieces reads a snapshot.
type pieces struct {
	ctx     context.Context
	str     jetstream.Stream
	subject string
	head    head
	next    uint64 // sequence from which the next piece is looked for
	taken   int
	rest    []byte
	sum     hash.Hash
}

// Read reads on; at the end it compares what was read with the digest.
func (p *pieces) Read(b []byte) (int, error) {
	for len(p.rest) == 0 {
		if p.taken == p.head.Pieces {
			if !bytes.Equal(p.sum.Sum(nil), p.head.Digest) {
				return 0, errors.New("read a snapshot: it is damaged")
			}
			return 0, io.EOF
		}
		m, err := p.str.GetMsg(p.ctx, p.next, jetstream.WithGetMsgSubject(p.subject))
		if err != nil {
			return 0, fmt.Errorf("read a snapshot: %w", err)
		}
		p.next, p.rest = m.Sequence+1, m.Data
		p.taken++
		p.sum.Write(m.Data)
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}
