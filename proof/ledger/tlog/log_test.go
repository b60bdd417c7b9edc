//go:build unix && !solaris && !aix

package tlog

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/palladium-guard/palladium/proof/ledger"
	"github.com/palladium-guard/palladium/proof/ledger/ledgertest"
)

// tempDir is a folder in memory where there is one: these tests are not about the disk.
func tempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "tlog-*")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func options(t testing.TB) Options {
	t.Helper()
	private, public, err := ledger.GenerateKey(rand.Reader, "example.com/test")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ledger.ParseSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	trust, err := ledger.ParseTrust(public, nil)
	if err != nil {
		t.Fatal(err)
	}
	return Options{Signer: signer, Trust: trust}
}

func begin(t testing.TB, dir string, o Options) *Log {
	t.Helper()
	if _, err := os.Stat(filepath.Join(dir, ledger.CheckpointPath)); err != nil {
		if err := Create(t.Context(), dir, o); err != nil {
			t.Fatal(err)
		}
	}
	l, err := Open(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLedger(t *testing.T) {
	o := options(t)
	ledgertest.Run(t, ledgertest.Options{Trust: o.Trust}, func(t *testing.T) ledger.Ledger {
		l := begin(t, filepath.Join(tempDir(t), "log"), o)
		t.Cleanup(func() {
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		})
		return l
	})
}

func TestReopen(t *testing.T) {
	o := options(t)
	dir := filepath.Join(tempDir(t), "log")
	n := 0
	for range 3 {
		l := begin(t, dir, o)
		if _, err := Open(t.Context(), dir, o); !errors.Is(err, ErrBusy) {
			t.Errorf("a second writer got error %v", err)
		}
		var wg sync.WaitGroup
		for range 290 {
			body := fmt.Append(nil, n)
			wg.Go(func() {
				if _, err := l.Append(t.Context(), ledger.Statement{Type: "test/v1", Body: body}); err != nil {
					t.Error(err)
				}
			})
			n++
		}
		wg.Wait()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Append(t.Context(), ledger.Statement{Type: "test/v1", Body: []byte("text")}); !errors.Is(err, ErrClosed) {
			t.Errorf("append after close: got error %v", err)
		}
		r, err := ledger.Verify(t.Context(), os.DirFS(dir), o.Trust, nil)
		if err != nil {
			t.Fatal(err)
		}
		if r.Checkpoint.Size != uint64(n) || r.Types["test/v1"] != n {
			t.Errorf("log has %d entries, want %d", r.Checkpoint.Size, n)
		}
	}
	for _, i := range []uint64{0, 255, 256, 511, 869} {
		p, err := ledger.Prove(os.DirFS(dir), o.Trust, i)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ledger.VerifyProof(p, o.Trust); err != nil {
			t.Error(err)
		}
	}
}

// BenchmarkAppend measures one log that is written by callers at the same time, each of whom appends so many statements of
// 600 bytes together and waits for the checkpoint.
func BenchmarkAppend(b *testing.B) {
	for _, c := range []struct{ callers, together int }{{16_384, 1}, {1_024, 1}, {64, 64}, {4, 1_024}, {1, 4_096}} {
		b.Run(fmt.Sprintf("callers=%d/together=%d", c.callers, c.together), func(b *testing.B) {
			l := begin(b, filepath.Join(b.TempDir(), "log"), options(b))
			defer l.Close()
			statements := make([]ledger.Statement, c.together)
			for i := range statements {
				statements[i] = ledger.Statement{Type: "test/v1", Body: make([]byte, 600)}
			}
			left := atomic.Int64{}
			left.Store(int64(b.N))
			var wg sync.WaitGroup
			b.ResetTimer()
			for range c.callers {
				wg.Go(func() {
					for {
						n := min(left.Add(-int64(c.together))+int64(c.together), int64(c.together))
						if n <= 0 {
							return
						}
						if _, err := l.AppendAll(context.Background(), statements[:n]); err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
		})
	}
}
