package stream

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// ErrOlder says that a table of that version or a newer one is there already.
var ErrOlder = errors.New("a table of this version or a newer one was put before")

// piece is how much of a table one message carries.
const piece = 256 << 10

// head is the entry of a table. Where the table is small it lies within; else in pieces under keys of their own.
type head struct {
	Version uint64 `json:"version"`
	Size    int    `json:"size"`
	Digest  []byte `json:"digest"` // SHA-256
	Set     string `json:"set,omitempty"`
	Pieces  int    `json:"pieces,omitempty"`
	Before  string `json:"before,omitempty"` // pieces of the table before, which are kept for those who read it now
	BeforeN int    `json:"before_pieces,omitempty"`
	Data    []byte `json:"data,omitempty"`
}

func tableKey(name string) string { return "head." + encode(name) }
func pieceKey(name, set string, i int) string {
	return fmt.Sprintf("piece.%s.%s.%d", encode(name), set, i)
}

// Put puts a table in the place of the one before, whole: who watches sees one or the other. It returns ErrOlder unless
// version is above that of the table that is there. When it returns nil the table is stored on all replicas that it takes.
func (s *Stream) Put(ctx context.Context, name string, version uint64, data []byte) error {
	return s.with(ctx, tables, func(ctx context.Context, kv jetstream.KeyValue) error { return s.put(ctx, kv, name, version, data) })
}

func (s *Stream) put(ctx context.Context, kv jetstream.KeyValue, name string, version uint64, data []byte) error {
	sum := sha256.Sum256(data)
	next := head{Version: version, Size: len(data), Digest: sum[:]}
	if len(data) <= piece {
		next.Data = data
	} else {
		next.Set = rand.Text()
		for i := 0; i*piece < len(data); i++ {
			if _, err := kv.Put(ctx, pieceKey(name, next.Set, i), data[i*piece:min(len(data), (i+1)*piece)]); err != nil {
				return fmt.Errorf("put a piece of table %s: %w", name, err)
			}
			next.Pieces++
		}
	}
	for {
		var now head
		revision, err := readHead(ctx, kv, name, &now)
		if err != nil {
			return err
		}
		if revision > 0 && version <= now.Version {
			dropPieces(ctx, kv, name, next.Set, next.Pieces)
			return fmt.Errorf("table %s, version %d: %w (%d)", name, version, ErrOlder, now.Version)
		}
		next.Before, next.BeforeN = now.Set, now.Pieces
		b, err := json.Marshal(&next)
		if err != nil {
			return fmt.Errorf("put table %s: %w", name, err)
		}
		if _, err := set(ctx, kv, tableKey(name), b, revision); err == nil {
			dropPieces(ctx, kv, name, now.Before, now.BeforeN)
			return nil
		} else if !conflict(err) {
			return fmt.Errorf("put table %s: %w", name, err)
		}
		if err := s.wait(ctx, 5*time.Millisecond); err != nil { // the replica that was read is behind
			return err
		}
	}
}

// TableVersion returns the version of the table that is there, 0 where there is none.
func (s *Stream) TableVersion(ctx context.Context, name string) (version uint64, err error) {
	err = s.with(ctx, tables, func(ctx context.Context, kv jetstream.KeyValue) error {
		var now head
		_, err := readHead(ctx, kv, name, &now)
		version = now.Version
		return err
	})
	return version, err
}

// readHead reads the entry of a table; revision 0 where there is none.
func readHead(ctx context.Context, kv jetstream.KeyValue, name string, h *head) (revision uint64, err error) {
	e, err := kv.Get(ctx, tableKey(name))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("look at table %s: %w", name, err)
	}
	if err := json.Unmarshal(e.Value(), h); err != nil {
		return 0, fmt.Errorf("look at table %s: %w", name, err)
	}
	return e.Revision(), nil
}

