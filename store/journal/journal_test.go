package journal

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

func open(t *testing.T, dir string, o Options) (*File, []string) {
	t.Helper()
	var got []string
	f, err := Open(dir, o, func(r []byte) error {
		got = append(got, string(r))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f, got
}

func TestJournal(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spent")
	var want []string
	for life := range 3 {
		f, got := open(t, dir, Options{})
		if !slices.Equal(got, want) {
			t.Fatalf("life %d: read %v, want %v", life, got, want)
		}
		var last uint64
		for i := range 100 {
			r := fmt.Sprintf("%d.%d", life, i)
			p, err := f.Append([]byte(r))
			if err != nil {
				t.Fatal(err)
			}
			want, last = append(want, r), p
		}
		if err := f.Wait(context.Background(), last); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, Options{}, nil); !errors.Is(err, ErrInUse) {
			t.Fatalf("opened twice: %v", err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Append([]byte("late")); !errors.Is(err, ErrClosed) {
			t.Fatalf("appended after the end: %v", err)
		}
	}
}

func TestRefused(t *testing.T) {
	f, _ := open(t, t.TempDir(), Options{Room: 100, Every: time.Hour})
	for _, r := range [][]byte{nil, make([]byte, MaxRecord+1)} {
		if _, err := f.Append(r); !errors.Is(err, ErrRecord) {
			t.Errorf("%d bytes: %v", len(r), err)
		}
	}
	_, err := f.Append(make([]byte, 50))
	for err == nil {
		_, err = f.Append(make([]byte, 50))
	}
	if !errors.Is(err, ErrFull) {
		t.Errorf("a full journal says %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if err := f.Wait(ctx, 1<<40); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting for what never comes: %v", err)
	}
}

// Whatever part of the last batch reached the disk, what came before it is read, and the journal goes on.
func TestCut(t *testing.T) {
	dir := t.TempDir()
	f, _ := open(t, dir, Options{})
	for _, r := range []string{"one", "two", "three"} {
		p, err := f.Append([]byte(r))
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Wait(context.Background(), p); err != nil {
			t.Fatal(err)
		}
	}
	name := f.segment(f.number)
	f.Close()
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	batch := func(r string) int { return batchHead + recordHead + len(r) }
	for n := range len(whole) + 1 {
		var want []string
		at := 0
		for _, r := range []string{"one", "two", "three"} {
			if at += batch(r); at <= n {
				want = append(want, r)
			}
		}
		zeros := append(slices.Clone(whole[:n]), make([]byte, 100)...) // a length that arrived before the bytes
		for i, data := range [][]byte{whole[:n], zeros} {
			cut := t.TempDir()
			if err := os.WriteFile(filepath.Join(cut, filepath.Base(name)), data, 0o600); err != nil {
				t.Fatal(err)
			}
			g, got := open(t, cut, Options{})
			if !slices.Equal(got, want) {
				t.Fatalf("cut at %d, form %d: read %v, want %v", n, i, got, want)
			}
			if err := g.Close(); err != nil {
				t.Fatal(err)
			}
			if _, got = open(t, cut, Options{}); !slices.Equal(got, want) {
				t.Fatalf("cut at %d, form %d: read %v the second time, want %v", n, i, got, want)
			}
		}
	}
}

// Damage before the end is no crash: it is not passed over.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		f, _ := open(t, dir, Options{})
		if _, err := f.Append([]byte("record")); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	first := filepath.Join(dir, fmt.Sprintf("%s%020d", segments, 1))
	data, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-1] ^= 1
	if err := os.WriteFile(first, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Options{}, func([]byte) error { return nil }); !errors.Is(err, ErrDamaged) {
		t.Fatalf("got %v, want the damage", err)
	}
	if err := os.Remove(first); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Options{}, func([]byte) error { return nil }); !errors.Is(err, ErrDamaged) {
		t.Fatalf("got %v, want the missing file", err)
	}
}

// sum folds records that are numbers into one.
type sum struct{ n int }

func (s *sum) Apply(r []byte) error {
	v, err := strconv.Atoi(string(r))
	s.n += v
	return err
}

func (s *sum) Records() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) { yield([]byte(strconv.Itoa(s.n))) }
}

