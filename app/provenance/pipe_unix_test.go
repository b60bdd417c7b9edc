//go:build unix

package provenance

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/palladium-guard/palladium/weights/compare"
	"github.com/palladium-guard/palladium/weights/inspect"
)

// TestPipes gives pipes, devices and sockets in place of a model and of its files. Nothing may wait for them, or read them.
func TestPipes(t *testing.T) {
	dir := t.TempDir()
	pipe, socket := filepath.Join(dir, "w.bin"), filepath.Join(dir, "s.bin")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip(err)
	}
	if l, err := net.Listen("unix", socket); err == nil {
		defer l.Close()
	}
	check(t, os.WriteFile(filepath.Join(dir, "good.pkl"), []byte(cleanPickle), 0o600))
	within := func(what string, act func()) {
		t.Helper()
		done := make(chan struct{})
		go func() { act(); close(done) }()
		select {
		case <-done:
		case <-time.After(time.Minute):
			t.Fatalf("%s: waits", what)
		}
	}
	for _, path := range []string{pipe, socket, "/dev/zero", dir} {
		within("inspect "+path, func() {
			if r, err := Inspect(t.Context(), []string{path}); err != nil || r.Verdict < inspect.Unknown {
				t.Errorf("%s: %+v, %v", path, r, err)
			}
		})
	}
	for _, path := range []string{pipe, socket, "/dev/zero"} {
		within("open "+path, func() {
			if m, err := openModel(path, true, true); err == nil {
				t.Errorf("%s is opened as a model: %+v", path, m)
			}
			if _, err := Compare(t.Context(), Weights{Path: path}, Weights{Path: path}, compare.Options{Seed: 1}); err == nil {
				t.Errorf("%s is compared", path)
			}
		})
	}
	for _, anywhere := range []bool{false, true} { // what was a file when it was listed
		m, err := openModel(dir, anywhere, anywhere)
		check(t, err)
		within("hash", func() {
			for _, name := range []string{"w.bin", "."} {
				if _, err := m.fsys.Open(name); !errors.Is(err, errIrregular) {
					t.Errorf("%s: %v", name, err)
				}
			}
			if f, err := m.fsys.Open("good.pkl"); err != nil {
				t.Error(err)
			} else {
				f.Close()
			}
		})
		check(t, m.close())
	}
}