// dropPieces deletes the pieces of a table that is no longer there. What cannot be deleted only takes room.
func dropPieces(ctx context.Context, kv jetstream.KeyValue, name, set string, n int) {
	for i := range n {
		_ = kv.Purge(ctx, pieceKey(name, set, i))
	}
}

// Watch calls got with the table of that name, and then with each newer one, from one goroutine; some may be left out
// where they follow each other closely, never the latest. The data is got's to keep. It returns when ctx ends, with its
// error; losses of the connection it survives.
func (s *Stream) Watch(ctx context.Context, name string, got func(version uint64, data []byte)) error {
	w := watching{stream: s, name: name, got: got}
	said := ""
	for {
		err := w.run(ctx)
		if end := s.ended(ctx); end != nil {
			return end
		}
		if says := text(err); says != said {
			said = says
			s.log.Warn("stream: watching is interrupted, it goes on when it can", "table", name, "error", err)
		}
		if err := s.wait(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

// watching is one call of Watch.
type watching struct {
	stream *Stream
	name   string
	got    func(uint64, []byte)
	any    bool
	latest uint64 // version handed on, where any
}

func (w *watching) run(ctx context.Context) (err error) {
	s := w.stream
	kv, err := s.keys(ctx, tables)
	if err != nil {
		return err
	}
	defer func() { s.lose(tables, err) }()
	updates, err := kv.Watch(ctx, tableKey(w.name))
	if err != nil {
		return fmt.Errorf("watch table %s: %w", w.name, err)
	}
	defer func() { _ = updates.Stop() }()
	// Looked at now and then too, so that nothing can keep a table from being seen.
	look := time.NewTicker(5 * time.Second)
	defer look.Stop()
	for {
		var h head
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.end:
			return ErrClosed
		case e, ok := <-updates.Updates():
			if !ok {
				return errors.New("watch a table: the watch has ended")
			}
			if e == nil || e.Operation() != jetstream.KeyValuePut { // nil: all that was there has come
				continue
			}
			if err := json.Unmarshal(e.Value(), &h); err != nil {
				return fmt.Errorf("watch table %s: %w", w.name, err)
			}
		case <-look.C:
			revision, err := readHead(ctx, kv, w.name, &h)
			if err != nil {
				return err
			}
			if revision == 0 {
				continue
			}
		}
		if err := w.take(ctx, kv, &h); err != nil {
			return err
		}
	}
}

// take hands on the table of an entry, unless it is not newer than the last one.
func (w *watching) take(ctx context.Context, kv jetstream.KeyValue, h *head) error {
	if w.any && h.Version <= w.latest {
		return nil
	}
	data := h.Data
	if h.Pieces > 0 {
		data = make([]byte, 0, h.Size)
		for i := range h.Pieces {
			p, err := w.piece(ctx, kv, h, i)
			if err != nil {
				return err
			}
			if p == nil {
				return nil // a newer table has come in the meantime
			}
			data = append(data, p...)
		}
	}
	sum := sha256.Sum256(data)
	if len(data) != h.Size || !bytes.Equal(sum[:], h.Digest) {
		return fmt.Errorf("table %s, version %d, is damaged", w.name, h.Version)
	}
	w.any, w.latest = true, h.Version
	w.got(h.Version, data)
	return nil
}

// piece reads one piece. Nil: the table it belongs to is gone. A replica that is behind is asked again.
func (w *watching) piece(ctx context.Context, kv jetstream.KeyValue, h *head, i int) ([]byte, error) {
	for {
		e, err := kv.Get(ctx, pieceKey(w.name, h.Set, i))
		if err == nil {
			return e.Value(), nil
		}
		if !errors.Is(err, jetstream.ErrKeyNotFound) {
			return nil, fmt.Errorf("read a piece of table %s: %w", w.name, err)
		}
		var now head
		if _, err := readHead(ctx, kv, w.name, &now); err != nil {
			return nil, err
		}
		if now.Version > h.Version {
			return nil, nil
		}
		if err := w.stream.wait(ctx, 10*time.Millisecond); err != nil {
			return nil, err
		}
	}
}