func TestFold(t *testing.T) {
	dir := t.TempDir()
	o := Options{Segment: 1000, Every: time.Microsecond, Fold: func() Fold { return new(sum) }}
	want := 0
	for life := range 4 {
		f, got := open(t, dir, o)
		have := 0
		for _, r := range got {
			v, _ := strconv.Atoi(r)
			have += v
		}
		if have != want {
			t.Fatalf("life %d: the records add up to %d, want %d", life, have, want)
		}
		if life > 0 && len(got) > 2000 {
			t.Fatalf("life %d: %d records were not folded", life, len(got))
		}
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for range 500 {
					p, err := f.Append([]byte("1"))
					if err != nil {
						t.Error(err)
						return
					}
					if p%10 == 0 {
						if err := f.Wait(context.Background(), p); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
		all.Wait()
		want += 2000
		if err := f.Err(); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 12 {
		t.Fatalf("%d files are left, %v", len(left), err)
	}
}

// A crash between a fold and the removal of what it covers counts nothing twice.
func TestFoldHalfDone(t *testing.T) {
	dir := t.TempDir()
	f, _ := open(t, dir, Options{})
	if _, err := f.Append([]byte("5")); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := (&File{dir: dir}).writeFolded(1, &sum{5}); err != nil {
		t.Fatal(err)
	}
	if _, got := open(t, dir, Options{}); !slices.Equal(got, []string{"5"}) {
		t.Fatalf("read %v, want 5 once", got)
	}
}

// TestKill kills a process that appends at any moment: all that it was told to be on disk is there.
//
// It holds with and without a sync of each write: a process that is killed leaves what the operating system has.
func TestKill(t *testing.T) {
	if dir := os.Getenv("JOURNAL_TO_FILL"); dir != "" {
		fill(dir)
		return
	}
	if testing.Short() {
		t.Skip("starts processes")
	}
	for _, behind := range []time.Duration{0, time.Hour, 5 * time.Millisecond} {
		t.Run(behind.String(), func(t *testing.T) { killed(t, behind) })
	}
}

func killed(t *testing.T, behind time.Duration) {
	dir := t.TempDir()
	at := 0
	for round := range 12 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKill$")
		cmd.Env = append(os.Environ(), "JOURNAL_TO_FILL="+dir, "JOURNAL_FROM="+strconv.Itoa(at), "JOURNAL_SYNC="+behind.String())
		var out strings.Builder
		cmd.Stdout = &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(30+17*round) * time.Millisecond)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		told := -1
		for line := range strings.Lines(out.String()) {
			if n, err := strconv.Atoi(strings.TrimSpace(line)); err == nil && strings.HasSuffix(line, "\n") {
				told = n
			}
		}
		f, got := open(t, dir, Options{})
		for i, r := range got {
			if r != strconv.Itoa(i) {
				t.Fatalf("round %d: record %d is %s", round, i, r)
			}
		}
		if len(got) <= told {
			t.Fatalf("round %d: %d records are there, yet %d was reported", round, len(got), told)
		}
		at = len(got)
		f.Close()
	}
	t.Logf("%d records after 12 kills", at)
}

// fill appends numbers and prints each once it is kept.
func fill(dir string) {
	behind, _ := time.ParseDuration(os.Getenv("JOURNAL_SYNC"))
	f, err := Open(dir, Options{Segment: 2000, Every: 100 * time.Microsecond, Sync: behind}, func([]byte) error { return nil })
	if err != nil {
		fmt.Println("error", err)
		return
	}
	from, _ := strconv.Atoi(os.Getenv("JOURNAL_FROM"))
	for i := from; ; i++ {
		p, err := f.Append([]byte(strconv.Itoa(i)))
		if err != nil {
			return
		}
		if i%3 == 0 {
			if err := f.Wait(context.Background(), p); err != nil {
				return
			}
			fmt.Println(i)
		}
	}
}

// TestWaitHurries: whoever waits does not wait for the next turn of the writer, however many wait, and whoever does not
// wait shares it.
func TestWaitHurries(t *testing.T) {
	f, _ := open(t, t.TempDir(), Options{Every: time.Hour})
	at := time.Now()
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 5 {
				p, err := f.Append([]byte("a"))
				if err == nil {
					err = f.Wait(context.Background(), p)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if took := time.Since(at); took > time.Minute {
		t.Errorf("40 records took %v", took)
	}
	p, err := f.Append([]byte("b"))
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond)
	if f.durable.Load() >= p {
		t.Error("a record that nobody waits for is written at once")
	}
}

func FuzzReadBatches(f *testing.F) {
	good := appendRecord(make([]byte, batchHead), []byte("record"))
	sealBatch(good)
	f.Add(good)
	f.Add(append(slices.Clone(good), good[:5]...))
	f.Fuzz(func(t *testing.T, data []byte) {
		at, err := readBatches(strings.NewReader(string(data)), func([]byte) error { return nil })
		if at < 0 || at > int64(len(data)) || err == nil && at != int64(len(data)) || err != nil && !errors.Is(err, ErrDamaged) {
			t.Fatalf("%d bytes: up to %d, %v", len(data), at, err)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	f, err := Open(b.TempDir(), Options{}, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	r := make([]byte, 60)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Append(r); errors.Is(err, ErrFull) {
			time.Sleep(time.Millisecond)
		} else if err != nil {
			b.Fatal(err)
		}
	}
}
