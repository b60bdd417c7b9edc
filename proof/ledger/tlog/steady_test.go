//go:build unix && !solaris && !aix

package tlog

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/palladium-guard/palladium/proof/ledger"
)

// steady is a log with keys of its own in a folder.
func steady(t *testing.T, dir string) (*Files, *Steady) {
	t.Helper()
	keys := t.TempDir()
	f := &Files{Dir: dir, Private: filepath.Join(keys, "key"), Public: filepath.Join(keys, "key.pub"), Seen: NoMemory}
	if _, err := f.Init(t.Context(), "test.local/log"); err != nil {
		t.Fatal(err)
	}
	s, err := f.Steady(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return f, s
}

func statement(n int) ledger.Statement {
	return ledger.Statement{Type: "test/v1", Body: fmt.Appendf(nil, "%d %s", n, strings.Repeat("x", 300))}
}

// refused appends until a statement is refused, and returns how many were not.
func refused(t *testing.T, s *Steady, from int) (n int) {
	t.Helper()
	for n = from; n < from+20_000; n++ {
		if _, err := s.Append(t.Context(), statement(n)); err != nil {
			if !errors.Is(err, ErrStopped) {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("nothing is refused")
	return 0
}

// takesAgain waits until a statement is taken, while several ask.
func takesAgain(t *testing.T, s *Steady, n int) int {
	t.Helper()
	var mu sync.Mutex
	var work sync.WaitGroup
	taken := 0
	for range 4 {
		work.Go(func() {
			for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
				if _, err := s.Append(t.Context(), statement(n)); err == nil {
					mu.Lock()
					taken++
					mu.Unlock()
					return
				}
			}
		})
	}
	work.Wait()
	if taken != 4 {
		t.Fatalf("%d of 4 are taken", taken)
	}
	return taken
}

// A disk that is full has the log refuse, and go on by itself once there is room, with all that was acknowledged in its place.
func TestSteadyDiskFull(t *testing.T) {
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("a small file system cannot be mounted here: %v: %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", dir).Run() })
	f, s := steady(t, filepath.Join(dir, "log"))
	filler := filepath.Join(dir, "filler")
	acknowledged := 0
	for range 3 {
		for range 5 {
			if _, err := s.Append(t.Context(), statement(acknowledged)); err != nil {
				t.Fatal(err)
			}
			acknowledged++
		}
		_ = os.WriteFile(filler, make([]byte, 8<<20), 0o600) // as much as there is room for
		acknowledged = refused(t, s, acknowledged)
		for range 3 { // it stays so, whether it is tried to open the log or not
			if _, err := s.Append(t.Context(), statement(-1)); !errors.Is(err, ErrStopped) {
				t.Fatalf("on a full disk: %v", err)
			}
			time.Sleep(reopenEvery / 2)
		}
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		acknowledged += takesAgain(t, s, acknowledged)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := f.Verify(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d were acknowledged, %d are in the log, which verifies", acknowledged, r.Checkpoint.Size)
	if int(r.Checkpoint.Size) < acknowledged {
		t.Errorf("%d were acknowledged, %d are there", acknowledged, r.Checkpoint.Size)
	}
}

// What hinders a write hinders opening too: it is tried again, and after Close it is not.
func TestSteadyFails(t *testing.T) {
	_, s := steady(t, filepath.Join(t.TempDir(), "log"))
	if _, err := s.Append(t.Context(), statement(0)); err != nil {
		t.Fatal(err)
	}
	packs := filepath.Join(s.files.Dir, "statements")
	if err := os.Rename(packs, packs+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(packs, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, s, 1)
	if err := errors.Join(os.Remove(packs), os.Rename(packs+".away", packs)); err != nil {
		t.Fatal(err)
	}
	takesAgain(t, s, 1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(t.Context(), statement(2)); !errors.Is(err, ErrClosed) {
		t.Errorf("after it was closed: %v", err)
	}
	if err := s.Close(); !errors.Is(err, ErrClosed) {
		t.Errorf("closed twice: %v", err)
	}
}
