package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/palladium-guard/palladium/store/place"
)

// breaking is a place at which one change fails, done or not done, and everything after it, as in a process that dies there.
type breaking struct {
	Place
	left *atomic.Int64 // changes until then
	done bool
}

var errBroken = errors.New("broken")

// change does a change, or fails.
func (b breaking) change(do func() error) error {
	switch n := b.left.Add(-1); {
	case n > 0:
		return do()
	case n == 0 && b.done:
		return errors.Join(do(), errBroken)
	}
	return errBroken
}

func (b breaking) Put(ctx context.Context, name string, write func(io.Writer) error) error {
	return b.change(func() error { return b.Place.Put(ctx, name, write) })
}

// Remove removes one after the other.
func (b breaking) Remove(ctx context.Context, names ...string) error {
	for _, n := range names {
		if err := b.change(func() error { return b.Place.Remove(ctx, n) }); err != nil {
			return err
		}
	}
	return nil
}

func (b breaking) Swap(ctx context.Context, name string, data []byte, tag string) (now string, ok bool, err error) {
	err = b.change(func() (err error) {
		now, ok, err = b.Place.Swap(ctx, name, data, tag)
		return err
	})
	return now, ok, err
}

// Wherever a process dies, those after it go on, and nothing is lost or doubled.
func TestDyingAtEachChange(t *testing.T) {
	s := made{step: 60_000}
	want := s.all(90)
	late := time.UnixMilli(start).Add(100 * day)
	c := Config{Retention: Retention{Connection: Forever, Fingerprints: Forever, Counts: Forever, Accounts: Forever}}
	for _, done := range []bool{false, true} {
		step := int64(1)
		if testing.Short() {
			step = 5
		}
		for at := int64(1); ; at += step {
			under := place.Folder(t.TempDir())
			left := new(atomic.Int64)
			left.Store(at)
			a := open(t, breaking{under, left, done}, c)
			err := errors.Join(feed(t.Context(), a, s, 30, 10), a.Compact(t.Context(), late), feed(t.Context(), a, s, 60, 15), a.Compact(t.Context(), late))
			a = open(t, under, c)
			got := read(t, a, time.Time{}, time.Time{})
			whole(t, s, got, fmt.Sprintf("change %d, done %t", at, done))
			if err := errors.Join(feed(t.Context(), a, s, 75, 8), a.Compact(t.Context(), late), feed(t.Context(), a, s, 90, 8)); err != nil {
				t.Fatal(err)
			}
			same(t, fmt.Sprintf("gone on after change %d, done %t", at, done), read(t, a, time.Time{}, time.Time{}), want)
			if err == nil {
				t.Logf("%d changes", at)
				break
			}
		}
	}
}

// whole checks that what is read is what some number of messages brought.
func whole(t *testing.T, s made, got *heard, what string) {
	t.Helper()
	want := &heard{}
	for i := uint64(1); len(want.events) < len(got.events); i++ {
		s.deliver(i, want)
	}
	if len(got.events) == 0 {
		return
	}
	if !reflect.DeepEqual(got.events, want.events) {
		t.Fatalf("%s: %d events are not those of the first messages", what, len(got.events))
	}
}

// What failed is tried again until it can be done, and then it is as if nothing had been.
func TestTryingAgain(t *testing.T) {
	for _, done := range []bool{false, true} {
		left := new(atomic.Int64)
		left.Store(1 << 40)
		a := open(t, breaking{place.Folder(t.TempDir()), left, done}, Config{Every: time.Millisecond})
		w, err := a.Writer(t.Context(), WriterOptions{})
		if err != nil {
			t.Fatal(err)
		}
		s := made{step: 60_000}
		for i := uint64(1); i <= 60; i++ {
			if i%20 == 5 {
				left.Store(int64(i%3) + 1)
				go func() {
					for ok := true; ok; ok, _ = w.Health() {
						time.Sleep(time.Millisecond)
					}
					left.Store(1 << 40)
				}()
			}
			s.deliver(i, w)
			if err := w.Position(i); err != nil {
				t.Fatal(err)
			}
			time.Sleep(3 * time.Millisecond)
		}
		if err := w.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		same(t, "in the end", read(t, a, time.Time{}, time.Time{}), s.all(60))
	}
}

