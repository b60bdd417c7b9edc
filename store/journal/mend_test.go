package journal

import (
	"context"
	"errors"
	"fmt"
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

// faults are how a disk fails.
type faults struct {
	writes int  // how many of the next writes fail
	part   int  // bytes that arrive of one that fails
	syncs  int  // how many of the next syncs fail
	lose   bool // a sync that fails drops what the operating system had
	cuts   int  // how many of the next truncations fail
	held   bool // it does not become better
}

// failing is a segment whose disk fails as it is told to.
type failing struct {
	output
	mu sync.Mutex
	faults
	tried   int   // writes that were asked for
	synced  int64 // bytes up to the last sync that went well
	written int64
}

var errDisk = errors.New("no space left on device")

func (d *failing) WriteAt(p []byte, at int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tried++
	if d.hits(&d.writes) {
		n, _ := d.output.WriteAt(p[:min(d.part, len(p))], at)
		return n, errDisk
	}
	n, err := d.output.WriteAt(p, at)
	d.written = max(d.written, at+int64(n))
	return n, err
}

func (d *failing) Sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.hits(&d.syncs) {
		if d.lose {
			_, _ = d.output.WriteAt(make([]byte, d.written-d.synced), d.synced)
		}
		return errDisk
	}
	d.synced = d.written
	return d.output.Sync()
}

func (d *failing) Truncate(n int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.hits(&d.cuts) {
		return errDisk
	}
	return d.output.Truncate(n)
}

// hits says whether this one fails.
func (d *failing) hits(left *int) bool {
	hit := *left > 0
	if hit && !d.held {
		*left--
	}
	return hit
}

// set changes how the disk fails.
func (d *failing) set(how faults) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults = how
}

func fail(f *File) *failing {
	f.files.Lock()
	defer f.files.Unlock()
	d := &failing{output: f.out}
	f.out = d
	return d
}

func soon(t *testing.T, what string, is func() bool) {
	t.Helper()
	for at := time.Now(); !is(); time.Sleep(time.Millisecond) {
		if time.Since(at) > 20*time.Second {
			t.Fatalf("%s does not happen", what)
		}
	}
}

// kept appends r and waits until it is kept.
func kept(f *File, r string) error {
	p, err := f.Append([]byte(r))
	if err != nil {
		return err
	}
	return f.Wait(context.Background(), p)
}

// copied reads a copy of a journal's folder, as a process would that starts after this one was killed now.
func copied(t *testing.T, dir string) []string {
	t.Helper()
	to := t.TempDir()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, e.Name()), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f, got := open(t, to, Options{})
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return got
}

