package provenance

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A page that a memory map has written to once takes further writes without a new time of change, until it is written back.
func TestCacheMapped(t *testing.T) {
	b := newBench(t, map[string]string{"w.safetensors": strings.Repeat("w", 1<<20)})
	f, err := os.OpenFile(filepath.Join(b.dir, "w.safetensors"), os.O_RDWR, 0)
	check(t, err)
	defer f.Close()
	mapped, err := syscall.Mmap(int(f.Fd()), 0, 1<<20, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	check(t, err)
	defer func() { check(t, syscall.Munmap(mapped)) }()
	dir := filepath.Join(t.TempDir(), "digests")
	const place = 500_000
	mapped[place] = 'x'
	sign := func() *Report {
		t.Helper()
		r, err := b.sign(SignOptions{Reading: Reading{Cache: openTestCache(t, dir, b.dir)}})
		check(t, err)
		return r
	}
	first := sign()
	if r := sign(); r.Recalled != 1<<20 || r.Root != first.Root {
		t.Errorf("unchanged, %d bytes were recalled", r.Recalled)
	}
	mapped[place] = 'y'
	if r := sign(); r.Recalled != 0 || r.Root == first.Root {
		t.Errorf("after a write through a map, %d bytes were recalled", r.Recalled)
	}
}
