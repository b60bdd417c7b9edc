package snapshot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/palladium-guard/palladium/store/stream"
)

func open(t *testing.T) *Store {
	t.Helper()
	s, err := stream.Open(t.Context(), stream.Config{Dir: t.TempDir()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return New(s)
}

// made is a snapshot that follows from its version.
func made(version uint64, size int) []byte {
	b := make([]byte, size)
	r := rand.NewChaCha8([32]byte{byte(version), byte(version >> 8)})
	_, _ = r.Read(b)
	return b
}

func get(t *testing.T, s *Store, name string) (version uint64, data []byte, err error) {
	t.Helper()
	err = s.Get(t.Context(), name, func(v uint64, from io.Reader) (err error) {
		version = v
		data, err = io.ReadAll(from)
		return err
	})
	return version, data, err
}

// What was put is there, whole and in the place of the one before; an older one is refused; little is left of those before.
func TestPut(t *testing.T) {
	s := open(t)
	if _, _, err := get(t, s, "a"); !errors.Is(err, ErrNone) {
		t.Fatalf("%v", err)
	}
	for i, size := range []int{0, 1, piece, piece + 1, 5*piece - 1, 30 * piece, 7} {
		version := uint64(10 + i)
		if err := s.Put(t.Context(), "a", version, bytes.NewReader(made(version, size))); err != nil {
			t.Fatal(err)
		}
		for _, old := range []uint64{1, version} {
			if err := s.Put(t.Context(), "a", old, bytes.NewReader(nil)); !errors.Is(err, ErrOlder) {
				t.Errorf("version %d after %d: %v", old, version, err)
			}
		}
		v, data, err := get(t, s, "a")
		if err != nil || v != version || !bytes.Equal(data, made(version, size)) {
			t.Fatalf("version %d of %d bytes: %d, %d bytes, %v", version, size, v, len(data), err)
		}
	}
	failed := errors.New("the disk is gone")
	if err := s.Put(t.Context(), "a", 99, io.MultiReader(bytes.NewReader(made(99, 3*piece)), failing{failed})); !errors.Is(err, failed) {
		t.Errorf("%v", err)
	}
	if v, _, err := get(t, s, "a"); v != 16 || err != nil {
		t.Errorf("after one that failed: %d, %v", v, err)
	}
	if err := s.Put(t.Context(), "b", 3, bytes.NewReader([]byte("another name"))); err != nil {
		t.Fatal(err)
	}
	str, err := s.stream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sets, err := s.sets(t.Context(), str, "a")
	if err != nil || len(sets) > 2 {
		t.Errorf("%d sets are kept: %v", len(sets), err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// Several that put at once, and some that read meanwhile: what is read is whole, and versions only grow.
func TestTogether(t *testing.T) {
	s := open(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var next, put atomic.Uint64
	var work, reads sync.WaitGroup
	done := make(chan struct{})
	for range 3 {
		work.Go(func() {
			for next.Load() < 60 {
				v := next.Add(1)
				switch err := s.Put(ctx, "a", v, bytes.NewReader(made(v, int(v)*piece/5))); {
				case err == nil:
					put.Add(1)
				case !errors.Is(err, ErrOlder):
					t.Errorf("version %d: %v", v, err)
				}
			}
		})
		reads.Go(func() {
			var last uint64
			for {
				select {
				case <-done:
					return
				default:
				}
				err := s.Get(ctx, "a", func(v uint64, from io.Reader) error {
					data, err := io.ReadAll(from)
					if err != nil {
						return err
					}
					if v < last || !bytes.Equal(data, made(v, int(v)*piece/5)) {
						return fmt.Errorf("version %d after %d, %d bytes", v, last, len(data))
					}
					last = v
					return nil
				})
				if err != nil && !errors.Is(err, ErrNone) {
					t.Error(err)
				}
			}
		})
	}
	work.Wait()
	close(done)
	reads.Wait()
	if v, err := s.Version(ctx, "a"); err != nil || put.Load() == 0 || v == 0 {
		t.Errorf("%d were put, the last is %d: %v", put.Load(), v, err)
	}
}
