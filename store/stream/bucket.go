package stream

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The buckets of the key-value store, after the name of the installation.
const (
	tables  = "tables"  // what Put puts
	leases  = "leases"  // who leads, and what readers have released
	budgets = "budgets" // cells
)

// keys returns a bucket, made where it is not there.
func (s *Stream) keys(ctx context.Context, of string) (jetstream.KeyValue, error) {
	s.mu.Lock()
	kv := s.buckets[of]
	s.mu.Unlock()
	if kv != nil {
		return kv, nil
	}
	name := s.bucket(of)
	kv, err := s.js.KeyValue(ctx, name)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		kv, err = s.js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: name, Description: of + " of palladium", History: 1, TTL: lives(of), Replicas: s.config.copies(), Storage: jetstream.FileStorage})
		if errors.Is(err, jetstream.ErrBucketExists) {
			kv, err = s.js.KeyValue(ctx, name)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open the bucket %s: %w", name, err)
	}
	s.mu.Lock()
	s.buckets[of] = kv
	s.mu.Unlock()
	return kv, nil
}

// lives is how long a key is kept after it was written last; 0 is for ever. A cell of a month's budget outlives the month.
func lives(of string) time.Duration {
	if of == budgets {
		return 70 * 24 * time.Hour
	}
	return 0
}

// with does what on a bucket. Where nobody answers for it, as while a cluster chooses who does, nothing was done, and it is
// tried again until ctx ends. A bucket that answers with errors is looked for anew the next time.
func (s *Stream) with(ctx context.Context, of string, what func(context.Context, jetstream.KeyValue) error) error {
	for {
		kv, err := s.keys(ctx, of)
		if err == nil {
			err = what(ctx, kv)
		}
		s.lose(of, err)
		if !errors.Is(err, nats.ErrNoResponders) || s.wait(ctx, 50*time.Millisecond) != nil {
			return err
		}
	}
}

// lose forgets a bucket that answers with errors, so that it is looked for again.
func (s *Stream) lose(of string, err error) {
	if err == nil || errors.Is(err, jetstream.ErrKeyNotFound) || errors.Is(err, context.Canceled) || errors.Is(err, ErrOlder) || errors.Is(err, ErrChanged) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.buckets, of)
}

// conflict reports whether a write was refused because another came before, or is under way.
func conflict(err error) bool {
	if errors.Is(err, jetstream.ErrKeyExists) {
		return true
	}
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return false
	}
	return api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant
}

// set writes a key that has the revision, zero for one that is not there.
func set(ctx context.Context, kv jetstream.KeyValue, key string, value []byte, revision uint64) (uint64, error) {
	if revision == 0 {
		return kv.Create(ctx, key, value)
	}
	return kv.Update(ctx, key, value, revision)
}

// Release says that a reader needs nothing up to and including upto. What all readers that have ever called it need no
// more is deleted: call it with position 0 at the start, so that nothing is deleted before the reader has had it. The
// batch at the lowest position itself is kept, as Read compares it.
func (s *Stream) Release(ctx context.Context, reader string, upto Position) error {
	return s.with(ctx, leases, func(ctx context.Context, kv jetstream.KeyValue) error { return s.release(ctx, kv, reader, upto) })
}

// Retire takes a reader out of those that Release asks: it is gone for good.
func (s *Stream) Retire(ctx context.Context, reader string) error {
	return s.with(ctx, leases, func(ctx context.Context, kv jetstream.KeyValue) error {
		if err := kv.Delete(ctx, readers+encode(reader)); err != nil {
			return fmt.Errorf("retire a reader: %w", err)
		}
		return nil
	})
}

// readers is what keys of readers begin with.
const readers = "reader."

func (s *Stream) release(ctx context.Context, kv jetstream.KeyValue, reader string, upto Position) error {
	if _, err := kv.Put(ctx, readers+encode(reader), fmt.Append(nil, uint64(upto))); err != nil {
		return fmt.Errorf("note what a reader has released: %w", err)
	}
	lister, err := kv.ListKeysFiltered(ctx, readers+">")
	if err != nil {
		return fmt.Errorf("list readers: %w", err)
	}
	least := Position(math.MaxUint64)
	for key := range lister.Keys() {
		e, err := kv.Get(ctx, key)
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			continue
		}
		if err != nil {
			return fmt.Errorf("look at what a reader has released: %w", err)
		}
		var p uint64
		if _, err := fmt.Sscan(string(e.Value()), &p); err != nil {
			return fmt.Errorf("read what a reader has released: %w", err)
		}
		least = min(least, Position(p))
	}
	st := s.state.Load()
	if least <= 1 || least > upto || st.err == nil && uint64(least) <= st.first {
		return nil
	}
	str, err := s.js.Stream(ctx, s.streamName())
	if err != nil {
		return fmt.Errorf("look at the stream: %w", err)
	}
	// Never beyond the end: that would set where the stream goes on.
	to := min(uint64(least), str.CachedInfo().State.LastSeq)
	if err := str.Purge(ctx, jetstream.WithPurgeSequence(to)); err != nil {
		return fmt.Errorf("delete what is released: %w", err)
	}
	return nil
}

// encode makes any name one token of a key.
func encode(name string) string {
	const digits = "0123456789abcdef"
	out := make([]byte, 0, len(name))
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
			out = append(out, c)
		default:
			out = append(out, '=', digits[c>>4], digits[c&15])
		}
	}
	return string(out)
}

// Cells are small values that several processes change, each by comparing and setting. They belong to nobody: what they
// mean is for who uses them. They are safe for concurrent use.
type Cells struct {
	stream *Stream
}

// ErrChanged is returned by Set when another has changed the cell since it was read.
var ErrChanged = errors.New("the cell has changed since it was read")

// cellWait is how long a cell's read or write may take.
const cellWait = 2 * time.Second

// Lease returns the cells in which budgets keep what gateways hold of a cap: budget.NewLease makes a budget.Lease of them.
func (s *Stream) Lease() *Cells { return &Cells{s} }

// Get returns the value of a cell and its revision; nil and zero where it was never set.
func (c *Cells) Get(ctx context.Context, key string) (value []byte, revision uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, cellWait)
	defer cancel()
	err = c.stream.with(ctx, budgets, func(ctx context.Context, kv jetstream.KeyValue) error {
		e, err := kv.Get(ctx, encode(key))
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read a cell: %w", err)
		}
		value, revision = e.Value(), e.Revision()
		return nil
	})
	return value, revision, err
}

// Set sets a cell that has the revision, zero for one that was never set. It returns the new revision, or ErrChanged.
// After any other error the cell may or may not have been set.
func (c *Cells) Set(ctx context.Context, key string, value []byte, revision uint64) (next uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, cellWait)
	defer cancel()
	err = c.stream.with(ctx, budgets, func(ctx context.Context, kv jetstream.KeyValue) error {
		if next, err = set(ctx, kv, encode(key), value, revision); conflict(err) {
			return ErrChanged
		} else if err != nil {
			return fmt.Errorf("set a cell: %w", err)
		}
		return nil
	})
	return next, err
}
