//go:build unix

package file

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Skip("no named pipes here:", err)
	}
	go func() {
		if f, err := os.OpenFile(path, os.O_WRONLY, 0); err == nil {
			fmt.Fprint(f, ex("x1", 0)+acct("p")+ex("x2", 1))
			f.Close()
		}
	}()
	g := read(t, Options{Paths: []string{path}})
	g.want(t, "x1 x2")
	if len(g.accounts) != 1 || len(g.rejects) != 0 {
		t.Errorf("got %+v", g)
	}
}
