//go:build unix

package launch

import (
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestPipes sees that nothing waits for a writer of a pipe that stands where a model's file should.
func TestPipes(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "w.bin")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip(err)
	}
	for name, act := range map[string]func() error{
		"a file that became a pipe": func() error { return copyFile(pipe, filepath.Join(dir, "copy")) },
		"a pipe":                    func() error { return copyTree(t.Context(), pipe, filepath.Join(dir, "copy"), 0) },
		"a folder with a pipe":      func() error { return copyTree(t.Context(), dir, filepath.Join(t.TempDir(), "copy"), 0) },
		"a device":                  func() error { return copyFile("/dev/zero", filepath.Join(dir, "copy")) },
	} {
		done := make(chan error, 1)
		go func() { done <- act() }()
		select {
		case err := <-done:
			if err == nil {
				t.Errorf("%s was copied", name)
			}
		case <-time.After(time.Minute):
			t.Fatalf("%s: waits", name)
		}
	}
}
