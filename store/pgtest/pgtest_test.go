//go:build unix

package pgtest

import (
	"errors"
	"os"
	"testing"
)

func TestServer(t *testing.T) {
	s, err := Launch("")
	if errors.Is(err, ErrMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // after the databases are dropped
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(s.Dir()); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the data is still there: %v", err)
		}
	})
	url := s.Database(t)
	if url == s.Database(t) {
		t.Error("two databases are one")
	}
	s.Kill()
	if s.answers() {
		t.Error("answers after it was killed")
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
}