// TestMain runs a child of TestKilled when it is told to be one.
func TestMain(m *testing.M) {
	if dir := os.Getenv("PALLADIUM_TEST_ARCHIVE"); dir != "" {
		if err := child(dir, os.Getenv("PALLADIUM_TEST_ADDRESS")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// killMessages is how many messages a child writes before it ends.
const killMessages = 3000

func childConfig() Config {
	return Config{Every: time.Millisecond, Compact: 3 * time.Millisecond, Retention: Retention{Connection: Forever, Fingerprints: Forever, Counts: Forever, Accounts: Forever}}
}

// child writes what is not written yet, while files are merged at its side.
func child(where, addr string) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	at := Place(place.Folder(where))
	if addr != "" {
		b, err := place.OpenBucket(place.S3{URL: "http://" + addr, Bucket: "tests", Prefix: "archive", Region: "us-east-1", Credentials: where})
		if err != nil {
			return err
		}
		at = b
	}
	a, err := Open(childConfig(), at, nil)
	if err != nil {
		return err
	}
	w, err := a.Writer(ctx, WriterOptions{})
	if err != nil {
		return err
	}
	go a.Run(ctx, time.Now)
	s := made{step: 2_000}
	for i := w.Durable() + 1; i <= killMessages; i++ {
		s.deliver(i, w)
		if err := w.Position(i); err != nil {
			return err
		}
		if i%8 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	return w.Close(ctx)
}

func kills(t *testing.T, most int) int {
	if s := os.Getenv("PALLADIUM_TEST_KILLS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if testing.Short() {
		return most / 5
	}
	return most
}

// A process that writes and merges is killed at random moments, and the next one goes on: what is there at the end is what was given,
// once, in order; and at each moment, what the first messages brought.
func TestKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("kills processes, a minute and more under the race detector; make test does")
	}
	t.Run("folder", func(t *testing.T) {
		dir := t.TempDir()
		killed(t, place.Folder(dir), kills(t, 12), "PALLADIUM_TEST_ARCHIVE="+dir)
	})
	t.Run("bucket", func(t *testing.T) {
		addr := serve3(t)
		at := open3(t, addr)
		secret := filepath.Join(t.TempDir(), "credentials")
		if err := os.WriteFile(secret, []byte("tester\ntestsecret\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		killed(t, at, kills(t, 5), "PALLADIUM_TEST_ARCHIVE="+secret, "PALLADIUM_TEST_ADDRESS="+addr)
	})
}

func killed(t *testing.T, at Place, times int, env ...string) {
	a := open(t, at, childConfig())
	s := made{step: 2_000}
	begun, died := 0, 0
	for ; ; begun++ {
		cmd := exec.Command(os.Args[0])
		cmd.Env, cmd.Stderr = append(os.Environ(), env...), os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(time.Hour, func() {})
		if died < times {
			timer = time.AfterFunc(time.Duration(rand.N(400))*time.Millisecond, func() { _ = cmd.Process.Kill() })
		}
		err := cmd.Wait()
		timer.Stop()
		whole(t, s, read(t, a, time.Time{}, time.Time{}), "after a kill")
		if err == nil {
			break
		}
		if died++; died > times+1 {
			t.Fatal(err)
		}
	}
	same(t, "in the end", read(t, a, time.Time{}, time.Time{}), s.all(killMessages))
	if err := a.Compact(t.Context(), time.UnixMilli(start).Add(100*day)); err != nil {
		t.Fatal(err)
	}
	same(t, "merged", read(t, a, time.Time{}, time.Time{}), s.all(killMessages))
	t.Logf("killed %d times", died)
}