// While the disk fails nothing is reported that is not kept, and it is said; after it the journal goes on by itself, and has
// everything that was appended once and in order, whatever part of it had arrived.
func TestMends(t *testing.T) {
	for _, c := range []struct {
		name string
		sync time.Duration
		set  faults
	}{
		{"nothing arrives", 0, faults{writes: 1}},
		{"a part of the head arrives", 0, faults{writes: 2, part: 3}},
		{"a part of the batch arrives", 0, faults{writes: 3, part: 15}},
		{"all but a byte arrives", 0, faults{writes: 1, part: 15}},
		{"the sync fails", 0, faults{syncs: 1}},
		{"the sync fails and drops", 0, faults{syncs: 2, lose: true}},
		{"it cannot be cut off at first", 0, faults{writes: 2, part: 15, cuts: 2}},
		{"nothing arrives, synced behind", time.Hour, faults{writes: 1}},
		{"a part arrives, synced behind", time.Hour, faults{writes: 2, part: 15}},
		{"the sync behind fails", 5 * time.Millisecond, faults{syncs: 1}},
		{"the sync behind fails and drops", 5 * time.Millisecond, faults{syncs: 2, lose: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			f, _ := open(t, dir, Options{Sync: c.sync, Every: time.Microsecond})
			d := fail(f)
			told := []string{"before 0", "before 1"}
			for _, r := range told {
				if err := kept(f, r); err != nil {
					t.Fatal(err)
				}
			}
			if c.sync > 0 && c.sync < time.Hour {
				soon(t, "a sync", func() bool { d.mu.Lock(); defer d.mu.Unlock(); return d.synced == d.written })
			}
			c.set.held = true
			d.set(c.set)
			err := kept(f, "hit")
			if c.set.writes > 0 || c.sync == 0 {
				if !errors.Is(err, ErrFailed) || !errors.Is(f.Ready(), ErrFailed) || !errors.Is(f.Err(), errDisk) {
					t.Fatalf("the disk failed: %v, ready %v, says %v", err, f.Ready(), f.Err())
				}
			} else {
				soon(t, "the failure", func() bool { return errors.Is(f.Ready(), ErrFailed) })
			}
			if !c.set.lose {
				if got := copied(t, dir); len(got) < len(told) || !slices.Equal(got[:len(told)], told) {
					t.Fatalf("killed meanwhile, %v is left, yet %v was reported", got, told)
				}
			}
			if _, err := f.Append([]byte("meanwhile")); err != nil { // such as what gives back
				t.Fatal(err)
			}
			c.set.held = false
			d.set(c.set)
			soon(t, "it to go on", func() bool { return f.Ready() == nil })
			if err := f.Err(); err != nil {
				t.Errorf("it goes on and says %v", err)
			}
			if err := kept(f, "after"); err != nil {
				t.Fatal(err)
			}
			want := append(told, "hit", "meanwhile", "after")
			if got := copied(t, dir); !slices.Equal(got, want) {
				t.Errorf("killed after: read %q, want %q", got, want)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			if _, got := open(t, dir, Options{}); !slices.Equal(got, want) {
				t.Errorf("read %q, want %q", got, want)
			}
		})
	}
}

// A disk that never comes back: the end does not wait for it, says so, and what was reported is there.
func TestEndsFailing(t *testing.T) {
	dir := t.TempDir()
	f, _ := open(t, dir, Options{})
	d := fail(f)
	if err := kept(f, "told"); err != nil {
		t.Fatal(err)
	}
	d.set(faults{writes: 1 << 30, part: 10})
	if err := kept(f, "lost"); !errors.Is(err, ErrFailed) {
		t.Fatal(err)
	}
	soon(t, "trying again", func() bool { d.mu.Lock(); defer d.mu.Unlock(); return d.tried > 2 })
	at := time.Now()
	if err := f.Close(); !errors.Is(err, errDisk) || time.Since(at) > 5*time.Second {
		t.Fatalf("%v after %v", err, time.Since(at))
	}
	if _, got := open(t, dir, Options{}); !slices.Equal(got, []string{"told"}) {
		t.Fatalf("read %q", got)
	}
}

// What waits while the disk fails has a bound, and trying does not become busy.
func TestFailingIsBounded(t *testing.T) {
	f, _ := open(t, t.TempDir(), Options{Room: 1000})
	d := fail(f)
	d.set(faults{writes: 1 << 30})
	if err := kept(f, "x"); !errors.Is(err, ErrFailed) {
		t.Fatal(err)
	}
	var err error
	for n := 0; err == nil && n < 1000; n++ {
		_, err = f.Append(make([]byte, 50))
	}
	if !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.tried > 10 {
		t.Errorf("%d writes in a second", d.tried)
	}
}

// Another segment cannot be begun: the journal goes on in the one that it has, says so, and begins one once that can be.
func TestGoesOnInSegment(t *testing.T) {
	dir := t.TempDir()
	f, _ := open(t, dir, Options{Segment: 100})
	inTheWay := f.segment(2)
	if err := os.WriteFile(inTheWay, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var want []string
	for i := range 20 {
		r := strings.Repeat("r", 10) + strconv.Itoa(i)
		if err := kept(f, r); err != nil {
			t.Fatal(err)
		}
		want = append(want, r)
	}
	if err := f.Err(); err == nil || f.Ready() != nil {
		t.Fatalf("it says %v, ready %v", err, f.Ready())
	}
	// A crash in the middle of a batch, with an empty segment after it.
	data, err := os.ReadFile(f.segment(1))
	if err != nil {
		t.Fatal(err)
	}
	torn := t.TempDir()
	for name, data := range map[string][]byte{f.segment(1): data[:len(data)-1], inTheWay: nil} {
		if err := os.WriteFile(filepath.Join(torn, filepath.Base(name)), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, got := open(t, torn, Options{}); !slices.Equal(got, want[:19]) {
		t.Fatalf("read %q", got)
	}
	if err := os.Remove(inTheWay); err != nil {
		t.Fatal(err)
	}
	soon(t, "another segment", func() bool { return f.Err() == nil })
	if err := kept(f, "last"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(inTheWay); err != nil {
		t.Error(err)
	}
	if _, got := open(t, dir, Options{}); !slices.Equal(got, append(want, "last")) {
		t.Fatalf("read %q", got)
	}
}

// once is a Fold of which the first fails.
type once struct {
	sum
	err error
}

func (o *once) Apply(r []byte) error { return errors.Join(o.err, o.sum.Apply(r)) }

func TestFoldsAgain(t *testing.T) {
	dir := t.TempDir()
	f, _ := open(t, dir, Options{})
	if err := kept(f, "1"); err != nil {
		t.Fatal(err)
	}
	f.Close()
	err := errDisk
	f, _ = open(t, dir, Options{Fold: func() Fold {
		o := &once{err: err}
		err = nil
		return o
	}})
	soon(t, "the failure", func() bool { return errors.Is(f.Err(), errDisk) })
	soon(t, "the fold", func() bool { return f.Err() == nil })
	if _, err := os.Stat(filepath.Join(dir, folded)); err != nil {
		t.Error(err)
	}
}

// A real disk fills up, stays full, and has room again.
func TestDiskFull(t *testing.T) {
	for _, behind := range []time.Duration{0, 5 * time.Millisecond, time.Hour} {
		t.Run(behind.String(), func(t *testing.T) { full(t, behind) })
	}
}

func full(t *testing.T, behind time.Duration) {
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("a small file system cannot be mounted here: %v: %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", dir).Run() })
	spent, filler := filepath.Join(dir, "spent"), filepath.Join(dir, "filler")
	f, _ := open(t, spent, Options{Sync: behind})
	var want []string
	n := 0
	next := func() error {
		r := fmt.Sprintf("%d %s", n, strings.Repeat("x", 500))
		n++
		want = append(want, r)
		return kept(f, r)
	}
	for round := range 3 {
		for range 20 {
			if err := next(); err != nil {
				t.Fatal(err)
			}
		}
		_ = os.WriteFile(filler, make([]byte, 1<<20), 0o600) // as much as there is room for
		told := n
		var err error
		for err == nil && n < told+100 {
			if err = next(); err == nil {
				told = n
			}
		}
		if !errors.Is(err, ErrFailed) || !strings.Contains(fmt.Sprint(f.Err()), "no space") {
			t.Fatalf("round %d: %v, it says %v", round, err, f.Err())
		}
		if got := copied(t, spent); len(got) < told || !slices.Equal(got, want[:len(got)]) {
			t.Fatalf("round %d: %d are left on the full disk, %d were reported", round, len(got), told)
		}
		if err := next(); !errors.Is(err, ErrFailed) {
			t.Fatal(err)
		}
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		soon(t, "it to go on", func() bool { return f.Ready() == nil && f.Err() == nil })
		if err := next(); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, got := open(t, spent, Options{}); !slices.Equal(got, want) {
		t.Fatalf("%d of %d are read", len(got), len(want))
	}
	t.Logf("%d records over three times without room", n)
}
